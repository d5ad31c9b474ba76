package testcluster

import (
	"context"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/hashicorp/memberlist"

	"ringbin/cluster"
	"ringbin/node"
)

// fabric is the network between the nodes of a cluster. It is real loopback
// TCP and UDP, with a table of directions in which nothing gets through, and
// one of the weather in each direction.
type fabric struct {
	mu      sync.Mutex // protects the fields below
	owner   map[string]int
	cut     map[[2]int]cuts
	weather map[[2]int]Weather
	dead    map[int]bool
	lives   map[int]int   // how often a node was severed
	changed chan struct{} // closed and made anew at each change
}

// cuts is what does not get through in a direction: streams carry Raft and
// peer RPC, gossip is memberlist's packets and streams.
type cuts struct{ streams, gossip bool }

func newFabric() *fabric {
	return &fabric{owner: map[string]int{}, cut: map[[2]int]cuts{}, weather: map[[2]int]Weather{}, dead: map[int]bool{}, lives: map[int]int{}, changed: make(chan struct{})}
}

// claim notes that a node listens on an address: it lives, or does again.
func (f *fabric) claim(addr string, who int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.owner[addr] = who
	delete(f.dead, who)
}

// set cuts or mends one direction.
func (f *fabric) set(from, to int, cut cuts) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if cut != (cuts{}) {
		f.cut[[2]int{from, to}] = cut
	} else {
		delete(f.cut, [2]int{from, to})
	}
	close(f.changed)
	f.changed = make(chan struct{})
}

// sever breaks all connections of a node, for good, and lets it make no more
// until it is opened anew: nothing that the node does from now on is heard by
// another.
func (f *fabric) sever(i int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.dead[i] = true
	f.lives[i]++
	close(f.changed)
	f.changed = make(chan struct{})
}

// ends are the lives of the two ends of a connection.
type ends [2]int

// ends returns false when one of two nodes is severed.
func (f *fabric) ends(from, to int) (ends, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return ends{f.lives[from], f.lives[to]}, !f.dead[from] && !f.dead[to]
}

// blocked reports whether nothing gets from one node to another, and a channel
// that closes when that may have changed.
func (f *fabric) blocked(from, to int) (bool, <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.cut[[2]int{from, to}].streams, f.changed
}

func (f *fabric) whose(addr string) (int, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	who, ok := f.owner[addr]
	return who, ok
}

// side is one node's view of the fabric.
type side struct {
	f  *fabric
	me int
}

var _ node.Network = side{}

func (s side) Listen(ctx context.Context, network, addr string) (net.Listener, error) {
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, network, addr)
	if err == nil {
		s.f.claim(ln.Addr().String(), s.me)
	}
	return ln, err
}

func (s side) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	to, known := s.f.whose(addr)
	if known {
		// A SYN or its answer that gets lost: the dial waits until it gives up.
		if err := s.f.waitOpen(ctx, s.me, to); err != nil {
			return nil, err
		}
		if err := s.f.waitOpen(ctx, to, s.me); err != nil {
			return nil, err
		}
	}
	lives, alive := s.f.ends(s.me, to)
	if known && !alive {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	}
	d := net.Dialer{Timeout: time.Second}
	c, err := d.DialContext(ctx, network, addr)
	if err != nil || !known {
		return c, err
	}
	return &wire{Conn: c, f: s.f, from: s.me, to: to, lives: lives, closed: make(chan struct{})}, nil
}

// dialLost is how long a dial into a cut waits when its caller has no deadline.
const dialLost = time.Second

func (f *fabric) waitOpen(ctx context.Context, from, to int) error {
	ctx, cancel := context.WithTimeout(ctx, dialLost)
	defer cancel()
	for {
		cut, changed := f.blocked(from, to)
		if !cut {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return &net.OpError{Op: "dial", Net: "tcp", Err: os.ErrDeadlineExceeded}
		}
	}
}

// ListenGossip opens memberlist's own sockets behind the fabric.
func (s side) ListenGossip(_ context.Context, addr string) (node.GossipTransport, string, error) {
	inner, bound, err := cluster.ListenGossip(addr)
	if err != nil {
		return nil, "", err
	}
	s.f.claim(bound, s.me)
	return &gossipSide{NodeAwareTransport: inner, side: s}, bound, nil
}

