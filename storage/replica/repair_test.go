package replica

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"ringbin/storage"
)

// What has the fewest copies is restored first, and each peer is asked once.
func TestFewestCopiesFirst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 4)
		c.setRings(ringOf(1, "n1", "n2", "n3", "n4"), nil)
		rare := map[storage.CID]bool{}
		for i := range 40 {
			on := []storage.NodeID{"n2", "n3", "n4"}
			if i%4 == 3 {
				on = on[i%3 : i%3+1]
			}
			cid := c.keep(content(uint64(i), 500), on...)
			rare[cid] = len(on) == 1
		}
		var order []storage.CID
		c.opened = func(cid storage.CID) { order = append(order, cid) }
		c.mustReconcile(Status{Checked: 40})
		if asked := c.takeAsked(); len(asked) != 3 {
			t.Errorf("asked %v, want each peer once", asked)
		}
		if len(order) != 40 {
			t.Fatalf("%d pulls for 40 copies", len(order))
		}
		for i, cid := range order[:10-pullsMax] { // those under way at the same time may overtake
			if !rare[cid] {
				t.Errorf("pull %d is of content with three copies", i)
			}
		}
		if p := c.r.Status().Progress; p != (Progress{Lacking: 40, Restored: 40, RestoredBytes: 40 * 500}) {
			t.Errorf("%+v", p)
		}
	})
}

// No good copy anywhere: lost, when every owner said so; missing, as long as
// one could not be asked. What is left is kept, and nothing wrong is served.
func TestLost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3)
		b := content(1, 2<<20)
		cid := c.keep(b, "n1", "n2", "n3")
		fine := c.keep(content(2, 1000), "n1", "n2", "n3")
		for _, id := range c.ids() {
			c.rotBlob(id, b)
		}
		for _, id := range c.ids() { // each finds its own out
			if _, err := c.nodes[id].store.Verify(t.Context(), cid); storage.KindOf(err) != storage.KindCorrupt {
				t.Fatalf("node %s: %v", id, err)
			}
		}
		c.set("n3", fault{down: true})
		c.mustReconcile(Status{Checked: 2, Missing: 1, Corrupt: 1})
		if lost := c.r.Lost(); len(lost) != 0 {
			t.Errorf("lost %v, and an owner was not asked", lost)
		}
		c.set("n3", fault{})
		c.mustReconcile(Status{Checked: 2, Lost: 1, Corrupt: 1})
		st := c.r.Status()
		if lost := c.r.Lost(); !slices.Equal(lost, []storage.CID{cid}) || st.LostFirst != 1 || st.LostSince.IsZero() || st.Settled() {
			t.Errorf("lost %v, %+v", lost, st)
		}
		if c.r.SyncedFor() != 1 {
			t.Error("a lost blob makes the node one that is not in step")
		}
		since := st.LostSince
		time.Sleep(time.Minute)
		c.mustReconcile(Status{Checked: 2, Lost: 1, Corrupt: 1})
		if got := c.r.Status().LostSince; !got.Equal(since) {
			t.Errorf("lost since %v, was %v", got, since)
		}
		if _, err := c.r.Open(t.Context(), cid, 0, -1); storage.KindOf(err) != storage.KindUnavailable {
			t.Errorf("a lost blob is opened: %v", err)
		}
		for _, id := range c.ids() {
			if info, ok, err := c.nodes[id].store.Stat(cid); !ok || !info.Corrupt || err != nil {
				t.Errorf("what was left of it on %s: %+v, %t, %v", id, info, ok, err)
			}
		}
		c.mustHold(fine, "n1", "n2", "n3")
		// Somebody brings it back.
		if _, err := c.nodes["n2"].store.Put(t.Context(), cid, bytes.NewReader(b), storage.Mark{Generation: 9}); err != nil {
			t.Fatal(err)
		}
		c.mustReconcile(Status{Checked: 2})
		if st := c.r.Status(); len(c.r.Lost()) != 0 || !st.LostSince.IsZero() || !st.Settled() {
			t.Errorf("%+v", st)
		}
	})
}

