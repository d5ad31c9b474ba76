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

// startSmall begins puts of n small blobs.
func (c *testCluster) startSmall(from, n int) (contents [][]byte, outcomes []<-chan outcome) {
	for i := range n {
		b := content(uint64(from+i), 100+i)
		contents = append(contents, b)
		outcomes = append(outcomes, c.start(c.t.Context(), storage.SumCID(b), bytes.NewReader(b)))
		synctest.Wait() // so that their order is known
	}
	return contents, outcomes
}

func mustPut(t *testing.T, outcomes ...<-chan outcome) {
	t.Helper()
	for _, done := range outcomes {
		if o := <-done; o.err != nil {
			t.Error(o.err)
		}
	}
}

func (c *testCluster) takeBundles(id storage.NodeID) []int {
	c.mu.Lock()
	defer c.mu.Unlock()
	b := c.nodes[id].bundles
	c.nodes[id].bundles = nil
	return b
}

// A lone put goes at once. What comes while its bundle is on its way waits, and
// goes together; so it is for the other owners, which need not keep step.
func TestSmallPutsShareTheirWay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3)
		gate := make(chan struct{})
		c.set("n2", fault{gate: gate})
		contents, outcomes := c.startSmall(0, 6)
		if got := c.takeBundles("n2"); !slices.Equal(got, []int{1}) {
			t.Errorf("bundles of %v went to n2", got)
		}
		if got := c.takeBundles("n3"); !slices.Equal(got, []int{1, 1, 1, 1, 1, 1}) {
			t.Errorf("bundles of %v went to n3", got)
		}
		mustPut(t, outcomes...) // n1 and n3 are enough
		close(gate)
		synctest.Wait()
		if got := c.takeBundles("n2"); !slices.Equal(got, []int{5}) {
			t.Errorf("then bundles of %v", got)
		}
		for _, b := range contents {
			c.mustHold(storage.SumCID(b), "n1", "n2", "n3")
		}
		if len(c.r.bundles.lanes) > 0 {
			t.Errorf("%d lanes are left", len(c.r.bundles.lanes))
		}
	})
}

// A bundle has bounds.
func TestBundlesAreBounded(t *testing.T) {
	t.Parallel()
	const large = storage.BundledMax
	for name, c := range map[string]struct {
		size, puts int
		want       []int
	}{
		"blobs": {65, storage.BundleBlobsMax + 2, []int{1, storage.BundleBlobsMax, 2}},
		"bytes": {large, storage.BundleBytesMax/large + 1, []int{1, storage.BundleBytesMax / large, 1}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				cluster := newCluster(t, 3)
				gate := make(chan struct{})
				cluster.set("n2", fault{gate: gate})
				cluster.set("n3", fault{down: true}) // so that n2 is waited for
				_, outcomes := cluster.startSmall(0, 1)
				for i := range c.puts {
					b := content(uint64(1000+i), c.size)
					outcomes = append(outcomes, cluster.start(t.Context(), storage.SumCID(b), bytes.NewReader(b)))
				}
				synctest.Wait()
				close(gate)
				mustPut(t, outcomes...)
				if got := cluster.takeBundles("n2"); !slices.Equal(got, c.want) {
					t.Errorf("bundles of %v, want %v", got, c.want)
				}
			})
		})
	}
}

// An owner that answers late gets the next bundle all the same, a bounded
// number of them at a time; each ends in its time, and what nobody waits for any
// more is not sent.
func TestLateBundles(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3)
		c.set("n2", fault{gate: make(chan struct{})}) // for ever
		var outcomes []<-chan outcome
		for i := range bundlesFlyingMax + 2 {
			_, o := c.startSmall(10*i, 2)
			outcomes = append(outcomes, o...)
			time.Sleep(2 * bundlePatience) // of the bubble's clock
			synctest.Wait()
		}
		mustPut(t, outcomes...)
		if got := c.takeBundles("n2"); len(got) != bundlesFlyingMax {
			t.Errorf("bundles of %v are on their way", got)
		}
		time.Sleep(bundleWithin)
		synctest.Wait()
		if got := c.takeBundles("n2"); len(got) == 0 {
			t.Error("no bundle follows those that were given up")
		}
		time.Sleep(lateWithin + 2*bundleWithin)
		synctest.Wait()
		if len(c.r.bundles.lanes) > 0 {
			t.Errorf("%d lanes are left", len(c.r.bundles.lanes))
		}
		c.set("n2", fault{})
		b := content(1000, 100)
		if _, err := c.r.Put(t.Context(), storage.SumCID(b), bytes.NewReader(b)); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		c.mustHold(storage.SumCID(b), "n1", "n2", "n3")
	})
}

