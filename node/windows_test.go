package node

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"ringbin/cluster/peer"
	"ringbin/storage"
)

// windowRig is nodes that count one key for each other, in virtual time.
type windowRig struct {
	limit int64
	nodes []*windowNode

	// What is committed.
	counter int
	entry   uint64

	granted map[int64]int64 // by window of the counters
	alone   map[string]int64
	allowed map[int64]int64 // the highest limit that was asked with around a window
}

// windowNode is one of them.
type windowNode struct {
	r     *windowRig
	id    int
	life  int
	skew  time.Duration
	up    bool
	lost  time.Time // since when it hears nothing of what is committed; zero: it does
	cut   bool      // nobody reaches it, and it reaches nobody
	knows struct {
		counter int
		entry   uint64
	}
	windows *windows
	count   *windowCounter

	// Of the request under way.
	asked  bool
	failed bool
	window int64 // of the newest answer
}

func newWindowRig(n int, limit int64) *windowRig {
	r := &windowRig{limit: limit, entry: 1, granted: map[int64]int64{}, alone: map[string]int64{}, allowed: map[int64]int64{}}
	for i := range n {
		w := &windowNode{r: r, id: i, up: true}
		r.nodes = append(r.nodes, w)
		w.start()
	}
	return r
}

// start gives a node an empty memory.
func (n *windowNode) start() {
	n.up = true
	n.life++
	n.count = newWindowCounter()
	n.windows = &windows{ask: n.ask, wall: n.wall, nodes: func() int { return len(n.r.nodes) }, keys: map[string]*spending{}}
	n.hear()
}

// hear brings a node up to what is committed, if it is in contact.
func (n *windowNode) hear() {
	if !n.lost.IsZero() || !n.up {
		return
	}
	n.knows.counter, n.knows.entry = n.r.counter, n.r.entry
	if n.knows.counter == n.id {
		n.count.see(0, n.knows.entry)
	}
}

func (n *windowNode) wall() int64 { return time.Now().Add(n.skew).UnixMilli() }

func (n *windowNode) ask(ctx context.Context, key string, limit, want int64) (peer.WindowReply, error) {
	n.asked = true
	reply, err := n.answer(ctx, peer.WindowRequest{Key: key, Limit: limit, Want: want})
	n.failed = err != nil
	if err == nil {
		n.window = reply.Window
		n.r.granted[reply.Window] += reply.Granted
	}
	return reply, err
}

var errUnanswered = errors.New("no answer")

// answer is what countWindow does, of the node that is asked.
func (n *windowNode) answer(ctx context.Context, q peer.WindowRequest) (peer.WindowReply, error) {
	to := n.r.nodes[n.knows.counter]
	switch {
	case !to.up, to != n && (n.cut || to.cut):
		<-ctx.Done()
		return peer.WindowReply{}, errUnanswered
	case !to.lost.IsZero() && time.Since(to.lost) > counterStale, to.knows.counter != to.id:
		return peer.WindowReply{}, errUnanswered
	}
	return to.count.grant(q, 0, to.knows.entry, to.wall())
}

// move makes another node the counter.
func (r *windowRig) move(to int) {
	r.counter = to
	r.entry++
	for _, n := range r.nodes {
		n.hear()
	}
}

// request makes one of a client's, and reports whether it was admitted.
func (n *windowNode) request(t errorer) bool {
	now := windowOf(time.Now().UnixMilli())
	for w := now - 1; w <= now+1; w++ {
		n.r.allowed[w] = max(n.r.allowed[w], n.r.limit)
	}
	n.asked, n.failed = false, false
	err := n.windows.admit(context.Background(), "k", n.r.limit)
	if err != nil {
		e, ok := errors.AsType[*storage.Error](err)
		if !ok || e.Kind != storage.KindRateLimited || e.Details["limit_per_minute"] != n.r.limit {
			t.Errorf("refused with %v", err)
		} else if s, ok := e.Details["retry_after_seconds"].(int64); !ok || s < 1 {
			t.Errorf("to be tried again after %v", e.Details["retry_after_seconds"])
		}
		return false
	}
	if n.asked && n.failed {
		n.r.alone[fmt.Sprint(n.id, "/", n.life, "/", n.windows.window)]++
	}
	return true
}

