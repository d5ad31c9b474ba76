package testcluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	"go.etcd.io/bbolt"

	"ringbin/storage/meta"
)

// Replay is what applying a run's log anew found.
type Replay struct {
	Entries int `json:"entries"`
	Ways    int `json:"ways"`
	Differ  int `json:"differ"` // ways that ended in another state than the cluster's
	Crashes int `json:"power_losses"`
	Moves   int `json:"snapshots_restored"`
}

// Numbers of replays.
const (
	replayWays     = 4
	replayBatch    = 64
	replayTurnsMax = 12 // snapshots, restarts and power losses of one way, at most
)

// replayLog takes the log that a run left on one node and applies it to fresh
// metadata, in ways that differ in how entries are batched and where it is
// restarted, restored elsewhere from a snapshot, or loses power. Each ends in
// the state that the cluster has (I10).
func (c *Cluster) replayLog(r *rand.Rand) Replay {
	c.tb.Helper()
	i := c.anyRunning()
	index, hash, err := c.Node(i).StateHash()
	if err != nil {
		c.tb.Errorf("state hash: %v", err)
		return Replay{}
	}
	c.Kill(i)
	defer c.WaitReady()
	defer c.Restart(i)
	log, err := readLog(filepath.Join(c.nodes[i].cfg.DataDir, "raft"), index)
	if err != nil {
		c.tb.Errorf("log of node %d: %v", i, err)
		return Replay{}
	}
	rep := Replay{Entries: len(log.entries)}
	for range replayWays {
		rep.Ways++
		p := &replayer{r: r, rep: &rep, disk: newReplayDisk()}
		if err := p.run(log, hash); err != nil {
			rep.Differ++
			c.tb.Errorf("I10: the log applied anew, way %d: %v", rep.Ways, err)
		}
	}
	return rep
}

// runLog is a log with the snapshot that goes before it, if it was compacted.
type runLog struct {
	snapshot raft.SnapshotStore
	id       string // of the snapshot; "": the log is whole
	entries  []*raft.Log
}

func readLog(dir string, upTo uint64) (runLog, error) {
	var l runLog
	bolt, err := raftboltdb.New(raftboltdb.Options{
		Path: filepath.Join(dir, "raft.db"), MsgpackUseNewTimeFormat: true,
		BoltOptions: &bbolt.Options{ReadOnly: true, Timeout: time.Second},
	})
	if err != nil {
		return l, err
	}
	defer func() { _ = bolt.Close() }()
	first, err := bolt.FirstIndex()
	if err != nil {
		return l, err
	}
	if first > 1 {
		if l.snapshot, err = raft.NewFileSnapshotStore(dir, 2, io.Discard); err != nil {
			return l, err
		}
		kept, err := l.snapshot.List()
		if err != nil || len(kept) == 0 {
			return l, errors.Join(err, errors.New("the log is compacted, and there is no snapshot"))
		}
		oldest := kept[len(kept)-1]
		l.id, first = oldest.ID, oldest.Index+1
	}
	for at := first; at <= upTo; at++ {
		entry := new(raft.Log)
		if err := bolt.GetLog(at, entry); err != nil {
			return l, fmt.Errorf("entry %d: %w", at, err)
		}
		l.entries = append(l.entries, entry)
	}
	return l, nil
}

// replayDisk is a disk that can lose power.
type replayDisk struct {
	mem  *vfs.MemFS
	life *sync.Mutex
}

func newReplayDisk() replayDisk { return replayDisk{vfs.NewCrashableMem(), &sync.Mutex{}} }

// replayer is one way to apply a log.
type replayer struct {
	r    *rand.Rand
	rep  *Replay
	disk replayDisk
	fsm  *meta.FSM
}

func (p *replayer) open() error {
	var err error
	p.fsm, err = meta.Open("meta", meta.Options{FS: linkFS{p.disk.mem, p.disk.life}, CacheBytes: 4 << 20, MemTableBytes: 1 << 20})
	return err
}

func (p *replayer) run(l runLog, want [32]byte) error {
	if err := p.open(); err != nil {
		return err
	}
	if err := p.begin(l); err != nil {
		return errors.Join(err, p.fsm.Close())
	}
	turns := 0
	for {
		at := p.fsm.AppliedIndex()
		rest := l.entries
		for len(rest) > 0 && rest[0].Index <= at {
			rest = rest[1:]
		}
		if len(rest) == 0 {
			break
		}
		n := min(len(rest), 1+p.r.IntN(replayBatch))
		for _, answer := range p.fsm.ApplyBatch(rest[:n]) {
			if err, ok := answer.(error); ok && err != nil {
				return errors.Join(err, p.fsm.Close())
			}
		}
		if turns < replayTurnsMax && p.r.IntN(1+len(l.entries)/(replayBatch*4)) == 0 {
			turns++
			if err := p.turn(); err != nil {
				return err
			}
		}
	}
	_, got, err := p.fsm.StateHash()
	if err == nil && got != want {
		err = errors.New("it ends in another state")
	}
	return errors.Join(err, p.fsm.RecomputeStateHash(context.Background()), p.fsm.Close())
}

// begin restores the snapshot that goes before the log, if there is one.
func (p *replayer) begin(l runLog) error {
	if l.id == "" {
		return nil
	}
	_, from, err := l.snapshot.Open(l.id)
	if err != nil {
		return err
	}
	return p.fsm.Restore(from)
}

// turn restarts, moves, or crashes what was applied so far.
func (p *replayer) turn() error {
	switch p.r.IntN(3) {
	case 0:
		if err := p.fsm.Close(); err != nil {
			return err
		}
	case 1:
		return p.move()
	case 2:
		p.rep.Crashes++
		was := p.fsm
		p.disk.life.Lock()
		clone := replayDisk{p.disk.mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: p.r.IntN(101), RNG: p.r}), &sync.Mutex{}}
		p.disk.life.Unlock()
		if err := was.Close(); err != nil { // what it writes goes nowhere
			return err
		}
		p.disk = clone
	}
	return p.open()
}

// move restores a snapshot into fresh metadata and goes on there.
func (p *replayer) move() error {
	p.rep.Moves++
	was := p.fsm
	snap, err := was.Snapshot()
	if err != nil {
		return errors.Join(err, was.Close())
	}
	pipe, into := io.Pipe()
	sink := &pipeSink{PipeWriter: into}
	persisted := make(chan error, 1)
	go func() { persisted <- snap.Persist(sink) }()
	p.disk = newReplayDisk()
	if err = p.open(); err == nil {
		err = p.fsm.Restore(pipe)
	}
	err = errors.Join(err, pipe.Close(), <-persisted)
	snap.Release()
	return errors.Join(err, was.Close())
}

// pipeSink hands a snapshot straight to who restores it.
type pipeSink struct{ *io.PipeWriter }

// ID implements raft.SnapshotSink.
func (*pipeSink) ID() string { return "replay" }

// Cancel implements raft.SnapshotSink.
func (s *pipeSink) Cancel() error { return s.CloseWithError(io.ErrUnexpectedEOF) }
