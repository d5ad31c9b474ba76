package paste69

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/audits"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"ringbin/storage"
	"ringbin/testcluster/browser"
)

// screensDir is where the pictures of the pages go; git ignores it.
const screensDir = "testdata/screens"

// allScreens asks for every screen, and for pictures of whole pages.
func allScreens() bool { return os.Getenv("RINGBIN_SCREENS") != "" }

// screen is a size and scheme in which a page is looked at.
type screen struct {
	name   string
	width  int64
	height int64
	phone  bool
	scheme string
}

var screens = []screen{
	{"desktop-light", 1280, 800, false, "light"},
	{"desktop-dark", 1280, 800, false, "dark"},
	{"phone-light", 375, 740, true, "light"},
	{"phone-dark", 320, 640, true, "dark"},
}

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

// complaints gathers what the browser says against a page.
type complaints struct {
	mu  sync.Mutex
	all []string
}

func (c *complaints) add(form string, a ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all = append(c.all, fmt.Sprintf(form, a...))
}

func (c *complaints) take() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := c.all
	c.all = nil
	return all
}

func (c *complaints) hear(event any) {
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		c.add("exception: %s", e.ExceptionDetails.Text)
	case *runtime.EventConsoleAPICalled:
		c.add("console: %s", e.Type)
	case *log.EventEntryAdded:
		c.add("log: %s %s\n", e.Entry.Text, e.Entry.URL)
	case *page.EventJavascriptDialogOpening:
		c.add("dialog: %s", e.Message)
	case *audits.EventIssueAdded:
		if e.Issue.Code == audits.InspectorIssueCodeContentSecurityPolicyIssue {
			c.add("policy: %+v", e.Issue.Details.ContentSecurityPolicyIssueDetails)
		}
	}
}

func look(s screen) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		options := []chromedp.EmulateViewportOption{}
		if s.phone {
			options = append(options, chromedp.EmulateMobile, chromedp.EmulateTouch)
		}
		if _, err := chromedp.EmulateViewport(s.width, s.height, options...)(ctx, target); err != nil {
			return err
		}
		_, err := cdp.Call(ctx, target, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: s.scheme}},
		})
		return err
	})
}

// view is what the browser makes of a page.
type view struct {
	Wide   []string // elements that are wider than the screen
	Styled bool
}

// open opens a page, looks at it and takes a picture.
func open(ctx context.Context, s screen, url string) (view, []byte, error) {
	ctx, cancel := context.WithTimeout(ctx, browser.Wait)
	defer cancel()
	if err := chromedp.Do(ctx, look(s), chromedp.Navigate(url)); err != nil {
		return view{}, nil, err
	}
	seen, err := chromedp.Run(ctx, chromedp.Evaluate[view](inspect))
	if err != nil {
		return view{}, nil, err
	}
	shot := chromedp.CaptureScreenshot
	if allScreens() {
		shot = func() chromedp.Action[[]byte] { return chromedp.FullScreenshot(100) }
	}
	picture, err := chromedp.Run(ctx, shot())
	return seen, picture, err
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
	var said complaints
	if err := chromedp.Listen(ctx, said.hear); err != nil {
		t.Fatal(err)
	}
	if err := chromedp.Do(ctx, listening); err != nil {
		t.Fatal(err)
	}
	for i, s := range screens {
		if i%3 != 0 && !allScreens() {
			continue // the desktop in the light and the narrow phone in the dark tell the most
		}
		for _, sample := range samplePages(t) {
			seen, picture, err := open(ctx, s, server.URL+sample.path)
			if err != nil {
				t.Fatalf("%s on %s: %v", sample.path, s.name, err)
			}
			for _, complaint := range said.take() {
				if strings.Contains(complaint, server.URL+sample.path+"\n") { // an error page has the status of one
					continue
				}
				t.Errorf("%s on %s: %s", sample.path, s.name, complaint)
			}
			if len(seen.Wide) > 0 {
				t.Errorf("%s on %s is wider than the screen: %q", sample.path, s.name, seen.Wide)
			}
			if !seen.Styled {
				t.Errorf("%s on %s is not styled", sample.path, s.name)
			}
			name := strings.ReplaceAll(strings.TrimPrefix(sample.path, "/"), "/", "-")
			if name == "" {
				name = "front"
			}
			if err := os.WriteFile(filepath.Join(screensDir, name+"-"+s.name+".png"), picture, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// listening asks for the events that tell what went wrong.
func listening(ctx context.Context, target *chromedp.Target) (nothing chromedp.Void, err error) {
	if _, err = cdp.Call(ctx, target, log.Enable, cdp.Empty{}); err == nil {
		_, err = cdp.Call(ctx, target, audits.Enable, cdp.Empty{})
	}
	return nothing, err
}

const inspect = `(() => {
  const width = document.documentElement.clientWidth;
  const wide = document.documentElement.scrollWidth <= width ? [] :
    Array.from(document.querySelectorAll("body *"))
      .filter((e) => e.getBoundingClientRect().right > width + 1)
      .slice(0, 5).map((e) => e.tagName + "." + (e.getAttribute("class") || ""));
  return {Wide: wide, Styled: getComputedStyle(document.querySelector(".top")).display === "flex"};
})()`

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
	if err := chromedp.Do(ctx, look(screens[0]), chromedp.Navigate(server.URL+"/code#L10")); err != nil {
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
