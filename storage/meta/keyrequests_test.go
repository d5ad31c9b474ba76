package meta

import (
	"errors"
	"fmt"
	"testing"

	"ringbin/storage"
)

func (w *world) request(email string, token byte) RequestKey {
	return RequestKey{Email: email, Name: "Bob", Token: [32]byte{token}, Expires: w.now + dayMillis}
}

func redeem(token byte, n int) RedeemToken {
	return RedeemToken{
		Token: [32]byte{token}, Account: fmt.Sprintf("new%d", n), KeyID: fmt.Sprintf("k%d", n), KeyHash: [32]byte{0xff, byte(n)}, API: "paste69",
	}
}

func (w *world) waits(token byte) bool {
	w.t.Helper()
	r, found, err := w.f.PendingKey([32]byte{token}, w.now)
	if err != nil || !found && r != (KeyRequest{}) {
		w.t.Fatal(r, err)
	}
	return found
}

// A token is good once, for the key that it was asked for, and for the account
// whose address it is.
func TestRedeemToken(t *testing.T) {
	t.Parallel()
	w := newCluster(t)
	none := Header{}
	w.now += 1500
	w.must(w.request("Bob@Example.org", 1))
	r, found, err := w.f.PendingKey([32]byte{1}, w.now)
	if err != nil || !found {
		t.Fatal(err)
	}
	equal(t, "request", r, KeyRequest{
		Email: "Bob@Example.org", Name: "Bob", Token: [32]byte{1}, Created: testStart + 1000, Expires: w.now + dayMillis,
	})
	w.refused(none, redeem(9, 1), storage.KindNotFound, "not_found")
	key1 := Key{ID: "k1", Account: "new1", API: "paste69", Name: "Bob", Hash: [32]byte{0xff, 1}, Created: testStart + 1000}
	bob := Account{ID: "new1", Email: "Bob@Example.org", Name: "Bob", Created: w.now}
	equal(t, "first", w.must(redeem(1, 1)), Redeemed{Key: key1, Account: bob})
	equal(t, "account", w.account("new1"), bob)
	if k, found, err := w.f.KeyByHash([32]byte{0xff, 1}); err != nil || !found || k.ID != "k1" {
		t.Errorf("key %+v, %v", k, err)
	}
	w.refused(none, redeem(1, 2), storage.KindNotFound, "not_found")
	equal(t, "used up", w.waits(1), false)

	w.must(w.request("bob@example.ORG", 2)) // the same one
	second, ok := w.must(redeem(2, 2)).(Redeemed)
	if !ok || second.Key.Account != "new1" || second.Account != bob {
		t.Errorf("second: %+v", second)
	}
	w.must(w.request("ANN@example.org", 3)) // an account that was there
	third, ok := w.must(redeem(3, 3)).(Redeemed)
	if !ok || third.Key.Account != "ann" || third.Account.BalanceCents != 1000 {
		t.Errorf("third: %+v", third)
	}
	counts := w.f.Counts()
	equal(t, "counts", []int64{counts.Accounts, counts.Keys, counts.KeyRequests}, []int64{2, 3, 0})
	w.sound(t)
}

// A new request replaces the one that waits for the same address, in whatever case.
func TestRequestReplaces(t *testing.T) {
	t.Parallel()
	w := newCluster(t)
	w.must(w.request("bob@example.org", 1))
	w.must(w.request("bob@example.org", 1)) // under its own token, too
	w.must(w.request("BOB@example.org", 2))
	w.must(w.request("eve@example.org", 3))
	equal(t, "waiting", []bool{w.waits(1), w.waits(2), w.waits(3)}, []bool{false, true, true})
	equal(t, "counts", w.f.Counts().KeyRequests, int64(2))
	w.refused(Header{}, w.request("carol@example.org", 3), storage.KindConflict, "id_taken")
	w.refused(Header{}, w.request("bob@example.org", 3), storage.KindConflict, "id_taken")
	w.refused(Header{}, redeem(1, 1), storage.KindNotFound, "not_found")
	w.sound(t)
	w.wait(dayMillis - 1)
	equal(t, "waiting", w.waits(2), true)
	w.wait(1)
	equal(t, "over", w.waits(2), false)
	w.refused(Header{}, redeem(2, 1), storage.KindNotFound, "not_found")
	w.must(w.request("bob@example.org", 4)) // in the place of one that is not swept yet
	equal(t, "swept", w.must(Sweep{Limit: 9}), SweepResult{Removed: 1})
	equal(t, "counts", w.f.Counts().KeyRequests, int64(1))
	w.sound(t)
}

