package testcluster_test

import (
	"net/http"
	"slices"
	"testing"
	"time"

	"ringbin/node"
	"ringbin/storage"
	"ringbin/testcluster"
)

// namedWithin is what I18 promises.
const namedWithin = 30 * time.Second

// untilHealth looks at a node until its health is as wanted, for as long as I18 gives it.
func untilHealth(t *testing.T, c *testcluster.Cluster, i int, what string, holds func(codes []string, h node.Health) bool) node.Health {
	t.Helper()
	deadline := time.Now().Add(namedWithin)
	for {
		h := c.Node(i).Service().Health()
		var codes []string
		for _, r := range h.Reasons {
			codes = append(codes, r.Code)
		}
		if holds(codes, h) {
			return h
		}
		if time.Now().After(deadline) {
			t.Fatalf("I18: node %d does not tell of %s within %s: %+v", i, what, namedWithin, h)
		}
		time.Sleep(50 * time.Millisecond) // between two looks
	}
}

// TestHealthNamesWhatIsLost: each lost margin is named, with a number and since
// when, and the name goes when the margin is back (I18).
func TestHealthNamesWhatIsLost(t *testing.T) {
	testcluster.Parallel(t)
	c := testcluster.Start(t, 3, testcluster.Options{})
	_, key := c.Account(10_000)
	well := func(codes []string, h node.Health) bool { return len(codes) == 0 && h.Status == "ok" && h.Ready }
	for i := range 3 {
		untilHealth(t, c, i, "being well", well)
	}
	c.Kill(2)
	both := func(codes []string, _ node.Health) bool {
		return slices.Contains(codes, "node_down") && slices.Contains(codes, "no_tolerance")
	}
	first := untilHealth(t, c, 0, "a node that is down", both)
	if first.Status != "degraded" || !first.Ready {
		t.Errorf("one of three is down: %+v", first)
	}
	b := content(1, 100_000)
	if _, _, err := c.Client(0, key).Put(b, 30); err != nil {
		t.Fatal(err)
	}
	later := untilHealth(t, c, 0, "the same, later", both)
	for _, r := range first.Reasons {
		if r.Count < 1 || r.Since.IsZero() || r.Text == "" {
			t.Errorf("reason without number, time or words: %+v", r)
		}
		for _, l := range later.Reasons {
			if l.Code == r.Code && !l.Since.Equal(r.Since) {
				t.Errorf("%s since %s, and a look later since %s", r.Code, r.Since, l.Since)
			}
		}
		if _, ok := node.Advise(r.Code); !ok {
			t.Errorf("no advice for %s", r.Code)
		}
	}
	// The public port tells codes, the admin port all.
	untilHealth(t, c, 1, "a node that is down", both)
	if codes := reasons(t, c, 1); !codes["node_down"] {
		t.Errorf("public codes: %v", codes)
	}
	// A second one down: no majority, not ready.
	c.Kill(1)
	untilHealth(t, c, 0, "having no leader", func(codes []string, h node.Health) bool {
		return slices.Contains(codes, "no_leader") && !h.Ready && h.Status == "unavailable"
	})
	if a, err := c.Client(0, "").Do(http.MethodGet, "/healthz", nil, nil); err != nil || a.Status != http.StatusServiceUnavailable {
		t.Errorf("healthz without a leader: %v %d", err, a.Status)
	}
	if _, err := c.Client(0, "").Get(storage.SumCID(b)); err != nil {
		t.Errorf("content is not served without a leader: %v", err)
	}
	c.Restart(1)
	c.Restart(2)
	c.WaitReady()
	for i := range 3 {
		untilHealth(t, c, i, "being well again", well)
	}
}
