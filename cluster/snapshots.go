package cluster

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	iofs "io/fs"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/raft"

	"ringbin/storage"
)

// A snapshot file is the snapshot, its meta in JSON, and a tail: the lengths of
// both, the CRC-32C of all that goes before it, and the magic.
const (
	snapshotsDir    = "snapshots"
	snapshotSuffix  = ".snap"
	snapshotTmp     = ".tmp"
	snapshotMagic   = "ringsnp1"
	snapshotTail    = 8 + 4 + 4 + len(snapshotMagic)
	snapshotMetaMax = 1 << 20
)

// snapshotFiles keeps Raft's snapshots as files of any file system. A snapshot
// is there once it is whole and durable, under its name; what a crash left
// half written has another one.
type snapshotFiles struct {
	fs     vfs.FS
	dir    string
	number atomic.Uint64 // of the newest file of this process
}

var _ raft.SnapshotStore = (*snapshotFiles)(nil)

func openSnapshotFiles(fs vfs.FS, dir string) (*snapshotFiles, error) {
	s := &snapshotFiles{fs: fs, dir: fs.PathJoin(dir, snapshotsDir)}
	if err := storage.MkdirAllDurably(fs, s.dir); err != nil {
		return nil, err
	}
	names, err := fs.List(s.dir)
	if err != nil {
		return nil, fmt.Errorf("list snapshots: %w", err)
	}
	for _, name := range names {
		if strings.HasSuffix(name, snapshotTmp) {
			if err := fs.Remove(fs.PathJoin(s.dir, name)); err != nil {
				return nil, fmt.Errorf("clear snapshots: %w", err)
			}
		}
	}
	return s, nil
}

// Create implements raft.SnapshotStore.
func (s *snapshotFiles) Create(version raft.SnapshotVersion, index, term uint64, c raft.Configuration, at uint64, _ raft.Transport) (raft.SnapshotSink, error) {
	id, err := s.freeID(term, index)
	if err != nil {
		return nil, err
	}
	sink := &snapshotFile{
		s: s, path: s.path(id) + snapshotTmp,
		meta: raft.SnapshotMeta{Version: version, ID: id, Index: index, Term: term, Configuration: c, ConfigurationIndex: at},
	}
	if sink.f, err = s.fs.Create(sink.path, vfs.WriteCategoryUnspecified); err != nil {
		return nil, fmt.Errorf("create snapshot: %w", err)
	}
	return sink, nil
}

// freeID returns an id that no file has: one index may be snapshotted again.
func (s *snapshotFiles) freeID(term, index uint64) (string, error) {
	for {
		id := fmt.Sprintf("%d-%d-%d", term, index, s.number.Add(1))
		_, err := s.fs.Stat(s.path(id))
		if errors.Is(err, iofs.ErrNotExist) {
			return id, nil
		}
		if err != nil {
			return "", fmt.Errorf("create snapshot: %w", err)
		}
	}
}

func (s *snapshotFiles) path(id string) string { return s.fs.PathJoin(s.dir, id+snapshotSuffix) }

// List implements raft.SnapshotStore: the newest first. A file that can't be
// read is an error, never an older snapshot: entries behind it may be gone.
func (s *snapshotFiles) List() ([]*raft.SnapshotMeta, error) {
	names, err := s.fs.List(s.dir)
	if err != nil {
		return nil, fmt.Errorf("list snapshots: %w", err)
	}
	var list []*raft.SnapshotMeta
	for _, name := range names {
		id, ok := strings.CutSuffix(name, snapshotSuffix)
		if !ok {
			continue // on its way
		}
		f, err := s.fs.Open(s.path(id))
		if err != nil {
			return nil, fmt.Errorf("open snapshot: %w", err)
		}
		m, _, err := readSnapshotMeta(f)
		if err = errors.Join(err, f.Close()); err != nil {
			return nil, fmt.Errorf("snapshot %s: %w", id, err)
		}
		list = append(list, m)
	}
	slices.SortFunc(list, func(a, b *raft.SnapshotMeta) int {
		return cmp.Or(cmp.Compare(b.Term, a.Term), cmp.Compare(b.Index, a.Index), strings.Compare(b.ID, a.ID))
	})
	return list, nil
}

// Open implements raft.SnapshotStore. The whole file is checked first.
func (s *snapshotFiles) Open(id string) (*raft.SnapshotMeta, io.ReadCloser, error) {
	f, err := s.fs.Open(s.path(id))
	if err != nil {
		return nil, nil, fmt.Errorf("open snapshot: %w", err)
	}
	m, sum, err := readSnapshotMeta(f)
	if err == nil {
		err = checkSnapshot(f, sum)
	}
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("snapshot %s: %w", id, err), f.Close())
	}
	return m, &snapshotReader{Reader: io.NewSectionReader(f, 0, m.Size), f: f}, nil
}

// snapshotReader may be closed twice: by the FSM that restores it, and by Raft.
type snapshotReader struct {
	io.Reader
	f    vfs.File
	once sync.Once
	err  error
}

