package testcluster

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// historyMax is how many events a history keeps; the oldest go first.
const historyMax = 200_000

// simEvent is one thing that a simulation did, or that a client was told.
type simEvent struct {
	At    time.Time     `json:"at"`
	Took  time.Duration `json:"took,omitempty"`
	Fault string        `json:"fault,omitempty"`
	Node  string        `json:"node,omitempty"`
	What  string        `json:"what,omitempty"`
	Idem  string        `json:"idempotency_key,omitempty"`
	CID   string        `json:"cid,omitempty"`
	Code  int           `json:"status,omitempty"`
	Err   string        `json:"error,omitempty"`
}

// simHistory is what happened, in order of the ends.
type simHistory struct {
	mu       sync.Mutex // protects the fields below
	events   []simEvent
	requests int
	faults   map[string]int
}

func newSimHistory() *simHistory { return &simHistory{faults: map[string]int{}} }

func (h *simHistory) add(e simEvent) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.events) >= historyMax {
		h.events = h.events[historyMax/2:]
	}
	h.events = append(h.events, e)
}

// fault notes a fault on a node; clientHost: on no certain one.
func (h *simHistory) fault(what string, i int) {
	e := simEvent{At: time.Now(), Fault: what}
	if i != clientHost {
		e.Node = fmt.Sprintf("n%d", i)
	}
	h.add(e)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.faults[what]++
}

func (h *simHistory) counts() (requests int, faults map[string]int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.requests, h.faults
}

// save writes the history to a file that outlives the test, and returns its path.
func (h *simHistory) save(tb testing.TB, seed uint64) string {
	tb.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	path := filepath.Join(os.TempDir(), fmt.Sprintf("ringbin-sim-%d-%d.jsonl", seed, os.Getpid()))
	f, err := os.Create(path)
	if err != nil {
		tb.Errorf("history not saved: %v", err)
		return ""
	}
	enc := json.NewEncoder(f)
	for i := range h.events {
		if err := enc.Encode(&h.events[i]); err != nil {
			tb.Errorf("history not saved: %v", err)
			break
		}
	}
	if err := f.Close(); err != nil {
		tb.Errorf("history not saved: %v", err)
	}
	return path
}

// watch notes what clients send and are told.
func (h *simHistory) watch(inner http.RoundTripper) http.RoundTripper {
	return watched{h: h, inner: inner}
}

type watched struct {
	h     *simHistory
	inner http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (w watched) RoundTrip(req *http.Request) (*http.Response, error) {
	e := simEvent{
		At: time.Now(), Node: req.URL.Host, What: req.Method + " " + req.URL.Path,
		Idem: req.Header.Get("Idempotency-Key"), CID: req.Header.Get("X-Content-Hash"),
	}
	resp, err := w.inner.RoundTrip(req)
	e.Took = time.Since(e.At)
	if err != nil {
		e.Err = err.Error()
	} else {
		e.Code = resp.StatusCode
	}
	w.h.add(e)
	w.h.mu.Lock()
	w.h.requests++
	w.h.mu.Unlock()
	return resp, err
}
