package meta

import (
	"errors"
	"fmt"
	"testing"

	"ringbin/storage"
)

// noteWorld is a cluster with a second account, and a key for each.
func noteWorld(t *testing.T) *world {
	t.Helper()
	w := newCluster(t)
	w.must(CreateAccount{ID: "bob", Email: "bob@example.org", Numbered: true})
	return w
}

// note is the command of a note that all owners have, for an hour.
func (w *world) note(hash, account string, cid storage.CID) CreateNote {
	now := w.now / 1000 * 1000
	return CreateNote{
		Hash: hash, Code: "c-" + hash, Account: account, Title: "title of " + hash, Language: "go", CID: cid, Created: now,
		Expires: now + 60*minute, Receipts: w.proof(cid),
	}
}

// burning is the same of a note that burns.
func (w *world) burning(hash, account string, cid storage.CID) CreateNote {
	c := w.note(hash, account, cid)
	c.Burn, c.Sealed, c.Password = true, []byte("key of "+hash), "phc of "+hash
	return c
}

func (w *world) noteNow(hash string) Note {
	w.t.Helper()
	n, found, err := w.f.Note(hash)
	if err != nil || !found {
		w.t.Fatalf("note %s: %t, %v", hash, found, err)
	}
	return n
}

func (w *world) noNote(hash string) {
	w.t.Helper()
	if n, found, err := w.f.Note(hash); err != nil || found {
		w.t.Errorf("note %s is there: %+v, %v", hash, n, err)
	}
	if _, found, err := w.f.NoteByCode("c-" + hash); err != nil || found {
		w.t.Errorf("the code of note %s is there: %v", hash, err)
	}
}

// answer is the note as its command answers with it.
func answer(n Note) Note {
	n.Title, n.Password, n.CID, n.Sealed = "", "", storage.CID{}, nil
	return n
}

func TestCreateNote(t *testing.T) {
	t.Parallel()
	w := noteWorld(t)
	cid := sized(1000, 1)
	c := w.note("n1", "ann", cid)
	c.Password, c.Privacy = "phc", PrivacyUnlisted
	want := Note{
		Hash: "n1", Code: "c-n1", Account: "ann", Title: "title of n1", Language: "go", Privacy: PrivacyUnlisted, Password: "phc",
		PasswordRevision: 1, CID: cid, Created: testStart, Expires: testStart + 60*minute, Revision: 1,
	}
	equal(t, "value", w.must(c), answer(want))
	equal(t, "read", w.noteNow("n1"), want)
	byCode, found, err := w.f.NoteByCode("c-n1")
	equal(t, "by code", []any{byCode, found, err}, []any{want, true, error(nil)})
	if _, found, err := w.f.NoteByCode("n1"); found || err != nil {
		t.Error("a hash is a code", err)
	}
	ann := w.account("ann")
	equal(t, "account", []int64{ann.UsedBytes, ann.Notes, ann.BalanceCents}, []int64{1000, 1, 1000})
	counts := w.f.Counts()
	equal(t, "counts", []int64{counts.Notes, counts.References, counts.Blobs}, []int64{1, 1, 1})
	if b := w.blob(cid); !b.Alive || b.Shown {
		t.Errorf("content of a note: %+v", b)
	}
	w.must(w.note("n2", "bob", sized(5, 1))) // inline
	w.sound(t)
}

