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

// spool writes a body of at most limit bytes to disk while hashing it. It need
// not survive a crash: nothing was promised for it yet.
func (n *Node) spool(body io.Reader, limit int64) (*spooled, error) {
	const op = "node.spool"
	if err := n.roomFor(limit); err != nil {
		return nil, err
	}
	s := &spooled{n: n, path: n.fs.PathJoin(n.dir.join(spoolDir), fmt.Sprintf("%d", spoolNames.Add(1)))}
	f, err := n.fs.Create(s.path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return nil, storage.E(op, storage.KindInternal, err)
	}
	h := storage.NewHasher()
	size, err := io.Copy(io.MultiWriter(f, h), io.LimitReader(body, limit+1))
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

// roomFor refuses a spool when the disk has no room above the floor. A body of
// unknown size may be as large as the limit; a hundredth of that must be there.
func (n *Node) roomFor(limit int64) error {
	free, _, err := n.store.FreeBytes()
	if err != nil || n.cfg.FreeFloorBytes < 0 {
		return err
	}
	if free < n.cfg.FreeFloorBytes+limit/100 {
		return &storage.Error{Op: "node.spool", Kind: storage.KindFull, Code: "insufficient_storage"}
	}
	return nil
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
