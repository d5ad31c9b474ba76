package hashbin

import (
	"strconv"
	"strings"
	"time"
)

// stamp renders FSM time: UTC, whole seconds.
func stamp(ms int64) string {
	return time.UnixMilli(ms).UTC().Truncate(time.Second).Format(time.RFC3339)
}

// money renders cents: $, whole dollars with a comma every three digits, two
// digits of cents.
func money(cents int64) string {
	sign := ""
	if cents < 0 {
		sign, cents = "-", -cents
	}
	whole := strconv.FormatInt(cents/100, 10)
	var b strings.Builder
	b.WriteString(sign)
	b.WriteByte('$')
	for i, digit := range whole {
		if i > 0 && (len(whole)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(digit)
	}
	b.WriteByte('.')
	if cents%100 < 10 {
		b.WriteByte('0')
	}
	b.WriteString(strconv.FormatInt(cents%100, 10))
	return b.String()
}

// cursor is null on the last page.
func cursor(next string) *string {
	if next == "" {
		return nil
	}
	return &next
}