func TestCreateNoteRefuses(t *testing.T) {
	t.Parallel()
	w := noteWorld(t)
	cid, blocked := sized(1000, 1), sized(1000, 2)
	w.must(UpdateAccount{ID: "bob", QuotaBytes: new(int64(999))})
	w.must(testKey("key", 1))
	w.must(BlockContent{CID: blocked, Block: true})
	w.must(w.note("taken", "ann", cid))
	w.must(w.paste("paste", anonymous, cid))
	none := Header{}
	for name, c := range map[string]struct {
		header Header
		change func(*CreateNote)
		kind   storage.Kind
		code   string
	}{
		"another's account":    {Header{Actor: Actor{Account: "ann", Key: "key"}}, func(c *CreateNote) { c.Account = "bob" }, storage.KindForbidden, "not_own_account"},
		"no account":           {none, func(c *CreateNote) { c.Account = "eve" }, storage.KindNotFound, "not_found"},
		"nobody's":             {none, func(c *CreateNote) { c.Account = anonymous }, storage.KindNotFound, "not_found"},
		"no hash":              {none, func(c *CreateNote) { c.Hash = "" }, storage.KindInvalid, "invalid_parameter"},
		"no code":              {none, func(c *CreateNote) { c.Code = "" }, storage.KindInvalid, "invalid_parameter"},
		"hash taken":           {none, func(c *CreateNote) { c.Hash = "taken" }, storage.KindConflict, "id_taken"},
		"code taken":           {none, func(c *CreateNote) { c.Code = "c-taken" }, storage.KindConflict, "id_taken"},
		"hash is a code":       {none, func(c *CreateNote) { c.Hash = "c-taken" }, storage.KindConflict, "id_taken"},
		"hash of a paste":      {none, func(c *CreateNote) { c.Hash = "paste" }, storage.KindConflict, "id_taken"},
		"code like the hash":   {none, func(c *CreateNote) { c.Code = c.Hash }, storage.KindConflict, "id_taken"},
		"expired":              {none, func(c *CreateNote) { c.Expires = testStart }, storage.KindInvalid, "expiry_not_future"},
		"taken down":           {none, func(c *CreateNote) { c.CID = blocked }, storage.KindForbidden, "content_blocked"},
		"no receipts":          {none, func(c *CreateNote) { c.Receipts = nil }, storage.KindUnavailable, "not_enough_replicas"},
		"another's receipts":   {none, func(c *CreateNote) { c.CID = sized(1000, 3) }, storage.KindUnavailable, "not_enough_replicas"},
		"quota":                {none, func(c *CreateNote) { c.Account = "bob" }, storage.KindFull, "insufficient_storage"},
		"empty":                {none, func(c *CreateNote) { c.CID = storage.CID{} }, storage.KindInvalid, "invalid_parameter"},
		"long title":           {none, func(c *CreateNote) { c.Title = string(make([]byte, 1021)) }, storage.KindInvalid, "invalid_parameter"},
		"no language":          {none, func(c *CreateNote) { c.Language = "" }, storage.KindInvalid, "invalid_parameter"},
		"unknown privacy":      {none, func(c *CreateNote) { c.Privacy = 3 }, storage.KindInvalid, "invalid_parameter"},
		"long password":        {none, func(c *CreateNote) { c.Password = string(make([]byte, 513)) }, storage.KindInvalid, "invalid_parameter"},
		"burning without key":  {none, func(c *CreateNote) { c.Burn = true }, storage.KindInvalid, "invalid_parameter"},
		"a key and no burning": {none, func(c *CreateNote) { c.Sealed = []byte{1} }, storage.KindInvalid, "invalid_parameter"},
		"long key":             {none, func(c *CreateNote) { c.Burn, c.Sealed = true, make([]byte, 1025) }, storage.KindInvalid, "invalid_parameter"},
	} {
		n := w.note("new", "ann", cid)
		c.change(&n)
		t.Log(name)
		w.refused(c.header, n, c.kind, c.code)
	}
	w.must(w.note("new", "ann", cid)) // what was refused took no id
	w.refused(none, w.paste("new", "ann", cid), storage.KindConflict, "id_taken")
	w.sound(t)
}

// The limit is on notes with content: those that were burned or have expired do not count.
func TestNotesLimit(t *testing.T) {
	t.Parallel()
	w := noteWorld(t)
	w.poke(func(x *tx) error {
		a, _, err := x.account("ann")
		a.Notes = ownedMax - 1
		return errors.Join(err, x.putAccount(a))
	})
	w.must(w.burning("n1", "ann", sized(100, 1)))
	w.refused(Header{}, w.note("n2", "ann", sized(5, 1)), storage.KindInvalid, "owned_limit_reached")
	w.must(w.note("n2", "bob", sized(5, 1)))
	w.must(BurnNote{Hash: "n1", Revision: 1})
	w.must(w.note("n3", "ann", sized(5, 1)))
}

