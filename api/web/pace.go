package web

import (
	"errors"
	"io"
	"net/http"
	"sync/atomic"
	"time"
)

// Limits for slow clients. A body of any size may take its time, as long as it
// moves: each byte buys time at rateMin, and no pause is longer than rateGrace.
const (
	rateMin   = 10 << 10 // bytes a second
	rateGrace = 30 * time.Second
	drainMax  = 5 * time.Second // for the rest of a body that nobody wants
)

// pace says by when a transfer has to move on.
type pace struct {
	start time.Time // of the first transfer
	bytes int64
}

func (p *pace) deadline(now time.Time) time.Time {
	if p.start.IsZero() {
		p.start = now
	}
	// In whole seconds: bytes times nanoseconds would overflow.
	bought := min(p.bytes/rateMin, int64(now.Sub(p.start)/time.Second))
	return p.start.Add(time.Duration(bought)*time.Second + rateGrace)
}

// Body is a request body that has to arrive at a minimum rate.
type Body struct {
	body io.ReadCloser
	ctl  *http.ResponseController
	pace pace
	done atomic.Bool // read to its end, or broken
}

// Response is a response that has to be taken at a minimum rate, and that
// remembers what was sent.
type Response struct {
	http.ResponseWriter
	ctl    *http.ResponseController
	body   *Body // the request's; nil for none
	pace   pace
	status int
}

// Track wraps both halves of an exchange. The request must be a copy of the
// server's own: net/http looks at its body's type to tell whether a client
// still waits for 100-continue.
func Track(w http.ResponseWriter, r *http.Request) *Response {
	t := &Response{ResponseWriter: w, ctl: http.NewResponseController(w)}
	if r.Body != nil && r.Body != http.NoBody {
		t.body = &Body{body: r.Body, ctl: t.ctl}
		r.Body = t.body
		_ = t.ctl.SetReadDeadline(time.Now().Add(rateGrace)) // not supported: then neither is waiting
	}
	return t
}

// Read reads on, or fails once the client was too slow.
func (b *Body) Read(p []byte) (int, error) {
	_ = b.ctl.SetReadDeadline(b.pace.deadline(time.Now()))
	n, err := b.body.Read(p)
	b.pace.bytes += int64(n)
	if err != nil {
		b.done.Store(true)
	}
	if errors.Is(err, io.EOF) {
		// From here on net/http reads ahead to see the client leave; that may take as long as it likes.
		_ = b.ctl.SetReadDeadline(time.Time{})
	}
	return n, err
}

// Close closes the body.
func (b *Body) Close() error { return b.body.Close() }

// Status returns the status that was sent, 0 before.
func (w *Response) Status() int { return w.status }

// Bytes returns how many bytes of body were taken.
func (w *Response) Bytes() int64 { return w.pace.bytes }

// WriteHeader sends the status. When the request's body is not read by then,
// what is left of it is drained for a short while; what does not end in time,
// or is large, costs the client the connection.
func (w *Response) WriteHeader(status int) {
	if status >= http.StatusOK && w.status == 0 {
		w.status = status
		if w.body != nil && !w.body.done.Load() {
			_ = w.ctl.SetReadDeadline(time.Now().Add(drainMax))
		}
		_ = w.ctl.SetWriteDeadline(time.Now().Add(drainMax + rateGrace))
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write sends body, or fails once the client was too slow.
func (w *Response) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	_ = w.ctl.SetWriteDeadline(w.pace.deadline(time.Now()))
	n, err := w.ResponseWriter.Write(p)
	w.pace.bytes += int64(n)
	return n, err
}

// Finish gives what net/http still holds back a deadline of its own: without
// one the last request's would be left on the connection.
func (w *Response) Finish() { _ = w.ctl.SetWriteDeadline(time.Now().Add(drainMax + rateGrace)) }

// Unwrap is for http.ResponseController.
func (w *Response) Unwrap() http.ResponseWriter { return w.ResponseWriter }
