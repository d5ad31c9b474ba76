package testcluster_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"ringbin/storage"
	"ringbin/testcluster"
)

// onlyInChaos skips what takes too long for every run: `make chaos` has it.
func onlyInChaos(t *testing.T) {
	t.Helper()
	if os.Getenv("RINGBIN_CHAOS_TIME") == "" {
		t.Skip("takes longer: make chaos runs it")
	}
}

// eventually waits until a condition over several nodes holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	eventuallyNil(t, what, func() error {
		if holds() {
			return nil
		}
		return errors.New("it does not hold")
	})
}

// eventuallyNil waits until nothing is wrong any more, and fails with what is.
func eventuallyNil(t *testing.T, what string, wrong func() error) {
	t.Helper()
	for until := time.Now().Add(45 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		err := wrong()
		if err == nil {
			return
		}
		if time.Now().After(until) {
			t.Fatalf("no %s within 45 s: %v", what, err)
		}
	}
}

func report(t *testing.T, c *testcluster.Cluster, w *testcluster.Workload, seed uint64) {
	t.Helper()
	var rep testcluster.Report
	c.Finish(w, testcluster.Chaos{Seed: seed}, &rep)
	rep.Seconds = w.Elapsed().Seconds()
	rep.Print(t.Output())
}

// TestStrongReadsWhileLeadershipFlaps: a new leader knows of what its
// predecessor acknowledged before it answers (I4). The network is slow, so that
// it learns late.
func TestStrongReadsWhileLeadershipFlaps(t *testing.T) {
	testcluster.Parallel(t)
	const handOvers = 12
	seed := seedOf(t)
	t.Logf("seed %d", seed)
	c := testcluster.Start(t, 3, chaosOptions)
	w := c.StartWorkload(4, seed)
	for i := range c.Len() {
		c.SetWeatherOf(i, testcluster.Weather{Delay: 30 * time.Millisecond})
	}
	for range handOvers {
		w.More(3)
		c.HandOver()
	}
	report(t, c, w, seed)
}

// TestNewLeaderKnowsAll: the leader is cut off in the moment in which it has
// acknowledged something, and before others know that it is committed; one of
// them does not even have it. Whoever leads next can prove that it leads before
// it has brought the other one up to date, and answers no strong read until it
// has (I4).
func TestNewLeaderKnowsAll(t *testing.T) {
	testcluster.Parallel(t)
	const rounds, readers = 3, 4
	c := testcluster.Start(t, 3, testcluster.Options{})
	id, key := c.Account(1000)
	cents := int64(1000)
	for round := range rounds {
		c.WaitConverged()
		leader := c.WaitLeader()
		for i := range c.Len() {
			c.SetWeatherOf(i, testcluster.Weather{Delay: 60 * time.Millisecond})
		}
		c.Partition(leader, (leader+1+round%2)%c.Len())
		a, err := c.Operator(leader).Do(http.MethodPost, "/api/admin/accounts/"+id+"/deposit", nil,
			strings.NewReader(fmt.Sprintf(`{"amount_cents":1,"reference":"%s %d"}`, id, round)))
		c.Isolate(leader)
		if err != nil || a.Status != http.StatusOK {
			t.Fatalf("deposit: %v %d %s", err, a.Status, a.Body)
		}
		cents++
		var g errgroup.Group
		for i := range c.Len() * readers {
			if i%c.Len() == leader {
				continue
			}
			g.Go(func() error {
				got, err := c.Client(i%c.Len(), key).Balance()
				for until := time.Now().Add(30 * time.Second); err != nil && time.Now().Before(until); {
					got, err = c.Client(i%c.Len(), key).Balance()
				}
				if err == nil && got != cents {
					err = fmt.Errorf("I4: node %d tells a balance of %d, and %d was acknowledged", i%c.Len(), got, cents)
				}
				return err
			})
		}
		err = g.Wait()
		c.Heal()
		if err != nil {
			t.Fatal(err)
		}
		c.WaitReady()
	}
	c.ForgetAccount(key)
}

// TestOneCopyIsNotEnough: while two of three owners can't write, nothing is
// acknowledged; what is can lose any one disk (I1).
func TestOneCopyIsNotEnough(t *testing.T) {
	testcluster.Parallel(t)
	c := testcluster.Start(t, 3, chaosOptions)
	_, key := c.Account(1000)
	b := content(1, 5000)
	r := rand.New(rand.NewPCG(1, 1))
	c.WaitConverged()
	c.Disk(1).Set(testcluster.Trouble{Stalled: true})
	c.Disk(2).Set(testcluster.Trouble{Stalled: true})
	cl := c.Client(0, key)
	cl.Patience = 2 * time.Second
	if _, _, err := cl.PutAs("once", b, 30); err == nil {
		t.Error("I1: acknowledged with one copy")
	}
	c.LosePower(0, r, 1, 2)
	c.Restart(1)
	c.Restart(2)
	c.WaitReady()
	if _, err := c.PutUntil(t.Context(), 0, key, b, 30); err != nil {
		t.Fatal(err)
	}
	c.WipeBlobs(0)
	for _, i := range []int{1, 2} {
		if _, err := c.Client(i, "").Get(storage.SumCID(b)); err != nil {
			t.Errorf("I1: one of three disks is lost, and node %d can't serve: %v", i, err)
		}
	}
}

