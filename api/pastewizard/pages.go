package pastewizard

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"html/template"
	"io"
	"io/fs"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"ringbin/api/highlight"
	"ringbin/node"
	"ringbin/storage"
)

// pagePolicy is what a page may load and do: its own style sheet, and forms to
// itself. There are no scripts. Content stands in a page as escaped text; were
// that to fail, the browser refuses what it would load or run.
const pagePolicy = "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

//go:embed templates assets
var pageFiles embed.FS

// stylePath is the route of the style sheet.
const stylePath = "/assets/wizard.css"

// pages renders the HTML pages from plain values, and decides nothing: who may
// see what was decided before. What may fail is done before the first byte is
// sent, so that an error leaves the answer unwritten.
type pages struct {
	sheets       map[string]*template.Template
	style        []byte
	styleVersion string // of its bytes; stands in its URL
	code         *highlight.Highlighter
}

// frame is what the frame of a page is told, with the page in it.
type frame struct {
	Name   string // of the template
	Title  string
	Wide   bool   // the page uses the whole width
	Prefix string // of the path of all links: the setting's base_url may have one
	User   string // who is logged in, by name; "" nobody
	Admin  bool
	Body   any
}

// Path is a path below the prefix.
func (f frame) Path(route string) string { return f.Prefix + route }

// problemPage is an error.
type problemPage struct {
	Status    int
	Message   string
	Hint      string
	RequestID string
}

// passwordPage asks for the password of a note.
type passwordPage struct {
	Hash  string
	Wrong bool // the last one was
}

// warningPage is in front of a note that burns.
type warningPage struct {
	Hash    string
	Expires int64 // Unix milliseconds; 0: never
}

// notePage shows the content of a note.
type notePage struct {
	highlight.Listing

	Burned           bool   // by this view
	Privacy          string // "" for a public note
	Language         string
	Owner            string
	Created, Expires int64
	Views            int64
}

// loginPage asks for a key.
type loginPage struct {
	To    string // where to go then
	Wrong string // what is wrong with the key before
	Lost  bool   // no browser keeps the login here
}

// createdPage shows a new token, once.
type createdPage struct {
	Token, Name string
	Number      int64
	Back        string
}

// choice is the ticks of scopes.
type choice struct{ All, set []string }

// Has is whether a scope is ticked.
func (c choice) Has(scope string) bool { return slices.Contains(c.set, scope) }

// tokenRow is a token in a list.
type tokenRow struct {
	node.Key

	User     int64 // 0: the account is gone
	UserName string
}

// Scopes are the token's, in words.
func (t tokenRow) Scopes() string { return strings.Join(t.Key.Scopes, ", ") }

// Limit is the requests that the token may make in a minute, in words.
func (t tokenRow) Limit() string {
	if t.RatePerMinute == 0 {
		return "unlimited"
	}
	return strconv.FormatInt(t.RatePerMinute, 10)
}

// Choice is the scopes that an administrator may give it.
func (t tokenRow) Choice() choice { return choice{adminScopes, t.Key.Scopes} }

// The scopes that are offered: what a user gives a token, and an administrator.
var (
	userScopes  = []string{node.TokenRead, node.TokenWrite}
	adminScopes = []string{node.TokenRead, node.TokenWrite, node.TokenAdmin}
)

// tokensPage lists tokens: those of who looks, or, for administrators, of all.
type tokensPage struct {
	Tokens       []tokenRow
	Revoked      bool   // those that were revoked are among them
	Next         string // route of the next page; "" on the last one
	Other        string // route of the list with revoked tokens, or without
	User         string // the number of whose tokens these are; "" all
	Back         string // query that leads back to this page
	DefaultLimit int64
	New          choice
}

// logsPage lists requests of the API.
type logsPage struct {
	Filters []filter
	Logs    []node.LogEntry
	Missing []string // names of nodes that could not be asked
	Next    string   // route of the next page; "" on the last one
}

// filter is one field of the form above the logs.
type filter struct{ Name, Label, Value, Example string }

