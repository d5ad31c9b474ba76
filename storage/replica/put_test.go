package replica

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"ringbin/storage"
)

// outcome is what a put that runs by itself gave.
type outcome struct {
	receipts []storage.Receipt
	err      error
	took     time.Duration
}

func (c *testCluster) start(ctx context.Context, cid storage.CID, body io.Reader) <-chan outcome {
	done := make(chan outcome, 1)
	begin := time.Now()
	go func() {
		receipts, err := c.r.Put(ctx, cid, body)
		done <- outcome{receipts, err, time.Since(begin)}
	}()
	return done
}

// mustWait fails the test when a put has returned although everything waits.
func mustWait(t *testing.T, done <-chan outcome) {
	t.Helper()
	synctest.Wait()
	select {
	case o := <-done:
		t.Fatalf("Put has returned %d receipts, %v", len(o.receipts), o.err)
	default:
	}
}

func nodesOf(receipts []storage.Receipt) []storage.NodeID {
	var ids []storage.NodeID
	for _, r := range receipts {
		ids = append(ids, r.Node)
	}
	slices.Sort(ids)
	return ids
}

// I3, I12: a put hands its body to all owners, reads it once, and returns
// receipts of at least W of them.
func TestPutToAllOwners(t *testing.T) {
	t.Parallel()
	for _, owners := range []int{1, 2, 3} {
		for _, size := range []int{0, 64, 65, 300 << 10, 3<<20 + 1} {
			synctest.Test(t, func(t *testing.T) {
				c := newCluster(t, owners)
				b := content(1, size)
				cid := storage.SumCID(b)
				var read bytes.Buffer
				receipts, err := c.r.Put(t.Context(), cid, io.TeeReader(iotest.HalfReader(bytes.NewReader(b)), &read))
				if err != nil || len(receipts) < storage.QuorumFor(owners) {
					t.Fatalf("%d owners, %d bytes: receipts of %v, %v", owners, size, nodesOf(receipts), err)
				}
				if ids := nodesOf(receipts); len(slices.Compact(ids)) != len(receipts) {
					t.Errorf("a node counts twice: %v", ids)
				}
				if !bytes.Equal(read.Bytes(), b) {
					t.Errorf("%d bytes are read of %d", read.Len(), size)
				}
				for _, r := range receipts {
					want := c.nodes[r.Node].vouch
					if r.CID != cid || r.Incarnation != want.Incarnation || r.Generation != want.Generation || r.Time != want.Time || r.RingVersion != want.RingVersion {
						t.Errorf("receipt %+v for the word %+v", r, want)
					}
				}
				synctest.Wait()
				if !cid.Inline() {
					c.mustHold(cid, c.ids()...)
				}
			})
		}
	}
}

// I12: W receipts are enough, and one fewer is not.
func TestPutReturnsWithTheWthReceipt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 5)
		c.setRings(ringOf(1, "n1", "n2", "n3", "n4", "n5"), nil)
		gates := map[storage.NodeID]chan struct{}{}
		for _, id := range c.ids()[1:] {
			gates[id] = make(chan struct{})
			c.set(id, fault{answer: gates[id]})
		}
		b := content(1, 700<<10)
		cid := storage.SumCID(b)
		done := c.start(t.Context(), cid, bytes.NewReader(b))
		mustWait(t, done)
		close(gates["n4"])
		mustWait(t, done)
		close(gates["n2"])
		o := <-done
		if want := []storage.NodeID{"n1", "n2", "n4"}; o.err != nil || !slices.Equal(nodesOf(o.receipts), want) {
			t.Fatalf("receipts of %v, %v; want of %v", nodesOf(o.receipts), o.err, want)
		}
		close(gates["n3"])
		close(gates["n5"])
		synctest.Wait()
		c.mustHold(cid, c.ids()...)
	})
}

