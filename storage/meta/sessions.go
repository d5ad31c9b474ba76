package meta

import (
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"ringbin/storage"
)

// Session is a login: it stands for a key, and dies with it. The secret itself
// is nowhere: only its SHA-256.
type Session struct {
	Hash    [32]byte `cbor:"1,keyasint"`
	Account string   `cbor:"2,keyasint"`
	Key     string   `cbor:"3,keyasint"` // its id
	Created int64    `cbor:"4,keyasint"`
	Expires int64    `cbor:"5,keyasint"`
}

// OpenSession makes a session of a key that counts; its value is a [Session],
// which ends no later than the key.
type OpenSession struct {
	Hash    [32]byte `cbor:"1,keyasint"` // SHA-256 of the cookie's secret
	Key     string   `cbor:"2,keyasint"`
	Created int64    `cbor:"3,keyasint"`
	Expires int64    `cbor:"4,keyasint"`
}

// CloseSession ends a session; one that is not there will do. It has no value.
type CloseSession struct {
	Hash [32]byte `cbor:"1,keyasint"`
}

// Limits of sessions.
const (
	sessionsMax     = 100           // of a key, those not swept yet included
	sessionAheadMax = 7 * dayMillis // how long one may last
)

func sessionKey(hash []byte) []byte { return key(tableSessions).raw(hash) }

func sessionsOf(keyID string) keyBuilder { return key(tableSessionsOf).str(keyID) }

func (t *tx) openSession(_ Header, c OpenSession) (Session, error) {
	const op = "OpenSession"
	k, ok, err := read[Key](t, key(tableKeys).str(c.Key))
	if err != nil || !ok {
		return Session{}, orRefuse(err, refuse(op, storage.KindUnauthenticated, "auth_invalid", nil))
	}
	if err := t.admit(Header{Actor: Actor{Account: k.Account, Key: c.Key}}); err != nil {
		return Session{}, err
	}
	if c.Expires <= t.time || c.Expires > t.time+sessionAheadMax {
		return Session{}, refuseField(op, "expires", "within 7 days")
	}
	if _, taken, err := t.get(sessionKey(c.Hash[:])); err != nil || taken {
		return Session{}, orRefuse(err, refuse(op, storage.KindConflict, "id_taken", nil))
	}
	open, err := keysIn(t.rows(), sessionsOf(k.ID), past(sessionsOf(k.ID)), sessionsMax)
	if err != nil || len(open) == sessionsMax {
		return Session{}, orRefuse(err, refuse(op, storage.KindRateLimited, "session_limit", map[string]any{"limit": int64(sessionsMax)}))
	}
	s := Session{Hash: c.Hash, Account: k.Account, Key: k.ID, Created: c.Created, Expires: c.Expires}
	if k.Expires != 0 {
		s.Expires = min(s.Expires, k.Expires)
	}
	return s, errors.Join(
		write(t, sessionKey(s.Hash[:]), s), t.set(sessionsOf(s.Key).raw(s.Hash[:]), nil), t.setEnd(s.Expires, endOfSession, s.Hash[:]))
}

func (t *tx) closeSession(_ Header, c CloseSession) (none, error) {
	s, ok, err := read[Session](t, sessionKey(c.Hash[:]))
	if err != nil || !ok {
		return none{}, err
	}
	return none{}, t.dropSession(s)
}

func (t *tx) dropSession(s Session) error {
	return errors.Join(
		t.clearEnd(s.Expires, endOfSession, s.Hash[:]), t.del(sessionsOf(s.Key).raw(s.Hash[:])), t.del(sessionKey(s.Hash[:])))
}

// endSession removes a session whose time is over.
func (t *tx) endSession(hash []byte) error {
	s, ok, err := read[Session](t, sessionKey(hash))
	if err != nil || !ok {
		return orFatal(err, "end of a session that is not there")
	}
	return t.dropSession(s)
}

// endSessions removes those of a key that does not count any more.
func (t *tx) endSessions(keyID string) error {
	prefix := sessionsOf(keyID)
	rows, err := keysIn(t.rows(), prefix, past(prefix), sessionsMax)
	if err != nil {
		return err
	}
	for _, row := range rows {
		if err := t.endSession(row[len(prefix):]); err != nil {
			return err
		}
	}
	return nil
}

// Session returns a session whose secret has a SHA-256, be its time over. Its
// key is neither revoked nor removed; that it counts still is to be looked up.
func (f *FSM) Session(hash [32]byte) (s Session, found bool, err error) {
	err = f.view("Session", func(r pebble.Reader) error {
		s, found, err = lookUp[Session](r, sessionKey(hash[:]))
		return err
	})
	return s, found, err
}

// sessions checks each session against its key.
func (c *check) sessions() error {
	err := each(c, tableSessions, func(_ []byte, s Session) error {
		what := fmt.Sprintf("a session of key %s", s.Key)
		k, ok, err := lookUp[Key](c.r, key(tableKeys).str(s.Key))
		if err == nil && (!ok || k.Revoked != 0 || k.Account != s.Account) {
			err = c.say("%s is there, and the key does not count", what)
		}
		return errors.Join(err,
			c.must(sessionsOf(s.Key).raw(s.Hash[:]), nil, "%s among those of it", what), c.mustEnd(s.Expires, endOfSession, s.Hash[:], what))
	})
	return errors.Join(err, c.rowsAre(tableSessionsOf, c.rows[tableSessions], "the index of sessions by key"))
}
