package cluster

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	"go.etcd.io/bbolt"

	"ringbin/storage"
)

// listFSM keeps what is applied as a list. It outlives restarts of its node, as
// the real one does.
type listFSM struct {
	mu       sync.Mutex // protects the fields below
	applied  [][]byte
	index    uint64
	changed  chan struct{}
	restores int
}

func newListFSM() *listFSM { return &listFSM{changed: make(chan struct{})} }

// Apply implements raft.FSM.
func (f *listFSM) Apply(l *raft.Log) any { return f.ApplyBatch([]*raft.Log{l})[0] }

// ApplyBatch implements raft.BatchingFSM. Entries that it holds already are
// passed over: a restarted Raft hands them in again.
func (f *listFSM) ApplyBatch(logs []*raft.Log) []any {
	f.mu.Lock()
	defer f.mu.Unlock()
	answers := make([]any, len(logs))
	for i, l := range logs {
		if l.Type != raft.LogCommand || l.Index <= f.index {
			continue
		}
		f.applied, f.index = append(f.applied, bytes.Clone(l.Data)), l.Index
		if string(l.Data) == "halt" {
			answers[i] = errors.New("halted")
		}
	}
	close(f.changed)
	f.changed = make(chan struct{})
	return answers
}

// Snapshot implements raft.FSM.
func (f *listFSM) Snapshot() (raft.FSMSnapshot, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return listSnapshot{index: f.index, applied: slices.Clone(f.applied)}, nil
}

// Restore implements raft.FSM.
func (f *listFSM) Restore(r io.ReadCloser) error {
	defer func() { _ = r.Close() }()
	b, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.index, b = binary.BigEndian.Uint64(b), b[8:]
	f.applied = nil
	f.restores++
	if len(b) > 0 {
		f.applied = bytes.Split(b, []byte{0})
	}
	close(f.changed)
	f.changed = make(chan struct{})
	return nil
}

func (f *listFSM) state() (applied []string, index uint64, changed <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, b := range f.applied {
		applied = append(applied, string(b))
	}
	return applied, f.index, f.changed
}

type listSnapshot struct {
	index   uint64
	applied [][]byte
}

// Persist implements raft.FSMSnapshot.
func (s listSnapshot) Persist(sink raft.SnapshotSink) error {
	b := append(binary.BigEndian.AppendUint64(nil, s.index), bytes.Join(s.applied, []byte{0})...)
	_, err := sink.Write(b)
	return errors.Join(err, sink.Close())
}

// Release implements raft.FSMSnapshot.
func (listSnapshot) Release() {}

// raftTest is nodes on loopback, with TLS and their files.
type raftTest struct {
	t     *testing.T
	trust *Trust
	log   LogKind // asked for by nodes that start

	mu    sync.Mutex // protects addrs
	addrs map[storage.NodeID]string
	nodes []*raftNode
}

type raftNode struct {
	id   storage.NodeID
	dir  string
	fsm  *listFSM
	mux  *Mux
	raft *Raft // nil while it is down
}

func newRaftTest(t *testing.T, n int) *raftTest {
	t.Helper()
	rt := &raftTest{t: t, trust: mustTrust(t, secretLine(1)), addrs: map[storage.NodeID]string{}}
	for range n {
		rt.add()
	}
	t.Cleanup(func() {
		for _, node := range rt.nodes {
			rt.stop(node)
		}
	})
	return rt
}

// add makes a blank node and starts it.
func (rt *raftTest) add() *raftNode {
	rt.t.Helper()
	node := &raftNode{id: nodeID(len(rt.nodes)), dir: rt.t.TempDir(), fsm: newListFSM()}
	rt.nodes = append(rt.nodes, node)
	rt.start(node)
	return node
}

func (rt *raftTest) start(node *raftNode) {
	rt.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		rt.t.Fatal(err)
	}
	rt.mu.Lock()
	rt.addrs[node.id] = l.Addr().String()
	rt.mu.Unlock()
	identity := mustIssue(rt.t, rt.trust, node.id)
	logger := slog.New(slog.DiscardHandler)
	node.mux = NewMux(l, identity, logger)
	_, index, _ := node.fsm.state()
	node.raft, err = OpenRaft(Options{
		ID: node.id, Dir: node.dir, Log: rt.log, FSM: node.fsm, FSMIndex: index, Identity: identity, Listener: node.mux.Raft(),
		Dial: &net.Dialer{}, Resolve: rt.resolve, Multiplier: 2, Logger: logger,
	})
	if err != nil {
		rt.t.Fatal(err)
	}
}

