package node

import (
	"context"
	"crypto/sha512"
	"maps"
	"math"
	"strconv"
	"sync"
	"time"

	"ringbin/cluster/peer"
	"ringbin/storage"
)

// How the nodes that serve requests ask their counters.
const (
	// Up to leaseAbove a minute each request is asked for. Above it a hundredth of
	// the limit is, and spent without asking; what is left of it is lost.
	leaseAbove = 600
	leaseParts = 100
	// Without an answer a node admits its share of a part of the limit.
	shareParts = 4

	counterWithin = 200 * time.Millisecond // for an answer

	// After so many questions in a row that a member did not answer it is asked
	// once in a pause, and nobody waits for it.
	unansweredMax = 3
	counterPause  = time.Second
)

// windows hold requests to their limits of a minute, cluster-wide: at most the
// limit in a window while the key's counter answers, and exactly that when each
// request is asked for. Whatever fails, short of restarts, there are at most so
// many more as all nodes' shares together: a counter never grants more than the
// limit in a window, no two grant in the same one, and a node admits no more
// than its share besides.
//
// What a counter refuses or leases ends with the counter's window, as far as
// this node can tell not after it: it counts from when it asked. Shares are of
// the window of its own clock.
type windows struct {
	ask   func(ctx context.Context, key string, limit, want int64) (peer.WindowReply, error)
	wall  func() int64 // Unix milliseconds
	nodes func() int   // members that serve requests

	mu     sync.Mutex // protects the fields below; never held while asking
	window int64      // the newest by the own clock
	keys   map[string]*spending
}

// spending is what a node knows of a key.
type spending struct {
	refused time.Time // until then the counter grants nothing more
	lease   int64     // left to spend
	leased  time.Time // until then
	asking  *question // for a lease; nil: nobody does

	window      int64 // of the share
	share, used int64
}

// question is one that all who need its answer wait for.
type question struct {
	done     chan struct{} // nil: nobody waits
	answered bool          // once it is done
}

// admit counts one request. KindRateLimited (rate_limited) above the limit, with
// details limit_per_minute and retry_after_seconds.
func (w *windows) admit(ctx context.Context, key string, limit int64) error {
	for {
		q, first, err := w.look(key, limit)
		switch {
		case q == nil:
			return err
		case first:
			return w.put(ctx, q, key, limit)
		}
		select {
		case <-q.done:
		case <-ctx.Done():
			return noLeader("node.admit", ctx.Err())
		}
		if !q.answered {
			return w.alone(key, limit)
		}
	}
}

// look decides by what is known, or says which question has to be answered
// first, and whether it is the caller's to put.
func (w *windows) look(key string, limit int64) (q *question, first bool, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	k, err := w.of(key)
	now := time.Now()
	switch {
	case err != nil:
		return nil, false, err
	case k.refused.After(now):
		return nil, false, overLimit(limit, k.refused.Sub(now))
	case k.lease > 0 && k.leased.After(now):
		k.lease--
		return nil, false, nil
	case limit <= leaseAbove:
		return &question{}, true, nil
	case k.asking != nil:
		return k.asking, false, nil
	}
	k.asking = &question{done: make(chan struct{})}
	return k.asking, true, nil
}

// put asks the counter for one request, or for a lease that others of the key
// may wait for: so it goes on when the client is gone.
func (w *windows) put(ctx context.Context, q *question, key string, limit int64) error {
	want := int64(1)
	if limit > leaseAbove {
		want = partOf(limit, leaseParts)
	}
	asking, cancel := context.WithTimeout(context.WithoutCancel(ctx), counterWithin)
	defer cancel()
	asked := time.Now()
	reply, err := w.ask(asking, key, limit, want)
	ends := asked.Add(time.Duration(reply.EndsMillis) * time.Millisecond)
	w.note(key, q, reply, ends, err == nil)
	switch {
	case err != nil:
		return w.alone(key, limit)
	case reply.Granted < 1:
		return overLimit(limit, time.Until(ends))
	}
	return nil
}

// note keeps what an answer tells of the requests to come.
func (w *windows) note(key string, q *question, reply peer.WindowReply, ends time.Time, answered bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	k := w.keys[key]
	if k != nil && answered && reply.Granted < 1 {
		k.refused = ends
	}
	if q.done == nil {
		return
	}
	if answered && reply.Granted > 1 {
		k.lease, k.leased = reply.Granted-1, ends
	}
	k.asking, q.answered = nil, answered
	close(q.done)
}

