package replica

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"ringbin/storage"
)

// said is the cluster's side of moving: what a node has to vouch for, and what
// it did.
type said struct {
	c *testCluster

	mu    sync.Mutex // protects the fields below
	whole map[int]bool
	calls int
	// before is called with what is about to be said.
	before func(partitions []int)
	fail   error
}

func (c *testCluster) moves() *said {
	s := &said{c: c, whole: map[int]bool{}}
	c.r.o.Moves = s
	return s
}

func (s *said) ToSync() (uint64, []int, error) {
	_, next := s.c.Rings()
	if next == nil {
		return 0, nil, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var left []int
	for p := range storage.Partitions {
		if !s.whole[p] && next.OwnsPartition(p, "n1", 1) {
			left = append(left, p)
		}
	}
	return next.Version, left, nil
}

func (s *said) Synced(_ context.Context, version uint64, partitions []int) error {
	if s.before != nil {
		s.before(partitions)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	if _, next := s.c.Rings(); next == nil || next.Version != version {
		return errBroke // refused, as by the metadata
	}
	if s.fail != nil {
		return s.fail
	}
	for _, p := range partitions {
		s.whole[p] = true
	}
	return nil
}

func (s *said) has(p int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.whole[p]
}

func (s *said) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.whole)
}

// A new owner fetches from the owners of the ring that holds, and says that a
// partition is whole only when it is; one that can't be had holds up no other.
func TestMoveByPartition(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 4)
		c.setRings(ringOf(1, "n2", "n3", "n4"), nil)
		s := c.moves()
		s.before = func(partitions []int) {
			for _, p := range partitions {
				for _, cid := range c.alive {
					if cid.Partition() == p && !slices.Contains(c.holders(cid), "n1") {
						t.Errorf("partition %d is said to be whole without %s", p, cid)
					}
				}
			}
		}
		var cids []storage.CID
		for i := range 20 {
			cids = append(cids, c.keep(content(uint64(i), 1000+i), "n3"))
		}
		lost := c.keep(content(99, 500), "n4")
		c.set("n4", fault{down: true})
		c.run()
		synctest.Wait()
		c.mustHold(cids[0], "n3")
		c.setRings(ringOf(1, "n2", "n3", "n4"), ringOf(2, "n1", "n3", "n4"))
		c.r.RingChanged()
		time.Sleep(10 * time.Second)
		synctest.Wait()
		for _, cid := range cids {
			c.mustHold(cid, "n1", "n3")
		}
		if got := s.count(); got != storage.Partitions-1 || s.has(lost.Partition()) {
			t.Errorf("%d partitions are whole, that of the lost one: %t", got, s.has(lost.Partition()))
		}
		if left := c.r.Pulled(); left.Blobs != 20 {
			t.Errorf("%d blobs were fetched, want each of 20 once", left.Blobs)
		}
		c.set("n4", fault{})
		time.Sleep(time.Minute)
		synctest.Wait()
		c.mustHold(lost, "n1", "n4")
		if got := s.count(); got != storage.Partitions {
			t.Errorf("%d partitions are whole", got)
		}
		if left := c.r.MoveLeft(); left != (MoveLeft{}) {
			t.Errorf("left: %+v", left)
		}
	})
}

// What no owner has any more holds up nothing; as long as one of them can't be
// asked it does.
func TestLostHoldsUpNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 4)
		c.setRings(ringOf(1, "n2", "n3", "n4"), ringOf(2, "n1", "n3", "n4"))
		s := c.moves()
		kept, lost := c.keep(content(1, 1000), "n2"), c.keep(content(2, 1000))
		c.set("n3", fault{down: true})
		c.run()
		time.Sleep(time.Minute)
		synctest.Wait()
		c.mustHold(kept, "n1", "n2")
		if got := s.count(); got != storage.Partitions-1 || s.has(lost.Partition()) {
			t.Errorf("%d partitions are whole, that of the lost one: %t", got, s.has(lost.Partition()))
		}
		c.set("n3", fault{})
		time.Sleep(2 * retryMost)
		synctest.Wait()
		if got := s.count(); got != storage.Partitions {
			t.Errorf("%d partitions are whole", got)
		}
	})
}

