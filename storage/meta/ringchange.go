package meta

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"ringbin/storage"
)

// A change of the ring. While it is under way there are two rings, cur and
// next, and cur is handed over partition by partition: when enough of next's
// owners of a partition have said that they hold it, cur gets next's owners of
// that partition. So cur is a mixture of both, and all that is said of two rings
// goes on to hold, partition by partition, without a further case: writes need
// W of each ring's owners (I12), reads try cur's and then next's. When nothing
// is left that differs, next becomes cur.
//
// What has to hold for each partition p is
//
//	(*) each committed blob of p has W holders among cur's owners of p
//
// where W is the quorum of the number of those owners. Why each step keeps it:
//
//   - A commit counts its receipts, in Apply, against cur and next as they are at
//     that point of the log, never as they were when the bytes were sent. It keeps
//     (*) in the cur of its index, and in the cur that a hand-over will make later:
//     blobs committed while next stands have W holders among next's owners, too.
//   - SetRing leaves cur as it is. From it on new commits have W in next.
//   - PartitionsSynced. Blobs committed after SetRing have W among next's owners.
//     For those before it: of cur's owners C at least W(C) hold it, of next's
//     owners N those who said so (S) hold it, since each looked at a catalogue at
//     or after SetRing. The owners that stay and have not said anything, (C and N)
//     without S, hold it at least W(C) - |C without these| times. So N holds it
//     |S| + max(0, W(C) - |C without these|) times, and p is handed over when that
//     is W(N) or more. When R stays this is reached exactly when all new owners
//     have spoken; when R falls from 3 to 2 both that stay have to. New owners
//     have to speak in any case: a partition has R copies again, not only W.
//   - An upload that is in flight over a hand-over: before it, the commit needed W
//     in cur and in next; behind it cur is next here, and needs no more. One that
//     began before SetRing and commits after it may lack receipts of new owners:
//     it is refused, and its node asks the owners of now for their word, who fetch
//     the bytes from each other when they have to.
//   - AbortRing and HoldRing drop next. cur stays a mixture: what was handed over
//     stays handed over, and (*) spoke of cur all the time. Its version rises above
//     next's, so that no word about the dropped ring counts for a later one.
//   - A node that came up blank has a new incarnation and counts as another node:
//     it is not among the owners that stay, and its earlier words are forgotten.
//   - A node that leaves the address book stays an owner in cur until it is handed
//     over; its receipts do not count any more, its copies are lost as with a disk.

// PartitionSet is a set of partitions: one bit for each, the lowest first.
// Empty, it may have no bytes at all.
type PartitionSet []byte

const partitionSetBytes = storage.Partitions / 8

// NewPartitionSet returns an empty set to Add to.
func NewPartitionSet() PartitionSet { return make(PartitionSet, partitionSetBytes) }

// Add puts a partition into the set.
func (s PartitionSet) Add(p int) { s[p/8] |= 1 << (p % 8) }

// Has reports whether a partition is in the set.
func (s PartitionSet) Has(p int) bool { return p/8 < len(s) && s[p/8]&(1<<(p%8)) != 0 }

// Handover is the value of a PartitionsSynced.
type Handover struct {
	Flipped int  `cbor:"1,keyasint"` // partitions that were handed over by it
	Left    int  `cbor:"2,keyasint"` // still to be handed over
	Done    bool `cbor:"3,keyasint"` // next is current
}

// ringNote is what there is to remember of the ring beside itself.
type ringNote struct {
	Since int64 `cbor:"1,keyasint"`           // FSM time when cur or next last changed
	Mixed bool  `cbor:"2,keyasint,omitempty"` // cur's owners come from more than one SetRing
	Held  bool  `cbor:"3,keyasint,omitempty"` // no ring is to be proposed
}

// partitionsRecord are the partitions of a next ring that a node holds.
type partitionsRecord struct {
	Version     uint64       `cbor:"1,keyasint"`
	Incarnation uint64       `cbor:"2,keyasint"`
	Partitions  PartitionSet `cbor:"3,keyasint"`
}

