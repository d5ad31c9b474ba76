package node

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"

	"ringbin/storage"
	"ringbin/storage/meta"
)

// lossyLog takes entries whose fate it does not tell, and commits them when
// the test wants.
type lossyLog struct {
	*oneLog

	mu   sync.Mutex // protects the fields below
	lose bool
	lost [][]byte
	down bool // nobody leads
}

func (l *lossyLog) Apply(ctx context.Context, data []byte) (uint64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lose {
		l.lost = append(l.lost, bytes.Clone(data))
		return 0, storage.E("test", storage.KindUnknown, nil)
	}
	return l.oneLog.Apply(ctx, data)
}

func (l *lossyLog) Leader() (storage.NodeID, uint64, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	id, term, ok := l.oneLog.Leader()
	return id, term, ok && !l.down
}

func (l *lossyLog) set(lose, down bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lose, l.down = lose, down
}

// commitLost commits what was lost, as a leader may that nobody heard of.
func (l *lossyLog) commitLost(t *testing.T) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.lost) == 0 {
		t.Fatal("nothing was lost")
	}
	for _, data := range l.lost {
		if _, err := l.oneLog.Apply(t.Context(), data); err != nil {
			t.Fatal(err)
		}
	}
	l.lost = nil
}

// bareService is a service over a log in memory, with a paste, and a short
// link of an account; nothing runs by itself.
func bareService(t *testing.T) (*Service, *lossyLog) {
	t.Helper()
	p, one := openProposer(t)
	l := &lossyLog{oneLog: one}
	p.raft = func() (raftLog, bool) { return l, true }
	n := &Node{cfg: Config{}.withDefaults(), logger: p.logger, fsm: p.fsm, proposer: p}
	n.service = newService(n)
	now := n.service.now()
	mustPropose(t, p, meta.CreateAccount{ID: "a", Email: "a@example.com", Name: "A"})
	mustPropose(t, p, meta.CreatePaste{ID: "paste001", CID: storage.SumCID([]byte("inline")), Created: now})
	mustPropose(t, p, meta.CreateLink{ID: "link01", Account: "a", Target: "https://example.com", Created: now})
	return n.service, l
}

func viewsOf(t *testing.T, s *Service) int64 {
	t.Helper()
	p, found, err := s.n.fsm.Paste("paste001", s.now())
	if err != nil || !found {
		t.Fatal(found, err)
	}
	return p.Views
}

func statsOf(t *testing.T, s *Service) (meta.Link, meta.LinkDay) {
	t.Helper()
	l, found, err := s.n.fsm.Link("link01", s.now())
	if err != nil || !found {
		t.Fatal(found, err)
	}
	today := int32(s.now() / dayMillis)
	days, err := s.n.fsm.LinkDays("link01", today-1, today)
	if err != nil {
		t.Fatal(err)
	}
	var sum meta.LinkDay
	for _, d := range days { // two, when the test runs over midnight
		sum.Clicks += d.Clicks
		sum.Visitors += d.Visitors
		if d.Referrers != nil {
			sum.Referrers, sum.Countries, sum.Browsers = d.Referrers, d.Countries, d.Browsers
		}
	}
	return l, sum
}

func (l *lossyLog) entriesNow() int {
	l.oneLog.mu.Lock()
	defer l.oneLog.mu.Unlock()
	return l.entries
}

// TestCountsAreExact: nothing is written while there is nothing, and what a
// burst leaves is written once, in few commands.
func TestCountsAreExact(t *testing.T) {
	t.Parallel()
	s, l := bareService(t)
	before := l.entriesNow()
	if !s.counts.flush(t.Context()) || l.entriesNow() != before {
		t.Fatal("something was written where there was nothing")
	}
	const clicks, perVisitor = 20_000, 10
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range clicks / 4 {
				visitor := (g*clicks/4 + i) / perVisitor
				s.CountClick("link01", Click{
					Addr:     netip.AddrFrom4([4]byte{198, 51, byte(visitor >> 8), byte(visitor)}),
					Referrer: fmt.Sprintf("host%d.example", i%3), Browser: "curl", Country: "DE",
				})
				s.CountView("paste001")
			}
		})
	}
	wg.Wait()
	s.counts.use("key_unknown", s.now())
	if !s.counts.flush(t.Context()) {
		t.Fatal("not written")
	}
	link, day := statsOf(t, s)
	if link.Clicks != clicks || day.Clicks != clicks || day.Visitors != clicks/perVisitor || viewsOf(t, s) != clicks {
		t.Fatalf("%d clicks of the link, %d of the day, %d visitors, %d views", link.Clicks, day.Clicks, day.Visitors, viewsOf(t, s))
	}
	if day.Browsers["curl"] != clicks || day.Countries["DE"] != clicks || day.Referrers["host0.example"] < clicks/4 {
		t.Fatalf("%+v", day)
	}
	if got := s.counts.flushed.Load(); got != 2*clicks || s.counts.gathered.Load() != got || s.counts.dropped.Load() != 0 {
		t.Fatalf("flushed %d, gathered %d, dropped %d", got, s.counts.gathered.Load(), s.counts.dropped.Load())
	}
	if n := l.entriesNow() - before; n > 10 {
		t.Errorf("%d entries of the log", n)
	}
	if link.LastClick == 0 || link.LastClick > s.now() {
		t.Errorf("last click at %d", link.LastClick)
	}
}

