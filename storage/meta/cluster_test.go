package meta

import (
	"testing"

	"ringbin/storage"
)

func TestNodes(t *testing.T) {
	t.Parallel()
	w := newCluster(t)
	none := Header{}
	w.refused(none, PutNode{Node: Node{ID: "", Incarnation: 1}}, storage.KindInvalid, "invalid_parameter")
	w.refused(none, PutNode{Node: Node{ID: "n9"}}, storage.KindInvalid, "invalid_parameter")
	moved := testNode("n1", 1)
	moved.RPC = "elsewhere:1"
	equal(t, "value", w.must(PutNode{Node: moved}), moved)
	w.must(PutNode{Node: testNode("n1", 5)})
	w.refused(none, PutNode{Node: testNode("n1", 4)}, storage.KindConflict, "incarnation_reused")
	w.refused(none, RemoveNode{ID: "n9"}, storage.KindNotFound, "not_found")
	equal(t, "nodes", w.f.Nodes(), []Node{testNode("n1", 5), testNode("n2", 1), testNode("n3", 1)})
}

// I15: the id of a node that was removed is refused for ever.
func TestRemovedNodeStaysOut(t *testing.T) {
	t.Parallel()
	w := newCluster(t)
	w.must(PutNode{Node: testNode("n4", 1)})
	w.must(RemoveNode{ID: "n4"})
	w.now += 10_000 * dayMillis
	w.refused(Header{}, PutNode{Node: testNode("n4", 1)}, storage.KindForbidden, "node_removed")
	w.refused(Header{}, PutNode{Node: testNode("n4", 1000)}, storage.KindForbidden, "node_removed")
	w.refused(Header{}, RemoveNode{ID: "n4"}, storage.KindNotFound, "not_found")
	if err := restore(w.f, snapshotOf(t, w.f)); err != nil {
		t.Fatal(err)
	}
	w.refused(Header{}, PutNode{Node: testNode("n4", 2)}, storage.KindForbidden, "node_removed")
}

// I11: a ring is computed from the one that holds, and one change is under way at a time.
func TestSetRing(t *testing.T) {
	t.Parallel()
	w := newCluster(t)
	none := Header{}
	next := testRing(2, 2, "n1", "n2", "n3")
	w.refused(none, SetRing{From: 0, Ring: next}, storage.KindConflict, "ring_changed")
	w.refused(none, SetRing{From: 2, Ring: testRing(3, 2, "n1", "n2", "n3")}, storage.KindConflict, "ring_changed")
	w.refused(none, SetRing{From: 1, Ring: testRing(3, 2, "n1", "n2", "n3")}, storage.KindConflict, "ring_changed")
	w.refused(none, SetRing{From: 1, Ring: testRing(2, 2, "n1", "n9")}, storage.KindConflict, "ring_names_stranger")
	w.refused(none, SetRing{From: 1, Ring: testRing(2, 2, "n2", "n1")}, storage.KindInvalid, "") // not sorted
	old := testRing(2, 2, "n1", "n2", "n3")
	old.Nodes[0].Incarnation = 2
	w.refused(none, SetRing{From: 1, Ring: old}, storage.KindConflict, "ring_names_stranger")
	ticks, stop := w.f.Watch()
	defer stop()
	w.must(SetRing{From: 1, Ring: next})
	if len(ticks) != 1 {
		t.Error("nobody is told of the next ring")
	}
	w.refused(none, SetRing{From: 1, Ring: next}, storage.KindConflict, "ring_changed")
	w.refused(none, SetRing{From: 2, Ring: testRing(3, 2, "n1", "n2")}, storage.KindConflict, "ring_changed")
	cur, pending := w.f.Ring()
	equal(t, "current ring", *cur, testRing(1, 3, "n1", "n2", "n3"))
	equal(t, "next ring", *pending, next)
}

