package node

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"ringbin/storage"
	"ringbin/storage/meta"
)

func TestRetention(t *testing.T) {
	t.Parallel()
	p := meta.DefaultPaste69()
	for _, row := range []struct{ size, anonymous, withKey int64 }{
		{1, 3071, 17519},
		{1024, 3071, 17519},
		{65_536, 3069, 17503},
		{1_048_576, 3026, 17257},
		{5_242_880, 2845, 16207},
		{16_777_216, 2346, 13320},
		{33_554_432, 1620, 9120},
		{50_331_648, 894, 4920},
		{62_914_560, 349, 1770},
		{67_108_864, 168, 720},
		{67_108_865, 168, 720},
		{1 << 50, 168, 720},
		{0, 128 * 24, 730 * 24},
	} {
		if got := retention(p, false, row.size); got != row.anonymous {
			t.Errorf("%d bytes, anonymous: %d h, want %d", row.size, got, row.anonymous)
		}
		if got := retention(p, true, row.size); got != row.withKey {
			t.Errorf("%d bytes, with a key: %d h, want %d", row.size, got, row.withKey)
		}
	}
}

// TestRetentionFalls: larger pastes are never kept longer, and all are kept
// within the bounds, whatever the settings.
func TestRetentionFalls(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p := meta.DefaultPaste69()
		p.KeyMinDays = rapid.Int64Range(1, 36_500).Draw(t, "min")
		p.KeyMaxDays = rapid.Int64Range(p.KeyMinDays, 36_500).Draw(t, "max")
		p.RetentionReference = rapid.Int64Range(1, 1<<62).Draw(t, "reference")
		small := rapid.Int64Range(0, 1<<62).Draw(t, "small")
		large := rapid.Int64Range(small, 1<<62).Draw(t, "large")
		a, b := retention(p, true, small), retention(p, true, large)
		if a < b || b < 24*p.KeyMinDays || a > 24*p.KeyMaxDays {
			t.Fatalf("%d h for %d bytes, %d h for %d", a, small, b, large)
		}
	})
}

func at(text string) int64 {
	v, err := time.Parse(time.RFC3339, text)
	if err != nil {
		panic(err)
	}
	return v.UnixMilli()
}

func TestExpiryEnds(t *testing.T) {
	t.Parallel()
	const hour, day = 3600, 24 * 3600
	for _, c := range []struct {
		now  string
		e    Expiry
		want string // a time, or a code
	}{
		{"2024-03-20T15:30:00Z", Expiry{Seconds: day}, "2024-03-21T15:30:00Z"},
		{"2024-03-20T15:30:00Z", Expiry{Seconds: 7*day + 2*hour + 45*60}, "2024-03-27T18:15:00Z"},
		{"2028-01-31T12:00:00Z", Expiry{Months: 1}, "2028-02-29T12:00:00Z"},
		{"2028-02-29T12:00:00Z", Expiry{Months: 12}, "2029-02-28T12:00:00Z"},
		{"2028-01-31T12:00:00Z", Expiry{Months: 1, Seconds: day}, "2028-03-01T12:00:00Z"},
		{"2027-12-31T23:59:59Z", Expiry{Months: 2}, "2028-02-29T23:59:59Z"},
		{"2024-03-20T15:30:00Z", Expiry{At: at("2024-03-20T15:30:01Z") / 1000}, "2024-03-20T15:30:01Z"},
		{"2024-03-20T15:30:00Z", Expiry{At: at("2024-03-20T15:30:00Z") / 1000}, "expiry_not_future"},
		{"2024-03-20T15:30:00Z", Expiry{At: -5}, "expiry_not_future"},
		{"2024-03-20T15:30:00Z", Expiry{At: at("9999-12-31T23:59:59Z") / 1000}, "9999-12-31T23:59:59Z"},
		{"2024-03-20T15:30:00Z", Expiry{At: at("9999-12-31T23:59:59Z")/1000 + 1}, "expiry_invalid"},
		{"2024-03-20T15:30:00Z", Expiry{Months: 12 * 7976}, "expiry_invalid"},
		{"2024-03-20T15:30:00Z", Expiry{Months: 12 * 7975}, "9999-03-20T15:30:00Z"},
		{"2024-03-20T15:30:00Z", Expiry{Months: 12 * 999_999_999}, "expiry_invalid"},
		{"2024-03-20T15:30:00Z", Expiry{Seconds: 1 << 62}, "expiry_invalid"},
		{"2024-03-20T15:30:00Z", Expiry{Seconds: -1}, "expiry_invalid"},
		{"2024-03-20T15:30:00Z", Expiry{Months: -1, Seconds: day}, "expiry_invalid"},
		{"2024-03-20T15:30:00Z", Expiry{}, "expiry_invalid"},
	} {
		end, err := c.e.end(at(c.now))
		got := storage.CodeOf(err)
		if err == nil {
			got = time.UnixMilli(end).UTC().Format(time.RFC3339)
		}
		if got != c.want {
			t.Errorf("%+v at %s: %s, want %s", c.e, c.now, got, c.want)
		}
	}
}

