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

	namesMax     = 64  // of each kind, of one link and day
	nameBytesMax = 253 // the longest host
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

// clicked is what was counted of a link on a day.
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

// addView counts one view, and reports whether there was room.
func (t *tally) addView(id string) bool {
	if _, known := t.views[id]; !known && len(t.views) >= talliedViewsMax {
		return false
	}
	t.views[id]++
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
	t.addName(&c.referrers, k.Referrer)
	t.addName(&c.countries, k.Country)
	t.addName(&c.browsers, k.Browser)
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

func (t *tally) addName(names *map[string]int64, name string) {
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
	(*names)[name]++
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