func TestKeyRequestsRefuse(t *testing.T) {
	t.Parallel()
	w := newCluster(t)
	none := Header{}
	for name, change := range map[string]func(*RequestKey){
		"no address":          func(c *RequestKey) { c.Email = "" },
		"zero in the address": func(c *RequestKey) { c.Email = "a\x00@example.org" },
		"over":                func(c *RequestKey) { c.Expires = w.now },
		"too far ahead":       func(c *RequestKey) { c.Expires = w.now + pendingAheadMax + 1 },
	} {
		c := w.request("bob@example.org", 1)
		change(&c)
		t.Log(name)
		w.refused(none, c, storage.KindInvalid, "invalid_parameter")
	}
	w.must(w.request("bob@example.org", 1))
	w.must(testKey("key", 7))
	for name, c := range map[string]struct {
		change func(*RedeemToken)
		code   string
	}{
		"account taken":  {func(c *RedeemToken) { c.Account = "ann" }, "id_taken"},
		"no account id":  {func(c *RedeemToken) { c.Account = "" }, "id_taken"},
		"key id taken":   {func(c *RedeemToken) { c.KeyID = "key" }, "id_taken"},
		"key hash taken": {func(c *RedeemToken) { c.KeyHash = [32]byte{7} }, "id_taken"},
	} {
		r := redeem(1, 1)
		c.change(&r)
		t.Log(name)
		w.refused(none, r, storage.KindConflict, c.code)
	}
	for i := range keysMax {
		k := testKey(fmt.Sprint("p", i), byte(100+i))
		k.API = "paste69"
		w.must(k)
	}
	w.must(w.request("ann@example.org", 2))
	w.refused(none, redeem(2, 2), storage.KindInvalid, "key_limit_reached")
	w.must(UpdateAccount{ID: "ann", Disabled: new(true)})
	w.refused(none, redeem(2, 2), storage.KindUnauthenticated, "account_disabled")
	equal(t, "still good", []bool{w.waits(1), w.waits(2)}, []bool{true, true})
	w.must(redeem(1, 1))

	w.poke(func(x *tx) error {
		x.counts.KeyRequests = pendingMax
		return x.endEntry()
	})
	w.refused(none, w.request("carol@example.org", 3), storage.KindRateLimited, "rate_limited")
	w.must(w.request("ann@example.org", 3)) // which takes no more room
}

// A key in mode open has an account of its own, whose address is only claimed.
func TestOpenKey(t *testing.T) {
	t.Parallel()
	w := newCluster(t)
	open := func(n int) OpenKey {
		return OpenKey{
			Account: fmt.Sprintf("open%d", n), KeyID: fmt.Sprintf("k%d", n), KeyHash: [32]byte{0xee, byte(n)}, API: "paste69",
			Email: "ann@example.org", Name: "Not Ann",
		}
	}
	k, ok := w.must(open(1)).(Key)
	if !ok || k.Account != "open1" || k.ID != "k1" || k.Name != "Not Ann" || k.Expires != 0 {
		t.Errorf("key %+v", k)
	}
	w.must(open(2))
	want := Account{ID: "open1", Name: "Not Ann", Claimed: "ann@example.org", Created: testStart}
	equal(t, "account", w.account("open1"), want)
	if a, found, err := w.f.AccountByEmail("ann@example.org"); err != nil || !found || a.ID != "ann" {
		t.Errorf("the address is %+v's, %v", a, err)
	}
	if a, found, err := w.f.AccountByEmail(""); found || err != nil {
		t.Errorf("no address is %+v's, %v", a, err)
	}
	none := Header{}
	for name, change := range map[string]func(*OpenKey){
		"account taken":  func(c *OpenKey) { c.Account = "ann" },
		"key id taken":   func(c *OpenKey) { c.KeyID = "k2" },
		"key hash taken": func(c *OpenKey) { c.KeyHash = [32]byte{0xee, 2} },
	} {
		c := open(3)
		change(&c)
		t.Log(name)
		w.refused(none, c, storage.KindConflict, "id_taken")
	}
	w.sound(t)
	w.must(UpdateAccount{ID: "open2", Email: new("two@example.org")}) // the operator knows better
	w.sound(t)
}

// What Apply refuses is told from what halts the node by its type alone.
func TestFatalIsNoRefusal(t *testing.T) {
	t.Parallel()
	if _, refusal := errors.AsType[*storage.Error](errors.Join(nil, orFatal(nil, "gone"))); refusal {
		t.Error("a state that can't be read is a refusal")
	}
}
