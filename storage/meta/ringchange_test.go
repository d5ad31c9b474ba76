package meta

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"pgregory.net/rapid"

	"ringbin/storage"
)

func partitionSet(partitions ...int) PartitionSet {
	s := NewPartitionSet()
	for _, p := range partitions {
		s.Add(p)
	}
	return s
}

// allPartitions is the set of all.
func allPartitions() PartitionSet {
	s := NewPartitionSet()
	for p := range storage.Partitions {
		s.Add(p)
	}
	return s
}

func (w *world) synced(id storage.NodeID, version uint64, s PartitionSet) Handover {
	w.t.Helper()
	h, ok := w.must(PartitionsSynced{Node: id, Incarnation: 1, Version: version, Partitions: s}).(Handover)
	if !ok {
		w.t.Fatal("PartitionsSynced has another value")
	}
	return h
}

// ringOwnedBy gives every partition to the same owners.
func ringOwnedBy(version uint64, nodes []storage.NodeID, owners ...storage.NodeID) storage.Ring {
	ring := testRing(version, len(owners), nodes...)
	for p := range ring.Owners {
		ring.Owners[p] = nil
		for _, id := range owners {
			ring.Owners[p] = append(ring.Owners[p], uint16(slices.Index(nodes, id)))
		}
	}
	return ring
}

// A partition is handed over as soon as its new owner holds it, and the others
// stay; what was said stays said; the last one makes next current.
func TestHandOverByPartition(t *testing.T) {
	t.Parallel()
	w := newCluster(t)
	w.must(PutNode{Node: testNode("n4", 1)})
	next := ringOwnedBy(2, []storage.NodeID{"n1", "n2", "n3", "n4"}, "n1", "n2", "n4")
	w.now += minute
	w.must(SetRing{From: 1, Ring: next})
	equal(t, "change", w.f.RingChange(), RingChange{Since: w.now, Left: storage.Partitions})
	none := Header{}
	w.refused(none, PartitionsSynced{Node: "n4", Incarnation: 1, Version: 1}, storage.KindConflict, "ring_changed")
	w.refused(none, PartitionsSynced{Node: "n4", Incarnation: 2, Version: 2}, storage.KindConflict, "ring_names_stranger")
	w.refused(none, PartitionsSynced{Node: "n9", Incarnation: 1, Version: 2}, storage.KindConflict, "ring_names_stranger")
	w.refused(none, PartitionsSynced{Node: "n4", Incarnation: 1, Version: 2, Partitions: PartitionSet{1}}, storage.KindInvalid, "invalid_parameter")
	equal(t, "words of who owns it already", w.synced("n1", 2, allPartitions()), Handover{Left: storage.Partitions})
	w.now += minute
	equal(t, "words of the new owner", w.synced("n4", 2, partitionSet(5, 700)), Handover{Flipped: 2, Left: storage.Partitions - 2})
	equal(t, "change", w.f.RingChange(), RingChange{Since: w.now, Left: storage.Partitions - 2, Mixed: true})
	cur, pending := w.f.Ring()
	if pending == nil || cur.Version != 1 {
		t.Fatal("the ring flips with two partitions")
	}
	for p := range storage.Partitions {
		if got := cur.SameOwners(pending, p); got != (p == 5 || p == 700) {
			t.Fatalf("partition %d handed over: %t", p, got)
		}
	}
	equal(t, "said again", w.synced("n4", 2, partitionSet(5)), Handover{Left: storage.Partitions - 2})
	version, left, err := w.f.ToSync("n4", 1)
	if err != nil || version != 2 || len(left) != storage.Partitions-2 || slices.Contains(left, 5) {
		t.Fatalf("n4 still has to say %d partitions of ring %d: %v", len(left), version, err)
	}
	if _, all, err := w.f.ToSync("n4", 2); err != nil || len(all) != 0 {
		t.Errorf("a blank n4 still has to say %d partitions: the ring does not name it", len(all))
	}
	if err := restore(w.f, snapshotOf(t, w.f)); err != nil {
		t.Fatal(err)
	}
	equal(t, "the rest", w.synced("n4", 2, allPartitions()), Handover{Flipped: storage.Partitions - 2, Done: true})
	cur, pending = w.f.Ring()
	equal(t, "current ring", *cur, next)
	if pending != nil {
		t.Error("a next ring is left")
	}
	equal(t, "change", w.f.RingChange(), RingChange{Since: w.now})
	for k := range w.content() {
		if k[0] == tableSynced {
			t.Errorf("what was said is left: %q", k)
		}
	}
}

