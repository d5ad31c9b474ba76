package paste69

import (
	"fmt"
	"html/template"
	"math"
	"slices"
	"strings"
)

// Charts are an SVG between two rows of words, in the page: no script, and no
// style but classes, which the policy of the page asks for and which give them
// the colours of the reader's scheme. The drawing stretches with the page, the
// words keep their size; so strokes and dots are of kinds that do not stretch.
const (
	chartSide = 1000.0 // of the canvas, whatever the page makes of it
	barsMax   = 92     // more days than these are drawn several to a bar
)

// canvas maps values to the drawing and collects it.
type canvas struct {
	out        strings.Builder
	xMax, yMax float64
}

func (c *canvas) x(v float64) float64 { return v / c.xMax * chartSide }
func (c *canvas) y(v float64) float64 { return chartSide - v/c.yMax*chartSide }

// begin opens the figure. Title and description are what a screen reader says
// in place of the drawing.
func (c *canvas) begin(name, unit, title, description string, scale []float64) {
	fmt.Fprintf(&c.out, `<figure class="plot"><div class="unit" aria-hidden="true">%s</div><div class="y" aria-hidden="true">`, unit)
	for _, v := range slices.Backward(scale) {
		fmt.Fprintf(&c.out, "<span>%s</span>", countWords(int64(v)))
	}
	fmt.Fprintf(&c.out, `</div><svg viewBox="0 0 %g %g" preserveAspectRatio="none" role="img" aria-labelledby="%s-title %s-desc">`,
		chartSide, chartSide, name, name)
	fmt.Fprintf(&c.out, `<title id="%s-title">%s</title>`, name, template.HTMLEscapeString(title))
	fmt.Fprintf(&c.out, `<desc id="%s-desc">%s</desc>`, name, template.HTMLEscapeString(description))
	for _, v := range scale {
		class := "grid"
		if v == 0 {
			class = "axis"
		}
		fmt.Fprintf(&c.out, `<path class="%s" d="M0 %.1fH%g"/>`, class, c.y(v), chartSide)
	}
}

// end closes it. The words below stand at equal distances, the first and the
// last at the edges.
func (c *canvas) end(class string, below []string, caption string) template.HTML {
	fmt.Fprintf(&c.out, `</svg><div class="x %s" aria-hidden="true">`, class)
	for _, words := range below {
		fmt.Fprintf(&c.out, "<span>%s</span>", template.HTMLEscapeString(words))
	}
	c.out.WriteString("</div>" + caption + "</figure>")
	return template.HTML(c.out.String()) //nolint:gosec // numbers and escaped words only
}

// ticks are at most n+1 round values from zero up to the first at or above most.
func ticks(most float64, n int) []float64 {
	if most <= 0 {
		most = 1
	}
	step := math.Pow(10, math.Floor(math.Log10(most/float64(n))))
	for _, factor := range []float64{1, 2, 2.5, 5, 10} {
		if f := math.Max(1, step*factor); f == math.Trunc(f) && most/f <= float64(n) {
			step = f
			break
		}
	}
	all := []float64{0}
	for v := step; ; v += step {
		all = append(all, v)
		if v >= most {
			return all
		}
	}
}

// days is the rule as a curve, for drawing only: what holds is decided elsewhere.
func (r retention) days(withKey bool, size float64) float64 {
	low, high := r.AnonymousMinDays, r.AnonymousMaxDays
	if withKey {
		low, high = r.KeyMinDays, r.KeyMaxDays
	}
	return float64(low) + float64(high-low)*(1-min(1, size/float64(max(1, r.Reference))))
}

