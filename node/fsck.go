package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/cockroachdb/pebble/v2/vfs"

	"ringbin/cluster"
	"ringbin/storage"
	"ringbin/storage/meta"
)

// FsckOptions are how a directory is checked.
type FsckOptions struct {
	DataDir string
	Blobs   bool // read and hash every copy, too
	Logger  *slog.Logger
	// Problem is told of each problem when it is found, in one line.
	Problem func(string)
}

// FsckReport is what a check looked at, and what it found.
type FsckReport struct {
	Node        storage.NodeID     `json:"node"`
	Cluster     string             `json:"cluster_id"`
	Incarnation uint64             `json:"incarnation"`
	Epoch       uint64             `json:"epoch"`
	Log         cluster.LogSummary `json:"log"`
	Applied     uint64             `json:"applied_index"`
	Counts      meta.Counts        `json:"counts"`
	Blobs       int64              `json:"blobs"` // copies with a header
	Hashed      int64              `json:"hashed_blobs"`
	HashedBytes int64              `json:"hashed_bytes"`
	Quarantined int64              `json:"quarantined"` // failed a check before; told as problems, too
	// Orphans are copies that the catalogue does not know, or not as alive: they
	// go in time, and are no problem.
	Orphans int64 `json:"orphans"`
	// Unheld are copies that the ring gives to this node and that it does not
	// hold: repair fetches them, and they are no problem of this disk.
	Unheld   int64    `json:"owned_and_not_held"`
	Problems []string `json:"problems"`
}

// Fsck checks a node's directory while no node runs on it, and changes nothing
// in it. The error says that it could not be looked at; what is wrong with it
// is in the report. The log of requests is not looked at: a node starts without
// it as well, and reads say what is wrong with it.
func Fsck(ctx context.Context, o FsckOptions) (FsckReport, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	d, err := openDataDirAsIs(o.DataDir)
	if err != nil && storage.KindOf(err) != storage.KindCorrupt {
		return FsckReport{Problems: []string{}}, err
	}
	f := &fsck{o: o, d: d, report: FsckReport{Problems: []string{}}}
	if err != nil {
		f.say("%v", err) // node.json: nothing else can be told whose it is
		return f.report, nil
	}
	err = f.run(ctx)
	return f.report, errors.Join(err, d.close())
}

type fsck struct {
	o      FsckOptions
	d      *dataDir
	report FsckReport
	// cutShort: the list of copies ended at one that can't be passed.
	cutShort bool
}

func (f *fsck) say(format string, args ...any) {
	line := fmt.Sprintf(format, args...)
	f.report.Problems = append(f.report.Problems, line)
	if f.o.Problem != nil {
		f.o.Problem(line)
	}
}

func (f *fsck) run(ctx context.Context) error {
	f.identity()
	f.report.Log = cluster.CheckLog(f.d.join(raftDir), meta.CheckEntry, func(p string) { f.say("%s", p) })
	fsm, err := f.metadata(ctx)
	if err != nil {
		return err
	}
	if f.o.Blobs {
		err = f.blobs(ctx, fsm)
	}
	if fsm != nil {
		err = errors.Join(err, fsm.Close())
	}
	return err
}

func (f *fsck) identity() {
	id := f.d.identity()
	f.report.Node, f.report.Cluster, f.report.Incarnation = id.Node, id.Cluster, id.Incarnation
	if id.Node == "" || id.Incarnation == 0 {
		f.say("%s: it names no node", identityFile)
	}
	if id.Cluster == "" {
		f.say("%s: this node is not a member of a cluster yet", identityFile)
	}
	for _, name := range []string{raftDir, metaDir, blobsDir} {
		if !f.d.exists(name) {
			f.say("%s/ is missing", name)
		}
	}
}

