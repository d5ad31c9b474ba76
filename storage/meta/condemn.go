package meta

import (
	"encoding/binary"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"ringbin/storage"
)

// How content dies.
//
//	last reference gone, or taken down   DeadSince is set: it waits in tableDead
//	Condemn, after the grace             Condemned is this index, Buried this time: it
//	                                     waits in tableTombstones; owners erase it
//	DropTombstones, another while later  its record is dropped, and the floor rises
//
// A commit at any point makes it live again, with receipts that are newer than
// what condemned it. Content that was taken down is never forgotten.

// Limits of condemning.
const (
	condemnMax   = 500  // CIDs of one Condemn
	dropRefsMax  = 2000 // references that one Condemn takes from what was taken down
	tombstoneMax = 2000 // records that one DropTombstones drops
)

// graceMillis is how long dead content, and bytes without a reference, are left alone.
func (s Settings) graceMillis() int64 { return s.DeletionGraceSeconds * 1000 }

// tombstoneMillis is how long condemned content is remembered. It is longer than
// the grace, and by more than a receipt lives: who was away for less finds
// the Condemn itself, and the floor refuses no receipt that would have counted.
func (s Settings) tombstoneMillis() int64 { return 2 * s.graceMillis() }

// receiptsSince is the FSM time from which receipts count. A node erases what
// nothing refers to when nobody has touched it for the grace, so a receipt has
// to be younger than that when it is committed; half of it leaves room. A node
// that is behind may still go by the grace before the last change: receipts
// from before the change, which that one did not protect, do not count.
func (t *tx) receiptsSince() int64 {
	life := min(receiptMaxAge, t.cache.settings.graceMillis()/2)
	return max(t.time-life, t.cache.graceSince)
}

// putBlob writes a blob's record, and where it waits.
func (t *tx) putBlob(cid storage.CID, b blobRecord) error {
	old, _, err := t.blob(cid)
	if err != nil {
		return err
	}
	if err := t.requeue(cid, old, b); err != nil {
		return err
	}
	return write(t, key(tableBlobs).cid(cid), b)
}

// requeue keeps the two tables of those that wait in step with the records.
func (t *tx) requeue(cid storage.CID, old, now blobRecord) error {
	for _, q := range []struct {
		table    byte
		was, now int64
	}{{tableDead, old.DeadSince, now.DeadSince}, {tableTombstones, old.Buried, now.Buried}} {
		if q.was == q.now {
			continue
		}
		if q.was != 0 {
			if err := t.del(key(q.table).time(q.was).cid(cid)); err != nil {
				return err
			}
		}
		if q.now != 0 {
			if err := t.set(key(q.table).time(q.now).cid(cid), nil); err != nil {
				return err
			}
		}
	}
	return nil
}

// splitQueueKey reads the CID out of a key of tableDead or tableTombstones.
func splitQueueKey(k []byte) (storage.CID, error) {
	if len(k) < 1+8 {
		return storage.CID{}, fmt.Errorf("%w: key %x", errCorruptState, k)
	}
	cid, err := storage.CIDFromBinary(k[1+8:])
	if err != nil {
		return storage.CID{}, fmt.Errorf("%w: %w", errCorruptState, err)
	}
	return cid, nil
}

// due returns up to limit CIDs that wait in a table since a time or longer, the
// longest first, and whether there are more.
func due(r pebble.Reader, table byte, until int64, limit int) (cids []storage.CID, more bool, err error) {
	if until < 0 {
		return nil, false, nil
	}
	err = scanRange(r, []byte{table}, key(table).time(until+1), func(k, _ []byte) (bool, error) {
		if len(cids) == limit {
			more = true
			return false, nil
		}
		cid, err := splitQueueKey(k)
		cids = append(cids, cid)
		return true, err
	})
	return cids, more, err
}

