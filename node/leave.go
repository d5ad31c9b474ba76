package node

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"ringbin/cluster"
	"ringbin/storage"
	"ringbin/storage/meta"
)

// Times of members that go.
const (
	// replaceAfter is how long a dead member has to be silent before who comes
	// under its name takes its place. Where the newcomer has its very address the
	// dead one can't come back beside it, and nothing is waited for.
	replaceAfter = 10 * time.Second
	askWithin    = time.Second
	// outsideAfter is how long a node hears of no leader before it asks whether
	// it is a member still.
	outsideAfter = 3 * time.Second
)

// ErrLeft is what [Node.Failed] yields on a node that has left the cluster as
// it was told to: it has nothing more to do, and nothing went wrong.
var ErrLeft = errors.New("this node has left the cluster: its id is not used again, and its data directory can be wiped")

// Leaving is what becomes of a wish to leave.
type Leaving struct {
	ID       string   `json:"id"`
	Leaving  bool     `json:"leaving"`
	Warnings []string `json:"warnings"` // what the cluster will be without it
}

// Leave drains a member: it gets no place in the next ring, hands over what it
// has, then its vote and its leadership, and ends. It returns once the wish is
// replicated; the rest goes on whoever leads, whatever is restarted. Without
// force a wish is refused (KindConflict) that leaves fewer copies than there
// are now, or voters of whom none may be lost.
func (s *Service) Leave(ctx context.Context, c Caller, id storage.NodeID, force bool) (Leaving, error) {
	const op = "node.Leave"
	if err := s.ofMember(ctx, op, c, id); err != nil {
		return Leaving{}, err
	}
	n := s.n
	warnings, grave := n.without(id)
	if len(grave) > 0 && !force {
		return Leaving{}, &storage.Error{Op: op, Kind: storage.KindConflict, Text: grave[0] + ": force is needed"}
	}
	if err := n.proposeAs(ctx, meta.DrainNode{ID: id, Drain: true, Force: force}); err != nil {
		if storage.CodeOf(err) == "last_node" {
			return Leaving{}, &storage.Error{Op: op, Kind: storage.KindConflict, Text: "the last node can't leave"}
		}
		return Leaving{}, err
	}
	n.logger.Info("node is to leave", "node", string(id), "warnings", append(grave, warnings...))
	return Leaving{ID: string(id), Leaving: true, Warnings: append(grave, warnings...)}, nil
}

// without says what a cluster loses with a member: what is worth a word, and
// what needs force.
func (n *Node) without(id storage.NodeID) (warnings, grave []string) {
	raft, _ := n.raft()
	draining := n.fsm.Draining()
	stay := 0
	for _, m := range n.fsm.Nodes() {
		if _, leaves := draining[m.ID]; !leaves && m.ID != id {
			stay++
		}
	}
	if cur, _ := n.fsm.Ring(); cur != nil {
		if after := min(n.fsm.Settings().Copies, stay); after < cur.R {
			grave = append(grave, fmt.Sprintf("content will have %d copies instead of %d", after, cur.R))
		}
	}
	voters := slices.DeleteFunc(raft.Voters(), func(v storage.NodeID) bool { _, leaves := draining[v]; return leaves && v != id })
	before, after := len(voters), len(voters)
	if slices.Contains(voters, id) && n.voterTarget(stay) < before {
		after--
	} else if slices.Contains(voters, id) {
		after = min(before, stay) // another one gets its vote
	}
	switch was, will := (before-1)/2, max(after-1, 0)/2; {
	case will < was && will == 0:
		grave = append(grave, fmt.Sprintf("%d voters instead of %d: none of them may be lost", after, before))
	case after < before:
		warnings = append(warnings, fmt.Sprintf("%d voters instead of %d: %d may be lost at a time instead of %d", after, before, will, was))
	}
	return warnings, grave
}

// AbortLeave keeps a member that was to leave.
func (s *Service) AbortLeave(ctx context.Context, c Caller, id storage.NodeID) error {
	if err := s.ofMember(ctx, "node.AbortLeave", c, id); err != nil {
		return err
	}
	return s.n.proposeAs(ctx, meta.DrainNode{ID: id})
}

