package cluster

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"ringbin/storage"
)

// pipes is a network in memory, for virtual time. A node that is cut off can't
// dial and is not dialed, and its connections are closed.
type pipes struct {
	mu        sync.Mutex // protects the fields below
	listeners map[string]*bubbleListener
	conns     map[net.Conn][2]string
	cut       map[string]bool
}

type bubbleListener struct {
	net  *pipes
	addr string
	ch   chan net.Conn
	once sync.Once
	done chan struct{}
}

type bubbleAddr string

func (bubbleAddr) Network() string  { return "pipe" }
func (a bubbleAddr) String() string { return string(a) }

func (p *pipes) listen(addr string) *bubbleListener {
	p.mu.Lock()
	defer p.mu.Unlock()
	l := &bubbleListener{net: p, addr: addr, ch: make(chan net.Conn), done: make(chan struct{})}
	p.listeners[addr] = l
	return l
}

func (l *bubbleListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.ch:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *bubbleListener) Close() error {
	l.once.Do(func() { close(l.done) })
	return nil
}

func (l *bubbleListener) Addr() net.Addr { return bubbleAddr(l.addr) }

// from is how one node dials.
type from struct {
	net *pipes
	me  string
}

func (f from) DialContext(ctx context.Context, _, addr string) (net.Conn, error) {
	f.net.mu.Lock()
	l, cut := f.net.listeners[addr], f.net.cut[f.me] || f.net.cut[addr]
	f.net.mu.Unlock()
	if l == nil || cut {
		return nil, net.ErrClosed
	}
	mine, theirs := net.Pipe()
	select {
	case l.ch <- theirs:
	case <-l.done:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	f.net.mu.Lock()
	defer f.net.mu.Unlock()
	f.net.conns[mine] = [2]string{f.me, addr}
	return mine, nil
}

func (p *pipes) set(addr string, cut bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut[addr] = cut
	for c, ends := range p.conns {
		if cut && (ends[0] == addr || ends[1] == addr) {
			_ = c.Close()
			delete(p.conns, c)
		}
	}
}

// tailTest is three nodes in a bubble that keep little behind a snapshot.
type tailTest struct {
	t     *testing.T
	trust *Trust
	net   *pipes
	nodes []*tailNode
}

type tailNode struct {
	id    storage.NodeID
	fs    vfs.FS
	fsm   *listFSM
	mux   *Mux
	raft  *Raft
	stuck chan error
}

const tailTrailing = 8

func newTailTest(t *testing.T) *tailTest {
	t.Helper()
	tt := &tailTest{t: t, trust: mustTrust(t, secretLine(1)), net: &pipes{
		listeners: map[string]*bubbleListener{}, conns: map[net.Conn][2]string{}, cut: map[string]bool{},
	}}
	var ids []storage.NodeID
	for i := range 3 {
		node := &tailNode{id: nodeID(i), fs: vfs.NewMem(), fsm: newListFSM(), stuck: make(chan error, 1)}
		tt.nodes = append(tt.nodes, node)
		ids = append(ids, node.id)
		tt.start(node)
	}
	for _, node := range tt.nodes {
		if err := node.raft.Bootstrap(ids); err != nil {
			t.Fatal(err)
		}
	}
	return tt
}

func (tt *tailTest) start(node *tailNode) {
	tt.t.Helper()
	identity := mustIssue(tt.t, tt.trust, node.id)
	logger := slog.New(slog.DiscardHandler)
	node.mux = NewMux(tt.net.listen(string(node.id)), identity, logger)
	_, index, _ := node.fsm.state()
	var err error
	node.raft, err = OpenRaft(Options{
		ID: node.id, FS: node.fs, Dir: "raft", Log: LogPebble, FSM: node.fsm, FSMIndex: index, Identity: identity,
		Listener: node.mux.Raft(), Dial: from{tt.net, string(node.id)}, Logger: logger,
		Resolve: func(id storage.NodeID) (string, bool) { return string(id), true },
		Tuning:  Tuning{TrailingLogs: tailTrailing, SnapshotThreshold: 1 << 20},
		OnStuck: func(err error) {
			select {
			case node.stuck <- err:
			default:
			}
		},
	})
	if err != nil {
		tt.t.Fatal(err)
	}
}

func (tt *tailTest) stop(node *tailNode) {
	tt.t.Helper()
	if err := node.raft.Close(); err != nil {
		tt.t.Error(err)
	}
	if err := node.mux.Close(); err != nil {
		tt.t.Error(err)
	}
}

// end stops all and lets what can't be stopped run into its timeouts.
func (tt *tailTest) end() {
	for _, node := range tt.nodes {
		tt.stop(node)
	}
	time.Sleep(time.Minute)
}

func (tt *tailTest) leader(not *tailNode) *tailNode {
	tt.t.Helper()
	for range 600 {
		for _, node := range tt.nodes {
			if node != not && node.raft.IsLeader() && node.raft.VerifyLeader(tt.t.Context()) == nil {
				return node
			}
		}
		time.Sleep(100 * time.Millisecond)
	}
	tt.t.Fatal("no leader in a minute")
	return nil
}

func (tt *tailTest) apply(node *tailNode, n int, what string) {
	tt.t.Helper()
	for i := range n {
		if _, err := node.raft.Apply(tt.t.Context(), fmt.Appendf(nil, "%s %d", what, i)); err != nil {
			tt.t.Fatal(err)
		}
	}
}

// deadTail cuts the leader off, lets it take n entries that will never be
// committed, and lets the others go on and drop what they have in common with it.
func (tt *tailTest) deadTail(n int) (old, leader *tailNode) {
	tt.t.Helper()
	old = tt.leader(nil)
	tt.apply(old, 5, "common")
	tt.net.set(string(old.id), true)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { _, _ = old.raft.Apply(tt.t.Context(), fmt.Appendf(nil, "dead %d", i)) })
	}
	leader = tt.leader(old)
	wg.Wait()
	tt.apply(leader, 30, "live")
	if err := leader.raft.Snapshot(tt.t.Context()); err != nil {
		tt.t.Fatal(err)
	}
	tt.net.set(string(old.id), false)
	return old, leader
}

