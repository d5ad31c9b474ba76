package testcluster

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// Writers are clients of a cluster of processes that upload small content as
// fast as they are answered. Each keeps its connections, has a node that it
// likes best, and goes to the next one, under the same Idempotency-Key, when a
// node can't be had: that is no refusal. An answer other than 200 is one.
type Writers struct {
	p     *Processes
	o     WritersOptions
	stop  chan struct{}
	group errgroup.Group

	mu      sync.Mutex // protects the fields below
	acks    [][]time.Time
	refused map[string]int
	lost    int // connections
}

// WritersOptions say what writers do.
type WritersOptions struct {
	N        int // writers
	Size     int // bytes of each content
	Key      string
	Patience time.Duration // with one node, before the next one is asked; 0: as any client of these tests
}

// StartWriters starts writers.
func (p *Processes) StartWriters(o WritersOptions) *Writers {
	p.c.tb.Helper()
	if o.Patience == 0 {
		o.Patience = requestTimeout
	}
	w := &Writers{p: p, o: o, stop: make(chan struct{}), acks: make([][]time.Time, o.N), refused: map[string]int{}}
	for i := range o.N {
		w.group.Go(func() error { return w.run(i) })
	}
	return w
}

func (w *Writers) run(i int) error {
	clients := make([]*Client, w.p.Len())
	for j := range clients {
		clients[j] = w.p.Client(j, w.o.Key)
		transport := &http.Transport{}
		defer transport.CloseIdleConnections()
		clients[j].http = &http.Client{Timeout: w.o.Patience, Transport: transport}
	}
	at := i % len(clients)
	for {
		select {
		case <-w.stop:
			return nil
		default:
		}
		content := make([]byte, w.o.Size)
		copy(content, randomName()+randomName())
		var err error
		if at, err = w.upload(clients, i, at, content); err != nil {
			return err
		}
	}
}

// upload tries until it is acknowledged, so that every outcome is known, and
// returns the node to go on with: the preferred one as soon as it is back.
func (w *Writers) upload(clients []*Client, i, at int, content []byte) (next int, err error) {
	idem := randomName()
	until := time.Now().Add(requestTimeout * 2)
	for try := 0; ; try++ {
		_, a, err := clients[at].PutAs(idem, content, 30)
		w.mu.Lock()
		switch {
		case err == nil:
			w.acks[i] = append(w.acks[i], time.Now())
		case a.Status == 0:
			w.lost++
		default:
			w.refused[strconv.Itoa(a.Status)+" "+a.Header.Get("X-Outcome")+" "+string(a.Body)]++
		}
		done := len(w.acks[i])
		w.mu.Unlock()
		if err == nil {
			const lookBackEvery = 50 // uploads, before the preferred node is tried again
			if preferred := i % len(clients); at != preferred && done%lookBackEvery == 0 {
				at = preferred
			}
			return at, nil
		}
		if time.Now().After(until) {
			return at, fmt.Errorf("an upload of writer %d had no answer through any node: last %w", i, err)
		}
		at = (at + 1) % len(clients)
		if (try+1)%len(clients) == 0 {
			time.Sleep(retryEvery) // nobody is there
		}
	}
}

// End stops the writers once what they have under way is acknowledged.
func (w *Writers) End() error {
	close(w.stop)
	return w.group.Wait()
}

// Count returns how many uploads were acknowledged so far.
func (w *Writers) Count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for _, a := range w.acks {
		n += len(a)
	}
	return n
}

// Refused returns the answers that were no success, by their text.
func (w *Writers) Refused() (count int, texts []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for text, n := range w.refused {
		count += n
		texts = append(texts, fmt.Sprintf("%d x %s", n, text))
	}
	return count, texts
}

// Lost returns how many requests ended with their connection.
func (w *Writers) Lost() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.lost
}

// Gaps returns the longest times in [from, to] without an acknowledgement: of
// all writers together, and of each.
func (w *Writers) Gaps(from, to time.Time) (all time.Duration, each []time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var merged []time.Time
	for _, acks := range w.acks {
		each = append(each, gapOf(acks, from, to))
		merged = append(merged, acks...)
	}
	slices.SortFunc(merged, time.Time.Compare)
	return gapOf(merged, from, to), each
}

// gapOf is the longest gap of sorted times. What lies before and after the bounds counts as
// far as it reaches into them.
func gapOf(times []time.Time, from, to time.Time) time.Duration {
	last, longest := from, time.Duration(0)
	for _, t := range times {
		if t.After(from) && t.Before(to) {
			longest = max(longest, t.Sub(last))
			last = t
		}
	}
	return max(longest, to.Sub(last))
}

// Rate returns the acknowledgements a second in [from, to].
func (w *Writers) Rate(from, to time.Time) float64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for _, acks := range w.acks {
		for _, t := range acks {
			if t.After(from) && t.Before(to) {
				n++
			}
		}
	}
	return float64(n) / to.Sub(from).Seconds()
}
