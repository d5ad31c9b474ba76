package cluster

import (
	"errors"
	"fmt"
	"io"
	iofs "io/fs"
	"path/filepath"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	"go.etcd.io/bbolt"

	"ringbin/storage"
)

// LogKind says what keeps the Raft log and Raft's stable state. A directory
// keeps the kind that it was made with.
type LogKind string

// The kinds of log.
const (
	// LogBolt is a bbolt file, which lies on the operating system's files only.
	LogBolt LogKind = "bolt"
	// LogPebble is a Pebble database, on any file system: power loss can be tried on it.
	LogPebble LogKind = "pebble"
)

const raftFile = "raft.db"

// ParseLogKind reads a kind of log.
func ParseLogKind(text string) (LogKind, error) {
	switch k := LogKind(text); k {
	case LogBolt, LogPebble:
		return k, nil
	}
	return "", storage.Invalid("cluster.ParseLogKind", "", "raft-log", "bolt or pebble")
}

// kindIn is what keeps the log in dir: nothing for a blank directory. A log is
// never begun beside another one.
func kindIn(fs vfs.FS, dir string) (LogKind, error) {
	for _, l := range []struct {
		kind LogKind
		name string
	}{{LogBolt, raftFile}, {LogPebble, pebbleLogDir}} {
		_, err := fs.Stat(fs.PathJoin(dir, l.name))
		switch {
		case err == nil:
			return l.kind, nil
		case !errors.Is(err, iofs.ErrNotExist):
			return "", fmt.Errorf("look for a raft log: %w", err)
		}
	}
	return "", nil
}

// raftDisk is log and stable state.
type raftDisk interface {
	raft.LogStore
	raft.StableStore
	io.Closer
}

// openStores opens log, stable store and snapshots.
func (r *Raft) openStores() error {
	disk, snaps, err := r.openDisk()
	if err != nil {
		return err
	}
	cache, err := raft.NewLogCache(logCacheEntries, disk)
	if err != nil {
		return errors.Join(fmt.Errorf("open raft log: %w", err), disk.Close())
	}
	r.disk, r.stable, r.logs, r.snaps = disk, checkedStable{disk}, cache, snaps
	if r.hasState, err = raft.HasExistingState(r.logs, r.stable, r.snaps); err != nil {
		return errors.Join(fmt.Errorf("read raft state: %w", err), disk.Close())
	}
	return nil
}

func (r *Raft) openDisk() (raftDisk, raft.SnapshotStore, error) {
	o := r.opts
	switch o.Log {
	case LogBolt:
		return openBolt(o)
	case LogPebble:
		disk, err := openPebbleLog(o.FS, o.Dir, o.Logger, o.OnFatal, false)
		if err != nil {
			return nil, nil, err
		}
		snaps, err := openSnapshotFiles(o.FS, o.Dir)
		if err != nil {
			return nil, nil, errors.Join(err, disk.Close())
		}
		return disk, snaps, nil
	}
	return nil, nil, fmt.Errorf("no raft log is called %q", o.Log)
}

// openBolt opens log and stable store in one bbolt file, and snapshots beside
// it. The free list is kept in memory only: written whole at each commit, it
// costs more than the entries.
func openBolt(o Options) (raftDisk, raft.SnapshotStore, error) {
	bolt, err := raftboltdb.New(raftboltdb.Options{
		Path:                    filepath.Join(o.Dir, raftFile),
		BoltOptions:             &bbolt.Options{NoFreelistSync: true, FreelistType: bbolt.FreelistMapType, Timeout: time.Second},
		NoSync:                  storage.Planted(storage.BugLogUnsynced),
		MsgpackUseNewTimeFormat: true,
	})
	if err != nil {
		return nil, nil, fmt.Errorf("open raft log: %w", err)
	}
	snaps, err := raft.NewFileSnapshotStoreWithLogger(o.Dir, snapshotsKept, newHCLog(o.Logger, "raft.snapshot"))
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("open snapshots: %w", err), bolt.Close())
	}
	// bbolt syncs its file and not the entry that names it: a vote or an ack
	// must not go with the directory.
	if err := storage.SyncDir(o.FS, o.Dir); err != nil {
		return nil, nil, errors.Join(err, bolt.Close())
	}
	return bolt, snaps, nil
}
