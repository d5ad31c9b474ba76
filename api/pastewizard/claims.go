package pastewizard

import (
	"net/http"
	"strings"

	"ringbin/api/web"
)

// apiPrefix is what paths of the API begin with.
const apiPrefix = "/api/v1/"

// IsAPI is for /api/v1 and all below it.
func IsAPI(path string) bool {
	return path == strings.TrimSuffix(apiPrefix, "/") || strings.HasPrefix(path, apiPrefix)
}

// PageRoutes are the pages' own paths: no id of Paste69's may hide behind them.
// /p/:id is not among them, since it belongs to both.
func PageRoutes() []web.Route {
	var all []web.Route
	for _, rt := range pageRoutes() {
		if rt.pattern != notePattern {
			all = append(all, web.Route{Method: rt.method, Pattern: rt.pattern})
		}
	}
	return all
}

// IsPage is whether a path is a page of PasteWizard's and nobody else's.
func IsPage(path string) bool {
	if code, ok := strings.CutPrefix(path, "/s/"); ok {
		return code != "" && !strings.Contains(code, "/")
	}
	switch path {
	case loginPath, logoutPath, keysPath, tokensPath, logsPath, stylePath:
		return true
	}
	return false
}

// ClaimsPaste is whether a request is for /p/:id and the id is a note's. Any
// other path below it, and any other spelling of it, is left to Paste69, which
// has no notes: nothing else reads, changes or deletes them.
func (d *Dialect) ClaimsPaste(r *http.Request) bool {
	id, ok := strings.CutPrefix(r.URL.Path, "/p/")
	if !ok || r.URL.RawPath != "" || !isHash(id) {
		return false
	}
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodOptions:
		here, err := d.s.NoteHere(r.Context(), id)
		if err != nil {
			return r.Method == http.MethodPost // else Paste69 finds out itself that it can't be known
		}
		return here
	}
	return false
}

// Lengths that a hash may have on input. Those that are issued have eight.
const (
	hashMin = 4
	hashMax = 32
)

// isHash is whether a text can be a hash at all.
func isHash(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') {
			return false
		}
	}
	return len(s) >= hashMin && len(s) <= hashMax
}
