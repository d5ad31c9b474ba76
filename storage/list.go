package storage

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
)

// List returns up to limit blobs in the order of CID.Compare, beginning after
// one CID, or with the first for nil. KindCorrupt: there are blobs that no list
// can name any more; the database is going to be replaced.
func (s *Store) List(after *CID, limit int) ([]BlobInfo, error) {
	var infos []BlobInfo
	for len(infos) < limit {
		want := limit - len(infos)
		cids, err := s.listCIDs(after, want)
		if err != nil {
			return nil, err
		}
		for _, cid := range cids {
			info, ok, err := s.Stat(cid)
			if err != nil {
				return nil, err
			}
			if ok {
				infos = append(infos, info)
			}
		}
		if len(cids) < want {
			break
		}
		after = &cids[len(cids)-1]
	}
	return infos, nil
}

// listCIDs returns up to limit CIDs, in order, that have a header in one
// database or the other.
func (s *Store) listCIDs(after *CID, limit int) ([]CID, error) {
	v := s.use()
	defer v.release()
	cids, err := s.listIn(v.cur, after, limit)
	if err != nil || v.old == nil {
		return cids, err
	}
	older, err := s.listIn(v.old, after, limit)
	if err != nil {
		return nil, err
	}
	cids = append(cids, older...)
	slices.SortFunc(cids, CID.Compare)
	cids = slices.Compact(cids)
	return cids[:min(limit, len(cids))], nil
}

func (s *Store) listIn(d *database, after *CID, limit int) ([]CID, error) {
	var cids []CID
	for _, class := range []byte{classSmall, classLarge} {
		if len(cids) == limit {
			break
		}
		more, err := s.listClass(d.db, class, span{after: after}, limit-len(cids))
		if err != nil {
			if KindOf(err) == KindCorrupt {
				d.listFailed()
			}
			return nil, err
		}
		cids = append(cids, more...)
	}
	return cids, nil
}

// span is an open range of CIDs; nil is no bound.
type span struct{ after, before *CID }

// listClass lists what has a header in a range. A large blob's table that rots
// is not read: its bounds name the blob, and the list goes around it.
func (s *Store) listClass(db pebble.Reader, class byte, in span, limit int) ([]CID, error) {
	var cids []CID
	err := s.headers(db, class, in, func(cid CID) (bool, error) {
		cids = append(cids, cid)
		return len(cids) < limit, nil
	})
	if err == nil || KindOf(err) != KindCorrupt {
		return cids, err
	}
	bad, ok := soleCID(pebble.ExtractDataCorruptionInfo(err))
	if !ok || s.lay.class(bad.Size()) != class || in.after != nil && bad.Compare(*in.after) <= 0 || in.before != nil && bad.Compare(*in.before) >= 0 {
		return nil, err
	}
	cids, err = s.listClass(db, class, span{in.after, &bad}, limit)
	if err != nil || len(cids) == limit {
		return cids, err
	}
	if cids = append(cids, bad); len(cids) == limit {
		return cids, nil
	}
	rest, err := s.listClass(db, class, span{&bad, in.before}, limit-len(cids))
	return append(cids, rest...), err
}

// headers calls each with the CIDs of one class that have a header, in order,
// until it returns false.
func (s *Store) headers(db pebble.Reader, class byte, in span, each func(CID) (bool, error)) error {
	const op = "storage.List"
	bounds := &pebble.IterOptions{LowerBound: []byte{class}, UpperBound: []byte{class + 1}}
	if class == classLarge {
		bounds.UpperBound = nil
	}
	if in.after != nil {
		if s.lay.class(in.after.Size()) > class {
			return nil // all of this class go before it
		}
		if s.lay.class(in.after.Size()) == class {
			_, bounds.LowerBound = s.lay.span(*in.after)
		}
	}
	if in.before != nil { // of the same class
		bounds.UpperBound, _ = s.lay.span(*in.before)
	}
	it, err := db.NewIter(bounds)
	if err != nil {
		return E(op, KindInternal, err)
	}
	defer func() { _ = it.Close() }()
	for ok := it.First(); ok; {
		cid, err := cidOfKey(it.Key())
		if err != nil {
			return E(op, KindCorrupt, err)
		}
		_, past := s.lay.span(cid)
		header := past[:len(past)-1]
		if it.SeekGE(header) && string(it.Key()) == string(header) {
			more, err := each(cid)
			if err != nil || !more {
				return err
			}
		}
		ok = it.SeekGE(past)
	}
	if err := it.Error(); err != nil {
		if pebble.IsCorruptionError(err) {
			return E(op, KindCorrupt, err)
		}
		return E(op, KindInternal, err)
	}
	return nil
}

