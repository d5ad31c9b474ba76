package node

import (
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alexedwards/argon2id"

	"ringbin/cluster"
	"ringbin/storage"
	"ringbin/storage/meta"
)

// lockedNote is a note with the password sesame.
func (s *Service) lockedNote(t *testing.T, hash string, edit func(*meta.CreateNote)) Note {
	t.Helper()
	return s.testNote(t, hash, "behind a password", func(cmd *meta.CreateNote) {
		var err error
		if cmd.Password, err = s.passwords.hash(t.Context(), "sesame"); err != nil {
			t.Fatal(err)
		}
		if edit != nil {
			edit(cmd)
		}
	})
}

// onWeb is a reader on the web.
func onWeb(addr string) NoteReader { return NoteReader{Web: true, Addr: netip.MustParseAddr(addr)} }

func (r NoteReader) with(password, unlock string) NoteReader {
	r.Password, r.Unlock = password, unlock
	return r
}

// TestPasswordHash: passwords are kept as the contract says, each with a salt
// of its own, and none that is too long is taken.
func TestPasswordHash(t *testing.T) {
	t.Parallel()
	p := newPasswords()
	seen := map[string]bool{}
	for _, password := range []string{"x", "x", "pä\x00ss", strings.Repeat("long", passwordBytesMax/4)} {
		hash, err := p.hash(t.Context(), password)
		if err != nil {
			t.Fatal(err)
		}
		params, salt, key, err := argon2id.DecodeHash(hash)
		if err != nil || params.Memory != 19456 || params.Iterations != 2 || params.Parallelism != 1 || len(salt) != 16 || len(key) != 32 {
			t.Errorf("%+v, a salt of %d, a key of %d: %v", params, len(salt), len(key), err)
		}
		if !strings.HasPrefix(hash, "$argon2id$v=19$m=19456,t=2,p=1$") || seen[hash] {
			t.Errorf("hash %q", hash)
		}
		seen[hash] = true
		if err := p.check(t.Context(), "who", password, hash); err != nil {
			t.Error(err)
		}
	}
	_, err := p.hash(t.Context(), strings.Repeat("x", passwordBytesMax+1))
	wantRefusal(t, "too long", err, storage.KindInvalid, "password_too_long")
}

