package paste69

import (
	"errors"
	"math/big"
	"regexp"
	"strings"
	"testing"
	"time"

	"ringbin/node"
	"ringbin/storage"
)

// textOf is what a client reads of an error.
func textOf(err error) string {
	if e, ok := errors.AsType[*storage.Error](err); ok {
		return e.Text
	}
	if err != nil {
		return "not a storage.Error: " + err.Error()
	}
	return ""
}

var noon = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)

func TestExpiresIn(t *testing.T) {
	t.Parallel()
	const hour, day = 60 * 60, 24 * 60 * 60
	tests := []struct {
		in   string
		want node.Expiry
	}{
		{"24h", node.Expiry{Seconds: day}},
		{"1d", node.Expiry{Seconds: day}},
		{"1 DAY", node.Expiry{Seconds: day}},
		{"7 days 2 hours and 45 minutes", node.Expiry{Seconds: 7*day + 2*hour + 45*60}},
		{"1h30m", node.Expiry{Seconds: 90 * 60}},
		{"1.5h", node.Expiry{Seconds: 90 * 60}},
		{"1 hour, and 30 min", node.Expiry{Seconds: 90 * 60}},
		{"1 hour ,and30 min", node.Expiry{Seconds: 90 * 60}},
		{"0h 5m", node.Expiry{Seconds: 300}},
		{"1mo", node.Expiry{Months: 1}},
		{"1y", node.Expiry{Months: 12}},
		{"1y 2mo 1mon 3d", node.Expiry{Months: 15, Seconds: 3 * day}},
		{"1fortnight2wk", node.Expiry{Seconds: 28 * day}},
		{"never", node.Expiry{Never: true}},
		{" \t NeVeR\r\n", node.Expiry{Never: true}},
		{"1ns", node.Expiry{Seconds: 1}},
		{"0.001ns", node.Expiry{Seconds: 1}},
		{"1s 1ns", node.Expiry{Seconds: 2}},
		{"999.999ms 1us", node.Expiry{Seconds: 1}},
		{"1000ms", node.Expiry{Seconds: 1}},
		{"0.001s", node.Expiry{Seconds: 1}},
		{"0.5 nanoseconds and 0.5 nano", node.Expiry{Seconds: 1}},
		{"000000001h", node.Expiry{Seconds: hour}},
		{"1.50h", node.Expiry{Seconds: 90 * 60}},
		{"1.050 hrs", node.Expiry{Seconds: 63 * 60}},
		{"0mo 1s", node.Expiry{Seconds: 1}},
	}
	for _, tt := range tests {
		if got, err := parseExpiresIn(tt.in, noon); err != nil || got != tt.want {
			t.Errorf("parseExpiresIn(%q) = %+v, %v, want %+v", tt.in, got, err, tt.want)
		}
	}
	for _, in := range []string{
		"", " ", "90", "-1h", "+1h", "1h -1m", "1h junk", "P1D", "1.5mo", "1.0y", "2024-01-01", "and 1h", "1h,", "1h and",
		"1h,,1m", "1h and and 1m", "1h and, 1m", "0h", "0", "0.000s", "never 1h", "1h never", "nevermore", "1.h", ".5h",
		"1.0000h", "0000000001h", "1234567890s", "9999999 years", "99999999y", "1hand30m", "1H30", "1h;1m", "1 000 h",
		"1\u00a0h", "1\u212a", "١h", "1µs", "1e3s", "1h\x00", "infinity", "0x1h", "7974y", "1h 95688mo",
		strings.Repeat("999999999y", 1000), strings.Repeat("999999999fortnights", 6000),
	} {
		if got, err := parseExpiresIn(in, noon); textOf(err) != "Invalid expiration format" || storage.KindOf(err) != storage.KindInvalid {
			t.Errorf("parseExpiresIn(%.40q) = %+v, %v", in, got, err)
		}
	}
	if _, err := parseExpiresIn("7973y", noon); err != nil {
		t.Error("the year 9999 is none too late:", err)
	}
}

