package storage

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
)

// Names of a store's databases. The first one is db, the one that takes its
// place db-2, and so on: of two, the higher number takes the writes. They are
// made under another name and renamed when whole, and renamed before they are
// removed, so that there is never half of one under a name that counts.
const (
	storeDBDir      = "db"
	storeGoneDBDir  = "db.gone"
	storeAsideDBDir = "db.bad-" // + number: could not be opened; the newest one is kept
	storeStagingDir = "staging"
)

// Limits of rot. A database that reaches one is replaced.
const (
	rotTablesMax   = 16      // distinct tables of several blobs with a block that failed its check
	rotFailuresMax = 3       // compactions that failed for rot: Pebble tries them again every five minutes, for ever
	rotFaultsMax   = 1 << 16 // CIDs whose bad blocks are remembered
	rotLogEvery    = 10 * time.Second
)

// database is one Pebble of a store.
type database struct {
	s      *Store
	path   string
	number int
	db     *pebble.DB
	users  sync.WaitGroup // who uses it at the moment

	ingests ingests // of large blobs' tables

	garbage atomic.Int64 // bytes of small blobs that were erased and not reclaimed

	mu       sync.Mutex // protects the fields below
	tables   map[string]bool
	failures int
	faults   map[CID]map[string]error // by key: it lies in a block that is bad
	logged   time.Time
	silent   int // messages that were not logged since
}

func dbName(number int) string {
	if number == 1 {
		return storeDBDir
	}
	return storeDBDir + "-" + strconv.Itoa(number)
}

