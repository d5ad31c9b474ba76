package testcluster

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// Chaos is how a run with faults goes.
type Chaos struct {
	Seed     uint64
	Time     time.Duration
	Spenders int
	// Kinds of faults that have to be seen; the run goes on until they were.
	// 0: all.
	Kinds int
	// Only, when not empty, are the faults that may happen, by name.
	Only []string
	// RetriedLeast is how many operations must have been tried with an unknown
	// outcome and answered by another node: a run with fewer proves nothing
	// about retries.
	RetriedLeast int
	// RefillBytes, when above 0, is how much content one node gets back after
	// its blobs were wiped, at the end, with the time measured.
	RefillBytes int64
}

// Report is what a run with faults shows.
type Report struct {
	Seed         uint64         `json:"seed"`
	Seconds      float64        `json:"seconds"`
	Nodes        int            `json:"nodes"`
	Writes       int            `json:"acknowledged_writes"`
	Reads        int            `json:"content_reads"`
	Unknown      int64          `json:"tries_with_unknown_outcome"`
	Retried      int64          `json:"unknown_outcomes_retried_elsewhere"`
	Burned       int64          `json:"burned_pastes"`
	Unread       int64          `json:"burned_for_nobody"`
	ReadMore     int64          `json:"burned_and_read_more_than_once"`
	History      Verdict        `json:"history"`
	Audit        Audit          `json:"audit"`
	Faults       map[string]int `json:"faults"`
	Losses       int            `json:"leader_losses"`
	GapP50       float64        `json:"failover_gap_p50_seconds"`
	GapP99       float64        `json:"failover_gap_p99_seconds"`
	GapMax       float64        `json:"failover_gap_max_seconds"`
	ReadGapMax   float64        `json:"read_gap_max_seconds"` // while some node was up
	RefillBytes  int64          `json:"refill_bytes"`
	Refill       float64        `json:"refill_seconds"`
	RefillPerGiB float64        `json:"refill_seconds_per_gib"`
	Replayed     Replay         `json:"replay"`
}

// gapAfter is how long after the loss of a leader a gap may begin that counts as its.
const gapAfter = 3 * time.Second

// RunChaos lets faults happen one after the other while clients work, mends them,
// and holds the cluster to its word.
func (c *Cluster) RunChaos(o Chaos) Report {
	c.tb.Helper()
	r := rand.New(rand.NewPCG(o.Seed, 0))
	w := c.StartWorkload(o.Spenders, o.Seed)
	w.More(20)
	rep := Report{Seed: o.Seed, Nodes: c.Len(), Faults: map[string]int{}}
	run := &chaosRun{c: c, w: w, r: r, rep: &rep}
	var deck []int
	for i, f := range Faults {
		if len(o.Only) == 0 || slices.Contains(o.Only, f.Name) {
			deck = append(deck, i)
		}
	}
	kinds := o.Kinds
	if kinds == 0 {
		kinds = len(deck)
	}
	r.Shuffle(len(deck), func(i, j int) { deck[i], deck[j] = deck[j], deck[i] })
	for k := 0; k < kinds || w.Elapsed() < o.Time || w.Retried.Load() < int64(o.RetriedLeast) && w.Elapsed() < 2*o.Time; k++ {
		if k > 0 && k%len(deck) == 0 {
			r.Shuffle(len(deck), func(i, j int) { deck[i], deck[j] = deck[j], deck[i] })
		}
		run.fault(Faults[deck[k%len(deck)]], target(r))
		if c.tb.Failed() {
			break
		}
	}
	rep.Seconds = w.Elapsed().Seconds()
	c.Finish(w, o, &rep)
	run.gaps()
	return rep
}

func target(r *rand.Rand) Target { return []Target{Leader, Follower, Owner}[r.IntN(3)] }

// chaosRun is a run under way.
type chaosRun struct {
	c      *Cluster
	w      *Workload
	r      *rand.Rand
	rep    *Report
	losses []time.Duration // when a leader was lost
	rests  []span          // in which clients rested
	away   []span          // in which no node was up
}

// span is a time of a workload, from its first moment to its last.
type span [2]time.Duration

// overlaps reports whether a span has something in common with one of others.
func (s span) overlaps(others []span) bool {
	return slices.ContainsFunc(others, func(o span) bool { return s[0] < o[1] && o[0] < s[1] })
}

