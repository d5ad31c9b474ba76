package testcluster_test

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"ringbin/node"
	"ringbin/storage"
	"ringbin/testcluster"
)

// repairWait is for repairs on a machine that others use as well.
const repairWait = 90 * time.Second

// upload uploads n blobs of a few sizes and returns them once every owner has them.
func upload(t *testing.T, c *testcluster.Cluster, key string, n int) [][]byte {
	t.Helper()
	contents := make([][]byte, n)
	var g errgroup.Group
	g.SetLimit(8)
	for i := range n {
		g.Go(func() error {
			// One bit for each block: where there are two, Pebble looks for the one
			// that flipped for a second or more, at each read.
			size := 40<<10 + 100*i // in a block of its own
			switch {
			case i%10 == 7:
				size = 600 << 10 // in a table of its own
			case i == 9:
				size = 100 // in one value with its header
			}
			contents[i] = content(uint64(i), size)
			_, err := c.PutUntil(t.Context(), i, key, contents[i], 30)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	c.WaitConverged()
	return contents
}

// tables has nodes write what they keep in their logs to tables: a database
// does so when it opens.
func tables(c *testcluster.Cluster, nodes ...int) {
	for _, i := range nodes {
		c.Stop(i)
		c.Restart(i)
	}
	c.WaitReady()
	c.WaitConverged()
}

type reason struct {
	Code  string
	Count int64
	Since time.Time
}

// health is what a node says on its admin port's terms.
func health(t *testing.T, n *node.Node) (codes map[string]reason, lost []string) {
	t.Helper()
	h := n.Service().Health()
	codes = map[string]reason{}
	for _, r := range h.Reasons {
		codes[r.Code] = reason{r.Code, r.Count, r.Since}
	}
	return codes, h.Lost
}

// waitFor asks until a condition over the cluster holds.
func waitFor(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.Now().Add(repairWait)
	for !holds() {
		if time.Now().After(deadline) {
			t.Fatalf("no %s within %v", what, repairWait)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// mustReadFrom reads everything from the local copies of a node alone: the
// others are down.
func mustReadFrom(t *testing.T, c *testcluster.Cluster, i int, contents [][]byte) {
	t.Helper()
	for _, b := range contents {
		got, err := c.Client(i, "").Get(storage.SumCID(b))
		if err != nil || !bytes.Equal(got, b) {
			t.Fatalf("%d bytes from node %d alone: %v", len(b), i, err)
		}
	}
}

// TestWipedAndRotten: the blobs of one node are wiped and one bit is flipped in
// each of 100 blobs on another, at the same time: all copies are right again
// without help, while the cluster serves.
func TestWipedAndRotten(t *testing.T) {
	testcluster.Parallel(t)
	onlyInChaos(t) // it takes a minute or so
	c := testcluster.Start(t, 3, testcluster.Options{Configure: func(_ int, cfg *node.Config) { cfg.RebuildKeep = time.Millisecond }})
	_, key := c.Account(1_000_000)
	contents := upload(t, c, key, 130)
	tables(c, 1)
	before := clusterStatus(t, c, 0).Nodes
	c.Stop(0)
	c.Stop(1)
	flips := c.RotBlobs(1, contents[:100]...)
	if flips < 100 {
		t.Fatalf("%d places flipped for 100 blobs", flips)
	}
	c.WipeBlobs(0)
	started := time.Now()
	c.Restart(0)
	c.Restart(1)
	c.WaitReady()
	t.Logf("ready after %v", time.Since(started).Round(time.Millisecond))
	for _, b := range contents { // no read gives anything else, whichever node it goes through
		for i := range 3 {
			if _, err := c.Client(i, "").Get(storage.SumCID(b)); err != nil {
				t.Fatalf("through node %d meanwhile: %v", i, err)
			}
		}
	}
	t.Logf("read through all nodes after %v", time.Since(started).Round(time.Millisecond))
	waitFor(t, "end of rebuilding", func() bool {
		for i := range 3 {
			codes, _ := health(t, c.Node(i))
			if _, on := codes["store_rebuild"]; on || !c.Node(i).Settled() || len(clusterStatus(t, c, i).Nodes) != len(before) {
				return false
			}
		}
		return true
	})
	t.Logf("%d blobs on each of 3 nodes; one node wiped, %d bits flipped on another: all copies right after %v", len(contents), flips, time.Since(started).Round(time.Millisecond))
	for _, alone := range []int{0, 1} {
		for i := range 3 {
			if i != alone {
				c.Kill(i)
			}
		}
		mustReadFrom(t, c, alone, contents)
		for i := range 3 {
			c.Restart(i)
		}
		c.WaitReady()
	}
}

// TestLostOnAllNodes: rot on all copies of one blob is an alarm, a 503, and
// nothing else; what is left is kept; the rest is not touched; bringing it back
// ends the alarm.
func TestLostOnAllNodes(t *testing.T) {
	testcluster.Parallel(t)
	c := testcluster.Start(t, 3, testcluster.Options{})
	_, key := c.Account(1_000_000)
	contents := upload(t, c, key, 5)
	tables(c, 0, 1, 2)
	bad := content(77, 700<<10)
	if _, err := c.PutUntil(t.Context(), 0, key, bad, 30); err != nil {
		t.Fatal(err)
	}
	c.WaitConverged()
	for i := range 3 {
		c.Stop(i)
		if n := c.RotBlobs(i, bad); n != 1 {
			t.Fatalf("%d places on node %d", n, i)
		}
	}
	for i := range 3 {
		c.Restart(i)
	}
	c.WaitReady()
	cid := storage.SumCID(bad)
	waitFor(t, "alarm", func() bool {
		a, err := c.Client(0, "").Do(http.MethodGet, "/api/content/"+cid.String(), nil, nil)
		if err == nil && a.Status != http.StatusServiceUnavailable {
			t.Fatalf("a blob that is rotten everywhere is answered with %d", a.Status)
		}
		for i := range 3 {
			codes, lost := health(t, c.Node(i))
			if codes["lost"].Count != 1 || codes["lost"].Since.IsZero() || len(lost) != 1 {
				return false
			}
			if lost[0] != cid.String() {
				t.Fatalf("node %d lists %q as lost", i, lost)
			}
		}
		return true
	})
	for _, b := range contents {
		if _, err := c.Client(1, "").Get(storage.SumCID(b)); err != nil {
			t.Errorf("another blob: %v", err)
		}
	}
	if _, err := c.PutUntil(t.Context(), 1, key, bad, 30); err != nil { // somebody still has it
		t.Fatal(err)
	}
	waitFor(t, "end of the alarm", func() bool {
		for i := range 3 {
			if codes, _ := health(t, c.Node(i)); codes["lost"].Count != 0 {
				return false
			}
		}
		return true
	})
}

// TestUnopenableStore: a blob store that does not open any more is set aside,
// and filled again from the peers under a new incarnation.
func TestUnopenableStore(t *testing.T) {
	testcluster.Parallel(t)
	c := testcluster.Start(t, 3, testcluster.Options{Configure: func(_ int, cfg *node.Config) { cfg.RebuildKeep = time.Millisecond }})
	_, key := c.Account(1_000_000)
	contents := upload(t, c, key, 40)
	c.Stop(2)
	c.RotManifest(2)
	started := time.Now()
	c.Restart(2)
	c.WaitReady()
	c.WaitConverged()
	t.Logf("%d blobs restored to a store that did not open, in %v", len(contents), time.Since(started).Round(time.Millisecond))
	c.Kill(0)
	c.Kill(1)
	mustReadFrom(t, c, 2, contents)
}

// TestScrubFindsSilentRot: rot that nobody reads is found and repaired by the
// scrub.
func TestScrubFindsSilentRot(t *testing.T) {
	testcluster.Parallel(t)
	c := testcluster.Start(t, 3, testcluster.Options{Configure: func(_ int, cfg *node.Config) { cfg.ScrubEvery = 4 * time.Second }})
	_, key := c.Account(1_000_000)
	b := content(1, 700<<10)
	if _, err := c.PutUntil(t.Context(), 0, key, b, 30); err != nil {
		t.Fatal(err)
	}
	c.WaitConverged()
	c.Stop(1)
	if n := c.RotBlobs(1, b[256<<10:]); n != 1 { // not where a list reads
		t.Fatalf("%d places", n)
	}
	c.Restart(1)
	c.WaitReady()
	waitFor(t, "rot found by the scrub", func() bool { return c.Node(1).ScrubFound() > 0 })
	waitFor(t, "repair", func() bool {
		held, err := c.Node(1).Held(nil, 2)
		return err == nil && len(held) == 1 && !held[0].Corrupt
	})
	c.Kill(0)
	c.Kill(2)
	mustReadFrom(t, c, 1, [][]byte{b})
}

// TestReadRepair: an owner that is asked for what it does not hold gets it.
func TestReadRepair(t *testing.T) {
	testcluster.Parallel(t)
	c := testcluster.Start(t, 3, testcluster.Options{})
	_, key := c.Account(1_000_000)
	b := content(1, 700<<10)
	if _, err := c.PutUntil(t.Context(), 0, key, b, 30); err != nil {
		t.Fatal(err)
	}
	c.WaitConverged()
	c.Stop(1)
	if n := c.RotBlobs(1, b[256<<10:]); n != 1 {
		t.Fatalf("%d places", n)
	}
	c.Restart(1)
	c.WaitReady()
	c.WaitConverged() // no pass, no list finds it
	if _, err := c.Client(1, "").Get(storage.SumCID(b)); err != nil {
		t.Fatalf("a read that meets the bad copy: %v", err)
	}
	waitFor(t, "repair", func() bool { return c.Node(1).Settled() })
	c.Kill(0)
	c.Kill(2)
	ctx, cancel := context.WithTimeout(t.Context(), repairWait)
	defer cancel()
	var err error
	for ctx.Err() == nil { // the repair may still be on its way
		if _, err = c.Client(1, "").Get(storage.SumCID(b)); err == nil {
			return
		}
		c.Restart(0)
		time.Sleep(time.Second)
		c.Kill(0)
	}
	t.Fatal(errors.Join(err, ctx.Err()))
}
