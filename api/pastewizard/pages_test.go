package pastewizard

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"ringbin/api/highlight"
	"ringbin/node"
	"ringbin/testcluster/browser"
)

// evil is text that must not become anything else.
const evil = `"><script>alert(1)</script><img src=x onerror=alert(2)>'</pre></code>{{.}}&amp;`

const sampleTime = int64(1_795_338_296_000)

// samplePage is a page as it is made of plain values.
type samplePage struct {
	name  string
	serve func(*pages, http.ResponseWriter) error
}

func sampleTokens() []tokenRow {
	return []tokenRow{
		{Key: node.Key{Number: 7, Name: "ci", Scopes: userScopes, RatePerMinute: 60, Created: sampleTime}, User: 123, UserName: "John Doe"},
		{Key: node.Key{Number: 8, Name: evil, Scopes: adminScopes, Created: sampleTime}, User: 4_000_000_000, UserName: evil},
		{Key: node.Key{Number: 9, Name: "old", Scopes: userScopes[:1], RatePerMinute: 1_000_000, Created: sampleTime, Revoked: sampleTime}},
	}
}

func samplePages(tb testing.TB) []samplePage {
	tb.Helper()
	own, err := os.ReadFile("pages.go")
	if err != nil {
		tb.Fatal(err)
	}
	plain := func(name, template string, status int, body any) samplePage {
		return samplePage{name, func(p *pages, w http.ResponseWriter) error {
			f := frame{Name: template, Title: "A page " + evil, Body: body, User: "John Doe " + evil, Admin: true}
			return p.render(w, status, f)
		}}
	}
	note := func(name string, page notePage, content string) samplePage {
		return samplePage{name, func(p *pages, w http.ResponseWriter) error {
			return p.note(context.Background(), w, frame{Title: name + evil}, page, []byte(content))
		}}
	}
	soon := sampleTime + 600_000
	filters := logFilters(fields{"endpoint": textOf(evil), "status": textOf("200")})
	return []samplePage{
		plain("problem", "problem", http.StatusGone, problemPage{Status: http.StatusGone, Message: "Paste has expired", RequestID: "0192f0c1"}),
		plain("password", "password", http.StatusForbidden, passwordPage{Hash: "Ab3Xy9Qk"}),
		plain("password-wrong", "password", http.StatusForbidden, passwordPage{Hash: "Ab3Xy9Qk", Wrong: true}),
		plain("warning", "warning", http.StatusOK, warningPage{Hash: "Ab3Xy9Qk", Expires: soon}),
		plain("login", "login", http.StatusOK, loginPage{To: keysPath}),
		plain("login-wrong", "login", http.StatusForbidden, loginPage{To: keysPath, Wrong: keyRefused}),
		plain("login-lost", "login", http.StatusOK, loginPage{To: keysPath, Lost: true}),
		plain("created", "created", http.StatusOK, createdPage{Token: "pw_" + strings.Repeat("aZ0", 14) + "x", Name: evil, Number: 7, Back: keysPath}),
		plain("keys", "keys", http.StatusOK, tokensPage{Tokens: sampleTokens(), Next: keysPath + "?cursor=9", Other: keysPath, Revoked: true, New: choice{userScopes, userScopes}}),
		plain("keys-none", "keys", http.StatusOK, tokensPage{Other: keysPath + "?revoked=1", New: choice{userScopes, userScopes}}),
		plain("tokens", "tokens", http.StatusOK, tokensPage{
			Tokens: sampleTokens(), Next: tokensPath + "?cursor=9", User: "123", Back: "?user_id=123", DefaultLimit: 60, New: choice{adminScopes, userScopes},
		}),
		plain("logs", "logs", http.StatusOK, logsPage{Filters: filters, Missing: []string{"n3", evil}, Next: logsPath + "?cursor=x", Logs: []node.LogEntry{
			{Time: sampleTime, Token: 7, User: 123, UserName: evil, Endpoint: "paste.php", Status: 200, Addr: "203.0.113.9", Node: "n2"},
			{Time: sampleTime, Token: 8, Endpoint: "unknown", Status: 404, Addr: "2001:db8:1234:5678:9abc:def0:1234:5678", Node: "n1"},
		}}),
		plain("logs-none", "logs", http.StatusOK, logsPage{Filters: filters}),
		note("note", notePage{Privacy: "unlisted", Language: "go", Owner: "John Doe", Created: sampleTime, Expires: soon, Views: 42}, string(own)),
		note("note-burned", notePage{Burned: true, Language: "php", Created: sampleTime, Views: 1}, "<?php\necho \"Hello\";\n"),
		note("note-evil", notePage{Privacy: "private", Language: "html", Owner: evil, Created: sampleTime, Views: 1}, evil+"\n"+evil),
	}
}

