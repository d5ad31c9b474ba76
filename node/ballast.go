package node

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"ringbin/storage"
)

// Sizes and times of the ballast.
const (
	ballastFile     = "ballast"
	ballastMost     = 1 << 30 // by default, or 1 % of the volume
	ballastPercent  = 1
	ballastEvery    = time.Second
	ballastZeroes   = 1 << 20 // written at a time where space can't be reserved
	ballastRoomFold = 2       // ballasts that must be free above the floor before it is laid in again
)

// ballast is a file that only takes up room. It is thrown out when the disk
// fills up under the node in spite of its floor: then the Raft log and the
// metadata have room to go on, and an operator to repair things. While it is
// out, this node takes no content; when there is room again it is laid in
// again, by itself.
type ballast struct {
	fs     vfs.FS // not the one that calls release
	path   string
	bytes  int64 // 0: there is none
	logger *slog.Logger
	full   func(bool) // tells the store to refuse, or to go on; nil before it is open

	mu  sync.Mutex // protects in, and the file
	in  bool
	out time.Time // when it was thrown out; zero while it is in
}

// openBallast lays it in, or throws it out when the disk is full: a database
// may need the room before it can even be opened. Wanted is in bytes; below 0
// it follows from the volume's size, 0 means none.
func openBallast(fs vfs.FS, path string, wanted int64, logger *slog.Logger) (*ballast, error) {
	const op = "node.openBallast"
	b := &ballast{fs: fs, path: path, logger: logger}
	use, err := fs.GetDiskUsage(fs.PathDir(path))
	if errors.Is(err, vfs.ErrUnsupported) {
		return b, nil
	}
	if err != nil {
		return nil, storage.E(op, storage.KindInternal, err)
	}
	if b.bytes = wanted; wanted < 0 {
		b.bytes = min(ballastMost, int64(use.TotalBytes)/100*ballastPercent)
	}
	st, err := fs.Stat(path)
	switch {
	case err == nil && st.Size() == b.bytes && b.bytes > 0:
		b.in = true
	case err == nil: // of another size: of another option
		if err := fs.Remove(path); err != nil {
			return nil, storage.E(op, storage.KindInternal, err)
		}
	case !isNotExist(err):
		return nil, storage.E(op, storage.KindInternal, err)
	}
	b.tend(int64(use.AvailBytes), 0)
	return b, nil
}

// run tends the ballast until ctx ends.
func (b *ballast) run(ctx context.Context, store *storage.Store) {
	if b.bytes == 0 {
		return
	}
	timer := time.NewTicker(ballastEvery)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
			if free, total, err := store.FreeBytes(); err == nil && total > 0 {
				b.tend(free, store.FloorBytes())
			}
		}
	}
}

// tend throws the ballast out when less than its own size is free, and lays it
// in when there is plenty.
func (b *ballast) tend(free, floor int64) {
	b.mu.Lock()
	in := b.in
	b.mu.Unlock()
	switch {
	case b.bytes == 0:
	case in && free < b.bytes:
		b.release()
	case !in && free >= floor+ballastRoomFold*b.bytes:
		b.layIn()
	case !in:
		b.note(false)
	}
}

// release throws the ballast out. It is what Pebble calls when a write finds
// the disk full.
func (b *ballast) release() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.in {
		return
	}
	if err := b.fs.Remove(b.path); err != nil {
		b.logger.Error("the disk is full, and the ballast can't be removed", "err", err)
		return
	}
	b.in = false
	b.logger.Error("the disk is full: the ballast is thrown out, and no content is taken until there is room", "bytes", b.bytes)
	b.set(false)
}

func (b *ballast) layIn() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.in {
		return
	}
	if err := b.write(); err != nil {
		b.logger.Warn("ballast not laid in", "err", errors.Join(err, b.fs.Remove(b.path)))
		b.set(false)
		return
	}
	b.in = true
	b.set(true)
}

func (b *ballast) note(in bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.set(in)
}

// set tells the store, and notes since when; mu is held.
func (b *ballast) set(in bool) {
	if in {
		b.out = time.Time{}
	} else if b.out.IsZero() {
		b.out = time.Now()
	}
	if b.full != nil {
		b.full(!in)
	}
}

// attach tells a store that was opened just now whether it may take content.
func (b *ballast) attach(full func(bool)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.full = full
	if b.bytes > 0 {
		full(!b.in)
	}
}

// isOut reports whether there should be a ballast and is none.
func (b *ballast) isOut() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.bytes > 0 && !b.in
}

// write reserves the room. Its last byte is written last: a file of the full
// size is a whole one.
func (b *ballast) write() error {
	f, err := b.fs.OpenReadWrite(b.path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err //nolint:wrapcheck // the path is in it
	}
	if err := f.Preallocate(0, b.bytes); err != nil {
		err = b.fill(f)
		if err != nil {
			return errors.Join(err, f.Close())
		}
	}
	_, err = f.WriteAt([]byte{1}, b.bytes-1)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// fill writes the room full, where the file system can't reserve it.
func (b *ballast) fill(f vfs.File) error {
	zeroes := make([]byte, ballastZeroes)
	for at := int64(0); at < b.bytes; at += ballastZeroes {
		if _, err := f.WriteAt(zeroes[:min(ballastZeroes, b.bytes-at)], at); err != nil {
			return err //nolint:wrapcheck // the path is in it
		}
	}
	return nil
}
