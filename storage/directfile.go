package storage

import (
	"errors"
	"fmt"
	"sync"
	"unsafe"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Sizes of a directFile. Disks take whole pages from whole pages of memory, and
// writes of a MiB cost a third of what those of 256 KiB do.
const (
	directAlign = 4 << 10
	directWrite = 1 << 20
	cachedEnd   = directAlign // at the end of a file, at least
)

// directFile is a file that is written once, in order, and past the page cache
// where the file system lets it: to copy every byte into the cache costs several
// times more than the disk does. Its first page and its end go through the cache
// all the same: Pebble reads these as it takes a table in, and would wait for the
// disk. It gathers writes in memory that the bytes can be made in, see reserve.
type directFile struct {
	f      vfs.File
	buf    []byte // begins at a page
	n      int    // bytes of buf that wait to be written
	begun  bool   // the first page is written
	direct bool
}

// createDirect makes a file in which up to reserve bytes can be made in one piece.
func (s *Store) createDirect(path string, reserve int) (*directFile, error) {
	f, err := s.fs.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return nil, fmt.Errorf("create %s: %w", path, err)
	}
	size := directWrite + directAlign + reserve
	buf, ok := directBuffers.Get().(*[]byte)
	if !ok || len(*buf) < size {
		b := pages(size)
		buf = &b
	}
	return &directFile{f: f, buf: *buf}, nil
}

var directBuffers sync.Pool

// pages returns memory that begins at a page.
func pages(size int) []byte {
	b := make([]byte, size+directAlign)
	skip := -int(uintptr(unsafe.Pointer(unsafe.SliceData(b)))) & (directAlign - 1) //nolint:gosec // only looked at, never followed
	return b[skip : skip+size]
}

// reserve returns the memory of the next n bytes of the file. They count when
// advance says so.
func (d *directFile) reserve(n int) ([]byte, error) {
	if d.n >= directWrite {
		if err := d.flush(d.n); err != nil {
			return nil, err
		}
	}
	return d.buf[d.n : d.n+n], nil
}

func (d *directFile) advance(n int) { d.n += n }

// Write implements io.Writer, for what was made elsewhere.
func (d *directFile) Write(p []byte) (int, error) {
	written := 0
	for written < len(p) {
		room, err := d.reserve(min(len(p)-written, len(d.buf)-directWrite-directAlign))
		if err != nil {
			return written, err
		}
		n := copy(room, p[written:])
		d.advance(n)
		written += n
	}
	return written, nil
}

// flush writes the whole pages of the first n bytes that wait; what is left moves
// to the front.
func (d *directFile) flush(n int) error {
	whole := n &^ (directAlign - 1)
	out := d.buf[:whole]
	if !d.begun && whole > 0 {
		if err := d.put(out[:directAlign]); err != nil {
			return err
		}
		out = out[directAlign:]
		d.begun, d.direct = true, setDirect(d.f.Fd(), true)
	}
	if err := d.put(out); err != nil {
		return err
	}
	d.n = copy(d.buf, d.buf[whole:d.n])
	return nil
}

func (d *directFile) put(p []byte) error {
	if len(p) == 0 {
		return nil
	}
	n, err := d.f.Write(p)
	if err != nil && n == 0 && d.direct && isRefused(err) { // it was promised, and is not done
		d.direct = !setDirect(d.f.Fd(), false)
		_, err = d.f.Write(p)
	}
	if err != nil {
		return fmt.Errorf("write: %w", err)
	}
	return nil
}

// finish writes what is left, and returns after the fsync: a disk may keep in
// memory what came past the page cache, and the file's size is metadata.
func (d *directFile) finish() error {
	err := d.flush(max(0, d.n-cachedEnd))
	if err == nil && d.n > 0 {
		if d.direct && !setDirect(d.f.Fd(), false) {
			err = errors.New("a file does not go back to the page cache")
		} else {
			err = d.put(d.buf[:d.n])
		}
	}
	if err == nil {
		err = d.f.Sync()
	}
	return errors.Join(err, d.close())
}

// close gives up a file that is not finished.
func (d *directFile) close() error {
	buf := d.buf
	d.buf = nil
	directBuffers.Put(&buf)
	if err := d.f.Close(); err != nil {
		return fmt.Errorf("close: %w", err)
	}
	return nil
}
