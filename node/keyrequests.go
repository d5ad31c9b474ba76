package node

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"time"

	"ringbin/storage"
	"ringbin/storage/meta"
)

// Tokens of key requests.
const (
	tokenBytes = 32
	tokenLife  = 24 * time.Hour
)

// How keys are given out without a mail server (the setting keys_mode).
const (
	keysLog  = "log"
	keysOpen = "open"
)

// verifyPath is where a token is shown in, behind the base URL.
const verifyPath = "/keys/verify?token="

// KeyRequested tells where a requested key, or the link that leads to it, went.
type KeyRequested struct {
	Delivery string // email, log, response
	Secret   string // the key itself, with response only
}

// RequestKey begins to give a Paste69 key to whoever has an address. With a
// mail server the link goes there; without one the setting keys_mode says what
// is done. KindUnavailable: key_requests_closed, mail_failed.
func (s *Service) RequestKey(ctx context.Context, name, email string) (KeyRequested, error) {
	const op = "node.RequestKey"
	if err := checkEmail(op, email); err != nil {
		return KeyRequested{}, err
	}
	if name != "" {
		var err error
		if name, err = cleanText(op, "name", name, keyNameMax); err != nil {
			return KeyRequested{}, err
		}
	}
	mode := s.Settings().Paste69.KeysMode
	byMail := s.mails.configured()
	if !byMail && mode != keysLog && mode != keysOpen {
		return KeyRequested{}, &storage.Error{Op: op, Kind: storage.KindUnavailable, Code: "key_requests_closed"}
	}
	if err := s.admitEmail(email); err != nil {
		return KeyRequested{}, err
	}
	if !byMail && mode == keysOpen {
		return s.openKey(ctx, name, email)
	}
	token, err := s.newToken(ctx, name, email)
	if err != nil {
		return KeyRequested{}, err
	}
	link := strings.TrimSuffix(s.n.cfg.PasteBaseURL, "/") + verifyPath + token
	if !byMail {
		// The one line that may hold a token: the operator chose this way.
		s.logger.Info("a key was requested; open this link to get it", "email", email, "link", link)
		return KeyRequested{Delivery: "log"}, nil
	}
	if err := s.mails.sendLink(ctx, email, link); err != nil {
		return KeyRequested{}, err
	}
	return KeyRequested{Delivery: "email"}, nil
}

// newToken notes the request, in the place of a former one of the address, and
// returns its token.
func (s *Service) newToken(ctx context.Context, name, email string) (string, error) {
	raw := make([]byte, tokenBytes)
	_, _ = rand.Read(raw)
	token := hex.EncodeToString(raw)
	err := s.n.proposeAs(ctx, meta.RequestKey{
		Email: email, Name: name, Token: sha256.Sum256([]byte(token)), Expires: s.now() + tokenLife.Milliseconds(),
	})
	return token, err
}

// openKey makes a key at once. Nobody has verified the address: the key has an
// account of its own, so that it opens nothing of others who gave the same one.
func (s *Service) openKey(ctx context.Context, name, email string) (KeyRequested, error) {
	secret := secretForms[APIPaste69].draw()
	_, _, err := submit[Key](ctx, s, Caller{}, meta.OpenKey{
		Account: newID("user"), KeyID: newID("key"), KeyHash: sha256.Sum256([]byte(secret)), API: APIPaste69, Email: email, Name: name,
	}, nil)
	if err != nil {
		return KeyRequested{}, err
	}
	return KeyRequested{Delivery: "response", Secret: secret}, nil
}

// wellFormedToken is whether a text can be a token at all.
func wellFormedToken(token string) bool {
	if len(token) != 2*tokenBytes {
		return false
	}
	return !strings.ContainsFunc(token, func(r rune) bool { return (r < '0' || r > '9') && (r < 'a' || r > 'f') })
}

// PendingKey tells whose request waits for a token, and uses nothing up.
// KindNotFound (not_found) when none does, or not any more.
func (s *Service) PendingKey(ctx context.Context, token string) (name, email string, err error) {
	const op = "node.PendingKey"
	if !wellFormedToken(token) {
		return "", "", notFound(op)
	}
	hash := sha256.Sum256([]byte(token))
	r, found, err := confirmed(ctx, s, func() (meta.KeyRequest, bool, error) { return s.n.fsm.PendingKey(hash, s.now()) })
	if err == nil && !found {
		err = notFound(op)
	}
	return r.Name, r.Email, err
}

// RedeemToken makes the key that a token stands for, once, and returns its
// secret, which is shown this once. It is a key of the account that has the
// address; the first one makes that account.
func (s *Service) RedeemToken(ctx context.Context, token string) (secret, name, email string, err error) {
	if !wellFormedToken(token) {
		return "", "", "", notFound("node.RedeemToken")
	}
	secret = secretForms[APIPaste69].draw()
	made, _, err := submit[meta.Redeemed](ctx, s, Caller{}, meta.RedeemToken{
		Token: sha256.Sum256([]byte(token)), Account: newID("user"), KeyID: newID("key"),
		KeyHash: sha256.Sum256([]byte(secret)), API: APIPaste69,
	}, nil)
	if err != nil {
		return "", "", "", err
	}
	return secret, made.Key.Name, made.Account.Email, nil
}

// KeyInfo is what a key tells of itself.
type KeyInfo struct {
	Name, Email      string
	EmailVerified    bool
	Created          int64
	MaxUpload        int64
	MinDays, MaxDays int64 // how long pastes are kept
}

// KeyInfo returns what the caller's key is, and what it brings.
func (s *Service) KeyInfo(_ context.Context, c Caller) (KeyInfo, error) {
	const op = "node.KeyInfo"
	if err := needsAccount(op, c); err != nil {
		return KeyInfo{}, err
	}
	a, err := s.account(c.Account)
	if err != nil {
		return KeyInfo{}, err
	}
	keys, err := s.n.fsm.Keys(c.Account, APIPaste69)
	if err != nil {
		return KeyInfo{}, err
	}
	for _, k := range keys {
		if k.ID != c.Key {
			continue
		}
		info := KeyInfo{Name: k.Name, Email: a.Email, EmailVerified: a.Email != "", Created: k.Created, MaxUpload: s.PasteUploadLimit(c)}
		if a.Email == "" {
			info.Email = a.Claimed
		}
		info.MinDays, info.MaxDays = daysKept(s.Settings().Paste69, true)
		return info, nil
	}
	return KeyInfo{}, notFound(op)
}
