package meta

import (
	"fmt"
	"testing"

	"ringbin/storage"
)

// version reads version n of a bin.
func (w *world) version(id string, n int64) (BinVersion, bool) {
	w.t.Helper()
	v, found, err := w.f.BinVersion(id, n)
	if err != nil {
		w.t.Fatal(err)
	}
	return v, found
}

// reads are the contents of the base, the latest version and versions 1 to n;
// the one after these must not be there.
func (w *world) reads(id string, n int64) (all []storage.CID) {
	w.t.Helper()
	for _, at := range append([]int64{0, Latest}, upTo(n)...) {
		v, found := w.version(id, at)
		if !found {
			w.t.Fatalf("version %d is not there", at)
		}
		if at != Latest {
			equal(w.t, "version", v.Version, at)
		}
		all = append(all, v.CID)
	}
	if v, found := w.version(id, n+1); found || v.Bin.ID != id {
		w.t.Errorf("version %d is there", n+1)
	}
	return all
}

func upTo(n int64) (all []int64) {
	for i := range n {
		all = append(all, i+1)
	}
	return all
}

// The worked example of how versions go.
func TestVersionsWorkedExample(t *testing.T) {
	t.Parallel()
	w := newCluster(t)
	id := mustBe[Bin](w, w.newBin(1)).ID
	put := func(n byte, versioned bool, match *Match) UpdateBin {
		u := w.update(id, n)
		u.IfMatch = match
		if versioned {
			u.Versioning = new(true)
		}
		return u
	}
	step := func(row int, c Command, version int64, revision uint64, reads ...byte) {
		t.Helper()
		if c != nil {
			u := mustBe[BinUpdate](w, c)
			equal(t, fmt.Sprintf("row %d: version made", row), u.Version, version)
			equal(t, "value", u.Bin, w.bin(id))
		}
		equal(t, fmt.Sprintf("row %d: revision", row), w.bin(id).Revision, revision)
		var want []storage.CID
		for _, n := range reads {
			want = append(want, record(n))
		}
		equal(t, fmt.Sprintf("row %d: base, latest, versions", row), w.reads(id, int64(len(reads)-2)), want)
		w.sound(t)
	}
	step(1, nil, 0, 1, 1, 1)
	step(2, put(2, false, nil), 0, 2, 2, 2)
	step(3, put(3, true, nil), 1, 3, 2, 3, 3)
	step(4, put(4, true, nil), 2, 4, 2, 4, 3, 4)
	step(5, put(5, false, nil), 0, 5, 2, 5, 3, 5) // 6: and read
	step(7, put(5, true, nil), 3, 6, 2, 5, 3, 5, 5)
	equal(t, "versions 2 and 3 share one blob", []int64{w.f.Counts().References, w.f.Counts().Blobs}, []int64{4, 5})
	equal(t, "row 8", w.refused(Header{}, put(6, false, &Match{Revisions: []uint64{5}}), storage.KindPrecondition, "revision_mismatch"),
		map[string]any{"revision": int64(6)})
	cleared := mustBe[Cleared](w, ClearVersions{ID: id, PreserveLatest: true})
	equal(t, "row 9", cleared, Cleared{Bin: w.bin(id), Versions: 3, Deleted: 2})
	step(10, nil, 0, 7, 5, 5)
	w.sweep(1)
	equal(t, "references after the sweep", w.f.Counts().References, int64(1))
	step(10, put(7, true, nil), 1, 8, 5, 7, 7)
}

// An update with the record that is there moves nothing but the revision.
func TestSameRecord(t *testing.T) {
	t.Parallel()
	w := newCluster(t)
	id := mustBe[Bin](w, w.newBin(1)).ID
	before := w.content()
	w.must(w.update(id, 1))
	after := w.content()
	for k, v := range before {
		if after[k] != v && k != string(binKey(id)) {
			t.Errorf("key %x changed", k)
		}
	}
	equal(t, "rows", len(after), len(before))
	equal(t, "revision", w.bin(id).Revision, uint64(2))
}

