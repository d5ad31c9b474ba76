package paste69

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"

	"ringbin/api/highlight"
	"ringbin/storage"
)

// siteName stands in titles and in the head of every page.
const siteName = "ringbin"

// pagePolicy is what a page may load and do: its own style sheet, script,
// images and media, and forms to itself. User content stands in pages as text
// or as sanitised HTML without scripts, styles and forms; were that to fail,
// the browser refuses it by this policy.
const pagePolicy = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; " +
	"media-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"

// Cache-Control of pages and assets.
const (
	cacheCheck  = "public, no-cache"
	cacheSecret = "private, no-store"
	cacheKeep   = "public, max-age=31536000, immutable" // assets by the hash of their bytes
)

//go:embed templates assets
var pageFiles embed.FS

// pages renders the HTML pages. It takes what a page shows as plain values and
// decides nothing: who may see what was decided before. A page is rendered as a
// whole before its first byte is sent, so an error leaves the answer unwritten.
// It sets all headers of a page; the caller sets cookies.
type pages struct {
	sheets map[string]*template.Template
	assets map[string]asset
	code   *highlight.Highlighter
	prose  *markdown
}

// asset is a file that pages load from the node itself.
type asset struct {
	bytes     []byte
	mediaType string
	version   string // of its bytes; stands in its URL
}

// site is what every page is told of the request.
type site struct {
	// Base is the absolute URL of the node's root without a slash at its end; a
	// path prefix is part of it.
	Base string
	// Now is the node's clock in Unix milliseconds; ages are told from it.
	Now int64
}

// Site is the site itself, for what a template gives it to.
func (s site) Site() site { return s }

// URL returns the absolute URL of a path, for what people copy.
func (s site) URL(route string) string { return s.Base + route }

// Path returns a path below the prefix, for links and forms of a page.
func (s site) Path(route string) string {
	u, err := url.Parse(s.Base)
	if err != nil {
		return route
	}
	return strings.TrimSuffix(u.EscapedPath(), "/") + route
}

// retention is the settings that the chart is drawn from.
type retention struct {
	AnonymousMinDays, AnonymousMaxDays int64
	KeyMinDays, KeyMaxDays             int64
	Reference                          int64 // bytes
}

// frontPage is GET / and GET /submit: the upload forms and the retention chart.
type frontPage struct {
	site
	Retention               retention
	MaxUpload, MaxUploadKey int64
	Anonymous               bool // uploads without a key are on: the forms are shown
}

// pastePage is the view of a paste.
type pastePage struct {
	site
	ID, Filename, Extension, MediaType string
	Size, Created, Expires, Views      int64 // times in Unix milliseconds; Expires 0: never
	Private                            bool
	// Text is the content, or its first textBytesMax bytes, of a paste that is
	// text; nil: no text is shown.
	Text []byte
	// Rendered asks for ?view=rendered; only Markdown is rendered.
	Rendered bool
	// DeleteKey is set in the one view after an upload: the page shows the
	// delete link and is not stored.
	DeleteKey string
	// QueryKey is the API key that came as ?api_key=, else "". Links of a private
	// paste go on with it, as nothing else would authenticate them.
	QueryKey string
}

// confirmPage is GET on a delete URL: the form that deletes.
type confirmPage struct {
	site
	ID, DeleteKey    string
	Link             bool   // a short link, not a paste
	Name             string // file name, or target of a short link; may be empty
	Size             int64  // of a paste
	Created, Expires int64
}

// Action is what the form posts to.
func (page confirmPage) Action() string { return "/delete/" + page.ID + "/" + page.DeleteKey }

// deletedPage is the answer to a browser that deleted.
type deletedPage struct {
	site
	ID   string
	Link bool
}

// tokenPage is GET /keys/verify?token=: its button posts the token.
type tokenPage struct {
	site
	Token, Name, Email string
}

// keyPage is the answer to that POST: the new key, once.
type keyPage struct {
	site
	Key, Name, Email string
}

// dayClicks is the clicks of one day.
type dayClicks struct {
	Day    int32 // days since 1970 in UTC
	Clicks int64
}

