package storage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/cockroachdb/pebble/v2"
)

// Put reads body to its end and stores it, when it is what cid names. It
// returns after the fsync.
//
// A body of another size or digest is KindInvalid, code hash_mismatch, and
// leaves nothing. An error of body itself is wrapped (errors.Is finds it). A
// blob that is there already is verified all the same and its mark is raised;
// a corrupt copy is replaced. Below the floor of free space: KindFull.
func (s *Store) Put(ctx context.Context, cid CID, body io.Reader, m Mark) (BlobInfo, error) {
	if cid.Inline() {
		return BlobInfo{CID: cid, Generation: m.Generation, Time: m.Time}, s.discard(ctx, cid, body)
	}
	held, ok, err := s.Stat(cid)
	if err != nil {
		return BlobInfo{}, err
	}
	if ok && !held.Corrupt && !held.Old {
		return s.putAgain(ctx, cid, body, m)
	}
	if err := s.space.admit(cid.Size()); err != nil {
		return BlobInfo{}, err
	}
	if s.lay.class(cid.Size()) == classSmall {
		return s.putSmall(ctx, cid, body, m)
	}
	return s.putLarge(ctx, cid, body, m)
}

// PutProven is Put of a body that was hashed already: it gives io.EOF only when
// whoever hashed all of it says that it is what cid names, and each of its bytes
// was checked on the way here. Who may say so is the caller's to know. Until then
// nothing is there.
func (s *Store) PutProven(ctx context.Context, cid CID, body io.Reader, m Mark) (BlobInfo, error) {
	return s.Put(ctx, cid, provenBody{body}, m)
}

// putAgain verifies a body that need not be written, and confirms the copy.
func (s *Store) putAgain(ctx context.Context, cid CID, body io.Reader, m Mark) (BlobInfo, error) {
	if err := s.discard(ctx, cid, body); err != nil {
		return BlobInfo{}, err
	}
	info, ok, err := s.Confirm(cid, m)
	if err == nil && !ok && s.Adopt(ctx, cid) == nil { // its database may have been replaced meanwhile
		info, ok, err = s.Confirm(cid, m)
	}
	if err == nil && !ok {
		err = &Error{Op: "storage.Put", Kind: KindUnavailable, Text: "the copy that was there went away meanwhile"}
	}
	return info, err
}

// buffers hold one chunk and its seal.
func (s *Store) buffer() []byte {
	if b, ok := chunkBuffers.Get().(*[]byte); ok && int64(cap(*b)) >= s.lay.chunk+sealBytes {
		return (*b)[:0]
	}
	return make([]byte, 0, s.lay.chunk+sealBytes)
}

func release(b []byte) { chunkBuffers.Put(&b) }

var chunkBuffers sync.Pool

func (s *Store) discard(ctx context.Context, cid CID, body io.Reader) error {
	v := newVerifier(cid, body)
	buf := s.buffer()
	defer release(buf)
	for {
		n, err := v.fill(ctx, buf[:s.lay.chunk])
		if err != nil {
			return err
		}
		if n == 0 {
			return v.verdict()
		}
	}
}

// putSmall hashes in memory and commits header and chunks as one synced batch:
// concurrent ones share the fsync.
func (s *Store) putSmall(ctx context.Context, cid CID, body io.Reader, m Mark) (BlobInfo, error) {
	v := newVerifier(cid, body)
	content := make([]byte, cid.Size())
	for off := int64(0); off < cid.Size(); {
		n, err := v.fill(ctx, content[off:])
		if err != nil {
			return BlobInfo{}, err
		}
		if n == 0 {
			break
		}
		off += int64(n)
	}
	if _, err := v.fill(ctx, nil); err != nil {
		return BlobInfo{}, err
	}
	if err := v.verdict(); err != nil {
		return BlobInfo{}, err
	}
	unlock := s.locks.lock(cid)
	defer unlock()
	return s.publish(cid, m, func(remark bool) error { return s.commitSmall(cid, content, m, remark) })
}

