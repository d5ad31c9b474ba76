package node_test

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"ringbin/node"
	"ringbin/storage"
)

// minuteClock is a clock on which a minute has just begun, and that can be set
// on to the next one.
type minuteClock struct{ ahead atomic.Int64 }

func (c *minuteClock) set(cfg *node.Config) {
	if c.ahead.Load() == 0 {
		c.ahead.Store(-int64(time.Since(time.Now().Truncate(time.Minute))))
	}
	cfg.Clock = func() time.Time { return time.Now().Add(time.Duration(c.ahead.Load())) }
}

// countLong has the nodes count as if they had begun to in another window.
func (r *binRig) countLong() {
	r.t.Helper()
	for _, n := range r.nodes {
		if err := n.WaitRing(r.t.Context(), len(r.nodes)); err != nil {
			r.t.Fatal(err)
		}
		n.CountedLong()
	}
}

// onto sets the clocks on by a time, and has the nodes know.
func (r *binRig) onto(c *minuteClock, d time.Duration) {
	r.t.Helper()
	c.ahead.Add(int64(d))
	for _, n := range r.nodes {
		if err := n.WaitReady(r.t.Context()); err != nil {
			r.t.Fatal(err)
		}
	}
}

// token makes a token of the rig's account by the operator's hand.
func (r *binRig) token(limit int64, scopes ...string) (node.Key, string) {
	r.t.Helper()
	k, secret, err := r.s(0).CreateKey(r.t.Context(), r.op, r.account, node.NewKey{API: node.APIPasteWizard, Scopes: scopes, RatePerMinute: &limit})
	if err != nil {
		r.t.Fatal(err)
	}
	return k, secret
}

// wizard is who a token stands for, on a node.
func (r *binRig) wizard(i int, secret string) node.Caller {
	r.t.Helper()
	return must(r.s(i).Authenticate(r.t.Context(), node.APIPasteWizard, secret))(r.t)
}

// However requests come through the nodes, exactly the limit is admitted, but
// for those that were admitted without an answer. Without the counter each of
// the others goes on with its share.
func TestAdmitToken(t *testing.T) {
	t.Parallel()
	const limit, share = 60, 5
	r := binRigOf(t, openEdited(t, 3, (&minuteClock{}).set))
	k, secret := r.token(limit)
	c := r.wizard(1, secret)
	r.countLong()
	admitted, alone := int64(0), int64(0)
	for i := range 2 * limit {
		err := r.s(i).AdmitToken(t.Context(), c)
		if err == nil {
			admitted++
			continue
		}
		wantCode(t, "above the limit", err, storage.KindRateLimited, "rate_limited")
		e, _ := errors.AsType[*storage.Error](err)
		wait, _ := e.Details["retry_after_seconds"].(int64)
		if e.Details["limit_per_minute"] != int64(limit) || wait < 1 || wait > 60 {
			t.Fatalf("refused with %v", e.Details)
		}
	}
	for _, n := range r.nodes {
		alone += n.AdmittedAlone(k.Number)
	}
	if admitted != limit+alone || alone > 3*share {
		t.Errorf("%d of %d admitted, %d of them without an answer", admitted, limit, alone)
	}

	_, unlimited := r.token(0)
	c = r.wizard(2, unlimited)
	for range 2 * limit {
		if err := r.s(2).AdmitToken(t.Context(), c); err != nil {
			t.Fatalf("a token without a limit: %v", err)
		}
	}

	k, secret = r.token(limit)
	callers := []node.Caller{r.wizard(0, secret), r.wizard(1, secret), r.wizard(2, secret)}
	counter := slices.IndexFunc(r.nodes, func(n *node.Node) bool { return n.CountsFor(k.Number) })
	closeNode(t, r.nodes[counter])
	for i := range r.nodes {
		if i == counter {
			continue
		}
		admitted := 0
		for range 2 * share {
			if r.s(i).AdmitToken(t.Context(), callers[i]) == nil {
				admitted++
			}
		}
		if admitted != share {
			t.Errorf("without its counter a node admits %d, its share is %d", admitted, share)
		}
	}
}

var tokenForm = regexp.MustCompile(`^pw_[0-9A-Za-z]{43}$`)