// noteRing writes down that the ring has changed now.
func (t *tx) noteRing(change func(*ringNote)) error {
	n := t.cache.note
	n.Since = t.time
	if change != nil {
		change(&n)
	}
	return write(t, single(singleRingNote), n)
}

// setRing takes in a ring that was computed from the one that holds. Nodes
// that apply it check its form and never compute: two versions of the program
// cannot disagree about it (I11).
func (t *tx) setRing(_ Header, c SetRing) (none, error) {
	const op = "SetRing"
	var from uint64
	if t.cache.ring != nil {
		from = t.cache.ring.Version
	}
	if c.From != from || t.cache.next != nil || c.Ring.Version != from+1 {
		return none{}, refuse(op, storage.KindConflict, "ring_changed", nil)
	}
	if t.cache.note.Held {
		return none{}, refuse(op, storage.KindConflict, "ring_held", nil)
	}
	if err := c.Ring.Validate(); err != nil {
		return none{}, storage.E("meta."+op, storage.KindInvalid, err)
	}
	for _, n := range c.Ring.Nodes {
		if known, ok := t.cache.nodes[n.ID]; !ok || known.Incarnation != n.Incarnation {
			return none{}, refuse(op, storage.KindConflict, "ring_names_stranger", nil)
		}
	}
	name := singleNextRing
	if t.cache.ring == nil {
		name = singleRing
	}
	if err := write(t, single(name), c.Ring); err != nil {
		return none{}, err
	}
	if err := t.noteRing(nil); err != nil {
		return none{}, err
	}
	return none{}, t.reload()
}

// ringSynced notes a node's word about the whole of the next ring; with the
// last one, next becomes current. Nodes of now say [PartitionsSynced] instead.
func (t *tx) ringSynced(_ Header, c RingSynced) (none, error) {
	const op = "RingSynced"
	next := t.cache.next
	if next == nil || next.Version != c.Version {
		return none{}, refuse(op, storage.KindConflict, "ring_changed", nil)
	}
	if n, ok := next.Node(c.Node); !ok || n.Incarnation != c.Incarnation {
		return none{}, refuse(op, storage.KindConflict, "ring_names_stranger", nil)
	}
	synced, _, err := read[syncedRecord](t, single(singleSynced))
	if err != nil {
		return none{}, err
	}
	if synced.Version != c.Version {
		synced = syncedRecord{Version: c.Version}
	}
	if i, there := slices.BinarySearch(synced.Nodes, c.Node); !there {
		synced.Nodes = slices.Insert(synced.Nodes, i, c.Node)
	}
	if len(synced.Nodes) < len(next.Nodes) {
		return none{}, write(t, single(singleSynced), synced)
	}
	if err := t.finishRing(next); err != nil {
		return none{}, err
	}
	return none{}, t.reload()
}

// partitionsSynced notes a node's word about some partitions, and hands over
// those of which enough was said.
func (t *tx) partitionsSynced(_ Header, c PartitionsSynced) (Handover, error) {
	const op = "PartitionsSynced"
	next := t.cache.next
	if next == nil || next.Version != c.Version {
		return Handover{}, refuse(op, storage.KindConflict, "ring_changed", nil)
	}
	if n, ok := t.cache.nodes[c.Node]; !ok || n.Incarnation != c.Incarnation {
		return Handover{}, refuse(op, storage.KindConflict, "ring_names_stranger", nil)
	}
	if len(c.Partitions) != 0 && len(c.Partitions) != partitionSetBytes {
		return Handover{}, refuseField(op, "partitions", "one bit for each partition")
	}
	if len(c.Partitions) > 0 {
		if err := t.addSynced(c); err != nil {
			return Handover{}, err
		}
	}
	said, err := partitionsSaid(t.rows(), next.Version)
	if err != nil {
		return Handover{}, err
	}
	h := Handover{}
	flip := NewPartitionSet()
	for p := range storage.Partitions {
		switch {
		case t.cache.ring.SameOwners(next, p):
		case enoughSynced(t.cache.ring, next, p, said):
			flip.Add(p)
			h.Flipped++
		default:
			h.Left++
		}
	}
	switch {
	case h.Left == 0:
		h.Done = true
		if err := t.finishRing(next); err != nil {
			return Handover{}, err
		}
	case h.Flipped > 0:
		if err := write(t, single(singleRing), mixed(t.cache.ring, next, flip)); err != nil {
			return Handover{}, err
		}
		if err := t.noteRing(func(n *ringNote) { n.Mixed = true }); err != nil {
			return Handover{}, err
		}
	default:
		return h, nil
	}
	return h, t.reload()
}