// From three copies to two, the two that stay have to say that they hold all:
// a blob may lie on the leaving one and on only one of them.
func TestHandOverToFewer(t *testing.T) {
	t.Parallel()
	w := newCluster(t)
	w.must(SetRing{From: 1, Ring: ringOwnedBy(2, []storage.NodeID{"n1", "n2", "n3"}, "n1", "n2")})
	equal(t, "one word", w.synced("n1", 2, allPartitions()), Handover{Left: storage.Partitions})
	equal(t, "both", w.synced("n2", 2, allPartitions()), Handover{Flipped: storage.Partitions, Done: true})
}

// A ring that moves nothing is taken over with the first word of anybody.
func TestNothingToMove(t *testing.T) {
	t.Parallel()
	w := newCluster(t)
	next := testRing(2, 3, "n1", "n2", "n3")
	next.Nodes[0].Capacity = 7
	w.must(SetRing{From: 1, Ring: next})
	equal(t, "no word", w.synced("n3", 2, nil), Handover{Done: true})
	cur, _ := w.f.Ring()
	equal(t, "current ring", *cur, next)
}

// A node that came up blank counts as a new owner, and its old words are forgotten.
func TestBlankNodeIsAnother(t *testing.T) {
	t.Parallel()
	w := newCluster(t)
	w.must(PutNode{Node: testNode("n4", 1)})
	w.must(SetRing{From: 1, Ring: ringOwnedBy(2, []storage.NodeID{"n1", "n2", "n3", "n4"}, "n1", "n2", "n4")})
	w.synced("n4", 2, partitionSet(3))
	w.must(PutNode{Node: testNode("n4", 2)})
	w.refused(Header{}, PartitionsSynced{Node: "n4", Incarnation: 1, Version: 2, Partitions: allPartitions()}, storage.KindConflict, "ring_names_stranger")
	w.must(AbortRing{Version: 2})
	next := ringOwnedBy(4, []storage.NodeID{"n1", "n2", "n3", "n4"}, "n1", "n2", "n4")
	next.Nodes[3].Incarnation = 2
	w.must(SetRing{From: 3, Ring: next})
	cur, _ := w.f.Ring()
	if cur.SameOwners(&next, 3) {
		t.Error("a blank node counts as the owner that it was")
	}
	if v, left, err := w.f.ToSync("n4", 2); err != nil || v != 4 || len(left) != storage.Partitions {
		t.Errorf("the blank node has to say %d partitions of ring %d: %v", len(left), v, err)
	}
	w.must(PartitionsSynced{Node: "n4", Incarnation: 2, Version: 4, Partitions: partitionSet(100)})
	cur, _ = w.f.Ring()
	seen := 0
	for _, n := range cur.Nodes {
		if n.ID == "n4" {
			seen++
		}
	}
	if seen != 2 || !cur.OwnsPartition(3, "n4", 1) || !cur.OwnsPartition(100, "n4", 2) {
		t.Errorf("the mixed ring names n4 %d times", seen)
	}
}

// A hold drops the change, keeps what was handed over, and lasts until it is
// taken away or the members change.
func TestHold(t *testing.T) {
	t.Parallel()
	w := newCluster(t)
	w.must(PutNode{Node: testNode("n4", 1)})
	nodes := []storage.NodeID{"n1", "n2", "n3", "n4"}
	w.must(SetRing{From: 1, Ring: ringOwnedBy(2, nodes, "n1", "n2", "n4")})
	w.synced("n4", 2, partitionSet(3))
	w.must(HoldRing{Hold: true})
	equal(t, "change", w.f.RingChange(), RingChange{Since: w.now, Mixed: true, Held: true})
	cur, next := w.f.Ring()
	if next != nil || cur.Version != 3 || !cur.OwnsPartition(3, "n4", 1) || cur.OwnsPartition(4, "n4", 1) {
		t.Error("the hold does not leave the ring as far as it was")
	}
	again := SetRing{From: 3, Ring: ringOwnedBy(4, nodes, "n1", "n2", "n4")}
	w.refused(Header{}, again, storage.KindConflict, "ring_held")
	w.must(PutNode{Node: testNode("n1", 1)}) // says nothing new
	w.refused(Header{}, again, storage.KindConflict, "ring_held")
	w.must(DrainNode{ID: "n3", Drain: true})
	w.must(again)
	w.must(HoldRing{Hold: true})
	w.must(HoldRing{})
	w.must(SetRing{From: 5, Ring: ringOwnedBy(6, nodes, "n1", "n2", "n4")})
}

