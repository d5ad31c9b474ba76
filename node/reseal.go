package node

import (
	"context"
	"errors"
	"time"

	"ringbin/cluster"
	"ringbin/storage"
	"ringbin/storage/meta"
)

// Times and limits of sealing anew.
const (
	resealEvery = 10 * time.Minute // beside each change of leadership
	resealMax   = 1000             // secrets that are gathered at once
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
				n.logger.Warn("not sealed anew", "err", err)
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
	for _, of := range []struct {
		what string
		kind cluster.SealInfo
		old  func(*sealer) (stale, error)
	}{
		{"access keys", cluster.SealAccessKeys, n.oldKeys},
		{"keys of what is read once", cluster.SealNotes, n.oldNotes},
	} {
		sealer, err := n.sealer(of.kind)
		if err != nil {
			return err
		}
		for more := true; more; {
			old, err := of.old(sealer)
			if err != nil {
				return err
			}
			if err := n.sealAnew(ctx, of.what, old); err != nil {
				return err
			}
			more = old.more
		}
	}
	return nil
}

// stale is what was found to be sealed under keys of before.
type stale struct {
	again    []meta.Command // that seal it anew
	more     bool           // there may be more of it
	unopened int            // what no key of this node opens
}

func (n *Node) sealAnew(ctx context.Context, what string, old stale) error {
	if old.unopened > 0 {
		n.logger.Warn("no secret that this node has opens what is sealed", "what", what, "count", old.unopened)
	}
	for _, c := range old.again {
		switch err := n.proposeAs(ctx, c); {
		case err == nil, storage.KindOf(err) == storage.KindNotFound, storage.KindOf(err) == storage.KindConflict:
			// Or it is gone, or was changed meanwhile, and then sealed as all is now.
		default:
			return err
		}
	}
	if len(old.again) > 0 {
		n.logger.Info("sealed anew", "what", what, "count", len(old.again))
	}
	return nil
}

// oldKeys finds access keys.
func (n *Node) oldKeys(sealer *sealer) (old stale, err error) {
	err = n.fsm.SealedKeys(func(k Key) bool {
		secret, current, err := sealer.openKey(k.Account, k.Hash, k.Sealed)
		switch {
		case err != nil:
			old.unopened++
		case !current:
			sealed := sealer.sealKey(k.Account, secret)
			old.again = append(old.again, meta.UpdateAccessKey{Account: k.Account, ID: k.ID, Sealed: &sealed})
		}
		old.more = len(old.again) == resealMax
		return !old.more
	})
	return old, err
}

var errEnough = errors.New("enough was gathered")

// oldNotes finds notes that are to be read once.
func (n *Node) oldNotes(sealer *sealer) (old stale, err error) {
	err = n.fsm.SealedNotes(func(note Note) error {
		key, current, err := sealer.openNoteKey(note)
		switch {
		case err != nil:
			old.unopened++
		case !current:
			old.again = append(old.again, meta.ResealNote{Hash: note.Hash, Revision: note.Revision, Sealed: sealer.sealNoteKey(note.Hash, key)})
		}
		if old.more = len(old.again) == resealMax; old.more {
			return errEnough
		}
		return nil
	})
	if errors.Is(err, errEnough) {
		err = nil
	}
	return old, err
}
