package cluster

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"sync"
	"time"
)

// The protocols that share the RPC port, told apart by ALPN.
const (
	ALPNRaft = "ringbin-raft/1"
	ALPNPeer = "ringbin-peer/1"
)

// Limits of accepting.
const (
	handshakesMax    = 64 // under way at once; more wait in the kernel's queue
	handshakeTimeout = 5 * time.Second
	acceptQueue      = 16
	acceptPause      = 50 * time.Millisecond // after a failed accept: out of file descriptors, mostly
)

// Mux takes connections from one listener, finishes their TLS handshakes, and
// hands them on by protocol.
type Mux struct {
	listener net.Listener
	tls      *tls.Config
	logger   *slog.Logger
	lanes    map[string]*lane
	ctx      context.Context //nolint:containedctx // the lifetime of the mux's goroutines
	cancel   context.CancelFunc
	wg       sync.WaitGroup
}

// NewMux starts taking connections.
func NewMux(l net.Listener, id *Identity, logger *slog.Logger) *Mux {
	m := &Mux{listener: l, tls: id.ServerTLS(ALPNRaft, ALPNPeer), logger: logger, lanes: map[string]*lane{}}
	m.ctx, m.cancel = context.WithCancel(context.Background())
	for _, p := range []string{ALPNRaft, ALPNPeer} {
		m.lanes[p] = &lane{addr: l.Addr(), conns: make(chan net.Conn, acceptQueue), done: make(chan struct{})}
	}
	m.wg.Go(m.accept)
	return m
}

// Raft yields the connections of other nodes' Raft.
func (m *Mux) Raft() net.Listener { return m.lanes[ALPNRaft] }

// Peer yields the connections of other nodes' RPC; they are *Conn.
func (m *Mux) Peer() net.Listener { return m.lanes[ALPNPeer] }

// Close closes the listener and both lanes, and waits for handshakes under way.
func (m *Mux) Close() error {
	m.cancel()
	err := m.listener.Close()
	for _, l := range m.lanes {
		_ = l.Close() // never fails
	}
	m.wg.Wait()
	for _, l := range m.lanes {
		l.drain()
	}
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err //nolint:wrapcheck // closing
}

func (m *Mux) accept() {
	places := make(chan struct{}, handshakesMax)
	for {
		conn, err := m.listener.Accept()
		if err != nil {
			if m.ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return
			}
			m.logger.Warn("accept failed", "err", err)
			select {
			case <-m.ctx.Done():
				return
			case <-time.After(acceptPause):
				continue
			}
		}
		places <- struct{}{}
		m.wg.Go(func() {
			defer func() { <-places }()
			m.handshake(conn)
		})
	}
}

// handshake finishes TLS and hands the connection on; whoever can't prove to
// be a member is dropped here, before any of our code reads a byte of theirs.
func (m *Mux) handshake(raw net.Conn) {
	conn := server(raw, m.tls)
	ctx, cancel := context.WithTimeout(m.ctx, handshakeTimeout)
	defer cancel()
	if err := conn.HandshakeContext(ctx); err != nil {
		m.logger.Warn("connection refused", "from", raw.RemoteAddr().String(), "err", err)
		_ = raw.Close()
		return
	}
	// A protocol that nobody serves yet must not keep the places of the others.
	l := m.lanes[conn.ConnectionState().NegotiatedProtocol]
	if l == nil || !l.offer(ctx, conn) {
		_ = conn.Close()
	}
}

// lane is a net.Listener of the connections of one protocol.
type lane struct {
	addr  net.Addr
	conns chan net.Conn
	once  sync.Once
	done  chan struct{}
}

func (l *lane) offer(ctx context.Context, c net.Conn) bool {
	select {
	case l.conns <- c:
		return true
	case <-l.done:
	case <-ctx.Done():
	}
	return false
}

// Accept implements net.Listener.
func (l *lane) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener; the mux's own listener stays open.
func (l *lane) Close() error {
	l.once.Do(func() { close(l.done) })
	return nil
}

// Addr implements net.Listener.
func (l *lane) Addr() net.Addr { return l.addr }

func (l *lane) drain() {
	for {
		select {
		case c := <-l.conns:
			_ = c.Close()
		default:
			return
		}
	}
}
