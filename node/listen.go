package node

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync/atomic"
	"time"

	"ringbin/cluster"
	"ringbin/storage"
)

// Limits and times of the HTTP ports.
const (
	readHeaderTimeout = 5 * time.Second
	idleTimeout       = 2 * time.Minute
	headerBytesMax    = 32 << 10
	dialTimeout       = time.Second
	handshakeTimeout  = 3 * time.Second
)

// GossipTransport is what memberlist talks through.
type GossipTransport = cluster.GossipTransport

// listeners are the node's open ports.
type listeners struct {
	http, rpc, admin net.Listener
	gossip           GossipTransport
	gossipBind       string
	gossipTaken      bool // memberlist closes it
}

// advertised is what others dial.
type advertised struct{ http, rpc, gossip string }

// listen opens every port at once, so that a port in use is known before
// anything else is touched.
func (n *Node) listen(ctx context.Context) error {
	var err error
	l := &n.listeners
	open := func(name, addr string) net.Listener {
		if err != nil {
			return nil
		}
		var ln net.Listener
		if ln, err = n.cfg.Network.Listen(ctx, "tcp", addr); err != nil {
			err = &storage.Error{Op: "node.listen", Kind: storage.KindConflict, Field: name, Text: fmt.Sprintf("can't listen on %s", addr), Err: err}
			return nil
		}
		return ln
	}
	l.http = open("http", n.cfg.HTTP)
	l.rpc = open("rpc", n.cfg.RPC)
	if n.cfg.Admin != "" {
		l.admin = open("admin", n.cfg.Admin)
	}
	if err != nil {
		return err
	}
	l.gossip, l.gossipBind, err = n.cfg.Network.ListenGossip(ctx, n.cfg.Gossip)
	if err != nil {
		return &storage.Error{Op: "node.listen", Kind: storage.KindConflict, Field: "gossip", Text: fmt.Sprintf("can't listen on %s", n.cfg.Gossip), Err: err}
	}
	n.advertised = advertised{
		http: n.advertise(l.http.Addr().String()), rpc: n.advertise(l.rpc.Addr().String()), gossip: n.advertise(l.gossipBind),
	}
	if n.cfg.Name == "" {
		n.cfg.Name = defaultName(n.advertised.rpc)
	}
	return nil
}

// advertise replaces an address that nobody can dial by the host to advertise.
func (n *Node) advertise(addr string) string {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return addr
	}
	ip := net.ParseIP(host)
	switch {
	case n.cfg.AdvertiseHost != "":
		host = n.cfg.AdvertiseHost
	case host == "" || ip != nil && ip.IsUnspecified():
		if name, err := os.Hostname(); err == nil {
			host = name
		}
	}
	return net.JoinHostPort(host, port)
}

// defaultName is the host and the port, which differs between nodes of one host.
func defaultName(rpc string) string {
	host, port, _ := net.SplitHostPort(rpc)
	if name, err := os.Hostname(); err == nil {
		host = name
	}
	if _, err := strconv.Atoi(port); err != nil {
		return host
	}
	return host + "-" + port
}

func (l *listeners) close() error {
	var errs []error
	for _, ln := range []net.Listener{l.http, l.rpc, l.admin} {
		if ln == nil {
			continue
		}
		if err := ln.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	if l.gossip != nil && !l.gossipTaken {
		errs = append(errs, l.gossip.Shutdown())
	}
	return errors.Join(errs...)
}

// Addresses are what a node listens on.
type Addresses struct{ HTTP, RPC, Gossip, Admin string }

// Addresses returns what the node listens on; Admin is "" when it is off.
func (n *Node) Addresses() Addresses {
	a := Addresses{HTTP: n.listeners.http.Addr().String(), RPC: n.listeners.rpc.Addr().String(), Gossip: n.listeners.gossipBind}
	if n.listeners.admin != nil {
		a.Admin = n.listeners.admin.Addr().String()
	}
	return a
}

// dialTLS opens a peer RPC connection; the other side's certificate must carry
// id, or with "" be any member's.
func (n *Node) dialTLS(ctx context.Context, addr string, id storage.NodeID) (net.Conn, error) {
	raw, err := n.cfg.Network.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
	defer cancel()
	conn, err := n.identity.Client(ctx, raw, id, cluster.ALPNPeer)
	if err != nil {
		return nil, fmt.Errorf("tls with %s: %w", addr, err)
	}
	return conn, nil
}

// certificate is the public port's certificate, read again on demand.
type certificate struct {
	certFile, keyFile string
	current           atomic.Pointer[tls.Certificate]
}

func (c *certificate) load() error {
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		return &storage.Error{Op: "node.certificate", Kind: storage.KindInvalid, Field: "tls-cert", Text: "certificate or key can't be read", Err: err}
	}
	c.current.Store(&pair)
	return nil
}

// openCertificate reads the public port's certificate before anything is
// started: a bad one is told at once.
func (n *Node) openCertificate() error {
	if n.cfg.TLSCert == "" {
		return nil
	}
	n.certs = &certificate{certFile: n.cfg.TLSCert, keyFile: n.cfg.TLSKey}
	return n.certs.load()
}

// ReloadTLS reads the public port's certificate again; the old one stays in
// use when the new one can't be read.
func (n *Node) ReloadTLS() error {
	if n.certs == nil {
		return nil
	}
	return n.certs.load()
}

// streamsMax bounds the requests of one HTTP/2 connection.
const streamsMax = 100

// serveHTTP starts the public port and the admin port.
func (n *Node) serveHTTP(h Handlers) error {
	n.public = n.newHTTP(h.Public)
	serve := func(ln net.Listener) error { return n.public.Serve(ln) }
	if n.certs != nil {
		n.public.TLSConfig = &tls.Config{
			MinVersion:     tls.VersionTLS12,
			GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return n.certs.current.Load(), nil },
		}
		serve = func(ln net.Listener) error { return n.public.ServeTLS(ln, "", "") }
	}
	descriptors := descriptorLimit()
	if descriptors < descriptorsLow {
		n.logger.Warn("few file descriptors: raise the limit of this process", "limit", descriptors, "wanted", descriptorsLow)
	}
	n.runHTTP(limitConnections(n.listeners.http, max(1, descriptors/publicShare)), serve)
	if n.listeners.admin != nil {
		n.admin = n.newHTTP(h.Admin)
		n.runHTTP(n.listeners.admin, n.admin.Serve)
	}
	return nil
}

func (n *Node) newHTTP(h http.Handler) *http.Server {
	return &http.Server{
		Handler: h, ReadHeaderTimeout: readHeaderTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: headerBytesMax,
		HTTP2:       &http.HTTP2Config{MaxConcurrentStreams: streamsMax},
		ErrorLog:    slogErrorLog(n.logger),
		BaseContext: func(net.Listener) context.Context { return n.ctx },
	}
}

func (n *Node) runHTTP(ln net.Listener, serve func(net.Listener) error) {
	n.wg.Go(func() {
		if err := serve(ln); err != nil && !errors.Is(err, http.ErrServerClosed) && n.ctx.Err() == nil {
			n.fail("HTTP can't go on", err)
		}
	})
}

// shutdownHTTP drains a server until ctx ends, then cuts it.
func shutdownHTTP(ctx context.Context, s *http.Server) error {
	if s == nil {
		return nil
	}
	if err := s.Shutdown(ctx); err != nil {
		return s.Close() //nolint:wrapcheck // closing
	}
	return nil
}