// TestPowerLossOfAll: what was acknowledged is there when all nodes have lost
// power at once, with nothing of what they had not synced (I1, I3).
func TestPowerLossOfAll(t *testing.T) {
	testcluster.Parallel(t)
	c := testcluster.Start(t, 3, chaosOptions)
	_, key := c.Account(1_000_000)
	r := rand.New(rand.NewPCG(1, 2))
	var cids []storage.CID
	put := func(from, n int) {
		for i := from; i < from+n; i++ {
			cids = append(cids, storage.SumCID(content(uint64(i), 100+i)))
			if _, err := c.PutUntil(t.Context(), i, key, content(uint64(i), 100+i), 30); err != nil {
				t.Fatal(err)
			}
		}
	}
	put(0, 10)
	for i := range c.Len() { // the metadata is flushed up to here
		c.Kill(i)
		c.Restart(i)
		c.WaitReady()
	}
	for _, unsynced := range []int{0, 50} {
		put(10+unsynced, 20)
		c.LosePower(unsynced, r, 0, 1, 2)
		for i := range c.Len() {
			c.Restart(i)
		}
		c.WaitReady()
		for i, cid := range cids {
			if _, err := c.Client(i%3, "").Get(cid); err != nil {
				t.Fatalf("I1: acknowledged before the power loss, %s: %v", cid, err)
			}
		}
	}
}

// TestAbsenceErasesNothing: metadata may lose its end with power, and gets it
// back from the log once there is a leader again. Nodes that compare what they
// hold with a catalogue from before that erase nothing (I1, I13).
func TestAbsenceErasesNothing(t *testing.T) {
	testcluster.Parallel(t)
	const old, all = 10, 30
	c := testcluster.Start(t, 3, chaosOptions)
	_, key := c.Account(1_000_000)
	var cids []storage.CID
	for i := range all {
		if i == old { // the metadata is flushed up to here
			for j := range c.Len() {
				c.Kill(j)
				c.Restart(j)
				c.WaitReady()
			}
		}
		u, err := c.PutUntil(t.Context(), i, key, content(uint64(i), 100+i), 30)
		if err != nil {
			t.Fatal(err)
		}
		cids = append(cids, u.CID)
	}
	c.WaitConverged() // each node holds all
	c.LosePower(0, rand.New(rand.NewPCG(1, 3)), 0, 1, 2)
	for i := range c.Len() {
		c.Isolate(i)
	}
	for i := range c.Len() {
		c.Restart(i)
		eventually(t, "comparison", func() bool { return !c.Node(i).Replication().Finished.IsZero() })
		named, err := c.Node(i).Catalogued(nil, all+1)
		if err != nil || len(named) < old || len(named) >= all {
			t.Fatalf("the catalogue of node %d names %d contents of %d (%v): the test shows nothing", i, len(named), all, err)
		}
		if held, err := c.Node(i).Held(nil, all+1); err != nil || len(held) != all {
			t.Errorf("I1, I13: node %d promised %d copies, its catalogue names %d, and it has kept %d (%v)", i, all, len(named), len(held), err)
		}
	}
	c.Heal()
	c.WaitReady()
	for i, cid := range cids {
		if _, err := c.Client(i%3, "").Get(cid); err != nil {
			t.Fatalf("I1: acknowledged, %s: %v", cid, err)
		}
	}
}

// TestRefusedIsFree: what an account has no room for costs nothing (I7).
func TestRefusedIsFree(t *testing.T) {
	testcluster.Parallel(t)
	c := testcluster.Start(t, 1, testcluster.Options{})
	account, key := c.Account(1000)
	a, err := c.Operator(0).Do(http.MethodPatch, "/api/admin/accounts/"+account, nil, bytes.NewReader([]byte(`{"quota_bytes":1000}`)))
	if err != nil || a.Status != http.StatusOK {
		t.Fatalf("%v %d %s", err, a.Status, a.Body)
	}
	if _, a, err := c.Client(0, key).Put(content(1, 5000), 30); err == nil || a.Status != http.StatusInsufficientStorage {
		t.Fatalf("an upload above the quota: %v %d %s", err, a.Status, a.Body)
	}
	if got, err := c.Client(0, key).Balance(); err != nil || got != 1000 {
		t.Errorf("I7: a refused upload left %d cents of 1000 (%v)", got, err)
	}
}

