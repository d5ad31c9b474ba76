package paste69

import (
	"fmt"
	"html/template"
	"math"
	"strings"
)

// Charts are drawn as SVG in the page: no script, and no style but classes,
// which the policy of the page asks for and which give them the colours of the
// reader's scheme. All coordinates are of a canvas that scales with the page.
const (
	chartWidth, chartHeight = 460.0, 280.0
	chartLeft, chartRight   = 44.0, 12.0
	chartTop, chartBottom   = 18.0, 46.0
	barsMax                 = 92 // more days than these are drawn several to a bar
)

// canvas maps values to the drawing area and collects the drawing.
type canvas struct {
	strings.Builder
	xMax, yMax float64
}

func (c *canvas) x(v float64) float64 {
	return chartLeft + v/c.xMax*(chartWidth-chartLeft-chartRight)
}

func (c *canvas) y(v float64) float64 {
	return chartHeight - chartBottom - v/c.yMax*(chartHeight-chartTop-chartBottom)
}

// begin opens the picture. Title and description are what a screen reader says.
func (c *canvas) begin(name, title, description string) {
	fmt.Fprintf(c, `<svg class="chart" viewBox="0 0 %g %g" role="img" aria-labelledby="%s-title %s-desc">`, chartWidth, chartHeight, name, name)
	fmt.Fprintf(c, `<title id="%s-title">%s</title>`, name, template.HTMLEscapeString(title))
	fmt.Fprintf(c, `<desc id="%s-desc">%s</desc>`, name, template.HTMLEscapeString(description))
}

func (c *canvas) text(x, y float64, class, words string) {
	fmt.Fprintf(c, `<text class="%s" x="%.1f" y="%.1f">%s</text>`, class, x, y, template.HTMLEscapeString(words))
}

func (c *canvas) line(class string, x1, y1, x2, y2 float64) {
	fmt.Fprintf(c, `<line class="%s" x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f"/>`, class, x1, y1, x2, y2)
}

// grid draws the values of the vertical axis, each with a line across.
func (c *canvas) grid(ticks []float64) {
	for _, v := range ticks {
		class := "grid"
		if v == 0 {
			class = "axis"
		}
		c.line(class, chartLeft, c.y(v), chartWidth-chartRight, c.y(v))
		c.text(chartLeft-8, c.y(v)+4, "tick end", countWords(int64(v)))
	}
}

func (c *canvas) end() template.HTML {
	c.WriteString("</svg>")
	return template.HTML(c.String()) //nolint:gosec // numbers and escaped words only
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

// days is 6.3 as a curve, for drawing only: what holds is decided elsewhere.
func (r retention) days(withKey bool, size float64) float64 {
	low, high := r.AnonymousMinDays, r.AnonymousMaxDays
	if withKey {
		low, high = r.KeyMinDays, r.KeyMaxDays
	}
	return float64(low) + float64(high-low)*(1-min(1, size/float64(max(1, r.Reference))))
}

// retentionChart draws how many days a paste stays over its size, with and
// without a key.
func retentionChart(r retention) template.HTML {
	reference := float64(max(1, r.Reference))
	scale := ticks(float64(max(r.KeyMaxDays, r.AnonymousMaxDays, r.KeyMinDays, r.AnonymousMinDays)), 4)
	c := &canvas{xMax: reference * 1.25, yMax: scale[len(scale)-1]}
	c.begin("retention", "How long a paste stays, by its size", fmt.Sprintf(
		"With an API key from %d days for the smallest down to %d days from %s on; without one from %d down to %d days.",
		r.KeyMaxDays, r.KeyMinDays, sizeWords(r.Reference), r.AnonymousMaxDays, r.AnonymousMinDays))
	c.grid(scale)
	for i := range 6 {
		v := reference * float64(i) / 4
		c.line("axis", c.x(v), c.y(0), c.x(v), c.y(0)+4)
		label := "0"
		if i > 0 {
			label = sizeWords(int64(v))
		}
		c.text(c.x(v), c.y(0)+18, map[bool]string{true: "tick end", false: "tick middle"}[i == 5], label)
	}
	c.text(chartLeft-36, chartTop-6, "label", "days")
	c.text((chartLeft+chartWidth-chartRight)/2, chartHeight-6, "label middle", "size of the paste")
	c.curve(r, false)
	c.curve(r, true)
	return c.end()
}

func (c *canvas) curve(r retention, withKey bool) {
	class, words, low, high := "anonymous", "without a key", r.AnonymousMinDays, r.AnonymousMaxDays
	if withKey {
		class, words, low, high = "keyed", "with a key", r.KeyMinDays, r.KeyMaxDays
	}
	reference := float64(max(1, r.Reference))
	var points []string
	for _, size := range []float64{0, reference, c.xMax} {
		points = append(points, fmt.Sprintf("%.1f,%.1f", c.x(size), c.y(r.days(withKey, size))))
	}
	path := strings.Join(points, " ")
	fmt.Fprintf(c, `<polygon class="area %s" points="%s %.1f,%.1f %.1f,%.1f"/>`, class, path, c.x(c.xMax), c.y(0), c.x(0), c.y(0))
	fmt.Fprintf(c, `<polyline class="curve %s" points="%s"/>`, class, path)
	fmt.Fprintf(c, `<circle class="point %s" cx="%.1f" cy="%.1f" r="3.5"/>`, class, c.x(0), c.y(float64(high)))
	fmt.Fprintf(c, `<circle class="point %s" cx="%.1f" cy="%.1f" r="3.5"/>`, class, c.x(reference), c.y(float64(low)))
	at := reference * 0.16
	c.text(c.x(at)+8, c.y(r.days(withKey, at))-8, "name "+class, fmt.Sprintf("%s: %d to %d days", words, high, low))
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
	c.begin("clicks", "Clicks by day", fmt.Sprintf("%s from %s to %s.",
		plural(page.Views, "click", "clicks"), dayText(page.From), dayText(page.To)))
	c.grid(scale)
	gap := 0.28
	if len(all) > 45 {
		gap = 0.12
	}
	for i, b := range all {
		days := dayText(b.from)
		if b.to > b.from {
			days += " to " + dayText(b.to)
		}
		left, right := c.x(float64(i)+gap/2), c.x(float64(i)+1-gap/2)
		fmt.Fprintf(c, `<g class="day"><title>%s: %s</title>`, days, plural(b.clicks, "click", "clicks"))
		fmt.Fprintf(c, `<rect class="hit" x="%.2f" y="%.1f" width="%.2f" height="%.1f"/>`,
			c.x(float64(i)), chartTop, c.x(1)-c.x(0), c.y(0)-chartTop)
		fmt.Fprintf(c, `<rect x="%.2f" y="%.1f" width="%.2f" height="%.1f" rx="1.5"/></g>`,
			left, c.y(float64(b.clicks)), right-left, c.y(0)-c.y(float64(b.clicks)))
	}
	c.text(chartLeft, c.y(0)+18, "tick", dayText(page.From))
	c.text(chartWidth-chartRight, c.y(0)+18, "tick end", dayText(page.To))
	c.text(chartLeft-36, chartTop-6, "label", "clicks")
	return c.end()
}
