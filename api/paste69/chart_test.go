package paste69

import (
	"strings"
	"testing"

	"golang.org/x/net/html"
	"pgregory.net/rapid"

	"ringbin/testcluster/browser"
)

// A scale begins at zero, ends at or above the most, and has few round steps.
func TestTicks(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		most := float64(rapid.Int64Range(0, 1<<50).Draw(t, "most"))
		scale := ticks(most, 4)
		if scale[0] != 0 || scale[len(scale)-1] < most || len(scale) < 2 || len(scale) > 6 {
			t.Fatalf("%v: %v", most, scale)
		}
		for i, v := range scale {
			if v != float64(int64(v)) || i > 0 && v <= scale[i-1] {
				t.Fatalf("%v: %v", most, scale)
			}
		}
	})
}

// Bars lose no click and no day of the range, and are not too many.
func TestBars(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		from := rapid.Int32Range(-3_000_000, 3_000_000).Draw(t, "from")
		to := from + rapid.Int32Range(0, 40_000).Draw(t, "span")
		var days []dayClicks
		inside := int64(0)
		for range rapid.IntRange(0, 50).Draw(t, "days") {
			d := dayClicks{rapid.Int32Range(from-3, to+3).Draw(t, "day"), rapid.Int64Range(0, 1000).Draw(t, "clicks")}
			days = append(days, d)
			if d.Day >= from && d.Day <= to {
				inside += d.Clicks
			}
		}
		all := bars(from, to, days)
		drawn, next := int64(0), from
		for _, b := range all {
			if b.from != next || b.to < b.from {
				t.Fatalf("bar %+v, want one from %d", b, next)
			}
			drawn, next = drawn+b.clicks, b.to+1
		}
		if next != to+1 || drawn != inside || len(all) > barsMax {
			t.Fatalf("%d bars to %d of %d clicks; want to %d of %d", len(all), next-1, drawn, to, inside)
		}
	})
	if got := bars(5, 4, nil); got != nil {
		t.Errorf("a range of no days: %v", got)
	}
}

func TestChartsSayWhatTheyShow(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		chart string
		words []string
		paths int
	}{
		"retention": {string(retentionChart(sampleRetention)), []string{"from 730 days", "down to 30 days", "from 64\u00a0MiB on", "128 down to 7"}, 11},
		"flat":      {string(retentionChart(retention{1, 1, 1, 1, 1})), []string{"from 1 days"}, 8},
		"none":      {string(retentionChart(retention{})), []string{"from 0 days"}, 8},
		"clicks":    {string(clicksChart(linkStatsPage{From: 0, To: 1, Views: 3, Days: []dayClicks{{1, 3}}})), []string{"3\u00a0clicks from 1970-01-01 to 1970-01-02", "1970-01-02: 3\u00a0clicks", "1970-01-01: 0\u00a0clicks"}, 8},
	} {
		document, err := html.Parse(strings.NewReader(c.chart))
		if err != nil {
			t.Fatal(err)
		}
		paths := 0
		for _, n := range browser.Elements(document) {
			if n.Data == "path" {
				paths++
				if d := browser.Attr(n, "d"); strings.Contains(d, "NaN") || strings.Contains(d, "Inf") {
					t.Errorf("%s: %s", name, d)
				}
			}
		}
		if paths != c.paths {
			t.Errorf("%s: %d paths, want %d", name, paths, c.paths)
		}
		for _, words := range c.words {
			if !strings.Contains(c.chart, words) {
				t.Errorf("%s does not say %q", name, words)
			}
		}
	}
}
