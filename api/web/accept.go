package web

import (
	"net/http"
	"strconv"
	"strings"
)

// acceptMax bounds the ranges of an Accept header that are looked at.
const acceptMax = 100

// MediaRange is one range of an Accept header: its type in lower case, without
// parameters, and its quality in thousandths.
type MediaRange struct {
	Type string
	Q    int
}

// Accepted reads the Accept headers, in their order. What is no range is left out.
func Accepted(h http.Header) []MediaRange {
	var all []MediaRange
	for item := range strings.SplitSeq(strings.Join(h.Values("Accept"), ","), ",") {
		mediaType, params, _ := strings.Cut(item, ";")
		mediaType = strings.ToLower(strings.TrimSpace(mediaType))
		if mediaType == "" {
			continue
		}
		if len(all) == acceptMax {
			break
		}
		all = append(all, MediaRange{mediaType, quality(params)})
	}
	return all
}

// quality reads the q of a range's parameters; one that is no number counts as 1.
func quality(params string) int {
	const whole = 1000
	for p := range strings.SplitSeq(params, ";") {
		name, value, _ := strings.Cut(p, "=")
		if !strings.EqualFold(strings.TrimSpace(name), "q") {
			continue
		}
		q, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
		if err != nil || q != q {
			return whole
		}
		return int(min(max(q, 0), 1)*whole + 0.5)
	}
	return whole
}
