package cluster

import (
	"context"
	"errors"
	"time"

	"github.com/hashicorp/raft"

	"ringbin/storage"
)

// memberTimeout is how long a change of members may take.
const memberTimeout = 10 * time.Second

// Server is a member of the Raft configuration.
type Server struct {
	ID    storage.NodeID
	Voter bool
}

// Servers returns the members of the latest configuration that this node knows.
func (r *Raft) Servers() []Server {
	f := r.raft.GetConfiguration()
	if f.Error() != nil {
		return nil
	}
	all := f.Configuration().Servers
	servers := make([]Server, len(all))
	for i, s := range all {
		servers[i] = Server{ID: storage.NodeID(s.ID), Voter: s.Suffrage == raft.Voter}
	}
	return servers
}

// Voters returns those that vote.
func (r *Raft) Voters() []storage.NodeID {
	var ids []storage.NodeID
	for _, s := range r.Servers() {
		if s.Voter {
			ids = append(ids, s.ID)
		}
	}
	return ids
}

// Bootstrap writes the first configuration into a blank log. Every one of the
// founders may do so: it is the same one, and only votes make a leader.
// KindConflict: the log is not blank any more. Another founder has asked for a
// vote already, and its entries, with the same configuration, are to come.
func (r *Raft) Bootstrap(ids []storage.NodeID) error {
	var c raft.Configuration
	for _, id := range ids {
		c.Servers = append(c.Servers, raft.Server{Suffrage: raft.Voter, ID: raft.ServerID(id), Address: raft.ServerAddress(id)})
	}
	err := r.raft.BootstrapCluster(c).Error()
	switch {
	case err == nil:
		return nil
	case errors.Is(err, raft.ErrCantBootstrap):
		return storage.E("cluster.Bootstrap", storage.KindConflict, err)
	}
	return storage.E("cluster.Bootstrap", storage.KindInternal, err)
}

// AddNonvoter adds a member that replicates and does not vote. Leader only.
func (r *Raft) AddNonvoter(ctx context.Context, id storage.NodeID) error {
	return r.change(ctx, "cluster.AddNonvoter", func() raft.Future {
		return r.raft.AddNonvoter(raft.ServerID(id), raft.ServerAddress(id), 0, memberTimeout)
	})
}

// AddVoter gives a member a vote. Leader only.
func (r *Raft) AddVoter(ctx context.Context, id storage.NodeID) error {
	return r.change(ctx, "cluster.AddVoter", func() raft.Future {
		return r.raft.AddVoter(raft.ServerID(id), raft.ServerAddress(id), 0, memberTimeout)
	})
}

// RemoveServer takes a member out. Leader only.
func (r *Raft) RemoveServer(ctx context.Context, id storage.NodeID) error {
	return r.change(ctx, "cluster.RemoveServer", func() raft.Future {
		return r.raft.RemoveServer(raft.ServerID(id), 0, memberTimeout)
	})
}

func (r *Raft) change(ctx context.Context, op string, ask func() raft.Future) error {
	if err := r.futures.wait(ctx, ask); err != nil {
		return outcome(op, err)
	}
	return nil
}

// TransferLeadership hands leadership to a member that is up to date.
func (r *Raft) TransferLeadership(ctx context.Context) error {
	return r.change(ctx, "cluster.TransferLeadership", r.raft.LeadershipTransfer)
}
