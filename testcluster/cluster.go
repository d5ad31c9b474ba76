package testcluster

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ringbin/api"
	"ringbin/cluster"
	"ringbin/node"
	"ringbin/storage"
)

// Times that a test waits before it calls something stuck.
const (
	startWait    = 60 * time.Second
	convergeWait = 60 * time.Second
	closeWait    = 30 * time.Second
	pollEvery    = 20 * time.Millisecond
)

// Options are what tests vary. The zero value is a plain cluster.
type Options struct {
	// Log, when set, gets the nodes' logs; else they go to the file that the
	// environment variable RINGBIN_TEST_LOG names, or nowhere.
	Log io.Writer
	// Configure, when not nil, changes a node's configuration before it opens.
	Configure func(i int, c *node.Config)
	// Joining nodes are started after the founders and join them.
	Joining int
	// Later nodes are not started before the test has them [Cluster.Join].
	Later int
	// Disks gives each node a disk in memory that can fail; see [Cluster.Disk].
	Disks bool
	// Journal keeps, in a synced file outside the cluster, what clients were
	// told; the audits at the end read it.
	Journal bool
}

// Cluster is N nodes in this process.
type Cluster struct {
	tb      testing.TB
	opts    Options
	dir     string
	secret  []byte
	ground  ground
	log     io.Writer
	logPath string // the log's file, when secrets are looked for in it
	journal *journal
	secrets secrets

	mu    sync.Mutex // protects nodes
	nodes []*member
}

// member is one node: its configuration, and the running node or nil.
type member struct {
	cfg  node.Config
	node *node.Node
	id   storage.NodeID // once it was open
	gone bool           // removed from the cluster, or not in it yet: nobody starts it
	disk *Disk          // nil: the machine's

	ahead atomic.Int64 // nanoseconds that the node's clock is ahead
}

// Start starts a cluster of n founders (and opts.Joining more) and returns once
// all of them are ready. When the test ends, the oracles run.
func Start(tb testing.TB, n int, opts Options) *Cluster {
	tb.Helper()
	c := &Cluster{
		tb: tb, opts: opts, dir: tb.TempDir(), secret: []byte(cluster.NewSecret()), journal: newJournal(), log: opts.Log,
	}
	c.ground = &loopback{tb: tb, dir: c.dir, fabric: newFabric()}
	if sim := simOf(tb); sim != nil {
		c.ground = sim
	} else {
		leaks.enter() // a bubble finds its leaks itself
	}
	if c.log == nil {
		c.log = logFile(tb)
	}
	tb.Cleanup(func() {
		c.closeAll()
		c.ground.finish(tb.Failed())
		if c.Sim() == nil {
			leaks.leave(tb)
		}
	})
	tb.Cleanup(func() { // before the one above, which runs even when an oracle gives up
		if !tb.Failed() {
			c.Check()
		}
	})
	var join []string
	c.secrets.addCluster(tb, c.secret)
	if opts.Journal {
		c.journal.open(tb)
		c.keepLog()
	}
	for i := range n + opts.Joining + opts.Later {
		c.nodes = append(c.nodes, c.member(i, n))
		c.nodes[i].gone = i >= n+opts.Joining
		if i < n {
			join = append(join, c.nodes[i].cfg.RPC)
		}
	}
	for i := range c.nodes {
		if n > 1 || i >= n {
			c.nodes[i].cfg.Join = join
		}
	}
	c.openAll(0, n)
	c.WaitReady()
	c.openAll(n, n+opts.Joining)
	c.WaitReady()
	return c
}

// keepLog has the nodes' logs in a file too, outside the cluster.
func (c *Cluster) keepLog() {
	c.tb.Helper()
	c.logPath = filepath.Join(c.tb.TempDir(), "nodes.log")
	f, err := os.OpenFile(c.logPath, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		c.tb.Fatal(err)
	}
	c.tb.Cleanup(func() { _ = f.Close() })
	c.log = io.MultiWriter(c.log, f)
}

func logFile(tb testing.TB) io.Writer {
	tb.Helper()
	path := os.Getenv("RINGBIN_TEST_LOG")
	if path == "" {
		return io.Discard
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = f.Close() })
	return f
}

// member makes a node that does not run yet.
func (c *Cluster) member(i, founders int) *member {
	m := &member{cfg: c.config(i, founders)}
	m.cfg.Clock = func() time.Time { return time.Now().Add(time.Duration(m.ahead.Load())) }
	if c.opts.Disks {
		m.disk = newDisk(m.cfg.DataDir)
		m.cfg.FreeFloorBytes = diskFloorBytes
	}
	return m
}

