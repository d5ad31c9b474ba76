package replica

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"

	"ringbin/storage"
)

// Limits and times of erasing.
const (
	collectEvery    = 10 * time.Minute
	condemnedMax    = 1 << 16 // condemned CIDs that wait; above it a pass over all that is held takes their place
	condemnedBatch  = 256
	erasersMax      = 4    // copies that are judged at the same time: they share fsyncs
	erasesPerSecond = 2000 // what users wait for goes first
	asksPerSecond   = 500  // copies of others that owners are asked for
	askWithin       = 5 * time.Second
)

// Erased counts what a node has erased since it started, for one reason.
type Erased struct {
	Blobs int64
	Bytes int64
}

// collector erases the copies that have no business here any more.
type collector struct {
	// running is held shared from the reading of a standing until its copy is
	// gone. Whoever wants to say what this node holds under a ring waits for those
	// that were decided before: see awaitErasing.
	running sync.RWMutex

	kick chan struct{} // a pass is wanted
	wake chan struct{} // some wait in queue

	mu    sync.Mutex // protects queue
	queue []storage.CID

	erases, asks *rate.Limiter
	blobs, bytes [storage.FateMoved + 1]atomic.Int64
}

func newCollector() *collector {
	return &collector{
		kick: make(chan struct{}, 1), wake: make(chan struct{}, 1),
		erases: rate.NewLimiter(erasesPerSecond, erasesPerSecond), asks: rate.NewLimiter(asksPerSecond, asksPerSecond),
	}
}

func notify(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default: // it is told already
	}
}

// add reports whether there was room.
func (c *collector) add(cids []storage.CID) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.queue)+len(cids) > condemnedMax {
		return false
	}
	c.queue = append(c.queue, cids...)
	return true
}

func (c *collector) take() []storage.CID {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := min(condemnedBatch, len(c.queue))
	batch := c.queue[:n:n]
	if c.queue = c.queue[n:]; len(c.queue) == 0 {
		c.queue = nil // lets go of the array
	}
	return batch
}

// Condemned notes content that this node has just seen condemned: its copies
// are judged soon. With nil anything may have been. It does not block.
func (r *Replicator) Condemned(cids []storage.CID) {
	if cids == nil || !r.collector.add(cids) {
		r.KickCollect()
		return
	}
	notify(r.collector.wake)
}

// KickCollect asks for a pass over all that is held soon.
func (r *Replicator) KickCollect() { notify(r.collector.kick) }

// Erased returns what was erased for a reason.
func (r *Replicator) Erased(f storage.Fate) Erased {
	return Erased{Blobs: r.collector.blobs[f].Load(), Bytes: r.collector.bytes[f].Load()}
}

// awaitErasing returns once no copy is on its way out that was judged by an
// older state of the metadata than the caller has seen. What is judged from now
// on is judged by that state or a newer one.
func (r *Replicator) awaitErasing() {
	r.collector.running.Lock()
	defer r.collector.running.Unlock()
}

// RunCollect erases what has no business here until ctx ends: in passes over
// all that is held, at once, when kicked and every ten minutes, and in between
// whatever is condemned.
//
// It must not run before this node has applied all that had been committed
// when it started. After a crash the metadata may be older than a word that the
// node has given: that it holds what a ring gave it.
func (r *Replicator) RunCollect(ctx context.Context) {
	every := r.o.CollectEvery
	if every == 0 {
		every = collectEvery
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.collector.wake:
			r.collectCondemned(ctx)
			continue
		case <-r.collector.kick:
		case <-timer.C:
		}
		if err := r.Collect(ctx); err != nil && ctx.Err() == nil {
			r.o.Logger.Warn("looking for copies to erase failed", "err", err)
		}
		timer.Reset(every)
	}
}

// collectCondemned judges what waits in the queue.
func (r *Replicator) collectCondemned(ctx context.Context) {
	for ctx.Err() == nil {
		batch := r.collector.take()
		if len(batch) == 0 {
			break
		}
		var g errgroup.Group
		g.SetLimit(erasersMax)
		for _, cid := range batch {
			g.Go(func() error { return r.collect(ctx, cid) })
		}
		if err := g.Wait(); err != nil && ctx.Err() == nil {
			r.o.Logger.Warn("condemned copies not erased yet", "err", err)
			r.KickCollect()
			break
		}
	}
	r.reclaim(ctx)
}

