package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha512"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"ringbin/storage"
)

// Numbers of a benchmark.
const (
	benchFsyncs    = 200
	benchHashBytes = 256 << 20
	benchPort      = 18080
)

type benchOptions struct {
	client      *clientOptions
	adminURLs   []string
	duration    time.Duration
	concurrency int
	sizes       []string
	dir         string
	self        bool
}

func benchCommand() *cobra.Command {
	var o benchOptions
	cmd := &cobra.Command{
		Use: "bench", Short: "Measure puts and gets against a running cluster", Args: cobra.NoArgs,
		Long: "Measure puts and gets of several sizes against a running cluster, beside the fsync rate and the SHA-512 speed\n" +
			"of this machine in the same run. Every put is of new random content, for 30 days, and is charged.",
	}
	o.client = bindClient(cmd)
	f := cmd.Flags()
	f.StringSliceVar(&o.adminURLs, "admin-url", nil, "admin URLs of the nodes, for their CPU time")
	f.DurationVar(&o.duration, "duration", 5*time.Second, "time for each kind and size")
	f.IntVar(&o.concurrency, "concurrency", 8, "requests under way at once")
	f.StringSliceVar(&o.sizes, "sizes", []string{"1KiB", "64KiB", "1MiB", "16MiB"}, "sizes of content")
	f.StringVar(&o.dir, "dir", os.TempDir(), "directory for the fsync measurement: on the disk that the nodes use")
	f.BoolVar(&o.self, "self", false, "start three nodes on spare ports for it, and stop them")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if o.self {
			return o.withCluster(cmd)
		}
		return o.run(cmd)
	}
	return cmd
}

// withCluster measures a cluster of three nodes of its own, in this process:
// its CPU time is the client's too.
func (o *benchOptions) withCluster(cmd *cobra.Command) error {
	dir, err := os.MkdirTemp(o.dir, "ringbin-bench-")
	if err != nil {
		return err
	}
	d, err := openDev(cmd.Context(), devOptions{nodes: 3, dir: dir, httpPort: benchPort, level: "error"}, cmd.ErrOrStderr())
	if err != nil {
		return errors.Join(err, os.RemoveAll(dir))
	}
	if err = d.ready(cmd.Context()); err == nil {
		o.client.urls, o.adminURLs = nil, nil
		for _, n := range d.nodes {
			o.client.urls = append(o.client.urls, "http://"+n.Addresses().HTTP)
		}
		o.adminURLs = []string{"http://" + d.nodes[0].Addresses().Admin}
		o.client.key = d.state.Key
		o.dir = dir
		err = o.run(cmd)
	}
	return errors.Join(err, d.close(), os.RemoveAll(dir))
}

// benchReport is what a run measured.
type benchReport struct {
	FsyncsPerSecond float64    `json:"fsyncs_per_second"`
	SHA512MiBPerSec float64    `json:"sha512_mib_per_second"`
	Concurrency     int        `json:"concurrency"`
	Rows            []benchRow `json:"rows"`
}

// benchRow is one kind of request on one size.
type benchRow struct {
	Kind      string  `json:"kind"`
	SizeBytes int64   `json:"size_bytes"`
	Ops       int     `json:"ops"`
	Failed    int     `json:"failed"`
	OpsPerSec float64 `json:"ops_per_second"`
	MiBPerSec float64 `json:"mib_per_second"`
	P50Millis float64 `json:"p50_ms"`
	P99Millis float64 `json:"p99_ms"`
	// ServerCPUMillisPerOp is of all nodes named by admin-url; -1: not known.
	ServerCPUMillisPerOp float64 `json:"server_cpu_ms_per_op"`
}

func (o *benchOptions) run(cmd *cobra.Command) error {
	ctx := cmd.Context()
	sizes, err := parseSizes(o.sizes)
	if err != nil {
		return err
	}
	if o.client.key == "" {
		return errors.New("key: required")
	}
	report := benchReport{Concurrency: o.concurrency}
	if report.FsyncsPerSecond, err = fsyncRate(o.dir); err != nil {
		return err
	}
	report.SHA512MiBPerSec = hashSpeed()
	for _, size := range sizes {
		b := &bench{o: o, size: size}
		put, err := b.measure(ctx, "put", b.put)
		if err != nil {
			return err
		}
		get, err := b.measure(ctx, "get", b.get)
		if err != nil {
			return err
		}
		report.Rows = append(report.Rows, put, get)
	}
	return show(cmd, report, func(w io.Writer) { printBench(w, report) })
}

func printBench(w io.Writer, r benchReport) {
	_, _ = fmt.Fprintf(w, "this machine: %.0f fsyncs/s (4 KiB appends), SHA-512 %.0f MiB/s on one core; %d requests at once\n\n",
		r.FsyncsPerSecond, r.SHA512MiBPerSec, r.Concurrency)
	table(w, "KIND\tSIZE\tOPS\tFAILED\tOPS/S\tMIB/S\tP50 MS\tP99 MS\tSERVER CPU MS/OP", func(line func(string, ...any)) {
		for _, x := range r.Rows {
			line("%s\t%s\t%d\t%d\t%.0f\t%.1f\t%.1f\t%.1f\t%.2f", x.Kind, sizeText(x.SizeBytes), x.Ops, x.Failed, x.OpsPerSec, x.MiBPerSec, x.P50Millis, x.P99Millis, x.ServerCPUMillisPerOp)
		}
	})
}

