package cluster

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"slices"

	"ringbin/storage"
)

// votersMax is how many members vote at most: more make writing slower and
// losing two no safer.
const votersMax = 5

// VoterTarget is how many of so many members should vote: 1, 2, 3, 3, 5, 5 ...
// Two nodes both vote: one alone could not tell its silent peer from a dead one.
func VoterTarget(nodes int) int {
	switch {
	case nodes <= 3:
		return nodes
	case nodes < votersMax:
		return 3
	}
	return votersMax
}

// Moved counts the places, of a partition on a node, that are in b and not in a.
func Moved(a, b *storage.Ring) int {
	moved := 0
	for p := range storage.Partitions {
		had := a.PartitionOwners(p)
		for _, o := range b.PartitionOwners(p) {
			if !slices.ContainsFunc(had, func(h storage.RingNode) bool { return h.ID == o.ID && h.Incarnation == o.Incarnation }) {
				moved++
			}
		}
	}
	return moved
}

// Place computes the ring that follows cur (nil: the first one) for these
// nodes and so many copies of each partition.
//
// Owners of a partition are distinct nodes, of distinct zones where there are
// enough (a node without a zone is a zone of its own). Each node's load is
// within one partition of its share by capacity, as far as zones and a single
// copy on a node allow shares. Of all such rings it is one that moves the
// fewest places. The same input gives the same ring.
func Place(cur *storage.Ring, nodes []storage.RingNode, copies int) (storage.Ring, error) {
	const op = "cluster.Place"
	nodes = slices.Clone(nodes)
	slices.SortFunc(nodes, func(a, b storage.RingNode) int { return cmp.Compare(a.ID, b.ID) })
	able := slices.Clone(nodes)
	able = slices.DeleteFunc(able, func(n storage.RingNode) bool { return n.Capacity == 0 })
	if copies < 1 || copies > len(able) {
		return storage.Ring{}, storage.E(op, storage.KindInvalid, fmt.Errorf("%d copies on %d nodes", copies, len(able)))
	}
	able = scaled(able)
	z := newZones(able, copies)
	quota := z.quotas(able, copies, loadsOf(cur, able))
	owners := assign(able, z, quota, copies, keepable(cur, able))
	ring := storage.Ring{Version: 1, R: copies, W: storage.QuorumFor(copies), Nodes: nodes, Owners: make([][]uint16, storage.Partitions)}
	if cur != nil {
		ring.Version = cur.Version + 1
	}
	index := make([]uint16, len(able))
	for i, n := range able {
		at, _ := slices.BinarySearchFunc(nodes, n, func(a, b storage.RingNode) int { return cmp.Compare(a.ID, b.ID) })
		index[i] = uint16(at)
	}
	for p, own := range owners {
		slices.SortFunc(own, func(a, b int) int { return cmp.Compare(rank(p, able[a].ID), rank(p, able[b].ID)) })
		for _, i := range own {
			ring.Owners[p] = append(ring.Owners[p], index[i])
		}
	}
	if err := ring.Validate(); err != nil {
		return storage.Ring{}, storage.E(op, storage.KindInternal, err)
	}
	return ring, nil
}

// rank orders the owners of a partition: evenly over partitions, and the same
// for ever, so that who comes first does not change with who else there is.
func rank(p int, id storage.NodeID) uint64 {
	h := fnv.New64a()
	_, _ = fmt.Fprintf(h, "%d/%s", p, id) // never fails
	// FNV's high bits change little with the last bytes: fold them.
	v := h.Sum64()
	v = (v ^ v>>33) * 0xff51afd7ed558ccd
	v = (v ^ v>>33) * 0xc4ceb9fe1a85ec53
	return v ^ v>>33
}

// zones are the failure domains of the nodes that own anything.
type zones struct {
	of  []int   // zone of each node
	in  [][]int // nodes of each zone
	cap int     // copies of one partition that a zone may hold
}

func newZones(nodes []storage.RingNode, copies int) zones {
	z := zones{of: make([]int, len(nodes))}
	known := map[string]int{}
	for i, n := range nodes {
		name := "zone " + n.Zone
		if n.Zone == "" {
			name = "node " + string(n.ID)
		}
		at, ok := known[name]
		if !ok {
			at = len(z.in)
			known[name] = at
			z.in = append(z.in, nil)
		}
		z.of[i] = at
		z.in[at] = append(z.in[at], i)
	}
	// Small zones may hold fewer than the cap; it rises until all copies fit.
	for z.cap = 1; ; z.cap++ {
		room := 0
		for _, in := range z.in {
			room += min(z.cap, len(in))
		}
		if room >= copies {
			return z
		}
	}
}