func (rt *raftTest) resolve(id storage.NodeID) (string, bool) {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	addr, ok := rt.addrs[id]
	return addr, ok
}

func (rt *raftTest) stop(node *raftNode) {
	rt.t.Helper()
	if node.raft == nil {
		return
	}
	for range 2 { // closing again does nothing
		if err := node.raft.Close(); err != nil {
			rt.t.Error(err)
		}
	}
	if err := node.mux.Close(); err != nil {
		rt.t.Error(err)
	}
	node.raft = nil
}

func (rt *raftTest) ids(n int) []storage.NodeID {
	var ids []storage.NodeID
	for _, node := range rt.nodes[:n] {
		ids = append(ids, node.id)
	}
	return ids
}

// bootstrap is done by each founder.
func (rt *raftTest) bootstrap() {
	rt.t.Helper()
	for _, node := range rt.nodes {
		if err := node.raft.Bootstrap(rt.ids(len(rt.nodes))); err != nil {
			rt.t.Fatal(err)
		}
	}
}

// limit is how long a test waits for what must come.
func limit(t *testing.T) (context.Context, context.CancelFunc) {
	t.Helper()
	return context.WithTimeout(t.Context(), time.Minute)
}

// leader waits for one that can commit.
func (rt *raftTest) leader() *raftNode {
	rt.t.Helper()
	ctx, cancel := limit(rt.t)
	defer cancel()
	ticks := make(chan struct{}, 1)
	for _, node := range rt.nodes {
		if node.raft == nil {
			continue
		}
		ch, stop := node.raft.Watch()
		defer stop()
		go func() {
			for {
				select {
				case <-ch:
					select {
					case ticks <- struct{}{}:
					default:
					}
				case <-ctx.Done():
					return
				}
			}
		}()
	}
	for {
		for _, node := range rt.nodes {
			if node.raft != nil && node.raft.IsLeader() && node.raft.VerifyLeader(ctx) == nil {
				return node
			}
		}
		select {
		case <-ticks:
		case <-ctx.Done():
			rt.t.Fatal("no leader")
		}
	}
}

// apply brings a command in through whoever leads; an outcome that is not known
// is not tried again.
func (rt *raftTest) apply(text string) uint64 {
	rt.t.Helper()
	ctx, cancel := limit(rt.t)
	defer cancel()
	for {
		index, err := rt.leader().raft.Apply(ctx, []byte(text))
		if err == nil {
			return index
		}
		if storage.CodeOf(err) != "not_leader" {
			rt.t.Fatal(err)
		}
	}
}

// mustReach waits until a node has applied an index, and compares what it holds.
func (rt *raftTest) mustReach(node *raftNode, index uint64, want []string) {
	rt.t.Helper()
	ctx, cancel := limit(rt.t)
	defer cancel()
	for {
		got, at, changed := node.fsm.state()
		if at >= index {
			if !slices.Equal(got, want) {
				rt.t.Errorf("node %s holds %q, want %q", node.id, got, want)
			}
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			rt.t.Fatalf("node %s is at %d, want %d", node.id, at, index)
		}
	}
}

// Three founders make one cluster; it goes on without its leader, and who comes
// back, from another address, catches up.
func TestRaftLosesItsLeader(t *testing.T) {
	t.Parallel()
	rt := newRaftTest(t, 3)
	if rt.nodes[0].raft.HasState() {
		t.Error("a blank node has state")
	}
	rt.bootstrap()
	if err := rt.nodes[0].raft.Bootstrap(rt.ids(3)); storage.KindOf(err) != storage.KindConflict {
		t.Errorf("bootstrapped twice: %v", err)
	}
	want := []string{"a", "b"}
	rt.apply("a")
	index := rt.apply("b")
	for _, node := range rt.nodes {
		rt.leader().raft.Poke(index)
		rt.mustReach(node, index, want)
	}
	old := rt.leader()
	term := old.raft.Term()
	rt.stop(old)
	index = rt.apply("c")
	want = append(want, "c")
	now := rt.leader()
	if now == old || now.raft.Term() <= term {
		t.Errorf("node %s leads in term %d", now.id, now.raft.Term())
	}
	rt.start(old)
	if !old.raft.HasState() {
		t.Error("a node that was restarted has no state")
	}
	rt.mustReach(old, index, want)
	index = rt.apply("d")
	want = append(want, "d")
	for _, node := range rt.nodes {
		rt.mustReach(node, index, want)
		if id, _, ok := node.raft.Leader(); !ok || id != rt.leader().id {
			t.Errorf("node %s follows %q", node.id, id)
		}
		if since := time.Since(node.raft.LastContact()); since > time.Minute {
			t.Errorf("node %s heard of a leader %v ago", node.id, since)
		}
	}
}

