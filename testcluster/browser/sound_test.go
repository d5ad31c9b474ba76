package browser_test

import (
	"strings"
	"testing"

	"golang.org/x/net/html"

	"ringbin/testcluster/browser"
)

// The check can fail.
func TestFaultsAreFound(t *testing.T) {
	t.Parallel()
	document, err := html.Parse(strings.NewReader(`<p id=a style="x" onclick="y"><script>1</script><img src="https://other.example/x" id=a>` +
		`<a href=" javascript:x">x</a><label for=b></label><img src="//other.example/x"><style></style>`))
	if err != nil {
		t.Fatal(err)
	}
	if got := browser.Faults(document, "https://paste.example"); len(got) != 9 {
		t.Errorf("%d faults: %q", len(got), got)
	}
}

func TestFaultsOfStyleAreFound(t *testing.T) {
	t.Parallel()
	const css = ":root {\n --a: #000000;\n --b: #ffffff;\n}\n@media x {\n:root {\n --a: #777777;\n --b: #888888;\n}\n}\n"
	rules := []browser.Contrast{{Front: "a", Back: "b", Least: 4.5}}
	for sheet, want := range map[string]int{css: 1, css + "p { background: url(x) }": 2, "": 1} {
		if got := browser.FaultsOfStyle([]byte(sheet), rules); len(got) != want {
			t.Errorf("%d faults, want %d: %q", len(got), want, got)
		}
	}
	rules[0].Back = "no-such-colour"
	if got := browser.FaultsOfStyle([]byte(css), rules); len(got) != 2 {
		t.Errorf("a colour that is not there: %q", got)
	}
}
