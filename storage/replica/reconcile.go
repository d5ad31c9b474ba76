package replica

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"ringbin/storage"
)

// Limits and times of reconciling.
const (
	reconcileEvery = 10 * time.Minute
	retryFirst     = time.Second // after a pass that left something missing
	retryMost      = time.Minute
	pageSize       = 1000
	pullsMax       = 4 // copies that are fetched at the same time
	pullTimeout    = time.Hour
)

// Status is how this node's part of the copies is.
type Status struct {
	Missing int64 // owned, not held, and to be had, after the last pass
	Corrupt int64 // held and failed a check
	Checked int64 // owned, in the last pass
	// Unsettled are commits that this node has applied and not looked after yet,
	// and single copies that wait for their repair.
	Unsettled int64
	Finished  time.Time // of the last pass; zero before the first
	// Lost are blobs that this node owns and nobody has a good copy of: every
	// owner said so. LostFirst are those of them whose first owner this node is:
	// added up over all nodes, they are the cluster's.
	Lost, LostFirst int64
	LostSince       time.Time // zero when nothing is lost
	Progress        Progress
}

// Settled reports whether this node was found to hold all that it owns.
func (s Status) Settled() bool {
	return !s.Finished.IsZero() && s.Missing == 0 && s.Lost == 0 && s.Corrupt == 0 && s.Unsettled == 0
}

// Status returns what the last pass found, and what has happened since.
func (r *Replicator) Status() Status {
	unsettled := r.commits.len() + r.wants.len()
	r.mu.Lock()
	defer r.mu.Unlock()
	st := r.status
	st.Unsettled = int64(unsettled)
	return st
}

// SyncedFor is the version of the newest ring that held when this node was
// found to hold all that it owns; 0 before that.
func (r *Replicator) SyncedFor() uint64 { return r.synced.Load() }

// Kick asks for a pass soon: the ring changed, or a peer came back.
func (r *Replicator) Kick() {
	select {
	case r.kick <- struct{}{}:
	default: // one is asked for already
	}
}

// Run reconciles at once, when kicked, and every ten minutes, and looks after
// each commit in between, until ctx ends. A pass that left something missing, or
// an old database in place, is repeated, ever less often.
func (r *Replicator) Run(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { r.settle(ctx) })
	wg.Go(func() { r.moving(ctx) })
	wg.Go(func() { r.scrub(ctx) })
	for range wantsWork {
		wg.Go(func() { r.runWants(ctx) })
	}
	retry := retryFirst
	for {
		wait := reconcileEvery
		st, err := r.Reconcile(ctx)
		if err != nil && ctx.Err() == nil {
			r.o.Logger.Warn("reconciling failed", "err", err)
		}
		if err != nil || st.Missing > 0 || r.Rebuilding() {
			wait = retry
			retry = min(2*retry, retryMost)
		} else {
			retry = retryFirst
		}
		next := time.Now().Add(wait)
		timer := time.NewTimer(wait)
		for pass := false; !pass; {
			select {
			case <-ctx.Done():
				timer.Stop()
				return
			case <-timer.C:
				pass = true
			case <-r.kick:
				pass = true
			case <-r.again:
				if time.Until(next) > retry {
					next = time.Now().Add(retry)
					timer.Reset(retry)
					retry = min(2*retry, retryMost)
				}
			}
		}
		timer.Stop()
	}
}

// Reconcile compares what this node owns with what it holds, a merge of two
// sorted lists, and fetches what is missing or corrupt. It deletes nothing.
func (r *Replicator) Reconcile(ctx context.Context) (Status, error) {
	cur, _ := r.o.Placement.Rings()
	r.awaitErasing() // what is found is still there when this ring is acted on
	pass := &pass{r: r, ctx: ctx, cur: cur, places: make(chan struct{}, pullsMax)}
	pass.adopting = r.rebuilding()
	r.progress(func(g *Progress) { *g = Progress{} })
	err := pass.run() //nolint:contextcheck // the planted erasing has none
	pass.wg.Wait()
	st := Status{Missing: pass.missing.Load(), Corrupt: pass.corrupt.Load(), Checked: pass.checked, Finished: time.Now()}
	r.setLost(pass, err == nil && !pass.unsure, &st)
	if err != nil {
		st.Missing = max(st.Missing, r.Status().Missing)
	}
	r.mu.Lock()
	st.Progress = r.status.Progress
	r.status = st
	r.mu.Unlock()
	if err == nil {
		err = r.endRebuild(pass, st) //nolint:contextcheck // counting has the store's own lifetime
	}
	if err == nil && st.Missing == 0 && cur != nil {
		r.synced.Store(cur.Version)
	}
	return st, err
}