type errorer interface {
	Errorf(format string, args ...any)
}

// check holds what was admitted to the bound: what counters granted in a window
// is no more than the limit, and what a node admitted besides, in each of its
// lives, no more than its share.
func (r *windowRig) check(t errorer) {
	for w, n := range r.granted {
		if limit := r.allowed[w]; n > limit {
			t.Errorf("%d were granted in window %d, the limit is %d", n, w, limit)
		}
	}
	most := int64(0)
	for _, limit := range r.allowed {
		most = max(most, limit)
	}
	share := max(1, int64(math.Ceil(float64(most)/float64(4*len(r.nodes)))))
	for who, n := range r.alone {
		if n > share {
			t.Errorf("node/life/window %s admitted %d alone, its share is %d", who, n, share)
		}
	}
}

// settle is after the first window, in which nobody grants, at the beginning of one.
func settle(lag time.Duration) {
	time.Sleep(lag)
	now := time.Now()
	time.Sleep(now.Truncate(windowLength).Add(windowLength).Sub(now))
}

// Whatever happens, at most the limit and the shares are admitted.
func TestWindowsBound(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rapid.Check(struct{ testing.TB }{t}, func(rt *rapid.T) { // a bubble has no Deadline
			r := newWindowRig(rapid.IntRange(1, 4).Draw(rt, "nodes"), rapid.SampledFrom([]int64{1, 7, 60, 600, 601, 2000}).Draw(rt, "limit"))
			node := func(rt *rapid.T) *windowNode { return rapid.SampledFrom(r.nodes).Draw(rt, "node") }
			if rapid.Bool().Draw(rt, "skewed") {
				for _, n := range r.nodes {
					n.skew = time.Duration(rapid.Int64Range(-skewMax.Milliseconds(), skewMax.Milliseconds()).Draw(rt, "skew")) * time.Millisecond
				}
			}
			rt.Repeat(map[string]func(*rapid.T){
				"requests": func(rt *rapid.T) {
					n := node(rt)
					for range rapid.IntRange(1, 200).Draw(rt, "n") {
						if n.up {
							n.request(rt)
						}
					}
				},
				"spend": func(rt *rapid.T) {
					for _, n := range r.nodes {
						for range min(2*r.limit, 1000) {
							if !n.up || !n.request(rt) {
								break
							}
						}
					}
				},
				"time": func(rt *rapid.T) {
					time.Sleep(time.Duration(rapid.Int64Range(1, 20_000).Draw(rt, "millis")) * time.Millisecond)
				},
				"nextWindow": func(*rapid.T) { settle(0) },
				"restart":    func(rt *rapid.T) { node(rt).start() },
				"stop":       func(rt *rapid.T) { node(rt).up = false },
				"cut":        func(rt *rapid.T) { n := node(rt); n.cut = !n.cut },
				"contact": func(rt *rapid.T) {
					n := node(rt)
					if n.lost.IsZero() {
						n.lost = time.Now()
						return
					}
					n.lost = time.Time{}
					n.hear()
				},
				"move":  func(rt *rapid.T) { r.move(node(rt).id) },
				"limit": func(rt *rapid.T) { r.limit = rapid.Int64Range(1, 1000).Draw(rt, "limit") },
				"":      func(rt *rapid.T) { r.check(rt) },
			})
		})
	})
}