func (t *tx) condemn(_ Header, c Condemn) (CondemnResult, error) {
	if len(c.CIDs) > condemnMax {
		return CondemnResult{}, refuseField("Condemn", "cids", "at most 500")
	}
	var res CondemnResult
	for _, cid := range c.CIDs {
		b, known, err := t.blob(cid)
		if err != nil {
			return CondemnResult{}, err
		}
		if !known || b.DeadSince == 0 || t.time-b.DeadSince < t.cache.settings.graceMillis() {
			continue // alive again, condemned already, or too early
		}
		if b.References > 0 { // only of what was taken down
			was := b.References
			if b, err = t.dropReferences(cid, dropRefsMax-res.Dropped); err != nil {
				return CondemnResult{}, err
			}
			res.Dropped += int(was - b.References)
		}
		if b.References > 0 {
			res.More = true
			continue
		}
		b.DeadSince, b.Condemned = 0, t.index
		if !b.Blocked {
			b.Buried = t.time
		}
		if err := t.putBlob(cid, b); err != nil {
			return CondemnResult{}, err
		}
		res.Condemned++
		if !cid.Inline() {
			t.condemned = append(t.condemned, cid)
		}
	}
	return res, nil
}

// dropReferences drops up to limit references to a CID, and the pastes that
// hold some, and returns its record as it is then.
func (t *tx) dropReferences(cid storage.CID, limit int) (blobRecord, error) {
	all, err := t.referencesOf(cid, limit)
	if err != nil {
		return blobRecord{}, err
	}
	for _, id := range all {
		r, ok, err := t.reference(id)
		if err != nil || !ok {
			return blobRecord{}, orFatal(err, "reference that is not there")
		}
		if err := t.takeFrom(id); err != nil {
			return blobRecord{}, err
		}
		if err := t.dropRef(id, r); err != nil {
			return blobRecord{}, err
		}
	}
	b, known, err := t.blob(cid)
	if err != nil || !known {
		return blobRecord{}, orFatal(err, "reference without its blob")
	}
	return b, nil
}

