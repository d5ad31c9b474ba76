package replica

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"ringbin/storage"
)

// Limits of a survey.
const (
	windowMax    = storage.HoldingsMax // copies that a pass gathers before it asks who has them: one call for each peer
	surveyPeers  = 8                   // peers that are asked at the same time
	lostListMax  = 1000                // lost CIDs that are remembered by name; all are counted
	strayAskedOf = 64                  // ring members beyond the owners that are asked for what no owner has
)

// lack is a copy that this node owns and has no good one of.
type lack struct {
	cid     storage.CID
	corrupt bool             // a bad copy is here
	good    []storage.NodeID // who says that it has a good one, whom to ask first ahead
	silent  int              // owners that could not be asked
}

// lost reports that no good copy is anywhere: every owner said so. As long as
// one could not be asked the copy is missing, and nothing worse is claimed.
func (l *lack) lost() bool { return len(l.good) == 0 && l.silent == 0 }

// survey finds out who has good copies of a window: it asks the other owners of
// both rings, and of what none of them has, the other members of the rings: an
// owner of before may not have erased it yet.
func (r *Replicator) survey(ctx context.Context, window []*lack) error {
	cur, next := r.o.Placement.Rings()
	owners := map[storage.NodeID][]*lack{}
	for _, l := range window {
		for _, id := range r.holders(l.cid) {
			if id != r.o.Owner.id {
				owners[id] = append(owners[id], l)
			}
		}
	}
	r.ask(ctx, owners, true)
	strays := map[storage.NodeID][]*lack{}
	for _, l := range window {
		if !l.lost() {
			continue
		}
		for _, id := range members(cur, next) {
			if id != r.o.Owner.id && !owns(cur, next, id, l.cid) && (strays[id] != nil || len(strays) < strayAskedOf) {
				strays[id] = append(strays[id], l)
			}
		}
	}
	r.ask(ctx, strays, false)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return nil
}