// tally is one row of a top list.
type tally struct {
	Name  string
	Count int64
}

// linkStatsPage is GET /u/:id/stats.
type linkStatsPage struct {
	site
	ID, Target, Title                   string
	Clicks, LastClick, Created, Expires int64       // all time; LastClick 0: none
	From, To                            int32       // the range, days since 1970 in UTC, both inclusive
	Days                                []dayClicks // ascending; days without clicks may be left out
	Views, Unique                       int64       // in the range
	Referrers, Countries, Browsers      []tally     // most first
	QueryKey                            string      // as in pastePage: the range form carries it on
}

// Short is the URL to hand out.
func (page linkStatsPage) Short() string { return page.URL("/u/" + page.ID) }

// topList is a list of the most frequent.
type topList struct {
	Title string
	Rows  []tally
}

// Tops are the lists of the page.
func (page linkStatsPage) Tops() []topList {
	return []topList{{"Referrers", page.Referrers}, {"Countries", page.Countries}, {"Browsers", page.Browsers}}
}

// statsPage is GET /stats.
type statsPage struct {
	site
	Pastes, Links, Blobs, Bytes int64 // alive now; Blobs and Bytes of the whole store
	Nodes                       int64 // of the cluster; 0: not told
	Retention                   retention
	MaxUpload, MaxUploadKey     int64
}

// docsPage is GET /docs: the API by example, with recipes for ShareX and
// Flameshot.
type docsPage struct {
	site
	Retention               retention
	MaxUpload, MaxUploadKey int64
	Anonymous               bool
	KeysMode                string // "email", "closed", "log" or "open"
	FetchUploads            bool
}

// problemPage is an error for a browser.
type problemPage struct {
	site
	Status    int
	Message   string
	RequestID string // may be empty
}

// newPages parses the templates and versions the assets.
func newPages(code *highlight.Highlighter) (*pages, error) {
	p := &pages{sheets: map[string]*template.Template{}, assets: map[string]asset{}, code: code}
	p.prose = newMarkdown(code)
	if err := p.readAssets(); err != nil {
		return nil, err
	}
	layout, err := template.New("layout").Funcs(p.funcs()).ParseFS(pageFiles, "templates/layout.html")
	if err != nil {
		return nil, fmt.Errorf("paste69: layout: %w", err)
	}
	names, err := fs.Glob(pageFiles, "templates/*.html")
	if err != nil {
		return nil, fmt.Errorf("paste69: templates: %w", err)
	}
	for _, file := range names {
		name := strings.TrimSuffix(path.Base(file), ".html")
		if name == "layout" {
			continue
		}
		sheet, err := layout.Clone()
		if err == nil {
			sheet, err = sheet.ParseFS(pageFiles, file)
		}
		if err != nil {
			return nil, fmt.Errorf("paste69: template %s: %w", name, err)
		}
		p.sheets[name] = sheet
	}
	return p, nil
}

func (p *pages) readAssets() error {
	types := map[string]string{
		".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml",
	}
	files, err := fs.ReadDir(pageFiles, "assets")
	if err != nil {
		return fmt.Errorf("paste69: assets: %w", err)
	}
	for _, file := range files {
		content, err := pageFiles.ReadFile("assets/" + file.Name())
		if err != nil {
			return fmt.Errorf("paste69: asset: %w", err)
		}
		sum := sha256.Sum256(content)
		p.assets[file.Name()] = asset{content, types[path.Ext(file.Name())], hex.EncodeToString(sum[:6])}
	}
	return nil
}

// asset answers GET /assets/:name.
func (p *pages) asset(w http.ResponseWriter, r *http.Request, name string) error {
	a, found := p.assets[name]
	if !found {
		return &storage.Error{Op: "paste69.asset", Kind: storage.KindNotFound, Code: "not_found", Text: "Not found"}
	}
	h := w.Header()
	h.Set("Content-Type", a.mediaType)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; sandbox")
	h.Set("Cache-Control", cacheCheck)
	if r.URL.Query().Get("v") == a.version {
		h.Set("Cache-Control", cacheKeep)
	}
	h.Set("Content-Length", strconv.Itoa(len(a.bytes)))
	_, _ = w.Write(a.bytes) // the server sees it
	return nil
}

