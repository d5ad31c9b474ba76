package meta

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"pgregory.net/rapid"

	"ringbin/storage"
)

func visitor(n int) (v [8]byte) {
	binary.BigEndian.PutUint64(v[:], uint64(n)+1)
	return v
}

func visitors(ns ...int) (all [][8]byte) {
	for _, n := range ns {
		all = append(all, visitor(n))
	}
	return all
}

func (w *world) days(link string, from, to int32) []LinkDay {
	w.t.Helper()
	days, err := w.f.LinkDays(link, from, to)
	if err != nil {
		w.t.Fatal(err)
	}
	return days
}

// rows is how many a table has.
func (w *world) rows(table byte) (n int) {
	w.t.Helper()
	err := w.f.view("test", func(r pebble.Reader) error {
		return scan(r, []byte{table}, func(_, _ []byte) (bool, error) {
			n++
			return true, nil
		})
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return n
}

func TestAddCounts(t *testing.T) {
	t.Parallel()
	w := newCluster(t)
	w.must(w.paste("p1", anonymous, sized(1000, 1)))
	w.must(w.paste("p2", "ann", sized(5, 1)))
	w.must(w.link("l1", "ann"))
	w.must(w.link("l10", "ann")) // whose rows lie beside l1's
	w.must(SetLinkExpiry{ID: "l1"})
	w.must(SetLinkExpiry{ID: "l10"})
	w.must(testKey("key", 1))
	today := dayOf(testStart)
	w.must(AddCounts{
		Views: []ViewCount{{ID: "p1", N: 2}, {ID: "gone", N: 5}, {ID: "p1", N: 1}, {ID: "p2", N: 0}, {ID: "p2", N: -1}},
		Clicks: []ClickCount{
			{
				ID: "l1", Day: today, N: 3, Last: testStart + 9, Visitors: visitors(1, 2, 1),
				Referrers: map[string]int64{"a.example": 2, "": 1, "b.example": 1}, Countries: map[string]int64{"CH": 3},
				Browsers: map[string]int64{"curl": 3},
			},
			{ID: "l1", Day: today, N: 1, Last: testStart + 5, Visitors: visitors(2, 3), Referrers: map[string]int64{"a.example": 1}},
			{ID: "l1", Day: today + 1, N: 1, Last: testStart + 7, Visitors: visitors(1), Browsers: map[string]int64{"curl": 1}},
			{ID: "l10", Day: today, N: 7, Visitors: visitors(1)},
			{ID: "gone", Day: today, N: 7},
		},
		Uses: []KeyUse{{ID: "key", Time: testStart + 3}, {ID: "gone", Time: 1}},
	})
	p, _ := w.shown("p1")
	equal(t, "views", p.Views, int64(3))
	p, _ = w.shown("p2")
	equal(t, "views", p.Views, int64(0))
	l, _ := w.linkNow("l1")
	equal(t, "clicks", []int64{l.Clicks, l.LastClick}, []int64{5, testStart + 9})
	none := map[string]int64{}
	want := []LinkDay{
		{
			Day: today, Clicks: 4, Visitors: 3, Referrers: map[string]int64{"a.example": 3, "b.example": 1}, Countries: map[string]int64{"CH": 3},
			Browsers: map[string]int64{"curl": 3},
		},
		{Day: today + 1, Clicks: 1, Visitors: 1, Referrers: none, Countries: none, Browsers: map[string]int64{"curl": 1}},
	}
	equal(t, "days", w.days("l1", today, today+1), want)
	equal(t, "all days", w.days("l1", -1<<31, 1<<31-1), want)
	equal(t, "first day", w.days("l1", today, today), want[:1])
	equal(t, "second day", w.days("l1", today+1, today+100), want[1:])
	equal(t, "no day", len(w.days("l1", today+1, today)), 0)
	equal(t, "days of none", len(w.days("l", 0, today+1)), 0)
	keys, err := w.f.Keys("ann", "hashbin")
	if err != nil || keys[0].LastUsed != testStart+3 {
		t.Errorf("keys %+v, %v", keys, err)
	}
	w.sound(t)

	many := make([]ViewCount, CountsMax+1)
	w.refused(Header{}, AddCounts{Views: many}, storage.KindInvalid, "invalid_parameter")
	w.refused(Header{}, AddCounts{Uses: make([]KeyUse, CountsMax+1)}, storage.KindInvalid, "invalid_parameter")
	w.refused(Header{}, AddCounts{Clicks: make([]ClickCount, CountsMax+1)}, storage.KindInvalid, "invalid_parameter")
	w.must(AddCounts{Views: many[:CountsMax]})
}

// What can't have been counted is not.
func TestClicksThatCannotBe(t *testing.T) {
	t.Parallel()
	w := newCluster(t)
	w.must(w.link("l1", "ann"))
	today := dayOf(testStart)
	before := w.content()
	for _, c := range []ClickCount{
		{ID: "l1", Day: today + 2, N: 1},
		{ID: "l1", Day: -1, N: 1},
		{ID: "l1", Day: today, N: -1},
		{ID: "l1", Day: today, N: countMax + 1},
		{ID: "l1", Day: today, N: 0, Visitors: visitors(1), Browsers: map[string]int64{"curl": 1}}, // a day has clicks
		{ID: "l2", Day: today, N: 1},
	} {
		w.must(AddCounts{Clicks: []ClickCount{c}})
	}
	w.wait(dayMillis)
	w.must(AddCounts{Clicks: []ClickCount{{ID: "l1", Day: today, N: 1}}}) // it has expired
	if !maps.Equal(before, w.content()) {
		t.Error("they are counted")
	}
	w.sound(t)
}

// Names and visitors that are told apart are so many, then no more are; clicks go on counting.
func TestCountsAreBounded(t *testing.T) {
	t.Parallel()
	w := newCluster(t)
	w.must(w.link("l1", "ann"))
	today := dayOf(testStart)
	names := map[string]int64{}
	for i := range namesMax + 50 {
		names[fmt.Sprintf("%04d.example", i)] = 1
	}
	long := string(make([]byte, nameMax+1))
	w.must(AddCounts{Clicks: []ClickCount{{ID: "l1", Day: today, N: 400, Referrers: names, Browsers: map[string]int64{long: 1, long[1:]: 2}}}})
	w.must(AddCounts{Clicks: []ClickCount{{ID: "l1", Day: today, N: 2, Referrers: map[string]int64{"0000.example": 1, "new.example": 1}}}})
	d := w.days("l1", today, today)[0]
	equal(t, "clicks", d.Clicks, int64(402))
	equal(t, "names", len(d.Referrers), namesMax)
	equal(t, "one that is known", d.Referrers["0000.example"], int64(2))
	equal(t, "browsers", d.Browsers, map[string]int64{long[1:]: 2})

	w.poke(func(x *tx) error { // so many visitors that the check counts them, but for the last ones
		d, _, err := read[dayRecord](x, dayKey("l1", today))
		if err != nil {
			return err
		}
		for i := range visitorsMax - 1 {
			v := visitor(i)
			if err := x.set(key(tableVisitors).day(today).str("l1").raw(v[:]), nil); err != nil {
				return err
			}
		}
		d.Visitors = visitorsMax - 1
		return write(x, dayKey("l1", today), d)
	})
	add := func(ns ...int) {
		w.must(AddCounts{Clicks: []ClickCount{{ID: "l1", Day: today, N: 1, Visitors: visitors(ns...)}}})
	}
	add(0, visitorsMax, visitorsMax+1, visitorsMax+2)
	add(visitorsMax+3, 5)
	d = w.days("l1", today, today)[0]
	equal(t, "visitors", d.Visitors, int64(visitorsMax))
	equal(t, "clicks", d.Clicks, int64(404))
	equal(t, "rows", w.rows(tableVisitors), visitorsMax)
	w.sound(t)
}

// The first salt of a day is the day's.
func TestSalts(t *testing.T) {
	t.Parallel()
	w := newCluster(t)
	today := dayOf(testStart)
	first := Salt{Day: today, Salt: [32]byte{1}}
	equal(t, "first", w.must(SetSalt(first)), first)
	equal(t, "second", w.must(SetSalt{Day: today, Salt: [32]byte{2}}), first)
	equal(t, "tomorrow", w.must(SetSalt{Day: today + 1, Salt: [32]byte{2}}), Salt{Day: today + 1, Salt: [32]byte{2}})
	for _, day := range []int32{-1, 0, today - 2, today + 2} {
		w.refused(Header{}, SetSalt{Day: day}, storage.KindInvalid, "invalid_parameter")
	}
	salt, found, err := w.f.Salt(today)
	if err != nil || !found || salt != first.Salt {
		t.Errorf("%x, %t, %v", salt, found, err)
	}
	if _, found, err := w.f.Salt(today + 2); found || err != nil {
		t.Errorf("a salt that is not there: %v", err)
	}
	w.sound(t)
}

// 12.2 of the contract: one visitor counts once a day, and within 48 hours of the
// day's end neither salt nor hashes are there. Only the counts stay.
func TestVisitorsAreErased(t *testing.T) {
	t.Parallel()
	w := newCluster(t)
	today := dayOf(testStart)
	for _, id := range []string{"l1", "l2"} {
		w.must(w.link(id, "ann"))
		w.must(SetLinkExpiry{ID: id})
	}
	add := func(link string, day int32, ns ...int) {
		w.must(AddCounts{Clicks: []ClickCount{{ID: link, Day: day, N: int64(len(ns)), Visitors: visitors(ns...)}}})
	}
	visited := func(link string) (all []int64) {
		for _, d := range w.days(link, 0, today+10) {
			all = append(all, d.Visitors)
		}
		return all
	}
	w.must(SetSalt{Day: today, Salt: [32]byte{1}})
	add("l1", today, 1, 2, 1, 3)
	add("l1", today, 3, 2)
	add("l2", today, 1)
	w.wait(dayMillis)
	w.must(SetSalt{Day: today + 1, Salt: [32]byte{2}})
	add("l1", today+1, 1, 2)
	add("l1", today, 1, 4) // late, and still told apart
	equal(t, "visitors", visited("l1"), []int64{4, 2})

	end := (int64(today) + 1) * dayMillis // of the day
	w.wait(end + dayMillis - 1 - w.now)
	equal(t, "due a day after the day", w.f.SweepDue(w.now), false)
	w.wait(1)
	if !w.f.SweepDue(w.now) || eraseAt(today)+dayMillis > end+2*dayMillis {
		t.Error("not due a day after the day")
	}
	add("l1", today, 5, 6) // too late to be told apart
	before := w.rows(tableVisitors)
	equal(t, "a bounded sweep", w.must(Sweep{Limit: 2}), SweepResult{Removed: 2, More: true})
	equal(t, "left", w.rows(tableVisitors), before-1) // the salt goes first
	if _, found, err := w.f.Salt(today); found || err != nil {
		t.Errorf("the salt is there: %v", err)
	}
	w.sound(t)
	equal(t, "swept", w.sweepAll(), 4+1)
	equal(t, "left", w.rows(tableVisitors), 2) // of the next day
	w.refused(Header{}, SetSalt{Day: today, Salt: [32]byte{9}}, storage.KindInvalid, "invalid_parameter")
	add("l1", today, 7)
	equal(t, "left", w.rows(tableVisitors), 2)
	equal(t, "visitors", visited("l1"), []int64{4, 2})
	equal(t, "of another link", visited("l2"), []int64{1})
	w.sound(t)
	w.wait(dayMillis)
	w.sweepAll()
	equal(t, "nothing is left", []int{w.rows(tableVisitors), w.rows(tableSalts), w.rows(tableDue)}, []int{0, 0, 0})
	equal(t, "visitors", visited("l1"), []int64{4, 2})
	w.sound(t)
}

// What was counted of a link goes after it, some rows at a time; its visitors
// wait for their day.
func TestClicksFollowTheirLink(t *testing.T) {
	t.Parallel()
	w := newCluster(t)
	today := dayOf(testStart)
	for _, id := range []string{"l1", "l2", "l3"} {
		w.must(w.link(id, "ann"))
	}
	for _, id := range []string{"l1", "l2"} {
		w.must(AddCounts{Clicks: []ClickCount{
			{ID: id, Day: today, N: 2, Visitors: visitors(1, 2), Browsers: map[string]int64{"curl": 1, "Firefox": 1}},
			{ID: id, Day: today + 1, N: 1, Referrers: map[string]int64{"a.example": 1}},
		}})
	}
	w.must(DeleteLink{ID: "l3"}) // without clicks nothing is left of it
	equal(t, "due", w.f.SweepDue(w.now), false)
	w.must(DeleteLink{ID: "l1"})
	equal(t, "days of a link that is gone", len(w.days("l1", 0, today+1)), 0)
	w.must(AddCounts{Clicks: []ClickCount{{ID: "l1", Day: today, N: 1}}})
	w.sound(t)
	equal(t, "some", w.must(Sweep{Limit: 3}), SweepResult{Removed: 3, More: true})
	w.sound(t)
	equal(t, "the rest", w.must(Sweep{Limit: 3}), SweepResult{Removed: 3})
	equal(t, "days of the other", len(w.days("l2", 0, today+1)), 2)
	equal(t, "visitors", w.rows(tableVisitors), 4)
	w.sound(t)
	w.wait(dayMillis) // the other expires
	equal(t, "rows", w.sweepAll(), 1+5+1)
	equal(t, "left", w.rows(tableClicks), 0)
	w.wait(10 * dayMillis)
	w.sweepAll()
	equal(t, "left", []int{w.rows(tableVisitors), w.rows(tableDue)}, []int{0, 0})
	w.sound(t)
}

// I10: the state does not depend on the order of a map.
func TestCountsInAnyOrder(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(3, 4))
	names := make([]string, namesMax+20) // more than are kept: which ones must be agreed on
	for i := range names {
		names[i] = fmt.Sprintf("%d.example", i)
	}
	var want [32]byte
	for range 8 {
		w := newCluster(t)
		w.must(w.link("l1", "ann"))
		rng.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
		m := map[string]int64{}
		for _, n := range names {
			m[n] = int64(len(n))
		}
		w.must(AddCounts{Clicks: []ClickCount{{ID: "l1", Day: dayOf(testStart), N: 9, Referrers: m, Browsers: m, Countries: m}}})
		got := stateHash(t, w.f)
		if want == ([32]byte{}) {
			want = got
		}
		equal(t, "state hash", got, want)
	}
}

// Split keeps to the limits of a command, and loses nothing.
func TestSplitCounts(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		var c AddCounts
		n := func(most int, what string) int { return rapid.IntRange(0, most).Draw(rt, what) }
		for i := range n(2*CountsMax+10, "views") {
			c.Views = append(c.Views, ViewCount{ID: fmt.Sprintf("p%d", i), N: 1})
		}
		for i := range n(2*CountsMax+10, "notes") {
			c.Notes = append(c.Notes, ViewCount{ID: fmt.Sprintf("n%d", i), N: 2})
		}
		for i := range n(2*CountsMax+10, "uses") {
			c.Uses = append(c.Uses, KeyUse{ID: fmt.Sprintf("k%d", i), Time: 1})
		}
		for i := range n(4, "clicks") {
			names := func(what string) map[string]int64 {
				m := map[string]int64{}
				for j := range n(namesMax, what) {
					m[fmt.Sprintf("%0*d", 1+n(nameMax-1, "length"), j)]++
				}
				return m
			}
			k := ClickCount{
				ID: fmt.Sprintf("l%d", i), Day: 3, N: 5, Last: 6, Referrers: names("referrers"), Countries: names("countries"),
				Browsers: names("browsers"),
			}
			for j := range n(5000, "visitors") {
				k.Visitors = append(k.Visitors, visitor(j))
			}
			c.Clicks = append(c.Clicks, k)
		}
		var views, notes []ViewCount
		var uses []KeyUse
		got := map[string]*ClickCount{}
		for _, part := range c.Split() {
			if _, err := Encode(goldenHeader(), part); err != nil {
				rt.Fatal(err)
			}
			if max(len(part.Views), len(part.Notes), len(part.Clicks), len(part.Uses)) > CountsMax {
				rt.Fatal("a list is too long")
			}
			views, notes, uses = append(views, part.Views...), append(notes, part.Notes...), append(uses, part.Uses...)
			for _, k := range part.Clicks {
				sum := got[k.ID]
				if sum == nil {
					sum = &ClickCount{ID: k.ID, Day: 3, Referrers: map[string]int64{}, Countries: map[string]int64{}, Browsers: map[string]int64{}}
					got[k.ID] = sum
				}
				if sum.N == 0 && k.N == 0 {
					rt.Fatal("it goes on before it begins")
				}
				sum.N, sum.Last = sum.N+k.N, max(sum.Last, k.Last)
				sum.Visitors = append(sum.Visitors, k.Visitors...)
				maps.Copy(sum.Referrers, k.Referrers)
				maps.Copy(sum.Countries, k.Countries)
				maps.Copy(sum.Browsers, k.Browsers)
			}
		}
		if !slices.Equal(views, c.Views) || !slices.Equal(notes, c.Notes) || !slices.Equal(uses, c.Uses) {
			rt.Error("views or uses are lost")
		}
		equal(rt, "links", len(got), len(c.Clicks))
		for _, k := range c.Clicks {
			equal(rt, k.ID, *got[k.ID], k)
		}
	})
	equal(t, "nothing", len(AddCounts{}.Split()), 0)
}

// BenchmarkAddCounts is a flush of a thousand clicks on one link, each by another visitor.
func BenchmarkAddCounts(b *testing.B) {
	f, err := Open(testDir, Options{FS: vfs.NewMem()})
	if err != nil {
		b.Fatal(err)
	}
	w := &world{t: b, f: f, now: testStart}
	w.found()
	w.must(w.link("l1", "ann"))
	n := 0
	for b.Loop() {
		var v [][8]byte
		for range 1000 {
			v = append(v, visitor(n))
			n++
		}
		w.must(AddCounts{Clicks: []ClickCount{{ID: "l1", Day: dayOf(testStart), N: 1000, Visitors: v}}})
	}
	if err := f.Close(); err != nil {
		b.Fatal(err)
	}
}