// Close implements io.Closer.
func (r *snapshotReader) Close() error {
	r.once.Do(func() { r.err = r.f.Close() })
	return r.err
}

var errSnapshotCorrupt = errors.New("the file is not a whole snapshot")

func readSnapshotMeta(f vfs.File) (*raft.SnapshotMeta, uint32, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, 0, fmt.Errorf("read: %w", err)
	}
	if info.Size() < int64(snapshotTail) {
		return nil, 0, errSnapshotCorrupt
	}
	tail := make([]byte, snapshotTail)
	if _, err := f.ReadAt(tail, info.Size()-int64(snapshotTail)); err != nil {
		return nil, 0, fmt.Errorf("read: %w", err)
	}
	size, metaSize := int64(binary.BigEndian.Uint64(tail)), int64(binary.BigEndian.Uint32(tail[8:]))
	if !bytes.HasSuffix(tail, []byte(snapshotMagic)) || metaSize > snapshotMetaMax || size != info.Size()-metaSize-int64(snapshotTail) {
		return nil, 0, errSnapshotCorrupt
	}
	b := make([]byte, metaSize)
	if _, err := f.ReadAt(b, size); err != nil {
		return nil, 0, fmt.Errorf("read: %w", err)
	}
	m := new(raft.SnapshotMeta)
	if err := json.Unmarshal(b, m); err != nil {
		return nil, 0, fmt.Errorf("%w: %w", errSnapshotCorrupt, err)
	}
	m.Size = size
	return m, binary.BigEndian.Uint32(tail[12:]), nil
}

func checkSnapshot(f vfs.File, sum uint32) error {
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("read: %w", err)
	}
	h := crc32.New(castagnoli)
	if _, err := io.Copy(h, io.NewSectionReader(f, 0, info.Size()-int64(snapshotTail))); err != nil {
		return fmt.Errorf("read: %w", err)
	}
	if h.Sum32() != sum {
		return errSnapshotCorrupt
	}
	return nil
}

// reap removes all but the newest snapshots.
func (s *snapshotFiles) reap() error {
	list, err := s.List()
	if err != nil {
		return err
	}
	for _, m := range list[min(len(list), snapshotsKept):] {
		if err := s.fs.Remove(s.path(m.ID)); err != nil {
			return fmt.Errorf("remove snapshot: %w", err)
		}
	}
	return nil
}

// snapshotFile is a snapshot on its way to disk.
type snapshotFile struct {
	s    *snapshotFiles
	f    vfs.File // nil once it is closed
	path string
	meta raft.SnapshotMeta
	sum  uint32
	mine []byte // what is being written
}

// ID implements raft.SnapshotSink.
func (w *snapshotFile) ID() string { return w.meta.ID }

// Write implements raft.SnapshotSink. A file of Pebble's may change what it is
// given to write, which an io.Writer may not.
func (w *snapshotFile) Write(p []byte) (int, error) {
	w.mine = append(w.mine[:0], p...)
	n, err := w.f.Write(w.mine)
	w.meta.Size += int64(n)
	w.sum = crc32.Update(w.sum, castagnoli, p[:n])
	if err != nil {
		return n, fmt.Errorf("write snapshot: %w", err)
	}
	return n, nil
}

// Close implements raft.SnapshotSink: after it the snapshot is whole and durable.
func (w *snapshotFile) Close() error {
	if w.f == nil {
		return nil // closed before
	}
	if err := w.finish(); err != nil {
		return errors.Join(err, w.Cancel())
	}
	if err := w.s.fs.Rename(w.path, w.s.path(w.meta.ID)); err != nil {
		return fmt.Errorf("publish snapshot: %w", err)
	}
	if err := storage.SyncDir(w.s.fs, w.s.dir); err != nil {
		return err
	}
	return w.s.reap()
}

func (w *snapshotFile) finish() error {
	b, err := json.Marshal(w.meta)
	if err != nil {
		return fmt.Errorf("write snapshot: %w", err)
	}
	tail := binary.BigEndian.AppendUint64(nil, uint64(w.meta.Size))
	tail = binary.BigEndian.AppendUint32(tail, uint32(len(b)))
	tail = binary.BigEndian.AppendUint32(tail, crc32.Update(w.sum, castagnoli, b))
	if _, err := w.f.Write(slices.Concat(b, tail, []byte(snapshotMagic))); err != nil {
		return fmt.Errorf("write snapshot: %w", err)
	}
	if err := w.f.Sync(); err != nil {
		return fmt.Errorf("sync snapshot: %w", err)
	}
	f := w.f
	w.f = nil
	if err := f.Close(); err != nil {
		return fmt.Errorf("close snapshot: %w", err)
	}
	return nil
}

// Cancel implements raft.SnapshotSink.
func (w *snapshotFile) Cancel() error {
	var err error
	if w.f != nil {
		err = w.f.Close()
		w.f = nil
	}
	if err = errors.Join(err, w.s.fs.Remove(w.path)); err != nil {
		return fmt.Errorf("cancel snapshot: %w", err)
	}
	return nil
}
