package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/raft"

	"ringbin/cluster/peer"
	"ringbin/storage"
	"ringbin/storage/meta"
)

// oneLog stands in for consensus: what is applied to it is in the FSM at once.
type oneLog struct {
	fsm  *meta.FSM
	self storage.NodeID

	mu      sync.Mutex // protects the fields below
	leader  storage.NodeID
	term    uint64
	index   uint64
	entries int
	// before and after are asked around each entry; an error of before keeps it out.
	before, after func(entry int) error
}

func (l *oneLog) Apply(_ context.Context, data []byte) (uint64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.entries++
	if l.before != nil {
		if err := l.before(l.entries); err != nil {
			return 0, err
		}
	}
	l.index++
	l.fsm.Apply(&raft.Log{Index: l.index, Term: l.term, Type: raft.LogCommand, Data: data})
	if l.after != nil {
		return l.index, l.after(l.entries)
	}
	return l.index, nil
}

func (l *oneLog) IsLeader() bool {
	id, _, _ := l.Leader()
	return id == l.self
}

func (l *oneLog) Leader() (storage.NodeID, uint64, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.leader, l.term, l.leader != ""
}

func (l *oneLog) Term() uint64 {
	_, term, _ := l.Leader()
	return term
}

func (l *oneLog) Poke(uint64) {}

func (l *oneLog) elect(id storage.NodeID, term uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.leader, l.term = id, term
}

func openProposer(t *testing.T) (*proposer, *oneLog) {
	t.Helper()
	logger := slog.New(slog.DiscardHandler)
	fsm, err := meta.Open("meta", meta.Options{FS: vfs.NewMem(), Logger: logger})
	if err != nil {
		t.Fatal(err)
	}
	l := &oneLog{fsm: fsm, self: "self", leader: "self", term: 1}
	p := newProposer("self", fsm, logger)
	p.raft = func() (raftLog, bool) { return l, true }
	p.stamp = func(context.Context) int64 { return p.now() }
	p.send = func(context.Context, storage.NodeID, peer.Pack) (peer.PackReply, error) {
		return peer.PackReply{}, storage.E("test", storage.KindUnavailable, errors.New("nobody else"))
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { p.runGather(ctx) })
	wg.Go(func() { p.runRounds(ctx) })
	t.Cleanup(func() {
		cancel()
		wg.Wait()
		if err := fsm.Close(); err != nil {
			t.Error(err)
		}
	})
	return p, l
}

func deposit(reference string) meta.Deposit {
	return meta.Deposit{EntryID: newID("txn"), Account: "a", AmountCents: 5, Reference: reference}
}

func mustPropose(t *testing.T, p *proposer, c meta.Command) {
	t.Helper()
	res, err := p.propose(t.Context(), meta.Header{}, c)
	if err != nil || res.Err != nil {
		t.Fatalf("%T: %v %v", c, err, res.Err)
	}
}

func balanceOf(t *testing.T, p *proposer) int64 {
	t.Helper()
	a, found, err := p.fsm.Account("a")
	if err != nil || !found {
		t.Fatalf("account: %v %v", found, err)
	}
	return a.BalanceCents
}

// TestProposalsShareEntries: what is proposed at the same time travels
// together, and each caller gets its own answer.
func TestProposalsShareEntries(t *testing.T) {
	t.Parallel()
	p, l := openProposer(t)
	mustPropose(t, p, meta.CreateAccount{ID: "a", Email: "a@example.com", Name: "A"})
	const callers = 200
	var wg sync.WaitGroup
	for i := range callers {
		wg.Go(func() {
			res, err := p.propose(t.Context(), meta.Header{}, deposit(fmt.Sprint("ref ", i)))
			if err != nil || res.Err != nil {
				t.Errorf("%v %v", err, res.Err)
				return
			}
			if v, ok := res.Value.(meta.DepositResult); !ok || v.Reference != fmt.Sprint("ref ", i) {
				t.Errorf("caller %d got %+v", i, res.Value)
			}
		})
	}
	wg.Wait()
	if got := balanceOf(t, p); got != 5*callers {
		t.Errorf("balance %d, want %d", got, 5*callers)
	}
	if l.entries > callers/2 {
		t.Errorf("%d entries for %d commands proposed at once", l.entries, callers)
	}
	// An entry is counted before the next one begins.
	want := int64(l.entries)
	mustPropose(t, p, meta.Tick{})
	if entries, commands := p.rounded.entries.Load(), p.rounded.commands.Load(); entries < want || entries-want != commands-callers-1 {
		t.Errorf("counted are %d commands in %d entries, not %d in %d", commands, entries, callers+1, want)
	}
}

