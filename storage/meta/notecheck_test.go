package meta

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"ringbin/storage"
)

// stateOfNotes has a row in every table of PasteWizard: notes that are open, that
// burn, that were burned, and that have expired.
func stateOfNotes(t *testing.T) *world {
	t.Helper()
	w := noteWorld(t)
	old := w.note("old", "ann", sized(1000, 3))
	old.Expires = testStart + 1000
	w.must(old)
	w.must(w.note("open", "ann", sized(1000, 1)))
	w.must(w.burning("burns", "bob", sized(1000, 2)))
	w.must(w.burning("burned", "bob", sized(5, 2)))
	w.must(BurnNote{Hash: "burned", Revision: 1})
	w.wait(1000)
	w.sweep(100)
	w.must(w.newToken("ann", 1))
	w.must(w.newToken("bob", 2))
	w.must(RevokeToken{Number: 2})
	w.must(w.newSession("token1", 3))
	return w
}

// Each row of PasteWizard that goes without a trace is told.
func TestCheckFindsMissingNoteRows(t *testing.T) {
	t.Parallel()
	good := stateOfNotes(t)
	good.sound(t)
	for table, want := range map[byte]string{
		tableNotes: "has a reference, and not its content", tableNoteCodes: "the code of note", tableTokens: "the number of token",
		tableAccountNumbers: "the number of account", tableSessions: "is the end of nothing", tableSessionsOf: "a session of key token1 among those of it",
		tableDue: "the end of note old", tableBlobs: "the reference of note",
	} {
		all := ""
		for k := range good.content() {
			if k[0] != table {
				continue
			}
			w := stateOfNotes(t)
			w.poke(func(x *tx) error { return x.del([]byte(k)) })
			problems := told(t, w)
			if problems == "" {
				t.Errorf("row %x is gone, and nothing is told", k)
			}
			all += problems + "\n"
		}
		if !strings.Contains(all, want) {
			t.Errorf("rows of table 0x%02x are gone; told:\n%s\nwant %s", table, all, want)
		}
	}
}

