package testcluster_test

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"ringbin/testcluster"
)

// namespaces are n hosts with a network of their own on one bridge. Addresses
// are 10.77.x.1 for this host and 10.77.x.(i+2) for the others.
type namespaces struct {
	t    *testing.T
	name string // of everything that is made: names of links have 15 bytes at most
	net  int
}

// newNamespaces makes them, or skips where this machine does not allow it.
func newNamespaces(t *testing.T, n int) *namespaces {
	t.Helper()
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skip("no ip command on this machine: no network namespaces")
	}
	s := &namespaces{t: t, name: fmt.Sprintf("rb%d", os.Getpid()%100_000), net: os.Getpid() % 250}
	if out, err := s.try("link", "add", s.bridge(), "type", "bridge"); err != nil {
		t.Skipf("no network namespaces on this machine: %v: %s", err, out)
	}
	t.Cleanup(func() { s.ip("link", "del", s.bridge()) })
	s.ip("addr", "add", s.host(-1)+"/24", "dev", s.bridge())
	s.ip("link", "set", s.bridge(), "up")
	for i := range n {
		if out, err := s.try("netns", "add", s.ns(i)); err != nil {
			t.Skipf("no network namespaces on this machine: %v: %s", err, out)
		}
		t.Cleanup(func() { s.ip("netns", "del", s.ns(i)) })
		s.ip("link", "add", s.link(i), "type", "veth", "peer", "name", "eth0", "netns", s.ns(i))
		s.ip("link", "set", s.link(i), "master", s.bridge(), "up")
		s.in(i, "ip", "addr", "add", s.host(i)+"/24", "dev", "eth0")
		s.in(i, "ip", "link", "set", "lo", "up")
		s.in(i, "ip", "link", "set", "eth0", "up")
	}
	return s
}

func (s *namespaces) bridge() string    { return s.name + "br" }
func (s *namespaces) ns(i int) string   { return fmt.Sprintf("%s-%d", s.name, i) }
func (s *namespaces) link(i int) string { return fmt.Sprintf("%sv%d", s.name, i) }
func (s *namespaces) host(i int) string { return fmt.Sprintf("10.77.%d.%d", s.net, i+2) }

func (s *namespaces) try(args ...string) (string, error) {
	out, err := exec.CommandContext(s.t.Context(), "ip", args...).CombinedOutput()
	if s.t.Context().Err() != nil { // cleaning up
		out, err = exec.Command("ip", args...).CombinedOutput()
	}
	return strings.TrimSpace(string(out)), err
}

func (s *namespaces) ip(args ...string) {
	s.t.Helper()
	if out, err := s.try(args...); err != nil {
		s.t.Fatalf("ip %s: %v: %s", strings.Join(args, " "), err, out)
	}
}

func (s *namespaces) in(i int, args ...string) {
	s.t.Helper()
	s.ip(append([]string{"netns", "exec", s.ns(i)}, args...)...)
}

// cut takes a host's link down; the function brings it up again.
func (s *namespaces) cut(i int) (heal func()) {
	s.t.Helper()
	s.ip("link", "set", s.link(i), "down")
	return func() { s.ip("link", "set", s.link(i), "up") }
}

// deafen drops what one host sends to another, and nothing on the way back: it
// believes the other to be at an address that nobody has.
func (s *namespaces) deafen(from, to int) (heal func()) {
	s.t.Helper()
	s.in(from, "ip", "neigh", "replace", s.host(to), "lladdr", "02:00:00:00:00:01", "nud", "permanent", "dev", "eth0")
	return func() { s.in(from, "ip", "neigh", "del", s.host(to), "dev", "eth0") }
}

// netns: a node whose network goes, one way or both, refuses what needs a
// majority and comes back by itself; the others go on.
func netns(t *testing.T, bin string) {
	t.Helper()
	const nodes = 3
	s := newNamespaces(t, nodes)
	p := testcluster.StartProcessesWith(t, bin, nodes, testcluster.ProcessOptions{
		Host:    s.host,
		Command: func(i int) []string { return []string{"ip", "netns", "exec", s.ns(i)} },
		Args:    func(int) []string { return []string{"--behind-tls"} },
	})
	key := p.Account(100_000_000)
	cuts := []struct {
		name string
		cut  func(node int) (heal func())
	}{
		{"the leader's link is down", s.cut},
		{"the leader is not heard by one follower", func(node int) func() { return s.deafen(node, (node+1)%nodes) }},
		{"the leader is not heard by anybody", func(node int) func() {
			one, two := s.deafen(node, (node+1)%nodes), s.deafen(node, (node+2)%nodes)
			return func() { one(); two() }
		}},
	}
	if !long() {
		cuts = cuts[:1]
	}
	for _, c := range cuts {
		w := p.StartWriters(testcluster.WritersOptions{N: 6, Size: 1 << 10, Key: key, Patience: 2 * time.Second})
		waitWrites(t, w, 30)
		leader := p.WaitLeader()
		from := time.Now()
		heal := c.cut(leader)
		waitWrites(t, w, 100)
		gap, _ := w.Gaps(from, time.Now())
		heal()
		p.WaitReady()
		waitWrites(t, w, 30)
		if err := w.End(); err != nil {
			t.Error(err)
		}
		refused, _ := w.Refused()
		t.Logf("%s: no write for %s; %d requests refused, %d given up by their clients", c.name, gap.Round(time.Millisecond), refused, w.Lost())
	}
	p.Check() // every node holds all that it owns
	isolatedRefuses(t, s, p, key)
	p.Check()
	stopProcesses(p)
}

// isolatedRefuses asks a node that is alone, from its own host: a balance is
// refused, content that it holds is served.
func isolatedRefuses(t *testing.T, s *namespaces, p *testcluster.Processes, key string) {
	t.Helper()
	if _, err := exec.LookPath("curl"); err != nil {
		t.Log("no curl on this machine: nobody asks the isolated node")
		return
	}
	const node = 0
	held := p.Acked()[0]
	heal := s.cut(node)
	ask := func(path string) string {
		out, err := s.try("netns", "exec", s.ns(node), "curl", "-s", "-o", "/dev/null", "-w", "%{http_code}",
			"-H", "Authorization: Bearer "+key, "http://"+p.Addr(node)+path)
		if err != nil {
			t.Errorf("ask the isolated node: %v: %s", err, out)
		}
		return out
	}
	p.WaitFor("the isolated node to notice", func() bool { return ask("/readyz") == fmt.Sprint(http.StatusServiceUnavailable) })
	if got := ask("/api/balance"); got != fmt.Sprint(http.StatusServiceUnavailable) {
		t.Errorf("I4: an isolated node answers a balance with %s", got)
	}
	out, err := s.try("netns", "exec", s.ns(node), "curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "http://"+p.Addr(node)+"/api/content/"+held.String())
	if err != nil || out != fmt.Sprint(http.StatusOK) {
		t.Errorf("I17: an isolated node answers for content that it holds with %s, %v", out, err)
	}
	heal()
	p.WaitReady()
}
