// Package hashbin is the HashBin API: content by CID, API keys, prepaid
// balance. It reads credentials and requests, calls node.Service, and renders
// answers. Prices, limits and expiry are decided there, never here.
package hashbin

import (
	_ "embed"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/julienschmidt/httprouter"

	"ringbin/api/web"
	"ringbin/node"
	"ringbin/storage"
)

// OpenAPI is the contract of this API, as it is served.
//
//go:embed openapi.yaml
var OpenAPI []byte

// dialect answers HashBin's requests on one node.
type dialect struct {
	s *node.Service
	// private: the routes are on the admin port, where the operator's
	// endpoints can't be switched off.
	private bool
}

// New returns the routes of HashBin: all of /api/ that is no other dialect's,
// and content at the root. It answers for unknown paths, too.
func New(s *node.Service) *web.Router {
	d := &dialect{s: s}
	rt := web.NewRouter(node.APIHashBin, WriteError, d.options)
	d.accountRoutes(rt)
	d.contentRoutes(rt)
	d.operatorRoutes(rt)
	return rt
}

// NewOperator returns the operator's endpoints alone, for the admin port: what
// was switched off on the public port can be switched on again there.
func NewOperator(s *node.Service) *web.Router {
	d := &dialect{s: s, private: true}
	rt := web.NewRouter(node.APIHashBin, WriteError, d.options)
	d.operatorRoutes(rt)
	return rt
}

func (d *dialect) accountRoutes(rt *web.Router) {
	rt.Handle(http.MethodGet, "/api/auth/session", d.asCaller(d.session))
	rt.Handle(http.MethodGet, "/api/auth/apikeys", d.asCaller(d.listKeys))
	rt.Handle(http.MethodPost, "/api/auth/apikeys", d.asCaller(d.createKey))
	rt.Handle(http.MethodDelete, "/api/auth/apikeys/:id", d.asCaller(d.revokeKey))
	rt.Handle(http.MethodGet, "/api/balance", d.asCaller(d.balance))
	rt.Handle(http.MethodGet, "/api/balance/history", d.asCaller(d.history))
	rt.Handle(http.MethodGet, "/api/payments/calculate", d.asPublic(d.calculateQuery))
	rt.Handle(http.MethodPost, "/api/payments/calculate", d.asPublic(d.calculateBody))
}

func (d *dialect) contentRoutes(rt *web.Router) {
	rt.Handle(http.MethodPost, "/api/content", d.asCaller(d.upload))
	rt.Handle(http.MethodGet, "/api/content", d.asCaller(d.list))
	rt.Handle(http.MethodPost, "/api/content/:cid/extend", d.asCaller(d.extend))
	rt.Handle(http.MethodDelete, "/api/content/:cid", d.asCaller(d.remove))
	rt.Handle(http.MethodGet, "/api/content/:cid", open(d.asPublic(d.read)))
	rt.Handle(http.MethodGet, "/api/content/:cid/metadata", open(d.asPublic(d.metadata)))
	rt.Handle(http.MethodGet, "/api/content/:cid/exists", open(d.asPublic(d.exists)))
	rt.Handle(http.MethodGet, "/:file", open(d.asPublic(d.readRoot)))
}

func (d *dialect) operatorRoutes(rt *web.Router) {
	rt.Handle(http.MethodPost, "/api/admin/accounts", d.asOperator(d.createAccount))
	rt.Handle(http.MethodGet, "/api/admin/accounts", d.asOperator(d.listAccounts))
	rt.Handle(http.MethodPatch, "/api/admin/accounts/:id", d.asOperator(d.updateAccount))
	rt.Handle(http.MethodPost, "/api/admin/accounts/:id/deposit", d.asOperator(d.deposit))
	rt.Handle(http.MethodPost, "/api/admin/accounts/:id/apikeys", d.asOperator(d.createKeyFor))
	rt.Handle(http.MethodDelete, "/api/admin/content/:cid", d.asOperator(d.blockContent))
	rt.Handle(http.MethodGet, "/api/admin/takedowns", d.asOperator(d.takedowns))
	rt.Handle(http.MethodGet, "/api/admin/settings", d.asOperator(d.settings))
	rt.Handle(http.MethodPatch, "/api/admin/settings", d.asOperator(d.setSettings))
	rt.Handle(http.MethodGet, "/api/admin/cluster", d.asOperator(d.clusterStatus))
	rt.Handle(http.MethodDelete, "/api/admin/cluster/nodes/:id", d.asOperator(d.removeNode))
	rt.Handle(http.MethodPost, "/api/admin/cluster/nodes/:id/leave", d.asOperator(d.leave))
	rt.Handle(http.MethodDelete, "/api/admin/cluster/nodes/:id/leave", d.asOperator(d.abortLeave))
	rt.Handle(http.MethodPost, "/api/admin/cluster/moves", d.asOperator(d.holdMoves))
	rt.Handle(http.MethodGet, "/api/admin/backup/snapshot", d.asOperator(d.snapshot))
	rt.Handle(http.MethodGet, "/api/admin/backup/blobs/:cid", d.asOperator(d.storedBlob))
}

