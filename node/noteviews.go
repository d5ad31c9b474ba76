package node

import (
	"sync"
	"time"

	"ringbin/storage/meta"
)

// Times and limits of counting the views of notes.
const (
	noteViewsEvery = 5 * time.Second // at most, they are written down
	viewedNotesMax = 100_000         // notes whose views are kept in memory
)

// noteViews counts the views of notes on one node until they are written down
// with the other counts (counts.go), and says what each reader is shown.
//
// Of a note let R be the views that the metadata has, as applied on this node,
// P those counted here and not taken to be written, F those taken of which it is
// not known yet what became, and S the highest value shown. A new view is shown
//
//	max(S+1, R+P) with it counted in P
//
// and while a note has an entry here:
//
//   - S <= R+P+f, where f is what of F is not in R. Counting adds one to both
//     sides, or sets S to R+P; writing moves views from P to f and from f to R;
//     R never falls.
//   - No value is above the true total: R+P counts no view twice, and leaves F
//     out, which may or may not be in R; S was true, and there is one view more.
//   - No value falls: it is above S. And an entry goes only when P and F are
//     zero and S <= R: what is shown next is at least R+1.
//
// R is read under the lock, so that it is not from before what the entry went
// with. Views that had to be given up, or came for a note that had ended by the
// clock of the metadata, are in no R: the entry stays as long as the note is
// open, so that nobody sees a value fall, and the total is less by them.
type noteViews struct {
	applied func(hash string) (views int64, open bool, err error) // R

	mu  sync.Mutex // protects all
	all map[string]*viewed
}

// viewed is one note's entry.
type viewed struct {
	fresh, flying int64 // P, F
	shown         int64 // S
}

func newNoteViews(applied func(hash string) (views int64, open bool, err error)) *noteViews {
	return &noteViews{applied: applied, all: map[string]*viewed{}}
}

// view counts a view and returns how many there are with it. There is no room
// for a new note where too many are counted already: its view is lost, kept is
// false, and the number is what it would have been.
func (v *noteViews) view(hash string) (views int64, kept bool, err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	written, _, err := v.applied(hash)
	if err != nil {
		return 0, false, err
	}
	e := v.all[hash]
	if e == nil {
		if len(v.all) >= viewedNotesMax {
			return written + 1, false, nil
		}
		e = &viewed{}
		v.all[hash] = e
	}
	e.fresh++
	e.shown = max(e.shown+1, written+e.fresh)
	return e.shown, true, nil
}

// take returns what is to be written down, and forgets entries that were kept
// longer than their views.
func (v *noteViews) take() []meta.ViewCount {
	v.mu.Lock()
	defer v.mu.Unlock()
	var taken []meta.ViewCount
	for hash, e := range v.all {
		if e.fresh == 0 {
			v.forget(hash, e)
			continue
		}
		taken = append(taken, meta.ViewCount{ID: hash, N: e.fresh})
		e.flying, e.fresh = e.flying+e.fresh, 0
	}
	return taken
}

// settle is told what was taken and is done with: applied here, or given up.
func (v *noteViews) settle(done []meta.ViewCount) {
	for _, c := range done {
		v.settleOne(c)
	}
}

func (v *noteViews) settleOne(c meta.ViewCount) {
	v.mu.Lock()
	defer v.mu.Unlock()
	e := v.all[c.ID]
	e.flying -= c.N
	v.forget(c.ID, e)
}

// forget lets an entry go when it may. What can't be looked up now stays.
func (v *noteViews) forget(hash string, e *viewed) {
	if e.fresh+e.flying > 0 {
		return
	}
	if written, open, err := v.applied(hash); err == nil && (!open || e.shown <= written) {
		delete(v.all, hash)
	}
}
