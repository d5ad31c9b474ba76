package paste69

import (
	"context"
	"time"

	"golang.org/x/sync/semaphore"

	"ringbin/node"
	"ringbin/storage"
)

// Texts that are shown lie in memory until the answer is sent, some twenty
// times over where every character is escaped.
const (
	shownMax  = 16 << 20        // bytes of them at a time
	shownFree = 64 << 10        // a text up to this size asks for no room
	shownWait = 5 * time.Second // for room
)

func newShown() *semaphore.Weighted { return semaphore.NewWeighted(shownMax) }

// room takes room in memory for up to limit bytes of a paste's text; whoever
// shows it holds that until the answer is sent. The error is KindUnavailable
// (overloaded).
func (c *call) room(p node.Paste, limit int64) (release func(), err error) {
	size := min(p.CID.Size(), limit)
	if !p.UTF8 || size <= shownFree {
		return func() {}, nil
	}
	wait, cancel := context.WithTimeout(c.r.Context(), shownWait)
	defer cancel()
	if err := c.d.shown.Acquire(wait, size); err != nil {
		return nil, &storage.Error{Op: "paste69.room", Kind: storage.KindUnavailable, Code: "overloaded", Err: err}
	}
	return func() { c.d.shown.Release(size) }, nil
}
