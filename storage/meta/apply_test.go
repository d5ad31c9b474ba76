package meta

import (
	"testing"

	"github.com/hashicorp/raft"

	"ringbin/storage"
)

// I8: what comes again under its request id has one effect and one answer, in
// another entry, in the same one, and after a refusal.
func TestRequestIDHasOneEffect(t *testing.T) {
	t.Parallel()
	w := newCluster(t)
	cid := sized(gib, 1)
	h := Header{ID: RequestID{1, 2, 3}}
	up := w.upload("ann", cid, 30)
	first := w.do(h, up)
	w.now += 14 * minute
	before := w.content()
	again := w.do(h, up)
	equal(t, "again", again, first)
	equal(t, "content", w.content(), before)
	// The same id with another command is the first one's answer still.
	equal(t, "another command", w.do(h, Deposit{EntryID: "d", Account: "ann", AmountCents: 5, Reference: "d"}), first)
	equal(t, "content", w.content(), before)

	twice := Header{ID: RequestID{4}}
	b := w.encoded(&twice, Extend{Account: "ann", CID: cid, Days: 30, EntryID: "x"})
	if err := w.f.Apply(w.append(b, b)); err != nil {
		t.Fatal(err)
	}
	equal(t, "balance", w.account("ann").BalanceCents, int64(994))

	no := Header{ID: RequestID{5}}
	refusal := w.do(no, w.upload("bob", cid, 30))
	w.must(CreateAccount{ID: "bob", Email: "b", BalanceCents: 5, EntryID: "o"})
	equal(t, "refused again", w.do(no, w.upload("bob", cid, 30)), refusal)
	equal(t, "balance", w.account("bob").BalanceCents, int64(5))
}

func TestRequestIDIsForgotten(t *testing.T) {
	t.Parallel()
	w := newCluster(t)
	h := Header{ID: RequestID{7}, NotAfter: w.now + minute}
	c := Deposit{EntryID: "d", Account: "ann", AmountCents: 5, Reference: "d"}
	w.mustAs(h, c)
	w.now += requestKept - 1
	w.must(Tick{})
	if _, found := w.f.remembered(h.ID); !found {
		t.Error("forgotten too early")
	}
	w.now++
	w.must(Tick{})
	if _, found := w.f.remembered(h.ID); found {
		t.Error("not forgotten")
	}
	// By then the command itself is refused.
	w.refused(h, c, storage.KindUnavailable, "too_late")
	for range 40 { // what has run out goes with later entries, none is left behind
		w.now += requestKept
		w.must(Tick{})
	}
	n := 0
	for _, table := range []byte{tableRequests, tableAnswers} {
		if err := scan(w.f.db, []byte{table}, func(_, _ []byte) (bool, error) { n++; return true, nil }); err != nil {
			t.Fatal(err)
		}
	}
	equal(t, "records", n, 2) // of the last Tick
}

func TestNotAfter(t *testing.T) {
	t.Parallel()
	w := newCluster(t)
	w.now += 100
	w.mustAs(Header{NotAfter: w.now}, Tick{})
	w.refused(Header{NotAfter: w.now - 1}, CreateAccount{ID: "x", Email: "x"}, storage.KindUnavailable, "too_late")
	// A stamp before FSM time does not turn it back.
	w.now -= 50
	w.refused(Header{NotAfter: w.now}, CreateAccount{ID: "x", Email: "x"}, storage.KindUnavailable, "too_late")
	equal(t, "FSM time", w.f.Now(), testStart+100)
}

