package paste69

import (
	"fmt"
	"html/template"
	"strconv"
	"strings"
	"time"
)

// funcs is what templates can say beside values: sizes, dates and counts in
// words, and charts.
func (p *pages) funcs() template.FuncMap {
	return template.FuncMap{
		"asset":     p.assetPath,
		"size":      sizeWords,
		"count":     countWords,
		"plural":    plural,
		"len64":     func(b []byte) int64 { return int64(len(b)) },
		"iso":       func(ms int64) string { return time.UnixMilli(ms).UTC().Format(time.RFC3339) },
		"date":      func(ms int64) string { return time.UnixMilli(ms).UTC().Format("2 Jan 2006, 15:04 UTC") },
		"day":       dayText,
		"since":     func(now, then int64) string { return spanWords(now-then, "just now", "%s ago") },
		"until":     func(now, then int64) string { return spanWords(then-now, "any moment", "in %s") },
		"status":    statusWords,
		"share":     share,
		"retention": retentionChart,
		"clicks":    clicksChart,
		"uploader":  shareXUploader,
		"shortener": shareXShortener,
		"flameshot": flameshotScript,
	}
}

// assetPath is the route of an asset; its version makes it cacheable for ever.
func (p *pages) assetPath(name string) string {
	return "/assets/" + name + "?v=" + p.assets[name].version
}

// sizeWords tells bytes as people do, by powers of 1024.
func sizeWords(n int64) string {
	if n < 1<<10 {
		return plural(n, "byte", "bytes")
	}
	value, unit := float64(n), ""
	for _, u := range []string{"KiB", "MiB", "GiB", "TiB", "PiB"} {
		if value < 1<<10 {
			break
		}
		value, unit = value/(1<<10), u
	}
	return strings.TrimSuffix(strconv.FormatFloat(value, 'f', 1, 64), ".0") + "\u00a0" + unit
}

// countWords groups digits by three, with spaces that do not break.
func countWords(n int64) string {
	digits := strconv.FormatInt(n, 10)
	head := len(digits) % 3
	if n < 0 || len(digits) <= 4 {
		return digits
	}
	groups := []string{}
	if head > 0 {
		groups = append(groups, digits[:head])
	}
	for at := head; at < len(digits); at += 3 {
		groups = append(groups, digits[at:at+3])
	}
	return strings.Join(groups, "\u202f")
}

func plural(n int64, one, many string) string {
	if n == 1 {
		return "1\u00a0" + one
	}
	return countWords(n) + "\u00a0" + many
}

// spanWords tells a span in its largest unit.
func spanWords(ms int64, now, form string) string {
	span := time.Duration(ms) * time.Millisecond
	const day = 24 * time.Hour
	units := []struct {
		from, unit time.Duration
		one, many  string
	}{
		{2 * 365 * day, 365 * day, "year", "years"},
		{2 * day, day, "day", "days"},
		{2 * time.Hour, time.Hour, "hour", "hours"},
		{time.Minute, time.Minute, "minute", "minutes"},
	}
	for _, u := range units {
		if span >= u.from {
			return fmt.Sprintf(form, plural(int64(span/u.unit), u.one, u.many))
		}
	}
	return now
}

func dayText(day int32) string {
	return time.Unix(int64(day)*86400, 0).UTC().Format(time.DateOnly)
}

// share is how much of the largest row a row is, in percent, for its bar.
func share(rows []tally, n int64) int64 {
	most := int64(1)
	for _, row := range rows {
		most = max(most, row.Count)
	}
	return 100 * n / most
}

// statusWords says what kind of problem it is, in the words of a person.
func statusWords(status int) string {
	switch {
	case status == 404:
		return "Nothing here"
	case status == 401 || status == 403:
		return "Not allowed"
	case status == 413:
		return "Too large"
	case status == 429:
		return "Slow down a little"
	case status == 503:
		return "Not right now"
	case status >= 500:
		return "Something broke"
	}
	return "That did not work"
}
