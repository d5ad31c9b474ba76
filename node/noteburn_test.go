package node

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"

	"ringbin/cluster"
	"ringbin/storage"
	"ringbin/storage/meta"
)

// bareNotes is a service over a log in memory as bareService's, which reads and
// edits notes.
func bareNotes(t *testing.T) (*Service, *lossyLog) {
	t.Helper()
	s, l := bareService(t)
	n := s.n
	n.dir = &dataDir{id: identityRecord{Node: "self", Cluster: "cluster"}}
	trust, err := cluster.ParseTrust([]byte(cluster.NewSecret()))
	if err != nil {
		t.Fatal(err)
	}
	n.trust = trust
	n.followerReads = sharedRound[uint64]{wg: &n.wg, ask: func(context.Context) (uint64, error) { return n.fsm.AppliedIndex(), nil }}
	t.Cleanup(n.wg.Wait)
	return s, l
}

// ann is who owns the notes of bareNotes.
func ann() Caller {
	return Caller{Account: "a", scopes: tokenScopesOf([]string{TokenRead, TokenWrite})}
}

// turnTo sets the clock of the metadata.
func (l *lossyLog) turnTo(t *testing.T, millis int64) {
	t.Helper()
	if _, err := l.oneLog.Apply(t.Context(), meta.Pack(millis, nil)); err != nil {
		t.Fatal(err)
	}
}

// testNote makes a note of short content, which lies in its CID.
func (s *Service) testNote(t *testing.T, hash, content string, edit func(*meta.CreateNote)) Note {
	t.Helper()
	cmd := meta.CreateNote{Hash: hash, Code: "c" + hash[3:], Account: "a", Title: "title", Language: "plaintext", Created: second(s.now())}
	if edit != nil {
		edit(&cmd)
	}
	kept, err := s.keepNote(t.Context(), "test", cmd.Burn, []byte(content))
	if err != nil {
		t.Fatal(err)
	}
	defer kept.release()
	cmd.CID = storage.SumCID(kept.content)
	if cmd.Sealed, err = kept.sealedKey(s.n, hash); err != nil {
		t.Fatal(err)
	}
	mustPropose(t, s.n.proposer, cmd)
	return s.noteNow(t, hash)
}

func burns(cmd *meta.CreateNote) { cmd.Burn = true }

func (s *Service) noteNow(t *testing.T, hash string) Note {
	t.Helper()
	n, found, err := s.n.fsm.Note(hash)
	if err != nil || !found {
		t.Fatal(found, err)
	}
	return n
}

func wantRefusal(t *testing.T, what string, err error, kind storage.Kind, code string) {
	t.Helper()
	if err == nil || storage.KindOf(err) != kind || storage.CodeOf(err) != code {
		t.Errorf("%s: %v (code %q), want kind %v, code %s", what, err, storage.CodeOf(err), kind, code)
	}
}

// readers has many read a note at once, and returns the contents that they got
// and the codes of the others' refusals.
func (s *Service) readers(ctx context.Context, many int, hash string) (contents []string, codes map[string]int) {
	var mu sync.Mutex
	codes = map[string]int{}
	var wg sync.WaitGroup
	for range many {
		wg.Go(func() {
			v, err := s.ReadNote(ctx, NoteReader{}, hash)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				codes[storage.CodeOf(err)]++
				return
			}
			contents = append(contents, string(v.Content))
			v.Close()
		})
	}
	wg.Wait()
	return contents, codes
}

