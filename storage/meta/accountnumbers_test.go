package meta

import "testing"

// Numbers of accounts rise, are given once, and are not given to those that
// were made before there were any until they have a token.
func TestAccountNumbers(t *testing.T) {
	t.Parallel()
	w := newCluster(t)
	equal(t, "not asked for", w.account("ann").Number, int64(0))
	equal(t, "value", mustBe[Account](w, CreateAccount{ID: "bob", Email: "bob@example.org", Numbered: true}).Number, int64(1))
	if r := w.do(Header{}, CreateAccount{ID: "bob", Email: "other@example.org", Numbered: true}); r.Err == nil {
		t.Error("an account is made twice")
	}
	w.must(w.newToken("ann", 1))
	w.must(CreateAccount{ID: "eve", Email: "eve@example.org", Numbered: true})
	for n, id := range []string{"", "bob", "ann", "eve"} {
		a, found, err := w.f.AccountByNumber(int64(n))
		equal(t, "account", []any{a.ID, a.Number, found, err}, []any{id, int64(n), n > 0, error(nil)})
	}
	equal(t, "role", mustBe[Account](w, UpdateAccount{ID: "bob", Admin: new(true)}).Admin, true)
	equal(t, "kept", mustBe[Account](w, UpdateAccount{ID: "bob", Name: new("Bob")}).Admin, true)
	equal(t, "taken back", mustBe[Account](w, UpdateAccount{ID: "bob", Admin: new(false)}).Admin, false)
	w.sound(t)
}
