package storage

import (
	"bytes"
	"errors"

	"github.com/cockroachdb/pebble/v2"
)

// classNote is the class of what a node writes down beside its blobs, such as
// how far a scrub has come.
const classNote byte = 0x50

func noteKey(name string) []byte { return append([]byte{classNote}, name...) }

// Note returns what was last written under a name; nil when there is nothing
// that can be read. A database that replaces another one begins without notes.
func (s *Store) Note(name string) ([]byte, error) {
	key := noteKey(name)
	v := s.use()
	defer v.release()
	value, closer, err := v.cur.db.Get(key)
	switch {
	case errors.Is(err, pebble.ErrNotFound) || err != nil && pebble.IsCorruptionError(err):
		return nil, nil
	case err != nil:
		return nil, E("storage.Note", KindInternal, err)
	}
	defer func() { _ = closer.Close() }()
	b, err := unseal(key, value)
	if err != nil {
		return nil, nil // a note is a help, and can be done without
	}
	return bytes.Clone(b), nil
}

// SetNote writes something down; power loss may take the last moments of it away.
func (s *Store) SetNote(name string, value []byte) error {
	key := noteKey(name)
	v := s.use()
	defer v.release()
	if err := v.cur.db.Set(key, appendSeal(key, bytes.Clone(value)), pebble.NoSync); err != nil {
		return E("storage.SetNote", KindInternal, err)
	}
	return nil
}
