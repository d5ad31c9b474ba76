// Package browser is for tests of pages: it starts a real headless Chromium,
// looks at pages with it, and judges what they are made of.
package browser

import (
	"context"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// Wait is when a page counts as stuck, on a machine that others use, too.
const Wait = 3 * time.Minute

// programs are the names that a browser may have.
var programs = []string{"chromium", "chromium-browser", "google-chrome", "chrome-headless-shell"}

// Start starts a browser that ends with the test, or skips the test when there
// is none. CHROMIUM names one that lies elsewhere.
func Start(t *testing.T) context.Context {
	t.Helper()
	if testing.Short() {
		t.Skip("short: no browser is started")
	}
	program := find()
	if program == "" {
		t.Skip("NO BROWSER: no page was opened. Install chromium (Debian: apt-get install chromium), or name one in CHROMIUM")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(program), chromedp.UserDataDir(t.TempDir()))
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox) // Chromium's own sandbox refuses root
	}
	ctx, cancel := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(func() {
		if err := chromedp.Cancel(ctx); err != nil {
			t.Logf("browser: %v", err)
		}
		cancel()
	})
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("%s does not start: %v", program, err)
	}
	return ctx
}

func find() string {
	for _, name := range append([]string{os.Getenv("CHROMIUM")}, programs...) {
		if found, err := exec.LookPath(name); name != "" && err == nil {
			return found
		}
	}
	return ""
}
