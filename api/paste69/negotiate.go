package paste69

import (
	"net/http"

	"ringbin/api/web"
)

// form is what a request for a paste is answered with.
type form uint8

const (
	formBytes form = iota
	formMetadata
	formContent // metadata with the text in it
	formView
)

// contentType asks for metadata with the text in it.
const contentType = "application/vnd.0x45.paste+json"

// wanted tells which form of a paste a request asks for. The first match wins;
// there is always one.
func wanted(r *http.Request) form {
	accepted := web.Accepted(r.Header)
	switch {
	case r.URL.Query().Has("raw"):
		return formBytes
	case names(accepted, contentType):
		return formContent
	case namesHTML(accepted):
		return formView
	case prefersJSON(accepted):
		return formMetadata
	}
	return formBytes
}

// isBrowser is whether a request names a type of web pages.
func isBrowser(r *http.Request) bool { return namesHTML(web.Accepted(r.Header)) }

func namesHTML(accepted []web.MediaRange) bool {
	return names(accepted, "text/html") || names(accepted, "application/xhtml+xml")
}

func names(accepted []web.MediaRange, mediaType string) bool {
	for _, m := range accepted {
		if m.Type == mediaType && m.Q > 0 {
			return true
		}
	}
	return false
}

// prefersJSON is whether application/json is the one range of the highest
// quality. Libraries that ask for JSON by habit name others beside it.
func prefersJSON(accepted []web.MediaRange) bool {
	best, count, isJSON := 0, 0, false
	for _, m := range accepted {
		switch {
		case m.Q > best:
			best, count, isJSON = m.Q, 1, m.Type == "application/json"
		case m.Q == best:
			count++
		}
	}
	return best > 0 && count == 1 && isJSON
}
