package storage

import (
	"fmt"
	"slices"
	"testing"
)

// testRing is a valid ring of n nodes with r copies.
func testRing(n, r int) *Ring {
	ring := &Ring{Version: 1, R: r, W: QuorumFor(r), Owners: make([][]uint16, Partitions)}
	for i := range n {
		ring.Nodes = append(ring.Nodes, RingNode{ID: NodeID(fmt.Sprintf("node-%03d", i)), Incarnation: 1, Capacity: 1})
	}
	for p := range ring.Owners {
		for i := range r {
			ring.Owners[p] = append(ring.Owners[p], uint16((p+i)%n))
		}
	}
	return ring
}

// I11: a node takes no ring that is not well-formed.
func TestRingValidate(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*Ring)
		ok     bool
	}{
		"valid":                   {func(*Ring) {}, true},
		"version 0":               {func(r *Ring) { r.Version = 0 }, false},
		"R 0":                     {func(r *Ring) { r.R, r.W = 0, 1 }, false},
		"R negative":              {func(r *Ring) { r.R, r.W = -1, 1 }, false},
		"R above the maximum":     {func(r *Ring) { *r = *testRing(9, OwnersMax+1); r.Version = 1 }, false},
		"R at the maximum":        {func(r *Ring) { *r = *testRing(9, OwnersMax) }, true},
		"W too small":             {func(r *Ring) { r.W = 1 }, false},
		"W too large":             {func(r *Ring) { r.W = 3 }, false},
		"no partitions":           {func(r *Ring) { r.Owners = nil }, false},
		"a partition missing":     {func(r *Ring) { r.Owners = r.Owners[1:] }, false},
		"a partition too many":    {func(r *Ring) { r.Owners = append(r.Owners, r.Owners[0]) }, false},
		"no nodes":                {func(r *Ring) { r.Nodes = nil }, false},
		"fewer nodes than copies": {func(r *Ring) { r.Nodes = r.Nodes[:2] }, false},
		"node without a name":     {func(r *Ring) { r.Nodes[0].ID = "" }, false},
		"nodes unsorted":          {func(r *Ring) { r.Nodes[0], r.Nodes[1] = r.Nodes[1], r.Nodes[0] }, false},
		"node twice":              {func(r *Ring) { r.Nodes[1].ID = r.Nodes[0].ID }, false},
		"too few owners":          {func(r *Ring) { r.Owners[7] = r.Owners[7][:2] }, false},
		"too many owners":         {func(r *Ring) { r.Owners[7] = []uint16{0, 1, 2, 3} }, false},
		"no owners":               {func(r *Ring) { r.Owners[Partitions-1] = nil }, false},
		"owner unknown":           {func(r *Ring) { r.Owners[7][2] = 5 }, false},
		"owner twice":             {func(r *Ring) { r.Owners[7] = []uint16{4, 1, 4} }, false},
		"one node, one copy":      {func(r *Ring) { *r = *testRing(1, 1) }, true},
		"two copies":              {func(r *Ring) { *r = *testRing(2, 2) }, true},
	} {
		ring := testRing(5, 3)
		c.change(ring)
		if err := ring.Validate(); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestQuorumFor(t *testing.T) {
	t.Parallel()
	for r, want := range []int{1: 1, 2: 2, 3: 2, 4: 3, 5: 3, 6: 4, 7: 4} {
		if r > 0 && QuorumFor(r) != want {
			t.Errorf("QuorumFor(%d) = %d, want %d", r, QuorumFor(r), want)
		}
	}
}

func TestRingOwners(t *testing.T) {
	t.Parallel()
	ring := testRing(5, 3)
	seen := map[int]bool{}
	for i := range 2000 {
		c := SumCID(fmt.Appendf(nil, "content %d", i))
		p := c.Partition()
		seen[p] = true
		owners := ring.OwnersOf(c)
		if !slices.Equal(owners, ring.PartitionOwners(p)) || len(owners) != 3 || owners[0].ID != ring.Nodes[p%5].ID {
			t.Fatalf("owners of partition %d: %v", p, owners)
		}
		for _, n := range ring.Nodes {
			if ring.Owns(n.ID, c) != slices.Contains(owners, n) {
				t.Fatalf("Owns(%s) is wrong in partition %d", n.ID, p)
			}
		}
	}
	if len(seen) < Partitions/2 {
		t.Errorf("only %d partitions are met: CIDs do not spread", len(seen))
	}
	if ring.Owns("stranger", CID{}) {
		t.Error("a stranger owns something")
	}
	for _, n := range ring.Nodes {
		if got, ok := ring.Node(n.ID); !ok || got != n {
			t.Errorf("Node(%s) = %v, %t", n.ID, got, ok)
		}
	}
	for _, id := range []NodeID{"", "node-0015", "stranger"} {
		if _, ok := ring.Node(id); ok {
			t.Errorf("Node(%q) is found", id)
		}
	}
}
