package cluster

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/raft"

	"ringbin/storage"
)

// replayBatch is how many entries are handed to an FSM together offline.
const replayBatch = 256

var (
	keyCurrentTerm = []byte("CurrentTerm") // as raft names it in its stable store

	errNoLog     = errors.New("there is no raft log")
	errNoEntries = errors.New("the log is empty and there is no snapshot: this node never was a member")
)

// OfflineLog is the Raft log of a node that does not run.
type OfflineLog struct {
	r *Raft // its stores alone
}

// LogEnd is where a log ends.
type LogEnd struct {
	Index    uint64
	Term     uint64    // of the last entry
	Appended time.Time // when the leader of then took it in; zero when nothing says so
	Members  []Server  // of the newest configuration in the log or the snapshot
}

// OpenOfflineLog opens the log in dir, which must be there.
func OpenOfflineLog(dir string, logger *slog.Logger) (*OfflineLog, error) {
	const op = "cluster.OpenOfflineLog"
	kind, err := kindIn(vfs.Default, dir)
	if err == nil && kind == "" {
		return nil, storage.E(op, storage.KindNotFound, errNoLog)
	}
	if err != nil {
		return nil, storage.E(op, storage.KindInternal, err)
	}
	r := &Raft{opts: Options{FS: vfs.Default, Dir: dir, Log: kind, Logger: logger}}
	if err := r.openStores(); err != nil {
		return nil, storage.E(op, storage.KindInternal, err)
	}
	return &OfflineLog{r: r}, nil
}

// Close closes the log.
func (l *OfflineLog) Close() error {
	if err := l.r.disk.Close(); err != nil {
		return storage.E("cluster.OfflineLog.Close", storage.KindInternal, err)
	}
	return nil
}

// Replay brings an FSM that has applied up to fsmIndex to the end of the log,
// as if every entry in it had been committed, and says where that is. Nobody
// can tell whether the last ones were: those who could are gone.
func (l *OfflineLog) Replay(fsm raft.BatchingFSM, fsmIndex uint64) (LogEnd, error) {
	const op = "cluster.OfflineLog.Replay"
	l.r.opts.FSM, l.r.opts.FSMIndex = fsm, fsmIndex
	if err := l.r.restoreIfBehind(); err != nil {
		return LogEnd{}, storage.E(op, storage.KindCorrupt, err)
	}
	end, first, err := l.end()
	if err != nil {
		return LogEnd{}, storage.E(op, storage.KindInternal, err)
	}
	if fsmIndex > end.Index {
		return LogEnd{}, storage.E(op, storage.KindCorrupt, fmt.Errorf("the metadata is at index %d and the log ends at %d: the log is not this node's, or lost its end", fsmIndex, end.Index))
	}
	batch := make([]*raft.Log, 0, replayBatch)
	for i := first; i != 0 && i <= end.Index; i++ {
		var e raft.Log
		if err := l.r.disk.GetLog(i, &e); err != nil {
			return LogEnd{}, storage.E(op, storage.KindCorrupt, fmt.Errorf("entry %d: %w", i, err))
		}
		if e.Type == raft.LogConfiguration {
			end.Members = servers(raft.DecodeConfiguration(e.Data))
		}
		if !e.AppendedAt.IsZero() {
			end.Appended = e.AppendedAt
		}
		batch = append(batch, &e)
		if len(batch) == replayBatch || i == end.Index {
			for _, a := range fsm.ApplyBatch(batch) {
				if err, ok := a.(error); ok && err != nil {
					return LogEnd{}, storage.E(op, storage.KindCorrupt, err)
				}
			}
			batch = batch[:0]
		}
	}
	return end, nil
}

// end returns the log's end and the index of its first entry, 0 for none.
func (l *OfflineLog) end() (end LogEnd, first uint64, err error) {
	first, err = l.r.disk.FirstIndex()
	if err != nil {
		return end, 0, fmt.Errorf("first index: %w", err)
	}
	last, err := l.r.disk.LastIndex()
	if err != nil {
		return end, 0, fmt.Errorf("last index: %w", err)
	}
	snaps, err := l.r.snaps.List()
	if err != nil {
		return end, 0, fmt.Errorf("list snapshots: %w", err)
	}
	if len(snaps) > 0 {
		end = LogEnd{Index: snaps[0].Index, Term: snaps[0].Term, Members: servers(snaps[0].Configuration)}
	}
	switch {
	case last == 0 && len(snaps) == 0:
		return end, 0, errNoEntries
	case last > end.Index:
		var e raft.Log
		if err := l.r.disk.GetLog(last, &e); err != nil {
			return end, 0, fmt.Errorf("entry %d: %w", last, err)
		}
		end.Index, end.Term = last, e.Term
	}
	return end, first, nil
}

