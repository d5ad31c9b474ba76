package testcluster_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"ringbin/cluster"
	"ringbin/storage"
	"ringbin/testcluster"
)

// Sizes of a run of TestSim. Memory that a simulation used is given back late,
// so that a process has few of them.
const (
	simSeeds      = 2  // in every run of the tests
	simSeedsMost  = 10 // in a longer one
	simClients    = 4
	simOpWait     = 2 * time.Minute // virtual: an upload that takes longer is stuck
	simPauseMost  = 800             // milliseconds between two operations of a client
	simBlobsKnown = 200             // that a client reads again
)

// simTuning makes snapshots, and followers that need one, part of every run.
var simTuning = cluster.Tuning{SnapshotThreshold: 60, SnapshotInterval: 3 * time.Second, TrailingLogs: 40}

// simScenarios are tests of clusters that run in virtual time as well: the
// same functions, on other ground.
var simScenarios = []struct {
	name string
	long bool // only in longer runs
	run  func(t *testing.T)
}{
	{"five nodes", true, TestFiveNodes},
	{"many clients", true, TestManyClients},
	{"poor accounts", true, TestPoorAccounts},
	{"join", false, TestJoin},
	{"uploads are cut off", false, TestUploadsAreCutOff},
	{"leader is killed", true, TestLeaderIsKilled},
	{"all are killed", true, TestAllAreKilled},
	{"no majority", false, TestNoMajority},
	{"node was away", false, TestNodeWasAway},
	{"unknown outcome", false, TestUnknownOutcome},
	{"revoked everywhere", false, TestRevokedEverywhere},
	{"bin updates", false, TestBinUpdates},
	{"burn races", true, TestBurnRaces},
	{"two dead are removed", true, TestTwoDeadAreRemoved},
	{"chaos", true, TestChaos},
}

// TestSimScenarios runs the tests of good and bad days in virtual time.
func TestSimScenarios(t *testing.T) {
	for i, s := range simScenarios {
		if s.long && simTime(t) == 0 {
			continue
		}
		t.Run(s.name, func(t *testing.T) {
			started := time.Now()
			r := testcluster.Simulate(t, uint64(i), s.run)
			t.Logf("%v in %v, %d requests, faults %v", r.Virtual.Round(time.Millisecond), time.Since(started).Round(time.Millisecond), r.Requests, r.Faults)
		})
	}
}

// simTime is how long the simulations may go on, in real time; 0: a moment.
func simTime(t *testing.T) time.Duration {
	t.Helper()
	s := os.Getenv("RINGBIN_CHAOS_TIME")
	if s == "" {
		return 0
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		t.Fatalf("RINGBIN_CHAOS_TIME: %v", err)
	}
	return d
}

func simSeed(t *testing.T) uint64 {
	t.Helper()
	s := os.Getenv("RINGBIN_CHAOS_SEED")
	if s == "" {
		return rand.Uint64() >> 32
	}
	seed, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		t.Fatalf("RINGBIN_CHAOS_SEED: %v", err)
	}
	return seed
}

// TestSim lets faults happen in virtual time, one seed after the other:
// clients upload, read and ask for balances while machines lose power, disks
// get slow and full, clocks jump and the network does what networks do. What
// clients are told is checked at once; the oracles run at the end of each seed.
// RINGBIN_CHAOS_TIME makes it long, RINGBIN_CHAOS_SEED names the first seed.
func TestSim(t *testing.T) {
	first, span, started := simSeed(t), simTime(t), time.Now()
	seeds := simSeeds
	if span > 0 {
		seeds = simSeedsMost
	}
	faults := map[string]int{}
	var virtual time.Duration
	requests, acked := 0, int64(0)
	for i := range seeds {
		seed := first + uint64(i)
		// In a bubble nobody knows the real time: it is told from here.
		var over atomic.Bool
		timer := time.AfterFunc(span/time.Duration(seeds), func() { over.Store(true) })
		more := func(done int) bool { return span == 0 && done < len(simFaults) || span > 0 && !over.Load() }
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			r := testcluster.Simulate(t, seed, func(t *testing.T) {
				t.Helper()
				acked += simRun(t, seed, more)
			})
			virtual += r.Virtual
			requests += r.Requests
			for f, n := range r.Faults {
				faults[f] += n
			}
		})
		timer.Stop()
		if t.Failed() || span > 0 && time.Since(started) > span {
			break
		}
	}
	var mem runtime.MemStats
	runtime.ReadMemStats(&mem)
	took := time.Since(started)
	t.Logf("seeds from %d; %v virtual in %v, x%.0f; %d requests, %d uploads acknowledged; %d MiB from the system",
		first, virtual.Round(time.Second), took.Round(time.Millisecond), virtual.Seconds()/took.Seconds(), requests, acked, mem.Sys>>20)
	for _, f := range slices.Sorted(maps.Keys(faults)) {
		t.Logf("%4d times: %s", faults[f], f)
	}
}

