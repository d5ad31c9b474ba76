package highlight

import (
	"context"
	"time"

	"golang.org/x/sync/semaphore"

	"ringbin/storage"
)

// Texts that are shown lie in memory until the answer is sent, some twenty
// times over where every character is escaped.
const (
	roomMax  = 16 << 20        // bytes of them at a time
	roomFree = 64 << 10        // a text up to this size asks for no room
	roomWait = 5 * time.Second // for room
)

// Room is the memory for texts that are shown.
type Room struct{ bytes *semaphore.Weighted }

// NewRoom returns a Room that is empty.
func NewRoom() *Room { return &Room{semaphore.NewWeighted(roomMax)} }

// Take takes room for size bytes of a text; whoever shows it holds that until
// the answer is sent. The error is KindUnavailable (overloaded).
func (r *Room) Take(ctx context.Context, size int64) (release func(), err error) {
	if size <= roomFree {
		return func() {}, nil
	}
	wait, cancel := context.WithTimeout(ctx, roomWait)
	defer cancel()
	if err := r.bytes.Acquire(wait, size); err != nil {
		return nil, &storage.Error{Op: "highlight.Room.Take", Kind: storage.KindUnavailable, Code: "overloaded", Err: err}
	}
	return func() { r.bytes.Release(size) }, nil
}
