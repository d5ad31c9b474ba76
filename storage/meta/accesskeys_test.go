package meta

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"ringbin/storage"
)

func (w *world) accessKeys() []Key {
	w.t.Helper()
	keys, err := w.f.AccessKeys("ann")
	if err != nil {
		w.t.Fatal(err)
	}
	return keys
}

// secret is the hash of the nth secret.
func secret(n byte) [32]byte { return [32]byte{0xee, n} }

func (w *world) newAccessKey(n byte) CreateAccessKey {
	return CreateAccessKey{
		Account: "ann", Random: w.random(), Name: fmt.Sprintf("k%d", n), Hash: secret(n), Sealed: []byte{1, n}, Scopes: []string{ScopeRead, ScopeCreate},
	}
}

// A new master key is the only one from its commit on.
func TestSetMasterKey(t *testing.T) {
	t.Parallel()
	w := newCluster(t)
	_, found, err := w.f.MasterKey("ann")
	equal(t, "none", []any{found, err}, []any{false, nil})
	one := mustBe[Key](w, SetMasterKey{Account: "ann", Random: RandomID{1}, Hash: secret(1), Name: "m"})
	equal(t, "value", one, Key{
		ID: fmt.Sprintf("%012x010000000000", testStart), Account: "ann", API: APIJSONBin, Name: "m", Hash: secret(1), Created: testStart,
		Scopes: []string{ScopeMaster},
	})
	access := mustBe[Key](w, w.newAccessKey(5))
	as := Header{Actor: Actor{Account: "ann", Key: one.ID}}
	two, ok := w.mustAs(as, SetMasterKey{Account: "ann", Random: w.random(), Hash: secret(2)}).(Key)
	got, found, err := w.f.MasterKey("ann")
	equal(t, "the one", []any{got, found, err, ok}, []any{two, true, nil, true})
	equal(t, "access keys stay", w.accessKeys(), []Key{access})
	w.refused(as, w.newBin(1), storage.KindUnauthenticated, "auth_invalid")
	_, found, err = w.f.KeyByHash(secret(1))
	equal(t, "the old one", []any{found, err}, []any{false, nil})
	equal(t, "keys", w.f.Counts().Keys, int64(2))
	w.refused(Header{}, SetMasterKey{Account: "ann", Random: w.random(), Hash: secret(5)}, storage.KindConflict, "id_taken")
	w.refused(Header{}, SetMasterKey{Account: "zoe"}, storage.KindNotFound, "not_found")
	w.sound(t)
}

func TestAccessKeys(t *testing.T) {
	t.Parallel()
	w := newCluster(t)
	w.must(CreateAccount{ID: "bob", Email: "bob@example.org"})
	master := mustBe[Key](w, SetMasterKey{Account: "ann", Random: w.random(), Hash: secret(1)})
	var keys []Key
	for n := range byte(3) {
		keys = append(keys, mustBe[Key](w, w.newAccessKey(10+n)))
	}
	equal(t, "oldest first", w.accessKeys(), keys)
	equal(t, "limit", w.refused(Header{}, w.newAccessKey(20), storage.KindForbidden, "access_key_limit"), map[string]any{"limit": int64(3)})

	keys[1].Name, keys[1].Scopes = "new", []string{ScopeDelete}
	equal(t, "updated", w.must(UpdateAccessKey{Account: "ann", ID: keys[1].ID, Name: new("new"), Scopes: new([]string{ScopeDelete})}), keys[1])
	keys[1].Sealed = []byte{9}
	equal(t, "sealed anew", w.must(UpdateAccessKey{Account: "ann", ID: keys[1].ID, Sealed: new([]byte{9})}), keys[1])
	equal(t, "list", w.accessKeys(), keys)
	w.must(UpdateAccessKey{Account: "ann", ID: keys[1].ID, Scopes: new([]string{})}) // may do nothing, and is no master key
	keys[1].Scopes = []string{}

	equal(t, "deleted", w.must(DeleteAccessKey{Account: "ann", ID: keys[0].ID}), keys[0])
	w.must(RevokeKey{Account: "ann", ID: keys[2].ID}) // as an operator may
	equal(t, "list", len(w.accessKeys()), 1)
	hashbin := testKey("key", 1)
	w.must(hashbin)
	for _, id := range []string{keys[0].ID, keys[2].ID, master.ID, "key", "x"} {
		w.refused(Header{}, UpdateAccessKey{Account: "ann", ID: id}, storage.KindNotFound, "key_not_found")
		w.refused(Header{}, DeleteAccessKey{Account: "ann", ID: id}, storage.KindNotFound, "key_not_found")
	}
	w.refused(Header{}, DeleteAccessKey{Account: "bob", ID: keys[1].ID}, storage.KindNotFound, "key_not_found")
	w.must(w.newAccessKey(21))
	w.must(w.newAccessKey(22))
	w.refused(Header{}, w.newAccessKey(23), storage.KindForbidden, "access_key_limit")
	w.sound(t)

	w.must(SetSettings{Patch: SettingsPatch{JSONBin: &JSONBinPatch{AccessKeysMax: new(int64(0))}}})
	for n := range byte(40) { // more than other dialects have
		w.must(w.newAccessKey(100 + n))
	}
	for name, change := range map[string]func(*CreateAccessKey){
		"invalid_parameter": func(c *CreateAccessKey) { c.Scopes = []string{ScopeMaster} },
		"id_taken":          func(c *CreateAccessKey) { c.Hash = secret(100) },
	} {
		c := w.newAccessKey(30)
		change(&c)
		if r := w.do(Header{}, c); r.Err == nil || r.Err.Code != name {
			t.Errorf("%s: %+v", name, r)
		}
	}
	for _, c := range []Command{
		CreateAccessKey{Account: "ann", Scopes: []string{ScopeRead, ScopeRead}},
		CreateAccessKey{Account: "ann", Sealed: []byte(strings.Repeat("x", sealedMax+1))},
		UpdateAccessKey{Account: "ann", ID: keys[1].ID, Scopes: new([]string{"write"})},
	} {
		w.refused(Header{}, c, storage.KindInvalid, "invalid_parameter")
	}
	w.sound(t)
}

