package meta

import (
	"encoding/binary"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"ringbin/storage"
)

// What ends by time. References wait in tableExpiry. All else waits in
// tableDue: each row says when, what sort of end it is, and of what.
const (
	endOfLink       byte = 'l' // a short link expires
	endOfClicks     byte = 'c' // a short link is gone, and what was counted of its days follows
	endOfKeyRequest byte = 'k' // a token is good no more
	endOfDay        byte = 'd' // a day's salt and visitors are erased
	endOfVersions   byte = 'v' // versions that their bin has no more lose their references
	endOfCollection byte = 'b' // a collection is gone, and its bins are listed elsewhere
	endOfNote       byte = 'n' // what is left of an expired note is told of no more
	endOfSession    byte = 's' // a session is over
)

// sweepMax bounds the records of one Sweep.
const sweepMax = 2000

func dueKey(at int64, end byte, id []byte) []byte { return key(tableDue).time(at).byte(end).raw(id) }

// setEnd has something end at a time; clearEnd takes that back. What ends at 0 never ends.
func (t *tx) setEnd(at int64, end byte, id []byte) error {
	if at == 0 {
		return nil
	}
	return t.set(dueKey(at, end, id), nil)
}

func (t *tx) clearEnd(at int64, end byte, id []byte) error {
	if at == 0 {
		return nil
	}
	return t.del(dueKey(at, end, id))
}

// endMax is the last second of the year 9999, the last that answers can show.
const endMax = 253_402_300_799_000

// endAhead refuses an end that is over, or after all that can be shown. 0 is no end.
func (t *tx) endAhead(op string, at int64) error {
	if at == 0 || t.time < at && at <= endMax {
		return nil
	}
	return &storage.Error{Op: "meta." + op, Kind: storage.KindInvalid, Code: "expiry_not_future", Field: "expires"}
}

// splitDueKey reads a key of tableDue.
func splitDueKey(k []byte) (at int64, end byte, id []byte, err error) {
	if len(k) <= 1+8+1 {
		return 0, 0, nil, fmt.Errorf("%w: key %x", errCorruptState, k)
	}
	return int64(binary.BigEndian.Uint64(k[1:])), k[1+8], k[1+8+1:], nil
}

// sweep removes what has ended, the longest over first: references, then all
// else. What it has removed is out of the queues, so that their beginnings are the cursor.
func (t *tx) sweep(_ Header, c Sweep) (SweepResult, error) {
	limit := min(max(c.Limit, 1), sweepMax)
	removed, err := t.sweepReferences(limit)
	if err != nil {
		return SweepResult{}, err
	}
	others, err := t.sweepOthers(limit - removed)
	if err != nil {
		return SweepResult{}, err
	}
	more, err := overdue(t.rows(), t.time)
	return SweepResult{Removed: removed + others, More: more}, err
}

func (t *tx) sweepReferences(limit int) (int, error) {
	due, err := keysIn(t.rows(), []byte{tableExpiry}, key(tableExpiry).time(t.time+1), limit)
	if err != nil {
		return 0, err
	}
	for _, k := range due {
		id, err := splitExpiryKey(k)
		if err != nil {
			return 0, err
		}
		r, ok, err := t.reference(id)
		if err != nil || !ok {
			return 0, orFatal(err, "expiry without its reference")
		}
		if err := t.dropRef(id, r); err != nil {
			return 0, err
		}
		if id.kind == refNote {
			if err := t.noteExpired(id.holder); err != nil {
				return 0, err
			}
		}
	}
	return len(due), nil
}

// sweepOthers returns how many records it removed.
func (t *tx) sweepOthers(limit int) (removed int, err error) {
	due, err := keysIn(t.rows(), []byte{tableDue}, key(tableDue).time(t.time+1), limit)
	if err != nil {
		return 0, err
	}
	for _, k := range due {
		if removed >= limit {
			break
		}
		n, err := t.end(k, limit-removed)
		if err != nil {
			return 0, err
		}
		removed += n
	}
	return removed, nil
}

