package cluster

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"ringbin/storage"
)

func TestVoterTarget(t *testing.T) {
	t.Parallel()
	for nodes, want := range []int{0, 1, 2, 3, 3, 5, 5, 5, 5} {
		if got := VoterTarget(nodes); got != want {
			t.Errorf("VoterTarget(%d) = %d, want %d", nodes, got, want)
		}
	}
}

// drawNodes are nodes in any order; few of them, since each ring takes its time.
func drawNodes(rt *rapid.T, zones []string, capacity *rapid.Generator[uint64]) []storage.RingNode {
	n := rapid.IntRange(1, 7).Draw(rt, "nodes")
	nodes := make([]storage.RingNode, n)
	for i, at := range rapid.Permutation(slices.Collect(ints(n))).Draw(rt, "order") {
		nodes[at] = storage.RingNode{
			ID: nodeID(i), Incarnation: 1,
			Zone: rapid.SampledFrom(zones).Draw(rt, "zone"), Capacity: capacity.Draw(rt, "capacity"),
		}
	}
	return nodes
}

func ints(n int) func(yield func(int) bool) {
	return func(yield func(int) bool) {
		for i := range n {
			if !yield(i) {
				return
			}
		}
	}
}

func nodeID(i int) storage.NodeID { return storage.NodeID(fmt.Sprintf("node-%02d", i)) }

func able(nodes []storage.RingNode) int {
	n := 0
	for _, node := range nodes {
		if node.Capacity > 0 {
			n++
		}
	}
	return n
}

// loads are the places of each node.
func loads(ring *storage.Ring) map[storage.NodeID]int {
	load := map[storage.NodeID]int{}
	for p := range storage.Partitions {
		for _, o := range ring.PartitionOwners(p) {
			load[o.ID]++
		}
	}
	return load
}

func mustPlace(t rapid.TB, cur *storage.Ring, nodes []storage.RingNode, copies int) *storage.Ring {
	t.Helper()
	ring, err := Place(cur, nodes, copies)
	if err != nil {
		t.Fatal(err)
	}
	if err := ring.Validate(); err != nil {
		t.Fatal(err)
	}
	return &ring
}

// checkZones fails the test when a zone has more copies of a partition than
// are needed for all copies to have a place.
func checkZones(t rapid.TB, ring *storage.Ring) {
	t.Helper()
	size := map[string]int{}
	zoneOf := func(n storage.RingNode) string { return cmp.Or("z"+n.Zone, "z")[:1] + cmp.Or(n.Zone, "/"+string(n.ID)) }
	for _, n := range ring.Nodes {
		if n.Capacity > 0 {
			size[zoneOf(n)]++
		}
	}
	most := 0
	for room := 0; room < ring.R; {
		most++
		room = 0
		for _, n := range size {
			room += min(n, most)
		}
	}
	for p := range storage.Partitions {
		in := map[string]int{}
		for _, o := range ring.PartitionOwners(p) {
			if in[zoneOf(o)]++; in[zoneOf(o)] > most {
				t.Fatalf("partition %d has %d copies in zone %q, of at most %d", p, in[zoneOf(o)], o.Zone, most)
			}
		}
	}
}

// I11: any ring that follows another, or none, has distinct owners in distinct
// zones, gives nothing to a node without capacity, and comes out the same twice.
func TestPlaceProperty(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		zones := []string{"", "a", "b", "c"}
		capacity := rapid.OneOf(rapid.Uint64Range(0, 5), rapid.SampledFrom([]uint64{0, 1 << 40, 1 << 63}))
		var cur *storage.Ring
		for step := range 2 {
			nodes := drawNodes(rt, zones, capacity)
			copies := rapid.IntRange(1, 4).Draw(rt, "copies")
			before := slices.Clone(nodes)
			if able(nodes) < copies {
				if _, err := Place(cur, nodes, copies); storage.KindOf(err) != storage.KindInvalid {
					rt.Fatalf("%d copies on %d nodes: %v", copies, able(nodes), err)
				}
				continue
			}
			ring := mustPlace(rt, cur, nodes, copies)
			if again := mustPlace(rt, cur, nodes, copies); !reflect.DeepEqual(ring, again) {
				rt.Fatal("the same input gives another ring")
			}
			if !slices.Equal(before, nodes) {
				rt.Fatal("the input was changed")
			}
			slices.SortFunc(before, func(a, b storage.RingNode) int { return cmp.Compare(a.ID, b.ID) })
			want := uint64(1)
			if cur != nil {
				want = cur.Version + 1
			}
			if ring.Version != want || ring.R != copies || ring.W != copies/2+1 || !slices.Equal(ring.Nodes, before) {
				rt.Fatalf("ring %d, R %d, W %d, nodes %v", ring.Version, ring.R, ring.W, ring.Nodes)
			}
			for id := range loads(ring) {
				if n, ok := ring.Node(id); !ok || n.Capacity == 0 {
					rt.Fatalf("step %d: node %+v owns something", step, n)
				}
			}
			checkZones(rt, ring)
			cur = ring
		}
	})
}

// Without zones each node's load is within one partition of its share by
// capacity, where no share is above a copy of every partition. A second ring
// for the same nodes moves nothing.
func TestPlaceLoad(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		nodes := drawNodes(rt, []string{""}, rapid.Uint64Range(1, 4))
		copies := rapid.IntRange(1, min(3, len(nodes))).Draw(rt, "copies")
		ring := mustPlace(rt, nil, nodes, copies)
		checkShares(rt, ring)
		again := mustPlace(rt, ring, nodes, copies)
		if n := Moved(ring, again); n != 0 {
			rt.Fatalf("%d places move for nothing", n)
		}
	})
}

