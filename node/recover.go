package node

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"

	"ringbin/cluster"
	"ringbin/storage"
	"ringbin/storage/meta"
)

// RecoverOptions are how a cluster is rebuilt from a node that survived.
type RecoverOptions struct {
	DataDir string
	// Do writes the new epoch. Without it nothing changes but the list of lost blobs.
	Do bool
	// LostFile gets a line for each blob that this node has no copy of; default:
	// lost-blobs.txt in the data directory.
	LostFile string
	Logger   *slog.Logger
}

// RecoverReport says what a recovery keeps, and what it can't.
type RecoverReport struct {
	Node    storage.NodeID `json:"node"`
	Cluster string         `json:"cluster_id"`
	// LastIndex is the last entry in this node's log. Everything after it, on
	// whichever node it was, is lost, and nothing can tell what that is.
	LastIndex uint64    `json:"last_index"`
	LastTerm  uint64    `json:"last_term"`
	LastTime  time.Time `json:"last_time"`              // FSM time after it
	Appended  time.Time `json:"last_appended,omitzero"` // when the leader of then took it in
	// Unapplied entries of the log were not known to be committed; they count now.
	Unapplied  uint64 `json:"not_known_committed"`
	Voter      bool   `json:"survivor_was_a_voter"`
	Majority   int    `json:"majority_of_old_cluster"` // voters that would have been one
	Removed    []Gone `json:"removed"`                 // members that are never let in again
	Accounts   int64  `json:"accounts"`
	References int64  `json:"references"`
	Blobs      int64  `json:"catalogued_blobs"` // stored ones that are alive
	BlobBytes  int64  `json:"catalogued_bytes"`
	Lost       int64  `json:"lost_blobs"` // of those: without a good copy on this node
	LostBytes  int64  `json:"lost_bytes"`
	LostFile   string `json:"lost_file"`
	BlobsBlank bool   `json:"blob_store_is_blank"`   // this node has lost its blobs, too
	Epoch      uint64 `json:"epoch"`                 // the new one
	Index      uint64 `json:"epoch_index,omitempty"` // of its first entry; 0: nothing was done
	Done       bool   `json:"done"`
}

// Gone is a member that a recovery removes.
type Gone struct {
	ID   storage.NodeID `json:"id"`
	Name string         `json:"name"`
	RPC  string         `json:"rpc"`
}

const (
	lostFile     = "lost-blobs.txt"
	recoverDir   = "recover.tmp" // a copy of the metadata, to look ahead in
	recoverBatch = 1000          // blobs asked for at a time
	forgotten    = ".forgotten"  // behind the name of what is about to be removed
)

// Recover makes a cluster of one node out of the one node that is left of a
// cluster which lost its majority for ever. What the node's log holds counts as
// committed; all other members are removed for ever, in a new epoch.
//
// It works on a copy of the metadata, and changes the node's own files in one
// durable step of its log: power lost on the way leaves the node as it was, or
// recovered.
func Recover(ctx context.Context, o RecoverOptions) (RecoverReport, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	d, err := openDataDirAsIs(o.DataDir)
	if err != nil {
		return RecoverReport{}, err
	}
	r := &recovery{o: o, d: d}
	err = r.run(ctx)
	return r.report, errors.Join(err, r.close())
}

// recovery is one on its way.
type recovery struct {
	o      RecoverOptions
	d      *dataDir
	log    *cluster.OfflineLog
	ahead  *meta.FSM // a copy of the metadata, at the end of the log
	end    cluster.LogEnd
	report RecoverReport
}

func (r *recovery) close() error {
	var errs []error
	if r.ahead != nil {
		errs = append(errs, r.ahead.Close())
	}
	if r.log != nil {
		errs = append(errs, r.log.Close())
	}
	return errors.Join(append(errs, os.RemoveAll(r.d.join(recoverDir)), r.d.close())...)
}

func (r *recovery) run(ctx context.Context) error {
	const op = "node.Recover"
	id := r.d.identity()
	if id.Cluster == "" {
		return &storage.Error{Op: op, Kind: storage.KindConflict, Text: "this node never was a member of a cluster: there is nothing to recover"}
	}
	if !r.d.exists(raftDir) || !r.d.exists(metaDir) {
		return &storage.Error{Op: op, Kind: storage.KindCorrupt, Text: "this node has lost its Raft log or its metadata: it can't be the one that a cluster is rebuilt from"}
	}
	r.report.Node, r.report.Cluster = id.Node, id.Cluster
	if err := r.lookAhead(); err != nil {
		return err
	}
	if err := r.countLost(ctx); err != nil {
		return err
	}
	command, err := r.decide()
	if err != nil || !r.o.Do {
		return err
	}
	if r.report.Index, err = r.log.GoOnAlone(id.Node, command); err != nil {
		return err
	}
	removed, err := r.ahead.RemovedNodes()
	if err != nil {
		return err
	}
	// The log says it all; this is for the moment before it is applied. Power
	// lost in between costs that moment's guard: done again, both are written.
	err = r.d.update(func(id *identityRecord) { id.Removed = removed })
	r.report.Done = err == nil
	return err
}