// quotas gives each node its number of places: first to zones, then to the
// nodes in them.
func (z zones) quotas(nodes []storage.RingNode, copies int, load []int) []int {
	weights := make([]uint64, len(z.in))
	limits := make([]int, len(z.in))
	held := make([]int, len(z.in))
	for i, in := range z.in {
		for _, n := range in {
			weights[i] += nodes[n].Capacity
			held[i] += load[n]
		}
		limits[i] = storage.Partitions * min(z.cap, len(in))
	}
	quota := make([]int, len(nodes))
	for i, total := range shares(storage.Partitions*copies, weights, limits, held) {
		in := z.in[i]
		w, l, h := make([]uint64, len(in)), make([]int, len(in)), make([]int, len(in))
		for j, n := range in {
			w[j], l[j], h[j] = nodes[n].Capacity, storage.Partitions, load[n]
		}
		for j, q := range shares(total, w, l, h) {
			quota[in[j]] = q
		}
	}
	return quota
}

// shares cuts total in proportion to weights, none above its limit, each
// rounded down or up. Who holds more already is rounded up first: fewer move.
func shares(total int, weights []uint64, limits, held []int) []int {
	out := make([]int, len(weights))
	open := make([]int, 0, len(weights))
	for i := range weights {
		open = append(open, i)
	}
	left := total
	for changed := true; changed; {
		changed = false
		sum := weightOf(weights, open)
		for _, i := range open {
			if mulDiv(left, weights[i], sum) >= limits[i] {
				out[i] = limits[i]
				left -= limits[i]
				open = slices.DeleteFunc(open, func(j int) bool { return j == i })
				changed = true
				break
			}
		}
	}
	sum := weightOf(weights, open)
	rest := left
	for _, i := range open {
		out[i] = mulDiv(left, weights[i], sum)
		rest -= out[i]
	}
	slices.SortStableFunc(open, func(a, b int) int { return cmp.Compare(held[b]-out[b], held[a]-out[a]) })
	for _, i := range open {
		// A share that is a whole number is not rounded up.
		if rest > 0 && out[i] < limits[i] && exactRest(left, weights[i], sum) {
			out[i]++
			rest--
		}
	}
	for _, i := range open {
		if rest > 0 && out[i] < limits[i] {
			out[i]++
			rest--
		}
	}
	return out
}

func weightOf(weights []uint64, of []int) uint64 {
	var sum uint64
	for _, i := range of {
		sum += weights[i]
	}
	return sum
}

// mulDiv is total*weight/sum, rounded down. Weights were scaled: no product overflows.
func mulDiv(total int, weight, sum uint64) int {
	if sum == 0 {
		return 0
	}
	return int(uint64(total) * weight / sum)
}

func exactRest(total int, weight, sum uint64) bool {
	return sum != 0 && uint64(total)*weight%sum != 0
}

// weightMax bounds the weights that shares are computed with: their sum over
// all nodes that a ring may have, times the places, stays below 2^63.
const weightMax = 1 << 32

// scaled returns the nodes with capacities up to weightMax in the same
// proportions; none that has any falls to 0.
func scaled(nodes []storage.RingNode) []storage.RingNode {
	most := uint64(0)
	for _, n := range nodes {
		most = max(most, n.Capacity)
	}
	shift := 0
	for most>>shift > weightMax {
		shift++
	}
	nodes = slices.Clone(nodes)
	for i := range nodes {
		nodes[i].Capacity = max(1, nodes[i].Capacity>>shift)
	}
	return nodes
}

// loadsOf counts the places that each node has in a ring.
func loadsOf(cur *storage.Ring, nodes []storage.RingNode) []int {
	load := make([]int, len(nodes))
	for _, own := range keepable(cur, nodes) {
		for _, n := range own {
			load[n]++
		}
	}
	return load
}

// keepable is, for each partition, the owners in cur that are still the same.
func keepable(cur *storage.Ring, nodes []storage.RingNode) [][]int {
	keep := make([][]int, storage.Partitions)
	if cur == nil {
		return keep
	}
	at := make(map[storage.NodeID]int, len(nodes))
	for i, n := range nodes {
		at[n.ID] = i
	}
	for p := range keep {
		for _, o := range cur.PartitionOwners(p) {
			if i, ok := at[o.ID]; ok && nodes[i].Incarnation == o.Incarnation {
				keep[p] = append(keep[p], i)
			}
		}
	}
	return keep
}
