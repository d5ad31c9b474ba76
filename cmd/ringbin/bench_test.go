package main

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"ringbin/node"
	"ringbin/storage"
)

func TestParseSizes(t *testing.T) {
	t.Parallel()
	got, err := parseSizes([]string{"65", "1KiB", "64KiB", "3MiB", "1GiB"})
	if diff := cmp.Diff([]int64{65, 1 << 10, 64 << 10, 3 << 20, 1 << 30}, got); err != nil || diff != "" {
		t.Error(err, diff)
	}
	for _, s := range []string{"", "x", "1KB", "-1", "0", "64", "2GiB", "1.5KiB", "99999999999999GiB"} {
		if got, err := parseSizes([]string{s}); err == nil || !strings.HasPrefix(err.Error(), "sizes: ") {
			t.Errorf("%q: %v, %v", s, got, err)
		}
	}
}

// What is put is named right although only its end is hashed each time, and is
// never put twice.
func TestTemplateNames(t *testing.T) {
	t.Parallel()
	for _, size := range []int64{65, 1 << 10, 1<<20 + 1} {
		template := newTemplate(size)
		seen := map[storage.CID]bool{}
		for range 3 {
			cid, tail, err := template.next()
			if err != nil {
				t.Fatal(err)
			}
			if want := storage.SumCID(append(slices.Clip(template.head), tail...)); cid != want || cid.Size() != size {
				t.Errorf("%d bytes are named %s, not %s", size, cid, want)
			}
			seen[cid] = true
		}
		if len(seen) != 3 {
			t.Errorf("%d contents of %d bytes, not 3", len(seen), size)
		}
	}
}

// slowly is a load whose every request takes so long.
func slowly(l load, took time.Duration) load {
	l.prepare = func(*loadWorker) (send, error) {
		return func(ctx context.Context) error {
			pause(ctx, took)
			return nil
		}, nil
	}
	return l
}

func run(t *testing.T, l load) loadResult {
	t.Helper()
	r, err := l.run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// In a closed loop a slow answer only means that the next request is later.
func TestClosedLoop(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := run(t, slowly(load{concurrency: 2, duration: time.Second}, 100*time.Millisecond))
		if r.ops != 20 || r.failed != 0 || r.elapsed != time.Second {
			t.Errorf("%d done, %d failed in %s", r.ops, r.failed, r.elapsed)
		}
		if p50, most := r.hist.ValueAtQuantile(50), r.hist.Max(); p50 < 99_000 || most > 101_000 {
			t.Errorf("between %d and %d us", p50, most)
		}
	})
}

// In an open loop requests go on being due while answers are late, and their
// wait counts: a server that takes 100 ms for what comes every 50 ms gets further
// and further behind.
func TestOpenLoopOmitsNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := run(t, slowly(load{concurrency: 1, duration: time.Second, rate: 20}, 100*time.Millisecond))
		if r.ops != 20 || r.elapsed != 2*time.Second {
			t.Errorf("%d done in %s", r.ops, r.elapsed)
		}
		if most := r.hist.Max(); most < 1_040_000 || most > 1_060_000 { // due at 950 ms, answered at 2 s
			t.Errorf("the last one took %d us", most)
		}
		enough := run(t, slowly(load{concurrency: 4, duration: time.Second, rate: 20}, 100*time.Millisecond))
		if most := enough.hist.Max(); enough.ops != 20 || most > 101_000 {
			t.Errorf("with workers enough %d are done, and one took %d us", enough.ops, most)
		}
	})
}

func TestLoadEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		if r := run(t, slowly(load{concurrency: 4, duration: time.Hour, opsMax: 10}, time.Second)); r.ops != 10 || r.elapsed > 3*time.Second {
			t.Errorf("%d done in %s, not 10", r.ops, r.elapsed)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := slowly(load{concurrency: 2, duration: time.Hour, rate: 1}, time.Minute).run(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("cancelled: %v", err)
		}
	})
}

// What fails is counted, told, and in no latency.
func TestLoadCountsFailures(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var n atomic.Int64
		l := load{concurrency: 1, duration: time.Hour, opsMax: 10, prepare: func(*loadWorker) (send, error) {
			return func(context.Context) error {
				if n.Add(1)%2 == 0 {
					return errors.New("no")
				}
				return nil
			}, nil
		}}
		r := run(t, l)
		if r.ops != 5 || r.failed != 5 || r.firstErr == nil || r.hist.TotalCount() != 5 {
			t.Errorf("%d done, %d failed (%v), %d latencies", r.ops, r.failed, r.firstErr, r.hist.TotalCount())
		}
	})
}

func TestKeySpread(t *testing.T) {
	t.Parallel()
	const draws = 20_000
	share := func(keys string) float64 {
		c := &content{cids: make([]storage.CID, 100)}
		c.freeze(keys)
		rng := rand.New(rand.NewPCG(1, 1))
		first := 0
		for range draws {
			if i := c.choose(rng); i >= 100 {
				t.Fatalf("%s: %d of 100", keys, i)
			} else if i == 0 {
				first++
			}
		}
		return float64(first) / draws
	}
	if s := share(keysUniform); math.Abs(s-0.01) > 0.005 {
		t.Errorf("uniform: the first of 100 has %g", s)
	}
	if s := share(keysZipf); s < 0.1 {
		t.Errorf("zipf: the first of 100 has only %g", s)
	}
}

