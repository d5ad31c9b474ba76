package testcluster_test

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"ringbin/testcluster"
)

// Sizes of the run whose logs are read.
const (
	logRequests     = 1_200
	logRequestsLong = 10_002 // with RINGBIN_CHAOS; each writer sends its part of them
	logWriters      = 6
	logPageSize     = 500
)

// logged is one request as a log of it tells: what of it can be known beforehand.
type logged struct {
	endpoint string
	status   int
	node     string
}

// logLine is an entry of the logs as the API shows it.
type logLine struct {
	ID       string
	Time     string
	Token    int64 `json:"token_id"`
	Endpoint string
	Status   int
	IP       string
	Node     string
}

// logRun is requests of several tokens through all nodes, and the logs of them.
type logRun struct {
	t     *testing.T
	p     *testcluster.Processes
	admin string
	sent  map[int64][]logged // by token, in their order
}

// loggedRequests are requests of every kind of outcome.
var loggedRequests = []struct{ method, path, body, endpoint string }{
	{http.MethodGet, "/api/v1/paste.php?hash=abcdefgh", "", "paste.php"},
	{http.MethodGet, "/api/v1/raw.php", "", "raw.php"},
	{http.MethodHead, "/api/v1/raw.php?hash=abcdefgh", "", "raw.php"},
	{http.MethodGet, "/api/v1/paste_create.php", "", "paste_create.php"},
	{http.MethodPost, "/api/v1/paste_create.php", `{"content":"` + pasteShort + `"}`, "paste_create.php"},
	{http.MethodPost, "/api/v1/paste_delete.php", `{"hash":"abcdefgh"}`, "paste_delete.php"},
	{http.MethodGet, "/api/v1/logs.php", "", "logs.php"},
	{http.MethodGet, "/api/v1/nothing.php", "", "nothing.php"},
}

const pasteShort = "a few words"

// token makes a token of the administrator's, and returns its number.
func (l *logRun) token() (token string, number int64) {
	l.t.Helper()
	a, err := l.p.Client(0, l.admin).Do(http.MethodPost, "/api/v1/token_create.php", map[string]string{"Content-Type": "application/json"},
		strings.NewReader(`{"name":"logged","scopes":["read","write"],"rate_limit_per_minute":0}`))
	var made struct {
		Token string
		ID    int64 `json:"token_id"`
	}
	if err = errors.Join(err, a.JSON(&made)); err != nil || a.Status != http.StatusOK {
		l.t.Fatalf("make a token: %v %d %s", err, a.Status, a.Body)
	}
	return made.Token, made.ID
}