// A token's scopes are what it can, and admin is all of them.
func TestTokenScopes(t *testing.T) {
	t.Parallel()
	r := newBinRig(t, 1)
	for _, c := range []struct{ given, can []string }{
		{nil, []string{node.TokenRead, node.TokenWrite}},
		{[]string{node.TokenRead}, []string{node.TokenRead}},
		{[]string{node.TokenWrite}, []string{node.TokenWrite}},
		{[]string{node.TokenAdmin}, []string{node.TokenRead, node.TokenWrite, node.TokenAdmin}},
	} {
		k, secret := r.token(7, c.given...)
		caller := r.wizard(0, secret)
		if !tokenForm.MatchString(secret) || caller.Account != r.account || caller.Token != k.Number || k.RatePerMinute != 7 {
			t.Errorf("scopes %v: token %d of %d requests, which stands for %+v", c.given, k.Number, k.RatePerMinute, caller)
		}
		for _, scope := range []string{node.TokenRead, node.TokenWrite, node.TokenAdmin} {
			if caller.Can(scope) != slices.Contains(c.can, scope) {
				t.Errorf("scopes %v can %s: %v", c.given, scope, caller.Can(scope))
			}
		}
		_, err := r.s(0).Authenticate(t.Context(), node.APIPaste69, secret)
		wantCode(t, "in another dialect", err, storage.KindUnauthenticated, "auth_invalid")
	}
	k, _, err := r.s(0).CreateKey(t.Context(), r.op, r.account, node.NewKey{API: node.APIPasteWizard})
	if err != nil || k.Name != "token" || k.RatePerMinute != 60 || k.Expires != 0 {
		t.Errorf("by default %+v, %v", k, err)
	}
	_, _, err = r.s(0).CreateKey(t.Context(), r.op, r.account, node.NewKey{API: node.APIPasteWizard, ExpiresInDays: new(1)})
	wantCode(t, "one that expires", err, storage.KindInvalid, "invalid_parameter")
	if (node.Caller{}).Can(node.TokenRead) || r.caller(0).Can(node.TokenRead) {
		t.Error("who has no token can read")
	}
}

// Who may do what with tokens: admins with all, a login session with those of
// its account, within its scopes, and a token that is not an admin's with none.
func TestTokenRights(t *testing.T) {
	t.Parallel()
	r := newBinRig(t, 1)
	ctx, s := t.Context(), r.s(0)
	other, _ := r.newAccount("b@example.com")
	session := func(secret string) node.Caller {
		_, cookie, err := s.OpenSession(ctx, secret)
		if err != nil {
			t.Fatal(err)
		}
		return must(s.Session(ctx, cookie))(t)
	}
	_, adminText := r.token(0, node.TokenAdmin)
	_, plainText := r.token(0)
	_, readerText := r.token(0, node.TokenRead)
	master := session(r.master)
	callers := map[string]node.Caller{
		"operator": r.op, "admin token": r.wizard(0, adminText), "token": r.wizard(0, plainText), "nobody": {},
		"session": master, "session of a reader": session(readerText), "session of an admin token": session(adminText),
	}
	limit := int64(5)
	for name, want := range map[string]struct{ own, foreign, admins, limited, list, revoke, edit bool }{
		"operator":                  {true, true, true, true, true, true, true},
		"admin token":               {true, true, true, true, true, true, true},
		"session of an admin token": {true, true, true, true, true, true, true},
		"session":                   {own: true, list: true, revoke: true},
		"session of a reader":       {list: true},
		"token":                     {},
		"nobody":                    {},
	} {
		c := callers[name]
		try := func(what string, allowed bool, err error) {
			t.Helper()
			if allowed && err != nil {
				t.Errorf("%s: %s: %v", name, what, err)
			}
			if !allowed {
				wantCode(t, name+": "+what, err, storage.KindForbidden, "scope_missing")
			}
		}
		scopes := []string{node.TokenRead}
		_, _, err := s.CreateToken(ctx, c, node.NewToken{Account: r.account, Name: name, Scopes: scopes})
		try("create", want.own, err)
		_, _, err = s.CreateToken(ctx, c, node.NewToken{Account: other, Name: name, Scopes: scopes})
		try("create for another account", want.foreign, err)
		_, _, err = s.CreateToken(ctx, c, node.NewToken{Account: r.account, Name: name, Scopes: []string{node.TokenAdmin}})
		try("create an admin's", want.admins, err)
		_, _, err = s.CreateToken(ctx, c, node.NewToken{Account: r.account, Name: name, Scopes: scopes, RatePerMinute: &limit})
		try("create with a limit", want.limited, err)
		_, err = s.Tokens(ctx, c, node.TokenQuery{Account: r.account, Limit: 500})
		try("list", want.list, err)
		_, err = s.Tokens(ctx, c, node.TokenQuery{Account: other, Limit: 500})
		try("list another's", want.foreign, err)
		_, err = s.AccountByNumber(ctx, c, 1)
		try("look up an account", want.edit, err)
		mine, _ := r.token(0)
		_, err = s.EditToken(ctx, c, mine.Number, node.TokenPatch{RatePerMinute: &limit})
		try("edit", want.edit, err)
		_, err = s.RevokeToken(ctx, c, mine.Number)
		try("revoke", want.revoke, err)
		if !want.revoke {
			must(s.RevokeToken(ctx, r.op, mine.Number))(t)
		}
	}
	theirs, _, err := s.CreateToken(ctx, r.op, node.NewToken{Account: other, Name: "theirs", Scopes: []string{node.TokenRead}})
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.RevokeToken(ctx, master, theirs.Number)
	wantCode(t, "revoke another's", err, storage.KindNotFound, "token_not_found")
	page := must(s.Tokens(ctx, master, node.TokenQuery{Limit: 500}))(t)
	if slices.ContainsFunc(page.Items, func(k node.Key) bool { return k.Account != r.account || k.Revoked != 0 }) {
		t.Error("listed are others' tokens, or revoked ones")
	}
}