// RunFaults lets faults happen at the same time, each to a target, mends them,
// and holds the cluster to its word. It is one row of the matrix, or a pair.
func (c *Cluster) RunFaults(o Chaos, faults []Fault, targets []Target) Report {
	c.tb.Helper()
	r := rand.New(rand.NewPCG(o.Seed, 0))
	w := c.StartWorkload(o.Spenders, o.Seed)
	w.More(10)
	rep := Report{Seed: o.Seed, Nodes: c.Len(), Faults: map[string]int{}}
	run := &chaosRun{c: c, w: w, r: r, rep: &rep}
	if slices.ContainsFunc(faults, func(f Fault) bool { return f.Whole }) {
		run.whole()
	}
	sites := make([]*faultSite, len(faults))
	for i := range faults {
		sites[i] = c.site(w, targets[i], r) // before any: it may leave nobody up to tell who leads
	}
	var mends []func()
	for i, f := range faults {
		rep.Faults[f.Name]++
		mends = append(mends, f.do(sites[i]))
		sites[i].moment()
	}
	time.Sleep(time.Duration(500+r.IntN(1500)) * time.Millisecond)
	for _, mend := range mends {
		mend()
	}
	c.WaitReady()
	w.More(10)
	rep.Seconds = w.Elapsed().Seconds()
	c.Finish(w, o, &rep)
	return rep
}

// fault lets one fault happen, and returns once it is mended and writes go on.
func (run *chaosRun) fault(f Fault, t Target) {
	run.c.tb.Helper()
	if f.Whole {
		run.whole()
	}
	site := run.c.site(run.w, t, run.r)
	at := run.w.Elapsed()
	if f.Losing && (t == Leader || f.Single) {
		run.losses = append(run.losses, at)
	}
	run.rep.Faults[f.Name]++
	run.c.tb.Logf("%6.2f s: %s, node %d, %s", at.Seconds(), f.Name, site.i, t)
	mend := f.do(site)
	// How long a fault lasts is chosen, not waited for: some outlast an
	// election and some do not.
	time.Sleep(time.Duration(run.r.IntN(1500)) * time.Millisecond)
	mend()
	run.c.WaitReady()
	if f.Whole {
		run.whole()
	}
	run.w.More(10)
	if f.All {
		run.away = append(run.away, span{at, run.w.Elapsed()})
	}
}

// whole returns once every copy is where it belongs; clients rest meanwhile.
func (run *chaosRun) whole() {
	run.c.tb.Helper()
	from := run.w.Elapsed()
	resume := run.w.Pause()
	defer resume()
	run.c.WaitConverged()
	run.rests = append(run.rests, span{from, run.w.Elapsed()})
}

// gaps measures how long nothing was written around each loss of the leader, and
// how long nothing was read while nodes were up. Clients that rest are no gap.
func (run *chaosRun) gaps() {
	var gaps []time.Duration
	for _, at := range run.losses {
		gaps = append(gaps, run.w.WriteGap(span{at, at + gapAfter}, run.rests))
	}
	slices.Sort(gaps)
	run.rep.Losses = len(gaps)
	if n := len(gaps); n > 0 {
		run.rep.GapP50, run.rep.GapP99, run.rep.GapMax = gaps[n/2].Seconds(), gaps[(n*99+99)/100-1].Seconds(), gaps[n-1].Seconds()
	}
	whole := span{0, time.Duration(run.rep.Seconds * float64(time.Second))}
	run.rep.ReadGapMax = run.w.ReadGap(whole, slices.Concat(run.rests, run.away)).Seconds()
}

// Finish stops a workload and judges all that happened. Failing histories and
// the journal are saved.
func (c *Cluster) Finish(w *Workload, o Chaos, rep *Report) {
	c.tb.Helper()
	c.Heal()
	for i := range c.nodes {
		c.SetClock(i, 0)
		if disk := c.nodes[i].disk; disk != nil {
			disk.Set(Trouble{})
		}
		c.Restart(i)
	}
	c.WaitReady()
	if err := w.Stop(); err != nil {
		c.tb.Error(err)
	}
	c.WaitConverged()
	rep.Writes, rep.Reads = w.Acknowledged()
	rep.Unknown, rep.Retried = w.Unknown.Load(), w.Retried.Load()
	rep.Burned, rep.Unread, rep.ReadMore = w.Burned.Load(), w.Unread.Load(), w.ReadMore.Load()
	rep.History = w.History.Check()
	for _, v := range rep.History.Violations {
		c.tb.Errorf("I4: no order explains what clients saw of %s", v)
	}
	if rep.Retried < int64(o.RetriedLeast) {
		c.tb.Errorf("%d operations with an unknown outcome were retried elsewhere, want %d: the run proves nothing about them", rep.Retried, o.RetriedLeast)
	}
	if o.RefillBytes > 0 {
		c.refill(o, rep)
	}
	rep.Audit = w.Audit()
	rep.Replayed = c.replayLog(rand.New(rand.NewPCG(o.Seed, 1)))
	if c.tb.Failed() {
		c.tb.Logf("the history is kept in %s", w.History.Save(c.tb))
	}
}

