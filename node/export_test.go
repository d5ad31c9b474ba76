package node

import "context"

// WaitSealed returns once nothing waits for being sealed anew.
func (n *Node) WaitSealed(ctx context.Context) error {
	for {
		applied := n.fsm.AppliedIndex()
		sealer, err := n.sealer()
		if err != nil {
			return err
		}
		if old, _, _, err := n.oldKeys(sealer); err != nil || len(old) == 0 {
			return err
		}
		if err := n.fsm.Wait(ctx, applied+1); err != nil {
			return err
		}
	}
}
