package meta

import (
	"fmt"
	"testing"

	"ringbin/storage"
)

func TestAccounts(t *testing.T) {
	t.Parallel()
	w := newCluster(t)
	ann := w.account("ann")
	equal(t, "account", ann, Account{ID: "ann", Email: "ann@example.org", Name: "Ann", BalanceCents: 1000, Created: testStart})
	none := Header{}
	w.refused(none, CreateAccount{ID: "bob", Email: "ANN@Example.ORG"}, storage.KindConflict, "email_taken")
	w.refused(none, CreateAccount{ID: "ann", Email: "other@example.org"}, storage.KindConflict, "id_taken")
	w.refused(none, CreateAccount{ID: "", Email: "other@example.org"}, storage.KindConflict, "id_taken")
	w.refused(none, CreateAccount{ID: "a\x00b", Email: "other@example.org"}, storage.KindConflict, "id_taken")
	w.refused(none, CreateAccount{ID: "bob", Email: "bob@example.org", BalanceCents: -1}, storage.KindInvalid, "invalid_parameter")
	w.refused(none, CreateAccount{ID: "bob", Email: "bob@example.org", BalanceCents: 1 << 53}, storage.KindInvalid, "invalid_parameter")
	w.must(CreateAccount{ID: "bob", Email: "Bob@example.org"})
	w.refused(none, UpdateAccount{ID: "bob", Email: new("Ann@example.org")}, storage.KindConflict, "email_taken")
	w.refused(none, UpdateAccount{ID: "eve", Name: new("Eve")}, storage.KindNotFound, "not_found")

	w.must(UpdateAccount{ID: "bob", Email: new("BOB@example.org")}) // its own address in another case
	w.must(UpdateAccount{ID: "ann", Email: new("ann@example.net"), Name: new("Anna"), QuotaBytes: new(int64(7))})
	ann = w.account("ann")
	equal(t, "account", ann, Account{
		ID: "ann", Email: "ann@example.net", Name: "Anna", BalanceCents: 1000, Created: testStart, QuotaBytes: 7,
	})
	w.must(CreateAccount{ID: "carol", Email: "ann@example.org"}) // the address that was given up
	if a, found, err := w.f.AccountByEmail("ANN@example.NET"); err != nil || !found || a.ID != "ann" {
		t.Errorf("ann@example.net is %+v, %t, %v", a, found, err)
	}
	equal(t, "accounts", w.f.Counts().Accounts, int64(3))
}

func testKey(id string, n byte) CreateKey {
	return CreateKey{ID: id, Account: "ann", API: "hashbin", Name: id, Hash: [32]byte{n}, Days: 30}
}

func TestKeyLimit(t *testing.T) {
	t.Parallel()
	w := newCluster(t)
	none := Header{}
	for i := range 25 {
		w.must(testKey(fmt.Sprintf("key-%d", i), byte(i)))
	}
	details := w.refused(none, testKey("key-25", 25), storage.KindInvalid, "key_limit_reached")
	equal(t, "details", details, map[string]any{"limit": int64(25), "active": int64(25)})
	other := testKey("key-256t", 99)
	other.API = "256t"
	w.must(other) // another dialect counts for itself
	w.must(RevokeKey{Account: "ann", ID: "key-3"})
	w.must(testKey("key-25", 25)) // one that is revoked does not count
	w.refused(none, testKey("key-26", 26), storage.KindInvalid, "key_limit_reached")
	w.now += 30 * dayMillis
	w.must(testKey("key-26", 26)) // nor does one that has expired
	keys, err := w.f.Keys("ann", "hashbin")
	if err != nil || len(keys) != 27 || keys[0].ID != "key-26" {
		t.Errorf("%d keys, first %+v, %v", len(keys), keys[0], err)
	}
}

