package testcluster_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"ringbin/storage"
	"ringbin/testcluster"
)

// Bounds of the tests with processes.
const (
	gapMost    = 15 * time.Second // without an acknowledged upload
	uploadMost = 60 * time.Second // from the first try of an upload to its answer
)

// processLoad uploads to a cluster of processes. It never gives an upload up:
// when it is stopped, every outcome is known.
type processLoad struct {
	p     *testcluster.Processes
	stop  chan struct{}
	group errgroup.Group
	ack   chan struct{} // has room for one: something was acknowledged

	mu   sync.Mutex // protects the fields below
	acks int
	last time.Time
	gap  time.Duration // the longest time between two acknowledgements
}

func startProcessLoad(t *testing.T, p *testcluster.Processes, key string) *processLoad {
	t.Helper()
	l := &processLoad{p: p, stop: make(chan struct{}), ack: make(chan struct{}, 1), last: time.Now()}
	for w := range writersMax {
		l.group.Go(func() error {
			for i := 0; ; i++ {
				select {
				case <-l.stop:
					return nil
				default:
				}
				if err := l.upload(t.Context(), w, i, key); err != nil {
					return err
				}
			}
		})
	}
	return l
}

func (l *processLoad) upload(ctx context.Context, w, i int, key string) error {
	ctx, cancel := context.WithTimeout(ctx, uploadMost)
	defer cancel()
	size := 100 + i
	if i%7 == 0 {
		size = 300 << 10 // several chunks, stored as a file of its own
	}
	if _, err := l.p.PutUntil(ctx, w+i, key, content(uint64(w)<<16|uint64(i), size), 30); err != nil {
		return fmt.Errorf("upload %d of writer %d: %w", i, w, err)
	}
	l.mu.Lock()
	now := time.Now()
	l.gap = max(l.gap, now.Sub(l.last))
	l.acks, l.last = l.acks+1, now
	l.mu.Unlock()
	select {
	case l.ack <- struct{}{}:
	default:
	}
	return nil
}

func (l *processLoad) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.acks
}

// more returns once n further uploads were acknowledged.
func (l *processLoad) more(t *testing.T, n int) {
	t.Helper()
	until := l.count() + n
	late := time.After(uploadMost)
	for l.count() < until {
		select {
		case <-l.ack:
		case <-late:
			t.Fatalf("%d of %d uploads acknowledged in %s", l.count(), until, uploadMost)
		}
	}
}

// end stops the load and tells the longest time in which nothing was written.
func (l *processLoad) end(t *testing.T) {
	t.Helper()
	close(l.stop)
	if err := l.group.Wait(); err != nil {
		t.Error(err)
	}
	t.Logf("%d uploads acknowledged; the longest write gap was %s", l.acks, l.gap.Round(time.Millisecond))
	if l.gap > gapMost {
		t.Errorf("nothing was written for %s", l.gap)
	}
}

// readingProcess reads what was acknowledged before through one node, over and
// over, and fails the test with the first read that does not succeed.
func readingProcess(t *testing.T, p *testcluster.Processes, i int, cids []storage.CID) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var g errgroup.Group
	reads := 0
	g.Go(func() error {
		for ; ctx.Err() == nil; reads++ {
			if _, err := p.Client(i, "").Get(cids[reads%len(cids)]); err != nil { //nolint:contextcheck // each request has its own time
				return err
			}
		}
		return nil
	})
	return func() {
		cancel()
		if err := g.Wait(); err != nil {
			t.Errorf("read %d through node %d, which was never down: %v", reads, i, err)
		}
		t.Logf("%d reads through node %d", reads, i)
		if reads == 0 {
			t.Errorf("no reads through node %d", i)
		}
	}
}

// TestProcesses kills real processes: nothing is closed, flushed or handed
// over before they are gone.
func TestProcesses(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the command line and starts processes")
	}
	bin := testcluster.Build(t)
	t.Run("leader is killed", func(t *testing.T) { leaderProcessIsKilled(t, bin) })
	t.Run("all are killed", func(t *testing.T) { allProcessesAreKilled(t, bin) })
}

// leaderProcessIsKilled: reads through the others never fail, writes go on,
// and the node that comes back catches up and holds its copies again.
func leaderProcessIsKilled(t *testing.T, bin string) {
	t.Helper()
	p := testcluster.StartProcesses(t, bin, 3)
	key := p.Account(1_000_000)
	l := startProcessLoad(t, p, key)
	l.more(t, 50)
	leader := p.WaitLeader()
	before := p.Acked()
	stops := []func(){
		readingProcess(t, p, (leader+1)%3, before),
		readingProcess(t, p, (leader+2)%3, before),
	}
	p.Kill(leader)
	l.more(t, 100)
	for _, stop := range stops {
		stop()
	}
	if now := p.WaitLeader(); now == leader {
		t.Errorf("node %d leads and is dead", leader)
	}
	p.Start(leader)
	l.more(t, 50)
	l.end(t)
	p.Check()
	stopProcesses(p)
}

// allProcessesAreKilled: nothing acknowledged is lost when all nodes go at
// once, and what was under way is charged once or not at all.
func allProcessesAreKilled(t *testing.T, bin string) {
	t.Helper()
	p := testcluster.StartProcesses(t, bin, 3)
	key := p.Account(1_000_000)
	l := startProcessLoad(t, p, key)
	for range 2 {
		l.more(t, 50)
		p.KillAll(0, 1, 2)
		for i := range p.Len() {
			p.Start(i)
		}
	}
	l.more(t, 50)
	l.end(t)
	p.Check()
	stopProcesses(p)
}

func stopProcesses(p *testcluster.Processes) {
	for i := range p.Len() {
		p.Stop(i)
	}
}
