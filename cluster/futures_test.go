package cluster

import (
	"context"
	"testing"
)

// TestCloseWhileAsking closes a node again and again while others ask its Raft
// for things: Raft forgets what waits in its queues when it is shut down, and
// neither Close nor who asked may wait for that.
func TestCloseWhileAsking(t *testing.T) {
	t.Parallel()
	const asking, rounds = 32, 10
	rt := newRaftTest(t, 1)
	rt.bootstrap()
	node := rt.leader()
	for range rounds {
		r := node.raft
		started, ended := make(chan struct{}, asking), make(chan struct{}, asking)
		for i := range asking {
			go func() {
				for n := 0; ; n++ {
					var err error
					if i%2 == 0 {
						_, err = r.Apply(context.Background(), []byte("x"))
					} else {
						err = r.VerifyLeader(context.Background())
					}
					if n == 0 {
						started <- struct{}{}
					}
					if err != nil {
						ended <- struct{}{}
						return
					}
				}
			}()
		}
		for range asking {
			<-started
		}
		rt.stop(node)
		for range asking {
			<-ended
		}
		rt.start(node)
		rt.leader()
	}
}
