package paste69

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"ringbin/api/highlight"
	"ringbin/testcluster/browser"
)

// evil is put wherever a page shows what users wrote.
const evil = `"><script>alert(1)</script><img src=x onerror=alert(2)>'{{.}}</title></textarea></svg>`

var sampleNow = time.Date(2030, 3, 20, 15, 30, 0, 0, time.UTC).UnixMilli()

var sampleRetention = retention{
	AnonymousMinDays: 7, AnonymousMaxDays: 128, KeyMinDays: 30, KeyMaxDays: 730, Reference: 64 << 20,
}

// samplePage is a page as a browser asks for it.
type samplePage struct {
	path  string
	serve func(p *pages, w http.ResponseWriter, r *http.Request, at site) error
}

func samplePaste(at site, name, mediaType, text string) pastePage {
	page := pastePage{
		site: at, ID: "abc12345", Filename: name, Extension: strings.TrimPrefix(filepath.Ext(name), "."), MediaType: mediaType,
		Size: int64(len(text)), Created: at.Now - 200_000, Expires: at.Now + 127*86_400_000, Views: 1234,
	}
	if text != "" {
		page.Text = []byte(text)
	}
	return page
}

func sampleClicks(at site) linkStatsPage {
	page := linkStatsPage{
		site: at, ID: "abc123", Target: "https://example.com/a/rather/long/path/that/somebody/wants/to/shorten?with=query", Title: "Example website",
		Clicks: 12_345, LastClick: at.Now - 60_000, Created: at.Now - 86_400_000*40, From: 21_950, To: 21_979, Views: 0, Unique: 411,
		Referrers: []tally{{"news.example", 301}, {"chat.example", 120}, {"a-very-long-host-name-of-a-forum.some-place.example", 33}},
		Countries: []tally{{"DE", 250}, {"FR", 200}, {"JP", 4}}, Browsers: []tally{{"Firefox", 402}, {"Chrome", 51}, {"curl", 1}},
	}
	for i := range int32(30) {
		n := int64(i*i*7%23 + i%5)
		if i == 11 {
			continue
		}
		page.Days = append(page.Days, dayClicks{page.From + i, n})
		page.Views += n
	}
	return page
}

// shot is an image that is there without a file beside the test.
const shot = `<svg xmlns="http://www.w3.org/2000/svg" width="960" height="540"><rect width="960" height="540" fill="#dbe7e4"/>` +
	`<circle cx="480" cy="270" r="180" fill="none" stroke="#0d6a61" stroke-width="24"/></svg>`

