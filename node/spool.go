package node

import (
	"errors"
	"fmt"
	"io"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2/vfs"

	"ringbin/storage"
)

// spooled is a body on this node's disk that is waiting for its name.
type spooled struct {
	n    *Node
	path string
	cid  storage.CID
}

// spoolNames numbers spool files of this process; the folder starts empty.
var spoolNames atomic.Uint64

// clearSpool removes what a crash left.
func (n *Node) clearSpool() error {
	dir := n.dir.join(spoolDir)
	if err := n.fs.RemoveAll(dir); err != nil && !isNotExist(err) {
		return storage.E("node.clearSpool", storage.KindInternal, err)
	}
	if err := n.fs.MkdirAll(dir, 0o700); err != nil {
		return storage.E("node.clearSpool", storage.KindInternal, err)
	}
	return nil
}

// spool writes a body of at most limit bytes to disk while hashing it; declared
// is the size that the client announced, below 0 when it did not. It need not
// survive a crash: nothing was promised for it yet.
func (n *Node) spool(body io.Reader, limit, declared int64) (*spooled, error) {
	const op = "node.spool"
	if declared > limit {
		return nil, &storage.Error{
			Op: op, Kind: storage.KindTooLarge, Code: "payload_too_large",
			Details: map[string]any{"max_bytes": limit, "size_bytes": declared},
		}
	}
	if declared < 0 {
		declared = limit / spoolGuess
	}
	if err := n.roomFor(declared); err != nil {
		return nil, err
	}
	s := &spooled{n: n, path: n.fs.PathJoin(n.dir.join(spoolDir), fmt.Sprintf("%d", spoolNames.Add(1)))}
	f, err := n.fs.Create(s.path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return nil, storage.DiskError(op, err)
	}
	h := storage.NewHasher()
	disk := &diskWriter{w: f, room: func() error { return n.roomFor(0) }}
	size, err := io.Copy(io.MultiWriter(disk, h), io.LimitReader(body, limit+1))
	if disk.err != nil {
		err = disk.err
	}
	if err == nil && size > limit {
		err = &storage.Error{
			Op: op, Kind: storage.KindTooLarge, Code: "payload_too_large", Details: map[string]any{"max_bytes": limit},
		}
	}
	if err == nil {
		s.cid, err = h.CID()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		s.discard()
		return nil, err
	}
	return s, nil
}

// spoolGuess is the part of the limit that a body of unknown size must find room for.
const spoolGuess = 100

// SpoolRoom refuses, as KindFull, when this node's disk has no room for bodies
// on their way above the floor.
func (s *Service) SpoolRoom() error { return s.n.roomFor(0) }

// roomFor refuses a spool when the disk has no room for it above the floor.
func (n *Node) roomFor(size int64) error {
	floor := n.store.FloorBytes()
	free, _, err := n.store.FreeBytes()
	if err != nil || floor == 0 {
		return err
	}
	if free < floor+size {
		return &storage.Error{Op: "node.spool", Kind: storage.KindFull, Code: "insufficient_storage"}
	}
	return nil
}

// roomEvery is after how many bytes a spool asks for room again: others spool
// at the same time, and nobody knows how much a body of unknown size will take.
const roomEvery = 1 << 20

// diskWriter keeps the disk's own error apart from the body's, and stops above
// the floor of free space.
type diskWriter struct {
	w     io.Writer
	room  func() error
	since int64 // bytes since it asked for room
	err   error
}

func (d *diskWriter) Write(p []byte) (int, error) {
	if d.since += int64(len(p)); d.since >= roomEvery {
		d.since = 0
		if d.err = d.room(); d.err != nil {
			return 0, d.err
		}
	}
	n, err := d.w.Write(p)
	if err != nil {
		d.err = storage.DiskError("node.spool", err)
	}
	return n, err //nolint:wrapcheck // a writer hands errors on
}

func (s *spooled) open() (io.ReadCloser, error) {
	f, err := s.n.fs.Open(s.path, vfs.SequentialReadsOption)
	if err != nil {
		return nil, storage.E("node.spool", storage.KindInternal, err)
	}
	return f, nil
}

func (s *spooled) discard() {
	if err := s.n.fs.Remove(s.path); err != nil {
		s.n.logger.Warn("spool file not removed", "err", err)
	}
}
