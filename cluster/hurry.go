package cluster

import (
	"context"
	"errors"
	"net"
	"slices"
	"sync"
	"syscall"
	"time"

	"ringbin/storage"
)

// Times of noticing a leader that has died. They are below those of Raft, which
// hold for a leader that is silent and may be alive.
const (
	hurryProbes  = 5                      // dials that must be refused, one after the other
	hurryProbe   = 20 * time.Millisecond  // between them
	hurryStagger = 60 * time.Millisecond  // between followers, so that they do not split the votes
	hurryDial    = 250 * time.Millisecond // a machine that is gone refuses nothing
	hurryMost    = 3 * time.Second        // then Raft's own times hold again
)

// A leader whose process ends closes its connections, and its port refuses new
// ones. A follower that sees both needs not wait for the heartbeat timeout: as
// soon as the leader's lease is over it starts the election that Raft would
// start up to a second later. It is an election as any other: pre-votes still
// stop it while a majority hears the leader, so that a follower that errs
// disturbs nobody.

// hurry shortens this node's wait when it follows id and id is gone.
func (r *Raft) hurry(id storage.NodeID) {
	select {
	case <-r.opened:
	default:
		return // nobody leads yet
	}
	if r.ctx.Err() != nil || !r.follows(id) || !r.hurrying.CompareAndSwap(false, true) {
		return
	}
	r.wg.Go(func() {
		defer r.hurrying.Store(false)
		if !r.refuses(id) {
			return
		}
		normal := r.raft.ReloadableConfig()
		short := normal
		short.HeartbeatTimeout, short.ElectionTimeout = r.stretch(leaseTimeout), r.stretch(leaseTimeout)
		at := r.raft.LastContact().Add(short.HeartbeatTimeout + r.stretch(hurryStagger)*time.Duration(r.place(id)))
		changes, stop := r.Watch()
		defer stop()
		if !r.pause(time.Until(at)) || !r.follows(id) || time.Since(r.raft.LastContact()) < short.HeartbeatTimeout {
			return // another node was faster, or the leader is there after all
		}
		if err := r.raft.ReloadConfig(short); err != nil {
			r.opts.Logger.Error("election not hurried", "err", err)
			return
		}
		r.opts.Logger.Info("the leader's process is gone: election at once", "leader", string(id))
		r.awaitLeader(changes, id)
		if err := r.raft.ReloadConfig(normal); err != nil {
			r.opts.Logger.Error("timeouts not set back", "err", err)
		}
	})
}

func (r *Raft) follows(id storage.NodeID) bool {
	leader, _, ok := r.Leader()
	return ok && leader == id && id != r.opts.ID
}

// refuses reports whether nobody listens at a node's address. Ports of a
// process that is ending close one after the other, hence several tries.
func (r *Raft) refuses(id storage.NodeID) bool {
	for range hurryProbes {
		addr, ok := r.opts.Resolve(id)
		if !ok {
			return false
		}
		ctx, cancel := context.WithTimeout(r.ctx, hurryDial)
		conn, err := r.opts.Dial.DialContext(ctx, "tcp", addr)
		cancel()
		if err == nil {
			_ = conn.Close() // only whether it opens was asked
		} else if !errors.Is(err, syscall.ECONNREFUSED) {
			return false
		} else {
			return true
		}
		if !r.pause(hurryProbe) {
			return false
		}
	}
	return false
}

// place is this node's among the voters that are left without id.
func (r *Raft) place(id storage.NodeID) int {
	voters := slices.DeleteFunc(r.Voters(), func(v storage.NodeID) bool { return v == id })
	slices.Sort(voters)
	return max(0, slices.Index(voters, r.opts.ID))
}

// awaitLeader returns once another node than id leads, or after hurryMost.
func (r *Raft) awaitLeader(changes <-chan struct{}, id storage.NodeID) {
	late := time.NewTimer(r.stretch(hurryMost))
	defer late.Stop()
	for {
		if leader, _, ok := r.Leader(); ok && leader != id {
			return
		}
		select {
		case <-changes:
		case <-late.C:
			return
		case <-r.ctx.Done():
			return
		}
	}
}

// pause waits for d, and reports whether this node still takes part.
func (r *Raft) pause(d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-r.ctx.Done():
		return false
	}
}

// watchedConn tells when a connection that another node opened has ended.
type watchedConn struct {
	net.Conn
	once  sync.Once
	ended func()
}

// Read implements net.Conn.
func (c *watchedConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if err != nil {
		c.once.Do(c.ended)
	}
	return n, err //nolint:wrapcheck // a connection hands errors on
}
