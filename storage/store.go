package storage

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// storeFormat is the Pebble format that new stores are created with and old
// ones are raised to. It goes up one release after the first one that can read
// it, since there is no way back.
const storeFormat = pebble.FormatTableFormatV6

// Defaults and names of a Store.
const (
	defaultCacheBytes    = 64 << 20
	defaultMemTableBytes = 64 << 20
)

// StoreOptions are how a Store is opened.
type StoreOptions struct {
	FS            vfs.FS // default: the operating system's
	Logger        *slog.Logger
	CacheBytes    int64  // block cache; 0: 64 MiB
	MemTableBytes uint64 // 0: 64 MiB
	// FreeFloorBytes is the free space below which writes are refused with
	// KindFull. 0: the larger of 5 % of the volume and 2 GiB; below 0: off.
	FreeFloorBytes int64
	// OnCorrupt is told of each copy that failed a check; the CID is zero when
	// it is not known which one. It must not block. It may be nil.
	OnCorrupt func(cid CID, err error)
	// OnFatal is told when Pebble can't go on (a failed WAL write). The
	// goroutine that met it panics afterwards: nothing may be acknowledged.
	OnFatal func(error)
	// OnDiskSlow is told of each operation of the file system that takes very
	// long. It must not block. It may be nil.
	OnDiskSlow func(took time.Duration)
	// ReadOnly opens a store that is there and changes nothing in it: what fails
	// a check is not quarantined, and Stats stay empty.
	ReadOnly bool

	layout layout // zero: defaultLayout; tests make chunks small
	noSync bool   // tests show that power loss is noticed
}

// Mark is what is stamped into a blob's header when it is received or confirmed.
type Mark struct {
	Generation uint64 // the node's applied index; it only ever rises
	Time       int64  // FSM time in Unix milliseconds
}

// BlobInfo is what a Store knows of a blob without reading its bytes.
type BlobInfo struct {
	CID        CID    `cbor:"1,keyasint"`
	Generation uint64 `cbor:"2,keyasint"`
	Time       int64  `cbor:"3,keyasint"`
	Corrupt    bool   `cbor:"4,keyasint,omitempty"` // failed a check: kept, not served, replaced by the next Put
	// Old copies lie in a database that is being replaced: they are served, not
	// confirmed, and [Store.Adopt] or the next Put moves them.
	Old bool `cbor:"5,keyasint,omitempty"`
}

// Store keeps the bytes of blobs on this node.
//
// A blob is its header and its chunks. The header is written in the same
// atomic step as the last chunk: no header, no blob. What a Store acknowledges
// has been fsynced (I3); what it serves has passed its checks (I2). Content of
// up to InlineMax bytes is its CID and never touches the disk.
type Store struct {
	opts   StoreOptions
	fs     vfs.FS
	dir    string
	logger *slog.Logger
	lay    layout
	cache  *pebble.Cache
	files  *blobFiles
	sync   *pebble.WriteOptions

	changing sync.Mutex // held while databases are made, replaced or dropped; before mu

	mu    sync.RWMutex // protects the fields below; held for moments only
	db    *pebble.DB   // of cur
	cur   *database    // takes the writes
	old   *database    // read only, while a rotten one is being replaced; nil else
	aside string       // the path of one that could not be opened; "" when there is none

	rot      chan struct{} // a database has to be replaced
	staging  string
	staged   atomic.Uint64 // numbers the files of this process
	locks    cidLocks
	space    spaceWatch
	counts   counts
	cancel   context.CancelFunc
	wg       sync.WaitGroup
	counting struct {
		cancel context.CancelFunc
		wg     sync.WaitGroup
	}
}