// HoldMoves drops the change of the ring that is under way and has no other one
// begun, until the hold is taken away or the members change. What was handed
// over stays so.
func (s *Service) HoldMoves(ctx context.Context, c Caller, hold bool) error {
	if err := operatorOnly("node.HoldMoves", c); err != nil {
		return err
	}
	return s.n.proposeAs(ctx, meta.HoldRing{Hold: hold})
}

// voterTarget is how many of so many members should vote.
func (n *Node) voterTarget(members int) int {
	if t := n.fsm.Settings().VoterTarget; t != 0 {
		return min(t, members)
	}
	return cluster.VoterTarget(members)
}

// leaves reports whether a member is going: it is draining, or dead and another
// one comes in its place. It gets no vote and no place any more.
func (n *Node) leaves(id storage.NodeID) bool {
	if _, draining := n.fsm.Draining()[id]; draining {
		return true
	}
	_, replaced := n.fsm.Replaced()[id]
	return replaced
}

// answers reports whether a member is there now.
func (n *Node) answers(ctx context.Context, id storage.NodeID) bool {
	if id == n.self() {
		return true
	}
	ctx, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	_, err := n.peers.Status(ctx, id)
	return err == nil
}

// depart takes out members that were to leave and have nothing left to do: no
// place in a ring, no vote that another one waits for, no leadership, and no
// copy that an owner misses. Each step is looked at anew, so that a new leader
// goes on where the old one was.
func (s *steward) depart(ctx context.Context, raft *cluster.Raft) error {
	draining := s.n.fsm.Draining()
	cur, next := s.n.fsm.Ring()
	if len(draining) == 0 || cur == nil || next != nil {
		return nil
	}
	for _, id := range slices.Sorted(maps.Keys(draining)) {
		if cur.Places(id) > 0 || !s.spareable(ctx, cur, id, draining[id].Force) || s.heirPending(ctx, raft, id) {
			continue
		}
		if id == s.n.self() {
			if len(raft.Voters()) < 2 {
				continue // nobody could lead: looked at again when another one votes
			}
			s.logger.Info("leadership is handed over: this node leaves")
			return s.n.handOver(ctx, raft)
		}
		if err := s.n.removeNode(ctx, id); err != nil {
			return err
		}
		s.logger.Info("node has left", "node", string(id))
	}
	return nil
}

// spareable reports whether every owner was found to hold all that it owns of
// the ring as it is: then nobody needs a copy of the one that goes. With force
// those who do not answer are not waited for.
func (s *steward) spareable(ctx context.Context, cur *storage.Ring, id storage.NodeID, force bool) bool {
	for _, m := range s.n.fsm.Nodes() {
		if m.ID == id || cur.Places(m.ID) == 0 {
			continue
		}
		st := s.n.status()
		if m.ID != s.n.self() {
			asking, cancel := context.WithTimeout(ctx, askWithin)
			var err error
			st, err = s.n.peers.Status(asking, m.ID)
			cancel()
			if err != nil {
				if !force {
					return false
				}
				continue
			}
		}
		if st.Missing > 0 || st.Corrupt > 0 || st.SyncedRing < cur.Version {
			return false
		}
	}
	return true
}

// heirPending reports whether a member that is there is about to get the vote of
// one that goes: votes are added before they are taken.
func (s *steward) heirPending(ctx context.Context, raft *cluster.Raft, id storage.NodeID) bool {
	servers := raft.Servers()
	stay, voters, goes := 0, 0, false
	for _, sv := range servers {
		switch {
		case sv.ID == id:
			goes = sv.Voter
		case !s.n.leaves(sv.ID):
			stay++
			voters += int(number(sv.Voter))
		}
	}
	if !goes || voters >= s.n.voterTarget(stay) {
		return false
	}
	for _, sv := range servers {
		if sv.ID != id && !sv.Voter && !s.n.leaves(sv.ID) && s.n.isMember(sv.ID) && s.n.answers(ctx, sv.ID) {
			return true
		}
	}
	return false
}