func (r *Replicator) reclaim(ctx context.Context) {
	if did, err := r.o.Owner.store.Reclaim(ctx); err != nil && ctx.Err() == nil {
		r.o.Logger.Warn("room of erased blobs not given back yet", "err", err)
	} else if did {
		r.o.Logger.Info("room of erased blobs given back")
	}
}

// Collect goes once over all that is held, beside what the metadata says of it,
// and erases what may go. The error is the first one that a page met; other pages
// are looked at all the same, as far as they can be listed.
func (r *Replicator) Collect(ctx context.Context) error {
	var errs []error
	for after := (*storage.CID)(nil); ctx.Err() == nil; {
		page, err := r.o.Owner.store.List(after, pageSize)
		if err != nil {
			return errors.Join(append(errs, err)...)
		}
		if err := r.collectPage(ctx, page); err != nil && len(errs) == 0 {
			errs = append(errs, err)
		}
		if len(page) < pageSize {
			break
		}
		after = &page[len(page)-1].CID
	}
	r.reclaim(ctx)
	return errors.Join(append(errs, ctx.Err())...)
}

func (r *Replicator) collectPage(ctx context.Context, page []storage.BlobInfo) error {
	cids := make([]storage.CID, len(page))
	for i := range page {
		cids[i] = page[i].CID
	}
	standings, err := r.o.Standings(cids)
	if err != nil {
		return err
	}
	var g errgroup.Group
	g.SetLimit(erasersMax)
	for i := range page {
		if standings[i].Fate(page[i]) != storage.FateKeep {
			g.Go(func() error { return r.collect(ctx, page[i].CID) })
		}
	}
	return g.Wait() //nolint:wrapcheck // our own
}

// standing is what the metadata says of one CID now.
func (r *Replicator) standing(cid storage.CID) (storage.Standing, error) {
	s, err := r.o.Standings([]storage.CID{cid})
	if err != nil {
		return storage.Standing{}, err
	}
	return s[0], nil
}

// collect erases a copy when it may go.
func (r *Replicator) collect(ctx context.Context, cid storage.CID) error {
	held, ok, err := r.o.Owner.store.Stat(cid)
	if err != nil || !ok {
		return err
	}
	before, err := r.standing(cid)
	if err != nil {
		return err
	}
	fate := before.Fate(held)
	if fate == storage.FateKeep || fate == storage.FateMoved && !r.ownersShow(ctx, cid, before.Owners) {
		return nil
	}
	if err := r.collector.erases.Wait(ctx); err != nil {
		return ctx.Err() // it only waits
	}
	r.collector.running.RLock()
	defer r.collector.running.RUnlock()
	erased, err := r.o.Owner.store.EraseIf(ctx, cid, func(held storage.BlobInfo) (bool, error) {
		now, err := r.standing(cid)
		if err != nil {
			return false, err
		}
		fate = now.Fate(held)
		// Owners have shown their copies for the ring of before, if at all.
		return fate != storage.FateKeep && (fate != storage.FateMoved || slices.Equal(now.Owners, before.Owners)), nil
	})
	if err != nil || !erased {
		return err
	}
	r.collector.blobs[fate].Add(1)
	r.collector.bytes[fate].Add(cid.Size())
	r.o.Logger.Debug("copy erased", "blob", cid, "reason", fate.String(), "generation", held.Generation)
	return nil
}

// ownersShow reports whether every owner has a good copy, in a database that is
// not being replaced.
func (r *Replicator) ownersShow(ctx context.Context, cid storage.CID, owners []storage.NodeID) bool {
	for _, id := range owners {
		if err := r.collector.asks.Wait(ctx); err != nil {
			return false
		}
		asking, cancel := context.WithTimeout(ctx, askWithin)
		copied, held, err := r.o.Peers.StatBlob(asking, id, cid)
		cancel()
		if err != nil || !held || copied.Corrupt || copied.Old {
			return false
		}
	}
	return len(owners) > 0
}

// wanted reports whether a reference names content: what is dead is not
// fetched again.
func (r *Replicator) wanted(cid storage.CID) bool {
	if r.o.Standings == nil {
		return true
	}
	s, err := r.standing(cid)
	return err != nil || s.Referenced
}
