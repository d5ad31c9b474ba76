package meta

import (
	"maps"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"ringbin/storage"
)

// NewEpoch makes a cluster of one node out of a state that has lost its
// majority, or that comes from a backup. Every other member is removed for
// ever (I15), and Ring, which names Node alone, holds at once. Its value is an
// [Epoch].
//
// It is written by the operator's hand, into the log of a node that does not
// run: nobody could vote on it.
type NewEpoch struct {
	Node Node         `cbor:"1,keyasint"`
	Ring storage.Ring `cbor:"2,keyasint"`
	// Reason is for people: what was done, and why the history has a seam here.
	Reason string `cbor:"3,keyasint"`
	// Others are removed, too: members that the address book does not name.
	Others []storage.NodeID `cbor:"4,keyasint,omitempty"`
	// Former is the id of the cluster whose state this was; empty: it is the same one.
	Former string `cbor:"5,keyasint,omitempty"`
}

// Epoch is the part of a cluster's history that one majority could vouch for.
// The first one has number 0 and no record.
type Epoch struct {
	Number uint64         `cbor:"1,keyasint" json:"number"`
	Index  uint64         `cbor:"2,keyasint" json:"index"` // of the entry that began it
	Time   int64          `cbor:"3,keyasint" json:"time"`  // FSM time
	Node   storage.NodeID `cbor:"4,keyasint" json:"node"`  // whom it began with
	Reason string         `cbor:"5,keyasint" json:"reason"`
	// Formers are the ids of the clusters whose state this was before, newest
	// first: what is sealed under one of them is still to be opened.
	Formers []string `cbor:"6,keyasint,omitempty" json:"-"`
}

const singleEpoch = "epoch"

// Limits of a NewEpoch.
const (
	epochReasonMax = 1000 // bytes
	epochOthersMax = 1000
	formerBytesMax = 256
	formersMax     = 16 // older ones are forgotten
)

func (t *tx) newEpoch(_ Header, c NewEpoch) (Epoch, error) {
	if err := t.checkEpoch(c); err != nil {
		return Epoch{}, err
	}
	// In the order of ids: the state must not depend on that of a map.
	others := slices.AppendSeq(slices.Clone(c.Others), maps.Keys(t.cache.nodes))
	slices.Sort(others)
	others = slices.DeleteFunc(slices.Compact(others), func(id storage.NodeID) bool { return id == c.Node.ID })
	for _, id := range others {
		if err := t.del(nodeKey(id)); err != nil {
			return Epoch{}, err
		}
		if err := write(t, key(tableRemoved).str(string(id)), t.time); err != nil {
			return Epoch{}, err
		}
	}
	if err := t.endRingChanges(); err != nil {
		return Epoch{}, err
	}
	if err := write(t, nodeKey(c.Node.ID), c.Node); err != nil {
		return Epoch{}, err
	}
	if err := write(t, single(singleRing), c.Ring); err != nil {
		return Epoch{}, err
	}
	was, _, err := read[Epoch](t, single(singleEpoch))
	if err != nil {
		return Epoch{}, err
	}
	e := Epoch{Number: was.Number + 1, Index: t.index, Time: t.time, Node: c.Node.ID, Reason: c.Reason, Formers: was.Formers}
	if c.Former != "" {
		e.Formers = append([]string{c.Former}, was.Formers[:min(len(was.Formers), formersMax-1)]...)
	}
	if err := write(t, single(singleEpoch), e); err != nil {
		return Epoch{}, err
	}
	return e, t.reload()
}

// endRingChanges drops all that was under way among members that are gone.
func (t *tx) endRingChanges() error {
	var gone [][]byte
	for _, table := range []byte{tableSynced, tableDraining, tableReplacing} {
		err := scan(t.rows(), []byte{table}, func(k, _ []byte) (bool, error) {
			gone = append(gone, append([]byte(nil), k...))
			return true, nil
		})
		if err != nil {
			return err
		}
	}
	for _, name := range []string{singleNextRing, singleSynced, singleRingNote} {
		gone = append(gone, single(name))
	}
	for _, k := range gone {
		if err := t.del(k); err != nil {
			return err
		}
	}
	return nil
}

func (t *tx) checkEpoch(c NewEpoch) error {
	const op = "NewEpoch"
	if c.Node.ID == "" || c.Node.Incarnation == 0 || len(c.Reason) > epochReasonMax || len(c.Others) > epochOthersMax || len(c.Former) > formerBytesMax {
		return refuseField(op, "node", "a node has an id and an incarnation, a reason at most 1000 bytes")
	}
	if _, gone, err := t.get(key(tableRemoved).str(string(c.Node.ID))); err != nil || gone {
		return orRefuse(err, refuse(op, storage.KindForbidden, "node_removed", nil))
	}
	newest := uint64(0)
	for _, r := range []*storage.Ring{t.cache.ring, t.cache.next} {
		if r != nil {
			newest = max(newest, r.Version)
		}
	}
	if c.Ring.Version <= newest {
		return refuse(op, storage.KindConflict, "ring_changed", nil)
	}
	if err := c.Ring.Validate(); err != nil {
		return storage.E("meta."+op, storage.KindInvalid, err)
	}
	n := c.Ring.Nodes
	if len(n) != 1 || n[0].ID != c.Node.ID || n[0].Incarnation != c.Node.Incarnation {
		return refuse(op, storage.KindConflict, "ring_names_stranger", nil)
	}
	return nil
}

// Epoch returns the epoch that the state is in.
func (f *FSM) Epoch() (e Epoch, err error) {
	err = f.view("Epoch", func(r pebble.Reader) error {
		e, _, err = lookUp[Epoch](r, single(singleEpoch))
		return err
	})
	return e, err
}

// RemovedNodes returns all that were taken out for ever, by id.
func (f *FSM) RemovedNodes() (ids []storage.NodeID, err error) {
	err = f.view("RemovedNodes", func(r pebble.Reader) error {
		return scan(r, []byte{tableRemoved}, func(k, _ []byte) (bool, error) {
			ids = append(ids, storage.NodeID(k[1:len(k)-1]))
			return true, nil
		})
	})
	return ids, err
}

// CopyTo writes the state as it is into a directory of its own, from which
// [Open] opens it. The tables are linked where the file system can.
func (f *FSM) CopyTo(dir string) error {
	const op = "meta.CopyTo"
	f.life.RLock()
	defer f.life.RUnlock()
	if err := storage.MkdirAllDurably(f.fs, dir); err != nil {
		return storage.E(op, storage.KindInternal, err)
	}
	if err := f.db.Checkpoint(f.fs.PathJoin(dir, dbPrefix+"1"), pebble.WithFlushedWAL()); err != nil {
		return storage.E(op, storage.KindInternal, err)
	}
	if err := storage.WriteFileDurably(f.fs, f.fs.PathJoin(dir, activeFile), []byte(dbPrefix+"1\n")); err != nil {
		return storage.E(op, storage.KindInternal, err)
	}
	return nil
}
