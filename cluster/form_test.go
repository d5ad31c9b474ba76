package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"ringbin/storage"
)

// town is nodes that say hello to each other in memory. What a node has
// promised outlives its restarts.
type town struct {
	t *testing.T
	// crowded: more nodes than founders, so that one's promise may be in vain.
	crowded bool

	mu       sync.Mutex // protects the fields below
	rng      *rand.Rand // nil: hellos take no time
	formers  map[string]*Former
	cut      map[[2]string]bool
	promises map[storage.NodeID][]storage.NodeID
	found    map[storage.NodeID]FormResult
}

func newTown(t *testing.T) *town {
	t.Helper()
	return &town{
		t: t, formers: map[string]*Former{}, cut: map[[2]string]bool{},
		promises: map[storage.NodeID][]storage.NodeID{}, found: map[storage.NodeID]FormResult{},
	}
}

func addrOf(i int) string { return fmt.Sprintf("addr-%02d", i) }

func addrsOf(n int) []string {
	addrs := make([]string, n)
	for i := range addrs {
		addrs[i] = addrOf(i)
	}
	return addrs
}

// former makes node i with what it has promised before.
func (w *town) former(i, expect int, join []string) *Former {
	w.mu.Lock()
	defer w.mu.Unlock()
	id, addr := nodeID(i), addrOf(i)
	f := NewFormer(FormOptions{
		Self: Candidate{ID: id, RPC: addr}, Expect: expect, Join: join,
		Hello: func(ctx context.Context, to string, q HelloRequest) (HelloReply, error) {
			return w.hello(ctx, addr, to, q)
		},
		Promised: w.promises[id],
		Promise:  func(ids []storage.NodeID) error { return w.promise(id, ids) },
		Logger:   slog.New(slog.DiscardHandler), Every: time.Second,
	})
	w.formers[addr] = f
	return f
}

func (w *town) hello(ctx context.Context, from, to string, q HelloRequest) (HelloReply, error) {
	if err := w.pause(ctx); err != nil {
		return HelloReply{}, err
	}
	w.mu.Lock()
	f := w.formers[to]
	cut := w.cut[[2]string{from, to}]
	w.mu.Unlock()
	if f == nil || cut {
		return HelloReply{}, errors.New("unreachable")
	}
	r := f.Answer(q)
	return r, w.pause(ctx)
}

func (w *town) pause(ctx context.Context) error {
	w.mu.Lock()
	if w.rng == nil {
		w.mu.Unlock()
		return nil
	}
	d := time.Duration(w.rng.Int64N(int64(2 * time.Second)))
	w.mu.Unlock()
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (w *town) promise(id storage.NodeID, ids []storage.NodeID) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if had, ok := w.promises[id]; ok && !slices.Equal(had, ids) {
		w.t.Errorf("node %s promises %v after %v", id, ids, had)
	}
	if !slices.IsSorted(ids) || !slices.Contains(ids, id) {
		w.t.Errorf("node %s promises %v", id, ids)
	}
	w.promises[id] = slices.Clone(ids)
	return nil
}

