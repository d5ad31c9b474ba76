package testcluster_test

import (
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"ringbin/storage"
	"ringbin/testcluster"
)

// TestSimAllLosePower: all machines lose power in the instant after something
// was acknowledged, Raft's log with whatever of it was not synced. What was
// acknowledged is there when they are back, again and again (I1, I3).
func TestSimAllLosePower(t *testing.T) {
	const rounds, each = 4, 8
	seed := simSeed(t)
	r := testcluster.Simulate(t, seed, func(t *testing.T) {
		t.Helper()
		c := testcluster.Start(t, 3, testcluster.Options{})
		_, key := c.Account(simOpening)
		var cids []storage.CID
		for round := range rounds {
			for i := range each {
				u, err := c.PutUntil(t.Context(), i, key, content(uint64(round*each+i), 100+i), 30)
				if err != nil {
					t.Fatal(err)
				}
				cids = append(cids, u.CID)
			}
			var g errgroup.Group
			for i := range c.Len() {
				g.Go(func() error { c.PowerLoss(i); return nil })
			}
			_ = g.Wait()
			restartAll(c)
			c.WaitReady()
			for i, cid := range cids {
				if _, err := c.Client(i%c.Len(), "").Get(cid); err != nil {
					t.Fatalf("I1: acknowledged before power loss %d, %s: %v", round, cid, err)
				}
			}
		}
	})
	t.Logf("seed %d: %v virtual, %d requests, faults %v", seed, r.Virtual.Round(time.Second), r.Requests, r.Faults)
}