// Tokens are edited, listed in pages by number, and revoked, again as often as asked.
func TestTokensAreManaged(t *testing.T) {
	t.Parallel()
	r := newBinRig(t, 1)
	ctx, s := t.Context(), r.s(0)
	var numbers []int64
	for range 5 {
		k, _ := r.token(60)
		numbers = append(numbers, k.Number)
	}
	k := must(s.EditToken(ctx, r.op, numbers[1], node.TokenPatch{Name: new(" new "), Scopes: &[]string{node.TokenAdmin}, RatePerMinute: new(int64(0))}))(t)
	if k.Name != "new" || fmt.Sprint(k.Scopes) != "[admin]" || k.RatePerMinute != 0 {
		t.Errorf("edited to %+v", k)
	}
	for field, p := range map[string]node.TokenPatch{
		"name": {Name: new("")}, "scopes": {Scopes: &[]string{}}, "rate_limit_per_minute": {RatePerMinute: new(int64(1_000_001))},
	} {
		_, err := s.EditToken(ctx, r.op, numbers[1], p)
		if e, ok := errors.AsType[*storage.Error](err); !ok || e.Kind != storage.KindInvalid || e.Field != field {
			t.Errorf("a bad %s: %v", field, err)
		}
	}
	for range 2 {
		must(s.RevokeToken(ctx, r.op, numbers[2]))(t)
	}
	_, err := s.EditToken(ctx, r.op, numbers[2], node.TokenPatch{Name: new("x")})
	wantCode(t, "edit a revoked one", err, storage.KindNotFound, "token_not_found")
	_, err = s.RevokeToken(ctx, r.op, 1000)
	wantCode(t, "revoke none", err, storage.KindNotFound, "token_not_found")
	_, _, err = s.CreateToken(ctx, r.op, node.NewToken{Account: "user_unknown", Name: "x", Scopes: []string{node.TokenRead}})
	wantCode(t, "for no account", err, storage.KindNotFound, "user_not_found")
	_, err = s.AccountByNumber(ctx, r.op, 1000)
	wantCode(t, "no account", err, storage.KindNotFound, "user_not_found")

	list := func(revoked bool) (got []int64) {
		for cursor := ""; ; {
			page := must(s.Tokens(ctx, r.op, node.TokenQuery{Revoked: revoked, Limit: 2, Cursor: cursor}))(t)
			for _, k := range page.Items {
				got = append(got, k.Number)
			}
			if cursor = page.Next; cursor == "" {
				return got
			}
		}
	}
	if got := list(true); !slices.Equal(got, numbers) {
		t.Errorf("with revoked ones %v", got)
	}
	if got := list(false); !slices.Equal(got, slices.Delete(slices.Clone(numbers), 2, 3)) {
		t.Errorf("without revoked ones %v", got)
	}
	_, err = s.Tokens(ctx, r.op, node.TokenQuery{Limit: 2, Cursor: "x"})
	wantCode(t, "a bad cursor", err, storage.KindInvalid, "invalid_parameter")

	number, name, found := s.DisplayOf(r.account)
	a := must(s.AccountByNumber(ctx, r.op, number))(t)
	if !found || name != "A" || a.ID != r.account {
		t.Errorf("account %d is shown as %q", number, name)
	}
	if _, _, found := s.DisplayOf("user_unknown"); found {
		t.Error("an account that is gone is shown")
	}
}

// A revoked token is dead on every node within 5 s; a new one works at once.
func TestRevokedTokenEverywhere(t *testing.T) {
	t.Parallel()
	r := newBinRig(t, 3)
	k, secret := r.token(0)
	for i := range r.nodes {
		r.wizard(i, secret)
	}
	must(r.s(1).RevokeToken(t.Context(), r.op, k.Number))(t)
	bound := time.Now().Add(5 * time.Second)
	for i := range r.nodes {
		for {
			_, err := r.s(i).Authenticate(t.Context(), node.APIPasteWizard, secret)
			if storage.CodeOf(err) == "auth_revoked" {
				break
			}
			if err != nil || time.Now().After(bound) {
				t.Fatalf("node %d takes the revoked token: %v", i, err)
			}
		}
	}
}
