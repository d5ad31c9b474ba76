package meta

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"ringbin/storage"
)

// record names content of some size that a bin may hold: equal numbers, equal content.
func record(n byte) storage.CID { return sized(1000, n) }

func (w *world) random() RandomID { return RandomID{0xfe, 5: byte(w.ids)} }

// proof are the receipts that content needs.
func (w *world) proof(cid storage.CID) []storage.Receipt {
	if cid.Inline() {
		return nil
	}
	return w.receipts(cid, "n1", "n2", "n3")
}

// newBin is the command of a private bin of ann's that all owners have.
func (w *world) newBin(n byte) CreateBin {
	return CreateBin{Account: "ann", Random: w.random(), CID: record(n), Private: true, Receipts: w.proof(record(n))}
}

// update is the command of an update, without a header about versions.
func (w *world) update(id string, n byte) UpdateBin {
	return UpdateBin{ID: id, CID: record(n), Receipts: w.proof(record(n))}
}

// mustBe is must for commands whose value tests look into.
func mustBe[T any](w *world, c Command) T {
	w.t.Helper()
	v, ok := w.must(c).(T)
	if !ok {
		w.t.Fatalf("%T has another value", c)
	}
	return v
}

func (w *world) bin(id string) Bin {
	w.t.Helper()
	b, found, err := w.f.Bin(id)
	if err != nil || !found {
		w.t.Fatalf("bin %s: %t, %v", id, found, err)
	}
	return b
}

// sweep sweeps until nothing is due, so many at once.
func (w *world) sweep(limit int) {
	w.t.Helper()
	for sweeps := 0; w.f.SweepDue(w.now); sweeps++ {
		if res := mustBe[SweepResult](w, Sweep{Limit: limit}); res.Removed > limit {
			w.t.Fatalf("a sweep of %d removes %d", limit, res.Removed)
		}
		if sweeps > 100_000 {
			w.t.Fatal("a sweep has no end")
		}
	}
}

func TestCreateBin(t *testing.T) {
	t.Parallel()
	w := newCluster(t)
	c := w.newBin(1)
	c.Random = RandomID{0, 1, 2, 3, 4, 0xff}
	c.Name = "Änn's"
	want := Bin{
		ID: fmt.Sprintf("%012x0001020304ff", testStart), Account: "ann", Name: "Änn's", Private: true, Revision: 1, Created: testStart, Base: record(1),
	}
	equal(t, "value", w.must(c), want)
	equal(t, "read", w.bin(want.ID), want)
	equal(t, "used", w.account("ann").UsedBytes, int64(1000))
	equal(t, "nothing is charged", w.account("ann").BalanceCents, int64(1000))
	counts := w.f.Counts()
	equal(t, "counts", []int64{counts.Bins, counts.References, counts.Blobs}, []int64{1, 1, 1})
	b := w.blob(record(1))
	equal(t, "alive, and not shown elsewhere", []bool{b.Alive, b.Shown}, []bool{true, false})
	w.sound(t)
	_, found, err := w.f.Bin("018bcfe568000001020304fe")
	equal(t, "another", []any{found, err}, []any{false, nil})
}

// Ids rise strictly within an account, whatever is made, also when time stands still or a
// leader's clock is behind; other accounts' have nothing to do with them.
func TestIDOrder(t *testing.T) {
	t.Parallel()
	w := newCluster(t)
	w.must(CreateAccount{ID: "bob", Email: "bob@example.org"})
	var ids []string
	var created []int64
	for i := range 3 {
		b := mustBe[Bin](w, w.newBin(byte(i)))
		n := mustBe[Collection](w, CreateCollection{Account: "ann", Random: RandomID{1}, Name: "n"})
		d := mustBe[SchemaDoc](w, CreateSchemaDoc{Account: "ann", Name: "d", CID: sized(9, 1)})
		k := mustBe[Key](w, CreateAccessKey{Account: "ann", Name: "k", Hash: [32]byte{byte(i)}})
		ids = append(ids, b.ID, n.ID, d.ID, k.ID)
		created = append(created, b.Created, n.Created, d.Created, k.Created)
		w.now -= minute
	}
	for i := range ids {
		equal(t, "created", created[i], testStart+int64(i))
		equal(t, "id", ids[i][:12], fmt.Sprintf("%012x", created[i]))
		equal(t, "length", len(ids[i]), 24)
	}
	equal(t, "sorted", slices.IsSorted(ids), true)
	c := w.newBin(1)
	c.Account = "bob"
	equal(t, "bob's", mustBe[Bin](w, c).Created, testStart)
	w.now = testStart + minute
	equal(t, "later", mustBe[Bin](w, w.newBin(1)).Created, w.now)
}

