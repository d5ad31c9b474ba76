package cluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/raft"

	"ringbin/storage"
)

// Numbers of consensus. A machine that is slow stretches the times with one factor.
const (
	heartbeatTimeout = 500 * time.Millisecond
	electionTimeout  = 500 * time.Millisecond
	leaseTimeout     = 250 * time.Millisecond
	rpcTimeout       = 5 * time.Second
	// commitTimeout is when followers are told of a commit that no entry and no
	// poke told them of. Sending them each 50 ms, as Raft does, was 15 % of what idle nodes did.
	commitTimeout = 250 * time.Millisecond
	poolMax       = 3 // idle connections to each member

	// TrailingLogs is far above the entries that can be uncommitted: a longer
	// dead tail can leave a follower that never catches up (I19).
	trailingLogs      = 10240
	snapshotThreshold = 8192
	snapshotsKept     = 2
	appendEntriesMax  = 512
	logCacheEntries   = 512

	// inFlightMax is how many entries this node may have under way as a leader:
	// no dead tail gets longer.
	inFlightMax = 1024
)

// Options are how a node takes part in consensus.
type Options struct {
	ID       storage.NodeID
	FS       vfs.FS  // default: the operating system's
	Dir      string  // of log, stable store and snapshots
	Log      LogKind // of a blank directory, default: LogBolt; others keep theirs
	FSM      raft.BatchingFSM
	FSMIndex uint64 // what the FSM holds already
	Identity *Identity
	Listener net.Listener // Mux.Raft
	Dial     Dialer
	// Resolve turns a node id into host:port, or says that it is not known.
	Resolve    func(storage.NodeID) (string, bool)
	Multiplier int // stretches the times; 0 counts as 1
	Logger     *slog.Logger
	Tuning     Tuning
	// Intact checks the data of an entry as it lies in the log; nil: not checked.
	Intact func(data []byte) error
	// Refuse reports whether nothing may come from a node any more: it was removed.
	Refuse    func(storage.NodeID) bool
	OnRemoved func()      // the cluster took this node out
	OnStuck   func(error) // this node can't follow the leader, and never will
	OnFatal   func(error) // the log can't be written; the goroutine that met it panics
}

// Tuning is a seam for tests, which want snapshots soon. Zero values are the
// numbers of production.
type Tuning struct {
	SnapshotThreshold uint64        // entries since the last snapshot
	SnapshotInterval  time.Duration // between looks at the threshold
	TrailingLogs      uint64        // entries kept behind a snapshot
}

// Dialer opens connections; a seam for simulations.
type Dialer interface {
	DialContext(ctx context.Context, network, addr string) (net.Conn, error)
}

// Raft is this node's part in consensus.
type Raft struct {
	opts      Options
	raft      *raft.Raft
	opened    chan struct{} // closed once raft is set: its goroutines run before
	logs      raft.LogStore
	disk      raftDisk
	stable    raft.StableStore // disk's, with checksums
	snaps     raft.SnapshotStore
	transport *pipelines
	hasState  bool // when it was opened

	inFlight  atomic.Int64
	pokes     pokes
	hurrying  atomic.Bool
	proved    atomic.Pointer[time.Time] // when this node last asked whether it leads, and did
	observer  *raft.Observer
	watchers  watchers
	futures   futures
	ctx       context.Context //nolint:containedctx // the lifetime of goroutines
	cancel    context.CancelFunc
	wg        sync.WaitGroup
	closeOnce sync.Once
	closeErr  error
}

