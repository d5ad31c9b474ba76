package meta

import (
	"fmt"
	"slices"
	"testing"

	"ringbin/storage"
)

// A new epoch leaves one member, its ring and its name, and refuses all others
// for ever (I15); the money and the catalogue stay as they were.
func TestNewEpoch(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, id := range []storage.NodeID{"n1", "n2", "n3"} {
		w.must(PutNode{Node: testNode(id, 1)})
	}
	w.must(SetRing{Ring: testRing(1, 3, "n1", "n2", "n3")})
	w.must(SetRing{From: 1, Ring: testRing(2, 2, "n1", "n2", "n3")})
	w.must(CreateAccount{ID: "acc", Email: "a@example.org", Name: "A", BalanceCents: 700, EntryID: "txn"})

	alone := testRing(3, 1, "n2")
	for name, c := range map[string]NewEpoch{
		"a ring that is not newer": {Node: testNode("n2", 1), Ring: testRing(2, 1, "n2")},
		"a ring of another":        {Node: testNode("n2", 1), Ring: testRing(3, 1, "n1")},
		"a ring of two":            {Node: testNode("n2", 1), Ring: testRing(3, 1, "n1", "n2")},
		"another incarnation":      {Node: testNode("n2", 2), Ring: alone},
		"no node":                  {Ring: alone},
	} {
		res := w.do(Header{}, c)
		if res.Err == nil {
			t.Errorf("%s is taken", name)
		}
	}
	e, ok := w.must(NewEpoch{Node: testNode("n2", 1), Ring: alone, Reason: "test", Others: []storage.NodeID{"n4", "n2"}}).(Epoch)
	if !ok || e.Number != 1 || e.Node != "n2" || e.Index != w.f.AppliedIndex() {
		t.Fatalf("epoch is %+v", e)
	}
	cur, next := w.f.Ring()
	if cur == nil || cur.Version != 3 || cur.R != 1 || next != nil {
		t.Errorf("rings are %v and %v", cur, next)
	}
	equal(t, "members", len(w.f.Nodes()), 1)
	for id, want := range map[storage.NodeID]bool{"n1": true, "n2": false, "n3": true, "n4": true} {
		gone, err := w.f.Removed(id)
		if err != nil || gone != want {
			t.Errorf("%s removed: %t %v", id, gone, err)
		}
	}
	if ids, err := w.f.RemovedNodes(); err != nil || !slices.Equal(ids, []storage.NodeID{"n1", "n3", "n4"}) {
		t.Errorf("removed are %v %v", ids, err)
	}
	w.refused(Header{}, PutNode{Node: testNode("n1", 2)}, storage.KindForbidden, "node_removed")
	w.refused(Header{}, RingSynced{Node: "n1", Incarnation: 1, Version: 2}, storage.KindConflict, "ring_changed")
	a, _, err := w.f.Account("acc")
	if err != nil || a.BalanceCents != 700 {
		t.Errorf("balance is %d %v", a.BalanceCents, err)
	}
	if _, err := w.f.Audit(t.Context()); err != nil {
		t.Error(err)
	}
	// The next one counts on, and what was removed stays so.
	if e, _ := w.must(NewEpoch{Node: testNode("n2", 1), Ring: testRing(4, 1, "n2")}).(Epoch); e.Number != 2 {
		t.Errorf("epoch after it is %+v", e)
	}
	// Whose state it was is remembered, newest first, and not without end.
	for i := range formersMax + 2 {
		version := uint64(5 + i)
		w.must(NewEpoch{Node: testNode("n2", 1), Ring: testRing(version, 1, "n2"), Former: fmt.Sprint("c", i)})
	}
	w.must(NewEpoch{Node: testNode("n2", 1), Ring: testRing(50, 1, "n2")})
	if e, err := w.f.Epoch(); err != nil || len(e.Formers) != formersMax || e.Formers[0] != fmt.Sprint("c", formersMax+1) || e.Formers[formersMax-1] != "c2" {
		t.Errorf("former clusters are %v %v", e.Formers, err)
	}
	w.refused(Header{}, NewEpoch{Node: testNode("n1", 1), Ring: testRing(51, 1, "n1")}, storage.KindForbidden, "node_removed")
}

// A copy of the state is the state, and goes its own way from there.
func TestCopyTo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.must(CreateAccount{ID: "acc", Email: "a@example.org", Name: "A", BalanceCents: 700, EntryID: "txn"})
	dir := w.f.dir + ".copy"
	if err := w.f.CopyTo(dir); err != nil {
		t.Fatal(err)
	}
	o := w.f.opts
	f, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}()
	equal(t, "state hash", stateHash(t, f), stateHash(t, w.f))
	equal(t, "index", f.AppliedIndex(), w.f.AppliedIndex())
	before := stateHash(t, f)
	w.must(Tick{})
	equal(t, "state hash of the copy", stateHash(t, f), before)
}
