package testcluster_test

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"ringbin/node"
	"ringbin/storage"
	"ringbin/testcluster"
)

// logStored is how long after a request its entry is on the disk at the latest.
const logStored = time.Second

// requestLogs logs requests on the nodes of a cluster and knows which ones.
type requestLogs struct {
	c      *testcluster.Cluster
	number int
	by     map[int][]string // endpoints by node, oldest first
}

// log has each node log so many requests.
func (l *requestLogs) log(n int, nodes ...int) {
	for range n {
		for _, i := range nodes {
			l.number++
			e := node.RequestEntry{
				API: node.APIPasteWizard, Endpoint: fmt.Sprintf("e%05d", l.number), Status: 200 + l.number%3,
				Caller: node.Caller{Token: int64(l.number%2 + 1)}, Addr: netip.MustParseAddr(fmt.Sprint("203.0.113.", l.number%5)),
			}
			l.c.Node(i).Service().LogRequest(e)
			l.by[i] = append(l.by[i], e.Endpoint)
			if l.number%7 == 0 {
				time.Sleep(time.Millisecond)
			}
		}
	}
}

// browse pages through what matches, each time through another node.
func (l *requestLogs) browse(t *testing.T, q node.LogQuery, through ...int) (logs []node.LogEntry, missing []string) {
	t.Helper()
	for page := 0; ; page++ {
		p, err := l.c.Node(through[page%len(through)]).Service().RequestLogs(t.Context(), node.Caller{Operator: true}, q)
		if err != nil {
			t.Fatal(err)
		}
		if len(p.Logs) > q.Limit {
			t.Fatalf("%d entries on a page of %d", len(p.Logs), q.Limit)
		}
		logs, missing = append(logs, p.Logs...), append(missing, p.Missing...)
		if q.Cursor = p.Next; p.Next == "" {
			slices.Sort(missing)
			return logs, slices.Compact(missing)
		}
	}
}

// check holds what is found against what some nodes have logged: complete and
// newest first.
func (l *requestLogs) check(t *testing.T, logs []node.LogEntry, nodes ...int) {
	t.Helper()
	if !slices.IsSortedFunc(logs, func(a, b node.LogEntry) int { return strings.Compare(b.ID, a.ID) }) {
		t.Error("not newest first")
	}
	got := map[string][]string{}
	for _, e := range slices.Backward(logs) {
		got[e.Node] = append(got[e.Node], e.Endpoint)
	}
	total := 0
	for _, i := range nodes {
		want := l.by[i]
		total += len(want)
		if name := l.c.Config(i).Name; !slices.Equal(got[name], want) {
			t.Errorf("node %d has logged %d requests, %d are found, or not in their order", i, len(want), len(got[name]))
		}
	}
	if len(logs) != total {
		t.Errorf("%d entries of %d", len(logs), total)
	}
}

// TestRequestLogs: what any node has logged is found through any node, once and
// in order, over restarts, kills and the loss of power; a node that can't be
// asked is named.
func TestRequestLogs(t *testing.T) {
	r := testcluster.Simulate(t, 1, func(t *testing.T) {
		t.Helper()
		c := testcluster.Start(t, 3, testcluster.Options{})
		l := &requestLogs{c: c, by: map[int][]string{}}
		l.log(300, 0, 1, 2)
		time.Sleep(logStored)
		for i := range 3 {
			logs, missing := l.browse(t, node.LogQuery{Limit: 500}, i)
			l.check(t, logs, 0, 1, 2)
			if len(missing) > 0 {
				t.Errorf("missing %v", missing)
			}
		}
		logs, _ := l.browse(t, node.LogQuery{Limit: 7}, 0, 1, 2)
		l.check(t, logs, 0, 1, 2)

		// While a node is down the others answer, and say whose logs are missing.
		l.log(10, 0, 2) // node 2 has much more than node 1 now
		time.Sleep(logStored)
		c.Kill(1)
		logs, missing := l.browse(t, node.LogQuery{Limit: 50}, 0, 2)
		l.check(t, logs, 0, 2)
		if !slices.Equal(missing, []string{c.Config(1).Name}) {
			t.Errorf("node 1 is down, and missing is %v", missing)
		}
		c.Restart(1)
		c.WaitReady()

		// All is there after a stop, which writes down what waits, a kill, and the loss of power.
		l.log(5, 0)
		c.Stop(0)
		c.Restart(0)
		c.WaitReady()
		l.log(5, 0, 1, 2)
		time.Sleep(logStored)
		c.Kill(0)
		c.Restart(0)
		c.PowerLoss(2)
		c.Restart(2)
		c.WaitReady()
		for i := range 3 {
			logs, missing := l.browse(t, node.LogQuery{Limit: 100}, i)
			l.check(t, logs, 0, 1, 2)
			if len(missing) > 0 {
				t.Errorf("all are up, and missing is %v", missing)
			}
		}
		c.Isolate(1)
		if _, missing := l.browse(t, node.LogQuery{Limit: 500}, 0); !slices.Equal(missing, []string{c.Config(1).Name}) {
			t.Errorf("node 1 can't be reached, and missing is %v", missing)
		}
		c.Heal()
	})
	t.Logf("%v virtual, %d requests", r.Virtual.Round(time.Second), r.Requests)
}