// The late copy of a put that has returned goes on, though the request is over.
func TestPutLateCopyOutlivesItsRequest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3)
		gate := make(chan struct{})
		c.set("n3", fault{takes: 1 << 10, gate: gate})
		b := content(1, 1<<20)
		cid := storage.SumCID(b)
		ctx, cancel := context.WithCancel(t.Context())
		receipts, err := c.r.Put(ctx, cid, bytes.NewReader(b))
		cancel()
		if err != nil || len(receipts) != 2 {
			t.Fatalf("%d receipts, %v", len(receipts), err)
		}
		c.mustHold(cid, "n1", "n2")
		close(gate)
		synctest.Wait()
		c.mustHold(cid, "n1", "n2", "n3")
	})
}

// With no place for another late copy it is given up, and the put is good all the same.
func TestPutLateCopiesAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3)
		for range stragglersMax {
			c.r.stragglers <- struct{}{}
		}
		gate := make(chan struct{})
		c.set("n3", fault{takes: 1 << 10, gate: gate})
		b := content(1, 1<<20)
		receipts, err := c.r.Put(t.Context(), storage.SumCID(b), bytes.NewReader(b))
		if err != nil || len(receipts) != 2 {
			t.Fatalf("%d receipts, %v", len(receipts), err)
		}
		synctest.Wait()
		close(gate)
		synctest.Wait()
		c.mustHold(storage.SumCID(b), "n1", "n2")
		if len(c.r.stragglers) != stragglersMax {
			t.Errorf("%d places are taken", len(c.r.stragglers))
		}
	})
}

func TestPutWithFaults(t *testing.T) {
	t.Parallel()
	down, full := fault{down: true}, fault{full: true}
	for name, c := range map[string]struct {
		faults map[storage.NodeID]fault
		kind   storage.Kind
		code   string
	}{
		"one down":          {map[storage.NodeID]fault{"n2": down}, 0, ""},
		"one full":          {map[storage.NodeID]fault{"n3": full}, 0, ""},
		"two down":          {map[storage.NodeID]fault{"n2": down, "n3": down}, storage.KindUnavailable, "not_enough_replicas"},
		"two full":          {map[storage.NodeID]fault{"n2": full, "n3": full}, storage.KindFull, "insufficient_storage"},
		"one full one down": {map[storage.NodeID]fault{"n2": full, "n3": down}, storage.KindUnavailable, "not_enough_replicas"},
	} {
		for _, size := range []int{100, 5 << 20} {
			t.Run(fmt.Sprintf("%s, %d bytes", name, size), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					cluster := newCluster(t, 3)
					for id, f := range c.faults {
						cluster.set(id, f)
					}
					b := content(1, size)
					receipts, err := cluster.r.Put(t.Context(), storage.SumCID(b), bytes.NewReader(b))
					if c.kind == 0 {
						if err != nil || len(receipts) != 2 {
							t.Fatalf("%d receipts, %v", len(receipts), err)
						}
						return
					}
					e, ok := errors.AsType[*storage.Error](err)
					if !ok || e.Kind != c.kind || e.Code != c.code || e.Details["wanted"] != int64(2) || receipts != nil {
						t.Errorf("receipts %v, %v", receipts, err)
					}
				})
			})
		}
	}
}

// A put that fails leaves nothing on an owner that had not finished.
func TestPutTooFewLeavesNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 4)
		c.setRings(ringOf(1, "n2", "n3", "n4"), nil)
		gate := make(chan struct{})
		c.set("n2", fault{takes: 100, gate: gate})
		c.set("n3", fault{down: true})
		c.set("n4", fault{down: true})
		b := content(1, 1<<20)
		_, err := c.r.Put(t.Context(), storage.SumCID(b), bytes.NewReader(b))
		if storage.CodeOf(err) != "not_enough_replicas" {
			t.Fatal(err)
		}
		close(gate)
		synctest.Wait()
		c.mustHold(storage.SumCID(b))
	})
}