func TestCreateBinRefuses(t *testing.T) {
	t.Parallel()
	w := newCluster(t)
	w.must(CreateAccount{ID: "bob", Email: "bob@example.org"})
	w.must(CreateAccount{ID: "eve", Email: "eve@example.org"})
	w.must(UpdateAccount{ID: "bob", QuotaBytes: new(int64(999))})
	w.must(BlockContent{CID: record(9), Block: true})
	w.must(testKey("key", 1))
	own := mustBe[Collection](w, CreateCollection{Account: "ann", Random: RandomID{1}, Name: "own"})
	foreign := mustBe[Collection](w, CreateCollection{Account: "bob", Random: RandomID{3}, Name: "foreign"})
	doc := mustBe[SchemaDoc](w, CreateSchemaDoc{Account: "ann", Random: RandomID{1}, Name: "doc", CID: sized(9, 1)})
	strict := mustBe[Collection](w, CreateCollection{Account: "ann", Random: RandomID{2}, Name: "strict"})
	w.must(AttachSchema{Account: "ann", Collection: strict.ID, SchemaDoc: doc.ID})
	evil := w.newBin(1)
	evil.Account = "eve"
	w.must(evil)
	none := Header{}
	anns := Header{Actor: Actor{Account: "ann", Key: "key"}}
	for name, c := range map[string]struct {
		header Header
		change func(*CreateBin)
		kind   storage.Kind
		code   string
	}{
		"another's account":   {anns, func(c *CreateBin) { c.Account = "bob" }, storage.KindForbidden, "not_own_account"},
		"no account":          {none, func(c *CreateBin) { c.Account = "zoe" }, storage.KindNotFound, "not_found"},
		"no collection":       {none, func(c *CreateBin) { c.Collection = doc.ID }, storage.KindNotFound, "collection_not_found"},
		"foreign collection":  {none, func(c *CreateBin) { c.Collection = foreign.ID }, storage.KindNotFound, "collection_not_found"},
		"schema not used":     {none, func(c *CreateBin) { c.Collection = strict.ID }, storage.KindConflict, "schema_changed"},
		"older schema":        {none, func(c *CreateBin) { c.Collection, c.SchemaDoc = strict.ID, doc.ID }, storage.KindConflict, "schema_changed"},
		"schema of none":      {none, func(c *CreateBin) { c.SchemaDoc, c.SchemaRevision = doc.ID, 1 }, storage.KindConflict, "schema_changed"},
		"schema of no such":   {none, func(c *CreateBin) { c.Collection, c.SchemaDoc, c.SchemaRevision = own.ID, doc.ID, 1 }, storage.KindConflict, "schema_changed"},
		"taken down":          {none, func(c *CreateBin) { c.CID = record(9) }, storage.KindForbidden, "content_blocked"},
		"no receipts":         {none, func(c *CreateBin) { c.Receipts = nil }, storage.KindUnavailable, "not_enough_replicas"},
		"one receipt":         {none, func(c *CreateBin) { c.Receipts = c.Receipts[:1] }, storage.KindUnavailable, "not_enough_replicas"},
		"receipts of another": {none, func(c *CreateBin) { c.CID = record(2) }, storage.KindUnavailable, "not_enough_replicas"},
		"quota":               {none, func(c *CreateBin) { c.Account = "bob" }, storage.KindFull, "insufficient_storage"},
	} {
		b := w.newBin(1)
		c.change(&b)
		t.Log(name)
		w.refused(c.header, b, c.kind, c.code)
	}
	good := w.newBin(1)
	good.Collection, good.SchemaDoc, good.SchemaRevision = strict.ID, doc.ID, 1
	w.mustAs(anns, good)
	w.sound(t)
}

// An id that another account's bin has, of the same millisecond, is refused, and another draw of luck is not.
func TestIDTaken(t *testing.T) {
	t.Parallel()
	w := newCluster(t)
	w.must(CreateAccount{ID: "bob", Email: "bob@example.org"})
	c := w.newBin(1)
	w.must(c)
	c.Account = "bob"
	w.refused(Header{}, c, storage.KindConflict, "id_taken")
	c.Random[0]++
	w.must(c)
}

