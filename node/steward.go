package node

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"ringbin/cluster"
	"ringbin/storage"
	"ringbin/storage/meta"
)

// Limits and times of the leader's duties.
const (
	stewardEvery   = time.Second     // a look without a notification: catching up and expiry make none
	sweepEvery     = 5 * time.Second // and a tenth of the grace, when that is less
	sweepLimit     = 500             // references one command removes
	caughtUpWithin = 256             // entries behind the commit index that count as caught up
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

	silent map[storage.NodeID]time.Time // replaced members, since when they do not answer; run only

	votes sync.Mutex // one look at who should vote at a time: two would give one too many
}

func newSteward(n *Node, logger *slog.Logger) *steward {
	return &steward{n: n, logger: logger, ticked: make(chan struct{}), silent: map[storage.NodeID]time.Time{}}
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
			if time.Since(lastSweep) >= s.sweepPause() {
				lastSweep = time.Now()
				s.warn("sweeping failed", s.sweep(ctx))
				s.warn("condemning failed", s.condemn(ctx))
				s.warn("time not kept going", s.keepTime(ctx))
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
	s.warn("promoting failed", s.promote(ctx, raft, ""))
	s.warn("replacing failed", s.replace(ctx, raft))
	s.warn("taking out who leaves failed", s.depart(ctx, raft))
}

func (s *steward) warn(msg string, err error) {
	if err != nil {
		s.logger.Warn(msg, "err", err) //nolint:sloglint // one of the constants above
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
	nodes := s.placeable(book)
	change := s.n.fsm.RingChange()
	if next != nil {
		switch {
		case !fillable(next, nodes):
			s.logger.Warn("ring change given up: one of its nodes leaves or stays, is no member any more, or came up blank", "version", next.Version)
			return s.propose(ctx, meta.AbortRing{Version: next.Version})
		case change.Left == 0:
			// Nothing moves, so nobody has anything to say: the leader does.
			self, _ := s.n.fsm.Node(s.n.self())
			return s.propose(ctx, meta.PartitionsSynced{Node: self.ID, Incarnation: self.Incarnation, Version: next.Version})
		}
		return nil
	}
	if change.Held {
		return nil
	}
	if cur == nil && !namesAll(book, raft.Servers()) {
		return nil // the first ring waits until every founder has said where it is
	}
	able := 0
	for _, m := range nodes {
		able += int(number(m.Capacity > 0))
	}
	if able == 0 {
		return nil
	}
	copies := min(s.n.fsm.Settings().Copies, able)
	// A mixed ring is one that a dropped change left half-way: it has all its
	// copies, but not where they belong.
	if cur != nil && cur.R == copies && sameNodes(cur.Nodes, nodes) && !change.Mixed {
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

// placeable are the members as a ring may have them: who drains owns nothing,
// who is dead and replaced is not there.
func (s *steward) placeable(book []meta.Node) []storage.RingNode {
	draining, replaced := s.n.fsm.Draining(), s.n.fsm.Replaced()
	nodes := make([]storage.RingNode, 0, len(book))
	for _, m := range book {
		if storage.Planted(storage.BugRingFromGossip) && !(placement{s.n}).Alive(m.ID) {
			continue
		}
		if _, dead := replaced[m.ID]; dead {
			continue
		}
		rn := storage.RingNode{ID: m.ID, Incarnation: m.Incarnation, Zone: m.Zone, Capacity: m.Capacity}
		if _, leaves := draining[m.ID]; leaves {
			rn.Capacity = 0
		}
		nodes = append(nodes, rn)
	}
	return nodes
}

// fillable reports whether a ring is still what is wanted of its nodes. One that
// names a node which left would be filled for ever; one that gives places to a
// node which is to leave would be filled for nothing.
func fillable(next *storage.Ring, now []storage.RingNode) bool {
	for _, rn := range next.Nodes {
		i := slices.IndexFunc(now, func(m storage.RingNode) bool { return m.ID == rn.ID })
		switch {
		case i < 0 && rn.Capacity == 0:
			// It has left meanwhile, as it was to.
		case i < 0, now[i].Incarnation != rn.Incarnation, (now[i].Capacity == 0) != (rn.Capacity == 0):
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
// more. Whoever goes, or is about to, does not count: its place is filled before
// it is gone. It never takes a vote away.
func (s *steward) promote(ctx context.Context, raft *cluster.Raft, going storage.NodeID) error {
	s.votes.Lock()
	defer s.votes.Unlock()
	servers := slices.DeleteFunc(raft.Servers(), func(sv cluster.Server) bool { return sv.ID == going || s.n.leaves(sv.ID) })
	target := s.n.voterTarget(len(servers))
	voters := 0
	for _, sv := range servers {
		voters += int(number(sv.Voter))
	}
	for _, sv := range servers {
		if voters >= target {
			return nil
		}
		if sv.Voter || !s.n.isMember(sv.ID) || !s.caughtUp(ctx, raft, sv.ID) {
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
	for s.n.fsm.SweepDue(s.n.clock()) && !storage.Planted(storage.BugExpiredServed) {
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