func parseSizes(list []string) ([]int64, error) {
	units := []struct {
		suffix string
		factor int64
	}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"", 1}}
	var sizes []int64
	for _, s := range list {
		for _, u := range units {
			if digits, ok := strings.CutSuffix(s, u.suffix); ok {
				n, err := strconv.ParseInt(digits, 10, 40)
				if err != nil || n < 1 {
					return nil, fmt.Errorf("sizes: %q is not a size such as 64KiB", s)
				}
				sizes = append(sizes, n*u.factor)
				break
			}
		}
	}
	return sizes, nil
}

func sizeText(n int64) string {
	switch {
	case n >= 1<<20 && n%(1<<20) == 0:
		return fmt.Sprintf("%d MiB", n>>20)
	case n >= 1<<10 && n%(1<<10) == 0:
		return fmt.Sprintf("%d KiB", n>>10)
	}
	return fmt.Sprintf("%d B", n)
}

// fsyncRate is how often a second this disk makes an append durable.
func fsyncRate(dir string) (float64, error) {
	f, err := os.Create(filepath.Join(dir, "ringbin-bench-fsync"))
	if err != nil {
		return 0, err
	}
	defer func() { _ = errors.Join(f.Close(), os.Remove(f.Name())) }() // measured already
	block := make([]byte, 4096)
	start := time.Now()
	for range benchFsyncs {
		if _, err := f.Write(block); err != nil {
			return 0, err
		}
		if err := f.Sync(); err != nil {
			return 0, err
		}
	}
	return benchFsyncs / time.Since(start).Seconds(), nil
}

func hashSpeed() float64 {
	block := make([]byte, 1<<20)
	h := sha512.New()
	start := time.Now()
	for range benchHashBytes >> 20 {
		_, _ = h.Write(block) // never fails
	}
	return (benchHashBytes >> 20) / time.Since(start).Seconds()
}

// bench measures one size.
type bench struct {
	o    *benchOptions
	size int64

	mu   sync.Mutex // protects cids
	cids []storage.CID
	next atomic.Int64
}

// measure runs one kind of request from many goroutines for the time.
func (b *bench) measure(ctx context.Context, kind string, once func(context.Context, *client) error) (benchRow, error) {
	row := benchRow{Kind: kind, SizeBytes: b.size}
	before, cpuErr := b.o.serverCPU(ctx)
	until := time.Now().Add(b.o.duration)
	start := time.Now()
	var mu sync.Mutex
	var took []time.Duration
	var firstErr error
	var wg sync.WaitGroup
	for i := range b.o.concurrency {
		c, err := b.o.client.client()
		if err != nil {
			return row, err
		}
		c.next = i
		wg.Go(func() {
			for time.Now().Before(until) && ctx.Err() == nil {
				t := time.Now()
				err := once(ctx, c)
				c.next++
				mu.Lock()
				if err != nil {
					row.Failed++
					firstErr = errors.Join(firstErr, err)
				} else {
					took = append(took, time.Since(t))
				}
				mu.Unlock()
				if err != nil {
					return
				}
			}
		})
	}
	wg.Wait()
	elapsed := time.Since(start).Seconds()
	if len(took) == 0 {
		return row, fmt.Errorf("no %s of %s worked: %w", kind, sizeText(b.size), firstErr)
	}
	slices.Sort(took)
	row.Ops = len(took)
	row.OpsPerSec = float64(row.Ops) / elapsed
	row.MiBPerSec = row.OpsPerSec * float64(b.size) / (1 << 20)
	row.P50Millis = float64(took[len(took)/2].Microseconds()) / 1000
	row.P99Millis = float64(took[len(took)*99/100].Microseconds()) / 1000
	row.ServerCPUMillisPerOp = -1
	if after, err := b.o.serverCPU(ctx); err == nil && cpuErr == nil && len(b.o.adminURLs) > 0 {
		row.ServerCPUMillisPerOp = (after - before) * 1000 / float64(row.Ops)
	}
	return row, nil
}

func (b *bench) put(ctx context.Context, c *client) error {
	content := make([]byte, b.size)
	_, _ = rand.Read(content) // never fails
	cid := storage.SumCID(content)
	resp, err := c.do(ctx, request{
		method: http.MethodPost, path: "/api/content", write: true,
		header: map[string]string{"Content-Type": "application/octet-stream", "X-Content-Hash": cid.String(), "X-Retention-Days": "30"},
		body:   func() (io.ReadCloser, int64, error) { return io.NopCloser(bytes.NewReader(content)), b.size, nil },
	})
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, resp.Body)
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		return err
	}
	b.mu.Lock()
	b.cids = append(b.cids, cid)
	b.mu.Unlock()
	return nil
}

func (b *bench) get(ctx context.Context, c *client) error {
	cid := b.cids[int(b.next.Add(1))%len(b.cids)]
	return fetch(ctx, c, cid, io.Discard)
}

// serverCPU adds up the CPU seconds that the nodes have used.
func (o *benchOptions) serverCPU(ctx context.Context) (float64, error) {
	var sum float64
	for _, u := range o.adminURLs {
		s, err := cpuSeconds(ctx, strings.TrimRight(u, "/")+"/metrics")
		if err != nil {
			return 0, err
		}
		sum += s
	}
	return sum, nil
}

func cpuSeconds(ctx context.Context, url string) (float64, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, err
	}
	resp, err := (&http.Client{Timeout: connectWithin}).Do(req)
	if err != nil {
		return 0, err
	}
	defer func() { _ = resp.Body.Close() }()
	lines := bufio.NewScanner(io.LimitReader(resp.Body, answerMax))
	for lines.Scan() {
		if v, ok := strings.CutPrefix(lines.Text(), "process_cpu_seconds_total "); ok {
			return strconv.ParseFloat(v, 64)
		}
	}
	return 0, errors.Join(lines.Err(), fmt.Errorf("%s has no process_cpu_seconds_total", url))
}
