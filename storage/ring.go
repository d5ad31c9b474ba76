package storage

import (
	"crypto/sha512"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
)

// NodeID names a member of the cluster. It is random, made with the node's
// Raft directory, and never reused (I15).
type NodeID string

// Partitions is the number of equal ranges that the hash space is cut into.
// It is part of what is stored: it never changes.
const Partitions = 1024

// OwnersMax is the largest number of copies that a ring may ask for.
const OwnersMax = 7

// Partition returns the partition of content: the first ten bits of its SHA-512.
func (c CID) Partition() int { return PartitionOf(c.Digest()) }

// PartitionOf returns the partition of what has a SHA-512.
func PartitionOf(digest [sha512.Size]byte) int { return int(binary.BigEndian.Uint16(digest[:2]) >> 6) }

// RingNode is a node as a ring knows it.
type RingNode struct {
	ID          NodeID `cbor:"1,keyasint"`
	Incarnation uint64 `cbor:"2,keyasint"` // grows when the node's blobs came up blank
	Zone        string `cbor:"3,keyasint,omitempty"`
	Capacity    uint64 `cbor:"4,keyasint"` // relative share of the bytes; 0: owns nothing
}

// Ring says who owns which partition. It is data, agreed through Raft: one
// proposer computes it, every other node only validates it (I11).
type Ring struct {
	Version uint64     `cbor:"1,keyasint"`
	R       int        `cbor:"2,keyasint"` // copies wanted
	W       int        `cbor:"3,keyasint"` // copies fsynced before an answer
	Nodes   []RingNode `cbor:"4,keyasint"` // sorted by ID
	Owners  [][]uint16 `cbor:"5,keyasint"` // for each partition, R indexes into Nodes, the first owner first
}

// While a change is under way the ring that holds is handed over partition by
// partition: some have the owners of the next ring already, so that their
// number may differ, and a node that came up blank may stand in Nodes twice,
// with its old incarnation and with its new one. What needs a quorum asks
// [Ring.WriteQuorum], never R or W.

// WriteQuorum is how many owners of a CID's partition have to hold it before a
// put of it counts.
func (r *Ring) WriteQuorum(c CID) int { return QuorumFor(len(r.Owners[c.Partition()])) }

// SameOwners reports whether a partition has the same owners in two rings, in
// whatever order. A node that came up blank is another one.
func (r *Ring) SameOwners(o *Ring, p int) bool {
	if len(r.Owners[p]) != len(o.Owners[p]) {
		return false
	}
	for _, n := range r.Owners[p] {
		if !o.owned(p, r.Nodes[n]) {
			return false
		}
	}
	return true
}

// owned reports whether this incarnation of a node owns a partition.
func (r *Ring) owned(p int, by RingNode) bool {
	return slices.ContainsFunc(r.Owners[p], func(n uint16) bool {
		return r.Nodes[n].ID == by.ID && r.Nodes[n].Incarnation == by.Incarnation
	})
}

// OwnsPartition reports whether this incarnation of a node owns a partition.
func (r *Ring) OwnsPartition(p int, id NodeID, incarnation uint64) bool {
	return r.owned(p, RingNode{ID: id, Incarnation: incarnation})
}

// Places counts the partitions that a node owns, whatever its incarnation.
func (r *Ring) Places(id NodeID) int {
	places := 0
	for _, owners := range r.Owners {
		if slices.ContainsFunc(owners, func(n uint16) bool { return r.Nodes[n].ID == id }) {
			places++
		}
	}
	return places
}

// QuorumFor returns W for R copies: R/2+1, so that for R > 1 one loss is survived.
func QuorumFor(r int) int {
	if Planted(BugOneCopy) {
		return 1
	}
	return r/2 + 1
}

// OwnersOf returns the owners of a CID's partition, first owner first.
func (r *Ring) OwnersOf(c CID) []RingNode { return r.PartitionOwners(c.Partition()) }

// PartitionOwners returns the owners of a partition, first owner first.
func (r *Ring) PartitionOwners(p int) []RingNode {
	owners := make([]RingNode, len(r.Owners[p]))
	for i, n := range r.Owners[p] {
		owners[i] = r.Nodes[n]
	}
	return owners
}

// CountOwners is how many owners of a CID's partition count.
func (r *Ring) CountOwners(c CID, counts func(RingNode) bool) int {
	n := 0
	for _, i := range r.Owners[c.Partition()] {
		if counts(r.Nodes[i]) {
			n++
		}
	}
	return n
}

// Owns reports whether the node owns the CID's partition.
func (r *Ring) Owns(id NodeID, c CID) bool {
	for _, n := range r.Owners[c.Partition()] {
		if r.Nodes[n].ID == id {
			return true
		}
	}
	return false
}

// Node returns the node's entry in the ring.
func (r *Ring) Node(id NodeID) (RingNode, bool) {
	i, ok := slices.BinarySearchFunc(r.Nodes, id, func(n RingNode, id NodeID) int {
		switch {
		case n.ID < id:
			return -1
		case n.ID > id:
			return 1
		}
		return 0
	})
	if !ok {
		return RingNode{}, false
	}
	return r.Nodes[i], true
}

// Validate checks the form of a ring: what holds of every ring whoever
// computed it. Whether it is a good one is the proposer's business.
func (r *Ring) Validate() error {
	switch {
	case r.Version == 0:
		return errors.New("ring: version 0")
	case r.R < 1 || r.R > OwnersMax:
		return fmt.Errorf("ring: R is %d", r.R)
	case r.W != QuorumFor(r.R):
		return fmt.Errorf("ring: W is %d for R %d", r.W, r.R)
	case len(r.Owners) != Partitions:
		return fmt.Errorf("ring: %d partitions", len(r.Owners))
	case len(r.Nodes) < r.R || len(r.Nodes) > 1<<16:
		return fmt.Errorf("ring: %d nodes for %d copies", len(r.Nodes), r.R)
	}
	for i, n := range r.Nodes {
		if n.ID == "" || i > 0 && r.Nodes[i-1].ID >= n.ID {
			return fmt.Errorf("ring: nodes are not sorted and distinct at %d", i)
		}
	}
	for p, owners := range r.Owners {
		if len(owners) != r.R {
			return fmt.Errorf("ring: partition %d has %d owners", p, len(owners))
		}
		for i, n := range owners {
			if int(n) >= len(r.Nodes) || slices.Contains(owners[:i], n) {
				return fmt.Errorf("ring: partition %d: owner %d is unknown or twice", p, n)
			}
		}
	}
	return nil
}

// Receipt is an owner's word, given after its own fsync, that it holds a blob (I3).
type Receipt struct {
	Node        NodeID `cbor:"1,keyasint"`
	Incarnation uint64 `cbor:"2,keyasint"`
	CID         CID    `cbor:"3,keyasint"`
	// Generation is the owner's applied index when it received or confirmed
	// the bytes: how fresh its word is against a Condemn.
	Generation uint64 `cbor:"4,keyasint"`
	// Time is FSM time in Unix milliseconds at the owner.
	Time int64 `cbor:"5,keyasint"`
	// RingVersion is the newest ring that the owner knew.
	RingVersion uint64 `cbor:"6,keyasint"`
}