func TestCreateKeyRefuses(t *testing.T) {
	t.Parallel()
	w := newCluster(t)
	w.must(testKey("key", 1))
	for name, c := range map[string]struct {
		change func(*CreateKey)
		kind   storage.Kind
		code   string
	}{
		"id taken":       {func(c *CreateKey) { c.ID = "key" }, storage.KindConflict, "id_taken"},
		"hash taken":     {func(c *CreateKey) { c.Hash = [32]byte{1} }, storage.KindConflict, "id_taken"},
		"no account":     {func(c *CreateKey) { c.Account = "eve" }, storage.KindNotFound, "not_found"},
		"days below 0":   {func(c *CreateKey) { c.Days = -1 }, storage.KindInvalid, "invalid_parameter"},
		"days overflows": {func(c *CreateKey) { c.Days = 1 << 40 }, storage.KindInvalid, "invalid_parameter"},
	} {
		k := testKey("new", 2)
		c.change(&k)
		t.Log(name)
		w.refused(Header{}, k, c.kind, c.code)
	}
}

// A key that is revoked or expired, and an account that is disabled, act no
// more from that point of the log on, whatever the proposer believed.
func TestActorIsCheckedInTheLog(t *testing.T) {
	t.Parallel()
	w := newCluster(t)
	w.now += 999 // keys count from whole seconds
	w.must(testKey("key", 1))
	w.must(testKey("short", 2))
	w.must(CreateKey{ID: "forever", Account: "ann", API: "hashbin", Hash: [32]byte{3}})
	act := func(key string) Header { return Header{Actor: Actor{Account: "ann", Key: key}} }
	up := func(n byte) CommitUpload { return w.upload("ann", sized(10, n), 1) }
	for _, key := range []string{"key", "short", "forever"} {
		w.mustAs(act(key), up('a'))
	}
	w.refused(act("unknown"), up('b'), storage.KindUnauthenticated, "auth_invalid")
	w.refused(Header{Actor: Actor{Account: "bob", Key: "key"}}, up('b'), storage.KindUnauthenticated, "auth_invalid")

	w.must(RevokeKey{Account: "ann", ID: "key"})
	w.refused(act("key"), up('b'), storage.KindUnauthenticated, "auth_revoked")
	w.now = testStart + 30*dayMillis - 1
	w.mustAs(act("short"), up('b'))
	w.now++
	w.refused(act("short"), up('c'), storage.KindUnauthenticated, "auth_expired")
	w.mustAs(act("forever"), up('c'))
	w.must(UpdateAccount{ID: "ann", Disabled: new(true)})
	w.refused(act("forever"), up('d'), storage.KindUnauthenticated, "account_disabled")
	w.must(UpdateAccount{ID: "ann", Disabled: new(false)})
	w.mustAs(act("forever"), up('d'))

	// The commands of one entry see each other.
	revoke := w.encoded(&Header{}, RevokeKey{Account: "ann", ID: "forever"})
	h := act("forever")
	late := w.encoded(&h, up('e'))
	p := w.f.Expect(h.ID)
	if err := w.f.Apply(w.append(revoke, late)); err != nil {
		t.Fatal(err)
	}
	equal(t, "code", storage.CodeOf((<-p.Done()).Err), "auth_revoked")
}

func TestRevokeKey(t *testing.T) {
	t.Parallel()
	w := newCluster(t)
	w.must(testKey("key", 1))
	w.refused(Header{}, RevokeKey{Account: "bob", ID: "key"}, storage.KindNotFound, "not_found")
	w.refused(Header{}, RevokeKey{Account: "ann", ID: "other"}, storage.KindNotFound, "not_found")
	w.now += minute
	first := w.must(RevokeKey{Account: "ann", ID: "key"})
	w.now += minute
	equal(t, "revoked again", w.must(RevokeKey{Account: "ann", ID: "key"}), first)
	k, found, err := w.f.KeyByHash([32]byte{1})
	if err != nil || !found || k.Revoked != testStart+minute {
		t.Errorf("key %+v, %t, %v", k, found, err)
	}
}

