package meta

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"ringbin/storage"
)

// What is kept decoded is what the database says: after each command, and of
// content at any time, in whatever order it is asked for.
func TestHotIsWhatIsStored(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		w, done := modelWorld(t, rt)
		defer done()
		w.must(CreateAccount{ID: "ann", Email: "ann@example.org", Name: "Ann", BalanceCents: 1000, EntryID: "opening-ann"})
		w.must(CreateAccount{ID: "bob", Email: "bob@example.org", Name: "Bob", BalanceCents: 1000, EntryID: "opening-bob"})
		w.must(CreateKey{ID: "k1", Account: "ann", API: "hashbin", Name: "k1", Hash: [32]byte{1}, Days: 30})
		cids := []storage.CID{sized(1000, 1), sized(1001, 2), sized(10, 3)}
		accounts := []string{"ann", "bob"}
		asked := func(now int64) string {
			s := ""
			for _, cid := range cids {
				b, found, err := w.f.Blob(cid, now)
				s += fmt.Sprintln(b.CID == cid, b.ContentType, b.Uploaded, b.Expires, b.Shown, b.Alive, b.Blocked, b.Condemned, found, err)
			}
			for _, id := range accounts {
				a, found, err := w.f.Account(id)
				s += fmt.Sprintln(a, found, err)
			}
			k, found, err := w.f.KeyByHash([32]byte{1})
			return s + fmt.Sprintln(k, found, err)
		}
		for range rapid.IntRange(1, 12).Draw(rt, "commands") {
			cid, account := rapid.SampledFrom(cids).Draw(rt, "cid"), rapid.SampledFrom(accounts).Draw(rt, "account")
			w.now += rapid.Int64Range(0, 20*dayMillis).Draw(rt, "wait")
			switch rapid.IntRange(0, 6).Draw(rt, "command") {
			case 0:
				w.do(Header{}, DeleteReference{Account: account, CID: cid})
			case 1:
				w.do(Header{}, BlockContent{CID: cid, Block: rapid.Bool().Draw(rt, "block"), Reason: "a test"})
			case 2:
				w.do(Header{}, Sweep{Limit: 100})
			case 3:
				w.do(Header{}, AddCounts{Uses: []KeyUse{{ID: "k1", Time: w.now}}})
			default:
				w.do(Header{}, w.upload(account, cid, 30*rapid.IntRange(1, 3).Draw(rt, "months")))
			}
			for range 4 {
				at := w.now + rapid.Int64Range(-40*dayMillis, 100*dayMillis).Draw(rt, "at")
				kept := asked(at)
				w.f.hot.clear()
				if d := cmp.Diff(asked(at), kept); d != "" {
					rt.Fatalf("what is kept, against what is stored:\n%s", d)
				}
			}
		}
	})
}

// A snapshot that takes the place of the state takes that of what is kept, too.
func TestRestoreDropsWhatIsHot(t *testing.T) {
	t.Parallel()
	rich, poor := newCluster(t), newCluster(t)
	rich.must(Deposit{Account: "ann", AmountCents: 500, Reference: "more"})
	if a := poor.account("ann"); a.BalanceCents != 1000 {
		t.Fatalf("balance %d, want 1000", a.BalanceCents)
	}
	if err := restore(poor.f, snapshotOf(t, rich.f)); err != nil {
		t.Fatal(err)
	}
	if a := poor.account("ann"); a.BalanceCents != 1500 {
		t.Errorf("balance %d after a restore, want 1500", a.BalanceCents)
	}
}

// What was read before something was dropped may be older than that: it is not kept.
func TestRecentKeepsNothingOlder(t *testing.T) {
	t.Parallel()
	var r recent[string, int]
	_, _, drops := r.get("a")
	r.drop([]string{"a"})
	r.put("a", 1, drops)
	if v, found, _ := r.get("a"); found {
		t.Errorf("kept %d, which was read before a drop", v)
	}
	_, _, drops = r.get("a")
	r.clear()
	r.put("a", 1, drops)
	if v, found, _ := r.get("a"); found {
		t.Errorf("kept %d, which was read before all was dropped", v)
	}
}

func TestRecentIsBounded(t *testing.T) {
	t.Parallel()
	var r recent[int, int]
	for i := range 5 * hotMost {
		r.put(i, i, 0)
		if v, found, _ := r.get(0); !found || v != 0 { // asked for all the time, so kept
			t.Fatalf("after %d others, the one in use is gone", i)
		}
	}
	if n := len(r.young) + len(r.old); n > 2*hotMost {
		t.Errorf("%d are kept, more than %d", n, 2*hotMost)
	}
	if _, found, _ := r.get(1); found {
		t.Error("what nobody asked for is kept still")
	}
}
