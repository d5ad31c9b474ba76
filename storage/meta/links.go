package meta

import (
	"errors"

	"github.com/cockroachdb/pebble/v2"
)

// Link is a short link's record.
type Link struct {
	ID        string   `cbor:"1,keyasint"`
	Target    string   `cbor:"2,keyasint"`
	Title     string   `cbor:"3,keyasint"`
	Account   string   `cbor:"4,keyasint"` // who owns it
	Created   int64    `cbor:"5,keyasint"`
	Expires   int64    `cbor:"6,keyasint,omitempty"` // 0: never
	DeleteKey [32]byte `cbor:"7,keyasint"`           // SHA-256 of the delete key
	Clicks    int64    `cbor:"8,keyasint,omitempty"`
	LastClick int64    `cbor:"9,keyasint,omitempty"` // 0: none yet
}

// CreateLink makes a short link; its value is a [Link].
type CreateLink struct {
	ID        string   `cbor:"1,keyasint"`
	Account   string   `cbor:"2,keyasint"`
	Target    string   `cbor:"3,keyasint"`
	Title     string   `cbor:"4,keyasint"`
	Created   int64    `cbor:"5,keyasint"`
	Expires   int64    `cbor:"6,keyasint"` // 0: never
	DeleteKey [32]byte `cbor:"7,keyasint"`
}

// DeleteLink removes a short link; its value is the [Link] that is gone.
type DeleteLink struct {
	ID string `cbor:"1,keyasint"`
}

// SetLinkExpiry changes when a short link ends, to an earlier or a later time;
// its value is the [Link].
type SetLinkExpiry struct {
	ID      string `cbor:"1,keyasint"`
	Expires int64  `cbor:"2,keyasint"` // 0: never
}

func linkKey(id string) []byte { return key(tableLinks).str(id) }

func (l Link) ownedKey() []byte {
	return key(tableLinksOf).str(l.Account).timeDesc(l.Created).str(l.ID)
}

// live reports whether the link's time is not over.
func (l Link) live(now int64) bool { return l.Expires == 0 || l.Expires > now }

func (t *tx) createLink(h Header, c CreateLink) (Link, error) {
	const op = "CreateLink"
	if err := ownAccount(op, h, c.Account); err != nil {
		return Link{}, err
	}
	if err := t.idFree(op, c.ID); err != nil {
		return Link{}, err
	}
	if err := t.endAhead(op, c.Expires); err != nil {
		return Link{}, err
	}
	a, ok, err := t.account(c.Account)
	if err != nil || !ok {
		return Link{}, orRefuse(err, refuseMissing(op))
	}
	if err := withinOwned(op, a.Links); err != nil {
		return Link{}, err
	}
	l := Link{
		ID: c.ID, Target: c.Target, Title: c.Title, Account: c.Account, Created: c.Created, Expires: c.Expires, DeleteKey: c.DeleteKey,
	}
	a.Links++
	t.counts.Links++
	t.countsOld = true
	return l, errors.Join(
		t.putAccount(a), t.issue(l.ID), t.set(l.ownedKey(), nil), t.setEnd(l.Expires, endOfLink, []byte(l.ID)), write(t, linkKey(l.ID), l))
}

// link returns a short link that is live now.
func (t *tx) link(id string) (Link, bool, error) {
	l, ok, err := read[Link](t, linkKey(id))
	return l, ok && l.live(t.time), err
}

func (t *tx) deleteLink(_ Header, c DeleteLink) (Link, error) {
	l, ok, err := t.link(c.ID)
	if err != nil || !ok {
		return Link{}, orRefuse(err, refuseMissing("DeleteLink"))
	}
	return l, t.dropLink(l)
}

// endLink removes a short link whose time is over.
func (t *tx) endLink(id string) error {
	l, ok, err := read[Link](t, linkKey(id))
	if err != nil || !ok {
		return orFatal(err, "end of a short link that is not there")
	}
	return t.dropLink(l)
}

// dropLink removes a short link. What was counted of its days can be much: sweeps remove it.
func (t *tx) dropLink(l Link) error {
	a, ok, err := t.account(l.Account)
	if err != nil || !ok {
		return orFatal(err, "short link of an account that is not there")
	}
	a.Links--
	t.counts.Links--
	t.countsOld = true
	err = errors.Join(
		t.putAccount(a), t.del(l.ownedKey()), t.clearEnd(l.Expires, endOfLink, []byte(l.ID)), t.del(linkKey(l.ID)))
	if err != nil || l.Clicks == 0 {
		return err
	}
	return t.setEnd(t.time, endOfClicks, []byte(l.ID))
}

func (t *tx) setLinkExpiry(_ Header, c SetLinkExpiry) (Link, error) {
	const op = "SetLinkExpiry"
	l, ok, err := t.link(c.ID)
	if err != nil || !ok {
		return Link{}, orRefuse(err, refuseMissing(op))
	}
	if err := t.endAhead(op, c.Expires); err != nil {
		return Link{}, err
	}
	if err := t.clearEnd(l.Expires, endOfLink, []byte(l.ID)); err != nil {
		return Link{}, err
	}
	l.Expires = c.Expires
	return l, errors.Join(t.setEnd(l.Expires, endOfLink, []byte(l.ID)), write(t, linkKey(l.ID), l))
}

// Link returns a short link that is live at a time.
func (f *FSM) Link(id string, now int64) (l Link, found bool, err error) {
	err = f.view("Link", func(r pebble.Reader) error {
		l, found, err = linkAt(r, id, now)
		return err
	})
	return l, found, err
}

func linkAt(r pebble.Reader, id string, now int64) (Link, bool, error) {
	l, ok, err := lookUp[Link](r, linkKey(id))
	if err != nil || !ok || !l.live(now) {
		return Link{}, false, err
	}
	return l, true, nil
}

// LinksOf goes over an account's live short links, newest first. The error of each ends it.
func (f *FSM) LinksOf(account string, now int64, each func(Link) error) error {
	return f.view("LinksOf", func(r pebble.Reader) error {
		return owned(r, key(tableLinksOf).str(account), func(id string) error {
			l, ok, err := linkAt(r, id, now)
			if err != nil || !ok {
				return err
			}
			return each(l)
		})
	})
}

// links checks each short link against its rows elsewhere.
func (c *check) links() error {
	err := each(c, tableLinks, func(_ []byte, l Link) error {
		return errors.Join(
			c.must(l.ownedKey(), nil, "short link %s among those of account %s", l.ID, l.Account),
			c.must(key(tableIssued).str(l.ID), nil, "the id of short link %s among those issued", l.ID),
			c.must(key(tableAccounts).str(l.Account), nil, "account %s of short link %s", l.Account, l.ID),
			c.mustEnd(l.Expires, endOfLink, []byte(l.ID), "short link "+l.ID),
		)
	})
	return errors.Join(err, c.rowsAre(tableLinksOf, c.rows[tableLinks], "the index of short links by account"))
}
