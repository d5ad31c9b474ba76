package meta

import (
	"fmt"
	"testing"

	"ringbin/storage"
)

func (w *world) newToken(account string, n byte) CreateToken {
	return CreateToken{ID: fmt.Sprintf("token%d", n), Account: account, Name: "ci", Hash: secret(n), Scopes: []string{TokenRead, TokenWrite}, RatePerMinute: 60}
}

func (w *world) tokenNumbers(account string, revoked bool, after int64, limit int) (numbers []int64, more bool) {
	w.t.Helper()
	tokens, more, err := w.f.Tokens(account, revoked, after, limit)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, k := range tokens {
		numbers = append(numbers, k.Number)
	}
	return numbers, more
}

func TestCreateToken(t *testing.T) {
	t.Parallel()
	w := newCluster(t)
	want := Key{
		ID: "token1", Account: "ann", API: APIPasteWizard, Name: "ci", Hash: secret(1), Created: testStart, Scopes: []string{TokenRead, TokenWrite},
		RatePerMinute: 60, Number: 1,
	}
	w.now += 999
	equal(t, "value", w.must(w.newToken("ann", 1)), want)
	got, found, err := w.f.Token(1)
	equal(t, "by number", []any{got, found, err}, []any{want, true, error(nil)})
	got, found, err = w.f.KeyByHash(secret(1))
	equal(t, "by hash", []any{got, found, err}, []any{want, true, error(nil)})
	equal(t, "the account's number", w.account("ann").Number, int64(1))
	unlimited := w.newToken("ann", 2)
	unlimited.RatePerMinute = 0
	equal(t, "no limit", mustBe[Key](w, unlimited).RatePerMinute, int64(0))
	equal(t, "still", w.account("ann").Number, int64(1))
	if _, found, err := w.f.Token(3); found || err != nil {
		t.Error("a number that was not given", err)
	}
	w.sound(t)
}

func TestCreateTokenRefuses(t *testing.T) {
	t.Parallel()
	w := newCluster(t)
	w.must(w.newToken("ann", 1))
	w.must(testKey("key", 9))
	for name, c := range map[string]struct {
		change func(*CreateToken)
		kind   storage.Kind
		code   string
	}{
		"no account":      {func(c *CreateToken) { c.Account = "eve" }, storage.KindNotFound, "not_found"},
		"no name":         {func(c *CreateToken) { c.Name = "" }, storage.KindInvalid, "invalid_parameter"},
		"long name":       {func(c *CreateToken) { c.Name = string(make([]byte, 257)) }, storage.KindInvalid, "invalid_parameter"},
		"no scope":        {func(c *CreateToken) { c.Scopes = nil }, storage.KindInvalid, "invalid_parameter"},
		"unknown scope":   {func(c *CreateToken) { c.Scopes = []string{"delete"} }, storage.KindInvalid, "invalid_parameter"},
		"a scope twice":   {func(c *CreateToken) { c.Scopes = []string{TokenRead, TokenRead} }, storage.KindInvalid, "invalid_parameter"},
		"rate below zero": {func(c *CreateToken) { c.RatePerMinute = -1 }, storage.KindInvalid, "invalid_parameter"},
		"high rate":       {func(c *CreateToken) { c.RatePerMinute = 1_000_001 }, storage.KindInvalid, "invalid_parameter"},
		"id taken":        {func(c *CreateToken) { c.ID = "key" }, storage.KindConflict, "id_taken"},
		"hash taken":      {func(c *CreateToken) { c.Hash = secret(1) }, storage.KindConflict, "id_taken"},
	} {
		k := w.newToken("ann", 2)
		c.change(&k)
		t.Log(name)
		w.refused(Header{}, k, c.kind, c.code)
	}
	for n := byte(2); n <= keysMax; n++ {
		w.must(w.newToken("ann", n))
	}
	details := w.refused(Header{}, w.newToken("ann", 50), storage.KindInvalid, "key_limit_reached")
	equal(t, "details", details, map[string]any{"limit": int64(keysMax), "active": int64(keysMax)})
	w.must(RevokeToken{Number: 3})
	equal(t, "what was refused took no number", mustBe[Key](w, w.newToken("ann", 50)).Number, int64(keysMax+1))
	w.sound(t)
}

func TestUpdateAndRevokeToken(t *testing.T) {
	t.Parallel()
	w := newCluster(t)
	w.must(CreateAccount{ID: "bob", Email: "bob@example.org"})
	want := mustBe[Key](w, w.newToken("ann", 1))
	w.must(w.newToken("bob", 2))
	equal(t, "nothing", w.must(UpdateToken{Number: 1}), want)
	want.Name, want.Scopes, want.RatePerMinute = "cd", []string{TokenAdmin}, 0
	equal(t, "all", w.must(UpdateToken{Number: 1, Name: new("cd"), Scopes: &want.Scopes, RatePerMinute: new(int64(0))}), want)
	for _, c := range []UpdateToken{{Number: 1, Name: new("")}, {Number: 1, Scopes: new([]string{})}, {Number: 1, RatePerMinute: new(int64(-1))}} {
		w.refused(Header{}, c, storage.KindInvalid, "invalid_parameter")
	}
	for _, c := range []Command{UpdateToken{Number: 3}, RevokeToken{Number: 3}, RevokeToken{Number: 1, Account: "bob"}, UpdateToken{}, RevokeToken{}} {
		w.refused(Header{}, c, storage.KindNotFound, "not_found")
	}
	w.now += minute
	want.Revoked = w.now
	equal(t, "revoked", w.must(RevokeToken{Number: 1, Account: "ann"}), want)
	w.now += minute
	equal(t, "again", w.must(RevokeToken{Number: 1}), want)
	w.refused(Header{}, UpdateToken{Number: 1, Name: new("x")}, storage.KindNotFound, "not_found")
	w.refused(Header{Actor: Actor{Account: "ann", Key: "token1"}}, Tick{}, storage.KindUnauthenticated, "auth_revoked")
	w.sound(t)
}

func TestTokens(t *testing.T) {
	t.Parallel()
	w := newCluster(t)
	w.must(CreateAccount{ID: "bob", Email: "bob@example.org"})
	w.must(testKey("key", 99))
	for n := byte(1); n <= 12; n++ { // by id, token10 is before token2
		w.must(w.newToken([]string{"ann", "bob"}[n%2], n))
	}
	for _, n := range []int64{4, 5, 12} {
		w.must(RevokeToken{Number: n})
	}
	for _, c := range []struct {
		account string
		revoked bool
		after   int64
		limit   int
		want    []int64
		more    bool
	}{
		{"", false, 0, 100, []int64{1, 2, 3, 6, 7, 8, 9, 10, 11}, false},
		{"", false, 0, 9, []int64{1, 2, 3, 6, 7, 8, 9, 10, 11}, false}, // behind them is a revoked one
		{"", true, 0, 100, []int64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}, false},
		{"", true, 3, 2, []int64{4, 5}, true},
		{"", false, 3, 2, []int64{6, 7}, true},
		{"", false, 11, 2, nil, false},
		{"ann", false, 0, 100, []int64{2, 6, 8, 10}, false},
		{"ann", true, 2, 2, []int64{4, 6}, true},
		{"bob", false, 9, 1, []int64{11}, false},
		{"eve", true, 0, 100, nil, false},
	} {
		numbers, more := w.tokenNumbers(c.account, c.revoked, c.after, c.limit)
		equal(t, fmt.Sprintf("%+v", c), []any{numbers, more}, []any{c.want, c.more})
	}
	w.sound(t)
}