// Who may change what, what is told to whom, and in which order.
func TestChangesOfNotesAreRefused(t *testing.T) {
	t.Parallel()
	w := noteWorld(t)
	w.must(testKey("key", 1))
	private := w.note("private", "ann", sized(1000, 1))
	private.Privacy = PrivacyPrivate
	w.must(private)
	w.must(w.note("public", "ann", sized(1000, 2)))
	old := w.note("old", "ann", sized(1000, 3))
	old.Expires = testStart + 1000
	w.must(old)
	w.must(w.burning("burned", "ann", sized(1000, 4)))
	w.must(BurnNote{Hash: "burned", Revision: 1})
	w.must(w.note("down", "ann", sized(1000, 5)))
	w.must(BlockContent{CID: sized(1000, 5), Block: true})
	w.wait(1000)
	gone, missing, forbidden := storage.KindGone, storage.KindNotFound, storage.KindForbidden
	type refusal struct {
		kind storage.Kind
		code string
	}
	for _, c := range []struct {
		hash, account string
		admin         bool
		edit, del     refusal // none: it is done
	}{
		{"nothing", "ann", true, refusal{missing, "not_found"}, refusal{missing, "not_found"}},
		{"private", "bob", false, refusal{missing, "not_found"}, refusal{missing, "not_found"}},
		{"private", "", false, refusal{missing, "not_found"}, refusal{missing, "not_found"}},
		{"public", "bob", false, refusal{forbidden, "not_owner"}, refusal{forbidden, "not_owner"}},
		{"old", "bob", false, refusal{forbidden, "not_owner"}, refusal{forbidden, "not_owner"}},
		{"burned", "bob", false, refusal{forbidden, "not_owner"}, refusal{forbidden, "not_owner"}},
		{"down", "ann", false, refusal{missing, "not_found"}, refusal{missing, "not_found"}},
		{"down", "bob", true, refusal{missing, "not_found"}, refusal{missing, "not_found"}},
		{"old", "ann", false, refusal{gone, "note_expired"}, refusal{}},
		{"burned", "bob", true, refusal{gone, "note_burned"}, refusal{}},
		{"private", "bob", true, refusal{}, refusal{}},
		{"public", "ann", false, refusal{}, refusal{}},
	} {
		for _, step := range []struct {
			c    Command
			want refusal
		}{
			{EditNote{Hash: c.hash, Account: c.account, Admin: c.admin, Title: new("x")}, c.edit},
			{DeleteNote{Hash: c.hash, Account: c.account, Admin: c.admin}, c.del},
		} {
			t.Logf("%T of %s by %q, admin %t", step.c, c.hash, c.account, c.admin)
			if step.want.code != "" {
				w.refused(Header{}, step.c, step.want.kind, step.want.code)
			} else {
				w.must(step.c)
			}
		}
	}
	w.must(w.note("last", "ann", sized(1000, 2)))
	for _, c := range []Command{EditNote{Hash: "last", Account: "bob", Admin: true}, DeleteNote{Hash: "last", Account: "bob", Admin: true}} {
		w.refused(Header{Actor: Actor{Account: "ann", Key: "key"}}, c, forbidden, "not_own_account")
	}
	w.refused(Header{}, EditNote{Hash: "last", Account: "ann", Revision: 2}, storage.KindConflict, "revision_changed")
	w.must(EditNote{Hash: "last", Account: "ann", Revision: 1})
	w.sound(t)
}