func TestEndOf(t *testing.T) {
	t.Parallel()
	at := func(s string) time.Time {
		v, err := time.Parse(time.RFC3339, s)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	for _, tt := range []struct{ now, in, want string }{
		{"2028-01-31T12:00:00Z", "1mo", "2028-02-29T12:00:00Z"},
		{"2028-02-29T00:00:00Z", "1y", "2029-02-28T00:00:00Z"},
		{"2026-10-31T00:00:00Z", "4mo", "2027-02-28T00:00:00Z"},
		{"2026-01-31T23:00:00Z", "1mo 1h", "2026-03-01T00:00:00Z"},
		{"2026-12-31T23:59:59Z", "12mo", "2027-12-31T23:59:59Z"},
		{"2026-01-31T23:00:00-05:00", "1mo", "2026-03-01T04:00:00Z"},
		{"2026-01-01T00:00:00Z", "2912000d", "9998-10-15T00:00:00Z"},
	} {
		e, err := parseExpiresIn(tt.in, at(tt.now))
		if err != nil {
			t.Fatal(err)
		}
		if got := endOf(e, at(tt.now)); !got.Equal(at(tt.want)) {
			t.Errorf("%s and %s is %v, want %s", tt.now, tt.in, got, tt.want)
		}
	}
}

func TestExpiresAt(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]time.Time{
		"2026-03-05":                       time.Date(2026, 3, 5, 0, 0, 0, 0, time.UTC),
		"2026-03-04T12:00:01Z":             noon.Add(time.Second),
		"2026-03-04T12:00:00.000000001Z":   noon.Add(time.Second),
		"2026-03-04T13:30:00+01:00":        noon.Add(30 * time.Minute),
		"2026-03-04t12:30:00z":             noon.Add(30 * time.Minute),
		"2026-03-04T06:00:00.5-07:00":      noon.Add(time.Hour + time.Second),
		"9999-12-31T23:59:59Z":             time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC),
		"9999-12-31":                       time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC),
		"2028-02-29":                       time.Date(2028, 2, 29, 0, 0, 0, 0, time.UTC),
		"2026-03-04T12:00:00.9999999999Z":  noon.Add(time.Second),
		"2026-03-04T12:00:00.00000000001Z": noon.Add(time.Second),
	} {
		got, err := parseExpiresAt(in, noon)
		if err != nil || got != (node.Expiry{At: want.Unix()}) {
			t.Errorf("parseExpiresAt(%q) = %+v, %v, want %v", in, got, err, want)
		}
	}
	for _, in := range []string{
		"", "tomorrow", "2026-13-01", "2026-02-29", "2026-3-4", "03/04/2026", "2026-03-04 12:30:00Z", "2026-03-04T12:30:00",
		"2026-03-04T24:00:00Z", "2026-03-04T12:30:00,5Z", "2026-03-04T1:30:00Z", "1767225600", "never", "24h", " 2026-03-05",
		"9999-12-31T23:59:59.5Z", "9999-12-31T23:59:59-00:01", "2026-03-05Z", "12026-01-01", "2026-03-04T12:30:00+25:00",
	} {
		if got, err := parseExpiresAt(in, noon); textOf(err) != "Invalid expiration format" {
			t.Errorf("parseExpiresAt(%q) = %+v, %v", in, got, err)
		}
	}
	for _, in := range []string{"2026-03-04", "2026-03-04T12:00:00Z", "1970-01-01", "0001-01-01", "0000-01-01T00:00:00Z", "1969-12-31T23:59:59Z"} {
		if got, err := parseExpiresAt(in, noon); textOf(err) != "Expiration time must be in the future" {
			t.Errorf("parseExpiresAt(%q) = %+v, %v", in, got, err)
		}
	}
}

