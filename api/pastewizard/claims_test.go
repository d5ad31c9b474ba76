package pastewizard_test

import (
	"testing"

	"ringbin/api/pastewizard"
)

func TestWhosePathItIs(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]string{
		"/api/v1": "api", "/api/v1/": "api", "/api/v1/paste.php": "api", "/api/v1/a/b": "api",
		"/api": "", "/api/v10": "", "/api/v1x/paste.php": "", "/API/v1/paste.php": "",
		"/s/abcdef": "page", "/login": "page", "/logout": "page", "/api_keys.php": "page", "/admin/api_tokens": "page", "/admin/api_logs": "page",
		"/assets/wizard.css": "page",
		"/s":                 "", "/s/": "", "/s/a/b": "", "/login/": "", "/admin": "", "/admin/api_logs/x": "", "/assets/style.css": "", "/p/abcdefgh": "", "*": "",
	} {
		got := ""
		switch {
		case pastewizard.IsAPI(path):
			got = "api"
		case pastewizard.IsPage(path):
			got = "page"
		}
		if got != want {
			t.Errorf("%s is %q, want %q", path, got, want)
		}
	}
}

// Each page that has a route is one, and no other path of the first segment's
// name is.
func TestPagesHaveRoutes(t *testing.T) {
	t.Parallel()
	for _, rt := range pastewizard.PageRoutes() {
		path := rt.Pattern
		if path == "/s/:code" {
			path = "/s/abcdef"
		}
		if !pastewizard.IsPage(path) {
			t.Errorf("%s is served by nobody", rt.Pattern)
		}
	}
}