// TestPasteEnds: the default and the cap are the same hours, compared to the second.
func TestPasteEnds(t *testing.T) {
	t.Parallel()
	const now = int64(1_710_948_600_000)
	hours := func(h int64) Expiry { return Expiry{Seconds: h * 3600} }
	for _, c := range []struct {
		name    string
		never   string // the setting
		withKey bool
		size    int64
		e       Expiry
		hours   int64 // -1: never
		code    string
	}{
		{name: "the default, anonymous", size: 1, hours: 3071},
		{name: "the default with a key", withKey: true, size: 1, hours: 17519},
		{name: "as long as may be", size: 1, e: hours(3071), hours: 3071},
		{name: "a second more", size: 1, e: Expiry{Seconds: 3071*3600 + 1}, code: "expiry_too_long"},
		{name: "128 days", size: 1, e: hours(128 * 24), code: "expiry_too_long"},
		{name: "four months are 122 days", size: 1, e: Expiry{Months: 4}, hours: 122 * 24},
		{name: "two years with a key", withKey: true, size: 1, e: Expiry{Months: 24}, code: "expiry_too_long"},
		{name: "a large one", size: 64 << 20, e: hours(169), code: "expiry_too_long"},
		{name: "to the very date", size: 64 << 20, e: Expiry{At: now/1000 + 168*3600}, hours: 168},
		{name: "never, anonymous", e: Expiry{Never: true}, code: "never_needs_key"},
		{name: "never with a key", withKey: true, size: 1 << 40, e: Expiry{Never: true}, hours: -1},
		{name: "never for nobody", never: "nobody", withKey: true, e: Expiry{Never: true}, code: "never_needs_key"},
		{name: "never for anyone", never: "anyone", e: Expiry{Never: true}, hours: -1},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := meta.DefaultPaste69()
			if c.never != "" {
				p.RetentionNever = c.never
			}
			end, err := pasteEnd(p, c.withKey, c.size, c.e, now)
			want := now + c.hours*hourMillis
			if c.hours < 0 {
				want = 0
			}
			if storage.CodeOf(err) != c.code || err == nil && end != want {
				t.Fatalf("ends %d h from now (%v)", (end-now)/hourMillis, err)
			}
			if c.code == "expiry_too_long" {
				e, ok := err.(*storage.Error) //nolint:errorlint // it comes bare
				if !ok || e.Details["max_hours"] != retention(p, c.withKey, c.size) {
					t.Fatalf("%#v", err)
				}
			}
		})
	}
}

func TestLinkEnds(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		e    Expiry
		want string
	}{
		{Expiry{}, "0"},
		{Expiry{Never: true}, "0"},
		{Expiry{Seconds: 7}, "12000"},
		{Expiry{Months: 12 * 1000}, "31556995205000"},
		{Expiry{At: 4}, "expiry_not_future"},
	} {
		end, err := linkEnd(c.e, 5000)
		got := fmt.Sprint(end)
		if err != nil {
			got = storage.CodeOf(err)
		}
		if got != c.want {
			t.Errorf("%+v: %s, want %s", c.e, got, c.want)
		}
	}
}
