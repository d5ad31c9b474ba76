package node

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"ringbin/storage"
	"ringbin/storage/meta"
)

// Idempotency is a client's Idempotency-Key and what else makes a request the
// same: method, path, query and body as one canonical string. Uploads add
// their CID and days themselves.
type Idempotency struct {
	Key     string
	Request string
}

// hashed is the form that the log carries, for the caller's scope. More is
// what only became known later.
func (i *Idempotency) hashed(c Caller, more string) *meta.Idempotency {
	if i == nil {
		return nil
	}
	return &meta.Idempotency{
		Scope: c.scope(), Key: sha256.Sum256([]byte(i.Key)), Fingerprint: sha256.Sum256([]byte(i.Request + "\x00" + more)),
	}
}

// submit proposes a command for a caller and returns its value. The bool
// reports that an earlier request with the same Idempotency-Key did the work.
func submit[T any](ctx context.Context, s *Service, c Caller, cmd meta.Command, idem *meta.Idempotency) (T, bool, error) {
	var zero T
	res, err := s.n.proposer.propose(ctx, meta.Header{Actor: c.actor(), Idem: idem}, cmd)
	if err != nil {
		return zero, false, err
	}
	if res.Err != nil {
		return zero, false, res.Err
	}
	return valueOf[T](res)
}

func valueOf[T any](res meta.Result) (T, bool, error) {
	v, ok := res.Value.(T)
	if !ok {
		return v, false, storage.E("node.submit", storage.KindInternal, fmt.Errorf("command answered %T, want %T", res.Value, v))
	}
	return v, res.Replayed, nil
}

// replay returns the stored answer of an Idempotency-Key, if it has one.
func replay[T any](s *Service, idem *meta.Idempotency) (value T, found bool, err error) {
	if idem == nil {
		return value, false, nil
	}
	fingerprint, res, found, err := s.n.fsm.IdempotentResult(idem.Scope, idem.Key)
	if err != nil || !found {
		return value, false, err
	}
	if fingerprint != idem.Fingerprint {
		return value, false, &storage.Error{Op: "node.replay", Kind: storage.KindMismatch, Code: "idempotency_conflict"}
	}
	value, _, err = valueOf[T](res)
	return value, true, err
}

// once lets one request of an Idempotency-Key run on this node at a time.
// Across nodes two may race; the log admits the first.
func (s *Service) once(c Caller, idem *Idempotency) (release func(), err error) {
	if idem == nil {
		return func() {}, nil
	}
	id := idemID{scope: c.scope(), key: sha256.Sum256([]byte(idem.Key))}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, busy := s.inFlight[id]; busy {
		return nil, &storage.Error{Op: "node.once", Kind: storage.KindConflict, Code: "idempotency_in_progress"}
	}
	s.inFlight[id] = struct{}{}
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.inFlight, id)
	}, nil
}

// do is submit under a client's Idempotency-Key.
func do[T any](ctx context.Context, s *Service, c Caller, cmd meta.Command, idem *Idempotency) (T, bool, error) {
	var zero T
	release, err := s.once(c, idem)
	if err != nil {
		return zero, false, err
	}
	defer release()
	return submit[T](ctx, s, c, cmd, idem.hashed(c, ""))
}

// fingerprintOf joins what makes two uploads the same.
func fingerprintOf(cid storage.CID, days int) string {
	h := sha256.Sum256([]byte(cid.String()))
	return fmt.Sprintf("%s %d", hex.EncodeToString(h[:]), days)
}
