package storage

import (
	"context"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
)

// List returns up to limit blobs in the order of CID.Compare, beginning after
// one CID, or with the first for nil.
func (s *Store) List(after *CID, limit int) ([]BlobInfo, error) {
	var infos []BlobInfo
	for _, class := range []byte{classSmall, classLarge} {
		if len(infos) == limit {
			break
		}
		err := s.headers(s.db, class, after, func(cid CID) (bool, error) {
			info, ok, err := s.Stat(cid)
			if err != nil {
				return false, err
			}
			if ok {
				infos = append(infos, info)
			}
			return len(infos) < limit, nil
		})
		if err != nil {
			return nil, err
		}
	}
	return infos, nil
}

// headers calls each with the CIDs of one class that have a header, in order,
// until it returns false.
func (s *Store) headers(db pebble.Reader, class byte, after *CID, each func(CID) (bool, error)) error {
	const op = "storage.List"
	bounds := &pebble.IterOptions{LowerBound: []byte{class}, UpperBound: []byte{class + 1}}
	if class == classLarge {
		bounds.UpperBound = nil
	}
	if after != nil {
		if s.lay.class(after.Size()) > class {
			return nil // all of this class go before it
		}
		if s.lay.class(after.Size()) == class {
			_, bounds.LowerBound = s.lay.span(*after)
		}
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

// countHeld adds up what a snapshot of the start holds.
func (s *Store) countHeld(ctx context.Context, snapshot *pebble.Snapshot) {
	defer func() { _ = snapshot.Close() }()
	for _, class := range []byte{classSmall, classLarge} {
		err := s.headers(snapshot, class, nil, func(cid CID) (bool, error) {
			s.counts.add(cid, 1)
			return ctx.Err() == nil, nil
		})
		if err != nil {
			s.logger.Error("blobs can't be counted", "err", err)
			return
		}
	}
	s.counts.counted.Store(ctx.Err() == nil)
}

// Stats returns the store's numbers; it is cheap.
func (s *Store) Stats() StoreStats {
	return StoreStats{Blobs: s.counts.blobs.Load(), Bytes: s.counts.bytes.Load(), Counted: s.counts.counted.Load()}
}
