package cluster

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// futuresWithin is how long Close waits for Raft to answer what it was asked:
// a leader that hears nobody steps down within its lease.
const futuresWithin = 3 * time.Second

var errClosing = errors.New("raft is closing")

// futures are what Raft was asked and has not answered. Raft answers each one
// while it runs, and forgets those that still wait in its queues when it is
// shut down: so they are waited for before.
type futures struct {
	mu      sync.Mutex // protects closing, and asked against its Wait
	closing bool
	asked   sync.WaitGroup
}

// wait asks, and waits for the answer or for ctx: a future itself can't be
// given up.
func (f *futures) wait(ctx context.Context, ask func() raft.Future) error {
	f.mu.Lock()
	if f.closing {
		f.mu.Unlock()
		return errClosing
	}
	f.asked.Add(1)
	f.mu.Unlock()
	done := make(chan error, 1)
	go func() {
		defer f.asked.Done()
		done <- ask().Error()
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// close lets nothing more be asked, and waits for the answers. A Raft whose
// disk hangs does not answer: it is left after a while.
func (f *futures) close(within time.Duration) {
	f.mu.Lock()
	f.closing = true
	f.mu.Unlock()
	answered := make(chan struct{})
	go func() {
		f.asked.Wait()
		close(answered)
	}()
	timer := time.NewTimer(within)
	defer timer.Stop()
	select {
	case <-answered:
	case <-timer.C:
	}
}
