package api

import (
	"net/http"
	"strings"
	"testing"

	"ringbin/api/paste69"
	"ringbin/api/pastewizard"
	"ringbin/storage"
)

// Who answers what is decided by the first segment alone.
func TestWhoAnswersWhat(t *testing.T) {
	t.Parallel()
	long := storage.SumCID([]byte(strings.Repeat("a", 100))).String()
	for path, want := range map[string]bool{
		"/": true, "/p": true, "/abc12345": true, "/abc12345.txt": true, "/u/abc123": true, "/a/b/c/d": true, "/docs": true,
		"/assets/x.css": true, "/favicon.ico": true, "/apis": true, "/API/balance": true, "*": true, "/livez.txt": true,
		"/api/balance": false, "/api": false, "/api/": false, "/livez": false, "/readyz": false, "/healthz": false,
		"/openapi/paste69.yaml": false, "/v3/b": false, "/AAAAAAAA": false, "/AAAAAAAA.txt": false, "/AAAAAAAA/x": false,
		"/" + long: false, "/" + long + ".tar.gz": false, "/" + long[1:]: true,
	} {
		if isPaste69(path) != want {
			t.Errorf("%s is Paste69's: %t", path, !want)
		}
	}
}

// What is unknown, not allowed or too much is answered in the path's own dialect.
func TestDialectsOnOneRoot(t *testing.T) {
	t.Parallel()
	n, _ := openNode(t)
	public := "http://" + n.Addresses().HTTP
	for _, tt := range []struct {
		method, path string
		status       int
		body         string
	}{
		{http.MethodGet, "/api/nothing", 404, `"code":"endpoint_not_found"`},
		{http.MethodGet, "/a/b/c/d", 404, `{"success":false,"error":"Not found"}`},
		{http.MethodPost, "/AAAAAAAA", 405, `"code":"method_not_allowed"`},
		{http.MethodPut, "/p", 405, `{"success":false,"error":"Method Not Allowed"}`},
		{http.MethodGet, "/AAAAAAAB", 404, `{"success":false,"error":"Paste not found or expired"}`},
		{http.MethodPost, "/livez", 405, `"code":"method_not_allowed"`},
		{http.MethodGet, "/openapi/paste69.yaml", 200, string(paste69.OpenAPI)},
		{http.MethodGet, "/openapi/pastewizard.yaml", 200, string(pastewizard.OpenAPI)},
		{http.MethodGet, "/api/v1", 401, `{"ok":false,"error":"Missing API token"}`},
		{http.MethodGet, "/api/v1/nothing", 401, `{"ok":false,"error":"Missing API token"}`},
		{http.MethodGet, "/api/v10/nothing", 404, `"code":"endpoint_not_found"`},
		{http.MethodGet, "/login", 200, "<!doctype html>"},
		{http.MethodGet, "/login/", 404, `{"success":false,"error":"Paste not found or expired"}`},
		{http.MethodGet, "/s/abcdef", 404, "<!doctype html>"},
		{http.MethodGet, "/s/abc/def", 404, `{"success":false,"error":"Not found"}`},
		{http.MethodGet, "/p/abcdefgh", 404, `{"success":false,"error":"Paste not found or expired"}`},
	} {
		if a := request(t, tt.method, public+tt.path, ""); a.status != tt.status || !strings.Contains(a.body, tt.body) {
			t.Errorf("%s %s: %d %.200s", tt.method, tt.path, a.status, a.body)
		}
	}
}

// A node that has too much to do says so in the path's own dialect.
func TestOverloadedInEachDialect(t *testing.T) {
	t.Parallel()
	n, _ := openNode(t)
	rt := &root{paste69: &paste69.Dialect{}, wizard: pastewizard.New(n.Service())}
	f, _, _ := testFront(t)
	f.render = rt.writeError
	f.next = http.NotFoundHandler()
	f.places <- struct{}{} // the one place is taken
	for path, want := range map[string]string{
		"/api/balance": `"code":"overloaded"`,
		"/p/list":      `{"success":false,"error":"The service is temporarily unavailable, please try again later"}`,
		"/p/abcdefgh":  `{"success":false,"error":"The service is temporarily unavailable, please try again later"}`,
		"/api/v1/x":    `{"ok":false,"error":"Try again later"}`,
		"/login":       "<!doctype html>",
	} {
		if w := do(t, f, path); w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" || !strings.Contains(w.Body.String(), want) {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
}