// TestBurnErases: the one reader gets all there was; the record tells that it
// is over, and nothing of what it was.
func TestBurnErases(t *testing.T) {
	t.Parallel()
	s, _ := bareNotes(t)
	was := s.testNote(t, "note0001", "for one", burns)
	v, err := s.ReadNote(t.Context(), NoteReader{}, was.Hash)
	if err != nil {
		t.Fatal(err)
	}
	if string(v.Content) != "for one" || v.Views != 1 || v.Note.Title != "title" || v.Note.Burned != 0 {
		t.Errorf("%q, %d views, %+v", v.Content, v.Views, v.Note)
	}
	v.Close()
	n := s.noteNow(t, was.Hash)
	if n.Burned == 0 || n.Views != 1 || n.Title != "" || n.HasContent() || n.Sealed != nil || n.Code != was.Code || n.Created != was.Created {
		t.Errorf("%+v", n)
	}
	for range 2 {
		_, err = s.ReadNote(t.Context(), NoteReader{Caller: ann()}, was.Hash)
		wantRefusal(t, "read again by its owner", err, storage.KindGone, "note_burned")
	}
	_, err = s.EditNote(t.Context(), ann(), was.Hash, NoteEdit{Title: new("x")})
	wantRefusal(t, "edited", err, storage.KindGone, "note_burned")
	if byCode, err := s.NoteByCode(t.Context(), was.Code); err != nil || byCode.Hash != was.Hash {
		t.Errorf("by its code: %+v %v", byCode, err)
	}
	if err := s.DeleteNote(t.Context(), ann(), was.Hash); err != nil {
		t.Error(err)
	}
	wantRefusal(t, "deleted again", s.DeleteNote(t.Context(), ann(), was.Hash), storage.KindNotFound, "not_found")
	_, err = s.NoteByCode(t.Context(), was.Code)
	wantRefusal(t, "by its code, deleted", err, storage.KindNotFound, "not_found")
}

// TestBurnUnknownOutcome: what a burn whose fate is unknown gives to its
// readers, by when its entry is committed after all. Nobody gets the content
// without having burned it, and never do two (I9).
func TestBurnUnknownOutcome(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name     string
		commitAt time.Duration // 0: never
		healAt   time.Duration
		winners  int
		after    string // what the next reader is refused with; "": nothing
	}{
		{"healed while it is proposed", 0, 3 * time.Second, 1, "note_burned"},
		{"healed while it is asked again", 0, 12 * time.Second, 1, "note_burned"},
		{"committed behind its back", 3 * time.Second, time.Minute, 1, "note_burned"},
		{"committed while it is asked again", 12 * time.Second, time.Minute, 1, "note_burned"},
		{"committed when all had gone", 20 * time.Second, time.Minute, 0, "note_burned"},
		{"never committed", 0, time.Minute, 0, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s, l := bareNotes(t)
				s.testNote(t, "note0001", "for one", burns)
				l.set(true, false)
				var wg sync.WaitGroup
				wg.Go(func() {
					if c.commitAt != 0 {
						time.Sleep(c.commitAt)
						l.commitLost(t)
					}
				})
				wg.Go(func() {
					time.Sleep(c.healAt)
					l.set(false, false)
				})
				began := time.Now()
				contents, codes := s.readers(t.Context(), 5, "note0001")
				if took := time.Since(began); took > proposeTimeout+burnKnownWithin+time.Second {
					t.Errorf("answered after %s", took)
				}
				if len(contents) != c.winners || c.winners == 0 && codes["outcome_unknown"] != 5 {
					t.Errorf("%d readers won, the others: %v", len(contents), codes)
				}
				wg.Wait()
				v, err := s.ReadNote(t.Context(), NoteReader{}, "note0001")
				if got := storage.CodeOf(err); got != c.after || (err == nil) != (c.after == "") {
					t.Errorf("the next reader: %v", err)
				}
				if err == nil && string(v.Content) != "for one" {
					t.Errorf("the next reader got %q", v.Content)
				}
			})
		})
	}
}

// TestBurnToldByRecord: the record tells who has won when nobody else can.
func TestBurnToldByRecord(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, l := bareNotes(t)
		n := s.testNote(t, "note0001", "for one", burns)
		h, other := s.n.proposer.named(meta.Header{}), s.n.proposer.named(meta.Header{})
		cmd := meta.BurnNote{Hash: n.Hash, Revision: n.Revision}
		if _, err := s.n.proposer.propose(t.Context(), h, cmd); err != nil {
			t.Fatal(err)
		}
		l.set(true, true)
		lost := storage.E("test", storage.KindUnknown, nil)
		res, err := s.burnAgain(t.Context(), h, cmd, lost)
		if b, ok := res.Value.(meta.Burn); err != nil || !ok || !b.Won || b.Note.Views != 1 {
			t.Errorf("%+v %v", res, err)
		}
		if _, err := s.burnAgain(t.Context(), other, cmd, lost); storage.KindOf(err) != storage.KindUnknown {
			t.Errorf("another's: %v", err)
		}
	})
}

