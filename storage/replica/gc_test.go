package replica

import (
	"bytes"
	"context"
	"errors"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"ringbin/storage"
)

// ledger is what the metadata says of copies in these tests.
type ledger struct {
	mu     sync.Mutex // protects stands
	stands map[storage.CID]storage.Standing
	asked  func(storage.CID) // called, when not nil, with each CID that is asked for alone
}

func (l *ledger) set(cid storage.CID, st storage.Standing) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stands[cid] = st
}

func (l *ledger) standings(cids []storage.CID) ([]storage.Standing, error) {
	if l.asked != nil && len(cids) == 1 {
		l.asked(cids[0])
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	all := make([]storage.Standing, len(cids))
	for i, cid := range cids {
		all[i] = l.stands[cid]
	}
	return all, nil
}

const (
	testNow   = int64(1_000_000)
	testGrace = int64(10_000)
)

// newCollecting has four nodes of which n2, n3 and n4 own everything, so that
// this one, n1, may erase.
func newCollecting(t *testing.T) (*testCluster, *ledger) {
	t.Helper()
	c := newCluster(t, 4)
	c.setRings(ringOf(1, "n2", "n3", "n4"), nil)
	l := &ledger{stands: map[storage.CID]storage.Standing{}}
	c.r.o.Standings = l.standings
	return c, l
}

// holdAt stores content on this node under a mark.
func (c *testCluster) holdAt(b []byte, m storage.Mark) storage.CID {
	c.t.Helper()
	cid := storage.SumCID(b)
	if _, err := c.self.store.Put(c.t.Context(), cid, bytes.NewReader(b), m); err != nil {
		c.t.Fatal(err)
	}
	return cid
}

func (c *testCluster) mustCollect() {
	c.t.Helper()
	if err := c.r.Collect(c.t.Context()); err != nil {
		c.t.Fatal(err)
	}
}

func owners() []storage.NodeID { return []storage.NodeID{"n2", "n3", "n4"} }

// I13: each copy goes, or stays, as its standing says.
func TestCollect(t *testing.T) {
	t.Parallel()
	old, fresh := testNow-testGrace, testNow-testGrace+1
	base := storage.Standing{Now: testNow, Grace: testGrace, Settled: true, Owners: owners()}
	with := func(change func(*storage.Standing)) storage.Standing {
		st := base
		change(&st)
		return st
	}
	for i, c := range []struct {
		name  string
		mark  storage.Mark
		st    storage.Standing
		fate  storage.Fate
		shown []storage.NodeID // owners that have a copy
	}{
		{"live and owned", storage.Mark{Time: 0}, with(func(s *storage.Standing) { s.Referenced, s.Owned, s.Condemned = true, true, 99 }), storage.FateKeep, nil},
		{"dead, in its grace", storage.Mark{Time: 0}, with(func(s *storage.Standing) { s.Waiting = true }), storage.FateKeep, nil},
		{"dead again, condemned before", storage.Mark{Generation: 5, Time: 0}, with(func(s *storage.Standing) { s.Waiting, s.Condemned = true, 9 }), storage.FateKeep, nil},
		{"taken down", storage.Mark{Time: 0}, with(func(s *storage.Standing) { s.Referenced, s.Waiting = true, true }), storage.FateKeep, owners()[:2]},
		{"condemned", storage.Mark{Generation: 8, Time: testNow}, with(func(s *storage.Standing) { s.Condemned = 9 }), storage.FateCondemned, nil},
		{"at its Condemn", storage.Mark{Generation: 9, Time: fresh}, with(func(s *storage.Standing) { s.Condemned = 9 }), storage.FateKeep, nil},
		{"behind its Condemn", storage.Mark{Generation: 10, Time: fresh}, with(func(s *storage.Standing) { s.Condemned = 9 }), storage.FateKeep, nil},
		{"behind it, left alone", storage.Mark{Generation: 10, Time: old}, with(func(s *storage.Standing) { s.Condemned = 9 }), storage.FateOrphan, nil},
		{"unknown", storage.Mark{Time: fresh}, base, storage.FateKeep, nil},
		{"unknown, left alone", storage.Mark{Time: old}, base, storage.FateOrphan, nil},
		{"moved", storage.Mark{Time: old}, with(func(s *storage.Standing) { s.Referenced = true }), storage.FateMoved, owners()},
		{"moved, one owner lacks it", storage.Mark{Time: old}, with(func(s *storage.Standing) { s.Referenced = true }), storage.FateKeep, owners()[1:]},
		{"moved just now", storage.Mark{Time: old}, with(func(s *storage.Standing) { s.Referenced, s.Settled = true, false }), storage.FateKeep, owners()},
		{"moved, touched", storage.Mark{Time: fresh}, with(func(s *storage.Standing) { s.Referenced = true }), storage.FateKeep, owners()},
		{"moved, and nobody owns it", storage.Mark{Time: old}, with(func(s *storage.Standing) { s.Referenced, s.Owners = true, nil }), storage.FateKeep, owners()},
	} {
		for _, size := range []int{1000, 700_000} {
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					cl, l := newCollecting(t)
					b := content(uint64(i), size)
					cid := cl.holdAt(b, c.mark)
					cl.keep(b, c.shown...)
					l.set(cid, c.st)
					cl.mustCollect()
					_, held, err := cl.self.store.Stat(cid)
					if err != nil || held != (c.fate == storage.FateKeep) {
						t.Errorf("held %t, %v", held, err)
					}
					for _, f := range []storage.Fate{storage.FateCondemned, storage.FateOrphan, storage.FateMoved} {
						want := Erased{}
						if f == c.fate {
							want = Erased{Blobs: 1, Bytes: int64(size)}
						}
						if got := cl.r.Erased(f); got != want {
							t.Errorf("%s: counted %+v, want %+v", f, got, want)
						}
					}
				})
			})
		}
	}
}