// Not done is told from not known.
func TestRaftOutcomes(t *testing.T) {
	t.Parallel()
	rt := newRaftTest(t, 3)
	for _, node := range rt.nodes {
		if _, err := node.raft.Apply(t.Context(), []byte("x")); storage.KindOf(err) != storage.KindUnavailable || storage.CodeOf(err) != "not_leader" {
			t.Errorf("blank: %v", err)
		}
	}
	rt.bootstrap()
	rt.apply("a")
	leader := rt.leader()
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := leader.raft.Apply(gone, []byte("x")); storage.KindOf(err) != storage.KindUnavailable {
		t.Errorf("given up before: %v", err)
	}
	if _, err := leader.raft.Apply(t.Context(), []byte("halt")); storage.KindOf(err) != storage.KindUnknown || storage.CodeOf(err) != "outcome_unknown" {
		t.Errorf("halted: %v", err)
	}
	for _, node := range rt.nodes {
		if node != leader {
			if _, err := node.raft.Apply(t.Context(), []byte("x")); storage.CodeOf(err) != "not_leader" {
				t.Errorf("follower: %v", err)
			}
			rt.stop(node)
		}
	}
	// Alone, the leader can't tell what becomes of it.
	if _, err := leader.raft.Apply(t.Context(), []byte("alone")); storage.KindOf(err) != storage.KindUnknown && storage.CodeOf(err) != "not_leader" {
		t.Errorf("alone: %v", err)
	}
	if err := leader.raft.VerifyLeader(t.Context()); storage.CodeOf(err) != "not_leader" {
		t.Errorf("alone: %v", err)
	}
}

// A joiner replicates before it votes; members change on the leader only.
func TestRaftMembers(t *testing.T) {
	t.Parallel()
	rt := newRaftTest(t, 3)
	rt.bootstrap()
	index := rt.apply("a")
	joiner := rt.add()
	ctx, cancel := limit(t)
	defer cancel()
	if err := rt.leader().raft.AddNonvoter(ctx, joiner.id); err != nil {
		t.Fatal(err)
	}
	rt.mustReach(joiner, index, []string{"a"})
	if voters := rt.leader().raft.Voters(); !slices.Equal(voters, rt.ids(3)) {
		t.Errorf("voters %v", voters)
	}
	if err := rt.leader().raft.AddVoter(ctx, joiner.id); err != nil {
		t.Fatal(err)
	}
	if voters := rt.leader().raft.Voters(); !slices.Equal(voters, rt.ids(4)) {
		t.Errorf("voters %v", voters)
	}
	leader := rt.leader()
	gone := rt.nodes[0]
	if gone == leader {
		gone = rt.nodes[1]
	}
	if err := gone.raft.RemoveServer(ctx, joiner.id); storage.CodeOf(err) != "not_leader" {
		t.Errorf("a follower changes members: %v", err)
	}
	if err := leader.raft.RemoveServer(ctx, gone.id); err != nil {
		t.Fatal(err)
	}
	if slices.Contains(rt.leader().raft.Servers(), Server{ID: gone.id, Voter: true}) {
		t.Error("it is a member still")
	}
	if err := leader.raft.TransferLeadership(ctx); err != nil {
		t.Fatal(err)
	}
	if now := rt.leader(); now == leader {
		t.Error("leadership was not handed over")
	}
	index = rt.apply("b")
	rt.mustReach(joiner, index, []string{"a", "b"})
}

// What a read waits for is a command: a new leader's own entry and changes of
// members never reach the FSM.
func TestRaftReadIndex(t *testing.T) {
	t.Parallel()
	rt := newRaftTest(t, 1)
	node := rt.nodes[0]
	if index, err := node.raft.ReadIndex(); index != 0 || err != nil {
		t.Errorf("blank: %d, %v", index, err)
	}
	rt.bootstrap()
	rt.leader()
	if index, err := node.raft.ReadIndex(); index != 0 || err != nil {
		t.Errorf("without a command: %d, %v", index, err)
	}
	want := rt.apply("a")
	for id := range 3 {
		ctx, cancel := limit(t)
		if err := node.raft.AddNonvoter(ctx, nodeID(7+id)); err != nil {
			t.Fatal(err)
		}
		cancel()
	}
	if commit := node.raft.CommitIndex(); commit <= want {
		t.Errorf("commit index %d", commit)
	}
	if index, err := node.raft.ReadIndex(); index != want || err != nil {
		t.Errorf("read index %d, %v; want %d", index, err, want)
	}
	rt.stop(node)
	rt.start(node)
	rt.leader()
	if index, err := node.raft.ReadIndex(); index != want || err != nil {
		t.Errorf("after a restart: %d, %v; want %d", index, err, want)
	}
}

