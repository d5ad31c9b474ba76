package testcluster_test

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
	"time"

	"golang.org/x/sync/errgroup"

	"ringbin/testcluster"
)

// Numbers of the limit of a minute, by the rules R1 to R6 of PasteWizard.
const (
	rateWindow    = time.Minute
	rateLimit     = 60
	ratePerSecond = 50
	rateSlow      = 8                // a second, in virtual time, while nodes are restarted
	rateSettle    = 15 * time.Second // who began shortly before a window does not count in it
	rateAwayFor   = 30 * time.Second
)

// rateHits hits a token's limit through all nodes in turn.
type rateHits struct {
	nodes  int
	client func(i int, key string) *testcluster.Client
	token  string
	began  time.Time // of the first window
	group  errgroup.Group

	mu    sync.Mutex // protects the fields below
	sure  []int      // accepted, by the window in which they were sent and answered
	maybe []int      // likewise of those that were sent in one window and answered in the next, in both
	sent  []int
	wrong []error
}

func newRateHits(nodes, windows int, client func(i int, key string) *testcluster.Client, token string) *rateHits {
	return &rateHits{
		nodes: nodes, client: client, token: token, began: time.Now().Add(rateSettle).Truncate(rateWindow),
		sure: make([]int, windows), maybe: make([]int, windows), sent: make([]int, windows),
	}
}

func (h *rateHits) window(at time.Time) int { return int(at.Sub(h.began) / rateWindow) }

// until sends so many requests a second, whatever becomes of them.
func (h *rateHits) until(end time.Time, perSecond int) {
	tick := time.NewTicker(time.Second / time.Duration(perSecond))
	defer tick.Stop()
	for k := 0; ; k++ {
		now := <-tick.C
		if !now.Before(end) {
			return
		}
		h.group.Go(func() error {
			h.hit(k % h.nodes)
			return nil
		})
	}
}

// hit asks for what is not there: that counts as any request with a valid token.
func (h *rateHits) hit(i int) {
	c := h.client(i, h.token)
	c.Patience = rateWindow / 4
	sent := time.Now()
	a, err := c.Do(http.MethodGet, "/api/v1/nothing.php", nil, nil)
	done := time.Now()
	h.mu.Lock()
	defer h.mu.Unlock()
	from, to := h.window(sent), min(h.window(done), len(h.sure)-1)
	if from >= len(h.sure) {
		return // after the last window
	}
	h.sent[from]++
	dial, dialing := errors.AsType[*net.OpError](err)
	switch {
	case dialing && dial.Op == "dial": // nobody was asked
	case err != nil:
		h.maybe[from]++ // it may have been counted, and the answer lost
	case a.Status == http.StatusTooManyRequests:
		h.refused(i, a)
	case a.Status != http.StatusNotFound:
		h.wrong = append(h.wrong, fmt.Errorf("node %d answers %d %s", i, a.Status, a.Body))
	case from == to:
		h.sure[from]++
	default:
		h.maybe[from]++
		h.maybe[to]++
	}
}

// refused checks what who is over the limit is told.
func (h *rateHits) refused(i int, a testcluster.Answer) {
	const body = `{"ok":false,"error":"Rate limit exceeded","limit_per_minute":60}`
	after, err := strconv.Atoi(a.Header.Get("Retry-After"))
	if strings.TrimSpace(string(a.Body)) != body || err != nil || after < 1 || after > int(rateWindow/time.Second) {
		h.wrong = append(h.wrong, fmt.Errorf("node %d refuses with Retry-After %q and %s", i, a.Header.Get("Retry-After"), a.Body))
	}
}

// rateWindows is what happens in each window of a run.
type rateWindows struct {
	hits    *rateHits
	kill    func(i int)
	restart func(i int)
	slow    int // requests a second while a node is restarted
}