// TestPasswordOfNote: who needs it, and what is said without it; and that the
// text of a right one stands for it, for the password of now, for a while.
func TestPasswordOfNote(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, l := bareNotes(t)
		n := s.lockedNote(t, "note0001", nil)
		other := s.lockedNote(t, "note0002", burns)
		reader := onWeb("192.0.2.1")
		check := func(what string, r NoteReader, hash, want string) {
			t.Helper()
			before := l.entriesNow()
			_, err := s.CheckNote(t.Context(), r, hash)
			if got := storage.CodeOf(err); got != want || (err == nil) != (want == "") {
				t.Errorf("%s: %v, want %q", what, err, want)
			}
			if l.entriesNow() != before || s.noteNow(t, hash).Burned != 0 {
				t.Errorf("%s: something was done", what)
			}
		}
		check("nothing", reader, n.Hash, "password_required")
		check("wrong", reader.with("Sesame", ""), n.Hash, "password_invalid")
		check("longer than any", reader.with(strings.Repeat("x", 1<<20), ""), n.Hash, "password_invalid")
		check("right", reader.with("sesame", ""), n.Hash, "")
		check("the owner", NoteReader{Caller: ann()}, n.Hash, "")
		check("the owner's login with a key for other things", NoteReader{Web: true, Caller: Caller{Account: "a"}}, n.Hash, "password_required")
		check("an admin", NoteReader{Caller: Caller{Account: "b", scopes: tokenScopesOf([]string{TokenAdmin})}}, n.Hash, "")
		check("another account", NoteReader{Caller: Caller{Account: "b", scopes: tokenScopesOf([]string{TokenRead})}}, n.Hash, "password_required")

		if _, err := s.UnlockNote(t.Context(), reader.with("wrong", ""), n.Hash); storage.CodeOf(err) != "password_invalid" {
			t.Errorf("unlocked with a wrong one: %v", err)
		}
		end := time.Now().Add(unlockedFor)
		unlock, err := s.UnlockNote(t.Context(), reader.with("sesame", ""), n.Hash)
		if err != nil || unlock == "" || strings.Contains(unlock, "sesame") {
			t.Fatalf("%q %v", unlock, err)
		}
		check("unlocked", onWeb("198.51.100.1").with("", unlock), n.Hash, "")
		check("unlocked, another note", reader.with("", unlock), other.Hash, "password_required")
		for i := range len(unlock) {
			changed := []byte(unlock)
			changed[i] = 'A' + (changed[i]-'A'+1)%26
			if changed[i] != unlock[i] && i < len(unlock)-1 { // of the last symbol some bits are not read
				check(fmt.Sprint("changed at ", i), reader.with("", string(changed)), n.Hash, "password_required")
			}
		}
		_, err = s.UnlockNote(t.Context(), reader.with("", unlock), n.Hash)
		wantRefusal(t, "unlocked by itself", err, storage.KindForbidden, "password_required")
		if own, err := s.UnlockNote(t.Context(), NoteReader{Caller: ann()}, n.Hash); err != nil || own != "" {
			t.Errorf("for the owner: %q %v", own, err)
		}
		if _, err := s.EditNote(t.Context(), ann(), n.Hash, NoteEdit{Title: new("new")}); err != nil {
			t.Fatal(err)
		}
		check("unlocked, then edited", reader.with("", unlock), n.Hash, "")
		time.Sleep(time.Until(end) - time.Millisecond)
		check("unlocked, at its end", reader.with("", unlock), n.Hash, "")
		time.Sleep(time.Millisecond)
		check("unlocked, after its end", reader.with("", unlock), n.Hash, "password_required")

		// A new password, even the same, ends what was unlocked; "" keeps it; clear wins.
		for _, e := range []NoteEdit{{Password: new("sesame")}, {Password: new("open"), ClearPassword: true}, {Password: new("sesame")}} {
			if unlock, err = s.UnlockNote(t.Context(), reader.with("sesame", ""), n.Hash); err != nil {
				t.Fatal(err)
			}
			if _, err := s.EditNote(t.Context(), ann(), n.Hash, NoteEdit{Password: new("")}); err != nil {
				t.Fatal(err)
			}
			if unlock != "" {
				check("unlocked, kept", reader.with("", unlock), n.Hash, "")
			}
			if _, err := s.EditNote(t.Context(), ann(), n.Hash, e); err != nil {
				t.Fatal(err)
			}
			want := "password_required"
			if e.ClearPassword {
				want = ""
			}
			check("unlocked, then set anew", reader.with("", unlock), n.Hash, want)
		}
	})
}

// TestUnlockAcrossEpochs: a text that one node signed is good on each that has
// the secret, whichever signs now.
func TestUnlockAcrossEpochs(t *testing.T) {
	t.Parallel()
	s, _ := bareNotes(t)
	n := s.lockedNote(t, "note0001", nil)
	_, secret, _ := strings.Cut(cluster.NewSecret(), ":")
	older, newer := cluster.NewSecret(), "2:"+secret
	trust := func(lines ...string) *cluster.Trust {
		t.Helper()
		trust, err := cluster.ParseTrust([]byte(strings.Join(lines, "\n")))
		if err != nil {
			t.Fatal(err)
		}
		return trust
	}
	nodes := map[string]*cluster.Trust{"old": trust(older), "old first": trust(older, newer), "new first": trust(newer, older), "new": trust(newer)}
	for signs, by := range nodes {
		s.n.trust = by
		unlock, err := s.UnlockNote(t.Context(), onWeb("192.0.2.1").with("sesame", ""), n.Hash)
		if err != nil {
			t.Fatal(err)
		}
		for reads, by := range nodes {
			s.n.trust = by
			_, err := s.CheckNote(t.Context(), onWeb("192.0.2.1").with("", unlock), n.Hash)
			signedOld, signedNew := strings.HasPrefix(signs, "old"), strings.HasPrefix(signs, "new")
			unknown := signedOld && reads == "new" || signedNew && reads == "old"
			if unknown == (err == nil) {
				t.Errorf("signed by %s, read by %s: %v", signs, reads, err)
			}
		}
	}
}

