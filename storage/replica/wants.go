package replica

import (
	"context"
	"sync"
	"time"

	"ringbin/storage"
)

// Limits and times of repairing single copies.
const (
	wantsMax  = 4096 // copies that wait, are being fetched, or were tried a moment ago; a pass finds what did not fit
	wantsWork = 2    // that are fetched at the same time
	wantPause = time.Minute
)

// wants are single copies that have to be looked after at once: one that failed
// its check, one that a peer or a reader asked for and that is not here. Each
// is in here once, however often it is asked for.
type wants struct {
	mu    sync.Mutex                // protects until
	until map[storage.CID]time.Time // not to be taken in before; zero: it waits, or is in work
	queue chan storage.CID
}

func newWants() wants {
	return wants{until: map[storage.CID]time.Time{}, queue: make(chan storage.CID, wantsMax)}
}

// add reports whether there was room.
func (w *wants) add(cid storage.CID) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	if until, known := w.until[cid]; known && (until.IsZero() || now.Before(until)) {
		return true
	}
	if len(w.until) >= wantsMax {
		for c, until := range w.until {
			if !until.IsZero() && !now.Before(until) {
				delete(w.until, c)
			}
		}
	}
	if len(w.until) >= wantsMax {
		return false
	}
	select {
	case w.queue <- cid:
		w.until[cid] = time.Time{}
		return true
	default:
		return false
	}
}

// done lets a copy be asked for again: at once, or after a pause when it could
// not be had.
func (w *wants) done(cid storage.CID, restored bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if restored {
		delete(w.until, cid)
		return
	}
	w.until[cid] = time.Now().Add(wantPause)
}

// len is how many copies wait, or are being fetched.
func (w *wants) len() (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, until := range w.until {
		if until.IsZero() {
			n++
		}
	}
	return n
}

// Want says that a copy was asked for here, and is missing or bad: if this node
// owns it, it is fetched, without a pass. It does not block.
func (r *Replicator) Want(cid storage.CID) {
	if !cid.Inline() && r.owns(cid) {
		r.wants.add(cid) // without room: the next pass finds it
	}
}

// OnCorrupt asks for a copy that failed its check to be fetched again; with the
// zero CID it is not known which. It does not block.
func (r *Replicator) OnCorrupt(cid storage.CID) {
	if cid.Inline() || !r.wants.add(cid) {
		r.Kick()
	}
}

// runWants works on what is wanted until ctx ends.
func (r *Replicator) runWants(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case cid := <-r.wants.queue:
			err := r.heal(ctx, cid)
			if ctx.Err() != nil {
				return
			}
			if err == nil {
				r.regained(cid)
			} else {
				r.o.Logger.Warn("a copy that is wanted could not be had yet", "blob", cid, "err", err)
				r.failed() // before it is done with: it is missing, or it waits, and never neither
			}
			r.wants.done(cid, err == nil)
		}
	}
}

// heal looks at one copy, and fetches it when it is owned, alive, and not good.
func (r *Replicator) heal(ctx context.Context, cid storage.CID) error {
	if !r.owns(cid) || !r.wanted(cid) {
		return nil
	}
	held, err := r.o.Owner.store.Verify(ctx, cid)
	switch {
	case held:
		return r.o.Owner.store.Adopt(ctx, cid)
	case err != nil && storage.KindOf(err) != storage.KindCorrupt:
		return err
	}
	l := &lack{cid: cid}
	if err := r.survey(ctx, []*lack{l}); err != nil {
		return err
	}
	if len(l.good) == 0 {
		return &storage.Error{Op: "replica.heal", Kind: storage.KindUnavailable, Code: "content_unavailable"}
	}
	return r.pullOf(ctx, cid, l.good)
}
