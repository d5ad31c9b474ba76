package node

import (
	"context"
	"time"

	"ringbin/storage"
)

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