// simRun is one seed. It returns how many uploads were acknowledged.
func simRun(t *testing.T, seed uint64, more func(done int) bool) int64 {
	t.Helper()
	n := 3
	if seed%3 == 0 {
		n = 5
	}
	rng := rand.New(rand.NewPCG(seed, 10))
	testcluster.SimOf(t).Tune(simTuning)
	c := testcluster.Start(t, n, testcluster.Options{})
	_, key := c.Account(10_000_000)
	l := startSimLoad(t, c, key, seed)
	var deck []int // every kind comes before one comes again
	for done := 0; more(done) && !t.Failed(); done++ {
		time.Sleep(time.Duration(rng.IntN(3000)) * time.Millisecond)
		if len(deck) == 0 {
			deck = rng.Perm(len(simFaults))
		}
		f := simFaults[deck[0]]
		deck = deck[1:]
		if f.nodes > n {
			continue
		}
		c.Sim().Note(f.name)
		mend := f.do(c, rng)
		time.Sleep(time.Duration(rng.IntN(6000)) * time.Millisecond)
		mend()
		if rng.IntN(3) == 0 { // else the next one comes on top of the recovery
			c.WaitReady()
			l.progress(t)
		}
	}
	c.WaitReady()
	l.progress(t)
	l.stop(t)
	return l.acked()
}

// simFault is one thing that goes wrong, and what mends it.
type simFault struct {
	name  string
	nodes int // that a cluster has to have for it
	do    func(c *testcluster.Cluster, r *rand.Rand) (mend func())
}

func anyOf(c *testcluster.Cluster, r *rand.Rand) int { return r.IntN(c.Len()) }

// simFaults are those of [faults], as far as their kinds go, and what only a
// simulation can do.
var simFaults = []simFault{
	{"a machine loses power", 0, func(c *testcluster.Cluster, r *rand.Rand) func() {
		i := anyOf(c, r)
		c.PowerLoss(i)
		return func() { c.Restart(i) }
	}},
	{"the leader loses power", 0, func(c *testcluster.Cluster, _ *rand.Rand) func() {
		i := c.WaitLeader()
		c.PowerLoss(i)
		return func() { c.Restart(i) }
	}},
	{"all lose power", 0, func(c *testcluster.Cluster, _ *rand.Rand) func() {
		var g errgroup.Group
		for i := range c.Len() {
			g.Go(func() error { c.PowerLoss(i); return nil })
		}
		_ = g.Wait()
		return func() { restartAll(c) }
	}},
	{"a node is killed", 0, func(c *testcluster.Cluster, r *rand.Rand) func() {
		i := anyOf(c, r)
		c.Kill(i)
		return func() { c.Restart(i) }
	}},
	{"a node is restarted", 0, func(c *testcluster.Cluster, r *rand.Rand) func() {
		i := anyOf(c, r)
		c.Stop(i)
		return func() { c.Restart(i) }
	}},
	{"a node is isolated", 0, func(c *testcluster.Cluster, r *rand.Rand) func() {
		c.Isolate(anyOf(c, r))
		return c.Heal
	}},
	{"the leader is isolated", 0, func(c *testcluster.Cluster, _ *rand.Rand) func() {
		c.Isolate(c.WaitLeader())
		return c.Heal
	}},
	{"one direction is cut", 0, func(c *testcluster.Cluster, r *rand.Rand) func() {
		from := anyOf(c, r)
		c.Partition(from, (from+1+r.IntN(c.Len()-1))%c.Len())
		return c.Heal
	}},
	{"the leader hears nobody", 0, func(c *testcluster.Cluster, _ *rand.Rand) func() {
		leader := c.WaitLeader()
		for i := range c.Len() {
			if i != leader {
				c.Partition(i, leader)
			}
		}
		return c.Heal
	}},
	{"two halves with a bridge", 5, func(c *testcluster.Cluster, r *rand.Rand) func() {
		who := r.Perm(c.Len()) // the last one sees all
		for _, a := range who[:2] {
			for _, b := range who[2:4] {
				c.Partition(a, b)
				c.Partition(b, a)
			}
		}
		return c.Heal
	}},
	{"the network is bad", 0, func(c *testcluster.Cluster, r *rand.Rand) func() {
		c.Sim().Weather(testcluster.SimWeather{
			Delay: time.Duration(1+r.IntN(100)) * time.Millisecond, Loss: 0.1 * r.Float64(), Reset: 0.01 * r.Float64(),
		})
		return func() { c.Sim().Weather(testcluster.SimWeather{}) }
	}},
	{"leadership is handed over", 0, func(c *testcluster.Cluster, _ *rand.Rand) func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		_ = c.Node(c.WaitLeader()).HandOver(ctx) // it may not be the leader any more
		return func() {}
	}},
	{"a disk is slow", 0, func(c *testcluster.Cluster, r *rand.Rand) func() {
		i := anyOf(c, r)
		c.Sim().SlowDisk(i, time.Duration(1+r.IntN(1000))*time.Millisecond)
		return func() { c.Sim().SlowDisk(i, 0) }
	}},
	{"a disk is full", 0, func(c *testcluster.Cluster, r *rand.Rand) func() {
		i := anyOf(c, r)
		c.Sim().FullDisk(i, true)
		return func() { c.Sim().FullDisk(i, false) }
	}},
	{"a clock jumps", 0, func(c *testcluster.Cluster, r *rand.Rand) func() {
		i := anyOf(c, r)
		c.Sim().Clock(i, time.Duration(r.IntN(7200)-3600)*time.Second)
		return func() { c.Sim().Clock(i, 0) }
	}},
}

