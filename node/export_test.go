package node

import (
	"context"

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