func TestEditNote(t *testing.T) {
	t.Parallel()
	w := noteWorld(t)
	first, second := sized(1000, 1), sized(3000, 2)
	w.must(UpdateAccount{ID: "ann", QuotaBytes: new(int64(3500))})
	w.must(w.note("n1", "ann", first))
	want := w.noteNow("n1")
	w.now += 10 * minute
	expires := w.now + dayMillis
	for _, step := range []struct {
		name  string
		edit  EditNote
		after func(*Note)
	}{
		{"nothing", EditNote{}, func(*Note) {}},
		{"title", EditNote{Title: new("")}, func(n *Note) { n.Title = "" }},
		{"all but content", EditNote{
			Title: new("t"), Language: new("c"), Privacy: new(PrivacyPrivate), Password: new("p1"),
		}, func(n *Note) {
			n.Title, n.Language, n.Privacy, n.Password, n.PasswordRevision = "t", "c", PrivacyPrivate, "p1", 1
		}},
		{"another password", EditNote{Password: new("p2")}, func(n *Note) { n.Password, n.PasswordRevision = "p2", 2 }},
		{"no password", EditNote{Password: new("")}, func(n *Note) { n.Password, n.PasswordRevision = "", 3 }},
		{"no password again", EditNote{Password: new("")}, func(*Note) {}},
		{"expiry", EditNote{Expires: &expires}, func(n *Note) { n.Expires = expires }},
		// Within the quota only as it comes in the place of the first content.
		{"content", EditNote{Content: &NoteContent{CID: second, Receipts: w.receipts(second, "n1", "n2")}}, func(n *Note) { n.CID = second }},
		{"the same content", EditNote{Content: &NoteContent{CID: second, Receipts: w.receipts(second, "n1", "n2")}}, func(*Note) {}},
		{"content and expiry", EditNote{Expires: new(int64(0)), Content: &NoteContent{CID: sized(5, 1)}}, func(n *Note) { n.CID, n.Expires = sized(5, 1), 0 }},
	} {
		step.edit.Hash, step.edit.Account = "n1", "ann"
		step.after(&want)
		want.Revision++
		equal(t, step.name, w.must(step.edit), answer(want))
		equal(t, step.name, w.noteNow("n1"), want)
		equal(t, step.name+": references", w.f.Counts().References, int64(1))
		w.sound(t)
	}
	ann := w.account("ann")
	equal(t, "account", []int64{ann.UsedBytes, ann.Notes}, []int64{0, 1})
	if st := w.standing(second); st.Referenced || !st.Waiting {
		t.Errorf("replaced content stands %+v", st)
	}
	equal(t, "due", len(w.condemnDue()), 0) // it has the grace
	third := sized(3501, 3)
	for name, c := range map[string]struct {
		edit EditNote
		kind storage.Kind
		code string
	}{
		"above the quota": {EditNote{Content: &NoteContent{CID: third, Receipts: w.receipts(third, "n1", "n2")}}, storage.KindFull, "insufficient_storage"},
		"no receipts":     {EditNote{Content: &NoteContent{CID: second}}, storage.KindUnavailable, "not_enough_replicas"},
		"empty":           {EditNote{Content: &NoteContent{}}, storage.KindInvalid, "invalid_parameter"},
		"a key":           {EditNote{Content: &NoteContent{CID: sized(6, 1), Sealed: []byte{1}}}, storage.KindInvalid, "invalid_parameter"},
		"expired":         {EditNote{Expires: &w.now}, storage.KindInvalid, "expiry_not_future"},
		"privacy":         {EditNote{Privacy: new(privacyEnd)}, storage.KindInvalid, "invalid_parameter"},
	} {
		c.edit.Hash, c.edit.Account = "n1", "ann"
		t.Log(name)
		w.refused(Header{}, c.edit, c.kind, c.code)
	}
}

// An expired note lets go of its content at once, is told of for the days of the
// setting, whichever it is then, and is gone behind them.
func TestNotesExpire(t *testing.T) {
	t.Parallel()
	w := noteWorld(t)
	cid := sized(1000, 1)
	w.must(w.note("n1", "ann", cid))
	w.must(w.burning("n2", "ann", sized(1000, 2)))
	forever := w.note("n3", "ann", cid)
	forever.Expires = 0
	w.must(forever)
	expires := testStart + 60*minute
	w.now = expires - 1
	w.sweep(100)
	equal(t, "before", w.noteNow("n1").HasContent(), true)
	w.now = expires
	n := w.noteNow("n1")
	if n.Expired(expires-1) || !n.Expired(expires) || n.Forgotten(expires+30*dayMillis-1, 30) || !n.Forgotten(expires+30*dayMillis, 30) {
		t.Errorf("its times are wrong: %+v", n)
	}
	w.sweep(1)
	w.sweep(1)
	for _, hash := range []string{"n1", "n2"} {
		n := w.noteNow(hash)
		if n.HasContent() || n.Sealed != nil || n.Title != "title of "+hash || n.Burned != 0 {
			t.Errorf("expired: %+v", n)
		}
	}
	equal(t, "account", []int64{w.account("ann").UsedBytes, w.account("ann").Notes}, []int64{1000, 1})
	w.sound(t)
	w.must(SetSettings{Patch: SettingsPatch{PasteWizard: &PasteWizardPatch{ExpiredKeepDays: new(int64(40))}}})
	w.now = expires + 30*dayMillis
	w.sweep(100)
	w.sound(t)
	w.refused(Header{}, EditNote{Hash: "n1", Account: "ann"}, storage.KindGone, "note_expired") // told of for longer now
	w.must(SetSettings{Patch: SettingsPatch{PasteWizard: &PasteWizardPatch{ExpiredKeepDays: new(int64(29))}}})
	w.refused(Header{}, EditNote{Hash: "n1", Account: "ann"}, storage.KindNotFound, "not_found") // and of no more, though it is there
	w.refused(Header{}, DeleteNote{Hash: "n1", Account: "ann"}, storage.KindNotFound, "not_found")
	w.refused(Header{}, BurnNote{Hash: "n2", Revision: 1}, storage.KindNotFound, "not_found")
	w.now = expires + 40*dayMillis
	w.sweep(100)
	w.noNote("n1")
	w.noNote("n2")
	equal(t, "never expires", w.noteNow("n3").HasContent(), true)
	equal(t, "notes", w.f.Counts().Notes, int64(1))
	again := w.note("n1", "ann", sized(5, 1))
	w.refused(Header{}, again, storage.KindConflict, "id_taken")
	again.Hash = "n4"
	w.refused(Header{}, again, storage.KindConflict, "id_taken")
	w.sound(t)
}

