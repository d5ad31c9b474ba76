package node

import (
	"context"
	"slices"
)

// The scopes of PasteWizard's tokens. TokenAdmin passes every check.
const (
	TokenRead  = "read"
	TokenWrite = "write"
	TokenAdmin = "admin"
)

// tokenScopes is a set of them.
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

// CreateToken makes a token and returns it with its text, which is shown this
// once and kept nowhere. The operator and admins make them for any account,
// others for their own, with no scope that they do not have.
func (s *Service) CreateToken(ctx context.Context, c Caller, t NewToken) (Key, string, error) {
	return Key{}, "", noLeader("node.CreateToken", nil)
}

// EditToken changes a token; admins only. KindNotFound (token_not_found).
func (s *Service) EditToken(ctx context.Context, c Caller, number int64, p TokenPatch) (Key, error) {
	return Key{}, noLeader("node.EditToken", nil)
}

// RevokeToken revokes a token, again as often as asked: admins any, others one
// of their own. KindNotFound (token_not_found).
func (s *Service) RevokeToken(ctx context.Context, c Caller, number int64) (Key, error) {
	return Key{}, noLeader("node.RevokeToken", nil)
}

// Tokens lists tokens by number: for admins all, for others their own.
func (s *Service) Tokens(ctx context.Context, c Caller, q TokenQuery) (Page[Key], error) {
	return Page[Key]{}, noLeader("node.Tokens", nil)
}

// AccountByNumber returns the account with a number; admins only. KindNotFound
// (user_not_found).
func (s *Service) AccountByNumber(ctx context.Context, c Caller, number int64) (Account, error) {
	return Account{}, noLeader("node.AccountByNumber", nil)
}

// DisplayOf is how an account is shown to others, as this node has it: its
// number and its name. One that is gone is not found.
func (s *Service) DisplayOf(account string) (number int64, name string, found bool) {
	return 0, "", false
}