// ask asks each node about its part of a window in one call.
func (r *Replicator) ask(ctx context.Context, of map[storage.NodeID][]*lack, owners bool) {
	var mu sync.Mutex // protects the lacks
	var g errgroup.Group
	g.SetLimit(surveyPeers)
	ids := make([]storage.NodeID, 0, len(of))
	for id := range of {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	for _, id := range r.o.Placement.Order(ids) {
		g.Go(func() error {
			lacks := of[id]
			cids := make([]storage.CID, len(lacks))
			for i, l := range lacks {
				cids[i] = l.cid
			}
			holdings, err := r.o.Peers.StatBlobs(ctx, id, cids)
			if err == nil && len(holdings) != len(cids) {
				err = errors.New("an answer for other blobs")
			}
			if err != nil {
				r.o.Logger.Debug("not asked about copies", "node", string(id), "blobs", len(cids), "err", err)
			}
			mu.Lock()
			defer mu.Unlock()
			for i, l := range lacks {
				switch {
				case err != nil && owners:
					l.silent++
				case err == nil && holdings[i] == storage.HoldsGood:
					l.good = append(l.good, id)
				}
			}
			return nil
		})
	}
	_ = g.Wait() // never fails: who does not answer is counted
	for _, lacks := range of {
		for _, l := range lacks {
			slices.Sort(l.good)
			l.good = r.o.Placement.Order(l.good)
		}
	}
}

func members(rings ...*storage.Ring) []storage.NodeID {
	var ids []storage.NodeID
	for _, ring := range rings {
		if ring == nil {
			continue
		}
		for _, n := range ring.Nodes {
			if !slices.Contains(ids, n.ID) {
				ids = append(ids, n.ID)
			}
		}
	}
	return ids
}

func owns(cur, next *storage.Ring, id storage.NodeID, cid storage.CID) bool {
	return cur != nil && cur.Owns(id, cid) || next != nil && next.Owns(id, cid)
}

// lack gathers a copy that the pass has to restore.
func (p *pass) lack(cid storage.CID, corrupt bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.window = append(p.window, &lack{cid: cid, corrupt: corrupt})
}

// restore fetches what was gathered once it fills a window, or at the end. What
// has the fewest good copies comes first.
func (p *pass) restore(end bool) error {
	p.mu.Lock()
	gathered := p.window
	if len(gathered) < windowMax && !end || len(gathered) == 0 {
		p.mu.Unlock()
		return nil
	}
	p.window = nil
	p.mu.Unlock()
	for window := range slices.Chunk(gathered, windowMax) {
		if err := p.restoreWindow(window); err != nil {
			return err
		}
	}
	return nil
}

func (p *pass) restoreWindow(window []*lack) error {
	p.r.progress(func(g *Progress) { g.Lacking += int64(len(window)) })
	for _, l := range window {
		if l.corrupt {
			p.corrupt.Add(1)
		}
	}
	if err := p.r.survey(p.ctx, window); err != nil {
		p.missing.Add(int64(len(window)))
		return err
	}
	slices.SortStableFunc(window, func(a, b *lack) int { return cmp.Compare(len(a.good), len(b.good)) })
	current := p.current(window)
	for _, l := range window {
		switch {
		case l.lost() && current:
			p.claimLost(l)
		case len(l.good) == 0:
			p.missing.Add(1) // who may have it, or knows whether it is dead, does not answer
		default:
			p.places <- struct{}{}
			p.wg.Go(func() {
				defer func() { <-p.places }()
				p.fetch(l)
			})
		}
	}
	return nil
}

// current reports whether this node knows by now what the others knew when they
// said that they have no copy. Who has not heard yet of a deletion asks for what
// was erased for it: only a reference that still stands then is of lost content.
func (p *pass) current(window []*lack) bool {
	if p.r.o.CatchUp == nil || !slices.ContainsFunc(window, (*lack).lost) {
		return true
	}
	if p.unsure { // this pass has waited once
		return false
	}
	if err := p.r.o.CatchUp(p.ctx); err != nil {
		p.r.o.Logger.Debug("not known whether copies are lost", "err", err)
		p.unsure = true
	}
	return !p.unsure
}

// claimLost counts what no owner has a good copy of, unless it is dead.
func (p *pass) claimLost(l *lack) {
	switch {
	case p.r.wanted(l.cid):
		p.noteLost(l.cid)
	case l.corrupt:
		p.corrupt.Add(-1)
	}
}

func (p *pass) fetch(l *lack) {
	if err := p.r.pullOf(p.ctx, l.cid, l.good); err != nil {
		p.missing.Add(1)
		p.r.o.Logger.Debug("copy not restored yet", "blob", l.cid, "err", err)
		return
	}
	p.r.progress(func(g *Progress) { g.Restored++; g.RestoredBytes += l.cid.Size() })
	if l.corrupt {
		p.corrupt.Add(-1)
	}
}

// pullOf fetches a copy from given holders, each in turn, until the store has
// verified one.
func (r *Replicator) pullOf(ctx context.Context, cid storage.CID, ids []storage.NodeID) error {
	ctx, cancel := context.WithTimeout(ctx, r.pulls.timeFor(cid))
	defer cancel()
	done, err := r.pulls.alone(ctx, cid)
	if err != nil {
		return err
	}
	defer done()
	// It may have come since it was missed: with a put, or somebody else's pull.
	if info, held, err := r.o.Owner.store.Stat(cid); err == nil && held && !info.Corrupt {
		if !info.Old || r.o.Owner.store.Adopt(ctx, cid) == nil {
			return nil
		}
	}
	var errs []error
	for _, id := range ids {
		if id == r.o.Owner.id {
			continue
		}
		err := r.pullFrom(ctx, id, cid)
		if err == nil {
			return nil
		}
		errs = append(errs, err)
	}
	return errors.Join(append(errs, ctx.Err())...)
}
