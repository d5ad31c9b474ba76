package jsonbin

import (
	_ "embed"
	"net/http"
	"strings"

	"github.com/julienschmidt/httprouter"

	"ringbin/api/web"
	"ringbin/node"
)

// OpenAPI is the contract of this API, as it is served.
//
//go:embed openapi.yaml
var OpenAPI []byte

// Dialect answers JSONBin's requests on one node.
type Dialect struct {
	s      *node.Service
	router *web.Router
}

// New returns JSONBin, which answers for all paths under /v3.
func New(s *node.Service) *Dialect {
	d := &Dialect{s: s}
	// OPTIONS is answered before the router is asked.
	d.router = web.NewRouter(node.APIJSONBin, d.WriteError, nil)
	d.router.TrailingSlash, d.router.LiteralsOnly = true, true
	for _, rt := range routes() {
		d.router.Handle(rt.method, rt.pattern, func(w http.ResponseWriter, r *http.Request, p httprouter.Params) error {
			c := &call{s: s, w: w, r: r, params: p, keys: rt.keys, settings: s.Settings().JSONBin}
			return rt.do(c)
		})
	}
	return d
}

// Routes lists the routes of JSONBin.
func Routes() []web.Route {
	var all []web.Route
	for _, rt := range routes() {
		all = append(all, web.Route{Method: rt.method, Pattern: rt.pattern})
	}
	return all
}

// ServeHTTP answers a request. Paths are matched in lower case: their words are
// known in any, and ids and numbers have no other.
func (d *Dialect) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	setOrigin(h)
	h.Set("Cache-Control", "no-store")
	if r.Method == http.MethodOptions {
		web.RecordOf(r).Dialect = node.APIJSONBin
		h.Del("Cache-Control")
		preflight(w, r)
		return
	}
	lower, u := *r, *r.URL
	u.Path, u.RawPath = strings.ToLower(u.Path), strings.ToLower(u.RawPath)
	lower.URL = &u
	d.router.ServeHTTP(w, &lower)
}

// route is one method of one path.
type route struct {
	method, pattern string
	keys            keyTexts
	do              func(*call) error
}

const (
	get  = http.MethodGet
	post = http.MethodPost
	put  = http.MethodPut
	del  = http.MethodDelete
)

// routes are all routes. The router sorts them: literals go before parameters.
func routes() []route {
	return []route{
		{get, "/v3/a", keysList, (*call).listAccessKeys},
		{post, "/v3/a", keysMake, (*call).createAccessKey},
		{put, "/v3/a/:id", keysMake, (*call).updateAccessKey},
		{del, "/v3/a/:id", keysDelete, (*call).deleteAccessKey},
		{del, "/v3/a", keysDelete, (*call).deleteAccessKey},
		{post, "/v3/b", binCreate, (*call).createBin},
		{get, "/v3/b/:id", binRead, (*call).readBin},
		{get, "/v3/b/:id/:version", binRead, (*call).readBin},
		{put, "/v3/b/:id", binUpdate, (*call).updateBin},
		{del, "/v3/b/:id", binDelete, (*call).deleteBin},
		{get, "/v3/b/:id/latest", binRead, (*call).readLatest},
		{get, "/v3/b/:id/versions/count", binCount, (*call).countVersions},
		{del, "/v3/b/:id/versions", masterOnly, (*call).deleteVersions},
		{put, "/v3/b/:id/meta/privacy", masterOnly, (*call).setPrivacy},
		{put, "/v3/b/:id/meta/name", masterOnly, (*call).renameBin},
		{post, "/v3/c", masterOnly, (*call).createCollection},
		{get, "/v3/c", masterOnly, (*call).listCollections},
		{get, "/v3/c/:id", masterOnly, (*call).readCollection},
		{del, "/v3/c/:id", masterOnly, (*call).deleteCollection},
		{put, "/v3/c/:id/meta/name", masterOnly, (*call).renameCollection},
		{put, "/v3/c/:id/schemadoc/add", masterOnly, (*call).attachSchema},
		{put, "/v3/c/:id/schemadoc/remove", masterOnly, (*call).detachSchema},
		{get, "/v3/c/:id/bins", masterOnly, (*call).listBins},
		{get, "/v3/c/:id/bins/:last", masterOnly, (*call).listBins},
		{post, "/v3/s", masterOnly, (*call).createSchemaDoc},
		{get, "/v3/s/:id", masterOnly, (*call).readSchemaDoc},
		{put, "/v3/s/:id", masterOnly, (*call).updateSchemaDoc},
		{put, "/v3/s/:id/meta/name", masterOnly, (*call).renameSchemaDoc},
		{post, "/v3/x/master-key", masterOnly, (*call).rotateMasterKey},
	}
}