// With no days to be told of, a note goes in the sweep that finds it expired.
func TestNotesExpireAtOnce(t *testing.T) {
	t.Parallel()
	w := noteWorld(t)
	w.must(SetSettings{Patch: SettingsPatch{PasteWizard: &PasteWizardPatch{ExpiredKeepDays: new(int64(0))}}})
	w.must(w.note("n1", "ann", sized(1000, 1)))
	w.now += 60 * minute
	equal(t, "value", w.must(Sweep{Limit: 100}), SweepResult{Removed: 2})
	w.noNote("n1")
	w.sound(t)
}

// A note can be deleted in every state in which something is told of it.
func TestDeleteNote(t *testing.T) {
	t.Parallel()
	for name, prepare := range map[string]func(w *world){
		"open":    func(*world) {},
		"burned":  func(w *world) { w.must(BurnNote{Hash: "n1", Revision: 1}) },
		"expired": func(w *world) { w.wait(60 * minute) },
		"swept": func(w *world) {
			w.wait(60 * minute)
			w.sweep(100)
		},
	} {
		w := noteWorld(t)
		w.must(w.burning("n1", "ann", sized(1000, 1)))
		prepare(w)
		was := w.noteNow("n1")
		equal(t, name, w.must(DeleteNote{Hash: "n1", Account: "ann"}), answer(was))
		w.noNote("n1")
		equal(t, name+": used", w.account("ann").UsedBytes, int64(0))
		equal(t, name+": what waits", w.rows(tableDue), 0)
		equal(t, name+": due", w.condemnDue(), []storage.CID{sized(1000, 1)})
		w.refused(Header{}, DeleteNote{Hash: "n1", Account: "ann"}, storage.KindNotFound, "not_found")
		w.refused(Header{}, w.note("n1", "ann", sized(5, 1)), storage.KindConflict, "id_taken")
		w.sound(t)
	}
}

