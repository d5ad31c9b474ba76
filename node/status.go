package node

import (
	"context"
	"encoding/hex"
	"slices"
	"strings"

	"ringbin/storage"
	"ringbin/storage/meta"
)

// ClusterStatus is the cluster as one node sees it.
type ClusterStatus struct {
	ClusterID   string         `json:"cluster_id"`
	Node        string         `json:"node"` // who answers
	Leader      string         `json:"leader"`
	Term        uint64         `json:"term"`
	Applied     uint64         `json:"applied_index"`
	RingVersion uint64         `json:"ring_version"`
	NextRing    uint64         `json:"next_ring_version"` // 0: no change under way
	R           int            `json:"r"`
	W           int            `json:"w"`
	Move        MoveStatus     `json:"move"`
	Nodes       []MemberStatus `json:"nodes"`
}

// MemberStatus is one member.
type MemberStatus struct {
	ID          string `json:"id"`
	Name        string `json:"name"`
	HTTP        string `json:"http"`
	RPC         string `json:"rpc"`
	Zone        string `json:"zone"`
	Version     string `json:"version"`
	Alive       bool   `json:"alive"`
	Voter       bool   `json:"voter"`
	Leader      bool   `json:"leader"`
	Partitions  int    `json:"partitions"`
	Applied     uint64 `json:"applied_index"`
	Blobs       int64  `json:"blobs"`
	Bytes       int64  `json:"bytes"`
	FreeBytes   int64  `json:"free_bytes"`
	Missing     int64  `json:"missing_copies"`
	Leaving     bool   `json:"leaving"`
	Next        int    `json:"next_partitions"` // in the ring that is being filled
	MoveBlobs   int64  `json:"move_blobs_left"`
	MoveBytes   int64  `json:"move_bytes_left"`
	PulledBlobs int64  `json:"pulled_blobs"` // fetched for ring changes and repair since its start
	PulledBytes int64  `json:"pulled_bytes"`
	StateHash   string `json:"state_hash"` // at StateIndex
	StateIndex  uint64 `json:"state_index"`
	Corrupt     int64  `json:"corrupt_copies"`
	Lost        int64  `json:"lost_blobs"` // those whose first owner it is
	Rebuilding  bool   `json:"store_rebuild"`
}

// ClusterStatus asks every member how it is.
func (s *Service) ClusterStatus(ctx context.Context, c Caller) (ClusterStatus, error) {
	if err := operatorOnly("node.ClusterStatus", c); err != nil {
		return ClusterStatus{}, err
	}
	n := s.n
	n.health.look(ctx)
	out := ClusterStatus{ClusterID: n.clusterID(), Node: string(n.self()), Applied: n.fsm.AppliedIndex(), Nodes: []MemberStatus{}}
	raft, ok := n.raft()
	if !ok {
		return out, nil
	}
	leader, term, _ := raft.Leader()
	out.Leader, out.Term = string(leader), term
	cur, next := n.fsm.Ring()
	if cur != nil {
		out.RingVersion, out.R, out.W = cur.Version, cur.R, cur.W
	}
	if next != nil {
		out.NextRing = next.Version
	}
	voters := raft.Voters()
	n.health.mu.Lock()
	statuses := n.health.statuses
	n.health.mu.Unlock()
	out.Move = n.moveStatus(statuses)
	for _, m := range n.fsm.Nodes() {
		row := MemberStatus{
			ID: string(m.ID), Name: m.Name, HTTP: m.HTTP, RPC: m.RPC, Zone: m.Zone, Version: m.Version,
			Voter: slices.Contains(voters, m.ID), Leader: m.ID == leader, Partitions: partitionsOf(cur, m.ID),
			Next: partitionsOf(next, m.ID), Leaving: n.leaves(m.ID),
		}
		if st, ok := statuses[m.ID]; ok {
			row.Alive, row.Applied, row.Blobs, row.Bytes, row.FreeBytes = true, st.Applied, st.Blobs, st.BlobBytes, st.FreeBytes
			row.MoveBlobs, row.MoveBytes, row.PulledBlobs, row.PulledBytes = st.MoveBlobs, st.MoveBytes, st.PulledBlobs, st.PulledBytes
			row.Corrupt, row.Lost, row.Rebuilding = st.Corrupt, st.Lost, st.Rebuilding
			row.Missing, row.StateIndex, row.StateHash = st.Missing, st.StateIndex, hex.EncodeToString(st.StateHash[:])
		}
		out.Nodes = append(out.Nodes, row)
	}
	slices.SortFunc(out.Nodes, func(a, b MemberStatus) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

func partitionsOf(ring *storage.Ring, id storage.NodeID) int {
	if ring == nil {
		return 0
	}
	return ring.Places(id)
}

// RemoveNode takes a dead member out: its vote, its address, its place in the
// ring. Its id is never accepted again. A living node is drained instead.
func (s *Service) RemoveNode(ctx context.Context, c Caller, id storage.NodeID) error {
	if err := s.ofMember(ctx, "node.RemoveNode", c, id); err != nil {
		return err
	}
	return s.n.removeNode(ctx, id)
}

// ofMember lets the operator at a node that is a member by all that is committed.
func (s *Service) ofMember(ctx context.Context, op string, c Caller, id storage.NodeID) error {
	if err := operatorOnly(op, c); err != nil {
		return err
	}
	if err := s.n.catchUp(ctx); err != nil {
		return err
	}
	if !s.n.isMember(id) {
		return notFound(op)
	}
	return nil
}

func (n *Node) removeNode(ctx context.Context, id storage.NodeID) error {
	const op = "node.removeNode"
	raft, ok := n.raft()
	if !ok {
		return noLeader(op, nil)
	}
	leader, _, ok := raft.Leader()
	switch {
	case !ok:
		return noLeader(op, nil)
	case leader != n.self():
		return n.peers.Remove(ctx, leader, id)
	case id == n.self():
		return &storage.Error{Op: op, Kind: storage.KindConflict, Text: "the leader does not remove itself: ask again once another node leads"}
	}
	if len(raft.Voters()) <= 1 && slices.Contains(raft.Voters(), id) {
		return &storage.Error{Op: op, Kind: storage.KindConflict, Text: "the last voter can't be removed"}
	}
	if err := n.quorumWithout(ctx, raft.Voters(), id); err != nil {
		return err
	}
	if err := n.steward.promote(ctx, raft, id); err != nil {
		return err
	}
	if voters := raft.Voters(); slices.Contains(voters, id) {
		n.logger.Info("a voter is taken out", "node", string(id), "voters_left", len(voters)-1)
	}
	if err := raft.RemoveServer(ctx, id); err != nil {
		return err
	}
	n.peers.Forget(id)
	return n.proposeAs(ctx, meta.RemoveNode{ID: id})
}
