package storage

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
)

// blobTable writes the table of one large blob, in a form that Pebble reads.
// Pebble's own writer copies each value three times on its way, which costs more
// than the disk does; here a value is made in the memory that is written.
//
// The form is that of rows (Pebble's second, which databases of all its formats
// take in): blocks, each with a checksum behind it; of data one for each value;
// then the index, the properties, the index of these two, and the footer.
// Compactions write tables in Pebble's newest form.
type blobTable struct {
	out    *directFile
	off    uint64 // bytes of the table so far
	index  rowBlock
	values uint64
	keyed  uint64 // bytes of keys
	valued uint64 // bytes of values
}

// What goes with a value into its block, at most.
const (
	trailerBytes = 8              // behind a key: sequence number and kind
	blockEnd     = 1 + crc32.Size // behind a block: compression and checksum
	rowHead      = 1 + 2 + 5      // lengths, as varints
	rowFoot      = 4 + 4          // where the row begins, and that it is the only one
	valueOver    = rowHead + blobKeyBytes + trailerBytes + sealBytes + rowFoot + blockEnd
	footerBytes  = 53
	rowsShare    = 16 // every so many rows one has its whole key
	noCompress   = 0
	crcOfBlocks  = 1 // Pebble's number of CRC-32C
	tableVersion = 2 // sstable.TableFormatPebblev2
	tableMagic   = "\xf0\x9f\xaa\xb3\xf0\x9f\xaa\xb3"
)

// keyTrailer is sequence number 0, which Pebble replaces as it takes the table in,
// and the kind of a key that is set.
var keyTrailer = [trailerBytes]byte{1}

// value makes room for a value of n bytes and its seal. Put it into its bytes,
// then call end.
func (t *blobTable) value(key []byte, n int) (tableValue, error) {
	room, err := t.out.reserve(valueOver + n)
	if err != nil {
		return tableValue{}, err
	}
	head := appendRowHead(room[:0], key, n)
	return tableValue{t: t, key: key, head: head, bytes: room[len(head) : len(head)+n]}, nil
}

// appendRowHead adds what stands before a value of n bytes and its seal.
func appendRowHead(b, key []byte, n int) []byte {
	b = append(b, 0) // shares nothing with the row before
	b = binary.AppendUvarint(b, uint64(len(key)+trailerBytes))
	b = binary.AppendUvarint(b, uint64(n+sealBytes))
	return append(append(b, key...), keyTrailer[:]...)
}

// blockBytes is the size of the block of a value of n bytes.
func blockBytes(key, n int) int64 {
	lengths := len(binary.AppendUvarint(nil, uint64(key+trailerBytes))) + len(binary.AppendUvarint(nil, uint64(n+sealBytes)))
	return int64(1 + lengths + key + trailerBytes + n + sealBytes + rowFoot + blockEnd)
}

// tableValue is a value that is being made.
type tableValue struct {
	t     *blobTable
	key   []byte
	head  []byte // what stands before bytes in their block
	bytes []byte // to be filled
}

// end seals a value that is filled, and its block. The CRC is that of its bytes.
func (v *tableValue) end(sum uint32) {
	t := v.t
	n := len(v.bytes) + sealBytes
	block := v.head[:len(v.head)+len(v.bytes)] // one memory with the bytes
	block = binary.LittleEndian.AppendUint32(block, joinCRC(crc32.Checksum(v.key, crcTable), sum, len(v.bytes)))
	block = append(block, 0, 0, 0, 0, 1, 0, 0, 0)
	begun := joinCRC(crc32.Checksum(v.head, crcTable), sum, len(v.bytes))
	block = endBlock(block, begun, len(v.head)+len(v.bytes))
	t.index.add(append(bytes.Clone(v.key), keyTrailer[:]...), t.handle(len(block)))
	t.out.advance(len(block))
	t.values, t.keyed, t.valued = t.values+1, t.keyed+uint64(len(v.key)+trailerBytes), t.valued+uint64(n)
}

