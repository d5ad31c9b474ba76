package node

import (
	"context"

	"ringbin/storage"
	"ringbin/storage/meta"
)

// History returns the account's ledger entries, newest first. A bad cursor is
// KindInvalid, field cursor.
func (s *Service) History(ctx context.Context, c Caller, limit int, cursor string) (Page[HistoryEntry], error) {
	if err := s.n.catchUp(ctx); err != nil {
		return Page[HistoryEntry]{}, err
	}
	items, next, err := s.n.fsm.History(c.Account, cursor, min(limit, pageMax))
	if err != nil {
		return Page[HistoryEntry]{}, err
	}
	return Page[HistoryEntry]{Items: items, Next: next}, nil
}

// Quote returns the price in cents of size bytes for so many days, by the
// price that this node has applied.
func (s *Service) Quote(size int64, days int) int64 {
	return meta.PriceCents(size, days, s.Settings().PriceCentsPerGiB)
}

// covers is a first look at the balance, before a body is read. Apply decides.
// What re-uploading would cost less is not foreseen for a caller who holds a
// live reference: they pass.
func (s *Service) covers(ctx context.Context, c Caller, cid storage.CID, days int) error {
	cost := s.Quote(cid.Size(), days)
	if cost == 0 {
		return nil
	}
	short, err := s.shortOf(c, cid, cost)
	if err != nil || short == nil {
		return err
	}
	// Poor here may be rich a moment later: a deposit that this node has not applied.
	if err := s.n.catchUp(ctx); err != nil {
		return err
	}
	short, err = s.shortOf(c, cid, cost)
	if err != nil || short == nil {
		return err
	}
	return short
}

func (s *Service) shortOf(c Caller, cid storage.CID, cost int64) (*storage.Error, error) {
	account, err := s.account(c.Account)
	if err != nil {
		return nil, err
	}
	if account.BalanceCents >= cost {
		return nil, nil //nolint:nilnil // not short is the ordinary answer
	}
	_, held, err := s.n.fsm.Reference(c.Account, cid, s.now())
	if err != nil || held {
		return nil, err
	}
	return &storage.Error{
		Op: "node.covers", Kind: storage.KindPayment, Code: "insufficient_balance",
		Details: map[string]any{
			"required_cents": cost, "balance_cents": account.BalanceCents, "shortfall_cents": cost - account.BalanceCents,
		},
	}, nil
}