// alone admits a request without the counter, as far as this node's share of
// the window goes.
func (w *windows) alone(key string, limit int64) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	k, err := w.of(key)
	if err != nil {
		return err
	}
	if k.window < w.window {
		k.window, k.used = w.window, 0
		k.share = partOf(limit, shareParts*int64(max(1, w.nodes())))
	}
	if k.used >= k.share {
		return overLimit(limit, time.Duration((w.window+1)*windowLength.Milliseconds()-w.wall())*time.Millisecond)
	}
	k.used++
	return nil
}

// of returns what is known of a key. What was known of others is forgotten once
// its window is over, never before: forgotten shares could be spent again.
func (w *windows) of(key string) (*spending, error) {
	if now := windowOf(w.wall()); now > w.window {
		w.window = now
		at := time.Now()
		maps.DeleteFunc(w.keys, func(_ string, k *spending) bool {
			return k.asking == nil && !k.refused.After(at) && !k.leased.After(at)
		})
	}
	k := w.keys[key]
	if k == nil && len(w.keys) >= windowsMax {
		return nil, &storage.Error{Op: "node.admit", Kind: storage.KindUnavailable, Code: "overloaded"}
	}
	if k == nil {
		k = &spending{}
		w.keys[key] = k
	}
	return k, nil
}

// partOf is a part of a limit, rounded up.
func partOf(limit, parts int64) int64 { return max(1, (limit+parts-1)/parts) }

func overLimit(limit int64, wait time.Duration) error {
	return &storage.Error{
		Op: "node.admit", Kind: storage.KindRateLimited, Code: "rate_limited",
		Details: map[string]any{"limit_per_minute": limit, "retry_after_seconds": max(1, int64(math.Ceil(wait.Seconds())))},
	}
}

// AdmitToken counts one request with a valid token against the token's limit
// of a minute, cluster-wide. KindRateLimited (rate_limited) with details
// limit_per_minute and retry_after_seconds, both int64.
func (s *Service) AdmitToken(ctx context.Context, c Caller) error {
	if c.rate == 0 {
		return nil
	}
	return s.windows.admit(ctx, tokenWindow(c.Token), c.rate)
}

// tokenWindow is the key under which a token's requests are counted.
func tokenWindow(number int64) string { return "rate/" + strconv.FormatInt(number, 10) }

// servingNodes counts the members that serve requests, and stay.
func (n *Node) servingNodes() int {
	leaving := n.fsm.Draining()
	serving := 0
	for _, m := range n.fsm.Nodes() {
		if _, leaves := leaving[m.ID]; !leaves {
			serving++
		}
	}
	return serving
}

func keyPartition(key string) int { return storage.PartitionOf(sha512.Sum512([]byte(key))) }

// askCounter asks the counter of a key, which may be this node.
func (s *Service) askCounter(ctx context.Context, key string, limit, want int64) (peer.WindowReply, error) {
	const op = "node.askCounter"
	q := peer.WindowRequest{Key: key, Limit: limit, Want: want}
	id, _ := s.n.fsm.Counter(keyPartition(key))
	switch {
	case id == s.n.self():
		return s.countWindow(ctx, q)
	case id == "" || !s.silent.ask(id):
		return peer.WindowReply{}, &storage.Error{Op: op, Kind: storage.KindUnavailable, Code: "unreachable"}
	}
	reply, err := s.n.peers.Window(ctx, id, q)
	code := storage.CodeOf(err)
	s.silent.heard(id, code != "unreachable" && code != "outcome_unknown")
	return reply, err
}

// silences are the members that did not answer lately.
type silences struct {
	mu  sync.Mutex // protects all
	all map[storage.NodeID]*silence
}

type silence struct {
	inARow int
	next   time.Time // when it may be asked again
}

// ask reports whether a member may be asked now.
func (s *silences) ask(id storage.NodeID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	now, member := time.Now(), s.all[id]
	if member == nil || member.inARow < unansweredMax {
		return true
	}
	if member.next.After(now) {
		return false
	}
	member.next = now.Add(counterPause)
	return true
}

// heard notes whether a member answered. Those that are not asked any more are
// forgotten.
func (s *silences) heard(id storage.NodeID, answered bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if answered {
		delete(s.all, id)
		return
	}
	now := time.Now()
	maps.DeleteFunc(s.all, func(_ storage.NodeID, other *silence) bool { return now.Sub(other.next) > windowLength })
	member := s.all[id]
	if member == nil {
		member = &silence{}
		s.all[id] = member
	}
	member.inARow++
	member.next = now.Add(counterPause)
}
