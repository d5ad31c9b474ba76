package meta

import (
	"encoding/binary"
	"hash/maphash"

	"github.com/cockroachdb/pebble/v2"
)

// Most keys that a batch asks for are new ones, and that they are not there is
// told by the filters of the tables on the disk. Memtables have none and must be
// searched, which was most of what a commit cost. So what may lie in memtables
// only is noted in filters of our own, and any other key is asked of the tables alone.

// unflushed knows the keys of all batches that may not be in tables yet, and a
// few others by mistake. The zero value knows nothing: then all is asked of both.
type unflushed struct {
	seed  maphash.Seed
	ready bool
	young *keyFilter // of batches above mid
	old   *keyFilter // above floor, up to mid
	mid   uint64
	floor uint64

	tables uint64 // tables are known to have all batches up to this one
	most   int    // keys from which on young becomes old, if it may
}

// Size of a filter of keys. With many more keys it lets more through that need not be.
const (
	filterWords = 1 << 15 // 256 KiB
	filterKeys  = 1 << 16
)

// keyFilter is a set of keys that may hold more than was put in: four bits of one word for each.
type keyFilter struct {
	words [filterWords]uint64
	keys  int
}

func (f *keyFilter) word(sum uint64) (*uint64, uint64) {
	bits := uint64(1)<<(sum&63) | 1<<(sum>>6&63) | 1<<(sum>>12&63) | 1<<(sum>>18&63)
	return &f.words[sum>>24%filterWords], bits
}

func (f *keyFilter) add(sum uint64) {
	w, bits := f.word(sum)
	*w |= bits
	f.keys++
}

func (f *keyFilter) has(sum uint64) bool {
	w, bits := f.word(sum)
	return *w&bits == bits
}

// begin starts over: the batches up to index are in the database, nobody knows where.
func (u *unflushed) begin(index uint64) {
	*u = unflushed{seed: maphash.MakeSeed(), ready: true, young: &keyFilter{}, old: &keyFilter{}, mid: index, floor: index, most: filterKeys}
}

// add notes a key that is written or removed.
func (u *unflushed) add(key []byte) {
	if u.ready {
		u.young.add(maphash.Bytes(u.seed, key))
	}
}

// may reports whether a memtable may say something of a key.
func (u *unflushed) may(key []byte) bool {
	if !u.ready {
		return true
	}
	sum := maphash.Bytes(u.seed, key)
	return u.young.has(sum) || u.old.has(sum)
}

// asks reports whether it is worth knowing what tables have by now.
func (u *unflushed) asks() bool { return u.ready && (u.tables < u.floor || u.young.keys >= u.most) }

// look learns from an iterator over tables alone which batches these have: each
// batch writes its index, and memtables are flushed whole and in order.
func (u *unflushed) look(it *pebble.Iterator) error {
	if it.SeekPrefixGE(local(localApplied)) {
		v, err := it.ValueAndErr()
		if err != nil {
			return err //nolint:wrapcheck // wrapped by its caller
		}
		if len(v) != appliedBytes {
			return errCorruptState
		}
		u.tables = binary.BigEndian.Uint64(v)
	}
	return it.Error() //nolint:wrapcheck // wrapped by its caller
}

// complete reports whether every batch that tables may lack is noted.
func (u *unflushed) complete() bool { return u.ready && u.tables >= u.floor }

// committed is told the index of each batch. The old keys are forgotten once tables have them.
func (u *unflushed) committed(index uint64) {
	if !u.ready || u.young.keys < u.most || u.tables < u.mid {
		return
	}
	u.young, u.old = u.old, u.young
	*u.young = keyFilter{}
	u.floor, u.mid = u.mid, index
}