func restartAll(c *testcluster.Cluster) {
	for i := range c.Len() {
		c.Restart(i)
	}
}

// simLoad is clients that upload, read and ask for the balance of one account,
// and check what they are told.
type simLoad struct {
	c      *testcluster.Cluster
	key    string
	cancel context.CancelFunc
	group  errgroup.Group

	mu    sync.Mutex // protects the fields below
	known []storage.CID
	tried int64         // uploads begun, one cent each
	acks  int64         // uploads acknowledged
	ack   chan struct{} // has a tick after an upload was acknowledged
}

// simOpening is what the account of a simLoad begins with, in cents.
const simOpening = 10_000_000

func startSimLoad(t *testing.T, c *testcluster.Cluster, key string, seed uint64) *simLoad {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	l := &simLoad{c: c, key: key, cancel: cancel, ack: make(chan struct{}, 1)}
	for w := range simClients {
		r := rand.New(rand.NewPCG(seed, uint64(100+w)))
		l.group.Go(func() error {
			for ctx.Err() == nil {
				if err := l.step(ctx, r); err != nil && ctx.Err() == nil {
					t.Errorf("client %d: %v", w, err) // at once: the others go on meanwhile
					return err
				}
				select {
				case <-ctx.Done():
				case <-time.After(time.Duration(r.IntN(simPauseMost)) * time.Millisecond):
				}
			}
			return nil
		})
	}
	return l
}

func (l *simLoad) step(ctx context.Context, r *rand.Rand) error {
	switch r.IntN(10) {
	case 0:
		return l.balance(r) //nolint:contextcheck // a request has its own time
	case 1, 2, 3:
		return l.read(r) //nolint:contextcheck // a request has its own time
	}
	return l.upload(ctx, r)
}

