package meta

import (
	"sync"
)

// waiters wait for an index to be applied.
type waiters struct {
	mu  sync.Mutex // protects all
	all map[chan struct{}]uint64
}

// add returns a channel that closes when the index is applied. Applied is read
// under the lock that reached takes after it was raised: none is missed.
func (w *waiters) add(index uint64, applied func() uint64) chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	ch := make(chan struct{})
	if applied() >= index {
		close(ch)
		return ch
	}
	if w.all == nil {
		w.all = map[chan struct{}]uint64{}
	}
	w.all[ch] = index
	return ch
}

func (w *waiters) reached(index uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for ch, at := range w.all {
		if at <= index {
			close(ch)
			delete(w.all, ch)
		}
	}
}

func (w *waiters) drop(ch chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.all, ch)
}

// watchers are told that the ring, the nodes or the settings changed.
type watchers struct {
	mu  sync.Mutex // protects all
	all map[chan struct{}]struct{}
}

func (w *watchers) tick() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for ch := range w.all {
		select {
		case ch <- struct{}{}:
		default: // one tick waits already
		}
	}
}

// Watch returns a channel with a tick after each change of ring, nodes or
// settings; ticks that nobody took are one.
func (f *FSM) Watch() (ticks <-chan struct{}, stop func()) {
	w := &f.watch
	ch := make(chan struct{}, 1)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.all == nil {
		w.all = map[chan struct{}]struct{}{}
	}
	w.all[ch] = struct{}{}
	return ch, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.all, ch)
	}
}

// pendings are the requests of this node whose answers somebody waits for.
type pendings struct {
	mu  sync.Mutex // protects all
	all map[RequestID]*Pending
}

// Pending is the answer to one request, once it is applied here.
type Pending struct {
	f    *FSM
	id   RequestID
	done chan Result
}

// Expect returns the answer to come for a request id that was not proposed
// yet. Cancel it when it is not wanted any more.
func (f *FSM) Expect(id RequestID) *Pending {
	p := &Pending{f: f, id: id, done: make(chan Result, 1)}
	f.pending.mu.Lock()
	defer f.pending.mu.Unlock()
	if f.pending.all == nil {
		f.pending.all = map[RequestID]*Pending{}
	}
	f.pending.all[id] = p
	return p
}

// Done yields the answer, once.
func (p *Pending) Done() <-chan Result { return p.done }

// Cancel forgets that anybody waits.
func (p *Pending) Cancel() {
	p.f.pending.mu.Lock()
	defer p.f.pending.mu.Unlock()
	if p.f.pending.all[p.id] == p {
		delete(p.f.pending.all, p.id)
	}
}

func (ps *pendings) resolve(results []applied) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	for _, a := range results {
		if p := ps.all[a.id]; p != nil {
			p.done <- a.result
			delete(ps.all, a.id)
		}
	}
}

// settle answers who waits for what the state holds already: after a restore
// the entry itself is never applied here.
func (ps *pendings) settle(remembered func(RequestID) (Result, bool)) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	for id, p := range ps.all {
		if r, ok := remembered(id); ok {
			p.done <- r
			delete(ps.all, id)
		}
	}
}
