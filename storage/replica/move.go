package replica

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"ringbin/storage"
)

// Limits and times of moving.
const (
	// moveMissingMax bounds the CIDs that one look at the catalogue keeps in mind:
	// what is above it is found by the next look.
	moveMissingMax = 1 << 18
	// sayEvery is how often a node that moves says what it has got: a restart
	// loses so much work at most.
	sayEvery = time.Second
)

// Moves is what a change of the ring asks of this node.
type Moves interface {
	// ToSync returns the version of the next ring and those of its partitions of
	// which this node has not said yet that it holds them, in order; none when no
	// change is under way.
	ToSync() (version uint64, partitions []int, err error)
	// Synced says that this node holds all that was committed of partitions up to
	// an index at or after ToSync's answer.
	Synced(ctx context.Context, version uint64, partitions []int) error
}

// MoveLeft is what a change of the ring still wants fetched, as far as the last
// look at the catalogue saw.
type MoveLeft struct {
	Blobs, Bytes int64
}

// moveLeft is MoveLeft while it changes.
type moveLeft struct{ blobs, bytes atomic.Int64 }

func (l *moveLeft) add(cid storage.CID, n int64) {
	l.blobs.Add(n)
	l.bytes.Add(n * cid.Size())
}

func (l *moveLeft) clear() {
	l.blobs.Store(0)
	l.bytes.Store(0)
}

// MoveLeft returns what is left to fetch for the change under way.
func (r *Replicator) MoveLeft() MoveLeft {
	return MoveLeft{Blobs: r.left.blobs.Load(), Bytes: r.left.bytes.Load()}
}

// RingChanged asks for a look at what the rings want from this node. It does not block.
func (r *Replicator) RingChanged() {
	select {
	case r.ringChanged <- struct{}{}:
	default: // one is asked for already
	}
}

// moving fetches what the next ring gives this node, partition by partition,
// and says what it has got, until ctx ends. What was said stays said: a node
// that starts again goes on with the rest.
func (r *Replicator) moving(ctx context.Context) {
	if r.o.Moves == nil {
		return
	}
	retry := retryFirst
	for {
		wait := reconcileEvery // the ring's changes are told; this is for nothing in particular
		if err := r.move(ctx); err != nil {
			if ctx.Err() == nil {
				r.o.Logger.Info("moving goes on later", "in", retry, "err", err)
			}
			wait, retry = retry, min(2*retry, retryMost)
		} else {
			retry = retryFirst
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		case <-r.ringChanged:
			timer.Stop()
		}
	}
}

// move is one look: it finds what is missing of the partitions that this node
// has to vouch for, fetches it in the order of partitions, the same on all
// nodes, and says which of them are whole. The catalogue is read after the ring
// that names the partitions: all that was committed before that ring is in it.
func (r *Replicator) move(ctx context.Context) error {
	defer r.left.clear()
	for {
		version, partitions, err := r.o.Moves.ToSync()
		if err != nil || len(partitions) == 0 {
			return err
		}
		r.awaitErasing() // what is found is still there when it is vouched for
		missing, err := r.lookFor(ctx, partitions)
		if err != nil {
			return err
		}
		if err := r.fetchMissing(ctx, version, missing); err != nil {
			return err
		}
	}
}

// missingOf are the CIDs that are missing of a partition; none: it is whole.
type missingOf struct {
	partition int
	cids      []storage.CID
}

// lookFor returns what is missing of partitions, in their order. When that is
// more than it may keep in mind it leaves the last partitions out.
func (r *Replicator) lookFor(ctx context.Context, partitions []int) ([]missingOf, error) {
	r.left.clear()
	s := &search{missing: make([]missingOf, len(partitions)), at: make(map[int]int, len(partitions))}
	for i, p := range partitions {
		s.missing[i].partition = p
		s.at[p] = i
	}
	var after *storage.CID
	for {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		page, err := r.o.Catalogue(after, pageSize)
		if err != nil {
			return nil, err
		}
		for _, cid := range page {
			if _, wanted := s.at[cid.Partition()]; !wanted {
				continue
			}
			info, held, err := r.o.Owner.store.Stat(cid)
			if err != nil {
				return nil, err
			}
			if !held || info.Corrupt || info.Old {
				r.left.add(cid, 1)
				s.note(cid)
			}
		}
		if len(page) < pageSize {
			return s.missing, nil
		}
		after = &page[len(page)-1]
	}
}

