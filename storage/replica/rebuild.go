package replica

import (
	"time"

	"ringbin/storage"
)

// rebuildKeep is how long a database that was replaced is kept at least, in FSM
// time: longer than a receipt that was given for a copy in it counts (15
// minutes). What was committed meanwhile is in the catalogue, and adopted.
const rebuildKeep = 16 * time.Minute

// Rebuilding reports whether this node replaces a rotten database of its blobs.
func (r *Replicator) Rebuilding() bool { return r.o.Owner.store.Rebuild().Active }

// rebuilding is Rebuilding, and notes since when.
func (r *Replicator) rebuilding() bool {
	active := r.Rebuilding()
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case !active:
		r.rebuildFrom = 0
	case r.rebuildFrom == 0:
		r.rebuildFrom = r.o.Owner.vouch().Time
	}
	return active
}

// adopt moves a copy out of the database that is being replaced: all that the
// catalogue names, owned or not, since what nobody else may have is no orphan.
// A bad one that is owned is fetched.
func (p *pass) adopt(info storage.BlobInfo, owned bool) {
	p.places <- struct{}{}
	p.wg.Go(func() {
		defer func() { <-p.places }()
		err := p.r.o.Owner.store.Adopt(p.ctx, info.CID)
		switch {
		case err == nil:
		case storage.KindOf(err) == storage.KindCorrupt:
			if owned {
				p.lack(info.CID, true)
			}
		default:
			p.unadopted.Add(1)
			p.r.o.Logger.Warn("copy not moved out of the old database", "blob", info.CID, "err", err)
		}
	})
}

// endRebuild drops the old database after a pass that left nothing in it that
// counts, and nothing to be fetched.
func (r *Replicator) endRebuild(p *pass, st Status) error {
	if !p.adopting || p.cur == nil || st.Missing > 0 || st.Lost > 0 || p.unadopted.Load() > 0 {
		return nil
	}
	keep := r.o.RebuildKeep
	if keep == 0 {
		keep = rebuildKeep
	}
	r.mu.Lock()
	from := r.rebuildFrom
	r.mu.Unlock()
	if r.o.Owner.vouch().Time-from < keep.Milliseconds() {
		return nil
	}
	return r.o.Owner.store.EndRebuild()
}
