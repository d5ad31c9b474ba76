package testcluster

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/hashicorp/memberlist"

	"ringbin/node"
)

// Numbers of the simulated network.
const (
	simWindow     = 256 << 10 // bytes that a direction holds before its writer waits
	simSegment    = 32 << 10  // bytes that travel together
	simBacklog    = 128       // connections that wait to be accepted
	simPackets    = 512       // gossip packets that wait to be read; more are lost
	simResend     = 200 * time.Millisecond
	simDelayLeast = 100 * time.Microsecond
	simPortsFirst = 20_000 // of those who dial
)

// simNet is a network in memory. Directions can be cut as in [fabric], which
// it shares; besides, everything takes time, segments are lost and sent again,
// and connections break.
//
// It is made for bubbles of testing/synctest: whoever waits here waits for a
// channel or a timer, and never with a mutex held, so that time can pass.
type simNet struct {
	*fabric

	mu        sync.Mutex // protects the fields below; never held while waiting
	rng       *rand.Rand
	weather   SimWeather
	listeners map[string]*simListener
	gossips   map[string]*simGossip
	ports     int
	lives     map[int]*simLife // the newest of each machine
}

// SimWeather is how good the network is. The zero value is a good one.
type SimWeather struct {
	Delay time.Duration // at most, for each segment and packet; 0: 1 ms
	Loss  float64       // the part of segments that come late, and of packets that do not come
	Reset float64       // the part of writes on which a connection breaks
}

func newSimNet(rng *rand.Rand) *simNet {
	return &simNet{
		fabric: newFabric(), rng: rng, ports: simPortsFirst,
		listeners: map[string]*simListener{}, gossips: map[string]*simGossip{}, lives: map[int]*simLife{},
	}
}

func (n *simNet) setWeather(w SimWeather) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.weather = w
}

// draw returns how long something is on its way, and whether it was lost, or
// broke the connection.
func (n *simNet) draw() (delay time.Duration, lost, reset bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	most := n.weather.Delay
	if most == 0 {
		most = time.Millisecond
	}
	delay = simDelayLeast + time.Duration(n.rng.Int64N(int64(most)))
	return delay, n.rng.Float64() < n.weather.Loss, n.rng.Float64() < n.weather.Reset
}

// simLife is a machine from one start to its end.
type simLife struct {
	net  *simNet
	host int           // clientHost: where the clients are
	gone chan struct{} // closed at its end
	mute bool          // it lost power and could not say goodbye; set before gone closes
	back chan struct{} // closed when the machine lives again
}

// clientHost is the machine of the clients, which no cut reaches.
const clientHost = -1

// live starts a machine, which ends its former life.
func (n *simNet) live(host int) *simLife {
	l := &simLife{net: n, host: host, gone: make(chan struct{}), back: make(chan struct{})}
	n.mu.Lock()
	former := n.lives[host]
	n.lives[host] = l
	n.mu.Unlock()
	if former != nil {
		former.end(false)
		close(former.back)
	}
	return l
}

// end takes a machine from the network. With mute its peers hear nothing of
// it until it is back; else their connections break.
func (l *simLife) end(mute bool) {
	n := l.net
	n.mu.Lock()
	defer n.mu.Unlock()
	if l.over() {
		return
	}
	l.mute = mute
	close(l.gone)
	for addr, ln := range n.listeners {
		if ln.life == l {
			delete(n.listeners, addr)
		}
	}
	for addr, g := range n.gossips {
		if g.life == l {
			delete(n.gossips, addr)
		}
	}
}

func (l *simLife) over() bool {
	select {
	case <-l.gone:
		return true
	default:
		return false
	}
}

// heard reports whether a peer knows by now that this life is over; if not, the
// channel closes when that may have changed.
func (l *simLife) heard() (bool, <-chan struct{}) {
	if !l.over() {
		return false, l.gone
	}
	if !l.mute {
		return true, nil
	}
	select {
	case <-l.back:
		return true, nil
	default:
		return false, l.back
	}
}

var _ node.Network = (*simLife)(nil)

func simError(op string, err error) error { return &net.OpError{Op: op, Net: "sim", Err: err} }

// Listen implements node.Network.
func (l *simLife) Listen(_ context.Context, _, addr string) (net.Listener, error) {
	n := l.net
	n.mu.Lock()
	defer n.mu.Unlock()
	if l.over() {
		return nil, simError("listen", net.ErrClosed)
	}
	if n.listeners[addr] != nil {
		return nil, simError("listen", syscall.EADDRINUSE)
	}
	ln := &simListener{life: l, addr: simAddr(addr), queue: make(chan *simConn, simBacklog), closed: make(chan struct{})}
	n.listeners[addr] = ln
	n.claim(addr, l.host)
	return ln, nil
}

