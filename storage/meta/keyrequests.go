package meta

import (
	"errors"
	"strings"

	"github.com/cockroachdb/pebble/v2"

	"ringbin/storage"
)

// KeyRequest is a wish for a key that waits for its token to come back from
// the address.
type KeyRequest struct {
	Email   string   `cbor:"1,keyasint"`
	Name    string   `cbor:"2,keyasint"`
	Token   [32]byte `cbor:"3,keyasint"` // SHA-256
	Created int64    `cbor:"4,keyasint"`
	Expires int64    `cbor:"5,keyasint"`
}

// RequestKey notes a wish for a key, in the place of one that waits for the
// same address. It has no value.
type RequestKey struct {
	Email   string   `cbor:"1,keyasint"`
	Name    string   `cbor:"2,keyasint"`
	Token   [32]byte `cbor:"3,keyasint"` // SHA-256
	Expires int64    `cbor:"4,keyasint"`
}

// RedeemToken makes the key that a token was asked for, once: for the account
// whose address it is, or for a new one. Its value is a [Redeemed].
type RedeemToken struct {
	Token   [32]byte `cbor:"1,keyasint"` // SHA-256
	Account string   `cbor:"2,keyasint"` // id of a new account
	KeyID   string   `cbor:"3,keyasint"`
	KeyHash [32]byte `cbor:"4,keyasint"`
	API     string   `cbor:"5,keyasint"`
}

// Redeemed is the value of a RedeemToken.
type Redeemed struct {
	Key     Key     `cbor:"1,keyasint"`
	Account Account `cbor:"2,keyasint"`
}

// OpenKey makes a key, and an account of its own for it, whose address nobody
// has verified. Its value is a [Key].
type OpenKey struct {
	Account string   `cbor:"1,keyasint"`
	KeyID   string   `cbor:"2,keyasint"`
	KeyHash [32]byte `cbor:"3,keyasint"`
	API     string   `cbor:"4,keyasint"`
	Email   string   `cbor:"5,keyasint"`
	Name    string   `cbor:"6,keyasint"`
}

// Limits of key requests.
const (
	pendingMax      = 100_000       // that wait, all together
	pendingAheadMax = 7 * dayMillis // how long one may
)

func pendingKey(token []byte) []byte { return key(tablePending).raw(token) }

func pendingOf(email string) []byte { return key(tablePendingOf).str(strings.ToLower(email)) }

func (t *tx) requestKey(_ Header, c RequestKey) (none, error) {
	const op = "RequestKey"
	if c.Expires <= t.time || c.Expires > t.time+pendingAheadMax {
		return none{}, refuseField(op, "expires", "within 7 days")
	}
	if c.Email == "" || strings.ContainsRune(c.Email, 0) {
		return none{}, refuseField(op, "email", "an address")
	}
	old, waits, err := t.pendingFor(c.Email)
	if err != nil {
		return none{}, err
	}
	if other, taken, err := read[KeyRequest](t, pendingKey(c.Token[:])); err != nil || taken && (!waits || other.Token != old.Token) {
		return none{}, orRefuse(err, refuse(op, storage.KindConflict, "id_taken", nil))
	}
	if !waits && t.counts.KeyRequests >= pendingMax {
		return none{}, refuse(op, storage.KindRateLimited, "rate_limited", nil)
	}
	if waits {
		if err := t.dropRequest(old); err != nil {
			return none{}, err
		}
	}
	t.counts.KeyRequests++
	t.countsOld = true
	r := KeyRequest{Email: c.Email, Name: c.Name, Token: c.Token, Created: t.wholeSeconds(), Expires: c.Expires}
	return none{}, errors.Join(
		write(t, pendingKey(r.Token[:]), r), t.set(pendingOf(r.Email), r.Token[:]), t.setEnd(r.Expires, endOfKeyRequest, r.Token[:]))
}

// pendingFor returns the request that waits for an address, even if its time is over.
func (t *tx) pendingFor(email string) (r KeyRequest, waits bool, err error) {
	token, ok, err := t.get(pendingOf(email))
	if err != nil || !ok {
		return r, false, err
	}
	if r, ok, err = read[KeyRequest](t, pendingKey(token)); err != nil || !ok {
		return r, false, orFatal(err, "address of a key request that is not there")
	}
	return r, true, nil
}