// end removes what a row of tableDue names, up to limit records of it, and
// returns how many. The row goes with the last one.
func (t *tx) end(row []byte, limit int) (int, error) {
	_, end, id, err := splitDueKey(row)
	if err != nil {
		return 0, err
	}
	switch end {
	case endOfLink:
		return 1, t.endLink(string(id))
	case endOfKeyRequest:
		return 1, t.endKeyRequest(id)
	case endOfClicks:
		return t.endRows(row, limit, key(tableClicks).str(string(id)))
	case endOfDay:
		return t.endRows(row, limit, key(tableSalts).raw(id), key(tableVisitors).raw(id))
	case endOfVersions:
		return t.endVersions(row, id, limit)
	case endOfCollection:
		return t.endCollection(row, id, limit)
	case endOfNote:
		return 1, t.endNote(row, string(id))
	case endOfSession:
		return 1, t.endSession(id)
	}
	return 0, fmt.Errorf("%w: key %x", errCorruptState, row)
}

// endRows removes all that begins with the prefixes, and then the row.
func (t *tx) endRows(row []byte, limit int, prefixes ...[]byte) (int, error) {
	n := 0
	for _, p := range prefixes {
		keys, err := keysIn(t.rows(), p, past(p), limit-n)
		if err != nil {
			return 0, err
		}
		for _, k := range keys {
			if err := t.del(k); err != nil {
				return 0, err
			}
		}
		if n += len(keys); n == limit {
			return n, nil // there may be more
		}
	}
	return n + 1, t.del(row)
}

// keysIn returns up to limit keys of a range.
func keysIn(r pebble.Reader, from, to []byte, limit int) (keys [][]byte, err error) {
	if limit <= 0 {
		return nil, nil
	}
	err = scanRange(r, from, to, func(k, _ []byte) (bool, error) {
		keys = append(keys, append([]byte(nil), k...))
		return len(keys) < limit, nil
	})
	return keys, err
}

// overdue reports whether something has ended by a time and is not swept yet.
func overdue(r pebble.Reader, now int64) (bool, error) {
	for _, table := range []byte{tableExpiry, tableDue} {
		due, err := keysIn(r, []byte{table}, key(table).time(now+1), 1)
		if err != nil || len(due) > 0 {
			return true, err
		}
	}
	return false, nil
}

// SweepDue reports whether something has ended by a time and is not swept yet.
func (f *FSM) SweepDue(now int64) bool {
	due := false
	err := f.view("SweepDue", func(r pebble.Reader) (err error) {
		due, err = overdue(r, now)
		return err
	})
	return err == nil && due
}

// mustEnd tells of what should wait for its end, and does not.
func (c *check) mustEnd(at int64, end byte, id []byte, what string) error {
	if at == 0 {
		return nil
	}
	return c.must(dueKey(at, end, id), nil, "the end of %s", what)
}

// ends checks that each row of tableDue is the end of something that is there:
// or, for what was counted of a short link, is there no more.
func (c *check) ends() error {
	return scan(c.r, []byte{tableDue}, func(k, _ []byte) (bool, error) {
		at, end, id, err := splitDueKey(k)
		if err != nil {
			return true, c.say("%v", err)
		}
		ends, err := c.endsAt(at, end, id)
		if err == nil && !ends {
			err = c.say("key %x is the end of nothing", k)
		}
		return true, err
	})
}

// endsAt reports whether there is what a row of tableDue names, with that end.
func (c *check) endsAt(at int64, end byte, id []byte) (bool, error) {
	switch end {
	case endOfLink:
		l, ok, err := lookUp[Link](c.r, linkKey(string(id)))
		return ok && l.Expires == at, err
	case endOfClicks:
		_, ok, err := lookUp[Link](c.r, linkKey(string(id)))
		return !ok, err
	case endOfKeyRequest:
		r, ok, err := lookUp[KeyRequest](c.r, pendingKey(id))
		return ok && r.Expires == at, err
	case endOfDay:
		return len(id) == 4 && at == eraseAt(int32(binary.BigEndian.Uint32(id))), nil
	case endOfVersions:
		return c.cleared(id)
	case endOfCollection:
		return c.leaving(id)
	case endOfNote:
		n, ok, err := lookUp[Note](c.r, noteKey(string(id)))
		return ok && n.Ends == at, err
	case endOfSession:
		s, ok, err := lookUp[Session](c.r, sessionKey(id))
		return ok && s.Expires == at, err
	}
	return false, nil
}
