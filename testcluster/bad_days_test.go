package testcluster_test

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"ringbin/storage"
	"ringbin/testcluster"
)

// load uploads and reads until it is stopped. Each writer waits until its
// upload is acknowledged, through whichever node answers.
type load struct {
	c      *testcluster.Cluster
	cancel context.CancelFunc
	group  errgroup.Group
	acks   atomic.Int64
	ack    chan struct{}
}

// writersMax is how many clients upload at a time.
const writersMax = 4

func startLoad(t *testing.T, c *testcluster.Cluster, key string) *load {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	l := &load{c: c, cancel: cancel, ack: make(chan struct{}, 1)}
	for w := range writersMax {
		l.group.Go(func() error {
			for i := 0; ctx.Err() == nil; i++ {
				size := 100 + i
				if i%7 == 0 {
					size = 300 << 10 // several chunks, stored as a file of its own
				}
				b := content(uint64(w)<<16|uint64(i), size)
				_, err := c.PutUntil(ctx, w+i, key, b, 30)
				switch {
				case ctx.Err() != nil:
					continue // stopped: whatever came of this one
				case err != nil:
					return err
				}
				l.acks.Add(1)
				select {
				case l.ack <- struct{}{}:
				default:
				}
			}
			return nil
		})
	}
	return l
}

// more returns once n further uploads were acknowledged.
func (l *load) more(t *testing.T, n int64) {
	t.Helper()
	until := l.acks.Load() + n
	late := time.After(30 * time.Second)
	for l.acks.Load() < until {
		select {
		case <-l.ack:
		case <-late:
			t.Fatalf("%d of %d uploads acknowledged in 30 s", l.acks.Load(), until)
		}
	}
}

func (l *load) stop(t *testing.T) {
	t.Helper()
	l.cancel()
	if err := l.group.Wait(); err != nil {
		t.Error(err)
	}
	t.Logf("%d uploads acknowledged", l.acks.Load())
}

// reading reads one blob through a node again and again, and fails the test
// with the first read that does not succeed.
func reading(t *testing.T, c *testcluster.Cluster, i int, cid storage.CID) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var g errgroup.Group
	reads := 0
	g.Go(func() error {
		for ; ctx.Err() == nil; reads++ {
			if _, err := c.Client(i, "").Get(cid); err != nil { //nolint:contextcheck // each request has its own time
				return err
			}
		}
		return nil
	})
	return func() {
		cancel()
		if err := g.Wait(); err != nil {
			t.Errorf("a read through node %d, which was never down: %v", i, err)
		}
		if reads == 0 {
			t.Errorf("no reads through node %d", i)
		}
	}
}

// TestLeaderIsKilled: reads through the others never stop, writes go on, and
// the node that comes back catches up and holds its copies again.
func TestLeaderIsKilled(t *testing.T) {
	testcluster.Parallel(t)
	c := testcluster.Start(t, 3, testcluster.Options{})
	_, key := c.Account(1_000_000)
	b := content(1<<20, 200<<10)
	if _, _, err := c.Client(0, key).Put(b, 30); err != nil {
		t.Fatal(err)
	}
	l := startLoad(t, c, key)
	l.more(t, 10)
	leader := c.WaitLeader()
	stops := []func(){
		reading(t, c, (leader+1)%3, storage.SumCID(b)),
		reading(t, c, (leader+2)%3, storage.SumCID(b)),
	}
	c.Kill(leader)
	l.more(t, 20)
	for _, stop := range stops {
		stop()
	}
	c.Restart(leader)
	l.more(t, 10)
	l.stop(t)
	c.WaitConverged()
	for i, m := range clusterStatus(t, c, 0).Nodes {
		if m.Missing != 0 {
			t.Errorf("node %d misses %d copies", i, m.Missing)
		}
	}
}

// TestAllAreKilled: nothing acknowledged is lost when all nodes go at once.
func TestAllAreKilled(t *testing.T) {
	testcluster.Parallel(t)
	c := testcluster.Start(t, 3, testcluster.Options{})
	_, key := c.Account(1_000_000)
	l := startLoad(t, c, key)
	for range 2 {
		l.more(t, 10)
		var g errgroup.Group
		for i := range 3 {
			g.Go(func() error { c.Kill(i); return nil })
		}
		_ = g.Wait()
		for i := range 3 {
			c.Restart(i)
		}
		c.WaitReady()
		l.more(t, 10)
	}
	l.stop(t)
}

// TestPartitions: a leader that nobody hears, or that hears nobody, is replaced
// and never acknowledges what the others do not know.
func TestPartitions(t *testing.T) {
	testcluster.Parallel(t)
	cuts := map[string]func(c *testcluster.Cluster, leader int){
		"isolated": func(c *testcluster.Cluster, leader int) { c.Isolate(leader) },
		"deaf": func(c *testcluster.Cluster, leader int) {
			c.Partition((leader+1)%3, leader)
			c.Partition((leader+2)%3, leader)
		},
		"mute": func(c *testcluster.Cluster, leader int) {
			c.Partition(leader, (leader+1)%3)
			c.Partition(leader, (leader+2)%3)
		},
	}
	for name, cut := range cuts {
		t.Run(name, func(t *testing.T) {
			c := testcluster.Start(t, 3, testcluster.Options{})
			_, key := c.Account(1_000_000)
			l := startLoad(t, c, key)
			l.more(t, 5)
			leader := c.WaitLeader()
			cut(c, leader)
			l.more(t, 10)
			c.Heal()
			l.more(t, 5)
			l.stop(t)
		})
	}
}