// Of any number of requests that come at once no more get a key than there may be.
func TestAccessKeyLimitHolds(t *testing.T) {
	t.Parallel()
	w := newCluster(t)
	var entry [][]byte
	for n := range byte(10) {
		h := Header{}
		entry = append(entry, w.encoded(&h, w.newAccessKey(n)))
	}
	if err := w.f.Apply(w.append(entry...)); err != nil {
		t.Fatal(err)
	}
	equal(t, "keys", len(w.accessKeys()), 3)
}

// Blocks never exceed the month's quota; a new month begins a new one.
func TestReserveRequests(t *testing.T) {
	t.Parallel()
	w := newCluster(t)
	w.must(CreateAccount{ID: "bob", Email: "bob@example.org"})
	at := func(month time.Month, day int) int64 {
		return time.Date(2023, month, day, 0, 0, 0, 0, time.UTC).UnixMilli()
	}
	ask := func(n int64) RequestBlock {
		return mustBe[RequestBlock](w, ReserveRequests{Account: "ann", Requests: n})
	}
	equal(t, "no quota", ask(5), RequestBlock{Requests: 5, Until: at(time.December, 1)})
	w.must(SetSettings{Patch: SettingsPatch{JSONBin: &JSONBinPatch{RequestsPerMonth: new(int64(10))}}})
	equal(t, "first", ask(7), RequestBlock{Requests: 7, Until: at(time.December, 1)})
	equal(t, "what is left", ask(7), RequestBlock{Requests: 3, Until: at(time.December, 1)})
	equal(t, "refusal", w.refused(Header{}, ReserveRequests{Account: "ann", Requests: 1}, storage.KindForbidden, "quota_exhausted"),
		map[string]any{"quota": int64(10), "until": at(time.December, 1)})
	equal(t, "another account", mustBe[RequestBlock](w, ReserveRequests{Account: "bob", Requests: 10}).Requests, int64(10))
	w.must(SetSettings{Patch: SettingsPatch{JSONBin: &JSONBinPatch{RequestsPerMonth: new(int64(11))}}})
	equal(t, "a higher quota", ask(7).Requests, int64(1))
	w.must(SetSettings{Patch: SettingsPatch{JSONBin: &JSONBinPatch{RequestsPerMonth: new(int64(5))}}})
	w.refused(Header{}, ReserveRequests{Account: "ann", Requests: 1}, storage.KindForbidden, "quota_exhausted")

	w.now = at(time.December, 1) - 1
	w.refused(Header{}, ReserveRequests{Account: "ann", Requests: 1}, storage.KindForbidden, "quota_exhausted")
	w.now++
	equal(t, "December", ask(9), RequestBlock{Requests: 5, Until: time.Date(2024, time.January, 1, 0, 0, 0, 0, time.UTC).UnixMilli()})
	for _, n := range []int64{0, -1, RequestsMax + 1} {
		w.refused(Header{}, ReserveRequests{Account: "ann", Requests: n}, storage.KindInvalid, "invalid_parameter")
	}
	w.refused(Header{}, ReserveRequests{Account: "zoe", Requests: 1}, storage.KindNotFound, "not_found")
	w.sound(t)
}
