package node

import (
	"context"
	"time"

	"ringbin/storage"
	"ringbin/storage/meta"
	"ringbin/storage/replica"
)

// AuditReport is what an audit of the metadata looked at.
type AuditReport = meta.AuditReport

// Audit checks this node's metadata: debits equal credits, each balance is the
// fold of its entries (I5, I6), each charge has its reference (I7). The error
// says what does not hold; such a node must not serve (I16).
func (n *Node) Audit(ctx context.Context) (AuditReport, error) {
	return n.fsm.Audit(ctx)
}

// auditEvery is how often a node audits its own metadata.
const auditEvery = 24 * time.Hour

// runAudits audits this node's metadata daily until ctx ends. A failure stops
// this node and no other: it is its own disk, or its own arithmetic.
func (n *Node) runAudits(ctx context.Context) {
	timer := time.NewTicker(auditEvery)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
			if _, err := n.Audit(ctx); storage.KindOf(err) == storage.KindCorrupt && err != nil {
				n.fail("audit of the metadata failed", err)
			} else if err != nil && ctx.Err() == nil {
				n.logger.Warn("metadata not audited", "err", err)
			}
		}
	}
}

// StateHash returns the hash of all replicated state and the index it is of:
// two nodes at one index have one hash (I10).
func (n *Node) StateHash() (index uint64, hash [32]byte, err error) {
	return n.fsm.StateHash()
}

// CatchUp returns once this node has applied all that was committed when it
// was called.
func (n *Node) CatchUp(ctx context.Context) error { return n.catchUp(ctx) }

// IsLeader reports whether this node leads.
func (n *Node) IsLeader() bool {
	raft, ok := n.raft()
	return ok && raft.IsLeader()
}

// Rings returns the ring that holds and the one that is being filled; either
// may be nil. They must not be changed.
func (n *Node) Rings() (cur, next *storage.Ring) { return n.fsm.Ring() }

// Settled reports whether this node was found to hold every copy that it owns,
// of all that it has applied.
func (n *Node) Settled() bool { return n.replicas.Status().Settled() }

// Replication is how far this node is with its copies.
func (n *Node) Replication() replica.Status { return n.replicas.Status() }

// Placed reports whether the ring that holds has exactly the members that the
// address book names, this node among them, and no other ring is being filled.
func (n *Node) Placed() bool {
	cur, next := n.fsm.Ring()
	book := n.fsm.Nodes()
	if cur == nil || next != nil || len(cur.Nodes) != len(book) || n.fsm.RingChange().Mixed {
		return false
	}
	for _, m := range book {
		if _, in := cur.Node(m.ID); !in {
			return false
		}
	}
	return n.isMember(n.self())
}
