package storage

import "sync"

// cidLocks is one lock for each CID that somebody holds or waits for.
type cidLocks struct {
	mu   sync.Mutex // protects held
	held map[CID]*cidLock
}

type cidLock struct {
	mu    sync.Mutex
	users int // holders and waiters; protected by cidLocks.mu
}

// lock waits for the CID's lock and returns what releases it.
func (l *cidLocks) lock(cid CID) (unlock func()) {
	l.mu.Lock()
	if l.held == nil {
		l.held = map[CID]*cidLock{}
	}
	c := l.held[cid]
	if c == nil {
		c = &cidLock{}
		l.held[cid] = c
	}
	c.users++
	l.mu.Unlock()
	c.mu.Lock()
	return func() {
		c.mu.Unlock()
		l.mu.Lock()
		defer l.mu.Unlock()
		if c.users--; c.users == 0 {
			delete(l.held, cid)
		}
	}
}
