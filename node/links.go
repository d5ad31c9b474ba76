package node

import (
	"context"
	"crypto/sha256"

	"ringbin/storage/meta"
)

// linkIDSymbols is the length of a short link's id.
const linkIDSymbols = 6

// NewLink is a wish for a short link.
type NewLink struct {
	Target, Title string
	Expiry        Expiry
	Reserved      func(id string) bool // ids that are not to be given out; may be nil
}

// CreateLink makes a short link of the caller's, and returns it with its
// delete key, which is shown this once.
func (s *Service) CreateLink(ctx context.Context, c Caller, l NewLink) (Link, string, error) {
	const op = "node.CreateLink"
	if err := needsAccount(op, c); err != nil {
		return Link{}, "", err
	}
	now := second(s.now())
	expires, err := linkEnd(l.Expiry, now)
	if err != nil {
		return Link{}, "", err
	}
	deleteKey := randomText(deleteKeySymbols)
	made, err := createUnder(op, linkIDSymbols, l.Reserved, func(id string) (Link, error) {
		made, _, err := submit[Link](ctx, s, c, meta.CreateLink{
			ID: id, Account: c.Account, Target: l.Target, Title: l.Title, Created: now, Expires: expires,
			DeleteKey: sha256.Sum256([]byte(deleteKey)),
		}, nil)
		return made, err
	})
	if err != nil {
		return Link{}, "", err
	}
	s.counts.linksMade.Add(1)
	return made, deleteKey, nil
}

// Link returns a short link, for whoever follows it.
func (s *Service) Link(ctx context.Context, id string) (Link, error) {
	return s.findLink(ctx, "node.Link", id)
}

// findLink finds a short link that is live by this node's clock.
func (s *Service) findLink(ctx context.Context, op, id string) (Link, error) {
	if !plainID(id, linkIDSymbols) {
		return Link{}, notFound(op)
	}
	l, found, err := confirmed(ctx, s, func() (Link, bool, error) { return s.n.fsm.Link(id, s.now()) })
	if err == nil && !found {
		err = notFound(op)
	}
	return l, err
}

func ofLink(l Link) owned { return owned{account: l.Account, deleteKey: l.DeleteKey} }

// OwnLink returns a short link to its owner.
func (s *Service) OwnLink(ctx context.Context, c Caller, id string) (Link, error) {
	return s.managedLink(ctx, "node.OwnLink", c, id, "")
}

func (s *Service) managedLink(ctx context.Context, op string, c Caller, id, deleteKey string) (Link, error) {
	l, err := s.findLink(ctx, op, id)
	if err == nil {
		err = ofLink(l).manage(op, c, deleteKey)
	}
	return l, err
}

// CheckLinkKey returns a short link whose delete key this is, and changes nothing.
func (s *Service) CheckLinkKey(ctx context.Context, id, deleteKey string) (Link, error) {
	return s.managedLink(ctx, "node.CheckLinkKey", Caller{}, id, deleteKey)
}

// SetLinkExpiry changes when a short link ends; it may be kept for ever.
func (s *Service) SetLinkExpiry(ctx context.Context, c Caller, id, deleteKey string, e Expiry) (Link, error) {
	const op = "node.SetLinkExpiry"
	if _, err := s.managedLink(ctx, op, c, id, deleteKey); err != nil {
		return Link{}, err
	}
	if !e.wished() {
		return Link{}, expiryInvalid(op)
	}
	expires, err := linkEnd(e, second(s.now()))
	if err != nil {
		return Link{}, err
	}
	l, _, err := submit[Link](ctx, s, c, meta.SetLinkExpiry{ID: id, Expires: expires}, nil)
	return l, err
}

// DeleteLink deletes a short link for the owner, or for who has the delete key.
func (s *Service) DeleteLink(ctx context.Context, c Caller, id, deleteKey string) error {
	if _, err := s.managedLink(ctx, "node.DeleteLink", c, id, deleteKey); err != nil {
		return err
	}
	_, _, err := submit[Link](ctx, s, c, meta.DeleteLink{ID: id}, nil)
	return err
}

// Links returns a page of the caller's short links, and how many there are on all pages.
func (s *Service) Links(ctx context.Context, c Caller, o ListOrder) (page []Link, total int, err error) {
	if err := needsAccount("node.Links", c); err != nil {
		return nil, 0, err
	}
	if err := s.n.catchUp(ctx); err != nil {
		return nil, 0, err
	}
	now := s.now()
	var all []listed
	err = s.n.fsm.LinksOf(c.Account, now, func(l Link) error {
		all = append(all, listLink(l, o.Sort))
		return nil
	})
	if err != nil {
		return nil, 0, err
	}
	page, err = pageOf(all, o, func(id string) (Link, bool, error) { return s.n.fsm.Link(id, now) })
	return page, len(all), err
}

func listLink(l Link, by string) listed {
	switch by {
	case sortExpires:
		return listed{id: l.ID, number: endOrder(l.Expires)}
	case sortClicks:
		return listed{id: l.ID, number: l.Clicks}
	}
	return listed{id: l.ID, number: -l.Created}
}

// LinkStats is a short link with what was counted of it.
type LinkStats struct {
	Link Link
	Days []LinkDay // in order; days without clicks are left out
}

// LinkStats tells the owner of a short link about its clicks on the days of a
// range, both ends included; days are counted from 1970, in UTC.
func (s *Service) LinkStats(ctx context.Context, c Caller, id string, from, to int32) (LinkStats, error) {
	l, err := s.OwnLink(ctx, c, id)
	if err != nil {
		return LinkStats{}, err
	}
	days, err := s.n.fsm.LinkDays(id, from, to)
	return LinkStats{Link: l, Days: days}, err
}