// I1, I2: a body that is not what its CID names leaves nothing anywhere.
func TestPutWrongBodyLeavesNothing(t *testing.T) {
	t.Parallel()
	errBody := errors.New("the client is gone")
	for _, size := range []int{65, 300 << 10, 3 << 20} {
		b := content(1, size)
		other := content(2, size)
		for name, c := range map[string]struct {
			body io.Reader
			own  bool // the error is the body's
		}{
			"wrong digest":    {bytes.NewReader(other), false},
			"empty":           {bytes.NewReader(nil), false},
			"one too short":   {bytes.NewReader(b[:size-1]), false},
			"one too long":    {bytes.NewReader(append(slices.Clone(b), 0)), false},
			"endless":         {io.MultiReader(bytes.NewReader(b), endless{}), false},
			"breaks at once":  {iotest.ErrReader(errBody), true},
			"breaks half way": {io.MultiReader(bytes.NewReader(b[:size/2]), iotest.ErrReader(errBody)), true},
			"breaks at end":   {io.MultiReader(bytes.NewReader(b), iotest.ErrReader(errBody)), true},
			"cut short":       {io.MultiReader(bytes.NewReader(b), iotest.ErrReader(io.ErrUnexpectedEOF)), true},
		} {
			t.Run(fmt.Sprintf("%s of %d", name, size), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					cluster := newCluster(t, 3)
					receipts, err := cluster.r.Put(t.Context(), storage.SumCID(b), c.body)
					switch {
					case receipts != nil:
						t.Errorf("receipts of %v", nodesOf(receipts))
					case c.own && !errors.Is(err, errBody) && !errors.Is(err, io.ErrUnexpectedEOF):
						t.Errorf("%v, want the body's own error", err)
					case !c.own && (storage.KindOf(err) != storage.KindInvalid || storage.CodeOf(err) != "hash_mismatch"):
						t.Error(err)
					}
					synctest.Wait()
					cluster.mustHold(storage.SumCID(b))
					cluster.mustHold(storage.SumCID(other))
				})
			})
		}
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

// While the ring changes, W owners are needed in both rings, and a node that
// owns in both is sent the body once.
func TestPutInTwoRings(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		next []storage.NodeID
		down []storage.NodeID
		ok   bool
	}{
		"apart, all there":         {[]storage.NodeID{"n4", "n5", "n6"}, nil, true},
		"apart, one of each":       {[]storage.NodeID{"n4", "n5", "n6"}, []storage.NodeID{"n3", "n6"}, true},
		"apart, two of cur":        {[]storage.NodeID{"n4", "n5", "n6"}, []storage.NodeID{"n2", "n3"}, false},
		"apart, two of next":       {[]storage.NodeID{"n4", "n5", "n6"}, []storage.NodeID{"n4", "n6"}, false},
		"two shared, others down":  {[]storage.NodeID{"n1", "n2", "n4"}, []storage.NodeID{"n3", "n4"}, true},
		"two shared, one of them":  {[]storage.NodeID{"n1", "n2", "n4"}, []storage.NodeID{"n2"}, true},
		"one shared, new two down": {[]storage.NodeID{"n1", "n4", "n5"}, []storage.NodeID{"n4", "n5"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				cluster := newCluster(t, 6)
				cluster.setRings(ringOf(1, "n1", "n2", "n3"), ringOf(2, c.next...))
				for _, id := range c.down {
					cluster.set(id, fault{down: true})
				}
				b := content(1, 1<<20)
				receipts, err := cluster.r.Put(t.Context(), storage.SumCID(b), bytes.NewReader(b))
				synctest.Wait()
				for id, n := range cluster.nodes {
					if n.puts > 1 {
						t.Errorf("%s is sent the body %d times", id, n.puts)
					}
				}
				if !c.ok {
					if storage.CodeOf(err) != "not_enough_replicas" || receipts != nil {
						t.Errorf("receipts of %v, %v", nodesOf(receipts), err)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				for _, ring := range []*storage.Ring{cluster.cur, cluster.next} {
					n := 0
					for _, r := range receipts {
						if ring.Owns(r.Node, r.CID) {
							n++
						}
					}
					if n < ring.W {
						t.Errorf("%d receipts in ring %d", n, ring.Version)
					}
				}
			})
		})
	}
}

