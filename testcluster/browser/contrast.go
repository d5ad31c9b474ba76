package browser

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
)

// Contrast is a rule of a style sheet: each colour of Front has at least the
// contrast Least on each one of Back. Both are names with spaces between.
type Contrast struct {
	Front, Back string
	Least       float64
}

// schemesWanted is the light scheme and the dark one.
const schemesWanted = 2

var (
	scheme = regexp.MustCompile(`(?s):root \{(.*?)\n\s*\}`)
	colour = regexp.MustCompile(`--([\w-]+):\s*(#[0-9a-f]{6})`)
)

// FaultsOfStyle lists where the schemes of a style sheet break a rule, and what
// the sheet loads: it must load nothing, from here or elsewhere.
func FaultsOfStyle(css []byte, rules []Contrast) (found []string) {
	if loads := regexp.MustCompile(`url\(|@import|@font-face|http`).Find(css); loads != nil {
		found = append(found, "it loads something: "+string(loads))
	}
	schemes := scheme.FindAllSubmatch(css, -1)
	if len(schemes) != schemesWanted {
		return append(found, fmt.Sprintf("it has %d schemes", len(schemes)))
	}
	for i, s := range schemes {
		colours := map[string]string{}
		for _, c := range colour.FindAllSubmatch(s[1], -1) {
			colours[string(c[1])] = string(c[2])
		}
		for _, rule := range rules {
			for front := range strings.FieldsSeq(rule.Front) {
				for back := range strings.FieldsSeq(rule.Back) {
					if ratio := contrast(colours[front], colours[back]); !(ratio >= rule.Least) {
						found = append(found, fmt.Sprintf("scheme %d: %s on %s has a contrast of %.2f", i, front, back, ratio))
					}
				}
			}
		}
	}
	return found
}

func contrast(one, other string) float64 {
	a, b := luminance(one), luminance(other)
	return (max(a, b) + 0.05) / (min(a, b) + 0.05)
}

// luminance is that of WCAG 2, of a colour like #aabbcc; NaN for none.
func luminance(hex string) float64 {
	n, err := strconv.ParseUint(strings.TrimPrefix(hex, "#"), 16, 32)
	if err != nil {
		return math.NaN()
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
