package peer

import (
	"context"
	"sync"

	"ringbin/storage"
)

// Answer is what one node answered.
type Answer[T any] struct {
	ID    storage.NodeID
	Value T
	Err   error
}

// FanOut calls f for every id, at most limit at a time, and returns all
// answers in the order of ids. It waits for all: give ctx a deadline. It is for
// asking; it says nothing about a majority.
func FanOut[T any](ctx context.Context, ids []storage.NodeID, limit int, f func(context.Context, storage.NodeID) (T, error)) []Answer[T] {
	answers := make([]Answer[T], len(ids))
	places := make(chan struct{}, max(1, limit))
	var wg sync.WaitGroup
	for i, id := range ids {
		wg.Go(func() {
			places <- struct{}{}
			defer func() { <-places }()
			v, err := f(ctx, id)
			answers[i] = Answer[T]{ID: id, Value: v, Err: err}
		})
	}
	wg.Wait()
	return answers
}