// A note whose content is taken down is not there for anybody; allowed again it
// is as it was, and otherwise gone with its record.
func TestTakedownOfNotes(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		then func(w *world, cid storage.CID)
		back bool
	}{
		"allowed again": {func(w *world, cid storage.CID) { w.must(BlockContent{CID: cid}) }, true},
		"condemned": {func(w *world, cid storage.CID) {
			w.wait(dayMillis)
			equal(w.t, "value", w.must(Condemn{CIDs: []storage.CID{cid}}), CondemnResult{Condemned: 1, Dropped: 2})
			w.must(BlockContent{CID: cid})
		}, false},
		"expired meanwhile": {func(w *world, cid storage.CID) {
			w.wait(60 * minute)
			w.sweep(100)
			w.must(BlockContent{CID: cid})
		}, false},
	} {
		t.Log(name)
		w := noteWorld(t)
		cid := sized(1000, 1)
		w.must(w.note("n1", "ann", cid))
		w.must(w.burning("n2", "bob", cid))
		before := []Note{w.noteNow("n1"), w.noteNow("n2")}
		w.must(BlockContent{CID: cid, Block: true})
		w.noNote("n1")
		w.refused(Header{}, BurnNote{Hash: "n2", Revision: 1}, storage.KindNotFound, "not_found")
		// The key is wrapped anew meanwhile: it may be needed again.
		w.must(ResealNote{Hash: "n2", Revision: 1, Sealed: []byte("again")})
		before[1].Sealed = []byte("again")
		c.then(w, cid)
		if c.back {
			equal(t, name, []Note{w.noteNow("n1"), w.noteNow("n2")}, before)
		} else {
			w.noNote("n1")
			w.noNote("n2")
			equal(t, "counts", []int64{w.f.Counts().Notes, w.account("ann").Notes, w.account("ann").UsedBytes}, []int64{0, 0, 0})
			w.refused(Header{}, w.note("n1", "ann", sized(5, 1)), storage.KindConflict, "id_taken")
		}
		w.sound(t)
	}
}

// Only what can be read is viewed, and each view counts once.
func TestNoteViews(t *testing.T) {
	t.Parallel()
	w := noteWorld(t)
	cid := sized(1000, 1)
	w.must(w.note("n1", "ann", cid))
	w.must(w.paste("p1", "ann", cid))
	view := func(id string, n int64) AddCounts {
		return AddCounts{Notes: []ViewCount{{ID: id, N: n}, {ID: "nothing", N: 1}}}
	}
	w.must(view("n1", 3))
	w.must(view("n1", 1<<32))
	w.must(EditNote{Hash: "n1", Account: "ann", Title: new("x")})
	for _, n := range []int64{0, -1, 1<<32 + 1} {
		w.must(view("n1", n))
	}
	w.must(view("p1", 5))
	w.must(AddCounts{Views: []ViewCount{{ID: "n1", N: 5}}}) // that is of pastes
	w.must(BlockContent{CID: cid, Block: true})
	w.must(view("n1", 1)) // delivered just before
	w.must(BlockContent{CID: cid})
	equal(t, "views", w.noteNow("n1").Views, int64(3+1<<32+1))
	paste, _ := w.shown("p1")
	equal(t, "views of a paste", paste.Views, int64(0))
	w.wait(60 * minute)
	w.must(view("n1", 1))
	w.sweep(100)
	w.must(view("n1", 1))
	equal(t, "expired", w.noteNow("n1").Views, int64(3+1<<32+1))
	w.must(w.burning("n2", "ann", cid))
	w.must(BurnNote{Hash: "n2", Revision: 1})
	w.must(view("n2", 7))
	equal(t, "burned", w.noteNow("n2").Views, int64(1))
	many := make([]ViewCount, CountsMax+1)
	w.refused(Header{}, AddCounts{Notes: many}, storage.KindInvalid, "invalid_parameter")
}

// Equal bytes of notes, a paste and an upload are stored once, and live as long
// as the last of them.
func TestNotesOfEqualBytes(t *testing.T) {
	t.Parallel()
	w := noteWorld(t)
	cid := sized(1000, 1)
	for i := range 3 {
		w.must(w.note(fmt.Sprintf("n%d", i), []string{"ann", "bob"}[i%2], cid))
	}
	w.must(w.paste("p1", "ann", cid))
	w.mustUpload(w.upload("ann", cid, 30))
	equal(t, "used", []int64{w.account("ann").UsedBytes, w.account("bob").UsedBytes}, []int64{4000, 1000})
	w.must(DeleteReference{Account: "ann", CID: cid})
	if b := w.blob(cid); !b.Alive || b.Shown {
		t.Errorf("without the upload: %+v", b)
	}
	w.must(DeletePaste{ID: "p1"})
	w.must(DeleteNote{Hash: "n0", Account: "ann"})
	w.must(DeleteNote{Hash: "n1", Account: "bob"})
	equal(t, "alive", w.blob(cid).Alive, true)
	w.must(DeleteNote{Hash: "n2", Account: "ann"})
	equal(t, "alive", w.blob(cid).Alive, false)
	equal(t, "used", []int64{w.account("ann").UsedBytes, w.account("bob").UsedBytes}, []int64{0, 0})
	w.sound(t)
}
