package storage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/cockroachdb/pebble/v2"
)

// Stat returns what is known of a blob; the bool is false when none is held.
// Inline content is never held.
func (s *Store) Stat(cid CID) (BlobInfo, bool, error) {
	c, ok, err := s.look(cid)
	return c.BlobInfo, ok, err
}

// copyState is what a look at a copy gives.
type copyState struct {
	BlobInfo
	fault  error  // the check that failed just now; nil for a copy that is in quarantine already
	marked bool   // it has a mark where writes go, as far as can be read, whether it is held or not
	tiny   []byte // a tiny blob's bytes, which lie in its header
}

// look reads header and mark of a copy; the bool is false when none is held.
func (s *Store) look(cid CID) (copyState, bool, error) {
	if cid.Inline() {
		return copyState{}, false, nil
	}
	v := s.use()
	defer v.release()
	// The mark comes first: what is quarantined already is not read again.
	c := copyState{BlobInfo: BlobInfo{CID: cid}}
	marked, flags, err := addMark(v.cur, &c)
	if err != nil {
		return copyState{}, false, err
	}
	c.marked = marked
	if flags&flagCorrupt != 0 {
		return c, true, nil
	}
	ok, err := s.addHeader(v.cur, &c)
	if err != nil || ok || v.old == nil || flags&flagGone != 0 {
		return c, ok && err == nil, err
	}
	if !marked { // else the old database's own mark is older
		if _, flags, err = addMark(v.old, &c); err != nil {
			return copyState{}, false, err
		}
	}
	c.Old = true
	if flags&flagCorrupt != 0 {
		return c, true, nil
	}
	ok, err = s.addHeader(v.old, &c)
	return c, ok && err == nil, err
}

// addHeader adds what a copy's header in a database says; the bool is false
// when there is none.
func (s *Store) addHeader(d *database, c *copyState) (bool, error) {
	m, tiny, ok, err := s.headerIn(d, c.CID)
	if err != nil && KindOf(err) != KindCorrupt || !ok && err == nil {
		return false, err
	}
	c.Generation, c.Time = max(c.Generation, m.Generation), max(c.Time, m.Time)
	if err != nil {
		c.Corrupt, c.fault = true, err
	}
	c.tiny = tiny
	return true, nil
}

// addMark adds what a database's mark says. A mark that can't be read makes the
// copy corrupt: its generation is not known any more.
func addMark(d *database, c *copyState) (found bool, flags byte, err error) {
	key := markKey(c.CID)
	v, closer, err := d.get(c.CID, key)
	switch {
	case errors.Is(err, pebble.ErrNotFound):
		return false, 0, nil
	case err != nil && pebble.IsCorruptionError(err):
		c.Corrupt, c.fault = true, err
		return true, 0, nil
	case err != nil:
		return false, 0, E("storage.Stat", KindInternal, err)
	}
	m, flags, err := parseMark(key, v)
	_ = closer.Close()
	switch {
	case err != nil:
		c.Corrupt, c.fault = true, err
	case flags&flagCorrupt != 0:
		c.Corrupt, c.fault = true, nil
	}
	c.Generation, c.Time = max(c.Generation, m.Generation), max(c.Time, m.Time)
	return true, flags, nil
}

// headerIn returns a blob's own mark, and a copy of its bytes when they lie in the header.
func (s *Store) headerIn(d *database, cid CID) (m Mark, tiny []byte, ok bool, err error) {
	key := s.lay.key(cid, headerChunk)
	v, closer, err := d.get(cid, key)
	switch {
	case errors.Is(err, pebble.ErrNotFound):
		return Mark{}, nil, false, nil
	case err != nil && pebble.IsCorruptionError(err):
		return Mark{}, nil, true, E("storage.readHeader", KindCorrupt, err)
	case err != nil:
		return Mark{}, nil, false, E("storage.readHeader", KindInternal, err)
	}
	defer func() { _ = closer.Close() }()
	b, err := unseal(key, v)
	if err == nil {
		m, tiny, err = parseHeader(cid, b)
	}
	if err != nil {
		return Mark{}, nil, true, E("storage.readHeader", KindCorrupt, err)
	}
	return m, bytes.Clone(tiny), true, nil
}

