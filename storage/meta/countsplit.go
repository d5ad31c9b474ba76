package meta

import (
	"maps"
	"slices"
)

// splitBytes is how large a command Split makes, by its own reckoning.
const splitBytes = CommandMax / 2

// Split returns commands that each keep to the limits of one, and together add
// the same, when they are carried out in order.
func (c AddCounts) Split() []AddCounts {
	s := &splitter{}
	for _, v := range c.Views {
		s.room(splitRow+len(v.ID), len(s.last.Views))
		s.last.Views = append(s.last.Views, v)
	}
	for _, v := range c.Notes {
		s.room(splitRow+len(v.ID), len(s.last.Notes))
		s.last.Notes = append(s.last.Notes, v)
	}
	for _, u := range c.Uses {
		s.room(splitRow+len(u.ID), len(s.last.Uses))
		s.last.Uses = append(s.last.Uses, u)
	}
	for _, k := range c.Clicks {
		s.clicks(k)
	}
	return s.all()
}

// splitter fills commands one after the other.
type splitter struct {
	full []AddCounts
	last AddCounts
	size int
}

// Bytes of one thing counted beside its text, and some more.
const (
	splitRow  = 64
	splitName = 16 // of a name or visitor within a row
)

// room begins a new command when the last one can't take so much more, or has a full list.
func (s *splitter) room(size, listed int) (fresh bool) {
	s.size += size
	if s.size <= splitBytes && listed < CountsMax {
		return false
	}
	s.full = append(s.full, s.last)
	s.last, s.size = AddCounts{}, splitRow+size // what goes on has its row again
	return true
}

func (s *splitter) all() []AddCounts {
	if s.size > 0 {
		return append(s.full, s.last)
	}
	return s.full
}

// clicks adds what was counted of one day, in as many parts as it takes.
func (s *splitter) clicks(k ClickCount) {
	part := func(n, last int64) *ClickCount {
		s.last.Clicks = append(s.last.Clicks, ClickCount{ID: k.ID, Day: k.Day, N: n, Last: last})
		return &s.last.Clicks[len(s.last.Clicks)-1]
	}
	s.room(splitRow+len(k.ID), len(s.last.Clicks))
	p := part(k.N, k.Last)
	for _, v := range k.Visitors {
		if s.room(splitName, 0) {
			p = part(0, 0)
		}
		p.Visitors = append(p.Visitors, v)
	}
	names := [len(nameSorts)]map[string]int64{k.Referrers, k.Countries, k.Browsers}
	for i := range nameSorts {
		for _, name := range slices.Sorted(maps.Keys(names[i])) {
			if len(name) > nameMax {
				continue // counted by nobody
			}
			if s.room(splitName+len(name), 0) {
				p = part(0, 0)
			}
			to := [len(nameSorts)]*map[string]int64{&p.Referrers, &p.Countries, &p.Browsers}[i]
			if *to == nil {
				*to = map[string]int64{}
			}
			(*to)[name] = names[i][name]
		}
	}
}
