package paste69

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestWantedForm(t *testing.T) {
	t.Parallel()
	const browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
	for _, tt := range []struct {
		query, accept string
		want          form
		browser       bool
	}{
		{"", "", formBytes, false},
		{"", "*/*", formBytes, false},
		{"", "text/plain", formBytes, false},
		{"", "image/*", formBytes, false},
		{"", "application/json", formMetadata, false},
		{"", "APPLICATION/JSON; charset=utf-8", formMetadata, false},
		{"", "application/json, */*;q=0.5", formMetadata, false},
		{"", "application/json;q=0.2", formMetadata, false},
		{"", "application/json;q=0", formBytes, false},
		{"", "application/json, text/plain, */*", formBytes, false},
		{"", "application/json, */*", formBytes, false},
		{"", "application/json;q=0.9, text/plain", formBytes, false},
		{"", "application/*", formBytes, false},
		{"", "application/problem+json", formBytes, false},
		{"", "text/html", formView, true},
		{"", browser, formView, true},
		{"", "application/xhtml+xml;q=0.001", formView, true},
		{"", "text/html;q=0", formBytes, false},
		{"", "text/html;q=0, application/json", formMetadata, false},
		{"", "text/*", formBytes, false},
		{"", "application/json, text/html;q=0.1", formView, true},
		{"", contentType, formContent, false},
		{"", browser + ", " + contentType + ";q=0.1", formContent, true},
		{"", contentType + ";q=0, application/json", formMetadata, false},
		{"?raw", browser, formBytes, true},
		{"?raw=false", contentType, formBytes, false},
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/abc12345"+tt.query, http.NoBody)
		if tt.accept != "" {
			r.Header.Set("Accept", tt.accept)
		}
		if got := wanted(r); got != tt.want || isBrowser(r) != tt.browser {
			t.Errorf("%q %q: form %d, want %d; browser %t", tt.query, tt.accept, got, tt.want, isBrowser(r))
		}
	}
}