func TestUpdateBinRefuses(t *testing.T) {
	t.Parallel()
	w := newCluster(t)
	w.must(CreateAccount{ID: "bob", Email: "bob@example.org"})
	w.must(testKey("key", 1))
	w.must(CreateKey{ID: "bobs", Account: "bob", API: APIJSONBin, Hash: [32]byte{7}})
	w.must(BlockContent{CID: record(9), Block: true})
	private := mustBe[Bin](w, w.newBin(1)).ID
	c := w.newBin(1)
	c.Private = false
	public := mustBe[Bin](w, c).ID
	doc := mustBe[SchemaDoc](w, CreateSchemaDoc{Account: "ann", Random: RandomID{1}, Name: "doc", CID: sized(9, 1)})
	n := mustBe[Collection](w, CreateCollection{Account: "ann", Random: RandomID{2}, Name: "strict"})
	c = w.newBin(1)
	c.Collection = n.ID
	strict := mustBe[Bin](w, c).ID
	w.must(AttachSchema{Account: "ann", Collection: n.ID, SchemaDoc: doc.ID})
	w.must(UpdateAccount{ID: "ann", QuotaBytes: new(int64(3500))})
	none := Header{}
	for name, c := range map[string]struct {
		header Header
		bin    string
		change func(*UpdateBin)
		kind   storage.Kind
		code   string
	}{
		"no bin":             {none, n.ID, func(*UpdateBin) {}, storage.KindNotFound, "bin_not_found"},
		"another's key":      {Header{Actor: Actor{Account: "bob", Key: "bobs"}}, private, func(*UpdateBin) {}, storage.KindForbidden, "not_own_account"},
		"private by now":     {none, private, func(c *UpdateBin) { c.Keyless = true }, storage.KindUnauthenticated, "key_needed"},
		"schema not used":    {none, strict, func(*UpdateBin) {}, storage.KindConflict, "schema_changed"},
		"other revision":     {none, strict, func(c *UpdateBin) { c.SchemaDoc, c.SchemaRevision = doc.ID, 2 }, storage.KindConflict, "schema_changed"},
		"other tag":          {none, public, func(c *UpdateBin) { c.IfMatch = &Match{Revisions: []uint64{2, 3}} }, storage.KindPrecondition, "revision_mismatch"},
		"no tag":             {none, public, func(c *UpdateBin) { c.IfMatch = &Match{} }, storage.KindPrecondition, "revision_mismatch"},
		"too many tags":      {none, public, func(c *UpdateBin) { c.IfMatch = &Match{Revisions: make([]uint64, MatchMax+1)} }, storage.KindInvalid, "invalid_parameter"},
		"taken down":         {none, public, func(c *UpdateBin) { c.CID = record(9) }, storage.KindForbidden, "content_blocked"},
		"no receipts":        {none, public, func(c *UpdateBin) { c.Receipts = nil }, storage.KindUnavailable, "not_enough_replicas"},
		"quota of a version": {none, public, func(*UpdateBin) {}, storage.KindFull, "insufficient_storage"},
	} {
		u := w.update(c.bin, 2)
		c.change(&u)
		t.Log(name)
		w.refused(c.header, u, c.kind, c.code)
	}
	w.must(w.update(private, 2)) // in the place of what it had: no bytes more
	equal(t, "used", w.account("ann").UsedBytes, int64(3000))

	w.must(SetSettings{Patch: SettingsPatch{JSONBin: &JSONBinPatch{PublicUpdate: new(false), Versioning: new(false)}}})
	u := w.update(public, 3)
	u.Keyless = true
	w.refused(none, u, storage.KindUnauthenticated, "key_needed")
	u.Keyless, u.Versioning = false, new(true)
	u.IfMatch = &Match{} // what comes first is told
	w.refused(none, u, storage.KindForbidden, "versioning_off")
	u.Versioning, u.IfMatch = nil, nil
	equal(t, "every other update makes no version", mustBe[BinUpdate](w, u).Version, int64(0))
	w.sound(t)
}

// When an update makes a version, and when not.
func TestVersioned(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		private, master bool
		header          *bool
		want            bool
	}{
		{private: true, want: false},
		{private: true, header: new(true), want: true},
		{private: true, header: new(false), want: false},
		{private: true, master: true, want: false},
		{private: true, master: true, header: new(true), want: true},
		{want: true},
		{header: new(true), want: true},
		{header: new(false), want: true}, // only the master key turns it off
		{master: true, want: true},
		{master: true, header: new(true), want: true},
		{master: true, header: new(false), want: false},
	} {
		w := newCluster(t)
		b := w.newBin(1)
		b.Private = c.private
		u := w.update(mustBe[Bin](w, b).ID, 2)
		u.Master, u.Versioning, u.Keyless = c.master, c.header, !c.private && !c.master
		if got := mustBe[BinUpdate](w, u); (got.Version == 1) != c.want || got.Bin.Versions != got.Version {
			t.Errorf("%+v: %+v", c, got)
		}
	}
}

