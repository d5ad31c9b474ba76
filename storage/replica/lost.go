package replica

import (
	"slices"
	"time"

	"ringbin/storage"
)

// Progress is what the pass that is under way, or the last one, has done.
type Progress struct {
	Lacking       int64 // copies that it found to be missing or corrupt so far
	Restored      int64 // of them, those that are back
	RestoredBytes int64
}

func (r *Replicator) progress(change func(*Progress)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change(&r.status.Progress)
}

// noteLost counts a blob of which no good copy is anywhere.
func (p *pass) noteLost(cid storage.CID) {
	p.lost++
	if p.cur.OwnersOf(cid)[0].ID == p.r.o.Owner.id {
		p.lostFirst++
	}
	if len(p.lostCIDs) < lostListMax {
		p.lostCIDs = append(p.lostCIDs, cid)
	}
	p.r.o.Logger.Error("lost: no owner has a good copy", "blob", cid)
}

// setLost takes in what a pass found, into st too. A pass that did not come to
// its end, or can't be sure, takes nothing back.
func (r *Replicator) setLost(p *pass, whole bool, st *Status) {
	r.mu.Lock()
	defer r.mu.Unlock()
	st.Lost, st.LostFirst, st.LostSince = p.lost, p.lostFirst, r.status.LostSince
	if !whole && r.status.Lost > p.lost {
		st.Lost, st.LostFirst = r.status.Lost, r.status.LostFirst
		return
	}
	slices.SortFunc(p.lostCIDs, storage.CID.Compare)
	r.lost = p.lostCIDs
	switch {
	case p.lost == 0:
		st.LostSince = time.Time{}
	case st.LostSince.IsZero():
		st.LostSince = time.Now()
	}
}

// regained asks for a pass when a blob that was lost is here again: the alarm
// ends with it.
func (r *Replicator) regained(cid storage.CID) {
	r.mu.Lock()
	_, lost := slices.BinarySearchFunc(r.lost, cid, storage.CID.Compare)
	r.mu.Unlock()
	if lost {
		r.Kick()
	}
}

// Lost lists the blobs of which the last pass found no good copy anywhere, up
// to a thousand of them; [Status] counts all.
func (r *Replicator) Lost() []storage.CID {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.lost)
}
