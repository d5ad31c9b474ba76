package storage

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
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

	storeDBDir      = "db"
	storeStagingDir = "staging"
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
	logger *slog.Logger
	lay    layout
	db     *pebble.DB
	dbOpts *pebble.Options
	sync   *pebble.WriteOptions

	staging string
	staged  atomic.Uint64 // numbers the files of this process
	locks   cidLocks
	space   spaceWatch
	counts  counts
	garbage atomic.Int64 // bytes of small blobs that were erased and not reclaimed
	cancel  context.CancelFunc
	wg      sync.WaitGroup
}

// OpenStore opens the store in dir, or makes one. Power lost during the very
// first open leaves a directory that opens the next time.
func OpenStore(dir string, o StoreOptions) (*Store, error) {
	const op = "storage.OpenStore"
	o = o.withDefaults()
	s := &Store{opts: o, fs: o.FS, logger: o.Logger, lay: o.layout, sync: pebble.Sync}
	if o.noSync || Planted(BugReceiptUnsynced) {
		s.sync = pebble.NoSync
	}
	s.staging = s.fs.PathJoin(dir, storeStagingDir)
	s.space.fs, s.space.dir, s.space.floor = o.FS, dir, o.FreeFloorBytes
	cache := pebble.NewCache(o.CacheBytes)
	defer cache.Unref()
	s.dbOpts = s.pebbleOptions(cache)
	if !o.ReadOnly {
		if err := s.prepare(dir); err != nil {
			return nil, E(op, KindInternal, err)
		}
	}
	s.dbOpts.ErrorIfNotExists = true // never a blank database in place of a damaged one
	db, err := pebble.Open(s.fs.PathJoin(dir, storeDBDir), s.dbOpts)
	if err != nil {
		return nil, E(op, KindInternal, err)
	}
	s.db = db
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel = cancel
	if !o.ReadOnly {
		snapshot := db.NewSnapshot()
		s.wg.Go(func() { s.countHeld(ctx, snapshot) })
	}
	return s, nil
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

// prepare makes the directories. The database is first made under another
// name, and renamed when it is whole: a half-made one never opens again.
func (s *Store) prepare(dir string) error {
	if err := MkdirAllDurably(s.fs, dir); err != nil {
		return err
	}
	if err := s.fs.RemoveAll(s.staging); err != nil && !isNotExist(err) {
		return fmt.Errorf("clear staging: %w", err)
	}
	if err := s.fs.MkdirAll(s.staging, 0o700); err != nil {
		return fmt.Errorf("make staging: %w", err)
	}
	return MakePebble(s.fs, s.fs.PathJoin(dir, storeDBDir), s.dbOpts)
}

// pebbleOptions are the measured ones: without them small blobs cost several
// times the CPU, and each byte is written several times over.
func (s *Store) pebbleOptions(cache *pebble.Cache) *pebble.Options {
	const (
		fileBytes  = 64 << 20
		blockBytes = 32 << 10
		indexBytes = 256 << 10
		bloomBits  = 10
	)
	o := &pebble.Options{
		FS: OrderedFS(s.fs), Cache: cache, FormatMajorVersion: storeFormat, ReadOnly: s.opts.ReadOnly,
		MemTableSize: s.opts.MemTableBytes, MemTableStopWritesThreshold: 4,
		L0CompactionThreshold: 8, L0StopWritesThreshold: 64, LBaseMaxBytes: 1 << 30, FlushSplitBytes: fileBytes,
		CompactionConcurrencyRange: func() (int, int) { return 1, 2 },
	}
	o.ApplyCompressionSettings(func() pebble.DBCompressionSettings { return pebble.DBCompressionNone })
	for i := range o.TargetFileSizes {
		o.TargetFileSizes[i] = fileBytes
	}
	for i := range o.Levels {
		o.Levels[i].BlockSize = blockBytes
		o.Levels[i].IndexBlockSize = indexBytes
		o.Levels[i].FilterPolicy = bloom.FilterPolicy(bloomBits)
	}
	log := PebbleLog{Logger: s.logger, Fatal: s.opts.OnFatal, Slow: s.opts.OnDiskSlow}
	o.Logger = log
	o.EventListener = &pebble.EventListener{
		BackgroundError: log.BackgroundError,
		DataCorruption:  s.blockCorrupt,
		DiskSlow:        log.DiskSlow,
	}
	return o
}

// Close waits for what runs in the background and closes the database. No
// other call may be on its way.
func (s *Store) Close() error {
	s.cancel()
	s.wg.Wait()
	if err := s.db.Close(); err != nil {
		return E("storage.Store.Close", KindInternal, err)
	}
	return nil
}