// DialContext implements node.Network: a dial takes a round trip, and into a
// cut, or to a machine without power, all the time that its caller has.
func (l *simLife) DialContext(ctx context.Context, _, addr string) (net.Conn, error) {
	n := l.net
	there, _, _ := n.draw()
	back, _, _ := n.draw()
	if err := l.pause(ctx, there+back); err != nil {
		return nil, err
	}
	to, known := n.whose(addr)
	if known {
		if err := n.waitOpen(ctx, l.host, to); err != nil {
			return nil, err
		}
		if err := n.waitOpen(ctx, to, l.host); err != nil {
			return nil, err
		}
	}
	n.mu.Lock()
	ln, other := n.listeners[addr], n.lives[to]
	n.ports++
	from := simAddr(net.JoinHostPort(simHost(l.host), strconv.Itoa(n.ports)))
	n.mu.Unlock()
	if ln == nil {
		if known && other != nil && other.over() && other.mute {
			if err := l.pause(ctx, dialLost); err != nil {
				return nil, err
			}
			return nil, simError("dial", os.ErrDeadlineExceeded)
		}
		return nil, simError("dial", syscall.ECONNREFUSED)
	}
	mine, theirs := n.connect(l, ln.life, from, ln.addr)
	select {
	case ln.queue <- theirs:
		return mine, nil
	default:
		return nil, simError("dial", syscall.ECONNREFUSED)
	}
}

func (l *simLife) pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return simError("dial", ctx.Err())
	case <-l.gone:
		return simError("dial", net.ErrClosed)
	}
}

type simAddr string

func (simAddr) Network() string  { return "tcp" }
func (a simAddr) String() string { return string(a) }

// simHost is the address of a machine: nodes serve without TLS on loopback only.
func simHost(host int) string { return fmt.Sprintf("127.0.%d.1", host+1) }

// simListener is a port.
type simListener struct {
	life   *simLife
	addr   simAddr
	queue  chan *simConn
	once   sync.Once
	closed chan struct{}
}

// Accept implements net.Listener.
func (ln *simListener) Accept() (net.Conn, error) {
	select {
	case c := <-ln.queue:
		return c, nil
	case <-ln.closed:
	case <-ln.life.gone:
	}
	return nil, simError("accept", net.ErrClosed)
}

// Close implements net.Listener; who waits to be accepted is refused.
func (ln *simListener) Close() error {
	ln.once.Do(func() {
		close(ln.closed)
		n := ln.life.net
		n.mu.Lock()
		if n.listeners[string(ln.addr)] == ln {
			delete(n.listeners, string(ln.addr))
		}
		n.mu.Unlock()
		for {
			select {
			case c := <-ln.queue:
				_ = c.Close()
			default:
				return
			}
		}
	})
	return nil
}

// Addr implements net.Listener.
func (ln *simListener) Addr() net.Addr { return ln.addr }

// simConn is one end of a connection.
type simConn struct {
	local, remote simAddr
	in, out       *simStream
}

var _ net.Conn = (*simConn)(nil)

func (n *simNet) connect(a, b *simLife, from, to simAddr) (dialed, accepted *simConn) {
	there, back := newSimStream(n, a, b), newSimStream(n, b, a)
	return &simConn{local: from, remote: to, in: back, out: there}, &simConn{local: to, remote: from, in: there, out: back}
}

// Read implements net.Conn.
func (c *simConn) Read(p []byte) (int, error) { return c.in.read(p) }

// Write implements net.Conn.
func (c *simConn) Write(p []byte) (int, error) {
	n, err := c.out.write(p)
	if err != nil && err == errSimReset { //nolint:errorlint // our own, unwrapped
		c.in.fail(err)
	}
	return n, err
}

// Close implements net.Conn: what was written still arrives.
func (c *simConn) Close() error {
	c.in.fail(simError("read", net.ErrClosed))
	c.out.finish()
	return nil
}

// LocalAddr implements net.Conn.
func (c *simConn) LocalAddr() net.Addr { return c.local }

// RemoteAddr implements net.Conn.
func (c *simConn) RemoteAddr() net.Addr { return c.remote }

// SetDeadline implements net.Conn.
func (c *simConn) SetDeadline(t time.Time) error {
	c.in.setDeadline(&c.in.readBy, t)
	c.out.setDeadline(&c.out.writeBy, t)
	return nil
}

// SetReadDeadline implements net.Conn.
func (c *simConn) SetReadDeadline(t time.Time) error {
	c.in.setDeadline(&c.in.readBy, t)
	return nil
}

