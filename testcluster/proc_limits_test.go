package testcluster_test

import (
	"net"
	"os/exec"
	"strings"
	"testing"
	"time"

	"ringbin/testcluster"
)

// descriptorsRunOut: a node that is out of file descriptors sheds load; it does
// not fall over, and is itself again when the load is gone.
func descriptorsRunOut(t *testing.T, bin string) {
	t.Helper()
	prlimit, err := exec.LookPath("prlimit")
	if err != nil {
		t.Skip("no prlimit on this machine: file descriptors are not limited")
	}
	const descriptors = "160"
	p := testcluster.StartProcessesWith(t, bin, 3, testcluster.ProcessOptions{Command: func(i int) []string {
		if i != 0 {
			return nil
		}
		return []string{prlimit, "--nofile=" + descriptors + ":" + descriptors}
	}})
	key := p.Account(10_000_000)
	w := p.StartWriters(testcluster.WritersOptions{N: 8, Size: 1 << 10, Key: key, Patience: time.Second})
	waitWrites(t, w, 50)
	// Connections that ask for nothing, more than the node has descriptors.
	const idle = 400
	var conns []net.Conn
	flooded := time.Now()
	for range idle {
		conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(t.Context(), "tcp", p.Addr(0))
		if err != nil {
			break // the kernel's queue is full as well
		}
		conns = append(conns, conn)
	}
	t.Logf("%d connections opened to a node with %s descriptors", len(conns), descriptors)
	waitWrites(t, w, 100) // the others go on
	all, _ := w.Gaps(flooded, time.Now())
	t.Logf("longest write gap %s", all.Round(time.Millisecond))
	for _, c := range conns {
		_ = c.Close()
	}
	if ended, err := p.EndedWithin(0, 0); ended {
		t.Fatalf("node 0 ended for want of descriptors: %v\n%s", err, tail(p.LogText(0)))
	}
	p.WaitReady()
	waitWrites(t, w, 50)
	if err := w.End(); err != nil {
		t.Error(err)
	}
	if !strings.Contains(p.LogText(0), "few file descriptors") {
		t.Error("node 0 did not say that it has few descriptors")
	}
	p.Check()
	stopProcesses(p)
}

func tail(s string) string {
	const most = 2000
	return s[max(0, len(s)-most):]
}