// retentionChart draws how many days a paste stays over its size, with and
// without a key, a quarter beyond the size from which it makes no difference.
func retentionChart(r retention) template.HTML {
	scale := ticks(float64(max(r.KeyMaxDays, r.AnonymousMaxDays, r.KeyMinDays, r.AnonymousMinDays)), 4)
	reference := float64(max(1, r.Reference))
	c := &canvas{xMax: reference * 1.25, yMax: scale[len(scale)-1]}
	c.begin("retention", "days", "How long a paste stays, by its size", fmt.Sprintf(
		"With an API key from %d days for the smallest down to %d days from %s on; without one from %d down to %d days.",
		r.KeyMaxDays, r.KeyMinDays, sizeWords(r.Reference), r.AnonymousMaxDays, r.AnonymousMinDays), scale)
	c.curve(r, false)
	c.curve(r, true)
	below := []string{"0"}
	for i := range int64(4) {
		below = append(below, sizeWords(r.Reference*(i+1)/4))
	}
	return c.end("even", append(below, ""), fmt.Sprintf(
		`<figcaption class="legend"><span class="keyed">with a key: %d to %d days</span> <span class="anonymous">without: %d to %d days</span></figcaption>`,
		r.KeyMaxDays, r.KeyMinDays, r.AnonymousMaxDays, r.AnonymousMinDays))
}

func (c *canvas) curve(r retention, withKey bool) {
	class := "anonymous"
	if withKey {
		class = "keyed"
	}
	at := func(size float64) string { return fmt.Sprintf("%.1f %.1f", c.x(size), c.y(r.days(withKey, size))) }
	corner := float64(max(1, r.Reference))
	path := "M" + at(0) + "L" + at(corner) + "L" + at(c.xMax)
	fmt.Fprintf(&c.out, `<path class="area %s" d="%sV%gH0Z"/>`, class, path, chartSide)
	fmt.Fprintf(&c.out, `<path class="curve %s" d="%s"/>`, class, path)
	fmt.Fprintf(&c.out, `<path class="point %s" d="M%sh0M%sh0"/>`, class, at(0), at(corner))
}

// bar is one or more days of clicks.
type bar struct {
	from, to int32
	clicks   int64
}

// bars spreads the clicks of a range over at most barsMax bars of equally many
// days; the last one may have fewer.
func bars(from, to int32, days []dayClicks) []bar {
	if to < from {
		return nil
	}
	span := int64(to) - int64(from) + 1
	each := (span + barsMax - 1) / barsMax
	var all []bar
	for first := int64(from); first <= int64(to); first += each {
		all = append(all, bar{from: int32(first), to: int32(min(first+each-1, int64(to)))})
	}
	for _, d := range days {
		if d.Day >= from && d.Day <= to {
			all[(int64(d.Day)-int64(from))/each].clicks += d.Clicks
		}
	}
	return all
}

// clicksChart draws the clicks of a short link by day.
func clicksChart(page linkStatsPage) template.HTML {
	all := bars(page.From, page.To, page.Days)
	most := int64(0)
	for _, b := range all {
		most = max(most, b.clicks)
	}
	scale := ticks(float64(most), 4)
	c := &canvas{xMax: float64(max(1, len(all))), yMax: scale[len(scale)-1]}
	c.begin("clicks", "clicks", "Clicks by day", fmt.Sprintf("%s from %s to %s.",
		plural(page.Views, "click", "clicks"), dayText(page.From), dayText(page.To)), scale)
	gap := 0.3
	if len(all) > 45 {
		gap = 0.15
	}
	for i, b := range all {
		days := dayText(b.from)
		if b.to > b.from {
			days += " to " + dayText(b.to)
		}
		left := float64(i)
		fmt.Fprintf(&c.out, `<g class="day"><title>%s: %s</title>`, days, plural(b.clicks, "click", "clicks"))
		fmt.Fprintf(&c.out, `<path class="hit" d="M%.2f 0H%.2fV%gH%.2fZ"/>`, c.x(left), c.x(left+1), chartSide, c.x(left))
		fmt.Fprintf(&c.out, `<path d="M%.2f %gV%.1fH%.2fV%gZ"/></g>`,
			c.x(left+gap/2), chartSide, c.y(float64(b.clicks)), c.x(left+1-gap/2), chartSide)
	}
	return c.end("ends", []string{dayText(page.From), dayText(page.To)}, "")
}
