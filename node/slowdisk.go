package node

import (
	"sync"
	"time"
)

// Limits of counting slow operations.
const (
	slowWindow = time.Minute
	slowMax    = 1024 // remembered; more than that is no better known
)

// slowDisk remembers when operations of the file system took long.
type slowDisk struct {
	mu sync.Mutex // protects at
	at []time.Time
}

func (s *slowDisk) add(time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forget()
	if len(s.at) < slowMax {
		s.at = append(s.at, time.Now())
	}
}

// lately is how many there were in the window that ends now.
func (s *slowDisk) lately() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forget()
	return int64(len(s.at))
}

// forget drops what is older than the window; mu is held.
func (s *slowDisk) forget() {
	for len(s.at) > 0 && time.Since(s.at[0]) > slowWindow {
		s.at = s.at[1:]
	}
}