// config is a node's, with ports that are free now and stay its own through
// restarts.
func (c *Cluster) config(i, founders int) node.Config {
	name := fmt.Sprintf("n%d", i)
	cfg := node.Config{
		Name: name, Secret: c.secret, FreeFloorBytes: -1, CacheBytes: 8 << 20,
		Logger:  slog.New(slog.NewTextHandler(c.log, &slog.HandlerOptions{Level: slog.LevelDebug})).With("at", name),
		Version: "test",
	}
	c.ground.settle(i, &cfg)
	if i < founders && founders > 1 {
		cfg.BootstrapExpect = founders
	}
	if c.opts.Configure != nil {
		c.opts.Configure(i, &cfg)
	}
	return cfg
}

func (c *Cluster) openAll(from, to int) {
	c.tb.Helper()
	for i := from; i < to; i++ {
		c.open(i)
	}
}

func (c *Cluster) open(i int) {
	c.tb.Helper()
	c.ground.opening(i, &c.nodes[i].cfg)
	cfg := c.nodes[i].cfg
	if disk := c.nodes[i].disk; disk != nil {
		cfg.FS = disk.fs()
	}
	n, err := node.Open(context.Background(), cfg, api.New)
	if err != nil {
		c.tb.Fatalf("node %d: %v", i, err)
	}
	c.mu.Lock()
	c.nodes[i].node, c.nodes[i].id = n, n.ID()
	c.mu.Unlock()
}

// Len returns the number of nodes, those that are down included.
func (c *Cluster) Len() int { return len(c.nodes) }

// Node returns a running node; the test fails when it is down.
func (c *Cluster) Node(i int) *node.Node {
	c.tb.Helper()
	n := c.running(i)
	if n == nil {
		c.tb.Fatalf("node %d is down", i)
	}
	return n
}

func (c *Cluster) running(i int) *node.Node {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.nodes[i].node
}

// Kill stops a node without draining or handing anything over.
func (c *Cluster) Kill(i int) {
	c.tb.Helper()
	c.end(i, killed)
}

// end takes a node down without telling it.
func (c *Cluster) end(i int, how ending) {
	c.tb.Helper()
	if c.running(i) == nil {
		return
	}
	c.ground.down(i, how)
	c.stop(gone(), i)
}

// Stop stops a node as SIGTERM does.
func (c *Cluster) Stop(i int) {
	c.tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), closeWait)
	defer cancel()
	c.stop(ctx, i)
}

func (c *Cluster) stop(ctx context.Context, i int) {
	c.tb.Helper()
	c.mu.Lock()
	n := c.nodes[i].node
	c.nodes[i].node = nil
	c.mu.Unlock()
	if n == nil {
		return
	}
	if disk := c.nodes[i].disk; disk != nil && disk.stalled() {
		c.ground.down(i, powerLost)
		disk.release()
	}
	if c.Sim() != nil && ctx.Err() == nil {
		select {
		case err := <-n.Failed(): // no fault of a simulation is one that a node may not survive
			c.tb.Errorf("node %d could not go on: %v", i, err)
		default:
		}
	}
	if err := n.Close(ctx); err != nil && (c.Sim() == nil || ctx.Err() == nil) { // without its machine it can't close well
		c.tb.Errorf("closing node %d: %v", i, err)
	}
}

// Disk returns a node's disk, for clusters that have them.
func (c *Cluster) Disk(i int) *Disk { return c.nodes[i].disk }

// Config returns what a node is started with.
func (c *Cluster) Config(i int) node.Config { return c.nodes[i].cfg }

// SetClock sets how far a node's clock is ahead of the machine's.
func (c *Cluster) SetClock(i int, ahead time.Duration) { c.nodes[i].ahead.Store(int64(ahead)) }

// latestClock is what the clock says that is furthest ahead.
func (c *Cluster) latestClock() time.Time {
	ahead := int64(0)
	for _, m := range c.nodes {
		ahead = max(ahead, m.ahead.Load())
	}
	return time.Now().Add(time.Duration(ahead))
}

// LosePower ends nodes at the same moment, with a percentage of what they had
// not synced. Their Raft logs lose nothing: those are real files.
func (c *Cluster) LosePower(percent int, rng *rand.Rand, nodes ...int) {
	c.tb.Helper()
	for _, i := range nodes {
		c.ground.down(i, powerLost) // first: what goes to a lost disk must not be promised to anybody
	}
	for _, i := range nodes {
		c.nodes[i].disk.losePower(percent, rng)
	}
	for _, i := range nodes {
		c.stop(gone(), i)
	}
}

// WipeBlobs ends a node and takes its blobs away.
func (c *Cluster) WipeBlobs(i int) {
	c.tb.Helper()
	c.Kill(i)
	var err error
	if disk := c.nodes[i].disk; disk != nil {
		err = disk.wipe("blobs")
	} else {
		err = os.RemoveAll(filepath.Join(c.nodes[i].cfg.DataDir, "blobs"))
	}
	if err != nil {
		c.tb.Fatal(err)
	}
}

