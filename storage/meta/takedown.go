package meta

import (
	"encoding/binary"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"ringbin/storage"
)

// blockContent takes content down, or allows it again, and writes down why.
func (t *tx) blockContent(_ Header, c BlockContent) (BlockResult, error) {
	b, known, err := t.blob(c.CID)
	if err != nil {
		return BlockResult{}, err
	}
	if !known {
		t.counts.Blobs++
		t.countsOld = true
	}
	switch {
	case c.Block && !b.Blocked:
		b.Blocked, b.Buried = true, 0 // what was taken down is never forgotten
		if b.DeadSince == 0 && (b.References > 0 || !known) {
			b.DeadSince = t.time
		}
	case !c.Block && b.Blocked:
		b.Blocked = false
		switch {
		case b.References > 0:
			b.DeadSince = 0
		case b.DeadSince == 0: // condemned
			b.Buried = t.time
		}
	case !known:
		b.DeadSince = t.time // allowed, and never seen: it goes as what is dead goes
	}
	if err := t.putBlob(c.CID, b); err != nil {
		return BlockResult{}, err
	}
	record := takedown{Block: c.Block, Reason: c.Reason, Time: t.time}
	if err := write(t, key(tableTakedowns).u64(t.index).cid(c.CID), record); err != nil {
		return BlockResult{}, err
	}
	return BlockResult{CID: c.CID, Blocked: c.Block}, nil
}

// Takedown is one entry of the record of what was taken down, or allowed again.
type Takedown struct {
	CID    storage.CID
	Block  bool
	Reason string
	Time   int64
	Index  uint64 // of the log entry
}

// Takedowns lists the record from its beginning.
func (f *FSM) Takedowns(cursor string, limit int) (page []Takedown, next string, err error) {
	err = f.view("Takedowns", func(r pebble.Reader) error {
		page, next, err = list(r, []byte{tableTakedowns}, cursor, limit, func(k, v []byte) (Takedown, bool, error) {
			if len(k) < 1+8 {
				return Takedown{}, false, fmt.Errorf("%w: key %x", errCorruptState, k)
			}
			cid, err := storage.CIDFromBinary(k[1+8:])
			if err != nil {
				return Takedown{}, false, fmt.Errorf("%w: %w", errCorruptState, err)
			}
			var rec takedown
			if err := decMode.Unmarshal(v, &rec); err != nil {
				return Takedown{}, false, fmt.Errorf("%w: key %x: %w", errCorruptState, k, err)
			}
			return Takedown{CID: cid, Block: rec.Block, Reason: rec.Reason, Time: rec.Time, Index: binary.BigEndian.Uint64(k[1:])}, true, nil
		})
		return err
	})
	return page, next, err
}