// OpenRaft opens the log and starts taking part. A blank node takes part in
// nothing until it is bootstrapped or a leader adds it.
func OpenRaft(o Options) (*Raft, error) {
	const op = "cluster.OpenRaft"
	if o.FS == nil {
		o.FS = vfs.Default
	}
	kind, err := kindIn(o.FS, o.Dir)
	if err != nil {
		return nil, storage.E(op, storage.KindInternal, err)
	}
	o.Log = cmp.Or(kind, o.Log, LogBolt)
	if o.Log == LogBolt {
		o.FS = vfs.Default // it knows no other files
	}
	if err := storage.MkdirAllDurably(o.FS, o.Dir); err != nil {
		return nil, storage.E(op, storage.KindInternal, err)
	}
	r := &Raft{opts: o, opened: make(chan struct{})}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	if err := r.openStores(); err != nil {
		return nil, storage.E(op, storage.KindInternal, err)
	}
	if err := verifyStores(r.disk, r.stable, o.Intact); err != nil {
		return nil, storage.E(op, storage.KindCorrupt, errors.Join(err, r.disk.Close()))
	}
	if err := r.restoreIfBehind(); err != nil {
		return nil, storage.E(op, storage.KindCorrupt, errors.Join(err, r.disk.Close()))
	}
	hlog := newHCLog(o.Logger, "raft")
	stream := &streamLayer{Listener: o.Listener, o: o, ctx: r.ctx, ended: r.hurry}
	r.transport = &pipelines{NetworkTransport: raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		Stream: stream, MaxPool: poolMax, Timeout: rpcTimeout, Logger: hlog, MsgpackUseNewTimeFormat: true,
	})}
	fsm := &installWatch{BatchingFSM: o.FSM, newest: r.ends, stuck: o.OnStuck}
	rf, err := raft.NewRaft(r.config(hlog), fsm, r.logs, r.stable, r.snaps, r.transport)
	if err != nil {
		return nil, storage.E(op, storage.KindInternal, errors.Join(err, r.transport.Close(), r.disk.Close()))
	}
	r.raft = rf
	close(r.opened)
	r.observe()
	r.wg.Go(r.prove)
	return r, nil
}

func (r *Raft) config(hlog hcLog) *raft.Config {
	c := raft.DefaultConfig()
	c.LocalID = raft.ServerID(r.opts.ID)
	c.HeartbeatTimeout = r.stretch(heartbeatTimeout)
	c.ElectionTimeout = r.stretch(electionTimeout)
	c.LeaderLeaseTimeout = r.stretch(leaseTimeout)
	c.CommitTimeout = commitTimeout
	c.TrailingLogs = cmp.Or(r.opts.Tuning.TrailingLogs, trailingLogs)
	c.SnapshotThreshold = cmp.Or(r.opts.Tuning.SnapshotThreshold, snapshotThreshold)
	c.SnapshotInterval = cmp.Or(r.opts.Tuning.SnapshotInterval, c.SnapshotInterval)
	c.MaxAppendEntries = appendEntriesMax
	// Raft's own queue holds nothing: the proposer has one entry in flight, what
	// can't be taken is certainly not done, and nothing is left in it unanswered.
	c.BatchApplyCh = false
	c.NoSnapshotRestoreOnStart = true // the FSM keeps its own state
	c.NoLegacyTelemetry = true
	c.Logger = hlog
	return c
}

// ends are the indexes of the newest snapshot and of the log's end.
func (r *Raft) ends() (snapshot, log uint64) {
	<-r.opened
	if list, err := r.snaps.List(); err == nil && len(list) > 0 {
		snapshot = list[0].Index
	}
	return snapshot, r.raft.LastIndex()
}

func (r *Raft) stretch(d time.Duration) time.Duration {
	return d * time.Duration(max(1, r.opts.Multiplier))
}

// restoreIfBehind brings the FSM to the newest snapshot when it is older: the
// machine crashed after Raft installed the snapshot and before the FSM took it.
// The entries between are gone.
func (r *Raft) restoreIfBehind() error {
	list, err := r.snaps.List()
	if err != nil || len(list) == 0 || list[0].Index <= r.opts.FSMIndex {
		return err //nolint:wrapcheck // wrapped by OpenRaft
	}
	_, from, err := r.snaps.Open(list[0].ID)
	if err != nil {
		return fmt.Errorf("open snapshot: %w", err)
	}
	if err := r.opts.FSM.Restore(from); err != nil {
		return fmt.Errorf("restore snapshot %s: %w", list[0].ID, err)
	}
	return nil
}