// caughtUp waits for a node to have what the leader has.
func (tt *tailTest) caughtUp(node, leader *tailNode, within time.Duration) bool {
	_, want, _ := leader.fsm.state()
	for until := time.Now().Add(within); time.Now().Before(until); time.Sleep(100 * time.Millisecond) {
		if _, got, _ := node.fsm.state(); got == want && node.raft.raft.LastIndex() <= leader.raft.raft.LastIndex() {
			return true
		}
	}
	return false
}

// TestShortDeadTail: a dead tail that is no longer than what is kept behind a
// snapshot heals by itself.
func TestShortDeadTail(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tt := newTailTest(t)
		old, leader := tt.deadTail(tailTrailing - 2)
		if !tt.caughtUp(old, leader, time.Minute) {
			t.Error("the former leader did not catch up")
		}
		select {
		case err := <-old.stuck:
			t.Errorf("the former leader was called stuck: %v", err)
		default:
		}
		tt.end()
	})
}

// TestLongDeadTail: a longer one goes in a circle; that is told, and a restart
// ends it.
func TestLongDeadTail(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tt := newTailTest(t)
		old, leader := tt.deadTail(100)
		select {
		case err := <-old.stuck:
			t.Log(err)
		case <-time.After(10 * time.Minute):
			t.Errorf("nobody was told; caught up: %v", tt.caughtUp(old, leader, time.Second))
		}
		tt.stop(old)
		tt.start(old)
		// The Pebble log lost all its entries with the snapshot (IsMonotonic):
		// only the running Raft remembered the tail.
		if !tt.caughtUp(old, leader, time.Minute) {
			t.Error("a restart did not help")
		}
		tt.end()
	})
}

// TestInFlightMax: a leader that nobody answers takes so many entries and no
// more, and once it has heard what became of them it takes others (I19).
func TestInFlightMax(t *testing.T) {
	t.Parallel()
	if inFlightMax*8 > trailingLogs {
		t.Errorf("%d entries may be in flight, and %d are kept: far fewer were promised", inFlightMax, trailingLogs)
	}
	synctest.Test(t, func(t *testing.T) {
		const more = 50
		tt := newTailTest(t)
		old := tt.leader(nil)
		tt.net.set(string(old.id), true)
		var refused atomic.Int64
		var wg sync.WaitGroup
		for i := range inFlightMax + more {
			wg.Go(func() {
				if _, err := old.raft.Apply(t.Context(), fmt.Appendf(nil, "%d", i)); storage.CodeOf(err) == "overloaded" {
					refused.Add(1)
				}
			})
		}
		wg.Wait()
		if got := refused.Load(); got != more {
			t.Errorf("%d of %d entries were refused, want %d", got, inFlightMax+more, more)
		}
		tt.net.set(string(old.id), false)
		tt.apply(tt.leader(nil), 1, "afterwards")
		if n := old.raft.inFlight.Load(); n != 0 {
			t.Errorf("%d entries are counted as in flight, and all were answered", n)
		}
		tt.end()
	})
}