// gossipSide loses packets and refuses streams where the fabric is cut. A
// direction is enough for both: gossip has no memory of who asked.
type gossipSide struct {
	memberlist.NodeAwareTransport
	side side
}

func (g *gossipSide) lost(addr string) bool {
	to, known := g.side.f.whose(addr)
	if !known {
		return false
	}
	return g.side.f.losesGossip(g.side.me, to)
}

func (g *gossipSide) WriteTo(b []byte, addr string) (time.Time, error) {
	if g.lost(addr) {
		return time.Now(), nil
	}
	return g.NodeAwareTransport.WriteTo(b, addr)
}

func (g *gossipSide) WriteToAddress(b []byte, addr memberlist.Address) (time.Time, error) {
	if g.lost(addr.Addr) {
		return time.Now(), nil
	}
	return g.NodeAwareTransport.WriteToAddress(b, addr)
}

func (g *gossipSide) DialTimeout(addr string, d time.Duration) (net.Conn, error) {
	if g.lost(addr) {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: os.ErrDeadlineExceeded}
	}
	return g.NodeAwareTransport.DialTimeout(addr, d)
}

func (g *gossipSide) DialAddressTimeout(addr memberlist.Address, d time.Duration) (net.Conn, error) {
	if g.lost(addr.Addr) {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: os.ErrDeadlineExceeded}
	}
	return g.NodeAwareTransport.DialAddressTimeout(addr, d)
}

// wire is a connection that stalls, as TCP does, while a direction of it is
// cut: bytes are neither lost nor refused, they wait.
type wire struct {
	net.Conn
	f        *fabric
	from, to int
	lives    ends
	in, out  burst

	closeOnce sync.Once
	closed    chan struct{}

	mu            sync.Mutex // protects the deadlines
	readDeadline  time.Time
	writeDeadline time.Time
}

func (w *wire) Read(p []byte) (int, error) {
	n, err := w.Conn.Read(p)
	deadline := func() time.Time { return w.readDeadline }
	if waitErr := w.wait(w.to, w.from, deadline); waitErr != nil && n == 0 {
		return 0, waitErr
	}
	if late := w.endure(w.to, w.from, &w.in, n, deadline); late != nil && n == 0 {
		return 0, late
	}
	if w.severed() {
		return 0, syscall.ECONNRESET
	}
	return n, err
}

func (w *wire) Write(p []byte) (int, error) {
	deadline := func() time.Time { return w.writeDeadline }
	if err := w.endure(w.from, w.to, &w.out, len(p), deadline); err != nil {
		return 0, err
	}
	if err := w.wait(w.from, w.to, deadline); err != nil {
		return 0, err
	}
	return w.Conn.Write(p)
}

// severed reports whether one of the ends has been since the connection was made.
func (w *wire) severed() bool {
	lives, _ := w.f.ends(w.from, w.to)
	return lives != w.lives
}

// wait returns once the direction is open, or as a stalled connection would.
func (w *wire) wait(from, to int, deadline func() time.Time) error {
	for {
		cut, changed := w.f.blocked(from, to)
		if w.severed() {
			return syscall.ECONNRESET
		}
		if !cut {
			return nil
		}
		w.mu.Lock()
		at := deadline()
		w.mu.Unlock()
		var expired <-chan time.Time
		if !at.IsZero() {
			expired = time.After(time.Until(at))
		}
		select {
		case <-changed:
		case <-expired:
			return os.ErrDeadlineExceeded
		case <-w.closed:
			return net.ErrClosed
		}
	}
}

func (w *wire) Close() error {
	w.closeOnce.Do(func() { close(w.closed) })
	return w.Conn.Close()
}

func (w *wire) SetDeadline(t time.Time) error {
	w.mu.Lock()
	w.readDeadline, w.writeDeadline = t, t
	w.mu.Unlock()
	return w.Conn.SetDeadline(t)
}

func (w *wire) SetReadDeadline(t time.Time) error {
	w.mu.Lock()
	w.readDeadline = t
	w.mu.Unlock()
	return w.Conn.SetReadDeadline(t)
}

func (w *wire) SetWriteDeadline(t time.Time) error {
	w.mu.Lock()
	w.writeDeadline = t
	w.mu.Unlock()
	return w.Conn.SetWriteDeadline(t)
}