func checkShares(t rapid.TB, ring *storage.Ring) {
	t.Helper()
	load := loads(ring)
	var sum uint64
	for _, n := range ring.Nodes {
		sum += n.Capacity
	}
	for _, n := range ring.Nodes {
		if uint64(ring.R)*n.Capacity > sum {
			return // a node can't hold its share: the others hold more
		}
	}
	for _, n := range ring.Nodes {
		total := uint64(storage.Partitions * ring.R)
		low, high := total*n.Capacity/sum, (total*n.Capacity+sum-1)/sum
		if got := uint64(load[n.ID]); got < low || got > high {
			t.Fatalf("node %s of capacity %d of %d has %d places, want %d to %d", n.ID, n.Capacity, sum, got, low, high)
		}
	}
}

// A node too large for its share holds a copy of everything, and the others
// share the rest.
func TestPlaceGiant(t *testing.T) {
	t.Parallel()
	nodes := []storage.RingNode{{ID: "a", Capacity: 1}, {ID: "b", Capacity: 1 << 30}, {ID: "c", Capacity: 1}, {ID: "d", Capacity: 2}}
	load := loads(mustPlace(t, nil, nodes, 2))
	if want := map[storage.NodeID]int{"a": 256, "b": 1024, "c": 256, "d": 512}; !reflect.DeepEqual(load, want) {
		t.Errorf("loads %v, want %v", load, want)
	}
}

func equalNodes(n int) []storage.RingNode {
	nodes := make([]storage.RingNode, n)
	for i := range nodes {
		nodes[i] = storage.RingNode{ID: nodeID(i), Incarnation: 1, Capacity: 10}
	}
	return nodes
}

// A node that joins takes just its share; and nothing moves between those that
// were there; one that leaves gives up what it had.
func TestPlaceMovesTheFewest(t *testing.T) {
	t.Parallel()
	for copies := 1; copies <= 3; copies++ {
		ring := mustPlace(t, nil, equalNodes(copies), copies)
		for n := copies + 1; n <= 9; n++ {
			grown := mustPlace(t, ring, equalNodes(n), copies)
			checkShares(t, grown)
			if moved, share := Moved(ring, grown), loads(grown)[nodeID(n-1)]; moved != share {
				t.Errorf("%d copies: node %d takes %d places, and %d move", copies, n, share, moved)
			}
			for gone := range n {
				left := slices.Delete(equalNodes(n), gone, gone+1)
				shrunk := mustPlace(t, grown, left, copies)
				checkShares(t, shrunk)
				// Somebody may own most of these partitions already, and can't own
				// them twice: then a few more have to move for even loads.
				if moved, had := Moved(grown, shrunk), loads(grown)[nodeID(gone)]; moved < had || moved > had*5/4 {
					t.Errorf("%d copies: node %d of %d had %d places, and %d move", copies, gone, n, had, moved)
				}
			}
			ring = grown
		}
	}
}

// The same holds with zones of equal size, one copy in each.
func TestPlaceMovesTheFewestWithZones(t *testing.T) {
	t.Parallel()
	zoned := func(n int) []storage.RingNode {
		nodes := equalNodes(n)
		for i := range nodes {
			nodes[i].Zone = string(rune('a' + i%3))
		}
		return nodes
	}
	before := mustPlace(t, nil, zoned(6), 3)
	after := mustPlace(t, before, zoned(9), 3)
	joined := 0
	for i := 6; i < 9; i++ {
		joined += loads(after)[nodeID(i)]
	}
	if moved := Moved(before, after); moved != joined || joined < 1022 || joined > 1026 {
		t.Errorf("three nodes take %d places, and %d move", joined, moved)
	}
	checkZones(t, after)
}

// A node whose blobs came up blank is filled like a new one, and nobody else.
func TestPlaceBlankIncarnation(t *testing.T) {
	t.Parallel()
	nodes := equalNodes(5)
	before := mustPlace(t, nil, nodes, 3)
	nodes[2].Incarnation++
	after := mustPlace(t, before, nodes, 3)
	if moved, load := Moved(before, after), loads(after)[nodeID(2)]; moved != load {
		t.Errorf("the blank node has %d places, and %d move", load, moved)
	}
	checkShares(t, after)
}

// Another R moves only what it adds.
func TestPlaceMoreCopies(t *testing.T) {
	t.Parallel()
	nodes := equalNodes(5)
	two := mustPlace(t, nil, nodes, 2)
	three := mustPlace(t, two, nodes, 3)
	if moved := Moved(two, three); moved != storage.Partitions {
		t.Errorf("%d places are new", moved)
	}
	if moved := Moved(three, mustPlace(t, three, nodes, 2)); moved != 0 {
		t.Errorf("%d places are new with fewer copies", moved)
	}
}

// Who comes first is spread evenly: first owners are asked first.
func TestPlaceFirstOwners(t *testing.T) {
	t.Parallel()
	ring := mustPlace(t, nil, equalNodes(4), 3)
	first := map[storage.NodeID]int{}
	for p := range storage.Partitions {
		first[ring.PartitionOwners(p)[0].ID]++
	}
	for id, n := range first {
		if n < 200 || n > 312 {
			t.Errorf("node %s is the first owner of %d partitions", id, n)
		}
	}
}
