package web_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/julienschmidt/httprouter"

	"ringbin/api/web"
	"ringbin/storage"
)

// testRouter answers with the pattern that matched and its parameters.
func testRouter() *web.Router {
	rt := web.NewRouter("test", func(w http.ResponseWriter, _ *http.Request, err error) {
		w.WriteHeader(web.StatusOf(err))
		_, _ = io.WriteString(w, storage.CodeOf(err))
	}, func(w http.ResponseWriter, _ *http.Request, allow []string) {
		w.Header().Set("X-Allow", strings.Join(allow, "+"))
		w.WriteHeader(http.StatusNoContent)
	})
	for _, route := range []string{
		"GET /:file", "GET /livez", "GET /b", "POST /b", "GET /b/:id", "DELETE /b/:id", "GET /b/latest", "GET /b/:id/meta/name",
		"GET /b/:id/meta", "GET /b/:id/:version", "GET /c/:coll/:id/:part", "PUT /k/:key/x", "POST /fails",
	} {
		method, pattern, _ := strings.Cut(route, " ")
		rt.Handle(method, pattern, func(w http.ResponseWriter, _ *http.Request, p httprouter.Params) error {
			if pattern == "/fails" {
				return storage.E("x", storage.KindPayment, nil)
			}
			var values []string
			for _, v := range p {
				values = append(values, v.Value)
			}
			_, err := fmt.Fprintf(w, "%s %q", pattern, values)
			return err
		})
	}
	return rt
}

func TestRouter(t *testing.T) {
	t.Parallel()
	rt := testRouter()
	for _, tt := range []struct {
		method, target string
		status         int
		body, allow    string
	}{
		{"GET", "/livez", 200, `/livez []`, ""},
		{"GET", "/anything", 200, `/:file ["anything"]`, ""},
		{"GET", "/b", 200, `/b []`, ""},
		{"GET", "/b/latest", 200, `/b/latest []`, ""}, // a literal goes before a parameter
		{"GET", "/b/latest/", 404, "endpoint_not_found", ""},
		{"GET", "/b/5", 200, `/b/:id ["5"]`, ""},
		{"GET", "/b/5/meta", 200, `/b/:id/meta ["5"]`, ""},
		{"GET", "/b/5/7", 200, `/b/:id/:version ["5" "7"]`, ""},
		{"GET", "/b/5/meta/name", 200, `/b/:id/meta/name ["5"]`, ""},
		{"GET", "/c/1/2/3", 200, `/c/:coll/:id/:part ["1" "2" "3"]`, ""},
		{"HEAD", "/b/5", 200, `/b/:id ["5"]`, ""}, // as GET; the server cuts the body
		{"HEAD", "/k/1/x", 405, "", "PUT, OPTIONS"},
		{"PUT", "/b", 405, "", "GET, HEAD, POST, OPTIONS"},
		{"PUT", "/b/5", 405, "", "DELETE, GET, HEAD, OPTIONS"},
		{"DELETE", "/b/latest", 200, `/b/:id ["latest"]`, ""}, // the parameter's route has the method
		{"PUT", "/b/latest", 405, "", "DELETE, GET, HEAD, OPTIONS"},
		{"OPTIONS", "/b/5", 204, "", "DELETE, GET, HEAD, OPTIONS"},
		{"OPTIONS", "/x/y/z", 404, "endpoint_not_found", ""},
		{"BREW", "/b", 405, "", "GET, HEAD, POST, OPTIONS"},
		{"POST", "/fails", 402, "", ""},
		{"GET", "/", 404, "endpoint_not_found", ""},
		{"GET", "/b/", 404, "endpoint_not_found", ""},
		{"GET", "/livez/", 404, "endpoint_not_found", ""},
		{"GET", "/b//meta", 404, "endpoint_not_found", ""},
		{"GET", "/B", 200, `/:file ["B"]`, ""},
		{"GET", "/b/../livez", 200, `/b/:id/:version [".." "livez"]`, ""}, // paths are taken as they are
		{"GET", "/b/a%2Fb", 200, `/b/:id ["a/b"]`, ""},
		{"GET", "/b/a%252Fb", 200, `/b/:id ["a%2Fb"]`, ""},
		{"GET", "/b/a%2Fb/100%25", 200, `/b/:id/:version ["a/b" "100%"]`, ""},
		{"GET", "/%62/5", 200, `/b/:id ["5"]`, ""},
		{"GET", "/b/%C3%A9", 200, `/b/:id ["é"]`, ""},
	} {
		t.Run(tt.method+" "+tt.target, func(t *testing.T) {
			t.Parallel()
			w := httptest.NewRecorder()
			rt.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), tt.method, tt.target, http.NoBody))
			if w.Code != tt.status || w.Body.String() != tt.body || w.Header().Get("Allow") != tt.allow {
				t.Errorf("%d %s Allow: %s", w.Code, w.Body, w.Header().Get("Allow"))
			}
			if tt.status == http.StatusNoContent && w.Header().Get("X-Allow") != strings.ReplaceAll(tt.allow, ", ", "+") {
				t.Errorf("OPTIONS was told %s", w.Header().Get("X-Allow"))
			}
		})
	}
}

