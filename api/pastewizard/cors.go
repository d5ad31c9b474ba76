package pastewizard

import "net/http"

// setHeaders sets what every answer of the API has. Other origins may read it
// unless the operator says otherwise; credentials of a browser are never let in.
func (d *Dialect) setHeaders(h http.Header) {
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	if d.s.Settings().PasteWizard.CORS {
		h.Set("Access-Control-Allow-Origin", "*")
		h.Set("Access-Control-Expose-Headers", "Retry-After")
	}
}

// preflight answers OPTIONS on any path of the API.
func (d *Dialect) preflight(w http.ResponseWriter) {
	if h := w.Header(); h.Get("Access-Control-Allow-Origin") != "" {
		h.Set("Access-Control-Allow-Methods", "GET, HEAD, POST, OPTIONS")
		h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type, X-Paste-Password")
		h.Set("Access-Control-Max-Age", "86400")
	}
	w.WriteHeader(http.StatusNoContent)
}
