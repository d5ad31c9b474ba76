package node

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
)

// TestSharedRoundIsNewerThanItsReaders: a reader never gets an answer to a
// question that was asked before it came, and those who wait share one (I4).
func TestSharedRoundIsNewerThanItsReaders(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var owner sync.WaitGroup
		var asked atomic.Int64
		release := make(chan struct{})
		s := &sharedRound[int64]{wg: &owner}
		s.ask = func(context.Context) (int64, error) {
			n := asked.Add(1)
			<-release
			return n, nil
		}
		var readers sync.WaitGroup
		read := func(want int64) {
			readers.Go(func() {
				if v, err := s.get(t.Context()); v != want || err != nil {
					t.Errorf("answer %d, %v, want %d", v, err, want)
				}
			})
		}
		read(1)
		synctest.Wait() // the first question is on its way from here on
		for range 50 {
			read(2)
		}
		synctest.Wait()
		close(release)
		readers.Wait()
		owner.Wait()
		if n := asked.Load(); n != 2 {
			t.Errorf("%d questions, want 2", n)
		}
	})
}
