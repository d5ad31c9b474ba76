package web_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ringbin/api/web"
)

func TestAccepted(t *testing.T) {
	t.Parallel()
	for header, want := range map[string][]web.MediaRange{
		"":    nil,
		" , ": nil,
		"*/*": {{"*/*", 1000}},
		"Text/HTML;level=1;Q=0.5, application/json ; q = 1.0": {{"text/html", 500}, {"application/json", 1000}},
		"a/b;q=0,c/d;q=0.0009,e/f;q=0.0004":                   {{"a/b", 0}, {"c/d", 1}, {"e/f", 0}},
		"a/b;q=-1,c/d;q=7,e/f;q=x,g/h;q=NaN,i/j;q=":           {{"a/b", 0}, {"c/d", 1000}, {"e/f", 1000}, {"g/h", 1000}, {"i/j", 1000}},
	} {
		if d := cmp.Diff(want, web.Accepted(http.Header{"Accept": {header}})); d != "" {
			t.Errorf("%q: %s", header, d)
		}
	}
	if got := web.Accepted(http.Header{"Accept": {"a/b", "c/d;q=0.1"}}); len(got) != 2 || got[1].Q != 100 {
		t.Errorf("two headers: %v", got)
	}
	if got := web.Accepted(http.Header{"Accept": {strings.Repeat("a/b,", 1000)}}); len(got) != 100 {
		t.Errorf("%d ranges are looked at", len(got))
	}
}