// A node whose metadata is behind misses copies that the others have erased:
// nothing is lost of what turns out to be dead, and nothing is claimed before
// the node knows.
func TestDeadIsNotLost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3)
		dead, rotten, lost := storage.SumCID(content(1, 900)), content(2, 2<<20), storage.SumCID(content(3, 900))
		c.keep(rotten, "n1")
		c.rotBlob("n1", rotten)
		if _, err := c.self.store.Verify(t.Context(), storage.SumCID(rotten)); storage.KindOf(err) != storage.KindCorrupt {
			t.Fatal(err)
		}
		c.alive = append(c.alive, dead, lost)
		slices.SortFunc(c.alive, storage.CID.Compare)
		var current, alone bool
		c.r.o.CatchUp = func(context.Context) error {
			if alone {
				return errBroke
			}
			current = true
			return nil
		}
		c.r.o.Standings = func(cids []storage.CID) ([]storage.Standing, error) {
			standings := make([]storage.Standing, len(cids))
			for i, cid := range cids {
				standings[i].Referenced = !current || cid == lost
			}
			return standings, nil
		}
		alone = true
		c.mustReconcile(Status{Checked: 3, Missing: 3, Corrupt: 1})
		alone = false
		c.mustReconcile(Status{Checked: 3, Lost: 1})
		if got := c.r.Lost(); !slices.Equal(got, []storage.CID{lost}) {
			t.Errorf("lost: %d blobs, %v", len(got), got)
		}
		alone = true
		c.mustReconcile(Status{Checked: 3, Missing: 3, Corrupt: 1, Lost: 1}) // nothing is taken back either
	})
}

// A copy that only a former owner still has is found, and nothing is lost.
func TestStrayCopyIsFound(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 4)
		ring := ringOf(1, "n1", "n2", "n4")
		ring.Nodes = append(ring.Nodes, storage.RingNode{ID: "n5", Incarnation: 1}) // owns nothing; nobody is there
		ring.Nodes[1], ring.Nodes[2] = ring.Nodes[2], ring.Nodes[1]
		ring.Nodes[1].ID, ring.Nodes[2].ID = "n2", "n3"
		ring.Nodes[3].ID = "n4"
		for p := range ring.Owners {
			ring.Owners[p] = []uint16{0, 1, 3}
		}
		c.setRings(ring, nil)
		cid := c.keep(content(1, 1000), "n3")
		c.mustReconcile(Status{Checked: 1})
		c.mustHold(cid, "n1", "n3")
	})
}

// Read repair: what a peer asks for, and is owned and not here, is fetched at
// once and once; what is not owned, or not alive, is not.
func TestWant(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 4)
		dead := storage.SumCID(content(9, 900))
		c.r.o.Standings = func(cids []storage.CID) ([]storage.Standing, error) {
			standings := make([]storage.Standing, len(cids))
			for i, cid := range cids {
				standings[i].Referenced = cid != dead
			}
			return standings, nil
		}
		c.run()
		synctest.Wait()
		before := c.r.Status().Finished
		time.Sleep(time.Second)
		cid := c.keep(content(1, 1000), "n2")
		c.keep(content(9, 900), "n2")
		for range 100 {
			c.r.Want(cid)
			c.r.Want(dead)
		}
		if st := c.r.Status(); st.Settled() {
			t.Error("settled while copies wait for their repair")
		}
		synctest.Wait()
		if st := c.r.Status(); !st.Settled() {
			t.Errorf("%+v", st)
		}
		c.mustHold(cid, "n1", "n2")
		c.mustHold(dead, "n2")
		if opens := c.takeOpens(); len(opens) != 1 {
			t.Errorf("%d pulls for one copy", len(opens))
		}
		if !c.r.Status().Finished.Equal(before) {
			t.Error("it took a pass")
		}
		c.setRings(ringOf(2, "n2", "n3", "n4"), nil)
		other := c.keep(content(2, 1000), "n2")
		c.r.Want(other)
		synctest.Wait()
		c.mustHold(other, "n2")
	})
}

// A wanted copy that can't be had is not tried again and again.
func TestWantPauses(t *testing.T) {
	t.Parallel()
	w := newWants()
	cid := storage.SumCID(content(1, 100))
	first, again := w.add(cid), w.add(cid)
	if !first || !again || len(w.queue) != 1 {
		t.Errorf("%d in the queue", len(w.queue))
	}
	<-w.queue
	w.done(cid, false)
	if !w.add(cid) || len(w.queue) != 0 {
		t.Error("tried again at once")
	}
	w.until[cid] = time.Now().Add(-time.Second)
	if !w.add(cid) || len(w.queue) != 1 {
		t.Error("never tried again")
	}
	for i := range wantsMax {
		w.add(storage.SumCID(content(uint64(i), 90)))
	}
	if len(w.until) > wantsMax {
		t.Errorf("%d are remembered", len(w.until))
	}
}

