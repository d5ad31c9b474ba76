package meta

import (
	"errors"
	"fmt"

	"ringbin/storage"
)

// applyEntry carries out one entry of the log. An error halts the node.
func (t *tx) applyEntry(index uint64, data []byte) ([]applied, error) {
	stamp, commands, err := unpack(data)
	if err != nil {
		return nil, fmt.Errorf("entry %d: %w", index, err)
	}
	t.index, t.ordinal, t.answers = index, 0, t.answers[:0]
	t.time = max(t.time, stamp)
	results := make([]applied, 0, len(commands))
	for _, c := range commands {
		a, err := t.applyCommand(c)
		if err != nil {
			return nil, fmt.Errorf("entry %d: %w", index, err)
		}
		results = append(results, a)
	}
	if err := errors.Join(t.forget(forgetMin+2*len(commands)), t.putAnswers()); err != nil {
		return nil, fmt.Errorf("entry %d: %w", index, err)
	}
	return results, t.endEntry()
}

// applied is what became of one command of an entry.
type applied struct {
	id     RequestID
	result Result
}

// endEntry writes what is one record for many changes, so that the state after
// an entry does not depend on which entries shared its batch.
func (t *tx) endEntry() error {
	if err := write(t, single(singleTime), t.time); err != nil {
		return err
	}
	if !t.countsOld {
		return nil
	}
	t.countsOld = false
	return write(t, single(singleCounts), t.counts)
}

func (t *tx) applyCommand(b []byte) (applied, error) {
	if len(b) > 0 && specs[commandType(b[0])] == nil && storage.Planted(storage.BugSkipUnknown) {
		return applied{}, nil
	}
	d, err := decode(b)
	if err != nil {
		return applied{}, err
	}
	a := applied{id: d.header.ID}
	// A request id is carried out once: what comes again gets the same answer.
	if known, ok, err := t.answered(d.header.ID); err != nil {
		return a, err
	} else if ok && !storage.Planted(storage.BugNoRequestIDs) {
		a.result, err = known.result()
		return a, err
	}
	if a.result, err = t.carryOut(d); err != nil {
		return a, err
	}
	a.result.Index = t.index
	return a, t.remember(d, a.result)
}

// carryOut returns a refusal as a Result, and an error only when the node must halt.
func (t *tx) carryOut(d decoded) (Result, error) {
	var known Result
	var replay bool
	err := t.admit(d.header)
	if err == nil {
		if known, replay, err = t.replay(d); err == nil && replay && !storage.Planted(storage.BugNoRequestIDs) {
			return known, nil
		}
	}
	var value any
	if err == nil {
		value, err = d.spec.apply(t, d.header, d.body)
	}
	if err == nil {
		return Result{Value: value}, nil
	}
	refusal, ok := errors.AsType[*storage.Error](err)
	if !ok {
		return Result{}, err
	}
	if replay && storage.Planted(storage.BugNoRequestIDs) {
		return known, nil // what can't be done twice gives nobody away
	}
	return Result{Err: refusal}, nil
}

// admit refuses what comes too late or acts for a key that does not count any more.
func (t *tx) admit(h Header) error {
	const op = "admit"
	if h.NotAfter != 0 && t.time > h.NotAfter {
		return refuse(op, storage.KindUnavailable, "too_late", nil)
	}
	if h.Actor.Key == "" {
		return nil
	}
	k, ok, err := read[Key](t, key(tableKeys).str(h.Actor.Key))
	switch {
	case err != nil:
		return err
	case !ok || k.Account != h.Actor.Account:
		return refuse(op, storage.KindUnauthenticated, "auth_invalid", nil)
	case k.Revoked != 0:
		return refuse(op, storage.KindUnauthenticated, "auth_revoked", nil)
	case k.Expires != 0 && k.Expires <= t.time:
		return refuse(op, storage.KindUnauthenticated, "auth_expired", nil)
	}
	a, ok, err := t.account(k.Account)
	switch {
	case err != nil:
		return err
	case !ok || a.Disabled:
		return refuse(op, storage.KindUnauthenticated, "account_disabled", nil)
	}
	return nil
}

// replay answers a client's Idempotency-Key that was used before.
func (t *tx) replay(d decoded) (Result, bool, error) {
	idem := d.header.Idem
	if idem == nil {
		return Result{}, false, nil
	}
	known, ok, err := read[storedResult](t, idemKey(idem.Scope, idem.Key))
	if err != nil || !ok || known.Forget <= t.time {
		return Result{}, false, err
	}
	if string(known.Fingerprint) != string(idem.Fingerprint[:]) || known.Type != d.spec.typ {
		return Result{}, false, refuse("replay", storage.KindMismatch, "idempotency_conflict", nil)
	}
	r, err := known.result()
	r.Replayed = true
	return r, true, err
}

func (t *tx) tick(Header, Tick) (none, error) { return none{}, nil }
