package meta

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"ringbin/storage"
)

func (w *world) collection(name string) Collection {
	w.t.Helper()
	return mustBe[Collection](w, CreateCollection{Account: "ann", Random: w.random(), Name: name})
}

func (w *world) schemaDoc(n byte) SchemaDoc {
	w.t.Helper()
	return mustBe[SchemaDoc](w, CreateSchemaDoc{Account: "ann", Random: w.random(), Name: fmt.Sprintf("doc%d", n), CID: record(n), Receipts: w.proof(record(n))})
}

// listed are the ids of a list, and the error of one that is out of step.
func (w *world) listed(l BinList) []string {
	w.t.Helper()
	if l.Account == "" {
		l.Account = "ann"
	}
	bins, err := w.f.BinsOf(l)
	if err != nil {
		w.t.Fatal(err)
	}
	ids := make([]string, 0, len(bins))
	for _, b := range bins {
		if b.Collection != l.Collection {
			w.t.Errorf("bin %s is in collection %q, and listed in %q", b.ID, b.Collection, l.Collection)
		}
		ids = append(ids, b.ID)
	}
	return ids
}

func TestCollections(t *testing.T) {
	t.Parallel()
	w := newCluster(t)
	w.must(CreateAccount{ID: "bob", Email: "bob@example.org"})
	w.must(testKey("key", 1))
	a := mustBe[Collection](w, CreateCollection{Account: "ann", Random: RandomID{1}, Name: "ä"})
	equal(t, "value", a, Collection{ID: fmt.Sprintf("%012x010000000000", testStart), Account: "ann", Name: "ä", Created: testStart})
	b := w.collection("b")
	bobs := mustBe[Collection](w, CreateCollection{Account: "bob", Random: RandomID{2}, Name: "bob's"})
	a.Name = "a"
	equal(t, "renamed", w.must(RenameCollection{Account: "ann", ID: a.ID, Name: "a"}), a)
	list := func() []Collection {
		all, err := w.f.CollectionsOf("ann")
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	equal(t, "list", list(), []Collection{a, b})
	equal(t, "deleted", w.must(DeleteCollection{Account: "ann", ID: a.ID}), a)
	equal(t, "list", list(), []Collection{b})
	equal(t, "count", w.f.Counts().Collections, int64(2))
	equal(t, "nothing is due", w.f.SweepDue(w.now), false)
	got, found, err := w.f.Collection(b.ID)
	equal(t, "read", []any{got, found, err}, []any{b, true, nil})

	for _, id := range []string{a.ID, bobs.ID, "x"} {
		for _, c := range []Command{
			RenameCollection{Account: "ann", ID: id}, DeleteCollection{Account: "ann", ID: id}, AttachSchema{Account: "ann", Collection: id},
		} {
			w.refused(Header{}, c, storage.KindNotFound, "collection_not_found")
		}
	}
	w.refused(Header{}, CreateCollection{Account: "zoe"}, storage.KindNotFound, "not_found")
	for _, c := range []Command{
		CreateCollection{Account: "bob"},
		RenameCollection{Account: "bob", ID: bobs.ID},
		DeleteCollection{Account: "bob", ID: bobs.ID},
		AttachSchema{Account: "bob", Collection: bobs.ID},
		CreateSchemaDoc{Account: "bob"},
		UpdateSchemaDoc{Account: "bob"},
		SetMasterKey{Account: "bob"},
		CreateAccessKey{Account: "bob"},
		UpdateAccessKey{Account: "bob"},
		DeleteAccessKey{Account: "bob"},
		ReserveRequests{Account: "bob", Requests: 1},
	} {
		w.refused(Header{Actor: Actor{Account: "ann", Key: "key"}}, c, storage.KindForbidden, "not_own_account")
	}
	w.sound(t)
}

// What is attached validates, and the revision of a schema is the one that was used.
func TestAttachSchema(t *testing.T) {
	t.Parallel()
	w := newCluster(t)
	n, one, two := w.collection("n"), w.schemaDoc(1), w.schemaDoc(2)
	w.must(CreateAccount{ID: "bob", Email: "bob@example.org"})
	bobs := mustBe[SchemaDoc](w, CreateSchemaDoc{Account: "bob", Random: RandomID{9}, Name: "b", CID: sized(9, 1)})
	attach := func(doc string) AttachSchema { return AttachSchema{Account: "ann", Collection: n.ID, SchemaDoc: doc} }
	w.refused(Header{}, attach(""), storage.KindNotFound, "schema_not_found")
	w.refused(Header{}, attach(bobs.ID), storage.KindNotFound, "schema_not_found")
	w.refused(Header{}, attach(n.ID), storage.KindNotFound, "schema_not_found")
	for _, d := range []SchemaDoc{one, two} {
		n.SchemaDoc = d.ID
		equal(t, "attached", w.must(attach(d.ID)), Attached{Collection: n, SchemaDoc: d})
	}
	c := w.newBin(5)
	c.Collection, c.SchemaDoc, c.SchemaRevision = n.ID, two.ID, 1
	id := mustBe[Bin](w, c).ID
	w.must(UpdateSchemaDoc{Account: "ann", ID: two.ID, Name: new("renamed")}) // is no other schema
	u := w.update(id, 6)
	u.SchemaDoc, u.SchemaRevision = two.ID, 1
	w.must(u)
	w.must(UpdateSchemaDoc{Account: "ann", ID: two.ID, CID: new(record(3)), Receipts: w.proof(record(3))})
	w.refused(Header{}, c, storage.KindConflict, "schema_changed")
	w.refused(Header{}, u, storage.KindConflict, "schema_changed")
	u.SchemaRevision = 2
	w.must(u)
	two, _, _ = w.f.SchemaDoc(two.ID)
	n.SchemaDoc = ""
	equal(t, "detached", w.must(attach("")), Attached{Collection: n, SchemaDoc: two})
	w.refused(Header{}, u, storage.KindConflict, "schema_changed")
	w.must(w.update(id, 7))
	w.must(attach(one.ID))
	w.must(DeleteCollection{Account: "ann", ID: n.ID})
	w.must(w.update(id, 8)) // nothing validates a bin in no collection
	w.sound(t)
}

func TestSchemaDocs(t *testing.T) {
	t.Parallel()
	w := newCluster(t)
	d := mustBe[SchemaDoc](w, CreateSchemaDoc{Account: "ann", Random: RandomID{1}, Name: "ä", CID: record(1), Receipts: w.proof(record(1))})
	want := SchemaDoc{ID: fmt.Sprintf("%012x010000000000", testStart), Account: "ann", Name: "ä", Created: testStart, CID: record(1), Revision: 1}
	equal(t, "value", d, want)
	want.Name = "b"
	equal(t, "renamed", w.must(UpdateSchemaDoc{Account: "ann", ID: d.ID, Name: new("b")}), want)
	want.CID, want.Revision = record(2), 2
	equal(t, "replaced", w.must(UpdateSchemaDoc{Account: "ann", ID: d.ID, CID: new(record(2)), Receipts: w.proof(record(2))}), want)
	equal(t, "used", w.account("ann").UsedBytes, int64(1000))
	equal(t, "the old one dies", w.blob(record(1)).Alive, false)
	got, found, err := w.f.SchemaDoc(d.ID)
	equal(t, "read", []any{got, found, err}, []any{want, true, nil})
	equal(t, "count", w.f.Counts().SchemaDocs, int64(1))

	w.must(CreateAccount{ID: "bob", Email: "bob@example.org"})
	w.must(UpdateAccount{ID: "ann", QuotaBytes: new(int64(1999))})
	w.must(BlockContent{CID: record(9), Block: true})
	good := CreateSchemaDoc{Account: "ann", Random: RandomID{2}, CID: record(3), Receipts: w.proof(record(3))}
	for _, c := range []struct {
		c    Command
		kind storage.Kind
		code string
	}{
		{good, storage.KindFull, "insufficient_storage"},
		{CreateSchemaDoc{Account: "ann", CID: record(3)}, storage.KindUnavailable, "not_enough_replicas"},
		{CreateSchemaDoc{Account: "ann", CID: record(9)}, storage.KindForbidden, "content_blocked"},
		{CreateSchemaDoc{Account: "zoe", CID: sized(9, 1)}, storage.KindNotFound, "not_found"},
		{UpdateSchemaDoc{Account: "bob", ID: d.ID}, storage.KindNotFound, "schema_not_found"},
		{UpdateSchemaDoc{Account: "ann", ID: "x"}, storage.KindNotFound, "schema_not_found"},
		{UpdateSchemaDoc{Account: "ann", ID: d.ID, CID: new(record(3))}, storage.KindUnavailable, "not_enough_replicas"},
		{UpdateSchemaDoc{Account: "ann", ID: d.ID, CID: new(sized(3000, 1)), Receipts: w.proof(sized(3000, 1))}, storage.KindFull, "insufficient_storage"},
	} {
		w.refused(Header{}, c.c, c.kind, c.code)
	}
	w.must(UpdateSchemaDoc{Account: "ann", ID: d.ID, CID: new(record(3)), Receipts: w.proof(record(3))})
	w.sound(t)
}

// Lists are in the order of ids, both ways, from after any id, in pages.
func TestBinLists(t *testing.T) {
	t.Parallel()
	w := newCluster(t)
	n := w.collection("n")
	var in, out []string
	for i := range byte(10) {
		c := w.newBin(i)
		if i%2 == 0 {
			c.Collection = n.ID
			in = append(in, mustBe[Bin](w, c).ID)
		} else {
			out = append(out, mustBe[Bin](w, c).ID)
		}
	}
	down := slices.Clone(in)
	slices.Reverse(down)
	for _, c := range []struct {
		list BinList
		want []string
	}{
		{BinList{Collection: n.ID, Ascending: true, Limit: 10}, in},
		{BinList{Collection: n.ID, Limit: 10}, down},
		{BinList{Ascending: true, Limit: 10}, out},
		{BinList{Collection: n.ID, Limit: 2}, down[:2]},
		{BinList{Collection: n.ID, Limit: 2, After: down[1]}, down[2:4]},
		{BinList{Collection: n.ID, Ascending: true, Limit: 2, After: in[1]}, in[2:4]},
		{BinList{Collection: n.ID, Ascending: true, Limit: 9, After: out[1]}, in[2:]}, // in another list
		{BinList{Collection: n.ID, Limit: 9, After: out[1]}, down[3:]},
		{BinList{Collection: n.ID, Ascending: true, Limit: 9, After: in[4]}, []string{}},
		{BinList{Collection: n.ID, Limit: 9, After: in[0]}, []string{}},
		{BinList{Collection: n.ID, Skip: 2, Limit: 2}, down[2:4]},
		{BinList{Collection: n.ID, Ascending: true, Skip: 4, Limit: 2}, in[4:]},
		{BinList{Collection: n.ID, Skip: 5, Limit: 2}, []string{}},
		{BinList{Collection: "x", Limit: 2}, []string{}},
		{BinList{Account: "bob", Limit: 2}, []string{}},
		{BinList{Collection: n.ID, Limit: 0}, []string{}},
	} {
		equal(t, fmt.Sprintf("%+v", c.list), w.listed(c.list), c.want)
	}
	// A client may delete each page while it walks.
	var seen []string
	for after := ""; ; {
		page := w.listed(BinList{Collection: n.ID, Limit: 2, After: after})
		if len(page) == 0 {
			break
		}
		for _, id := range page {
			w.must(DeleteBin{ID: id})
			after = id
		}
		seen = append(seen, page...)
	}
	equal(t, "walked", seen, down)
	w.sound(t)
}

// The bins of a collection that is gone are in none from the commit on, for all
// who look, while they are moved a few at a time.
func TestDeleteCollectionWithBins(t *testing.T) {
	t.Parallel()
	w := newCluster(t)
	a, b := w.collection("a"), w.collection("b")
	var all, as []string
	for i := range byte(9) {
		c := w.newBin(i)
		c.Collection = []string{a.ID, b.ID, ""}[i%3]
		all = append(all, mustBe[Bin](w, c).ID)
		if i%3 == 0 {
			as = append(as, all[i])
		}
	}
	equal(t, "before", w.listed(BinList{Collection: a.ID, Ascending: true, Limit: 10}), as)
	w.must(DeleteCollection{Account: "ann", ID: a.ID})
	w.must(DeleteCollection{Account: "ann", ID: b.ID})
	down := slices.Clone(all)
	slices.Reverse(down)
	for swept := 0; ; swept++ {
		equal(t, "ascending", w.listed(BinList{Ascending: true, Limit: 20}), all)
		equal(t, "descending", w.listed(BinList{Limit: 20}), down)
		equal(t, "a part", w.listed(BinList{Ascending: true, After: all[1], Skip: 2, Limit: 4}), all[4:8])
		equal(t, "the other way", w.listed(BinList{After: all[7], Skip: 2, Limit: 4}), down[4:8])
		for _, id := range all {
			equal(t, "collection", w.bin(id).Collection, "")
		}
		w.sound(t)
		switch swept {
		case 1: // a change moves a bin
			w.must(RenameBin{ID: all[4], Name: "n"})
		case 2: // one that is gone is not moved
			w.must(DeleteBin{ID: all[7]})
			all, down = slices.Delete(all, 7, 8), slices.Delete(down, 1, 2)
			all = append(all, mustBe[Bin](w, w.newBin(1)).ID)
			down = slices.Insert(down, 0, all[8])
		}
		if !w.f.SweepDue(w.now) {
			break
		}
		w.must(Sweep{Limit: 1})
	}
	w.poke(func(x *tx) error {
		a, err := x.binAccount("ann")
		equal(t, "leaving", len(a.Leaving), 0)
		return err
	})
	equal(t, "revision", w.bin(all[0]).Revision, uint64(1))
}

// Only so many collections wait at a time: a list of bins looks at each.
func TestLeavingMax(t *testing.T) {
	t.Parallel()
	w := newCluster(t)
	last := ""
	for i := range leavingMax + 1 {
		last = w.collection(fmt.Sprint(i)).ID
		c := w.newBin(1)
		c.Collection = last
		w.must(c)
		if i < leavingMax {
			w.must(DeleteCollection{Account: "ann", ID: last})
		}
	}
	w.refused(Header{}, DeleteCollection{Account: "ann", ID: last}, storage.KindUnavailable, "busy")
	w.sweep(10)
	w.must(DeleteCollection{Account: "ann", ID: last})
	equal(t, "all", len(w.listed(BinList{Limit: 100})), leavingMax+1)
}

// What an account may have at most, and then one more.
func TestBinLimits(t *testing.T) {
	t.Parallel()
	w := newCluster(t)
	w.must(w.newBin(1))
	w.poke(func(x *tx) error {
		a, err := x.binAccount("ann")
		a.Bins, a.Collections, a.SchemaDocs = binsMax-1, collectionsMax-1, schemaDocsMax-1
		return errors.Join(err, x.putBinAccount("ann", a))
	})
	for _, c := range []func() Command{
		func() Command { return w.newBin(1) },
		func() Command { return CreateCollection{Account: "ann", Random: w.random()} },
		func() Command { return CreateSchemaDoc{Account: "ann", Random: w.random(), CID: sized(9, 1)} },
	} {
		w.must(c())
		w.refused(Header{}, c(), storage.KindForbidden, "owned_limit_reached")
	}
}
