package node

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"ringbin/cluster/peer"
	"ringbin/storage"
	"ringbin/storage/meta"
)

// Limits and times of proposing.
const (
	packCommandsMax = 1024    // commands that travel together
	packBytesMax    = 4 << 20 // their bytes
	waitingMax      = 8192    // commands that wait for a pack on one node
	roundBytesMax   = 8 << 20 // what the leader merges into one log entry
	packsMax        = 256     // packs that wait on the leader

	proposeTimeout = 10 * time.Second      // what a caller without a deadline gets
	packTimeout    = 5 * time.Second       // one RPC to the leader
	retryPause     = 20 * time.Millisecond // after a refusal: an election is under way
	notAfterSpan   = 60 * time.Second      // how long a command may be on its way
)

// log is what proposing needs of the Raft group.
type raftLog interface {
	Apply(ctx context.Context, data []byte) (uint64, error)
	IsLeader() bool
	Leader() (storage.NodeID, uint64, bool)
	Term() uint64
	Poke(index uint64)
}

// proposer brings commands into the log. Every node gathers what its requests
// propose at the same time into a pack and has one pack on the way to the
// leader; the leader merges the packs that wait into one entry and has one
// entry on the way. A command is done when the node's own FSM has applied its
// id, whatever the RPC said: so a request reads its own write.
type proposer struct {
	self   storage.NodeID
	fsm    *meta.FSM
	raft   func() (raftLog, bool)
	send   func(ctx context.Context, to storage.NodeID, p peer.Pack) (peer.PackReply, error)
	now    func() int64 // Unix milliseconds
	stamp  func(ctx context.Context) int64
	logger *slog.Logger
	// frozen stops all writing: the states of nodes differ, and no majority
	// tells which one is right.
	frozen atomic.Bool

	mu      sync.Mutex // protects the fields below
	waiting []*proposal
	seq     uint64
	abandon context.CancelFunc // ends the pack on its way; nil when none is

	gather chan struct{} // a proposal waits
	rounds chan *round   // packs that wait on this node as leader

	rounded struct{ entries, commands atomic.Int64 } // brought into the log as leader
}

// proposal is one command on its way; tried tells what became of its pack.
type proposal struct {
	command []byte
	tried   chan error
}

// round is a pack as the leader holds it.
type round struct {
	origin   storage.NodeID
	term     uint64
	commands [][]byte
	done     chan roundResult
}

type roundResult struct {
	index uint64
	err   error
}

func newProposer(self storage.NodeID, fsm *meta.FSM, logger *slog.Logger) *proposer {
	return &proposer{
		self: self, fsm: fsm, logger: logger,
		now:    func() int64 { return time.Now().UnixMilli() },
		gather: make(chan struct{}, 1),
		rounds: make(chan *round, packsMax),
	}
}

// propose returns what the FSM made of a command. A header without an id gets
// one of its own; one with an id, and the time after which it is refused, is
// proposed again by whoever did not learn what became of it. A refusal by the FSM is in
// the result; the error is KindUnavailable when the command was certainly not
// done, and KindUnknown when that cannot be said.
func (p *proposer) propose(ctx context.Context, h meta.Header, c meta.Command) (meta.Result, error) {
	const op = "node.propose"
	if p.frozen.Load() {
		return meta.Result{}, noLeader(op, errDiverged)
	}
	ctx, cancel := context.WithTimeout(ctx, proposeTimeout)
	defer cancel()
	if h.ID == (meta.RequestID{}) {
		h = p.named(h)
	}
	command, err := meta.Encode(h, c)
	if err != nil {
		return meta.Result{}, err
	}
	pending := p.fsm.Expect(h.ID)
	defer pending.Cancel()

	// Every try is under the one id, which the FSM carries out once (I8): so
	// a try whose outcome is unknown may simply be made again.
	unknown := false
	for {
		pr := &proposal{command: command, tried: make(chan error, 1)}
		if err := p.enqueue(pr); err != nil && unknown {
			return meta.Result{}, p.gaveUp(op, unknown, err)
		} else if err != nil {
			return meta.Result{}, err
		}
		again := false
		for !again {
			select {
			case r := <-pending.Done():
				return r, nil
			case err := <-pr.tried:
				if err == nil {
					// Committed: the own FSM is about to apply it.
					unknown = true
					continue
				}
				unknown = unknown || storage.KindOf(err) == storage.KindUnknown
				again = true
			case <-ctx.Done():
				return meta.Result{}, p.gaveUp(op, unknown || p.withdraw(pr), ctx.Err())
			}
		}
		select {
		case r := <-pending.Done():
			return r, nil
		case <-ctx.Done():
			return meta.Result{}, p.gaveUp(op, unknown, ctx.Err())
		case <-time.After(retryPause):
		}
	}
}

