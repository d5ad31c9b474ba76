package meta

import (
	"fmt"
	"slices"
	"testing"

	"ringbin/storage"
)

func (w *world) standing(cid storage.CID) storage.Standing {
	w.t.Helper()
	st, err := w.f.Standings("n1", []storage.CID{cid})
	if err != nil {
		w.t.Fatal(err)
	}
	return st[0]
}

func (w *world) condemnDue() []storage.CID {
	w.t.Helper()
	cids, err := w.f.CondemnDue(w.now, 1000)
	if err != nil {
		w.t.Fatal(err)
	}
	return cids
}

func (w *world) wait(ms int64) {
	w.t.Helper()
	w.now += ms
	w.must(Tick{})
}

// The life of a CID after its death: it waits for the grace, is condemned, is
// forgotten, and each time receipts from before are refused.
func TestCondemn(t *testing.T) {
	t.Parallel()
	w := newCluster(t)
	cid := sized(1000, 1)
	w.must(w.upload("ann", cid, 30))
	early := w.upload("ann", cid, 30)
	w.must(DeleteReference{Account: "ann", CID: cid})
	if st := w.standing(cid); st.Referenced || !st.Waiting {
		t.Errorf("dead content stands %+v", st)
	}
	w.wait(dayMillis - 1)
	equal(t, "due", len(w.condemnDue()), 0)
	equal(t, "too early", w.must(Condemn{CIDs: []storage.CID{cid}}), CondemnResult{})
	w.now++
	equal(t, "due", w.condemnDue(), []storage.CID{cid})
	early.Receipts = w.receipts(cid, "n1", "n2") // of just before
	equal(t, "value", w.must(Condemn{CIDs: []storage.CID{cid, cid, sized(9, 9)}}), CondemnResult{Condemned: 1})
	condemned := w.f.AppliedIndex()
	st := w.standing(cid)
	if st.Referenced || st.Waiting || st.Condemned != condemned {
		t.Errorf("condemned content stands %+v", st)
	}
	equal(t, "due", len(w.condemnDue()), 0)
	equal(t, "again", w.must(Condemn{CIDs: []storage.CID{cid}}), CondemnResult{})
	w.refused(Header{}, early, storage.KindUnavailable, "not_enough_replicas")

	w.wait(2*dayMillis - 1)
	equal(t, "too early", w.must(DropTombstones{Limit: 10}), DropResult{})
	w.wait(1)
	if due, err := w.f.TombstonesDue(w.now); err != nil || !due {
		t.Errorf("tombstones due: %t, %v", due, err)
	}
	blobs := w.f.Counts().Blobs
	equal(t, "value", w.must(DropTombstones{Limit: 10}), DropResult{Dropped: 1})
	equal(t, "blobs", w.f.Counts().Blobs, blobs-1)
	if _, found, err := w.f.Blob(cid, w.now); found || err != nil {
		t.Errorf("the record is still there: %t, %v", found, err)
	}
	if floor, err := w.f.Floor(); err != nil || floor != condemned {
		t.Errorf("floor %d, want %d, %v", floor, condemned, err)
	}
	late := w.upload("ann", cid, 30)
	for i := range late.Receipts {
		late.Receipts[i].Generation = condemned - 1
	}
	w.refused(Header{}, late, storage.KindUnavailable, "not_enough_replicas")
	w.must(w.upload("ann", cid, 30))
	if _, err := w.f.Audit(t.Context()); err != nil {
		t.Error(err)
	}
}

// What comes to life again is neither condemned nor forgotten, and keeps the
// index of its Condemn: an owner may not have erased by it yet.
func TestCondemnedAndUploadedAgain(t *testing.T) {
	t.Parallel()
	w := newCluster(t)
	cid := sized(1000, 1)
	w.must(w.upload("ann", cid, 30))
	w.must(DeleteReference{Account: "ann", CID: cid})
	w.wait(dayMillis / 2)
	w.must(w.upload("ann", cid, 30))
	w.wait(dayMillis)
	equal(t, "live again", w.must(Condemn{CIDs: []storage.CID{cid}}), CondemnResult{})
	w.must(DeleteReference{Account: "ann", CID: cid})
	w.wait(dayMillis)
	equal(t, "dead again", w.must(Condemn{CIDs: []storage.CID{cid}}), CondemnResult{Condemned: 1})
	condemned := w.f.AppliedIndex()
	w.must(w.upload("ann", cid, 30))
	w.wait(10 * dayMillis)
	equal(t, "nothing to forget", w.must(DropTombstones{Limit: 10}), DropResult{})
	if st := w.standing(cid); !st.Referenced || st.Waiting || st.Condemned != condemned {
		t.Errorf("live content stands %+v", st)
	}
	w.wait(30 * dayMillis)
	w.must(Sweep{Limit: 10})
	w.wait(dayMillis)
	equal(t, "expired", w.must(Condemn{CIDs: w.condemnDue()}), CondemnResult{Condemned: 1})
}

