package testcluster_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"ringbin/storage"
	"ringbin/testcluster"
)

// Numbers of the failover measurement.
const (
	failoverWriters   = 16
	failoverBytes     = 1 << 10
	failoverKills     = 2  // in a short run
	failoverKillsLong = 16 // with RINGBIN_CHAOS

	readEvery = 5 * time.Millisecond
)

// TestProcessFailover kills the leader again and again under load: reads never
// stop, no client is refused, and the figures are printed.
func TestProcessFailover(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the command line and starts processes")
	}
	kills, steady, away := failoverKills, time.Second, 2*time.Second
	if long() {
		kills, steady, away = failoverKillsLong, 3*time.Second, 4*time.Second
	}
	p := testcluster.StartProcesses(t, testcluster.Build(t), 3)
	w := p.StartWriters(testcluster.WritersOptions{N: failoverWriters, Size: failoverBytes, Key: p.Account(100_000_000)})
	waitWrites(t, w, 100)
	before := p.Acked()
	var gaps, byWriter, readGaps []time.Duration
	var rates [3]float64
	for range kills {
		leader := p.WaitLeader()
		// Readers are there all the time: rates are compared under the same load.
		readers := []*steadyReader{
			readSteadily(t, p, (leader+1)%3, before), readSteadily(t, p, (leader+2)%3, before),
		}
		start := time.Now()
		time.Sleep(steady) // the steady state is what is measured
		killed := time.Now()
		p.Kill(leader)
		time.Sleep(away)
		back := time.Now()
		all, each := w.Gaps(killed, back)
		gaps, byWriter = append(gaps, all), append(byWriter, each...)
		rates[0] += w.Rate(start, killed) / float64(kills)
		rates[1] += w.Rate(killed.Add(away/2), back) / float64(kills)
		p.Start(leader)
		p.WaitReady()
		ready := time.Now()
		time.Sleep(steady)
		rates[2] += w.Rate(ready, time.Now()) / float64(kills)
		for _, r := range readers {
			readGaps = append(readGaps, r.end())
		}
		t.Logf("leader n%d killed: no write for %s, no write of one writer for %s at most",
			leader, all.Round(time.Millisecond), slices.Max(each).Round(time.Millisecond))
	}
	if err := w.End(); err != nil {
		t.Error(err)
	}
	t.Logf("%d kills of the leader under %d writers of %d bytes: %d acknowledged, %d connections lost with the killed node",
		kills, failoverWriters, failoverBytes, w.Count(), w.Lost())
	t.Logf("write gap: %s; of single writers: %s; read gap on the nodes that stayed: %s", spread(gaps), spread(byWriter), spread(readGaps))
	t.Logf("writes a second: %.0f before, %.0f with one node away, %.0f after", rates[0], rates[1], rates[2])
	if n, texts := w.Refused(); n > 0 {
		t.Errorf("%d requests were refused: %v", n, texts)
	}
	if most := slices.Max(gaps); most > gapMost {
		t.Errorf("nothing was written for %s", most)
	}
	p.Check()
	stopProcesses(p)
}

// waitWrites returns once the writers have n acknowledgements more.
func waitWrites(t *testing.T, w *testcluster.Writers, n int) {
	t.Helper()
	until, late := w.Count()+n, time.Now().Add(uploadMost)
	for w.Count() < until {
		if time.Now().After(late) {
			t.Fatalf("%d of %d uploads acknowledged in %s", w.Count(), until, uploadMost)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// spread is the median, the 99th percentile and the largest.
func spread(d []time.Duration) string {
	d = slices.Sorted(slices.Values(d))
	round := func(d time.Duration) string { return d.Round(time.Millisecond).String() }
	return "p50 " + round(d[len(d)/2]) + ", p99 " + round(d[len(d)*99/100]) + ", max " + round(d[len(d)-1])
}

// steadyReader reads what was acknowledged before through one node, over and
// over, and fails the test with the first read that does not succeed.
type steadyReader struct {
	t      *testing.T
	node   int
	cancel context.CancelFunc
	wg     sync.WaitGroup
	reads  int
	gap    time.Duration
	err    error
}

func readSteadily(t *testing.T, p *testcluster.Processes, node int, cids []storage.CID) *steadyReader {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	r := &steadyReader{t: t, node: node, cancel: cancel}
	c := p.Client(node, "")
	r.wg.Go(func() {
		last := time.Now()
		for ; ctx.Err() == nil; r.reads++ {
			if _, r.err = c.Get(cids[r.reads%len(cids)]); r.err != nil { //nolint:contextcheck // each request has its own time
				return
			}
			now := time.Now()
			r.gap, last = max(r.gap, now.Sub(last)), now
			time.Sleep(readEvery) // reads are to go on, not to take the machine
		}
	})
	return r
}

// end returns the longest time between two reads.
func (r *steadyReader) end() time.Duration {
	r.t.Helper()
	r.cancel()
	r.wg.Wait()
	if r.err != nil {
		r.t.Errorf("read %d through node %d, which stayed: %v", r.reads, r.node, r.err)
	}
	if r.reads == 0 {
		r.t.Errorf("no reads through node %d", r.node)
	}
	return r.gap
}
