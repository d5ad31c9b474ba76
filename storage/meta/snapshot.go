package meta

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	iofs "io/fs"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/cockroachdb/pebble/v2"
	"github.com/hashicorp/raft"

	"ringbin/storage"
)

// A snapshot is a head, the pairs in key order, and a trailer.
//
//	"ringbin meta 1\n"
//	pairs: uvarint length, key, uvarint length, value
//	uvarint 0
//	count, applied index: 8 bytes big-endian each
//	SHA-256 of all that goes before
const (
	snapshotHead = "ringbin meta 1\n"

	snapshotKeyMax   = 64 << 10
	snapshotValueMax = 16 << 20
	restoreBatch     = 4 << 20 // bytes that are written together
)

// Names in the directory: the file that names the database in use, and how
// databases are named.
const (
	activeFile = "ACTIVE"
	dbPrefix   = "db-"
)

// prepare returns the name of the database in use, and removes what a crash
// left of others.
func (f *FSM) prepare() (string, error) {
	if err := storage.MkdirAllDurably(f.fs, f.dir); err != nil {
		return "", err
	}
	name, err := f.active()
	if err != nil {
		return "", err
	}
	if err := f.removeOthers(name); err != nil {
		return "", err
	}
	if name != "" {
		return name, nil
	}
	name = dbPrefix + "1"
	db, err := f.openDB(name)
	if err != nil {
		return "", err
	}
	if err := db.Close(); err != nil {
		return "", fmt.Errorf("make metadata: %w", err)
	}
	return name, f.activate(name)
}

func (f *FSM) active() (string, error) {
	file, err := f.fs.Open(f.fs.PathJoin(f.dir, activeFile))
	if errors.Is(err, iofs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("open %s: %w", activeFile, err)
	}
	b, err := io.ReadAll(file)
	if err = errors.Join(err, file.Close()); err != nil {
		return "", fmt.Errorf("read %s: %w", activeFile, err)
	}
	name := strings.TrimSpace(string(b))
	if !strings.HasPrefix(name, dbPrefix) {
		return "", fmt.Errorf("%w: %s names %q", errCorruptState, activeFile, name)
	}
	return name, nil
}

// activate makes a complete database the one in use, in one durable step.
func (f *FSM) activate(name string) error {
	if err := storage.SyncDir(f.fs, f.fs.PathJoin(f.dir, name)); err != nil {
		return err
	}
	if err := storage.SyncDir(f.fs, f.dir); err != nil {
		return err
	}
	return storage.WriteFileDurably(f.fs, f.fs.PathJoin(f.dir, activeFile), []byte(name+"\n"))
}

func (f *FSM) removeOthers(name string) error {
	names, err := f.fs.List(f.dir)
	if err != nil {
		return fmt.Errorf("list %s: %w", f.dir, err)
	}
	for _, n := range names {
		if strings.HasPrefix(n, dbPrefix) && n != name && !slices.Contains(f.holds.inUse(), n) {
			if err := f.fs.RemoveAll(f.fs.PathJoin(f.dir, n)); err != nil {
				return fmt.Errorf("remove %s: %w", n, err)
			}
		}
	}
	return nil
}

// snapshot is the state at one index; Persist does the reading.
type snapshot struct {
	f      *FSM
	db     *pebble.DB
	pebble *pebble.Snapshot
	index  uint64
}

// holds counts the snapshots that are being read of each database. A restore
// may replace the database meanwhile: then the last one to be released closes
// and removes it.
type holds struct {
	mu      sync.Mutex // protects the fields below
	count   map[*pebble.DB]int
	retired map[*pebble.DB]string // their names
}

func (h *holds) take(db *pebble.DB) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.count == nil {
		h.count, h.retired = map[*pebble.DB]int{}, map[*pebble.DB]string{}
	}
	h.count[db]++
}

// retire reports whether nobody reads a database that is out of use.
func (h *holds) retire(db *pebble.DB, name string) (free bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.count[db] == 0 {
		return true
	}
	h.retired[db] = name
	return false
}

// release returns the name of a database that is to be closed and removed now, or "".
func (h *holds) release(db *pebble.DB) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.count[db]--; h.count[db] > 0 {
		return ""
	}
	delete(h.count, db)
	name := h.retired[db]
	delete(h.retired, db)
	return name
}

// inUse are the names of the databases that are retired and still read.
func (h *holds) inUse() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Collect(maps.Values(h.retired))
}

