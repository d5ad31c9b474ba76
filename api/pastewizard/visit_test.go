package pastewizard

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

// A form counts when it comes from a page of ours, or from no page.
func TestFormsOfOtherSites(t *testing.T) {
	t.Parallel()
	at := site{own: []string{"http://127.0.0.1:8080", "https://paste.example"}}
	for _, tt := range []struct {
		fetchSite, origin string
		own               bool
	}{
		{"", "", true},
		{"same-origin", "", true},
		{"none", "", true},
		{"same-origin", "null", true}, // pages tell no referrer, so their origin may be hidden
		{"cross-site", "", false},
		{"same-site", "", false},
		{"cross-site", "https://paste.example", false},
		{"", "https://paste.example", true},
		{"", "https://PASTE.example", true},
		{"", "http://127.0.0.1:8080", true},
		{"", "http://paste.example", false},
		{"", "https://paste.example:8443", false},
		{"", "https://evil.example", false},
		{"", "null", false},
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/login", http.NoBody)
		if tt.fetchSite != "" {
			r.Header.Set("Sec-Fetch-Site", tt.fetchSite)
		}
		if tt.origin != "" {
			r.Header.Set("Origin", tt.origin)
		}
		if at.isOwn(r) != tt.own {
			t.Errorf("Sec-Fetch-Site %q, Origin %q: own is %v", tt.fetchSite, tt.origin, !tt.own)
		}
	}
}

// By plain HTTP browsers say null of our own forms, and nothing else: the pages
// of notes have to work there all the same.
func TestFormsByPlainHTTP(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		host, base, fetchSite, origin string
		own                           bool
	}{
		{"pad.example:8080", "", "", "null", true},
		{"192.0.2.7", "", "", "null", true},
		{"[2001:db8::7]:8080", "", "", "null", true},
		{"127.0.0.1:8080", "http://pad.example", "", "null", true}, // a proxy's own name for the node
		{"pad.example:8080", "", "cross-site", "null", false},
		{"pad.example:8080", "", "", "http://evil.example", false},
		{"pad.example:8080", "https://pad.example", "", "null", false},
		{"localhost:8080", "", "", "null", false}, // browsers tell more there
		{"a.LOCALHOST", "", "", "null", false},
		{"127.0.0.1:8080", "", "", "null", false},
		{"[::1]:8080", "", "", "null", false},
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/p/Ab3Xy9Qk", http.NoBody)
		r.Header.Set("Origin", tt.origin)
		if tt.fetchSite != "" {
			r.Header.Set("Sec-Fetch-Site", tt.fetchSite)
		}
		if siteAt("http", tt.host, tt.base).isOwn(r) != tt.own {
			t.Errorf("at %s (%s), Sec-Fetch-Site %q, Origin %q: own is %v", tt.host, tt.base, tt.fetchSite, tt.origin, !tt.own)
		}
	}
}

// A login leads to a page of ours only.
func TestAfterLogin(t *testing.T) {
	t.Parallel()
	for to, want := range map[string]string{
		"": keysPath, keysPath: keysPath, tokensPath: tokensPath, logsPath: logsPath,
		"//evil.example/": keysPath, "https://evil.example": keysPath, "/p/Ab3Xy9Qk": keysPath,
	} {
		if got := afterLogin(to); got != want {
			t.Errorf("%q leads to %q", to, got)
		}
	}
}

func TestTokensQuery(t *testing.T) {
	t.Parallel()
	for asked, want := range map[string]string{
		"": "", "user_id=7&revoked=1&cursor=9": "?cursor=9&revoked=1&user_id=7", "other=1": "", "user_id=a%26b": "?user_id=a%26b",
	} {
		if got := tokensQuery(parseForm(asked)); got != want {
			t.Errorf("%q: %q, want %q", asked, got, want)
		}
	}
}