// SetWriteDeadline implements net.Conn.
func (c *simConn) SetWriteDeadline(t time.Time) error {
	c.out.setDeadline(&c.out.writeBy, t)
	return nil
}

// simStream is one direction of a connection. Bytes come in order and whole,
// or the connection breaks.
type simStream struct {
	net      *simNet
	from, to *simLife

	mu              sync.Mutex // protects the fields below; never held while waiting
	segments        []simBytes
	held            int       // bytes that wait
	last            time.Time // when the newest segment arrives
	finished        bool      // by the writer
	broken          error     // for both ends
	readBy, writeBy time.Time
	changed         chan struct{} // closed and made anew at each change
}

// simBytes are on their way until a time. None at all are the end of the stream.
type simBytes struct {
	b  []byte
	at time.Time
}

func newSimStream(n *simNet, from, to *simLife) *simStream {
	return &simStream{net: n, from: from, to: to, changed: make(chan struct{})}
}

var errSimReset = simError("write", syscall.ECONNRESET)

// noteLocked wakes whoever waits.
func (s *simStream) noteLocked() {
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *simStream) setDeadline(by *time.Time, t time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	*by = t
	s.noteLocked()
}

// fail breaks the direction at once, and drops what was on its way.
func (s *simStream) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken == nil {
		s.broken, s.segments, s.held = err, nil, 0
		s.noteLocked()
	}
}

// finish is the writer's end.
func (s *simStream) finish() {
	delay, _, _ := s.net.draw()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.finished {
		s.finished = true
		s.sendLocked(nil, delay)
	}
}

func (s *simStream) sendLocked(b []byte, delay time.Duration) {
	at := time.Now().Add(delay)
	if at.Before(s.last) {
		at = s.last
	}
	s.last = at
	s.segments = append(s.segments, simBytes{b: b, at: at})
	s.held += len(b)
	s.noteLocked()
}

func (s *simStream) write(p []byte) (int, error) {
	written := 0
	for written < len(p) {
		delay, lost, reset := s.net.draw()
		if reset && !s.to.over() {
			s.fail(errSimReset)
			return written, errSimReset
		}
		if lost {
			delay += simResend
		}
		n, err := s.put(p[written:], delay)
		if err != nil {
			return written, err
		}
		written += n
	}
	return written, nil
}

// put takes one segment as soon as there is room for it.
func (s *simStream) put(p []byte, delay time.Duration) (int, error) {
	for {
		dead, ended := s.to.heard()
		s.mu.Lock()
		switch {
		case s.from.over() || s.finished:
			s.mu.Unlock()
			return 0, simError("write", net.ErrClosed)
		case s.broken != nil || dead:
			s.mu.Unlock()
			return 0, simError("write", syscall.EPIPE)
		case past(s.writeBy):
			s.mu.Unlock()
			return 0, simError("write", os.ErrDeadlineExceeded)
		case s.held < simWindow:
			n := min(len(p), simSegment)
			s.sendLocked(append([]byte(nil), p[:n]...), delay)
			s.mu.Unlock()
			return n, nil
		}
		w := simWait{changed: s.changed, own: s.from.gone, peer: ended, until: s.writeBy}
		s.mu.Unlock()
		w.wait()
	}
}

func (s *simStream) read(p []byte) (int, error) {
	for {
		dead, ended := s.from.heard()
		cut, mended := s.net.blocked(s.from.host, s.to.host)
		s.mu.Lock()
		w := simWait{changed: s.changed, own: s.to.gone, peer: ended, until: s.readBy}
		switch {
		case s.to.over():
			s.mu.Unlock()
			return 0, simError("read", net.ErrClosed)
		case s.broken != nil:
			err := s.broken
			s.mu.Unlock()
			return 0, err
		case past(s.readBy):
			s.mu.Unlock()
			return 0, simError("read", os.ErrDeadlineExceeded)
		case dead:
			s.mu.Unlock()
			return 0, simError("read", syscall.ECONNRESET)
		case cut:
			w.mended = mended
		case len(s.segments) > 0 && !past(s.segments[0].at):
			if at := s.segments[0].at; w.until.IsZero() || at.Before(w.until) {
				w.until = at
			}
		case len(s.segments) > 0:
			n, err := s.takeLocked(p)
			s.mu.Unlock()
			return n, err
		}
		s.mu.Unlock()
		w.wait()
	}
}

// takeLocked takes from the first segment; the end of the stream stays.
func (s *simStream) takeLocked(p []byte) (int, error) {
	first := &s.segments[0]
	if len(first.b) == 0 {
		return 0, io.EOF
	}
	n := copy(p, first.b)
	if first.b = first.b[n:]; len(first.b) == 0 {
		s.segments = s.segments[1:]
	}
	full := s.held >= simWindow
	if s.held -= n; full {
		s.noteLocked()
	}
	return n, nil
}