// TestRetriesChargeOnce: clients that hang up and ask again elsewhere pay once (I8).
func TestRetriesChargeOnce(t *testing.T) {
	testcluster.Parallel(t)
	onlyInChaos(t)
	seed := seedOf(t)
	c := testcluster.Start(t, 3, chaosOptions)
	w := c.StartWorkload(6, seed)
	w.More(150)
	report(t, c, w, seed)
	if w.Retried.Load() == 0 {
		t.Error("nobody had to ask again")
	}
}

// TestExpiry: one wrong clock makes nothing expire, and when it is time, no
// node serves what has expired, swept or not (I14).
func TestExpiry(t *testing.T) {
	testcluster.Parallel(t)
	onlyInChaos(t)
	const month = 31 * 24 * time.Hour
	c := testcluster.Start(t, 3, chaosOptions)
	_, key := c.Account(1000)
	b := content(1, 5000)
	cid := storage.SumCID(b)
	if _, _, err := c.Client(0, key).Put(b, 30); err != nil {
		t.Fatal(err)
	}
	c.WaitConverged()
	wrong := (c.WaitLeader() + 1) % 3
	c.SetClock(wrong, month)
	for range 50 {
		if _, err := c.Client(wrong, "").Get(cid); err != nil {
			t.Fatalf("one clock is wrong, and its node serves no more: %v", err)
		}
		time.Sleep(100 * time.Millisecond)
	}
	for i := range 3 {
		c.SetClock(i, month)
	}
	until := time.Now().Add(29 * 24 * time.Hour).UnixMilli()
	eventually(t, "time that went on", func() bool {
		_, _ = c.Client(0, key).Balance()
		_, _, _ = c.Client(1, key).Put(content(2, 100), 30)
		return c.Node(0).Now() > until && c.Node(1).Now() > until && c.Node(2).Now() > until
	})
	eventuallyNil(t, "expiry", func() error { // a node goes by the clock of its last look at the others
		var errs []error
		for i := range 3 {
			a, err := c.Client(i, "").Do(http.MethodGet, "/api/content/"+cid.String(), nil, nil)
			if err != nil || a.Status != http.StatusNotFound {
				errs = append(errs, fmt.Errorf("I14: node %d answers %d", i, a.Status), err)
			}
		}
		return errors.Join(errs...)
	})
}

// TestClockIsSetMidway: a leader whose clock is set while the voters are asked
// about it does not move time on by what the clock said before.
func TestClockIsSetMidway(t *testing.T) {
	testcluster.Parallel(t)
	const (
		year = 365 * 24 * time.Hour
		sets = 300
	)
	seed := seedOf(t)
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	c := testcluster.Start(t, 3, chaosOptions)
	w := c.StartWorkload(4, seed)
	w.More(20)
	moment := func() { time.Sleep(time.Duration(r.Int64N(int64(6 * time.Millisecond)))) } // how long a clock is wrong is what is tried
	for range sets {
		wrong := c.WaitLeader()
		c.SetClock(wrong, year)
		moment()
		c.SetClock(wrong, 0)
		moment()
	}
	c.WaitReady()
	w.More(20)
	for i := range c.Len() {
		if ahead := time.Until(time.UnixMilli(c.Node(i).Now())); ahead > time.Minute {
			t.Fatalf("node %d: time is %v ahead", i, ahead)
		}
	}
	report(t, c, w, seed)
}

// TestGossipPlacesNothing: a node that gossip calls dead, and that Raft hears,
// keeps its place in the ring; the other way round, too (I11).
func TestGossipPlacesNothing(t *testing.T) {
	testcluster.Parallel(t)
	onlyInChaos(t)
	c := testcluster.Start(t, 3, chaosOptions)
	_, key := c.Account(1000)
	if _, _, err := c.Client(0, key).Put(content(1, 5000), 30); err != nil {
		t.Fatal(err)
	}
	c.WaitConverged()
	before, _ := c.Node(0).Rings()
	lonely := (c.WaitLeader() + 1) % 3
	c.CutGossip(lonely)
	eventually(t, "death by gossip", func() bool {
		for i := range 3 {
			if i != lonely && c.Node(i).GossipAlive(c.ID(lonely)) {
				return false
			}
		}
		return true
	})
	for i := range 20 { // the leader looks at its ring at each of them, and each second
		if _, _, err := c.Client(i%3, key).Put(content(uint64(10+i), 500), 30); err != nil {
			t.Errorf("an upload while gossip calls a node dead: %v", err)
		}
		time.Sleep(150 * time.Millisecond)
	}
	cur, next := c.Node(0).Rings()
	if next != nil || cur.Version != before.Version {
		t.Errorf("I11: gossip changed the ring")
	}
	c.Heal()
}