// run lets two windows pass in peace, restarts one node after the other, each in
// its own window, and lets one more pass in peace.
func (w rateWindows) run(t *testing.T) {
	t.Helper()
	h, share := w.hits, (rateLimit+4*w.hits.nodes-1)/(4*w.hits.nodes)
	type kind struct {
		name        string
		least, most int
	}
	peace := kind{"nothing happens", rateLimit, rateLimit}
	time.Sleep(time.Until(h.began))
	kinds := []kind{{"the cluster began a moment before", 0, rateLimit + h.nodes*share}, peace, peace}
	at := func(window int) time.Time { return h.began.Add(time.Duration(window) * rateWindow) }
	h.until(at(1), w.slow)
	h.until(at(len(kinds)), ratePerSecond)
	for i := range h.nodes {
		start := at(len(kinds))
		kinds = append(kinds, kind{fmt.Sprintf("node %d is killed, and restarted", i), (h.nodes - 1) * share, rateLimit + (h.nodes+1)*share})
		w.kill(i)
		h.until(start.Add(rateAwayFor), w.slow)
		w.restart(i)
		h.until(at(len(kinds)), w.slow)
	}
	kinds = append(kinds, peace)
	h.until(at(len(kinds)), w.slow)
	_ = h.group.Wait() // it has no errors
	var table strings.Builder
	out := tabwriter.NewWriter(&table, 0, 0, 2, ' ', tabwriter.AlignRight)
	_, _ = fmt.Fprintf(out, "window\tsent\taccepted\tperhaps\tat least\tat most\t  of a limit of %d through %d nodes\n", rateLimit, h.nodes) // to memory
	for i, k := range kinds {
		_, _ = fmt.Fprintf(out, "%d\t%d\t%d\t%d\t%d\t%d\t  %s\n", i, h.sent[i], h.sure[i], h.maybe[i], k.least, k.most, k.name)
		if h.sure[i] > k.most || h.sure[i]+h.maybe[i] < k.least {
			t.Errorf("R6: window %d, %s: %d accepted and perhaps %d more, which is not %d to %d", i, k.name, h.sure[i], h.maybe[i], k.least, k.most)
		}
	}
	_ = out.Flush() // to memory
	t.Logf("accepted by window:\n%s", table.String())
	for _, err := range h.wrong[:min(len(h.wrong), 3)] {
		t.Error(err)
	}
}

// rateKinds is how many windows a run has, for so many nodes.
func rateKinds(nodes int) int { return nodes + 4 }

// TestSimRateWindows: a token of 60 requests a minute is hit with 50 a second
// through three nodes. In peace exactly 60 of a window are accepted, and while
// nodes are killed and restarted no more than R6 allows, and some.
func TestSimRateWindows(t *testing.T) {
	started := time.Now()
	r := testcluster.Simulate(t, 1, func(t *testing.T) {
		t.Helper()
		c := testcluster.Start(t, 3, testcluster.Options{})
		rateWindows{
			hits: newRateHits(c.Len(), rateKinds(c.Len()), c.Client, c.Token(rateLimit, "read")), slow: rateSlow,
			kill: c.Kill, restart: func(i int) { c.Restart(i); c.WaitReady() },
		}.run(t)
	})
	t.Logf("%v in %v, %d requests", r.Virtual.Round(time.Second), time.Since(started).Round(time.Millisecond), r.Requests)
}

// TestProcessRateWindows is [TestSimRateWindows] in real time, with processes.
func TestProcessRateWindows(t *testing.T) {
	if !long() {
		t.Skip("takes minutes: RINGBIN_CHAOS runs it")
	}
	p := testcluster.StartProcesses(t, testcluster.Build(t), 3)
	rateWindows{
		hits: newRateHits(p.Len(), rateKinds(p.Len()), p.Client, p.Token(rateLimit, "read")), slow: ratePerSecond,
		kill: p.Kill, restart: func(i int) { p.Start(i); p.WaitReady() },
	}.run(t)
	stopProcesses(p)
}
