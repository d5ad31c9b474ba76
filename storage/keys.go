package storage

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	iofs "io/fs"
)

// How a blob lies in the database.
//
//	0x00 CID chunk    small blobs
//	0x40 CID          marks: what changed of a blob since its header was written
//	0xff CID          the lead of a large blob, see leadKey
//	0xff CID chunk    large blobs, in tables of their own
//
// CID is the binary form, chunk a big-endian number, and the header the last
// chunk, 0xffffffff. Large blobs lie above all small ones: among small random
// keys, every compaction would rewrite them.
const (
	classSmall byte = 0x00
	classMark  byte = 0x40
	classLarge byte = 0xff

	headerChunk = 1<<32 - 1

	hashedCIDBytes   = cidBinaryMax
	chunkNumberBytes = 4
	blobKeyBytes     = 1 + hashedCIDBytes + chunkNumberBytes
)

// layout is where blobs are cut.
type layout struct {
	chunk    int64 // bytes of a chunk
	tinyMax  int64 // up to here the bytes lie in the header's own value
	smallMax int64 // below here a blob is one batch, from here on a table
}

var defaultLayout = layout{chunk: 256 << 10, tinyMax: 16 << 10, smallMax: 512 << 10}

func (l layout) class(size int64) byte {
	if size < l.smallMax {
		return classSmall
	}
	return classLarge
}

// chunks is the number of chunks that lie under keys of their own.
func (l layout) chunks(size int64) uint32 {
	if size <= l.tinyMax {
		return 0
	}
	return uint32((size + l.chunk - 1) / l.chunk)
}

// key is the key of a chunk.
func (l layout) key(cid CID, chunk uint32) []byte {
	b := append(make([]byte, 0, blobKeyBytes), l.class(cid.Size()))
	b, _ = cid.AppendBinary(b) // never fails
	return binary.BigEndian.AppendUint32(b, chunk)
}

// leadKey is the first key of a large blob's table; its value is empty. Pebble
// reads a table's first and last block when it takes it in, and a list reads each
// blob's first one: so that one is not a chunk. Older tables are without it.
func (l layout) leadKey(cid CID) []byte {
	key := l.key(cid, 0)
	return key[:len(key)-chunkNumberBytes]
}

// span is the range of all keys of a blob: from the first to just past the header.
func (l layout) span(cid CID) (start, end []byte) {
	end = l.key(cid, headerChunk)
	return l.leadKey(cid), append(end, 0)
}

func markKey(cid CID) []byte {
	b := make([]byte, 0, 1+hashedCIDBytes)
	b = append(b, classMark)
	b, _ = cid.AppendBinary(b) // never fails
	return b
}

// cidOfKey returns the CID that a key belongs to.
func cidOfKey(key []byte) (CID, error) {
	if len(key) < 1+hashedCIDBytes {
		return CID{}, fmt.Errorf("key of %d bytes", len(key))
	}
	return CIDFromBinary(key[1 : 1+hashedCIDBytes])
}

// sealed values end in a CRC-32C over their key and all that goes before: a
// value that lies under another key than its own does not pass either.
const sealBytes = 4

func appendSeal(key, value []byte) []byte {
	return binary.LittleEndian.AppendUint32(value, sealOf(key, value))
}

func sealOf(key, value []byte) uint32 {
	return crc32.Update(crc32.Checksum(key, crcTable), crcTable, value)
}

var errBadCRC = errors.New("checksum does not match")

// unseal checks a value and returns it without its CRC.
func unseal(key, sealed []byte) ([]byte, error) {
	n := len(sealed) - sealBytes
	if n < 0 || sealOf(key, sealed[:n]) != binary.LittleEndian.Uint32(sealed[n:]) {
		return nil, errBadCRC
	}
	return sealed[:n], nil
}

// A header is: version, size, generation, time, then the bytes of a tiny blob.
const (
	headerVersion = 1
	headerBytes   = 1 + 8 + 8 + 8
)

func appendHeader(b []byte, cid CID, m Mark) []byte {
	b = append(b, headerVersion)
	b = binary.BigEndian.AppendUint64(b, uint64(cid.Size()))
	b = binary.BigEndian.AppendUint64(b, m.Generation)
	return binary.BigEndian.AppendUint64(b, uint64(m.Time))
}

// parseHeader reads an unsealed header; tiny is the blob's bytes if they lie in it.
func parseHeader(cid CID, b []byte) (m Mark, tiny []byte, err error) {
	if len(b) < headerBytes || b[0] != headerVersion {
		return Mark{}, nil, errors.New("header is malformed")
	}
	if int64(binary.BigEndian.Uint64(b[1:])) != cid.Size() {
		return Mark{}, nil, errors.New("header has another size than its CID")
	}
	m.Generation = binary.BigEndian.Uint64(b[9:])
	m.Time = int64(binary.BigEndian.Uint64(b[17:]))
	return m, b[headerBytes:], nil
}

// A mark's value is: generation, time, flags.
const (
	markBytes       = 8 + 8 + 1
	flagCorrupt     = 1 // the copy failed a check
	flagGone        = 2 // it was erased, whatever the old database holds
	sealedMarkBytes = markBytes + sealBytes
)

func sealedMark(key []byte, m Mark, flags byte) []byte {
	b := make([]byte, 0, sealedMarkBytes)
	b = binary.BigEndian.AppendUint64(b, m.Generation)
	b = binary.BigEndian.AppendUint64(b, uint64(m.Time))
	return appendSeal(key, append(b, flags))
}

func parseMark(key, sealed []byte) (m Mark, flags byte, err error) {
	b, err := unseal(key, sealed)
	if err != nil {
		return Mark{}, 0, err
	}
	if len(b) != markBytes {
		return Mark{}, 0, errors.New("mark is malformed")
	}
	m.Generation = binary.BigEndian.Uint64(b)
	m.Time = int64(binary.BigEndian.Uint64(b[8:]))
	return m, b[16], nil
}

func isNotExist(err error) bool { return errors.Is(err, iofs.ErrNotExist) }
