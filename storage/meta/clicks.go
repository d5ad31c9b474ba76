package meta

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/cockroachdb/pebble/v2"
)

// AddCounts adds what nodes have counted in memory. Things that are not there,
// or not any more, are passed over. It has no value.
type AddCounts struct {
	Views  []ViewCount  `cbor:"1,keyasint,omitempty"` // each list of at most [CountsMax]
	Clicks []ClickCount `cbor:"2,keyasint,omitempty"`
	Uses   []KeyUse     `cbor:"3,keyasint,omitempty"`
	Notes  []ViewCount  `cbor:"4,keyasint,omitempty"`
}

// ViewCount is how often a paste or note was viewed.
type ViewCount struct {
	ID string `cbor:"1,keyasint"`
	N  int64  `cbor:"2,keyasint"`
}

// ClickCount is what was counted of a short link on a day. N is 0 in what goes
// on after another ClickCount of that day.
type ClickCount struct {
	ID        string           `cbor:"1,keyasint"`
	Day       int32            `cbor:"2,keyasint"` // since 1970, UTC
	N         int64            `cbor:"3,keyasint"`
	Last      int64            `cbor:"4,keyasint"`           // when the last click was
	Visitors  [][8]byte        `cbor:"5,keyasint,omitempty"` // hashes under the day's salt
	Referrers map[string]int64 `cbor:"6,keyasint,omitempty"`
	Countries map[string]int64 `cbor:"7,keyasint,omitempty"`
	Browsers  map[string]int64 `cbor:"8,keyasint,omitempty"`
}

// SetSalt proposes the salt of a day's visitors. The first one of a day holds:
// its value is the [Salt] that does.
type SetSalt struct {
	Day  int32    `cbor:"1,keyasint"`
	Salt [32]byte `cbor:"2,keyasint"`
}

// Salt is what a day's visitors are hashed with. It is erased with their hashes.
type Salt struct {
	Day  int32    `cbor:"1,keyasint"`
	Salt [32]byte `cbor:"2,keyasint"`
}

// Limits of counts.
const (
	// CountsMax bounds each list of one AddCounts. [CommandMax] bounds all of it.
	CountsMax = 1000

	countMax    = 1 << 32 // of one ViewCount or ClickCount
	visitorsMax = 100_000 // told apart of a short link and day; there may be more
	namesMax    = 256     // told apart of a short link, day and sort; there are fewer countries
	nameMax     = 255     // bytes
)

// Sorts of names.
const (
	nameReferrer byte = 'r'
	nameCountry  byte = 'c'
	nameBrowser  byte = 'b'
)

var nameSorts = [...]byte{nameReferrer, nameCountry, nameBrowser}

// dayRecord is what is kept of a short link's clicks on a day, beside a row for each name.
type dayRecord struct {
	Clicks   int64                 `cbor:"1,keyasint"`
	Visitors int64                 `cbor:"2,keyasint,omitempty"` // told apart
	Names    [len(nameSorts)]int64 `cbor:"3,keyasint"`           // told apart, of each sort
}

func dayOf(ms int64) int32 { return int32(ms / dayMillis) }

// eraseAt is when a day's salt and visitors may go: a day after its end, when no
// clicks of it come any more. Sweeps have another one until they must be gone.
func eraseAt(day int32) int64 { return (int64(day) + 2) * dayMillis }

// countable reports whether clicks of a day can be: clocks differ, but not by days.
func (t *tx) countable(day int32) bool { return day >= 0 && day <= dayOf(t.time)+1 }

func dayKey(link string, day int32) keyBuilder { return key(tableClicks).str(link).day(day) }

func saltKey(day int32) []byte { return key(tableSalts).day(day) }

func dayID(day int32) []byte { return keyBuilder(nil).day(day) }

func (t *tx) addCounts(_ Header, c AddCounts) (none, error) {
	if max(len(c.Views), len(c.Clicks), len(c.Uses), len(c.Notes)) > CountsMax {
		return none{}, refuseField("AddCounts", "counts", "at most 1000 of each sort")
	}
	for _, v := range c.Views {
		if err := t.addViews(v); err != nil {
			return none{}, err
		}
	}
	for _, v := range c.Notes {
		if err := t.addNoteViews(v); err != nil {
			return none{}, err
		}
	}
	for _, k := range c.Clicks {
		if err := t.addClicks(k); err != nil {
			return none{}, err
		}
	}
	return none{}, t.touch(c.Uses)
}

// addClicks counts clicks on a short link that is still there.
func (t *tx) addClicks(c ClickCount) error {
	l, ok, err := t.link(c.ID)
	if err != nil || !ok || c.N < 0 || c.N > countMax || !t.countable(c.Day) {
		return err
	}
	d, known, err := read[dayRecord](t, dayKey(c.ID, c.Day))
	if err != nil || !known && c.N == 0 {
		return err
	}
	if err := errors.Join(t.addVisitors(&d, c), t.addNames(&d, c)); err != nil {
		return err
	}
	d.Clicks += c.N
	l.Clicks += c.N
	l.LastClick = max(l.LastClick, c.Last)
	return errors.Join(write(t, dayKey(c.ID, c.Day), d), write(t, linkKey(l.ID), l))
}