// With the most versions there may be, the latest one is replaced.
func TestVersionsMax(t *testing.T) {
	t.Parallel()
	w := newCluster(t)
	id := mustBe[Bin](w, w.newBin(1)).ID
	u := w.update(id, 0)
	u.Versioning = new(true)
	for n := int64(1); n <= 1000; n++ {
		u.CID = sized(1000+n, 7)
		u.Receipts = w.proof(u.CID)
		equal(t, "made", mustBe[BinUpdate](w, u).Version, n)
	}
	u.CID, u.Receipts = record(9), w.proof(record(9))
	last := mustBe[BinUpdate](w, u)
	equal(t, "the 1001st", []int64{last.Version, last.Bin.Versions}, []int64{0, 1000})
	equal(t, "revision", last.Bin.Revision, uint64(1002))
	v, _ := w.version(id, 1000)
	equal(t, "version 1000", v.CID, record(9))
	equal(t, "references", w.f.Counts().References, int64(1001))
	w.sound(t)

	// All go in one step, which writes little; their references go in pages.
	before := w.content()
	equal(t, "deleted", mustBe[Cleared](w, ClearVersions{ID: id}).Deleted, int64(1000))
	equal(t, "rows that the step adds", len(w.content())-len(before), 1)
	equal(t, "reads", w.reads(id, 0), []storage.CID{record(1), record(1)})
	u.CID, u.Receipts = record(3), w.proof(record(3))
	equal(t, "numbering starts again", mustBe[BinUpdate](w, u).Version, int64(1))
	w.sound(t)
	for left := int64(1000); left > 700; left -= 100 {
		res := mustBe[SweepResult](w, Sweep{Limit: 100})
		equal(t, "a page", res, SweepResult{Removed: 100, More: true})
		equal(t, "references", w.f.Counts().References, left-100+2)
		w.sound(t)
	}
	equal(t, "deleted meanwhile", mustBe[Bin](w, DeleteBin{ID: id}).Versions, int64(1))
	w.sound(t)
	w.sweep(sweepMax)
	counts := w.f.Counts()
	equal(t, "left", []int64{counts.References, counts.Bins, w.account("ann").UsedBytes}, []int64{0, 0, 0})
	w.sound(t)
}

func TestClearVersions(t *testing.T) {
	t.Parallel()
	w := newCluster(t)
	id := mustBe[Bin](w, w.newBin(1)).ID
	for _, preserve := range []bool{false, true} {
		equal(t, "of none", w.must(ClearVersions{ID: id, PreserveLatest: preserve}), Cleared{Bin: w.bin(id)})
	}
	equal(t, "nothing changed", w.bin(id).Revision, uint64(1))
	one := w.update(id, 2)
	one.Versioning = new(true)
	w.must(one)
	got := mustBe[Cleared](w, ClearVersions{ID: id, PreserveLatest: true})
	equal(t, "the only one is preserved", []int64{got.Versions, got.Deleted}, []int64{1, 0})
	equal(t, "base", w.reads(id, 0), []storage.CID{record(2), record(2)})
	w.must(one) // before the sweep: these are others
	got = mustBe[Cleared](w, ClearVersions{ID: id, PreserveLatest: true})
	equal(t, "the same record", got.Bin.Base, record(2))
	w.sound(t)
	w.sweep(1)
	equal(t, "references", w.f.Counts().References, int64(1))
	equal(t, "the base lives", w.blob(record(2)).Alive, true)
	w.sound(t)
}

// The latest version becomes the base also where the quota leaves no room: its bytes are there.
func TestPreserveAtTheQuota(t *testing.T) {
	t.Parallel()
	w := newCluster(t)
	w.must(UpdateAccount{ID: "ann", QuotaBytes: new(int64(2000))})
	id := mustBe[Bin](w, w.newBin(1)).ID
	u := w.update(id, 2)
	u.Versioning = new(true)
	w.must(u)
	w.must(ClearVersions{ID: id, PreserveLatest: true})
	w.sweep(10)
	equal(t, "used", w.account("ann").UsedBytes, int64(1000))
}

