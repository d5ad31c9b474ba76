package testcluster_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"ringbin/api"
	"ringbin/cluster"
	"ringbin/node"
	"ringbin/testcluster"
)

// pairsDefault is how many pairs of faults the matrix tries after the rows.
const pairsDefault = 20

// matrixLoad is what goes on while a row of the matrix happens.
func matrixLoad(seed uint64) testcluster.Chaos { return testcluster.Chaos{Seed: seed, Spenders: 3} }

// TestFaultMatrix lets each fault happen alone, to the leader, to a follower
// and to an owner, and then random pairs of them at the same time, with all
// checks after each. RINGBIN_MATRIX=1 asks for it, RINGBIN_MATRIX_PAIRS says how
// many pairs.
func TestFaultMatrix(t *testing.T) {
	if os.Getenv("RINGBIN_MATRIX") == "" {
		t.Skip("takes many minutes: make matrix runs it")
	}
	seed := seedOf(t)
	t.Logf("seed %d", seed)
	targets := []testcluster.Target{testcluster.Leader, testcluster.Follower, testcluster.Owner}
	for i, f := range testcluster.Faults {
		for _, target := range targets {
			if f.Single && target != testcluster.Leader {
				continue
			}
			t.Run(f.Name+"/"+string(target), func(t *testing.T) {
				t.Parallel()
				c := testcluster.Start(t, 3, chaosOptions)
				c.RunFaults(matrixLoad(seed+uint64(i)), []testcluster.Fault{f}, []testcluster.Target{target})
			})
		}
	}
	pairs := pairsDefault
	if n, err := strconv.Atoi(os.Getenv("RINGBIN_MATRIX_PAIRS")); err == nil {
		pairs = n
	}
	r := rand.New(rand.NewPCG(seed, 3))
	for i := range pairs {
		a, b := testcluster.Faults[r.IntN(len(testcluster.Faults))], testcluster.Faults[r.IntN(len(testcluster.Faults))]
		at := []testcluster.Target{targets[r.IntN(3)], targets[r.IntN(3)]}
		if a.Whole || b.Whole {
			continue // a wiped disk beside another loss may lose content, and is no fault of ours
		}
		t.Run(fmt.Sprintf("%s of the %s and %s of the %s", a.Name, at[0], b.Name, at[1]), func(t *testing.T) {
			t.Parallel()
			c := testcluster.Start(t, 3, chaosOptions)
			c.RunFaults(matrixLoad(seed+uint64(1000+i)), []testcluster.Fault{a, b}, at)
		})
	}
}

// TestBridge: of five nodes one hears all, and two halves of two do not hear
// each other. Writes go on.
func TestBridge(t *testing.T) {
	onlyInChaos(t)
	seed := seedOf(t)
	c := testcluster.Start(t, 5, chaosOptions)
	w := c.StartWorkload(4, seed)
	w.More(10)
	for _, i := range []int{1, 2} {
		for _, j := range []int{3, 4} {
			c.Partition(i, j)
			c.Partition(j, i)
		}
	}
	w.More(30)
	report(t, c, w, seed)
}

// TestLeaderAmongNonVoters: a leader that is cut from all other voters and
// hears nodes without a vote is no leader, whatever they tell it (I4).
func TestLeaderAmongNonVoters(t *testing.T) {
	onlyInChaos(t)
	seed := seedOf(t)
	o := chaosOptions
	o.Joining = 2
	c := testcluster.Start(t, 3, o)
	w := c.StartWorkload(4, seed)
	for range 3 {
		w.More(10)
		leader := c.WaitLeader()
		for i := range 3 {
			if i != leader {
				c.Partition(i, leader)
				c.Partition(leader, i)
			}
		}
		w.More(20)
		c.Heal()
	}
	report(t, c, w, seed)
}

// TestRemovedNodeComesBack: the disk of a node that was removed is refused, and
// nothing changes by it (I15).
func TestRemovedNodeComesBack(t *testing.T) {
	onlyInChaos(t)
	c := testcluster.Start(t, 4, testcluster.Options{})
	_, key := c.Account(1000)
	if _, _, err := c.Client(0, key).Put(content(1, 500), 30); err != nil {
		t.Fatal(err)
	}
	c.WaitConverged()
	c.Kill(3)
	c.WaitLeader()
	c.Remove(3, 0)
	c.WaitConverged()
	before, _ := c.Node(0).Rings()
	cfg := c.Config(3)
	n, err := node.Open(context.Background(), cfg, api.New)
	if err == nil {
		defer func() { _ = n.Close(context.Background()) }()
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if err := n.WaitReady(ctx); err == nil {
			t.Error("I15: a removed node serves again")
		}
	}
	for i := range 5 {
		if _, _, err := c.Client(i%3, key).Put(content(uint64(10+i), 500), 30); err != nil {
			t.Errorf("an upload while a removed node knocks: %v", err)
		}
	}
	if cur, next := c.Node(0).Rings(); next != nil || cur.Version != before.Version || len(cur.Nodes) != 3 {
		t.Errorf("I11: a removed node changed the ring")
	}
}

// TestStrangerIsNotHeard: a node with another secret gets no part of the
// cluster.
func TestStrangerIsNotHeard(t *testing.T) {
	onlyInChaos(t)
	c := testcluster.Start(t, 3, testcluster.Options{})
	_, key := c.Account(1000)
	before, _ := c.Node(0).Rings()
	cfg := c.Config(0)
	join := []string{cfg.RPC}
	cfg.Secret, cfg.Join, cfg.BootstrapExpect = []byte(cluster.NewSecret()), join, 0
	cfg.DataDir, cfg.Name = filepath.Join(t.TempDir(), "stranger"), "stranger"
	cfg.HTTP, cfg.RPC, cfg.Gossip = "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"
	cfg.Network = nil
	n, err := node.Open(context.Background(), cfg, api.New)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
	defer cancel()
	if err := n.WaitReady(ctx); err == nil {
		t.Error("a node with another secret joined")
	}
	a, err := c.Operator(1).Do(http.MethodGet, "/api/admin/cluster", nil, nil)
	if err != nil || bytes.Contains(a.Body, []byte("stranger")) {
		t.Errorf("the stranger is known: %v %s", err, a.Body)
	}
	if _, _, err := c.Client(1, key).Put(content(1, 500), 30); err != nil {
		t.Error(err)
	}
	if cur, _ := c.Node(0).Rings(); cur.Version != before.Version {
		t.Error("I11: a stranger changed the ring")
	}
	gone, done := context.WithCancel(context.Background())
	done()
	if err := n.Close(gone); err != nil {
		t.Error(err)
	}
}