// form runs node i until it knows what to do, or ctx ends.
func (w *town) form(ctx context.Context, i int, f *Former) {
	res, err := f.Run(ctx)
	if err != nil {
		if ctx.Err() == nil && (!w.crowded || storage.KindOf(err) != storage.KindConflict) {
			w.t.Errorf("node %d: %v", i, err)
		}
		return
	}
	if res.Member != nil {
		f.SetMember(res.Member.ClusterID)
	} else {
		f.SetMember(FoundedID(foundersOf(res)))
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.found[nodeID(i)] = res
}

func foundersOf(res FormResult) []storage.NodeID {
	var ids []storage.NodeID
	for _, c := range res.Bootstrap {
		ids = append(ids, c.ID)
	}
	return ids
}

// runFor runs nodes for a while of the bubble's clock.
func (w *town) runFor(d time.Duration, formers ...*Former) {
	ctx, cancel := context.WithTimeout(w.t.Context(), d)
	defer cancel()
	var wg sync.WaitGroup
	for i, f := range formers {
		if f != nil {
			wg.Go(func() { w.form(ctx, i, f) })
		}
	}
	wg.Wait()
}

// mustFind fails the test unless all these nodes bootstrap with all of them.
func (w *town) mustFind(n int) {
	w.t.Helper()
	var want []Candidate
	for i := range n {
		want = append(want, Candidate{ID: nodeID(i), RPC: addrOf(i)})
	}
	for i := range n {
		if res := w.found[nodeID(i)]; !slices.Equal(res.Bootstrap, want) {
			w.t.Errorf("node %d shall %+v, want to bootstrap with %v", i, res, want)
		}
	}
}

func TestFormExactlyTheExpected(t *testing.T) {
	t.Parallel()
	for n := 2; n <= 5; n++ {
		synctest.Test(t, func(t *testing.T) {
			w := newTown(t)
			var formers []*Former
			for i := range n {
				formers = append(formers, w.former(i, n, addrsOf(n)))
			}
			w.runFor(time.Minute, formers...)
			w.mustFind(n)
		})
	}
}

func TestFormNobody(t *testing.T) {
	t.Parallel()
	for name, expects := range map[string][]int{
		"too many":          {3, 3, 3, 3},
		"too few":           {3, 3},
		"differing expects": {3, 3, 2},
		"nobody expects":    {0, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newTown(t)
				var formers []*Former
				for i, expect := range expects {
					formers = append(formers, w.former(i, expect, addrsOf(4)))
				}
				w.runFor(time.Minute, formers...)
				if len(w.found) > 0 || len(w.promises) > 0 {
					t.Errorf("%v, promised %v", w.found, w.promises)
				}
			})
		})
	}
}

func TestFormAlone(t *testing.T) {
	t.Parallel()
	w := newTown(t)
	res, err := w.former(0, 1, nil).Run(t.Context())
	if err != nil || !slices.Equal(foundersOf(res), []storage.NodeID{nodeID(0)}) || len(w.promises) != 1 {
		t.Errorf("%+v, %v, promised %v", res, err, w.promises)
	}
	if _, err := w.former(1, 3, nil).Run(t.Context()); storage.KindOf(err) != storage.KindInvalid {
		t.Error(err)
	}
}

// A blank node that meets a member joins its cluster, whatever it expects.
func TestFormMeetsAMember(t *testing.T) {
	t.Parallel()
	for _, expect := range []int{0, 2, 3} {
		synctest.Test(t, func(t *testing.T) {
			w := newTown(t)
			w.former(0, 0, nil).SetMember("there")
			w.former(1, 3, nil)
			w.runFor(time.Minute, nil, nil, w.former(2, expect, addrsOf(3)))
			res := w.found[nodeID(2)]
			if res.Member == nil || *res.Member != (Membership{Via: addrOf(0), ClusterID: "there"}) || res.Bootstrap != nil {
				t.Errorf("%+v", res)
			}
			if len(w.promises) > 0 {
				t.Errorf("promised %v", w.promises)
			}
		})
	}
}

// A promise outlives a restart: the node waits for the rest of its set, takes
// no other, and does not join a cluster of others.
func TestFormPromiseSurvivesRestart(t *testing.T) {
	t.Parallel()
	abc := []storage.NodeID{nodeID(0), nodeID(1), nodeID(2)}
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t)
		w.promises[nodeID(0)] = abc
		// Another three are there, of whom this node would be one.
		a := w.former(0, 3, addrsOf(5))
		w.runFor(time.Minute, a, nil, nil, w.former(3, 3, addrsOf(5)), w.former(4, 3, addrsOf(5)))
		if len(w.found) > 0 || len(w.promises) != 1 {
			t.Errorf("%v, promised %v", w.found, w.promises)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t)
		w.promises[nodeID(0)] = abc
		w.runFor(time.Minute, w.former(0, 3, addrsOf(3)), w.former(1, 3, addrsOf(3)), w.former(2, 3, addrsOf(3)))
		w.mustFind(3)
	})
	for id, ok := range map[string]bool{FoundedID(abc): true, "another": false} {
		synctest.Test(t, func(t *testing.T) {
			w := newTown(t)
			w.promises[nodeID(0)] = abc
			w.former(1, 3, nil).SetMember(id)
			res, err := w.former(0, 3, addrsOf(3)).Run(t.Context())
			if ok && (err != nil || !slices.Equal(foundersOf(res), abc)) || !ok && storage.KindOf(err) != storage.KindConflict {
				t.Errorf("meets cluster %s: %+v, %v", id, res, err)
			}
		})
	}
}

