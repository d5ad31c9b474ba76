package apilog

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"sync/atomic"

	"github.com/oklog/ulid/v2"

	"ringbin/storage"
)

// Entry is one request. There is nothing secret in it, and nothing of what was
// asked for.
type Entry struct {
	ID       ulid.ULID `cbor:"1,keyasint"`
	API      string    `cbor:"2,keyasint"`           // which dialect
	Token    int64     `cbor:"3,keyasint,omitempty"` // number of the key; 0: it has none
	Key      string    `cbor:"4,keyasint,omitempty"`
	Account  string    `cbor:"5,keyasint,omitempty"`
	Endpoint string    `cbor:"6,keyasint"`
	Status   int       `cbor:"7,keyasint"`
	Addr     string    `cbor:"8,keyasint,omitempty"`
}

// Time is when the entry's request was answered, in Unix milliseconds.
func (e Entry) Time() int64 { return int64(e.ID.Time()) }

// The random part of an id: who made it, and in which order.
const (
	nodeBytes = 4
	seqBytes  = 6
)

// IDs makes the ids of one node's entries.
type IDs struct {
	node [nodeBytes]byte
	seq  atomic.Uint64
}

// NewIDs returns what makes the ids of a node. Numbers begin anywhere: those of
// the time before are not known when they were lost, and only matter within one
// millisecond. They begin low enough that they do not come to their end.
func NewIDs(node storage.NodeID) *IDs {
	i := &IDs{}
	sum := sha256.Sum256([]byte(node))
	copy(i.node[:], sum[:])
	var first [8]byte
	_, _ = rand.Read(first[:]) // never fails: crypto/rand ends the process instead
	i.seq.Store(binary.BigEndian.Uint64(first[:]) >> (64 - 8*seqBytes + 1))
	return i
}

// Next returns the id of an entry of a time in Unix milliseconds.
func (i *IDs) Next(now int64) ulid.ULID {
	id := edge(now)
	var seq [8]byte
	binary.BigEndian.PutUint64(seq[:], i.seq.Add(1))
	copy(id[len(id)-seqBytes-nodeBytes:], i.node[:])
	copy(id[len(id)-seqBytes:], seq[len(seq)-seqBytes:])
	return id
}

// edge is before each id of a time, and behind all of the time before.
func edge(millis int64) (id ulid.ULID) {
	// What is out of range stays in order with the rest.
	_ = id.SetTime(uint64(min(max(millis, 0), int64(ulid.MaxTime()))))
	return id
}