// TestNoMajority: a node that is left alone says so, charges nothing, and goes
// on serving the content it knows.
func TestNoMajority(t *testing.T) {
	testcluster.Parallel(t)
	c := testcluster.Start(t, 3, testcluster.Options{})
	_, key := c.Account(100)
	b := content(1, 5000)
	if _, _, err := c.Client(0, key).Put(b, 30); err != nil {
		t.Fatal(err)
	}
	c.WaitConverged()
	c.Kill(1)
	c.Kill(2)
	started := time.Now()
	_, a, err := c.Client(0, key).Put(content(2, 5000), 30)
	if err == nil || a.Status != http.StatusServiceUnavailable {
		t.Fatalf("an upload without a majority: %d %s %v", a.Status, a.Body, err)
	}
	if took := time.Since(started); took > 12*time.Second {
		t.Errorf("the 503 took %v, promised within 10 s", took)
	}
	var body struct {
		Code    string
		Details struct{ Outcome string }
	}
	if err := a.JSON(&body); err != nil || body.Details.Outcome == "" || a.Header.Get("Retry-After") == "" {
		t.Errorf("503 without its outcome: %s", a.Body)
	}
	got, err := c.Client(0, "").Get(storage.SumCID(b))
	if err != nil || !bytes.Equal(got, b) {
		t.Errorf("known content without a majority: %v", err)
	}
	c.Restart(1)
	c.Restart(2)
	c.WaitReady()
}

// TestNodeWasAway: what was uploaded while a node was down lies on it soon
// after it is back, and it serves it.
func TestNodeWasAway(t *testing.T) {
	testcluster.Parallel(t)
	c := testcluster.Start(t, 3, testcluster.Options{})
	_, key := c.Account(1000)
	c.Stop(2)
	var cids []storage.CID
	for i := range 12 {
		b := content(uint64(i), 1000*(i+1)*(i+1))
		u, err := c.PutUntil(t.Context(), i%2, key, b, 30)
		if err != nil {
			t.Fatal(err)
		}
		cids = append(cids, u.CID)
	}
	c.Restart(2)
	c.WaitReady()
	c.WaitConverged()
	if got := copies(clusterStatus(t, c, 0)); got != int64(3*len(cids)) {
		t.Errorf("%d copies of %d blobs, want three of each", got, len(cids))
	}
	c.Kill(0)
	c.Kill(1)
	for _, cid := range cids {
		if _, err := c.Client(2, "").Get(cid); err != nil {
			t.Errorf("from the node that was away: %v", err)
		}
	}
}

// TestUnknownOutcome: the answer is lost on its way; the retry through another
// node, with the same Idempotency-Key, gives one reference and one charge.
func TestUnknownOutcome(t *testing.T) {
	testcluster.Parallel(t)
	c := testcluster.Start(t, 3, testcluster.Options{})
	_, key := c.Account(100)
	b := content(1, 5000)
	_, first, err := c.Client(0, key).PutAs("once", b, 60)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		_, again, err := c.Client(i, key).PutAs("once", b, 60)
		if err != nil || !bytes.Equal(again.Body, first.Body) {
			t.Errorf("retry through node %d: %v %d %s, first was %s", i, err, again.Status, again.Body, first.Body)
		}
		if again.Header.Get("Idempotency-Replayed") != "true" {
			t.Errorf("retry through node %d does not say that it was one", i)
		}
	}
	if got, err := c.Client(1, key).Balance(); err != nil || got != 99 {
		t.Errorf("balance %d (%v), want one cent less than 100", got, err)
	}
	if _, other, err := c.Client(1, key).PutAs("once", b, 90); err == nil || other.Status != http.StatusUnprocessableEntity {
		t.Errorf("the key for another request: %v %d %s", err, other.Status, other.Body)
	}
}

// TestRevokedEverywhere: after the 200 no node accepts a write by the key.
func TestRevokedEverywhere(t *testing.T) {
	testcluster.Parallel(t)
	c := testcluster.Start(t, 3, testcluster.Options{})
	account, key := c.Account(100)
	a, err := c.Operator(0).Do(http.MethodPatch, "/api/admin/accounts/"+account, nil, bytes.NewReader([]byte(`{"disabled":true}`)))
	if err != nil || a.Status != http.StatusOK {
		t.Fatalf("%v %d %s", err, a.Status, a.Body)
	}
	for i := range 3 {
		_, a, err := c.Client(i, key).Put(content(uint64(i), 500), 30)
		if err == nil || a.Status != http.StatusUnauthorized {
			t.Errorf("a disabled account's upload through node %d: %d %s", i, a.Status, a.Body)
		}
	}
	a, err = c.Operator(1).Do(http.MethodPatch, "/api/admin/accounts/"+account, nil, bytes.NewReader([]byte(`{"disabled":false}`)))
	if err = errors.Join(err, a.JSON(&struct{}{})); err != nil || a.Status != http.StatusOK {
		t.Fatalf("%v %d %s", err, a.Status, a.Body)
	}
}

// TestTwoDeadAreRemoved: the ring that is to be filled after the first removal
// still names the second one, and is given up; copies come back to R.
func TestTwoDeadAreRemoved(t *testing.T) {
	testcluster.Parallel(t)
	c := testcluster.Start(t, 5, testcluster.Options{})
	_, key := c.Account(1000)
	const blobs = 20
	for i := range blobs {
		if _, _, err := c.Client(i%5, key).Put(content(uint64(i), 500+i), 30); err != nil {
			t.Fatal(err)
		}
	}
	c.WaitConverged()
	c.Kill(3)
	c.Kill(4)
	c.WaitLeader()
	c.Remove(3, 0)
	c.Remove(4, 1)
	c.WaitConverged()
	if got := copies(clusterStatus(t, c, 2)); got != 3*blobs {
		t.Errorf("%d copies of %d blobs, want three of each", got, blobs)
	}
}
