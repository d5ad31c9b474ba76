package node

import (
	"bytes"
	"context"
	"errors"
	"io"
	"time"

	"ringbin/storage"
	"ringbin/storage/meta"
)

// Records of bins, schemas and notes are small enough to be held in memory, as
// long as not too many are at the same time.
const (
	recordsHeldMax = 512 << 20       // bytes of records in the memory of one node
	recordsWait    = 5 * time.Second // for room there
	knownWithin    = 2 * time.Second // for the owners' word that they hold a record already
)

// HoldRecord takes room in memory for a record of a size, or, below 0, of any
// that is allowed; whoever reads a body or a record holds it until done. The
// error is KindUnavailable (overloaded).
func (s *Service) HoldRecord(ctx context.Context, size int64) (release func(), err error) {
	return s.hold(ctx, "node.HoldRecord", size, s.Settings().JSONBin.RecordMaxBytes)
}

// hold takes room for size bytes of records, or, below 0, for the most that
// there can be of one.
func (s *Service) hold(ctx context.Context, op string, size, most int64) (release func(), err error) {
	if size < 0 || size > most {
		size = most
	}
	wait, cancel := context.WithTimeout(ctx, recordsWait)
	defer cancel()
	if err := s.records.Acquire(wait, size); err != nil {
		return nil, &storage.Error{Op: op, Kind: storage.KindUnavailable, Code: "overloaded", Err: err}
	}
	return func() { s.records.Release(size) }, nil
}

// commitRecord is commitContent for who has shown a key of JSONBin.
func commitRecord[T any](
	ctx context.Context, s *Service, c Caller, content []byte, with func(storage.CID, []storage.Receipt) meta.Command,
) (T, error) {
	v, err := commitContent[T](ctx, s, c, content, with)
	return v, c.refusedKey(err)
}

// commitContent brings content that lies in memory to its owners, and then
// proposes what refers to it.
func commitContent[T any](
	ctx context.Context, s *Service, c Caller, content []byte, with func(storage.CID, []storage.Receipt) meta.Command,
) (T, error) {
	var none T
	if err := s.takeUpload(); err != nil {
		return none, err
	}
	defer func() { <-s.uploads }()
	kept, err := s.storeRecord(ctx, content)
	if err != nil {
		return none, err
	}
	v, _, err := commitStored[T](ctx, s, c, kept, nil, func(r []storage.Receipt) meta.Command { return with(kept.cid, r) })
	return v, err
}

// storeRecord brings content to its owners. Where they hold it already, as
// when a bin is given the record that it has, no bytes are moved: their fresh
// word will do.
func (s *Service) storeRecord(ctx context.Context, content []byte) (*stored, error) {
	kept := &stored{
		cid:   storage.SumCID(content),
		again: func(context.Context) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content)), nil },
	}
	if kept.cid.Inline() {
		return kept, nil
	}
	b, found, err := s.n.fsm.Blob(kept.cid, s.now())
	if err != nil {
		return nil, err
	}
	if found && b.Alive {
		asked, cancel := context.WithTimeout(ctx, knownWithin)
		kept.receipts = s.n.confirm(asked, kept.cid)
		cancel()
		if s.n.enough(kept.cid, kept.receipts) {
			return kept, nil
		}
	}
	kept.receipts, err = s.store(ctx, kept.cid, bytes.NewReader(content))
	return kept, err
}

// readAll returns the whole of some content, held against its CID: what a burn
// takes away from everybody was good, and what is parsed is what was stored.
func (s *Service) readAll(ctx context.Context, cid storage.CID) ([]byte, error) {
	content := s.contentOf(ctx, cid, "")
	b := make([]byte, cid.Size())
	if _, err := io.ReadFull(content, b); err != nil {
		_ = content.Close() // it is the read that failed
		return nil, storage.E("node.readAll", storage.KindUnavailable, err)
	}
	if storage.SumCID(b) != cid {
		_ = content.Close() // it is the content that is wrong
		return nil, storage.E("node.readAll", storage.KindCorrupt, errors.New("content is not what its name says"))
	}
	return b, content.Close()
}

// strong looks something up once this node has applied all that was committed
// when it was asked. What is not there then is the error missing.
func strong[T any](ctx context.Context, s *Service, missing error, look func() (T, bool, error)) (T, error) {
	var none T
	if err := s.n.catchUp(ctx); err != nil {
		return none, err
	}
	v, found, err := look()
	if err == nil && !found {
		err = missing
	}
	if err != nil {
		return none, err
	}
	return v, nil
}
