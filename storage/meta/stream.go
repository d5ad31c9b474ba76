package meta

import (
	"encoding/binary"
	"io"

	"ringbin/storage"
)

// Stream is the state at one index, for a backup. It has the form of Raft's
// snapshots, and holds the state until it is closed.
type Stream struct{ s *snapshot }

// Stream takes hold of the state as it is. Unlike Snapshot it may be called
// from any goroutine: the index is read from what it holds.
func (f *FSM) Stream() (*Stream, error) {
	const op = "meta.Stream"
	f.life.RLock()
	defer f.life.RUnlock()
	s := &snapshot{f: f, db: f.db, pebble: f.db.NewSnapshot()}
	f.holds.take(f.db)
	v, closer, err := s.pebble.Get(local(localApplied))
	if err != nil {
		s.Release()
		return nil, storage.E(op, storage.KindUnavailable, err)
	}
	s.index = binary.BigEndian.Uint64(v)
	if err := closer.Close(); err != nil {
		s.Release()
		return nil, storage.E(op, storage.KindInternal, err)
	}
	return &Stream{s}, nil
}

// Index is that of the last entry in the state.
func (s *Stream) Index() uint64 { return s.s.index }

// Write writes the state.
func (s *Stream) Write(w io.Writer) error {
	if err := s.s.write(w); err != nil {
		return storage.E("meta.Stream.Write", storage.KindInternal, err)
	}
	return nil
}

// Close lets the state go.
func (s *Stream) Close() { s.s.Release() }

// AppliedTerm is the term of the last entry in the state.
func (f *FSM) AppliedTerm() uint64 { return f.state.Load().term }