// StoreStats are a store's numbers.
type StoreStats struct {
	Blobs   int64
	Bytes   int64 // of content
	Counted bool  // false while the blobs of before the start are still being counted
}

// counts are kept by Put and Erase on top of what was there at the start.
type counts struct {
	blobs, bytes atomic.Int64
	small        atomic.Int64 // of the bytes, those of small blobs
	counted      atomic.Bool
}

func (c *counts) add(cid CID, blobs int64) {
	c.blobs.Add(blobs)
	c.bytes.Add(blobs * cid.Size())
	if defaultLayout.class(cid.Size()) == classSmall {
		c.small.Add(blobs * cid.Size())
	}
}

func (c *counts) reset() {
	c.blobs.Store(0)
	c.bytes.Store(0)
	c.small.Store(0)
	c.counted.Store(false)
}

// startCounting counts what is held from now on, in the background. What is
// being written at this very moment may be counted twice, or not at all, until
// the next start.
func (s *Store) startCounting() {
	s.counts.reset()
	snapshots := []*pebble.Snapshot{s.db.NewSnapshot()}
	if s.old != nil {
		snapshots = append(snapshots, s.old.db.NewSnapshot())
	}
	ctx, cancel := context.WithCancel(context.Background())
	s.counting.cancel = cancel
	s.counting.wg.Go(func() {
		err := s.countHeld(ctx, snapshots)
		for _, snapshot := range snapshots {
			_ = snapshot.Close()
		}
		if err != nil {
			s.logger.Error("blobs can't be counted", "err", err)
		}
		s.counts.counted.Store(err == nil && ctx.Err() == nil)
	})
}

// stopCounting ends the count, and waits for its end.
func (s *Store) stopCounting() {
	s.counting.cancel()
	s.counting.wg.Wait()
}

// countHeld adds up what snapshots hold; of the second one, what the first one
// has not and was not erased.
func (s *Store) countHeld(ctx context.Context, snapshots []*pebble.Snapshot) error {
	const page = 1000
	for i, snapshot := range snapshots {
		for _, class := range []byte{classSmall, classLarge} {
			var in span
			for more := true; more && ctx.Err() == nil; {
				cids, err := s.listClass(snapshot, class, in, page)
				if err != nil {
					return err
				}
				for _, cid := range cids {
					if i == 0 || !s.hides(snapshots[0], cid) {
						s.counts.add(cid, 1)
					}
				}
				if more = len(cids) == page; more {
					in.after = &cids[page-1]
				}
			}
		}
	}
	return nil
}

// hides reports whether a copy in the old database is not one any more.
func (s *Store) hides(cur pebble.Reader, cid CID) bool {
	key := markKey(cid)
	if v, closer, err := cur.Get(key); err == nil {
		_, flags, err := parseMark(key, v)
		_ = closer.Close()
		if err == nil && flags&flagGone != 0 {
			return true
		}
	}
	_, closer, err := cur.Get(s.lay.key(cid, headerChunk))
	if err == nil {
		_ = closer.Close()
	}
	return !errors.Is(err, pebble.ErrNotFound)
}

// Stats returns the store's numbers; it is cheap.
func (s *Store) Stats() StoreStats {
	return StoreStats{Blobs: s.counts.blobs.Load(), Bytes: s.counts.bytes.Load(), Counted: s.counts.counted.Load()}
}
