package testcluster_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"ringbin/testcluster"
	"ringbin/testcluster/browser"
)

// TestProcessBrowser looks at one paste and one short link with a browser,
// through three nodes: made through the first, viewed through the second,
// clicked through the third; the numbers stand on the first one's page. With
// one node killed all of it is as before.
func TestProcessBrowser(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the command line and starts processes")
	}
	ctx, cancel := context.WithTimeout(browser.Start(t), browser.Wait)
	defer cancel()
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(w, "<title>The target</title>")
	}))
	t.Cleanup(site.Close)
	p := testcluster.StartProcesses(t, testcluster.Build(t), 3)
	u := newPasteUser(t, p)
	var paste, link struct{ ID string }
	u.must(0, http.MethodPost, "/p", `{"content":`+quoted(pasteText)+`,"filename":"hello.txt"}`, &paste)
	u.must(0, http.MethodPost, "/u", `{"url":"`+site.URL+`/","title":"Example"}`, &link)
	for clicks, nodes := range [][3]int{{1, 2, 0}, {1, 0, 1}} { // viewed through, clicked through, counted through
		if clicks == 1 {
			p.Kill(2)
			p.WaitFor("a leader beside the killed node", func() bool { return p.Ready(0) && p.Ready(1) })
		}
		view, click, count := "http://"+p.Addr(nodes[0]), "http://"+p.Addr(nodes[1]), "http://"+p.Addr(nodes[2])
		if seen := textAt(ctx, t, view+"/"+paste.ID+".txt"); !strings.Contains(seen, strings.TrimSpace(pasteText)) || !strings.Contains(seen, "hello.txt") {
			t.Errorf("the paste's page shows %q", seen)
		}
		if err := chromedp.Do(ctx, chromedp.Navigate(click+"/u/"+link.ID)); err != nil {
			t.Fatal(err)
		}
		clicked := time.Now()
		if title, err := chromedp.Run(ctx, chromedp.Evaluate[string]("document.title")); err != nil || title != "The target" {
			t.Errorf("the short link led to %q, %v", title, err)
		}
		u.counted(nodes[2], link.ID, int64(clicks+1))
		t.Logf("click %d through node %d shown by node %d after %s", clicks+1, nodes[1], nodes[2], time.Since(clicked).Round(time.Millisecond))
		// A headless browser counts as a robot.
		if seen := textAt(ctx, t, count+"/u/"+link.ID+"/stats?api_key="+u.key); !strings.Contains(seen, "Example") || !strings.Contains(seen, "Bot") {
			t.Errorf("the page of clicks shows %q", seen)
		}
	}
}

// textAt is what a page shows.
func textAt(ctx context.Context, t *testing.T, url string) string {
	t.Helper()
	if err := chromedp.Do(ctx, chromedp.Navigate(url)); err != nil {
		t.Fatal(err)
	}
	text, err := chromedp.Run(ctx, chromedp.Evaluate[string]("document.body.innerText"))
	if err != nil {
		t.Fatal(err)
	}
	return text
}
