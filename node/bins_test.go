package node_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"ringbin/node"
	"ringbin/storage"
)

// binRig is nodes with an account that has a master key.
type binRig struct {
	t       *testing.T
	nodes   []*node.Node
	op      node.Caller
	account string
	master  string
}

func newBinRig(t *testing.T, n int) *binRig {
	t.Helper()
	return binRigOf(t, open(t, n))
}

func binRigOf(t *testing.T, nodes []*node.Node) *binRig {
	t.Helper()
	r := &binRig{t: t, nodes: nodes}
	r.op = must(r.s(0).AuthenticateOperator(t.Context(), r.nodes[0].AdminToken()))(t)
	r.account, r.master = r.newAccount("a@example.com")
	return r
}

// newAccount makes an account with a master key.
func (r *binRig) newAccount(email string) (id, master string) {
	r.t.Helper()
	a, _, err := r.s(0).CreateAccount(r.t.Context(), r.op, node.NewAccount{Email: email, Name: "A"}, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	_, master, err = r.s(0).CreateKey(r.t.Context(), r.op, a.ID, node.NewKey{API: node.APIJSONBin})
	if err != nil {
		r.t.Fatal(err)
	}
	return a.ID, master
}

// s is the service of a node; there is no end of nodes.
func (r *binRig) s(i int) *node.Service { return r.nodes[i%len(r.nodes)].Service() }

// caller is the account's by its master key.
func (r *binRig) caller(i int) node.Caller {
	r.t.Helper()
	return must(r.s(i).AuthenticateBin(r.t.Context(), r.master, ""))(r.t)
}

func (r *binRig) bin(i int, b node.NewBin) node.Bin {
	r.t.Helper()
	return must(r.s(i).CreateBin(r.t.Context(), r.caller(i), b))(r.t)
}

func (r *binRig) update(i int, id string, u node.BinUpdate) node.UpdatedBin {
	r.t.Helper()
	return must(r.s(i).UpdateBin(r.t.Context(), r.caller(i), id, u))(r.t)
}

// record is a version of a bin as a node reads it now, and the bin's revision.
func (r *binRig) record(i int, id string, version int64) (string, uint64) {
	r.t.Helper()
	v := must(r.s(i).BinVersion(r.t.Context(), id, version))(r.t)
	return string(must(r.s(i).BinRecord(r.t.Context(), v))(r.t)), v.Bin.Revision
}

// must is what went well.
func must[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func wantCode(t *testing.T, what string, err error, kind storage.Kind, code string) {
	t.Helper()
	if storage.KindOf(err) != kind || storage.CodeOf(err) != code {
		t.Errorf("%s: %v (code %q), want kind %v, code %s", what, err, storage.CodeOf(err), kind, code)
	}
}

// recordOf is a record of about so many bytes with what a parser would change.
func recordOf(size int, mark string) []byte {
	return []byte(`{"b":1.0,"a":1e2,"a":"\u00e9","mark":"` + mark + `","fill":"` + strings.Repeat("x", size) + `"}`)
}

// Records come back byte by byte from every node, as soon as they were acknowledged.
func TestBinRecordsThroughAnyNode(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 3} {
		t.Run(fmt.Sprint(n, " nodes"), func(t *testing.T) {
			t.Parallel()
			r := newBinRig(t, n)
			for i, size := range []int{0, 10, 100, 5000, 300_000, 3 << 20} {
				record := recordOf(size, "first")
				b := r.bin(i, node.NewBin{Record: record, Private: true})
				for j := range r.nodes {
					if got, revision := r.record(j, b.ID, node.BinBase); got != string(record) || revision != 1 {
						t.Fatalf("%d bytes: node %d reads %d bytes at revision %d", size, j, len(got), revision)
					}
				}
				record = recordOf(size, "second")
				if u := r.update(i+1, b.ID, node.BinUpdate{Record: record}); u.Version != 0 || u.Bin.Revision != 2 {
					t.Fatalf("update made version %d, revision %d", u.Version, u.Bin.Revision)
				}
				for j := range r.nodes {
					if got, _ := r.record(j, b.ID, node.BinLatest); got != string(record) {
						t.Fatalf("%d bytes: node %d reads another record after the update", size, j)
					}
				}
			}
			for i, nd := range r.nodes {
				if a, err := nd.Audit(t.Context()); err != nil {
					t.Errorf("node %d: %+v: %v", i, a, err)
				}
			}
		})
	}
}

// The worked example of the contract.
func TestBinVersions(t *testing.T) {
	t.Parallel()
	r := newBinRig(t, 1)
	yes := true
	n := func(i int) []byte { return fmt.Appendf(nil, `{"n":%d}`, i) }
	b := r.bin(0, node.NewBin{Record: n(1), Private: true})
	for i, step := range []struct {
		record     int
		versioning *bool
		version    int64
	}{{2, nil, 0}, {3, &yes, 1}, {4, &yes, 2}, {5, nil, 0}} {
		u := r.update(0, b.ID, node.BinUpdate{Record: n(step.record), Versioning: step.versioning})
		if u.Version != step.version || u.Bin.Revision != uint64(i+2) {
			t.Fatalf("step %d made version %d at revision %d", i, u.Version, u.Bin.Revision)
		}
	}
	check := func(revision uint64, want map[int64]int) {
		t.Helper()
		for version, record := range want {
			if got, at := r.record(0, b.ID, version); got != string(n(record)) || at != revision {
				t.Errorf("version %d is %s at revision %d", version, got, at)
			}
		}
	}
	check(5, map[int64]int{node.BinBase: 2, 1: 3, 2: 5, node.BinLatest: 5})
	missing := must(r.s(0).BinVersion(t.Context(), b.ID, 3))(t)
	if missing.Found || missing.Bin.Versions != 2 {
		t.Errorf("version 3 of %d was found", missing.Bin.Versions)
	}
	_, err := r.s(0).BinRecord(t.Context(), missing)
	wantCode(t, "version 3", err, storage.KindNotFound, "version_not_found")

	if u := r.update(0, b.ID, node.BinUpdate{Record: n(5), Versioning: &yes}); u.Version != 3 {
		t.Errorf("made version %d", u.Version)
	}
	_, err = r.s(0).UpdateBin(t.Context(), r.caller(0), b.ID, node.BinUpdate{Record: n(6), IfMatch: &node.IfMatch{Revisions: []uint64{5}}})
	wantCode(t, "old revision", err, storage.KindPrecondition, "revision_mismatch")
	if e, ok := errors.AsType[*storage.Error](err); !ok || e.Details["revision"] != int64(6) {
		t.Errorf("the refusal tells %v", e.Details)
	}
	cleared := must(r.s(0).ClearVersions(t.Context(), r.caller(0), b.ID, true, nil))(t)
	if cleared.Versions != 3 || cleared.Deleted != 2 {
		t.Errorf("cleared %d versions, %d deleted", cleared.Versions, cleared.Deleted)
	}
	check(7, map[int64]int{node.BinBase: 5, node.BinLatest: 5})
	again := must(r.s(0).ClearVersions(t.Context(), r.caller(0), b.ID, false, nil))(t)
	if again.Versions != 0 || again.Bin.Revision != 7 {
		t.Errorf("clearing nothing: %+v", again)
	}
	if u := r.update(0, b.ID, node.BinUpdate{Record: n(7), Versioning: &yes}); u.Version != 1 {
		t.Errorf("made version %d after clearing", u.Version)
	}
}

// Equal records are one blob, and giving a bin the record that it has moves no bytes.
func TestEqualRecordsShareABlob(t *testing.T) {
	t.Parallel()
	r := newBinRig(t, 3)
	record := recordOf(100_000, "same")
	blobs := func() (sum int64) {
		for _, nd := range r.nodes {
			sum += nd.Service().PasteStats().Blobs
		}
		return sum
	}
	b := r.bin(0, node.NewBin{Record: record, Private: true})
	r.update(1, b.ID, node.BinUpdate{Record: record}) // the copy beyond the quorum is there, or this asks for it
	was := blobs()
	if was > 3 {
		t.Fatalf("%d copies of one record", was)
	}
	for i := range 6 {
		r.bin(i, node.NewBin{Record: record, Private: true})
		r.update(i, b.ID, node.BinUpdate{Record: record, Versioning: new(true)})
	}
	if is := blobs(); is > 3 {
		t.Errorf("%d copies of one record", is)
	}
	if got, revision := r.record(2, b.ID, node.BinLatest); got != string(record) || revision != 8 {
		t.Errorf("read %d bytes at revision %d", len(got), revision)
	}
}

// Of any number of writers on any nodes that know the same revision one succeeds.
func TestIfMatchLetsOneThrough(t *testing.T) {
	t.Parallel()
	r := newBinRig(t, 3)
	b := r.bin(0, node.NewBin{Record: recordOf(10, "first"), Private: true})
	const rounds, writers = 5, 9
	for round := range rounds {
		revision := uint64(round + 1)
		won := make([]bool, writers)
		var wg sync.WaitGroup
		for w := range writers {
			wg.Go(func() {
				c, err := r.s(w).AuthenticateBin(t.Context(), r.master, "")
				if err != nil {
					t.Error(err)
					return
				}
				_, err = r.s(w).UpdateBin(t.Context(), c, b.ID, node.BinUpdate{
					Record: recordOf(2000, fmt.Sprint(round, " ", w)), IfMatch: &node.IfMatch{Revisions: []uint64{revision, 1 << 40}},
				})
				won[w] = err == nil
				if err != nil {
					wantCode(t, "a writer that came late", err, storage.KindPrecondition, "revision_mismatch")
				}
			})
		}
		wg.Wait()
		var winners []int
		for w, ok := range won {
			if ok {
				winners = append(winners, w)
			}
		}
		if len(winners) != 1 {
			t.Fatalf("round %d: %d writers succeeded", round, len(winners))
		}
		want := string(recordOf(2000, fmt.Sprint(round, " ", winners[0])))
		if got, at := r.record(round, b.ID, node.BinLatest); got != want || at != revision+1 {
			t.Fatalf("round %d: the record is not the winner's, revision %d", round, at)
		}
	}
}

// Lists of revisions are as long as clients like.
func TestIfMatchOfManyRevisions(t *testing.T) {
	t.Parallel()
	r := newBinRig(t, 1)
	b := r.bin(0, node.NewBin{Record: []byte(`[1]`)})
	many := &node.IfMatch{}
	for i := range 5000 {
		many.Revisions = append(many.Revisions, uint64(5000-i))
	}
	for _, c := range []struct {
		name  string
		match *node.IfMatch
		ok    bool
	}{
		{"many with the right one", many, true},
		{"none at all", &node.IfMatch{}, false},
		{"only old ones", &node.IfMatch{Revisions: []uint64{0, 1}}, false},
		{"only new ones", &node.IfMatch{Revisions: []uint64{1 << 63}}, false},
		{"any", &node.IfMatch{Any: true}, true},
	} {
		_, err := r.s(0).UpdateBin(t.Context(), r.caller(0), b.ID, node.BinUpdate{Record: []byte(`[2]`), IfMatch: c.match})
		if c.ok != (err == nil) {
			t.Errorf("%s: %v", c.name, err)
		}
		if err != nil {
			wantCode(t, c.name, err, storage.KindPrecondition, "revision_mismatch")
		}
	}
}

// Who may do what to whose bins.
func TestBinRights(t *testing.T) {
	t.Parallel()
	r := newBinRig(t, 1)
	ctx, s := t.Context(), r.s(0)
	_, otherMaster := r.newAccount("b@example.com")
	other := must(s.AuthenticateBin(ctx, otherMaster, ""))(t)
	owner := r.caller(0)
	withKey := func(rights ...string) node.Caller {
		k := must(s.CreateAccessKey(ctx, owner, "k", rights))(t)
		return must(s.AuthenticateBin(ctx, "", k.Key))(t)
	}
	updates, reads, deletes := withKey(node.RightUpdate), withKey(node.RightRead), withKey(node.RightDelete)
	for _, c := range []struct {
		name            string
		caller          node.Caller
		private, public string // codes of updates; "": done
		remove          string
		rename          string
	}{
		{"owner", owner, "", "", "", ""},
		{"update", updates, "", "", "not_authorized", "auth_missing"},
		{"read", reads, "not_authorized", "", "not_authorized", "auth_missing"},
		{"delete", deletes, "not_authorized", "", "", "auth_missing"},
		{"other master", other, "not_authorized", "", "not_authorized", "bin_not_found"},
		{"nobody", node.Caller{}, "key_needed", "", "not_authorized", "auth_missing"},
	} {
		private := r.bin(0, node.NewBin{Record: []byte(`[1]`), Private: true})
		public := r.bin(0, node.NewBin{Record: []byte(`[1]`)})
		update := func(id string) error {
			_, err := s.UpdateBin(ctx, c.caller, id, node.BinUpdate{Record: []byte(`[2]`)})
			return err
		}
		_, renamed := s.RenameBin(ctx, c.caller, private.ID, "n", nil)
		_, removed := s.DeleteBin(ctx, c.caller, public.ID, nil)
		if removed != nil {
			if got := storage.CodeOf(update(public.ID)); got != c.public {
				t.Errorf("%s: update of a public bin: %q", c.name, got)
			}
		}
		for what, got := range map[string][2]string{
			"update of a private bin": {storage.CodeOf(update(private.ID)), c.private},
			"delete":                  {storage.CodeOf(removed), c.remove},
			"rename":                  {storage.CodeOf(renamed), c.rename},
		} {
			if got[0] != got[1] {
				t.Errorf("%s: %s: %q, want %q", c.name, what, got[0], got[1])
			}
		}
	}
	if _, err := s.SetSettings(ctx, r.op, node.SettingsPatch{JSONBin: &node.JSONBinPatch{PublicUpdate: new(false)}}); err != nil {
		t.Fatal(err)
	}
	public := r.bin(0, node.NewBin{Record: []byte(`[1]`)})
	_, err := s.UpdateBin(ctx, node.Caller{}, public.ID, node.BinUpdate{Record: []byte(`[2]`)})
	wantCode(t, "public update switched off", err, storage.KindUnauthenticated, "key_needed")
}

// A record that was validated by another schema than holds now is refused.
func TestSchemaUsed(t *testing.T) {
	t.Parallel()
	r := newBinRig(t, 3)
	ctx := t.Context()
	c := r.caller(0)
	schema := bytes.Repeat([]byte(`{"type":"object"}  `), 10)
	l := must(r.s(0).CreateCollection(ctx, c, "l"))(t)
	d := must(r.s(1).CreateSchemaDoc(ctx, c, "d", schema))(t)
	if _, _, found, err := r.s(2).SchemaFor(ctx, l.ID); found || err != nil {
		t.Fatalf("a schema before there is one: %v", err)
	}
	if got, doc, err := r.s(2).AttachSchema(ctx, c, l.ID, d.ID); err != nil || got.SchemaDoc != d.ID || doc.ID != d.ID {
		t.Fatalf("attached %q: %v", got.SchemaDoc, err)
	}
	now, text, found, err := r.s(0).SchemaFor(ctx, l.ID)
	if err != nil || !found || !bytes.Equal(text, schema) {
		t.Fatalf("found %t, %d bytes: %v", found, len(text), err)
	}
	create := func(used *node.SchemaUsed) error {
		_, err := r.s(1).CreateBin(ctx, c, node.NewBin{Record: []byte(`{}`), Collection: l.ID, Schema: used})
		return err
	}
	wantCode(t, "without", create(nil), storage.KindConflict, "schema_changed")
	used := &node.SchemaUsed{Doc: now.ID, Revision: now.Revision}
	if err := create(used); err != nil {
		t.Fatal(err)
	}
	must(r.s(2).RenameSchemaDoc(ctx, c, d.ID, "e"))(t)
	if err := create(used); err != nil {
		t.Errorf("after a rename: %v", err)
	}
	must(r.s(2).UpdateSchemaDoc(ctx, c, d.ID, []byte(`{"type":"array"}`), nil))(t)
	wantCode(t, "after a change", create(used), storage.KindConflict, "schema_changed")
	if _, doc, err := r.s(0).AttachSchema(ctx, c, l.ID, ""); err != nil || doc.ID != d.ID {
		t.Errorf("detached %s: %v", doc.ID, err)
	}
	if err := create(nil); err != nil {
		t.Errorf("after detaching: %v", err)
	}
}

// Lists have their order and pages, also while what they list goes.
func TestBinsOfCollection(t *testing.T) {
	t.Parallel()
	r := newBinRig(t, 3)
	ctx, c := t.Context(), r.caller(0)
	l := must(r.s(0).CreateCollection(ctx, c, "l"))(t)
	var ids []string
	for i := range 25 {
		ids = append(ids, r.bin(i, node.NewBin{Record: fmt.Appendf(nil, "[%d]", i), Collection: l.ID}).ID)
		r.bin(i, node.NewBin{Record: []byte(`[0]`)})
	}
	page := func(w node.CollectionBins) (got []string) {
		t.Helper()
		for _, b := range must(r.s(1).BinsOfCollection(ctx, c, w))(t) {
			got = append(got, b.ID)
		}
		return got
	}
	var walked []string
	for after := ""; ; {
		p := page(node.CollectionBins{Collection: l.ID, After: after, Ascending: true})
		if len(p) == 0 {
			break
		}
		walked = append(walked, p...)
		after = p[len(p)-1]
		for _, id := range p {
			must(r.s(2).DeleteBin(ctx, c, id, nil))(t)
		}
	}
	if fmt.Sprint(walked) != fmt.Sprint(ids) {
		t.Errorf("walked %d of %d bins", len(walked), len(ids))
	}
	if p := page(node.CollectionBins{Page: 3}); len(p) != 5 {
		t.Errorf("third page has %d bins", len(p))
	}
	_, otherMaster := r.newAccount("b@example.com")
	other := must(r.s(1).AuthenticateBin(ctx, otherMaster, ""))(t)
	_, err := r.s(0).BinsOfCollection(ctx, other, node.CollectionBins{Collection: l.ID})
	wantCode(t, "another's collection", err, storage.KindNotFound, "collection_not_found")
}

// Nothing is read, and nothing told missing, by who can't know what is there.
func TestBinReadsNeedALeader(t *testing.T) {
	t.Parallel()
	r := newBinRig(t, 1)
	b := r.bin(0, node.NewBin{Record: []byte(`[1]`)})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := r.s(0).Bin(ctx, b.ID)
	wantCode(t, "a read that could not ask", err, storage.KindUnavailable, "no_leader")
}