// TestPasswordAttempts: after ten wrong ones of one reader no more are looked
// at for a minute, however many come at once; right ones do not count, nor
// those for another note or of another reader.
func TestPasswordAttempts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, _ := bareNotes(t)
		n := s.lockedNote(t, "note0001", nil)
		other := s.lockedNote(t, "note0002", nil)
		reader := onWeb("2001:db8::1")
		try := func(r NoteReader, hash, password string) string {
			_, err := s.CheckNote(t.Context(), r.with(password, ""), hash)
			return storage.CodeOf(err)
		}
		for range attemptsMax + 2 {
			if got := try(reader, n.Hash, "sesame"); got != "" {
				t.Fatalf("a right one: %s", got)
			}
		}
		var mu sync.Mutex
		codes := map[string]int{}
		var wg sync.WaitGroup
		for i := range 3 * attemptsMax {
			wg.Go(func() {
				got := try(onWeb(fmt.Sprintf("2001:db8::%x", i+1)), n.Hash, fmt.Sprint("guess ", i))
				mu.Lock()
				defer mu.Unlock()
				codes[got]++
			})
		}
		wg.Wait()
		if codes["password_invalid"] != attemptsMax || codes["password_attempts"] != 2*attemptsMax {
			t.Fatalf("%v", codes)
		}
		time.Sleep(attemptsSpan - time.Millisecond)
		for _, c := range []struct {
			name, want string
			reader     NoteReader
			hash       string
		}{
			{"the right one", "password_attempts", reader, n.Hash},
			{"for another note", "", reader, other.Hash},
			{"of another address", "", onWeb("2001:db8:0:1::1"), n.Hash},
			{"of a token", "", NoteReader{Caller: Caller{Account: "b", Key: "key_1", scopes: tokenScopesOf([]string{TokenRead})}}, n.Hash},
		} {
			if got := try(c.reader, c.hash, "sesame"); got != c.want {
				t.Errorf("%s: %q, want %q", c.name, got, c.want)
			}
		}
		time.Sleep(time.Millisecond)
		if got := try(reader, n.Hash, "sesame"); got != "" {
			t.Errorf("after a minute: %s", got)
		}
	})
}

// TestPasswordsComputeTwoAtOnce: who gets no turn is told so, and has made no attempt.
func TestPasswordsComputeTwoAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, _ := bareNotes(t)
		n := s.lockedNote(t, "note0001", nil)
		var releases []func()
		for range passwordsAtOnce {
			release, err := s.passwords.turn(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			releases = append(releases, release)
		}
		reader := onWeb("192.0.2.1").with("wrong", "")
		var wg sync.WaitGroup
		for range 2 * attemptsMax {
			wg.Go(func() {
				_, err := s.CheckNote(t.Context(), reader, n.Hash)
				wantRefusal(t, "no turn", err, storage.KindUnavailable, "overloaded")
			})
		}
		wg.Wait()
		_, err := s.passwords.hash(t.Context(), "x")
		wantRefusal(t, "no turn to hash", err, storage.KindUnavailable, "overloaded")
		for _, release := range releases {
			release()
		}
		if _, err := s.CheckNote(t.Context(), reader, n.Hash); storage.CodeOf(err) != "password_invalid" {
			t.Errorf("a first attempt: %v", err)
		}
	})
}