// Scrub finds rot that nobody reads, within its time, and has it repaired; it
// goes on where it was after a restart.
func TestScrub(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 2)
		c.r.o.ScrubEvery = 100 * time.Second
		var all int64
		var bad storage.CID
		for i := range 20 {
			size := 300 << 10
			if i == 7 {
				size = 600 << 10 // the one with a table of its own: no compaction comes by
			}
			b := content(uint64(i), size)
			cid := c.keep(b, "n1", "n2")
			all += cid.Size()
			if i == 7 {
				c.rotBlob("n1", b[256<<10:]) // no list comes by there
				bad = cid
			}
		}
		stop := c.runUntil()
		time.Sleep(45 * time.Second)
		synctest.Wait()
		st := c.r.Scrub()
		if share := float64(st.Bytes) / float64(all); share < 0.4 || share > 0.6 {
			t.Errorf("%.0f %% read after half of the planned time", 100*share)
		}
		stop()
		half := st.Bytes
		c.reopen("n1")
		c.r = c.newReplicator()
		c.r.o.ScrubEvery = 100 * time.Second
		stop = c.runUntil()
		time.Sleep(55 * time.Second)
		synctest.Wait()
		st = c.r.Scrub()
		if st.Found != 1 || st.Finished.IsZero() || st.Bytes < all-(600<<10) || st.Bytes > all+half/2 {
			t.Errorf("after a round over %d bytes: %+v", all, st)
		}
		c.mustHold(bad, "n1", "n2")
		if age := st.Age(time.Now()); age > 20*time.Second {
			t.Errorf("age %v", age)
		}
		stop()
	})
}

// P6: a store that can't be listed any more is replaced and filled again, and
// the old database goes when no receipt for what it held can count.
func TestReconcileReplacesARottenStore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3)
		const n = 300
		var contents [][]byte
		for i := range n {
			b := content(uint64(i), 2000)
			on := c.ids()
			if i == 5 {
				on = on[:1] // nobody else has it: it must not get lost
			}
			c.keep(b, on...)
			contents = append(contents, b)
		}
		stranger := c.keep(content(999, 3000), "n1") // not alive, owned all the same
		c.mu.Lock()
		c.alive = slices.DeleteFunc(c.alive, func(cid storage.CID) bool { return cid == stranger })
		c.mu.Unlock()
		c.flush("n1")
		c.rotBlob("n1", contents[n-1])
		c.mustReconcile(Status{Checked: n}) // finds out that it can't list, asks for each
		for !c.r.Rebuilding() {
			time.Sleep(time.Millisecond)
			synctest.Wait()
		}
		c.mustReconcile(Status{Checked: n})
		for _, b := range contents {
			info, ok, err := c.self.store.Stat(storage.SumCID(b))
			if !ok || info.Old || info.Corrupt || err != nil {
				t.Fatalf("%+v, %t, %v", info, ok, err)
			}
		}
		if !c.r.Rebuilding() {
			t.Error("the old database is gone while receipts for it may count")
		}
		c.self.vouch.Time += rebuildKeep.Milliseconds()
		c.mustReconcile(Status{Checked: n})
		if c.r.Rebuilding() {
			t.Error("the rebuild has no end")
		}
		infos, err := c.self.store.List(nil, 2*n)
		if err != nil || len(infos) != n {
			t.Errorf("%d blobs are listed, want %d: %v", len(infos), n, err)
		}
	})
}

// I13: a copy of what is alive is not let go with the old database because its
// node does not own it any more.
func TestCopiesOfOthersOutliveTheOldDatabase(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 4)
		var contents [][]byte
		for i := range 50 {
			contents = append(contents, content(uint64(i), 2000))
			c.keep(contents[i], "n1")
		}
		c.flush("n1")
		c.rotBlob("n1", contents[49])
		c.setRings(ringOf(2, "n2", "n3", "n4"), nil)
		if _, err := c.self.store.List(nil, 1000); storage.KindOf(err) != storage.KindCorrupt {
			t.Fatalf("List: %v", err)
		}
		for !c.r.Rebuilding() {
			time.Sleep(time.Millisecond)
			synctest.Wait()
		}
		c.mustReconcile(Status{})
		c.self.vouch.Time += rebuildKeep.Milliseconds()
		c.mustReconcile(Status{})
		if c.r.Rebuilding() {
			t.Fatal("the old database is still there")
		}
		held := 0
		for _, b := range contents {
			held += len(c.holders(storage.SumCID(b)))
		}
		if held < 25 { // those in the rotten block are gone
			t.Errorf("%d of %d copies are left", held, len(contents))
		}
	})
}

var errStat = errors.New("stat")

// An answer that is not about what was asked counts as none.
func TestSurveyOfSilentPeers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3)
		c.keep(content(1, 1000))
		c.statErr = errStat
		c.mustReconcile(Status{Checked: 1, Missing: 1})
		c.statErr, c.statShort = nil, true
		c.mustReconcile(Status{Checked: 1, Missing: 1})
		c.statShort = false
		c.mustReconcile(Status{Checked: 1, Lost: 1})
	})
}
