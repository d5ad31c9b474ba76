package storage

// Standing is what the metadata says of a CID to a node that may hold a copy:
// all that erasing is judged by. It is read while the CID is locked in the
// store, and the clock and the rings in it are never newer than the rest.
type Standing struct {
	Now   int64 // FSM time in Unix milliseconds
	Grace int64 // milliseconds of FSM time that bytes without a reference are left alone

	Referenced bool   // somebody's reference names it, taken down or not
	Waiting    bool   // dead or taken down, and not condemned for it yet
	Condemned  uint64 // index of the last Condemn; 0: none, or forgotten

	Owned   bool     // by this node, in the ring that holds or in the one that is being filled
	Settled bool     // no ring is being filled, and the one that holds has stood for the grace
	Owners  []NodeID // in the ring that holds
}

// Fate is what a copy's standing allows to be done with it.
type Fate uint8

// The fates. A reason to erase has its own, so that it can be counted.
const (
	FateKeep      Fate = iota
	FateCondemned      // it is dead, and the copy is older than its Condemn
	FateOrphan         // no reference names it, and nobody touched the copy for the grace
	FateMoved          // others own it: it may go once each of them shows a good copy
)

// String names a fate for people and metrics.
func (f Fate) String() string {
	return [...]string{FateKeep: "keep", FateCondemned: "condemned", FateOrphan: "orphan", FateMoved: "moved"}[f]
}

// Fate judges a copy. It is the whole of the rule by which copies go (I13); the
// caller holds the CID's lock from before the standing is read until the copy
// is erased. That other copies are missing is not in it: it is no reason.
//
// Why no committed reference ever points at erased bytes, with a copy of
// generation g and mark time m, judged by the state at index a and FSM time A:
//
//   - Condemned at c, g < c <= a, and without a reference at a. Each receipt
//     that was given for this copy has a generation of at most g. A commit
//     behind a is refused them: it finds c in the record, or, when the record was
//     dropped, in the cluster-wide floor, which rose to c with it. A commit
//     before a would show at a. And a receipt to come needs the lock: it finds no
//     copy.
//   - Orphaned: without a reference at a, and A - m is the grace or more. Receipts
//     for this copy carry a time of at most m. A commit behind a happens at
//     FSM time A or later and wants receipts younger than half the grace. If the
//     grace was raised in between, at FSM time S >= A, it wants receipts from S
//     or later. So it is refused.
//   - Moved: nobody counts the receipts of who owns nothing, and a ring that
//     would make this node an owner again is not there at a. Such a ring holds
//     only once the node said, from a look that began when no erasing decided
//     before was still on its way, that it has the copies that it was given.
//     Receipts for the copy from its time as an owner are too old, as above.
func (s Standing) Fate(copied BlobInfo) Fate {
	untouched := s.Now-copied.Time >= s.Grace
	switch {
	case s.Referenced && !s.Owned && s.Settled && untouched:
		return FateMoved
	case s.Referenced || s.Waiting:
		return FateKeep
	case copied.Generation < s.Condemned:
		return FateCondemned
	case untouched:
		return FateOrphan
	}
	return FateKeep
}
