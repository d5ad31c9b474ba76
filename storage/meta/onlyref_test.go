package meta

import (
	"testing"

	"github.com/cockroachdb/pebble/v2"

	"ringbin/storage"
)

// placed is how many references of content lie in its record, and in rows.
func (w *world) placed(t *testing.T, cid storage.CID) (only bool, rows int) {
	t.Helper()
	err := w.f.view("test", func(r pebble.Reader) error {
		b, _, err := lookUp[blobRecord](r, key(tableBlobs).cid(cid))
		if err != nil {
			return err
		}
		only = b.Only.Kind != 0
		prefix := key(tableRefs).cid(cid)
		keys, err := keysIn(r, prefix, past(prefix), 10)
		rows = len(keys)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return only, rows
}

// The only reference lies in the record of its content. The second moves it out
// of there, and nothing moves it back until there is none.
func TestOnlyReference(t *testing.T) {
	t.Parallel()
	w := newCluster(t)
	w.must(CreateAccount{ID: "bob", Email: "bob@example.org", BalanceCents: 1000, EntryID: "opening-bob"})
	cid := sized(1<<20, 1)
	first := w.mustUpload(w.upload("ann", cid, 30)).Uploaded
	for _, step := range []struct {
		what     string
		do       func()
		only     bool
		rows     int
		uploaded int64
		days     int64 // until the last one expires, from the start
	}{
		{"one", func() {}, true, 0, first, 30},
		{"lengthened", func() { w.must(Extend{Account: "ann", CID: cid, Days: 10, EntryID: "longer"}) }, true, 0, first, 40},
		{"a second one", func() { w.mustUpload(w.upload("bob", cid, 90)) }, false, 2, first, 90},
		{"the second one goes", func() { w.must(DeleteReference{Account: "bob", CID: cid}) }, false, 1, first, 40},
		{"the first one goes", func() { w.must(DeleteReference{Account: "ann", CID: cid}) }, false, 0, 0, 0},
		{"another one", func() { w.mustUpload(w.upload("bob", cid, 50)) }, true, 0, first, 50},
		{"of a paste", func() { w.must(w.paste("paste", "ann", cid)) }, false, 2, first, 50},
	} {
		step.do()
		only, rows := w.placed(t, cid)
		if only != step.only || rows != step.rows {
			t.Errorf("%s: in the record %t, rows %d, want %t and %d", step.what, only, rows, step.only, step.rows)
		}
		b, _, err := w.f.Blob(cid, w.now)
		want := step.days
		if want > 0 {
			want = testStart + want*dayMillis
		}
		if err != nil || b.Expires != want || b.Uploaded != step.uploaded {
			t.Errorf("%s: uploaded %d, expires %d, %v; want %d and %d", step.what, b.Uploaded, b.Expires, err, step.uploaded, want)
		}
		if got := problemsOf(t, w.f); len(got) != 0 {
			t.Errorf("%s: problems %q", step.what, got)
		}
		if _, err := w.f.Audit(t.Context()); err != nil {
			t.Errorf("%s: %v", step.what, err)
		}
	}
}

// An only reference that says something else than its indexes is told.
func TestCheckFindsWrongOnlyReference(t *testing.T) {
	t.Parallel()
	w := checkedWorld(t)
	cid := sized(5, 2)
	w.poke(func(x *tx) error {
		b, _, err := x.blob(cid)
		if err != nil {
			return err
		}
		b.Only.Ref.Expires++
		return x.putBlob(cid, b)
	})
	if got := problemsOf(t, w.f); len(got) == 0 {
		t.Error("nothing is told")
	}
}
