package node

import (
	"context"
	"crypto/rand"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"ringbin/storage"
	"ringbin/storage/meta"
)

// Times of counting.
const (
	usesEvery   = 30 * time.Second // last uses of keys, when nothing else is written: at most a minute stale
	flushLeast  = 10 * time.Millisecond
	saltDays    = 1                // for so many days back a salt is made; those before were erased
	outcomeKept = 10 * time.Minute // of FSM time: less than the metadata remembers a request for
)

// counts gathers in memory what is counted often and may be lost: views,
// clicks, and when keys were last used. All of it since the last time goes
// into the log together, about once a second; nothing does while there is
// nothing. A crash loses what has gathered since.
//
// No count is ever written twice: a command whose outcome is unknown is
// proposed again as it is, under the same request id, until that is known.
type counts struct {
	n *Node

	mu    sync.Mutex // protects the fields below
	now   *tally
	fresh int64 // views and clicks since the last flush began

	notes    *noteViews  // views of notes
	notesDue atomic.Bool // they are to be written with what is taken next

	wake chan struct{} // there is something to write
	full chan struct{} // there is so much that it does not wait for its time
	turn chan struct{} // taken by who flushes, and held while waiting for the log, which mu must not be

	// What was taken to be written and is not yet; whoever has the turn.
	taken      *tally           // waits for its salts; nil: nothing does
	takenNotes []meta.ViewCount // goes with it
	queue      []meta.AddCounts // in this order
	first      sending          // what became of the queue's first so far

	gathered, flushed, dropped atomic.Int64 // views and clicks
	pastesMade, linksMade      atomic.Int64
	notesMade, notesBurned     atomic.Int64
}

// sending is a command on its way. It has no id before it is first proposed.
type sending struct {
	header  meta.Header
	since   int64 // FSM time when it was first proposed
	unknown bool  // it may have been carried out
}

func newCounts(n *Node) *counts {
	return &counts{
		n: n, now: newTally(), notes: newNoteViews(n.viewsOf),
		wake: make(chan struct{}, 1), full: make(chan struct{}, 1), turn: make(chan struct{}, 1),
	}
}

// Click is one redirect of a short link.
type Click struct {
	Addr              netip.Addr
	Referrer, Browser string
	Country           string // "": looked up
}

// CountClick notes that a short link was followed. It never waits for anything.
func (s *Service) CountClick(id string, k Click) {
	if k.Country == "" {
		k.Country = s.CountryOf(k.Addr)
	}
	visitor := ""
	if k.Addr.IsValid() {
		visitor = customerOf(k.Addr)
	}
	now := s.now()
	at := clickDay{link: id, day: int32(now / dayMillis)}
	s.counts.count(func(t *tally) bool { return t.addClick(at, now, visitor, k) })
}

func (c *counts) view(paste string) {
	c.count(func(t *tally) bool { return t.addView(paste) })
}

// count notes one view or click.
func (c *counts) count(add func(t *tally) bool) {
	c.gathered.Add(1)
	c.mu.Lock()
	kept := add(c.now)
	c.fresh++
	full := c.fresh >= c.n.fsm.Settings().Paste69.FlushCount
	c.mu.Unlock()
	if !kept {
		c.dropped.Add(1)
	}
	ring(c.wake)
	if full {
		ring(c.full)
	}
}

// ring leaves a word in a channel that holds one.
func ring(bell chan struct{}) {
	select {
	case bell <- struct{}{}:
	default:
	}
}

// use notes when a key was used. That alone makes nobody flush sooner.
func (c *counts) use(key string, now int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now.addUse(key, now)
}

// lastUse returns what was gathered for a key and is not written yet.
func (c *counts) lastUse(key string) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now.uses[key]
}

// viewNote counts one view of a note, and returns how many there are with it.
func (c *counts) viewNote(hash string) (int64, error) {
	views, kept, err := c.notes.view(hash)
	if err != nil {
		return 0, err
	}
	c.gathered.Add(1)
	if !kept {
		c.dropped.Add(1)
	}
	return views, nil
}

// viewsOf returns the views of a note that are written down, and whether the
// note can have more.
func (n *Node) viewsOf(hash string) (views int64, open bool, err error) {
	note, found, err := n.fsm.Note(hash)
	return note.Views, found && note.Burned == 0 && !note.Expired(n.fsm.Now()), err
}

func (c *counts) run(ctx context.Context) {
	uses := time.NewTicker(usesEvery)
	defer uses.Stop()
	notes := time.NewTimer(noteViewsEvery)
	defer notes.Stop()
	for {
		due := false
		select {
		case <-ctx.Done():
			return
		case <-uses.C:
		case <-notes.C:
			due = true
			c.notesDue.Store(true)
		case <-c.wake:
			if !c.gather(ctx, c.full) {
				return
			}
		}
		// What can't be written now is not tried again before its time, however
		// much comes in.
		for !c.flush(ctx) {
			if !c.gather(ctx, nil) {
				return
			}
		}
		if due {
			notes.Reset(noteViewsEvery) // only now: no two writes are nearer to each other
		}
	}
}

// gather waits for as long as counts gather, or until there is much.
func (c *counts) gather(ctx context.Context, full <-chan struct{}) bool {
	every := time.Duration(c.n.fsm.Settings().Paste69.FlushMillis) * time.Millisecond
	select {
	case <-ctx.Done():
		return false
	case <-full:
	case <-time.After(max(every, flushLeast)):
	}
	return true
}

