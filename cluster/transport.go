package cluster

import (
	"context"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"ringbin/storage"
)

// streamLayer is Raft's network. Its addresses are node ids: where a node is
// may change, who it is may not.
type streamLayer struct {
	net.Listener
	o   Options
	ctx context.Context //nolint:containedctx // raft.StreamLayer has no other way in
	// ended is told whose connection has ended. It must not block.
	ended func(storage.NodeID)

	// Raft does not wait for the goroutine that accepts: once this is closed
	// nobody is asked about anybody any more, since what answers may be closed, too.
	mu     sync.Mutex // protects closed, and is held while Refuse is asked
	closed bool
}

// Close implements net.Listener.
func (s *streamLayer) Close() error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	return s.Listener.Close() //nolint:wrapcheck // a listener hands errors on
}

// refuses reports whether a node's connection is dropped.
func (s *streamLayer) refuses(id storage.NodeID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed || s.o.Refuse != nil && s.o.Refuse(id)
}

// Accept implements net.Listener. Connections of nodes that were removed are
// dropped: Raft takes entries from whoever leads with a higher term, and asks
// for a place in the configuration only when it is asked for a vote. Old disks
// that make a majority of the old members would overwrite a new epoch's log.
func (s *streamLayer) Accept() (net.Conn, error) {
	for {
		conn, err := s.Listener.Accept()
		if err != nil {
			return nil, err //nolint:wrapcheck // a listener hands errors on
		}
		c, ok := conn.(*Conn)
		if !ok {
			return conn, nil
		}
		id, ok := PeerID(c.ConnectionState())
		if !ok {
			return conn, nil
		}
		if s.refuses(id) {
			_ = conn.Close() // it is nobody's to use
			continue
		}
		return &watchedConn{Conn: conn, ended: func() { s.ended(id) }}, nil
	}
}

// Dial opens a connection to a node, whose certificate must carry its id.
func (s *streamLayer) Dial(address raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	id := storage.NodeID(address)
	addr, ok := s.o.Resolve(id)
	if !ok {
		return nil, fmt.Errorf("no address for node %s", id)
	}
	ctx, cancel := context.WithTimeout(s.ctx, timeout)
	defer cancel()
	raw, err := s.o.Dial.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("dial node %s: %w", id, err)
	}
	conn, err := s.o.Identity.Client(ctx, raw, id, ALPNRaft)
	if err != nil {
		return nil, fmt.Errorf("tls with node %s: %w", id, err)
	}
	return conn, nil
}

// Addr is the node's id, as all of Raft's addresses are.
func (s *streamLayer) Addr() net.Addr { return idAddr(s.o.ID) }

type idAddr storage.NodeID

func (idAddr) Network() string  { return "ringbin" }
func (a idAddr) String() string { return string(a) }
