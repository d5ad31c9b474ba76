package node

import (
	"context"
	"net/netip"
	"strings"

	"ringbin/storage"
	"ringbin/storage/meta"
)

// Limits of accounts.
const (
	emailMax       = 254 // bytes
	accountNameMax = 100 // characters
	referenceMax   = 255 // characters of a deposit's reference
	reasonMax      = 1000
	centsMax       = 1<<53 - 1 // what every JSON reader can hold
)

// NewAccount is a wish for an account.
type NewAccount struct {
	Email, Name  string
	BalanceCents int64
}

// AccountPatch changes what is not nil.
type AccountPatch struct {
	Disabled    *bool
	Name, Email *string
	QuotaBytes  *int64
	Admin       *bool // whether its role is that of an admin of PasteWizard
}

// CreateAccount makes an account, with an opening balance if one is given.
func (s *Service) CreateAccount(ctx context.Context, c Caller, a NewAccount, idem *Idempotency) (Account, bool, error) {
	const op = "node.CreateAccount"
	if err := operatorOnly(op, c); err != nil {
		return Account{}, false, err
	}
	if err := checkEmail(op, a.Email); err != nil {
		return Account{}, false, err
	}
	name, err := cleanText(op, "name", a.Name, accountNameMax)
	if err != nil {
		return Account{}, false, err
	}
	if a.BalanceCents < 0 || a.BalanceCents > centsMax {
		return Account{}, false, storage.Invalid(op, "invalid_parameter", "balance_cents", "integer from 0 to 2^53-1")
	}
	return do[meta.Account](ctx, s, c, meta.CreateAccount{
		ID: newID("user"), Email: a.Email, Name: name, BalanceCents: a.BalanceCents, EntryID: entryID(s.now()), Numbered: true,
	}, idem)
}

func checkEmail(op, email string) error {
	if len(email) > emailMax || strings.Count(email, "@") != 1 || strings.HasPrefix(email, "@") || strings.HasSuffix(email, "@") ||
		strings.ContainsFunc(email, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		return storage.Invalid(op, "invalid_parameter", "email", "one @, at most 254 characters, no spaces")
	}
	return nil
}

// Accounts lists accounts in the order of their ids; with email, the one that has it.
func (s *Service) Accounts(ctx context.Context, c Caller, email string, limit int, cursor string) (Page[Account], error) {
	const op = "node.Accounts"
	if err := operatorOnly(op, c); err != nil {
		return Page[Account]{}, err
	}
	if err := s.n.catchUp(ctx); err != nil {
		return Page[Account]{}, err
	}
	if email != "" {
		a, found, err := s.n.fsm.AccountByEmail(email)
		if err != nil || !found {
			return Page[Account]{}, err
		}
		return Page[Account]{Items: []Account{a}}, nil
	}
	items, next, err := s.n.fsm.Accounts(cursor, min(limit, pageMax))
	if err != nil {
		return Page[Account]{}, err
	}
	return Page[Account]{Items: items, Next: next}, nil
}

// UpdateAccount changes an account.
func (s *Service) UpdateAccount(ctx context.Context, c Caller, id string, p AccountPatch) (Account, error) {
	const op = "node.UpdateAccount"
	if err := operatorOnly(op, c); err != nil {
		return Account{}, err
	}
	if p.Email != nil {
		if err := checkEmail(op, *p.Email); err != nil {
			return Account{}, err
		}
	}
	if p.Name != nil {
		name, err := cleanText(op, "name", *p.Name, accountNameMax)
		if err != nil {
			return Account{}, err
		}
		p.Name = &name
	}
	if p.QuotaBytes != nil && *p.QuotaBytes < 0 {
		return Account{}, storage.Invalid(op, "invalid_parameter", "quota_bytes", "0 or more; 0 is the default")
	}
	v, _, err := submit[meta.Account](ctx, s, c, meta.UpdateAccount{
		ID: id, Disabled: p.Disabled, Name: p.Name, Email: p.Email, QuotaBytes: p.QuotaBytes, Admin: p.Admin,
	}, nil)
	return v, err
}

// Deposit credits an account, once for each reference for ever.
func (s *Service) Deposit(ctx context.Context, c Caller, account string, cents int64, reference string, idem *Idempotency) (DepositResult, bool, error) {
	const op = "node.Deposit"
	if err := operatorOnly(op, c); err != nil {
		return DepositResult{}, false, err
	}
	if cents < 1 || cents > centsMax {
		return DepositResult{}, false, storage.Invalid(op, "invalid_parameter", "amount_cents", "integer from 1 to 2^53-1")
	}
	reference, err := cleanText(op, "reference", reference, referenceMax)
	if err != nil {
		return DepositResult{}, false, err
	}
	return do[meta.DepositResult](ctx, s, c, meta.Deposit{
		EntryID: entryID(s.now()), Account: account, AmountCents: cents, Reference: reference,
	}, idem)
}

// BlockContent takes a CID down for all, or allows it again.
func (s *Service) BlockContent(ctx context.Context, c Caller, cid storage.CID, block bool, reason string) (BlockResult, error) {
	const op = "node.BlockContent"
	if err := operatorOnly(op, c); err != nil {
		return BlockResult{}, err
	}
	if block || reason != "" {
		var err error
		if reason, err = cleanText(op, "reason", reason, reasonMax); err != nil {
			return BlockResult{}, err
		}
	}
	v, _, err := submit[meta.BlockResult](ctx, s, c, meta.BlockContent{CID: cid, Block: block, Reason: reason}, nil)
	return v, err
}

// Takedowns lists what was taken down, and what was allowed again, from the first on.
func (s *Service) Takedowns(ctx context.Context, c Caller, limit int, cursor string) (Page[Takedown], error) {
	if err := operatorOnly("node.Takedowns", c); err != nil {
		return Page[Takedown]{}, err
	}
	if err := s.n.catchUp(ctx); err != nil {
		return Page[Takedown]{}, err
	}
	items, next, err := s.n.fsm.Takedowns(cursor, min(limit, pageMax))
	if err != nil {
		return Page[Takedown]{}, err
	}
	return Page[Takedown]{Items: items, Next: next}, nil
}

// SetSettings changes settings for the whole cluster.
func (s *Service) SetSettings(ctx context.Context, c Caller, p SettingsPatch) (Settings, error) {
	const op = "node.SetSettings"
	if err := operatorOnly(op, c); err != nil {
		return Settings{}, err
	}
	if p.Paste69 != nil && p.Paste69.FetchDeny != nil {
		for _, deny := range *p.Paste69.FetchDeny {
			if _, err := netip.ParsePrefix(deny); err != nil {
				return Settings{}, storage.Invalid(op, "invalid_parameter", "paste69.fetch_deny", "prefixes of addresses, as 192.0.2.0/24")
			}
		}
	}
	if p.PasteWizard != nil && p.PasteWizard.BaseURL != nil && *p.PasteWizard.BaseURL != "" && !absolute(*p.PasteWizard.BaseURL) {
		return Settings{}, storage.Invalid(op, "invalid_parameter", "pastewizard.base_url", "an absolute http or https URL without query, or empty")
	}
	v, _, err := submit[meta.Settings](ctx, s, c, meta.SetSettings{Patch: p}, nil)
	return v, err
}
