package meta

import (
	"errors"
	"slices"
	"testing"

	"ringbin/storage"
)

// paste is the command of a paste that all owners have, for a day.
func (w *world) paste(id, account string, cid storage.CID) CreatePaste {
	now := w.now / 1000 * 1000
	c := CreatePaste{
		ID: id, Account: account, CID: cid, Filename: id + ".txt", Extension: "txt", MediaType: "text/plain", UTF8: true,
		Created: now, Expires: now + dayMillis, DeleteKey: [32]byte{9},
	}
	if !cid.Inline() {
		c.Receipts = w.receipts(cid, "n1", "n2", "n3")
	}
	return c
}

func (w *world) mustPaste(c CreatePaste) Paste {
	w.t.Helper()
	p, ok := w.must(c).(Paste)
	if !ok {
		w.t.Fatal("a paste has another value")
	}
	return p
}

// shown is what a reader gets of a paste now.
func (w *world) shown(id string) (Paste, bool) {
	w.t.Helper()
	p, found, err := w.f.Paste(id, w.now)
	if err != nil {
		w.t.Fatal(err)
	}
	return p, found
}

func (w *world) blob(cid storage.CID) Blob {
	w.t.Helper()
	b, _, err := w.f.Blob(cid, w.now)
	if err != nil {
		w.t.Fatal(err)
	}
	return b
}

