package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// benchReport is what a run measured.
type benchReport struct {
	Machine machine `json:"machine"`
	Nodes   int     `json:"nodes"` // that are measured
	// Floors are of a bare HTTP server that answers from memory.
	Floors []benchRow `json:"floors"`
	Rows   []benchRow `json:"rows"`
	// Memory of the node that has the most, and CPUs that all nodes together keep
	// busy; 0: not measured.
	IdleBytes float64 `json:"memory_idle_bytes,omitempty"`
	IdleCPUs  float64 `json:"cpus_idle,omitempty"`
	BusyBytes float64 `json:"memory_large_uploads_bytes,omitempty"`
	Goals     []goal  `json:"goals"`
}

// benchRow is one kind of request on one size. What is not known is -1.
type benchRow struct {
	Kind        string  `json:"kind"`
	SizeBytes   int64   `json:"size_bytes"`
	Concurrency int     `json:"concurrency"`
	Rate        float64 `json:"rate_per_second,omitempty"` // of an open loop
	Ops         int64   `json:"ops"`
	Failed      int64   `json:"failed"`
	FirstError  string  `json:"first_error,omitempty"`
	OpsPerSec   float64 `json:"ops_per_second"`
	MiBPerSec   float64 `json:"mib_per_second"`
	P50Millis   float64 `json:"p50_ms"`
	P99Millis   float64 `json:"p99_ms"`
	P999Millis  float64 `json:"p999_ms"`
	MaxMillis   float64 `json:"max_ms"`
	// ServerCPUMicros are of all nodes, for each request, until the last answer.
	// What they did after it, until they rested, is AfterCPUMicros: third copies,
	// compactions, and being idle.
	ServerCPUMicros float64 `json:"server_cpu_us_per_op"`
	AfterCPUMicros  float64 `json:"server_cpu_after_us_per_op"`
	// WrittenPerByte is what the nodes wrote for each byte that they stored; what
	// only a write-ahead log has by then counts twice, since it will be written
	// once more at least. StoreWrittenPerByte is the blob stores' part.
	WrittenPerByte      float64            `json:"written_per_stored_byte"`
	StoreWrittenPerByte map[string]float64 `json:"store_written_per_stored_byte,omitempty"`
	// CommandsPerRound is how many commands went into the log at once.
	CommandsPerRound float64 `json:"commands_per_log_append"`
}

func newRow(kind string, size int64, l load, r loadResult) benchRow {
	row := benchRow{
		Kind: kind, SizeBytes: size, Concurrency: l.concurrency, Rate: l.rate, Ops: r.ops, Failed: r.failed,
		OpsPerSec:       float64(r.ops) / r.elapsed.Seconds(),
		P50Millis:       millis(r.hist.ValueAtQuantile(50)),
		P99Millis:       millis(r.hist.ValueAtQuantile(99)),
		P999Millis:      millis(r.hist.ValueAtQuantile(99.9)),
		MaxMillis:       millis(r.hist.Max()),
		ServerCPUMicros: -1, AfterCPUMicros: -1, WrittenPerByte: -1, CommandsPerRound: -1,
	}
	row.MiBPerSec = row.OpsPerSec * float64(size) / mib
	if r.firstErr != nil {
		row.FirstError = oneLine(r.firstErr)
	}
	return row
}

func millis(micros int64) float64 { return float64(micros) / 1000 }

// use adds what the nodes did for the requests.
func (r *benchRow) use(before, after sample) {
	r.ServerCPUMicros = perOp(grown(before, after, metricCPU), r.Ops)
	if rounds := grown(before, after, metricRounds); rounds > 0 {
		r.CommandsPerRound = grown(before, after, metricCommands) / rounds
	}
}

func perOp(seconds float64, ops int64) float64 {
	if seconds < 0 {
		return -1
	}
	return seconds * 1e6 / float64(ops)
}

// settle adds what was only known when the nodes rested again.
func (r *benchRow) settle(before, after, settled sample) {
	if strings.HasPrefix(r.Kind, "floor") {
		return
	}
	r.AfterCPUMicros = perOp(grown(after, settled, metricCPU), r.Ops)
	stored := grown(before, settled, metricStored)
	written := grown(before, settled, metricWritten)
	if stored <= 0 || written < 0 {
		return
	}
	from, _ := before.sum(metricUnflushed)
	to, _ := settled.sum(metricUnflushed)
	r.WrittenPerByte = (written + to - from) / stored
	r.StoreWrittenPerByte = map[string]float64{"unflushed": (to - from) / stored}
	for by, bytes := range storeWrites(before, settled) {
		r.StoreWrittenPerByte[by] = bytes / stored
	}
}

func printBench(w io.Writer, r *benchReport) {
	_, _ = fmt.Fprintf(w, "nodes: %d; this machine: %d CPUs, %.0f fsyncs/s (4 KiB appends), SHA-512 %.0f MiB/s on one core\n\n",
		r.Nodes, r.Machine.CPUs, r.Machine.FsyncsPerSecond, r.Machine.SHA512MiBPerSec)
	table(w, "KIND\tSIZE\tAT ONCE\tOPS\tFAILED\tOPS/S\tMIB/S\tP50 MS\tP99 MS\tP99.9 MS\tSERVER CPU US/OP\tAFTER\tWRITTEN/BYTE\tCOMMANDS/APPEND", func(line func(string, ...any)) {
		for _, x := range slices.Concat(r.Floors, r.Rows) {
			line("%s\t%s\t%d\t%d\t%d\t%.0f\t%.1f\t%.2f\t%.2f\t%.2f\t%s\t%s\t%s\t%s", x.Kind, sizeText(x.SizeBytes), x.Concurrency, x.Ops, x.Failed,
				x.OpsPerSec, x.MiBPerSec, x.P50Millis, x.P99Millis, x.P999Millis,
				known("%.0f", x.ServerCPUMicros), known("%.0f", x.AfterCPUMicros), known("%.2f", x.WrittenPerByte), known("%.1f", x.CommandsPerRound))
		}
	})
	for _, x := range slices.Concat(r.Floors, r.Rows) {
		if x.Failed > 0 {
			_, _ = fmt.Fprintf(w, "%s %s: %d failed, the first one: %s\n", x.Kind, sizeText(x.SizeBytes), x.Failed, x.FirstError)
		}
	}
	if r.IdleBytes > 0 {
		_, _ = fmt.Fprintf(w, "while nothing is going on the largest node has %.0f MiB, and all of them keep %.3f CPUs busy\n", r.IdleBytes/mib, r.IdleCPUs)
	}
	if len(r.Goals) == 0 {
		return
	}
	_, _ = fmt.Fprintln(w)
	table(w, "GOAL\tFIGURE\tFLOOR\tRATIO\tGOAL\tRESULT", func(line func(string, ...any)) {
		for _, g := range r.Goals {
			line("%s\t%s\t%s\t%s\t%s\t%s", g.Name, g.text(g.Figure), g.text(g.Floor), known("%.1fx", g.Ratio), g.want(), g.result())
		}
	})
}

// known is a number, or - for what is not known.
func known(format string, v float64) string {
	if v < 0 {
		return "-"
	}
	return fmt.Sprintf(format, v)
}