// Open returns a reader of length bytes from offset; a length below 0 is to
// the end. KindNotFound when no copy is held, KindCorrupt when it failed a
// check before, KindRange when the range is not within the content.
func (s *Store) Open(ctx context.Context, cid CID, offset, length int64) (*Reader, error) {
	const op = "storage.Open"
	if offset < 0 || offset > cid.Size() || length > cid.Size()-offset {
		return nil, E(op, KindRange, fmt.Errorf("%d bytes from %d of %d", length, offset, cid.Size()))
	}
	if length < 0 {
		length = cid.Size() - offset
	}
	r := &Reader{s: s, ctx: ctx, cid: cid, offset: offset, end: offset + length}
	if cid.Inline() {
		r.chunk = cid.Content()
		return r, nil
	}
	held, ok, err := s.look(cid)
	switch {
	case err != nil:
		return nil, err
	case !ok:
		return nil, E(op, KindNotFound, nil)
	case held.fault != nil:
		return nil, s.corrupt(cid, held.fault)
	case held.Corrupt:
		return nil, E(op, KindCorrupt, nil)
	}
	if cid.Size() <= s.lay.tinyMax {
		if int64(len(held.tiny)) != cid.Size() {
			return nil, s.corrupt(cid, errors.New("header has too few bytes"))
		}
		r.chunk = held.tiny
		return r, nil
	}
	r.buf = s.buffer()
	return r, nil
}

// InMemory reports whether no read will wait for anything.
func (r *Reader) InMemory() bool { return r.buf == nil }

// Within bounds the reads to come by a context, in place of the one that Open got.
func (r *Reader) Within(ctx context.Context) { r.ctx = ctx }

// Reader reads a blob. Each chunk's CRC is checked before a byte of it leaves.
// No database iterator is held between reads, however slow they are.
type Reader struct {
	s      *Store
	ctx    context.Context //nolint:containedctx // io.Reader has no other way in
	cid    CID
	offset int64 // of the next byte
	end    int64
	start  int64  // offset of chunk[0]
	chunk  []byte // checked bytes
	buf    []byte // what chunk lies in; nil for inline and tiny blobs
	scrub  bool   // read what lies around the chunks as well
}

// Read implements io.Reader. An error other than io.EOF is KindCorrupt when a
// check failed.
func (r *Reader) Read(p []byte) (int, error) {
	part, err := r.next()
	if err != nil {
		return 0, err
	}
	n := copy(p, part)
	r.offset += int64(n)
	return n, nil
}

// WriteTo implements io.WriterTo, a chunk at a time.
func (r *Reader) WriteTo(w io.Writer) (int64, error) {
	var written int64
	for {
		part, err := r.next()
		if errors.Is(err, io.EOF) {
			return written, nil
		}
		if err != nil {
			return written, err
		}
		n, err := w.Write(part)
		written += int64(n)
		r.offset += int64(n)
		if err != nil {
			return written, err //nolint:wrapcheck // the writer's own
		}
	}
}

// Next implements PartReader: the rest of a chunk.
func (r *Reader) Next() ([]byte, error) {
	part, err := r.next()
	r.offset += int64(len(part))
	return part, err
}

// Close gives the reader's memory back.
func (r *Reader) Close() error {
	if r.buf != nil {
		release(r.buf)
		r.buf, r.chunk = nil, nil
	}
	r.end = 0
	return nil
}

// next returns checked bytes at the offset, at most to the end of the range.
func (r *Reader) next() ([]byte, error) {
	if r.offset >= r.end {
		return nil, io.EOF
	}
	if r.offset < r.start || r.offset >= r.start+int64(len(r.chunk)) {
		if err := r.load(); err != nil {
			return nil, err
		}
	}
	return r.chunk[r.offset-r.start : min(int64(len(r.chunk)), r.end-r.start)], nil
}

