package main

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Limits of the generator.
const (
	concurrencyMax = 1024
	rateMost       = 1e6
	latencyMost    = 5 * time.Minute // longer ones are counted as that long
	latencyDigits  = 3
	failurePause   = 10 * time.Millisecond // a cluster that refuses all is not to be flooded
)

// send sends a request that was prepared, and returns once it is answered.
type send func(ctx context.Context) error

// load is requests of one kind. In a closed loop, as many as concurrency are
// under way all the time. In an open loop one begins whenever its time has
// come; when all workers wait for answers it begins late, and the wait counts:
// what a slow answer holds up is not left out (coordinated omission).
type load struct {
	concurrency int
	duration    time.Duration
	rate        float64 // a second; 0: closed loop
	opsMax      int64   // ends the load, too; 0: no limit
	// prepare makes a request ready. The time that it takes is not the answer's.
	prepare func(*loadWorker) (send, error)
}

// loadWorker sends one request at a time.
type loadWorker struct {
	number int
	turn   int // of the URLs
	rng    *rand.Rand
	hist   *hdrhistogram.Histogram
	ops    int64
	failed int64
	err    error // the first one
}

// loadResult is what came of a load.
type loadResult struct {
	ops, failed int64
	elapsed     time.Duration
	hist        *hdrhistogram.Histogram // microseconds
	firstErr    error
}

func newHistogram() *hdrhistogram.Histogram {
	return hdrhistogram.New(1, latencyMost.Microseconds(), latencyDigits)
}

// run returns once the last answer is there.
func (l load) run(ctx context.Context) (loadResult, error) {
	schedule := &schedule{rate: l.rate, opsMax: l.opsMax, start: time.Now()}
	schedule.end = schedule.start.Add(l.duration)
	workers := make([]*loadWorker, l.concurrency)
	var wg sync.WaitGroup
	for i := range workers {
		w := &loadWorker{number: i, turn: i, rng: rand.New(rand.NewPCG(rand.Uint64(), uint64(i))), hist: newHistogram()} //nolint:gosec // which content is read is no secret
		workers[i] = w
		wg.Go(func() { l.work(ctx, w, schedule) })
	}
	wg.Wait()
	r := loadResult{elapsed: time.Since(schedule.start), hist: newHistogram()}
	for _, w := range workers {
		r.hist.Merge(w.hist)
		r.ops += w.ops
		r.failed += w.failed
		if r.firstErr == nil {
			r.firstErr = w.err
		}
	}
	return r, ctx.Err()
}

func (l load) work(ctx context.Context, w *loadWorker, s *schedule) {
	for ctx.Err() == nil {
		once, err := l.prepare(w)
		if err != nil {
			w.failed, w.err = w.failed+1, errors.Join(w.err, err)
			return
		}
		at, ok := s.next(ctx)
		if !ok {
			return
		}
		err = once(ctx)
		w.turn++
		if err == nil {
			w.ops++
			_ = w.hist.RecordValue(min(time.Since(at), latencyMost).Microseconds()) // in range
			continue
		}
		w.failed++
		if w.err == nil {
			w.err = err
		}
		pause(ctx, failurePause)
	}
}

// schedule tells when the next request is to begin.
type schedule struct {
	rate       float64
	opsMax     int64
	start, end time.Time
	begun      atomic.Int64
}

// next waits for the time of the next request and returns it; false when the
// load is over.
func (s *schedule) next(ctx context.Context) (time.Time, bool) {
	i := s.begun.Add(1) - 1
	if s.opsMax > 0 && i >= s.opsMax {
		return time.Time{}, false
	}
	if s.rate == 0 {
		now := time.Now()
		return now, now.Before(s.end)
	}
	at := s.start.Add(time.Duration(float64(i) / s.rate * float64(time.Second)))
	if !at.Before(s.end) {
		return at, false
	}
	return at, pause(ctx, time.Until(at))
}

// pause waits, and reports whether ctx is still on.
func pause(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}
