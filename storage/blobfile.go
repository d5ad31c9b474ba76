package storage

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// blobFiles are the tables of one large blob each that Pebble has open. Their
// chunks lie where blobTable put them, so that a reader gets them from the file:
// through Pebble each goes into the block cache, which costs several times what
// the read does, and pushes out what small blobs and marks need.
//
// What is read this way has passed its own CRC, which is keyed by CID and number.
// Whatever is odd (another form, a bad CRC, an error) is left to Pebble, which
// knows what to call it. The scrub reads through Pebble, and checks its blocks.
type blobFiles struct {
	lay layout

	mu   sync.Mutex // protects open; held for moments only
	open map[CID]*blobFile
}

// blobFile is one of them; it is Pebble's, which closes it.
type blobFile struct {
	vfs.File
	files *blobFiles
	cid   CID

	mu     sync.RWMutex // for reading: the file is not closed meanwhile
	closed bool
}

// blobFS has the tables noted that Pebble opens.
type blobFS struct {
	vfs.FS
	files *blobFiles
}

// Open implements vfs.FS. The files that Pebble keeps open are those that it
// reads here and there; it opens them once more for a while to read on and on.
func (fs blobFS) Open(name string, o ...vfs.OpenOption) (vfs.File, error) {
	f, err := fs.FS.Open(name, o...)
	if err != nil || !strings.HasSuffix(name, ".sst") || !slices.Contains(o, vfs.RandomReadsOption) {
		return f, err //nolint:wrapcheck // Pebble asks what kind of error it is
	}
	// Linux gathers in large pages what a file is read on and on, from its very
	// first read: to copy from them costs a third of what single pages do.
	vfs.SequentialReadsOption.Apply(f)
	noted, ok := fs.files.note(f)
	if !ok {
		vfs.RandomReadsOption.Apply(f)
	}
	return noted, nil
}

// Unwrap implements vfs.FS.
func (fs blobFS) Unwrap() vfs.FS { return fs.FS }

// note notes a table that begins with a blob's lead, and returns the file to use;
// the bool is false for any other.
func (b *blobFiles) note(f vfs.File) (vfs.File, bool) {
	const keyBytes = blobKeyBytes - chunkNumberBytes
	row := make([]byte, blockBytes(keyBytes, 0))
	if _, err := f.ReadAt(row, 0); err != nil {
		return f, false
	}
	head := appendRowHead(nil, make([]byte, keyBytes), 0)
	at := len(head) - len(keyTrailer) - keyBytes
	key := row[at : at+keyBytes]
	if key[0] != classLarge || !bytes.Equal(row[:at], head[:at]) {
		return f, false
	}
	if _, err := unseal(key, row[len(head):len(head)+sealBytes]); err != nil {
		return f, false
	}
	cid, err := cidOfKey(key)
	if err != nil {
		return f, false
	}
	noted := &blobFile{File: f, files: b, cid: cid}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.open[cid] = noted
	return noted, true
}

// Close implements vfs.File.
func (f *blobFile) Close() error {
	f.files.mu.Lock()
	if f.files.open[f.cid] == f {
		delete(f.files.open, f.cid)
	}
	f.files.mu.Unlock()
	f.mu.Lock()
	f.closed = true
	f.mu.Unlock()
	return f.File.Close() //nolint:wrapcheck // Pebble asks what kind of error it is
}

// drop has a blob read through Pebble from here on.
func (b *blobFiles) drop(cid CID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.open, cid)
}

// chunk reads chunk i into buf, which has room for its seal as well. The bool is
// false when Pebble is to be asked.
func (b *blobFiles) chunk(cid CID, i int64, buf []byte) ([]byte, bool) {
	b.mu.Lock()
	f := b.open[cid]
	b.mu.Unlock()
	size := min(b.lay.chunk, cid.Size()-i*b.lay.chunk)
	if f == nil || size <= 0 || int64(cap(buf)) < size+sealBytes {
		return nil, false
	}
	key := b.lay.key(cid, uint32(i))
	sealed := buf[:size+sealBytes]
	if err := f.readValue(key, i, sealed); err != nil {
		return nil, false
	}
	chunk, err := unseal(key, sealed)
	return chunk, err == nil
}

var errClosed = errors.New("the file is closed")

// readValue reads the sealed value of chunk i.
func (f *blobFile) readValue(key []byte, i int64, sealed []byte) error {
	full := int(f.files.lay.chunk)
	at := blockBytes(len(key)-chunkNumberBytes, 0) + i*blockBytes(len(key), full)
	at += int64(len(appendRowHead(nil, key, len(sealed)-sealBytes)))
	f.mu.RLock()
	defer f.mu.RUnlock()
	if f.closed {
		return errClosed
	}
	_, err := f.ReadAt(sealed, at)
	return err //nolint:wrapcheck // for nobody: Pebble is asked instead
}