func TestParseMetrics(t *testing.T) {
	t.Parallel()
	const page = `# HELP a b
# TYPE a counter
a 1
b{by="x y",c="d"} 2.5e+06

c NaN
`
	got, err := parseMetrics(strings.NewReader(page))
	if err != nil || got["a"] != 1 || got[`b{by="x y",c="d"}`] != 2.5e6 || len(got) != 3 {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := parseMetrics(strings.NewReader("a b\n")); err == nil {
		t.Error("a text is no number")
	}
}

// samples of two nodes before a put of 100 bytes to each, after it, and at rest.
func samples() (before, after, settled sample) {
	of := func(cpu, written, stored, unflushed, flushed float64) map[string]float64 {
		return map[string]float64{
			metricCPU: cpu, metricWritten: written, metricStored: stored, metricUnflushed: unflushed,
			metricStoreBy + `flush"}`: flushed, metricRounds: written / 100, metricCommands: cpu,
		}
	}
	before = sample{of(1, 100, 0, 0, 0), of(2, 0, 50, 10, 5)}
	after = sample{of(3, 300, 100, 100, 0), of(3, 100, 150, 110, 5)}
	settled = sample{of(4, 500, 100, 50, 100), of(3, 200, 150, 60, 105)}
	return before, after, settled
}

func TestRowOfSamples(t *testing.T) {
	t.Parallel()
	before, after, settled := samples()
	row := benchRow{Kind: workPut, Ops: 10, WrittenPerByte: -1, CommandsPerRound: -1}
	row.use(before, after)
	row.settle(before, after, settled)
	want := benchRow{
		Kind: workPut, Ops: 10, ServerCPUMicros: 300_000, AfterCPUMicros: 100_000,
		WrittenPerByte:      3.5, // 600 written, 100 still to be
		StoreWrittenPerByte: map[string]float64{"flush": 1, "unflushed": 0.5},
		CommandsPerRound:    1, // 3 commands in 3 rounds
	}
	if diff := cmp.Diff(want, row); diff != "" {
		t.Error(diff)
	}
	// A node that began anew, or none that are known: nothing is said.
	for _, s := range [][2]sample{{after, before}, {sample{}, sample{}}} {
		row := benchRow{Ops: 10, WrittenPerByte: -1, CommandsPerRound: -1}
		row.use(s[0], s[1])
		row.settle(s[0], s[1], s[1])
		if row.ServerCPUMicros != -1 || row.WrittenPerByte != -1 || row.CommandsPerRound != -1 {
			t.Errorf("%+v", row)
		}
	}
}

// What is measured is the ring that stays: no part of it moves, and no member
// is still to get its own.
func TestIsSettled(t *testing.T) {
	t.Parallel()
	settled := func(nodes int) *node.ClusterStatus {
		s := &node.ClusterStatus{RingVersion: 1, R: min(3, nodes)}
		for i := range nodes {
			s.Nodes = append(s.Nodes, node.MemberStatus{Alive: true, Voter: i < 5 && nodes != 4 || i < 3, Partitions: 1})
		}
		return s
	}
	for _, nodes := range []int{1, 3, 4, 5, 7} {
		if !isSettled(settled(nodes), nodes) {
			t.Errorf("%d nodes are not settled", nodes)
		}
		for name, change := range map[string]func(*node.ClusterStatus){
			"no ring":       func(s *node.ClusterStatus) { s.RingVersion = 0 },
			"a next ring":   func(s *node.ClusterStatus) { s.NextRing = 2 },
			"too few":       func(s *node.ClusterStatus) { s.Nodes = s.Nodes[1:] },
			"fewer copies":  func(s *node.ClusterStatus) { s.R-- },
			"one is down":   func(s *node.ClusterStatus) { s.Nodes[0].Alive = false },
			"one is empty":  func(s *node.ClusterStatus) { s.Nodes[nodes-1].Partitions = 0 },
			"one less vote": func(s *node.ClusterStatus) { s.Nodes[0].Voter = false },
		} {
			s := settled(nodes)
			if change(s); isSettled(s, nodes) {
				t.Errorf("%d nodes, %s: settled", nodes, name)
			}
		}
	}
}

func TestGoals(t *testing.T) {
	t.Parallel()
	floor := func(kind string, size int64, cpu float64) benchRow {
		return benchRow{Kind: "floor " + kind, SizeBytes: size, ServerCPUMicros: cpu}
	}
	r := &benchReport{
		Floors: []benchRow{floor(workGet, kib, 25), floor(workPut, kib, 30), floor(workGet, mib, 250), floor(workPut, mib, 500)},
		Rows: []benchRow{
			{Kind: workPut, SizeBytes: kib, ServerCPUMicros: 600, WrittenPerByte: 3.5, CommandsPerRound: 20},
			{Kind: workGet, SizeBytes: kib, ServerCPUMicros: 100, WrittenPerByte: -1},
			{Kind: workPut, SizeBytes: 16 * mib, ServerCPUMicros: 64_000, WrittenPerByte: 1.1},
		},
		BusyBytes: 301 * mib,
	}
	got := map[string]string{}
	for _, g := range goalsOf(r) {
		got[g.Name] = g.want() + ": " + g.result()
	}
	want := map[string]string{
		"CPU of put 1 KiB":             "<= 20x = 600 us: met",
		"CPU of get 1 KiB":             "<= 3x = 75 us: short: 1.33x of it",
		"CPU of put 16 MiB":            "<= 64000 us: met",
		"written per byte, 1 KiB":      "<= 3.00 B/B: short: 1.17x of it",
		"written per byte, 16 MiB":     "<= 1.10 B/B: met",
		"commands in a log append":     ">= 24 : short: 0.83 of it",
		"memory, 16 uploads of 64 MiB": "<= 300 MiB: short: 1.00x of it",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
