package node

import (
	"context"
	"crypto/sha256"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"ringbin/storage"
	"ringbin/storage/meta"
)

// Limits of keys.
const (
	keyNameMax     = 100 // characters
	keyDaysDefault = 365
	keyDaysMax     = 1825
	keyExpiredKept = 90 * dayMillis // how long an expired key is listed
)

const dayMillis = 86_400_000

// NewKey is a wish for a key.
type NewKey struct {
	API           string
	Name          string
	ExpiresInDays *int // nil: the dialect's default, 365 in HashBin and never in Paste69
	Scopes        []string
	RatePerMinute *int64 // nil: the dialect's default
}

// Account returns the caller's account, as of now.
func (s *Service) Account(ctx context.Context, c Caller) (Account, error) {
	if err := s.n.catchUp(ctx); err != nil {
		return Account{}, err
	}
	return s.account(c.Account)
}

func (s *Service) account(id string) (Account, error) {
	a, found, err := s.n.fsm.Account(id)
	if err != nil {
		return Account{}, err
	}
	if !found {
		return Account{}, notFound("node.account")
	}
	return a, nil
}

func notFound(op string) error {
	return &storage.Error{Op: op, Kind: storage.KindNotFound, Code: "not_found"}
}

// Keys returns the caller's keys of a dialect, newest first: no revoked ones,
// and expired ones for a while.
func (s *Service) Keys(ctx context.Context, c Caller, api string) ([]Key, error) {
	if err := s.n.catchUp(ctx); err != nil {
		return nil, err
	}
	all, err := s.n.fsm.Keys(c.Account, api)
	if err != nil {
		return nil, err
	}
	now := s.now()
	keys := make([]Key, 0, len(all))
	for _, k := range all {
		if k.Revoked == 0 && (k.Expires == 0 || k.Expires+keyExpiredKept > now) {
			k.LastUsed = max(k.LastUsed, s.counts.lastUse(k.ID))
			keys = append(keys, k)
		}
	}
	return keys, nil
}

// CreateKey makes a key for an account: the caller's own, or for the operator
// any. The secret is returned this once, and is kept nowhere.
func (s *Service) CreateKey(ctx context.Context, c Caller, account string, k NewKey) (key Key, secret string, err error) {
	const op = "node.CreateKey"
	if !c.Operator && c.Account != account {
		return Key{}, "", unauthenticated(op, "auth_invalid")
	}
	switch k.API {
	case APIJSONBin:
		return s.createMasterKey(ctx, c, account, k)
	case APIPasteWizard:
		return s.createTokenKey(ctx, c, account, k)
	}
	days, err := k.days(op)
	if err != nil {
		return Key{}, "", err
	}
	name, err := cleanText(op, "name", k.Name, keyNameMax)
	if err != nil {
		return Key{}, "", err
	}
	form, ok := secretForms[k.API]
	if !ok {
		return Key{}, "", storage.Invalid(op, "invalid_parameter", "api", "one of: hashbin, paste69, jsonbin, pastewizard")
	}
	var rate int64
	if k.RatePerMinute != nil {
		rate = *k.RatePerMinute
	}
	secret = form.draw()
	v, _, err := submit[meta.Key](ctx, s, c, meta.CreateKey{
		ID: newID("key"), Account: account, API: k.API, Name: name, Hash: sha256.Sum256([]byte(secret)),
		Days: days, Scopes: k.Scopes, RatePerMinute: rate,
	}, nil)
	if err != nil {
		return Key{}, "", err
	}
	return v, secret, nil
}

// days is how long a key lives, 0 for ever.
func (k NewKey) days(op string) (int, error) {
	switch {
	case k.ExpiresInDays == nil && k.API == APIPaste69:
		return 0, nil
	case k.ExpiresInDays == nil:
		return keyDaysDefault, nil
	case *k.ExpiresInDays < 1 || *k.ExpiresInDays > keyDaysMax:
		return 0, storage.Invalid(op, "invalid_parameter", "expiresInDays", "integer from 1 to 1825")
	}
	return *k.ExpiresInDays, nil
}

// cleanText trims a text and checks its length and characters.
func cleanText(op, field, text string, charsMax int) (string, error) {
	text = strings.TrimSpace(text)
	n := utf8.RuneCountInString(text)
	if n < 1 || n > charsMax || !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl) {
		return "", storage.Invalid(op, "invalid_parameter", field, fmt.Sprintf("1 to %d characters, no control characters", charsMax))
	}
	return text, nil
}

// RevokeKey revokes a key of an account, again as often as asked until the
// key's original expiry.
func (s *Service) RevokeKey(ctx context.Context, c Caller, account, id string) (Key, error) {
	if !c.Operator && c.Account != account {
		return Key{}, unauthenticated("node.RevokeKey", "auth_invalid")
	}
	v, _, err := submit[meta.Key](ctx, s, c, meta.RevokeKey{Account: account, ID: id}, nil)
	return v, err
}