// What was said stays said: a node that starts again looks at the rest only,
// and what could not be said is said again.
func TestMoveGoesOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 4)
		c.setRings(ringOf(1, "n2", "n3", "n4"), ringOf(2, "n1", "n3", "n4"))
		s := c.moves()
		done, rest := c.keep(content(1, 1000), "n2"), c.keep(content(2, 1000), "n2")
		for p := range storage.Partitions {
			s.whole[p] = p != rest.Partition()
		}
		delete(s.whole, rest.Partition())
		s.fail = errBroke
		if err := c.r.move(t.Context()); err == nil {
			t.Error("what was not said counts")
		}
		c.mustHold(done, "n2")
		c.mustHold(rest, "n1", "n2")
		s.fail = nil
		c.takeOpens()
		if err := c.r.move(t.Context()); err != nil || s.count() != storage.Partitions {
			t.Errorf("%d partitions are whole: %v", s.count(), err)
		}
		if opens := c.takeOpens(); len(opens) != 0 {
			t.Errorf("fetched again: %v", opens)
		}
	})
}

// A change that is dropped ends the fetching for it.
func TestMoveIsDropped(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 4)
		c.setRings(ringOf(1, "n2", "n3", "n4"), ringOf(2, "n1", "n3", "n4"))
		s := c.moves()
		for i := range 50 {
			c.keep(content(uint64(i), 300<<10), "n2")
		}
		c.r.pulls = newPulls(1 << 20)
		c.run()
		time.Sleep(5 * time.Second)
		c.setRings(ringOf(3, "n2", "n3", "n4"), nil)
		time.Sleep(time.Minute)
		got := c.r.Pulled().Blobs
		if got < 5 || got > 30 || s.count() == 0 {
			t.Errorf("%d of 50 blobs fetched, %d partitions whole", got, s.count())
		}
	})
}

// The rate holds for all pulls together.
func TestMoveIsPaced(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 4)
		c.setRings(ringOf(1, "n2", "n3", "n4"), ringOf(2, "n1", "n3", "n4"))
		c.moves()
		const blobs, size, perSecond = 40, 100 << 10, 256 << 10
		for i := range blobs {
			c.keep(content(uint64(i), size), "n2")
		}
		c.r.pulls = newPulls(perSecond)
		began := time.Now()
		if err := c.r.move(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := c.r.Pulled(); got.Bytes != blobs*size {
			t.Errorf("%d bytes counted of %d", got.Bytes, blobs*size)
		}
		took, want := time.Since(began), time.Duration(blobs*size-storage.PieceBytes)*time.Second/perSecond
		if took < want || took > want+2*time.Second {
			t.Errorf("took %v, want about %v", took, want)
		}
	})
}

// A look, a pass and a move that want the same copy fetch it once.
func TestPullOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3)
		cid := c.keep(content(1, 1<<20), "n2")
		c.r.pulls = newPulls(256 << 10)
		var wg sync.WaitGroup
		for range 5 {
			wg.Go(func() {
				if err := c.r.pull(t.Context(), cid); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if got := c.r.Pulled(); got != (Pulled{Blobs: 1, Bytes: 1 << 20}) {
			t.Errorf("fetched %+v", got)
		}
	})
}

// An owner that is asked for its word fetches what it lacks; nobody else does.
func TestFetch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 4)
		c.setRings(ringOf(1, "n2"), ringOf(2, "n1", "n2"))
		cid := c.keep(content(1, 1000), "n2")
		if !c.r.Fetch(t.Context(), cid) {
			t.Error("not fetched")
		}
		c.mustHold(cid, "n1", "n2")
		c.setRings(ringOf(3, "n2", "n3"), nil)
		other := c.keep(content(2, 1000), "n2")
		if c.r.Fetch(t.Context(), other) || c.r.Fetch(t.Context(), storage.SumCID([]byte("inline"))) {
			t.Error("fetched what it does not own")
		}
	})
}