// Members leave and are replaced by words that outlast any leader.
func TestDrainAndReplace(t *testing.T) {
	t.Parallel()
	w := newCluster(t)
	none := Header{}
	w.refused(none, DrainNode{ID: "n9", Drain: true}, storage.KindNotFound, "not_found")
	w.must(DrainNode{ID: "n2", Drain: true})
	since := w.now
	w.now += minute
	w.must(DrainNode{ID: "n2", Drain: true, Force: true})
	w.must(DrainNode{ID: "n3", Drain: true})
	equal(t, "leaving", w.f.Draining(), map[storage.NodeID]Drain{"n2": {Since: since, Force: true}, "n3": {Since: w.now}})
	w.refused(none, DrainNode{ID: "n1", Drain: true}, storage.KindConflict, "last_node")
	w.must(DrainNode{ID: "n3"})
	w.must(DrainNode{ID: "n3"}) // again, as often as asked
	w.must(RemoveNode{ID: "n2"})
	equal(t, "leaving", w.f.Draining(), map[storage.NodeID]Drain{})
	heir := testNode("n4", 1)
	heir.Name = "node n3"
	w.must(PutNode{Node: heir})
	w.refused(none, ReplaceNode{Old: "n9", New: "n4"}, storage.KindNotFound, "not_found")
	w.refused(none, ReplaceNode{Old: "n1", New: "n4"}, storage.KindConflict, "other_name")
	w.refused(none, ReplaceNode{Old: "n4", New: "n4"}, storage.KindConflict, "other_name")
	w.refused(none, ReplaceNode{Old: "n3", New: "n4", Cancel: true}, storage.KindNotFound, "not_found")
	w.must(ReplaceNode{Old: "n3", New: "n4"})
	equal(t, "replaced", w.f.Replaced(), map[storage.NodeID]storage.NodeID{"n3": "n4"})
	w.must(ReplaceNode{Old: "n3", New: "n4", Cancel: true})
	equal(t, "replaced", w.f.Replaced(), map[storage.NodeID]storage.NodeID{})
	w.must(ReplaceNode{Old: "n3", New: "n4"})
	w.must(RemoveNode{ID: "n3"})
	equal(t, "replaced", w.f.Replaced(), map[storage.NodeID]storage.NodeID{})
	if gone, err := w.f.Removed("n3"); err != nil || !gone {
		t.Errorf("removed: %t, %v", gone, err)
	}
	if gone, err := w.f.Removed("n4"); err != nil || gone {
		t.Errorf("removed: %t, %v", gone, err)
	}
}

// ringModel is a cluster whose nodes keep to the protocol: they hold what they
// were sent, and say that they hold a partition when they do. What the FSM makes
// of it has to keep W holders of each committed blob among the owners of now.
type ringModel struct {
	*world
	rt        *rapid.T
	nodes     []storage.NodeID
	holds     map[storage.NodeID]map[storage.CID]bool
	committed map[storage.CID]bool
	sent      map[storage.CID][]storage.NodeID // on their way: who has receipted, before the commit
	seeds     byte
}

// TestModelHandOver is I12: whatever the order of uploads, rings, words, aborts
// and holds, and however R changes, each committed blob has W holders among the
// owners of the ring that holds; and of the next one, if it was committed since.
func TestModelHandOver(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		f, err := Open(testDir, testOptions(vfs.NewMem()))
		if err != nil {
			rt.Fatal(err)
		}
		defer func() { _ = f.Close() }()
		m := &ringModel{
			world: &world{t: rt, f: f, now: testStart}, rt: rt, nodes: []storage.NodeID{"n1", "n2", "n3", "n4"},
			holds: map[storage.NodeID]map[storage.CID]bool{}, committed: map[storage.CID]bool{}, sent: map[storage.CID][]storage.NodeID{},
		}
		for _, id := range m.nodes {
			m.must(PutNode{Node: testNode(id, 1)})
			m.holds[id] = map[storage.CID]bool{}
		}
		m.must(CreateAccount{ID: "ann", Email: "ann@example.org", Name: "Ann", BalanceCents: 1 << 40, EntryID: "opening-ann"})
		m.must(SetRing{Ring: m.drawRing(1)})
		// More steps than rapid takes by itself: a ring, words, uploads between
		// them and the last word have to come together.
		for range 4 {
			rt.Repeat(map[string]func(*rapid.T){
				"send":   m.send,
				"commit": m.commit,
				"upload": func(rt *rapid.T) { m.send(rt); m.commit(rt) },
				"ring":   m.ring,
				"say":    m.say,
				"more":   m.say,
				"repair": m.repair,
				"drop":   m.drop,
				"":       func(*rapid.T) { m.check() },
			})
		}
	})
}