// Restart starts a node that is down, with the data it had.
func (c *Cluster) Restart(i int) {
	c.tb.Helper()
	if c.running(i) == nil && !c.gone(i) {
		c.open(i)
	}
}

// Remove takes a node that is down out of the cluster for ever, through
// another node.
func (c *Cluster) Remove(i, through int) {
	c.tb.Helper()
	c.mu.Lock()
	id := c.nodes[i].id
	c.nodes[i].gone = true
	c.mu.Unlock()
	a, err := c.Operator(through).Do(http.MethodDelete, "/api/admin/cluster/nodes/"+string(id), nil, nil)
	if err != nil || a.Status != http.StatusOK {
		c.tb.Fatalf("removing node %d: %v %d %s", i, err, a.Status, a.Body)
	}
}

func (c *Cluster) gone(i int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.nodes[i].gone
}

// Partition cuts the direction from one node to another; what the other sends
// still arrives. Call it twice for both directions.
func (c *Cluster) Partition(from, to int) { c.ground.set(from, to, cuts{streams: true, gossip: true}) }

// Isolate cuts a node from all others, both ways.
func (c *Cluster) Isolate(i int) {
	for j := range c.nodes {
		if j != i {
			c.Partition(i, j)
			c.Partition(j, i)
		}
	}
}

// Heal mends every cut, and the weather.
func (c *Cluster) Heal() {
	for i := range c.nodes {
		for j := range c.nodes {
			c.ground.set(i, j, cuts{})
			c.SetWeather(i, j, Weather{})
		}
	}
}

// WaitReady returns once every running node serves.
func (c *Cluster) WaitReady() {
	c.tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), startWait)
	defer cancel()
	for i := range c.nodes {
		if n := c.running(i); n != nil {
			if err := n.WaitReady(ctx); err != nil {
				c.tb.Fatalf("node %d is not ready: %v", i, err)
			}
		}
	}
}

// WaitLeader returns the index of the running node that leads.
func (c *Cluster) WaitLeader() int {
	c.tb.Helper()
	leader := -1
	c.waitFor(startWait, "a leader", func() bool {
		for i := range c.nodes {
			if n := c.running(i); n != nil && n.IsLeader() {
				leader = i
				return true
			}
		}
		return false
	})
	return leader
}

// WaitConverged returns once all running nodes have one state at one index,
// have their places in the ring, and no owner misses a copy.
func (c *Cluster) WaitConverged() {
	c.tb.Helper()
	c.waitUntil(convergeWait, "convergence", c.unconverged)
}

// unconverged is what is missing to a cluster at rest, or "".
func (c *Cluster) unconverged() string {
	var index uint64
	var hash [32]byte
	first := true
	for i := range c.nodes {
		n := c.running(i)
		if n == nil {
			continue
		}
		at, h, err := n.StateHash()
		switch {
		case err != nil:
			return fmt.Sprintf("node %d: %v", i, err)
		case !n.Settled():
			return fmt.Sprintf("node %d is not settled: %+v", i, n.Replication())
		case !n.Placed():
			return fmt.Sprintf("node %d is not placed", i)
		}
		if first {
			index, hash, first = at, h, false
			continue
		}
		if at != index {
			return fmt.Sprintf("node %d has applied %d, another %d", i, at, index)
		}
		if h != hash {
			c.tb.Fatalf("I10: node %d has another state hash at index %d", i, at)
		}
	}
	return ""
}

// waitFor asks again until a condition holds. It is for conditions over
// several nodes, which nobody could notify of.
func (c *Cluster) waitFor(d time.Duration, what string, holds func() bool) {
	c.tb.Helper()
	c.waitUntil(d, what, func() string {
		if holds() {
			return ""
		}
		return "it does not hold"
	})
}

// waitUntil asks again until nothing is missing, and fails with what was.
func (c *Cluster) waitUntil(d time.Duration, what string, missing func() string) {
	c.tb.Helper()
	deadline := time.Now().Add(d)
	for {
		m := missing()
		switch {
		case m == "":
			return
		case time.Now().After(deadline):
			c.tb.Fatalf("no %s within %v: %s", what, d, m)
		}
		time.Sleep(pollEvery)
	}
}

// AdminToken is the operator's token.
func (c *Cluster) AdminToken() string {
	c.tb.Helper()
	t, err := cluster.ParseTrust(c.secret)
	if err != nil {
		c.tb.Fatal(err)
	}
	return t.AdminToken()
}

// ID returns a node's id.
func (c *Cluster) ID(i int) storage.NodeID { return c.Node(i).ID() }

func (c *Cluster) closeAll() {
	for i := range c.nodes {
		c.Stop(i)
	}
}
