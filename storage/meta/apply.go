package meta

import (
	"errors"
	"fmt"

	"ringbin/storage"
)

// Times that requests are remembered for, in milliseconds of FSM time.
const (
	requestKept = 15 * 60 * 1000          // a command is refused 60 s after it was proposed at the latest
	idemKept    = 7 * 24 * 60 * 60 * 1000 // as the APIs promise
	forgetMin   = 8                       // remembered requests dropped with each entry, at least
)

// applyEntry carries out one entry of the log. An error halts the node.
func (t *tx) applyEntry(index uint64, data []byte) ([]applied, error) {
	stamp, commands, err := unpack(data)
	if err != nil {
		return nil, fmt.Errorf("entry %d: %w", index, err)
	}
	t.index, t.ordinal = index, 0
	t.time = max(t.time, stamp)
	results := make([]applied, 0, len(commands))
	for _, c := range commands {
		a, err := t.applyCommand(c)
		if err != nil {
			return nil, fmt.Errorf("entry %d: %w", index, err)
		}
		results = append(results, a)
	}
	if err := t.forget(forgetMin + 2*len(commands)); err != nil {
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
	if known, ok, err := read[storedResult](t, requestKey(d.header.ID)); err != nil {
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

func requestKey(id RequestID) []byte { return key(tableRequests).raw(id[:]) }

func idemKey(scope string, k [32]byte) []byte { return key(tableIdem).str(scope).raw(k[:]) }

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

// remember writes down the answer under the request id and, for a success, the
// client's key. A replay is not remembered anew: its time runs from the first success.
func (t *tx) remember(d decoded, r Result) error {
	forget := t.time + requestKept
	s, err := storeResult(d.spec.typ, r, forget, nil)
	if err != nil {
		return fmt.Errorf("result: %w", err)
	}
	if err := write(t, requestKey(d.header.ID), s); err != nil {
		return err
	}
	if err := t.set(key(tableRequestsAge).time(forget).raw(d.header.ID[:]), nil); err != nil {
		return err
	}
	idem := d.header.Idem
	if idem == nil || r.Err != nil || r.Replayed {
		return nil //nolint:nilerr // a refusal is not remembered for the client
	}
	if err := t.forgetIdem(idem.Scope, idem.Key); err != nil {
		return err
	}
	s.Forget, s.Fingerprint = t.time+idemKept, idem.Fingerprint[:]
	if err := write(t, idemKey(idem.Scope, idem.Key), s); err != nil {
		return err
	}
	return t.set(key(tableIdemAge).time(s.Forget).str(idem.Scope).raw(idem.Key[:]), nil)
}

// forgetIdem drops a record that has run out but was not swept yet.
func (t *tx) forgetIdem(scope string, k [32]byte) error {
	old, ok, err := read[storedResult](t, idemKey(scope, k))
	if err != nil || !ok {
		return err
	}
	return t.del(key(tableIdemAge).time(old.Forget).str(scope).raw(k[:]))
}

// forget drops up to n requests of each table whose time has run out. It goes
// with every entry, in proportion to its commands, so that the tables keep up
// with any load and no sweep of them is ever long.
func (t *tx) forget(n int) error {
	if err := t.forgetFrom(tableRequestsAge, tableRequests, n); err != nil {
		return err
	}
	return t.forgetFrom(tableIdemAge, tableIdem, n)
}

func (t *tx) forgetFrom(age, table byte, n int) error {
	var due [][]byte
	err := scanRange(t.b, []byte{age}, key(age).time(t.time+1), func(k, _ []byte) (bool, error) {
		due = append(due, append([]byte(nil), k...))
		return len(due) < n, nil
	})
	if err != nil {
		return err
	}
	for _, k := range due {
		id := append([]byte{table}, k[1+8:]...)
		if err := errors.Join(t.del(k), t.del(id)); err != nil {
			return err
		}
	}
	return nil
}

func (t *tx) tick(Header, Tick) (none, error) { return none{}, nil }
