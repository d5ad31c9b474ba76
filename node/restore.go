package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"

	"github.com/cockroachdb/pebble/v2/vfs"

	"ringbin/cluster"
	"ringbin/storage"
	"ringbin/storage/meta"
)

// RestoreOptions are how a new cluster is made of a backup.
type RestoreOptions struct {
	Dir     string // the backup
	Index   uint64 // which one of it; 0: the newest
	DataDir string // of the first node: it must not exist, or be empty
	// AllowLost goes on when content of the backup is missing or bad: its
	// references are restored, and reading it is answered as lost.
	AllowLost bool
	Logger    *slog.Logger
}

// RestoreReport says what a new cluster begins with.
type RestoreReport struct {
	Node      storage.NodeID `json:"node"`
	Cluster   string         `json:"cluster_id"` // a new one
	From      string         `json:"from_cluster_id"`
	Index     uint64         `json:"index"` // of the backup
	Epoch     uint64         `json:"epoch"`
	Counts    meta.Counts    `json:"counts"`
	Blobs     int64          `json:"blobs"`
	BlobBytes int64          `json:"blob_bytes"`
	Lost      []storage.CID  `json:"lost"`
}

const restoring = ".restoring" // behind the name of a directory that is being filled

// RestoreBackup makes the data directory of a cluster of one node, with all
// that a backup holds. The node starts as any other and others join it; the
// members of the cluster that the backup is of are removed in it for ever. The
// directory appears when it is complete.
func RestoreBackup(ctx context.Context, o RestoreOptions) (RestoreReport, error) {
	const op = "node.RestoreBackup"
	if o.DataDir == "" {
		return RestoreReport{}, storage.Invalid(op, "", "data-dir", "required")
	}
	if entries, err := os.ReadDir(o.DataDir); err == nil && len(entries) > 0 {
		return RestoreReport{}, &storage.Error{Op: op, Kind: storage.KindConflict, Text: fmt.Sprintf("%s is not empty: a backup is restored into a new directory", o.DataDir)}
	}
	a, err := openArchive(o.Dir, false, o.Logger)
	if err != nil {
		return RestoreReport{}, err
	}
	r := &restore{archive: a, o: o, dir: filepath.Clean(o.DataDir) + restoring}
	err = r.run(ctx)
	if err != nil {
		err = errors.Join(err, os.RemoveAll(r.dir))
	}
	return r.report, errors.Join(err, a.close())
}

// restore is one on its way.
type restore struct {
	*archive

	o      RestoreOptions
	dir    string
	report RestoreReport
}

func (r *restore) run(ctx context.Context) error {
	const op = "node.RestoreBackup"
	var v VerifyReport
	fsm, err := r.open(ctx, r.o.Index, &v)
	if err != nil {
		return err
	}
	if len(v.Problems) > 0 {
		if fsm != nil {
			err = fsm.Close()
		}
		return errors.Join(&storage.Error{Op: op, Kind: storage.KindCorrupt, Text: "the backup is damaged: " + v.Problems[0]}, err)
	}
	if err := errors.Join(os.RemoveAll(r.dir), storage.MkdirAllDurably(r.fs, r.dir)); err != nil {
		return errors.Join(storage.E(op, storage.KindInternal, err), fsm.Close())
	}
	self := meta.Node{ID: newNodeID(), Incarnation: 1, Capacity: defaultCapacity}
	r.report = RestoreReport{
		Node: self.ID, Cluster: cluster.FoundedID([]storage.NodeID{self.ID}), From: v.Cluster, Index: v.Index, Counts: v.Counts, Lost: []storage.CID{},
	}
	err = r.fill(ctx, fsm, self)
	if err = errors.Join(err, fsm.Close()); err != nil {
		return err
	}
	return r.publish()
}

// fill makes everything but the record of who the node is.
func (r *restore) fill(ctx context.Context, fsm *meta.FSM, self meta.Node) error {
	const op = "node.RestoreBackup"
	if err := r.fillBlobs(ctx, fsm); err != nil {
		return err
	}
	if len(r.report.Lost) > 0 && !r.o.AllowLost {
		return &storage.Error{
			Op: op, Kind: storage.KindCorrupt,
			Text: fmt.Sprintf("%d blobs of the backup are missing or bad, the first one is %s: --allow-lost restores all others", len(r.report.Lost), r.report.Lost[0]),
		}
	}
	reason := fmt.Sprintf("restored from a backup of cluster %s at index %d", r.report.From, r.report.Index)
	begin := meta.NewEpoch{Node: self, Reason: reason, Former: r.report.From}
	_, epoch, err := beginEpoch(fsm, begin, r.report.Index+1, fsm.AppliedTerm())
	if err != nil {
		return err
	}
	r.report.Epoch = epoch.Number
	state, err := fsm.Snapshot()
	if err != nil {
		return storage.E(op, storage.KindInternal, err)
	}
	// The metadata itself is left out: a node whose metadata is older than the
	// newest snapshot of its log restores it from there when it starts.
	return cluster.FoundFrom(filepath.Join(r.dir, raftDir), self.ID, fsm.AppliedIndex(), max(fsm.AppliedTerm(), 1), state, r.logger)
}

func (r *restore) fillBlobs(ctx context.Context, fsm *meta.FSM) error {
	store, err := openStoreOffline(filepath.Join(r.dir, blobsDir), r.logger) //nolint:contextcheck // a store outlives the call that opens it
	if err != nil {
		return err
	}
	mark := storage.Mark{Generation: r.report.Index + 1, Time: fsm.Now()}
	err = eachAlive(ctx, fsm, func(b meta.Blob) error { return r.fillBlob(ctx, store, b.CID, mark) })
	return errors.Join(err, store.Close())
}

func (r *restore) fillBlob(ctx context.Context, store *storage.Store, cid storage.CID, mark storage.Mark) error {
	f, err := os.Open(r.blobPath(cid))
	if err == nil {
		_, err = store.Put(ctx, cid, f, mark) // it hashes
		_ = f.Close()                         // it was only read
		if kind := storage.KindOf(err); err != nil && (kind == storage.KindFull || kind == storage.KindInternal) {
			return err // of this machine's disk; all else is of the file
		}
	}
	if err != nil {
		r.logger.Warn("content is not in the backup as it should be", "blob", cid, "err", err)
		r.report.Lost = append(r.report.Lost, cid)
		return nil
	}
	r.report.Blobs++
	r.report.BlobBytes += cid.Size()
	return nil
}

// publish writes who the node is, and puts the directory in its place.
func (r *restore) publish() error {
	const op = "node.RestoreBackup"
	slices.SortFunc(r.report.Lost, storage.CID.Compare)
	id := identityRecord{Format: dataFormat, Node: r.report.Node, Incarnation: 1, Cluster: r.report.Cluster}
	text, err := json.MarshalIndent(id, "", "  ")
	if err != nil {
		return storage.E(op, storage.KindInternal, err)
	}
	path := filepath.Clean(r.o.DataDir)
	err = storage.WriteFileDurably(vfs.Default, filepath.Join(r.dir, identityFile), append(text, '\n'))
	if err == nil {
		err = os.Remove(path) // an empty one may be there
		if errors.Is(err, os.ErrNotExist) {
			err = nil
		}
	}
	if err == nil {
		err = storage.RenameDurably(vfs.Default, r.dir, path)
	}
	if err != nil {
		return storage.E(op, storage.KindInternal, err)
	}
	return nil
}
