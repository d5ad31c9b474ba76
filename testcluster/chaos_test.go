package testcluster_test

import (
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"ringbin/testcluster"
)

// How long faults go on: a moment in every run of the tests, longer on demand.
const (
	chaosShort = 8 * time.Second
	chaosLong  = 3 * time.Minute
)

// fault is one thing that goes wrong, and what mends it.
type fault struct {
	name string
	do   func(c *testcluster.Cluster, r *rand.Rand) (mend func())
}

var faults = []fault{
	{"a node is killed", func(c *testcluster.Cluster, r *rand.Rand) func() {
		i := r.IntN(c.Len())
		c.Kill(i)
		return func() { c.Restart(i) }
	}},
	{"the leader is killed", func(c *testcluster.Cluster, _ *rand.Rand) func() {
		i := c.WaitLeader()
		c.Kill(i)
		return func() { c.Restart(i) }
	}},
	{"a node is restarted", func(c *testcluster.Cluster, r *rand.Rand) func() {
		i := r.IntN(c.Len())
		c.Stop(i)
		return func() { c.Restart(i) }
	}},
	{"all nodes are killed", func(c *testcluster.Cluster, _ *rand.Rand) func() {
		for i := range c.Len() {
			c.Kill(i)
		}
		return func() {
			for i := range c.Len() {
				c.Restart(i)
			}
		}
	}},
	{"a node is isolated", func(c *testcluster.Cluster, r *rand.Rand) func() {
		c.Isolate(r.IntN(c.Len()))
		return c.Heal
	}},
	{"one direction is cut", func(c *testcluster.Cluster, r *rand.Rand) func() {
		from := r.IntN(c.Len())
		c.Partition(from, (from+1+r.IntN(c.Len()-1))%c.Len())
		return c.Heal
	}},
	{"the leader hears nobody", func(c *testcluster.Cluster, _ *rand.Rand) func() {
		leader := c.WaitLeader()
		for i := range c.Len() {
			if i != leader {
				c.Partition(i, leader)
			}
		}
		return c.Heal
	}},
}

// TestChaos lets faults happen one after the other, in a random order from a
// seed, while clients upload; the oracles run at the end. RINGBIN_CHAOS=1 makes
// it long, RINGBIN_CHAOS_SEED repeats an order.
func TestChaos(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("RINGBIN_CHAOS_SEED"); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatalf("RINGBIN_CHAOS_SEED: %v", err)
		}
	}
	span := chaosShort
	if os.Getenv("RINGBIN_CHAOS") != "" {
		span = chaosLong
	}
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	c := testcluster.Start(t, 3, testcluster.Options{})
	_, key := c.Account(10_000_000)
	l := startLoad(t, c, key)
	l.more(t, 5)
	seen := map[string]int{}
	for until := time.Now().Add(span); time.Now().Before(until); {
		f := faults[r.IntN(len(faults))]
		seen[f.name]++
		mend := f.do(c, r)
		// How long a fault lasts is chosen, not waited for: some outlast an
		// election and some do not.
		<-time.After(time.Duration(r.IntN(1500)) * time.Millisecond)
		mend()
		c.WaitReady()
		l.more(t, int64(r.IntN(10)))
	}
	l.stop(t)
	for name, n := range seen {
		t.Logf("%3d times: %s", n, name)
	}
}