// While the counter answers, exactly the limit is admitted, through whatever
// nodes, up to a limit of which each request is asked for. Above it what is
// lost are leases that were not spent.
func TestWindowsAreExact(t *testing.T) {
	t.Parallel()
	for _, limit := range []int64{1, 60, 600, 601, 6000} {
		t.Run(fmt.Sprint(limit), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newWindowRig(3, limit)
				for range 3 {
					settle(counterLag)
					var admitted int64
					for i := range 2 * limit {
						if r.nodes[i%3].request(t) {
							admitted++
						}
					}
					least := limit
					if limit > leaseAbove {
						least -= 2 * partOf(limit, leaseParts)
					}
					if admitted > limit || admitted < least {
						t.Errorf("%d of %d admitted in a window", admitted, limit)
					}
				}
				r.check(t)
			})
		})
	}
}

// Requests at the same time share a lease, and the wait for it.
func TestLeaseIsShared(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const limit, requests = 1000, 100
		var asked, admitted atomic.Int64
		w := &windows{wall: func() int64 { return time.Now().UnixMilli() }, nodes: func() int { return 1 }, keys: map[string]*spending{}}
		w.ask = func(_ context.Context, _ string, _, want int64) (peer.WindowReply, error) {
			asked.Add(1)
			time.Sleep(10 * time.Millisecond)
			return peer.WindowReply{Granted: want, EndsMillis: 30_000}, nil
		}
		var wg sync.WaitGroup
		for range requests {
			wg.Go(func() {
				if w.admit(t.Context(), "k", limit) == nil {
					admitted.Add(1)
				}
			})
		}
		wg.Wait()
		if admitted.Load() != requests || asked.Load() != requests/partOf(limit, leaseParts) {
			t.Errorf("%d admitted with %d questions", admitted.Load(), asked.Load())
		}
		// Nobody queues behind a counter that does not answer.
		w.keys = map[string]*spending{}
		w.ask = func(ctx context.Context, _ string, _, _ int64) (peer.WindowReply, error) {
			<-ctx.Done()
			return peer.WindowReply{}, errUnanswered
		}
		began := time.Now()
		for range requests {
			wg.Go(func() { _ = w.admit(t.Context(), "k", limit) })
		}
		wg.Wait()
		if took := time.Since(began); took != counterWithin {
			t.Errorf("without an answer requests took %v", took)
		}
		if used := w.keys["k"].used; used != requests {
			t.Errorf("%d of a share of %d used", used, w.keys["k"].share)
		}
	})
}

// Without a counter each node admits its share, and goes on with the counter
// in the same window once it is there.
func TestShares(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newWindowRig(3, 60)
		take := func() (admitted [3]int) {
			for i := range 100 * 3 {
				if r.nodes[i%3].request(t) {
					admitted[i%3]++
				}
			}
			return admitted
		}
		if got := take(); got != [3]int{5, 5, 5} {
			t.Errorf("in the first window %v", got)
		}
		settle(counterLag)
		r.nodes[0].cut = true
		if got := take(); got[0] != 60 || got[1] != 5 || got[2] != 5 {
			t.Errorf("with a counter that the others do not reach %v", got)
		}
		settle(0)
		if got := take(); got[0] != 60 || got[1] != 5 || got[2] != 5 {
			t.Errorf("in the next window %v", got)
		}
		settle(0)
		for range 10 {
			r.nodes[1].request(t)
		}
		r.nodes[0].cut = false
		if got := take(); got[0]+got[1]+got[2] != 60 {
			t.Errorf("once the counter was back %v", got)
		}
	})
}

