package replica

import (
	"bytes"
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"ringbin/storage"
)

func (c *testCluster) mustReconcile(want Status) {
	c.t.Helper()
	st, err := c.r.Reconcile(c.t.Context())
	if err != nil {
		c.t.Fatal(err)
	}
	for len(c.r.wants.queue) > 0 { // nobody works on them without Run
		c.r.wants.done(<-c.r.wants.queue, true)
	}
	if st.Finished.IsZero() || c.r.Status() != st {
		c.t.Errorf("status %+v after %+v", c.r.Status(), st)
	}
	st.Finished, st.LostSince, st.LostFirst, st.Progress = time.Time{}, time.Time{}, 0, Progress{}
	if st != want {
		c.t.Errorf("reconciled: %+v, want %+v", st, want)
	}
}

// run runs the Replicator until the test ends.
func (c *testCluster) run() { c.t.Cleanup(c.runUntil()) }

// runUntil runs it until stop is called.
func (c *testCluster) runUntil() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.r.Run(ctx)
	}()
	return func() {
		cancel()
		<-done
	}
}

// A pass restores what this node owns and lacks, and nothing else; it deletes
// nothing, and says of which ring it holds its part.
func TestReconcileRestores(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 4)
		held := c.keep(content(1, 100), "n1", "n2")
		small := c.keep(content(2, 1000), "n2", "n3")
		large := c.keep(content(3, 2<<20), "n3")
		orphan := content(4, 500)
		c.keep(orphan, "n1")
		c.alive = slices.DeleteFunc(c.alive, func(cid storage.CID) bool { return cid == storage.SumCID(orphan) })
		if c.r.SyncedFor() != 0 || c.r.Status().Settled() {
			t.Errorf("settled before the first pass: %+v", c.r.Status())
		}
		c.mustReconcile(Status{Checked: 3})
		c.mustHold(held, "n1", "n2")
		c.mustHold(small, "n1", "n2", "n3")
		c.mustHold(large, "n1", "n3")
		c.mustHold(storage.SumCID(orphan), "n1")
		if c.r.SyncedFor() != 1 || !c.r.Status().Settled() {
			t.Errorf("synced for ring %d, %+v", c.r.SyncedFor(), c.r.Status())
		}
		c.takeOpens()
		c.mustReconcile(Status{Checked: 3})
		if opens := c.takeOpens(); opens != nil {
			t.Errorf("a second pass fetches %v", opens)
		}
	})
}

// A node that a ring leaves out fetches nothing and keeps what it has.
func TestReconcileOwnsNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 4)
		c.setRings(ringOf(1, "n2", "n3", "n4"), nil)
		a := c.keep(content(1, 100), "n1", "n2")
		b := c.keep(content(2, 1000), "n3")
		c.mustReconcile(Status{})
		c.mustHold(a, "n1", "n2")
		c.mustHold(b, "n3")
	})
}

// What a next ring gives this node is not a pass's business.
func TestReconcileLeavesTheNextRing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 4)
		c.setRings(ringOf(1, "n2", "n3", "n4"), ringOf(2, "n1", "n3", "n4"))
		cid := c.keep(content(1, 1000), "n2")
		c.mustReconcile(Status{})
		c.mustHold(cid, "n2")
		if c.r.SyncedFor() != 1 {
			t.Errorf("synced for ring %d", c.r.SyncedFor())
		}
	})
}

func TestReconcileWithoutARing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 1)
		c.setRings(nil, nil)
		c.keep(content(1, 1000))
		c.mustReconcile(Status{})
		if c.r.SyncedFor() != 0 {
			t.Errorf("synced for ring %d", c.r.SyncedFor())
		}
	})
}

// A corrupt copy stays until a good one takes its place.
func TestReconcileReplacesCorruptCopies(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3)
		b := content(1, 2<<20)
		cid := c.keep(b, "n1", "n3")
		c.rot("n1")
		c.mustRead(b, cid, 0, -1) // meets the bad chunk
		c.set("n3", fault{down: true})
		c.mustReconcile(Status{Checked: 1, Missing: 1, Corrupt: 1})
		if info, ok, err := c.self.store.Stat(cid); !ok || !info.Corrupt || err != nil {
			t.Errorf("%+v, %t, %v", info, ok, err)
		}
		c.set("n3", fault{})
		c.mustReconcile(Status{Checked: 1})
		c.mustHold(cid, "n1", "n3")
	})
}

// I2: a copy is verified when it is pulled; a bad source is left for the next.
func TestReconcilePullsFromGoodHolders(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]fault{
		"down": {down: true}, "corrupt": {corrupt: true}, "wrong byte": {flipAt: 7}, "short": {shortAt: 1000},
		"breaks": {breakAt: 1000}, "stalls": {stallAt: 1000}, "never answers": {stallOpen: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c := newCluster(t, 3)
				cid := c.keep(content(1, 1<<20), "n2", "n3")
				c.set("n2", f)
				c.set("n3", f)
				if f.corrupt { // on both: there is none
					c.mustReconcile(Status{Checked: 1, Lost: 1})
				} else {
					c.mustReconcile(Status{Checked: 1, Missing: 1})
				}
				c.mustHold(cid, "n2", "n3")
				c.set("n3", fault{})
				c.mustReconcile(Status{Checked: 1})
				c.mustHold(cid, "n1", "n2", "n3")
			})
		})
	}
}

