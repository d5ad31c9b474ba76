package node

import (
	"crypto/hmac"
	"crypto/sha256"
	"unicode/utf8"

	"ringbin/storage/meta"
)

// Limits of what one node keeps counted in memory. What is above them is new
// there, and so the least: it is dropped.
const (
	talliedViewsMax    = 100_000 // pastes
	talliedClicksMax   = 20_000  // links and days
	talliedVisitorsMax = 200_000 // of all links
	talliedNamesMax    = 200_000 // referrers, countries and browsers of all links
	talliedUsesMax     = 100_000 // keys

	namesMax       = 64  // of each kind, of one link and day
	nameBytesMax   = 253 // the longest host
	tallyPartBytes = meta.CommandMax - 8<<10
)

// What entries take in a command, in bytes, at most and without their texts.
const (
	viewBytes    = 24
	useBytes     = 32
	clickBytes   = 64
	visitorBytes = 9
	nameBytes    = 12
)

// tally is what was counted and is not written down yet.
type tally struct {
	views    map[string]int64 // by paste
	clicks   map[clickDay]*clicked
	uses     map[string]int64 // by key: when it was last used
	visitors int              // of all clicks
	names    int              // of all clicks
}

// clickDay is a link on a day of its clicks.
type clickDay struct {
	link string
	day  int32 // since 1970, UTC
}

// clicked is what was counted of a link on a day. There are at least as many
// clicks as visitors.
type clicked struct {
	clicks, last int64
	visitors     map[string]struct{} // addresses: they leave this node as hashes only
	referrers    map[string]int64
	countries    map[string]int64
	browsers     map[string]int64
}

func newTally() *tally {
	return &tally{views: map[string]int64{}, clicks: map[clickDay]*clicked{}, uses: map[string]int64{}}
}

func (t *tally) empty() bool { return len(t.views)+len(t.clicks)+len(t.uses) == 0 }

// events is how many views and clicks there are.
func (t *tally) events() (n int64) {
	for _, v := range t.views {
		n += v
	}
	for _, c := range t.clicks {
		n += c.clicks
	}
	return n
}

// addViews reports whether there was room.
func (t *tally) addViews(id string, n int64) bool {
	if _, known := t.views[id]; !known && len(t.views) >= talliedViewsMax {
		return false
	}
	t.views[id] += n
	return true
}

func (t *tally) addUse(key string, at int64) {
	if _, known := t.uses[key]; known || len(t.uses) < talliedUsesMax {
		t.uses[key] = max(t.uses[key], at)
	}
}

// addClick counts one click, and reports whether there was room.
func (t *tally) addClick(at clickDay, now int64, visitor string, k Click) bool {
	c := t.at(at)
	if c == nil {
		return false
	}
	c.clicks++
	c.last = max(c.last, now)
	t.addVisitor(c, visitor)
	t.addName(&c.referrers, k.Referrer, 1)
	t.addName(&c.countries, k.Country, 1)
	t.addName(&c.browsers, k.Browser, 1)
	return true
}

// at returns a link's day, nil when there is no room for one more.
func (t *tally) at(at clickDay) *clicked {
	c := t.clicks[at]
	if c == nil && len(t.clicks) < talliedClicksMax {
		c = &clicked{visitors: map[string]struct{}{}}
		t.clicks[at] = c
	}
	return c
}

func (t *tally) addVisitor(c *clicked, visitor string) {
	if _, known := c.visitors[visitor]; known || visitor == "" || t.visitors >= talliedVisitorsMax {
		return
	}
	c.visitors[visitor] = struct{}{}
	t.visitors++
}

func (t *tally) addName(names *map[string]int64, name string, n int64) {
	if name == "" || len(name) > nameBytesMax || !utf8.ValidString(name) {
		return
	}
	if _, known := (*names)[name]; !known {
		if len(*names) >= namesMax || t.names >= talliedNamesMax {
			return
		}
		if *names == nil {
			*names = map[string]int64{}
		}
		t.names++
	}
	(*names)[name] += n
}