// named gives a header an id, and the time after which it is refused.
func (p *proposer) named(h meta.Header) meta.Header {
	now := max(p.now(), p.fsm.Now())
	h.ID, h.NotAfter = orderedRequestID(now), now+notAfterSpan.Milliseconds()
	return h
}

func (p *proposer) gaveUp(op string, unknown bool, err error) error {
	if unknown {
		return &storage.Error{Op: op, Kind: storage.KindUnknown, Code: "outcome_unknown", Err: err}
	}
	return noLeader(op, err)
}

// leaderless reports whether there has been no leader for so long that a
// request need not wait for one. An election, or a start, is waited out.
func (n *Node) leaderless() bool {
	raft, ok := n.raft()
	if !ok {
		return true
	}
	_, _, led := raft.Leader()
	return !led && time.Since(raft.LastContact()) > proposeTimeout && time.Since(n.opened) > proposeTimeout
}

func noLeader(op string, err error) error {
	return &storage.Error{Op: op, Kind: storage.KindUnavailable, Code: "no_leader", Err: err}
}

func (p *proposer) enqueue(pr *proposal) error {
	p.mu.Lock()
	full := len(p.waiting) >= waitingMax
	if !full {
		p.waiting = append(p.waiting, pr)
	}
	p.mu.Unlock()
	if full {
		return &storage.Error{Op: "node.propose", Kind: storage.KindUnavailable, Code: "overloaded"}
	}
	p.wake()
	return nil
}

func (p *proposer) wake() {
	select {
	case p.gather <- struct{}{}:
	default:
	}
}

// withdraw takes back a proposal that no pack has taken yet, and reports
// whether it came too late for that.
func (p *proposer) withdraw(pr *proposal) (sent bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, w := range p.waiting {
		if w == pr {
			p.waiting = append(p.waiting[:i], p.waiting[i+1:]...)
			return false
		}
	}
	return true
}

// runGather sends packs, one at a time, until ctx ends.
func (p *proposer) runGather(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.gather:
		}
		for {
			pack := p.take()
			if len(pack) == 0 {
				break
			}
			began := time.Now()
			err := p.sendPack(ctx, pack)
			for _, pr := range pack {
				pr.tried <- err
			}
			if !rest(ctx, gatherPause(len(pack), time.Since(began), err)) {
				return
			}
		}
	}
}

func (p *proposer) take() []*proposal {
	p.mu.Lock()
	defer p.mu.Unlock()
	n, bytes := 0, 0
	for n < len(p.waiting) && n < packCommandsMax {
		bytes += len(p.waiting[n].command)
		if n > 0 && bytes > packBytesMax {
			break
		}
		n++
	}
	pack := p.waiting[:n:n]
	p.waiting = p.waiting[n:]
	return pack
}

// sendPack brings one pack to whoever leads and waits for its commit. A change
// of leader ends the wait at once: a dead machine sends no reset.
func (p *proposer) sendPack(ctx context.Context, pack []*proposal) error {
	ctx, cancel := context.WithTimeout(ctx, packTimeout)
	defer cancel()
	raft, ok := p.raft()
	if !ok {
		return noLeader("node.sendPack", nil)
	}
	leader, term, ok := raft.Leader()
	if !ok {
		return noLeader("node.sendPack", nil)
	}
	p.mu.Lock()
	p.seq++
	seq := p.seq
	p.abandon = cancel
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		p.abandon = nil
		p.mu.Unlock()
	}()
	commands := make([][]byte, len(pack))
	for i, pr := range pack {
		commands[i] = pr.command
	}
	wire := peer.Pack{Origin: p.self, Seq: seq, Term: term, Commands: commands}
	if leader == p.self {
		_, err := p.accept(ctx, wire)
		return err
	}
	_, err := p.send(ctx, leader, wire)
	return err
}