// open is for what any origin may read, errors included.
func open(h web.Handler) web.Handler {
	return func(w http.ResponseWriter, r *http.Request, p httprouter.Params) error {
		setOpen(w.Header())
		return h(w, r, p)
	}
}

// Header values that are the same in all answers; nobody changes them.
var (
	anyOrigin = []string{"*"}
	exposed   = []string{"Content-Length, Content-Range, ETag, X-Request-Id"}
	sandboxed = []string{"default-src 'none'; sandbox"}
)

func setOpen(h http.Header) {
	h["Access-Control-Allow-Origin"] = anyOrigin
	h["Access-Control-Expose-Headers"] = exposed
	h["Content-Security-Policy"] = sandboxed
}

// options answers OPTIONS: what any origin may read, and, for origins that the
// operator lists, everything else.
func (d *dialect) options(w http.ResponseWriter, r *http.Request, allow []string) {
	h := w.Header()
	switch {
	case isPublicRead(r.URL):
		setOpen(h)
		h.Set("Access-Control-Allow-Methods", "GET, HEAD, OPTIONS")
		h.Set("Access-Control-Allow-Headers", "Range, If-Range, If-None-Match, If-Match")
		h.Set("Access-Control-Max-Age", "86400")
	case d.listed(w, r):
		h.Set("Access-Control-Allow-Methods", strings.Join(allow, ", "))
		h.Set("Access-Control-Allow-Headers",
			"Authorization, Content-Type, Idempotency-Key, X-API-Key, X-Admin-Token, X-Content-Hash, X-Request-Id, X-Retention-Days")
		h.Set("Access-Control-Max-Age", "86400")
	}
	w.WriteHeader(http.StatusNoContent)
}

func isPublicRead(u *url.URL) bool {
	rest, ok := strings.CutPrefix(u.Path, "/api/content/")
	if !ok {
		return !strings.HasPrefix(u.Path, "/api/")
	}
	_, sub, _ := strings.Cut(rest, "/")
	return sub == "" || sub == "metadata" || sub == "exists"
}

// listed lets an origin in that the operator lists.
func (d *dialect) listed(w http.ResponseWriter, r *http.Request) bool {
	origins := d.s.Settings().CORSOrigins
	if len(origins) == 0 {
		return false
	}
	h := w.Header()
	h.Add("Vary", "Origin")
	origin := r.Header.Get("Origin")
	if origin == "" || !slices.Contains(origins, origin) {
		return false
	}
	h.Set("Access-Control-Allow-Origin", origin)
	h.Set("Access-Control-Expose-Headers", "Content-Length, Idempotency-Replayed, RateLimit-Limit, RateLimit-Remaining, RateLimit-Reset, Retry-After, X-Outcome, X-Request-Id")
	return true
}

// pathCID reads the CID of a path.
func pathCID(p httprouter.Params) (storage.CID, error) {
	cid, err := storage.ParseCID(p.ByName("cid"))
	if err != nil {
		e := storage.Invalid("hashbin.pathCID", "invalid_cid", "cid", "")
		if reason, ok := err.(storage.CIDError); ok { //nolint:errorlint // ParseCID returns it bare
			e.Details["cid"] = string(reason)
		}
		return cid, e
	}
	return cid, nil
}