func (s *Store) commitSmall(cid CID, content []byte, m Mark, remark bool) error {
	v := s.use()
	defer v.release()
	b := v.cur.db.NewBatchWithSize(smallBatchBytes(content))
	defer func() { _ = b.Close() }()
	if err := s.addSmall(b, cid, content, m, remark); err != nil {
		return err
	}
	if err := b.Commit(s.sync); err != nil {
		return fmt.Errorf("commit blob: %w", err)
	}
	return nil
}

// smallBatchBytes is about what a small blob takes in a batch.
func smallBatchBytes(content []byte) int { return len(content) + 4*blobKeyBytes + headerBytes }

// addSmall adds all of a small blob to a batch, each value sealed where it lies there.
func (s *Store) addSmall(b *pebble.Batch, cid CID, content []byte, m Mark, remark bool) error {
	if remark { // over a corrupt copy
		start, end := s.lay.span(cid)
		key := markKey(cid)
		if err := errors.Join(b.DeleteRange(start, end, nil), b.Set(key, sealedMark(key, m, 0), nil)); err != nil {
			return err
		}
	}
	for i := range s.lay.chunks(cid.Size()) {
		key := s.lay.key(cid, i)
		part := content[int64(i)*s.lay.chunk : min(cid.Size(), int64(i+1)*s.lay.chunk)]
		set := b.SetDeferred(len(key), len(part)+sealBytes)
		copy(set.Key, key)
		appendSeal(key, append(set.Value[:0], part...))
		if err := set.Finish(); err != nil {
			return fmt.Errorf("write chunk: %w", err)
		}
	}
	key := s.lay.key(cid, headerChunk)
	if cid.Size() > s.lay.tinyMax {
		content = nil
	}
	set := b.SetDeferred(len(key), headerBytes+len(content)+sealBytes)
	copy(set.Key, key)
	appendSeal(key, append(appendHeader(set.Value[:0], cid, m), content...))
	if err := set.Finish(); err != nil {
		return fmt.Errorf("write header: %w", err)
	}
	return nil
}

// header returns key and value of the header of a blob whose bytes lie apart; the
// value is not sealed yet.
func (s *Store) header(cid CID, m Mark) (key, value []byte) {
	return s.lay.key(cid, headerChunk), appendHeader(nil, cid, m)
}

// putLarge hashes while the body streams into a table outside the tree, which
// is taken into it only when the hash is right.
func (s *Store) putLarge(ctx context.Context, cid CID, body io.Reader, m Mark) (BlobInfo, error) {
	path := s.fs.PathJoin(s.staging, fmt.Sprintf("%d.sst", s.staged.Add(1)))
	if err := s.writeTable(ctx, path, cid, body, m); err != nil {
		return BlobInfo{}, errors.Join(err, s.unstage(path))
	}
	unlock := s.locks.lock(cid)
	defer unlock()
	info, err := s.publish(cid, m, func(remark bool) error {
		v := s.use()
		defer v.release()
		// Ingest links tables in and syncs directory and manifest. Over a
		// corrupt copy, its table goes with the same step: left below the new one,
		// it would be in the way of each list and compaction. A snapshot that still
		// counts blobs would lose it, too.
		var err error
		if start, end := s.lay.span(cid); remark && s.counts.counted.Load() {
			_, err = v.cur.db.IngestAndExcise(ctx, []string{path}, nil, nil, pebble.KeyRange{Start: start, End: end})
		} else {
			err = v.cur.ingests.do(path, func(paths []string) error {
				return v.cur.db.Ingest(context.WithoutCancel(ctx), paths)
			})
		}
		if err == nil && remark {
			err = s.writeMark(v.cur.db, BlobInfo{CID: cid, Generation: m.Generation, Time: m.Time})
		}
		return err
	})
	return info, errors.Join(err, s.unstage(path))
}

// unstage removes a staged table; one that was ingested is gone already.
func (s *Store) unstage(path string) error {
	if err := s.fs.Remove(path); err != nil && !isNotExist(err) {
		return E("storage.Put", KindInternal, err)
	}
	return nil
}