// Records that are there, and wrong, are told; and a row that nothing needs.
func TestCheckFindsWrongNotes(t *testing.T) {
	t.Parallel()
	alter := func(hash string, by func(*Note)) func(*tx) error {
		return func(x *tx) error { return change(x, noteKey(hash), by) }
	}
	for name, c := range map[string]struct {
		damage func(*tx) error
		want   string
	}{
		"another expiry":        {alter("open", func(n *Note) { n.Expires++ }), "the reference of note open names another one"},
		"another account":       {alter("open", func(n *Note) { n.Account = "eve" }), "account eve of note open is missing"},
		"another content":       {alter("open", func(n *Note) { n.CID = sized(1000, 9) }), "the reference of note open is missing"},
		"another code":          {alter("open", func(n *Note) { n.Code = "c-burns" }), "the code of note open names another one"},
		"another hash":          {alter("open", func(n *Note) { n.Hash = "x" }), "the hash of note x among those issued is missing"},
		"content of the burned": {alter("burned", func(n *Note) { n.CID = sized(5, 2) }), "was burned, and not all of it is gone"},
		"key of the burned":     {alter("burned", func(n *Note) { n.Sealed = []byte{1} }), "was burned, and not all of it is gone"},
		"title of the burned":   {alter("burned", func(n *Note) { n.Title = "x" }), "was burned, and not all of it is gone"},
		"end of the burned":     {alter("burned", func(n *Note) { n.Ends = 1 }), "was burned, and not all of it is gone"},
		"burned by mistake":     {alter("old", func(n *Note) { n.Burned = 1 }), "was burned, and not all of it is gone"},
		"no key":                {alter("burns", func(n *Note) { n.Sealed = nil }), "note burns has content, and not the key to it"},
		"end of the open":       {alter("open", func(n *Note) { n.Ends = 1 }), "note open has content, and not the key to it, or an end"},
		"content lost":          {alter("open", func(n *Note) { n.CID = storage.CID{} }), "note open has no content, and neither was burned nor has expired"},
		"never expired":         {alter("old", func(n *Note) { n.Expires = 0 }), "note old has no content, and neither was burned nor has expired"},
		"another end":           {alter("old", func(n *Note) { n.Ends++ }), "the end of note old is missing"},
		"a reference of nobody": {func(x *tx) error {
			n := Note{Hash: "nobody", CID: sized(1000, 1), Account: "ann"}
			return plantRef(x, n.ref(), n.record())
		}, "note nobody has a reference, and not its content"},
		"a second reference": {func(x *tx) error {
			n := Note{Hash: "open", CID: sized(1000, 2), Account: "ann"}
			return plantRef(x, n.ref(), n.record())
		}, "note open has a reference, and not its content"},
		"a code of nothing": {func(x *tx) error { return x.set(noteCodeKey("x"), []byte("open")) }, "the index of notes by code has 5 rows, want 4"},
		"an end of nothing": {func(x *tx) error { return x.setEnd(1, endOfNote, []byte("open")) }, "is the end of nothing"},
		"a session's other end": {func(x *tx) error {
			h := secret(3)
			return x.setEnd(1, endOfSession, h[:])
		}, "is the end of nothing"},
		"notes counted": {func(x *tx) error {
			a, _, err := x.account("ann")
			a.Notes++
			return errors.Join(err, x.putAccount(a))
		}, "account ann counts 2 notes with content, and has 1"},
		"all notes counted": {func(x *tx) error {
			x.counts.Notes--
			x.countsOld = true
			return x.endEntry()
		}, "3 notes are counted and 4 there"},
		"a number not given yet": {func(x *tx) error { return write(x, single(singleTokenNumber), int64(1)) }, "token token2 has number 2, the last one given is 1"},
		"an account's number not given yet": {
			func(x *tx) error { return write(x, single(singleAccountNumber), int64(1)) }, "account ann has number 2, the last one given is 1",
		},
		"a number of nothing": {func(x *tx) error { return x.set(tokenKey(9), []byte("token1")) }, "the index of tokens by number has 3 rows, want 2"},
		"another's number":    {func(x *tx) error { return x.set(accountNumberKey(1), []byte("ann")) }, "the number of account bob names another one"},
		"session of a revoked key": {func(x *tx) error {
			return change(x, key(tableKeys).str("token1"), func(k *Key) { k.Revoked = 1 })
		}, "a session of key token1 is there, and the key does not count"},
		"a session's row of nothing": {func(x *tx) error { return x.set(sessionsOf("token1").raw([]byte("x")), nil) }, "the index of sessions by key has 2 rows, want 1"},
	} {
		w := stateOfNotes(t)
		w.poke(c.damage)
		if all := told(t, w); !strings.Contains(all, c.want) {
			t.Errorf("%s; told:\n%s\nwant %s", name, all, c.want)
		}
	}
}

// An audit finds an account that counts notes which it does not have.
func TestAuditOfNotes(t *testing.T) {
	t.Parallel()
	w := stateOfNotes(t)
	w.poke(func(x *tx) error {
		return change(x, key(tableAccounts).str("bob"), func(a *Account) { a.Notes-- })
	})
	if _, err := w.f.Audit(t.Context()); storage.KindOf(err) != storage.KindCorrupt {
		t.Error(err)
	}
}

// A snapshot has it all, and what waits is swept behind it alike.
func TestNoteSnapshot(t *testing.T) {
	t.Parallel()
	w := stateOfNotes(t)
	b := snapshotOf(t, w.f)
	other := newWorld(t)
	if err := restore(other.f, b); err != nil {
		t.Fatal(err)
	}
	other.log, other.now, other.ids = w.log, w.now, w.ids
	equal(t, "state hash", stateHash(t, other.f), stateHash(t, w.f))
	equal(t, "counts", other.f.Counts(), w.f.Counts())
	equal(t, "again", bytes.Equal(snapshotOf(t, other.f), b), true)
	for _, x := range []*world{w, other} {
		x.now += 31 * dayMillis
		x.sweep(2)
	}
	equal(t, "state hash", stateHash(t, other.f), stateHash(t, w.f))
	equal(t, "burned", other.noteNow("burned").Burned != 0, true)
	other.noNote("old")
	other.sound(t)
}
