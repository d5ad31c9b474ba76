package node

import (
	"context"
	"math"

	"ringbin/cluster"
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