// load reads the chunk at the offset. It can be given up: Pebble looks for the
// bit in a block that fails its check, which takes seconds, and whoever reads
// has other copies.
func (r *Reader) load() error {
	if err := r.ctx.Err(); err != nil {
		return fmt.Errorf("storage.Read: %w", context.Cause(r.ctx))
	}
	i, buf := r.offset/r.s.lay.chunk, r.buf
	type loaded struct {
		chunk []byte
		err   error
	}
	done := make(chan loaded, 1)
	r.s.wg.Go(func() {
		chunk, err := r.fetch(i, buf)
		done <- loaded{chunk, err}
	})
	select {
	case l := <-done:
		if l.err != nil {
			return l.err
		}
		r.chunk, r.start = l.chunk, i*r.s.lay.chunk
		return nil
	case <-r.ctx.Done():
		r.buf, r.chunk = nil, nil // the goroutine writes into it
		return fmt.Errorf("storage.Read: %w", context.Cause(r.ctx))
	}
}

// fetch reads chunk i into buf. It changes nothing of the reader: nobody may
// wait for it any more.
func (r *Reader) fetch(i int64, buf []byte) ([]byte, error) {
	if !r.scrub {
		if chunk, ok := r.s.files.chunk(r.cid, i, buf); ok {
			return chunk, nil
		}
	}
	lay := r.s.lay
	key := lay.key(r.cid, uint32(i))
	var chunk []byte
	err := r.s.get(r.cid, key, func(v []byte) error {
		b, err := unseal(key, v)
		if err == nil && int64(len(b)) != min(lay.chunk, r.cid.Size()-i*lay.chunk) {
			err = errors.New("chunk has another size")
		}
		if err != nil {
			return E("storage.Read", KindCorrupt, err)
		}
		chunk = append(buf[:0], b...)
		return nil
	})
	switch {
	case err == nil:
		return chunk, nil
	case errors.Is(err, pebble.ErrNotFound) || pebble.IsCorruptionError(err):
		return nil, r.lost(err)
	case KindOf(err) == KindCorrupt:
		return nil, r.s.corrupt(r.cid, err)
	}
	return nil, E("storage.Read", KindInternal, err)
}

// get looks a chunk up, where writes go and then in the old database: a CID has
// its chunks, all of them, in the one or in the other, and in both they are the
// same. The value is use's only until it returns.
func (s *Store) get(cid CID, key []byte, use func([]byte) error) error {
	v := s.use()
	defer v.release()
	value, closer, err := v.cur.get(cid, key)
	if errors.Is(err, pebble.ErrNotFound) && v.old != nil {
		value, closer, err = v.old.get(cid, key)
	}
	if err != nil {
		return err // the caller asks what kind it is
	}
	defer func() { _ = closer.Close() }()
	return use(value)
}

// lost tells a blob that was erased meanwhile from one that lost a chunk.
func (r *Reader) lost(err error) error {
	if _, held, statErr := r.s.Stat(r.cid); statErr == nil && !held {
		return E("storage.Read", KindNotFound, err)
	}
	return r.s.corrupt(r.cid, err)
}

// corrupt quarantines a copy: it stays on disk, is not served any more, and
// the next Put replaces it.
func (s *Store) corrupt(cid CID, err error) error {
	unlock := s.locks.lock(cid)
	info, ok, statErr := s.Stat(cid)
	if statErr == nil && ok && !s.opts.ReadOnly {
		info.Corrupt = true
		statErr = s.setMark(info)
	}
	unlock()
	if s.opts.OnCorrupt != nil {
		s.opts.OnCorrupt(cid, err)
	}
	return E("storage.Read", KindCorrupt, errors.Join(err, statErr))
}