// referencesOf returns up to limit references to a CID.
func (t *tx) referencesOf(cid storage.CID, limit int) ([]refID, error) {
	b, _, err := t.blob(cid)
	if err != nil || limit <= 0 {
		return nil, err
	}
	if b.Only.Kind != 0 {
		return []refID{b.Only.id(cid)}, nil
	}
	prefix := key(tableRefs).cid(cid)
	keys, err := keysIn(t.rows(), prefix, past(prefix), limit)
	if err != nil {
		return nil, err
	}
	all := make([]refID, len(keys))
	for i, k := range keys {
		if all[i], err = splitRefKey(k); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// takeFrom tells a holder that its content was taken down for good. A paste's
// record goes with the reference.
func (t *tx) takeFrom(id refID) error {
	switch id.kind {
	case refBin:
		return t.take(id.holder)
	case refNote:
		return t.takeNote(id.holder)
	}
	return nil
}

// dropTombstones forgets what was condemned long enough ago. The floor rises to
// each index that is forgotten: what a record refused, the floor refuses.
func (t *tx) dropTombstones(_ Header, c DropTombstones) (DropResult, error) {
	limit := min(max(c.Limit, 1), tombstoneMax)
	cids, more, err := due(t.rows(), tableTombstones, t.time-t.cache.settings.tombstoneMillis(), limit)
	if err != nil || len(cids) == 0 {
		return DropResult{}, err
	}
	floor, _, err := read[uint64](t, single(singleFloor))
	if err != nil {
		return DropResult{}, err
	}
	for _, cid := range cids {
		b, known, err := t.blob(cid)
		if err != nil || !known {
			return DropResult{}, orFatal(err, "tombstone without its record")
		}
		floor = max(floor, b.Condemned)
		if err := t.requeue(cid, b, blobRecord{}); err != nil {
			return DropResult{}, err
		}
		if err := t.del(key(tableBlobs).cid(cid)); err != nil {
			return DropResult{}, err
		}
		t.counts.Blobs--
	}
	t.countsOld = true
	return DropResult{Dropped: len(cids), More: more}, write(t, single(singleFloor), floor)
}

// CondemnDue returns up to limit CIDs that have been dead for the grace at a time.
func (f *FSM) CondemnDue(now int64, limit int) (cids []storage.CID, err error) {
	until := now - f.Settings().graceMillis()
	err = f.view("CondemnDue", func(r pebble.Reader) error {
		cids, _, err = due(r, tableDead, until, min(limit, condemnMax))
		return err
	})
	return cids, err
}

// TombstonesDue reports whether DropTombstones has something to do at a time.
func (f *FSM) TombstonesDue(now int64) (found bool, err error) {
	until := now - f.Settings().tombstoneMillis()
	err = f.view("TombstonesDue", func(r pebble.Reader) error {
		cids, _, err := due(r, tableTombstones, until, 1)
		found = len(cids) > 0
		return err
	})
	return found, err
}

// Standings returns what holds for a node's copies of stored content, in the
// order of the CIDs, which must be sorted: then it is one walk of two lists.
func (f *FSM) Standings(self storage.NodeID, cids []storage.CID) ([]storage.Standing, error) {
	// The clock and the rings first: the records may be of a later index, and
	// must not be of an earlier one.
	s := f.state.Load()
	all := make([]storage.Standing, len(cids))
	err := f.view("Standings", func(r pebble.Reader) error {
		it, err := r.NewIter(&pebble.IterOptions{LowerBound: []byte{tableBlobs}, UpperBound: []byte{tableBlobs + 1}})
		if err != nil {
			return fmt.Errorf("%w: %w", errCorruptState, err)
		}
		defer func() { _ = it.Close() }()
		for i, cid := range cids {
			all[i] = s.standing(self, cid)
			k := key(tableBlobs).cid(cid)
			if !it.SeekGE(k) {
				if err := it.Error(); err != nil {
					return fmt.Errorf("%w: %w", errCorruptState, err)
				}
				continue
			}
			if string(it.Key()) != string(k) {
				continue
			}
			var b blobRecord
			if err := decMode.Unmarshal(it.Value(), &b); err != nil {
				return fmt.Errorf("%w: key %x: %w", errCorruptState, k, err)
			}
			b.stand(&all[i])
		}
		return nil
	})
	return all, err
}

// standing is what holds for a CID that has no record.
func (s *state) standing(self storage.NodeID, cid storage.CID) storage.Standing {
	st := storage.Standing{Now: s.time, Grace: s.settings.graceMillis()}
	if s.ring == nil {
		return st
	}
	st.Owned = s.ring.Owns(self, cid) || s.next != nil && s.next.Owns(self, cid)
	st.Settled = s.next == nil && s.time-s.note.Since >= st.Grace
	for _, o := range s.ring.OwnersOf(cid) {
		st.Owners = append(st.Owners, o.ID)
	}
	return st
}

// stand adds what the record says.
func (b blobRecord) stand(st *storage.Standing) {
	st.Referenced, st.Waiting, st.Condemned = b.References > 0, b.DeadSince != 0, b.Condemned
}

// Floor is the index up to which receipts of any content are refused: the
// highest Condemn whose record was dropped.
func (f *FSM) Floor() (floor uint64, err error) {
	err = f.view("Floor", func(r pebble.Reader) error {
		b, found, err := lookUp[uint64](r, single(singleFloor))
		if found {
			floor = b
		}
		return err
	})
	return floor, err
}

// queued is how many wait in a table, each as its record says.
func queued(r pebble.Reader, table byte) (n int64, err error) {
	err = scan(r, []byte{table}, func(k, _ []byte) (bool, error) {
		n++
		cid, err := splitQueueKey(k)
		if err != nil {
			return false, err
		}
		b, found, err := lookUp[blobRecord](r, key(tableBlobs).cid(cid))
		at := int64(binary.BigEndian.Uint64(k[1:]))
		switch {
		case err != nil:
			return false, err
		case !found, table == tableDead && b.DeadSince != at, table == tableTombstones && b.Buried != at:
			return false, fmt.Errorf("blob %s waits in table %x since %d, its record says %+v", cid.LogValue(), table, at, b)
		}
		return true, nil
	})
	return n, err
}
