package paste69

import (
	"errors"
	"net/url"
	"strconv"
	"strings"
	"time"

	"ringbin/node"
)

// Limits of lists.
const (
	pageStandard = 10
	pageMost     = 100
	pagesMax     = 1_000_000_000 // beyond, a list has nothing anyway
	daysStandard = 30
)

const newestFirst = "created_at"

var sorts = map[string]bool{
	newestFirst: true, "expires_at": true, "size": true, "filename": true, "views": true, "clicks": true,
}

// parsePaging reads page, limit (or per_page) and sort.
func parsePaging(q url.Values) (node.ListOrder, error) {
	limitName := "limit"
	if !q.Has(limitName) {
		limitName = "per_page"
	}
	page, err := positive(q, "page", 1, pagesMax)
	if err != nil {
		return node.ListOrder{}, err
	}
	limit, err := positive(q, limitName, pageStandard, pageMost)
	if err != nil {
		return node.ListOrder{}, err
	}
	o := node.ListOrder{Page: page, Limit: limit, Sort: newestFirst}
	if sort, reverse := strings.CutPrefix(q.Get("sort"), "-"); sorts[sort] {
		o.Sort, o.Reverse = sort, reverse
	}
	return o, nil
}

// positive reads a positive integer; what is above most counts as most.
func positive(q url.Values, name string, standard, most int) (int, error) {
	if !q.Has(name) {
		return standard, nil
	}
	text := q.Get(name)
	n, err := strconv.ParseUint(text, 10, 64) // takes no sign
	if errors.Is(err, strconv.ErrRange) {
		return most, nil
	}
	if err != nil || n == 0 {
		return 0, invalid("invalid_paging", textPaging, err)
	}
	return int(min(n, uint64(most))), nil
}

// parseDayRange reads start_date and end_date: days since 1970 in UTC, both
// inclusive. An empty one is none, as browsers send it.
func parseDayRange(q url.Values, now time.Time) (from, to int32, err error) {
	today := dayOf(now)
	start, end := q.Get("start_date"), q.Get("end_date")
	if from, err = parseDay(start); err != nil {
		return 0, 0, err
	}
	if to, err = parseDay(end); err != nil {
		return 0, 0, err
	}
	switch {
	case start == "" && end == "":
		from, to = today-(daysStandard-1), today
	case start == "":
		from = to - (daysStandard - 1)
	case end == "":
		to = min(from+(daysStandard-1), today)
	}
	if from > to {
		return 0, 0, invalid("invalid_dates", textDates, nil)
	}
	return from, to, nil
}

func parseDay(text string) (int32, error) {
	if text == "" {
		return 0, nil
	}
	day, err := time.Parse(time.DateOnly, text)
	if err != nil {
		return 0, invalid("invalid_dates", textDates, err)
	}
	return dayOf(day), nil
}

// dayOf counts days since 1970 in UTC.
func dayOf(t time.Time) int32 {
	const secondsOfDay = 24 * 60 * 60
	t = t.UTC()
	midnight := time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, time.UTC)
	return int32(midnight.Unix() / secondsOfDay)
}