// Snapshot makes the state durable, since Raft will drop the entries behind it,
// and takes hold of it. A node that has halted makes none.
func (f *FSM) Snapshot() (raft.FSMSnapshot, error) {
	if f.halted != nil {
		return nil, f.halted
	}
	if err := f.Flush(); err != nil {
		return nil, err
	}
	f.life.RLock()
	defer f.life.RUnlock()
	f.holds.take(f.db)
	return &snapshot{f: f, db: f.db, pebble: f.db.NewSnapshot(), index: f.AppliedIndex()}, nil
}

// Persist streams the state.
func (s *snapshot) Persist(sink raft.SnapshotSink) error {
	if err := s.write(sink); err != nil {
		return errors.Join(err, sink.Cancel())
	}
	if err := sink.Close(); err != nil {
		return fmt.Errorf("close snapshot: %w", err)
	}
	return nil
}

// Release lets go of the state.
func (s *snapshot) Release() {
	_ = s.pebble.Close() // it was only read
	name := s.f.holds.release(s.db)
	if name == "" {
		return
	}
	if err := errors.Join(s.db.Close(), s.f.fs.RemoveAll(s.f.fs.PathJoin(s.f.dir, name))); err != nil {
		s.f.opts.Logger.Warn("replaced metadata not removed", "name", name, "err", err)
	}
}

func (s *snapshot) write(to io.Writer) error {
	buffered := bufio.NewWriterSize(to, 1<<20)
	sum := sha256.New()
	w := io.MultiWriter(buffered, sum)
	if _, err := io.WriteString(w, snapshotHead); err != nil {
		return fmt.Errorf("write snapshot: %w", err)
	}
	var count uint64
	var scratch []byte
	err := scanRange(s.pebble, nil, nil, func(k, v []byte) (bool, error) {
		count++
		scratch = binary.AppendUvarint(scratch[:0], uint64(len(k)))
		scratch = append(scratch, k...)
		scratch = binary.AppendUvarint(scratch, uint64(len(v)))
		scratch = append(scratch, v...)
		_, err := w.Write(scratch)
		return true, err //nolint:wrapcheck // wrapped below
	})
	if err != nil {
		return fmt.Errorf("write snapshot: %w", err)
	}
	trailer := binary.BigEndian.AppendUint64([]byte{0}, count)
	trailer = binary.BigEndian.AppendUint64(trailer, s.index)
	if _, err := w.Write(trailer); err != nil {
		return fmt.Errorf("write snapshot: %w", err)
	}
	if _, err := buffered.Write(sum.Sum(nil)); err != nil {
		return fmt.Errorf("write snapshot: %w", err)
	}
	if err := buffered.Flush(); err != nil {
		return fmt.Errorf("write snapshot: %w", err)
	}
	return nil
}

// Restore replaces the state by a snapshot's, whole or not at all: it is read
// into a new database, checked against its trailer, synced, and only then put
// in the old one's place.
func (f *FSM) Restore(from io.ReadCloser) error {
	const op = "meta.Restore"
	name, err := f.nextName()
	if err == nil {
		err = f.fill(name, from)
	}
	if err = errors.Join(err, from.Close()); err != nil {
		return storage.E(op, storage.KindCorrupt, err)
	}
	if err := f.swap(name); err != nil {
		return storage.E(op, storage.KindInternal, err)
	}
	f.pending.settle(f.remembered)
	f.waiters.reached(f.AppliedIndex())
	f.watch.tick()
	if f.opts.OnCommitted != nil {
		f.opts.OnCommitted(nil)
	}
	if f.opts.OnCondemned != nil {
		f.opts.OnCondemned(nil)
	}
	return nil
}

func (f *FSM) nextName() (string, error) {
	n, err := strconv.Atoi(strings.TrimPrefix(f.name, dbPrefix))
	if err != nil {
		return "", fmt.Errorf("%w: database is named %q", errCorruptState, f.name)
	}
	return dbPrefix + strconv.Itoa(n+1), nil
}

// fill makes a database of a snapshot.
func (f *FSM) fill(name string, from io.Reader) error {
	if err := f.fs.RemoveAll(f.fs.PathJoin(f.dir, name)); err != nil && !errors.Is(err, iofs.ErrNotExist) {
		return fmt.Errorf("clear %s: %w", name, err)
	}
	db, err := f.openDB(name)
	if err != nil {
		return err
	}
	if err := readSnapshot(db, from); err != nil {
		return errors.Join(err, db.Close())
	}
	if err := errors.Join(db.Flush(), db.Close()); err != nil {
		return fmt.Errorf("fill %s: %w", name, err)
	}
	return nil
}

