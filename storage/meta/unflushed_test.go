package meta

import (
	"context"
	"testing"

	"pgregory.net/rapid"

	"ringbin/storage"
)

// What a key held before a batch is known wherever it lies, in memtables or in
// tables: were a row overlooked, the hash that is kept would not be the state's.
func TestUnflushedKeysAreSeen(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		w, done := modelWorld(t, rt)
		defer done()
		w.must(CreateAccount{ID: "ann", Email: "ann@example.org", Name: "Ann", BalanceCents: 1000, EntryID: "opening-ann"})
		w.must(CreateAccount{ID: "bob", Email: "bob@example.org", Name: "Bob", BalanceCents: 1000, EntryID: "opening-bob"})
		cids := []storage.CID{sized(1000, 1), sized(1001, 2), sized(1002, 3), sized(1003, 4)}
		w.f.fresh.most = rapid.IntRange(1, 20).Draw(rt, "most")
		for range rapid.IntRange(1, 20).Draw(rt, "commands") {
			cid, account := rapid.SampledFrom(cids).Draw(rt, "cid"), rapid.SampledFrom([]string{"ann", "bob"}).Draw(rt, "account")
			w.now += rapid.Int64Range(0, 2*dayMillis).Draw(rt, "wait")
			switch rapid.IntRange(0, 5).Draw(rt, "command") {
			case 0:
				w.do(Header{}, DeleteReference{Account: account, CID: cid})
			case 1:
				w.do(Header{}, UpdateAccount{ID: account, Name: &account})
			case 2:
				if err := w.f.Flush(); err != nil {
					rt.Fatal(err)
				}
			default:
				w.do(Header{}, w.upload(account, cid, 30))
			}
			if err := w.f.RecomputeStateHash(context.Background()); err != nil {
				rt.Fatal(err)
			}
		}
	})
}

// A filter forgets no key, and holds few by mistake.
func TestUnflushedFilters(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	u := &w.f.fresh
	if !u.complete() {
		t.Fatal("not complete after the start")
	}
	mistaken := 0
	const keys = 10_000
	for i := range uint64(keys) {
		u.add(answersKey(i))
		if !u.may(answersKey(i)) {
			t.Fatalf("key %d is forgotten", i)
		}
	}
	for i := range uint64(keys) {
		if u.may(answersKey(keys + i)) {
			mistaken++
		}
	}
	if mistaken > keys/100 {
		t.Errorf("%d of %d keys that were not written pass", mistaken, keys)
	}
}