// dbNumbers are the databases that lie in a store's directory, ascending.
func dbNumbers(names []string) []int {
	var numbers []int
	for _, name := range names {
		if name == storeDBDir {
			numbers = append(numbers, 1)
			continue
		}
		n, err := strconv.Atoi(strings.TrimPrefix(name, storeDBDir+"-"))
		if err == nil && n > 1 && name == dbName(n) {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	return numbers
}

// RottenError says that a database can't be opened for what its files hold, or
// for files that are gone: the next try would end the same way.
type RottenError struct {
	Path string // of the database
	Err  error
}

// Error implements error.
func (e *RottenError) Error() string { return fmt.Sprintf("database %s is rotten: %v", e.Path, e.Err) }

// Unwrap returns what opening failed with.
func (e *RottenError) Unwrap() error { return e.Err }

// openDatabase opens one that is there. A rotten one is a [RottenError]; never
// is a blank one made in its place.
func (s *Store) openDatabase(number int, cache *pebble.Cache, readOnly bool) (*database, error) {
	d := &database{s: s, path: s.fs.PathJoin(s.dir, dbName(number)), number: number, tables: map[string]bool{}, faults: map[CID]map[string]error{}}
	o := d.options(cache)
	o.ReadOnly = readOnly
	var err error
	if d.db, err = OpenPebble(s.fs, d.path, o); err != nil {
		return nil, err
	}
	return d, nil
}

// isRot tells what the files hold from what the machine lacks at the moment,
// such as memory, file handles or the permission to read.
func isRot(err error) bool {
	return pebble.IsCorruptionError(err) || errors.Is(err, pebble.ErrDBDoesNotExist) || isNotExist(err) || errors.Is(err, errBadCRC)
}

// makeDatabase makes a blank one, whole or not at all.
func (s *Store) makeDatabase(number int) error {
	cache := pebble.NewCache(1 << 20)
	defer cache.Unref()
	d := &database{s: s, path: s.fs.PathJoin(s.dir, dbName(number)), tables: map[string]bool{}, faults: map[CID]map[string]error{}}
	return MakePebble(s.fs, d.path, d.options(cache))
}

func (s *Store) removeAll(path string) error {
	if err := s.fs.RemoveAll(path); err != nil && !isNotExist(err) {
		return fmt.Errorf("remove %s: %w", path, err)
	}
	return nil
}

// options are the measured ones: without them small blobs cost several times
// the CPU, and each byte is written several times over.
func (d *database) options(cache *pebble.Cache) *pebble.Options {
	const (
		fileBytes  = 64 << 20
		blockBytes = 32 << 10
		indexBytes = 256 << 10
		bloomBits  = 10
	)
	o := &pebble.Options{
		FS: blobFS{OrderedFS(d.s.fs), d.s.files}, Cache: cache, FormatMajorVersion: storeFormat,
		MemTableSize: d.s.opts.MemTableBytes, MemTableStopWritesThreshold: 4,
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
	log := PebbleLog{Logger: d.s.logger, Fatal: d.s.opts.OnFatal, Slow: d.s.opts.OnDiskSlow}
	o.Logger = log
	o.EventListener = &pebble.EventListener{
		BackgroundError: d.backgroundError,
		DataCorruption:  d.blockCorrupt,
		DiskSlow:        log.DiskSlow,
	}
	return o
}

// backgroundError is Pebble's word of a flush or a compaction that failed; it
// tries again, for ever.
func (d *database) backgroundError(err error) {
	if n, ok := d.mayLog(); ok {
		d.s.logger.Error("database background work failed", "path", d.path, "err", err, "not_logged", n)
	}
	if pebble.IsCorruptionError(err) {
		d.mu.Lock()
		d.failures++
		full := d.failures >= rotFailuresMax
		d.mu.Unlock()
		if full {
			d.s.rotten(d)
		}
	}
}

// blockCorrupt is Pebble's word of a block that failed its own check.
func (d *database) blockCorrupt(info pebble.DataCorruptionInfo) {
	if n, ok := d.mayLog(); ok {
		d.s.logger.Error("a database block is corrupt", "path", info.Path, "err", info.Details, "not_logged", n)
	}
	cid, sole := soleCID(&info)
	if !sole && !d.noteTable(info.Path) {
		return // told already, and again and again by a compaction that is retried
	}
	if d.s.opts.OnCorrupt != nil {
		d.s.opts.OnCorrupt(cid, info.Details)
	}
}

// soleCID returns the CID of a large blob's own table, which the bounds name.
func soleCID(info *pebble.DataCorruptionInfo) (CID, bool) {
	if info == nil {
		return CID{}, false
	}
	first, errFirst := cidOfKey(info.Bounds.Start)
	last, errLast := cidOfKey(info.Bounds.End.Key)
	if errFirst != nil || errLast != nil || first != last {
		return CID{}, false
	}
	return first, true
}

// noteTable counts a table of several blobs, once, and reports whether it was new.
func (d *database) noteTable(path string) (first bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.tables[path] || len(d.tables) >= rotTablesMax {
		return false
	}
	if d.tables[path] = true; len(d.tables) >= rotTablesMax {
		d.s.rotten(d)
	}
	return true
}

// get looks a key of a CID up. What a bad block gave is remembered, since to
// read it again is dear: Pebble looks for the bit that flipped, for a second and
// more.
func (d *database) get(cid CID, key []byte) ([]byte, io.Closer, error) {
	d.mu.Lock()
	err := d.faults[cid][string(key)]
	d.mu.Unlock()
	if err != nil {
		return nil, nil, err
	}
	v, closer, err := d.db.Get(key)
	if err == nil || errors.Is(err, pebble.ErrNotFound) { // to ask whether it is corruption is dear, and most keys are not there
		return v, closer, err //nolint:wrapcheck // callers ask what kind it is
	}
	if pebble.IsCorruptionError(err) {
		d.mu.Lock()
		defer d.mu.Unlock()
		if len(d.faults) < rotFaultsMax {
			if d.faults[cid] == nil {
				d.faults[cid] = map[string]error{}
			}
			d.faults[cid][string(key)] = err
		}
	}
	return v, closer, err //nolint:wrapcheck // callers ask what kind it is
}

// forget drops what is remembered of a CID: its keys were written.
func (d *database) forget(cid CID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.faults, cid)
}

// listFailed notes that blobs could not be listed for rot: they never could
// again, since a good copy that is written over a bad one does not hide its
// block from whoever reads along.
func (d *database) listFailed() {
	d.mu.Lock()
	d.failures = rotFailuresMax
	d.mu.Unlock()
	d.s.rotten(d)
}

// isRotten reports whether the database has to be replaced.
func (d *database) isRotten() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.failures >= rotFailuresMax || len(d.tables) >= rotTablesMax
}

// mayLog keeps what repeats many times a second out of the log, and says how
// much it kept out.
func (d *database) mayLog() (silent int, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now()
	if !d.logged.IsZero() && now.Sub(d.logged) < rotLogEvery {
		d.silent++
		return 0, false
	}
	silent, d.logged, d.silent = d.silent, now, 0
	return silent, true
}