// addVisitors counts those that the day has not seen, while its salt is kept.
func (t *tx) addVisitors(d *dayRecord, c ClickCount) error {
	if len(c.Visitors) == 0 || t.time >= eraseAt(c.Day) {
		return nil
	}
	for _, v := range c.Visitors {
		k := key(tableVisitors).day(c.Day).str(c.ID).raw(v[:])
		_, seen, err := t.get(k)
		if err != nil {
			return err
		}
		if seen || d.Visitors >= visitorsMax {
			continue
		}
		d.Visitors++
		if err := t.set(k, nil); err != nil {
			return err
		}
	}
	return t.setEnd(eraseAt(c.Day), endOfDay, dayID(c.Day))
}

// addNames counts under each name; those that come when there are enough are left out.
func (t *tx) addNames(d *dayRecord, c ClickCount) error {
	for i, names := range [len(nameSorts)]map[string]int64{c.Referrers, c.Countries, c.Browsers} {
		for _, name := range slices.Sorted(maps.Keys(names)) {
			n := names[name]
			if name == "" || len(name) > nameMax || n < 1 || n > countMax {
				continue
			}
			k := dayKey(c.ID, c.Day).byte(nameSorts[i]).raw([]byte(name))
			sum, known, err := read[int64](t, k)
			if err != nil {
				return err
			}
			if !known {
				if d.Names[i] >= namesMax {
					continue
				}
				d.Names[i]++
			}
			if err := write(t, k, sum+n); err != nil {
				return err
			}
		}
	}
	return nil
}

func (t *tx) setSalt(_ Header, c SetSalt) (Salt, error) {
	if !t.countable(c.Day) || t.time >= eraseAt(c.Day) {
		return Salt{}, refuseField("SetSalt", "day", "one of now")
	}
	s, known, err := read[Salt](t, saltKey(c.Day))
	if err != nil || known {
		return s, err
	}
	s = Salt(c)
	return s, errors.Join(write(t, saltKey(c.Day), s), t.setEnd(eraseAt(c.Day), endOfDay, dayID(c.Day)))
}

// LinkDay is what is known of a short link's clicks on a day.
type LinkDay struct {
	Day       int32 // since 1970, UTC
	Clicks    int64
	Visitors  int64 // told apart, up to a limit
	Referrers map[string]int64
	Countries map[string]int64
	Browsers  map[string]int64
}

// LinkDays returns a short link's days with clicks, both ends included, in order.
func (f *FSM) LinkDays(id string, from, to int32) (days []LinkDay, err error) {
	err = f.view("LinkDays", func(r pebble.Reader) error {
		if _, there, err := lookUp[Link](r, linkKey(id)); err != nil || !there {
			return err // what is left of one that is gone waits for a sweep
		}
		counted, err := countedDays(r, id, from, to)
		for _, d := range counted {
			days = append(days, LinkDay{
				Day: d.day, Clicks: d.Clicks, Visitors: d.Visitors, Referrers: d.names[0], Countries: d.names[1], Browsers: d.names[2],
			})
		}
		return err
	})
	return days, err
}

// countedDay is a day's record with its names, sort by sort.
type countedDay struct {
	dayRecord
	day   int32
	names [len(nameSorts)]map[string]int64
}

func countedDays(r pebble.Reader, link string, from, to int32) (days []countedDay, err error) {
	if from = max(from, 0); to < from {
		return nil, nil
	}
	err = scanRange(r, dayKey(link, from), past(dayKey(link, to)), func(k, v []byte) (bool, error) {
		day, sort, name, err := splitClickKey(link, k)
		if err != nil {
			return false, err
		}
		if sort < 0 {
			d := countedDay{day: day}
			for i := range d.names {
				d.names[i] = map[string]int64{}
			}
			days = append(days, d)
			return true, corrupt(k, decMode.Unmarshal(v, &days[len(days)-1].dayRecord))
		}
		if len(days) == 0 || days[len(days)-1].day != day {
			return false, fmt.Errorf("%w: key %x of a day that is not there", errCorruptState, k)
		}
		var n int64
		err = decMode.Unmarshal(v, &n)
		days[len(days)-1].names[sort][name] = n
		return true, corrupt(k, err)
	})
	return days, err
}

func corrupt(k []byte, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: key %x: %w", errCorruptState, k, err)
}

// splitClickKey reads a key of tableClicks of a short link. Sort is an index of
// nameSorts, and -1 in a day's own row.
func splitClickKey(link string, k []byte) (day int32, sort int, name string, err error) {
	rest := k[1+len(link)+1:]
	if len(rest) == 4 {
		return int32(binary.BigEndian.Uint32(rest)), -1, "", nil
	}
	if len(rest) > 5 {
		if sort = bytes.IndexByte(nameSorts[:], rest[4]); sort >= 0 {
			return int32(binary.BigEndian.Uint32(rest)), sort, string(rest[5:]), nil
		}
	}
	return 0, 0, "", fmt.Errorf("%w: key %x", errCorruptState, k)
}

// Salt returns the salt of a day, as long as it is kept.
func (f *FSM) Salt(day int32) (salt [32]byte, found bool, err error) {
	err = f.view("Salt", func(r pebble.Reader) error {
		s, ok, err := lookUp[Salt](r, saltKey(day))
		salt, found = s.Salt, ok
		return err
	})
	return salt, found, err
}
