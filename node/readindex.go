package node

import (
	"context"
	"sync"
	"time"

	"ringbin/storage"
)

// readIndexTimeout is how long one question to the leader may take.
const readIndexTimeout = 2 * time.Second

// rounds of a question that many readers share: a reader may join only a round
// that has not started, since the answer must be newer than its own arrival.
type sharedRound[T any] struct {
	ask func(ctx context.Context) (T, error)
	wg  *sync.WaitGroup // owner of the goroutine that asks

	mu      sync.Mutex // protects the fields below
	next    *ask[T]
	running bool
}

type ask[T any] struct {
	done  chan struct{}
	value T
	err   error
}

// get returns the answer to a question that was asked after get was called.
func (s *sharedRound[T]) get(ctx context.Context) (T, error) {
	s.mu.Lock()
	a := s.next
	if a == nil {
		a = &ask[T]{done: make(chan struct{})}
		s.next = a
	}
	if !s.running {
		s.running = true
		s.wg.Go(s.run)
	}
	s.mu.Unlock()
	select {
	case <-a.done:
		return a.value, a.err
	case <-ctx.Done():
		var zero T
		return zero, ctx.Err()
	}
}

// run asks until nobody waits.
func (s *sharedRound[T]) run() {
	for {
		s.mu.Lock()
		a := s.next
		s.next = nil
		if a == nil {
			s.running = false
			s.mu.Unlock()
			return
		}
		s.mu.Unlock()
		// The round outlives any one of its readers, hence a context of its own.
		ctx, cancel := context.WithTimeout(context.Background(), readIndexTimeout)
		a.value, a.err = s.ask(ctx)
		cancel()
		close(a.done)
	}
}

// catchUp returns once this node's FSM has applied all that was committed when
// catchUp was called (I4). Without a leader: KindUnavailable, no_leader.
func (n *Node) catchUp(ctx context.Context) error {
	const op = "node.catchUp"
	ctx, cancel := context.WithTimeout(ctx, catchUpTimeout)
	defer cancel()
	for {
		asked := time.Now()
		index, err := n.followerReads.get(ctx)
		if err == nil {
			if err := n.fsm.Wait(ctx, index); err != nil {
				return noLeader(op, err)
			}
			n.caughtUp.Store(&asked)
			return nil
		}
		select {
		case <-ctx.Done():
			return noLeader(op, err)
		case <-time.After(retryPause):
		}
	}
}

// catchUpTimeout covers an election: a read waits it out rather than fail.
const catchUpTimeout = 5 * time.Second

// askReadIndex asks whoever leads for the read index.
func (n *Node) askReadIndex(ctx context.Context) (uint64, error) {
	raft, ok := n.raft()
	if !ok {
		return 0, noLeader("node.askReadIndex", nil)
	}
	leader, _, ok := raft.Leader()
	switch {
	case !ok:
		return 0, noLeader("node.askReadIndex", nil)
	case leader == n.self():
		return n.leaderReads.get(ctx)
	}
	r, err := n.peers.ReadIndex(ctx, leader)
	return r.Index, err
}

// confirmReadIndex is the leader's half: the index of the newest command that
// is committed, taken once this term's Tick was applied, and then a proof that
// no other leader had been elected by then.
func (n *Node) confirmReadIndex(ctx context.Context) (uint64, error) {
	const op = "node.confirmReadIndex"
	raft, ok := n.raft()
	if !ok || !raft.IsLeader() {
		return 0, noLeader(op, nil)
	}
	if storage.Planted(storage.BugStaleLeaderRead) {
		return n.fsm.AppliedIndex(), nil
	}
	term := raft.Term()
	if !storage.Planted(storage.BugNoBarrier) {
		if err := n.steward.waitTick(ctx, term); err != nil {
			return 0, noLeader(op, err)
		}
	}
	index, err := raft.ReadIndex()
	if err != nil {
		return 0, noLeader(op, err)
	}
	if err := n.proveLeadership(ctx, term); err != nil {
		return 0, noLeader(op, err)
	}
	if raft.Term() != term || !raft.IsLeader() {
		return 0, noLeader(op, nil)
	}
	return index, nil
}

// proveLeadership shows that a majority of voters follows this leader's term
// now. Raft's own check counts the acks of non-voters too, so with any present
// the voters themselves are asked which term they are in: none of a majority
// can have elected anybody later.
func (n *Node) proveLeadership(ctx context.Context, term uint64) error {
	raft, ok := n.raft()
	if !ok {
		return noLeader("node.proveLeadership", nil)
	}
	voters := raft.Voters()
	if len(voters) == len(raft.Servers()) {
		return raft.VerifyLeader(ctx)
	}
	return n.majorityInTerm(ctx, voters, term)
}

func (n *Node) majorityInTerm(ctx context.Context, voters []storage.NodeID, term uint64) error {
	need := len(voters)/2 + 1
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	answers := make(chan bool, len(voters))
	for _, id := range voters {
		n.wg.Go(func() {
			t, err := n.termOf(ctx, id)
			answers <- err == nil && t == term
		})
	}
	yes := 0
	for i := range voters {
		if <-answers {
			yes++
		}
		if yes >= need {
			return nil
		}
		if yes+len(voters)-1-i < need {
			break
		}
	}
	return noLeader("node.majorityInTerm", nil)
}

func (n *Node) termOf(ctx context.Context, id storage.NodeID) (uint64, error) {
	if id == n.self() {
		raft, ok := n.raft()
		if !ok {
			return 0, noLeader("node.termOf", nil)
		}
		return raft.Term(), nil
	}
	return n.peers.Term(ctx, id)
}
