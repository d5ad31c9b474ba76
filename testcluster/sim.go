package testcluster

import (
	"context"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"ringbin/cluster"
	"ringbin/node"
)

// Simulate runs a test in virtual time: the clusters that it starts are whole
// nodes, as everywhere, on a network in memory ([simNet]) and on disks in
// memory that forget what was not synced when power is lost. Time passes as
// soon as nobody has anything to do.
//
// The seed draws what the network and the disks do, and what the test draws
// from [Sim.Rand]. It does not make a run repeatable: goroutines are scheduled
// as ever. A run that fails leaves its history in a file.
func Simulate(t *testing.T, seed uint64, test func(t *testing.T)) SimReport {
	t.Helper()
	var report SimReport
	synctest.Test(t, func(t *testing.T) {
		s := newSim(t, seed)
		sims.Store(t, s)
		defer sims.Delete(t)
		t.Cleanup(func() { // the last one to run
			report = s.report()
			time.Sleep(simEnding)
		})
		test(t)
	})
	return report
}

// simEnding is how long what can't be told to end takes to end by its own
// timeouts. No time passes any more once the test has returned.
const simEnding = 5 * time.Minute

// SimReport is what a simulation did.
type SimReport struct {
	Virtual  time.Duration
	Requests int
	Faults   map[string]int
}

// sims are the simulations by their tests: a cluster that such a test starts
// stands on the simulation's ground.
var sims sync.Map

func simOf(tb testing.TB) *Sim {
	tb.Helper()
	if s, ok := sims.Load(tb); ok {
		sim, _ := s.(*Sim)
		return sim
	}
	return nil
}

// Parallel lets a test run at the same time as others, since it waits most of
// the time. In a simulation nobody waits.
func Parallel(t *testing.T) {
	t.Helper()
	if simOf(t) == nil {
		t.Parallel()
	}
}

// SimOf returns the simulation that a test runs in, or nil.
func SimOf(tb testing.TB) *Sim {
	tb.Helper()
	return simOf(tb)
}

// Sim is a simulation: the ground of its clusters, and the faults that only
// there can be had.
type Sim struct {
	tb      testing.TB
	seed    uint64
	started time.Time
	net     *simNet
	clients *simLife
	history *simHistory

	mu       sync.Mutex // protects the fields below; never held while waiting
	rng      *rand.Rand
	machines map[int]*machine
	raft     cluster.Tuning
}

// machine is one node's computer.
type machine struct {
	life  *simLife
	mem   *vfs.MemFS
	slow  atomic.Int64 // most nanoseconds that a sync takes
	full  atomic.Bool
	clock atomic.Int64 // nanoseconds that it is ahead
}

// The simulated disks: as large as nobody fills them, and what must stay free.
const (
	simDiskBytes  = 1 << 40
	simFloorBytes = 1 << 20
)

// room tells the disk how much of it is free.
func (m *machine) room() {
	u := vfs.DiskUsage{TotalBytes: simDiskBytes, AvailBytes: simDiskBytes}
	if m.full.Load() {
		u.AvailBytes = 0
	}
	u.UsedBytes = u.TotalBytes - u.AvailBytes
	m.mem.TestingSetDiskUsage(u)
}

func newSim(tb testing.TB, seed uint64) *Sim {
	tb.Helper()
	n := newSimNet(rand.New(rand.NewPCG(seed, 1)))
	return &Sim{
		tb: tb, seed: seed, started: time.Now(), net: n, clients: n.live(clientHost), history: newSimHistory(),
		rng: rand.New(rand.NewPCG(seed, 2)), machines: map[int]*machine{},
	}
}

// Rand draws from the seed.
func (s *Sim) Rand(n int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rng.IntN(n)
}

// Tune changes how nodes that are opened from now on keep their Raft log.
func (s *Sim) Tune(t cluster.Tuning) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.raft = t
}

// Note puts what a test does into the history, and counts it among the faults.
func (s *Sim) Note(what string) { s.history.fault(what, clientHost) }

// Weather changes the network.
func (s *Sim) Weather(w SimWeather) {
	if w != (SimWeather{}) {
		s.history.fault("weather", clientHost)
	}
	s.net.setWeather(w)
}

// SlowDisk lets each sync of a node's files take up to d; 0 ends it.
func (s *Sim) SlowDisk(i int, d time.Duration) {
	if d > 0 {
		s.history.fault("slow disk", i)
	}
	s.machine(i).slow.Store(int64(d))
}

// FullDisk lets a node's disk have no room above the floor, and none at all for
// bodies on their way; false ends it.
func (s *Sim) FullDisk(i int, full bool) {
	if full {
		s.history.fault("full disk", i)
	}
	m := s.machine(i)
	m.full.Store(full)
	m.room()
}

