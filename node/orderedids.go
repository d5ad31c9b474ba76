package node

import (
	"crypto/rand"
	"encoding/binary"

	"ringbin/storage/meta"
)

// Ids of what metadata keeps one of for each upload begin with the time they
// were drawn at. So they come behind almost all that are there: whether one is
// taken is told without a look at old tables, and compactions of millions of
// them move files, where random ones would have each rewritten again and again.
// What makes an id one of a kind is the random part. Order is a matter of cost
// only: a clock that is off makes no id wrong.

const (
	idTimeSymbols = 8  // 62^8 milliseconds are 6918 years
	idTimeBytes   = 6  // 2^48 milliseconds are 8919 years
	idRandom      = 12 // symbols behind the time: 62^12 is 71 bits
)

// entryID names an entry of the ledger.
func entryID(now int64) string {
	now = max(now, 0) // a clock may say anything
	var symbols [idTimeSymbols]byte
	for i := len(symbols) - 1; i >= 0; i-- {
		symbols[i] = alphanumeric[now%int64(len(alphanumeric))]
		now /= int64(len(alphanumeric))
	}
	return "txn_" + string(symbols[:]) + randomText(idRandom)
}

// orderedRequestID names a request: 48 bits of time, and 80 random ones.
func orderedRequestID(now int64) (id meta.RequestID) {
	_, _ = rand.Read(id[idTimeBytes:]) // never fails: crypto/rand ends the process instead
	var t [8]byte
	binary.BigEndian.PutUint64(t[:], uint64(now))
	copy(id[:idTimeBytes], t[len(t)-idTimeBytes:])
	return id
}
