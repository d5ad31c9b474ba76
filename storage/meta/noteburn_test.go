package meta

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/hashicorp/raft"

	"ringbin/storage"
)

func (w *world) burn(h Header, hash string, revision uint64) Burn {
	w.t.Helper()
	b, ok := w.mustAs(h, BurnNote{Hash: hash, Revision: revision}).(Burn)
	if !ok {
		w.t.Fatal("a burn has another value")
	}
	return b
}

// I9: of all that would burn a note one wins, whoever asks again gets its own
// answer again, and all others learn that it is burned.
func TestBurnHasOneWinner(t *testing.T) {
	t.Parallel()
	w := noteWorld(t)
	c := w.burning("n1", "ann", sized(1000, 1))
	c.Expires = 0
	w.must(c)
	w.must(EditNote{Hash: "n1", Account: "ann", Title: new("x"), Privacy: new(PrivacyUnlisted)})
	w.now += 5
	first, second := Header{ID: RequestID{0xaa}}, Header{ID: RequestID{0xbb}}
	want := Note{
		Hash: "n1", Code: "c-n1", Account: "ann", Language: "go", Privacy: PrivacyUnlisted, Burn: true, PasswordRevision: 1, Created: testStart,
		Revision: 2, Views: 1, Burned: testStart + 5, BurnedBy: first.ID,
	}
	equal(t, "the winner", w.burn(first, "n1", 2), Burn{Note: want, Won: true})
	equal(t, "another one", w.burn(second, "n1", 2), Burn{Note: want})
	equal(t, "the winner again", w.burn(first, "n1", 2), Burn{Note: want, Won: true})
	w.wait(requestKept + minute)
	for range 10 {
		w.must(Tick{}) // answers are forgotten a few with each entry
	}
	if _, found := w.f.remembered(first.ID); found {
		t.Fatal("the answer is still remembered")
	}
	equal(t, "the winner, later", w.burn(first, "n1", 2), Burn{Note: want, Won: true})
	equal(t, "another one, later", w.burn(second, "n1", 2), Burn{Note: want})
	equal(t, "read", w.noteNow("n1"), want)
	equal(t, "used", []int64{w.account("ann").UsedBytes, w.account("ann").Notes}, []int64{0, 0})
	w.wait(1000 * 365 * dayMillis)
	w.sweep(100)
	equal(t, "after ages", w.noteNow("n1"), want)
	w.sound(t)
}

// Burns of one entry and of one batch are told apart as well.
func TestBurnsOfOneBatch(t *testing.T) {
	t.Parallel()
	w := noteWorld(t)
	w.must(w.burning("n1", "ann", sized(1000, 1)))
	var commands [][]byte
	var waiting []*Pending
	for range 64 {
		h := Header{}
		commands = append(commands, w.encoded(&h, BurnNote{Hash: "n1", Revision: 1}))
		waiting = append(waiting, w.f.Expect(h.ID))
	}
	var batch []*raft.Log
	for pack := range slices.Chunk(commands, 16) {
		batch = append(batch, w.append(pack...))
	}
	for _, err := range w.f.ApplyBatch(batch) {
		if err != nil {
			t.Fatal(err)
		}
	}
	var won []int
	for i, p := range waiting {
		b, ok := (<-p.Done()).Value.(Burn)
		if !ok {
			t.Fatal("a burn has another value")
		}
		if b.Won {
			won = append(won, i)
		}
	}
	equal(t, "winners", won, []int{0})
	w.sound(t)
}

