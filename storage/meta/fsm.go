package meta

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/raft"

	"ringbin/storage"
)

// Options are how the metadata is opened.
type Options struct {
	FS            vfs.FS // default: the operating system's
	Logger        *slog.Logger
	CacheBytes    int64  // 0: 32 MiB
	MemTableBytes uint64 // 0: 16 MiB
	// OnHalt is told why this node can't apply what the cluster agreed on. It
	// must stop the node; nothing is applied afterwards. Default: panic.
	OnHalt func(error)
	// OnCommitted is told which stored content was referenced by a batch, before
	// the batch's index shows anywhere, and with nil after a restore: then
	// anything may have been. It must not block. It may be nil.
	OnCommitted func([]storage.CID)
	// OnCondemned is told which content a batch condemned, once the state shows
	// it, and with nil after a restore: then anything may have been. It must not
	// block. It may be nil.
	OnCondemned func([]storage.CID)
	// OnDiskSlow is storage.StoreOptions's.
	OnDiskSlow func(took time.Duration)
	// ReadOnly opens metadata that is there, to be looked at: nothing is applied.
	ReadOnly bool
}

// metaFormat is the Pebble format of new databases; see storage's own.
const metaFormat = pebble.FormatTableFormatV6

const (
	defaultCacheBytes    = 64 << 20
	defaultMemTableBytes = 16 << 20
	hashEvery            = 4096  // entries between recorded state hashes
	appliedBytes         = 8 + 8 // of localApplied: index and term
)

// FSM is the replicated metadata on this node. Raft calls Apply, ApplyBatch,
// Snapshot and Restore from one goroutine; everything else may be called from any.
type FSM struct {
	opts Options
	fs   vfs.FS
	dir  string

	// life guards db: readers hold it shared, Restore and Close alone.
	life sync.RWMutex
	db   *pebble.DB
	name string // of the database's folder in dir

	holds holds
	hot   hot

	// Of the applying goroutine only; published through state after each batch.
	hashes tableHashes
	counts Counts
	kept   kept
	fresh  unflushed
	halted error

	state   atomic.Pointer[state]
	waiters waiters
	pending pendings
	watch   watchers
}

// state is what a committed batch leaves behind in memory.
type state struct {
	cached
	index  uint64
	term   uint64
	counts Counts
	hash   [32]byte
	check  Checkpoint
}

// Checkpoint is the state hash at an index that every node stops at: nodes that
// are at different indexes compare these. Index 0: none since the start.
type Checkpoint struct {
	Index uint64
	Hash  [32]byte
}

var _ raft.BatchingFSM = (*FSM)(nil)

