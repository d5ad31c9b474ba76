package testcluster_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"ringbin/testcluster"
)

// Numbers of the burst of clicks.
const (
	burstClicks     = 5_000
	burstClicksLong = 200_000 // with RINGBIN_CHAOS
	clickers        = 32
	statsWait       = 20 * time.Second // until every click is shown, on a machine that others use, too
)

// pasteUser is somebody with a key of Paste69, before a cluster of processes.
type pasteUser struct {
	t    *testing.T
	p    *testcluster.Processes
	key  string
	http *http.Client
}

func newPasteUser(t *testing.T, p *testcluster.Processes) *pasteUser {
	t.Helper()
	u := &pasteUser{t: t, p: p, key: p.PasteKey(), http: &http.Client{
		Timeout:       30 * time.Second,
		Transport:     &http.Transport{MaxIdleConnsPerHost: clickers},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	t.Cleanup(u.http.CloseIdleConnections)
	return u
}

// do sends a request through one node and returns status, Location and body.
func (u *pasteUser) do(ctx context.Context, i int, method, path, body string, header ...string) (status int, location string, answer []byte, err error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://"+u.p.Addr(i)+path, strings.NewReader(body))
	if err != nil {
		return 0, "", nil, err
	}
	for j := 0; j+1 < len(header); j += 2 {
		req.Header.Set(header[j], header[j+1])
	}
	resp, err := u.http.Do(req)
	if err != nil {
		return 0, "", nil, err
	}
	answer, err = io.ReadAll(resp.Body)
	if closeErr := resp.Body.Close(); err == nil {
		err = closeErr
	}
	return resp.StatusCode, resp.Header.Get("Location"), answer, err
}

// must is do with the key, for answers of 200 that are JSON.
func (u *pasteUser) must(i int, method, path, body string, into any) {
	u.t.Helper()
	status, _, answer, err := u.do(u.t.Context(), i, method, path, body, "Authorization", "Bearer "+u.key, "Content-Type", "application/json")
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("%d %s", status, answer)
	}
	if err == nil {
		err = json.Unmarshal(answer, into)
	}
	if err != nil {
		u.t.Fatalf("%s %s through node %d: %v", method, path, i, err)
	}
}

// pasteText is what is pasted.
const pasteText = "Hello from Paste69, long enough to lie on three disks and not inside of its own name.\n"

// bytes reads the paste through one node.
func (u *pasteUser) bytes(i int, id string) {
	u.t.Helper()
	status, _, got, err := u.do(u.t.Context(), i, http.MethodGet, "/raw/"+id, "")
	if err != nil || status != http.StatusOK || string(got) != pasteText {
		u.t.Fatalf("paste through node %d: %d %q, %v", i, status, got, err)
	}
}

func (u *pasteUser) click(ctx context.Context, i int, id, target string) error {
	status, location, _, err := u.do(ctx, i, http.MethodGet, "/u/"+id, "", "User-Agent", "curl/8.0", "Referer", "https://News.example/page")
	if err == nil && (status != http.StatusTemporaryRedirect || location != target) {
		err = fmt.Errorf("click through node %d: %d to %q", i, status, location)
	}
	return err
}

// linkStats is what of a short link's statistics is looked at.
type linkStats struct {
	Clicks     int64
	Total      int64                   `json:"total_views"`
	Unique     int64                   `json:"unique_views"`
	Referrers  map[string]int64        `json:"top_referrers"`
	Browsers   map[string]int64        `json:"top_browsers"`
	ViewsByDay []struct{ Value int64 } `json:"views_by_day"`
}

// counted waits until a node shows so many clicks.
func (u *pasteUser) counted(i int, id string, want int64) linkStats {
	u.t.Helper()
	for started := time.Now(); ; time.Sleep(readEvery) { // between two looks, not instead of one
		var s linkStats
		u.must(i, http.MethodGet, "/u/"+id+"/stats", "", &s)
		if s.Clicks >= want {
			return s
		}
		if time.Since(started) > statsWait {
			u.t.Fatalf("after %d clicks node %d shows %+v", want, i, s)
		}
	}
}

// clicked waits until a node shows so many clicks by curl, and fails on one more.
func (u *pasteUser) clicked(i int, id string, want int64) {
	u.t.Helper()
	started := time.Now()
	s := u.counted(i, id, want)
	u.t.Logf("%d clicks shown by node %d %s after the last one", s.Clicks, i, time.Since(started).Round(time.Millisecond))
	sum := int64(0)
	for _, d := range s.ViewsByDay {
		sum += d.Value
	}
	if s.Clicks != want || s.Total != want || sum != want || s.Referrers["news.example"] != want || s.Browsers["curl"] != want || s.Unique < 1 {
		u.t.Fatalf("after %d clicks node %d shows %+v", want, i, s)
	}
}

// TestProcessPastes uploads through one node, reads through the next, clicks a
// short link through the third and reads its numbers through the first; then
// nodes are killed one by one, and nothing is different.
func TestProcessPastes(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the command line and starts processes")
	}
	const target = "https://example.com/a?b=c"
	p := testcluster.StartProcesses(t, testcluster.Build(t), 3)
	u := newPasteUser(t, p)
	var paste, link struct{ ID string }
	u.must(0, http.MethodPost, "/p", `{"content":`+quoted(pasteText)+`,"expires_in":"1 day"}`, &paste)
	u.bytes(1, paste.ID)
	u.must(1, http.MethodPost, "/u", `{"url":"`+target+`","title":"Example"}`, &link)
	clicks := int64(0)
	for range 5 {
		if err := u.click(t.Context(), 2, link.ID, target); err != nil {
			t.Fatal(err)
		}
		clicks++
	}
	u.clicked(0, link.ID, clicks)
	for killed := range 3 {
		a, b := (killed+1)%3, (killed+2)%3
		p.Kill(killed)
		p.WaitFor("a leader beside the killed node", func() bool { return p.Ready(a) && p.Ready(b) })
		u.bytes(a, paste.ID)
		u.bytes(b, paste.ID)
		if err := u.click(t.Context(), a, link.ID, target); err != nil {
			t.Fatal(err)
		}
		clicks++
		u.clicked(b, link.ID, clicks)
		p.Start(killed)
		p.WaitReady()
		u.bytes(killed, paste.ID)
	}
	p.Check()
}