// A put that is given up while it waits for a bundle is not sent; its neighbours are.
func TestSmallPutGivenUpWhileItWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 4)
		gate := make(chan struct{})
		for _, id := range c.ids() {
			c.set(id, fault{gate: gate})
		}
		c.setRings(ringOf(1, "n2", "n3", "n4"), nil)
		first, one := c.startSmall(0, 1)
		rest, two := c.startSmall(10, 2)
		ctx, cancel := context.WithCancelCause(t.Context())
		b := content(99, 500)
		errGone := errors.New("the client is gone")
		gone := c.start(ctx, storage.SumCID(b), bytes.NewReader(b))
		synctest.Wait()
		cancel(errGone)
		if o := <-gone; !errors.Is(o.err, errGone) {
			t.Error(o.err)
		}
		close(gate)
		mustPut(t, append(one, two...)...)
		synctest.Wait()
		for _, b := range append(first, rest...) {
			c.mustHold(storage.SumCID(b), "n2", "n3", "n4")
		}
		c.mustHold(storage.SumCID(b)) // it still waited, and nobody wanted it any more
		for _, id := range []storage.NodeID{"n2", "n3", "n4"} {
			if got := c.takeBundles(id); !slices.Equal(got, []int{1, 2}) {
				t.Errorf("bundles of %v went to %s", got, id)
			}
		}
	})
}

// I12: small puts need W receipts too, and say why they have not got them.
func TestSmallPutsTooFew(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 4)
		c.setRings(ringOf(1, "n2", "n3", "n4"), nil)
		c.set("n3", fault{gate: make(chan struct{})})
		c.set("n4", fault{down: true})
		b := content(1, 100)
		o := <-c.start(t.Context(), storage.SumCID(b), bytes.NewReader(b))
		if storage.CodeOf(o.err) != "not_enough_replicas" || o.took != decideWithin {
			t.Errorf("after %v: %v", o.took, o.err)
		}
		c.r.Close() // ends what is on its way
	})
}

// With too many waiting for an owner that does not answer, those that nobody
// waits for make room; where that is not enough, the owner counts as failed.
func TestWaitingBlobsAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 1)
		done := make(chan *send, 2*bundleWaitingMax)
		c.r.bundles.deliver = func(ctx context.Context, _ storage.NodeID, _ []storage.Proven) ([]storage.Verdict, error) {
			return nil, waitFor(ctx, nil)
		}
		blob, err := storage.Prove(storage.SumCID([]byte("b")), []byte("b"))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		add := func(ctx context.Context) {
			c.r.bundles.add(parcel{ctx: ctx, blob: blob, send: &send{to: "n2", done: done}}) //nolint:contextcheck // as the replicator does
		}
		add(ctx)
		synctest.Wait() // it is on its way
		for range bundleWaitingMax {
			add(ctx)
		}
		if len(done) != 0 {
			t.Fatalf("%d have an outcome", len(done))
		}
		add(t.Context())
		if s := <-done; !errors.Is(s.err, errWaiting) {
			t.Error(s.err)
		}
		cancel()
		add(t.Context())
		if len(done) != bundleWaitingMax {
			t.Errorf("%d are dropped", len(done))
		}
		for range bundleWaitingMax {
			if s := <-done; !errors.Is(s.err, context.Canceled) {
				t.Fatal(s.err)
			}
		}
	})
}