// metadata returns nil when it can't be opened.
func (f *fsck) metadata(ctx context.Context) (*meta.FSM, error) {
	if !f.d.exists(metaDir) {
		return nil, nil //nolint:nilnil // told already
	}
	fsm, err := meta.Open(f.d.join(metaDir), meta.Options{
		FS: vfs.Default, Logger: f.o.Logger, ReadOnly: true,
		OnHalt: func(err error) { f.say("metadata: %v", err) },
	})
	if err != nil {
		f.say("metadata: %v", err)
		return nil, nil //nolint:nilnil // told
	}
	if err := fsm.Check(ctx, func(p string) { f.say("%s", p) }); err != nil {
		if ctx.Err() != nil {
			return nil, errors.Join(err, fsm.Close())
		}
		f.say("metadata: %v", err)
	}
	r := &f.report
	r.Applied, r.Counts = fsm.AppliedIndex(), fsm.Counts()
	if e, err := fsm.Epoch(); err == nil {
		r.Epoch = e.Number
	}
	end := max(r.Log.Last, r.Log.Snapshot)
	if end > 0 && r.Applied > end {
		f.say("metadata: it has applied index %d, and the log ends at %d", r.Applied, end)
	}
	if end > 0 && r.Log.First > r.Applied+1 && r.Log.Snapshot <= r.Applied {
		f.say("metadata: it has applied index %d, and the log begins at %d", r.Applied, r.Log.First)
	}
	if gone, err := fsm.Removed(r.Node); err == nil && gone {
		f.say("this node was removed from the cluster")
	}
	return fsm, nil
}

// listedAtOnce is how many copies are listed at a time.
const listedAtOnce = 1000

// blobs hashes every copy that the store lists, and then what the catalogue
// gives to this node and the list did not have: a list ends at a broken block.
func (f *fsck) blobs(ctx context.Context, fsm *meta.FSM) error {
	if !f.d.exists(blobsDir) {
		return nil
	}
	store, err := storage.OpenStore(f.d.join(blobsDir), storage.StoreOptions{ //nolint:contextcheck // a store outlives the call that opens it
		FS: vfs.Default, Logger: f.o.Logger, ReadOnly: true, FreeFloorBytes: -1,
		OnFatal: func(err error) { f.say("blob store: %v", err) },
	})
	if err != nil {
		f.say("blob store: %v", err)
		return nil
	}
	err = f.listed(ctx, store, fsm)
	if fsm != nil {
		err = errors.Join(err, f.owned(ctx, store, fsm))
	}
	return errors.Join(err, store.Close())
}

func (f *fsck) listed(ctx context.Context, store *storage.Store, fsm *meta.FSM) error {
	var after *storage.CID
	for {
		infos, err := store.List(after, listedAtOnce)
		if err != nil {
			f.say("blob store: it can't be listed to its end: %v", err)
			f.cutShort = true
			return nil
		}
		for i := range infos {
			f.report.Blobs++
			if err := f.hash(ctx, store, infos[i]); err != nil {
				return err
			}
			if fsm == nil {
				continue
			}
			b, found, err := fsm.Blob(infos[i].CID, fsm.Now())
			if err != nil {
				f.say("metadata: %v", err)
			} else if !found || !b.Alive {
				f.report.Orphans++
			}
		}
		if len(infos) < listedAtOnce {
			return nil
		}
		after = &infos[len(infos)-1].CID
	}
}

// hash reads a copy; the error is that of a check that was stopped.
func (f *fsck) hash(ctx context.Context, store *storage.Store, info storage.BlobInfo) error {
	if info.Corrupt {
		f.report.Quarantined++
		f.say("blob %s: it is in quarantine, or its mark can't be read", info.CID)
		return nil
	}
	r, err := store.Open(ctx, info.CID, 0, -1)
	if err == nil {
		h := storage.NewHasher()
		_, err = io.Copy(h, r)
		_ = r.Close() // it was only read
		if got, hashErr := h.CID(); err == nil && (hashErr != nil || got != info.CID) {
			err = fmt.Errorf("other bytes than its name says: %w", hashErr)
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		f.say("blob %s: %v", info.CID, err)
		return nil
	}
	f.report.Hashed++
	f.report.HashedBytes += info.CID.Size()
	return nil
}

// owned looks for what the ring gives to this node.
func (f *fsck) owned(ctx context.Context, store *storage.Store, fsm *meta.FSM) error {
	cur, _ := fsm.Ring()
	if cur == nil {
		return nil
	}
	err := eachAlive(ctx, fsm, func(b meta.Blob) error {
		if !cur.Owns(f.report.Node, b.CID) {
			return nil
		}
		info, held, err := store.Stat(b.CID)
		switch {
		case err != nil:
			f.say("blob %s: %v", b.CID, err)
		case !held:
			f.report.Unheld++
		case f.cutShort:
			return f.hash(ctx, store, info) // again, perhaps
		}
		return nil
	})
	if err != nil && ctx.Err() == nil {
		f.say("metadata: %v", err)
		return nil
	}
	return err
}
