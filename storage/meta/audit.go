package meta

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/cockroachdb/pebble/v2"

	"ringbin/storage"
)

// AuditReport is what an audit looked at.
type AuditReport struct {
	Index        uint64 `json:"index"`
	Accounts     int64  `json:"accounts"`
	Entries      int64  `json:"entries"`
	References   int64  `json:"references"`
	DebitCents   int64  `json:"debit_cents"`
	CreditCents  int64  `json:"credit_cents"`
	BalanceCents int64  `json:"balance_cents"` // of all customers
}

// audit is one on its way: the folds of what it has seen.
type audit struct {
	report AuditReport
	folds  map[string]int64 // account -> fold of its entries
	used   map[string]int64 // account -> bytes of its references
	pastes map[string]int64 // account -> pastes
	linked map[string]int64 // account -> short links
	notes  map[string]int64 // account -> notes with content
}

func newAudit() *audit {
	return &audit{
		folds: map[string]int64{}, used: map[string]int64{}, pastes: map[string]int64{}, linked: map[string]int64{}, notes: map[string]int64{},
	}
}

// Audit checks, on one snapshot of the state, that debits equal credits and
// each balance is the fold of its entries and not below zero (I5, I6), that
// accounts count what references, pastes and short links say, and that the state matches its hash (I10).
// The error names what does not hold.
func (f *FSM) Audit(ctx context.Context) (AuditReport, error) {
	const op = "meta.Audit"
	if err := f.RecomputeStateHash(ctx); err != nil {
		return AuditReport{}, err
	}
	f.life.RLock()
	defer f.life.RUnlock()
	snap := f.db.NewSnapshot()
	defer func() { _ = snap.Close() }()
	a := newAudit()
	a.report.Index = f.AppliedIndex()
	for _, step := range []func(pebble.Reader) error{a.entries, a.references, a.links, a.accounts, a.anonymous, a.waiting, a.bins} {
		if err := ctx.Err(); err != nil {
			return a.report, storage.E(op, storage.KindUnavailable, err)
		}
		if err := step(snap); err != nil {
			return a.report, storage.E(op, storage.KindCorrupt, err)
		}
	}
	return a.report, nil
}

func (a *audit) entries(r pebble.Reader) error {
	return scan(r, []byte{tableEntries}, func(k, v []byte) (bool, error) {
		var e Entry
		if err := decMode.Unmarshal(v, &e); err != nil {
			return false, fmt.Errorf("entry %q: %w", k[1:], err)
		}
		if e.AmountCents <= 0 || e.Debit == e.Credit {
			return false, fmt.Errorf("entry %s moves %d cents from %s to %s", e.ID, e.AmountCents, e.Debit, e.Credit)
		}
		a.report.Entries++
		for _, side := range []struct {
			name string
			sign int64
			sum  *int64
		}{{e.Debit, -1, &a.report.DebitCents}, {e.Credit, 1, &a.report.CreditCents}} {
			*side.sum += e.AmountCents
			if id, ok := strings.CutPrefix(side.name, customer("")); ok {
				a.folds[id] += side.sign * e.AmountCents
			}
		}
		if !e.natural() {
			return true, nil
		}
		id, found, err := lookUpID(r, naturalKey(e.Kind, e.Reference))
		if err != nil || !found || id != e.ID {
			return false, errors.Join(err, fmt.Errorf("entry %s is not the one of its natural id", e.ID))
		}
		return true, nil
	})
}

func (a *audit) references(r pebble.Reader) error {
	return eachReference(r, func(id refID, ref refRecord) error {
		a.report.References++
		account := id.holder
		if id.kind == refPaste {
			p, ok, err := lookUp[Paste](r, pasteKey(id.holder))
			if err != nil || !ok {
				return errors.Join(err, fmt.Errorf("reference of paste %s, which is not there", id.holder))
			}
			account = p.Account
			a.pastes[account]++
		}
		if id.kind == refBin || id.kind == refNote {
			account = ref.Account
		}
		if id.kind == refNote {
			a.notes[account]++
		}
		if !id.cid.Inline() {
			a.used[account] += id.cid.Size()
		}
		b, ok, err := lookUp[blobRecord](r, key(tableBlobs).cid(id.cid))
		if err != nil || !ok || b.References < 1 {
			return errors.Join(err, fmt.Errorf("reference to blob %s without its record", id.cid.LogValue()))
		}
		return nil
	})
}

func (a *audit) links(r pebble.Reader) error {
	return scan(r, []byte{tableLinks}, func(_, v []byte) (bool, error) {
		var l Link
		if err := decMode.Unmarshal(v, &l); err != nil {
			return false, fmt.Errorf("short link: %w", err)
		}
		a.linked[l.Account]++
		return true, nil
	})
}

func (a *audit) accounts(r pebble.Reader) error {
	return scan(r, []byte{tableAccounts}, func(_, v []byte) (bool, error) {
		var acc Account
		if err := decMode.Unmarshal(v, &acc); err != nil {
			return false, fmt.Errorf("account: %w", err)
		}
		a.report.Accounts++
		a.report.BalanceCents += acc.BalanceCents
		switch {
		case acc.BalanceCents != a.folds[acc.ID]:
			return false, fmt.Errorf("account %s has %d cents, its entries say %d", acc.ID, acc.BalanceCents, a.folds[acc.ID])
		case acc.BalanceCents < 0:
			return false, fmt.Errorf("account %s has %d cents", acc.ID, acc.BalanceCents)
		case acc.UsedBytes != a.used[acc.ID]:
			return false, fmt.Errorf("account %s uses %d bytes, its references say %d", acc.ID, acc.UsedBytes, a.used[acc.ID])
		case acc.Pastes != a.pastes[acc.ID] || acc.Links != a.linked[acc.ID]:
			return false, fmt.Errorf("account %s counts %d pastes and %d short links, and has %d and %d",
				acc.ID, acc.Pastes, acc.Links, a.pastes[acc.ID], a.linked[acc.ID])
		case acc.Notes != a.notes[acc.ID]:
			return false, fmt.Errorf("account %s counts %d notes with content, and has %d", acc.ID, acc.Notes, a.notes[acc.ID])
		}
		return true, nil
	})
}

// anonymous checks the bytes that are counted for no account.
func (a *audit) anonymous(r pebble.Reader) error {
	used, _, err := lookUp[int64](r, single(singleUnpaid))
	if err != nil {
		return err
	}
	if used != a.used[anonymous] {
		return fmt.Errorf("anonymous references use %d bytes, they say %d", used, a.used[anonymous])
	}
	return nil
}

// waiting checks that what waits to be condemned or forgotten does so by its record.
func (a *audit) waiting(r pebble.Reader) error {
	for _, table := range []byte{tableDead, tableTombstones} {
		if _, err := queued(r, table); err != nil {
			return err
		}
	}
	return nil
}
