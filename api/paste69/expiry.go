package paste69

import (
	"errors"
	"regexp"
	"strings"
	"time"

	"ringbin/node"
)

// Limits of a duration: what leads beyond the year 9999 is no expiry.
const (
	yearMax    = 9999
	monthsMax  = 12 * yearMax
	secondsMax = yearMax * 366 * 24 * 60 * 60

	wholeDigitsMax    = 9
	fractionDigitsMax = 3
)

// picosecond is what spans are counted in below a second: a thousandth of the
// smallest unit, so that three decimals are exact.
const (
	picosOfSecond = 1_000_000_000_000
	picosOfNano   = 1_000
)

// unit is what one unit of a duration adds: calendar months, or a fixed span
// of whole seconds, or one below a second.
type unit struct {
	months, seconds, picos int64
}

var units = unitsOf(map[unit]string{
	{picos: picosOfNano}:             "ns nano nanos nanosecond nanoseconds",
	{picos: picosOfNano * 1_000}:     "us micro micros microsecond microseconds",
	{picos: picosOfNano * 1_000_000}: "ms milli millis millisecond milliseconds",
	{seconds: 1}:                     "s sec secs second seconds",
	{seconds: 60}:                    "m min mins minute minutes",
	{seconds: 60 * 60}:               "h hr hrs hour hours",
	{seconds: 24 * 60 * 60}:          "d day days",
	{seconds: 7 * 24 * 60 * 60}:      "w wk wks week weeks",
	{seconds: 14 * 24 * 60 * 60}:     "fortnight fortnights",
	{months: 1}:                      "mo mon month months",
	{months: 12}:                     "y yr yrs year years",
})

func unitsOf(words map[unit]string) map[string]unit {
	byWord := map[string]unit{}
	for u, list := range words {
		for word := range strings.FieldsSeq(list) {
			byWord[word] = u
		}
	}
	return byWord
}

var errExpiry = errors.New("not a duration")

func badExpiry(err error) error { return invalid("expiry_invalid", textExpiry, err) }

// parseExpiresIn reads a duration. now is only for the year that it may not
// lead beyond; the result counts from whenever node says.
func parseExpiresIn(text string, now time.Time) (node.Expiry, error) {
	p := durationParser{rest: lower(text)}
	e, err := p.parse()
	if err == nil && !e.Never && endOf(e, now).Year() > yearMax {
		err = errors.New("beyond the year 9999")
	}
	if err != nil {
		return node.Expiry{}, badExpiry(err)
	}
	return e, nil
}

// endOf adds months first, the day clamped to the end of the month, then the
// fixed span.
func endOf(e node.Expiry, now time.Time) time.Time {
	now = now.UTC()
	year, month, day := now.Date()
	first := time.Date(year, month+time.Month(e.Months), 1, 0, 0, 0, 0, time.UTC)
	last := first.AddDate(0, 1, -1).Day()
	hour, minute, second := now.Clock()
	end := time.Date(first.Year(), first.Month(), min(day, last), hour, minute, second, now.Nanosecond(), time.UTC)
	// Not Add: its Duration ends after 292 years.
	return time.Unix(end.Unix()+e.Seconds, int64(end.Nanosecond())).UTC()
}

// durationParser reads, in lower case:
//
//	expires_in = ws ( "never" / terms ) ws
//	terms      = term *( sep term )
//	sep        = ws [ "," ws ] [ "and" ws ]
//	term       = number ws unit
//	number     = 1*9 DIGIT [ "." 1*3 DIGIT ]
type durationParser struct {
	rest                   string
	months, seconds, picos int64
}

func (p *durationParser) parse() (node.Expiry, error) {
	p.space()
	if strings.TrimRight(p.rest, spaces) == "never" {
		return node.Expiry{Never: true}, nil
	}
	for {
		if err := p.term(); err != nil {
			return node.Expiry{}, err
		}
		p.space()
		if p.rest == "" {
			break
		}
		p.separator()
	}
	if p.picos > 0 {
		p.seconds++ // rounded up
	}
	if p.months == 0 && p.seconds == 0 {
		return node.Expiry{}, errExpiry
	}
	return node.Expiry{Months: p.months, Seconds: p.seconds}, nil
}