func (t *tx) dropRequest(r KeyRequest) error {
	t.counts.KeyRequests--
	t.countsOld = true
	return errors.Join(t.del(pendingKey(r.Token[:])), t.del(pendingOf(r.Email)), t.clearEnd(r.Expires, endOfKeyRequest, r.Token[:]))
}

// endKeyRequest removes a request whose time is over.
func (t *tx) endKeyRequest(token []byte) error {
	r, ok, err := read[KeyRequest](t, pendingKey(token))
	if err != nil || !ok {
		return orFatal(err, "end of a key request that is not there")
	}
	return t.dropRequest(r)
}

func (t *tx) redeemToken(_ Header, c RedeemToken) (Redeemed, error) {
	const op = "RedeemToken"
	r, ok, err := read[KeyRequest](t, pendingKey(c.Token[:]))
	if err != nil || !ok || r.Expires <= t.time {
		return Redeemed{}, orRefuse(err, refuseMissing(op))
	}
	a, joins, err := t.accountOf(r.Email)
	if err != nil {
		return Redeemed{}, err
	}
	switch {
	case a.Disabled:
		return Redeemed{}, refuse(op, storage.KindUnauthenticated, "account_disabled", nil)
	case !joins:
		if err := t.accountFree(op, c.Account); err != nil {
			return Redeemed{}, err
		}
		a = Account{ID: c.Account, Email: r.Email, Name: r.Name, Created: t.time}
	}
	k := Key{ID: c.KeyID, Account: a.ID, API: c.API, Name: r.Name, Hash: c.KeyHash, Created: t.wholeSeconds()}
	if err := t.keyFree(op, k); err != nil {
		return Redeemed{}, err
	}
	if !joins {
		err = t.addAccount(a)
	}
	return Redeemed{Key: k, Account: a}, errors.Join(err, t.dropRequest(r), t.addKey(k))
}

// accountOf returns the account whose address it is.
func (t *tx) accountOf(email string) (a Account, found bool, err error) {
	id, ok, err := t.get(emailKey(email))
	if err != nil || !ok {
		return a, false, err
	}
	if a, ok, err = t.account(string(id)); err != nil || !ok {
		return a, false, orFatal(err, "address of an account that is not there")
	}
	return a, true, nil
}

func (t *tx) openKey(_ Header, c OpenKey) (Key, error) {
	const op = "OpenKey"
	if err := t.accountFree(op, c.Account); err != nil {
		return Key{}, err
	}
	k := Key{ID: c.KeyID, Account: c.Account, API: c.API, Name: c.Name, Hash: c.KeyHash, Created: t.wholeSeconds()}
	if err := t.keyFree(op, k); err != nil {
		return Key{}, err
	}
	a := Account{ID: c.Account, Name: c.Name, Claimed: c.Email, Created: t.time}
	return k, errors.Join(t.addAccount(a), t.addKey(k))
}

// PendingKey returns the request that waits for a token, when it still does at a time.
func (f *FSM) PendingKey(token [32]byte, now int64) (k KeyRequest, found bool, err error) {
	err = f.view("PendingKey", func(r pebble.Reader) error {
		k, found, err = lookUp[KeyRequest](r, pendingKey(token[:]))
		if found = found && k.Expires > now; !found {
			k = KeyRequest{}
		}
		return err
	})
	return k, found, err
}

// keyRequests checks each request that waits against its rows elsewhere.
func (c *check) keyRequests() error {
	err := each(c, tablePending, func(_ []byte, r KeyRequest) error {
		return errors.Join(
			c.must(pendingOf(r.Email), r.Token[:], "the address of the key request of %s", r.Email),
			c.mustEnd(r.Expires, endOfKeyRequest, r.Token[:], "the key request of "+r.Email),
		)
	})
	return errors.Join(err, c.rowsAre(tablePendingOf, c.rows[tablePending], "the index of key requests by address"))
}
