package meta

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"ringbin/storage"
)

// binWorld has a row in every table of JSONBin, and some that wait to be swept.
func binWorld(t *testing.T) (w *world, bin, gone Bin) {
	t.Helper()
	w = newCluster(t)
	w.must(SetMasterKey{Account: "ann", Random: w.random(), Hash: secret(1)})
	w.must(w.newAccessKey(2))
	kept, left := w.collection("kept"), w.collection("left")
	doc := w.schemaDoc(1)
	w.must(AttachSchema{Account: "ann", Collection: kept.ID, SchemaDoc: doc.ID})
	fill := func(collection string) string {
		c := w.newBin(2)
		if c.Collection = collection; collection == kept.ID {
			c.SchemaDoc, c.SchemaRevision = doc.ID, 1
		}
		id := mustBe[Bin](w, c).ID
		for n := range byte(2) {
			u := w.update(id, 3+n)
			u.Versioning, u.SchemaDoc, u.SchemaRevision = new(true), c.SchemaDoc, c.SchemaRevision
			w.must(u)
		}
		return id
	}
	bin, gone = w.bin(fill(kept.ID)), w.bin(fill(left.ID))
	fill(left.ID)
	w.must(ClearVersions{ID: gone.ID})
	w.must(DeleteCollection{Account: "ann", ID: left.ID})
	return w, bin, gone
}

func told(t *testing.T, w *world) string {
	t.Helper()
	return strings.Join(problemsOf(t, w.f), "\n")
}

// Each row of JSONBin that goes without a trace is told.
func TestCheckFindsMissingBinRows(t *testing.T) {
	t.Parallel()
	good, _, _ := binWorld(t)
	good.sound(t)
	for table, want := range map[byte]string{
		tableBins: "the lists of bins has", tableBinsOf: "in its list is missing", tableBinVersions: "has not 2 versions",
		tableBinAccounts: "JSONBin's record of account ann", tableCollections: "which is not there", tableCollectionsOf: "in the list of account ann",
		tableSchemaDocs: "schema doc", tableRefs: "the reference of", tableKeysOf: "of account ann", tableDue: "wait for nothing",
	} {
		var rows [][]byte
		for k := range good.content() {
			if k[0] == table {
				rows = append(rows, []byte(k))
			}
		}
		if len(rows) == 0 {
			t.Errorf("table 0x%02x has no row", table)
		}
		all := ""
		for _, row := range rows {
			w, _, _ := binWorld(t)
			w.poke(func(x *tx) error { return x.del(row) })
			problems := told(t, w)
			if problems == "" {
				t.Errorf("row %x is gone, and nothing is told", row)
			}
			all += problems + "\n"
		}
		if !strings.Contains(all, want) {
			t.Errorf("rows of table 0x%02x are gone; told:\n%s\nwant %s", table, all, want)
		}
	}
}