const spaces = " \t\r\n\v\f"

func (p *durationParser) space() { p.rest = strings.TrimLeft(p.rest, spaces) }

// separator skips what may stand between two terms, white space being gone.
func (p *durationParser) separator() {
	for _, word := range []string{",", "and"} {
		if after, found := strings.CutPrefix(p.rest, word); found {
			p.rest = after
			p.space()
		}
	}
}

// term reads a number and its unit, and adds them up.
func (p *durationParser) term() error {
	whole, err := p.digits(wholeDigitsMax)
	if err != nil {
		return err
	}
	thousandths, fraction := int64(0), strings.HasPrefix(p.rest, ".")
	if fraction {
		p.rest = p.rest[1:]
		before := len(p.rest)
		if thousandths, err = p.digits(fractionDigitsMax); err != nil {
			return err
		}
		for n := before - len(p.rest); n < fractionDigitsMax; n++ {
			thousandths *= 10
		}
	}
	p.space()
	u, known := units[p.word()]
	if !known || fraction && u.months > 0 {
		return errExpiry
	}
	return p.add(u, whole, thousandths)
}

// add can't overflow: a number has nine digits, and totals are held to their
// limits after each term.
func (p *durationParser) add(u unit, whole, thousandths int64) error {
	p.months += whole * u.months
	p.seconds += whole * u.seconds
	p.picos += whole*u.picos + thousandths*(u.picos/1000+u.seconds*(picosOfSecond/1000))
	p.seconds += p.picos / picosOfSecond
	p.picos %= picosOfSecond
	if p.months > monthsMax || p.seconds > secondsMax {
		return errExpiry
	}
	return nil
}

func (p *durationParser) digits(most int) (int64, error) {
	n, i := int64(0), 0
	for ; i < len(p.rest) && p.rest[i] >= '0' && p.rest[i] <= '9'; i++ {
		if i == most {
			return 0, errExpiry
		}
		n = n*10 + int64(p.rest[i]-'0')
	}
	if i == 0 {
		return 0, errExpiry
	}
	p.rest = p.rest[i:]
	return n, nil
}

// word takes the whole run of letters: 1hand is one hand.
func (p *durationParser) word() string {
	i := 0
	for i < len(p.rest) && p.rest[i] >= 'a' && p.rest[i] <= 'z' {
		i++
	}
	word := p.rest[:i]
	p.rest = p.rest[i:]
	return word
}

// lower changes ASCII letters only: a unit is written in no others.
func lower(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, s)
}

// parseExpiresAt reads a date, which is the first second of that day in UTC,
// or RFC 3339 with any offset, rounded up to a whole second.
func parseExpiresAt(text string, now time.Time) (node.Expiry, error) {
	at, err := parseMoment(text)
	if err == nil && at.Year() > yearMax {
		err = errors.New("beyond the year 9999")
	}
	if err != nil {
		return node.Expiry{}, badExpiry(err)
	}
	if !at.After(now) {
		return node.Expiry{}, invalid("expiry_not_future", textPast, nil)
	}
	return node.Expiry{At: at.Unix()}, nil
}

// moment is RFC 3339; time.Parse takes more. The fraction is apart: it may be
// finer than a time.Time.
var moment = regexp.MustCompile(`^([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.([0-9]+))?(Z|[+-][0-9]{2}:[0-9]{2})$`)

// parseMoment returns a whole second in UTC.
func parseMoment(text string) (time.Time, error) {
	if len(text) == len(time.DateOnly) {
		return time.Parse(time.DateOnly, text)
	}
	m := moment.FindStringSubmatch(strings.ToUpper(text)) // its letters may be small (5.6)
	if m == nil {
		return time.Time{}, errors.New("not RFC 3339")
	}
	at, err := time.Parse(time.RFC3339, m[1]+m[3])
	if strings.Trim(m[2], "0") != "" {
		at = at.Add(time.Second)
	}
	return at.UTC(), err
}
