package replica

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"ringbin/storage"
)

// content returns n bytes that depend on seed alone.
func content(seed uint64, n int) []byte {
	rng := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), byte(n), byte(n >> 8), byte(n >> 16)})
	b := make([]byte, n)
	_, _ = rng.Read(b) // never fails
	return b
}

// fault is what is wrong with a node.
type fault struct {
	down bool // nobody reaches it
	full bool // it has no room

	takes  int64         // of a put, bytes that it takes before it waits for gate
	gate   chan struct{} // nil: no waiting
	answer chan struct{} // a put is kept, and its receipt waits for this; nil: it does not wait

	stallOpen bool  // a read is never answered
	corrupt   bool  // a read is refused: the copy failed its check
	stallAt   int64 // from here on, where above 0, a read gets no byte any more
	breakAt   int64 // here, where above 0, a read ends in an error
	shortAt   int64 // here, where above 0, a read ends cleanly
	flipAt    int64 // about here, where above 0, a byte of the sealed stream is another one
}

var errBroke = errors.New("connection broke")

// testNode is a node with a real store.
type testNode struct {
	id    storage.NodeID
	fs    *vfs.MemFS
	store *storage.Store
	owner *Owner
	vouch Vouch

	fault fault
	puts  int
	stats int

	bundles []int // how many blobs each bundle had
}

// opened is one call of OpenBlob.
type opened struct {
	from           storage.NodeID
	offset, length int64
}

// testCluster is several nodes, seen from the first one. It implements Peers
// and Placement.
type testCluster struct {
	t    *testing.T
	self *testNode
	r    *Replicator

	mu        sync.Mutex // protects the fields below and the nodes' faults and counts
	nodes     map[storage.NodeID]*testNode
	cur, next *storage.Ring
	dead      []storage.NodeID // last in Order
	opens     []opened
	asked     []storage.NodeID // of each call of StatBlobs
	statErr   error            // what StatBlobs answers
	statShort bool             // StatBlobs answers about too few
	opened    func(storage.CID)
	alive     []storage.CID // the catalogue
}

