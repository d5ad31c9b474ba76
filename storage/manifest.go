package storage

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strings"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/atomicfs"
)

// How Pebble's manifest lies in its file: blocks of chunks, none across two
// blocks, each with a masked CRC-32C over its type and its bytes.
const (
	manifestBlock  = 32 << 10
	manifestHeader = 4 + 2 + 1 // CRC, length, type
	manifestTypes  = 4         // full, first, middle, last
)

// checkManifest refuses a manifest with a chunk that rotted. Pebble takes the
// first bad chunk for the torn end of the file: it would forget all tables that
// this one and later ones name, and delete them. What power loss tears ends
// before its chunk does, or has a page of zeros; it is no rot.
func checkManifest(fs vfs.FS, dir string) error {
	name, err := atomicfs.ReadMarker(fs, dir, "manifest")
	if isNotExist(err) {
		return nil // no directory: Pebble says so itself
	}
	if err != nil {
		return fmt.Errorf("look for the manifest: %w", err)
	}
	if name == "" {
		return nil // none: Pebble says so itself
	}
	b, err := readWhole(fs, fs.PathJoin(dir, name))
	if err != nil {
		return fmt.Errorf("read the manifest: %w", err)
	}
	end, ok := manifestEnd(b)
	if ok || torn(b[end:]) {
		return nil
	}
	return fmt.Errorf("manifest: bad chunk at %d of %d: %w", end, len(b), errBadCRC)
}

// torn reports whether a file's end that is no good chunk is what power loss
// left of one.
func torn(end []byte) bool {
	const zeros = 16 // in a row: a page that was not written; a manifest is full of digests
	if len(end) < manifestHeader || bytes.Contains(end, make([]byte, zeros)) {
		return true
	}
	if manifestHeader+int(binary.LittleEndian.Uint16(end[4:])) <= len(end) {
		return false
	}
	// Too short for its length: unless it is the length that rotted.
	whole := bytes.Clone(end)
	binary.LittleEndian.PutUint16(whole[4:], uint16(len(end)-manifestHeader))
	if _, good := manifestChunk(whole, 0); good {
		return false
	}
	for at := 1; at+manifestHeader <= len(end); at++ {
		if _, good := manifestChunk(end, at); good {
			return false // something whole was written behind it
		}
	}
	return true
}

// checkOptions refuses options that rotted in the lines that Pebble insists on:
// what keys are compared and merged by, and where the log lies. It has its
// options from us: what else is in that file does not matter.
func checkOptions(fs vfs.FS, dir string) error {
	names, err := fs.List(dir)
	if err != nil {
		return fmt.Errorf("look for the options: %w", err)
	}
	for _, name := range names {
		if !strings.HasPrefix(name, "OPTIONS-") {
			continue
		}
		b, err := readWhole(fs, fs.PathJoin(dir, name))
		if err != nil {
			return fmt.Errorf("read the options: %w", err)
		}
		for _, line := range []string{"comparer=" + pebble.DefaultComparer.Name + "\n", "merger=" + pebble.DefaultMerger.Name + "\n", "wal_dir=\n"} {
			if !bytes.Contains(b, []byte(line)) {
				return fmt.Errorf("%s has no line %q: %w", name, line, errBadCRC)
			}
		}
	}
	return nil
}

func readWhole(fs vfs.FS, path string) ([]byte, error) {
	f, err := fs.Open(path)
	if err != nil {
		return nil, err //nolint:wrapcheck // the caller says what it is
	}
	b, err := io.ReadAll(f)
	return b, errors.Join(err, f.Close())
}

// manifestEnd follows the chunks to the end; ok is false at one that is bad.
func manifestEnd(b []byte) (at int, ok bool) {
	for at < len(b) {
		if left := manifestBlock - at%manifestBlock; left < manifestHeader {
			at += left // too little room for a chunk
			continue
		}
		n, good := manifestChunk(b, at)
		if !good {
			return at, false
		}
		at += n
	}
	return at, true
}

// manifestChunk returns the length of a chunk, its header included.
func manifestChunk(b []byte, at int) (n int, good bool) {
	if at+manifestHeader > len(b) {
		return 0, false
	}
	n = manifestHeader + int(binary.LittleEndian.Uint16(b[at+4:]))
	if kind := b[at+6]; kind < 1 || kind > manifestTypes {
		return 0, false
	}
	if at%manifestBlock+n > manifestBlock || at+n > len(b) {
		return 0, false
	}
	c := crc32.Checksum(b[at+6:at+n], crcTable)
	masked := (c>>15 | c<<17) + 0xa282ead8
	return n, masked == binary.LittleEndian.Uint32(b[at:])
}
