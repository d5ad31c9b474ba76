package node

import (
	"context"
	"math"
	"time"

	"ringbin/cluster"
	"ringbin/storage"
)

// WaitSealed returns once nothing waits for being sealed anew.
func (n *Node) WaitSealed(ctx context.Context) error {
	for {
		applied := n.fsm.AppliedIndex()
		keys, err := n.sealer(cluster.SealAccessKeys)
		if err != nil {
			return err
		}
		notes, err := n.sealer(cluster.SealNotes)
		if err != nil {
			return err
		}
		oldKeys, err := n.oldKeys(keys)
		if err != nil {
			return err
		}
		oldNotes, err := n.oldNotes(notes)
		if err != nil || len(oldKeys.again)+len(oldNotes.again) == 0 {
			return err
		}
		if err := n.fsm.Wait(ctx, applied+1); err != nil {
			return err
		}
	}
}

// LoseNote erases this node's copy of a note's content.
func (n *Node) LoseNote(hash string) (lost bool, err error) {
	note, found, err := n.fsm.Note(hash)
	if err != nil || !found {
		return false, err
	}
	return n.store.Erase(note.CID, math.MaxUint64)
}

// NoteRecord returns what the metadata of this node has of a note.
func (n *Node) NoteRecord(hash string) (Note, bool, error) { return n.fsm.Note(hash) }

// WaitRing returns once a ring of so many nodes holds and none is being filled.
func (n *Node) WaitRing(ctx context.Context, nodes int) error {
	for {
		applied := n.fsm.AppliedIndex()
		if cur, next := n.fsm.Ring(); cur != nil && next == nil && len(cur.Nodes) == nodes {
			return nil
		}
		if err := n.fsm.Wait(ctx, applied+1); err != nil {
			return err
		}
	}
}

// CountedLong has a node count as if it had done so for an hour.
func (n *Node) CountedLong() {
	c := n.service.counter
	for p := range storage.Partitions {
		if id, entry := n.fsm.Counter(p); id == n.self() {
			c.see(p, entry)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for p := range c.reigns {
		c.reigns[p].seen = c.reigns[p].seen.Add(-time.Hour)
	}
}

// CountsFor reports whether a node is the counter of a token.
func (n *Node) CountsFor(token int64) bool {
	id, _ := n.fsm.Counter(keyPartition(tokenWindow(token)))
	return id == n.self()
}

// AdmittedAlone is how many requests of a token a node admitted without its
// counter in the newest window.
func (n *Node) AdmittedAlone(token int64) int64 {
	w := n.service.windows
	w.mu.Lock()
	defer w.mu.Unlock()
	if k := w.keys[tokenWindow(token)]; k != nil && k.window == w.window {
		return k.used
	}
	return 0
}