// newCluster has n nodes, n1 to n9; all partitions belong to n1, n2 and n3, or
// to all when there are fewer. This node is n1.
func newCluster(t *testing.T, n int) *testCluster {
	t.Helper()
	c := &testCluster{t: t, nodes: map[storage.NodeID]*testNode{}}
	for i := range n {
		node := &testNode{id: storage.NodeID(fmt.Sprintf("n%d", i+1)), fs: vfs.NewMem(), vouch: Vouch{Incarnation: uint64(i + 1), Generation: 7, Time: 1000, RingVersion: 1}}
		c.nodes[node.id] = node
		c.openStore(node)
		t.Cleanup(func() {
			if err := node.store.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	c.self = c.nodes["n1"]
	c.cur = ringOf(1, c.ids()[:min(3, n)]...)
	c.r = c.newReplicator()
	return c
}

func (c *testCluster) newReplicator() *Replicator {
	logger := slog.New(slog.NewTextHandler(logWatch{c.t}, &slog.HandlerOptions{Level: slog.LevelDebug}))
	r := New(Options{Owner: c.self.owner, Peers: c, Placement: c, Catalogue: c.catalogue, Logger: logger})
	c.t.Cleanup(r.Close)
	return r
}

// logWatch reads a log, in which no CID may stand.
type logWatch struct{ t testing.TB }

func (w logWatch) Write(line []byte) (int, error) {
	for _, word := range strings.FieldsFunc(string(line), func(c rune) bool { return strings.ContainsRune(" =:,/\"'", c) }) {
		if cid, err := storage.ParseCID(word); err == nil && !cid.Inline() {
			w.t.Errorf("the log tells a CID: %s", line)
		}
	}
	return len(line), nil
}

// reopen closes a node's store and opens it again.
func (c *testCluster) reopen(id storage.NodeID) {
	c.t.Helper()
	n := c.nodes[id]
	if err := n.store.Close(); err != nil {
		c.t.Fatal(err)
	}
	c.openStore(n)
}

// flush has what a node's store keeps in its log written to tables.
func (c *testCluster) flush(id storage.NodeID) {
	c.t.Helper()
	n := c.nodes[id]
	for range 3 { // a log that is replayed when the store opens is flushed then
		c.reopen(id)
		if rotTables(c.t, n.fs, nil) > 0 {
			return
		}
	}
	c.t.Fatal("no table")
}

// rotBlob flips a bit of the first bytes of content wherever a node's tables
// have them.
func (c *testCluster) rotBlob(id storage.NodeID, b []byte) {
	c.t.Helper()
	n := c.nodes[id]
	if err := n.store.Close(); err != nil {
		c.t.Fatal(err)
	}
	if rotTables(c.t, n.fs, b[:64]) == 0 {
		c.t.Fatal("the content is in no table")
	}
	c.openStore(n)
}

// rotTables flips a bit in each table that has these bytes, where they begin,
// and counts the tables.
func rotTables(t *testing.T, fs *vfs.MemFS, bytesOf []byte) (found int) {
	t.Helper()
	names, err := fs.List("blobs/db")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if !strings.HasSuffix(name, ".sst") {
			continue
		}
		path := fs.PathJoin("blobs/db", name)
		b := readFile(t, fs, path)
		at := bytes.Index(b, bytesOf)
		if at < 0 {
			continue
		}
		found++
		if bytesOf != nil {
			b[at] ^= 1
			f, err := fs.Create(path, vfs.WriteCategoryUnspecified)
			if err == nil {
				_, err = f.Write(b)
			}
			if err = errors.Join(err, f.Close()); err != nil {
				t.Fatal(err)
			}
		}
	}
	return found
}

func (c *testCluster) openStore(n *testNode) {
	c.t.Helper()
	store, err := storage.OpenStore("blobs", storage.StoreOptions{FS: n.fs, CacheBytes: 1 << 20, MemTableBytes: 1 << 20, FreeFloorBytes: -1, OnCorrupt: func(cid storage.CID, _ error) {
		if n == c.self {
			c.r.OnCorrupt(cid)
		}
	}})
	if err != nil {
		c.t.Fatal(err)
	}
	n.store, n.owner = store, NewOwner(n.id, store, func() Vouch { return n.vouch })
	if n == c.self {
		c.r.o.Owner = n.owner
	}
}

// rot flips a byte in the middle of each table of a node.
func (c *testCluster) rot(id storage.NodeID) {
	c.t.Helper()
	n := c.nodes[id]
	if err := n.store.Close(); err != nil {
		c.t.Fatal(err)
	}
	names, err := n.fs.List("blobs/db")
	if err != nil {
		c.t.Fatal(err)
	}
	rotten := 0
	for _, name := range names {
		if !strings.HasSuffix(name, ".sst") {
			continue
		}
		rotten++
		path := n.fs.PathJoin("blobs/db", name)
		b := readFile(c.t, n.fs, path)
		b[len(b)/2] ^= 1
		f, err := n.fs.Create(path, vfs.WriteCategoryUnspecified)
		if err != nil {
			c.t.Fatal(err)
		}
		if _, err := f.Write(b); err != nil {
			c.t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			c.t.Fatal(err)
		}
	}
	if rotten == 0 {
		c.t.Fatal("no table to rot")
	}
	c.openStore(n)
}

func readFile(t *testing.T, fs vfs.FS, path string) []byte {
	t.Helper()
	f, err := fs.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	b, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (c *testCluster) ids() []storage.NodeID {
	return slices.Sorted(maps.Keys(c.nodes))
}

// ringOf gives every partition to the same owners, the first one first.
func ringOf(version uint64, owners ...storage.NodeID) *storage.Ring {
	ring := &storage.Ring{Version: version, R: len(owners), W: storage.QuorumFor(len(owners)), Owners: make([][]uint16, storage.Partitions)}
	sorted := slices.Sorted(slices.Values(owners))
	for _, id := range sorted {
		ring.Nodes = append(ring.Nodes, storage.RingNode{ID: id, Incarnation: 1, Capacity: 1})
	}
	for p := range ring.Owners {
		for _, id := range owners {
			ring.Owners[p] = append(ring.Owners[p], uint16(slices.Index(sorted, id)))
		}
	}
	return ring
}

// set gives a node a fault, and takes the one before away.
func (c *testCluster) set(id storage.NodeID, f fault) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.nodes[id].fault = f
}

func (c *testCluster) setRings(cur, next *storage.Ring) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cur, c.next = cur, next
}

// keep stores content on nodes and lists it as alive.
func (c *testCluster) keep(b []byte, on ...storage.NodeID) storage.CID {
	c.t.Helper()
	cid := storage.SumCID(b)
	for _, id := range on {
		if _, err := c.nodes[id].store.Put(c.t.Context(), cid, bytes.NewReader(b), storage.Mark{Generation: 1}); err != nil {
			c.t.Fatal(err)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	at, found := slices.BinarySearchFunc(c.alive, cid, storage.CID.Compare)
	if !found {
		c.alive = slices.Insert(c.alive, at, cid)
	}
	return cid
}

func (c *testCluster) catalogue(after *storage.CID, limit int) ([]storage.CID, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	at := 0
	if after != nil {
		var found bool
		if at, found = slices.BinarySearchFunc(c.alive, *after, storage.CID.Compare); found {
			at++
		}
	}
	return slices.Clone(c.alive[at:min(len(c.alive), at+limit)]), nil
}

// holders are the nodes that hold a good copy, whose bytes are looked at.
func (c *testCluster) holders(cid storage.CID) []storage.NodeID {
	c.t.Helper()
	var ids []storage.NodeID
	for _, id := range c.ids() {
		n := c.nodes[id]
		info, ok, err := n.store.Stat(cid)
		if err != nil {
			c.t.Fatal(err)
		}
		if !ok || info.Corrupt {
			continue
		}
		r, err := n.store.Open(context.Background(), cid, 0, -1)
		if err != nil {
			c.t.Fatal(err)
		}
		b, err := io.ReadAll(r)
		if err != nil || storage.SumCID(b) != cid {
			c.t.Errorf("node %s holds %d wrong bytes: %v", id, len(b), err)
		}
		_ = r.Close()
		ids = append(ids, id)
	}
	return ids
}

// mustHold fails the test unless exactly these nodes hold a good copy.
func (c *testCluster) mustHold(cid storage.CID, want ...storage.NodeID) {
	c.t.Helper()
	if got := c.holders(cid); !slices.Equal(got, want) {
		c.t.Errorf("good copies are on %v, want %v", got, want)
	}
}

// Rings implements Placement.
func (c *testCluster) Rings() (cur, next *storage.Ring) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cur, c.next
}

// Order implements Placement.
func (c *testCluster) Order(ids []storage.NodeID) []storage.NodeID {
	c.mu.Lock()
	defer c.mu.Unlock()
	ids = slices.Clone(ids)
	slices.SortStableFunc(ids, func(a, b storage.NodeID) int {
		switch da, db := slices.Contains(c.dead, a), slices.Contains(c.dead, b); {
		case da && !db:
			return 1
		case db && !da:
			return -1
		}
		return 0
	})
	return ids
}

func (c *testCluster) called(id storage.NodeID, count func(*testNode)) (*testNode, fault) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.nodes[id]
	count(n)
	return n, n.fault
}

// PutBlob implements Peers.
func (c *testCluster) PutBlob(ctx context.Context, to storage.NodeID, cid storage.CID, body io.Reader) (storage.Receipt, error) {
	n, f := c.called(to, func(n *testNode) { n.puts++ })
	switch {
	case f.down:
		return storage.Receipt{}, &storage.Error{Op: "test", Kind: storage.KindUnavailable, Code: "unreachable"}
	case f.full:
		return storage.Receipt{}, &storage.Error{Op: "test", Kind: storage.KindFull, Code: "insufficient_storage"}
	}
	if f.gate != nil {
		body = &gatedBody{ctx: ctx, r: body, left: f.takes, gate: f.gate}
	}
	receipt, err := n.owner.ReceiveSealed(ctx, cid, body)
	if err == nil && f.answer != nil {
		if err := waitFor(ctx, f.answer); err != nil {
			return storage.Receipt{}, err
		}
	}
	return receipt, err
}

// PutBlobs implements Peers.
func (c *testCluster) PutBlobs(ctx context.Context, to storage.NodeID, blobs []storage.Proven) ([]storage.Verdict, error) {
	n, f := c.called(to, func(n *testNode) { n.bundles = append(n.bundles, len(blobs)) })
	if f.down {
		return nil, &storage.Error{Op: "test", Kind: storage.KindUnavailable, Code: "unreachable"}
	}
	if f.gate != nil {
		if err := waitFor(ctx, f.gate); err != nil {
			return nil, err
		}
	}
	if f.full {
		full := &storage.Error{Op: "test", Kind: storage.KindFull, Code: "insufficient_storage"}
		return slices.Repeat([]storage.Verdict{{Err: full}}, len(blobs)), nil
	}
	verdicts := n.owner.ReceiveAll(ctx, blobs)
	if f.answer != nil {
		if err := waitFor(ctx, f.answer); err != nil {
			return nil, err
		}
	}
	return verdicts, nil
}

func waitFor(ctx context.Context, gate <-chan struct{}) error {
	select {
	case <-gate:
		return nil
	case <-ctx.Done():
		return storage.E("test", storage.KindUnknown, context.Cause(ctx))
	}
}

// gatedBody waits for gate before it hands out more than left bytes.
type gatedBody struct {
	ctx  context.Context
	r    io.Reader
	left int64
	gate <-chan struct{}
}

func (g *gatedBody) Read(p []byte) (int, error) {
	if g.left == 0 {
		if err := waitFor(g.ctx, g.gate); err != nil {
			return 0, err
		}
		return g.r.Read(p)
	}
	n, err := g.r.Read(p[:min(int64(len(p)), g.left)])
	g.left -= int64(n)
	return n, err
}

// OpenBlob implements Peers.
func (c *testCluster) OpenBlob(ctx context.Context, from storage.NodeID, cid storage.CID, offset, length int64) (io.ReadCloser, error) {
	n, f := c.called(from, func(*testNode) {
		c.opens = append(c.opens, opened{from, offset, length})
		if c.opened != nil {
			c.opened(cid)
		}
	})
	switch {
	case f.down:
		return nil, &storage.Error{Op: "test", Kind: storage.KindUnavailable, Code: "unreachable"}
	case f.corrupt:
		return nil, storage.E("test", storage.KindCorrupt, nil)
	case f.stallOpen:
		return nil, waitFor(ctx, nil)
	}
	r, err := n.store.Open(ctx, cid, offset, length)
	if err != nil {
		return nil, err
	}
	if length < 0 {
		length = cid.Size() - offset
	}
	sealed := storage.NewSealedReader(cid, offset, length, &faultyReader{ctx: ctx, f: f, r: r, at: offset})
	return &flippedReader{ReadCloser: sealed, at: f.flipAt - offset}, nil
}

// StatBlob implements Peers.
func (c *testCluster) StatBlob(_ context.Context, to storage.NodeID, cid storage.CID) (storage.BlobInfo, bool, error) {
	n, f := c.called(to, func(n *testNode) { n.stats++ })
	if f.down {
		return storage.BlobInfo{}, false, &storage.Error{Op: "test", Kind: storage.KindUnavailable, Code: "unreachable"}
	}
	return n.store.Stat(cid)
}

// StatBlobs implements Peers.
func (c *testCluster) StatBlobs(_ context.Context, to storage.NodeID, cids []storage.CID) ([]storage.Holding, error) {
	n, f := c.called(to, func(*testNode) { c.asked = append(c.asked, to) })
	if c.statErr != nil || c.statShort {
		return nil, c.statErr
	}
	if f.down {
		return nil, &storage.Error{Op: "test", Kind: storage.KindUnavailable, Code: "unreachable"}
	}
	holdings := make([]storage.Holding, len(cids))
	for i, cid := range cids {
		h, err := n.store.Holding(cid)
		if err != nil {
			return nil, err
		}
		if holdings[i] = h; h == storage.HoldsGood && f.corrupt {
			holdings[i] = storage.HoldsCorrupt
		}
	}
	return holdings, nil
}

func (c *testCluster) takeAsked() []storage.NodeID {
	c.mu.Lock()
	defer c.mu.Unlock()
	taken := c.asked
	c.asked = nil
	return taken
}

func (c *testCluster) takeOpens() []opened {
	c.mu.Lock()
	defer c.mu.Unlock()
	taken := c.opens
	c.opens = nil
	return taken
}

// faultyReader is a read with a node's faults; at is where it is in the content.
type faultyReader struct {
	ctx context.Context
	f   fault
	r   io.ReadCloser
	at  int64
}

func (r *faultyReader) Read(p []byte) (int, error) {
	for _, at := range []int64{r.f.stallAt, r.f.breakAt, r.f.shortAt} {
		switch {
		case at == 0 || at > r.at:
			if at > r.at {
				p = p[:min(int64(len(p)), at-r.at)]
			}
		case at == r.f.stallAt:
			return 0, waitFor(r.ctx, nil)
		case at == r.f.breakAt:
			return 0, errBroke
		default:
			return 0, io.EOF
		}
	}
	n, err := r.r.Read(p)
	r.at += int64(n)
	return n, err
}

func (r *faultyReader) Close() error { return r.r.Close() }

// flippedReader is a stream one byte of which is another.
type flippedReader struct {
	io.ReadCloser
	at int64 // from here; none below 1
}

func (r *flippedReader) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	if r.at > 0 && r.at <= int64(n) {
		p[r.at-1] ^= 1
	}
	r.at -= int64(n)
	return n, err
}
