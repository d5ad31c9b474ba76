package cluster

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/raft"

	"ringbin/storage"
)

// Numbers of the Pebble log. The format goes up one release after the first
// one that can read it, since there is no way back.
const (
	pebbleLogFormat   = pebble.FormatTableFormatV6
	pebbleLogMemTable = 16 << 20
	pebbleLogCache    = 8 << 20

	pebbleLogDir     = "log"
	pebbleLogVersion = 1 // of the keys and values below
)

// The keys of the Pebble log: a tag, then an entry's index or a name.
const (
	tagVersion byte = 'f'
	tagEntry   byte = 'l'
	tagStable  byte = 's'
)

// entryHead is version-free: index, term, type, time of appending and the
// length of the extensions go before extensions and data.
const entryHead = 8 + 8 + 1 + 8 + 4

// errNotFound has the text by which Raft knows a stable key that was never set.
var errNotFound = errors.New("not found")

// pebbleLog keeps Raft's log and its stable state in a Pebble database on any
// file system. What StoreLogs and Set have acknowledged survives power loss.
type pebbleLog struct {
	db   *pebble.DB
	sync *pebble.WriteOptions
	// turn is held while something is written. Raft writes from two goroutines
	// only, so that sharing syncs between them would gain nothing; and whoever
	// waits for a slow disk here waits for a channel, which lets virtual time pass.
	turn chan struct{}
}

var (
	_ raft.LogStore          = (*pebbleLog)(nil)
	_ raft.StableStore       = (*pebbleLog)(nil)
	_ raft.MonotonicLogStore = (*pebbleLog)(nil)
)

// openPebbleLog opens the log in dir, or makes one, unless it is only to be
// read. fatal is told of a failed write before the goroutine that met it panics.
func openPebbleLog(fs vfs.FS, dir string, logger *slog.Logger, fatal func(error), readOnly bool) (*pebbleLog, error) {
	cache := pebble.NewCache(pebbleLogCache)
	defer cache.Unref()
	log := storage.PebbleLog{Logger: logger, Fatal: fatal}
	o := &pebble.Options{
		FS: storage.OrderedFS(fs), Cache: cache, FormatMajorVersion: pebbleLogFormat, MemTableSize: pebbleLogMemTable, Logger: log,
		EventListener: &pebble.EventListener{
			BackgroundError: log.BackgroundError,
			DiskSlow:        log.DiskSlow,
			// Whoever reads the block gets the error, and Raft stops with it:
			// a node never goes on with a log that it can't read (I16).
			DataCorruption: func(i pebble.DataCorruptionInfo) { log.BackgroundError(i.Details) },
		},
	}
	path := fs.PathJoin(dir, pebbleLogDir)
	if !readOnly {
		if err := storage.MakePebble(fs, path, o); err != nil {
			return nil, err
		}
	}
	o.ErrorIfNotExists, o.ReadOnly = true, readOnly
	db, err := pebble.Open(path, o)
	if err != nil {
		return nil, fmt.Errorf("open raft log: %w", err)
	}
	p := &pebbleLog{db: db, sync: pebble.Sync, turn: make(chan struct{}, 1)}
	if err := p.checkVersion(); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return p, nil
}

func (p *pebbleLog) checkVersion() error {
	v, err := p.get([]byte{tagVersion})
	switch {
	case errors.Is(err, errNotFound):
		return p.set([]byte{tagVersion}, []byte{pebbleLogVersion})
	case err != nil:
		return err
	case len(v) != 1 || v[0] != pebbleLogVersion:
		return fmt.Errorf("raft log has version %x, this program knows %d", v, pebbleLogVersion)
	}
	return nil
}

// IsMonotonic tells Raft to drop all older entries once it has installed a
// snapshot, instead of leaving a gap.
func (*pebbleLog) IsMonotonic() bool { return true }

func (p *pebbleLog) take() (release func()) {
	p.turn <- struct{}{}
	return func() { <-p.turn }
}

func entryKey(index uint64) []byte { return binary.BigEndian.AppendUint64([]byte{tagEntry}, index) }

// FirstIndex implements raft.LogStore.
func (p *pebbleLog) FirstIndex() (uint64, error) { return p.edge((*pebble.Iterator).First) }

// LastIndex implements raft.LogStore.
func (p *pebbleLog) LastIndex() (uint64, error) { return p.edge((*pebble.Iterator).Last) }

func (p *pebbleLog) edge(seek func(*pebble.Iterator) bool) (index uint64, err error) {
	it, err := p.db.NewIter(&pebble.IterOptions{LowerBound: []byte{tagEntry}, UpperBound: []byte{tagEntry + 1}})
	if err != nil {
		return 0, fmt.Errorf("read raft log: %w", err)
	}
	if seek(it) {
		index = binary.BigEndian.Uint64(it.Key()[1:])
	}
	if err := it.Close(); err != nil { // it tells what stopped the iterator, too
		return 0, fmt.Errorf("read raft log: %w", err)
	}
	return index, nil
}