// TestUnknownOutcomesAreTriedAgain: whether an entry was lost before it was
// committed or its answer after that, the caller gets one effect (I8).
func TestUnknownOutcomesAreTriedAgain(t *testing.T) {
	t.Parallel()
	lost := &storage.Error{Op: "test", Kind: storage.KindUnknown, Code: "outcome_unknown"}
	first := func(entry int) error {
		if entry == 2 {
			return lost
		}
		return nil
	}
	for name, spoil := range map[string]func(*oneLog){
		"entry lost":  func(l *oneLog) { l.before = first },
		"answer lost": func(l *oneLog) { l.after = first },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, l := openProposer(t)
			spoil(l)
			mustPropose(t, p, meta.CreateAccount{ID: "a", Email: "a@example.com", Name: "A"})
			mustPropose(t, p, deposit("once"))
			if got := balanceOf(t, p); got != 5 {
				t.Errorf("balance %d after one deposit of 5", got)
			}
		})
	}
}

// TestOutcomeIsTold: a caller that gives up learns whether anything can have
// happened.
func TestOutcomeIsTold(t *testing.T) {
	t.Parallel()
	p, l := openProposer(t)
	short := func() (context.Context, context.CancelFunc) {
		return context.WithTimeout(t.Context(), 100*time.Millisecond)
	}
	ctx, cancel := short()
	defer cancel()
	l.elect("", 1)
	if _, err := p.propose(ctx, meta.Header{}, meta.Tick{}); storage.KindOf(err) != storage.KindUnavailable || storage.CodeOf(err) != "no_leader" {
		t.Errorf("without a leader: %v", err)
	}
	l.elect("self", 2)
	l.mu.Lock()
	l.before = func(int) error { return &storage.Error{Op: "test", Kind: storage.KindUnknown} }
	l.mu.Unlock()
	ctx, cancel = short()
	defer cancel()
	if _, err := p.propose(ctx, meta.Header{}, meta.Tick{}); storage.KindOf(err) != storage.KindUnknown {
		t.Errorf("with answers lost: %v", err)
	}
}

// TestLeaderChangeFreesPacks: a pack on its way to a dead leader is sent again
// to the new one at once, not after its timeout.
func TestLeaderChangeFreesPacks(t *testing.T) {
	t.Parallel()
	p, l := openProposer(t)
	l.elect("other", 1)
	sent := make(chan struct{})
	var once sync.Once
	p.send = func(ctx context.Context, _ storage.NodeID, _ peer.Pack) (peer.PackReply, error) {
		once.Do(func() { close(sent) })
		<-ctx.Done() // a dead machine sends no reset
		return peer.PackReply{}, &storage.Error{Op: "test", Kind: storage.KindUnknown, Err: ctx.Err()}
	}
	done := make(chan error, 1)
	start := time.Now()
	go func() {
		_, err := p.propose(context.Background(), meta.Header{}, meta.Tick{})
		done <- err
	}()
	<-sent
	l.elect("self", 2)
	p.leaderChanged()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if took := time.Since(start); took >= packTimeout {
		t.Errorf("took %v: the pack's own timeout ended it", took)
	}
}

func TestAcceptRefuses(t *testing.T) {
	t.Parallel()
	p, l := openProposer(t)
	command, err := meta.Encode(meta.Header{ID: meta.RequestID{1}}, meta.Tick{})
	if err != nil {
		t.Fatal(err)
	}
	for name, pack := range map[string]peer.Pack{
		"a pack for another term": {Term: 7, Commands: [][]byte{command}},
		"an empty pack":           {Term: 1},
		"too many commands":       {Term: 1, Commands: make([][]byte, packCommandsMax+1)},
	} {
		if _, err := p.accept(t.Context(), pack); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
	l.elect("other", 1)
	if _, err := p.accept(t.Context(), peer.Pack{Term: 1, Commands: [][]byte{command}}); storage.CodeOf(err) != "not_leader" {
		t.Errorf("a follower accepted a pack: %v", err)
	}
}

func TestFrozenWritesNothing(t *testing.T) {
	t.Parallel()
	p, l := openProposer(t)
	p.frozen.Store(true)
	if _, err := p.propose(t.Context(), meta.Header{}, meta.Tick{}); storage.KindOf(err) != storage.KindUnavailable {
		t.Errorf("proposed while frozen: %v", err)
	}
	if l.entries != 0 {
		t.Errorf("%d entries", l.entries)
	}
}

// TestUnreadableCommandsStayOut: what would halt every node once it was in the
// log is refused before, by who proposes it and by the leader.
func TestUnreadableCommandsStayOut(t *testing.T) {
	t.Parallel()
	p, l := openProposer(t)
	if _, err := p.propose(t.Context(), meta.Header{}, meta.RevokeKey{Account: "a", ID: "\xff"}); storage.KindOf(err) != storage.KindInvalid {
		t.Errorf("text that is no UTF-8: %v", err)
	}
	pack := peer.Pack{Term: 1, Commands: [][]byte{{0xee, 1, 0xa0}}}
	if _, err := p.accept(t.Context(), pack); storage.KindOf(err) != storage.KindInvalid {
		t.Errorf("an unknown type of command: %v", err)
	}
	if l.entries != 0 {
		t.Errorf("%d entries", l.entries)
	}
	mustPropose(t, p, meta.Tick{})
}
