package paste69

import (
	"math"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// luminance is that of WCAG 2, of a colour like #aabbcc.
func luminance(t *testing.T, colour string) float64 {
	t.Helper()
	n, err := strconv.ParseUint(strings.TrimPrefix(colour, "#"), 16, 32)
	if err != nil {
		t.Fatalf("colour %q: %v", colour, err)
	}
	linear := func(v uint64) float64 {
		c := float64(v&0xff) / 255
		if c <= 0.04045 {
			return c / 12.92
		}
		return math.Pow((c+0.055)/1.055, 2.4)
	}
	return 0.2126*linear(n>>16) + 0.7152*linear(n>>8) + 0.0722*linear(n)
}

// Text has the contrast that WCAG asks for at level AA on every ground it
// stands on, in both schemes; edges of controls and curves have theirs.
func TestContrast(t *testing.T) {
	t.Parallel()
	css, err := pageFiles.ReadFile("assets/style.css")
	if err != nil {
		t.Fatal(err)
	}
	schemes := regexp.MustCompile(`(?s):root \{(.*?)\n\s*\}`).FindAllSubmatch(css, -1)
	if len(schemes) != 2 {
		t.Fatalf("%d schemes", len(schemes))
	}
	code := "c-comment c-keyword c-string c-number c-name c-type c-removed c-added"
	for i, scheme := range schemes {
		colours := map[string]string{}
		for _, c := range regexp.MustCompile(`--([\w-]+):\s*(#[0-9a-f]{6})`).FindAllSubmatch(scheme[1], -1) {
			colours[string(c[1])] = string(c[2])
		}
		for _, rule := range []struct {
			front, back string
			least       float64
		}{
			{"ink soft accent", "ground sheet sunk accent-wash", 4.5},
			{"ink", "mark", 4.5},
			{"danger", "ground sheet", 4.5},
			{code, "sheet sunk mark", 4.5},
			{"accent-ink", "accent", 4.5},
			{"danger-ink", "danger", 4.5},
			{"edge second accent", "ground sheet", 3},
		} {
			for front := range strings.FieldsSeq(rule.front) {
				for back := range strings.FieldsSeq(rule.back) {
					a, b := luminance(t, colours[front]), luminance(t, colours[back])
					if ratio := (max(a, b) + 0.05) / (min(a, b) + 0.05); ratio < rule.least {
						t.Errorf("scheme %d: %s on %s has a contrast of %.2f", i, front, back, ratio)
					}
				}
			}
		}
	}
}

// The style sheet loads nothing, from here or elsewhere.
func TestStyleLoadsNothing(t *testing.T) {
	t.Parallel()
	css, err := pageFiles.ReadFile("assets/style.css")
	if err != nil {
		t.Fatal(err)
	}
	if found := regexp.MustCompile(`url\(|@import|@font-face|http`).Find(css); found != nil {
		t.Errorf("the style sheet loads something: %s", found)
	}
}
