package replica

import (
	"context"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"ringbin/storage"
)

// RateLeast is the lowest rate, in bytes each second, at which copies can be
// fetched: below it the holder would take the reader for dead.
const RateLeast = 64 << 10

// fetchesMax bounds the copies that uploads have fetched at the same time.
const fetchesMax = 16

// Pulled is what this node has fetched from others since it started, for ring
// changes and repair; bytes of attempts that failed count, too.
type Pulled struct {
	Blobs, Bytes int64
}

// pulls are the copies that are being fetched, and how fast they may be.
type pulls struct {
	rate         *rate.Limiter // nil: no limit
	blobs, bytes atomic.Int64
	fetches      chan struct{}

	mu     sync.Mutex // protects flight
	flight map[storage.CID]chan struct{}
}

func newPulls(bytesPerSecond int64) *pulls {
	p := &pulls{flight: map[storage.CID]chan struct{}{}, fetches: make(chan struct{}, fetchesMax)}
	if bytesPerSecond > 0 {
		p.rate = rate.NewLimiter(rate.Limit(bytesPerSecond), storage.PieceBytes)
	}
	return p
}

// Pulled returns what was fetched so far.
func (r *Replicator) Pulled() Pulled {
	return Pulled{Blobs: r.pulls.blobs.Load(), Bytes: r.pulls.bytes.Load()}
}

// alone waits until nobody else fetches a CID, so that a pass, a move and a
// commit's look do not fetch it twice. By then it may be there.
func (p *pulls) alone(ctx context.Context, cid storage.CID) (done func(), err error) {
	for {
		p.mu.Lock()
		other, busy := p.flight[cid]
		if !busy {
			own := make(chan struct{})
			p.flight[cid] = own
			p.mu.Unlock()
			return func() {
				p.mu.Lock()
				delete(p.flight, cid)
				p.mu.Unlock()
				close(own)
			}, nil
		}
		p.mu.Unlock()
		select {
		case <-other:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// timeFor is how long a pull may take: the rate is no reason to give it up.
func (p *pulls) timeFor(cid storage.CID) time.Duration {
	if p.rate == nil {
		return pullTimeout
	}
	return pullTimeout + time.Duration(float64(cid.Size())*pullsMax/float64(p.rate.Limit()))*time.Second
}

// paced counts what is fetched, and holds it to the rate.
func (p *pulls) paced(ctx context.Context, r io.Reader) io.Reader {
	return &pacedReader{ctx: ctx, r: r, p: p}
}

type pacedReader struct {
	ctx context.Context //nolint:containedctx // io.Reader has no other way in
	r   io.Reader
	p   *pulls
}

func (r *pacedReader) Read(b []byte) (int, error) {
	b = b[:min(len(b), storage.PieceBytes)]
	n, err := r.r.Read(b)
	r.p.bytes.Add(int64(n))
	if r.p.rate != nil && n > 0 {
		if waitErr := r.p.rate.WaitN(r.ctx, n); waitErr != nil {
			return n, waitErr //nolint:wrapcheck // a reader hands errors on
		}
	}
	return n, err //nolint:wrapcheck // a reader hands errors on
}

// Fetch gets this node its copy of what it owns and does not hold: an upload
// that began under other rings asks for its word. It reports whether it holds it.
func (r *Replicator) Fetch(ctx context.Context, cid storage.CID) bool {
	if cid.Inline() || !r.owns(cid) {
		return false
	}
	select {
	case r.pulls.fetches <- struct{}{}:
		defer func() { <-r.pulls.fetches }()
	default:
		return false
	}
	return r.pull(ctx, cid) == nil
}
