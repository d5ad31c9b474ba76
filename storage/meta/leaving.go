package meta

import (
	"errors"
	"fmt"
	"maps"

	"github.com/cockroachdb/pebble/v2"

	"ringbin/storage"
)

// Drain says that a member is leaving.
type Drain struct {
	Since int64 `cbor:"1,keyasint"`           // FSM time in Unix milliseconds
	Force bool  `cbor:"2,keyasint,omitempty"` // even while other members do not answer
}

func drainKey(id storage.NodeID) []byte { return key(tableDraining).str(string(id)) }

func replaceKey(id storage.NodeID) []byte { return key(tableReplacing).str(string(id)) }

// reloadLeaving reads again who leaves and who is replaced.
func (t *tx) reloadLeaving(c *cached) error {
	err := scan(t.rows(), []byte{tableDraining}, func(k, v []byte) (bool, error) {
		var d Drain
		if err := decMode.Unmarshal(v, &d); err != nil {
			return false, fmt.Errorf("%w: key %x: %w", errCorruptState, k, err)
		}
		c.draining[storage.NodeID(k[1:len(k)-1])] = d
		return true, nil
	})
	if err != nil {
		return err
	}
	return scan(t.rows(), []byte{tableReplacing}, func(k, v []byte) (bool, error) {
		c.replaced[storage.NodeID(k[1:len(k)-1])] = storage.NodeID(v)
		return true, nil
	})
}

// drainNode marks a member as leaving. Somebody has to stay.
func (t *tx) drainNode(_ Header, c DrainNode) (none, error) {
	const op = "DrainNode"
	if _, known := t.cache.nodes[c.ID]; !known {
		return none{}, refuseMissing(op)
	}
	old, marked := t.cache.draining[c.ID]
	switch {
	case !c.Drain && !marked:
		return none{}, nil
	case !c.Drain:
		if err := t.del(drainKey(c.ID)); err != nil {
			return none{}, err
		}
	default:
		stay := 0
		for id := range t.cache.nodes {
			if _, leaves := t.cache.draining[id]; !leaves && id != c.ID {
				stay++
			}
		}
		if stay == 0 {
			return none{}, refuse(op, storage.KindConflict, "last_node", nil)
		}
		d := Drain{Since: t.time, Force: c.Force || old.Force}
		if marked {
			d.Since = old.Since
		}
		if err := write(t, drainKey(c.ID), d); err != nil {
			return none{}, err
		}
	}
	if err := t.releaseRing(); err != nil {
		return none{}, err
	}
	return none{}, t.reload()
}

// replaceNode notes who comes in the place of a dead member. It may do so before
// the newcomer is a member, so that no ring ever has both. The dead one stays a
// member until the leader removes it; nothing is placed on it meanwhile.
func (t *tx) replaceNode(_ Header, c ReplaceNode) (none, error) {
	const op = "ReplaceNode"
	if c.Cancel {
		if by, noted := t.cache.replaced[c.Old]; !noted || by != c.New {
			return none{}, refuseMissing(op)
		}
		if err := t.del(replaceKey(c.Old)); err != nil {
			return none{}, err
		}
		return none{}, t.reload()
	}
	dead, known := t.cache.nodes[c.Old]
	heir, also := t.cache.nodes[c.New]
	switch {
	case !known:
		return none{}, refuseMissing(op)
	case c.Old == c.New || also && dead.Name != heir.Name:
		return none{}, refuse(op, storage.KindConflict, "other_name", nil)
	}
	if err := t.set(replaceKey(c.Old), []byte(c.New)); err != nil {
		return none{}, err
	}
	if err := t.releaseRing(); err != nil {
		return none{}, err
	}
	return none{}, t.reload()
}

// forgetLeaving drops what was noted of a member that is gone.
func (t *tx) forgetLeaving(id storage.NodeID) error {
	err := errors.Join(t.del(drainKey(id)), t.del(replaceKey(id)))
	for old, by := range t.cache.replaced {
		if by == id { // in whatever order: the state is the same
			err = errors.Join(err, t.del(replaceKey(old)))
		}
	}
	return err
}

// Draining returns the members that are leaving. It must not be changed.
func (f *FSM) Draining() map[storage.NodeID]Drain { return f.state.Load().draining }

// Replaced returns the dead members and who comes in their place.
func (f *FSM) Replaced() map[storage.NodeID]storage.NodeID {
	return maps.Clone(f.state.Load().replaced)
}

// Removed reports whether a node was a member and is none any more, for ever.
func (f *FSM) Removed(id storage.NodeID) (bool, error) {
	removed := false
	err := f.view("Removed", func(r pebble.Reader) error {
		_, ok, err := lookUp[int64](r, key(tableRemoved).str(string(id)))
		removed = ok
		return err
	})
	return removed, err
}
