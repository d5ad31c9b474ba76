package replica

import (
	"context"
	"encoding/json"
	"time"

	"ringbin/storage"
)

// Limits and times of the scrub.
const (
	scrubEvery        = 14 * 24 * time.Hour
	scrubPage         = 256
	scrubBlobCost     = 4 << 10  // what a blob costs beside its bytes, in bytes
	scrubBytesMax     = 64 << 20 // a second: one that is late catches up no faster
	scrubSaveEvery    = 30 * time.Second
	scrubRestMost     = time.Hour // with nothing to read
	scrubRetry        = time.Minute
	scrubLook         = 10 * time.Second
	scrubNote         = "scrub"
	scrubAheadPercent = 90 // of the time is planned for: the rest is for what comes in between
)

// ScrubStatus is how far the reading of all copies is.
type ScrubStatus struct {
	Bytes    int64     // read and found right, ever
	Found    int64     // copies that were found wrong, ever
	Since    time.Time // when the first round began
	Finished time.Time // when the last whole round ended; zero before the first
}

// Age is how long ago it was at most that any copy was read.
func (s ScrubStatus) Age(now time.Time) time.Duration {
	switch {
	case !s.Finished.IsZero():
		return now.Sub(s.Finished)
	case !s.Since.IsZero():
		return now.Sub(s.Since)
	}
	return 0
}

// Scrub returns how far the scrub is.
func (r *Replicator) Scrub() ScrubStatus {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.scrubs
}

// ScrubEvery is within what time each copy is read; 0: never.
func (r *Replicator) ScrubEvery() time.Duration {
	switch {
	case r.o.ScrubEvery < 0:
		return 0
	case r.o.ScrubEvery == 0:
		return scrubEvery
	}
	return r.o.ScrubEvery
}

// scrubber reads every copy on this node and hashes it, round after round, each
// evenly over its time. Where it is survives restarts.
type scrubber struct {
	r     *Replicator
	every time.Duration
	saved time.Time
	at    scrubCursor
}

// scrubCursor is what is written down of a scrub.
type scrubCursor struct {
	Since    time.Time `json:"since"`
	Started  time.Time `json:"started"` // the round
	Finished time.Time `json:"finished"`
	After    string    `json:"after"` // the last CID that was read in this round; "" at its start
	Done     int64     `json:"done"`  // cost of what was read in this round
	Bytes    int64     `json:"bytes"`
	Found    int64     `json:"found"`
}

// scrub reads copies until ctx ends.
func (r *Replicator) scrub(ctx context.Context) {
	s := &scrubber{r: r, every: r.ScrubEvery()}
	if s.every == 0 {
		return
	}
	s.load()
	for ctx.Err() == nil {
		s.page(ctx)
	}
	s.save()
}

func (s *scrubber) load() {
	now := time.Now()
	b, err := s.r.o.Owner.store.Note(scrubNote)
	if err == nil && b != nil {
		err = json.Unmarshal(b, &s.at)
	}
	if err != nil {
		s.r.o.Logger.Warn("scrub begins anew: where it was can't be read", "err", err)
		s.at = scrubCursor{}
	}
	if s.at.Since.IsZero() || s.at.Since.After(now) {
		s.at.Since = now
	}
	if s.at.Started.IsZero() || s.at.Started.After(now) {
		s.at.Started = now
	}
	s.saved = now
	s.publish()
}

func (s *scrubber) publish() {
	s.r.mu.Lock()
	defer s.r.mu.Unlock()
	s.r.scrubs = ScrubStatus{Bytes: s.at.Bytes, Found: s.at.Found, Since: s.at.Since, Finished: s.at.Finished}
}

func (s *scrubber) save() {
	s.saved = time.Now()
	b, err := json.Marshal(s.at)
	if err == nil {
		err = s.r.o.Owner.store.SetNote(scrubNote, b)
	}
	if err != nil {
		s.r.o.Logger.Warn("where the scrub is was not written down", "err", err)
	}
}

// page reads the next copies, or ends the round when there are none.
func (s *scrubber) page(ctx context.Context) {
	store := s.r.o.Owner.store
	if store.Rebuild().Active { // every copy is read anyway, and verified
		rest(ctx, scrubRetry)
		return
	}
	var after *storage.CID
	if s.at.After != "" {
		if cid, err := storage.ParseCID(s.at.After); err == nil {
			after = &cid
		}
	}
	infos, err := store.List(after, scrubPage)
	if err != nil {
		s.r.o.Logger.Error("scrub can't list copies", "err", err)
		rest(ctx, scrubRetry)
		return
	}
	if len(infos) == 0 {
		s.endRound(ctx)
		return
	}
	for _, info := range infos {
		for wait := s.due(info.CID); wait > 0 && ctx.Err() == nil; wait = s.due(info.CID) {
			rest(ctx, min(wait, scrubLook))
		}
		rest(ctx, time.Duration(float64(cost(info.CID))/scrubBytesMax*float64(time.Second)))
		if ctx.Err() != nil {
			return
		}
		s.read(ctx, info)
		s.publish()
		if time.Since(s.saved) >= scrubSaveEvery {
			s.save()
		}
	}
}

// read verifies a copy. The store quarantines a bad one and says so, which is
// what has it fetched again.
func (s *scrubber) read(ctx context.Context, info storage.BlobInfo) {
	held := false
	if !info.Corrupt { // else it is known, and passes look after it
		var err error
		held, err = s.r.o.Owner.store.Verify(ctx, info.CID)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil && storage.KindOf(err) == storage.KindCorrupt:
			s.at.Found++
			s.r.o.Logger.Error("scrub found a bad copy", "blob", info.CID, "err", err)
		case err != nil:
			s.r.o.Logger.Warn("scrub could not read a copy", "blob", info.CID, "err", err)
		}
	}
	if held {
		s.at.Bytes += info.CID.Size()
	}
	s.at.After, s.at.Done = info.CID.String(), s.at.Done+cost(info.CID)
}

func cost(cid storage.CID) int64 { return cid.Size() + scrubBlobCost }

// due is how long to wait before a copy is read: so that the round ends in time
// when all goes on as evenly. What there is to read changes, and is not known
// at once after a start: the answer does not stand for long.
func (s *scrubber) due(cid storage.CID) time.Duration {
	stats := s.r.o.Owner.store.Stats()
	done := s.at.Done + cost(cid)
	share := float64(done) / float64(max(done, stats.Bytes+stats.Blobs*scrubBlobCost))
	planned := s.every / 100 * scrubAheadPercent
	return time.Until(s.at.Started.Add(time.Duration(share * float64(planned))))
}

// endRound begins the next one.
func (s *scrubber) endRound(ctx context.Context) {
	if s.at.Done == 0 {
		rest(ctx, min(s.every/100*scrubAheadPercent, scrubRestMost))
		if ctx.Err() != nil {
			return
		}
	}
	now := time.Now()
	s.at.Finished, s.at.Started, s.at.After, s.at.Done = now, now, "", 0
	s.publish()
	s.save()
}

func rest(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
