package jsonbin

import (
	"net/http"
	"strings"
)

// requestHeadersMax bounds the list of headers that a preflight is answered with.
const requestHeadersMax = 4 << 10

// setOrigin lets every other origin read an answer. Credentials of a browser
// are never let in: keys are headers that a page has to know.
func setOrigin(h http.Header) {
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("Access-Control-Expose-Headers", "ETag, Retry-After, Content-Disposition")
}

// preflight answers OPTIONS on any path. Headers asked for are allowed whatever
// they are: unknown ones are ignored anyway.
func preflight(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Access-Control-Allow-Methods", "GET,HEAD,PUT,PATCH,POST,DELETE")
	h.Set("Access-Control-Max-Age", "86400")
	h.Set("Vary", "Access-Control-Request-Headers")
	if names := strings.Join(r.Header.Values("Access-Control-Request-Headers"), ", "); isHeaderList(names) {
		h.Set("Access-Control-Allow-Headers", names)
	}
	w.WriteHeader(http.StatusNoContent)
}

// isHeaderList is whether a text holds nothing but characters of header names,
// commas and blanks.
func isHeaderList(s string) bool {
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && !strings.ContainsRune("!#$%&'*+-.^_`|~, \t", rune(c)) {
			return false
		}
	}
	return s != "" && len(s) <= requestHeadersMax
}