// leaderChanged fails the pack that is on its way to the former leader.
func (p *proposer) leaderChanged() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.abandon != nil {
		p.abandon()
	}
}

// accept takes a pack on the leader and returns once it is committed and
// applied here, with its index.
func (p *proposer) accept(ctx context.Context, pack peer.Pack) (uint64, error) {
	const op = "node.accept"
	raft, ok := p.raft()
	if !ok || !raft.IsLeader() || raft.Term() != pack.Term {
		return 0, &storage.Error{Op: op, Kind: storage.KindUnavailable, Code: "not_leader"}
	}
	if len(pack.Commands) == 0 || len(pack.Commands) > packCommandsMax {
		return 0, storage.Invalid(op, "", "commands", "1 to 1024")
	}
	for _, c := range pack.Commands {
		if err := meta.Check(c); err != nil {
			return 0, err
		}
	}
	r := &round{origin: pack.Origin, term: pack.Term, commands: pack.Commands, done: make(chan roundResult, 1)}
	select {
	case p.rounds <- r:
	default:
		return 0, &storage.Error{Op: op, Kind: storage.KindUnavailable, Code: "overloaded"}
	}
	select {
	case res := <-r.done:
		return res.index, res.err
	case <-ctx.Done():
		return 0, &storage.Error{Op: op, Kind: storage.KindUnknown, Code: "outcome_unknown", Err: ctx.Err()}
	}
}

// runRounds commits what waits on this node as leader, one entry at a time,
// until ctx ends. One entry on its way keeps uncommitted entries far below
// what Raft keeps behind a snapshot (I19).
func (p *proposer) runRounds(ctx context.Context) {
	var packs joining
	for {
		select {
		case <-ctx.Done():
			p.failRounds()
			return
		case first := <-p.rounds:
			rounds := p.merge(ctx, first, packs.expected())
			packs.merged(rounds)
			p.commit(ctx, rounds)
		}
	}
}

// merge takes what else waits, within one entry's limit, and waits a moment
// until there are as many packs as expected.
func (p *proposer) merge(ctx context.Context, first *round, expected int) []*round {
	rounds := []*round{first}
	var late <-chan time.Time
	bytes := 0
	for {
		for _, c := range rounds[len(rounds)-1].commands {
			bytes += len(c)
		}
		if bytes > roundBytesMax {
			return rounds
		}
		select {
		case r := <-p.rounds:
			rounds = append(rounds, r)
			continue
		default:
		}
		if len(rounds) >= expected {
			return rounds
		}
		if late == nil {
			late = time.After(joinMost)
		}
		select {
		case r := <-p.rounds:
			rounds = append(rounds, r)
		case <-late:
			return rounds
		case <-ctx.Done():
			return rounds
		}
	}
}

func (p *proposer) commit(ctx context.Context, rounds []*round) {
	raft, ok := p.raft()
	if !ok {
		answer(rounds, roundResult{err: noLeader("node.commit", nil)})
		return
	}
	// A pack meant for another term is refused: its origin sends it again,
	// perhaps elsewhere, and has not been promised an order.
	term := raft.Term()
	var commands [][]byte
	var live []*round
	for _, r := range rounds {
		if r.term != term {
			answer([]*round{r}, roundResult{err: &storage.Error{Op: "node.commit", Kind: storage.KindUnavailable, Code: "not_leader"}})
			continue
		}
		live = append(live, r)
		commands = append(commands, r.commands...)
	}
	if len(live) == 0 {
		return
	}
	index, err := raft.Apply(ctx, meta.Pack(p.stamp(ctx), commands))
	if err == nil {
		p.rounded.entries.Add(1)
		p.rounded.commands.Add(int64(len(commands)))
	}
	answer(live, roundResult{index: index, err: err})
	if err == nil && len(p.rounds) == 0 {
		raft.Poke(index)
	}
}

func (p *proposer) failRounds() {
	for {
		select {
		case r := <-p.rounds:
			answer([]*round{r}, roundResult{err: noLeader("node.runRounds", errors.New("closing"))})
		default:
			return
		}
	}
}

func answer(rounds []*round, res roundResult) {
	for _, r := range rounds {
		r.done <- res
	}
}