// addSynced adds to what a node has said of the next ring.
func (t *tx) addSynced(c PartitionsSynced) error {
	at := key(tableSynced).str(string(c.Node))
	said, _, err := read[partitionsRecord](t, at)
	if err != nil {
		return err
	}
	if said.Version != c.Version || said.Incarnation != c.Incarnation || len(said.Partitions) != partitionSetBytes {
		said = partitionsRecord{Version: c.Version, Incarnation: c.Incarnation, Partitions: NewPartitionSet()}
	}
	for i, b := range c.Partitions {
		said.Partitions[i] |= b
	}
	return write(t, at, said)
}

// partitionsSaid are the nodes' words about one ring.
func partitionsSaid(r pebble.Reader, version uint64) (map[storage.NodeID]partitionsRecord, error) {
	said := map[storage.NodeID]partitionsRecord{}
	err := scan(r, []byte{tableSynced}, func(k, v []byte) (bool, error) {
		var rec partitionsRecord
		if err := decMode.Unmarshal(v, &rec); err != nil {
			return false, fmt.Errorf("%w: key %x: %w", errCorruptState, k, err)
		}
		if rec.Version == version {
			said[storage.NodeID(k[1:len(k)-1])] = rec // a copy: the conversion makes one
		}
		return true, nil
	})
	return said, err
}

// enoughSynced reports whether a partition can be handed over: all its new
// owners hold it, and so do W of next's owners, whichever W of cur's owners
// those are that hold a blob. The argument stands at the top of this file.
func enoughSynced(cur, next *storage.Ring, p int, said map[storage.NodeID]partitionsRecord) bool {
	spoke, silentStay := 0, 0
	for _, o := range next.PartitionOwners(p) {
		rec, ok := said[o.ID]
		stays := cur.OwnsPartition(p, o.ID, o.Incarnation)
		switch {
		case ok && rec.Incarnation == o.Incarnation && rec.Partitions.Has(p):
			spoke++
		case stays:
			silentStay++
		default:
			return false
		}
	}
	had, have := len(cur.Owners[p]), len(next.Owners[p])
	certain := spoke + max(0, storage.QuorumFor(had)-(had-silentStay))
	return certain >= storage.QuorumFor(have)
}

// mixed is cur with next's owners of some partitions.
func mixed(cur, next *storage.Ring, flip PartitionSet) storage.Ring {
	out := storage.Ring{Version: cur.Version, R: cur.R, W: cur.W, Owners: make([][]uint16, storage.Partitions)}
	order := func(a, b storage.RingNode) int {
		return cmp.Or(cmp.Compare(a.ID, b.ID), cmp.Compare(a.Incarnation, b.Incarnation))
	}
	out.Nodes = slices.Clone(next.Nodes)
	for _, n := range cur.Nodes {
		if i, there := slices.BinarySearchFunc(out.Nodes, n, order); !there {
			out.Nodes = slices.Insert(out.Nodes, i, n)
		}
	}
	for p := range out.Owners {
		from := cur
		if flip.Has(p) {
			from = next
		}
		for _, o := range from.PartitionOwners(p) {
			at, _ := slices.BinarySearchFunc(out.Nodes, o, order) // there: it is in one of both
			out.Owners[p] = append(out.Owners[p], uint16(at))
		}
	}
	return out
}

// finishRing makes next the ring that holds.
func (t *tx) finishRing(next *storage.Ring) error {
	if err := t.dropNext(); err != nil {
		return err
	}
	if err := write(t, single(singleRing), *next); err != nil {
		return err
	}
	return t.noteRing(func(n *ringNote) { n.Mixed = false })
}