// pass is one comparison.
type pass struct {
	r   *Replicator
	ctx context.Context //nolint:containedctx // of one pass
	cur *storage.Ring

	held    []storage.BlobInfo // a page of what the store lists, not passed yet
	lastOf  *storage.CID       // the last CID of the page before
	heldEnd bool

	byStat   bool // the store can't list what it holds: it is asked for each
	adopting bool // a rotten database is being replaced

	checked   int64
	lost      int64
	lostFirst int64
	lostCIDs  []storage.CID
	unsure    bool       // something may be lost or dead
	mu        sync.Mutex // protects window
	window    []*lack    // not good here, and not fetched yet
	unadopted atomic.Int64

	missing atomic.Int64
	corrupt atomic.Int64
	places  chan struct{}
	wg      sync.WaitGroup
}

func (p *pass) run() error {
	if p.cur == nil {
		return nil
	}
	var after *storage.CID
	for {
		if err := p.ctx.Err(); err != nil {
			return context.Cause(p.ctx)
		}
		page, err := p.r.o.Catalogue(after, pageSize)
		if err != nil {
			return err
		}
		for i := range page {
			owned := p.owns(page[i])
			if owned || p.adopting {
				if err := p.check(page[i], owned); err != nil {
					return err
				}
			}
		}
		if len(page) < pageSize {
			p.wg.Wait() // what could not be adopted has to be fetched
			return p.restore(true)
		}
		after = &page[len(page)-1]
	}
}

// owns judges by the ring of the pass: its word of being synced is about that.
// What a next ring gives this node is fetched by moving, partition by partition.
func (p *pass) owns(cid storage.CID) bool { return p.cur.Owns(p.r.o.Owner.id, cid) }

func (p *pass) check(cid storage.CID, owned bool) error {
	info, held, err := p.find(cid)
	if err != nil {
		return err
	}
	if owned {
		p.checked++
	}
	switch {
	case held && info.Old:
		p.adopt(info, owned)
	case !owned || held && !info.Corrupt:
		return nil
	default:
		p.lack(cid, held)
	}
	return p.restore(false)
}

// find moves on in the store's list up to a CID.
func (p *pass) find(cid storage.CID) (storage.BlobInfo, bool, error) {
	for {
		for len(p.held) > 0 && p.held[0].CID.Compare(cid) < 0 {
			if storage.Planted(storage.BugDeleteByAbsence) {
				if _, err := p.r.o.Owner.store.Erase(p.held[0].CID, ^uint64(0)); err != nil {
					return storage.BlobInfo{}, false, err
				}
			}
			p.held = p.held[1:]
		}
		if len(p.held) > 0 {
			found := p.held[0].CID == cid
			return p.held[0], found, nil
		}
		if p.byStat {
			return p.r.o.Owner.store.Stat(cid)
		}
		if p.heldEnd {
			return storage.BlobInfo{}, false, nil
		}
		page, err := p.r.o.Owner.store.List(p.lastOf, pageSize)
		if err != nil && storage.KindOf(err) == storage.KindCorrupt {
			p.byStat = true
			continue
		}
		if err != nil {
			return storage.BlobInfo{}, false, err
		}
		p.held, p.heldEnd = page, len(page) < pageSize
		if len(page) > 0 {
			last := page[len(page)-1].CID
			p.lastOf = &last
		}
	}
}

// pull fetches a copy from the other holders, each in turn, until the store has
// verified one.
func (r *Replicator) pull(ctx context.Context, cid storage.CID) error {
	return r.pullOf(ctx, cid, r.holders(cid))
}

func (r *Replicator) pullFrom(ctx context.Context, id storage.NodeID, cid storage.CID) (err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	s := &stallReader{cancel: cancel}
	s.timer = time.AfterFunc(nextByteWithin, func() { cancel(errStalled) })
	if s.r, err = r.o.Peers.OpenBlob(ctx, id, cid, 0, cid.Size()); err != nil {
		s.timer.Stop()
		cancel(nil)
		return err
	}
	body := newPeerReader(cid, 0, cid.Size(), s)
	defer func() { _ = body.Close() }()
	if _, err = r.o.Owner.Receive(ctx, cid, r.pulls.paced(ctx, body)); err == nil {
		r.pulls.blobs.Add(1)
	}
	return err
}
