package web

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// Each byte buys time at the minimum rate, but no pause is longer than the
// grace, and time that has not passed cannot be bought ahead.
func TestPaceDeadline(t *testing.T) {
	t.Parallel()
	start := time.Unix(1000, 0)
	for _, tt := range []struct {
		name    string
		bytes   int64
		elapsed time.Duration
		want    time.Duration // after the start
	}{
		{"at the start", 0, 0, rateGrace},
		{"nothing came", 0, 29 * time.Second, rateGrace},
		{"nothing came for long", 0, time.Hour, rateGrace},
		{"just at the minimum", 100 * rateMin, 100 * time.Second, 100*time.Second + rateGrace},
		{"below it", 50 * rateMin, 100 * time.Second, 50*time.Second + rateGrace},
		{"above it: a pause is a pause", 1 << 30, 10 * time.Second, 10*time.Second + rateGrace},
		{"whole seconds only", rateMin - 1, time.Second, rateGrace},
		{"terabytes over years", rateMin << 28, 1 << 29 * time.Second, 1<<28*time.Second + rateGrace},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var p pace
			p.deadline(start)
			p.bytes = tt.bytes
			if got := p.deadline(start.Add(tt.elapsed)).Sub(start); got != tt.want {
				t.Errorf("%v, want %v", got, tt.want)
			}
		})
	}
}

// deadlines is a ResponseWriter that notes the deadlines set on it.
type deadlines struct {
	*httptest.ResponseRecorder
	read, write []time.Time
}

func (d *deadlines) SetReadDeadline(t time.Time) error {
	d.read = append(d.read, t)
	return nil
}

func (d *deadlines) SetWriteDeadline(t time.Time) error {
	d.write = append(d.write, t)
	return nil
}

// WriteHeader leaves interim answers out: the recorder takes them for the last one.
func (d *deadlines) WriteHeader(status int) {
	if status >= http.StatusOK {
		d.ResponseRecorder.WriteHeader(status)
	}
}

func within(t *testing.T, at time.Time, d time.Duration) {
	t.Helper()
	if left := time.Until(at); left > d || left < d-10*time.Second {
		t.Errorf("a deadline in %v, want %v", left, d)
	}
}

func TestTrackReading(t *testing.T) {
	t.Parallel()
	w := &deadlines{ResponseRecorder: httptest.NewRecorder()}
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", strings.NewReader("body"))
	Track(w, r)
	within(t, w.read[0], rateGrace)
	b, err := io.ReadAll(r.Body)
	if err != nil || string(b) != "body" {
		t.Fatal(b, err)
	}
	within(t, w.read[1], rateGrace)
	if last := w.read[len(w.read)-1]; !last.IsZero() {
		t.Errorf("after the body reading has a deadline: %v", last)
	}
	if err := r.Body.Close(); err != nil {
		t.Error(err)
	}
}

func TestTrackAnswering(t *testing.T) {
	t.Parallel()
	w := &deadlines{ResponseRecorder: httptest.NewRecorder()}
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", strings.NewReader("unread"))
	sent := Track(w, r)
	sent.WriteHeader(http.StatusEarlyHints)
	if sent.Status() != 0 {
		t.Error("an interim status counts as the answer's")
	}
	if _, err := io.WriteString(sent, "12345"); err != nil {
		t.Fatal(err)
	}
	sent.WriteHeader(http.StatusTeapot) // too late
	if sent.Status() != http.StatusOK || sent.Bytes() != 5 {
		t.Errorf("%d, %d bytes", sent.Status(), sent.Bytes())
	}
	within(t, w.read[len(w.read)-1], drainMax) // for the body that nobody read
	within(t, w.write[len(w.write)-1], rateGrace)
	sent.Finish()
	within(t, w.write[len(w.write)-1], drainMax+rateGrace)
	if sent.Unwrap() != http.ResponseWriter(w) {
		t.Error("unwraps to something else")
	}
}
