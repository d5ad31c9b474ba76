package meta

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"

	"ringbin/storage"
)

// combine makes one hash of those of the tables.
func combine(hashes map[byte]lanes) [32]byte {
	tables := make([]byte, 0, len(hashes))
	for t, l := range hashes {
		if t != tableLocal && l != (lanes{}) {
			tables = append(tables, t)
		}
	}
	slices.Sort(tables)
	var b []byte
	for _, t := range tables {
		b = append(b, t)
		for _, v := range hashes[t] {
			b = binary.BigEndian.AppendUint64(b, v)
		}
	}
	return sha256.Sum256(b)
}

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
	kept := map[byte]lanes{}
	found := map[byte]lanes{}
	err := scanRange(snap, nil, nil, func(k, v []byte) (bool, error) {
		if k[0] != tableLocal {
			l := found[k[0]]
			l.add(pairLanes(k, v))
			found[k[0]] = l
		} else if string(k) == string(local(localHashes)) {
			if err := decMode.Unmarshal(v, &kept); err != nil {
				return false, err //nolint:wrapcheck // wrapped below
			}
		}
		return ctx.Err() == nil, ctx.Err()
	})
	if err != nil {
		return storage.E(op, storage.KindInternal, err)
	}
	if combine(kept) != combine(found) {
		return storage.E(op, storage.KindCorrupt, fmt.Errorf("state does not match its hash at index %d", f.AppliedIndex()))
	}
	return nil
}
