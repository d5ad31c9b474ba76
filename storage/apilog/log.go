package apilog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/fxamacker/cbor/v2"

	"ringbin/storage"
)

// Numbers of the database. The format goes up one release after the first one
// that can read it, since there is no way back.
const (
	format       = pebble.FormatTableFormatV6
	memTable     = 4 << 20
	memTablesMax = 4 // with that many Pebble makes writers wait
	unflushedMax = (memTablesMax - 1) * memTable
	cacheBytes   = 4 << 20
	version      = 1 // of the keys and values below
)

// The keys: a tag, then an entry's id. They rise with time, so that tables
// follow each other, and what is old is cut off at once.
const (
	tagVersion byte = 'f'
	tagEntry   byte = 'l'
)

// EntriesMax is how many entries are appended at once.
const EntriesMax = 1000

// asideMark stands, with a number, behind the name of a log that could not be
// opened for what its files held. The newest one is kept.
const asideMark = ".bad-"

// Options are how a log is opened.
type Options struct {
	FS         vfs.FS // default: the operating system's
	Logger     *slog.Logger
	OnDiskSlow func(took time.Duration) // as storage.StoreOptions's
}

// Log is the requests that this node served. What Append acknowledged survives
// power loss.
type Log struct {
	fs     vfs.FS
	dir    string
	logger *slog.Logger

	life   sync.RWMutex // readers hold it shared, Close alone
	db     *pebble.DB
	closed bool

	broken atomic.Pointer[error] // why nothing can be written before it is opened anew
}

