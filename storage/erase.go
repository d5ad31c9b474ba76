package storage

import (
	"context"
	"errors"

	"github.com/cockroachdb/pebble/v2"
)

// Erase removes a blob whose generation is below the given one, and reports
// whether it did.
func (s *Store) Erase(cid CID, below uint64) (bool, error) {
	return s.EraseIf(context.Background(), cid, func(held BlobInfo) (bool, error) { return held.Generation < below, nil })
}

// EraseIf removes a blob when may says so, and reports whether it did. The CID's
// lock, which Put and Confirm take as well, is held from before may is asked
// until the blob is gone: no receipt is given for it in between, and may sees
// what the last one has left. So may must not call the Store about this CID.
//
// It returns after the fsync. That is not for safety, since bytes that come back
// are erased again: what was counted as gone stays gone.
func (s *Store) EraseIf(ctx context.Context, cid CID, may func(held BlobInfo) (bool, error)) (bool, error) {
	unlock := s.locks.lock(cid)
	defer unlock()
	held, ok, err := s.Stat(cid)
	if err != nil || !ok {
		return false, err
	}
	if ok, err := may(held); err != nil || !ok {
		return false, err
	}
	v := s.use()
	defer v.release()
	if s.lay.class(cid.Size()) == classLarge {
		s.files.drop(cid) // who reads it at the moment meets its end
		err = s.eraseLarge(ctx, v, cid)
	} else {
		err = s.eraseSmall(v, cid)
	}
	if err != nil {
		return false, E("storage.Erase", KindInternal, err)
	}
	if s.lay.class(cid.Size()) == classSmall && !held.Old {
		v.cur.garbage.Add(cid.Size())
	}
	v.cur.forget(cid)
	s.counts.add(cid, -1)
	return true, nil
}

// unmark takes an erased blob's mark away. While a database is being replaced,
// it says instead that the copy in there is gone: nothing is written to the old
// one, and its room comes back with all of it.
func unmark(v view, b *pebble.Batch, cid CID) error {
	key := markKey(cid)
	if v.old == nil {
		return b.Delete(key, nil) //nolint:wrapcheck // wrapped by EraseIf
	}
	return b.Set(key, sealedMark(key, Mark{}, flagGone), nil) //nolint:wrapcheck // likewise
}

func (s *Store) eraseSmall(v view, cid CID) error {
	b := v.cur.db.NewBatch()
	defer func() { _ = b.Close() }()
	err := unmark(v, b, cid)
	if s.lay.chunks(cid.Size()) == 0 { // one key: a range would cost more than it frees
		err = errors.Join(err, b.Delete(s.lay.key(cid, headerChunk), nil))
	} else {
		start, end := s.lay.span(cid)
		err = errors.Join(err, b.DeleteRange(start, end, nil))
	}
	if err != nil {
		return err
	}
	return b.Commit(s.sync) //nolint:wrapcheck // wrapped by EraseIf
}

// eraseLarge cuts a blob's table out of the tree. Its room is free at once, and
// no tombstone is left that would make a compaction write the large blobs on both
// sides of it anew. Power lost before the mark goes leaves a mark of nothing,
// which the next Put of the CID writes over, or the copy in the old database.
func (s *Store) eraseLarge(ctx context.Context, v view, cid CID) error {
	start, end := s.lay.span(cid)
	var err error
	counted := s.counts.counted.Load() // else the snapshot that is being counted would lose it
	if counted {
		err = v.cur.db.Excise(ctx, pebble.KeyRange{Start: start, End: end})
	}
	if !counted || err != nil && pebble.IsCorruptionError(err) { // a table that it shares with others, and that can't be read
		err = v.cur.db.DeleteRange(start, end, s.sync)
	}
	if err != nil {
		return err //nolint:wrapcheck // wrapped by EraseIf
	}
	b := v.cur.db.NewBatch()
	defer func() { _ = b.Close() }()
	if err := unmark(v, b, cid); err != nil {
		return err
	}
	return b.Commit(s.sync) //nolint:wrapcheck // likewise
}

// What makes small blobs worth writing anew: as much garbage as a share of what
// is held, so that each byte is written a bounded number of times for it.
const (
	garbageShare = 4 // of the small blobs' bytes that are held
	garbageLeast = 64 << 20
)

// Reclaim gives the room of small blobs that were erased back to the volume,
// once it is worth it. Erasing writes only that they are gone, and left alone
// Pebble comes to it when as much new content was written. It takes long; other
// calls go on meanwhile. The bool reports whether there was enough to do it.
func (s *Store) Reclaim(ctx context.Context) (bool, error) {
	v := s.use()
	defer v.release()
	garbage := v.cur.garbage.Load()
	if garbage < max(garbageLeast, s.counts.small.Load()/garbageShare) {
		return false, nil
	}
	return true, v.cur.reclaim(ctx, garbage)
}

func (d *database) reclaim(ctx context.Context, garbage int64) error {
	err := d.db.Flush()
	if err == nil {
		err = d.db.Compact(ctx, []byte{classSmall}, []byte{classSmall + 1}, true)
	}
	if err != nil {
		return E("storage.Reclaim", KindInternal, err)
	}
	d.garbage.Add(-garbage)
	return nil
}