// Apply brings data into the log and returns its index once this node's FSM
// has applied it. KindUnavailable (not_leader): certainly not done.
// KindUnknown (outcome_unknown): done, not done, or done later.
func (r *Raft) Apply(ctx context.Context, data []byte) (uint64, error) {
	if err := ctx.Err(); err != nil {
		return 0, notLeader("cluster.Apply", err)
	}
	if r.inFlight.Add(1) > inFlightMax {
		r.inFlight.Add(-1)
		return 0, &storage.Error{Op: "cluster.Apply", Kind: storage.KindUnavailable, Code: "overloaded"}
	}
	var f raft.ApplyFuture
	err := r.futures.wait(ctx, func() raft.Future {
		f = r.raft.Apply(data, applyTimeout(ctx))
		return counted{f, &r.inFlight}
	})
	if err != nil {
		return 0, outcome("cluster.Apply", err)
	}
	// What an FSM answers with is an error when the node has halted.
	if err, ok := f.Response().(error); ok && err != nil {
		return 0, outcome("cluster.Apply", err)
	}
	return f.Index(), nil
}

// counted is an entry under way. It is under way until Raft says what became
// of it, whoever has given up on it meanwhile.
type counted struct {
	raft.ApplyFuture
	inFlight *atomic.Int64
}

// Error implements raft.Future.
func (c counted) Error() error {
	defer c.inFlight.Add(-1)
	return c.ApplyFuture.Error() //nolint:wrapcheck // it is Raft's future still
}

// applyTimeout is how long Apply may wait for a place in Raft's queue.
func applyTimeout(ctx context.Context) time.Duration {
	if at, ok := ctx.Deadline(); ok {
		return max(time.Until(at), time.Millisecond)
	}
	return rpcTimeout
}

// outcome tells what was certainly not done from what nobody can tell.
func outcome(op string, err error) error {
	switch {
	case errors.Is(err, raft.ErrNotLeader), errors.Is(err, raft.ErrLeadershipTransferInProgress), errors.Is(err, raft.ErrNotVoter),
		errors.Is(err, raft.ErrEnqueueTimeout), errors.Is(err, errClosing):
		return notLeader(op, err)
	default:
		return &storage.Error{Op: op, Kind: storage.KindUnknown, Code: "outcome_unknown", Err: err}
	}
}

func notLeader(op string, err error) error {
	return &storage.Error{Op: op, Kind: storage.KindUnavailable, Code: "not_leader", Err: err}
}

// ReadIndex returns the index of the newest command at or below the commit
// index. Entries that are no commands (a new leader's own, configurations)
// never reach an FSM, so that waiting for the commit index itself could last
// for ever. Whether this node may answer is for the caller to prove.
func (r *Raft) ReadIndex() (uint64, error) {
	const op = "cluster.ReadIndex"
	first, err := r.disk.FirstIndex()
	if err != nil {
		return 0, storage.E(op, storage.KindInternal, err)
	}
	for i := r.raft.CommitIndex(); i > 0 && i >= first; i-- {
		var l raft.Log
		if err := r.logs.GetLog(i, &l); err != nil {
			if errors.Is(err, raft.ErrLogNotFound) {
				break // compacted meanwhile: the snapshot has it
			}
			return 0, storage.E(op, storage.KindInternal, err)
		}
		if l.Type == raft.LogCommand {
			return i, nil
		}
	}
	return 0, nil
}

// LogEntries is how many entries the log holds: those since the last snapshot,
// and some before it.
func (r *Raft) LogEntries() uint64 {
	first, err := r.disk.FirstIndex()
	last := r.raft.LastIndex()
	if err != nil || first == 0 || last < first {
		return 0
	}
	return last - first + 1
}

// Close stops taking part.
func (r *Raft) Close() error {
	r.closeOnce.Do(func() {
		r.cancel()
		r.raft.DeregisterObserver(r.observer)
		r.futures.close(futuresWithin)
		down := r.raft.Shutdown()
		r.transport.abort()
		err := down.Error()
		err = errors.Join(err, r.transport.Close())
		r.transport.CloseStreams()
		r.wg.Wait()
		if err = errors.Join(err, r.disk.Close()); err != nil {
			r.closeErr = storage.E("cluster.Raft.Close", storage.KindInternal, err)
		}
	})
	return r.closeErr
}

// Snapshot takes a snapshot now and drops the entries behind it.
func (r *Raft) Snapshot(ctx context.Context) error {
	err := r.futures.wait(ctx, func() raft.Future { return r.raft.Snapshot() })
	if err != nil && !errors.Is(err, raft.ErrNothingNewToSnapshot) {
		return storage.E("cluster.Snapshot", storage.KindInternal, err)
	}
	return nil
}