func quoted(s string) string {
	b, err := json.Marshal(s)
	if err != nil {
		panic(err) // a string can be written always
	}
	return string(b)
}

// TestProcessClickBurst clicks as fast as it goes through all nodes, and tells
// how many log entries that took.
func TestProcessClickBurst(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the command line and starts processes")
	}
	n := int64(burstClicks)
	if long() {
		n = burstClicksLong
	}
	const target = "https://example.com/"
	p := testcluster.StartProcesses(t, testcluster.Build(t), 3)
	u := newPasteUser(t, p)
	var link struct{ ID string }
	u.must(0, http.MethodPost, "/u", `{"url":"`+target+`"}`, &link)
	before := applied(t, p)
	started := time.Now()
	g, ctx := errgroup.WithContext(t.Context())
	for c := range int64(clickers) {
		g.Go(func() error {
			for k := c; k < n; k += clickers {
				if err := u.click(ctx, int(k%3), link.ID, target); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	took := time.Since(started)
	u.clicked(1, link.ID, n)
	spent := applied(t, p) - before
	t.Logf("%d clicks in %s: %d log entries, everything else of that time included", n, took.Round(time.Millisecond), spent)
	if most := uint64(took/time.Second+3)*6 + 60; spent > most {
		t.Errorf("%d log entries in %s: clicks cost entries", spent, took)
	}
	stopProcesses(p)
}

// applied is the highest index that a node has applied.
func applied(t *testing.T, p *testcluster.Processes) (index uint64) {
	t.Helper()
	s, err := p.Status(0)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range s.Nodes {
		index = max(index, n.Applied)
	}
	return index
}
