package node

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"ringbin/cluster/peer"
	"ringbin/storage"
)

// A limit of a minute is counted in windows: minutes since 1970 by the clock of
// whoever counts. For each key one member does for the whole cluster, its
// counter ([meta.FSM.Counter]); the nodes that serve requests ask it
// (windows.go). These are the times and limits of counting.
const (
	windowLength = time.Minute
	windowsMax   = 100_000 // keys of which a node knows something in one window
	windowKeyMax = 256     // bytes

	// counterStale is how old a counter's knowledge of what is committed may be.
	// One that knows less may have been replaced meanwhile, and grants nothing.
	counterStale = 5 * time.Second
	// counterLag is for how long after a node became a counter its predecessor
	// may still grant: until that knows no better, by two clocks that are off.
	counterLag = counterStale + 2*skewMax + time.Second
	// freshenEvery is how often a counter that is asked looks at what is
	// committed, so that nobody waits for that.
	freshenEvery = 2 * time.Second
)

func windowOf(wall int64) int64 { return wall / windowLength.Milliseconds() }

// windowCounter is a node's memory of what it has granted in the newest window.
// It grants in no window in which another may have granted as well: not in
// those that had begun when it started, or became the key's counter, or when
// its predecessor could still think that it is that.
type windowCounter struct {
	mu      sync.Mutex                       // protects the fields below
	window  int64                            // the newest; older ones are over, whatever the clock does
	granted map[string]*grants               // in it, by key
	reigns  [storage.Partitions]counterSince // as it was last seen

	asked atomic.Bool // since it was last looked at what is committed
}

// grants are what was granted of a limit. A limit that is changed counts from
// the next window on.
type grants struct{ limit, sum int64 }

// counterSince is since when a node counts: as the state numbers it, and when
// it was seen.
type counterSince struct {
	entry uint64
	seen  time.Time // zero: never
}

func newWindowCounter() *windowCounter { return &windowCounter{granted: map[string]*grants{}} }

// see notes that this node is a partition's counter since an entry.
func (c *windowCounter) see(partition int, entry uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.saw(partition, entry)
}

func (c *windowCounter) saw(partition int, entry uint64) time.Time {
	r := &c.reigns[partition]
	if r.seen.IsZero() || r.entry != entry {
		*r = counterSince{entry: entry, seen: time.Now()}
	}
	return r.seen
}

// grant counts up to q.Want requests more; wall is the time in Unix milliseconds.
// KindUnavailable: counting, where no other counts as well, has not begun.
func (c *windowCounter) grant(q peer.WindowRequest, partition int, entry uint64, wall int64) (peer.WindowReply, error) {
	const op = "node.grant"
	c.mu.Lock()
	defer c.mu.Unlock()
	if w := windowOf(wall); w > c.window {
		c.window = w
		clear(c.granted)
	}
	began := wall - time.Since(c.saw(partition, entry)).Milliseconds()
	if c.window*windowLength.Milliseconds() < began+counterLag.Milliseconds() {
		return peer.WindowReply{}, &storage.Error{Op: op, Kind: storage.KindUnavailable, Code: "counting_begins"}
	}
	g := c.granted[q.Key]
	if g == nil && len(c.granted) >= windowsMax {
		return peer.WindowReply{}, &storage.Error{Op: op, Kind: storage.KindUnavailable, Code: "overloaded"}
	}
	if g == nil {
		g = &grants{limit: q.Limit}
		c.granted[q.Key] = g
	}
	n := min(q.Want, g.limit-g.sum)
	g.sum += n
	return peer.WindowReply{Granted: n, Window: c.window, EndsMillis: (c.window+1)*windowLength.Milliseconds() - wall}, nil
}

// countWindow is the counter's answer to a node, this one included. Whether it
// is the key's counter is judged after what is committed was looked at.
func (s *Service) countWindow(ctx context.Context, q peer.WindowRequest) (peer.WindowReply, error) {
	const op = "node.countWindow"
	if q.Key == "" || len(q.Key) > windowKeyMax || q.Limit < 1 || q.Want < 1 {
		return peer.WindowReply{}, storage.Invalid(op, "", "key", "a key, and a limit and a want from 1 on")
	}
	s.counter.asked.Store(true)
	if err := s.n.freshWithin(ctx, counterStale); err != nil {
		return peer.WindowReply{}, err
	}
	partition := keyPartition(q.Key)
	id, entry := s.n.fsm.Counter(partition)
	if id != s.n.self() {
		return peer.WindowReply{}, &storage.Error{Op: op, Kind: storage.KindConflict, Code: "not_the_counter"}
	}
	return s.counter.grant(q, partition, entry, s.now())
}

// runWindows sees at once what this node becomes a counter of, and keeps what
// it knows fresh while it is asked, until ctx ends.
func (s *Service) runWindows(ctx context.Context) {
	changes, stop := s.n.fsm.Watch()
	defer stop()
	timer := time.NewTicker(freshenEvery)
	defer timer.Stop()
	for {
		for p := range storage.Partitions {
			if id, entry := s.n.fsm.Counter(p); id == s.n.self() {
				s.counter.see(p, entry)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-changes:
		case <-timer.C:
			if s.counter.asked.Swap(false) {
				_ = s.n.catchUp(ctx) // without it nothing is granted, which tells itself
			}
		}
	}
}