func (w *world) pasteIDs(account string) (ids []string) {
	w.t.Helper()
	err := w.f.PastesOf(account, w.now, func(p Paste) error {
		ids = append(ids, p.ID)
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return ids
}

// sound fails the test unless audit and check find nothing.
func (w *world) sound(t *testing.T) {
	t.Helper()
	if got := problemsOf(t, w.f); len(got) != 0 {
		t.Errorf("problems: %q", got)
	}
	if _, err := w.f.Audit(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestCreatePaste(t *testing.T) {
	t.Parallel()
	w := newCluster(t)
	cid := sized(1000, 1)
	c := w.paste("p1", "ann", cid)
	c.Private = true
	want := Paste{
		ID: "p1", Filename: "p1.txt", Extension: "txt", MediaType: "text/plain", CID: cid, Account: "ann", UTF8: true, Private: true,
		Created: testStart, Expires: testStart + dayMillis, DeleteKey: [32]byte{9},
	}
	equal(t, "value", w.must(c), want)
	got, found := w.shown("p1")
	equal(t, "found", found, true)
	equal(t, "read", got, want)
	ann := w.account("ann")
	equal(t, "used", ann.UsedBytes, int64(1000))
	equal(t, "pastes", ann.Pastes, int64(1))
	equal(t, "nothing is charged", ann.BalanceCents, int64(1000))
	counts := w.f.Counts()
	equal(t, "counts", []int64{counts.Pastes, counts.References, counts.Blobs}, []int64{1, 1, 1})
	w.sound(t)
}

func TestCreatePasteRefuses(t *testing.T) {
	t.Parallel()
	w := newCluster(t)
	cid, blocked := sized(1000, 1), sized(1000, 2)
	w.must(CreateAccount{ID: "bob", Email: "bob@example.org"})
	w.must(UpdateAccount{ID: "bob", QuotaBytes: new(int64(999))})
	w.must(testKey("key", 1))
	w.must(SetSettings{Patch: SettingsPatch{AnonymousQuotaBytes: new(int64(1500))}})
	w.must(BlockContent{CID: blocked, Block: true})
	w.must(w.paste("taken", anonymous, cid))
	w.must(CreateLink{ID: "link", Account: "ann", Target: "https://example.org/"})
	w.must(DeleteLink{ID: "link"})
	none := Header{}
	for name, c := range map[string]struct {
		header Header
		change func(*CreatePaste)
		kind   storage.Kind
		code   string
	}{
		"another's account":  {Header{Actor: Actor{Account: "ann", Key: "key"}}, func(c *CreatePaste) { c.Account = "bob" }, storage.KindForbidden, "not_own_account"},
		"nobody's, by a key": {Header{Actor: Actor{Account: "ann", Key: "key"}}, func(c *CreatePaste) { c.Account = anonymous }, storage.KindForbidden, "not_own_account"},
		"no account":         {none, func(c *CreatePaste) { c.Account = "eve" }, storage.KindNotFound, "not_found"},
		"no id":              {none, func(c *CreatePaste) { c.ID = "" }, storage.KindInvalid, "invalid_parameter"},
		"long id":            {none, func(c *CreatePaste) { c.ID = string(make([]byte, 65)) }, storage.KindInvalid, "invalid_parameter"},
		"zero in the id":     {none, func(c *CreatePaste) { c.ID = "a\x00b" }, storage.KindInvalid, "invalid_parameter"},
		"id taken":           {none, func(c *CreatePaste) { c.ID = "taken" }, storage.KindConflict, "id_taken"},
		"id of a link":       {none, func(c *CreatePaste) { c.ID = "link" }, storage.KindConflict, "id_taken"},
		"expired":            {none, func(c *CreatePaste) { c.Expires = testStart }, storage.KindInvalid, "expiry_not_future"},
		"year 10000":         {none, func(c *CreatePaste) { c.Expires = endMax + 1 }, storage.KindInvalid, "expiry_not_future"},
		"taken down":         {none, func(c *CreatePaste) { c.CID = blocked }, storage.KindForbidden, "content_blocked"},
		"no receipts":        {none, func(c *CreatePaste) { c.Receipts = nil }, storage.KindUnavailable, "not_enough_replicas"},
		"one receipt":        {none, func(c *CreatePaste) { c.Receipts = c.Receipts[:1] }, storage.KindUnavailable, "not_enough_replicas"},
		"another's receipts": {none, func(c *CreatePaste) { c.CID = sized(1000, 3) }, storage.KindUnavailable, "not_enough_replicas"},
		"too many receipts":  {none, func(c *CreatePaste) { c.Receipts = make([]storage.Receipt, receiptsMax+1) }, storage.KindInvalid, "invalid_parameter"},
		"quota":              {none, func(c *CreatePaste) { c.Account = "bob" }, storage.KindFull, "insufficient_storage"},
		"anonymous quota":    {none, func(c *CreatePaste) { c.Account = anonymous }, storage.KindFull, "insufficient_storage"},
	} {
		p := w.paste("new", "ann", cid)
		c.change(&p)
		t.Log(name)
		w.refused(c.header, p, c.kind, c.code)
	}
	w.must(w.paste("new", "ann", cid)) // what was refused took no id
	w.sound(t)
}

// An account owns only so many; who is anonymous owns none.
func TestOwnedLimit(t *testing.T) {
	t.Parallel()
	w := newCluster(t)
	w.poke(func(x *tx) error {
		a, _, err := x.account("ann")
		a.Pastes, a.Links = ownedMax-1, ownedMax-1
		return errors.Join(err, x.putAccount(a))
	})
	w.must(w.paste("p1", "ann", sized(5, 1)))
	link := CreateLink{ID: "l1", Account: "ann", Target: "https://example.org/"}
	w.must(link)
	details := w.refused(Header{}, w.paste("p2", "ann", sized(5, 1)), storage.KindInvalid, "owned_limit_reached")
	equal(t, "details", details, map[string]any{"limit": int64(ownedMax)})
	link.ID = "l2"
	w.refused(Header{}, link, storage.KindInvalid, "owned_limit_reached")
	w.must(w.paste("p2", anonymous, sized(5, 1)))
	w.must(DeletePaste{ID: "p1"})
	w.must(DeleteLink{ID: "l1"})
	w.must(w.paste("p3", "ann", sized(5, 1)))
	w.must(link)
}

// Equal bytes are stored once and live as long as the last paste of them; each
// paste counts for who owns it.
func TestPastesOfEqualBytes(t *testing.T) {
	t.Parallel()
	w := newCluster(t)
	cid := sized(1000, 1)
	first := w.mustPaste(w.paste("p1", "ann", cid))
	w.must(w.paste("p2", "ann", cid))
	w.must(w.paste("p3", anonymous, cid))
	equal(t, "blobs", w.f.Counts().Blobs, int64(1))
	equal(t, "references", w.f.Counts().References, int64(3))
	equal(t, "used", w.account("ann").UsedBytes, int64(2000))
	equal(t, "anonymous", w.unpaidBytes(), int64(1000))
	w.sound(t)
	equal(t, "value", w.must(DeletePaste{ID: "p1"}), first)
	w.refused(Header{}, DeletePaste{ID: "p1"}, storage.KindNotFound, "not_found")
	w.must(DeletePaste{ID: "p3"})
	equal(t, "used", w.account("ann").UsedBytes, int64(1000))
	equal(t, "anonymous", w.unpaidBytes(), int64(0))
	if b := w.blob(cid); !b.Alive || w.standing(cid).Waiting {
		t.Errorf("with a paste left: %+v", b)
	}
	w.must(DeletePaste{ID: "p2"})
	if b := w.blob(cid); b.Alive || !w.standing(cid).Waiting {
		t.Errorf("with no paste left: %+v", b)
	}
	equal(t, "counts", w.f.Counts().Pastes, int64(0))
	w.sound(t)
}

// An id that was issued is never issued again, whatever became of what had it.
func TestIDsAreNeverUsedAgain(t *testing.T) {
	t.Parallel()
	w := newCluster(t)
	cid := sized(5, 1)
	link := func(id string) CreateLink {
		return CreateLink{ID: id, Account: "ann", Target: "https://example.org/", Created: w.now, Expires: w.now + dayMillis}
	}
	for _, id := range []string{"lives", "deleted", "expired", "swept", "erased"} {
		w.must(w.paste(id, "ann", cid))
		w.must(link(id + "-l"))
	}
	for _, id := range []string{"lives", "deleted", "swept"} {
		w.must(SetPasteExpiry{ID: id})
		w.must(SetLinkExpiry{ID: id + "-l"})
	}
	w.must(DeletePaste{ID: "deleted"})
	w.must(DeleteLink{ID: "deleted-l"})
	w.wait(dayMillis)
	again := func(ids ...string) {
		for _, id := range ids {
			for _, c := range []Command{w.paste(id, anonymous, cid), link(id), w.paste(id+"-l", "ann", cid), link(id + "-l")} {
				w.refused(Header{}, c, storage.KindConflict, "id_taken")
			}
		}
	}
	again("lives", "deleted", "expired", "swept", "erased")
	w.sweepAll()
	w.must(BlockContent{CID: cid, Block: true})
	w.wait(dayMillis)
	w.must(Condemn{CIDs: w.condemnDue()}) // the pastes go with their content
	w.must(BlockContent{CID: cid, Block: false})
	w.wait(100 * dayMillis)
	w.must(DropTombstones{Limit: 10})
	equal(t, "pastes", w.f.Counts().Pastes, int64(0))
	if err := restore(w.f, snapshotOf(t, w.f)); err != nil {
		t.Fatal(err)
	}
	again("lives", "deleted", "expired", "swept", "erased")
	w.sound(t)
}

// sweepAll sweeps until nothing is due, and returns how much that was.
func (w *world) sweepAll() (removed int) {
	w.t.Helper()
	for w.f.SweepDue(w.f.Now()) {
		r, ok := w.must(Sweep{Limit: sweepMax}).(SweepResult)
		if !ok || r.Removed == 0 {
			w.t.Fatalf("a sweep that is due does %+v", r)
		}
		equal(w.t, "more", r.More, w.f.SweepDue(w.f.Now()))
		removed += r.Removed
	}
	return removed
}

// A paste is not found from the moment it ends, swept or not; never is never.
func TestPasteExpiry(t *testing.T) {
	t.Parallel()
	w := newCluster(t)
	cid := sized(1000, 1)
	w.must(w.paste("p1", "ann", cid))
	w.must(w.paste("p2", "ann", cid))
	forever := w.paste("p3", anonymous, sized(1000, 3))
	forever.Expires = 0
	w.must(forever)
	none := Header{}
	w.refused(none, SetPasteExpiry{ID: "p9"}, storage.KindNotFound, "not_found")
	w.refused(none, SetPasteExpiry{ID: "p1", Expires: testStart}, storage.KindInvalid, "expiry_not_future")
	w.refused(none, SetPasteExpiry{ID: "p1", Expires: endMax + 1}, storage.KindInvalid, "expiry_not_future")
	p, ok := w.must(SetPasteExpiry{ID: "p1", Expires: testStart + minute}).(Paste)
	if !ok || p.Expires != testStart+minute {
		t.Errorf("value %+v", p)
	}
	w.wait(minute - 1)
	if _, found := w.shown("p1"); !found || w.f.SweepDue(w.now) {
		t.Error("it ends too soon")
	}
	w.wait(1)
	if _, found := w.shown("p1"); found || !w.f.SweepDue(w.now) {
		t.Error("it does not end")
	}
	equal(t, "owned", w.pasteIDs("ann"), []string{"p2"})
	w.refused(none, SetPasteExpiry{ID: "p1"}, storage.KindNotFound, "not_found")
	w.refused(none, DeletePaste{ID: "p1"}, storage.KindNotFound, "not_found")
	equal(t, "swept", w.must(Sweep{Limit: 10}), SweepResult{Removed: 1})
	w.must(SetPasteExpiry{ID: "p2"})
	w.sound(t)
	w.wait(50_000 * dayMillis)
	equal(t, "swept", w.sweepAll(), 0)
	for _, id := range []string{"p2", "p3"} {
		if p, found := w.shown(id); !found || p.Expires != 0 {
			t.Errorf("%+v, found %t", p, found)
		}
	}
	if b := w.blob(cid); !b.Alive || b.Expires != 0 {
		t.Errorf("blob %+v", b)
	}
	blobs, err := w.f.Blobs(nil, 10, w.now)
	if err != nil || len(blobs) != 2 {
		t.Errorf("catalogue %+v, %v", blobs, err)
	}
	w.sound(t)
}

// What only pastes know is not shown by its CID, whatever HashBin asks.
func TestPastesAreNotShownByCID(t *testing.T) {
	t.Parallel()
	w := newCluster(t)
	cid := sized(1000, 1)
	w.must(w.paste("p1", "ann", cid))
	if b := w.blob(cid); !b.Alive || b.Shown || b.Uploaded != 0 || b.Expires != 0 || b.ContentType != "" {
		t.Errorf("known by a paste: %+v", b)
	}
	if _, live, err := w.f.Reference("ann", cid, w.now); live || err != nil {
		t.Errorf("the paste is an upload: %v", err)
	}
	refs, _, err := w.f.References("ann", "", 10, w.now)
	if err != nil || len(refs) != 0 {
		t.Errorf("uploads %+v, %v", refs, err)
	}
	w.refused(Header{}, DeleteReference{Account: "ann", CID: cid}, storage.KindNotFound, "not_found")
	w.refused(Header{}, Extend{Account: "ann", CID: cid, Days: 1}, storage.KindNotFound, "not_found")
	w.now += minute
	up := w.upload("ann", cid, 1)
	up.ContentType = "image/png"
	equal(t, "existing", w.mustUpload(up).Existing, false)
	b := w.blob(cid)
	if !b.Shown || b.Uploaded != w.now || b.Expires != w.now+dayMillis || b.ContentType != "image/png" {
		t.Errorf("uploaded, too: %+v", b)
	}
	w.must(SetPasteExpiry{ID: "p1"})
	if got := w.blob(cid); got != b {
		t.Errorf("the paste shows: %+v, was %+v", got, b)
	}
	equal(t, "deleted", w.must(DeleteReference{Account: "ann", CID: cid}), DeleteResult{CID: cid})
	if b := w.blob(cid); b.Shown || !b.Alive {
		t.Errorf("the upload is gone: %+v", b)
	}
	w.must(up.again(w))
	w.wait(dayMillis)
	if b := w.blob(cid); b.Shown || !b.Alive || b.Uploaded != 0 {
		t.Errorf("the upload has expired: %+v", b)
	}
	if _, found := w.shown("p1"); !found {
		t.Error("the paste is gone")
	}
	w.sound(t)
}

// again is an upload with an entry and receipts of now.
func (c CommitUpload) again(w *world) CommitUpload {
	return w.upload(c.Account, c.CID, c.Days)
}

// What was taken down is no paste's any more, at once. Allowed again within the
// grace the paste is as it was; condemned, it is gone.
func TestTakedownOfPastes(t *testing.T) {
	t.Parallel()
	w := newCluster(t)
	cid := sized(1000, 1)
	was := w.mustPaste(w.paste("p1", "ann", cid))
	for _, id := range []string{"p2", "p3"} {
		c := w.paste(id, anonymous, cid)
		c.Expires = 0
		w.must(c)
	}
	w.must(SetPasteExpiry{ID: "p1"})
	was.Expires = 0
	w.must(BlockContent{CID: cid, Block: true, Reason: "law"})
	if _, found := w.shown("p1"); found {
		t.Error("taken down and read")
	}
	equal(t, "listed", len(w.pasteIDs("ann")), 0)
	w.refused(Header{}, SetPasteExpiry{ID: "p1", Expires: w.now + minute}, storage.KindNotFound, "not_found")
	w.wait(dayMillis / 2)
	w.must(BlockContent{CID: cid, Block: false})
	got, found := w.shown("p1")
	if !found || got != was {
		t.Errorf("allowed again: %+v, %t", got, found)
	}
	w.must(BlockContent{CID: cid, Block: true, Reason: "law"})
	w.must(DeletePaste{ID: "p3"}) // who wants to may
	w.wait(dayMillis)
	equal(t, "condemned", w.must(Condemn{CIDs: w.condemnDue()}), CondemnResult{Condemned: 1, Dropped: 2})
	equal(t, "no bytes", []int64{w.account("ann").UsedBytes, w.unpaidBytes(), w.account("ann").Pastes}, []int64{0, 0, 0})
	w.must(BlockContent{CID: cid, Block: false})
	if _, found := w.shown("p1"); found {
		t.Error("condemned and read")
	}
	w.refused(Header{}, DeletePaste{ID: "p1"}, storage.KindNotFound, "not_found")
	w.sound(t)
}

// A paste's bytes are held to the same proof as an upload's: receipts from before
// they were condemned do not count.
func TestPasteOfCondemnedContent(t *testing.T) {
	t.Parallel()
	w := newCluster(t)
	cid := sized(1000, 1)
	w.must(w.paste("p1", "ann", cid))
	w.must(DeletePaste{ID: "p1"})
	w.wait(dayMillis)
	stale := w.paste("p2", "ann", cid)
	w.must(Condemn{CIDs: w.condemnDue()})
	w.refused(Header{}, stale, storage.KindUnavailable, "not_enough_replicas")
	w.must(w.paste("p2", "ann", cid))
	if st := w.standing(cid); st.Waiting || !st.Referenced {
		t.Errorf("pasted again it stands %+v", st)
	}
	w.sound(t)
}

// Lists are by account, newest first.
func TestPastesOf(t *testing.T) {
	t.Parallel()
	w := newCluster(t)
	w.must(CreateAccount{ID: "an", Email: "an@example.org"})
	for i, id := range []string{"b", "c", "a", "d"} {
		w.now += 1000 * int64(i)
		w.must(w.paste(id, "ann", sized(5, 1)))
	}
	w.must(w.paste("e", "an", sized(5, 1)))
	w.must(w.paste("f", anonymous, sized(5, 1)))
	equal(t, "ann's", w.pasteIDs("ann"), []string{"d", "a", "c", "b"})
	equal(t, "an's", w.pasteIDs("an"), []string{"e"})
	boom := errors.New("boom")
	calls := 0
	err := w.f.PastesOf("ann", w.now, func(Paste) error {
		calls++
		return boom
	})
	if !errors.Is(err, boom) || calls != 1 {
		t.Errorf("%v after %d calls", err, calls)
	}
}

// Those who place copies are told of a paste's content, and of one that lasts longer.
func TestPasteIsCommitted(t *testing.T) {
	t.Parallel()
	var told []storage.CID
	w := newCluster(t)
	w.f.opts.OnCommitted = func(c []storage.CID) { told = append(told, c...) }
	cid := sized(1000, 1)
	w.must(w.paste("p1", "ann", cid))
	w.must(w.paste("p2", "ann", sized(5, 1)))
	w.must(SetPasteExpiry{ID: "p1"})
	if !slices.Equal(told, []storage.CID{cid, cid}) {
		t.Errorf("told of %v", told)
	}
}
