package node

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"ringbin/cluster"
	"ringbin/storage"
	"ringbin/storage/meta"
)

// Limits and times of the leader's duties.
const (
	stewardEvery   = time.Second // a look without a notification: catching up and expiry make none
	sweepEvery     = 5 * time.Second
	sweepLimit     = 500 // references one command removes
	caughtUpWithin = 256 // entries behind the commit index that count as caught up
)

// steward does what only the leader does: the term's Tick, the ring, votes,
// sweeping what has expired. All of it is idempotent, and looked at again
// whenever something changes, so a new leader goes on where the old one was.
type steward struct {
	n      *Node
	logger *slog.Logger

	mu       sync.Mutex // protects the fields below
	tickTerm uint64     // the term whose Tick this node's FSM has applied
	ticked   chan struct{}
}

func newSteward(n *Node, logger *slog.Logger) *steward {
	return &steward{n: n, logger: logger, ticked: make(chan struct{})}
}

// waitTick returns once this term's Tick is applied here: from then on this
// FSM has all that earlier leaders committed.
func (s *steward) waitTick(ctx context.Context, term uint64) error {
	for {
		s.mu.Lock()
		now, changed := s.tickTerm, s.ticked
		s.mu.Unlock()
		if now == term {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (s *steward) setTicked(term uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tickTerm = term
	close(s.ticked)
	s.ticked = make(chan struct{})
}

// run does the duties until ctx ends.
func (s *steward) run(ctx context.Context, raft *cluster.Raft) {
	leadership, stopLeadership := raft.Watch()
	defer stopLeadership()
	changes, stopChanges := s.n.fsm.Watch()
	defer stopChanges()
	timer := time.NewTicker(stewardEvery)
	defer timer.Stop()
	lastSweep := time.Time{}
	for {
		if raft.IsLeader() {
			s.duties(ctx, raft)
			if time.Since(lastSweep) >= sweepEvery {
				lastSweep = time.Now()
				s.warn("sweeping failed", s.sweep(ctx))
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-leadership:
		case <-changes:
		case <-timer.C:
		}
	}
}

func (s *steward) duties(ctx context.Context, raft *cluster.Raft) {
	if !s.tick(ctx, raft) {
		return
	}
	s.warn("placing failed", s.place(ctx, raft))
	s.warn("promoting failed", s.promote(ctx, raft))
}

func (s *steward) warn(msg string, err error) {
	if err != nil {
		s.logger.Warn(msg, "err", err) //nolint:sloglint // one of the three constants above
	}
}

// tick commits this term's Tick once and reports whether it stands.
func (s *steward) tick(ctx context.Context, raft *cluster.Raft) bool {
	term := raft.Term()
	s.mu.Lock()
	done := s.tickTerm == term
	s.mu.Unlock()
	if done {
		return true
	}
	if err := s.propose(ctx, meta.Tick{}); err != nil {
		s.logger.Debug("tick not committed", "term", term, "err", err)
		return false
	}
	if raft.Term() != term || !raft.IsLeader() {
		return false
	}
	s.setTicked(term)
	return true
}

// propose returns the FSM's refusal as an error.
func (s *steward) propose(ctx context.Context, c meta.Command) error {
	return s.n.proposeAs(ctx, c)
}

func (n *Node) proposeAs(ctx context.Context, c meta.Command) error {
	res, err := n.proposer.propose(ctx, meta.Header{}, c)
	if err != nil {
		return err
	}
	if res.Err != nil {
		return res.Err
	}
	return nil
}

// place proposes a ring when the members are not those of the newest one.
// While a change is under way the next one waits for it.
func (s *steward) place(ctx context.Context, raft *cluster.Raft) error {
	cur, next := s.n.fsm.Ring()
	book := s.n.fsm.Nodes()
	if next != nil {
		if s.fillable(*next) {
			return nil
		}
		s.logger.Warn("ring change given up: one of its nodes is no member any more, or came up blank", "version", next.Version)
		return s.propose(ctx, meta.AbortRing{Version: next.Version})
	}
	if cur == nil && !namesAll(book, raft.Servers()) {
		return nil // the first ring waits until every founder has said where it is
	}
	nodes := make([]storage.RingNode, 0, len(book))
	for _, m := range book {
		nodes = append(nodes, storage.RingNode{ID: m.ID, Incarnation: m.Incarnation, Zone: m.Zone, Capacity: m.Capacity})
	}
	if len(nodes) == 0 {
		return nil
	}
	copies := min(s.n.fsm.Settings().Copies, len(nodes))
	if cur != nil && cur.R == copies && sameNodes(cur.Nodes, nodes) {
		return nil
	}
	ring, err := cluster.Place(cur, nodes, copies)
	if err != nil {
		return err
	}
	set := meta.SetRing{Ring: ring}
	if cur != nil {
		set.From = cur.Version
		s.logger.Info("ring change proposed", "version", ring.Version, "nodes", len(nodes), "partitions_moved", cluster.Moved(cur, &ring))
	}
	return s.propose(ctx, set)
}

// fillable reports whether every node of a ring can still say that it holds its
// part: a ring that names one who left would be filled for ever.
func (s *steward) fillable(next storage.Ring) bool {
	for _, rn := range next.Nodes {
		if m, ok := s.n.fsm.Node(rn.ID); !ok || m.Incarnation != rn.Incarnation {
			return false
		}
	}
	return true
}

func namesAll(book []meta.Node, servers []cluster.Server) bool {
	known := make(map[storage.NodeID]bool, len(book))
	for _, m := range book {
		known[m.ID] = true
	}
	for _, sv := range servers {
		if !known[sv.ID] {
			return false
		}
	}
	return true
}

func sameNodes(ring, now []storage.RingNode) bool {
	if len(ring) != len(now) {
		return false
	}
	in := make(map[storage.RingNode]bool, len(ring))
	for _, r := range ring {
		in[r] = true
	}
	for _, m := range now {
		if !in[m] {
			return false
		}
	}
	return true
}

// promote gives votes to members that have caught up while the target wants
// more. It never takes one away.
func (s *steward) promote(ctx context.Context, raft *cluster.Raft) error {
	servers := raft.Servers()
	target := s.n.fsm.Settings().VoterTarget
	if target == 0 {
		target = cluster.VoterTarget(len(servers))
	}
	voters := len(raft.Voters())
	for _, sv := range servers {
		if voters >= target {
			return nil
		}
		if sv.Voter || !s.n.isMember(sv.ID) {
			continue
		}
		st, err := s.n.peers.Status(ctx, sv.ID)
		if err != nil || st.Applied+caughtUpWithin < raft.CommitIndex() {
			continue // not yet: looked at again with the next look
		}
		if err := raft.AddVoter(ctx, sv.ID); err != nil {
			return err
		}
		s.logger.Info("node votes now", "node", string(sv.ID))
		voters++
	}
	return nil
}

// sweep removes what has expired, in bounded commands.
func (s *steward) sweep(ctx context.Context) error {
	for s.n.fsm.SweepDue(time.Now().UnixMilli()) {
		res, err := s.n.proposer.propose(ctx, meta.Header{}, meta.Sweep{Limit: sweepLimit})
		if err != nil {
			return err
		}
		if res.Err != nil {
			return res.Err
		}
		if r, ok := res.Value.(meta.SweepResult); !ok || !r.More {
			return nil
		}
	}
	return nil
}