func servers(c raft.Configuration) []Server {
	all := make([]Server, len(c.Servers))
	for i, s := range c.Servers {
		all[i] = Server{ID: storage.NodeID(s.ID), Voter: s.Suffrage == raft.Voter}
	}
	return all
}

// GoOnAlone makes a node the only voter, from the end of its log on, with a
// command as the first thing that it decides. Both entries are written in one
// durable step: after power loss it has happened or it has not.
func (l *OfflineLog) GoOnAlone(id storage.NodeID, command []byte) (index uint64, err error) {
	const op = "cluster.OfflineLog.GoOnAlone"
	end, _, err := l.end()
	if err != nil {
		return 0, storage.E(op, storage.KindInternal, err)
	}
	term, err := l.r.stable.GetUint64(keyCurrentTerm)
	if err != nil {
		return 0, storage.E(op, storage.KindInternal, fmt.Errorf("read term: %w", err))
	}
	term = max(term, end.Term)
	entries := []*raft.Log{
		{Index: end.Index + 1, Term: term, Type: raft.LogConfiguration, Data: raft.EncodeConfiguration(onlyVoter(id)), AppendedAt: time.Now()},
		{Index: end.Index + 2, Term: term, Type: raft.LogCommand, Data: command, AppendedAt: time.Now()},
	}
	if err := l.r.disk.StoreLogs(entries); err != nil {
		return 0, storage.E(op, storage.KindInternal, fmt.Errorf("write log: %w", err))
	}
	return end.Index + 2, nil
}

func onlyVoter(id storage.NodeID) raft.Configuration {
	return raft.Configuration{Servers: []raft.Server{{Suffrage: raft.Voter, ID: raft.ServerID(id), Address: raft.ServerAddress(id)}}}
}

// FoundFrom makes the Raft directory of a cluster of one node that begins with
// a state instead of with nothing: the log is empty, and the state's snapshot
// stands for all that was before. The directory must be blank. Its log is of
// the default kind.
func FoundFrom(dir string, id storage.NodeID, index, term uint64, state raft.FSMSnapshot, logger *slog.Logger) error {
	const op = "cluster.FoundFrom"
	if err := storage.MkdirAllDurably(vfs.Default, dir); err != nil {
		return storage.E(op, storage.KindInternal, err)
	}
	r := &Raft{opts: Options{FS: vfs.Default, Dir: dir, Log: LogBolt, Logger: logger}}
	if err := r.openStores(); err != nil {
		return storage.E(op, storage.KindInternal, err)
	}
	if err := errors.Join(r.foundFrom(id, index, term, state), r.disk.Close()); err != nil {
		return storage.E(op, storage.KindInternal, err)
	}
	return nil
}

func (r *Raft) foundFrom(id storage.NodeID, index, term uint64, state raft.FSMSnapshot) error {
	defer state.Release()
	if r.hasState {
		return errors.New("the directory is not blank")
	}
	if err := r.stable.SetUint64(keyCurrentTerm, term); err != nil {
		return fmt.Errorf("write term: %w", err)
	}
	sink, err := r.snaps.Create(raft.SnapshotVersionMax, index, term, onlyVoter(id), index, noTransport{})
	if err != nil {
		return fmt.Errorf("make snapshot: %w", err)
	}
	if err := state.Persist(sink); err != nil { // it closes the sink, or cancels it
		return fmt.Errorf("write snapshot: %w", err)
	}
	return nil
}

// noTransport stands where raft wants one to write addresses in an old form;
// they are node ids, and nothing is sent.
type noTransport struct{ raft.Transport }

// EncodePeer implements raft.Transport.
func (noTransport) EncodePeer(_ raft.ServerID, addr raft.ServerAddress) []byte { return []byte(addr) }

// ApplyTo has an FSM apply one command entry at an index, outside any log.
func ApplyTo(fsm raft.BatchingFSM, index, term uint64, command []byte) error {
	for _, a := range fsm.ApplyBatch([]*raft.Log{{Index: index, Term: term, Type: raft.LogCommand, Data: command}}) {
		if err, ok := a.(error); ok && err != nil {
			return storage.E("cluster.ApplyTo", storage.KindCorrupt, err)
		}
	}
	return nil
}