// The merge goes on over the borders of pages, whatever of both lists is missing.
func TestReconcilePages(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 2)
		c.setRings(ringOf(1, "n1", "n2"), nil)
		const n = 2*pageSize + 100
		for i := range n {
			on := []storage.NodeID{"n1", "n2"}
			b := content(uint64(i), 70)
			switch i % 5 {
			case 0:
				on = on[1:]
			case 1: // not alive: the store lists what the catalogue does not
				if _, err := c.self.store.Put(t.Context(), storage.SumCID(b), bytes.NewReader(b), storage.Mark{}); err != nil {
					t.Fatal(err)
				}
				continue
			}
			c.keep(b, on...)
		}
		c.mustReconcile(Status{Checked: n / 5 * 4})
		if opens := c.takeOpens(); len(opens) != n/5 {
			t.Errorf("%d copies are fetched, want %d", len(opens), n/5)
		}
		if stats := c.self.store.Stats(); stats.Blobs != n {
			t.Errorf("%d blobs are held, want %d", stats.Blobs, n)
		}
	})
}

// Run repeats a pass that left something missing, ever less often, and rests
// when all is there.
func TestRunRepeatsUntilNothingIsMissing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 2)
		cid := c.keep(content(1, 1000), "n2")
		c.set("n2", fault{down: true})
		c.run()
		synctest.Wait()
		for i, wait := range []time.Duration{0, retryFirst, 2 * retryFirst, 4 * retryFirst} {
			time.Sleep(wait)
			synctest.Wait()
			if asked := c.takeAsked(); len(asked) != 1 {
				t.Fatalf("pass %d: asked %v", i, asked)
			}
		}
		if c.r.Status().Settled() || c.r.SyncedFor() != 0 {
			t.Errorf("settled: %+v", c.r.Status())
		}
		c.set("n2", fault{})
		time.Sleep(8 * retryFirst)
		synctest.Wait()
		c.mustHold(cid, "n1", "n2")
		if !c.r.Status().Settled() || c.r.SyncedFor() != 1 {
			t.Errorf("not settled: %+v", c.r.Status())
		}
		before := c.r.Status().Finished
		time.Sleep(reconcileEvery - time.Second)
		synctest.Wait()
		if got := c.r.Status().Finished; !got.Equal(before) {
			t.Errorf("a pass at %v, though all was there at %v", got, before)
		}
	})
}

// A kick is a pass at once.
func TestKick(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 2)
		c.run()
		synctest.Wait()
		cid := c.keep(content(1, 1000), "n2")
		synctest.Wait()
		c.mustHold(cid, "n2")
		c.r.Kick()
		c.r.Kick()
		synctest.Wait()
		c.mustHold(cid, "n1", "n2")
	})
}

// A copy that fails its check while it is read is fetched again without a pass.
func TestOnCorruptFetchesAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 2)
		b := content(1, 2<<20)
		cid := c.keep(b, "n1", "n2")
		c.rot("n1")
		c.run()
		synctest.Wait()
		before := c.r.Status().Finished
		time.Sleep(time.Second)
		c.mustRead(b, cid, 0, -1)
		synctest.Wait()
		c.mustHold(cid, "n1", "n2")
		if got := c.r.Status().Finished; !got.Equal(before) {
			t.Error("it took a pass")
		}
		c.r.OnCorrupt(storage.CID{}) // not known which: a pass
		synctest.Wait()
		if got := c.r.Status().Finished; got.Equal(before) {
			t.Error("no pass for a copy that is not known")
		}
	})
}

// A commit is looked after a moment later, without a pass.
func TestCommittedIsFetched(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 4)
		c.run()
		synctest.Wait()
		before := c.r.Status().Finished
		var cids []storage.CID
		for i := range 3 * settleBatch {
			cids = append(cids, c.keep(content(uint64(i), 100), "n2"))
		}
		c.r.Committed(cids)
		synctest.Wait()
		if st := c.r.Status(); st.Unsettled != int64(len(cids)) || st.Settled() {
			t.Errorf("%+v", st)
		}
		time.Sleep(settleFor)
		synctest.Wait()
		for _, cid := range cids {
			c.mustHold(cid, "n1", "n2")
		}
		if st := c.r.Status(); !st.Settled() || !st.Finished.Equal(before) {
			t.Errorf("%+v", st)
		}
	})
}

// What a look could not fetch, a pass fetches later; commits that have no room
// among those that wait take a pass too.
func TestCommittedIsNotForgotten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 2)
		c.run()
		synctest.Wait()
		c.set("n2", fault{down: true})
		cid := c.keep(content(1, 1000), "n2")
		c.r.Committed([]storage.CID{cid})
		time.Sleep(settleFor)
		synctest.Wait()
		if st := c.r.Status(); st.Settled() || st.Missing == 0 {
			t.Errorf("%+v", st)
		}
		c.set("n2", fault{})
		time.Sleep(2 * retryMost)
		synctest.Wait()
		c.mustHold(cid, "n1", "n2")
		if st := c.r.Status(); !st.Settled() {
			t.Errorf("%+v", st)
		}
		for _, many := range [][]storage.CID{nil, make([]storage.CID, unsettledMax+1)} {
			cid := c.keep(content(uint64(2+len(many)), 1000), "n2")
			c.r.Committed(many)
			synctest.Wait()
			c.mustHold(cid, "n1", "n2")
		}
	})
}
