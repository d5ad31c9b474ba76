package replica

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"ringbin/storage"
)

// Options are what a Replicator works with.
type Options struct {
	Owner     *Owner
	Peers     Peers
	Placement Placement
	// Catalogue lists the CIDs that are alive and stored, in the order of
	// CID.Compare, beginning after one, or with the first for nil.
	Catalogue func(after *storage.CID, limit int) ([]storage.CID, error)
	// Standings returns what the metadata says of copies on this node, in the
	// order of the CIDs, which are sorted. Without it nothing is erased.
	Standings func(cids []storage.CID) ([]storage.Standing, error)
	// CatchUp returns once this node's metadata is at least as new as any peer's
	// was when it was called. Without it nobody is ever behind.
	CatchUp      func(ctx context.Context) error
	CollectEvery time.Duration // between passes that erase; 0: ten minutes
	Logger       *slog.Logger
	Moves        Moves // nil: the ring never changes
	// BytesPerSecond bounds what is fetched for ring changes and repair, at least
	// RateLeast; 0: no limit.
	BytesPerSecond int64
	// ScrubEvery is within what time every copy is read again; 0: two weeks,
	// below 0: never.
	ScrubEvery time.Duration
	// RebuildKeep is for how long, in FSM time, a database that was replaced is
	// kept; 0: as long as a receipt counts, and a bit.
	RebuildKeep time.Duration
}

// Replicator keeps and finds the copies of all blobs of the cluster, as far as
// this node has a part in them.
type Replicator struct {
	o Options

	// Work that outlives its request, and the context that ends it.
	ctx        context.Context //nolint:containedctx // the lifetime of stragglers
	cancel     context.CancelFunc
	wg         sync.WaitGroup
	stragglers chan struct{}
	bundles    bundles

	kick      chan struct{}
	again     chan struct{} // a copy could not be fetched: a pass, but no sooner than retries allow
	wants     wants
	commits   commits
	collector *collector
	synced    atomic.Uint64 // newest ring of which this node holds its part
	pulls     *pulls

	ringChanged chan struct{}
	left        moveLeft

	mu     sync.Mutex // protects the fields below
	status Status
	lost   []storage.CID // the first of those that the last pass found lost
	scrubs ScrubStatus
	// rebuildFrom is the FSM time at which a rotten database was first seen to
	// have been replaced, in Unix milliseconds; 0: there is none.
	rebuildFrom int64
}

// New returns a Replicator that has not looked at anything yet.
func New(o Options) *Replicator {
	r := &Replicator{
		o: o, kick: make(chan struct{}, 1), again: make(chan struct{}, 1), wants: newWants(),
		commits:    commits{wake: make(chan struct{}, 1)},
		collector:  newCollector(),
		stragglers: make(chan struct{}, stragglersMax),
		pulls:      newPulls(o.BytesPerSecond), ringChanged: make(chan struct{}, 1),
	}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	r.bundles = bundles{ctx: r.ctx, wg: &r.wg, deliver: r.deliver, lanes: map[storage.NodeID]*lane{}}
	return r
}

// Close ends stragglers and waits for them.
func (r *Replicator) Close() {
	r.cancel()
	r.wg.Wait()
}