// GetLog implements raft.LogStore.
func (p *pebbleLog) GetLog(index uint64, l *raft.Log) error {
	b, err := p.get(entryKey(index))
	if errors.Is(err, errNotFound) {
		return raft.ErrLogNotFound
	}
	if err != nil {
		return err
	}
	return decodeEntry(b, l)
}

// StoreLog implements raft.LogStore.
func (p *pebbleLog) StoreLog(l *raft.Log) error { return p.StoreLogs([]*raft.Log{l}) }

// StoreLogs implements raft.LogStore: one batch and one sync.
func (p *pebbleLog) StoreLogs(logs []*raft.Log) error {
	size := 0
	for _, l := range logs {
		size += entryHead + len(l.Data) + len(l.Extensions)
	}
	b := p.db.NewBatchWithSize(size)
	defer func() { _ = b.Close() }()
	var buf []byte
	for _, l := range logs {
		buf = appendEntry(buf[:0], l)
		if err := b.Set(entryKey(l.Index), buf, nil); err != nil {
			return fmt.Errorf("write raft log: %w", err)
		}
	}
	defer p.take()()
	sync := p.sync
	if storage.Planted(storage.BugLogUnsynced) {
		sync = pebble.NoSync
	}
	if err := b.Commit(sync); err != nil {
		return fmt.Errorf("write raft log: %w", err)
	}
	return nil
}

// DeleteRange implements raft.LogStore; both ends are deleted too.
func (p *pebbleLog) DeleteRange(first, last uint64) error {
	defer p.take()()
	if err := p.db.DeleteRange(entryKey(first), append(entryKey(last), 0), p.sync); err != nil {
		return fmt.Errorf("shorten raft log: %w", err)
	}
	return nil
}

// Set implements raft.StableStore.
func (p *pebbleLog) Set(key, value []byte) error { return p.set(stableKey(key), value) }

// Get implements raft.StableStore.
func (p *pebbleLog) Get(key []byte) ([]byte, error) { return p.get(stableKey(key)) }

// SetUint64 implements raft.StableStore.
func (p *pebbleLog) SetUint64(key []byte, value uint64) error {
	return p.Set(key, binary.BigEndian.AppendUint64(nil, value))
}

// GetUint64 implements raft.StableStore.
func (p *pebbleLog) GetUint64(key []byte) (uint64, error) {
	b, err := p.Get(key)
	if err != nil {
		return 0, err
	}
	if len(b) != 8 {
		return 0, fmt.Errorf("raft's %s has %d bytes, want 8", key, len(b))
	}
	return binary.BigEndian.Uint64(b), nil
}

func stableKey(key []byte) []byte { return append([]byte{tagStable}, key...) }

func (p *pebbleLog) set(key, value []byte) error {
	defer p.take()()
	if err := p.db.Set(key, value, p.sync); err != nil {
		return fmt.Errorf("write raft's state: %w", err)
	}
	return nil
}

func (p *pebbleLog) get(key []byte) ([]byte, error) {
	v, closer, err := p.db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, errNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("read raft log: %w", err)
	}
	v = append([]byte(nil), v...)
	if err := closer.Close(); err != nil {
		return nil, fmt.Errorf("read raft log: %w", err)
	}
	return v, nil
}

// Close implements io.Closer.
func (p *pebbleLog) Close() error {
	if err := p.db.Close(); err != nil {
		return fmt.Errorf("close raft log: %w", err)
	}
	return nil
}

func appendEntry(b []byte, l *raft.Log) []byte {
	b = binary.BigEndian.AppendUint64(b, l.Index)
	b = binary.BigEndian.AppendUint64(b, l.Term)
	b = append(b, byte(l.Type))
	appended := int64(0) // no time: the year 1 does not fit
	if !l.AppendedAt.IsZero() {
		appended = l.AppendedAt.UnixNano()
	}
	b = binary.BigEndian.AppendUint64(b, uint64(appended))
	b = binary.BigEndian.AppendUint32(b, uint32(len(l.Extensions)))
	b = append(b, l.Extensions...)
	return append(b, l.Data...)
}

func decodeEntry(b []byte, l *raft.Log) error {
	if len(b) < entryHead {
		return fmt.Errorf("raft log entry has %d bytes", len(b))
	}
	*l = raft.Log{Index: binary.BigEndian.Uint64(b), Term: binary.BigEndian.Uint64(b[8:]), Type: raft.LogType(b[16])}
	if at := int64(binary.BigEndian.Uint64(b[17:])); at != 0 {
		l.AppendedAt = time.Unix(0, at)
	}
	extensions := int(binary.BigEndian.Uint32(b[25:]))
	b = b[entryHead:]
	if extensions > len(b) {
		return fmt.Errorf("raft log entry %d is cut off", l.Index)
	}
	if extensions > 0 {
		l.Extensions = b[:extensions:extensions]
	}
	l.Data = b[extensions:]
	return nil
}
