// Package api mounts the dialects on a node's ports, and puts around them what
// all requests have in common: request ids, the access log, the panic trap,
// limits, security headers, health and metrics.
package api

import (
	"net/http"
	"net/http/pprof"
	"strings"

	"github.com/julienschmidt/httprouter"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"ringbin/api/hashbin"
	"ringbin/api/jsonbin"
	"ringbin/api/paste69"
	"ringbin/api/pastewizard"
	"ringbin/api/web"
	"ringbin/node"
	"ringbin/storage"
)

// New makes the HTTP faces of a node.
func New(s *node.Service) node.Handlers {
	rt := publicRoutes(s)
	public := newFront(s, rt, rt.writeError)
	return node.Handlers{Public: public, Admin: adminRoutes(s, public.before(hashbin.NewOperator(s), hashbin.WriteError))}
}

// root is the dialects and the node's own routes, on one root.
type root struct {
	hashbin *web.Router // with the node's own routes
	paste69 *paste69.Dialect
	jsonbin *jsonbin.Dialect
	wizard  *pastewizard.Dialect
}

func publicRoutes(s *node.Service) *root {
	rt := hashbin.New(s)
	for path, h := range healthRoutes(s, codesOnly) {
		rt.Handle(http.MethodGet, path, func(w http.ResponseWriter, r *http.Request, _ httprouter.Params) error {
			return h(w, r)
		})
	}
	for name, document := range map[string][]byte{
		node.APIHashBin: hashbin.OpenAPI, node.APIPaste69: paste69.OpenAPI, node.APIJSONBin: jsonbin.OpenAPI,
		node.APIPasteWizard: pastewizard.OpenAPI,
	} {
		rt.Handle(http.MethodGet, "/openapi/"+name+".yaml", func(w http.ResponseWriter, _ *http.Request, _ httprouter.Params) error {
			h := w.Header()
			h.Set("Content-Type", "application/yaml")
			h.Set("Access-Control-Allow-Origin", "*")
			_, err := w.Write(document)
			return err
		})
	}
	others := append(rt.Routes(), pastewizard.PageRoutes()...)
	return &root{hashbin: rt, paste69: paste69.New(s, others), jsonbin: jsonbin.New(s), wizard: pastewizard.New(s)}
}

// ServeHTTP hands a request to whose path it is.
func (rt *root) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case isJSONBin(r.URL.Path):
		rt.jsonbin.ServeHTTP(w, r)
	case pastewizard.IsAPI(r.URL.Path):
		rt.wizard.ServeHTTP(w, r)
	case pastewizard.IsPage(r.URL.Path), rt.wizard.ClaimsPaste(r):
		rt.wizard.ServePage(w, r)
	case isPaste69(r.URL.Path):
		rt.paste69.ServeHTTP(w, r)
	default:
		rt.hashbin.ServeHTTP(w, r)
	}
}

// writeError is for what fails before anybody has the request. Nobody asks then
// whose id it is that /p/:id names.
func (rt *root) writeError(w http.ResponseWriter, r *http.Request, err error) {
	switch {
	case isJSONBin(r.URL.Path):
		rt.jsonbin.WriteError(w, r, err)
	case pastewizard.IsAPI(r.URL.Path):
		rt.wizard.WriteError(w, r, err)
	case pastewizard.IsPage(r.URL.Path):
		rt.wizard.WritePageError(w, r, err)
	case isPaste69(r.URL.Path):
		rt.paste69.WriteError(w, r, err)
	default:
		hashbin.WriteError(w, r, err)
	}
}

// isJSONBin is for /v3 and all below it.
func isJSONBin(path string) bool {
	first, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	return first == "v3"
}

// isPaste69 is for all of the root but other dialects' places, the node's own
// routes, and content by its CID.
func isPaste69(path string) bool {
	first, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	switch first {
	case "api", "v3", "livez", "readyz", "healthz", "openapi":
		return false
	}
	name, _, _ := strings.Cut(first, ".")
	_, err := storage.ParseCID(name)
	return err != nil
}

type plainHandler func(w http.ResponseWriter, r *http.Request) error

// codesOnly is how a node is, as anybody may know it: texts and numbers tell of
// the cluster's inside and stay on the admin port.
func codesOnly(h node.Health) any {
	codes := make([]string, 0, len(h.Reasons))
	for _, r := range h.Reasons {
		codes = append(codes, r.Code)
	}
	return struct {
		Status  string   `json:"status"`
		Ready   bool     `json:"ready"`
		Reasons []string `json:"reasons"`
	}{h.Status, h.Ready, codes}
}

func inFull(h node.Health) any { return h }

// healthRoutes tell supervisors, balancers and people how the node is.
func healthRoutes(s *node.Service, render func(node.Health) any) map[string]plainHandler {
	health := func(ready bool, w http.ResponseWriter, v any) error {
		w.Header().Set("Cache-Control", "no-store")
		if ready {
			return web.WriteJSON(w, http.StatusOK, v)
		}
		return web.WriteJSON(w, http.StatusServiceUnavailable, v)
	}
	return map[string]plainHandler{
		// A process that answers lives: nothing else should make it be restarted.
		"/livez": func(w http.ResponseWriter, _ *http.Request) error {
			return health(true, w, map[string]bool{"live": true})
		},
		"/readyz": func(w http.ResponseWriter, _ *http.Request) error {
			ready := s.Ready()
			return health(ready, w, map[string]bool{"ready": ready})
		},
		"/healthz": func(w http.ResponseWriter, _ *http.Request) error {
			h := s.Health()
			return health(h.Ready, w, render(h))
		},
	}
}

// adminRoutes are for the operator's own network: there is no authentication,
// but for the operator's endpoints, which can change things.
func adminRoutes(s *node.Service, operator http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/api/admin/", operator)
	mux.Handle("GET /metrics", promhttp.HandlerFor(s.Metrics(), promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	for path, h := range healthRoutes(s, inFull) {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) { _ = h(w, r) })
	}
	return mux
}
