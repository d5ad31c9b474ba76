package node

import (
	"context"
	"slices"
	"time"

	"ringbin/cluster/peer"
	"ringbin/storage"
)

// Limits of clocks.
const (
	skewMax = 2 * time.Second // a node whose clock is off by more is not ready and must not lead
	// jumpMax is how far a leader may move FSM time on by its own clock alone.
	// Further than that, after a pause or with a clock that is wrong, a majority
	// of the voters has to agree: what has expired by mistake does not come back.
	jumpMax = 10 * time.Minute
)

// clock is this node's wall clock, in Unix milliseconds.
func (n *Node) clock() int64 { return n.cfg.Clock().UnixMilli() }

// reading is one look at a clock that may jump, and when that was by the one
// that never does. What a reading is compared with, it is compared with as it
// was taken: between two looks a clock may have been set.
type reading struct {
	at  time.Time
	now int64 // Unix milliseconds
}

func (n *Node) readClock() reading { return reading{at: time.Now(), now: n.clock()} }

// later is the time now, in Unix milliseconds, of a clock that has not jumped
// since.
func (r reading) later() int64 { return r.now + time.Since(r.at).Milliseconds() }

// setAnchor notes the time at a look at the peers; ahead is by how much the
// median of all clocks is ahead of this node's.
func (n *Node) setAnchor(r reading, ahead time.Duration) {
	if ahead > skewMax || ahead < -skewMax {
		r.now += ahead.Milliseconds()
	}
	n.anchor.Store(&r)
}

// wallTime is what expiry is judged by, in Unix milliseconds. Between two looks
// at the peers it goes on evenly, whatever this node's clock does, and a clock
// that is off from all others is set right: nothing is called expired, or not
// expired, because one clock is wrong.
func (n *Node) wallTime() int64 {
	if a := n.anchor.Load(); a != nil {
		return a.later()
	}
	return n.clock()
}

// stamp is the time that a leader puts on an entry, in Unix milliseconds. A
// jump that the voters do not confirm is not made: FSM time stands still, and
// with it expiry, until another node leads.
func (n *Node) stamp(ctx context.Context) int64 {
	r, fsm := n.readClock(), n.fsm.Now()
	if fsm == 0 || r.now-fsm <= jumpMax.Milliseconds() || n.clockConfirmed(ctx, r) {
		return r.now
	}
	n.logger.Error("clock is far ahead of the cluster's time, and the voters do not confirm it", "ahead", time.Duration(r.now-fsm)*time.Millisecond)
	return fsm
}

// clockConfirmed reports whether a majority of voters, this node included,
// tells its time, and a reading of this node's clock is no further from their
// median than skewMax.
func (n *Node) clockConfirmed(ctx context.Context, r reading) bool {
	raft, ok := n.raft()
	if !ok {
		return false
	}
	voters := raft.Voters()
	others := slices.DeleteFunc(slices.Clone(voters), func(id storage.NodeID) bool { return id == n.self() })
	asking, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	ahead := []int64{0}
	for _, a := range n.askStatus(asking, others, r) {
		if a.Err == nil {
			ahead = append(ahead, a.Value.Clock)
		}
	}
	if len(ahead) <= len(voters)/2 {
		return false
	}
	return medianAgrees(ahead)
}

// medianAgrees judges by how many milliseconds each clock, this node's 0 among
// them, is ahead. Of two that differ nobody can tell which one is right.
func medianAgrees(ahead []int64) bool {
	slices.Sort(ahead)
	lower, upper := ahead[(len(ahead)-1)/2], ahead[len(ahead)/2]
	return max(lower, -lower, upper, -upper) <= skewMax.Milliseconds()
}

// askStatus asks nodes how they are. Clock in the answers is how many
// milliseconds the other's clock is ahead of this node's, as it was read.
func (n *Node) askStatus(ctx context.Context, ids []storage.NodeID, r reading) []peer.Answer[peer.Status] {
	return peer.FanOut(ctx, ids, len(ids), func(ctx context.Context, id storage.NodeID) (peer.Status, error) {
		before := time.Now()
		st, err := n.peers.Status(ctx, id)
		// The peer read its clock about half a round trip ago.
		st.Clock += time.Since(before).Milliseconds()/2 - r.later()
		return st, err
	})
}