func (l *simLoad) upload(ctx context.Context, r *rand.Rand) error {
	size := 65 + r.IntN(4000)
	if r.IntN(15) == 0 {
		size = 300 << 10 // several chunks, stored as a file of its own
	}
	b := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{byte(r.Uint32()), byte(r.Uint32()), byte(r.Uint32()), byte(r.Uint32()), byte(r.Uint32())}).Read(b)
	l.mu.Lock()
	l.tried++
	l.mu.Unlock()
	trying, cancel := context.WithTimeout(ctx, simOpWait)
	defer cancel()
	u, err := l.c.PutUntil(trying, anyOf(l.c, r), l.key, b, 30)
	if err != nil {
		return fmt.Errorf("upload: %w", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.acks++
	if l.known = append(l.known, u.CID); len(l.known) > simBlobsKnown {
		l.known = l.known[1:]
	}
	select {
	case l.ack <- struct{}{}:
	default:
	}
	return nil
}

// read reads what was acknowledged. A node may be unable to answer, but it must
// not say that the content is not there (I1).
func (l *simLoad) read(r *rand.Rand) error {
	l.mu.Lock()
	known := l.known
	l.mu.Unlock()
	if len(known) == 0 {
		return nil
	}
	cid := known[r.IntN(len(known))]
	_, err := l.c.Client(anyOf(l.c, r), "").Get(cid)
	if err != nil && (strings.HasPrefix(err.Error(), "get: 404") || strings.HasPrefix(err.Error(), "get: 410") || strings.HasPrefix(err.Error(), "I2")) {
		return fmt.Errorf("I1: acknowledged %s: %w", cid, err)
	}
	return nil
}

// balance asks for the balance: a strong read, which has to hold everything
// that was acknowledged before it was asked (I4).
func (l *simLoad) balance(r *rand.Rand) error {
	l.mu.Lock()
	least := l.acks
	l.mu.Unlock()
	got, err := l.c.Client(anyOf(l.c, r), l.key).Balance()
	if err != nil {
		return nil //nolint:nilerr // a node that can't know says so
	}
	l.mu.Lock()
	most := l.tried
	l.mu.Unlock()
	if spent := simOpening - got; spent < least || spent > most {
		return fmt.Errorf("I4: the balance says that %d cents were spent, after %d were acknowledged and %d tried", spent, least, most)
	}
	return nil
}

func (l *simLoad) acked() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.acks
}

// progress returns once further uploads were acknowledged.
func (l *simLoad) progress(t *testing.T) {
	t.Helper()
	until := l.acked() + 3
	late := time.After(simOpWait)
	for l.acked() < until && !t.Failed() {
		select {
		case <-l.ack:
		case <-late:
			t.Fatalf("no upload acknowledged for %v", simOpWait)
		}
	}
}

func (l *simLoad) stop(t *testing.T) {
	t.Helper()
	l.cancel()
	if err := l.group.Wait(); err != nil && !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// TestSimSnapshots: a leader is cut off with entries on their way, and the
// others go on until what they have in common with it is only in a snapshot.
// Its dead tail is shorter than what Raft keeps (I19), so that it catches up.
func TestSimSnapshots(t *testing.T) {
	r := testcluster.Simulate(t, 1, func(t *testing.T) {
		t.Helper()
		testcluster.SimOf(t).Tune(cluster.Tuning{SnapshotThreshold: 20, SnapshotInterval: time.Second, TrailingLogs: 10})
		installed := new(installs)
		c := testcluster.Start(t, 3, testcluster.Options{Log: installed})
		_, key := c.Account(simOpening)
		l := startSimLoad(t, c, key, 1)
		for range 2 {
			l.progress(t)
			old := c.WaitLeader()
			c.Isolate(old)
			for until := l.acked() + 60; l.acked() < until && !t.Failed(); { // three snapshots of the others
				l.progress(t)
			}
			c.Heal()
		}
		l.stop(t)
		c.WaitConverged()
		if installed.Load() == 0 {
			t.Error("nobody needed a snapshot: the test shows nothing")
		}
	})
	t.Logf("%v virtual, %d requests", r.Virtual.Round(time.Second), r.Requests)
}

// installs counts in the nodes' logs what Raft says when it took a snapshot.
type installs struct{ atomic.Int64 }

func (n *installs) Write(p []byte) (int, error) {
	if bytes.Contains(p, []byte("Installed remote snapshot")) {
		n.Add(1)
	}
	return len(p), nil
}

// TestSimIdle shows how fast time passes when nobody wants anything.
func TestSimIdle(t *testing.T) {
	started := time.Now()
	r := testcluster.Simulate(t, 1, func(t *testing.T) {
		t.Helper()
		c := testcluster.Start(t, 3, testcluster.Options{})
		time.Sleep(10 * time.Minute)
		if a, err := c.Client(0, "").Do(http.MethodGet, "/readyz", nil, nil); err != nil || a.Status != http.StatusOK {
			t.Errorf("after ten idle minutes: %v %d %s", err, a.Status, a.Body)
		}
	})
	took := time.Since(started)
	t.Logf("idle: %v in %v, x%.0f", r.Virtual, took, r.Virtual.Seconds()/took.Seconds())
}
