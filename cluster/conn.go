package cluster

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"math"
	"net"
	"sync"

	"ringbin/storage"
)

// Sizes of a Conn. A record of TLS has 16 KiB, and to write or to read each of
// them by itself costs about as much as to encrypt it.
const (
	recordBytes   = 16 << 10
	gatheredBytes = 17 * recordBytes      // that go out in one write: a piece of a sealed stream
	gatheredRoom  = gatheredBytes + 8<<10 // with what the records add to it
	readAhead     = 128 << 10
)

// Conn is a TLS connection between nodes that moves much with few system calls.
// While nothing moves, it keeps no memory for that.
//
// One goroutine writes at a time, and one reads. What a second one writes goes out
// in order, but its Write may return before.
type Conn struct {
	*tls.Conn

	raw *rawConn
}

// Client finishes TLS on a connection to the node with this id or, for "", to any
// member. It closes raw when it fails.
func (i *Identity) Client(ctx context.Context, raw net.Conn, peer storage.NodeID, alpn string) (*Conn, error) {
	below := &rawConn{Conn: raw}
	c := &Conn{Conn: tls.Client(below, i.ClientTLS(peer, alpn)), raw: below}
	if err := c.HandshakeContext(ctx); err != nil {
		return nil, errors.Join(err, raw.Close())
	}
	return c, nil
}

// server is the other side; its handshake is still to come.
func server(raw net.Conn, c *tls.Config) *Conn {
	below := &rawConn{Conn: raw}
	return &Conn{Conn: tls.Server(below, c), raw: below}
}

// Write implements net.Conn.
func (c *Conn) Write(p []byte) (int, error) {
	written := 0
	for {
		part := p[written:min(len(p), written+gatheredBytes)]
		n, err := c.write(part)
		if written += n; err != nil || written == len(p) {
			return written, err
		}
	}
}

// write has the records of p gathered when it takes more than one.
func (c *Conn) write(p []byte) (int, error) {
	if len(p) <= recordBytes || !c.raw.hold() {
		return c.Conn.Write(p) //nolint:wrapcheck // net/http knows these errors
	}
	n, err := c.Conn.Write(p)
	if failed := c.raw.letGo(); err == nil && failed != nil {
		return 0, failed
	}
	return n, err //nolint:wrapcheck // net/http knows these errors
}

// ReadFrom implements io.ReaderFrom: through it net/http sends bodies of a known
// length. One that comes in parts writes them as they lie; in chunks, or through
// a buffer, each would be copied and torn.
func (c *Conn) ReadFrom(r io.Reader) (int64, error) {
	body, ok := r.(*io.LimitedReader)
	if !ok {
		body = &io.LimitedReader{R: r, N: math.MaxInt64}
	}
	parts, ok := body.R.(io.WriterTo)
	if !ok {
		return io.Copy(struct{ io.Writer }{c}, r) //nolint:wrapcheck // net/http knows these errors
	}
	n, err := parts.WriteTo(&limitedWriter{c: c, left: body.N})
	if body.N -= n; errors.Is(err, errLimit) {
		return n, nil
	}
	return n, err //nolint:wrapcheck // net/http knows these errors
}

var errLimit = errors.New("a body goes on after its length")

// limitedWriter takes so many bytes.
type limitedWriter struct {
	c    *Conn
	left int64
}

// Write implements io.Writer.
func (w *limitedWriter) Write(p []byte) (int, error) {
	fits := p[:min(int64(len(p)), w.left)]
	n, err := w.c.Write(fits)
	if w.left -= int64(n); err == nil && len(fits) < len(p) {
		err = errLimit
	}
	return n, err
}

// rawConn is the connection below TLS. TLS writes in order, and reads in one
// goroutine at a time.
type rawConn struct {
	net.Conn

	mu      sync.Mutex // protects what is written; not held while anything is sent
	holding bool
	room    *[gatheredRoom]byte
	held    []byte // what TLS wrote meanwhile; begins in room
	err     error  // of a write of what was held: the rest of a record is missing

	rest  []byte // read ahead; of the one who reads, as ahead and more
	ahead *[readAhead]byte
	more  bool // the last read filled its room: more is likely to be there
}

var (
	gatherings = sync.Pool{New: func() any { return new([gatheredRoom]byte) }}
	readAheads = sync.Pool{New: func() any { return new([readAhead]byte) }}
)

// hold has all that is written kept until letGo. It reports false when that is so already.
func (r *rawConn) hold() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.holding {
		return false
	}
	r.room, _ = gatherings.Get().(*[gatheredRoom]byte)
	r.held, r.holding = r.room[:0], true
	return true
}

// Write implements net.Conn.
func (r *rawConn) Write(p []byte) (int, error) {
	r.mu.Lock()
	if r.err != nil {
		defer r.mu.Unlock()
		return 0, r.err
	}
	if r.holding {
		defer r.mu.Unlock()
		r.held = append(r.held, p...)
		return len(p), nil
	}
	r.mu.Unlock()
	return r.Conn.Write(p) //nolint:wrapcheck // TLS knows these errors
}

// letGo writes what was held.
func (r *rawConn) letGo() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	room := r.room
	for len(r.held) > 0 && r.err == nil {
		held := r.held
		r.held = nil // what TLS writes meanwhile follows
		r.mu.Unlock()
		_, err := r.Conn.Write(held)
		r.mu.Lock()
		r.err = err
	}
	r.held, r.room, r.holding = nil, nil, false
	gatherings.Put(room)
	return r.err
}

// Read implements net.Conn.
func (r *rawConn) Read(p []byte) (int, error) {
	if r.ahead == nil {
		if !r.more {
			n, err := r.Conn.Read(p)
			r.more = n == len(p)
			return n, err //nolint:wrapcheck // TLS knows these errors
		}
		ahead, _ := readAheads.Get().(*[readAhead]byte)
		n, err := r.Conn.Read(ahead[:])
		if n == 0 {
			readAheads.Put(ahead)
			return 0, err //nolint:wrapcheck // TLS knows these errors
		}
		r.ahead, r.rest, r.more = ahead, ahead[:n], n == len(ahead)
	}
	n := copy(p, r.rest)
	if r.rest = r.rest[n:]; len(r.rest) == 0 {
		readAheads.Put(r.ahead)
		r.ahead = nil
	}
	return n, nil
}
