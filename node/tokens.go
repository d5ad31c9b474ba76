package node

import (
	"context"
	"crypto/sha256"
	"slices"
	"strconv"

	"ringbin/storage"
	"ringbin/storage/meta"
)

// The scopes of PasteWizard's tokens. TokenAdmin passes every check.
const (
	TokenRead  = meta.TokenRead
	TokenWrite = meta.TokenWrite
	TokenAdmin = meta.TokenAdmin
)

// Limits of tokens.
const (
	tokenNameMax   = 64  // characters
	tokensPageMax  = 500 // tokens of a page
	tokenNameGiven = "token"
)

// tokenScopes is a set of scopes.
type tokenScopes uint8

var allScopes = []string{TokenRead, TokenWrite, TokenAdmin}

func tokenScopesOf(scopes []string) (set tokenScopes) {
	for i, scope := range allScopes {
		if slices.Contains(scopes, scope) {
			set |= 1 << i
		}
	}
	return set
}

// Can reports whether the caller's token or session has a scope of PasteWizard's.
func (c Caller) Can(scope string) bool {
	return c.scopes&tokenScopesOf([]string{scope, TokenAdmin}) != 0
}

// NewToken is a wish for a token of PasteWizard.
type NewToken struct {
	Account       string // "": the caller's own
	Name          string
	Scopes        []string
	RatePerMinute *int64 // requests a minute, 0: no limit; nil: the setting's default
}

// TokenPatch changes what is not nil.
type TokenPatch struct {
	Name          *string
	Scopes        *[]string
	RatePerMinute *int64
}

// TokenQuery says which tokens are listed.
type TokenQuery struct {
	Account string // "": of all, as far as the caller sees them
	Revoked bool   // those that were revoked, too
	Limit   int
	Cursor  string
}

// managesAll reports whether the caller manages the tokens of all accounts.
// Others manage those of their own in a login session that has the scope.
func managesAll(op string, c Caller, scope string) (bool, error) {
	switch {
	case c.Operator || c.Can(TokenAdmin):
		return true, nil
	case c.session && c.Can(scope):
		return false, nil
	}
	return false, scopeMissing(op)
}

func scopeMissing(op string) error {
	return &storage.Error{Op: op, Kind: storage.KindForbidden, Code: "scope_missing"}
}

// missing turns the refusal of what is not there into one that says what it was.
func missing(op, code string, err error) error {
	if storage.CodeOf(err) == "not_found" {
		return &storage.Error{Op: op, Kind: storage.KindNotFound, Code: code}
	}
	return err
}

// CreateToken makes a token and returns it with its text, which is shown this
// once and kept nowhere. The operator and admins make them for any account.
// Others make them for their own, in a login session, with the setting's limit
// and no scope that they do not have. KindForbidden (scope_missing);
// KindNotFound (user_not_found).
func (s *Service) CreateToken(ctx context.Context, c Caller, t NewToken) (Key, string, error) {
	const op = "node.CreateToken"
	all, err := managesAll(op, c, TokenWrite)
	if err != nil {
		return Key{}, "", err
	}
	if t.Account == "" {
		t.Account = c.Account
	}
	foreign := t.Account != c.Account || t.RatePerMinute != nil || slices.ContainsFunc(t.Scopes, func(scope string) bool { return !c.Can(scope) })
	if !all && foreign {
		return Key{}, "", scopeMissing(op)
	}
	name, err := cleanText(op, "name", t.Name, tokenNameMax)
	if err != nil {
		return Key{}, "", err
	}
	rate := s.Settings().PasteWizard.RateLimitDefault
	if t.RatePerMinute != nil {
		rate = *t.RatePerMinute
	}
	secret := secretForms[APIPasteWizard].draw()
	k, _, err := submit[Key](ctx, s, c, meta.CreateToken{
		ID: newID("key"), Account: t.Account, Name: name, Hash: sha256.Sum256([]byte(secret)), Scopes: t.Scopes, RatePerMinute: rate,
	}, nil)
	if err != nil {
		return Key{}, "", missing(op, "user_not_found", err)
	}
	return k, secret, nil
}

// createTokenKey makes a token by the operator's hand, who may leave out what
// most tokens have.
func (s *Service) createTokenKey(ctx context.Context, c Caller, account string, k NewKey) (Key, string, error) {
	const op = "node.createTokenKey"
	if err := operatorOnly(op, c); err != nil {
		return Key{}, "", err
	}
	if k.ExpiresInDays != nil {
		return Key{}, "", storage.Invalid(op, "invalid_parameter", "expiresInDays", "none: a token does not expire")
	}
	if k.Name == "" {
		k.Name = tokenNameGiven
	}
	if len(k.Scopes) == 0 {
		k.Scopes = []string{TokenRead, TokenWrite}
	}
	key, secret, err := s.CreateToken(ctx, c, NewToken{Account: account, Name: k.Name, Scopes: k.Scopes, RatePerMinute: k.RatePerMinute})
	if storage.CodeOf(err) == "user_not_found" { // an account, to the operator
		err = notFound(op)
	}
	return key, secret, err
}

