package node

import (
	"ringbin/storage"
)

// Catalogued lists the content that is alive and stored, as this node has
// applied it, in the
// order of their CIDs, beginning after one, or with the first for nil.
func (n *Node) Catalogued(after *storage.CID, limit int) ([]storage.CID, error) {
	return n.catalogue(after, limit)
}

// Now is FSM time in Unix milliseconds.
func (n *Node) Now() int64 { return n.fsm.Now() }

// GossipAlive reports whether gossip says that a node is alive. It is a hint:
// nothing follows from it but the order in which nodes are asked.
func (n *Node) GossipAlive(id storage.NodeID) bool { return placement{n}.Alive(id) }
