package meta

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"ringbin/storage"
)

// lanes are the order-free hash of a table: the sum, lane by lane, of the
// SHA-256 of its pairs. Adding what is written and subtracting what is replaced
// keeps it current at the cost of two hashes a write.
type lanes [4]uint64

func pairLanes(key, value []byte) lanes {
	h := sha256.New()
	var n [4]byte
	binary.BigEndian.PutUint32(n[:], uint32(len(key)))
	h.Write(n[:])
	h.Write(key)
	h.Write(value)
	var sum [sha256.Size]byte
	h.Sum(sum[:0])
	var l lanes
	for i := range l {
		l[i] = binary.BigEndian.Uint64(sum[8*i:])
	}
	return l
}

func (l *lanes) add(o lanes) {
	for i := range l {
		l[i] += o[i]
	}
}

func (l *lanes) sub(o lanes) {
	for i := range l {
		l[i] -= o[i]
	}
}

// tx is the state while a batch of entries is applied: reads see what the
// batch has written so far.
type tx struct {
	b      *pebble.Batch // indexed
	hashes map[byte]lanes
	// known is what keys that were read or written hold now, nil for nothing:
	// each write asks for the old value, which its command has just read.
	known map[string][]byte
	db    *pebble.DB
	was   *pebble.Iterator // over the state before the batch; nil until it is asked for

	index   uint64 // of the entry that is being applied
	ordinal uint32 // of the ledger entry within it
	time    int64  // FSM time
	counts  Counts

	cache     *cached // settings, ring and nodes as of now; replaced, never changed
	cacheOld  bool    // something in it was written
	countsOld bool

	committed []storage.CID // stored content that got a reference, or kept one for longer
	condemned []storage.CID // stored content that was condemned
}

// errCorruptState is a state that Apply can't read: the node halts.
var errCorruptState = errors.New("state can't be read")

// get returns what a key holds now. The value must not be changed.
func (t *tx) get(key []byte) ([]byte, bool, error) {
	if v, known := t.known[string(key)]; known {
		return v, v != nil, nil
	}
	v, err := t.before(key)
	if err != nil {
		return nil, false, fmt.Errorf("%w: %w", errCorruptState, err)
	}
	t.known[string(key)] = v
	return v, v != nil, nil
}

// before returns what a key held before the batch, nil for nothing. Most keys
// that are asked for are new ones. That they are not there is told by the
// filters of all levels, the last one's included, which Get does not ask.
func (t *tx) before(key []byte) ([]byte, error) {
	if t.was == nil {
		var err error
		if t.was, err = t.db.NewIter(&pebble.IterOptions{UseL6Filters: true}); err != nil {
			return nil, err //nolint:wrapcheck // wrapped by get
		}
	}
	if !t.was.SeekPrefixGE(key) {
		return nil, t.was.Error() //nolint:wrapcheck // wrapped by get
	}
	v, err := t.was.ValueAndErr()
	return append([]byte{}, v...), err
}

// close lets the batch go.
func (t *tx) close() error {
	var err error
	if t.was != nil {
		err = t.was.Close()
	}
	return errors.Join(err, t.b.Close())
}

func (t *tx) set(key, value []byte) error {
	if err := t.unhash(key); err != nil {
		return err
	}
	l := t.hashes[key[0]]
	l.add(pairLanes(key, value))
	t.hashes[key[0]] = l
	t.known[string(key)] = append([]byte{}, value...)
	return batchError(t.b.Set(key, value, nil))
}

func (t *tx) del(key []byte) error {
	if err := t.unhash(key); err != nil {
		return err
	}
	t.known[string(key)] = nil
	return batchError(t.b.Delete(key, nil))
}

func batchError(err error) error {
	if err != nil {
		return fmt.Errorf("write state: %w", err)
	}
	return nil
}

// unhash takes what a key holds now out of its table's hash.
func (t *tx) unhash(key []byte) error {
	old, ok, err := t.get(key)
	if err != nil || !ok {
		return err
	}
	l := t.hashes[key[0]]
	l.sub(pairLanes(key, old))
	t.hashes[key[0]] = l
	return nil
}

// read decodes the record under a key; the bool is false when there is none.
func read[T any](t *tx, key []byte) (T, bool, error) {
	var v T
	b, ok, err := t.get(key)
	if err != nil || !ok {
		return v, false, err
	}
	if err := decMode.Unmarshal(b, &v); err != nil {
		return v, false, fmt.Errorf("%w: key %x: %w", errCorruptState, key, err)
	}
	return v, true, nil
}

// write encodes a record under a key.
func write[T any](t *tx, key []byte, v T) error {
	b, err := encMode.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode: %w", err)
	}
	return t.set(key, b)
}

// scan calls each with the keys and values under a prefix, in order, until it
// returns false. Each must copy what it keeps, and must not write.
func scan(r pebble.Reader, prefix []byte, each func(key, value []byte) (bool, error)) error {
	return scanRange(r, prefix, past(prefix), each)
}

func scanRange(r pebble.Reader, from, to []byte, each func(key, value []byte) (bool, error)) error {
	it, err := r.NewIter(&pebble.IterOptions{LowerBound: from, UpperBound: to})
	if err != nil {
		return fmt.Errorf("%w: %w", errCorruptState, err)
	}
	for ok := it.First(); ok; ok = it.Next() {
		more, err := each(it.Key(), it.Value())
		if err != nil || !more {
			return errors.Join(err, it.Close())
		}
	}
	if err := it.Close(); err != nil {
		return fmt.Errorf("%w: %w", errCorruptState, err)
	}
	return nil
}

// refuse is the result of a command that may not be carried out.
func refuse(op string, kind storage.Kind, code string, details map[string]any) *storage.Error {
	return &storage.Error{Op: "meta." + op, Kind: kind, Code: code, Details: details}
}

func refuseField(op, field, want string) *storage.Error {
	return storage.Invalid("meta."+op, "invalid_parameter", field, want)
}

func refuseMissing(op string) *storage.Error {
	return refuse(op, storage.KindNotFound, "not_found", nil)
}