// TestBurnOfEdited: a note that is edited between the fetch and the burn is
// fetched anew, a few times.
func TestBurnOfEdited(t *testing.T) {
	t.Parallel()
	for edits := range noteTries + 1 {
		t.Run(fmt.Sprint(edits, " edits"), func(t *testing.T) {
			t.Parallel()
			s, l := bareNotes(t)
			n := s.testNote(t, "note0001", "edited 0 times", burns)
			done, last := 0, "edited 0 times"
			l.before = func(int) error {
				if done == edits {
					return nil
				}
				done++
				last = fmt.Sprintf("edited %d times", done)
				sealed, key, err := sealContent([]byte(last))
				if err != nil {
					return err
				}
				wrapped, err := keptContent{key: key}.sealedKey(s.n, n.Hash)
				if err != nil {
					return err
				}
				b, err := meta.Encode(s.n.proposer.named(meta.Header{}), meta.EditNote{
					Hash: n.Hash, Account: "a", Admin: true, Content: &meta.NoteContent{CID: storage.SumCID(sealed), Sealed: wrapped},
				})
				l.index++
				l.fsm.Apply(&raft.Log{Index: l.index, Term: 1, Type: raft.LogCommand, Data: meta.Pack(s.now(), [][]byte{b})})
				return err
			}
			v, err := s.ReadNote(t.Context(), NoteReader{}, n.Hash)
			if edits == noteTries {
				wantRefusal(t, "edited all the time", err, storage.KindUnavailable, "note_changing")
				if is := s.noteNow(t, n.Hash); is.Burned != 0 || is.Revision != noteTries+1 {
					t.Errorf("%+v", is)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if string(v.Content) != last || done != edits {
				t.Errorf("read %q after %d edits", v.Content, done)
			}
		})
	}
}

// TestBurnNeedsTheContent: without the content, whole and opened, nothing is burned.
func TestBurnNeedsTheContent(t *testing.T) {
	t.Parallel()
	s, l := bareNotes(t)
	n := s.testNote(t, "note0001", "for one", burns)
	other, err := s.n.sealer(cluster.SealNotes)
	if err != nil {
		t.Fatal(err)
	}
	_, strange, err := sealContent(nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, sealed := range map[string][]byte{
		"another note's": other.sealNoteKey("note0002", strange), "another key": other.sealNoteKey(n.Hash, strange), "garbage": []byte("garbage"),
	} {
		mustPropose(t, s.n.proposer, meta.ResealNote{Hash: n.Hash, Revision: n.Revision, Sealed: sealed})
		before := l.entriesNow()
		_, err := s.ReadNote(t.Context(), NoteReader{}, n.Hash)
		wantRefusal(t, name, err, storage.KindUnavailable, "content_unavailable")
		if l.entriesNow() != before || s.noteNow(t, n.Hash).Burned != 0 {
			t.Errorf("%s: burned", name)
		}
	}
	mustPropose(t, s.n.proposer, meta.ResealNote{Hash: n.Hash, Revision: n.Revision, Sealed: n.Sealed})
	if v, err := s.ReadNote(t.Context(), NoteReader{}, n.Hash); err != nil || string(v.Content) != "for one" {
		t.Errorf("as it was: %v", err)
	}
}

// TestBurnChecksAgain: what became of a note between its fetch and its burn is
// told as if it had been so before.
func TestBurnChecksAgain(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		kind storage.Kind
		code string
		do   func(hash string) meta.Command
	}{
		{"burned", storage.KindGone, "note_burned", func(hash string) meta.Command { return meta.BurnNote{Hash: hash, Revision: 1} }},
		{"deleted", storage.KindNotFound, "not_found", func(hash string) meta.Command { return meta.DeleteNote{Hash: hash, Account: "a", Admin: true} }},
		{"private", storage.KindNotFound, "not_found", func(hash string) meta.Command {
			return meta.EditNote{Hash: hash, Account: "a", Admin: true, Privacy: new(PrivacyPrivate)}
		}},
		{"with a password", storage.KindForbidden, "password_required", func(hash string) meta.Command {
			return meta.EditNote{Hash: hash, Account: "a", Admin: true, Password: new("$argon2id$")}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s, l := bareNotes(t)
			n := s.testNote(t, "note0001", "for one", burns)
			once := false
			l.before = func(int) error {
				if once {
					return nil
				}
				once = true
				b, err := meta.Encode(s.n.proposer.named(meta.Header{}), c.do(n.Hash))
				l.index++
				l.fsm.Apply(&raft.Log{Index: l.index, Term: 1, Type: raft.LogCommand, Data: meta.Pack(s.now(), [][]byte{b})})
				return err
			}
			_, err := s.ReadNote(t.Context(), NoteReader{}, n.Hash)
			wantRefusal(t, c.name, err, c.kind, c.code)
		})
	}
}

// TestNoteExpires: for its owner, too; an edit may lengthen its life while it
// lasts; and long after its end nothing is told of it.
func TestNoteExpires(t *testing.T) {
	t.Parallel()
	for _, burn := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			s, l := bareNotes(t)
			const life = 10 * time.Minute
			n := s.testNote(t, "note0001", "for a while", func(cmd *meta.CreateNote) {
				cmd.Burn, cmd.Expires = burn, cmd.Created+life.Milliseconds()
			})
			if !burn {
				if v, err := s.ReadNote(t.Context(), NoteReader{}, n.Hash); err != nil || v.Views != 1 {
					t.Fatal(err)
				}
			}
			if _, err := s.EditNote(t.Context(), ann(), n.Hash, NoteEdit{Expiry: NoteExpiry{Span: time.Hour}}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Hour - time.Second)
			if _, err := s.CheckNote(t.Context(), NoteReader{}, n.Hash); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
			for name, c := range map[string]Caller{"nobody": {}, "its owner": ann()} {
				_, err := s.ReadNote(t.Context(), NoteReader{Caller: c}, n.Hash)
				wantRefusal(t, name, err, storage.KindGone, "note_expired")
			}
			_, err := s.EditNote(t.Context(), ann(), n.Hash, NoteEdit{Expiry: NoteExpiry{Never: true}})
			wantRefusal(t, "edited", err, storage.KindGone, "note_expired")
			const kept = 30 * 24 * 60 * 60 * 1000
			l.turnTo(t, s.now()+kept-1000)
			_, err = s.CheckNote(t.Context(), NoteReader{}, n.Hash)
			wantRefusal(t, "30 days later", err, storage.KindGone, "note_expired")
			l.turnTo(t, s.now()+kept)
			_, err = s.CheckNote(t.Context(), NoteReader{}, n.Hash)
			wantRefusal(t, "and later", err, storage.KindNotFound, "not_found")
			_, err = s.NoteByCode(t.Context(), n.Code)
			wantRefusal(t, "by its code", err, storage.KindNotFound, "not_found")
		})
	}
}

// TestNoteExpiresByTheClusterClock: a node whose clock is behind does not give
// out what the others have seen expire.
func TestNoteExpiresByTheClusterClock(t *testing.T) {
	t.Parallel()
	s, l := bareNotes(t)
	n := s.testNote(t, "note0001", "for a while", func(cmd *meta.CreateNote) { cmd.Burn, cmd.Expires = true, cmd.Created+60_000 })
	l.turnTo(t, s.now()+60_000)
	_, err := s.ReadNote(t.Context(), NoteReader{Web: true, Addr: netip.MustParseAddr("192.0.2.1")}, n.Hash)
	wantRefusal(t, "behind", err, storage.KindGone, "note_expired")
}
