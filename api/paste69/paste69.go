package paste69

import (
	_ "embed"
	"net/http"
	"net/netip"
	"path/filepath"
	"strings"
	"time"

	"github.com/julienschmidt/httprouter"

	"ringbin/api/highlight"
	"ringbin/api/web"
	"ringbin/node"
	"ringbin/storage"
)

// OpenAPI is the contract of this API, as it is served.
//
//go:embed openapi.yaml
var OpenAPI []byte

// Dialect answers Paste69's requests on one node.
type Dialect struct {
	s        *node.Service
	router   *web.Router
	pages    *pages
	fetcher  *Fetcher
	spool    *spooler
	shown    *highlight.Room
	htmlForm map[string]bool // patterns whose errors browsers get as pages
	reserved map[string]bool // first path segments: never issued as ids
}

// New returns Paste69. It answers for every path at the root that is none of
// others, the routes that the node serves beside it; no id is one of those.
func New(s *node.Service, others []web.Route) *Dialect {
	pages, err := newPages(highlight.New(highlight.TimeMax))
	if err != nil {
		panic(err) // the templates are part of the program
	}
	d := &Dialect{s: s, pages: pages, shown: highlight.NewRoom(), htmlForm: map[string]bool{}}
	d.spool = newSpooler(filepath.Join(s.Config().DataDir, spoolDir), s.SpoolRoom)
	d.fetcher = NewFetcher(FetchOptions{Rules: d.fetchRules})
	d.router = web.NewRouter(node.APIPaste69, d.WriteError, d.preflight)
	d.router.TrailingSlash, d.router.LiteralsOnly = true, true
	for _, rt := range routes() {
		d.handle(rt)
	}
	d.reserved = firstSegments(append(d.router.Routes(), others...))
	return d
}

// firstSegments are the words that paths begin with, up to a dot.
func firstSegments(routes []web.Route) map[string]bool {
	words := map[string]bool{}
	for _, rt := range routes {
		first, _, _ := strings.Cut(strings.TrimPrefix(rt.Pattern, "/"), "/")
		first, _, _ = strings.Cut(first, ".")
		words[first] = true
	}
	return words
}

// spoolDir is where bodies wait below the node's directory until it is known
// what they are.
const spoolDir = "spool"

// Routes lists the routes of Paste69.
func Routes() []web.Route {
	var all []web.Route
	for _, rt := range routes() {
		all = append(all, web.Route{Method: rt.method, Pattern: rt.pattern})
	}
	return all
}

// fetchRules are what the operator allows at this moment.
func (d *Dialect) fetchRules() FetchRules {
	settings := d.s.Settings().Paste69
	rules := FetchRules{Ports: settings.FetchPorts, Nodes: d.s.ClusterHosts()}
	for _, text := range settings.FetchDeny {
		if p, err := netip.ParsePrefix(text); err == nil { // the settings hold nothing else
			rules.Deny = append(rules.Deny, p)
		}
	}
	return rules
}

// ServeHTTP answers a request; all of them with 404 while the operator has the
// dialect switched off.
func (d *Dialect) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	settings := d.s.Settings().Paste69
	setOrigin(w.Header(), r, settings.CORSOrigins)
	if !settings.Enabled {
		rec := web.RecordOf(r)
		rec.Dialect, rec.Render = node.APIPaste69, d.WriteError
		rec.Err = &storage.Error{Op: "paste69.ServeHTTP", Kind: storage.KindNotFound, Code: web.CodeEndpointNotFound}
		d.WriteError(w, r, rec.Err)
		return
	}
	d.router.ServeHTTP(w, r)
}

// isReserved is whether an id would hide behind a path, or hide content: it
// must not be issued.
func (d *Dialect) isReserved(id string) bool {
	_, err := storage.ParseCID(id)
	return err == nil || d.reserved[id]
}

func (d *Dialect) handle(rt route) {
	if rt.html {
		d.htmlForm[rt.pattern] = true
	}
	d.router.Handle(rt.method, rt.pattern, func(w http.ResponseWriter, r *http.Request, p httprouter.Params) error {
		c := &call{d: d, w: w, r: r, params: p, alias: rt.alias}
		if err := c.enter(rt.who, rt.rate); err != nil {
			return err
		}
		return rt.do(c)
	})
}

// call is one request on its way through the dialect.
type call struct {
	d      *Dialect
	w      http.ResponseWriter
	r      *http.Request
	params httprouter.Params
	alias  bool        // an alias route: all URLs are absolute
	caller node.Caller // zero: nobody
	unsure error       // why it is not known whether the key is good; reads only
}

// service is what decides.
func (c *call) service() *node.Service { return c.d.s }

// now is the node's clock: what expiry is judged by.
func (c *call) now() time.Time { return time.UnixMilli(c.service().Now()).UTC() }