// search is a look at the catalogue.
type search struct {
	missing []missingOf
	at      map[int]int // of each partition, where in missing it is, or was before it was left out
	kept    int         // CIDs in missing
}

func (s *search) note(cid storage.CID) {
	i := s.at[cid.Partition()]
	if i >= len(s.missing) {
		return // left out
	}
	s.missing[i].cids = append(s.missing[i].cids, cid)
	for s.kept++; s.kept > moveMissingMax && len(s.missing) > 1; {
		last := len(s.missing) - 1
		s.kept -= len(s.missing[last].cids)
		s.missing = s.missing[:last]
	}
}

// fetchMissing fetches, and says which partitions are whole: those that were
// from the beginning at once, the others as they become so.
func (r *Replicator) fetchMissing(ctx context.Context, version uint64, missing []missingOf) error {
	whole := make(chan int, len(missing))
	var g errgroup.Group
	g.SetLimit(pullsMax)
	fetched := make(chan error, 1)
	go func() {
		defer close(whole)
		fetched <- r.fetchAll(ctx, version, missing, whole, &g)
	}()
	sayErr := r.sayWhole(ctx, version, whole)
	if err := <-fetched; err != nil {
		return err
	}
	return sayErr
}

// fetchAll hands out the pulls. A pull that fails leaves its partition for the
// next look and lets the others go on; what nobody has holds up nothing.
func (r *Replicator) fetchAll(ctx context.Context, version uint64, missing []missingOf, whole chan<- int, g *errgroup.Group) error {
	var mu sync.Mutex // protects failed
	var failed []fetching
	for _, m := range missing {
		if len(m.cids) == 0 {
			whole <- m.partition
		}
	}
	for _, m := range missing {
		left := &atomic.Int64{}
		left.Store(int64(len(m.cids)))
		for _, cid := range m.cids {
			if ctx.Err() != nil || !r.moves(version) {
				return g.Wait() //nolint:wrapcheck // what has begun ends; the next look is about the ring of then
			}
			f := fetching{cid: cid, partition: m.partition, left: left}
			g.Go(func() error {
				err := r.pull(ctx, cid)
				if err != nil {
					mu.Lock()
					defer mu.Unlock()
					failed = append(failed, f)
					return err
				}
				r.fetched(f, whole)
				return nil
			})
		}
	}
	err := g.Wait()
	if err == nil || r.passOverLost(ctx, failed, whole) {
		return nil
	}
	return err //nolint:wrapcheck // a pull's own
}

// fetching is a copy that a move fetches.
type fetching struct {
	cid       storage.CID
	partition int
	left      *atomic.Int64 // of its partition
}

// fetched notes that a partition waits for a copy no more.
func (r *Replicator) fetched(f fetching, whole chan<- int) {
	r.left.add(f.cid, -1)
	if f.left.Add(-1) == 0 {
		whole <- f.partition
	}
}

// passOverLost lets partitions go on without what every owner says it has no
// good copy of: to wait for one would hold the change up for ever, and no ring
// has it any better. The alarm goes on, and who turns up with a copy is asked
// for it. It reports whether that was all that had failed.
func (r *Replicator) passOverLost(ctx context.Context, failed []fetching, whole chan<- int) bool {
	all := true
	for some := range slices.Chunk(failed, windowMax) {
		window := make([]*lack, len(some))
		for i, f := range some {
			window[i] = &lack{cid: f.cid}
		}
		if err := r.survey(ctx, window); err != nil {
			return false
		}
		for i, l := range window {
			if !l.lost() {
				all = false
				continue
			}
			r.o.Logger.Error("lost: its partition moves without it", "blob", l.cid)
			r.fetched(some[i], whole)
		}
	}
	return all
}

// moves reports whether a ring is still being filled.
func (r *Replicator) moves(version uint64) bool {
	_, next := r.o.Placement.Rings()
	return next != nil && next.Version == version
}

// sayWhole says which partitions are whole, several at a time, until all have
// come. It takes them to the end even when saying fails.
func (r *Replicator) sayWhole(ctx context.Context, version uint64, whole <-chan int) error {
	var said error
	var batch []int
	say := func() {
		if len(batch) == 0 || said != nil {
			return
		}
		slices.Sort(batch)
		said = r.o.Moves.Synced(ctx, version, batch)
		batch = nil
	}
	tick := time.NewTicker(sayEvery)
	defer tick.Stop()
	for {
		select {
		case p, more := <-whole:
			if !more {
				say()
				return said
			}
			batch = append(batch, p)
		case <-tick.C:
			say()
		}
	}
}
