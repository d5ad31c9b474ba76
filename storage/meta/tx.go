package meta

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/cockroachdb/pebble/v2"

	"ringbin/storage"
)

// tx is the state while a batch of entries is applied: reads see what the
// batch has written so far. What is written waits in memory, so that a row is
// encoded, hashed and put into the database once, however many commands change
// it, and rows go there in the order of their keys, which is the cheapest.
type tx struct {
	db     *pebble.DB
	b      *pebble.Batch    // what was folded; not indexed until rows are asked for
	was    *pebble.Iterator // over the state before the batch; nil until it is asked for
	tables *pebble.Iterator // over what of it lies in tables; nil until it is asked for
	hashes *tableHashes     // of what was folded
	fresh  *unflushed       // the FSM's

	known map[string]*row
	dirty []*row // written since the last fold
	slab  []row
	names strings.Builder // whose text the rows' keys are parts of
	pair  []byte          // room for a key and a pair that is hashed
	err   error           // of a fold for rows: nothing may be committed

	index   uint64 // of the entry that is being applied
	ordinal uint32 // of the ledger entry within it
	time    int64  // FSM time
	counts  Counts

	answers []reply // of the entry that is being applied
	kept    kept

	cache     *cached // settings, ring and nodes as of now; replaced, never changed
	cacheOld  bool    // something in it was written
	countsOld bool

	committed []storage.CID // stored content that got a reference, or kept one for longer
	condemned []storage.CID // stored content that was condemned
}

// row is what is known of a key. Nil bytes stand for no row, empty ones for an empty value.
type row struct {
	key     string
	was     []byte // as it was folded last, or before the batch
	now     []byte
	record  any  // what now decodes to, of a plain record
	looked  bool // was is known
	written bool // since the last fold
	encoded bool // now says what record does
}

// plain are records without slices, maps and pointers: they are kept decoded,
// since nobody can change what they share.
type plain interface{ plain() }

func (Account) plain()    {}
func (blobRecord) plain() {}
func (refRecord) plain()  {}
func (Counts) plain()     {}

// errCorruptState is a state that Apply can't read: the node halts.
var errCorruptState = errors.New("state can't be read")

// What is allocated at once for many rows.
const (
	slabRows  = 64
	slabNames = 8 << 10 // bytes of their keys
)

// row returns what is known of a key, perhaps nothing yet.
func (t *tx) row(key []byte) *row {
	if r := t.known[string(key)]; r != nil {
		return r
	}
	if len(t.slab) == 0 {
		t.slab = make([]row, slabRows)
	}
	r := &t.slab[0]
	t.slab = t.slab[1:]
	r.key, r.encoded = t.name(key), true
	t.known[r.key] = r
	return r
}

// name is a key as text.
func (t *tx) name(key []byte) string {
	if t.names.Cap()-t.names.Len() < len(key) {
		t.names = strings.Builder{} // what it holds stays with the rows
		t.names.Grow(max(slabNames, len(key)))
	}
	from := t.names.Len()
	t.names.Write(key)
	return t.names.String()[from:]
}

// look makes sure that a row's value is known.
func (t *tx) look(r *row) error {
	if !r.looked {
		t.pair = append(t.pair[:0], r.key...)
		v, err := t.before(t.pair)
		if err != nil {
			return fmt.Errorf("%w: %w", errCorruptState, err)
		}
		r.was, r.looked = v, true
		if !r.written {
			r.now = v
		}
	}
	return nil
}

// encode makes sure that a row's bytes say what its record does.
func (r *row) encode() error {
	if r.encoded {
		return nil
	}
	b, err := encMode.Marshal(r.record)
	if err != nil {
		return fmt.Errorf("encode: %w", err)
	}
	r.now, r.encoded = b, true
	return nil
}

// get returns what a key holds now. The value must not be changed.
func (t *tx) get(key []byte) ([]byte, bool, error) {
	r := t.row(key)
	if !r.written {
		if err := t.look(r); err != nil {
			return nil, false, err
		}
	}
	err := errors.Join(t.err, r.encode())
	return r.now, r.now != nil, err
}

// before returns what a key held before the batch, nil for nothing. Most keys
// that are asked for are new ones. That they are not there is told by the
// filters of all levels, the last one's included, which Get does not ask.
func (t *tx) before(key []byte) ([]byte, error) {
	it, err := t.source(key)
	if err != nil {
		return nil, err
	}
	if !it.SeekPrefixGE(key) {
		return nil, it.Error() //nolint:wrapcheck // wrapped by look
	}
	v, err := it.ValueAndErr()
	return append([]byte{}, v...), err
}