// Open opens the metadata in dir, or makes an empty one.
func Open(dir string, o Options) (*FSM, error) {
	const op = "meta.Open"
	if o.FS == nil {
		o.FS = vfs.Default
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.OnHalt == nil {
		o.OnHalt = func(err error) { panic(err) }
	}
	f := &FSM{opts: o, fs: o.FS, dir: dir}
	prepare := f.prepare
	if o.ReadOnly {
		prepare = f.active
	}
	name, err := prepare()
	if err == nil && name == "" {
		err = errors.New("there is none") // prepare makes one
	}
	if err != nil {
		return nil, storage.E(op, storage.KindInternal, err)
	}
	db, err := f.openDB(name)
	if err != nil {
		return nil, storage.E(op, storage.KindInternal, err)
	}
	f.db, f.name = db, name
	if err := f.load(); err != nil {
		return nil, storage.E(op, storage.KindCorrupt, errors.Join(err, db.Close()))
	}
	return f, nil
}

func (f *FSM) openDB(name string) (*pebble.DB, error) {
	cacheBytes, memTable := f.opts.CacheBytes, f.opts.MemTableBytes
	if cacheBytes == 0 {
		cacheBytes = defaultCacheBytes
	}
	if memTable == 0 {
		memTable = defaultMemTableBytes
	}
	cache := pebble.NewCache(cacheBytes)
	defer cache.Unref()
	log := storage.PebbleLog{Logger: f.opts.Logger, Fatal: f.opts.OnHalt, Slow: f.opts.OnDiskSlow}
	o := &pebble.Options{
		FS: storage.OrderedFS(f.fs), Cache: cache, FormatMajorVersion: metaFormat, MemTableSize: memTable, L0CompactionThreshold: 4,
		Logger: log, ReadOnly: f.opts.ReadOnly,
		EventListener: &pebble.EventListener{
			BackgroundError: log.BackgroundError,
			DiskSlow:        log.DiskSlow,
			DataCorruption: func(i pebble.DataCorruptionInfo) {
				f.opts.OnHalt(fmt.Errorf("metadata block in %s is corrupt: %w", i.Path, i.Details))
			},
		},
	}
	const bloomBits = 10
	for i := range o.Levels {
		o.Levels[i].FilterPolicy = bloom.FilterPolicy(bloomBits)
	}
	db, err := pebble.Open(f.fs.PathJoin(f.dir, name), o)
	if err != nil {
		return nil, fmt.Errorf("open metadata: %w", err)
	}
	return db, nil
}

// newTx begins a batch on the state s, which is the database's.
func (f *FSM) newTx(s *state) *tx {
	hashes, kept := f.hashes, f.kept
	kept.answers.inBatch, kept.idem.inBatch = 0, 0
	return &tx{
		db: f.db, b: f.db.NewBatch(), hashes: &hashes, fresh: &f.fresh, known: map[string]*row{},
		time: s.time, counts: f.counts, kept: kept, cache: &s.cached,
	}
}

// load reads what is kept in memory from a newly opened database. Readers that
// take no lock see the state before it until it is complete.
func (f *FSM) load() error {
	f.hashes, f.kept, f.fresh = tableHashes{}, kept{}, unflushed{}
	s := &state{}
	t := f.newTx(s)
	defer func() { _ = t.close() }() // what it read was checked
	if v, ok, err := t.get(local(localApplied)); err != nil {
		return err
	} else if ok {
		if len(v) != appliedBytes {
			return errCorruptState
		}
		s.index, s.term = binary.BigEndian.Uint64(v), binary.BigEndian.Uint64(v[8:])
	}
	t.index = s.index
	hashes, _, err := t.get(local(localHashes))
	if err == nil {
		err = f.hashes.parse(hashes)
	}
	if err != nil {
		return err
	}
	if s.time, _, err = read[int64](t, single(singleTime)); err != nil {
		return err
	}
	if f.counts, _, err = read[Counts](t, single(singleCounts)); err != nil {
		return err
	}
	if err := t.reload(); err != nil {
		return err
	}
	now := s.time
	s.cached, s.counts, s.hash = *t.cache, f.counts, f.hashes.combine()
	s.time = now
	if !f.opts.ReadOnly {
		f.fresh.begin(s.index)
	}
	f.state.Store(s)
	return nil
}

// Apply carries out one entry.
func (f *FSM) Apply(l *raft.Log) any { return f.ApplyBatch([]*raft.Log{l})[0] }

// ApplyBatch carries out entries in one database batch that also holds the
// applied index. The answers of single commands go to who Expects them; Raft
// gets nothing but the error of a node that has halted.
func (f *FSM) ApplyBatch(logs []*raft.Log) []any {
	answers := make([]any, len(logs))
	err := f.halted
	if err == nil {
		err = f.applyBatch(logs)
	}
	if err == nil {
		return answers
	}
	if f.halted == nil {
		f.halted = err
		f.opts.OnHalt(err)
	}
	for i := range answers {
		answers[i] = err
	}
	return answers
}

func (f *FSM) applyBatch(logs []*raft.Log) error {
	f.life.RLock()
	defer f.life.RUnlock()
	was := f.state.Load()
	t := f.newTx(was)
	defer func() { _ = t.close() }()
	index, term, check := was.index, was.term, was.check
	var results []applied
	for _, l := range logs {
		if l.Index <= was.index {
			continue // replayed after a restart: the state has it
		}
		index, term = l.Index, l.Term
		if l.Type != raft.LogCommand {
			continue
		}
		r, err := t.applyEntry(l.Index, l.Data)
		if err != nil {
			return err
		}
		results = append(results, r...)
		if l.Index%hashEvery == 0 {
			if err := t.fold(); err != nil {
				return err
			}
			check = Checkpoint{Index: l.Index, Hash: t.hashes.combine()}
			if err := t.b.Set(key(tableLocal).str(localHistory).u64(l.Index), check.Hash[:], nil); err != nil {
				return fmt.Errorf("record hash: %w", err)
			}
		}
	}
	if index == was.index {
		return nil
	}
	if f.opts.OnCommitted != nil && len(t.committed) > 0 {
		f.opts.OnCommitted(t.committed)
	}
	if err := f.commit(t, index, term, check); err != nil {
		return err
	}
	if f.opts.OnCondemned != nil && len(t.condemned) > 0 {
		f.opts.OnCondemned(t.condemned)
	}
	f.pending.resolve(results)
	f.waiters.reached(index)
	if t.cacheOld {
		f.watch.tick()
	}
	return nil
}

// commit writes the batch and publishes the state after it.
func (f *FSM) commit(t *tx, index, term uint64, check Checkpoint) error {
	if err := errors.Join(t.err, t.fold()); err != nil {
		return err
	}
	at := binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, index), term)
	if err := t.b.Set(local(localApplied), at, nil); err != nil {
		return fmt.Errorf("applied index: %w", err)
	}
	hashes := t.hashes.bytes()
	if err := t.b.Set(local(localHashes), hashes, nil); err != nil {
		return fmt.Errorf("hashes: %w", err)
	}
	changed, err := changes(t.b)
	if err != nil {
		return fmt.Errorf("changes: %w", err)
	}
	if err := t.b.Commit(pebble.NoSync); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	f.hot.drop(changed)
	f.fresh.committed(index)
	f.hashes, f.counts, f.kept = *t.hashes, t.counts, t.kept
	s := &state{cached: *t.cache, index: index, term: term, counts: t.counts, hash: sha256.Sum256(hashes), check: check}
	s.time = t.time
	f.state.Store(s)
	return nil
}