// lookAhead replays the log on a copy of the metadata.
func (r *recovery) lookAhead() error {
	const op = "node.Recover"
	if err := os.RemoveAll(r.d.join(recoverDir)); err != nil {
		return storage.E(op, storage.KindInternal, err)
	}
	own, err := openMetaOffline(r.d.join(metaDir), r.o.Logger)
	if err != nil {
		return err
	}
	applied := own.AppliedIndex()
	if err := errors.Join(own.CopyTo(r.d.join(recoverDir)), own.Close()); err != nil {
		return err
	}
	if r.ahead, err = openMetaOffline(r.d.join(recoverDir), r.o.Logger); err != nil {
		return err
	}
	if r.log, err = cluster.OpenOfflineLog(r.d.join(raftDir), r.o.Logger); err != nil {
		return err
	}
	if r.end, err = r.log.Replay(r.ahead, applied); err != nil {
		return err
	}
	rep := &r.report
	rep.LastIndex, rep.LastTerm, rep.Appended = r.end.Index, r.end.Term, r.end.Appended
	rep.LastTime = time.UnixMilli(r.ahead.Now()).UTC()
	rep.Unapplied = r.end.Index - min(applied, r.end.Index)
	counts := r.ahead.Counts()
	rep.Accounts, rep.References = counts.Accounts, counts.References
	voters := 0
	for _, s := range r.end.Members {
		if s.Voter {
			voters++
			rep.Voter = rep.Voter || s.ID == rep.Node
		}
	}
	rep.Majority = voters/2 + 1
	return nil
}

// countLost lists what the catalogue names and this node has no good copy of.
func (r *recovery) countLost(ctx context.Context) error {
	const op = "node.Recover"
	rep := &r.report
	if rep.LostFile = r.o.LostFile; rep.LostFile == "" {
		rep.LostFile = r.d.join(lostFile)
	}
	has, err := storage.HasStore(r.d.fs, r.d.join(blobsDir))
	if err != nil {
		return err
	}
	rep.BlobsBlank = !has // a blank one that was made here would be taken for the node's own
	var store *storage.Store
	if has {
		if store, err = openStoreOffline(r.d.join(blobsDir), r.o.Logger); err != nil { //nolint:contextcheck // a store outlives the call that opens it
			return err
		}
		defer func() { _ = store.Close() }() // it was only read
	}
	f, err := os.OpenFile(rep.LostFile, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return storage.E(op, storage.KindInternal, err)
	}
	w := bufio.NewWriter(f)
	err = r.eachBlob(ctx, func(cid storage.CID) error { return r.look(store, cid, w) })
	if err = errors.Join(err, w.Flush(), f.Sync(), f.Close()); err != nil {
		return storage.E(op, storage.KindInternal, err)
	}
	return nil
}

func (r *recovery) look(store *storage.Store, cid storage.CID, lost io.Writer) error {
	r.report.Blobs++
	r.report.BlobBytes += cid.Size()
	if store != nil {
		info, held, err := store.Stat(cid)
		if err == nil && held && !info.Corrupt {
			return nil
		}
	}
	r.report.Lost++
	r.report.LostBytes += cid.Size()
	_, err := fmt.Fprintf(lost, "%s %d\n", cid, cid.Size())
	return err //nolint:wrapcheck // wrapped by its caller
}

// eachBlob goes through the catalogue's stored blobs that are alive.
func (r *recovery) eachBlob(ctx context.Context, each func(storage.CID) error) error {
	return eachAlive(ctx, r.ahead, func(b meta.Blob) error { return each(b.CID) })
}

// eachAlive goes through the stored blobs that are alive at FSM time.
func eachAlive(ctx context.Context, fsm *meta.FSM, each func(meta.Blob) error) error {
	var after *storage.CID
	for ctx.Err() == nil {
		blobs, err := fsm.Blobs(after, recoverBatch, fsm.Now())
		if err != nil {
			return err
		}
		for i := range blobs {
			if err := each(blobs[i]); err != nil {
				return err
			}
		}
		if len(blobs) < recoverBatch {
			return nil
		}
		after = &blobs[len(blobs)-1].CID
	}
	return ctx.Err()
}