// slowExpiresIn reads a duration the way the contract writes it down: a regular
// expression for the whole, and exact fractions.
func slowExpiresIn(text string, now time.Time) (node.Expiry, bool) {
	const ws = `[ \t\r\n\v\f]*`
	number, name := `([0-9]{1,9})(?:\.([0-9]{1,3}))?`, `([A-Za-z]+)`
	whole := regexp.MustCompile(`^` + ws + number + ws + name + `((?:` + ws + `,?` + ws + `(?:[aA][nN][dD])?` + ws + number + ws + name + `)*)` + ws + `$`)
	if regexp.MustCompile(`^` + ws + `(?i:never)` + ws + `$`).MatchString(text) {
		return node.Expiry{Never: true}, true
	}
	if !whole.MatchString(text) {
		return node.Expiry{}, false
	}
	months, nanos := new(big.Int), new(big.Rat)
	for _, m := range regexp.MustCompile(number+ws+name).FindAllStringSubmatch(text, -1) {
		count, ok := new(big.Rat).SetString(m[1] + "." + m[2] + "0")
		if !ok {
			return node.Expiry{}, false
		}
		switch word := strings.ToLower(m[3]); {
		case is(word, "mo mon month months y yr yrs year years"):
			if m[2] != "" {
				return node.Expiry{}, false
			}
			n := new(big.Int).Set(count.Num())
			if word[0] == 'y' {
				n.Mul(n, big.NewInt(12))
			}
			months.Add(months, n)
		default:
			span, known := spans[word]
			if !known {
				return node.Expiry{}, false
			}
			nanos.Add(nanos, count.Mul(count, new(big.Rat).SetInt64(int64(span))))
		}
	}
	seconds := nanos.Quo(nanos, new(big.Rat).SetInt64(int64(time.Second)))
	up := new(big.Int).Add(seconds.Num(), new(big.Int).Sub(seconds.Denom(), big.NewInt(1)))
	up.Div(up, seconds.Denom())
	if months.Sign() == 0 && up.Sign() == 0 || !months.IsInt64() || !up.IsInt64() || months.Int64() > 1<<20 || up.Int64() > 1<<40 {
		return node.Expiry{}, false
	}
	e := node.Expiry{Months: months.Int64(), Seconds: up.Int64()}
	// A month later that has no such day is the month after that, here.
	day := now.Day()
	end := time.Date(now.Year(), now.Month()+time.Month(e.Months), day, now.Hour(), now.Minute(), now.Second(), 0, time.UTC)
	for end.Day() != day && end.Day() < day {
		end = end.AddDate(0, 0, -1)
	}
	return e, time.Unix(end.Unix()+e.Seconds, 0).UTC().Year() <= 9999
}

var spans = map[string]time.Duration{}

func is(word, words string) bool { return strings.Contains(" "+words+" ", " "+word+" ") }

func TestMain(m *testing.M) {
	for span, words := range map[time.Duration]string{
		time.Nanosecond: "ns nano nanos nanosecond nanoseconds", time.Microsecond: "us micro micros microsecond microseconds",
		time.Millisecond: "ms milli millis millisecond milliseconds", time.Second: "s sec secs second seconds",
		time.Minute: "m min mins minute minutes", time.Hour: "h hr hrs hour hours", 24 * time.Hour: "d day days",
		7 * 24 * time.Hour: "w wk wks week weeks", 14 * 24 * time.Hour: "fortnight fortnights",
	} {
		for word := range strings.FieldsSeq(words) {
			spans[word] = span
		}
	}
	m.Run()
}

func FuzzExpiresIn(f *testing.F) {
	for _, s := range []string{
		"24h", "7 days 2 hours and 45 minutes", "1h30m", "1.5h, and 3ms", "never", " 1mo1y ", "0h", "1hand30m", "9999999 years",
		"7973y 9mo 27d", "95687mo", "0.001ns", "1.5mo", "1h,", "and 1h", "999999999.999fortnights", "251000000000s",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := parseExpiresIn(text, noon)
		want, ok := slowExpiresIn(text, noon)
		if (err == nil) != ok || ok && got != want {
			t.Fatalf("parseExpiresIn(%q) = %+v, %v; slowly: %+v, %v", text, got, err, want, ok)
		}
		if err == nil && (got == node.Expiry{}) {
			t.Fatal("a wish for nothing")
		}
	})
}

func FuzzExpiresAt(f *testing.F) {
	for _, s := range []string{"2026-12-31", "2026-12-31T23:59:59Z", "2026-12-31T23:59:59.5+02:00", "9999-12-31T23:59:59-12:00", "x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		e, err := parseExpiresAt(text, noon)
		if err != nil {
			return
		}
		at := time.Unix(e.At, 0).UTC()
		if !at.After(noon) || at.Year() > 9999 {
			t.Fatalf("%q is %v", text, at)
		}
		again, err := parseExpiresAt(at.Format(time.RFC3339), noon)
		if err != nil || again != e {
			t.Fatalf("%q is %v, and that is %+v, %v", text, at, again, err)
		}
	})
}