// newPages parses the templates.
func newPages(code *highlight.Highlighter) (*pages, error) {
	p := &pages{sheets: map[string]*template.Template{}, code: code}
	var err error
	if p.style, err = pageFiles.ReadFile(strings.TrimPrefix(stylePath, "/")); err != nil {
		return nil, fmt.Errorf("pastewizard: style sheet: %w", err)
	}
	sum := sha256.Sum256(p.style)
	p.styleVersion = hex.EncodeToString(sum[:6])
	layout, err := template.New("layout").Funcs(template.FuncMap{
		"style": func() string { return stylePath + "?v=" + p.styleVersion },
		"iso":   func(ms int64) string { return time.UnixMilli(ms).UTC().Format(time.RFC3339) },
		"date":  func(ms int64) string { return time.UnixMilli(ms).UTC().Format(time.DateTime) },
	}).ParseFS(pageFiles, "templates/layout.html")
	if err != nil {
		return nil, fmt.Errorf("pastewizard: layout: %w", err)
	}
	files, err := fs.Glob(pageFiles, "templates/*.html")
	if err != nil {
		return nil, fmt.Errorf("pastewizard: templates: %w", err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(path.Base(file), ".html")
		if name == "layout" {
			continue
		}
		sheet, err := layout.Clone()
		if err == nil {
			sheet, err = sheet.ParseFS(pageFiles, file)
		}
		if err != nil {
			return nil, fmt.Errorf("pastewizard: template %s: %w", name, err)
		}
		p.sheets[name] = sheet
	}
	return p, nil
}

// setPageHeaders sets what every page has.
func setPageHeaders(h http.Header) {
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", pagePolicy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Robots-Tag", "noindex")
}

// render answers with a page.
func (p *pages) render(w http.ResponseWriter, status int, f frame) error {
	page, err := p.execute(f, "page")
	if err != nil {
		return err
	}
	h := w.Header()
	setPageHeaders(h)
	h.Set("Content-Length", strconv.Itoa(page.Len()))
	w.WriteHeader(status)
	_, _ = page.WriteTo(w) // the server sees it
	return nil
}

func (p *pages) execute(f frame, part string) (*bytes.Buffer, error) {
	var page bytes.Buffer
	if err := p.sheets[f.Name].ExecuteTemplate(&page, part, f); err != nil {
		return nil, &storage.Error{Op: "pastewizard.render", Kind: storage.KindInternal, Err: err}
	}
	return &page, nil
}

// note answers with the page of a note. Content that is larger than what is
// shown in colours comes as plain text, piece by piece: the page is never in
// memory as a whole, and always holds all of the content, since what is burned
// can't be asked for again.
func (p *pages) note(ctx context.Context, w http.ResponseWriter, f frame, page notePage, content []byte) error {
	plain := len(content) > highlight.BytesMax
	if !plain {
		page.Listing = p.code.List(ctx, highlight.Text(content), highlight.Hint{Language: page.Language})
	}
	f.Name, f.Wide, f.Body = "note", true, page
	before, err := p.execute(f, "before")
	if err != nil {
		return err
	}
	after, err := p.execute(f, "after")
	if err != nil {
		return err
	}
	setPageHeaders(w.Header())
	w.WriteHeader(http.StatusOK)
	out := bufio.NewWriter(w) // what fails from here on the server sees
	_, _ = before.WriteTo(out)
	if plain {
		template.HTMLEscape(out, content)
	} else {
		_, _ = io.WriteString(out, string(page.Code))
	}
	_, _ = after.WriteTo(out)
	_ = out.Flush()
	return nil
}

// serveStyle answers with the style sheet; a URL that names its version may be
// kept for ever.
func (p *pages) serveStyle(w http.ResponseWriter, r *http.Request) error {
	h := w.Header()
	h.Set("Content-Type", "text/css; charset=utf-8")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "public, no-cache")
	if r.URL.Query().Get("v") == p.styleVersion {
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	h.Set("Content-Length", strconv.Itoa(len(p.style)))
	_, _ = w.Write(p.style) // the server sees it
	return nil
}
