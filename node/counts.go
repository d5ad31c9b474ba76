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

	wake chan struct{} // there is something to write
	full chan struct{} // there is so much that it does not wait for its time
	turn chan struct{} // taken by who flushes; held while waiting for the log, which mu must not be
	sent *sentCounts   // the command whose outcome is not known; whoever has the turn

	gathered, flushed, dropped atomic.Int64 // views and clicks
	pastesMade, linksMade      atomic.Int64
}

// sentCounts is a command on its way.
type sentCounts struct {
	header  meta.Header
	command meta.AddCounts
	counted *tally
	since   int64 // FSM time when it was first proposed
	unknown bool  // it may have been carried out
}

func newCounts(n *Node) *counts {
	return &counts{
		n: n, now: newTally(),
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
	c.count(func(t *tally) bool { return t.addViews(paste, 1) })
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

func (c *counts) run(ctx context.Context) {
	uses := time.NewTicker(usesEvery)
	defer uses.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-uses.C:
		case <-c.wake:
			if !c.gather(ctx, c.full) {
				return
			}
		}
		// What can't be written now is not tried again before its time, however
		// much comes in.
		if !c.flush(ctx) && !c.gather(ctx, nil) {
			return
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

// flush writes down what has gathered when it is called, and reports whether
// all of it was. What was not stays gathered.
func (c *counts) flush(ctx context.Context) bool {
	select {
	case c.turn <- struct{}{}:
		defer func() { <-c.turn }()
	case <-ctx.Done():
		return false
	}
	if c.sent != nil && !c.send(ctx) {
		return false
	}
	all := c.take()
	for !all.empty() {
		sent, err := c.prepare(ctx, all)
		if err == nil {
			c.sent = sent
		}
		if err != nil || !c.send(ctx) {
			c.putBack(all)
			return false
		}
	}
	return true
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

func (c *counts) putBack(t *tally) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(t.views)+len(t.clicks) > len(c.now.views)+len(c.now.clicks) {
		c.now, t = t, c.now // the few go to the many
	}
	c.dropped.Add(c.now.add(t))
	ring(c.wake)
}

// prepare makes the next command of a tally, and takes what it counts out of it.
func (c *counts) prepare(ctx context.Context, all *tally) (*sentCounts, error) {
	salts := map[int32][32]byte{}
	for at := range all.clicks {
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
	part := all.part()
	return &sentCounts{
		header: c.n.proposer.named(meta.Header{}), command: part.command(salts), counted: part, since: c.n.fsm.Now(),
	}, nil
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

// send proposes the command that waits, and reports whether it is done with:
// carried out, or given up. One that was certainly not carried out goes back
// to what has gathered; one of which that is not known stays.
func (c *counts) send(ctx context.Context) bool {
	res, err := c.n.proposer.propose(ctx, c.sent.header, c.sent.command)
	sent := c.sent
	events := sent.counted.events()
	switch {
	case err != nil:
		sent.unknown = sent.unknown || storage.KindOf(err) == storage.KindUnknown
		c.n.logger.Debug("counts not written", "err", err)
		if !sent.unknown {
			c.sent = nil
			c.putBack(sent.counted)
		} else {
			ring(c.wake)
		}
		return false
	case res.Err == nil:
		c.sent = nil
		c.flushed.Add(events)
		return true
	case storage.CodeOf(res.Err) == "too_late" && (!sent.unknown || c.n.fsm.Now() < sent.since+outcomeKept.Milliseconds()):
		// Had it been carried out, that would still be remembered.
		c.sent = nil
		c.putBack(sent.counted)
		return false
	}
	// Refused, or so old that nobody knows: counted too little rather than twice.
	c.sent = nil
	c.dropped.Add(events)
	c.n.logger.Warn("counts dropped", "events", events, "err", res.Err)
	return true
}

func (c *counts) metrics() {
	counter := func(name, help string, read *atomic.Int64) {
		c.n.counter(name, help, func() float64 { return float64(read.Load()) })
	}
	counter("pastes_made_total", "Pastes made through this node.", &c.pastesMade)
	counter("links_made_total", "Short links made through this node.", &c.linksMade)
	counter("counts_gathered_total", "Views and clicks that this node has counted.", &c.gathered)
	counter("counts_flushed_total", "Of those, written down.", &c.flushed)
	counter("counts_dropped_total", "Of those, dropped: they could not be written, and there was no room to keep them.", &c.dropped)
}
