package cluster

import (
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// pipeListener listens in memory.
type pipeListener struct {
	conns chan net.Conn
	once  sync.Once
	done  chan struct{}
}

func newPipeListener() *pipeListener {
	return &pipeListener{conns: make(chan net.Conn), done: make(chan struct{})}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	l.once.Do(func() { close(l.done) })
	return nil
}

func (*pipeListener) Addr() net.Addr { return idAddr("pipe") }

func (l *pipeListener) dial(t *testing.T) net.Conn {
	t.Helper()
	ours, theirs := net.Pipe()
	t.Cleanup(func() { _ = ours.Close() })
	l.conns <- theirs
	return ours
}

// muxTest is a mux in memory, of node-a, and a member that dials it.
type muxTest struct {
	l      *pipeListener
	mux    *Mux
	member *Identity
}

func newMuxTest(t *testing.T) *muxTest {
	t.Helper()
	trust := mustTrust(t, secretLine(1))
	m := &muxTest{l: newPipeListener(), member: mustIssue(t, trust, "node-b")}
	m.mux = NewMux(m.l, mustIssue(t, trust, "node-a"), slog.New(slog.DiscardHandler))
	t.Cleanup(func() {
		if err := m.mux.Close(); err != nil {
			t.Error(err)
		}
	})
	return m
}

// dial dials as the member and finishes its side of the handshake.
func (m *muxTest) dial(t *testing.T, alpn string) *tls.Conn {
	t.Helper()
	c := tls.Client(m.l.dial(t), m.member.ClientTLS("node-a", alpn))
	if err := c.HandshakeContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	return c
}

// drain reads until the other side hangs up.
func drain(c net.Conn) error {
	_, err := io.Copy(io.Discard, c)
	_ = c.Close()
	return err
}

// Connections go where their protocol belongs, and carry who calls.
func TestMuxRoutes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMuxTest(t)
		for range 3 {
			for alpn, lane := range map[string]net.Listener{ALPNRaft: m.mux.Raft(), ALPNPeer: m.mux.Peer()} {
				c := m.dial(t, alpn)
				go func() { _, _ = c.Write([]byte(alpn)) }()
				got, err := lane.Accept()
				if err != nil {
					t.Fatal(err)
				}
				b := make([]byte, len(alpn))
				if _, err := io.ReadFull(got, b); err != nil || string(b) != alpn {
					t.Errorf("%q in lane %s: %v", b, alpn, err)
				}
				tc, ok := got.(*Conn)
				if !ok {
					t.Fatalf("%T in lane %s", got, alpn)
				}
				if id, ok := PeerID(tc.ConnectionState()); !ok || id != "node-b" {
					t.Errorf("lane %s: the peer is %q", alpn, id)
				}
				go func() { _ = drain(c) }()
				_ = got.Close()
			}
		}
		if m.mux.Peer().Addr().String() != "pipe" {
			t.Errorf("address %s", m.mux.Peer().Addr())
		}
	})
}

// Who can't prove to be a member gets no lane, and is cut off in time.
func TestMuxStrangers(t *testing.T) {
	t.Parallel()
	stranger := mustIssue(t, mustTrust(t, secretLine(1)), "node-b")
	for name, call := range map[string]func(*muxTest, net.Conn) error{
		"no certificate": func(m *muxTest, c net.Conn) error {
			config := m.member.ClientTLS("node-a", ALPNPeer)
			config.Certificates = nil
			return drain(tls.Client(c, config))
		},
		"a strange CA": func(_ *muxTest, c net.Conn) error {
			config := stranger.ClientTLS("", ALPNPeer)
			config.VerifyConnection = nil
			return drain(tls.Client(c, config))
		},
		"another protocol": func(m *muxTest, c net.Conn) error {
			return drain(tls.Client(c, m.member.ClientTLS("node-a", "h2")))
		},
		"no TLS": func(_ *muxTest, c net.Conn) error {
			go func() { _, _ = c.Write([]byte("GET / HTTP/1.1\r\n\r\n")) }()
			return errors.Join(drain(c), errors.New("cut off"))
		},
		"silence": func(_ *muxTest, c net.Conn) error {
			return errors.Join(drain(c), errors.New("cut off"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				m := newMuxTest(t)
				begin := time.Now()
				if err := call(m, m.l.dial(t)); err == nil {
					t.Error("the connection ends cleanly")
				}
				if took := time.Since(begin); took > handshakeTimeout {
					t.Errorf("cut off after %v", took)
				}
				synctest.Wait()
				for alpn, l := range m.mux.lanes {
					if len(l.conns) > 0 {
						t.Errorf("lane %s has a stranger", alpn)
					}
				}
			})
		})
	}
}

// A TLS client that offers no protocol at all has no lane either.
func TestMuxNoProtocol(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMuxTest(t)
		config := m.member.ClientTLS("node-a", "")
		config.NextProtos = nil
		if err := drain(tls.Client(m.l.dial(t), config)); err != nil && !errors.Is(err, io.EOF) {
			t.Log(err)
		}
		synctest.Wait()
		for alpn, l := range m.mux.lanes {
			if len(l.conns) > 0 {
				t.Errorf("lane %s has it", alpn)
			}
		}
	})
}

// A lane that nobody serves yet does not keep the other one from being served.
func TestMuxLanesAreApart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMuxTest(t)
		var wg sync.WaitGroup
		defer wg.Wait()
		for range acceptQueue + handshakesMax + 1 {
			c := m.dial(t, ALPNRaft)
			wg.Go(func() { _ = drain(c) })
			t.Cleanup(func() { _ = c.Close() })
		}
		c := m.dial(t, ALPNPeer)
		got, err := m.mux.Peer().Accept()
		if err != nil {
			t.Fatal(err)
		}
		wg.Go(func() { _ = drain(c) })
		_ = got.Close()
		if err := m.mux.Close(); err != nil {
			t.Error(err)
		}
	})
}

// Close ends whatever is on its way: the test does not end while a goroutine is left.
func TestMuxClose(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMuxTest(t)
		accepted := make(chan error, 1)
		go func() {
			_, err := m.mux.Raft().Accept()
			accepted <- err
		}()
		silent := m.l.dial(t)
		queued := m.dial(t, ALPNPeer)
		synctest.Wait()
		go func() { _ = drain(silent) }()
		go func() { _ = drain(queued) }()
		begin := time.Now()
		for range 2 {
			if err := m.mux.Close(); err != nil {
				t.Error(err)
			}
		}
		if took := time.Since(begin); took != 0 {
			t.Errorf("Close took %v", took)
		}
		if err := <-accepted; !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
		if _, err := m.mux.Peer().Accept(); !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
	})
}
