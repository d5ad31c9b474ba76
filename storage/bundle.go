package storage

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"
)

// A bundle is small blobs that are stored, or travel, together: each keeps its
// own verdict, and all share one batch and one fsync.

// Limits of a bundle.
const (
	BundledMax     = 64 << 10 // blobs up to here are bundled
	BundleBlobsMax = 256
	BundleBytesMax = 1 << 20                       // of their contents
	BundleNamesMax = BundleBlobsMax * cidBinaryMax // bytes of their CIDs in binary
)

// Proven is a blob in memory whose bytes were held against its CID: only
// [Prove] makes one. Nobody changes its bytes any more.
type Proven struct {
	cid     CID
	content []byte
}

// Prove holds bytes against the CID that is to name them. The error is
// KindInvalid, code hash_mismatch.
func Prove(cid CID, content []byte) (Proven, error) {
	if int64(len(content)) != cid.Size() {
		return Proven{}, LengthMismatch(cid.Size(), int64(len(content)))
	}
	if got := SumCID(content); got != cid {
		return Proven{}, DigestMismatch(cid, got)
	}
	return Proven{cid: cid, content: content}, nil
}

// CID is the blob's name.
func (p Proven) CID() CID { return p.cid }

// Content is the blob's bytes, to be read only.
func (p Proven) Content() []byte { return p.content }

// PutResult is what became of one blob of a bundle.
type PutResult struct {
	Info BlobInfo
	Err  error
}

// Verdict is an owner's word for one blob of a bundle: its receipt, or why
// there is none.
type Verdict struct {
	Receipt Receipt
	Err     error
}

// PutAll stores blobs as [Store.Put] does, those of the small class with one
// batch and one fsync. The results are in the order of blobs: what is wrong with
// one does not touch the others, except for the disk itself.
func (s *Store) PutAll(ctx context.Context, blobs []Proven, m Mark) []PutResult {
	b := bundle{s: s, m: m, blobs: blobs, results: make([]PutResult, len(blobs)), order: make([]int, 0, len(blobs))}
	for i, p := range blobs {
		r := &b.results[i]
		switch {
		case p.cid.Inline():
			r.Info = b.fresh(p.cid)
		case s.lay.class(p.cid.Size()) == classSmall:
			b.order = append(b.order, i)
		default:
			r.Info, r.Err = s.Put(ctx, p.cid, bytes.NewReader(p.content), m)
		}
	}
	if len(b.order) > 0 {
		b.put()
	}
	return b.results
}

// bundle is one call of PutAll.
type bundle struct {
	s       *Store
	m       Mark
	blobs   []Proven
	results []PutResult
	order   []int // of the small blobs, by CID
	writes  []bundleWrite
}

// bundleWrite is what a blob needs: all of it, or, when it is held, a newer mark.
type bundleWrite struct {
	i      int
	whole  bool
	remark bool // as publish has it
	held   bool // a copy that is replaced
}

func (b *bundle) fresh(cid CID) BlobInfo {
	return BlobInfo{CID: cid, Generation: b.m.Generation, Time: b.m.Time}
}

// put takes the locks of all CIDs, in their order: two bundles never wait for
// each other, and nobody else takes more than one.
func (b *bundle) put() {
	slices.SortFunc(b.order, func(i, j int) int { return b.blobs[i].cid.Compare(b.blobs[j].cid) })
	same := func(i, j int) bool { return b.blobs[i].cid == b.blobs[j].cid }
	once := slices.CompactFunc(slices.Clone(b.order), same)
	unlocks := make([]func(), len(once))
	for k, i := range once {
		unlocks[k] = b.s.locks.lock(b.blobs[i].cid)
	}
	for _, i := range once {
		b.decide(i)
	}
	if len(b.writes) > 0 {
		b.finish(b.commit())
	}
	for _, unlock := range unlocks {
		unlock()
	}
	for k := 1; k < len(b.order); k++ { // what is in it twice has one result
		if i, before := b.order[k], b.order[k-1]; same(i, before) {
			b.results[i] = b.results[before]
		}
	}
}

// decide says what a blob needs. The bytes are verified: what is held is
// confirmed, and what is corrupt or lies in a database that is being replaced is
// written anew.
func (b *bundle) decide(i int) {
	cid, r := b.blobs[i].cid, &b.results[i]
	held, ok, err := b.s.look(cid)
	switch {
	case err != nil:
		r.Err = err
	case ok && !held.Corrupt && !held.Old:
		r.Info = held.BlobInfo
		if b.m.Generation > held.Generation || b.m.Time > held.Time {
			r.Info.Generation, r.Info.Time = max(held.Generation, b.m.Generation), max(held.Time, b.m.Time)
			b.writes = append(b.writes, bundleWrite{i: i})
		}
	default:
		if r.Err = b.s.space.admit(cid.Size()); r.Err != nil {
			return
		}
		r.Info = b.fresh(cid)
		b.writes = append(b.writes, bundleWrite{i: i, whole: true, remark: ok || held.marked, held: ok})
	}
}

// commit writes all of it in one step, and returns after the fsync.
func (b *bundle) commit() error {
	size := 0
	for _, w := range b.writes {
		size += smallBatchBytes(b.blobs[w.i].content)
	}
	v := b.s.use()
	defer v.release()
	batch := v.cur.db.NewBatchWithSize(size)
	defer func() { _ = batch.Close() }()
	for _, w := range b.writes {
		if err := b.add(batch, w); err != nil {
			return err
		}
	}
	if err := batch.Commit(b.s.sync); err != nil {
		return fmt.Errorf("commit %d blobs: %w", len(b.writes), err)
	}
	return nil
}

func (b *bundle) add(batch *pebble.Batch, w bundleWrite) error {
	if w.whole {
		return b.s.addSmall(batch, b.blobs[w.i].cid, b.blobs[w.i].content, b.m, w.remark)
	}
	key, value := markOf(b.results[w.i].Info)
	return batch.Set(key, value, nil) //nolint:wrapcheck // finish says what it means
}

func (b *bundle) finish(err error) {
	for _, w := range b.writes {
		cid, r := b.blobs[w.i].cid, &b.results[w.i]
		switch {
		case err != nil:
			r.Info, r.Err = BlobInfo{}, DiskError("storage.PutAll", err)
		case w.whole:
			b.s.forget(cid)
			if !w.held {
				b.s.counts.add(cid, 1)
			}
		}
	}
}