// Content that is taken down is not served, and after the grace its references
// go; bins, versions and schema docs stay, and may get other content.
func TestBinTakedown(t *testing.T) {
	t.Parallel()
	w := newCluster(t)
	id := mustBe[Bin](w, w.newBin(5)).ID
	doc := mustBe[SchemaDoc](w, CreateSchemaDoc{Account: "ann", Name: "d", CID: record(1), Receipts: w.proof(record(1))}).ID
	for _, n := range []byte{1, 2, 1} {
		u := w.update(id, n)
		u.Versioning = new(true)
		w.must(u)
	}
	blocked := func() (all []bool) {
		for n := range w.bin(id).Versions + 1 {
			v, _ := w.version(id, n)
			all = append(all, v.Blocked)
		}
		d, _, err := w.f.SchemaDoc(doc)
		if err != nil {
			t.Fatal(err)
		}
		return append(all, d.Taken)
	}
	w.must(BlockContent{CID: record(1), Block: true})
	equal(t, "at once", blocked(), []bool{false, true, false, true, true})
	w.must(BlockContent{CID: record(1)})
	equal(t, "allowed again", blocked(), []bool{false, false, false, false, false})
	w.must(BlockContent{CID: record(1), Block: true})

	// A clearing while it waits to die leaves it waiting.
	w.must(ClearVersions{ID: id, PreserveLatest: true})
	u := w.update(id, 2)
	u.Versioning = new(true)
	w.must(u)
	w.sound(t)
	w.now += DefaultSettings().graceMillis()
	equal(t, "condemned", mustBe[CondemnResult](w, Condemn{CIDs: []storage.CID{record(1)}}).Condemned, 1)
	w.sound(t)
	equal(t, "for good", blocked(), []bool{true, false, true})
	equal(t, "used", w.account("ann").UsedBytes, int64(2000)) // version 1, and version 2 of before
	w.sweep(1)
	equal(t, "swept", w.account("ann").UsedBytes, int64(1000))
	w.must(BlockContent{CID: record(1)}) // too late: the bytes are gone
	equal(t, "allowed too late", blocked(), []bool{true, false, true})
	w.sound(t)

	// What has no bytes any more makes no room, and is preserved as it is.
	w.must(UpdateAccount{ID: "ann", QuotaBytes: new(int64(1500))})
	w.refused(Header{}, UpdateSchemaDoc{Account: "ann", ID: doc, CID: new(record(4)), Receipts: w.proof(record(4))}, storage.KindFull, "insufficient_storage")
	w.must(UpdateAccount{ID: "ann", QuotaBytes: new(int64(0))})

	w.must(ClearVersions{ID: id})
	w.must(w.update(id, 3))
	w.must(UpdateSchemaDoc{Account: "ann", ID: doc, CID: new(record(4)), Receipts: w.proof(record(4))})
	equal(t, "other content", blocked(), []bool{false, false})
	w.sweep(1)
	equal(t, "references", w.f.Counts().References, int64(2))
	w.sound(t)
}

// The latest version becomes the base also when it has no bytes any more.
func TestPreserveTakenDown(t *testing.T) {
	t.Parallel()
	w := newCluster(t)
	id := mustBe[Bin](w, w.newBin(1)).ID
	u := w.update(id, 2)
	u.Versioning = new(true)
	w.must(u)
	w.must(BlockContent{CID: record(2), Block: true})
	w.now += DefaultSettings().graceMillis()
	w.must(Condemn{CIDs: []storage.CID{record(2)}})
	b := mustBe[Cleared](w, ClearVersions{ID: id, PreserveLatest: true}).Bin
	equal(t, "base", []any{b.Base, b.BaseTaken}, []any{record(2), true})
	w.sweep(10)
	equal(t, "left", []int64{w.f.Counts().References, w.account("ann").UsedBytes}, []int64{0, 0})
	w.sound(t)
}