func TestTouchKeys(t *testing.T) {
	t.Parallel()
	w := newCluster(t)
	w.must(testKey("key", 1))
	w.must(TouchKeys{Used: []KeyUse{{ID: "key", Time: 20}, {ID: "gone", Time: 30}, {ID: "key", Time: 10}}})
	k, _, err := w.f.KeyByHash([32]byte{1})
	if err != nil || k.LastUsed != 20 {
		t.Errorf("last used at %d, %v", k.LastUsed, err)
	}
	w.refused(Header{}, TouchKeys{Used: make([]KeyUse, 1001)}, storage.KindInvalid, "invalid_parameter")
}

// A deposit's reference is its natural id: it has one effect for ever, whatever
// request ids it comes under.
func TestDeposit(t *testing.T) {
	t.Parallel()
	w := newCluster(t)
	w.must(CreateAccount{ID: "bob", Email: "bob@example.org"})
	first := w.must(Deposit{EntryID: "e1", Account: "ann", AmountCents: 500, Reference: "wire 1"})
	equal(t, "value", first, DepositResult{
		EntryID: "e1", Account: "ann", AmountCents: 500, BalanceAfterCents: 1500, Reference: "wire 1", Created: testStart,
	})
	w.must(Deposit{EntryID: "e2", Account: "ann", AmountCents: 1, Reference: "wire 2"})
	w.now += 1000 * dayMillis
	equal(t, "again", w.must(Deposit{EntryID: "e3", Account: "ann", AmountCents: 500, Reference: "wire 1"}), first)
	equal(t, "balance", w.account("ann").BalanceCents, int64(1501))

	none := Header{}
	w.refused(none, Deposit{EntryID: "e4", Account: "bob", AmountCents: 500, Reference: "wire 1"}, storage.KindMismatch, "idempotency_conflict")
	w.refused(none, Deposit{EntryID: "e4", Account: "ann", AmountCents: 501, Reference: "wire 1"}, storage.KindMismatch, "idempotency_conflict")
	w.refused(none, Deposit{EntryID: "e4", Account: "ann", AmountCents: 0, Reference: "wire 3"}, storage.KindInvalid, "invalid_parameter")
	w.refused(none, Deposit{EntryID: "e4", Account: "eve", AmountCents: 1, Reference: "wire 3"}, storage.KindNotFound, "not_found")
	w.refused(none, Deposit{EntryID: "e4", Account: "ann", AmountCents: balanceMax, Reference: "wire 3"}, storage.KindInvalid, "invalid_parameter")
	w.refused(none, Deposit{EntryID: "e1", Account: "ann", AmountCents: 1, Reference: "wire 3"}, storage.KindConflict, "id_taken")
	equal(t, "entries", w.f.Counts().Entries, int64(3))
	if _, err := w.f.Audit(t.Context()); err != nil {
		t.Error(err)
	}
}

// A command whose ids are taken is refused. To halt on it would let one odd
// deposit stop every node of the cluster.
func TestTakenEntryIDsAreRefused(t *testing.T) {
	t.Parallel()
	w := newCluster(t)
	none := Header{}
	w.must(Deposit{EntryID: "e1", Account: "ann", AmountCents: 5, Reference: "opening balance of bob"})
	w.refused(none, CreateAccount{ID: "bob", Email: "b@example.org", BalanceCents: 5, EntryID: "e2"}, storage.KindConflict, "id_taken")
	w.refused(none, CreateAccount{ID: "carol", Email: "c@example.org", BalanceCents: 5, EntryID: "e1"}, storage.KindConflict, "id_taken")
	c := w.upload("ann", sized(gib, 1), 30)
	c.EntryID = "e1"
	w.refused(none, c, storage.KindConflict, "id_taken")
	held := w.upload("ann", sized(gib, 1), 30)
	w.must(held)
	w.refused(none, Extend{Account: "ann", CID: held.CID, Days: 30, EntryID: held.EntryID}, storage.KindConflict, "id_taken")
}