// Open opens the log in dir, or makes an empty one. One whose files are rotten
// is moved aside, and an empty one takes its place.
func Open(dir string, o Options) (*Log, error) {
	const op = "apilog.Open"
	if o.FS == nil {
		o.FS = vfs.Default
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	l := &Log{fs: o.FS, dir: dir, logger: o.Logger}
	err := l.open(o)
	if rot, rotten := errors.AsType[*storage.RottenError](err); rotten {
		l.logger.Error("the log of requests can't be opened: it is moved aside, and an empty one takes its place", "path", rot.Path, "err", rot.Err)
		if err = l.setAside(); err == nil {
			err = l.open(o)
		}
	}
	if err != nil {
		return nil, storage.E(op, storage.KindInternal, err)
	}
	return l, nil
}

func (l *Log) open(o Options) error {
	if err := storage.MkdirAllDurably(l.fs, l.fs.PathDir(l.dir)); err != nil {
		return err
	}
	cache := pebble.NewCache(cacheBytes)
	defer cache.Unref()
	log := storage.PebbleLog{Logger: l.logger, Slow: o.OnDiskSlow}
	po := &pebble.Options{
		FS: storage.OrderedFS(l.fs), Cache: cache, FormatMajorVersion: format, MemTableSize: memTable, MemTableStopWritesThreshold: memTablesMax,
		Logger: logger{log, l},
		EventListener: &pebble.EventListener{
			BackgroundError: log.BackgroundError,
			DiskSlow:        log.DiskSlow,
			// Whoever reads the block gets the error.
			DataCorruption: func(i pebble.DataCorruptionInfo) { log.BackgroundError(i.Details) },
		},
	}
	err := storage.MakePebble(l.fs, l.dir, po)
	if err != nil {
		return err
	}
	if l.db, err = storage.OpenPebble(l.fs, l.dir, po); err != nil {
		return err
	}
	if err := l.checkVersion(); err != nil {
		return errors.Join(err, l.db.Close())
	}
	return nil
}

func (l *Log) checkVersion() error {
	v, closer, err := l.db.Get([]byte{tagVersion})
	if errors.Is(err, pebble.ErrNotFound) {
		err = l.db.Set([]byte{tagVersion}, []byte{version}, pebble.Sync)
		return errors.Join(err, l.fault())
	}
	if err != nil {
		return fmt.Errorf("read the log's version: %w", err)
	}
	known := len(v) == 1 && v[0] == version
	if err := closer.Close(); err != nil {
		return fmt.Errorf("read the log's version: %w", err)
	}
	if !known {
		return errors.New("the log of requests is of another version than this program knows")
	}
	return nil
}

// logger is what the database logs to. A log that can't be written never ends
// the process: it only is not written any more.
type logger struct {
	storage.PebbleLog
	l *Log
}

// Fatalf is called where Pebble can't go on. That it returns breaks Pebble's
// promise for the batch at hand, so whoever writes asks for it afterwards.
func (g logger) Fatalf(format string, args ...any) {
	err := fmt.Errorf("pebble: "+format, args...)
	g.Logger.Error("the log of requests can't go on", "err", err)
	g.l.broken.CompareAndSwap(nil, &err)
}

var errClosed = errors.New("the log is closed")

// fault is why nothing can be written, or nil.
func (l *Log) fault() error {
	if l.closed {
		return errClosed
	}
	if err := l.broken.Load(); err != nil {
		return *err
	}
	return nil
}

// writable is why nothing should be written now, or nil.
func (l *Log) writable() error {
	if err := l.fault(); err != nil {
		return err
	}
	// On a disk that takes no tables, whoever writes on is made to wait until it
	// does, and who closes the log waits for that.
	if l.db.Metrics().MemTable.Size >= unflushedMax {
		return errors.New("what was written before is not flushed")
	}
	return nil
}

// Broken reports whether the log has to be closed and opened anew before it
// takes entries again.
func (l *Log) Broken() bool { return l.broken.Load() != nil }

// Append writes entries, and returns once they survive power loss. With an
// error nobody knows which of them are there.
func (l *Log) Append(entries []Entry) error {
	const op = "apilog.Append"
	l.life.RLock()
	defer l.life.RUnlock()
	if err := l.writable(); err != nil {
		return storage.E(op, storage.KindUnavailable, err)
	}
	b := l.db.NewBatch()
	defer func() { _ = b.Close() }()
	for _, e := range entries {
		v, err := cbor.Marshal(e)
		if err == nil {
			err = b.Set(key(e), v, nil)
		}
		if err != nil {
			return storage.E(op, storage.KindInternal, err)
		}
	}
	if err := errors.Join(b.Commit(pebble.Sync), l.fault()); err != nil {
		return storage.DiskError(op, err)
	}
	return nil
}

func key(e Entry) []byte { return append([]byte{tagEntry}, e.ID[:]...) }

// DropBefore erases what is older than a time in Unix milliseconds. Its room is
// free at once, and no tombstones are left for reads to pass.
func (l *Log) DropBefore(ctx context.Context, millis int64) error {
	const op = "apilog.DropBefore"
	l.life.RLock()
	defer l.life.RUnlock()
	if err := l.writable(); err != nil {
		return storage.E(op, storage.KindUnavailable, err)
	}
	first, end := []byte{tagEntry}, key(Entry{ID: edge(millis)})
	old, err := l.holds(first, end)
	if err == nil && old {
		err = l.db.Excise(ctx, pebble.KeyRange{Start: first, End: end})
	}
	if err != nil {
		return storage.E(op, storage.KindInternal, err)
	}
	return nil
}

// holds reports whether there is anything in a range.
func (l *Log) holds(first, end []byte) (bool, error) {
	it, err := l.db.NewIter(&pebble.IterOptions{LowerBound: first, UpperBound: end})
	if err != nil {
		return false, err //nolint:wrapcheck // wrapped by DropBefore
	}
	found := it.First()
	return found, it.Close() //nolint:wrapcheck // it tells what stopped the iterator, too
}

// Close closes the log; what is called afterwards fails.
func (l *Log) Close() error {
	l.life.Lock()
	defer l.life.Unlock()
	if l.closed {
		return nil
	}
	l.closed = true
	if err := l.db.Close(); err != nil {
		return storage.E("apilog.Close", storage.KindInternal, err)
	}
	return nil
}

// setAside moves the log's directory away, and removes those that were moved
// before.
func (l *Log) setAside() error {
	before, err := asides(l.fs, l.dir)
	if err != nil {
		return err
	}
	number := 1
	if len(before) > 0 {
		number = before[len(before)-1] + 1
	}
	if err := storage.RenameDurably(l.fs, l.dir, l.dir+asideMark+strconv.Itoa(number)); err != nil {
		return err
	}
	for _, n := range before {
		if err := l.fs.RemoveAll(l.dir + asideMark + strconv.Itoa(n)); err != nil {
			return fmt.Errorf("remove a log that was set aside: %w", err)
		}
	}
	return nil
}

// Aside reports whether there is a log beside dir that was moved aside.
func Aside(fs vfs.FS, dir string) (bool, error) {
	numbers, err := asides(fs, dir)
	if err != nil {
		return false, storage.E("apilog.Aside", storage.KindInternal, err)
	}
	return len(numbers) > 0, nil
}

// asides are the numbers of the logs that were moved aside, ascending.
func asides(fs vfs.FS, dir string) ([]int, error) {
	names, err := fs.List(fs.PathDir(dir))
	if err != nil {
		return nil, fmt.Errorf("look for logs that were set aside: %w", err)
	}
	var numbers []int
	for _, name := range names {
		number, ok := strings.CutPrefix(name, fs.PathBase(dir)+asideMark)
		if n, err := strconv.Atoi(number); ok && err == nil && n > 0 {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	return numbers, nil
}