// dropNext removes the next ring and all that was said of it.
func (t *tx) dropNext() error {
	var said [][]byte
	err := scan(t.rows(), []byte{tableSynced}, func(k, _ []byte) (bool, error) {
		said = append(said, append([]byte(nil), k...))
		return true, nil
	})
	if err != nil {
		return err
	}
	for _, k := range append(said, single(singleSynced), single(singleNextRing)) {
		if err := t.del(k); err != nil {
			return err
		}
	}
	return nil
}

// abortRing drops the next ring. The current one gets a version above it: no
// word that was said of the dropped ring can be taken for another one.
func (t *tx) abortRing(_ Header, c AbortRing) (none, error) {
	next := t.cache.next
	if next == nil || next.Version != c.Version {
		return none{}, refuse("AbortRing", storage.KindConflict, "ring_changed", nil)
	}
	if err := t.abortNext(); err != nil {
		return none{}, err
	}
	if err := t.noteRing(nil); err != nil {
		return none{}, err
	}
	return none{}, t.reload()
}

func (t *tx) abortNext() error {
	cur := *t.cache.ring
	cur.Version = t.cache.next.Version + 1
	if err := t.dropNext(); err != nil {
		return err
	}
	return write(t, single(singleRing), cur)
}

// holdRing is the operator's word that nothing is to be moved for now.
func (t *tx) holdRing(_ Header, c HoldRing) (none, error) {
	if c.Hold && t.cache.next != nil {
		if err := t.abortNext(); err != nil {
			return none{}, err
		}
	}
	if c.Hold == t.cache.note.Held && t.cache.next == nil {
		return none{}, nil
	}
	if err := t.noteRing(func(n *ringNote) { n.Held = c.Hold }); err != nil {
		return none{}, err
	}
	return none{}, t.reload()
}

// releaseRing takes a hold away: the members changed, and what was held back
// was a ring for others.
func (t *tx) releaseRing() error {
	if !t.cache.note.Held {
		return nil
	}
	n := t.cache.note
	n.Held = false
	return write(t, single(singleRingNote), n)
}

// RingChange is how far a change of the ring is.
type RingChange struct {
	Since int64 // FSM time in Unix milliseconds when the ring last changed; 0: never
	Left  int   // partitions to be handed over; 0 without a change
	Mixed bool  // the ring that holds comes of a change that was dropped half-way, or that goes on
	Held  bool  // the operator wants no change
}

// RingChange returns how far the change is that is under way.
func (f *FSM) RingChange() RingChange {
	s := f.state.Load()
	c := RingChange{Since: s.note.Since, Mixed: s.note.Mixed, Held: s.note.Held}
	for p := range storage.Partitions {
		if s.next != nil && !s.ring.SameOwners(s.next, p) {
			c.Left++
		}
	}
	return c
}

// RingSince is the FSM time, in Unix milliseconds, when the ring that holds or
// the one that is being filled last changed; 0: never.
func (f *FSM) RingSince() int64 { return f.state.Load().note.Since }

// ToSync returns the version of the next ring and the partitions that it gives
// to this incarnation of a node, that are not handed over, and of which the node
// has not said yet that it holds them. None without a change.
func (f *FSM) ToSync(id storage.NodeID, incarnation uint64) (version uint64, partitions []int, err error) {
	s := f.state.Load()
	if s.next == nil {
		return 0, nil, nil
	}
	var said map[storage.NodeID]partitionsRecord
	err = f.view("ToSync", func(r pebble.Reader) error {
		said, err = partitionsSaid(r, s.next.Version)
		return err
	})
	if err != nil {
		return 0, nil, err
	}
	own := said[id]
	for p := range storage.Partitions {
		if s.next.OwnsPartition(p, id, incarnation) && !s.ring.SameOwners(s.next, p) &&
			(own.Incarnation != incarnation || !own.Partitions.Has(p)) {
			partitions = append(partitions, p)
		}
	}
	return s.next.Version, partitions, nil
}
