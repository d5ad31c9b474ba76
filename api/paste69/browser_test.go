package paste69

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"ringbin/storage"
	"ringbin/testcluster/browser"
)

// screensDir is where the pictures of the pages go; git ignores it.
const screensDir = "testdata/screens"

// sampleSite serves all sample pages, and bytes for what they embed as the
// bytes of pastes are served.
func sampleSite(t *testing.T) *httptest.Server {
	t.Helper()
	p := openPages(t)
	pages := map[string]samplePage{}
	for _, sample := range samplePages(t) {
		pages[sample.path] = sample
	}
	var base string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		err := error(&storage.Error{Op: "test", Kind: storage.KindNotFound})
		if sample, found := pages[r.URL.Path]; found {
			err = sample.serve(p, w, r, site{Base: base, Now: sampleNow})
		} else if name, found := strings.CutPrefix(r.URL.Path, "/assets/"); found {
			err = p.asset(w, r, name)
		} else if strings.HasPrefix(r.URL.Path, "/raw/") {
			err = nil
			w.Header().Set("Content-Security-Policy", "default-src 'none'; img-src data:; style-src 'unsafe-inline'; sandbox")
			w.Header().Set("X-Content-Type-Options", "nosniff")
			w.Header().Set("Content-Type", map[string]string{".svg": "image/svg+xml", ".ogg": "audio/ogg", ".webm": "video/webm"}[filepath.Ext(r.URL.Path)])
			if filepath.Ext(r.URL.Path) == ".svg" {
				w.Write([]byte(shot))
			}
		}
		if err != nil {
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(server.Close)
	base = server.URL
	return server
}

// Every page opens in a real browser, in both schemes, on a desktop and on
// phones: nothing is refused by the policy or fails, nothing is wider than the
// screen, the style sheet is in force.
func TestPagesInBrowser(t *testing.T) {
	t.Parallel()
	ctx := browser.Start(t)
	server := sampleSite(t)
	if err := os.MkdirAll(screensDir, 0o750); err != nil {
		t.Fatal(err)
	}
	said, err := browser.Hear(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for i, s := range browser.Screens {
		if i%3 != 0 && !browser.AllScreens() {
			continue
		}
		for _, sample := range samplePages(t) {
			seen, picture, err := browser.Open(ctx, s, server.URL+sample.path)
			if err != nil {
				t.Fatalf("%s on %s: %v", sample.path, s.Name, err)
			}
			for _, complaint := range said.Take() {
				if strings.Contains(complaint, server.URL+sample.path+"\n") { // an error page has the status of one
					continue
				}
				t.Errorf("%s on %s: %s", sample.path, s.Name, complaint)
			}
			if len(seen.Wide) > 0 {
				t.Errorf("%s on %s is wider than the screen: %q", sample.path, s.Name, seen.Wide)
			}
			if !seen.Styled {
				t.Errorf("%s on %s is not styled", sample.path, s.Name)
			}
			name := strings.ReplaceAll(strings.TrimPrefix(sample.path, "/"), "/", "-")
			if name == "" {
				name = "front"
			}
			if err := os.WriteFile(filepath.Join(screensDir, name+"-"+s.Name+".png"), picture, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// What only the browser can tell: the copy button copies what was pasted, the
// line in the fragment is marked, and a script in a page does not run.
func TestBehaviourInBrowser(t *testing.T) {
	t.Parallel()
	ctx := browser.Start(t)
	server := sampleSite(t)
	own, err := os.ReadFile("view.go")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(ctx, browser.Wait)
	defer cancel()
	if err := chromedp.Do(ctx, browser.Look(browser.Screens[0]), chromedp.Navigate(server.URL+"/code#L10")); err != nil {
		t.Fatal(err)
	}
	grounds, err := chromedp.Run(ctx, chromedp.Evaluate[[]string](
		`["L10", "L11"].map((id) => getComputedStyle(document.getElementById(id)).backgroundColor)`))
	if err != nil || grounds[0] == grounds[1] {
		t.Errorf("line 10 is not marked: %q, %v", grounds, err)
	}
	err = chromedp.Do(ctx,
		chromedp.Evaluate[chromedp.Void](`Object.defineProperty(navigator, "clipboard", {value: {writeText: async (s) => { window.copied = s; }}})`),
		chromedp.Click(chromedp.CSS(`[data-copy-from="code"]`)))
	if err != nil {
		t.Fatal(err)
	}
	copied, err := chromedp.Run(ctx, chromedp.Poll[string](`window.copied`))
	if err != nil || copied != string(own) {
		t.Errorf("copied %d bytes, pasted were %d; %v", len(copied), len(own), err)
	}
	refused, err := chromedp.Run(ctx, chromedp.Evaluate[bool](`(() => {
		const s = document.createElement("script");
		s.textContent = "window.ran = 1";
		document.body.append(s);
		return window.ran === undefined;
	})()`))
	if err != nil || !refused {
		t.Errorf("the policy lets an inline script run; %v", err)
	}
}
