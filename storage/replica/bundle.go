package replica

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"ringbin/storage"
)

// Limits and times of bundles.
const (
	bundleWaitingMax = 1024                   // blobs that wait for one owner
	bundlesFlyingMax = 4                      // on their way to one owner
	bundlePatience   = 100 * time.Millisecond // with one unanswered for longer, the next one goes all the same
	bundleWithin     = 10 * time.Second       // one that is not answered by then is given up
)

var errWaiting = errors.New("too many blobs wait for this owner")

// putBundled reads a small body whole, and lets it share its way to each owner.
func (r *Replicator) putBundled(ctx context.Context, p *put, body io.Reader) ([]storage.Receipt, error) {
	content := make([]byte, p.cid.Size()+1)
	n, err := fill(body, content)
	switch {
	case int64(n) > p.cid.Size():
		return nil, storage.LengthMismatch(p.cid.Size(), int64(n))
	case err != nil && !errors.Is(err, io.EOF):
		return nil, err
	}
	blob, err := storage.Prove(p.cid, content[:n])
	if err != nil {
		return nil, err
	}
	sendCtx, stop := r.outlive(ctx)
	for _, s := range p.sends {
		r.bundles.add(parcel{ctx: sendCtx, blob: blob, send: s}) //nolint:contextcheck // a bundle is of many requests, each with its own
	}
	return r.conclude(ctx, sendCtx, stop, p, nil)
}

// bundles gather the small blobs that wait for the same owner, this node
// included. A lone one goes at once; what comes while a bundle is on its way
// goes with the next one.
type bundles struct {
	ctx     context.Context //nolint:containedctx // the replicator's: a bundle belongs to no one request
	wg      *sync.WaitGroup
	deliver func(ctx context.Context, to storage.NodeID, blobs []storage.Proven) ([]storage.Verdict, error)

	mu    sync.Mutex // protects lanes and what is in them; nobody waits with it held
	lanes map[storage.NodeID]*lane
}

// lane is an owner that blobs wait for or are on their way to.
type lane struct {
	to      storage.NodeID
	waiting []parcel
	flying  int
	late    int // of the flying ones, those that have tried the patience
}

// free reports whether a bundle may go. Its lock is held.
func (l *lane) free() bool { return l.flying == l.late && l.flying < bundlesFlyingMax }

// parcel is one blob for one owner.
type parcel struct {
	ctx  context.Context //nolint:containedctx // ends when nobody wants to know any more
	blob storage.Proven
	send *send
}

// wanted reports whether somebody still waits for what becomes of a parcel; if
// not, that is settled.
func (p *parcel) wanted() bool {
	if p.ctx.Err() == nil {
		return true
	}
	p.send.finish(storage.Receipt{}, context.Cause(p.ctx))
	return false
}

// add never waits.
func (b *bundles) add(p parcel) {
	b.mu.Lock()
	defer b.mu.Unlock()
	l := b.lanes[p.send.to]
	if l == nil {
		l = &lane{to: p.send.to}
		b.lanes[l.to] = l
	}
	if len(l.waiting) >= bundleWaitingMax {
		l.dropUnwanted()
	}
	if len(l.waiting) >= bundleWaitingMax {
		p.send.finish(storage.Receipt{}, storage.E("replica.Put", storage.KindUnavailable, errWaiting))
		return
	}
	l.waiting = append(l.waiting, p)
	b.start(l)
}

func (l *lane) dropUnwanted() {
	kept := l.waiting[:0]
	for _, p := range l.waiting {
		if p.wanted() {
			kept = append(kept, p)
		}
	}
	clear(l.waiting[len(kept):])
	l.waiting = kept
}

// start has somebody carry what waits, if a bundle may go. The lock is held.
func (b *bundles) start(l *lane) {
	if len(l.waiting) == 0 || !l.free() {
		return
	}
	l.flying++
	b.wg.Go(func() { b.carry(l) })
}

// carry brings one bundle after the other, until nothing waits.
func (b *bundles) carry(l *lane) {
	for {
		parcels := b.take(l)
		if len(parcels) == 0 {
			return
		}
		punctual := b.watch(l)
		b.bring(l.to, parcels)
		punctual()
	}
}

// take returns what fits into a bundle. Where there is nothing, the carrier is
// done, and a lane without one is forgotten.
func (b *bundles) take(l *lane) []parcel {
	b.mu.Lock()
	defer b.mu.Unlock()
	var parcels []parcel
	taken, size := 0, int64(0)
	for ; taken < len(l.waiting) && len(parcels) < storage.BundleBlobsMax; taken++ {
		p := &l.waiting[taken]
		if !p.wanted() {
			continue
		}
		if size += p.blob.CID().Size(); size > storage.BundleBytesMax {
			break
		}
		parcels = append(parcels, *p)
	}
	clear(l.waiting[:taken])
	if l.waiting = l.waiting[taken:]; len(parcels) == 0 {
		if l.flying--; l.flying == 0 {
			delete(b.lanes, l.to)
		}
	}
	return parcels
}

// watch lets another bundle go when the one that leaves now is late. What it
// returns is called when that one is answered.
func (b *bundles) watch(l *lane) (answered func()) {
	done, late := false, false
	patience := time.AfterFunc(bundlePatience, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		if !done { // its carrier is there, so that whom wg waits for may start another one
			late = true
			l.late++
			b.start(l)
		}
	})
	return func() {
		patience.Stop()
		b.mu.Lock()
		defer b.mu.Unlock()
		if done = true; late {
			l.late--
		}
	}
}

// bring delivers one bundle and hands out the verdicts.
func (b *bundles) bring(to storage.NodeID, parcels []parcel) {
	ctx, cancel := context.WithTimeout(b.ctx, bundleWithin)
	defer cancel()
	blobs := make([]storage.Proven, len(parcels))
	for i, p := range parcels {
		blobs[i] = p.blob
	}
	verdicts, err := b.deliver(ctx, to, blobs)
	for i, p := range parcels {
		if err != nil {
			p.send.finish(storage.Receipt{}, err)
			continue
		}
		p.send.finish(verdicts[i].Receipt, verdicts[i].Err)
	}
}

// deliver hands a bundle to its owner, which may be this node.
func (r *Replicator) deliver(ctx context.Context, to storage.NodeID, blobs []storage.Proven) ([]storage.Verdict, error) {
	if to == r.o.Owner.id {
		return r.o.Owner.ReceiveAll(ctx, blobs), nil
	}
	return r.o.Peers.PutBlobs(ctx, to, blobs)
}
