package storage

import (
	"errors"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// How much of a volume is kept free, and how often it is looked at.
const (
	floorPercent  = 5
	floorBytesMin = 2 << 30
	spaceFresh    = time.Second
)

// spaceWatch knows how full the volume is. Writes stop at a floor before the
// disk is full: Pebble does not survive a full one.
type spaceWatch struct {
	fs    vfs.FS
	dir   string
	floor int64 // 0: by the volume; <0: off
	full  atomic.Bool

	mu   sync.Mutex // protects the fields below
	at   time.Time
	use  vfs.DiskUsage
	err  error
	none bool // the file system does not know: nothing is refused
}

func (w *spaceWatch) look() (free, total int64, known bool, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if now := time.Now(); w.at.IsZero() || now.Sub(w.at) > spaceFresh {
		w.at = now
		w.use, w.err = w.fs.GetDiskUsage(w.dir)
		if errors.Is(w.err, vfs.ErrUnsupported) {
			w.none, w.err = true, nil
		}
	}
	return int64(w.use.AvailBytes), int64(w.use.TotalBytes), !w.none, w.err
}

// bytes is the floor for a volume of a size.
func (w *spaceWatch) bytes(total int64) int64 {
	switch {
	case w.floor < 0:
		return 0
	case w.floor > 0:
		return w.floor
	}
	return DefaultFloor(total)
}

// DefaultFloor is the free space that is kept on a volume of a size, where no
// other is given.
func DefaultFloor(total int64) int64 { return max(total/100*floorPercent, floorBytesMin) }

// DiskError is what a failed write to disk means: a volume that filled up under
// it is KindFull, everything else a fault of ours.
func DiskError(op string, err error) *Error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return &Error{Op: op, Kind: KindFull, Code: "insufficient_storage", Err: err}
	}
	return E(op, KindInternal, err)
}

// admit refuses a write that would take the volume below its floor.
func (w *spaceWatch) admit(size int64) error {
	const op = "storage.Put"
	if w.full.Load() {
		return &Error{Op: op, Kind: KindFull, Code: "insufficient_storage"}
	}
	if w.floor < 0 {
		return nil
	}
	free, total, known, err := w.look()
	if err != nil {
		return E(op, KindInternal, err)
	}
	if !known || free-size >= w.bytes(total) {
		return nil
	}
	return &Error{Op: op, Kind: KindFull, Code: "insufficient_storage"}
}

// FreeBytes returns the volume's free and total bytes, at most a second old;
// both 0 when the file system does not know.
func (s *Store) FreeBytes() (free, total int64, err error) {
	free, total, _, err = s.space.look()
	if err != nil {
		return 0, 0, E("storage.FreeBytes", KindInternal, err)
	}
	return free, total, nil
}

// Room refuses what others than the store want to write to its volume while
// that is at its floor, or the store was told that it is full: KindFull.
func (s *Store) Room() error { return s.space.admit(0) }

// SetFull makes the store refuse all writes as if the volume were at its floor,
// until it is told otherwise: what is free then is meant for others.
func (s *Store) SetFull(full bool) { s.space.full.Store(full) }

// FloorBytes is the free space below which writes are refused; 0: none.
func (s *Store) FloorBytes() int64 {
	_, total, known, err := s.space.look()
	if err != nil || !known {
		return 0
	}
	return s.space.bytes(total)
}
