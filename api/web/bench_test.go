package web_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/julienschmidt/httprouter"

	"ringbin/api/web"
)

// nowhere is a ResponseWriter that costs nothing.
type nowhere struct{ header http.Header }

func (n nowhere) Header() http.Header       { return n.header }
func (nowhere) Write(p []byte) (int, error) { return len(p), nil }
func (nowhere) WriteHeader(int)             {}

// BenchmarkRouter is what finding a route costs, beside the record that each
// request has.
func BenchmarkRouter(b *testing.B) {
	rt := web.NewRouter("bench", func(http.ResponseWriter, *http.Request, error) { b.Error("no route") }, nil)
	for _, pattern := range []string{"/:file", "/livez", "/b", "/b/:id", "/b/latest", "/b/:id/meta", "/b/:id/:version", "/c/:coll/:id/:part"} {
		rt.Handle(http.MethodGet, pattern, func(http.ResponseWriter, *http.Request, httprouter.Params) error { return nil })
	}
	for name, path := range map[string]string{"Literal": "/livez", "Parameter": "/b/5", "Deepest": "/c/1/2/3", "RootParameter": "/file"} {
		b.Run(name, func(b *testing.B) {
			r := httptest.NewRequestWithContext(b.Context(), http.MethodGet, path, http.NoBody)
			ctx, _ := web.WithRecord(r.Context())
			r = r.WithContext(ctx)
			w := nowhere{header: http.Header{}}
			for b.Loop() {
				rt.ServeHTTP(w, r)
			}
		})
	}
}