// An owner that takes nothing for five seconds is dropped while W remain; else
// it is waited for, up to ten.
func TestPutLaggingOwner(t *testing.T) {
	t.Parallel()
	b := content(1, 6<<20)
	cid := storage.SumCID(b)
	for name, c := range map[string]struct {
		down    bool          // another owner is: the lagging one is needed
		goesOn  time.Duration // 0: never
		ok      bool
		took    time.Duration
		holders []storage.NodeID
	}{
		"never goes on":            {false, 0, true, lagMax, []storage.NodeID{"n1", "n2"}},
		"goes on in time":          {false, 4 * time.Second, true, 4 * time.Second, []storage.NodeID{"n1", "n2", "n3"}},
		"needed, and goes on":      {true, 8 * time.Second, true, 8 * time.Second, []storage.NodeID{"n1", "n3"}},
		"needed, never goes on":    {true, 0, false, decideWithin, nil},
		"needed, goes on too late": {true, 11 * time.Second, false, decideWithin, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				cluster := newCluster(t, 3)
				gate := make(chan struct{})
				cluster.set("n3", fault{takes: 100 << 10, gate: gate})
				cluster.set("n2", fault{down: c.down})
				done := cluster.start(t.Context(), cid, bytes.NewReader(b))
				if c.goesOn > 0 {
					time.AfterFunc(c.goesOn, func() { close(gate) })
				}
				o := <-done
				if (o.err == nil) != c.ok || o.took != c.took {
					t.Errorf("after %v: %v", o.took, o.err)
				}
				if !c.ok && storage.CodeOf(o.err) != "not_enough_replicas" {
					t.Error(o.err)
				}
				time.Sleep(time.Minute) // of the bubble's clock
				synctest.Wait()
				cluster.mustHold(cid, c.holders...)
			})
		})
	}
}

// Owners that have all bytes and don't answer are waited for ten seconds.
func TestPutDecidesInTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3)
		c.set("n2", fault{answer: make(chan struct{})})
		c.set("n3", fault{answer: make(chan struct{})})
		b := content(1, 1<<20)
		o := <-c.start(t.Context(), storage.SumCID(b), bytes.NewReader(b))
		if storage.CodeOf(o.err) != "not_enough_replicas" || o.took != decideWithin {
			t.Errorf("after %v: %v", o.took, o.err)
		}
	})
}

// A request that is given up takes its put with it.
func TestPutGivenUp(t *testing.T) {
	t.Parallel()
	errGone := errors.New("the client is gone")
	for name, size := range map[string]int{"while bytes flow": 6 << 20, "while receipts are waited for": 1 << 20} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c := newCluster(t, 4)
				c.setRings(ringOf(1, "n2", "n3", "n4"), nil)
				for _, id := range c.ids() {
					c.set(id, fault{takes: 1 << 10, gate: make(chan struct{})})
				}
				ctx, cancel := context.WithCancelCause(t.Context())
				b := content(1, size)
				done := c.start(ctx, storage.SumCID(b), bytes.NewReader(b))
				mustWait(t, done)
				cancel(errGone)
				if o := <-done; !errors.Is(o.err, errGone) {
					t.Error(o.err)
				}
				synctest.Wait()
				c.mustHold(storage.SumCID(b))
			})
		})
	}
}

// Close ends late copies.
func TestCloseEndsLateCopies(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3)
		c.set("n3", fault{takes: 1 << 10, gate: make(chan struct{})})
		b := content(1, 1<<20)
		if _, err := c.r.Put(t.Context(), storage.SumCID(b), bytes.NewReader(b)); err != nil {
			t.Fatal(err)
		}
		c.r.Close()
		c.mustHold(storage.SumCID(b), "n1", "n2")
	})
}

func TestPutWithoutARing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 1)
		c.setRings(nil, nil)
		_, err := c.r.Put(t.Context(), storage.SumCID(nil), bytes.NewReader(nil))
		if storage.KindOf(err) != storage.KindUnavailable || storage.CodeOf(err) != "no_leader" {
			t.Error(err)
		}
	})
}