// add takes in what another tally has, and returns how many views and clicks
// there was no room for.
func (t *tally) add(other *tally) (dropped int64) {
	for id, n := range other.views {
		if !t.addViews(id, n) {
			dropped += n
		}
	}
	for key, at := range other.uses {
		t.addUse(key, at)
	}
	for day, from := range other.clicks {
		to := t.at(day)
		if to == nil {
			dropped += from.clicks
			continue
		}
		to.clicks += from.clicks
		to.last = max(to.last, from.last)
		for visitor := range from.visitors {
			t.addVisitor(to, visitor)
		}
		t.addNames(&to.referrers, from.referrers)
		t.addNames(&to.countries, from.countries)
		t.addNames(&to.browsers, from.browsers)
	}
	return dropped
}

func (t *tally) addNames(to *map[string]int64, from map[string]int64) {
	for name, n := range from {
		t.addName(to, name, n)
	}
}

// part takes out as much as fits into one command.
func (t *tally) part() *tally {
	p, left := newTally(), tallyPartBytes
	for day, c := range t.clicks {
		if len(p.clicks) == meta.CountsMax || left < clickBytes+len(day.link)+c.nameBytes()+visitorBytes {
			break
		}
		left -= clickBytes + len(day.link) + c.nameBytes()
		piece, rest := c.split(left / visitorBytes)
		left -= visitorBytes * len(piece.visitors)
		p.clicks[day] = piece
		if t.clicks[day] = rest; rest == nil {
			delete(t.clicks, day)
		}
	}
	for id, n := range t.views {
		if left -= viewBytes + len(id); len(p.views) == meta.CountsMax || left < 0 {
			break
		}
		p.views[id] = n
		delete(t.views, id)
	}
	for key, at := range t.uses {
		if left -= useBytes + len(key); len(p.uses) == meta.CountsMax || left < 0 {
			break
		}
		p.uses[key] = at
		delete(t.uses, key)
	}
	return p
}

func (c *clicked) nameBytes() (n int) {
	for _, names := range []map[string]int64{c.referrers, c.countries, c.browsers} {
		for name := range names {
			n += nameBytes + len(name)
		}
	}
	return n
}

// split takes out so many visitors, with as many clicks, and all names; what
// is left is nil when that was all.
func (c *clicked) split(visitors int) (piece, rest *clicked) {
	if len(c.visitors) <= visitors {
		return c, nil
	}
	piece = &clicked{
		clicks: int64(visitors), last: c.last, visitors: make(map[string]struct{}, visitors),
		referrers: c.referrers, countries: c.countries, browsers: c.browsers,
	}
	for v := range c.visitors {
		if len(piece.visitors) == visitors {
			break
		}
		piece.visitors[v] = struct{}{}
		delete(c.visitors, v)
	}
	return piece, &clicked{clicks: c.clicks - int64(visitors), last: c.last, visitors: c.visitors}
}

// command is the tally as it is written down. Visitors of a day without a salt
// are not told apart.
func (t *tally) command(salts map[int32][32]byte) meta.AddCounts {
	var cmd meta.AddCounts
	for id, n := range t.views {
		cmd.Views = append(cmd.Views, meta.ViewCount{ID: id, N: n})
	}
	for key, at := range t.uses {
		cmd.Uses = append(cmd.Uses, meta.KeyUse{ID: key, Time: at})
	}
	for day, c := range t.clicks {
		count := meta.ClickCount{
			ID: day.link, Day: day.day, N: c.clicks, Last: c.last,
			Referrers: c.referrers, Countries: c.countries, Browsers: c.browsers,
		}
		if salt, ok := salts[day.day]; ok {
			for v := range c.visitors {
				count.Visitors = append(count.Visitors, visitorHash(salt, v))
			}
		}
		cmd.Clicks = append(cmd.Clicks, count)
	}
	return cmd
}

// visitorHash is how a visitor of a day is remembered: 64 bits are enough to
// tell them apart, and nothing without the salt.
func visitorHash(salt [32]byte, visitor string) (h [8]byte) {
	mac := hmac.New(sha256.New, salt[:])
	_, _ = mac.Write([]byte(visitor))
	copy(h[:], mac.Sum(nil))
	return h
}
