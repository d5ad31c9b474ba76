// Package api mounts the dialects on a node's ports, and puts around them what
// all requests have in common: request ids, the access log, the panic trap,
// limits, security headers, health and metrics.
package api

import (
	"net/http"
	"net/http/pprof"

	"github.com/julienschmidt/httprouter"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"ringbin/api/hashbin"
	"ringbin/api/web"
	"ringbin/node"
)

// New makes the HTTP faces of a node.
func New(s *node.Service) node.Handlers {
	return node.Handlers{Public: newFront(s, publicRoutes(s)), Admin: adminRoutes(s)}
}

// publicRoutes are the dialects' and the node's own, on one root.
func publicRoutes(s *node.Service) http.Handler {
	rt := hashbin.New(s)
	for path, h := range healthRoutes(s) {
		rt.Handle(http.MethodGet, path, func(w http.ResponseWriter, r *http.Request, _ httprouter.Params) error {
			return h(w, r)
		})
	}
	rt.Handle(http.MethodGet, "/openapi/hashbin.yaml", func(w http.ResponseWriter, _ *http.Request, _ httprouter.Params) error {
		h := w.Header()
		h.Set("Content-Type", "application/yaml")
		h.Set("Access-Control-Allow-Origin", "*")
		_, err := w.Write(hashbin.OpenAPI)
		return err
	})
	return rt
}

type plainHandler func(w http.ResponseWriter, r *http.Request) error

// healthRoutes tell supervisors, balancers and people how the node is.
func healthRoutes(s *node.Service) map[string]plainHandler {
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
			return health(h.Ready, w, h)
		},
	}
}

// adminRoutes are for the operator's own network: there is no authentication.
func adminRoutes(s *node.Service) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(s.Metrics(), promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	for path, h := range healthRoutes(s) {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) { _ = h(w, r) })
	}
	return mux
}
