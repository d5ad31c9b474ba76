package meta

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/cockroachdb/pebble/v2"
)

// What was answered is remembered: under the request id for as long as a
// command may come again, under a client's key for as long as the APIs promise.
// The answers of an entry are one row, in the order of the log; request ids,
// which lie anywhere, only point there.

// Times that requests are remembered for, in milliseconds of FSM time.
const (
	requestKept = 15 * 60 * 1000          // a command is refused 60 s after it was proposed at the latest
	idemKept    = 7 * 24 * 60 * 60 * 1000 // as the APIs promise
	forgetMin   = 8                       // remembered requests dropped with each entry, at least
)

func requestKey(id RequestID) []byte { return key(tableRequests).raw(id[:]) }

func answersKey(index uint64) []byte { return key(tableAnswers).u64(index) }

func idemKey(scope string, k [32]byte) []byte { return key(tableIdem).str(scope).raw(k[:]) }

// reply is what one request of an entry got.
type reply struct {
	id     RequestID
	result []byte // a storedResult
}

// place is where the answer to a request is: the entry, and its number in there.
type place struct {
	index uint64
	n     uint32
}

const placeBytes = 8 + 4

func (p place) bytes() []byte {
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint64(make([]byte, 0, placeBytes), p.index), p.n)
}

func parsePlace(b []byte) (place, error) {
	if len(b) != placeBytes {
		return place{}, fmt.Errorf("%w: place of an answer %x", errCorruptState, b)
	}
	return place{index: binary.BigEndian.Uint64(b), n: binary.BigEndian.Uint32(b[8:])}, nil
}

// appendAnswers makes the row of an entry: when it may be forgotten, then each
// request id with its answer.
func appendAnswers(b []byte, forget int64, answers []reply) []byte {
	b = binary.BigEndian.AppendUint64(b, uint64(forget))
	for _, a := range answers {
		b = append(b, a.id[:]...)
		b = binary.AppendUvarint(b, uint64(len(a.result)))
		b = append(b, a.result...)
	}
	return b
}

func parseAnswers(b []byte) (forget int64, answers []reply, err error) {
	if len(b) < 8 {
		return 0, nil, fmt.Errorf("%w: answers of %d bytes", errCorruptState, len(b))
	}
	forget = int64(binary.BigEndian.Uint64(b))
	for b = b[8:]; len(b) > 0; {
		var a reply
		if len(b) < len(a.id) {
			return 0, nil, fmt.Errorf("%w: answers are cut short", errCorruptState)
		}
		b = b[copy(a.id[:], b):]
		if a.result, b, err = takeBytes(b); err != nil {
			return 0, nil, fmt.Errorf("%w: answers: %w", errCorruptState, err)
		}
		answers = append(answers, a)
	}
	return forget, answers, nil
}

// answerAt reads the answer at a place of an entry's row.
func answerAt(row []byte, p place, id RequestID) (storedResult, error) {
	_, answers, err := parseAnswers(row)
	if err != nil {
		return storedResult{}, err
	}
	if uint64(p.n) >= uint64(len(answers)) || answers[p.n].id != id {
		return storedResult{}, fmt.Errorf("%w: entry %d has no answer %d to the request that points there", errCorruptState, p.index, p.n)
	}
	return parseResult(answers[p.n].result)
}

func parseResult(b []byte) (s storedResult, err error) {
	if err := decMode.Unmarshal(b, &s); err != nil {
		return s, fmt.Errorf("%w: answer: %w", errCorruptState, err)
	}
	return s, nil
}

// answered returns what a request got, when it was carried out before.
func (t *tx) answered(id RequestID) (storedResult, bool, error) {
	b, ok, err := t.get(requestKey(id))
	if err != nil || !ok {
		return storedResult{}, false, err
	}
	p, err := parsePlace(b)
	if err != nil {
		return storedResult{}, false, err
	}
	if p.index == t.index {
		s, err := parseResult(t.answers[p.n].result)
		return s, true, err
	}
	row, ok, err := t.get(answersKey(p.index))
	if err != nil || !ok {
		return storedResult{}, false, orFatal(err, "request without its answer")
	}
	s, err := answerAt(row, p, id)
	return s, true, err
}

// answeredAt is answered for readers.
func answeredAt(r pebble.Reader, id RequestID) (storedResult, bool, error) {
	b, ok, err := lookUpID(r, requestKey(id))
	if err != nil || !ok {
		return storedResult{}, false, err
	}
	p, err := parsePlace([]byte(b))
	if err != nil {
		return storedResult{}, false, err
	}
	row, ok, err := lookUpID(r, answersKey(p.index))
	if err != nil || !ok {
		return storedResult{}, false, err
	}
	s, err := answerAt([]byte(row), p, id)
	return s, true, err
}