func samplePages(tb testing.TB) []samplePage {
	tb.Helper()
	own, err := os.ReadFile("view.go")
	if err != nil {
		tb.Fatal(err)
	}
	prose, err := os.ReadFile("testdata/sample.md")
	if err != nil {
		tb.Fatal(err)
	}
	paste := func(name, mediaType, text string, change func(*pastePage)) func(*pages, http.ResponseWriter, *http.Request, site) error {
		return func(p *pages, w http.ResponseWriter, r *http.Request, at site) error {
			page := samplePaste(at, name, mediaType, text)
			if change != nil {
				change(&page)
			}
			return p.paste(w, r, page)
		}
	}
	media := func(page *pastePage) { page.Size = 123_456 }
	return []samplePage{
		{"/", func(p *pages, w http.ResponseWriter, r *http.Request, at site) error {
			return p.front(w, r, frontPage{site: at, Retention: sampleRetention, MaxUpload: 64 << 20, MaxUploadKey: 256 << 20, Anonymous: true})
		}},
		{"/closed", func(p *pages, w http.ResponseWriter, r *http.Request, at site) error {
			return p.front(w, r, frontPage{site: at, Retention: sampleRetention, MaxUpload: 64 << 20, MaxUploadKey: 256 << 20})
		}},
		{"/docs", func(p *pages, w http.ResponseWriter, r *http.Request, at site) error {
			return p.docs(w, r, docsPage{site: at, Retention: sampleRetention, MaxUpload: 64 << 20, MaxUploadKey: 256 << 20, Anonymous: true, KeysMode: "email"})
		}},
		{"/stats", func(p *pages, w http.ResponseWriter, r *http.Request, at site) error {
			return p.stats(w, r, statsPage{
				site: at, Pastes: 12_345, Links: 678, Blobs: 11_002, Bytes: 73_400_320_000, Nodes: 5,
				Retention: sampleRetention, MaxUpload: 64 << 20, MaxUploadKey: 256 << 20,
			})
		}},
		{"/code", paste("view.go", "text/plain", string(own), nil)},
		{"/new", paste("hello.py", "text/x-python", "#!/usr/bin/env python3\nimport sys\n\n\ndef main() -> int:\n    \"\"\"Says hello.\"\"\"\n    print(f\"Hello, {sys.argv[1]}!\", 42)\n    return 0\n",
			func(page *pastePage) { page.DeleteKey = "Zf9aHd1cJu6By4EmWs8TrL2nXv0PkG7q"; page.Views = 0 })},
		{"/plain", paste("a very long file name with words that somebody gave to a note about nothing.txt", "text/plain", strings.Repeat("The quick brown fox jumps over the lazy dog. ", 12)+"\n\nsecond\n", nil)},
		{"/evil", paste(evil, "text/html", evil+"\n"+evil, func(page *pastePage) { page.Extension = "html" })},
		{"/evil-prose", paste(evil, "text/markdown", evil+"\n\n["+evil+"](javascript:alert(1))\n\n# "+evil, func(page *pastePage) { page.Extension, page.Rendered = "md", true })},
		{"/source", paste("sample.md", "text/markdown", string(prose), nil)},
		{"/prose", paste("sample.md", "text/markdown", string(prose), func(page *pastePage) { page.Rendered = true })},
		{"/image", paste("ring.svg", "image/svg+xml", "", media)},
		{"/audio", paste("song.ogg", "audio/ogg", "", media)},
		{"/video", paste("clip.webm", "video/webm", "", media)},
		{"/private", paste("holiday.jpg", "image/jpeg", "", func(page *pastePage) { page.Private, page.QueryKey, page.Size = true, "p69_x&y", 99 })},
		{"/binary", paste("release.tar.gz", "application/gzip", "", media)},
		{"/cut", paste("big.log", "text/plain", strings.Repeat("2030-03-20T15:30:00Z INFO all is well\n", 40), func(page *pastePage) { page.Size, page.Expires = 90<<20, 0 })},
		{"/confirm", func(p *pages, w http.ResponseWriter, r *http.Request, at site) error {
			return p.confirm(w, r, confirmPage{site: at, ID: "abc12345", DeleteKey: "Zf9aHd1cJu6By4EmWs8TrL2nXv0PkG7q", Name: "notes" + evil, Size: 1234, Created: at.Now - 1000, Expires: at.Now + 7_200_000})
		}},
		{"/confirm-link", func(p *pages, w http.ResponseWriter, r *http.Request, at site) error {
			return p.confirm(w, r, confirmPage{site: at, ID: "abc123", DeleteKey: "Zf9aHd1cJu6By4EmWs8TrL2nXv0PkG7q", Link: true, Name: "https://example.com/", Created: at.Now - 1000})
		}},
		{"/deleted", func(p *pages, w http.ResponseWriter, r *http.Request, at site) error {
			return p.deleted(w, r, deletedPage{site: at, ID: "abc12345"})
		}},
		{"/token", func(p *pages, w http.ResponseWriter, r *http.Request, at site) error {
			return p.token(w, r, tokenPage{site: at, Token: strings.Repeat("0a", 32), Name: "Your Name" + evil, Email: "your@email.com"})
		}},
		{"/key", func(p *pages, w http.ResponseWriter, r *http.Request, at site) error {
			return p.key(w, r, keyPage{site: at, Key: "p69_" + strings.Repeat("aZ09kQ", 10), Name: evil, Email: "your@email.com"})
		}},
		{"/clicks", func(p *pages, w http.ResponseWriter, r *http.Request, at site) error {
			return p.linkStats(w, r, sampleClicks(at))
		}},
		{"/no-clicks", func(p *pages, w http.ResponseWriter, r *http.Request, at site) error {
			return p.linkStats(w, r, linkStatsPage{site: at, ID: "abc123", Target: "javascript:alert(1)", Title: evil, Created: at.Now, From: 20_000, To: 21_979, QueryKey: "p69_x"})
		}},
		{"/problem", func(p *pages, w http.ResponseWriter, r *http.Request, at site) error {
			return p.problem(w, r, problemPage{site: at, Status: http.StatusNotFound, Message: "Paste not found or expired", RequestID: "0192f0c1"})
		}},
		{"/problem-evil", func(p *pages, w http.ResponseWriter, r *http.Request, at site) error {
			return p.problem(w, r, problemPage{site: at, Status: http.StatusInternalServerError, Message: evil})
		}},
	}
}