func (f *FSM) swap(name string) error {
	f.life.Lock()
	defer f.life.Unlock()
	if err := f.activate(name); err != nil {
		return err
	}
	db, err := f.openDB(name)
	if err != nil {
		return err
	}
	old, oldName := f.db, f.name
	f.db, f.name = db, name
	f.hot.clear() // before load shows the new index
	if err := f.load(); err != nil {
		return err
	}
	if f.holds.retire(old, oldName) {
		if err := old.Close(); err != nil {
			return fmt.Errorf("close replaced metadata: %w", err)
		}
	}
	f.halted = nil
	return f.removeOthers(name)
}

// sumReader hashes what is read through it, byte by byte as it is consumed.
type sumReader struct {
	r   *bufio.Reader
	sum hash.Hash
}

func (s sumReader) ReadByte() (byte, error) {
	b, err := s.r.ReadByte()
	if err == nil {
		s.sum.Write([]byte{b})
	}
	return b, err //nolint:wrapcheck // wrapped by readSnapshot
}

func (s sumReader) take(n uint64, most int) ([]byte, error) {
	if n > uint64(most) {
		return nil, fmt.Errorf("%d bytes where %d are the most", n, most)
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(s.r, b); err != nil {
		return nil, err //nolint:wrapcheck // wrapped by readSnapshot
	}
	s.sum.Write(b)
	return b, nil
}

// pair reads one pair; a nil key is the end of them.
func (s sumReader) pair() (key, value []byte, err error) {
	n, err := binary.ReadUvarint(s)
	if err != nil || n == 0 {
		return nil, nil, err //nolint:wrapcheck // wrapped by readSnapshot
	}
	if key, err = s.take(n, snapshotKeyMax); err != nil {
		return nil, nil, err
	}
	if n, err = binary.ReadUvarint(s); err != nil {
		return nil, nil, err //nolint:wrapcheck // wrapped by readSnapshot
	}
	value, err = s.take(n, snapshotValueMax)
	return key, value, err
}

func readSnapshot(db *pebble.DB, from io.Reader) error {
	r := sumReader{r: bufio.NewReaderSize(from, 1<<20), sum: sha256.New()}
	head, err := r.take(uint64(len(snapshotHead)), len(snapshotHead))
	if err != nil || string(head) != snapshotHead {
		return fmt.Errorf("snapshot has another head %q: %w", head, err)
	}
	batch := db.NewBatch()
	defer func() { _ = batch.Close() }()
	var count uint64
	var last []byte
	for {
		k, v, err := r.pair()
		if err != nil {
			return fmt.Errorf("read snapshot: %w", err)
		}
		if k == nil {
			break
		}
		if bytes.Compare(last, k) >= 0 {
			return errors.New("snapshot is out of order")
		}
		last = k
		count++
		if err := batch.Set(k, v, nil); err != nil {
			return fmt.Errorf("read snapshot: %w", err)
		}
		if batch.Len() >= restoreBatch {
			if err := batch.Commit(pebble.NoSync); err != nil {
				return fmt.Errorf("read snapshot: %w", err)
			}
			batch.Reset()
		}
	}
	if err := batch.Commit(pebble.NoSync); err != nil {
		return fmt.Errorf("read snapshot: %w", err)
	}
	return r.trailer(db, count)
}

// trailer checks that nothing of the snapshot is missing or changed.
func (s sumReader) trailer(db *pebble.DB, count uint64) error {
	b, err := s.take(16, 16)
	if err != nil {
		return fmt.Errorf("read trailer: %w", err)
	}
	want := s.sum.Sum(nil)
	var got [sha256.Size]byte
	if _, err := io.ReadFull(s.r, got[:]); err != nil {
		return fmt.Errorf("read trailer: %w", err)
	}
	if !bytes.Equal(want, got[:]) || binary.BigEndian.Uint64(b) != count {
		return errors.New("snapshot does not match its trailer")
	}
	at, closer, err := db.Get(local(localApplied))
	if errors.Is(err, pebble.ErrNotFound) && binary.BigEndian.Uint64(b[8:]) == 0 {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read applied index: %w", err)
	}
	defer func() { _ = closer.Close() }()
	if !bytes.Equal(at[:8], b[8:]) {
		return errors.New("snapshot is of another index than its trailer says")
	}
	return nil
}
