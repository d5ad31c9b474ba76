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
)

// directFile is a file that is written once, in order, and past the page cache
// where the file system lets it: to copy every byte into the cache costs several
// times more than the disk does. It gathers writes in memory that the bytes can
// be made in, see reserve.
type directFile struct {
	f      vfs.File
	buf    []byte // begins at a page
	n      int    // bytes of buf that wait to be written
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
	return &directFile{f: f, buf: *buf, direct: setDirect(f.Fd(), true)}, nil
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
		if err := d.flush(); err != nil {
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

// flush writes whole pages; what is left of the last one moves to the front.
func (d *directFile) flush() error {
	whole := d.n &^ (directAlign - 1)
	if err := d.put(d.buf[:whole]); err != nil {
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
	err := d.flush()
	if err == nil && d.n > 0 { // not a page: through the cache
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