// past reports whether a time has come; none never does.
func past(t time.Time) bool { return !t.IsZero() && !time.Now().Before(t) }

// simWait is what one end of a stream waits for.
type simWait struct {
	changed, own, peer, mended <-chan struct{}
	until                      time.Time
}

func (w simWait) wait() {
	var late <-chan time.Time
	if !w.until.IsZero() {
		t := time.NewTimer(time.Until(w.until))
		defer t.Stop()
		late = t.C
	}
	select {
	case <-w.changed:
	case <-w.own:
	case <-w.peer:
	case <-w.mended:
	case <-late:
	}
}

// ListenGossip implements node.Network.
func (l *simLife) ListenGossip(_ context.Context, addr string) (node.GossipTransport, string, error) {
	n := l.net
	n.mu.Lock()
	defer n.mu.Unlock()
	if l.over() {
		return nil, "", simError("listen", net.ErrClosed)
	}
	if n.gossips[addr] != nil {
		return nil, "", simError("listen", syscall.EADDRINUSE)
	}
	g := &simGossip{
		life: l, addr: simAddr(addr), packets: make(chan *memberlist.Packet, simPackets),
		streams: make(chan net.Conn, simBacklog), done: make(chan struct{}),
	}
	n.gossips[addr] = g
	n.claim(addr, l.host)
	return g, addr, nil
}

// simGossip is what memberlist talks through. It loses packets, and never waits.
type simGossip struct {
	life    *simLife
	addr    simAddr
	packets chan *memberlist.Packet
	streams chan net.Conn
	once    sync.Once
	done    chan struct{}
}

var _ memberlist.NodeAwareTransport = (*simGossip)(nil)

// FinalAdvertiseAddr implements memberlist.Transport.
func (g *simGossip) FinalAdvertiseAddr(ip string, port int) (net.IP, int, error) {
	return net.ParseIP(ip), port, nil
}

// WriteTo implements memberlist.Transport.
func (g *simGossip) WriteTo(b []byte, addr string) (time.Time, error) {
	now := time.Now()
	n := g.life.net
	delay, lost, _ := n.draw()
	to, known := n.whose(addr)
	if cut, _ := n.blocked(g.life.host, to); !known || cut || lost || g.life.over() {
		return now, nil
	}
	b = append([]byte(nil), b...)
	time.AfterFunc(delay, func() {
		n.mu.Lock()
		other := n.gossips[addr]
		n.mu.Unlock()
		if other == nil {
			return
		}
		select {
		case other.packets <- &memberlist.Packet{Buf: b, From: g.addr, Timestamp: time.Now()}:
		default:
		}
	})
	return now, nil
}

// WriteToAddress implements memberlist.NodeAwareTransport.
func (g *simGossip) WriteToAddress(b []byte, addr memberlist.Address) (time.Time, error) {
	return g.WriteTo(b, addr.Addr)
}

// PacketCh implements memberlist.Transport.
func (g *simGossip) PacketCh() <-chan *memberlist.Packet { return g.packets }

// DialTimeout implements memberlist.Transport.
func (g *simGossip) DialTimeout(addr string, d time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	n := g.life.net
	there, _, _ := n.draw()
	if err := g.life.pause(ctx, 2*there); err != nil {
		return nil, err
	}
	to, known := n.whose(addr)
	if known {
		if err := n.waitOpen(ctx, g.life.host, to); err != nil {
			return nil, err
		}
	}
	n.mu.Lock()
	other := n.gossips[addr]
	n.mu.Unlock()
	if other == nil {
		return nil, simError("dial", syscall.ECONNREFUSED)
	}
	mine, theirs := n.connect(g.life, other.life, g.addr, other.addr)
	select {
	case other.streams <- theirs:
		return mine, nil
	default:
		return nil, simError("dial", syscall.ECONNREFUSED)
	}
}

// DialAddressTimeout implements memberlist.NodeAwareTransport.
func (g *simGossip) DialAddressTimeout(addr memberlist.Address, d time.Duration) (net.Conn, error) {
	return g.DialTimeout(addr.Addr, d)
}

// StreamCh implements memberlist.Transport.
func (g *simGossip) StreamCh() <-chan net.Conn { return g.streams }

// Shutdown implements memberlist.Transport.
func (g *simGossip) Shutdown() error {
	g.once.Do(func() {
		close(g.done)
		n := g.life.net
		n.mu.Lock()
		if n.gossips[string(g.addr)] == g {
			delete(n.gossips, string(g.addr))
		}
		n.mu.Unlock()
	})
	return nil
}
