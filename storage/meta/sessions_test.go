package meta

import (
	"testing"

	"ringbin/storage"
)

func (w *world) newSession(keyID string, n byte) OpenSession {
	return OpenSession{Hash: secret(n), Key: keyID, Created: w.now, Expires: w.now + 60*minute}
}

func (w *world) hasSession(n byte) bool {
	w.t.Helper()
	_, found, err := w.f.Session(secret(n))
	if err != nil {
		w.t.Fatal(err)
	}
	return found
}

func TestSessions(t *testing.T) {
	t.Parallel()
	w := newCluster(t)
	w.must(testKey("key", 9))
	want := Session{Hash: secret(1), Account: "ann", Key: "key", Created: testStart, Expires: testStart + 60*minute}
	equal(t, "value", w.must(w.newSession("key", 1)), want)
	got, found, err := w.f.Session(secret(1))
	equal(t, "read", []any{got, found, err}, []any{want, true, error(nil)})
	w.must(w.newSession("key", 2))
	w.sound(t)
	for range 2 {
		equal(t, "value", w.must(CloseSession{Hash: secret(1)}), none{})
	}
	equal(t, "closed", []bool{w.hasSession(1), w.hasSession(2)}, []bool{false, true})
	w.now += 60*minute - 1
	w.sweep(100)
	equal(t, "a moment before its end", w.hasSession(2), true)
	w.now++
	w.sweep(100)
	equal(t, "after its end", w.hasSession(2), false)
	equal(t, "rows", []int{w.rows(tableSessions), w.rows(tableSessionsOf), w.rows(tableDue)}, []int{0, 0, 0})
	w.sound(t)
}

// A session is of a key that counts, and ends with it.
func TestSessionsDieWithTheirKey(t *testing.T) {
	t.Parallel()
	type keys struct{ plain, token, master, access string }
	for name, c := range map[string]struct {
		end    func(keys) (id string, end Command)
		goesOn bool
	}{
		"a key is revoked":             {end: func(k keys) (string, Command) { return k.plain, RevokeKey{Account: "ann", ID: k.plain} }},
		"a token is revoked":           {end: func(k keys) (string, Command) { return k.token, RevokeToken{Number: 1} }},
		"a token is revoked by its id": {end: func(k keys) (string, Command) { return k.token, RevokeKey{Account: "ann", ID: k.token} }},
		"another master key is made": {end: func(k keys) (string, Command) {
			return k.master, SetMasterKey{Account: "ann", Random: RandomID{7}, Hash: secret(40)}
		}},
		"an access key is removed": {end: func(k keys) (string, Command) { return k.access, DeleteAccessKey{Account: "ann", ID: k.access} }},
		"another key is revoked":   {end: func(k keys) (string, Command) { return k.plain, RevokeToken{Number: 1} }, goesOn: true},
	} {
		w := newCluster(t)
		w.must(testKey("key", 9))
		id, end := c.end(keys{
			plain: "key", token: mustBe[Key](w, w.newToken("ann", 30)).ID,
			master: mustBe[Key](w, SetMasterKey{Account: "ann", Random: w.random(), Hash: secret(32)}).ID, access: mustBe[Key](w, w.newAccessKey(33)).ID,
		})
		w.must(w.newToken("ann", 34))
		w.must(w.newSession(id, 1))
		w.must(w.newSession(id, 2))
		w.must(w.newSession("token34", 3))
		w.must(end)
		equal(t, name, []bool{w.hasSession(1), w.hasSession(2), w.hasSession(3)}, []bool{c.goesOn, c.goesOn, true})
		equal(t, name+": what waits", w.rows(tableDue), w.rows(tableSessions))
		w.sound(t)
	}
	// One that ends by itself takes its sessions along.
	w := newCluster(t)
	key := mustBe[Key](w, CreateKey{ID: "key", Account: "ann", API: "hashbin", Hash: secret(9), Days: 1})
	w.now = key.Expires - minute
	equal(t, "cut", mustBe[Session](w, w.newSession("key", 1)).Expires, key.Expires)
	w.now = key.Expires
	w.sweep(100)
	equal(t, "ended", w.hasSession(1), false)
	w.refused(Header{}, w.newSession("key", 2), storage.KindUnauthenticated, "auth_expired")
	w.sound(t)
}

func TestOpenSessionRefuses(t *testing.T) {
	t.Parallel()
	w := newCluster(t)
	w.must(CreateAccount{ID: "bob", Email: "bob@example.org"})
	w.must(testKey("key", 9))
	w.must(w.newToken("ann", 20))
	w.must(RevokeToken{Number: 1})
	w.must(w.newToken("bob", 21))
	w.must(UpdateAccount{ID: "bob", Disabled: new(true)})
	w.must(w.newSession("key", 1))
	for name, c := range map[string]struct {
		change func(*OpenSession)
		kind   storage.Kind
		code   string
	}{
		"no key":           {func(c *OpenSession) { c.Key = "" }, storage.KindUnauthenticated, "auth_invalid"},
		"unknown key":      {func(c *OpenSession) { c.Key = "x" }, storage.KindUnauthenticated, "auth_invalid"},
		"revoked":          {func(c *OpenSession) { c.Key = "token20" }, storage.KindUnauthenticated, "auth_revoked"},
		"disabled account": {func(c *OpenSession) { c.Key = "token21" }, storage.KindUnauthenticated, "account_disabled"},
		"hash taken":       {func(c *OpenSession) { c.Hash = secret(1) }, storage.KindConflict, "id_taken"},
		"over":             {func(c *OpenSession) { c.Expires = testStart }, storage.KindInvalid, "invalid_parameter"},
		"more than a week": {func(c *OpenSession) { c.Expires = testStart + 7*dayMillis + 1 }, storage.KindInvalid, "invalid_parameter"},
	} {
		s := w.newSession("key", 2)
		c.change(&s)
		t.Log(name)
		w.refused(Header{}, s, c.kind, c.code)
	}
	for n := byte(2); n <= sessionsMax; n++ {
		w.must(w.newSession("key", n))
	}
	w.refused(Header{}, w.newSession("key", 200), storage.KindRateLimited, "session_limit")
	w.must(CloseSession{Hash: secret(7)})
	w.must(w.newSession("key", 200))
	w.sound(t)
	w.must(RevokeKey{Account: "ann", ID: "key"}) // with all of them
	equal(t, "sessions", w.rows(tableSessions), 0)
}