// The change of who knows the bin as it is goes through; of any number of
// writers with one tag exactly one is.
func TestIfMatch(t *testing.T) {
	t.Parallel()
	w := newCluster(t)
	id := mustBe[Bin](w, w.newBin(1)).ID
	tag := func(r ...uint64) *Match { return &Match{Revisions: r} }
	var entry [][]byte
	var waits []*Pending
	for i := range byte(20) { // in one entry, as the leader batches them
		h := Header{}
		u := w.update(id, i)
		u.IfMatch = tag(1)
		entry = append(entry, w.encoded(&h, u))
		waits = append(waits, w.f.Expect(h.ID))
	}
	if err := w.f.Apply(w.append(entry...)); err != nil {
		t.Fatal(err)
	}
	won := 0
	for _, p := range waits {
		r := <-p.Done()
		switch {
		case r.Err == nil:
			won++
		case r.Err.Code != "revision_mismatch" || r.Err.Kind != storage.KindPrecondition:
			t.Error(r.Err)
		default:
			equal(t, "current revision", r.Err.Details, map[string]any{"revision": int64(2)})
		}
	}
	equal(t, "winners", won, 1)
	equal(t, "bin", []any{w.bin(id).Revision, w.bin(id).Base}, []any{uint64(2), record(0)})

	wrong, right := tag(1), tag(7, 2)
	for _, c := range []Command{
		RenameBin{ID: id, Name: "n", IfMatch: wrong},
		SetBinPrivacy{ID: id, IfMatch: wrong},
		DeleteBin{ID: id, IfMatch: wrong},
		ClearVersions{ID: id, IfMatch: wrong}, // also where there is nothing to clear
	} {
		equal(t, fmt.Sprintf("%T", c), w.refused(Header{}, c, storage.KindPrecondition, "revision_mismatch"), map[string]any{"revision": int64(2)})
	}
	equal(t, "renamed", mustBe[Bin](w, RenameBin{ID: id, Name: "n", IfMatch: right}).Revision, uint64(3))
	equal(t, "public", mustBe[Bin](w, SetBinPrivacy{ID: id, IfMatch: &Match{Any: true}}).Revision, uint64(4))
	equal(t, "deleted", mustBe[Bin](w, DeleteBin{ID: id, IfMatch: tag(4)}).Revision, uint64(4))
	w.refused(Header{}, DeleteBin{ID: id, IfMatch: &Match{Any: true}}, storage.KindNotFound, "bin_not_found")
}

// One request makes one version at most, however often it is proposed.
func TestUpdateBinOnce(t *testing.T) {
	t.Parallel()
	w := newCluster(t)
	id := mustBe[Bin](w, w.newBin(1)).ID
	h := Header{ID: w.nextID()}
	u := w.update(id, 2)
	u.Versioning = new(true)
	first := w.mustAs(h, u)
	equal(t, "again", w.mustAs(h, u), first)
	equal(t, "versions", w.bin(id).Versions, int64(1))
}

func TestChangeBin(t *testing.T) {
	t.Parallel()
	w := newCluster(t)
	want := mustBe[Bin](w, w.newBin(1))
	want.Name, want.Revision = "ä", 2
	equal(t, "renamed", w.must(RenameBin{ID: want.ID, Name: "ä"}), want)
	want.Private, want.Revision = false, 3
	equal(t, "public", w.must(SetBinPrivacy{ID: want.ID}), want)
	equal(t, "read", w.bin(want.ID), want)
	for _, c := range []Command{RenameBin{ID: "x"}, SetBinPrivacy{ID: "x"}, DeleteBin{ID: "x"}, ClearVersions{ID: "x"}} {
		w.refused(Header{}, c, storage.KindNotFound, "bin_not_found")
	}
	w.must(testKey("key", 1))
	w.must(CreateAccount{ID: "bob", Email: "bob@example.org"})
	c := w.newBin(1)
	c.Account = "bob"
	bobs := mustBe[Bin](w, c).ID
	for _, c := range []Command{RenameBin{ID: bobs}, SetBinPrivacy{ID: bobs}, DeleteBin{ID: bobs}, ClearVersions{ID: bobs}} {
		w.refused(Header{Actor: Actor{Account: "ann", Key: "key"}}, c, storage.KindForbidden, "not_own_account")
	}
	w.sound(t)
}

func TestDeleteBin(t *testing.T) {
	t.Parallel()
	w := newCluster(t)
	id := mustBe[Bin](w, w.newBin(1)).ID
	for i := range byte(3) {
		u := w.update(id, i)
		u.Versioning = new(true)
		w.must(u)
	}
	want := w.bin(id)
	equal(t, "value", w.must(DeleteBin{ID: id}), want)
	_, found, err := w.f.Bin(id)
	equal(t, "found", []any{found, err}, []any{false, nil})
	equal(t, "bins", w.f.Counts().Bins, int64(0))
	w.sound(t) // also while the versions wait
	w.sweep(2)
	equal(t, "used", w.account("ann").UsedBytes, int64(0))
	equal(t, "references", w.f.Counts().References, int64(0))
	equal(t, "dead", w.blob(record(2)).Alive, false)
	for k := range w.content() {
		if strings.Contains(k, id) {
			t.Errorf("key %x is left", k)
		}
	}
	w.sound(t)
}