// TestCountsUnknownOutcome: a command that may have been carried out is not
// counted twice, whether it was, or is so behind the node's back, or never.
func TestCountsUnknownOutcome(t *testing.T) {
	t.Parallel()
	for _, committed := range []bool{true, false} {
		t.Run(fmt.Sprint("committed ", committed), func(t *testing.T) {
			t.Parallel()
			s, l := bareService(t)
			for range 3 {
				s.CountView("paste001")
			}
			l.set(true, false)
			ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
			defer cancel()
			if s.counts.flush(ctx) {
				t.Fatal("written to a log that loses everything")
			}
			s.CountView("paste001") // gathers meanwhile
			l.set(false, false)
			if committed {
				l.commitLost(t)
				if got := viewsOf(t, s); got != 3 {
					t.Fatalf("%d views after what was lost had been committed", got)
				}
			}
			if !s.counts.flush(t.Context()) {
				t.Fatal("not written")
			}
			if got := viewsOf(t, s); got != 4 || s.counts.flushed.Load() != 4 {
				t.Fatalf("%d views, %d flushed", got, s.counts.flushed.Load())
			}
		})
	}
}

// TestCountsTooLate: what comes back as too late was not counted, and is
// written under a new id; unless it is so old that nobody would know.
func TestCountsTooLate(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		after time.Duration
		views int64
	}{{2 * time.Minute, 3}, {30 * time.Minute, 0}} {
		t.Run(c.after.String(), func(t *testing.T) {
			t.Parallel()
			s, l := bareService(t)
			for range 3 {
				s.CountView("paste001")
			}
			l.set(true, false)
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			if s.counts.flush(ctx) {
				t.Fatal("written to a log that loses everything")
			}
			l.set(false, false)
			l.mu.Lock()
			_, err := l.oneLog.Apply(t.Context(), meta.Pack(s.now()+c.after.Milliseconds(), nil))
			l.mu.Unlock()
			if err != nil {
				t.Fatal(err)
			}
			for !s.counts.flush(t.Context()) { // the first try learns that it was too late
				if t.Context().Err() != nil {
					t.Fatal("not written")
				}
			}
			if got := viewsOf(t, s); got != c.views || s.counts.flushed.Load() != c.views || s.counts.dropped.Load() != 3-c.views {
				t.Fatalf("%d views, %d flushed, %d dropped", got, s.counts.flushed.Load(), s.counts.dropped.Load())
			}
		})
	}
}

// TestCountsWithoutLeader: what can't be written is kept and written later, the
// clicks with their visitors.
func TestCountsWithoutLeader(t *testing.T) {
	t.Parallel()
	s, l := bareService(t)
	l.set(false, true)
	for i := range 10 {
		s.CountClick("link01", Click{Addr: netip.MustParseAddr(fmt.Sprintf("2001:db8:0:%d:%d::1", i/5, i))})
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
		if s.counts.flush(ctx) {
			t.Fatal("written without a leader")
		}
		cancel()
	}
	l.set(false, false)
	if !s.counts.flush(t.Context()) {
		t.Fatal("not written")
	}
	if _, day := statsOf(t, s); day.Clicks != 10 || day.Visitors != 2 {
		t.Fatalf("%d clicks of %d visitors, want 10 of two /64", day.Clicks, day.Visitors)
	}
}

// TestCountsKeepToBounds: with nobody to write to, memory is bounded, and what
// there is no room for is counted as dropped.
func TestCountsKeepToBounds(t *testing.T) {
	t.Parallel()
	s, _ := bareService(t)
	for i := range talliedViewsMax + 5 {
		s.CountView(fmt.Sprintf("%08d", i))
	}
	s.CountView(fmt.Sprintf("%08d", 0)) // known: there is room for more of it
	for i := range talliedClicksMax + 7 {
		s.CountClick(fmt.Sprintf("%06d", i), Click{})
	}
	for i := range 3 * namesMax {
		s.CountClick("000000", Click{Referrer: fmt.Sprintf("host%d.example", i), Browser: string([]byte{0xff})})
	}
	if got := s.counts.dropped.Load(); got != 12 {
		t.Errorf("%d dropped, want 12", got)
	}
	for at, c := range s.counts.now.clicks {
		if len(c.referrers) > namesMax || len(c.browsers) > 0 {
			t.Errorf("%s has %d referrers and %d browsers", at.link, len(c.referrers), len(c.browsers))
		}
	}
	if !s.counts.flush(t.Context()) {
		t.Fatal("not written")
	}
}

// TestCountsFlushByThemselves: about once in the time that is set, sooner when
// there is much.
func TestCountsFlushByThemselves(t *testing.T) {
	t.Parallel()
	s, l := bareService(t)
	slow, few := int64(60_000), int64(50)
	mustPropose(t, s.n.proposer, meta.SetSettings{Patch: meta.SettingsPatch{Paste69: &meta.Paste69Patch{FlushMillis: &slow, FlushCount: &few}}})
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { s.counts.run(ctx) })
	defer wg.Wait()
	defer cancel()
	before := l.entriesNow()
	for range few - 1 {
		s.CountView("paste001")
	}
	if n := l.entriesNow(); n != before {
		t.Fatalf("%d entries for what should gather", n-before)
	}
	s.CountView("paste001")
	deadline := time.NewTimer(20 * time.Second)
	defer deadline.Stop()
	for viewsOf(t, s) != few {
		select {
		case <-deadline.C:
			t.Fatalf("%d views", viewsOf(t, s))
		case <-time.After(time.Millisecond):
		}
	}
}
