package node

import (
	"context"
	"time"

	"ringbin/storage"
	"ringbin/storage/meta"
)

// Times and limits of sealing anew.
const (
	resealEvery = 10 * time.Minute // beside each change of leadership
	resealMax   = 1000             // keys that are gathered at once
)

// runReseal lets whoever leads seal anew what was sealed under a secret, or a
// cluster's id, that is not the one of now: so an old secret can be dropped
// soon after all nodes have the new one in the first place.
func (n *Node) runReseal(ctx context.Context) {
	raft, ok := n.raft()
	if !ok {
		return
	}
	leadership, stop := raft.Watch()
	defer stop()
	timer := time.NewTicker(resealEvery)
	defer timer.Stop()
	for {
		if raft.IsLeader() {
			if err := n.reseal(ctx); err != nil && ctx.Err() == nil {
				n.logger.Warn("access keys were not sealed anew", "err", err)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-leadership:
		case <-timer.C:
		}
	}
}

// reseal seals anew all that is to be.
func (n *Node) reseal(ctx context.Context) error {
	sealer, err := n.sealer()
	if err != nil {
		return err
	}
	for {
		keys, more, unopened, err := n.oldKeys(sealer)
		if err != nil {
			return err
		}
		if unopened > 0 {
			n.logger.Warn("access keys can't be shown: no secret that this node has opens them", "keys", unopened)
		}
		for _, k := range keys {
			err := n.proposeAs(ctx, k)
			if err != nil && storage.KindOf(err) != storage.KindNotFound {
				return err
			}
		}
		if len(keys) > 0 {
			n.logger.Info("access keys sealed anew", "keys", len(keys))
		}
		if !more {
			return nil
		}
	}
}

// oldKeys returns the commands that seal keys anew, and how many keys do not open.
func (n *Node) oldKeys(sealer *sealer) (again []meta.UpdateAccessKey, more bool, unopened int, err error) {
	err = n.fsm.SealedKeys(func(k Key) bool {
		secret, current, err := sealer.open(k.Account, k.Hash, k.Sealed)
		switch {
		case err != nil:
			unopened++
		case !current:
			sealed := sealer.seal(k.Account, secret)
			again = append(again, meta.UpdateAccessKey{Account: k.Account, ID: k.ID, Sealed: &sealed})
		}
		more = len(again) == resealMax
		return !more
	})
	return again, more, unopened, err
}
