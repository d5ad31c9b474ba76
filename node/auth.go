package node

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"strings"
	"time"

	"ringbin/storage"
	"ringbin/storage/meta"
)

// Caller is who a request acts for.
type Caller struct {
	Account  string
	Key      string // key id
	Operator bool
	rate     int64 // requests a minute of the key's own; 0: the setting's default

	// Of keys of JSONBin. The master key may do all that can be done with the
	// account's bins, an access key what it was made for.
	Master bool
	rights binRights

	// Of tokens of PasteWizard and of login sessions.
	Token   int64 // the token's number; 0: none
	scopes  tokenScopes
	session bool
}

func (c Caller) actor() meta.Actor { return meta.Actor{Account: c.Account, Key: c.Key} }

// scope is what the caller's Idempotency-Keys are unique in.
func (c Caller) scope() string {
	if c.Operator {
		return "operator"
	}
	return c.Account
}

// secretForm is what the keys of a dialect look like: a prefix and so many
// random symbols, of which 32 are 190 bits.
type secretForm struct {
	prefix  string
	symbols int
}

// secretForms are the dialects that have keys.
var secretForms = map[string]secretForm{
	APIHashBin:     {prefix: "hb_live_", symbols: 32},
	APIPaste69:     {prefix: "p69_", symbols: 60},
	APIPasteWizard: {prefix: "pw_", symbols: 43},
}

func (f secretForm) draw() string { return f.prefix + randomText(f.symbols) }

// fits is whether a secret can be a key of a dialect at all. What can't be one
// is refused without a question to the leader.
func (f secretForm) fits(secret string) bool {
	random, ok := strings.CutPrefix(secret, f.prefix)
	return ok && len(random) == f.symbols && isAlphanumeric(random)
}

const alphanumeric = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

func unauthenticated(op, code string) error {
	return &storage.Error{Op: op, Kind: storage.KindUnauthenticated, Code: code}
}

// Authenticate returns who a secret of a dialect stands for. The error is
// KindUnauthenticated with code auth_missing, auth_invalid, auth_expired,
// auth_revoked or account_disabled; KindUnavailable (no_leader) when a miss
// cannot be told from a key not applied here yet.
func (s *Service) Authenticate(ctx context.Context, api, secret string) (Caller, error) {
	const op = "node.Authenticate"
	if secret == "" {
		return Caller{}, unauthenticated(op, "auth_missing")
	}
	if form, ok := secretForms[api]; !ok || !form.fits(secret) {
		return Caller{}, unauthenticated(op, "auth_invalid")
	}
	if err := s.fresh(ctx, op); err != nil {
		return Caller{}, err
	}
	hash := sha256.Sum256([]byte(secret))
	key, found, err := confirmed(ctx, s, func() (Key, bool, error) { return s.n.fsm.KeyByHash(hash) })
	if err != nil {
		return Caller{}, err
	}
	if !found || key.API != api {
		return Caller{}, unauthenticated(op, "auth_invalid")
	}
	if _, err := s.usable(op, key); err != nil {
		return Caller{}, err
	}
	s.counts.use(key.ID, s.now())
	c := Caller{Account: key.Account, Key: key.ID, rate: key.RatePerMinute}
	if api == APIPasteWizard {
		c.Token, c.scopes = key.Number, tokenScopesOf(key.Scopes)
	}
	return c, nil
}

// usable returns the account of a key that counts.
func (s *Service) usable(op string, key Key) (Account, error) {
	switch {
	case key.Revoked != 0:
		return Account{}, unauthenticated(op, "auth_revoked")
	case key.Expires != 0 && key.Expires <= s.now():
		return Account{}, unauthenticated(op, "auth_expired")
	}
	account, found, err := s.n.fsm.Account(key.Account)
	if err != nil {
		return Account{}, err
	}
	if !found || account.Disabled {
		return Account{}, unauthenticated(op, "account_disabled")
	}
	return account, nil
}

// fresh waits with judging keys until this node has caught up within MaxStale:
// a revocation could have passed it by (I4). That it hears a leader says
// nothing: one that was frozen hears the new leader before it has its entries.
func (s *Service) fresh(ctx context.Context, op string) error {
	if s.n.leaderless() {
		return noLeader(op, nil)
	}
	return s.n.freshWithin(ctx, s.n.cfg.MaxStale)
}

// freshWithin returns once this node has all that was committed so long ago.
func (n *Node) freshWithin(ctx context.Context, age time.Duration) error {
	if at := n.caughtUp.Load(); at != nil && time.Since(*at) <= age {
		return nil
	}
	return n.catchUp(ctx)
}

func isAlphanumeric(s string) bool {
	for _, b := range []byte(s) {
		if b < '0' || b > '9' && b < 'A' || b > 'Z' && b < 'a' || b > 'z' {
			return false
		}
	}
	return true
}

// AuthenticateOperator checks the operator's token, in constant time.
func (s *Service) AuthenticateOperator(_ context.Context, token string) (Caller, error) {
	const op = "node.AuthenticateOperator"
	switch {
	case token == "":
		return Caller{}, unauthenticated(op, "auth_missing")
	case !s.n.trust.CheckAdminToken(token):
		return Caller{}, unauthenticated(op, "auth_invalid")
	}
	return Caller{Operator: true}, nil
}

func operatorOnly(op string, c Caller) error {
	if !c.Operator {
		return unauthenticated(op, "auth_invalid")
	}
	return nil
}

// randomText draws n symbols by rejection sampling, so that each is as likely.
func randomText(n int) string {
	const fair = 256 / len(alphanumeric) * len(alphanumeric)
	out := make([]byte, 0, n)
	buf := make([]byte, n+n/2)
	for len(out) < n {
		_, _ = rand.Read(buf) // never fails: crypto/rand ends the process instead
		for _, b := range buf {
			if int(b) < fair && len(out) < n {
				out = append(out, alphanumeric[int(b)%len(alphanumeric)])
			}
		}
	}
	return string(out)
}

// newID draws an opaque id with a prefix that tells what it is of.
func newID(prefix string) string { return prefix + "_" + randomText(idSymbols) }

// idSymbols is the length of an id's random part: 62^20 is 119 bits.
const idSymbols = 20