// Flush makes the state durable up to the index that AppliedIndex says when it is called.
func (f *FSM) Flush() error {
	f.life.RLock()
	defer f.life.RUnlock()
	if err := f.db.Flush(); err != nil {
		return storage.E("meta.Flush", storage.KindInternal, err)
	}
	return nil
}

// Close flushes and closes the database.
func (f *FSM) Close() error {
	f.life.Lock()
	defer f.life.Unlock()
	var err error
	if !f.opts.ReadOnly {
		err = f.db.Flush()
	}
	if err := errors.Join(err, f.db.Close()); err != nil {
		return storage.E("meta.Close", storage.KindInternal, err)
	}
	return nil
}

// AppliedIndex is the index of the last entry in the state. Raft's own number
// says what was handed over, not what was applied.
func (f *FSM) AppliedIndex() uint64 { return f.state.Load().index }

// Now is FSM time in Unix milliseconds.
func (f *FSM) Now() int64 { return f.state.Load().time }

// Wait returns once the state has an entry's effects.
func (f *FSM) Wait(ctx context.Context, index uint64) error {
	ch := f.waiters.add(index, f.AppliedIndex)
	select {
	case <-ch:
		return nil
	case <-ctx.Done():
		f.waiters.drop(ch)
		return storage.E("meta.Wait", storage.KindUnavailable, ctx.Err())
	}
}
