package node

import (
	"context"
	"time"

	"github.com/maypok86/otter/v2"

	"ringbin/storage"
	"ringbin/storage/meta"
)

// blocksOfNode is into how many blocks a node's share of a month's quota goes:
// a block is what a crash loses, and one command.
const blocksOfNode = 100

// requestBlocks holds what is left of the requests to JSONBin that this node
// has reserved of the monthly quotas. Those of accounts that are forgotten,
// the least used ones first, are lost.
type requestBlocks = otter.Cache[string, *requestBlock]

func newRequestBlocks() *requestBlocks {
	return otter.Must(&otter.Options[string, *requestBlock]{MaximumSize: bucketsMax})
}

// requestBlock is one account's.
type requestBlock struct {
	turn chan struct{} // taken by who uses the fields below, also while waiting for the log

	left  int64
	until int64 // end of the month that it is of
	spent int64 // the quota that was used up by then; 0: none is known to be
}

// AdmitBins counts one request with a valid key against the limits of its
// account: KindRateLimited (rate_limited; Details retry_after_seconds) or
// KindForbidden (quota_exhausted). How many a minute is counted by one node for
// all (windows.go); how many a month never gets above the quota.
func (s *Service) AdmitBins(ctx context.Context, c Caller) error {
	limits := s.Settings().JSONBin
	if limits.RequestsPerMinute > 0 {
		if err := s.windows.admit(ctx, "jsonbin/"+c.Account, limits.RequestsPerMinute); err != nil {
			return err
		}
	}
	if limits.RequestsPerMonth == 0 {
		return nil
	}
	return s.takeRequest(ctx, c, limits.RequestsPerMonth)
}

// takeRequest takes one request from the account's block, and a new block where
// none is left.
func (s *Service) takeRequest(ctx context.Context, c Caller, quota int64) error {
	const op = "node.AdmitBins"
	b, _ := s.blocks.ComputeIfAbsent(c.Account, func() (*requestBlock, bool) {
		return &requestBlock{turn: make(chan struct{}, 1)}, false
	})
	select {
	case b.turn <- struct{}{}:
	case <-ctx.Done():
		return noLeader(op, ctx.Err())
	}
	defer func() { <-b.turn }()
	now := s.now()
	if now >= b.until {
		b.left, b.spent = 0, 0
	}
	if b.left == 0 && b.spent == quota {
		return quotaExhausted(op)
	}
	if b.left == 0 {
		if err := s.reserve(ctx, c, b, quota); err != nil {
			return err
		}
	}
	b.left--
	return nil
}

func quotaExhausted(op string) error {
	return &storage.Error{Op: op, Kind: storage.KindForbidden, Code: "quota_exhausted"}
}

// reserve fills a block from what is left of the quota.
func (s *Service) reserve(ctx context.Context, c Caller, b *requestBlock, quota int64) error {
	now := s.now()
	wanted := blockOf(quota, len(s.n.fsm.Nodes()))
	got, err := submitBins[meta.RequestBlock](ctx, s, c, meta.ReserveRequests{Account: c.Account, Requests: wanted})
	switch {
	case storage.CodeOf(err) == "quota_exhausted":
		b.spent, b.until = quota, nextMonth(now)
		return err
	case err != nil:
		return err
	}
	b.left, b.until, b.spent = got.Requests, got.Until, 0
	// Where this node's clock is in the next month before the cluster's, one
	// block does for a second, not for a request.
	b.until = max(b.until, now+time.Second.Milliseconds())
	return nil
}

// blockOf is how many requests a node reserves at once; one command takes no
// more than so many.
func blockOf(quota int64, nodes int) int64 {
	parts := int64(blocksOfNode * max(1, nodes))
	return min(max(1, (quota+parts-1)/parts), meta.RequestsMax)
}

func nextMonth(now int64) int64 {
	t := time.UnixMilli(now).UTC()
	return time.Date(t.Year(), t.Month()+1, 1, 0, 0, 0, 0, time.UTC).UnixMilli()
}