// A corrupt copy of an owner, or an owner that does not answer, is no good copy.
func TestMovedNeedsGoodCopies(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, l := newCollecting(t)
		b := content(1, 3000)
		cid := c.keep(b, "n1", "n2", "n3", "n4")
		l.set(cid, storage.Standing{Now: testNow, Grace: testGrace, Settled: true, Owners: owners(), Referenced: true})
		c.set("n3", fault{down: true})
		c.mustCollect()
		c.mustHold(cid, "n1", "n2", "n3", "n4")
		c.set("n3", fault{})
		if err := c.nodes["n4"].store.Close(); err != nil {
			t.Fatal(err)
		}
		c.openStore(c.nodes["n4"]) // its tables are on disk now
		c.rot("n4")
		if _, err := c.nodes["n4"].store.Open(t.Context(), cid, 0, -1); err == nil {
			if r, err := c.nodes["n4"].store.Open(t.Context(), cid, 0, -1); err == nil {
				_, _ = r.Read(make([]byte, 10)) // notices
				_ = r.Close()
			}
		}
		c.mustCollect()
		c.mustHold(cid, "n1", "n2", "n3")
		if _, err := c.nodes["n4"].store.Put(t.Context(), cid, bytes.NewReader(b), storage.Mark{}); err != nil {
			t.Fatal(err)
		}
		c.mustCollect()
		c.mustHold(cid, "n2", "n3", "n4")
	})
}

// What changed between the first look and the lock counts: a new reference, a new
// ring, a newer mark.
func TestCollectLooksAgainUnderTheLock(t *testing.T) {
	t.Parallel()
	orphan := storage.Standing{Now: testNow, Grace: testGrace, Settled: true, Owners: owners()}
	moved := orphan
	moved.Referenced = true
	for name, c := range map[string]struct {
		before storage.Standing
		change func(cl *testCluster, l *ledger, cid storage.CID)
	}{
		"referenced": {orphan, func(_ *testCluster, l *ledger, cid storage.CID) {
			now := orphan
			now.Referenced, now.Owned = true, true
			l.set(cid, now)
		}},
		"other owners": {moved, func(_ *testCluster, l *ledger, cid storage.CID) {
			now := moved
			now.Owners = []storage.NodeID{"n2", "n3"}
			l.set(cid, now)
		}},
		"confirmed": {orphan, func(cl *testCluster, _ *ledger, cid storage.CID) {
			if _, ok, err := cl.self.store.Confirm(cid, storage.Mark{Time: testNow}); !ok || err != nil {
				cl.t.Error(ok, err)
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				cl, l := newCollecting(t)
				cid := cl.keep(content(1, 1000), "n1", "n2", "n3", "n4")
				l.set(cid, c.before)
				looks := 0
				l.asked = func(storage.CID) {
					if looks++; looks == 3 && name != "confirmed" { // the page's, the first of its own, the one under the lock
						c.change(cl, l, cid)
					}
				}
				if name == "confirmed" {
					c.change(cl, l, cid)
				}
				cl.mustCollect()
				cl.mustHold(cid, "n1", "n2", "n3", "n4")
			})
		})
	}
}

