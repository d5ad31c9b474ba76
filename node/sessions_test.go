package node_test

import (
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"ringbin/cluster"
	"ringbin/node"
	"ringbin/storage"
)

var cookieForm = regexp.MustCompile(`^[0-9A-Za-z]{43}$`)

// login logs in through a node.
func (r *binRig) login(i int, secret string) string {
	r.t.Helper()
	session, cookie, err := r.s(i).OpenSession(r.t.Context(), secret)
	if err != nil {
		r.t.Fatal(err)
	}
	if !cookieForm.MatchString(cookie) || session.Account != r.account || session.Expires-session.Created != (12*time.Hour).Milliseconds() {
		r.t.Fatalf("logged in as %+v", session)
	}
	return cookie
}

// keyOf makes a key of a dialect for the rig's account.
func (r *binRig) keyOf(api string) (node.Key, string) {
	r.t.Helper()
	k, secret, err := r.s(0).CreateKey(r.t.Context(), r.op, r.account, node.NewKey{API: api, Name: "k"})
	if err != nil {
		r.t.Fatal(err)
	}
	return k, secret
}

// Any key opens a session, on every node, with what the key and the role of
// its account allow.
func TestSessionScopes(t *testing.T) {
	t.Parallel()
	r := newBinRig(t, 3)
	ctx := t.Context()
	_, hashKey := r.keyOf(node.APIHashBin)
	_, pasteKey := r.keyOf(node.APIPaste69)
	_, reader := r.token(60, node.TokenRead)
	access := must(r.s(0).CreateAccessKey(ctx, r.caller(0), "k", []string{node.RightRead, node.RightCreate}))(t)
	all := []struct {
		name, secret             string
		read, write, adminInRole bool
	}{
		{"hashbin", hashKey, true, true, true},
		{"paste69", pasteKey, true, true, true},
		{"jsonbin's master", r.master, true, true, true},
		{"jsonbin's access", access.Key, false, false, false},
		{"a token", reader, true, false, false},
	}
	for i, key := range all {
		cookie := r.login(i, key.secret)
		for _, admin := range []bool{false, true} {
			if _, err := r.s(0).UpdateAccount(ctx, r.op, r.account, node.AccountPatch{Admin: &admin}); err != nil {
				t.Fatal(err)
			}
			for j := range r.nodes {
				must(r.s(j).Account(ctx, node.Caller{Account: r.account}))(t) // a strong read: the role is known there
				c := must(r.s(j).Session(ctx, cookie))(t)
				wantAdmin := admin && key.adminInRole
				if c.Account != r.account || c.Can(node.TokenRead) != key.read || c.Can(node.TokenWrite) != key.write || c.Can(node.TokenAdmin) != wantAdmin {
					t.Errorf("%s, role admin %v, node %d: reads %v, writes %v, is admin %v", key.name, admin, j,
						c.Can(node.TokenRead), c.Can(node.TokenWrite), c.Can(node.TokenAdmin))
				}
			}
		}
	}
	for name, secret := range map[string]string{
		"a strange text": "x", "an unknown key": "p69_" + access.Key, "an unknown token": "pw_0123456789012345678901234567890123456789abc",
		"an unknown key of jsonbin": access.Key[:len(access.Key)-1] + ".",
	} {
		_, _, err := r.s(1).OpenSession(ctx, secret)
		wantCode(t, name, err, storage.KindUnauthenticated, "auth_invalid")
	}
	_, _, err := r.s(1).OpenSession(ctx, "")
	wantCode(t, "nothing", err, storage.KindUnauthenticated, "auth_missing")
}

// A session ends with its key and with its account, on every node within 5 s,
// and when it is closed.
func TestSessionsEnd(t *testing.T) {
	t.Parallel()
	r := newBinRig(t, 3)
	ctx := t.Context()
	ends := func(name, cookie string) {
		t.Helper()
		bound := time.Now().Add(5 * time.Second)
		for i := range r.nodes {
			for {
				_, err := r.s(i).Session(ctx, cookie)
				if storage.CodeOf(err) == "session_invalid" {
					break
				}
				if err != nil || time.Now().After(bound) {
					t.Fatalf("%s: node %d: %v", name, i, err)
				}
			}
		}
	}
	open := func(secret string) string {
		t.Helper()
		cookie := r.login(0, secret) //nolint:contextcheck // the rig has it
		for i := range r.nodes {
			must(r.s(i).Session(ctx, cookie))(t)
		}
		return cookie
	}
	k, secret := r.keyOf(node.APIHashBin)
	cookie, second := open(secret), open(secret)
	if err := r.s(1).CloseSession(ctx, cookie); err != nil {
		t.Fatal(err)
	}
	ends("closed", cookie)
	must(r.s(2).Session(ctx, second))(t)
	must(r.s(2).RevokeKey(ctx, r.op, r.account, k.ID))(t)
	ends("of a revoked key", second)

	token, text := r.token(0)
	cookie = open(text)
	must(r.s(1).RevokeToken(ctx, r.op, token.Number))(t)
	ends("of a revoked token", cookie)

	cookie = open(r.master)
	r.master = must(r.s(1).RotateMasterKey(ctx, r.caller(1)))(t)
	ends("of a master key that was replaced", cookie)

	cookie = open(r.master)
	must(r.s(0).UpdateAccount(ctx, r.op, r.account, node.AccountPatch{Disabled: new(true)}))(t)
	ends("of a disabled account", cookie)

	for _, strange := range []string{"x", cookie + "x", "0123456789012345678901234567890123456789abc"} {
		_, err := r.s(0).Session(ctx, strange)
		wantCode(t, strange, err, storage.KindUnauthenticated, "session_invalid")
		if err := r.s(0).CloseSession(ctx, strange); err != nil {
			t.Errorf("closing %s: %v", strange, err)
		}
	}
	_, err := r.s(0).Session(ctx, "")
	wantCode(t, "none", err, storage.KindUnauthenticated, "session_missing")
}

// A session lasts 12 hours, also while the node is stopped.
func TestSessionExpires(t *testing.T) {
	t.Parallel()
	clock := &minuteClock{}
	dir, secret := filepath.Join(t.TempDir(), "n"), cluster.NewSecret()
	n := openIn(t, dir, secret, clock.set)
	r := rigOf(t, n)
	cookie := r.login(0, r.master)
	closeNode(t, n)
	n = openIn(t, dir, secret, clock.set)
	t.Cleanup(func() { closeNode(t, n) })
	r.nodes[0] = n
	r.onto(clock, 12*time.Hour-5*time.Minute)
	must(r.s(0).Session(t.Context(), cookie))(t)
	r.onto(clock, 6*time.Minute)
	_, err := r.s(0).Session(t.Context(), cookie)
	wantCode(t, "after 12 hours", err, storage.KindUnauthenticated, "session_invalid")
}
