package node

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"sync"
	"time"

	"github.com/alexedwards/argon2id"
	"github.com/maypok86/otter/v2"

	"ringbin/storage"
)

// Limits and times of the passwords of notes.
const (
	passwordsAtOnce  = 2               // that one node computes: each takes 19 MiB and some 30 ms
	passwordWait     = 5 * time.Second // for a turn
	passwordBytesMax = 1024            // no longer one is ever set

	attemptsMax  = 10               // wrong ones of a reader for a note
	attemptsSpan = 60 * time.Second // within so long; then more are refused unseen

	unlockedFor = 10 * time.Minute // a reader need not give the password again
)

// passwordHashing is what a password is kept as. A hash names its own
// parameters, so that those of old ones stay good when these change.
var passwordHashing = &argon2id.Params{Memory: 19456, Iterations: 2, Parallelism: 1, SaltLength: 16, KeyLength: 32}

// passwords hashes and checks the passwords of notes on one node.
type passwords struct {
	turns    chan struct{}
	attempts *otter.Cache[string, *attempts] // by note and reader
}

func newPasswords() *passwords {
	return &passwords{
		turns:    make(chan struct{}, passwordsAtOnce),
		attempts: otter.Must(&otter.Options[string, *attempts]{MaximumSize: bucketsMax}),
	}
}

// turn waits until one more hash may be computed. KindUnavailable (overloaded).
func (p *passwords) turn(ctx context.Context) (release func(), err error) {
	ctx, cancel := context.WithTimeout(ctx, passwordWait)
	defer cancel()
	select {
	case p.turns <- struct{}{}:
		return func() { <-p.turns }, nil
	case <-ctx.Done():
		return nil, passwordsBusy(ctx.Err())
	}
}

func passwordsBusy(err error) error {
	return &storage.Error{Op: "node.passwords", Kind: storage.KindUnavailable, Code: "overloaded", Err: err}
}

// hash returns what a password is kept as.
func (p *passwords) hash(ctx context.Context, password string) (string, error) {
	const op = "node.passwords"
	if len(password) > passwordBytesMax {
		return "", storage.Invalid(op, "password_too_long", "password", "at most 1024 bytes")
	}
	release, err := p.turn(ctx)
	if err != nil {
		return "", err
	}
	defer release()
	hash, err := argon2id.CreateHash(password, passwordHashing)
	if err != nil {
		return "", storage.E(op, storage.KindInternal, err)
	}
	return hash, nil
}

// check compares a password that somebody gives for something. KindForbidden
// (password_invalid); KindRateLimited (password_attempts) when too many were wrong.
func (p *passwords) check(ctx context.Context, who, password, hash string) error {
	const op = "node.passwords"
	tried, _ := p.attempts.ComputeIfAbsent(who, func() (*attempts, bool) { return &attempts{}, false })
	if err := tried.begin(ctx); err != nil {
		return err
	}
	right := false
	defer func() { tried.end(right) }()
	release, err := p.turn(ctx)
	if err != nil {
		right = true // it was not looked at
		return err
	}
	defer release()
	if len(password) <= passwordBytesMax {
		if right, err = argon2id.ComparePasswordAndHash(password, hash); err != nil {
			return storage.E(op, storage.KindInternal, err)
		}
	}
	if !right {
		return &storage.Error{Op: op, Kind: storage.KindForbidden, Code: "password_invalid"}
	}
	return nil
}

// attempts are those of one reader for one note: the wrong ones of late, and
// those being looked at. Together they are never more than attemptsMax, so that
// many at once find out no more than as many one by one.
type attempts struct {
	mu     sync.Mutex // protects the fields below
	wrong  []time.Time
	flying int
	landed chan struct{} // closed when one of those being looked at is done with; nil: nobody waits
}

// begin takes a place, waiting for those being looked at where there is none.
func (a *attempts) begin(ctx context.Context) error {
	for {
		taken, landed, err := a.take(time.Now())
		if taken || err != nil {
			return err
		}
		select {
		case <-landed:
		case <-ctx.Done():
			return passwordsBusy(ctx.Err())
		}
	}
}

// take takes a place. Where there is none it may be tried again once landed is closed.
func (a *attempts) take(now time.Time) (taken bool, landed <-chan struct{}, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for len(a.wrong) > 0 && now.Sub(a.wrong[0]) >= attemptsSpan {
		a.wrong = a.wrong[1:]
	}
	switch {
	case len(a.wrong) >= attemptsMax:
		return false, nil, &storage.Error{Op: "node.passwords", Kind: storage.KindRateLimited, Code: "password_attempts"}
	case len(a.wrong)+a.flying < attemptsMax:
		a.flying++
		return true, nil, nil
	case a.landed == nil:
		a.landed = make(chan struct{})
	}
	return false, a.landed, nil
}

func (a *attempts) end(right bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.flying--
	if !right {
		a.wrong = append(a.wrong, time.Now())
	}
	if a.landed != nil {
		close(a.landed)
		a.landed = nil
	}
}

// checkPassword lets a reader pass who needs no password for a note, or shows it.
func (s *Service) checkPassword(ctx context.Context, op string, r NoteReader, n Note) error {
	switch {
	case n.Password == "" || mayManage(r.Caller, n) || s.unlocks(n, r.Unlock):
		return nil
	case r.Password == "":
		return &storage.Error{Op: op, Kind: storage.KindForbidden, Code: "password_required"}
	}
	reader := r.Caller.Key
	if r.Web {
		reader = customerOf(r.Addr)
	}
	return s.passwords.check(ctx, n.Hash+" "+reader, r.Password, n.Password)
}

// UnlockNote returns, for the right password of a note, a text that stands for
// it for ten minutes on every node; "" when the reader needs no password.
// Errors are CheckNote's.
func (s *Service) UnlockNote(ctx context.Context, r NoteReader, hash string) (unlock string, err error) {
	r = r.reading()
	r.Unlock = "" // it does not prolong itself
	n, err := s.checkNote(ctx, "node.UnlockNote", r, hash)
	if err != nil || n.Password == "" || mayManage(r.Caller, n) {
		return "", err
	}
	until := s.now() + unlockedFor.Milliseconds()
	text := binary.BigEndian.AppendUint64(nil, uint64(until))
	text = append(text, unlockMAC(s.n.trust.UnlockKeys()[0], n, until)...)
	return base64.RawURLEncoding.EncodeToString(text), nil
}

// unlocks reports whether a text is one that UnlockNote gave for the password
// that the note has now.
func (s *Service) unlocks(n Note, unlock string) bool {
	text, err := base64.RawURLEncoding.DecodeString(unlock)
	if err != nil || len(text) != 8+sha256.Size {
		return false
	}
	until := int64(binary.BigEndian.Uint64(text))
	if until <= s.now() {
		return false
	}
	good := false
	for _, key := range s.n.trust.UnlockKeys() {
		good = hmac.Equal(text[8:], unlockMAC(key, n, until)) || good
	}
	return good
}

// unlockMAC binds a note, one of its passwords and a time. A hash has one
// length and is never given out twice: no two notes have one text.
func unlockMAC(key []byte, n Note, until int64) []byte {
	mac := hmac.New(sha256.New, key)
	text := binary.BigEndian.AppendUint64([]byte(n.Hash), n.PasswordRevision)
	_, _ = mac.Write(binary.BigEndian.AppendUint64(text, uint64(until))) // never fails
	return mac.Sum(nil)
}