// What the layers around a handler learn: never a path with a secret in it.
func TestRouterRecords(t *testing.T) {
	t.Parallel()
	rt := testRouter()
	for target, want := range map[string]web.Record{
		"GET /b/5":         {Dialect: "test", Route: "/b/:id", Path: "/b/5"},
		"PUT /k/SECRET/x":  {Dialect: "test", Route: "/k/:key/x"},
		"GET /k/SECRET/xy": {Dialect: "test"},
		"GET /x/SECRET":    {Dialect: "test"},
	} {
		method, path, _ := strings.Cut(target, " ")
		ctx, rec := web.WithRecord(t.Context())
		rt.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(ctx, method, path, http.NoBody))
		if rec.Render == nil {
			t.Errorf("%s: no renderer", target)
		}
		got := web.Record{Dialect: rec.Dialect, Route: rec.Route, Path: rec.Path}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s: %s", target, d)
		}
	}
}

// A handler that fails after its first byte costs the connection.
func TestRouterCutsWhatFailsLate(t *testing.T) {
	t.Parallel()
	rt := testRouter()
	rt.Handle(http.MethodGet, "/late/x", func(w http.ResponseWriter, _ *http.Request, _ httprouter.Params) error {
		_, _ = io.WriteString(w, "half")
		return io.ErrUnexpectedEOF
	})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, _ := web.WithRecord(r.Context())
		r = r.WithContext(ctx)
		rt.ServeHTTP(web.Track(w, r), r)
	}))
	defer s.Close()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+"/late/x", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := s.Client().Do(req)
	if err != nil {
		return // cut before the header was flushed
	}
	defer func() { _ = resp.Body.Close() }()
	if b, err := io.ReadAll(resp.Body); err == nil {
		t.Errorf("a whole answer: %q", b)
	}
}

func TestRouterRefusesTooManyParameters(t *testing.T) {
	t.Parallel()
	defer func() {
		if recover() == nil {
			t.Error("four parameters were taken")
		}
	}()
	testRouter().Handle(http.MethodGet, "/a/:b/:c/:d/:e", nil)
}

// A dialect may let a path end in one slash more, and a literal hide the
// parameters beside it.
func TestRouterOptions(t *testing.T) {
	t.Parallel()
	rt := testRouter()
	rt.TrailingSlash, rt.LiteralsOnly = true, true
	for _, tt := range []struct {
		method, target string
		status         int
		body, allow    string
	}{
		{"GET", "/b/5/", 200, `/b/:id ["5"]`, ""},
		{"GET", "/b/5//", 404, "endpoint_not_found", ""},
		{"GET", "/b/", 200, `/b []`, ""},
		{"GET", "//", 404, "endpoint_not_found", ""},
		{"GET", "/b/a%2F/", 200, `/b/:id ["a/"]`, ""},
		{"GET", "/b/latest", 200, `/b/latest []`, ""},
		{"DELETE", "/b/latest", 405, "", "GET, HEAD, OPTIONS"},
		{"DELETE", "/b/5", 200, `/b/:id ["5"]`, ""},
		{"GET", "/b/5/7", 200, `/b/:id/:version ["5" "7"]`, ""},
		{"PUT", "/b/5/meta", 405, "", "GET, HEAD, OPTIONS"},
		{"HEAD", "/b/latest/", 200, `/b/latest []`, ""},
		{"OPTIONS", "/b/latest/", 204, "", "GET, HEAD, OPTIONS"},
		{"POST", "/anything", 405, "", "GET, HEAD, OPTIONS"},
		{"GET", "/x/y/z", 404, "endpoint_not_found", ""},
	} {
		t.Run(tt.method+" "+tt.target, func(t *testing.T) {
			t.Parallel()
			w := httptest.NewRecorder()
			rt.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), tt.method, tt.target, http.NoBody))
			if w.Code != tt.status || w.Body.String() != tt.body || w.Header().Get("Allow") != tt.allow {
				t.Errorf("%d %s Allow: %s", w.Code, w.Body, w.Header().Get("Allow"))
			}
		})
	}
}