func TestRingSynced(t *testing.T) {
	t.Parallel()
	w := newCluster(t)
	none := Header{}
	w.must(PutNode{Node: testNode("n4", 1)})
	w.refused(none, RingSynced{Node: "n1", Incarnation: 1, Version: 1}, storage.KindConflict, "ring_changed")
	next := testRing(2, 2, "n1", "n2", "n4")
	w.must(SetRing{From: 1, Ring: next})
	w.refused(none, RingSynced{Node: "n1", Incarnation: 1, Version: 3}, storage.KindConflict, "ring_changed")
	w.refused(none, RingSynced{Node: "n3", Incarnation: 1, Version: 2}, storage.KindConflict, "ring_names_stranger")
	w.refused(none, RingSynced{Node: "n1", Incarnation: 2, Version: 2}, storage.KindConflict, "ring_names_stranger")
	for _, id := range []storage.NodeID{"n4", "n1", "n4", "n1", "n4"} { // a word said twice counts once
		w.must(RingSynced{Node: id, Incarnation: 1, Version: 2})
		if cur, n := w.f.Ring(); cur.Version != 1 || n == nil {
			t.Fatal("the ring flips before all said that they hold it")
		}
	}
	w.must(RingSynced{Node: "n2", Incarnation: 1, Version: 2})
	cur, pending := w.f.Ring()
	equal(t, "current ring", *cur, next)
	if pending != nil {
		t.Error("a next ring is left")
	}
	w.refused(none, RingSynced{Node: "n2", Incarnation: 1, Version: 2}, storage.KindConflict, "ring_changed")
}

func TestAbortRing(t *testing.T) {
	t.Parallel()
	w := newCluster(t)
	none := Header{}
	w.refused(none, AbortRing{Version: 1}, storage.KindConflict, "ring_changed")
	w.must(SetRing{From: 1, Ring: testRing(2, 2, "n1", "n2")})
	w.must(RingSynced{Node: "n1", Incarnation: 1, Version: 2})
	w.refused(none, AbortRing{Version: 1}, storage.KindConflict, "ring_changed")
	w.must(AbortRing{Version: 2})
	cur, pending := w.f.Ring()
	want := testRing(3, 3, "n1", "n2", "n3") // no word about version 2 can count for another ring
	equal(t, "current ring", *cur, want)
	if pending != nil {
		t.Error("a next ring is left")
	}
	w.refused(none, RingSynced{Node: "n2", Incarnation: 1, Version: 2}, storage.KindConflict, "ring_changed")
	w.must(SetRing{From: 3, Ring: testRing(4, 2, "n1", "n2")})
	w.must(RingSynced{Node: "n2", Incarnation: 1, Version: 4})
	if _, n := w.f.Ring(); n == nil {
		t.Error("a word about the dropped ring counts for its successor")
	}
	w.must(RingSynced{Node: "n1", Incarnation: 1, Version: 4})
	if _, n := w.f.Ring(); n != nil {
		t.Error("the ring does not flip")
	}
}

func TestSettings(t *testing.T) {
	t.Parallel()
	w := newCluster(t)
	equal(t, "defaults", w.f.Settings(), DefaultSettings())
	for name, p := range map[string]SettingsPatch{
		"copies 0":        {Copies: new(0)},
		"copies 8":        {Copies: new(8)},
		"voters 8":        {VoterTarget: new(8)},
		"price below 0":   {PriceCentsPerGiB: new(int64(-1))},
		"price too high":  {PriceCentsPerGiB: new(int64(priceMax + 1))},
		"quota below 0":   {AnonymousQuotaBytes: new(int64(-1))},
		"upload too long": {MaxUploadBytes: new(int64(storage.ContentMax) + 1)},
		"many origins":    {CORSOrigins: new(make([]string, originsMax+1))},
		"one bad of two":  {RateKeyPerMinute: new(int64(5)), RateIPPerMinute: new(int64(-5))},
	} {
		t.Log(name)
		w.refused(Header{}, SetSettings{Patch: p}, storage.KindInvalid, "invalid_parameter")
	}
	want := DefaultSettings()
	want.PriceCentsPerGiB, want.AdminAPI = 6, false
	equal(t, "value", w.must(SetSettings{Patch: SettingsPatch{PriceCentsPerGiB: new(int64(6)), AdminAPI: new(false)}}), want)
	equal(t, "settings", w.f.Settings(), want)
	equal(t, "price", w.mustUpload(w.upload("ann", sized(gib, 1), 30)).CostCents, int64(6))
}
