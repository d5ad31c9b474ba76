package storage

import "sync"

// ingestedMax is how many tables a database takes in together.
const ingestedMax = 64

// ingests has tables that wait at the same time taken in together: they share the
// fsyncs of directory and manifest, and Pebble takes in by turns anyway. Who
// comes while others are taken in goes with the next.
type ingests struct {
	mu      sync.Mutex // protects the fields below; held for moments only
	busy    bool
	waiting []*ingested
}

// ingested is a staged table that waits.
type ingested struct {
	path string
	told chan struct{} // closed when it is done, or has to take in those that wait, itself first
	done bool          // set before told is closed, as err
	err  error
}

// do returns when take has taken the table in, perhaps on another's behalf.
func (q *ingests) do(path string, take func(paths []string) error) error {
	t := &ingested{path: path, told: make(chan struct{})}
	q.mu.Lock()
	q.waiting = append(q.waiting, t)
	first := !q.busy
	q.busy = true
	q.mu.Unlock()
	if !first {
		if <-t.told; t.done {
			return t.err
		}
	}
	q.mu.Lock()
	n := min(len(q.waiting), ingestedMax)
	group := q.waiting[:n:n]
	q.waiting = q.waiting[n:]
	q.mu.Unlock()

	takeAll(group, take)

	q.mu.Lock()
	if q.busy = len(q.waiting) > 0; q.busy {
		close(q.waiting[0].told)
	}
	q.mu.Unlock()
	for _, other := range group[1:] { // the first is t
		other.done = true
		close(other.told)
	}
	return t.err
}

// takeAll takes a group in. When that fails, each is tried by itself: what is
// wrong with one table is not the others'.
func takeAll(group []*ingested, take func(paths []string) error) {
	paths := make([]string, len(group))
	for i, t := range group {
		paths[i] = t.path
	}
	err := take(paths)
	if err == nil || len(group) == 1 {
		group[0].err = err
		return
	}
	for _, t := range group {
		t.err = take([]string{t.path})
	}
}
