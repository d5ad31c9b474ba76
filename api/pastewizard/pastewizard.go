package pastewizard

import (
	_ "embed"
	"net/http"
	"slices"
	"strings"

	"ringbin/api/highlight"
	"ringbin/api/web"
	"ringbin/node"
	"ringbin/storage"
)

// OpenAPI is the contract of this API, as it is served.
//
//go:embed openapi.yaml
var OpenAPI []byte

// Dialect answers PasteWizard's requests on one node.
type Dialect struct {
	s          *node.Service
	pageRouter *web.Router
	pages      *pages
	shown      *highlight.Room // for contents that are shown
}

// New returns PasteWizard, which answers for all paths under /api/v1, and for
// its pages.
func New(s *node.Service) *Dialect {
	s.SetLanguageGuess(guessLanguage)
	pages, err := newPages(highlight.New(highlight.TimeMax))
	if err != nil {
		panic(err) // the templates are part of the program
	}
	d := &Dialect{s: s, pages: pages, shown: highlight.NewRoom()}
	d.pageRouter = d.newPageRouter()
	return d
}

// endpoint is one path of the API.
type endpoint struct {
	name    string // behind the prefix
	methods []string
	scope   string
	do      func(*call) error
}

// Methods that an endpoint has; HEAD comes with GET. OPTIONS is answered on any
// path.
var (
	reads  = []string{http.MethodGet, http.MethodHead, http.MethodPost}
	writes = []string{http.MethodPost}
	lists  = []string{http.MethodGet, http.MethodHead}
)

func endpoints() []endpoint {
	return []endpoint{
		{"paste.php", reads, node.TokenRead, (*call).readPaste},
		{"raw.php", reads, node.TokenRead, (*call).rawPaste},
		{"paste_create.php", writes, node.TokenWrite, (*call).createPaste},
		{"paste_edit.php", writes, node.TokenWrite, (*call).editPaste},
		{"paste_delete.php", writes, node.TokenWrite, (*call).deletePaste},
		{"tokens.php", lists, node.TokenAdmin, (*call).listTokens},
		{"token_create.php", writes, node.TokenAdmin, (*call).createToken},
		{"token_edit.php", writes, node.TokenAdmin, (*call).editToken},
		{"token_revoke.php", writes, node.TokenAdmin, (*call).revokeToken},
		{"logs.php", lists, node.TokenAdmin, (*call).listLogs},
	}
}

// Routes lists the routes of the API.
func Routes() []web.Route {
	var all []web.Route
	for _, e := range endpoints() {
		for _, method := range e.methods {
			if method != http.MethodHead {
				all = append(all, web.Route{Method: method, Pattern: apiPrefix + e.name})
			}
		}
	}
	return all
}

// find returns the endpoint of a path.
func find(path string) (e endpoint, known bool) {
	name, ok := strings.CutPrefix(path, apiPrefix)
	all := endpoints()
	i := slices.IndexFunc(all, func(e endpoint) bool { return e.name == name })
	if !ok || i < 0 {
		return endpoint{}, false
	}
	return all[i], true
}

// ServeHTTP answers a request of the API.
func (d *Dialect) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	rec := web.RecordOf(r)
	rec.Dialect, rec.Render = node.APIPasteWizard, d.WriteError
	d.setHeaders(w.Header())
	if r.Method == http.MethodOptions {
		d.preflight(w)
		return
	}
	c := &call{d: d, w: w, r: r, settings: d.s.Settings().PasteWizard, query: parseForm(r.URL.RawQuery)}
	c.endpoint, c.known = find(r.URL.Path)
	if c.known {
		rec.Route = apiPrefix + c.endpoint.name
	}
	defer c.close()
	err := c.run() //nolint:contextcheck // the request that c is has it
	if err == nil {
		return
	}
	rec.Err = err
	if sent, ok := w.(*web.Response); ok && sent.Status() != 0 {
		panic(http.ErrAbortHandler) // what failed after its first byte can't be taken back
	}
	d.WriteError(w, r, err)
}

// run takes a request through the checks, in the order of the contract, and then
// does it.
func (c *call) run() error {
	if err := c.enter(); err != nil {
		return err
	}
	if !c.known {
		return &storage.Error{Op: "pastewizard.run", Kind: storage.KindNotFound, Code: web.CodeEndpointNotFound}
	}
	if !slices.Contains(c.endpoint.methods, c.r.Method) {
		c.w.Header().Set("Allow", strings.Join(append(slices.Clone(c.endpoint.methods), http.MethodOptions), ", "))
		return web.ErrMethodNotAllowed
	}
	if !c.caller.Can(c.endpoint.scope) {
		return refused(storage.KindForbidden, insufficientScope)
	}
	c.fields = c.query
	if c.r.Method == http.MethodPost {
		var err error
		if c.fields, err = c.body(); err != nil {
			return err
		}
	}
	return c.endpoint.do(c)
}
