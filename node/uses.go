package node

import (
	"context"
	"sync"
	"time"

	"ringbin/storage/meta"
)

// Times and limits of lastUsed.
const (
	usesEvery = 30 * time.Second // at most a minute stale, with the time a command takes
	usesMax   = 1000             // keys of one command
)

// keyUses gathers when keys were last used, and writes it down for all of them
// in one command now and then. A crash loses what was gathered since.
type keyUses struct {
	n *Node

	mu   sync.Mutex // protects used
	used map[string]int64
}

func newKeyUses(n *Node) *keyUses { return &keyUses{n: n, used: map[string]int64{}} }

func (u *keyUses) note(key string, now int64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.used[key] = now
}

// last returns what was gathered for a key and is not written yet.
func (u *keyUses) last(key string) int64 {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.used[key]
}

func (u *keyUses) run(ctx context.Context) {
	timer := time.NewTicker(usesEvery)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
			u.flush(ctx)
		}
	}
}

// flush writes down what was gathered; what can't be written stays gathered.
func (u *keyUses) flush(ctx context.Context) {
	for {
		batch := u.take()
		if len(batch) == 0 {
			return
		}
		if err := u.n.proposeAs(ctx, meta.TouchKeys{Used: batch}); err != nil {
			u.n.logger.Debug("last uses not written", "err", err)
			u.putBack(batch)
			return
		}
	}
}

func (u *keyUses) take() []meta.KeyUse {
	u.mu.Lock()
	defer u.mu.Unlock()
	batch := make([]meta.KeyUse, 0, min(len(u.used), usesMax))
	for id, at := range u.used {
		if len(batch) == usesMax {
			break
		}
		batch = append(batch, meta.KeyUse{ID: id, Time: at})
		delete(u.used, id)
	}
	return batch
}

func (u *keyUses) putBack(batch []meta.KeyUse) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, b := range batch {
		u.used[b.ID] = max(u.used[b.ID], b.Time)
	}
}