// drawRing gives the partitions in turn to a few drawn sets of owners.
func (m *ringModel) drawRing(version uint64) storage.Ring {
	r := rapid.IntRange(1, 3).Draw(m.rt, "R")
	ring := testRing(version, r, m.nodes...)
	var sets [][]uint16
	for i := range 2 {
		sets = append(sets, rapid.Permutation([]uint16{0, 1, 2, 3}).Draw(m.rt, fmt.Sprint("owners ", i))[:r])
	}
	for p := range ring.Owners {
		ring.Owners[p] = sets[p%len(sets)]
	}
	return ring
}

// send is the first half of an upload: some owners of the rings of this moment
// keep the bytes, not necessarily enough.
func (m *ringModel) send(rt *rapid.T) {
	m.seeds++
	cid := sized(1000, m.seeds)
	cur, next := m.f.Ring()
	for _, ring := range []*storage.Ring{cur, next} {
		if ring == nil {
			continue
		}
		for _, o := range ring.OwnersOf(cid) {
			if rapid.IntRange(0, 3).Draw(rt, "takes") > 0 && !slices.Contains(m.sent[cid], o.ID) {
				m.sent[cid] = append(m.sent[cid], o.ID)
				m.holds[o.ID][cid] = true
			}
		}
	}
}

// commit is the second half, under whatever rings hold by now.
func (m *ringModel) commit(rt *rapid.T) {
	if len(m.sent) == 0 {
		rt.Skip()
	}
	cid := rapid.SampledFrom(slices.SortedFunc(maps.Keys(m.sent), storage.CID.Compare)).Draw(rt, "cid")
	c := m.upload("ann", cid, 30)
	c.Receipts = m.receipts(cid, m.sent[cid]...)
	delete(m.sent, cid)
	if r := m.do(Header{}, c); r.Err == nil {
		m.committed[cid] = true
	} else if r.Err.Code != "not_enough_replicas" {
		rt.Fatalf("upload: %v", r.Err)
	}
}

func (m *ringModel) ring(*rapid.T) {
	cur, next := m.f.Ring()
	r := m.do(Header{}, SetRing{From: cur.Version, Ring: m.drawRing(cur.Version + 1)})
	if held := m.f.RingChange().Held; (r.Err != nil) != (next != nil || held) {
		m.rt.Fatalf("ring: %v with next %v, held %t", r.Err, next != nil, held)
	}
}

// say is a node that looks at the catalogue, fetches what it lacks of some
// partitions, and then says so.
func (m *ringModel) say(rt *rapid.T) {
	id := rapid.SampledFrom(m.nodes).Draw(rt, "node")
	version, left, err := m.f.ToSync(id, 1)
	if err != nil {
		rt.Fatal(err)
	}
	if version == 0 {
		rt.Skip()
	}
	part := rapid.IntRange(0, 2).Draw(rt, "part") // even ones, odd ones, all
	s := NewPartitionSet()
	for _, p := range left {
		if part == 2 || p%2 == part {
			s.Add(p)
		}
	}
	for cid := range m.committed {
		if s.Has(cid.Partition()) {
			m.holds[id][cid] = true
		}
	}
	m.synced(id, version, s)
}

// repair is what a pass does: an owner of now fetches what it lacks.
func (m *ringModel) repair(rt *rapid.T) {
	id := rapid.SampledFrom(m.nodes).Draw(rt, "node")
	cur, _ := m.f.Ring()
	for cid := range m.committed {
		if cur.Owns(id, cid) {
			m.holds[id][cid] = true
		}
	}
}

func (m *ringModel) drop(rt *rapid.T) {
	_, next := m.f.Ring()
	switch {
	case rapid.IntRange(0, 2).Draw(rt, "what") > 0: // most changes go on
	case rapid.Bool().Draw(rt, "hold"):
		m.must(HoldRing{Hold: rapid.Bool().Draw(rt, "held")})
	case next != nil:
		m.must(AbortRing{Version: next.Version})
	}
	if _, next := m.f.Ring(); next == nil && rapid.Bool().Draw(rt, "erase") {
		m.erase()
	}
}

// erase takes the copies of those who own nothing of them, as deletion may when
// no change is under way.
func (m *ringModel) erase() {
	cur, _ := m.f.Ring()
	for id, held := range m.holds {
		for cid := range held {
			if m.committed[cid] && !cur.Owns(id, cid) {
				delete(held, cid)
			}
		}
	}
}

func (m *ringModel) check() {
	cur, _ := m.f.Ring()
	for cid := range m.committed {
		holders := 0
		for _, o := range cur.OwnersOf(cid) {
			if m.holds[o.ID][cid] {
				holders++
			}
		}
		if w := cur.WriteQuorum(cid); holders < w {
			m.rt.Fatalf("I12: %s has %d holders among the owners of its partition, W is %d", cid, holders, w)
		}
	}
}