func (s *Store) writeTable(ctx context.Context, path string, cid CID, body io.Reader, m Mark) error {
	f, err := s.createDirect(path, valueOver+int(s.lay.chunk))
	if err != nil {
		return DiskError("storage.Put", err)
	}
	t := blobTable{out: f}
	if err := s.writeChunks(ctx, &t, cid, body, m); err != nil {
		_ = f.close() // what is written is thrown away
		return err
	}
	if err := t.end(); err != nil {
		return DiskError("storage.Put", err)
	}
	return nil
}

// writeChunks has the body read into the table's own memory.
func (s *Store) writeChunks(ctx context.Context, t *blobTable, cid CID, body io.Reader, m Mark) error {
	if err := t.set(s.lay.leadKey(cid), nil); err != nil {
		return DiskError("storage.Put", err)
	}
	v := newVerifier(cid, body)
	for i := range s.lay.chunks(cid.Size()) {
		value, err := t.value(s.lay.key(cid, i), int(min(s.lay.chunk, cid.Size()-int64(i)*s.lay.chunk)))
		if err != nil {
			return DiskError("storage.Put", err)
		}
		n, err := v.fill(ctx, value.bytes)
		if err != nil {
			return err
		}
		if n < len(value.bytes) {
			return v.verdict() // it ended early
		}
		value.end(v.sum(value.bytes))
	}
	if _, err := v.fill(ctx, nil); err != nil {
		return err
	}
	if err := v.verdict(); err != nil {
		return err
	}
	if err := t.set(s.header(cid, m)); err != nil {
		return DiskError("storage.Put", err)
	}
	return nil
}

// publish makes a verified blob visible, unless another Put has done so
// meanwhile: one CID is never taken in twice. The CID's lock is held.
//
// Commit is told to write a mark of its own over one that is there, or that
// can't be read. To delete it is not enough: Pebble looks below a deleted key,
// and meets the corrupt block again; it does not look below a written one.
func (s *Store) publish(cid CID, m Mark, commit func(remark bool) error) (BlobInfo, error) {
	held, ok, err := s.look(cid)
	if err != nil {
		return BlobInfo{}, err
	}
	if ok && !held.Corrupt && !held.Old {
		return s.raise(held.BlobInfo, m)
	}
	if err := commit(ok || held.marked); err != nil {
		return BlobInfo{}, DiskError("storage.Put", err)
	}
	s.forget(cid)
	if !ok {
		s.counts.add(cid, 1)
	}
	return BlobInfo{CID: cid, Generation: m.Generation, Time: m.Time}, nil
}

// Confirm raises the mark of a blob that is held and not corrupt, and returns
// after the fsync. The bool is false when there is no such copy, or when it lies
// in a database that is being replaced: nobody vouches for those.
func (s *Store) Confirm(cid CID, m Mark) (BlobInfo, bool, error) {
	unlock := s.locks.lock(cid)
	defer unlock()
	held, ok, err := s.Stat(cid)
	if err != nil || !ok || held.Corrupt || held.Old {
		return BlobInfo{}, false, err
	}
	info, err := s.raise(held, m)
	return info, err == nil, err
}

// raise writes a newer mark; the CID's lock is held.
func (s *Store) raise(held BlobInfo, m Mark) (BlobInfo, error) {
	if m.Generation <= held.Generation && m.Time <= held.Time {
		return held, nil
	}
	held.Generation, held.Time = max(held.Generation, m.Generation), max(held.Time, m.Time)
	if err := s.setMark(held); err != nil {
		return BlobInfo{}, err
	}
	return held, nil
}

func (s *Store) setMark(info BlobInfo) error {
	v := s.use()
	defer v.release()
	return s.writeMark(v.cur.db, info)
}

func (s *Store) writeMark(db *pebble.DB, info BlobInfo) error {
	key, value := markOf(info)
	if err := db.Set(key, value, s.sync); err != nil {
		return E("storage.setMark", KindInternal, err)
	}
	return nil
}

// markOf returns key and value of the mark that says what is known of a copy.
func markOf(info BlobInfo) (key, value []byte) {
	key = markKey(info.CID)
	var flags byte
	if info.Corrupt {
		flags = flagCorrupt
	}
	return key, sealedMark(key, Mark{Generation: info.Generation, Time: info.Time}, flags)
}
