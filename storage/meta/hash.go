package meta

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	"ringbin/storage"
)

// lanes are the order-free hash of a table: the sum, lane by lane, of the
// SHA-256 of its pairs. Adding what is written and subtracting what is replaced
// keeps it current at the cost of two hashes a write.
type lanes [4]uint64

// pairLanes is the hash of one pair.
func pairLanes(key, value []byte) lanes {
	_, l := appendLanes(make([]byte, 0, 4+len(key)+len(value)), string(key), value)
	return l
}

// appendLanes is pairLanes with room for the pair, which it returns.
func appendLanes(room []byte, key string, value []byte) ([]byte, lanes) {
	room = binary.BigEndian.AppendUint32(room[:0], uint32(len(key)))
	room = append(append(room, key...), value...)
	sum := sha256.Sum256(room)
	var l lanes
	for i := range l {
		l[i] = binary.BigEndian.Uint64(sum[8*i:])
	}
	return room, l
}

func (l *lanes) add(o lanes) {
	for i := range l {
		l[i] += o[i]
	}
}

func (l *lanes) sub(o lanes) {
	for i := range l {
		l[i] -= o[i]
	}
}

// tableHashes are the hashes of all tables; that of tableLocal stays zero.
type tableHashes [256]lanes

const lanesRow = 1 + 4*8 // of a table in the form that is kept

// bytes are the hashes as they are kept: the tables that hold something, in order.
func (h *tableHashes) bytes() []byte {
	var b []byte
	for t := range h {
		if h[t] == (lanes{}) {
			continue
		}
		b = append(b, byte(t))
		for _, v := range h[t] {
			b = binary.BigEndian.AppendUint64(b, v)
		}
	}
	return b
}

// parse reads what bytes made.
func (h *tableHashes) parse(b []byte) error {
	if len(b)%lanesRow != 0 {
		return fmt.Errorf("%w: hashes of tables of %d bytes", errCorruptState, len(b))
	}
	for ; len(b) > 0; b = b[lanesRow:] {
		for i := range h[b[0]] {
			h[b[0]][i] = binary.BigEndian.Uint64(b[1+8*i:])
		}
	}
	return nil
}

// combine makes one hash of those of the tables.
func (h *tableHashes) combine() [32]byte { return sha256.Sum256(h.bytes()) }

// StateHash returns the hash of the replicated state and the index it is of.
// Two nodes at one index have one hash (I10).
func (f *FSM) StateHash() (index uint64, hash [32]byte, err error) {
	s := f.state.Load()
	return s.index, s.hash, nil
}

// Checkpoint returns the newest one since the start.
func (f *FSM) Checkpoint() Checkpoint { return f.state.Load().check }

// RecomputeStateHash reads the whole state and compares its hash with the one
// that was kept: a difference is corruption of this node's disk.
func (f *FSM) RecomputeStateHash(ctx context.Context) error {
	const op = "meta.RecomputeStateHash"
	f.life.RLock()
	defer f.life.RUnlock()
	snap := f.db.NewSnapshot()
	defer func() { _ = snap.Close() }()
	var kept, found tableHashes
	err := scanRange(snap, nil, nil, func(k, v []byte) (bool, error) {
		if k[0] != tableLocal {
			found[k[0]].add(pairLanes(k, v))
		} else if string(k) == string(local(localHashes)) {
			if err := kept.parse(v); err != nil {
				return false, err
			}
		}
		return ctx.Err() == nil, ctx.Err()
	})
	if err != nil {
		return storage.E(op, storage.KindInternal, err)
	}
	if kept != found {
		return storage.E(op, storage.KindCorrupt, fmt.Errorf("state does not match its hash at index %d", f.AppliedIndex()))
	}
	return nil
}