// set writes a value that was made elsewhere.
func (t *blobTable) set(key, value []byte) error {
	v, err := t.value(key, len(value))
	if err != nil {
		return err
	}
	copy(v.bytes, value)
	v.end(crc32.Checksum(value, crcTable))
	return nil
}

// handle is where the next block, of so many bytes with its end, lies.
func (t *blobTable) handle(n int) []byte {
	h := binary.AppendUvarint(binary.AppendUvarint(nil, t.off), uint64(n-blockEnd))
	t.off += uint64(n)
	return h
}

// appendBlockEnd adds what stands behind each block.
func appendBlockEnd(b []byte) []byte { return endBlock(b, 0, 0) }

// endBlock is appendBlockEnd for a block whose first n bytes have this CRC.
func endBlock(b []byte, begun uint32, n int) []byte {
	b = append(b, noCompress)
	crc := crc32.Update(begun, crcTable, b[n:])
	return binary.LittleEndian.AppendUint32(b, (crc>>15|crc<<17)+0xa282ead8) // as Pebble hides checksums of checksums
}

// end writes all that comes behind the values, and the file to the disk.
func (t *blobTable) end() error {
	data := t.off
	index := t.index.block()
	indexAt := t.handle(len(index))

	var props rowBlock                                                         // in the order of their names
	props.add([]byte("rocksdb.block.based.table.index.type"), make([]byte, 4)) // one level
	props.add([]byte("rocksdb.comparator"), []byte("leveldb.BytewiseComparator"))
	props.add([]byte("rocksdb.compression"), []byte("NoCompression"))
	for _, p := range []struct {
		name string
		n    uint64
	}{
		{"rocksdb.data.size", data},
		{"rocksdb.deleted.keys", 0},
		{"rocksdb.filter.size", 0},
		{"rocksdb.index.size", uint64(len(index))},
		{"rocksdb.merge.operands", 0},
		{"rocksdb.num.data.blocks", t.values},
		{"rocksdb.num.entries", t.values},
		{"rocksdb.num.range-deletions", 0},
		{"rocksdb.raw.key.size", t.keyed},
		{"rocksdb.raw.value.size", t.valued},
	} {
		props.add([]byte(p.name), binary.AppendUvarint(nil, p.n))
	}
	properties := props.block()
	propsAt := t.handle(len(properties))

	var meta rowBlock
	meta.add([]byte("rocksdb.properties"), propsAt)
	metaindex := meta.block()
	metaAt := t.handle(len(metaindex))

	footer := append(make([]byte, 0, footerBytes), crcOfBlocks)
	footer = append(append(footer, metaAt...), indexAt...)
	footer = footer[:footerBytes-4-len(tableMagic)]
	footer = append(binary.LittleEndian.AppendUint32(footer, tableVersion), tableMagic...)
	for _, b := range [][]byte{index, properties, metaindex, footer} {
		if _, err := t.out.Write(b); err != nil {
			return err
		}
	}
	return t.out.finish()
}

// rowBlock makes a block of rows in memory: keys in order, each without what it
// shares with the one before.
type rowBlock struct {
	rows   []byte
	whole  []uint32 // where the rows are that have their whole key
	count  int
	before []byte // the key before
}

func (b *rowBlock) add(key, value []byte) {
	shared := 0
	if b.count%rowsShare == 0 {
		b.whole = append(b.whole, uint32(len(b.rows)))
	} else {
		for shared < min(len(key), len(b.before)) && key[shared] == b.before[shared] {
			shared++
		}
	}
	b.rows = binary.AppendUvarint(b.rows, uint64(shared))
	b.rows = binary.AppendUvarint(b.rows, uint64(len(key)-shared))
	b.rows = binary.AppendUvarint(b.rows, uint64(len(value)))
	b.rows = append(append(b.rows, key[shared:]...), value...)
	b.before = append(b.before[:0], key...)
	b.count++
}

// block returns the block with its end.
func (b *rowBlock) block() []byte {
	for _, at := range b.whole {
		b.rows = binary.LittleEndian.AppendUint32(b.rows, at)
	}
	return appendBlockEnd(binary.LittleEndian.AppendUint32(b.rows, uint32(len(b.whole))))
}