// refill measures how long a node takes to get its copies back.
func (c *Cluster) refill(o Chaos, rep *Report) {
	c.tb.Helper()
	_, key := c.Account(1_000_000)
	r := rand.New(rand.NewPCG(o.Seed, 2))
	const each = 1 << 20
	for n := int64(0); n < o.RefillBytes; n += each {
		b := make([]byte, each)
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		if _, _, err := c.Client(0, key).Put(b, retentionDays); err != nil {
			c.tb.Errorf("upload: %v", err)
			return
		}
	}
	c.WaitConverged()
	i := (c.WaitLeader() + 1) % c.Len()
	c.WipeBlobs(i)
	start := time.Now()
	c.Restart(i)
	c.waitUntil(convergeWait, "copies back", func() string {
		if n := c.running(i); !n.Settled() {
			return fmt.Sprintf("%+v", n.Replication())
		}
		return ""
	})
	rep.Refill = time.Since(start).Seconds()
	rep.RefillBytes = c.held(i) // less than before: garbage does not come back
	if rep.RefillBytes < o.RefillBytes {
		c.tb.Errorf("%d bytes came back of %d", rep.RefillBytes, o.RefillBytes)
	}
	rep.RefillPerGiB = rep.Refill / float64(rep.RefillBytes) * (1 << 30)
	c.WaitConverged()
}

// held returns the bytes of the copies on a node.
func (c *Cluster) held(i int) int64 {
	a, err := c.Operator(i).Do("GET", "/api/admin/cluster", nil, nil)
	if err != nil {
		return 0
	}
	var s struct {
		Node  string
		Nodes []struct {
			ID    string
			Bytes int64
		}
	}
	if a.JSON(&s) != nil {
		return 0
	}
	for _, n := range s.Nodes {
		if n.ID == s.Node {
			return n.Bytes
		}
	}
	return 0
}

// Print writes a report for people, and as one line of JSON.
func (rep Report) Print(to io.Writer) {
	var w bytes.Buffer
	line := func(name string, v any) { fmt.Fprintf(&w, "  %-46s %v\n", name, v) }
	fmt.Fprintf(&w, "chaos: %d nodes, %.0f s, seed %d\n", rep.Nodes, rep.Seconds, rep.Seed)
	line("operations acknowledged", rep.Writes)
	line("contents acknowledged, and lost", fmt.Sprintf("%d, %d", rep.Audit.Blobs, rep.Audit.Lost))
	line("likewise, lost with any one node stopped", rep.Audit.LostWithout)
	line("ledger entries joined with the journal", rep.Audit.Entries)
	line("double charges, lost charges", fmt.Sprintf("%d, %d", rep.Audit.DoubleCharges, rep.Audit.LostCharges))
	line("unknown outcomes, retried elsewhere", fmt.Sprintf("%d, %d", rep.Unknown, rep.Retried))
	line("pastes burned, got by nobody, by more than one", fmt.Sprintf("%d, %d, %d", rep.Burned, rep.Unread, rep.ReadMore))
	line("operations in the history, of objects", fmt.Sprintf("%d, %d", rep.History.Operations, rep.History.Objects))
	line("strong reads checked, violations, undecided", fmt.Sprintf("%d, %d, %d", rep.History.Reads, len(rep.History.Violations), rep.History.Undecided))
	line("copies on disks, garbage in grace, beyond it", fmt.Sprintf("%d, %d, %d", rep.Audit.Copies, rep.Audit.Garbage, rep.Audit.GarbageLate))
	line("log entries replayed, ways, other states", fmt.Sprintf("%d, %d, %d", rep.Replayed.Entries, rep.Replayed.Ways, rep.Replayed.Differ))
	line("write gap around a lost leader, p50/p99/max", fmt.Sprintf("%.2f/%.2f/%.2f s of %d", rep.GapP50, rep.GapP99, rep.GapMax, rep.Losses))
	line("read gap, max", fmt.Sprintf("%.2f s in %d reads", rep.ReadGapMax, rep.Reads))
	if rep.RefillBytes > 0 {
		line("full copies after a node lost its blobs", fmt.Sprintf("%.2f s for %d MiB, %.0f s per GiB", rep.Refill, rep.RefillBytes>>20, rep.RefillPerGiB))
	}
	total := 0
	for _, n := range rep.Faults {
		total += n
	}
	fmt.Fprintf(&w, "  %d faults of %d kinds of %d\n", total, len(rep.Faults), len(Faults))
	for _, name := range slices.Sorted(maps.Keys(rep.Faults)) {
		fmt.Fprintf(&w, "    %-24s%s %d\n", name, strings.Repeat(" ", 20), rep.Faults[name])
	}
	if b, err := json.Marshal(rep); err == nil {
		fmt.Fprintf(&w, "%s\n", b)
	}
	_, _ = to.Write(w.Bytes()) // a test's own output
}