// send sends n requests, each writer one after the other under its own token.
func (l *logRun) send(n int, seed uint64) {
	l.t.Helper()
	var g errgroup.Group
	lists := make([][]logged, logWriters)
	numbers := make([]int64, logWriters)
	for w := range logWriters {
		var token string
		token, numbers[w] = l.token()
		r := rand.New(rand.NewPCG(seed, uint64(w)))
		g.Go(func() error {
			for range n / logWriters {
				i, what := r.IntN(l.p.Len()), loggedRequests[r.IntN(len(loggedRequests))]
				a, err := l.p.Client(i, token).Do(what.method, what.path, map[string]string{"Content-Type": "application/json"}, strings.NewReader(what.body))
				if err != nil || a.Status >= http.StatusInternalServerError || a.Status == http.StatusUnauthorized {
					return fmt.Errorf("%s %s through node %d: %w %d %s", what.method, what.path, i, err, a.Status, a.Body)
				}
				lists[w] = append(lists[w], logged{what.endpoint, a.Status, fmt.Sprintf("n%d", i)})
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		l.t.Fatal(err)
	}
	for w, number := range numbers {
		l.sent[number] = lists[w]
	}
}

// read reads all entries that a query has, a page through each node in turn.
func (l *logRun) read(first int, query url.Values) (lines []logLine, missing []string, err error) {
	query.Set("limit", strconv.Itoa(logPageSize))
	for page := 0; ; page++ {
		i := (first + page) % l.p.Len()
		if !l.p.Ready(i) {
			continue
		}
		a, err := l.p.Client(i, l.admin).Do(http.MethodGet, "/api/v1/logs.php?"+query.Encode(), nil, nil)
		var got struct {
			OK      bool
			Logs    []logLine
			Next    *string  `json:"next_cursor"`
			Missing []string `json:"missing_nodes"`
		}
		if err = errors.Join(err, a.JSON(&got)); err != nil || a.Status != http.StatusOK || !got.OK {
			return nil, nil, fmt.Errorf("logs through node %d: %w %d %s", i, err, a.Status, a.Body)
		}
		lines = append(lines, got.Logs...)
		for _, name := range got.Missing {
			if !slices.Contains(missing, name) {
				missing = append(missing, name)
			}
		}
		if got.Next == nil {
			return lines, missing, nil
		}
		query.Set("cursor", *got.Next)
	}
}

// wrong is what is wrong with the logs of a token, without those of the node that is away.
func (l *logRun) wrong(lines []logLine, token int64, away string) error {
	byNode := map[string][]logged{}
	for _, line := range lines {
		if line.Token == token {
			byNode[line.Node] = append(byNode[line.Node], logged{line.Endpoint, line.Status, line.Node})
		}
	}
	want := map[string][]logged{}
	for _, s := range slices.Backward(l.sent[token]) {
		if s.node != away {
			want[s.node] = append(want[s.node], s)
		}
	}
	for node, list := range want {
		if !slices.Equal(byNode[node], list) {
			return fmt.Errorf("token %d: %d requests through %s are logged as %d, or in another order", token, len(list), node, len(byNode[node]))
		}
	}
	if len(byNode) != len(want) {
		return fmt.Errorf("token %d: logs of %d nodes, want %d", token, len(byNode), len(want))
	}
	return nil
}

// check reads the logs through each node, by token and all together.
func (l *logRun) check(when string) {
	l.t.Helper()
	for first := range l.p.Len() {
		lines, missing, err := l.read(first, url.Values{})
		if err != nil || len(missing) > 0 {
			l.t.Fatalf("%s: %v, missing %v", when, err, missing)
		}
		if !slices.IsSortedFunc(lines, func(a, b logLine) int { return cmp.Compare(b.Time, a.Time) }) {
			l.t.Errorf("%s: the logs through node %d are not in the order of their times", when, first)
		}
		ids := map[string]bool{}
		for _, line := range lines {
			if ids[line.ID] || line.IP != "127.0.0.1" {
				l.t.Fatalf("%s: entry %+v is there twice, or has another address", when, line)
			}
			ids[line.ID] = true
		}
		for token := range l.sent {
			own, _, err := l.read(first, url.Values{"token_id": {strconv.FormatInt(token, 10)}})
			if err = errors.Join(err, l.wrong(lines, token, ""), l.wrong(own, token, "")); err != nil {
				l.t.Errorf("%s, through node %d first: %v", when, first, err)
			}
			if len(own) != len(l.sent[token]) {
				l.t.Errorf("%s: %d entries of token %d, want %d", when, len(own), token, len(l.sent[token]))
			}
		}
	}
}

// away holds what the other nodes say while one is away to what they know.
func (l *logRun) away(i int) {
	l.t.Helper()
	name := fmt.Sprintf("n%d", i)
	lines, missing, err := l.read(i+1, url.Values{})
	if err != nil || !slices.Equal(missing, []string{name}) {
		l.t.Errorf("without %s: %v, missing %v", name, err, missing)
	}
	for token := range l.sent {
		if err := l.wrong(lines, token, name); err != nil {
			l.t.Errorf("without %s: %v", name, err)
		}
	}
}

// TestProcessLogs: every request with a token is in the logs, once and in its
// order, through any node, and still after a restart of each.
func TestProcessLogs(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the command line and starts processes")
	}
	n := logRequests
	if long() {
		n = logRequestsLong
	}
	p := testcluster.StartProcesses(t, testcluster.Build(t), 3)
	l := &logRun{t: t, p: p, admin: p.Token(0, "admin"), sent: map[int64][]logged{}}
	started := time.Now()
	l.send(n, seedOf(t))
	took := time.Since(started)
	eventuallyNil(t, "logs", func() error { // within a second of the last answer
		lines, _, err := l.read(0, url.Values{})
		for token := range l.sent {
			err = errors.Join(err, l.wrong(lines, token, ""))
		}
		return err
	})
	l.check("at first")
	for i := range p.Len() {
		if i == 0 {
			p.Stop(i)
		} else {
			p.Kill(i)
		}
		p.WaitFor("a leader among the others", func() bool { return p.Ready((i+1)%p.Len()) && p.Ready((i+2)%p.Len()) })
		l.away(i)
		p.Start(i)
		p.WaitReady()
		l.check(fmt.Sprintf("after a restart of node %d", i))
	}
	t.Logf("%d requests in %s, of %d tokens: complete and in order through each node, and after a restart of each",
		n/logWriters*logWriters, took.Round(time.Millisecond), logWriters)
	stopProcesses(p)
}