// remember notes the answer under the request id and, for a success, the
// client's key. A replay is not remembered anew: its time runs from the first success.
func (t *tx) remember(d decoded, r Result) error {
	s, err := storeResult(d.spec.typ, r)
	if err != nil {
		return fmt.Errorf("result: %w", err)
	}
	b, err := encMode.Marshal(s)
	if err != nil {
		return fmt.Errorf("result: %w", err)
	}
	if err := t.set(requestKey(d.header.ID), place{index: t.index, n: uint32(len(t.answers))}.bytes()); err != nil {
		return err
	}
	t.answers = append(t.answers, reply{d.header.ID, b})
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
	t.kept.idem.added(s.Forget)
	return t.add(key(tableIdemAge).time(s.Forget).str(idem.Scope).raw(idem.Key[:]), nil)
}

// putAnswers writes the answers of an entry.
func (t *tx) putAnswers() error {
	if len(t.answers) == 0 {
		return nil
	}
	forget := t.time + requestKept
	t.kept.answers.added(forget)
	return t.add(answersKey(t.index), appendAnswers(nil, forget, t.answers))
}

// forgetIdem drops a record that has run out but was not swept yet.
func (t *tx) forgetIdem(scope string, k [32]byte) error {
	old, ok, err := read[storedResult](t, idemKey(scope, k))
	if err != nil || !ok {
		return err
	}
	return t.del(key(tableIdemAge).time(old.Forget).str(scope).raw(k[:]))
}

// kept is what is known of the beginnings of the tables that are forgotten in
// the order of their keys. It only saves looks.
type kept struct{ answers, idem oldest }

// oldest is where such a table begins.
type oldest struct {
	from []byte // no row is before it; nil: it was not looked at
	at   int64  // no row may be forgotten before that time

	inBatch int64 // when the first row may be forgotten that this batch wrote; 0: it wrote none
}

func (o *oldest) added(forget int64) {
	o.at = min(o.at, forget)
	if o.inBatch == 0 {
		o.inBatch = forget
	}
}

// forget drops remembered requests whose time has run out, n of each table or
// the few more of an entry. It goes with every entry, in proportion to its
// commands, so that the tables keep up with any load and no sweep of them is ever long.
func (t *tx) forget(n int) error {
	err := t.forgetFrom(tableAnswers, &t.kept.answers, n, func(k, v []byte) (int64, int, error) {
		forget, answers, err := parseAnswers(v)
		if err != nil || forget > t.time {
			return forget, 0, err
		}
		index := binary.BigEndian.Uint64(k[1:])
		for i, a := range answers {
			err = errors.Join(err, t.drop(requestKey(a.id), place{index: index, n: uint32(i)}.bytes()))
		}
		return forget, len(answers), err
	})
	if err != nil {
		return err
	}
	return t.forgetFrom(tableIdemAge, &t.kept.idem, n, func(k, _ []byte) (int64, int, error) {
		forget := int64(binary.BigEndian.Uint64(k[1:]))
		if forget > t.time {
			return forget, 0, nil
		}
		return forget, 1, t.del(append([]byte{tableIdem}, k[1+8:]...))
	})
}

// forgetFrom goes over the oldest rows of a table. Each says when a row may go
// and, if that is now, drops what the row stands for and counts it.
func (t *tx) forgetFrom(table byte, o *oldest, n int, each func(k, v []byte) (forget int64, dropped int, err error)) error {
	if o.from == nil {
		o.from = []byte{table}
	}
	for n > 0 && o.at <= t.time {
		k, v, err := t.firstRow(o)
		if err != nil {
			return err
		}
		if k == nil { // but for what this batch wrote, if it did
			if o.at = o.inBatch; o.at == 0 {
				o.at = math.MaxInt64
			}
			return nil
		}
		forget, dropped, err := each(k, v)
		if err != nil {
			return err
		}
		if forget > t.time {
			o.from, o.at = k, forget
			return nil
		}
		if err := t.drop(k, v); err != nil {
			return err
		}
		o.from = append(k, 0)
		n -= dropped
	}
	return nil
}

// firstRow returns the first row of a table that is not dropped, a nil key for
// none. What this batch wrote comes behind all else, and is looked at only when
// it could be due: as if time had stood still for as long as it is kept.
func (t *tx) firstRow(o *oldest) (k, v []byte, err error) {
	it, err := t.iter()
	if o.inBatch != 0 && o.inBatch <= t.time {
		it, err = t.rows().NewIter(nil)
		if err == nil {
			defer func() { err = errors.Join(err, it.Close()) }()
		}
	}
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", errCorruptState, err)
	}
	for ok := it.SeekGE(o.from); ok && it.Key()[0] == o.from[0]; ok = it.Next() {
		if r := t.known[string(it.Key())]; r != nil && r.now == nil && (r.written || r.looked) {
			continue
		}
		v, err := it.ValueAndErr()
		return append([]byte(nil), it.Key()...), append([]byte{}, v...), err
	}
	return nil, nil, it.Error() //nolint:wrapcheck // of a read that failed
}