// replace takes out dead members whose place another one takes: once it has
// caught up, and as many vote without the dead one as should. A dead one that
// answers is not dead, and stays.
func (s *steward) replace(ctx context.Context, raft *cluster.Raft) error {
	replaced := s.n.fsm.Replaced()
	for id := range s.silent {
		if _, still := replaced[id]; !still {
			delete(s.silent, id)
		}
	}
	for _, old := range slices.Sorted(maps.Keys(replaced)) {
		heir := replaced[old]
		if s.n.answers(ctx, old) {
			s.logger.Warn("not replaced: it answers", "node", string(old), "newcomer", string(heir))
			if err := s.propose(ctx, meta.ReplaceNode{Old: old, New: heir, Cancel: true}); err != nil {
				return err
			}
			continue
		}
		since, known := s.silent[old]
		if !known {
			since = time.Now()
			s.silent[old] = since
		}
		dead, _ := s.n.fsm.Node(old)
		m, _ := s.n.fsm.Node(heir)
		if dead.RPC != m.RPC && time.Since(since) < replaceAfter {
			continue
		}
		if !s.caughtUp(ctx, raft, heir) || s.heirPending(ctx, raft, old) {
			continue
		}
		if err := s.n.removeNode(ctx, old); err != nil {
			return err
		}
		s.logger.Info("dead node replaced", "node", string(old), "by", string(heir), "name", m.Name)
	}
	return nil
}

func (s *steward) caughtUp(ctx context.Context, raft *cluster.Raft, id storage.NodeID) bool {
	st := s.n.status()
	if id != s.n.self() {
		var err error
		if st, err = s.n.peers.Status(ctx, id); err != nil {
			return false
		}
	}
	return st.Applied+caughtUpWithin >= raft.CommitIndex()
}

// noteReplaced notes, on the leader, that a newcomer has the name of a member
// that does not answer.
func (n *Node) noteReplaced(ctx context.Context, newcomer meta.Node) error {
	for _, m := range n.fsm.Nodes() {
		if m.ID == newcomer.ID || m.Name != newcomer.Name || n.answers(ctx, m.ID) {
			continue
		}
		if err := n.proposeAs(ctx, meta.ReplaceNode{Old: m.ID, New: newcomer.ID}); err != nil {
			return err
		}
		n.logger.Info("a node comes in the place of a dead one", "node", string(newcomer.ID), "dead", string(m.ID), "name", m.Name)
	}
	return nil
}

// quorumWithout refuses to take a voter out when those that are left and answer
// are no majority: the change itself could not be committed, and the cluster
// would stand still.
func (n *Node) quorumWithout(ctx context.Context, voters []storage.NodeID, id storage.NodeID) error {
	if !slices.Contains(voters, id) {
		return nil
	}
	left, there := len(voters)-1, 0
	for _, v := range voters {
		if v != id && n.answers(ctx, v) {
			there++
		}
	}
	if there >= left/2+1 {
		return nil
	}
	return &storage.Error{
		Op: "node.quorumWithout", Kind: storage.KindConflict,
		Text: fmt.Sprintf("only %d of the other %d voters answer: without a majority of them nothing could be written", there, left),
	}
}

// checkOut notices on a node that it is no member any more. A node that is taken
// out hears nothing of it: whoever is left tells it when it asks.
func (n *Node) checkOut(ctx context.Context) {
	raft, ok := n.raft()
	if !ok || n.out || n.inConfiguration(n.self()) && time.Since(raft.LastContact()) < outsideAfter {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	book := n.fsm.Nodes()
	gone := make(chan bool, len(book))
	asked := 0
	for _, m := range book {
		if m.ID == n.self() {
			continue
		}
		asked++
		n.wg.Go(func() {
			yes, err := n.peers.Gone(ctx, m.ID)
			gone <- err == nil && yes
		})
	}
	for range asked {
		if !<-gone {
			continue
		}
		// One word is enough: a removal is committed, and for ever.
		n.out = true
		n.endRemoved()
		return
	}
}

// noteLeaving remembers whether this node is to leave. The mark goes with the
// node's record when it is taken out, and a node may apply that itself before
// anybody tells it so.
func (n *Node) noteLeaving() {
	if _, member := n.fsm.Node(n.self()); member {
		_, draining := n.fsm.Draining()[n.self()]
		n.leaving.Store(draining)
	}
}

// endRemoved ends a node that is no member any more, whoever told it: well when
// it was leaving, and with a fault when it was taken out.
func (n *Node) endRemoved() {
	if _, draining := n.fsm.Draining()[n.self()]; draining || n.leaving.Load() {
		n.logger.Info("this node has left the cluster")
		n.end(ErrLeft)
		return
	}
	n.fail("removed from the cluster", errRemoved)
}

// end yields what ends the node, if nothing else did before.
func (n *Node) end(why error) {
	select {
	case n.failed <- why:
	default:
	}
}
