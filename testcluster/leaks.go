package testcluster

import (
	"sync"
	"testing"

	"go.uber.org/goleak"
)

// leaks finds goroutines that outlive the clusters of this process. Tests run
// at the same time, and a goroutine does not tell whose it is: what is there
// before the first cluster may be there after the last one, and nothing else.
var leaks leakWatch

type leakWatch struct {
	mu     sync.Mutex // protects the fields below, and is held over a look
	inUse  int        // clusters
	before goleak.Option
	failed bool // a test that failed leaves what it likes
}

// enter notes that a cluster is about to be started.
func (l *leakWatch) enter() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.inUse == 0 {
		l.before = goleak.IgnoreCurrent()
	}
	l.inUse++
}

// leave notes that a cluster has ended. With the last one, all must have.
func (l *leakWatch) leave(tb testing.TB) {
	tb.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.inUse--
	l.failed = l.failed || tb.Failed()
	if l.inUse > 0 || l.failed {
		return
	}
	if err := goleak.Find(l.before,
		goleak.IgnoreAnyFunction("testing.tRunner"), // a test that begins or ends
		goleak.IgnoreAnyFunction("net/http.(*persistConn).readLoop"),
		goleak.IgnoreAnyFunction("net/http.(*persistConn).writeLoop"),
		// These end by their own timeouts, and Shutdown has no way to wait for them.
		goleak.IgnoreAnyFunction("github.com/hashicorp/memberlist.(*Memberlist).probeNode"),
		goleak.IgnoreAnyFunction("github.com/hashicorp/memberlist.(*Memberlist).handleIndirectPing.func2"),
	); err != nil {
		tb.Error(err)
	}
}
