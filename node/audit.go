package node

import (
	"context"

	"ringbin/storage/meta"
)

// AuditReport is what an audit of the metadata looked at.
type AuditReport = meta.AuditReport

// Audit checks this node's metadata: debits equal credits, each balance is the
// fold of its entries (I5, I6), each charge has its reference (I7). The error
// says what does not hold; such a node must not serve (I16).
func (n *Node) Audit(ctx context.Context) (AuditReport, error) {
	return n.fsm.Audit(ctx)
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

// MissingCopies is how many copies this node owns and does not hold, as of its
// last reconciling.
func (n *Node) MissingCopies() int64 { return n.replicas.Status().Missing }

// RingChanging reports whether a next ring is being filled.
func (n *Node) RingChanging() bool {
	_, next := n.fsm.Ring()
	return next != nil
}