// TestRequestLogFilters: each filter finds what it should and nothing else, and
// only those see the logs who may.
func TestRequestLogFilters(t *testing.T) {
	testcluster.Simulate(t, 2, func(t *testing.T) {
		t.Helper()
		c := testcluster.Start(t, 3, testcluster.Options{})
		ctx, s := t.Context(), c.Node(0).Service()
		op := node.Caller{Operator: true}
		account, _, err := s.CreateAccount(ctx, op, node.NewAccount{Email: "a@example.com", Name: "Ada"}, nil)
		if err != nil {
			t.Fatal(err)
		}
		const requestsApart = 100 * time.Millisecond // more than the nodes' clocks
		half := requestsApart.Milliseconds() / 2
		began, tenth := s.Now(), 10*requestsApart.Milliseconds()-half
		for i := range 20 {
			e := node.RequestEntry{
				API: node.APIPasteWizard, Endpoint: []string{"paste.php", "raw.php"}[i%2], Status: []int{200, 404}[i/2%2],
				Caller: node.Caller{Token: int64(i%5 + 1)}, Addr: netip.MustParseAddr([]string{"203.0.113.9", "2001:db8::1"}[i/10]),
			}
			if i%4 == 0 {
				e.Caller.Account = account.ID
			}
			c.Node(i % 3).Service().LogRequest(e)
			time.Sleep(requestsApart)
		}
		time.Sleep(logStored)
		for i, q := range []struct {
			query node.LogQuery
			want  int
		}{
			{node.LogQuery{}, 20},
			{node.LogQuery{API: node.APIPasteWizard}, 20},
			{node.LogQuery{API: node.APIPaste69}, 0},
			{node.LogQuery{Endpoint: "raw.php"}, 10},
			{node.LogQuery{Status: 404, Endpoint: "paste.php"}, 5},
			{node.LogQuery{Token: 3}, 4},
			{node.LogQuery{User: account.Number}, 5},
			{node.LogQuery{User: account.Number + 100}, 0},
			{node.LogQuery{Addr: netip.MustParseAddr("::ffff:203.0.113.9")}, 10},
			{node.LogQuery{Addr: netip.MustParseAddr("2001:db8:0::1")}, 10},
			{node.LogQuery{From: began - half, To: began + tenth}, 10},
			{node.LogQuery{From: began + tenth}, 10},
			{node.LogQuery{To: -1}, 0},
		} {
			q.query.Limit = 3
			logs, err := collect(t, c.Node(i%3).Service(), op, q.query)
			if err != nil || len(logs) != q.want {
				t.Errorf("%+v finds %d, want %d: %v", q.query, len(logs), q.want, err)
			}
			for _, e := range logs {
				if (e.Account == account.ID) != (e.User == account.Number) || e.Account == account.ID && e.UserName != "Ada" {
					t.Errorf("%+v", e)
				}
			}
		}
		for _, cursor := range []string{"x", strings.Repeat("0", 25), strings.Repeat("I", 26), strings.Repeat("z", 26)} {
			if _, err := s.RequestLogs(ctx, op, node.LogQuery{Cursor: cursor}); storage.KindOf(err) != storage.KindInvalid {
				t.Errorf("cursor %q: %v", cursor, err)
			}
		}
		if _, err := s.RequestLogs(ctx, node.Caller{Account: account.ID}, node.LogQuery{Limit: 1}); storage.KindOf(err) != storage.KindForbidden {
			t.Errorf("somebody else: %v", err)
		}
	})
}

func collect(t *testing.T, s *node.Service, c node.Caller, q node.LogQuery) (logs []node.LogEntry, err error) {
	t.Helper()
	for {
		p, err := s.RequestLogs(t.Context(), c, q)
		if err != nil || p.Next == "" {
			return append(logs, p.Logs...), err
		}
		logs, q.Cursor = append(logs, p.Logs...), p.Next
	}
}

// TestHealthNamesRequestLog: every node tells of one whose log of requests was
// moved aside, until somebody has taken that away (I18).
func TestHealthNamesRequestLog(t *testing.T) {
	testcluster.Parallel(t)
	c := testcluster.Start(t, 2, testcluster.Options{})
	aside := filepath.Join(c.DataDir(1), "logs.bad-1")
	if err := os.Mkdir(aside, 0o700); err != nil {
		t.Fatal(err)
	}
	for i := range 2 {
		h := untilHealth(t, c, i, "a log that was moved aside", func(codes []string, _ node.Health) bool { return slices.Contains(codes, "api_log_failing") })
		if !h.Ready || h.Status != "degraded" {
			t.Errorf("node %d: %+v", i, h)
		}
	}
	if err := os.Remove(aside); err != nil {
		t.Fatal(err)
	}
	for i := range 2 {
		untilHealth(t, c, i, "its end", func(codes []string, _ node.Health) bool { return !slices.Contains(codes, "api_log_failing") })
	}
}
