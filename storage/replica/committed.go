package replica

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"ringbin/storage"
)

// Limits and times of looking after what was just committed.
const (
	// settleFor is how long after a commit its late copies may still be on their
	// way: an upload is answered with W of R.
	settleFor = 2 * time.Second
	// unsettledMax bounds the commits that wait for their look; above it a pass
	// over the whole catalogue takes their place.
	unsettledMax = 1 << 16
	settleBatch  = 256
)

// commits are those that this node has applied and not looked at yet, the
// oldest first.
type commits struct {
	mu    sync.Mutex // protects the fields below
	queue []commit
	hand  int // taken out of queue, and being looked at

	wake chan struct{}
}

type commit struct {
	cid storage.CID
	at  time.Time
}

// add reports whether there was room.
func (c *commits) add(cids []storage.CID) bool {
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.queue)+len(cids) > unsettledMax {
		return false
	}
	for _, cid := range cids {
		c.queue = append(c.queue, commit{cid: cid, at: now})
	}
	select {
	case c.wake <- struct{}{}:
	default: // woken already
	}
	return true
}

// due takes out what has had its time, and says how long the next one has
// left; below 0 when none waits.
func (c *commits) due() (batch []commit, wait time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.hand = 0
	now := time.Now()
	n := 0
	for n < len(c.queue) && n < settleBatch && now.Sub(c.queue[n].at) >= settleFor {
		n++
	}
	batch, c.queue = c.queue[:n:n], c.queue[n:]
	c.hand = n
	switch {
	case n > 0:
		return batch, 0
	case len(c.queue) == 0:
		c.queue = nil // lets go of the array
		return nil, -1
	}
	return nil, settleFor - now.Sub(c.queue[0].at)
}

func (c *commits) len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.queue) + c.hand
}

// Committed notes content whose reference this node has just applied: a moment
// later it makes sure that it holds what it owns of it. So a copy that was not
// waited for, and all that was committed while this node was away, is fetched
// without a pass over the whole catalogue. With nil anything may have been
// committed. It does not block.
func (r *Replicator) Committed(cids []storage.CID) {
	if cids == nil || !r.commits.add(cids) {
		r.Kick()
	}
}

// settle looks after commits until ctx ends.
func (r *Replicator) settle(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.commits.wake:
		case <-timer.C:
		}
		wait := time.Duration(0)
		for wait == 0 && ctx.Err() == nil {
			var batch []commit
			batch, wait = r.commits.due()
			r.look(ctx, batch)
		}
		if wait > 0 {
			timer.Reset(wait)
		}
	}
}

// look fetches what this node owns of a batch and does not hold. What can't be
// had counts as missing, and a pass goes on with it.
func (r *Replicator) look(ctx context.Context, batch []commit) {
	var g errgroup.Group
	g.SetLimit(pullsMax)
	for _, c := range batch {
		if !r.owns(c.cid) {
			continue
		}
		// Nearly all is there: whether it is still wanted is asked of the rest only.
		held, ok, err := r.o.Owner.store.Stat(c.cid)
		if err == nil && ok && !held.Corrupt {
			r.regained(c.cid)
			continue
		}
		if !r.wanted(c.cid) {
			continue
		}
		g.Go(func() error {
			err := r.pull(ctx, c.cid)
			switch {
			case err == nil:
				r.regained(c.cid)
			case ctx.Err() == nil:
				r.o.Logger.Debug("copy not fetched yet", "blob", c.cid, "err", err)
				r.failed()
			}
			return nil
		})
	}
	_ = g.Wait() // never fails: what can't be had is counted
}

// owns reports whether this node owns a CID in the ring that holds or in the
// one that is being filled.
func (r *Replicator) owns(cid storage.CID) bool {
	cur, next := r.o.Placement.Rings()
	id := r.o.Owner.id
	return cur != nil && cur.Owns(id, cid) || next != nil && next.Owns(id, cid)
}

// failed counts a copy that could not be fetched and asks for a pass, but not
// sooner than its retries allow.
func (r *Replicator) failed() {
	r.mu.Lock()
	r.status.Missing++
	r.mu.Unlock()
	select {
	case r.again <- struct{}{}:
	default:
	}
}