// decide makes the entry that begins the new epoch, and tries it on the copy:
// one that would be refused must not get into the log.
func (r *recovery) decide() (entry []byte, err error) {
	rep := &r.report
	self, known := r.ahead.Node(rep.Node)
	if !known {
		self = meta.Node{ID: rep.Node, Name: string(rep.Node), Capacity: defaultCapacity}
	}
	self.Incarnation = max(self.Incarnation, r.d.identity().Incarnation)
	rep.Removed = []Gone{}
	var others []storage.NodeID
	for _, m := range r.ahead.Nodes() {
		if m.ID != self.ID {
			rep.Removed = append(rep.Removed, Gone{m.ID, m.Name, m.RPC})
		}
	}
	for _, s := range r.end.Members {
		if _, named := r.ahead.Node(s.ID); !named && s.ID != self.ID {
			others = append(others, s.ID)
			rep.Removed = append(rep.Removed, Gone{ID: s.ID})
		}
	}
	slices.SortFunc(rep.Removed, func(a, b Gone) int { return strings.Compare(string(a.ID), string(b.ID)) })
	reason := fmt.Sprintf("recovered from node %s, whose log ends at index %d of term %d; what came later is lost", self.ID, rep.LastIndex, rep.LastTerm)
	entry, epoch, err := beginEpoch(r.ahead, meta.NewEpoch{Node: self, Others: others, Reason: reason}, rep.LastIndex+2, rep.LastTerm)
	rep.Epoch = epoch.Number
	return entry, err
}

// beginEpoch makes the entry that makes a cluster of one node, and applies it
// to a state at an index.
func beginEpoch(fsm *meta.FSM, begin meta.NewEpoch, index, term uint64) (entry []byte, e meta.Epoch, err error) {
	const op = "node.beginEpoch"
	if begin.Ring, err = ringOfOne(fsm, begin.Node); err != nil {
		return nil, e, err
	}
	var h meta.Header
	_, _ = rand.Read(h.ID[:])
	command, err := meta.Encode(h, begin)
	if err != nil {
		return nil, e, err
	}
	// FSM time stands still: only a leader's clock moves it on.
	entry = meta.Pack(fsm.Now(), [][]byte{command})
	pending := fsm.Expect(h.ID)
	if err := cluster.ApplyTo(fsm, index, term, entry); err != nil {
		return nil, e, storage.E(op, storage.KindInternal, err)
	}
	res := <-pending.Done()
	if res.Err != nil {
		return nil, e, res.Err
	}
	e, _ = res.Value.(meta.Epoch)
	return entry, e, nil
}

// ringOfOne gives every partition to one node.
func ringOfOne(fsm *meta.FSM, self meta.Node) (storage.Ring, error) {
	member := storage.RingNode{ID: self.ID, Incarnation: self.Incarnation, Zone: self.Zone, Capacity: max(self.Capacity, 1)}
	ring, err := cluster.Place(nil, []storage.RingNode{member}, 1)
	if err != nil {
		return ring, err
	}
	cur, next := fsm.Ring()
	for _, r := range []*storage.Ring{cur, next} {
		if r != nil {
			ring.Version = max(ring.Version, r.Version+1)
		}
	}
	return ring, nil
}

// Forget makes a blank node of one that was a member, and keeps its blobs: it
// gets a new id, and joins as anybody does, with the bytes at hand that it
// would have to fetch. It is for what is left of a cluster beside the node that
// it was recovered from, and for old disks that turn up later.
func Forget(path string) (was, is storage.NodeID, err error) {
	const op = "node.Forget"
	d, err := openDataDirAsIs(path)
	if err != nil {
		return "", "", err
	}
	was = d.identity().Node
	// Metadata first, the log next, each in one step: a node that starts in
	// between replays what it has, or finds its log gone and draws a new id itself.
	for _, name := range []string{metaDir, raftDir} {
		if err == nil && d.exists(name) {
			err = errors.Join(os.RemoveAll(d.join(name+forgotten)), storage.RenameDurably(d.fs, d.join(name), d.join(name+forgotten)))
		}
	}
	if err == nil {
		err = d.update(func(id *identityRecord) {
			*id = identityRecord{Format: dataFormat, Node: newNodeID(), Incarnation: 1}
		})
	}
	if err == nil {
		err = errors.Join(os.RemoveAll(d.join(metaDir+forgotten)), os.RemoveAll(d.join(raftDir+forgotten)))
	}
	is = d.identity().Node
	if err = errors.Join(err, d.close()); err != nil {
		return was, is, storage.E(op, storage.KindInternal, err)
	}
	return was, is, nil
}