// flushLast writes down all that there is.
func (c *counts) flushLast(ctx context.Context) {
	c.notesDue.Store(true)
	c.flush(ctx)
}

// flush writes down what has gathered when it is called, views of notes only
// when they are due, and reports whether all of it was. What was not is kept.
func (c *counts) flush(ctx context.Context) bool {
	select {
	case c.turn <- struct{}{}:
		defer func() { <-c.turn }()
	case <-ctx.Done():
		return false
	}
	// What is left of the last time goes first; meanwhile the rest gathers.
	if !c.drain(ctx) || !c.write(ctx) {
		return false
	}
	c.taken = c.take()
	if c.notesDue.Swap(false) {
		c.takenNotes = c.notes.take()
	}
	return c.write(ctx)
}

// write writes down what was taken.
func (c *counts) write(ctx context.Context) bool {
	if c.taken == nil {
		return true
	}
	salts, err := c.salts(ctx, c.taken)
	if err != nil {
		c.n.logger.Debug("counts not written", "err", err)
		return false
	}
	cmd := c.taken.command(salts)
	cmd.Notes = c.takenNotes
	c.queue, c.taken, c.takenNotes = cmd.Split(), nil, nil
	return c.drain(ctx)
}

func (c *counts) take() *tally {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := c.now
	c.now, c.fresh = newTally(), 0
	select {
	case <-c.full:
	default:
	}
	return all
}

// salts returns what the visitors of each day of a tally are hashed with.
func (c *counts) salts(ctx context.Context, t *tally) (map[int32][32]byte, error) {
	salts := map[int32][32]byte{}
	for at := range t.clicks {
		if _, ok := salts[at.day]; ok {
			continue
		}
		salt, ok, err := c.salt(ctx, at.day)
		if err != nil {
			return nil, err
		}
		if ok {
			salts[at.day] = salt
		}
	}
	return salts, nil
}

// salt returns what visitors of a day are hashed with, and makes it when the
// day has none yet. Days whose salt was erased have none any more.
func (c *counts) salt(ctx context.Context, day int32) (salt [32]byte, ok bool, err error) {
	salt, ok, err = c.n.fsm.Salt(day)
	if err != nil || ok || day < int32(c.n.wallTime()/dayMillis)-saltDays {
		return salt, ok, err
	}
	_, _ = rand.Read(salt[:])
	made, _, err := submit[meta.Salt](ctx, c.n.service, Caller{}, meta.SetSalt{Day: day, Salt: salt}, nil)
	return made.Salt, err == nil, err
}

// drain writes the queue down, and reports whether all of it was.
func (c *counts) drain(ctx context.Context) bool {
	for len(c.queue) > 0 {
		if !c.send(ctx) {
			return false
		}
		c.notes.settle(c.queue[0].Notes)
		c.queue, c.first = c.queue[1:], sending{}
	}
	c.queue = nil
	return true
}

// send proposes the first command of the queue, and reports whether it is done
// with: carried out, or given up.
func (c *counts) send(ctx context.Context) bool {
	f := &c.first
	if f.header.ID == (meta.RequestID{}) {
		f.header, f.since = c.n.proposer.named(meta.Header{}), c.n.fsm.Now()
	}
	events := eventsOf(c.queue[0])
	res, err := c.n.proposer.propose(ctx, f.header, c.queue[0])
	switch {
	case storage.KindOf(err) == storage.KindUnknown || storage.KindOf(err) == storage.KindUnavailable:
		f.unknown = f.unknown || storage.KindOf(err) == storage.KindUnknown
		if !f.unknown {
			*f = sending{} // certainly not carried out: the next try is a new one
		}
		c.n.logger.Debug("counts not written", "err", err)
		return false
	case err != nil: // it can't be written at all
	case res.Err == nil:
		c.flushed.Add(events)
		return true
	case storage.CodeOf(res.Err) == "too_late" && (!f.unknown || c.n.fsm.Now() < f.since+outcomeKept.Milliseconds()):
		// Had it been carried out, that would still be remembered.
		*f = sending{}
		return false
	}
	// Refused, or so old that nobody knows: rather too little than twice.
	c.dropped.Add(events)
	c.n.logger.Warn("counts dropped", "events", events, "err", err, "refusal", res.Err)
	return true
}

// eventsOf is how many views and clicks a command counts.
func eventsOf(c meta.AddCounts) (n int64) {
	for _, v := range c.Views {
		n += v.N
	}
	for _, v := range c.Notes {
		n += v.N
	}
	for _, k := range c.Clicks {
		n += k.N
	}
	return n
}

func (c *counts) metrics() {
	counter := func(name, help string, read *atomic.Int64) {
		c.n.counter(name, help, func() float64 { return float64(read.Load()) })
	}
	counter("pastes_made_total", "Pastes made through this node.", &c.pastesMade)
	counter("links_made_total", "Short links made through this node.", &c.linksMade)
	counter("notes_made_total", "Pastes of PasteWizard made through this node.", &c.notesMade)
	counter("notes_burned_total", "Pastes of PasteWizard that a reader at this node has burned.", &c.notesBurned)
	counter("counts_gathered_total", "Views and clicks that this node has counted.", &c.gathered)
	counter("counts_flushed_total", "Of those, written down.", &c.flushed)
	counter("counts_dropped_total", "Of those, dropped: they could not be written, and there was no room to keep them.", &c.dropped)
}