// Nobody promises before the others see the same nodes: a node that reaches all
// is not enough while one of them reaches nobody.
func TestFormOneWay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t)
		a, b := w.former(0, 2, addrsOf(2)), w.former(1, 2, addrsOf(2))
		w.cut[[2]string{addrOf(1), addrOf(0)}] = true
		w.runFor(time.Minute, a, b)
		if len(w.found) > 0 || len(w.promises) > 0 {
			t.Errorf("%v, promised %v", w.found, w.promises)
		}
		clear(w.cut)
		w.runFor(time.Minute, a, b)
		w.mustFind(2)
	})
}

// A promise that can't be made durable does not count for anybody.
func TestFormPromiseFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t)
		errDisk := errors.New("disk is full")
		bad := w.former(0, 2, addrsOf(2))
		bad.o.Promise = func([]storage.NodeID) error { return errDisk }
		good := w.former(1, 2, addrsOf(2))
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		go w.form(ctx, 1, good)
		if _, err := bad.Run(ctx); !errors.Is(err, errDisk) {
			t.Error(err)
		}
		<-ctx.Done()
		synctest.Wait()
		if len(w.found) > 0 || bad.Answer(HelloRequest{}).Promise != nil {
			t.Errorf("%v", w.found)
		}
	})
}

// Whatever is cut, restarted and late, no two clusters come out of fewer
// than two full sets of founders; and once all is well, just the expected
// nodes found one.
func TestFormProperty(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		expect := rapid.IntRange(1, 4).Draw(rt, "expect")
		n := rapid.IntRange(expect, 2*expect-1).Draw(rt, "nodes")
		seed := rapid.Uint64().Draw(rt, "seed")
		calm := rapid.Bool().Draw(rt, "all is well in the end")
		var w *town
		synctest.Test(t, func(t *testing.T) {
			w = newTown(t)
			w.rng, w.crowded = rand.New(rand.NewPCG(seed, 1)), n > expect
			trouble := rand.New(rand.NewPCG(seed, 2))
			for range 30 {
				w.cutSome(trouble, n)
				w.runFor(time.Duration(trouble.IntN(20))*time.Second, w.missing(trouble, n, expect)...)
			}
			clear(w.cut)
			if calm {
				all := rand.New(rand.NewPCG(0, 0))
				w.runFor(time.Hour, w.missing(all, n, expect)...)
			}
		})
		w.mustBeOne(rt, n, expect, calm)
	})
}

// cutSome cuts a random half of the ways between nodes.
func (w *town) cutSome(rng *rand.Rand, n int) {
	clear(w.cut)
	for i := range n {
		for j := range n {
			w.cut[[2]string{addrOf(i), addrOf(j)}] = i != j && rng.IntN(4) == 0
		}
	}
}

// missing restarts those that don't know yet what to do; now and then one of
// them stays away.
func (w *town) missing(rng *rand.Rand, n, expect int) []*Former {
	formers := make([]*Former, n)
	for i := range formers {
		if _, ok := w.found[nodeID(i)]; ok {
			continue
		}
		w.former(i, expect, addrsOf(n))
		if rng.IntN(5) == 4 {
			delete(w.formers, addrOf(i))
			continue
		}
		formers[i] = w.formers[addrOf(i)]
	}
	return formers
}

func (w *town) mustBeOne(rt *rapid.T, n, expect int, calm bool) {
	rt.Helper()
	var founders []storage.NodeID
	for id, res := range w.found {
		if res.Member != nil {
			continue
		}
		if founders == nil {
			founders = foundersOf(res)
		}
		if !slices.Equal(founders, foundersOf(res)) || len(founders) != expect {
			rt.Fatalf("node %s founds with %v, others with %v", id, foundersOf(res), founders)
		}
	}
	for id, res := range w.found {
		if res.Member != nil && res.Member.ClusterID != FoundedID(founders) {
			rt.Fatalf("node %s joins %s, founded is %s", id, res.Member.ClusterID, FoundedID(founders))
		}
	}
	for _, id := range founders {
		if !slices.Equal(w.promises[id], founders) {
			rt.Fatalf("node %s has promised %v, the founders are %v", id, w.promises[id], founders)
		}
	}
	if calm && n == expect && len(w.found) != n {
		rt.Fatalf("all is well, and only %v know what to do", w.found)
	}
}