// What a burn meets decides, in the order of the log.
func TestBurnInOrder(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		before func(w *world)
		won    bool
	}{
		"alone":               {func(*world) {}, true},
		"after an edit":       {func(w *world) { w.must(EditNote{Hash: "n1", Account: "ann", Title: new("y")}) }, false},
		"after a view count":  {func(w *world) { w.must(AddCounts{Notes: []ViewCount{{ID: "n1", N: 1}}}) }, true},
		"after a resealing":   {func(w *world) { w.must(ResealNote{Hash: "n1", Revision: 1, Sealed: []byte("y")}) }, true},
		"a moment before end": {func(w *world) { w.now += 60*minute - 1 }, true},
		"at the end":          {func(w *world) { w.now += 60 * minute }, false},
		"after the sweep": {func(w *world) {
			w.wait(60 * minute)
			w.sweep(100)
		}, false},
	} {
		t.Log(name)
		w := noteWorld(t)
		w.must(w.burning("n1", "ann", sized(1000, 1)))
		c.before(w)
		b := w.burn(Header{}, "n1", 1)
		equal(t, "won", []bool{b.Won, b.Note.Burned != 0}, []bool{c.won, c.won})
		equal(t, "answer", b.Note, answer(w.noteNow("n1")))
		if b.Won {
			for _, lost := range []Command{
				EditNote{Hash: "n1", Account: "ann", Title: new("y")}, EditNote{Hash: "n1", Account: "ann", Expires: new(int64(0))},
			} {
				w.refused(Header{}, lost, storage.KindGone, "note_burned")
			}
			w.refused(Header{}, ResealNote{Hash: "n1", Revision: 1, Sealed: []byte("y")}, storage.KindConflict, "revision_changed")
		}
		w.sound(t)
	}
	w := noteWorld(t)
	w.must(w.note("plain", "ann", sized(1000, 1)))
	if b := w.burn(Header{}, "plain", 1); b.Won || b.Note.Burned != 0 || !w.noteNow("plain").HasContent() {
		t.Errorf("a note that does not burn is burned: %+v", b)
	}
	w.refused(Header{}, BurnNote{Hash: "nothing", Revision: 1}, storage.KindNotFound, "not_found")
}

// Nothing in the state can open the content of a burned note any more, the
// answers that are remembered included.
func TestBurnErases(t *testing.T) {
	t.Parallel()
	secrets := []string{"the-title", "the-password", "the-sealed-key", "another-title", "another-password", "another-sealed-key", "the-third-key"}
	first, second := sized(1000, 0xc1), sized(20, 0xc2)
	for name, end := range map[string]func(w *world){
		"burned":  func(w *world) { w.burn(Header{}, "n1", 2) },
		"deleted": func(w *world) { w.must(DeleteNote{Hash: "n1", Account: "ann"}) },
	} {
		w := noteWorld(t)
		c := w.burning("n1", "ann", first)
		c.Title, c.Password, c.Sealed = secrets[0], secrets[1], []byte(secrets[2])
		w.mustAs(Header{Idem: &Idempotency{Scope: "ann"}}, c)
		w.must(EditNote{
			Hash: "n1", Account: "ann", Title: &secrets[3], Password: &secrets[4], Content: &NoteContent{CID: second, Sealed: []byte(secrets[5])},
		})
		w.must(ResealNote{Hash: "n1", Revision: 2, Sealed: []byte(secrets[6])})
		w.burn(Header{}, "n1", 1) // loses: there is another revision
		equal(t, "seen before", len(w.finds(t, secrets[3], secrets[4], secrets[6])), 3)
		end(w)
		if found := w.finds(t, secrets...); len(found) > 0 {
			t.Errorf("%s, and %q is still there", name, found)
		}
		for _, cid := range []storage.CID{first, second} {
			if got := w.tablesNaming(t, cid); !bytes.Equal(got, []byte{tableBlobs, tableDead}) {
				t.Errorf("%s, and tables %x name the content", name, got)
			}
		}
		w.sound(t)
	}
}