// OpenStore opens the store in dir, or makes one. Power lost during the very
// first open leaves a directory that opens the next time. A database whose
// files are rotten is a [*RottenError] in the chain: [SetAside] is for it.
func OpenStore(dir string, o StoreOptions) (*Store, error) {
	const op = "storage.OpenStore"
	o = o.withDefaults()
	s := &Store{opts: o, fs: o.FS, dir: dir, logger: o.Logger, lay: o.layout, sync: pebble.Sync, rot: make(chan struct{}, 1)}
	if o.noSync || Planted(BugReceiptUnsynced) {
		s.sync = pebble.NoSync
	}
	s.staging = s.fs.PathJoin(dir, storeStagingDir)
	s.space.fs, s.space.dir, s.space.floor = o.FS, dir, o.FreeFloorBytes
	s.cache = pebble.NewCache(o.CacheBytes)
	s.files = &blobFiles{lay: o.layout, open: map[CID]*blobFile{}}
	if err := s.openDatabases(); err != nil {
		s.cache.Unref()
		return nil, E(op, KindInternal, err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel = cancel
	s.counting.cancel = func() {}
	if !o.ReadOnly {
		s.startCounting()
		s.wg.Go(func() { s.runRebuild(ctx) })
	}
	return s, nil
}

// openDatabases opens the one that takes the writes and, when it is there, the
// one that is being replaced.
func (s *Store) openDatabases() error {
	if !s.opts.ReadOnly {
		if err := s.prepare(); err != nil {
			return err
		}
	}
	names, err := s.fs.List(s.dir)
	if err != nil {
		return fmt.Errorf("list %s: %w", s.dir, err)
	}
	if aside := asideNumbers(names); len(aside) > 0 {
		s.aside = s.fs.PathJoin(s.dir, asideName(aside[len(aside)-1]))
	}
	numbers := dbNumbers(names)
	if len(numbers) == 0 {
		numbers = []int{1} // read only, and not there: opening says so
	}
	if len(numbers) > 2 {
		return fmt.Errorf("%s has %d databases, one of them behind another is the most", s.dir, len(numbers))
	}
	if s.cur, err = s.openDatabase(numbers[len(numbers)-1], s.cache, s.opts.ReadOnly); err != nil {
		return err
	}
	s.db = s.cur.db
	if len(numbers) == 2 {
		if s.old, err = s.openDatabase(numbers[0], s.cache, true); err != nil {
			return errors.Join(err, s.db.Close())
		}
	}
	return nil
}

func (o StoreOptions) withDefaults() StoreOptions {
	if o.FS == nil {
		o.FS = vfs.Default
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.CacheBytes == 0 {
		o.CacheBytes = defaultCacheBytes
	}
	if o.MemTableBytes == 0 {
		o.MemTableBytes = defaultMemTableBytes
	}
	if o.layout == (layout{}) {
		o.layout = defaultLayout
	}
	return o
}

// prepare makes the directories, removes what was left half done, and makes a
// blank database where there is none.
func (s *Store) prepare() error {
	if err := MkdirAllDurably(s.fs, s.dir); err != nil {
		return err
	}
	names, err := s.fs.List(s.dir)
	if err != nil {
		return fmt.Errorf("list %s: %w", s.dir, err)
	}
	for _, name := range names {
		if name == storeStagingDir || name == storeGoneDBDir || strings.HasSuffix(name, newSuffix) {
			if err := s.removeAll(s.fs.PathJoin(s.dir, name)); err != nil {
				return err
			}
		}
	}
	if err := s.fs.MkdirAll(s.staging, 0o700); err != nil {
		return fmt.Errorf("make staging: %w", err)
	}
	if len(dbNumbers(names)) > 0 {
		return nil
	}
	return s.makeDatabase(1)
}

// Close waits for what runs in the background and closes the databases. No
// other call may be on its way.
func (s *Store) Close() error {
	s.cancel()
	s.wg.Wait()
	s.stopCounting()
	err := s.db.Close()
	if s.old != nil {
		err = errors.Join(err, s.old.db.Close())
	}
	s.cache.Unref()
	if err != nil {
		return E("storage.Store.Close", KindInternal, err)
	}
	return nil
}
