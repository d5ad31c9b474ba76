package paste69

import (
	"testing"

	"ringbin/testcluster/browser"
)

// Text has the contrast that WCAG asks for at level AA on every ground it
// stands on, in both schemes; edges of controls and curves have theirs.
func TestStyle(t *testing.T) {
	t.Parallel()
	css, err := pageFiles.ReadFile("assets/style.css")
	if err != nil {
		t.Fatal(err)
	}
	code := "c-comment c-keyword c-string c-number c-name c-type c-removed c-added"
	for _, fault := range browser.FaultsOfStyle(css, []browser.Contrast{
		{Front: "ink soft accent", Back: "ground sheet sunk accent-wash", Least: 4.5},
		{Front: "ink", Back: "mark", Least: 4.5},
		{Front: "danger", Back: "ground sheet", Least: 4.5},
		{Front: code, Back: "sheet sunk mark", Least: 4.5},
		{Front: "accent-ink", Back: "accent", Least: 4.5},
		{Front: "danger-ink", Back: "danger", Least: 4.5},
		{Front: "edge second accent", Back: "ground sheet", Least: 3},
	}) {
		t.Error(fault)
	}
}
