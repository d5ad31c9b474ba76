package paste69

import (
	"net/http"
	"slices"
	"strings"
)

// setOrigin lets other origins read an answer: all of them, or those that the
// operator lists. Credentials of a browser are never let in.
func setOrigin(h http.Header, r *http.Request, origins []string) {
	switch origin := r.Header.Get("Origin"); {
	case slices.Contains(origins, "*"):
		h.Set("Access-Control-Allow-Origin", "*")
	case len(origins) == 0:
		return
	default:
		h.Add("Vary", "Origin")
		if origin == "" || !slices.Contains(origins, origin) {
			return
		}
		h.Set("Access-Control-Allow-Origin", origin)
	}
	h.Set("Access-Control-Expose-Headers", "Content-Disposition, Content-Length, Content-Range, ETag, Retry-After, X-Request-Id")
}

var (
	corsMethods = strings.Join([]string{
		http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodOptions,
	}, ", ")
	corsHeaders = strings.Join([]string{
		"Authorization", "Content-Type", "Accept", "X-Api-Key", "X-Delete-Key", "X-Filename", "X-Extension", "X-Expires-In",
		"X-Expires-At", "X-Private",
	}, ", ")
)

// preflight answers OPTIONS on a known path.
func (d *Dialect) preflight(w http.ResponseWriter, _ *http.Request, _ []string) {
	if h := w.Header(); h.Get("Access-Control-Allow-Origin") != "" {
		h.Set("Access-Control-Allow-Methods", corsMethods)
		h.Set("Access-Control-Allow-Headers", corsHeaders)
		h.Set("Access-Control-Max-Age", "300")
	}
	w.WriteHeader(http.StatusNoContent)
}
