package cluster

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc64"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	"go.etcd.io/bbolt"

	"ringbin/storage"
)

// LogSummary is what a check of a Raft directory looked at.
type LogSummary struct {
	First    uint64 `json:"first_index"`
	Last     uint64 `json:"last_index"`
	Term     uint64 `json:"term"`
	Commands int64  `json:"commands"`
	Snapshot uint64 `json:"snapshot_index"` // of the newest one; 0: none
}

// logProblemsMax is how many entries a check tells of.
const logProblemsMax = 100

// CheckLog reads a Raft directory without changing it: bbolt's own pages, each
// entry, that none is missing between the newest snapshot and the log's end,
// and each snapshot's checksum. Entries of commands are held against check.
func CheckLog(dir string, check func(command []byte) error, problem func(string)) LogSummary {
	c := &logCheck{dir: dir, check: check, problem: problem}
	kind, err := kindIn(vfs.Default, dir)
	if err != nil {
		c.say("%v", err)
		return c.sum
	}
	look := c.bolt
	if kind == LogPebble {
		look = c.pebble
	}
	if err := look(); err != nil && !errors.Is(err, errTold) {
		c.say("%v", err)
	}
	return c.sum
}

type logCheck struct {
	dir     string
	check   func([]byte) error
	problem func(string)
	told    int
	sum     LogSummary
}

var errTold = errors.New("enough was told")

func (c *logCheck) say(format string, args ...any) {
	c.problem("raft log: " + fmt.Sprintf(format, args...))
}

// guarded turns a panic into an error: bbolt panics on pages that make no sense.
func (c *logCheck) guarded(look func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%s: %v", raftFile, p)
		}
	}()
	return look()
}

// bolt checks a directory with a bbolt log.
func (c *logCheck) bolt() error {
	c.snapshots()
	path := filepath.Join(c.dir, raftFile)
	if err := c.guarded(func() error { return c.pages(path) }); err != nil {
		return err // entries that lie on broken pages are no entries
	}
	return c.guarded(func() (err error) {
		bolt, err := raftboltdb.New(raftboltdb.Options{Path: path, BoltOptions: readOnlyBolt(), MsgpackUseNewTimeFormat: true})
		if err != nil {
			return fmt.Errorf("open: %w", err)
		}
		defer func() { err = errors.Join(err, bolt.Close()) }()
		return c.entries(bolt)
	})
}

// pebble checks a directory with a Pebble log, whose blocks are checked as they
// are read.
func (c *logCheck) pebble() error {
	snaps := &snapshotFiles{fs: vfs.Default, dir: filepath.Join(c.dir, snapshotsDir)}
	list, err := snaps.List()
	if err != nil {
		c.say("%v", err)
	}
	for _, s := range list {
		_, from, err := snaps.Open(s.ID)
		if err != nil {
			c.say("%v", err)
			continue
		}
		_ = from.Close() // it was only read
		c.sum.Snapshot = max(c.sum.Snapshot, s.Index)
	}
	log, err := openPebbleLog(vfs.Default, c.dir, slog.New(slog.DiscardHandler), nil, true)
	if err != nil {
		return err
	}
	return errors.Join(c.entries(log), log.Close())
}

func readOnlyBolt() *bbolt.Options { return &bbolt.Options{ReadOnly: true, Timeout: time.Second} }

func (c *logCheck) pages(path string) error {
	db, err := bbolt.Open(path, 0o600, readOnlyBolt())
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	err = db.View(func(tx *bbolt.Tx) error {
		var errs []error
		for err := range tx.Check() {
			errs = append(errs, err)
		}
		return errors.Join(errs...)
	})
	return errors.Join(err, db.Close())
}

func (c *logCheck) entries(disk raftDisk) (err error) {
	stable := checkedStable{disk}
	for _, key := range promises {
		if _, err := stable.Get([]byte(key)); err != nil && err.Error() != errNotFound.Error() {
			c.say("%v", err)
		}
	}
	if c.sum.Term, err = stable.GetUint64(keyCurrentTerm); err != nil {
		c.say("its term: %v", err)
	}
	if c.sum.First, err = disk.FirstIndex(); err != nil {
		return fmt.Errorf("first index: %w", err)
	}
	if c.sum.Last, err = disk.LastIndex(); err != nil {
		return fmt.Errorf("last index: %w", err)
	}
	switch {
	case c.sum.First > c.sum.Snapshot+1:
		c.say("it begins at %d, and the newest snapshot ends at %d: entries between are missing", c.sum.First, c.sum.Snapshot)
	case c.sum.First == 0 && c.sum.Snapshot == 0:
		c.say("it is empty, and there is no snapshot")
	}
	term := uint64(0)
	for i := c.sum.First; i != 0 && i <= c.sum.Last; i++ {
		if err := c.entry(disk, i, &term); err != nil {
			return err
		}
	}
	if term > c.sum.Term {
		c.say("its last entry is of term %d, and the node's term is %d", term, c.sum.Term)
	}
	return nil
}

func (c *logCheck) entry(disk raftDisk, i uint64, term *uint64) error {
	var e raft.Log
	err := disk.GetLog(i, &e)
	switch {
	case err != nil:
	case e.Index != i:
		err = fmt.Errorf("it says that it is entry %d", e.Index)
	case e.Term < *term:
		err = fmt.Errorf("its term is %d, after one of term %d", e.Term, *term)
	case e.Type == raft.LogCommand:
		c.sum.Commands++
		err = c.check(e.Data)
	}
	*term = max(*term, e.Term)
	if err == nil {
		return nil
	}
	if c.told++; c.told > logProblemsMax {
		c.say("more than %d bad entries, the rest is not told", logProblemsMax)
		return errTold
	}
	c.say("entry %d: %v", i, err)
	return nil
}

// snapshots checks those that are complete. Raft's own store is not used: to
// open it writes to the directory.
func (c *logCheck) snapshots() {
	dirs, err := filepath.Glob(filepath.Join(c.dir, "snapshots", "*", "meta.json"))
	if err != nil {
		c.say("%v", err)
	}
	slices.Sort(dirs)
	for _, path := range dirs {
		dir := filepath.Dir(path)
		if strings.HasSuffix(dir, ".tmp") {
			continue // one that was being made
		}
		index, err := checkSnapshotDir(dir)
		if err != nil {
			c.say("snapshot %s: %v", filepath.Base(dir), err)
			continue
		}
		c.sum.Snapshot = max(c.sum.Snapshot, index)
	}
}

// checkSnapshotDir holds a snapshot against the checksum beside it.
func checkSnapshotDir(dir string) (index uint64, err error) {
	var m struct {
		Index uint64
		Size  int64
		CRC   []byte
	}
	b, err := os.ReadFile(filepath.Join(dir, "meta.json"))
	if err == nil {
		err = json.Unmarshal(b, &m)
	}
	if err != nil {
		return 0, storage.E("cluster.checkSnapshotDir", storage.KindCorrupt, err)
	}
	f, err := os.Open(filepath.Join(dir, "state.bin"))
	if err != nil {
		return 0, storage.E("cluster.checkSnapshotDir", storage.KindCorrupt, err)
	}
	defer func() { _ = f.Close() }() // it was only read
	h := crc64.New(crc64.MakeTable(crc64.ECMA))
	n, err := io.Copy(h, f)
	if err == nil && (n != m.Size || string(h.Sum(nil)) != string(m.CRC)) {
		err = fmt.Errorf("%d bytes fail their checksum", n)
	}
	if err != nil {
		return 0, storage.E("cluster.checkSnapshotDir", storage.KindCorrupt, err)
	}
	return m.Index, nil
}