// Limits: each command does a bounded amount of work and says that there is more.
func TestCondemnIsBounded(t *testing.T) {
	t.Parallel()
	w := newCluster(t)
	w.refused(Header{}, Condemn{CIDs: make([]storage.CID, condemnMax+1)}, storage.KindInvalid, "invalid_parameter")
	for i := range 5 {
		cid := sized(int64(1000+i), 1)
		w.must(w.upload("ann", cid, 30))
		w.must(DeleteReference{Account: "ann", CID: cid})
	}
	w.wait(dayMillis)
	cids, err := w.f.CondemnDue(w.now, 2)
	if err != nil || len(cids) != 2 {
		t.Fatal(cids, err)
	}
	w.must(Condemn{CIDs: w.condemnDue()})
	w.wait(2 * dayMillis)
	equal(t, "value", w.must(DropTombstones{Limit: 3}), DropResult{Dropped: 3, More: true})
	equal(t, "value", w.must(DropTombstones{Limit: 3}), DropResult{Dropped: 2})
}

// A receipt lives for half the grace at most, and none survives a change of it.
func TestReceiptsAndTheGrace(t *testing.T) {
	t.Parallel()
	w := newCluster(t)
	set := func(seconds int64) { w.must(SetSettings{Patch: SettingsPatch{DeletionGraceSeconds: &seconds}}) }
	set(60)
	n := byte(0)
	after := func(age int64) CommitUpload {
		n++
		c := w.upload("ann", sized(1000, n), 30)
		w.wait(age)
		return c
	}
	w.must(after(30_000))
	w.refused(Header{}, after(30_001), storage.KindUnavailable, "not_enough_replicas")
	before := after(1)
	set(86400)
	w.refused(Header{}, before, storage.KindUnavailable, "not_enough_replicas")
	same := w.upload("ann", sized(1000, 100), 30)
	set(86400) // no change
	w.wait(15 * minute)
	w.must(same)
	for _, seconds := range []int64{0, -1, graceMax + 1} {
		w.refused(Header{}, SetSettings{Patch: SettingsPatch{DeletionGraceSeconds: &seconds}}, storage.KindInvalid, "invalid_parameter")
	}
}

// Settings of before the grace was one have the default.
func TestSettingsWithoutAGrace(t *testing.T) {
	t.Parallel()
	w := newCluster(t)
	w.poke(func(x *tx) error {
		return write(x, single(singleSettings), Settings{Copies: 3, MaxUploadBytes: 1})
	})
	w.must(RemoveNode{ID: "n3"}) // reads them again
	equal(t, "grace", w.f.Settings().DeletionGraceSeconds, int64(86400))
	w.must(SetSettings{Patch: SettingsPatch{Copies: new(2)}})
}