func TestIdempotencyKey(t *testing.T) {
	t.Parallel()
	w := newCluster(t)
	idem := func(scope string, fingerprint byte) Header {
		return Header{Idem: &Idempotency{Scope: scope, Key: [32]byte{1}, Fingerprint: [32]byte{fingerprint}}}
	}
	cid := sized(gib, 1)
	if _, _, found, err := w.f.IdempotentResult("ann", [32]byte{1}); found || err != nil {
		t.Error("found before it was used", err)
	}
	// A refusal is not remembered: the client may try again under its key.
	w.refused(idem("ann", 1), w.upload("bob", cid, 30), storage.KindNotFound, "not_found")
	first := w.do(idem("ann", 1), w.upload("ann", cid, 30))
	w.now += minute

	replay := Header{ID: RequestID{9}, Idem: idem("ann", 1).Idem}
	before := w.content()
	again := w.do(replay, w.upload("ann", cid, 30))
	equal(t, "value", again.Value, first.Value)
	equal(t, "replayed", again.Replayed, true)
	equal(t, "first replayed", first.Replayed, false)
	equal(t, "content", w.content(), before)
	equal(t, "the replay's own id again", w.do(replay, w.upload("ann", cid, 30)), again)

	w.refused(idem("ann", 2), w.upload("ann", cid, 60), storage.KindMismatch, "idempotency_conflict")
	w.refused(idem("ann", 1), Extend{Account: "ann", CID: cid, Days: 1, EntryID: "x"}, storage.KindMismatch, "idempotency_conflict")
	fingerprint, res, found, err := w.f.IdempotentResult("ann", [32]byte{1})
	if err != nil || !found || fingerprint != [32]byte{1} || !res.Replayed {
		t.Errorf("%x, %+v, %t, %v", fingerprint, res, found, err)
	}
	equal(t, "value", res.Value, first.Value)
	w.mustAs(idem("operator", 2), Extend{Account: "ann", CID: cid, Days: 1, EntryID: "x"}) // another scope

	// It is kept for seven days from the first success on, not from its replay.
	w.now = testStart + idemKept - 1
	equal(t, "on the last day", w.do(idem("ann", 1), w.upload("ann", cid, 30)).Value, first.Value)
	w.now++
	w.must(Tick{})
	if _, _, found, err := w.f.IdempotentResult("ann", [32]byte{1}); found || err != nil {
		t.Error("not forgotten", err)
	}
	r := w.do(idem("ann", 3), w.upload("ann", cid, 60))
	if r.Err != nil || r.Replayed || r.Value == first.Value {
		t.Errorf("after seven days: %+v", r)
	}
	// The old record's sweep must not take the new one along.
	w.now += idemKept - 1
	for range 20 {
		w.must(Tick{})
	}
	if _, _, found, err := w.f.IdempotentResult("ann", [32]byte{1}); !found || err != nil {
		t.Error("the new record is gone", err)
	}
}

// A record that has run out is replaced even where no sweep has come to it.
func TestIdempotencyKeyRunsOutUnswept(t *testing.T) {
	t.Parallel()
	w := newCluster(t)
	h := Header{Idem: &Idempotency{Scope: "ann", Key: [32]byte{1}}}
	cid := sized(gib, 1)
	w.mustAs(h, w.upload("ann", cid, 30))
	w.now += idemKept // the log is idle for seven days: the next entry finds the record
	up := w.upload("ann", cid, 60)
	for i := range up.Receipts {
		up.Receipts[i].Time = w.now
	}
	h.ID = RequestID{}
	r := w.do(h, up)
	if r.Err != nil || r.Replayed {
		t.Errorf("%+v", r)
	}
	if _, _, found, err := w.f.IdempotentResult("ann", [32]byte{1}); !found || err != nil {
		t.Error("the new record is gone", err)
	}
}

// A replay is for who may act now: a revoked key gets no old answer.
func TestReplayNeedsALiveKey(t *testing.T) {
	t.Parallel()
	w := newCluster(t)
	w.must(testKey("key", 1))
	h := Header{Actor: Actor{Account: "ann", Key: "key"}, Idem: &Idempotency{Scope: "ann", Key: [32]byte{1}}}
	w.mustAs(h, w.upload("ann", sized(10, 1), 30))
	w.must(RevokeKey{Account: "ann", ID: "key"})
	w.refused(h, w.upload("ann", sized(10, 1), 30), storage.KindUnauthenticated, "auth_revoked")
}

// What the state has is not applied again, and entries that are no commands
// only move the index.
func TestReplayedEntries(t *testing.T) {
	t.Parallel()
	w := newCluster(t)
	before, index := stateHash(t, w.f), w.f.AppliedIndex()
	w.f.ApplyBatch(w.log)
	equal(t, "state hash", stateHash(t, w.f), before)
	equal(t, "applied index", w.f.AppliedIndex(), index)
	w.f.ApplyBatch([]*raft.Log{{Index: index + 1, Term: 2, Type: raft.LogNoop}})
	equal(t, "state hash", stateHash(t, w.f), before)
	equal(t, "applied index", w.f.AppliedIndex(), index+1)
	if err := w.f.Wait(t.Context(), index+1); err != nil {
		t.Error(err)
	}
}
