package node

import (
	"net"
	"sync"
)

// A connection of the public port takes a file descriptor, and whoever opens
// many takes them all: from the disk, whose databases end when they can't make
// their next log, and from the other nodes, without whom nothing is written.
// So the public ports have a share of them; who comes when it is used up waits
// in the kernel's queue.
const (
	descriptorsEnough = 1 << 16
	descriptorsLow    = 4096 // below it the node says so when it starts
	publicShare       = 2    // one of so many
)

// limitListener accepts up to so many connections at once.
type limitListener struct {
	net.Listener
	places chan struct{}
	once   sync.Once
	done   chan struct{}
}

func limitConnections(l net.Listener, most int) net.Listener {
	return &limitListener{Listener: l, places: make(chan struct{}, most), done: make(chan struct{})}
}

// Accept implements net.Listener.
func (l *limitListener) Accept() (net.Conn, error) {
	select {
	case l.places <- struct{}{}:
	case <-l.done:
		return nil, net.ErrClosed
	}
	conn, err := l.Listener.Accept()
	if err != nil {
		<-l.places
		return nil, err //nolint:wrapcheck // a listener hands errors on
	}
	return &limitedConn{Conn: conn, leave: sync.OnceFunc(func() { <-l.places })}, nil
}

// Close implements net.Listener.
func (l *limitListener) Close() error {
	l.once.Do(func() { close(l.done) })
	return l.Listener.Close() //nolint:wrapcheck // a listener hands errors on
}

type limitedConn struct {
	net.Conn
	leave func()
}

// Close implements net.Conn.
func (c *limitedConn) Close() error {
	defer c.leave()
	return c.Conn.Close() //nolint:wrapcheck // a connection hands errors on
}