// A takedown counts as death: after the grace the references go, a bounded number
// at a time and without a refund, and then it is condemned, for good.
func TestTakedown(t *testing.T) {
	t.Parallel()
	w := newCluster(t)
	cid := sized(1000, 1)
	const holders = dropRefsMax + 1
	for i := range holders {
		id := fmt.Sprintf("acc%04d", i)
		w.must(CreateAccount{ID: id, Email: id + "@example.org", BalanceCents: 10, EntryID: "o" + id})
		w.must(w.upload(id, cid, 3000))
	}
	w.must(BlockContent{CID: cid, Block: true, Reason: "law"})
	if st := w.standing(cid); !st.Referenced || !st.Waiting {
		t.Errorf("content that was taken down stands %+v", st)
	}
	w.wait(dayMillis / 2)
	w.must(BlockContent{CID: cid, Block: true, Reason: "law, again"}) // the grace goes on
	w.must(BlockContent{CID: cid, Block: false})
	if st := w.standing(cid); !st.Referenced || st.Waiting {
		t.Errorf("content that was allowed again stands %+v", st)
	}
	if _, live, err := w.f.Reference("acc0000", cid, w.now); !live || err != nil {
		t.Errorf("allowed again, its reference is live: %t, %v", live, err)
	}
	w.must(BlockContent{CID: cid, Block: true, Reason: "law"})
	w.wait(dayMillis - 1)
	equal(t, "due", len(w.condemnDue()), 0)
	w.wait(1)
	balance := w.account("acc0000").BalanceCents
	equal(t, "first", w.must(Condemn{CIDs: w.condemnDue()}), CondemnResult{Dropped: dropRefsMax, More: true})
	equal(t, "second", w.must(Condemn{CIDs: w.condemnDue()}), CondemnResult{Condemned: 1, Dropped: 1})
	equal(t, "no refund", w.account("acc0000").BalanceCents, balance)
	equal(t, "no bytes", w.account("acc0000").UsedBytes, int64(0))
	w.wait(10 * dayMillis)
	equal(t, "never forgotten", w.must(DropTombstones{Limit: 10}), DropResult{})
	w.refused(Header{}, w.upload("ann", cid, 30), storage.KindForbidden, "content_blocked")
	w.must(BlockContent{CID: cid, Block: false})
	w.wait(2 * dayMillis)
	equal(t, "forgotten once it is allowed", w.must(DropTombstones{Limit: 10}), DropResult{Dropped: 1})
	w.must(w.upload("ann", cid, 30))

	page, next, err := w.f.Takedowns("", 3)
	if err != nil || len(page) != 3 || next == "" {
		t.Fatal(page, next, err)
	}
	rest, next, err := w.f.Takedowns(next, 100)
	if err != nil || next != "" {
		t.Fatal(next, err)
	}
	var told []string
	for _, d := range slices.Concat(page, rest) {
		equal(t, "cid", d.CID, cid)
		told = append(told, fmt.Sprint(d.Block, " ", d.Reason))
	}
	equal(t, "record", told, []string{"true law", "true law, again", "false ", "true law", "false "})
	if _, err := w.f.Audit(t.Context()); err != nil {
		t.Error(err)
	}
}

// Those who erase are told what was condemned, once the state shows it; copies of
// inline content there are none.
func TestOnCondemned(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var told []storage.CID
	restored := 0
	w.f.opts.OnCondemned = func(cids []storage.CID) {
		if cids == nil {
			restored++
		}
		for _, cid := range cids {
			if st := w.standing(cid); st.Condemned == 0 {
				t.Errorf("told of %s before the state shows it", cid)
			}
		}
		told = append(told, cids...)
	}
	w.found()
	stored, inline := sized(1000, 1), sized(10, 1)
	for _, cid := range []storage.CID{stored, inline} {
		w.must(w.upload("ann", cid, 30))
		w.must(DeleteReference{Account: "ann", CID: cid})
	}
	w.wait(dayMillis)
	equal(t, "value", w.must(Condemn{CIDs: w.condemnDue()}), CondemnResult{Condemned: 2})
	equal(t, "told", told, []storage.CID{stored})
	if err := restore(w.f, snapshotOf(t, w.f)); err != nil {
		t.Fatal(err)
	}
	equal(t, "told of the restore", restored, 1)
}

// Standings tell what the rings give a node, and since when.
func TestStandings(t *testing.T) {
	t.Parallel()
	w := newCluster(t)
	w.must(PutNode{Node: testNode("n4", 1)})
	var cids []storage.CID
	for i := range byte(20) {
		cids = append(cids, sized(1000, i))
		if i%2 == 0 {
			w.must(w.upload(anonymous, cids[i], 30))
		}
	}
	all, err := w.f.Standings("n1", cids)
	if err != nil {
		t.Fatal(err)
	}
	for i, st := range all {
		equal(t, "referenced", st.Referenced, i%2 == 0)
		equal(t, "owned", st.Owned, true)
		equal(t, "grace", st.Grace, int64(dayMillis))
		equal(t, "now", st.Now, w.f.Now())
	}
	if st, _ := w.f.Standings("n4", cids[:1]); st[0].Owned || st[0].Settled || len(st[0].Owners) != 3 {
		t.Errorf("who owns nothing has %+v", st[0])
	}
	w.wait(dayMillis)
	if st, _ := w.f.Standings("n4", cids[:1]); !st[0].Settled {
		t.Error("the ring has stood for the grace, and is not settled")
	}
	w.must(SetRing{From: 1, Ring: testRing(2, 3, "n2", "n3", "n4")})
	for _, id := range []storage.NodeID{"n1", "n4"} {
		if st, _ := w.f.Standings(id, cids[:1]); !st[0].Owned || st[0].Settled {
			t.Errorf("%s stands %+v while a ring is filled", id, st[0])
		}
	}
	w.must(AbortRing{Version: 2})
	if st, _ := w.f.Standings("n4", cids[:1]); st[0].Owned || st[0].Settled || w.f.RingSince() != w.f.Now() {
		t.Errorf("n4 stands %+v after the change was dropped", st[0])
	}
}
