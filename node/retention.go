package node

import (
	"math/bits"
	"time"

	"ringbin/storage"
	"ringbin/storage/meta"
)

// Limits of expiry.
const (
	yearMax     = 9999
	secondsMost = yearMax * 366 * 24 * 3600 // of one wish: no sum with it overflows
	hourMillis  = 3_600_000
)

// Expiry is a wish for an end. The zero value is no wish.
type Expiry struct {
	Never   bool
	At      int64 // Unix seconds; 0: relative
	Months  int64 // calendar months, the day clamped to the end of the month, in UTC
	Seconds int64 // then a span of that many seconds
}

func (e Expiry) wished() bool { return e != Expiry{} }

// end returns when the wish ends, in Unix milliseconds; now is whole seconds,
// in milliseconds, too. A wish for never has no end.
func (e Expiry) end(now int64) (int64, error) {
	const op = "node.Expiry"
	if e.At != 0 {
		if e.At > unixMax {
			return 0, expiryInvalid(op)
		}
		if e.At*1000 <= now {
			return 0, &storage.Error{Op: op, Kind: storage.KindInvalid, Code: "expiry_not_future"}
		}
		return e.At * 1000, nil
	}
	if e.Months < 0 || e.Months > yearMax*12 || e.Seconds < 0 || e.Seconds > secondsMost || e.Months+e.Seconds == 0 {
		return 0, expiryInvalid(op)
	}
	end := addMonths(time.UnixMilli(now).UTC(), e.Months).Unix() + e.Seconds
	if end > unixMax {
		return 0, expiryInvalid(op)
	}
	return end * 1000, nil
}

// unixMax is the last second of the year 9999.
const unixMax = 253_402_300_799

func expiryInvalid(op string) error {
	return &storage.Error{Op: op, Kind: storage.KindInvalid, Code: "expiry_invalid"}
}

// addMonths adds calendar months: the day is the same, or the month's last
// where the month is too short for it.
func addMonths(t time.Time, months int64) time.Time {
	year, month, day := t.Date()
	first := time.Date(year, month+time.Month(months), 1, t.Hour(), t.Minute(), t.Second(), 0, time.UTC)
	last := first.AddDate(0, 1, -1).Day()
	return first.AddDate(0, 0, min(day, last)-1)
}

// Retention returns for how many hours a paste of size bytes is kept when
// nothing else is wished for, and at most when something is.
func (s *Service) Retention(withKey bool, size int64) (hours int64) {
	return retention(s.Settings().Paste69, withKey, size)
}

// retention is floor(24 * (min + (max-min) * (1 - min(1, size/reference)))),
// exactly: the product has 128 bits.
func retention(p meta.Paste69Settings, withKey bool, size int64) int64 {
	least, most := daysKept(p, withKey)
	reference := max(p.RetentionReference, 1)
	left := reference - min(max(size, 0), reference)
	hi, lo := bits.Mul64(uint64(24*max(most-least, 0)), uint64(left))
	more, _ := bits.Div64(hi, lo, uint64(reference)) // left is at most reference: no overflow
	return 24*least + int64(more)
}

func daysKept(p meta.Paste69Settings, withKey bool) (least, most int64) {
	if withKey {
		return p.KeyMinDays, p.KeyMaxDays
	}
	return p.AnonymousMinDays, p.AnonymousMaxDays
}

// pasteEnd returns when a paste ends: what is wished for within its retention,
// which counts from now.
func pasteEnd(p meta.Paste69Settings, withKey bool, size int64, e Expiry, now int64) (int64, error) {
	const op = "node.pasteEnd"
	hours := retention(p, withKey, size)
	switch {
	case !e.wished():
		return now + hours*hourMillis, nil
	case e.Never:
		return 0, mayStayForever(op, p, withKey)
	}
	end, err := e.end(now)
	if err != nil {
		return 0, err
	}
	if end-now > hours*hourMillis {
		return 0, &storage.Error{
			Op: op, Kind: storage.KindInvalid, Code: "expiry_too_long", Details: map[string]any{"max_hours": hours},
		}
	}
	return end, nil
}

func mayStayForever(op string, p meta.Paste69Settings, withKey bool) error {
	if p.RetentionNever == "anyone" || p.RetentionNever == "key" && withKey {
		return nil
	}
	return unauthenticated(op, "never_needs_key")
}

// linkEnd returns when a short link ends: never, unless it is wished for.
func linkEnd(e Expiry, now int64) (int64, error) {
	if !e.wished() || e.Never {
		return 0, nil
	}
	return e.end(now)
}

// second cuts a time in milliseconds to whole seconds: that is what is shown,
// and what everything counts from.
func second(millis int64) int64 { return millis / 1000 * 1000 }
