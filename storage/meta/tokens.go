package meta

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"
)

// The tokens of PasteWizard are in the one table of keys, under their own API.
// Each has a number, and scopes that say what it may do.
const (
	// APIPasteWizard is the dialect in which tokens work.
	APIPasteWizard = "pastewizard"

	TokenRead  = "read"
	TokenWrite = "write"
	TokenAdmin = "admin" // passes every check
)

var tokenScopes = []string{TokenRead, TokenWrite, TokenAdmin}

// Limits of a token.
const (
	// TokenRateMax is the most that a limit of requests a minute can be.
	TokenRateMax = 1_000_000

	tokenNameMax = 256 // bytes
)

// CreateToken makes a token, and gives the account its number when it has none;
// its value is a [Key].
type CreateToken struct {
	ID            string   `cbor:"1,keyasint"`
	Account       string   `cbor:"2,keyasint"`
	Name          string   `cbor:"3,keyasint"`
	Hash          [32]byte `cbor:"4,keyasint"` // SHA-256 of the token
	Scopes        []string `cbor:"5,keyasint"`
	RatePerMinute int64    `cbor:"6,keyasint,omitempty"` // 0: no limit
}

// UpdateToken changes the members that are not nil; its value is a [Key]. One
// that was revoked is not there.
type UpdateToken struct {
	Number        int64     `cbor:"1,keyasint"`
	Name          *string   `cbor:"2,keyasint,omitempty"`
	Scopes        *[]string `cbor:"3,keyasint,omitempty"`
	RatePerMinute *int64    `cbor:"4,keyasint,omitempty"` // 0: no limit
}

// RevokeToken revokes a token, again as often as asked; its value is a [Key].
type RevokeToken struct {
	Number  int64  `cbor:"1,keyasint"`
	Account string `cbor:"2,keyasint,omitempty"` // whose it has to be; empty: anybody's
}

func tokenKey(number int64) []byte { return key(tableTokens).u64(uint64(number)) }

// checkToken refuses what no token can be.
func (k Key) checkToken(op string) error {
	if k.Name == "" || len(k.Name) > tokenNameMax {
		return refuseField(op, "name", "1 to 256 bytes")
	}
	if len(k.Scopes) == 0 {
		return refuseField(op, "scopes", "one or more")
	}
	for i, s := range k.Scopes {
		if !slices.Contains(tokenScopes, s) || slices.Contains(k.Scopes[:i], s) {
			return refuseField(op, "scopes", "read, write and admin, each at most once")
		}
	}
	return within(op, []limit{{"rate_limit_per_minute", k.RatePerMinute, 0, TokenRateMax}})
}

func (t *tx) createToken(_ Header, c CreateToken) (Key, error) {
	const op = "CreateToken"
	a, ok, err := t.account(c.Account)
	if err != nil || !ok {
		return Key{}, orRefuse(err, refuseMissing(op))
	}
	k := Key{
		ID: c.ID, Account: c.Account, API: APIPasteWizard, Name: c.Name, Hash: c.Hash, Created: t.wholeSeconds(),
		Scopes: c.Scopes, RatePerMinute: c.RatePerMinute,
	}
	if err := k.checkToken(op); err != nil {
		return Key{}, err
	}
	if err := t.keyFree(op, k); err != nil {
		return Key{}, err
	}
	if k.Number, err = t.nextNumber(singleTokenNumber); err != nil {
		return Key{}, err
	}
	if err := t.number(&a); err != nil {
		return Key{}, err
	}
	return k, errors.Join(t.putAccount(a), t.set(tokenKey(k.Number), []byte(k.ID)), t.addKey(k))
}

func (t *tx) updateToken(_ Header, c UpdateToken) (Key, error) {
	const op = "UpdateToken"
	k, ok, err := tokenAt(t.rows(), c.Number)
	if err != nil || !ok || k.Revoked != 0 {
		return Key{}, orRefuse(err, refuseMissing(op))
	}
	patch(&k.Name, c.Name)
	patch(&k.Scopes, c.Scopes)
	patch(&k.RatePerMinute, c.RatePerMinute)
	if err := k.checkToken(op); err != nil {
		return Key{}, err
	}
	return k, t.putKey(k)
}

