package browser

import (
	"context"
	"fmt"
	"os"
	"sync"

	"github.com/chromedp/cdproto/audits"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// AllScreens asks for every screen, and for pictures of whole pages.
func AllScreens() bool { return os.Getenv("RINGBIN_SCREENS") != "" }

// Screen is a size and scheme in which a page is looked at.
type Screen struct {
	Name          string
	width, height int64
	phone         bool
	scheme        string
}

// Screens are those that are looked at. The first and the last tell the most:
// the desktop in the light and the narrow phone in the dark.
var Screens = []Screen{
	{"desktop-light", 1280, 800, false, "light"},
	{"desktop-dark", 1280, 800, false, "dark"},
	{"phone-light", 375, 740, true, "light"},
	{"phone-dark", 320, 640, true, "dark"},
}

// Complaints gathers what the browser says against a page.
type Complaints struct {
	mu  sync.Mutex
	all []string
}

func (c *Complaints) add(form string, a ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all = append(c.all, fmt.Sprintf(form, a...))
}

// Take returns what was said since it was last asked.
func (c *Complaints) Take() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := c.all
	c.all = nil
	return all
}

func (c *Complaints) hear(event any) {
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

// Look makes the browser have a screen.
func Look(s Screen) chromedp.Action[chromedp.Void] {
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

// View is what the browser makes of a page.
type View struct {
	Wide   []string // elements that are wider than the screen
	Styled bool
}

// Open opens a page, looks at it and takes a picture.
func Open(ctx context.Context, s Screen, url string) (View, []byte, error) {
	ctx, cancel := context.WithTimeout(ctx, Wait)
	defer cancel()
	if err := chromedp.Do(ctx, Look(s), chromedp.Navigate(url)); err != nil {
		return View{}, nil, err
	}
	seen, err := chromedp.Run(ctx, chromedp.Evaluate[View](inspect))
	if err != nil {
		return View{}, nil, err
	}
	shot := chromedp.CaptureScreenshot
	if AllScreens() {
		shot = func() chromedp.Action[[]byte] { return chromedp.FullScreenshot(100) }
	}
	picture, err := chromedp.Run(ctx, shot())
	return seen, picture, err
}

// Hear gathers what the browser says from now on.
func Hear(ctx context.Context) (*Complaints, error) {
	said := &Complaints{}
	if err := chromedp.Listen(ctx, said.hear); err != nil {
		return nil, err
	}
	return said, chromedp.Do(ctx, listening)
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
