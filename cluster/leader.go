package cluster

import (
	"context"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"ringbin/storage"
)

// watchers are told of every change of leader or role.
type watchers struct {
	mu  sync.Mutex // protects all
	all map[chan struct{}]struct{}
}

// Watch returns a channel with a tick after each change of leader, of this
// node's role, or of the members; ticks that nobody took are one.
func (r *Raft) Watch() (ticks <-chan struct{}, stop func()) {
	ch := make(chan struct{}, 1)
	w := &r.watchers
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.all == nil {
		w.all = map[chan struct{}]struct{}{}
	}
	w.all[ch] = struct{}{}
	return ch, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.all, ch)
	}
}

func (w *watchers) tick() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for ch := range w.all {
		select {
		case ch <- struct{}{}:
		default: // one tick waits already
		}
	}
}

// observations is how many of Raft's observations wait at most; they only make ticks.
const observations = 64

// observe turns Raft's observations into ticks. Raft never waits for it.
func (r *Raft) observe() {
	ch := make(chan raft.Observation, observations)
	r.observer = raft.NewObserver(ch, false, func(o *raft.Observation) bool {
		switch o.Data.(type) {
		case raft.LeaderObservation, raft.RaftState, raft.PeerObservation:
			return true
		}
		return false
	})
	r.raft.RegisterObserver(r.observer)
	r.wg.Go(func() {
		for {
			select {
			case <-r.ctx.Done():
				return
			case <-ch:
				r.watchers.tick()
				r.noteRemoval()
			}
		}
	})
}

// noteRemoval tells the owner when a committed configuration leaves this node
// out that was in one before.
func (r *Raft) noteRemoval() {
	if r.opts.OnRemoved != nil && r.raft.State() == raft.Shutdown && r.ctx.Err() == nil {
		r.opts.OnRemoved()
	}
}

// IsLeader reports whether this node believes that it leads.
func (r *Raft) IsLeader() bool { return r.raft.State() == raft.Leader }

// Leader returns whom this node follows, or itself, and the term.
func (r *Raft) Leader() (id storage.NodeID, term uint64, ok bool) {
	_, sid := r.raft.LeaderWithID()
	return storage.NodeID(sid), r.raft.CurrentTerm(), sid != ""
}

// Term is the current term.
func (r *Raft) Term() uint64 { return r.raft.CurrentTerm() }

// CommitIndex is the newest index that this node knows to be committed.
func (r *Raft) CommitIndex() uint64 { return r.raft.CommitIndex() }

// LastContact is when this node last heard of a leader or, when it leads, last
// knew that it does: a process that was frozen wakes up as the leader that it
// is no more.
func (r *Raft) LastContact() time.Time {
	heard := r.raft.LastContact()
	if proved := r.proved.Load(); r.IsLeader() && proved != nil && proved.After(heard) {
		return *proved
	}
	return heard
}

// proveEvery is how often a leader asks whether it leads.
const proveEvery = 500 * time.Millisecond

// prove keeps what LastContact says of a leader, until the end.
func (r *Raft) prove() {
	changes, stop := r.Watch()
	defer stop()
	timer := time.NewTicker(r.stretch(proveEvery))
	defer timer.Stop()
	for {
		if r.IsLeader() {
			asked := time.Now()
			if err := r.VerifyLeader(r.ctx); err == nil {
				r.proved.Store(&asked)
			}
		}
		select {
		case <-r.ctx.Done():
			return
		case <-changes:
		case <-timer.C:
		}
	}
}

// VerifyLeader returns once a majority has confirmed that this node leads
// still. It counts the answers of non-voters: use it only where there are none.
func (r *Raft) VerifyLeader(ctx context.Context) error {
	if err := r.futures.wait(ctx, r.raft.VerifyLeader); err != nil {
		return notLeader("cluster.VerifyLeader", err)
	}
	return nil
}

// HasState reports whether this node's log holds anything: its membership, or
// at least a vote.
func (r *Raft) HasState() bool { return r.hasState || r.raft.LastIndex() > 0 }
