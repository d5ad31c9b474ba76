package meta

import (
	"testing"

	"ringbin/storage"
)

// Who counts follows from what is committed: the first owner that is a member
// and stays, without a ring the first member that stays. That it changed shows,
// also when it changed back.
func TestCounter(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const partition = 4 // n2's in the ring, before n3 and n1
	var last uint64
	counts := func(what string, want storage.NodeID, changed bool) {
		t.Helper()
		id, since := w.f.Counter(partition)
		if id != want || (since != last) != changed {
			t.Errorf("%s: %q counts since %d, which was %d; want %q", what, id, since, last, want)
		}
		if changed && want != "" && since != w.f.AppliedIndex() {
			t.Errorf("%s: since %d at %d", what, since, w.f.AppliedIndex())
		}
		last = since
	}
	counts("nothing", "", false)
	for i, id := range []storage.NodeID{"n2", "n3", "n1"} {
		w.must(PutNode{Node: testNode(id, 1)})
		counts("member "+string(id), []storage.NodeID{"n2", "n2", "n1"}[i], i != 1)
	}
	w.must(SetRing{Ring: testRing(1, 3, "n1", "n2", "n3")})
	counts("the ring", "n2", true)
	w.must(SetSettings{Patch: SettingsPatch{RateIPPerMinute: new(int64(7))}})
	counts("a setting", "n2", false)
	w.must(DrainNode{ID: "n1", Drain: true})
	counts("another one leaves", "n2", false)
	w.must(DrainNode{ID: "n2", Drain: true})
	counts("it leaves", "n3", true)
	w.must(DrainNode{ID: "n2"})
	counts("it stays", "n2", true)
	if err := w.f.Apply(w.append(w.encoded(&Header{}, DrainNode{ID: "n2", Drain: true}), w.encoded(&Header{}, DrainNode{ID: "n2"}))); err != nil {
		t.Fatal(err)
	}
	counts("it leaves and stays at once", "n2", true)
	w.must(RemoveNode{ID: "n2"})
	counts("it is removed", "n3", true)
	if err := restore(w.f, snapshotOf(t, w.f)); err != nil {
		t.Fatal(err)
	}
	last = 0
	counts("after a restore", "n3", true)
}