// Clock sets by how much a node's wall clock is wrong. Timers stay right.
func (s *Sim) Clock(i int, ahead time.Duration) {
	if ahead != 0 {
		s.history.fault("clock jump", i)
	}
	s.machine(i).clock.Store(int64(ahead))
}

func (s *Sim) report() SimReport {
	requests, faults := s.history.counts()
	return SimReport{Virtual: time.Since(s.started), Requests: requests, Faults: faults}
}

func (s *Sim) machine(i int) *machine {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.machines[i]
	if m == nil {
		m = &machine{mem: vfs.NewCrashableMem()}
		s.machines[i] = m
	}
	return m
}

var _ ground = (*Sim)(nil)

func (s *Sim) settle(i int, c *node.Config) {
	at := func(port string) string { return net.JoinHostPort(simHost(i), port) }
	c.DataDir = "/data"
	c.HTTP, c.RPC, c.Gossip, c.Admin = at("8080"), at("8081"), at("8082"), at("8083")
	c.RaftLog = cluster.LogPebble
	c.FreeFloorBytes, c.NoLibraryMetrics = simFloorBytes, true
	m := s.machine(i)
	c.Clock = func() time.Time { return time.Now().Add(time.Duration(m.clock.Load())) }
}

func (s *Sim) opening(i int, c *node.Config) {
	m := s.machine(i)
	m.life = s.net.live(i)
	m.room()
	c.Network, c.FS = m.life, m.disk()
	s.mu.Lock()
	c.Raft = s.raft
	s.mu.Unlock()
}

// down decides at this instant what is on the node's disk when it comes back:
// whatever it does from here on, closing included, did not happen.
func (s *Sim) down(i int, how ending) {
	m := s.machine(i)
	kept := 100
	switch how {
	case stopped:
		return
	case powerLost:
		kept = s.Rand(101)
		s.history.fault("power loss", i)
	case killed:
		s.history.fault("kill", i)
	}
	s.mu.Lock()
	rng := rand.New(rand.NewPCG(s.rng.Uint64(), 3))
	s.mu.Unlock()
	m.life.end(how == powerLost)
	m.mem = m.mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: kept, RNG: rng})
	m.slow.Store(0)
	m.full.Store(false)
}

func (s *Sim) network() *fabric { return s.net.fabric }

func (s *Sim) set(from, to int, cut cuts) {
	if was, _ := s.net.blocked(from, to); cut.streams && !was {
		s.history.fault("cut", from)
	}
	s.net.set(from, to, cut)
}

func (s *Sim) transport() http.RoundTripper {
	return s.history.watch(&http.Transport{DisableKeepAlives: true, DialContext: s.clients.DialContext})
}

func (s *Sim) finish(failed bool) {
	if failed {
		s.tb.Logf("seed %d failed; its history is in %s", s.seed, s.history.save(s.tb, s.seed))
	}
}

// slowPaths are the files whose syncs a slow disk delays: those for which
// nobody waits with a mutex held. Pebble holds one while it changes its log
// file, and time would stand still if somebody else waited for that.
var (
	slowPaths = []string{"/raft/", "/staging/"}
	slowOps   = []errorfs.OpKind{errorfs.OpFileSync, errorfs.OpFileSyncData, errorfs.OpFileSyncTo}
)

// roomPaths are where a full disk has no room for a byte. Elsewhere the floor
// stops writers before: Pebble does not survive a full disk.
var (
	roomPaths = []string{"/spool/", "/staging/"}
	roomOps   = []errorfs.OpKind{errorfs.OpFileWrite, errorfs.OpCreate}
)

func within(path string, folders []string) bool {
	return slices.ContainsFunc(folders, func(f string) bool { return strings.Contains(path, f) })
}

// disk is the machine's file system with its faults.
func (m *machine) disk() vfs.FS {
	return errorfs.Wrap(m.mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if slices.Contains(slowOps, op.Kind) {
			if slow := m.slow.Load(); slow > 0 && within(op.Path, slowPaths) {
				h := fnv.New64()
				_, _ = fmt.Fprint(h, op.Path, time.Now().UnixNano())
				time.Sleep(time.Duration(h.Sum64() % uint64(slow)))
			}
		}
		if m.full.Load() && slices.Contains(roomOps, op.Kind) && within(op.Path, roomPaths) {
			return syscall.ENOSPC
		}
		return nil
	}))
}

// PowerLoss lets a node's machine lose power: of what was not synced, any part
// is gone, and nobody hears that it went. Outside a simulation it is a kill.
func (c *Cluster) PowerLoss(i int) {
	c.tb.Helper()
	c.end(i, powerLost)
}

// Sim returns the simulation that the cluster runs in, or nil.
func (c *Cluster) Sim() *Sim {
	s, _ := c.ground.(*Sim)
	return s
}

// gone is a context that has ended: nothing is drained with it.
func gone() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}