// Records that are there, and wrong, are told; and a row that nothing needs.
func TestCheckFindsWrongBins(t *testing.T) {
	t.Parallel()
	alter := func(change func(*Bin)) func(*tx, Bin, Bin) error {
		return func(x *tx, b, _ Bin) error {
			change(&b)
			return write(x, binKey(b.ID), b)
		}
	}
	for name, c := range map[string]struct {
		damage func(x *tx, b, gone Bin) error
		want   string
	}{
		"one version too many": {alter(func(b *Bin) { b.Versions++ }), "has not 3 versions"},
		"one version unknown":  {alter(func(b *Bin) { b.Versions-- }), "is not the bin's, and waits for nothing"},
		"a clearing":           {alter(func(b *Bin) { b.Clearings++ }), "is not the bin's"},
		"another base":         {alter(func(b *Bin) { b.Base = record(4) }), "the reference of"},
		"a base taken":         {alter(func(b *Bin) { b.BaseTaken = true }), "which holds a reference to"},
		"another collection":   {alter(func(b *Bin) { b.Collection = "x" }), "in its list"},
		"another account":      {alter(func(b *Bin) { b.Account = "bob" }), "account bob"},
		"another version's record": {func(x *tx, b, _ Bin) error {
			return write(x, b.version(1).key(), versionRecord{CID: record(9)})
		}, "the reference of"},
		"a version of a bin that is not": {func(x *tx, b, _ Bin) error {
			b.ID = "x"
			return write(x, b.version(1).key(), versionRecord{CID: record(9), Taken: true})
		}, "version 1 of bin x is not the bin's"},
		"a reference of nobody": {func(x *tx, _, _ Bin) error {
			h := held{holder: "bx", account: "ann", cid: record(2)}
			return plantRef(x, h.ref(), h.record())
		}, `"bx", which holds a reference to`},
		"a reference for another account": {func(x *tx, b, _ Bin) error {
			h := b.base()
			h.account = "bob"
			return write(x, h.ref().key(), h.record())
		}, "names another one"},
		"counts": {func(x *tx, _, _ Bin) error {
			a, err := x.binAccount("ann")
			a.Bins++
			return errors.Join(err, x.putBinAccount("ann", a))
		}, "account ann counts 4 bins"},
		"a collection that is there is gone": {func(x *tx, b, _ Bin) error {
			a, err := x.binAccount("ann")
			a.Leaving = append(a.Leaving, b.Collection)
			return errors.Join(err, x.putBinAccount("ann", a))
		}, "is noted as gone"},
		"the end of versions that are there": {func(x *tx, b, _ Bin) error {
			return x.setEnd(1, endOfVersions, clearedID(b.ID, b.Clearings))
		}, "is the end of nothing"},
		"the end of a collection that is there": {func(x *tx, b, _ Bin) error {
			return x.setEnd(1, endOfCollection, leavingID("ann", b.Collection))
		}, "is the end of nothing"},
		"a schema doc of none": {func(x *tx, b, _ Bin) error {
			return change(x, collectionKey(b.Collection), func(c *Collection) { c.SchemaDoc = "x" })
		}, "schema doc x of collection"},
	} {
		w, b, gone := binWorld(t)
		w.poke(func(x *tx) error { return c.damage(x, b, gone) })
		if all := told(t, w); !strings.Contains(all, c.want) {
			t.Errorf("%s; told:\n%s\nwant %s", name, all, c.want)
		}
	}
}

// An audit finds accounts that count what they do not have.
func TestAuditOfBins(t *testing.T) {
	t.Parallel()
	for _, change := range []func(*binAccount){
		func(a *binAccount) { a.Bins-- }, func(a *binAccount) { a.Collections++ }, func(a *binAccount) { a.SchemaDocs++ },
	} {
		w, _, _ := binWorld(t)
		w.poke(func(x *tx) error {
			a, err := x.binAccount("ann")
			change(&a)
			return errors.Join(err, x.putBinAccount("ann", a))
		})
		if _, err := w.f.Audit(t.Context()); storage.KindOf(err) != storage.KindCorrupt {
			t.Error(err)
		}
	}
}

// A snapshot has it all, and what waits is swept behind it alike.
func TestBinSnapshot(t *testing.T) {
	t.Parallel()
	w, _, _ := binWorld(t)
	b := snapshotOf(t, w.f)
	other := newWorld(t)
	if err := restore(other.f, b); err != nil {
		t.Fatal(err)
	}
	other.log, other.now, other.ids = w.log, w.now, w.ids
	equal(t, "state hash", stateHash(t, other.f), stateHash(t, w.f))
	equal(t, "counts", other.f.Counts(), w.f.Counts())
	equal(t, "again", bytes.Equal(snapshotOf(t, other.f), b), true)
	w.sweep(2)
	other.sweep(2)
	equal(t, "state hash", stateHash(t, other.f), stateHash(t, w.f))
	other.sound(t)
}
