package node

import (
	"context"
	"time"

	"ringbin/storage"
	"ringbin/storage/meta"
)

// Limits of condemning.
const (
	condemnBatch   = 200 // CIDs that one command names
	tombstoneBatch = 500 // records that one command drops
)

// sweepPause is the time between looks for what has expired or had its grace.
func (s *steward) sweepPause() time.Duration {
	grace := time.Duration(s.n.fsm.Settings().DeletionGraceSeconds) * time.Second
	return min(sweepEvery, grace/10)
}

// idleTick is how old FSM time may be while nobody writes.
const idleTick = time.Minute

// keepTime commits a Tick when nothing else was committed for a while: FSM time
// moves with entries only, and what nobody refers to goes when it has been left
// alone for the grace of FSM time.
func (s *steward) keepTime(ctx context.Context) error {
	grace := time.Duration(s.n.fsm.Settings().DeletionGraceSeconds) * time.Second
	if time.Since(time.UnixMilli(s.n.fsm.Now())) < min(idleTick, grace/4) {
		return nil
	}
	return s.propose(ctx, meta.Tick{})
}

// condemn gives up what has been dead for its grace, in bounded commands. What is
// due is judged by this clock here, and by FSM time again when the command is
// applied.
func (s *steward) condemn(ctx context.Context) error {
	for {
		cids, err := s.n.fsm.CondemnDue(time.Now().UnixMilli(), condemnBatch)
		if err != nil {
			return err
		}
		if len(cids) == 0 {
			break
		}
		res, err := s.n.proposer.propose(ctx, meta.Header{}, meta.Condemn{CIDs: cids})
		if err != nil {
			return err
		}
		if res.Err != nil {
			return res.Err
		}
		if r, ok := res.Value.(meta.CondemnResult); !ok || r.Condemned+r.Dropped == 0 {
			break // FSM time stands behind this clock
		}
	}
	return s.forget(ctx)
}

// forget drops the records of what was condemned long ago.
func (s *steward) forget(ctx context.Context) error {
	for {
		due, err := s.n.fsm.TombstonesDue(time.Now().UnixMilli())
		if err != nil || !due {
			return err
		}
		res, err := s.n.proposer.propose(ctx, meta.Header{}, meta.DropTombstones{Limit: tombstoneBatch})
		if err != nil {
			return err
		}
		if res.Err != nil {
			return res.Err
		}
		if r, ok := res.Value.(meta.DropResult); !ok || r.Dropped == 0 {
			return nil
		}
	}
}

// runCollect erases what has no business on this node until ctx ends. It begins
// once the node has caught up with the log: the metadata of before a crash may
// be older than what this node has told the others about its copies.
func (n *Node) runCollect(ctx context.Context) {
	for n.catchUp(ctx) != nil {
		select {
		case <-ctx.Done():
			return
		case <-time.After(stewardEvery):
		}
	}
	n.replicas.RunCollect(ctx)
}

// standings is what this node's copies are judged by. A node that disagrees with
// the others about the state erases nothing.
func (n *Node) standings(cids []storage.CID) ([]storage.Standing, error) {
	if n.proposer.frozen.Load() {
		return nil, storage.E("node.standings", storage.KindUnavailable, errDiverged)
	}
	return n.fsm.Standings(n.self(), cids)
}

// Held lists the copies that lie on this node with their marks, in the order of
// their CIDs, beginning after one, or with the first for nil.
func (n *Node) Held(after *storage.CID, limit int) ([]storage.BlobInfo, error) {
	return n.store.List(after, limit)
}

// StoreStats returns the numbers of this node's blob store.
func (n *Node) StoreStats() storage.StoreStats { return n.store.Stats() }

// Standings returns what this node's metadata says of copies that it may hold;
// the CIDs are sorted.
func (n *Node) Standings(cids []storage.CID) ([]storage.Standing, error) { return n.standings(cids) }

// Erased returns what this node has erased for a reason since it started.
func (n *Node) Erased(f storage.Fate) (blobs, bytes int64) {
	e := n.replicas.Erased(f)
	return e.Blobs, e.Bytes
}

// Collect goes once over all that this node holds and erases what may go.
func (n *Node) Collect(ctx context.Context) error {
	if err := n.catchUp(ctx); err != nil {
		return err
	}
	return n.replicas.Collect(ctx)
}

// Holdings is all that lies on a node, by why it does.
type Holdings struct {
	Live    Holding // a reference names it, and this node owns it
	Waiting Holding // dead or taken down, in its grace
	Grace   Holding // without a reference or without being owned, and touched within the grace
	Doomed  Holding // a pass erases it, or for what moved: once its owners show good copies
}

// Holding is a number of copies.
type Holding struct {
	Blobs, Bytes int64
	CIDs         []storage.CID // at most holdingMax
}

const (
	holdingPage = 1000
	holdingMax  = 10_000 // CIDs that an audit names of each kind
)

func (h *Holding) add(cid storage.CID) {
	h.Blobs++
	h.Bytes += cid.Size()
	if len(h.CIDs) < holdingMax {
		h.CIDs = append(h.CIDs, cid)
	}
}

// Holdings goes over all that this node holds: the audit for garbage. What is
// left when nothing has changed for long enough is live, or in its grace.
func (n *Node) Holdings(ctx context.Context) (Holdings, error) {
	var all Holdings
	for after := (*storage.CID)(nil); ; {
		page, err := n.store.List(after, holdingPage)
		if err != nil {
			return all, err
		}
		cids := make([]storage.CID, len(page))
		for i := range page {
			cids[i] = page[i].CID
		}
		standings, err := n.fsm.Standings(n.self(), cids)
		if err != nil {
			return all, err
		}
		for i, st := range standings {
			switch {
			case st.Fate(page[i]) != storage.FateKeep:
				all.Doomed.add(cids[i])
			case st.Waiting:
				all.Waiting.add(cids[i])
			case st.Referenced && st.Owned:
				all.Live.add(cids[i])
			default:
				all.Grace.add(cids[i])
			}
		}
		if len(page) < holdingPage {
			return all, nil
		}
		if err := ctx.Err(); err != nil {
			return all, storage.E("node.Holdings", storage.KindUnavailable, err)
		}
		after = &cids[len(cids)-1]
	}
}
