package testcluster_test

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"ringbin/testcluster"
)

// long reports whether a run may take minutes.
func long() bool { return os.Getenv("RINGBIN_CHAOS") != "" }

// TestProcessFaults does to real processes what machines do to them.
func TestProcessFaults(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the command line and starts processes")
	}
	bin := testcluster.Build(t)
	for _, s := range []struct {
		name string
		long bool // only with RINGBIN_CHAOS
		run  func(t *testing.T, bin string)
	}{
		{"the leader is frozen", false, leaderIsFrozen},
		{"nodes are restarted one after the other", false, rollingRestart},
		{"file descriptors run out", false, descriptorsRunOut},
		{"disk fills up", true, diskFillsUp},
		{"disk is full", true, diskIsFull},
		{"disk is replaced", true, diskIsReplaced},
		{"files rot", false, filesRot},
		{"network namespaces", false, netns},
	} {
		t.Run(s.name, func(t *testing.T) {
			if s.long && !long() {
				t.Skip("takes long: RINGBIN_CHAOS=1 runs it")
			}
			s.run(t, bin)
		})
	}
}

// leaderIsFrozen: a leader that sleeps through the election of the next one
// must not judge, when it wakes up, by what it knew before (I4).
func leaderIsFrozen(t *testing.T, bin string) {
	t.Helper()
	naps := []time.Duration{3 * time.Second}
	if long() {
		naps = append(naps, 30*time.Second)
	}
	p := testcluster.StartProcesses(t, bin, 3)
	key := p.Account(10_000_000)
	for _, nap := range naps {
		w := p.StartWriters(testcluster.WritersOptions{N: 8, Size: 1 << 10, Key: key, Patience: time.Second})
		waitWrites(t, w, 20)
		leader := p.WaitLeader()
		revoked, id := newKey(t, p, leader, key)
		p.Freeze(leader)
		asleep := time.Now()
		next := p.WaitLeader()
		if next == leader {
			t.Fatalf("node %d leads and is frozen", leader)
		}
		t.Logf("frozen for %s: node %d leads after %s", nap, next, time.Since(asleep).Round(time.Millisecond))
		waitWrites(t, w, 50)
		time.Sleep(nap - time.Since(asleep)) // a nap is a time
		// From here on nothing is written: the balance is one number.
		if err := w.End(); err != nil {
			t.Error(err)
		}
		revokeKey(t, p, next, key, id)
		want, err := p.Client(next, key).Balance()
		if err != nil {
			t.Fatal(err)
		}
		// Asked while it sleeps, answered the moment that it wakes up.
		asked := askStrongly(p, leader, key, revoked, want)
		time.Sleep(200 * time.Millisecond) // let the requests reach the sleeper
		p.Thaw(leader)
		if err := asked(); err != nil {
			t.Errorf("node %d, frozen for %s: %v", leader, nap, err)
		}
	}
	p.Check()
	stopProcesses(p)
}

// askStrongly asks a node for a balance and for a key's state, many times at
// once and then again, until it has answered both rightly. A refusal is fine,
// an old answer is not.
func askStrongly(p *testcluster.Processes, node int, key, revoked string, want int64) (wait func() error) {
	const askers = 16
	var g errgroup.Group
	for range askers {
		g.Go(func() error {
			for until := time.Now().Add(uploadMost); time.Now().Before(until); {
				a, err := p.Client(node, revoked).Do(http.MethodGet, "/api/auth/apikeys", nil, nil)
				if err == nil && a.Status == http.StatusOK {
					return fmt.Errorf("I4: a key revoked before the request is good: %s", a.Body)
				}
				got, balanceErr := p.Client(node, key).Balance()
				if balanceErr == nil && got != want {
					return fmt.Errorf("I4: balance %d, and %d before the request", got, want)
				}
				if err == nil && a.Status == http.StatusUnauthorized && balanceErr == nil {
					return nil
				}
			}
			return fmt.Errorf("no answer in %s", uploadMost)
		})
	}
	return g.Wait
}

func newKey(t *testing.T, p *testcluster.Processes, node int, key string) (secret, id string) {
	t.Helper()
	a, err := p.Client(node, key).Do(http.MethodPost, "/api/auth/apikeys", nil, bytes.NewReader([]byte(`{"name":"short-lived"}`)))
	if err != nil || a.Status != http.StatusOK {
		t.Fatalf("new key: %v, %d %s", err, a.Status, a.Body)
	}
	var k struct{ ID, Key string }
	if err := a.JSON(&k); err != nil {
		t.Fatal(err)
	}
	return k.Key, k.ID
}

func revokeKey(t *testing.T, p *testcluster.Processes, node int, key, id string) {
	t.Helper()
	a, err := p.Client(node, key).Do(http.MethodDelete, "/api/auth/apikeys/"+id, nil, nil)
	if err != nil || a.Status >= 300 {
		t.Fatalf("revoke key: %v, %d %s", err, a.Status, a.Body)
	}
}

// rollingRestart: a client that knows several nodes notices nothing when they
// are restarted one after the other.
func rollingRestart(t *testing.T, bin string) {
	t.Helper()
	p := testcluster.StartProcesses(t, bin, 3)
	w := p.StartWriters(testcluster.WritersOptions{N: 8, Size: 1 << 10, Key: p.Account(100_000_000)})
	waitWrites(t, w, 50)
	before := p.Acked()
	var mu sync.Mutex
	var gaps []time.Duration
	rounds := 1
	if long() {
		rounds = 5
	}
	for range rounds {
		for i := range p.Len() {
			readers := []*steadyReader{readSteadily(t, p, (i+1)%3, before), readSteadily(t, p, (i+2)%3, before)}
			from := time.Now()
			p.Stop(i)
			p.Start(i)
			p.WaitReady()
			waitWrites(t, w, 30)
			for _, r := range readers {
				r.end()
			}
			all, _ := w.Gaps(from, time.Now())
			mu.Lock()
			gaps = append(gaps, all)
			mu.Unlock()
		}
	}
	if err := w.End(); err != nil {
		t.Error(err)
	}
	if n, texts := w.Refused(); n > 0 {
		t.Errorf("%d writes were refused: %v", n, texts)
	}
	t.Logf("%d restarts: %d writes, 0 refused, %d connections lost, longest write gap %s", rounds*p.Len(), w.Count(), w.Lost(), slices.Max(gaps).Round(time.Millisecond))
	p.Check()
	stopProcesses(p)
}