func openPages(tb testing.TB) *pages {
	tb.Helper()
	p, err := newPages(highlight.New(time.Minute)) // slow machines change no golden structure
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

func get(tb testing.TB, p *pages, page samplePage, base string) *httptest.ResponseRecorder {
	tb.Helper()
	w := httptest.NewRecorder()
	r := httptest.NewRequestWithContext(tb.Context(), http.MethodGet, page.path, nil)
	if err := page.serve(p, w, r, site{Base: base, Now: sampleNow}); err != nil {
		tb.Fatal(err)
	}
	return w
}

func TestPagesAreSound(t *testing.T) {
	t.Parallel()
	p := openPages(t)
	for _, page := range samplePages(t) {
		for _, base := range []string{"https://paste.example", "https://example.org/some/where"} {
			w := get(t, p, page, base)
			document, err := html.Parse(w.Body)
			if err != nil {
				t.Fatal(err)
			}
			prefix := strings.TrimPrefix(base, "https://paste.example")
			prefix = strings.TrimPrefix(prefix, "https://example.org")
			if prefix != "" {
				for _, n := range browser.Elements(document) {
					for _, key := range []string{"href", "src", "action"} {
						if v := browser.Attr(n, key); strings.HasPrefix(v, "/") && !strings.HasPrefix(v, prefix+"/") {
							t.Errorf("%s: <%s %s=%q> leaves the prefix", page.path, n.Data, key, v)
						}
					}
				}
			}
			for _, fault := range browser.Faults(document, base) {
				t.Errorf("%s: %s", page.path, fault)
			}
			h := w.Header()
			if h.Get("Content-Security-Policy") != pagePolicy || h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Referrer-Policy") != "no-referrer" {
				t.Errorf("%s: headers %v", page.path, h)
			}
		}
	}
}

func TestSecretsAreNotStored(t *testing.T) {
	t.Parallel()
	p := openPages(t)
	for _, page := range samplePages(t) {
		w := get(t, p, page, "https://paste.example")
		secret := regexp.MustCompile(`Zf9aHd1c|p69_[ax]|0a0a0a`).MatchString(w.Body.String())
		if noStore := w.Header().Get("Cache-Control") == cacheSecret; secret && !noStore {
			t.Errorf("%s: a page with a secret is %q", page.path, w.Header().Get("Cache-Control"))
		}
	}
}

// What a user wrote stands in the page as it was written.
func TestContentIsShownWhole(t *testing.T) {
	t.Parallel()
	p := openPages(t)
	for _, text := range []string{evil, "a\nb", "a\nb\n", "\n\n", "x", "\tif a < b && c > d {\n\t}\n", "ümläut\u2028\n🙂"} {
		for _, name := range []string{"a.go", "a.html", "a.txt", "a.php", "a.md", "a.json"} {
			page := samplePaste(site{Base: "https://paste.example", Now: sampleNow}, name, "text/plain", text)
			w := httptest.NewRecorder()
			if err := p.paste(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil), page); err != nil {
				t.Fatal(err)
			}
			document, err := html.Parse(w.Body)
			if err != nil {
				t.Fatal(err)
			}
			var shown strings.Builder
			rows := 0
			for _, n := range browser.Elements(document) {
				if browser.Attr(n, "class") == "tx" {
					rows++
					if browser.Attr(n.Parent, "id") != fmt.Sprintf("L%d", rows) {
						t.Errorf("%s: row %d has the id %q", name, rows, browser.Attr(n.Parent, "id"))
					}
					shown.WriteString(browser.InnerText(n))
				}
			}
			if shown.String() != text {
				t.Errorf("%s: %q is shown as %q", name, text, shown.String())
			}
			if want := strings.Count(strings.TrimSuffix(text, "\n"), "\n") + 1; rows != want {
				t.Errorf("%s: %q has %d rows, want %d", name, text, rows, want)
			}
		}
	}
}

func TestAssets(t *testing.T) {
	t.Parallel()
	p := openPages(t)
	for name, cache := range map[string]string{"style.css": cacheCheck, "style.css?v=" + p.assets["style.css"].version: cacheKeep, "page.js?v=old": cacheCheck} {
		w := httptest.NewRecorder()
		file, _, _ := strings.Cut(name, "?")
		if err := p.asset(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/assets/"+name, nil), file); err != nil {
			t.Fatal(err)
		}
		if got := w.Header().Get("Cache-Control"); got != cache || w.Body.Len() == 0 || w.Header().Get("Content-Type") == "" {
			t.Errorf("%s: %q, %v", name, got, w.Header())
		}
	}
	if err := p.asset(httptest.NewRecorder(), httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/assets/x", nil), "../pages.go"); err == nil {
		t.Error("an asset that is none")
	}
}