func (t *tx) revokeToken(_ Header, c RevokeToken) (Key, error) {
	k, ok, err := tokenAt(t.rows(), c.Number)
	if err != nil || !ok || c.Account != "" && k.Account != c.Account {
		return Key{}, orRefuse(err, refuseMissing("RevokeToken"))
	}
	return t.revoke(k)
}

// tokenAt returns a token, a revoked one too.
func tokenAt(r pebble.Reader, number int64) (Key, bool, error) {
	id, ok, err := lookUpID(r, tokenKey(number))
	if err != nil || !ok {
		return Key{}, false, err
	}
	k, ok, err := lookUp[Key](r, key(tableKeys).str(id))
	if err != nil || !ok {
		return Key{}, false, orFatal(err, fmt.Sprintf("number of token %s, which is not there", id))
	}
	return k, true, nil
}

// Token returns a token by its number, a revoked one too.
func (f *FSM) Token(number int64) (k Key, found bool, err error) {
	err = f.view("Token", func(r pebble.Reader) error {
		k, found, err = tokenAt(r, number)
		return err
	})
	return k, found, err
}

// Tokens lists up to limit tokens by number, those behind after: of an account
// or, with "", of all; the revoked ones if they are wanted. More tells that there are more.
func (f *FSM) Tokens(account string, revoked bool, after int64, limit int) (tokens []Key, more bool, err error) {
	err = f.viewAtOnce("Tokens", func(r pebble.Reader) error {
		return eachToken(r, account, after, func(k Key) bool {
			if k.Revoked != 0 && !revoked {
				return true
			}
			if more = len(tokens) == limit; !more {
				tokens = append(tokens, k)
			}
			return !more
		})
	})
	return tokens, more, err
}

// eachToken goes over tokens by number until each reports false.
func eachToken(r pebble.Reader, account string, after int64, each func(Key) bool) error {
	if account == "" {
		return scanRange(r, tokenKey(after+1), []byte{tableTokens + 1}, func(row, _ []byte) (bool, error) {
			k, _, err := tokenAt(r, int64(binary.BigEndian.Uint64(row[1:])))
			return err == nil && each(k), err
		})
	}
	var own []Key
	prefix := keysOf(account, APIPasteWizard)
	err := scan(r, prefix, func(row, _ []byte) (bool, error) {
		k, ok, err := lookUp[Key](r, key(tableKeys).str(string(row[len(prefix):len(row)-1])))
		if ok && k.Number > after {
			own = append(own, k)
		}
		return true, err
	})
	slices.SortFunc(own, func(a, b Key) int { return cmp.Compare(a.Number, b.Number) })
	for _, k := range own {
		if !each(k) {
			break
		}
	}
	return err
}

// tokens checks the numbers of keys, against those that were given out.
func (c *check) tokens() error {
	last, _, err := lookUp[int64](c.r, single(singleTokenNumber))
	if err != nil {
		return c.say("%s: %v", singleTokenNumber, err)
	}
	var n int64
	err = each(c, tableKeys, func(_ []byte, k Key) error {
		if k.Number == 0 {
			return nil
		}
		n++
		if k.Number > last {
			return c.say("token %s has number %d, the last one given is %d", k.ID, k.Number, last)
		}
		return c.must(tokenKey(k.Number), []byte(k.ID), "the number of token %s", k.ID)
	})
	return errors.Join(err, c.rowsAre(tableTokens, n, "the index of tokens by number"))
}

// nextNumber returns the number after the last one that was given under a name.
// None is given twice.
func (t *tx) nextNumber(name string) (int64, error) {
	last, _, err := read[int64](t, single(name))
	if err != nil {
		return 0, err
	}
	return last + 1, write(t, single(name), last+1)
}
