package node

import (
	"context"
	"crypto/sha256"
	"strings"
	"time"

	"ringbin/storage"
	"ringbin/storage/meta"
)

// Of login sessions.
const (
	sessionLife    = 12 * time.Hour
	sessionSymbols = 43 // of the cookie's text: 256 bits
)

// Session is a login: it names the key that it was opened with, and dies with it.
type Session struct {
	Account string
	Key     string // key id
	Created int64
	Expires int64
}

// OpenSession logs in with a key of any dialect and returns the text of the
// cookie that stands for the login. KindUnauthenticated, with the codes of
// [Service.Authenticate]; KindRateLimited (session_limit): the key has as many
// logins as it may have.
func (s *Service) OpenSession(ctx context.Context, secret string) (Session, string, error) {
	c, err := s.authenticateAny(ctx, secret)
	if err != nil {
		return Session{}, "", err
	}
	cookie, now := randomText(sessionSymbols), s.now()
	made, _, err := submit[meta.Session](ctx, s, c, meta.OpenSession{
		Hash: sha256.Sum256([]byte(cookie)), Key: c.Key, Created: now, Expires: now + sessionLife.Milliseconds(),
	}, nil)
	if err != nil {
		return Session{}, "", err
	}
	return Session{Account: made.Account, Key: made.Key, Created: made.Created, Expires: made.Expires}, cookie, nil
}

// authenticateAny returns who a secret of whatever dialect stands for. Its form
// tells the dialect.
func (s *Service) authenticateAny(ctx context.Context, secret string) (Caller, error) {
	const op = "node.OpenSession"
	if secret == "" {
		return Caller{}, unauthenticated(op, "auth_missing")
	}
	for api, form := range secretForms {
		if form.fits(secret) {
			return s.Authenticate(ctx, api, secret)
		}
	}
	if !strings.HasPrefix(secret, binKeyPrefix) || len(secret) != len(binKeyPrefix)+binKeyRandom {
		return Caller{}, unauthenticated(op, "auth_invalid")
	}
	c, err := s.AuthenticateBin(ctx, secret, "")
	if storage.CodeOf(err) == codeMaster {
		c, err = s.AuthenticateBin(ctx, "", secret)
	}
	if storage.CodeOf(err) == codeAccess {
		err = unauthenticated(op, "auth_invalid")
	}
	return c, err
}

// Session returns who a cookie stands for. KindUnauthenticated with code
// session_missing, or session_invalid: it is unknown, over, or its key or
// account does not count any more. KindUnavailable (no_leader) when that can't
// be told.
func (s *Service) Session(ctx context.Context, cookie string) (Caller, error) {
	const op = "node.Session"
	if cookie == "" {
		return Caller{}, unauthenticated(op, "session_missing")
	}
	invalid := unauthenticated(op, "session_invalid")
	if !isSessionText(cookie) {
		return Caller{}, invalid
	}
	if err := s.fresh(ctx, op); err != nil {
		return Caller{}, err
	}
	hash := sha256.Sum256([]byte(cookie))
	session, found, err := confirmed(ctx, s, func() (meta.Session, bool, error) { return s.n.fsm.Session(hash) })
	if err != nil {
		return Caller{}, err
	}
	if !found || session.Expires <= s.now() {
		return Caller{}, invalid
	}
	key, found, err := s.n.fsm.Key(session.Key)
	if err != nil {
		return Caller{}, err
	}
	if !found {
		return Caller{}, invalid
	}
	account, err := s.usable(op, key)
	if storage.KindOf(err) == storage.KindUnauthenticated {
		return Caller{}, invalid
	}
	if err != nil {
		return Caller{}, err
	}
	s.counts.use(key.ID, s.now())
	return Caller{Account: key.Account, Key: key.ID, scopes: sessionScopes(key, account), session: true}, nil
}

// sessionScopes is what a login with a key may do in PasteWizard: with a token
// what the token may, with an access key nothing, since that was made to be
// handed out, with any other all that its account may.
func sessionScopes(k Key, a Account) tokenScopes {
	switch {
	case k.API == APIPasteWizard:
		return tokenScopesOf(k.Scopes)
	case k.API == APIJSONBin && !isMaster(k):
		return 0
	case a.Admin:
		return tokenScopesOf(allScopes)
	}
	return tokenScopesOf([]string{TokenRead, TokenWrite})
}

func isSessionText(cookie string) bool {
	return len(cookie) == sessionSymbols && isAlphanumeric(cookie)
}

// CloseSession logs out. What is no cookie of a login is none any more.
func (s *Service) CloseSession(ctx context.Context, cookie string) error {
	if !isSessionText(cookie) {
		return nil
	}
	return s.n.proposeAs(ctx, meta.CloseSession{Hash: sha256.Sum256([]byte(cookie))})
}