// An FSM that is older than the newest snapshot is brought to it before Raft
// starts, and one that is not is left alone.
func TestRaftRestoresIfBehind(t *testing.T) {
	t.Parallel()
	rt := newRaftTest(t, 1)
	node := rt.nodes[0]
	rt.bootstrap()
	want := []string{"a", "b"}
	rt.apply("a")
	index := rt.apply("b")
	for range 2 { // the second has nothing new
		if err := node.raft.Snapshot(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	rt.stop(node)
	rt.start(node)
	if node.fsm.restores != 0 {
		t.Error("an FSM that is not behind is restored")
	}
	rt.stop(node)
	node.fsm = newListFSM()
	rt.start(node)
	if node.fsm.restores != 1 {
		t.Errorf("restored %d times", node.fsm.restores)
	}
	rt.mustReach(node, index, want)
	index = rt.apply("c")
	rt.mustReach(node, index, append(want, "c"))
}

// A certificate is no licence to be somebody else: Raft dials node ids.
func TestRaftDialsIDs(t *testing.T) {
	t.Parallel()
	rt := newRaftTest(t, 2)
	stream := &streamLayer{o: Options{Identity: mustIssue(t, rt.trust, "node-x"), Dial: &net.Dialer{}, Resolve: rt.resolve}, ctx: t.Context()}
	c, err := stream.Dial("node-00", 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if tc, ok := c.(*Conn); !ok || tc.ConnectionState().NegotiatedProtocol != ALPNRaft {
		t.Errorf("%T", c)
	}
	_ = c.Close()
	if _, err := stream.Dial("node-09", time.Second); err == nil {
		t.Error("a node without an address is dialed")
	}
	rt.mu.Lock()
	rt.addrs["node-09"] = rt.addrs["node-00"]
	rt.mu.Unlock()
	if _, err := stream.Dial("node-09", 5*time.Second); err == nil {
		t.Error("another node's certificate is taken")
	}
}

// Deleting a range of the log leaves nothing of it behind and takes nothing
// else, with the options that the log is opened with.
func TestLogDeleteRange(t *testing.T) {
	t.Parallel()
	bolt, err := raftboltdb.New(raftboltdb.Options{
		Path:        filepath.Join(t.TempDir(), raftFile),
		BoltOptions: &bbolt.Options{NoFreelistSync: true, FreelistType: bbolt.FreelistMapType, NoSync: true},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = bolt.Close() }()
	rng := rand.New(rand.NewPCG(1, 2))
	const n = 1000
	for round := range 40 {
		logs := make([]*raft.Log, n)
		for i := range logs {
			logs[i] = &raft.Log{Index: uint64(i + 1), Data: make([]byte, rng.IntN(600))}
		}
		if err := bolt.StoreLogs(logs); err != nil {
			t.Fatal(err)
		}
		low := 1 + rng.Uint64N(n)
		high := low + rng.Uint64N(n-low+1)
		if err := bolt.DeleteRange(low, high); err != nil {
			t.Fatal(err)
		}
		for i := uint64(1); i <= n; i++ {
			err := bolt.GetLog(i, &raft.Log{})
			if deleted := i >= low && i <= high; deleted != errors.Is(err, raft.ErrLogNotFound) {
				t.Fatalf("round %d: %d of %d to %d: %v", round, i, low, high, err)
			}
		}
	}
	first, err1 := bolt.FirstIndex()
	last, err2 := bolt.LastIndex()
	if err := errors.Join(err1, err2); err != nil || first == 0 || last == 0 {
		t.Error(fmt.Sprint(first, last), err)
	}
}

// What knows the removed nodes is closed after the transport is: it must not be
// asked any more, though Raft's accepting goroutine may be between two steps.
func TestClosedTransportAsksNobody(t *testing.T) {
	t.Parallel()
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	asked := 0
	stream := &streamLayer{Listener: ln, o: Options{Refuse: func(storage.NodeID) bool { asked++; return false }}}
	if stream.refuses("node-00") || asked != 1 {
		t.Errorf("refused while open, asked %d times", asked)
	}
	if err := stream.Close(); err != nil {
		t.Fatal(err)
	}
	if !stream.refuses("node-00") || asked != 1 {
		t.Errorf("taken in while closed, asked %d times", asked)
	}
}
