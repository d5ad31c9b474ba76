package node

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
)

// TestSharedRoundIsNewerThanItsReaders: a reader never gets an answer to a
// question that was asked before it came, and those who wait share one (I4).
func TestSharedRoundIsNewerThanItsReaders(t *testing.T) {
	t.Parallel()
	var owner sync.WaitGroup
	var asked atomic.Int64
	release := make(chan struct{})
	s := &sharedRound[int64]{wg: &owner}
	s.ask = func(context.Context) (int64, error) {
		n := asked.Add(1)
		<-release
		return n, nil
	}
	first := make(chan int64, 1)
	owner.Go(func() {
		v, _ := s.get(context.Background())
		first <- v
	})
	for asked.Load() == 0 {
		// The first question is on its way from here on.
		yield(t)
	}
	const readers = 50
	late := make(chan int64, readers)
	for range readers {
		owner.Go(func() {
			v, _ := s.get(context.Background())
			late <- v
		})
	}
	for waiting := false; !waiting; {
		s.mu.Lock()
		waiting = s.next != nil
		s.mu.Unlock()
		yield(t)
	}
	close(release)
	if v := <-first; v != 1 {
		t.Errorf("the first reader got answer %d", v)
	}
	for range readers {
		if v := <-late; v < 2 {
			t.Error("a reader got the answer to a question asked before it came")
		}
	}
	owner.Wait()
	if n := asked.Load(); n > readers/2 {
		t.Errorf("%d questions for %d readers", n, readers+1)
	}
}

// yield lets others run between two looks at what only they change.
func yield(t *testing.T) {
	t.Helper()
	runtime.Gosched()
	if t.Context().Err() != nil {
		t.Fatal("the test is over")
	}
}