// What is condemned goes without a pass; what does not fit makes one.
func TestCondemnedGoesAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, l := newCollecting(t)
		live := c.holdAt(content(1, 1000), storage.Mark{Generation: 1})
		l.set(live, storage.Standing{Now: testNow, Grace: testGrace, Referenced: true, Owned: true})
		var dead []storage.CID
		for i := range uint64(condemnedBatch + 10) {
			cid := c.holdAt(content(2+i, 100), storage.Mark{Generation: 1})
			dead = append(dead, cid)
			l.set(cid, storage.Standing{Now: testNow, Grace: testGrace, Waiting: true})
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			c.r.RunCollect(t.Context())
		}()
		synctest.Wait()
		condemn := func(cids []storage.CID) {
			for _, cid := range cids {
				l.set(cid, storage.Standing{Now: testNow, Grace: testGrace, Condemned: 5})
			}
		}
		condemn(dead)
		c.r.Condemned(dead[1:])
		time.Sleep(time.Second)
		if got := c.r.Erased(storage.FateCondemned).Blobs; got != int64(len(dead)-1) {
			t.Errorf("%d erased, want %d", got, len(dead)-1)
		}
		c.mustHold(dead[0], "n1")
		c.r.Condemned(nil)
		time.Sleep(time.Second)
		c.mustHold(dead[0])
		c.mustHold(live, "n1")
		last := c.holdAt(content(1_000_000, 100), storage.Mark{Generation: 1})
		condemn([]storage.CID{last})
		c.r.Condemned(slices.Repeat([]storage.CID{last}, condemnedMax+1))
		time.Sleep(time.Second)
		c.mustHold(last)
		orphan := c.holdAt(content(1_000_001, 100), storage.Mark{Generation: 1})
		l.set(orphan, storage.Standing{Now: testNow, Grace: testGrace})
		time.Sleep(collectEvery + time.Second)
		c.mustHold(orphan)
		t.Cleanup(func() { <-done })
	})
}

// A look at what is held under a ring waits for erasing that was decided before.
func TestMovingAwaitsErasing(t *testing.T) {
	t.Parallel()
	c, l := newCollecting(t)
	cid := c.keep(content(1, 1000), "n1", "n2", "n3", "n4")
	l.set(cid, storage.Standing{Now: testNow, Grace: testGrace, Settled: true, Owners: owners(), Referenced: true})
	gate, reached := make(chan struct{}), make(chan struct{})
	looks := 0
	l.asked = func(storage.CID) {
		if looks++; looks == 3 { // under the lock
			close(reached)
			<-gate
		}
	}
	erased := make(chan error, 1)
	go func() { erased <- c.r.Collect(t.Context()) }()
	<-reached
	c.setRings(ringOf(1, "n2", "n3", "n4"), ringOf(2, "n1", "n2", "n3"))
	c.r.o.Moves = &oneMove{partition: cid.Partition()}
	synced := make(chan error, 1)
	go func() { synced <- c.r.move(t.Context()) }()
	for c.r.collector.running.TryRLock() { // until somebody waits for it alone
		c.r.collector.running.RUnlock()
		select {
		case err := <-synced:
			t.Fatal("the look was over while a copy was on its way out", err)
		default:
			runtime.Gosched()
		}
	}
	close(gate)
	if err := errors.Join(<-erased, <-synced); err != nil {
		t.Error(err)
	}
	c.mustHold(cid, "n1", "n2", "n3", "n4") // it was erased, and fetched again
	if got := c.r.Erased(storage.FateMoved).Blobs; got != 1 {
		t.Errorf("%d erased", got)
	}
}

// oneMove is a ring that gives this node one partition.
type oneMove struct {
	partition int
	said      atomic.Bool
}

func (m *oneMove) ToSync() (uint64, []int, error) {
	if m.said.Load() {
		return 0, nil, nil
	}
	return 2, []int{m.partition}, nil
}

func (m *oneMove) Synced(context.Context, uint64, []int) error {
	m.said.Store(true)
	return nil
}

// What is dead is not fetched again.
func TestDeadIsNotFetched(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3)
		l := &ledger{stands: map[storage.CID]storage.Standing{}}
		c.r.o.Standings = l.standings
		dead, live := c.keep(content(1, 1000), "n2", "n3"), c.keep(content(2, 1000), "n2", "n3")
		c.alive = nil // no pass finds it
		l.set(live, storage.Standing{Referenced: true, Owned: true})
		c.run()
		synctest.Wait()
		c.r.Committed([]storage.CID{dead, live})
		c.r.OnCorrupt(dead)
		time.Sleep(2 * settleFor)
		c.mustHold(dead, "n2", "n3")
		c.mustHold(live, "n1", "n2", "n3")
	})
}