func openPages(tb testing.TB) *pages {
	tb.Helper()
	p, err := newPages(highlight.New(time.Minute))
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

// Pages hold nothing that runs, loads or styles by itself, and have the
// headers of the contract.
func TestPagesAreSound(t *testing.T) {
	t.Parallel()
	p := openPages(t)
	for _, sample := range samplePages(t) {
		w := httptest.NewRecorder()
		if err := sample.serve(p, w); err != nil {
			t.Fatal(err)
		}
		document, err := html.Parse(w.Body)
		if err != nil {
			t.Fatal(err)
		}
		for _, fault := range browser.Faults(document, "https://paste.example") {
			t.Errorf("%s: %s", sample.name, fault)
		}
		for _, n := range browser.Elements(document) {
			if n.Data == "script" || n.Data == "img" {
				t.Errorf("%s: <%s>", sample.name, n.Data)
			}
		}
		h := w.Header()
		for name, want := range map[string]string{
			"Content-Security-Policy": "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
			"Referrer-Policy":         "no-referrer", "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Content-Type": "text/html; charset=utf-8",
		} {
			if got := h.Get(name); got != want {
				t.Errorf("%s: %s is %q", sample.name, name, got)
			}
		}
	}
}

// With a prefix all links and forms stay below it.
func TestPagesKeepThePrefix(t *testing.T) {
	t.Parallel()
	p := openPages(t)
	w := httptest.NewRecorder()
	f := frame{Name: "tokens", Title: "t", Prefix: "/some/where", User: "u", Admin: true, Body: tokensPage{Tokens: sampleTokens(), Next: tokensPath}}
	if err := p.render(w, http.StatusOK, f); err != nil {
		t.Fatal(err)
	}
	document, err := html.Parse(w.Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range browser.Elements(document) {
		for _, key := range []string{"href", "action"} {
			if v := browser.Attr(n, key); strings.HasPrefix(v, "/") && !strings.HasPrefix(v, "/some/where/") {
				t.Errorf("<%s %s=%q> leaves the prefix", n.Data, key, v)
			}
		}
	}
}

// Content of whatever size stands in its page whole, as it was written.
func TestNoteIsShownWhole(t *testing.T) {
	t.Parallel()
	p := openPages(t)
	long := strings.Repeat("12345678 <&>\"'\n", highlight.BytesMax/15)
	for _, content := range []string{evil, "a\nb", "\n\n", " ", "\tif a < b && c > d {\n\t}\n", "ümläut\u2028\n🙂", long, long + "1234567890\nthe end"} {
		w := httptest.NewRecorder()
		if err := p.note(t.Context(), w, frame{}, notePage{Language: "go"}, []byte(content)); err != nil {
			t.Fatal(err)
		}
		document, err := html.Parse(w.Body)
		if err != nil {
			t.Fatal(err)
		}
		var rows, whole strings.Builder
		for _, n := range browser.Elements(document) {
			switch {
			case browser.Attr(n, "id") == "code":
				whole.WriteString(browser.InnerText(n))
			case browser.Attr(n, "class") == "tx":
				rows.WriteString(browser.InnerText(n))
			}
		}
		if rows.String() != content && whole.String() != content {
			t.Errorf("%.60q (%d bytes) is shown as %.60q (%d bytes)", content, len(content), whole.String(), whole.Len())
		}
	}
}

func TestStyle(t *testing.T) {
	t.Parallel()
	p := openPages(t)
	code := "c-comment c-keyword c-string c-number c-name c-type c-removed c-added"
	for _, fault := range browser.FaultsOfStyle(p.style, []browser.Contrast{
		{Front: "ink soft accent", Back: "ground sheet sunk accent-wash", Least: 4.5},
		{Front: "ink", Back: "mark", Least: 4.5},
		{Front: "danger", Back: "ground sheet", Least: 4.5},
		{Front: code, Back: "sheet mark", Least: 4.5},
		{Front: "accent-ink", Back: "accent", Least: 4.5},
		{Front: "danger-ink", Back: "danger", Least: 4.5},
		{Front: "edge accent", Back: "ground sheet", Least: 3},
	}) {
		t.Error(fault)
	}
	for query, want := range map[string]string{"": "public, no-cache", "?v=old": "public, no-cache", "?v=" + p.styleVersion: "public, max-age=31536000, immutable"} {
		w := httptest.NewRecorder()
		if err := p.serveStyle(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, stylePath+query, http.NoBody)); err != nil {
			t.Fatal(err)
		}
		if got := w.Header().Get("Cache-Control"); got != want || w.Body.Len() != len(p.style) {
			t.Errorf("%q: %q", query, got)
		}
	}
}

// screensDir is where the pictures of the pages go; git ignores it.
const screensDir = "testdata/screens"

// Every page opens in a real browser, in both schemes, on a desktop and on
// phones: nothing is refused by the policy or fails, nothing is wider than the
// screen, the style sheet is in force.
func TestPagesInBrowser(t *testing.T) {
	t.Parallel()
	ctx := browser.Start(t)
	p := openPages(t)
	samples := samplePages(t)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, sample := range samples {
			if r.URL.Path == "/"+sample.name {
				if err := sample.serve(p, w); err != nil {
					t.Error(err)
				}
				return
			}
		}
		if r.URL.Path != stylePath {
			http.NotFound(w, r)
			return
		}
		if err := p.serveStyle(w, r); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(server.Close)
	said, err := browser.Hear(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for i, s := range browser.Screens {
		if i%3 != 0 && !browser.AllScreens() {
			continue
		}
		for _, sample := range samples {
			url := server.URL + "/" + sample.name
			seen, picture, err := browser.Open(ctx, s, url)
			if err != nil {
				t.Fatalf("%s on %s: %v", sample.name, s.Name, err)
			}
			for _, complaint := range said.Take() {
				if strings.Contains(complaint, url+"\n") { // a page of an error has the status of one
					continue
				}
				t.Errorf("%s on %s: %s", sample.name, s.Name, complaint)
			}
			if len(seen.Wide) > 0 {
				t.Errorf("%s on %s is wider than the screen: %q", sample.name, s.Name, seen.Wide)
			}
			if !seen.Styled {
				t.Errorf("%s on %s is not styled", sample.name, s.Name)
			}
			if !browser.AllScreens() {
				continue
			}
			if err := os.MkdirAll(screensDir, 0o750); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(screensDir, fmt.Sprintf("%s-%s.png", sample.name, s.Name)), picture, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
}