// sheet is what a template gets.
type sheet struct {
	Name  string // of the template: which entry of the head is the current one
	Title string // in front of the site's name; may be empty
	Wide  bool   // the page uses the whole width
	Index bool   // search engines may list it
	Site  site
	Page  any
}

// answer is how a rendered page is sent.
type answer struct {
	status int
	cache  string
	vary   bool // the same URL gives other things to other clients
}

func (p *pages) render(w http.ResponseWriter, s sheet, a answer) error {
	var page bytes.Buffer
	if err := p.sheets[s.Name].ExecuteTemplate(&page, "layout", s); err != nil {
		return &storage.Error{Op: "paste69.render", Kind: storage.KindInternal, Err: err}
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Length", strconv.Itoa(page.Len()))
	h.Set("Content-Security-Policy", pagePolicy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", a.cache)
	if a.vary {
		h.Add("Vary", "Accept")
	}
	if !s.Index {
		h.Set("X-Robots-Tag", "noindex")
	}
	w.WriteHeader(a.status)
	_, _ = w.Write(page.Bytes()) // the server sees it
	return nil
}

func (p *pages) front(w http.ResponseWriter, _ *http.Request, page frontPage) error {
	return p.render(w, sheet{Name: "front", Index: true, Site: page.site, Page: page}, answer{http.StatusOK, cacheCheck, true})
}

func (p *pages) confirm(w http.ResponseWriter, _ *http.Request, page confirmPage) error {
	return p.render(w, sheet{Name: "confirm", Title: "Delete " + page.ID, Site: page.site, Page: page}, answer{http.StatusOK, cacheSecret, true})
}

func (p *pages) deleted(w http.ResponseWriter, _ *http.Request, page deletedPage) error {
	return p.render(w, sheet{Name: "deleted", Title: "Deleted", Site: page.site, Page: page}, answer{http.StatusOK, cacheSecret, true})
}

func (p *pages) token(w http.ResponseWriter, _ *http.Request, page tokenPage) error {
	return p.render(w, sheet{Name: "token", Title: "Your API key", Site: page.site, Page: page}, answer{http.StatusOK, cacheSecret, true})
}

func (p *pages) key(w http.ResponseWriter, _ *http.Request, page keyPage) error {
	return p.render(w, sheet{Name: "key", Title: "Your API key", Site: page.site, Page: page}, answer{http.StatusOK, cacheSecret, true})
}

func (p *pages) linkStats(w http.ResponseWriter, _ *http.Request, page linkStatsPage) error {
	return p.render(w, sheet{Name: "linkstats", Title: "Clicks on " + page.ID, Site: page.site, Page: page}, answer{http.StatusOK, cacheSecret, true})
}

func (p *pages) stats(w http.ResponseWriter, _ *http.Request, page statsPage) error {
	return p.render(w, sheet{Name: "stats", Title: "Stats", Index: true, Site: page.site, Page: page}, answer{http.StatusOK, cacheCheck, true})
}

func (p *pages) docs(w http.ResponseWriter, _ *http.Request, page docsPage) error {
	return p.render(w, sheet{Name: "docs", Title: "API", Index: true, Site: page.site, Page: page}, answer{http.StatusOK, cacheCheck, true})
}

func (p *pages) problem(w http.ResponseWriter, _ *http.Request, page problemPage) error {
	return p.render(w, sheet{Name: "problem", Title: page.Message, Site: page.site, Page: page}, answer{page.Status, cacheSecret, true})
}

// paste shows a paste: text with line numbers, media by its raw URL, all else
// by links.
func (p *pages) paste(w http.ResponseWriter, r *http.Request, page pastePage) error {
	s := sheet{Name: "paste", Title: page.Filename, Wide: true, Site: page.site, Page: p.viewOf(r.Context(), page)}
	cache := cacheCheck
	if page.Private || page.DeleteKey != "" {
		cache = cacheSecret
	}
	return p.render(w, s, answer{http.StatusOK, cache, true})
}