// Two counters never grant in the same window: not when counting moves there
// and back, nor while the former one does not know that it is that no more.
func TestCounterMoves(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newWindowRig(3, 60)
		take := func(i int) (admitted int) {
			for range 100 {
				if r.nodes[i].request(t) {
					admitted++
				}
			}
			return admitted
		}
		settle(counterLag)
		r.move(1)
		settle(counterLag)
		if got := take(1); got != 60 {
			t.Errorf("the new counter admits %d", got)
		}
		r.move(0)
		if got := take(0); got != 5 {
			t.Errorf("the old one, back in the same window, admits %d", got)
		}
		settle(0)
		if got := take(2); got != 60 {
			t.Errorf("in the next window %d", got)
		}
		// The counter loses contact just before a window ends, and is replaced.
		settle(0)
		time.Sleep(windowLength - time.Second)
		r.nodes[0].lost = time.Now()
		r.move(2)
		time.Sleep(2 * time.Second)
		if first, second := take(0), take(1); first != 60 || second != 5 {
			t.Errorf("the former counter, which does not know, admits %d, another node %d", first, second)
		}
		time.Sleep(counterStale)
		if got := take(0); got != 0 {
			t.Errorf("%d more once it has heard nothing for too long", got)
		}
		settle(0)
		if got := take(0); got != 5 {
			t.Errorf("it admits %d in the next window", got)
		}
		if got := take(1); got != 60 {
			t.Errorf("the new counter admits %d", got)
		}
		r.check(t)
	})
}

// A node that was refused does not ask again before the window ends.
func TestRefusalIsRemembered(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newWindowRig(1, 2)
		n := r.nodes[0]
		settle(counterLag)
		for i := range 5 {
			if got := n.request(t); got != (i < 2) || n.asked != (i < 3) {
				t.Errorf("request %d: admitted %v, asked %v", i, got, n.asked)
			}
		}
		time.Sleep(windowLength - time.Second)
		err := n.windows.admit(t.Context(), "k", 2)
		if e, ok := errors.AsType[*storage.Error](err); !ok || e.Details["retry_after_seconds"] != int64(1) {
			t.Errorf("a second before the end: %v", err)
		}
		time.Sleep(time.Second)
		if !n.request(t) {
			t.Error("refused in the next window")
		}
	})
}

// A changed limit counts from the next window on.
func TestChangedLimit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newWindowRig(2, 10)
		take := func() (admitted int) {
			for i := range 100 {
				if r.nodes[i%2].request(t) {
					admitted++
				}
			}
			return admitted
		}
		settle(counterLag)
		if got := take(); got != 10 {
			t.Errorf("%d of 10", got)
		}
		r.limit = 20
		if got := take(); got != 0 {
			t.Errorf("%d more when the limit was raised", got)
		}
		settle(0)
		if got := take(); got != 20 {
			t.Errorf("%d of 20 in the next window", got)
		}
	})
}

// What is known of a key is bounded and forgotten, never before its window is over.
func TestWindowsMemory(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newWindowRig(1, 1)
		n := r.nodes[0]
		settle(counterLag)
		for i := range windowsMax {
			if err := n.windows.admit(t.Context(), fmt.Sprint(i), 1); err != nil {
				t.Fatal(err)
			}
		}
		if err := n.windows.admit(t.Context(), "one more", 1); storage.CodeOf(err) != "overloaded" {
			t.Errorf("one more: %v", err)
		}
		if err := n.windows.admit(t.Context(), "0", 1); storage.CodeOf(err) != "rate_limited" {
			t.Errorf("the first one again: %v", err)
		}
		settle(0)
		if err := n.windows.admit(t.Context(), "one more", 1); err != nil || len(n.windows.keys) != 1 || len(n.count.granted) != 1 {
			t.Errorf("in the next window: %v, of %d keys something is known", err, len(n.windows.keys))
		}
	})
}

// A member that does not answer is left alone, but for a question now and then.
func TestSilences(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &silences{all: map[storage.NodeID]*silence{}}
		asked := 0
		for range 100 {
			if s.ask("a") {
				asked++
				s.heard("a", false)
			}
		}
		if asked != unansweredMax {
			t.Errorf("asked %d times in a row", asked)
		}
		if !s.ask("b") {
			t.Error("another member is not asked")
		}
		time.Sleep(counterPause)
		if !s.ask("a") || s.ask("a") {
			t.Error("after the pause it is not asked once")
		}
		s.heard("a", true)
		if !s.ask("a") || len(s.all) != 0 {
			t.Error("it answered, and is not asked")
		}
	})
}