// finds returns those of the texts that are somewhere in the state.
func (w *world) finds(t *testing.T, texts ...string) (found []string) {
	t.Helper()
	for _, text := range texts {
		err := w.f.view("test", func(r pebble.Reader) error {
			return scanRange(r, nil, nil, func(k, v []byte) (bool, error) {
				if !strings.Contains(string(k)+string(v), text) {
					return true, nil
				}
				found = append(found, text)
				return false, nil
			})
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return found
}

// tablesNaming returns the tables in which a CID is, in order.
func (w *world) tablesNaming(t *testing.T, cid storage.CID) (tables []byte) {
	t.Helper()
	name, err := cid.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	err = w.f.view("test", func(r pebble.Reader) error {
		return scanRange(r, nil, nil, func(k, v []byte) (bool, error) {
			if bytes.Contains(slices.Concat(k, v), name) && !bytes.Contains(tables, k[:1]) {
				tables = append(tables, k[0])
			}
			return true, nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return tables
}

// The ciphertext of a note that burns dies at once when the note lets go of it,
// however long the grace is; that of other notes has the grace.
func TestBurnContentDiesWithoutGrace(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		plain bool
		end   func(w *world)
	}{
		"burned": {end: func(w *world) { w.burn(Header{}, "n1", 1) }},
		"edited": {end: func(w *world) {
			w.must(EditNote{Hash: "n1", Account: "ann", Content: &NoteContent{CID: sized(5, 1), Sealed: []byte{1}}})
		}},
		"deleted": {end: func(w *world) { w.must(DeleteNote{Hash: "n1", Account: "ann"}) }},
		"expired": {end: func(w *world) {
			w.now += 60 * minute
			w.sweep(100)
		}},
		"plain": {plain: true, end: func(w *world) { w.must(DeleteNote{Hash: "n1", Account: "ann"}) }},
	} {
		t.Log(name)
		w := noteWorld(t)
		w.must(SetSettings{Patch: SettingsPatch{DeletionGraceSeconds: new(int64(graceMax))}})
		w.now++ // receipts from before the grace changed do not count
		w.must(Tick{})
		cid := sized(1000, 1)
		n := w.burning("n1", "ann", cid)
		if c.plain {
			n = w.note("n1", "ann", cid)
		}
		w.must(n)
		equal(t, "due before", len(w.condemnDue()), 0)
		c.end(w)
		late := w.note("late", "ann", cid) // with receipts of the moment
		if c.plain {
			equal(t, "due", len(w.condemnDue()), 0)
			continue
		}
		equal(t, "due", w.condemnDue(), []storage.CID{cid})
		equal(t, "value", w.must(Condemn{CIDs: []storage.CID{cid}}), CondemnResult{Condemned: 1})
		equal(t, "condemned", w.standing(cid).Condemned, w.f.AppliedIndex())
		w.refused(Header{}, late, storage.KindUnavailable, "not_enough_replicas")
		w.sound(t)
	}
}

// Committed again between its death and its condemning, content is alive (I12);
// and what others hold of it keeps it from dying.
func TestBurnContentThatOthersHold(t *testing.T) {
	t.Parallel()
	w := noteWorld(t)
	cid := sized(1000, 1)
	w.must(w.burning("n1", "ann", cid))
	w.must(w.note("n2", "ann", cid))
	w.burn(Header{}, "n1", 1)
	equal(t, "due", len(w.condemnDue()), 0)
	w.must(DeleteNote{Hash: "n2", Account: "ann"})
	equal(t, "due after the plain note", len(w.condemnDue()), 0)
	w.must(w.burning("n3", "ann", cid))
	w.burn(Header{}, "n3", 1)
	w.must(w.note("n4", "bob", cid))
	equal(t, "value", w.must(Condemn{CIDs: []storage.CID{cid}}), CondemnResult{})
	equal(t, "alive", w.blob(cid).Alive, true)
	w.sound(t)
}

func TestResealNote(t *testing.T) {
	t.Parallel()
	w := noteWorld(t)
	w.must(w.burning("n1", "ann", sized(1000, 1)))
	w.must(w.burning("n2", "ann", sized(1000, 2)))
	w.must(w.burning("n3", "ann", sized(1000, 3)))
	w.must(w.note("plain", "ann", sized(1000, 4)))
	w.burn(Header{}, "n2", 1)
	sealed := func() (hashes []string) {
		err := w.f.SealedNotes(func(n Note) error {
			hashes = append(hashes, n.Hash+" "+string(n.Sealed))
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return hashes
	}
	equal(t, "sealed", sealed(), []string{"n1 key of n1", "n3 key of n3"})
	want := w.noteNow("n1")
	want.Sealed = []byte("new")
	equal(t, "value", w.must(ResealNote{Hash: "n1", Revision: 1, Sealed: []byte("new")}), answer(want))
	equal(t, "read", w.noteNow("n1"), want)
	equal(t, "sealed", sealed(), []string{"n1 new", "n3 key of n3"})
	for _, c := range []ResealNote{
		{Hash: "n1", Revision: 2, Sealed: []byte("x")}, {Hash: "n2", Revision: 1, Sealed: []byte("x")}, {Hash: "plain", Revision: 1, Sealed: []byte("x")},
	} {
		w.refused(Header{}, c, storage.KindConflict, "revision_changed")
	}
	w.refused(Header{}, ResealNote{Hash: "n1", Revision: 1}, storage.KindInvalid, "invalid_parameter")
	w.refused(Header{}, ResealNote{Hash: "n4", Revision: 1, Sealed: []byte("x")}, storage.KindNotFound, "not_found")
	stop := errors.New("stop")
	if err := w.f.SealedNotes(func(Note) error { return stop }); !errors.Is(err, stop) {
		t.Error(err)
	}
	w.sound(t)
}
