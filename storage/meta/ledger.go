package meta

import (
	"fmt"

	"ringbin/storage"
)

// Entry is one movement of money: AmountCents from Debit to Credit. Entries
// are immutable; a balance is the fold of an account's entries (I5).
type Entry struct {
	ID          string       `cbor:"1,keyasint"`
	Debit       string       `cbor:"2,keyasint"`
	Credit      string       `cbor:"3,keyasint"`
	Kind        string       `cbor:"4,keyasint"`
	AmountCents int64        `cbor:"5,keyasint"`           // above zero
	Reference   string       `cbor:"6,keyasint"`           // natural id: no other entry ever has it
	CID         *storage.CID `cbor:"7,keyasint,omitempty"` // what was paid for
	Days        int64        `cbor:"8,keyasint,omitempty"`
	PriceCents  int64        `cbor:"9,keyasint,omitempty"` // per GiB and month, as it was
	Index       uint64       `cbor:"10,keyasint"`
	Time        int64        `cbor:"11,keyasint"`
	Balance     int64        `cbor:"12,keyasint"` // the customer's, after it
}

// Kinds of entries, as histories show them.
const (
	kindDeposit   = "deposit"
	kindUpload    = "upload_payment"
	kindExtension = "cid_extension"
)

// The ledger's own accounts. Deposits come out of cash, charges go into revenue.
const (
	ledgerCash    = "cash"
	ledgerRevenue = "revenue"
)

func customer(account string) string { return "customer:" + account }

// balanceMax is what every JSON reader can hold exactly.
const balanceMax = 1<<53 - 1

// post writes an entry and moves the balance of its customer; the caller
// writes the account. It refuses an id that another entry has, and so goes
// before all other writes of a command. All else that must hold was checked.
func (t *tx) post(a *Account, e Entry) error {
	switch customer(a.ID) {
	case e.Credit:
		a.BalanceCents += e.AmountCents
	case e.Debit:
		a.BalanceCents -= e.AmountCents
	default:
		return fmt.Errorf("entry %s moves nothing of %s", e.ID, a.ID)
	}
	if e.AmountCents <= 0 || a.BalanceCents < 0 || a.BalanceCents > balanceMax {
		return fmt.Errorf("entry %s of %d cents leaves %d", e.ID, e.AmountCents, a.BalanceCents) // I6
	}
	id := key(tableEntries).str(e.ID)
	unique := [][]byte{id}
	if e.natural() {
		unique = append(unique, naturalKey(e.Kind, e.Reference))
	}
	for _, k := range unique {
		if _, used, err := t.get(k); err != nil || used {
			return orRefuse(err, refuse("post", storage.KindConflict, "id_taken", nil))
		}
	}
	e.Index, e.Time, e.Balance = t.index, t.time, a.BalanceCents
	t.counts.Entries++
	t.countsOld = true
	if err := write(t, id, e); err != nil {
		return err
	}
	for _, k := range unique[1:] {
		if err := t.set(k, []byte(e.ID)); err != nil {
			return err
		}
	}
	t.ordinal++
	return t.add(key(tableEntriesOf).str(a.ID).u64(t.index).u64(uint64(t.ordinal)), []byte(e.ID))
}

func orFatal(err error, what string) error {
	if err != nil {
		return err
	}
	return fmt.Errorf("%w: %s", errCorruptState, what)
}

// natural reports whether an entry's reference is another one than its id,
// which is no other entry's as it is.
func (e Entry) natural() bool { return e.Kind == kindDeposit }

func naturalKey(kind, reference string) []byte { return key(tableNatural).str(kind).str(reference) }

func (t *tx) deposit(_ Header, c Deposit) (DepositResult, error) {
	const op = "Deposit"
	if c.AmountCents < 1 {
		return DepositResult{}, refuseField(op, "amount_cents", "a positive integer")
	}
	if id, used, err := t.get(naturalKey(kindDeposit, c.Reference)); err != nil || used {
		if err != nil {
			return DepositResult{}, err
		}
		return t.depositAgain(c, string(id))
	}
	a, ok, err := t.account(c.Account)
	if err != nil || !ok {
		return DepositResult{}, orRefuse(err, refuseMissing(op))
	}
	if c.AmountCents > balanceMax-a.BalanceCents {
		return DepositResult{}, refuseField(op, "amount_cents", "a balance is at most 2^53-1 cents")
	}
	e := Entry{ID: c.EntryID, Debit: ledgerCash, Credit: customer(a.ID), Kind: kindDeposit, AmountCents: c.AmountCents, Reference: c.Reference}
	if err := t.post(&a, e); err != nil {
		return DepositResult{}, err
	}
	return DepositResult{
		EntryID: c.EntryID, Account: a.ID, AmountCents: c.AmountCents, BalanceAfterCents: a.BalanceCents,
		Reference: c.Reference, Created: t.time,
	}, t.putAccount(a)
}

// depositAgain answers a reference that was used before: the same deposit is
// the same answer, any other use is refused.
func (t *tx) depositAgain(c Deposit, id string) (DepositResult, error) {
	e, ok, err := read[Entry](t, key(tableEntries).str(id))
	if err != nil || !ok {
		return DepositResult{}, orFatal(err, "natural id without its entry: "+id)
	}
	if e.Credit != customer(c.Account) || e.AmountCents != c.AmountCents {
		return DepositResult{}, refuse("Deposit", storage.KindMismatch, "idempotency_conflict", map[string]any{"field": "reference"})
	}
	return DepositResult{
		EntryID: e.ID, Account: c.Account, AmountCents: e.AmountCents, BalanceAfterCents: e.Balance, Reference: e.Reference, Created: e.Time,
	}, nil
}

// charge takes a price from an account, in the entry that creates or lengthens
// the reference it is for (I7). Nothing is written for 0 cents. The refusal
// names the numbers.
func (t *tx) charge(a *Account, e Entry) error {
	if e.AmountCents == 0 {
		return nil
	}
	e.Debit, e.Credit, e.Reference = customer(a.ID), ledgerRevenue, e.ID
	e.PriceCents = t.cache.settings.PriceCentsPerGiB
	return t.post(a, e)
}

func affordable(op string, a Account, cost int64) error {
	if a.BalanceCents >= cost {
		return nil
	}
	return refuse(op, storage.KindPayment, "insufficient_balance", map[string]any{
		"required_cents": cost, "balance_cents": a.BalanceCents, "shortfall_cents": cost - a.BalanceCents,
	})
}