// EditToken changes a token that was not revoked; admins only. KindForbidden
// (scope_missing); KindNotFound (token_not_found).
func (s *Service) EditToken(ctx context.Context, c Caller, number int64, p TokenPatch) (Key, error) {
	const op = "node.EditToken"
	if !c.Operator && !c.Can(TokenAdmin) {
		return Key{}, scopeMissing(op)
	}
	if p.Name != nil {
		name, err := cleanText(op, "name", *p.Name, tokenNameMax)
		if err != nil {
			return Key{}, err
		}
		p.Name = &name
	}
	if p.Scopes != nil && *p.Scopes == nil {
		p.Scopes = &[]string{} // in the log nil would be no change
	}
	k, _, err := submit[Key](ctx, s, c, meta.UpdateToken{Number: number, Name: p.Name, Scopes: p.Scopes, RatePerMinute: p.RatePerMinute}, nil)
	if err != nil {
		return Key{}, missing(op, "token_not_found", err)
	}
	return k, nil
}

// RevokeToken revokes a token, again as often as asked: admins any, others one
// of their own in a login session. KindForbidden (scope_missing); KindNotFound
// (token_not_found).
func (s *Service) RevokeToken(ctx context.Context, c Caller, number int64) (Key, error) {
	const op = "node.RevokeToken"
	all, err := managesAll(op, c, TokenWrite)
	if err != nil {
		return Key{}, err
	}
	cmd := meta.RevokeToken{Number: number, Account: c.Account}
	if all {
		cmd.Account = ""
	}
	k, _, err := submit[Key](ctx, s, c, cmd, nil)
	if err != nil {
		return Key{}, missing(op, "token_not_found", err)
	}
	return k, nil
}

// Tokens lists tokens by number: for admins those of all accounts, for others
// their own in a login session. KindForbidden (scope_missing).
func (s *Service) Tokens(ctx context.Context, c Caller, q TokenQuery) (Page[Key], error) {
	const op = "node.Tokens"
	all, err := managesAll(op, c, TokenRead)
	if err != nil {
		return Page[Key]{}, err
	}
	if !all && q.Account != "" && q.Account != c.Account {
		return Page[Key]{}, scopeMissing(op)
	}
	if !all {
		q.Account = c.Account
	}
	after := int64(0)
	if q.Cursor != "" {
		if after, err = strconv.ParseInt(q.Cursor, 10, 64); err != nil || after < 1 {
			return Page[Key]{}, storage.Invalid(op, "invalid_parameter", "cursor", "one that a former answer gave")
		}
	}
	if err := s.n.catchUp(ctx); err != nil {
		return Page[Key]{}, err
	}
	tokens, more, err := s.n.fsm.Tokens(q.Account, q.Revoked, after, max(1, min(q.Limit, tokensPageMax)))
	if err != nil {
		return Page[Key]{}, err
	}
	for i := range tokens {
		tokens[i].LastUsed = max(tokens[i].LastUsed, s.counts.lastUse(tokens[i].ID))
	}
	page := Page[Key]{Items: tokens}
	if more {
		page.Next = strconv.FormatInt(tokens[len(tokens)-1].Number, 10)
	}
	return page, nil
}

// AccountByNumber returns the account with a number; admins only.
// KindForbidden (scope_missing); KindNotFound (user_not_found).
func (s *Service) AccountByNumber(ctx context.Context, c Caller, number int64) (Account, error) {
	const op = "node.AccountByNumber"
	if !c.Operator && !c.Can(TokenAdmin) {
		return Account{}, scopeMissing(op)
	}
	none := &storage.Error{Op: op, Kind: storage.KindNotFound, Code: "user_not_found"}
	return strong(ctx, s, none, func() (Account, bool, error) { return s.n.fsm.AccountByNumber(number) })
}

// DisplayOf is how an account is shown to others, as this node has it: its
// number and its name. One that is gone is not found.
func (s *Service) DisplayOf(account string) (number int64, name string, found bool) {
	a, found, err := s.n.fsm.Account(account)
	if err != nil || !found {
		return 0, "", false
	}
	return a.Number, a.Name, true
}
