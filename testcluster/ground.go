package testcluster

import (
	"net/http"
	"testing"

	"ringbin/node"
)

// ground is what the nodes of a cluster stand on: network, disks and clients'
// ways. On loopback they are the system's own; in a simulation they are made.
// Everything else about a cluster is the same on both, and so are the tests.
type ground interface {
	// settle gives node i its addresses, its directory and its network.
	settle(i int, c *node.Config)
	// opening is called before node i is opened, each time.
	opening(i int, c *node.Config)
	// down ends the machine, or only the process, of a node that still runs.
	down(i int, how ending)
	// set cuts or mends one direction.
	set(from, to int, cut cuts)
	// network is the table of what the directions do.
	network() *fabric
	// transport is how clients reach nodes.
	transport() http.RoundTripper
	// finish is called when all is closed and the test is over.
	finish(failed bool)
}

// ending is how a node ends.
type ending int

const (
	stopped   ending = iota // told to stop: it says goodbye
	killed                  // kill -9: what it wrote stays, what it would do on closing does not happen
	powerLost               // what was not synced stays or goes, and nobody hears that it is gone
)

// loopback is the ground of this process's own network and files.
type loopback struct {
	tb     testing.TB
	dir    string
	fabric *fabric
}

func (l *loopback) settle(i int, c *node.Config) {
	c.DataDir = l.dir + "/" + c.Name
	c.HTTP, c.RPC, c.Gossip, c.Admin = freeAddr(l.tb), freeAddr(l.tb), freeAddr(l.tb), "127.0.0.1:0"
	c.Network = side{f: l.fabric, me: i}
}

func (*loopback) opening(int, *node.Config) {}

// down breaks the node's connections, as the end of a process or of a machine
// does. From here on nobody hears of what it still does until it is closed.
func (l *loopback) down(i int, _ ending) { l.fabric.sever(i) }

func (l *loopback) set(from, to int, cut cuts) { l.fabric.set(from, to, cut) }

func (l *loopback) network() *fabric { return l.fabric }

func (*loopback) transport() http.RoundTripper { return &http.Transport{DisableKeepAlives: true} }

func (*loopback) finish(bool) {}