// source is the iterator that knows a key: over tables alone, if no memtable can say anything of it.
func (t *tx) source(key []byte) (*pebble.Iterator, error) {
	if t.fresh.may(key) {
		return t.iter()
	}
	if t.tables == nil {
		var err error
		t.tables, err = t.db.NewIter(&pebble.IterOptions{UseL6Filters: true, OnlyReadGuaranteedDurable: true})
		if err == nil && t.fresh.asks() {
			err = t.fresh.look(t.tables)
		}
		if err != nil {
			return nil, err
		}
	}
	if !t.fresh.complete() {
		return t.iter()
	}
	return t.tables, nil
}

// iter goes over the state before the batch.
func (t *tx) iter() (*pebble.Iterator, error) {
	if t.was == nil {
		var err error
		if t.was, err = t.db.NewIter(&pebble.IterOptions{UseL6Filters: true}); err != nil {
			return nil, err //nolint:wrapcheck // wrapped by its callers
		}
	}
	return t.was, nil
}

// close lets the batch go.
func (t *tx) close() error {
	err := t.b.Close()
	for _, it := range []*pebble.Iterator{t.was, t.tables} {
		if it != nil {
			err = errors.Join(err, it.Close())
		}
	}
	return err
}

// mark notes that a row is written.
func (t *tx) mark(r *row) {
	if !r.written {
		r.written = true
		t.dirty = append(t.dirty, r)
	}
	r.record, r.encoded = nil, true
}

// set writes a value, which must not be changed any more.
func (t *tx) set(key, value []byte) error {
	r := t.row(key)
	t.mark(r)
	if r.now = value; value == nil {
		r.now = []byte{}
	}
	return t.err
}

// add is set for a row that can't be there yet: what stood before it is not asked for.
func (t *tx) add(key, value []byte) error {
	t.row(key).looked = true
	return t.set(key, value)
}

func (t *tx) del(key []byte) error {
	r := t.row(key)
	t.mark(r)
	r.now = nil
	return t.err
}

// drop is del for a row that is there, with a value that is known.
func (t *tx) drop(key, value []byte) error {
	if r := t.row(key); !r.looked {
		r.was, r.looked = append([]byte{}, value...), true
	}
	return t.del(key)
}

// fold takes what was written into the batch and the hashes of the tables.
func (t *tx) fold() error {
	slices.SortFunc(t.dirty, func(a, b *row) int { return strings.Compare(a.key, b.key) })
	for _, r := range t.dirty {
		if err := errors.Join(t.look(r), r.encode()); err != nil {
			return err
		}
		r.written = false
		if (r.was == nil) == (r.now == nil) && bytes.Equal(r.was, r.now) {
			continue
		}
		if err := t.put(r); err != nil {
			return fmt.Errorf("write state: %w", err)
		}
		r.was = r.now
	}
	t.dirty = t.dirty[:0]
	return nil
}

// put takes a row that is another one than before into the batch and the hash of its table.
func (t *tx) put(r *row) error {
	l := &t.hashes[r.key[0]]
	var sum lanes
	t.pair = append(t.pair[:0], r.key...)
	t.fresh.add(t.pair)
	if r.was != nil {
		t.pair, sum = appendLanes(t.pair, r.key, r.was)
		l.sub(sum)
	}
	if r.now == nil {
		return t.b.Delete(append(t.pair[:0], r.key...), nil) //nolint:wrapcheck // wrapped by fold
	}
	t.pair, sum = appendLanes(t.pair, r.key, r.now)
	l.add(sum)
	return t.b.Set(append(t.pair[:0], r.key...), r.now, nil) //nolint:wrapcheck // wrapped by fold
}

// rows is the state as it is now, to be scanned. Looking up single rows is
// cheaper by get and read.
func (t *tx) rows() pebble.Reader {
	t.err = errors.Join(t.err, t.fold())
	if !t.b.Indexed() {
		indexed := t.db.NewIndexedBatch()
		t.err = errors.Join(t.err, indexed.Apply(t.b, nil), t.b.Close())
		t.b = indexed
	}
	return t.b
}

// read decodes the record under a key; the bool is false when there is none.
func read[T any](t *tx, key []byte) (v T, found bool, err error) {
	r := t.row(key)
	if v, ok := r.record.(T); ok {
		return v, true, nil
	}
	b, ok, err := t.get(key)
	if err != nil || !ok {
		return v, false, err
	}
	if err := decMode.Unmarshal(b, &v); err != nil {
		return v, false, fmt.Errorf("%w: key %x: %w", errCorruptState, key, err)
	}
	if _, ok := any(v).(plain); ok {
		r.record = v
	}
	return v, true, nil
}

// write encodes a record under a key.
func write[T any](t *tx, key []byte, v T) error {
	if _, ok := any(v).(plain); ok {
		r := t.row(key)
		t.mark(r)
		r.record, r.encoded = v, false
		return t.err
	}
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
