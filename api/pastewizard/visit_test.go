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
