package cluster

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"github.com/hashicorp/raft"

	"ringbin/storage"
)

// bbolt checks its own pages' heads and none of what is in them. A bit that
// flips in a term or a vote would let a node vote twice (I15), one that flips in
// an entry would be handed on to whoever lacks it. So terms and votes carry a
// checksum, and the log is read through before this node takes part.

// checkedStable is a stable store whose values are checked when they are read.
// The checksum stands behind the value: eight bytes of a number are where they
// always are.
type checkedStable struct{ raft.StableStore }

const checksumBytes = 4

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// checksum covers the key too: one value must not pass for another.
func checksum(key, value []byte) uint32 {
	return crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, value)
}

// Set implements raft.StableStore.
func (s checkedStable) Set(key, value []byte) error {
	b := append(append(make([]byte, 0, len(value)+checksumBytes), value...), 0, 0, 0, 0)
	binary.BigEndian.PutUint32(b[len(value):], checksum(key, value))
	return s.StableStore.Set(key, b) //nolint:wrapcheck // raft compares texts
}

// Get implements raft.StableStore.
func (s checkedStable) Get(key []byte) ([]byte, error) {
	b, err := s.StableStore.Get(key)
	if err != nil || len(b) == 0 {
		return b, err //nolint:wrapcheck // raft compares texts
	}
	n := len(b) - checksumBytes
	if n < 0 || binary.BigEndian.Uint32(b[n:]) != checksum(key, b[:n]) {
		return nil, storage.E("cluster.Get", storage.KindCorrupt, fmt.Errorf("%s in the raft log fails its check", key))
	}
	return b[:n], nil
}

// SetUint64 implements raft.StableStore.
func (s checkedStable) SetUint64(key []byte, v uint64) error {
	return s.Set(key, binary.BigEndian.AppendUint64(nil, v))
}

// GetUint64 implements raft.StableStore.
func (s checkedStable) GetUint64(key []byte) (uint64, error) {
	b, err := s.Get(key)
	if err != nil || len(b) == 0 {
		return 0, err
	}
	if len(b) != 8 {
		return 0, storage.E("cluster.GetUint64", storage.KindCorrupt, fmt.Errorf("%s in the raft log has %d bytes", key, len(b)))
	}
	return binary.BigEndian.Uint64(b), nil
}

// promises are what a node must not forget, as raft names it in its stable store.
var promises = []string{"CurrentTerm", "LastVoteTerm", "LastVoteCand"}

// verifyStores reads what this node promised, and its log from end to end:
// nothing missing, in order, and every command as it was written.
func verifyStores(logs raft.LogStore, stable raft.StableStore, intact func([]byte) error) error {
	for _, key := range promises {
		if _, err := stable.Get([]byte(key)); err != nil && err.Error() != "not found" {
			return err //nolint:wrapcheck // wrapped by OpenRaft
		}
	}
	first, err := logs.FirstIndex()
	if err != nil {
		return err //nolint:wrapcheck // wrapped by OpenRaft
	}
	last, err := logs.LastIndex()
	if err != nil {
		return err //nolint:wrapcheck // wrapped by OpenRaft
	}
	term := uint64(0)
	for i := first; i > 0 && i <= last; i++ {
		var l raft.Log
		if err := logs.GetLog(i, &l); err != nil {
			return fmt.Errorf("entry %d of the raft log: %w", i, err)
		}
		if l.Index != i || l.Term < term {
			return fmt.Errorf("entry %d of the raft log calls itself %d of term %d, after term %d", i, l.Index, l.Term, term)
		}
		term = l.Term
		if l.Type == raft.LogCommand && intact != nil {
			if err := intact(l.Data); err != nil {
				return fmt.Errorf("entry %d of the raft log: %w", i, err)
			}
		}
	}
	return nil
}
