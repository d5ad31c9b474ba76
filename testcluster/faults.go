package testcluster

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"time"

	"ringbin/storage"
)

// Target is which node a fault hits.
type Target string

// The targets.
const (
	Leader   Target = "leader"
	Follower Target = "follower"
	Owner    Target = "owner" // of something that was just acknowledged
	Everyone Target = "all"   // the fault chooses, or hits all
)

// Fault is one row of the matrix of faults: what goes wrong with a node, and
// what mends it. Whatever goes wrong, every invariant holds.
type Fault struct {
	Name string
	// Losing faults take the leader away: the time without writes is measured.
	Losing bool
	// Single faults choose their nodes themselves.
	Single bool
	// All faults leave no node up until they are mended.
	All bool
	// Whole faults may only happen to a cluster that has all its copies, and
	// leave one that has to get them back.
	Whole bool
	do    func(f *faultSite) (mend func())
}

// faultSite is where a fault happens.
type faultSite struct {
	c *Cluster
	w *Workload
	i int // the node that is hit
	r *rand.Rand
}

func (f *faultSite) others() (others []int) {
	for j := range f.c.nodes {
		if j != f.i {
			others = append(others, j)
		}
	}
	return others
}

// moment is how long one step of a fault takes that has several.
func (f *faultSite) moment() {
	time.Sleep(time.Duration(100+f.r.IntN(400)) * time.Millisecond)
}

// Faults are the rows that the form in one process can do. What needs a signal,
// a small file system or a damaged file is among the scenarios of processes.
var Faults = []Fault{
	{Name: "kill", Losing: true, do: func(f *faultSite) func() {
		f.c.Kill(f.i)
		return f.restart
	}},
	{Name: "restart", Losing: true, do: func(f *faultSite) func() {
		f.c.Stop(f.i)
		return f.restart
	}},
	{Name: "power loss", Losing: true, do: func(f *faultSite) func() {
		f.c.LosePower(f.r.IntN(101), f.r, f.i)
		return f.restart
	}},
	{Name: "power loss of all", Single: true, All: true, Losing: true, do: func(f *faultSite) func() {
		all := append(f.others(), f.i)
		f.c.LosePower(f.r.IntN(101), f.r, all...)
		return f.restartAll
	}},
	{Name: "kill of all", Single: true, All: true, Losing: true, do: func(f *faultSite) func() {
		for j := range f.c.nodes {
			f.c.Kill(j)
		}
		return f.restartAll
	}},
	{Name: "rolling restart", Single: true, do: func(f *faultSite) func() {
		for j := range f.c.nodes {
			f.c.Stop(j)
			f.c.Restart(j)
			f.c.WaitReady()
		}
		return func() {}
	}},
	{Name: "blobs wiped", Whole: true, do: func(f *faultSite) func() {
		f.c.WipeBlobs(f.i)
		return f.restart
	}},
	{Name: "isolated", Losing: true, do: func(f *faultSite) func() {
		f.c.Isolate(f.i)
		return f.c.Heal
	}},
	{Name: "hears nobody", Losing: true, do: func(f *faultSite) func() {
		for _, j := range f.others() {
			f.c.Partition(j, f.i)
		}
		return f.c.Heal
	}},
	{Name: "heard by nobody", Losing: true, do: func(f *faultSite) func() {
		for _, j := range f.others() {
			f.c.Partition(f.i, j)
		}
		return f.c.Heal
	}},
	{Name: "one link cut", do: func(f *faultSite) func() {
		j := f.others()[f.r.IntN(len(f.others()))]
		f.c.Partition(f.i, j)
		f.c.Partition(j, f.i)
		return f.c.Heal
	}},
	{Name: "one direction cut", do: func(f *faultSite) func() {
		f.c.Partition(f.i, f.others()[f.r.IntN(len(f.others()))])
		return f.c.Heal
	}},
	{Name: "gossip dead", do: func(f *faultSite) func() {
		f.c.CutGossip(f.i)
		return f.c.Heal
	}},
	{Name: "only gossip lives", Losing: true, do: func(f *faultSite) func() {
		f.c.CutStreams(f.i)
		return f.c.Heal
	}},
	{Name: "slow network", do: func(f *faultSite) func() {
		f.c.SetWeatherOf(f.i, Weather{Delay: time.Duration(1+f.r.IntN(60)) * time.Millisecond, Jitter: 30 * time.Millisecond})
		return f.c.Heal
	}},
	{Name: "narrow network", do: func(f *faultSite) func() {
		f.c.SetWeatherOf(f.i, Weather{BytesPerSecond: 200 << 10})
		return f.c.Heal
	}},
	{Name: "lossy network", do: func(f *faultSite) func() {
		f.c.SetWeatherOf(f.i, Weather{Reset: 0.01 + 0.1*f.r.Float64(), Loss: 0.2 * f.r.Float64(), Jitter: 5 * time.Millisecond})
		return f.c.Heal
	}},
	{Name: "slow disk", do: func(f *faultSite) func() {
		f.c.Disk(f.i).Set(Trouble{Sync: time.Duration(20+f.r.IntN(500)) * time.Millisecond})
		return f.healDisk
	}},
	{Name: "stalled disk", do: func(f *faultSite) func() {
		f.c.Disk(f.i).Set(Trouble{Stalled: true})
		return f.healDisk
	}},
	{Name: "disk full", do: func(f *faultSite) func() {
		f.c.Disk(f.i).Set(Trouble{Full: true})
		return f.healDisk
	}},
	{Name: "large blobs fail", do: func(f *faultSite) func() {
		f.c.Disk(f.i).Set(Trouble{NoBlobs: true})
		return f.healDisk
	}},
	{Name: "clock an hour ahead", do: func(f *faultSite) func() { return f.clock(time.Hour) }},
	{Name: "clock an hour behind", do: func(f *faultSite) func() { return f.clock(-time.Hour) }},
	{Name: "clock minutes ahead", do: func(f *faultSite) func() { return f.clock(3 * time.Minute) }},
	{Name: "clock a year ahead", do: func(f *faultSite) func() { return f.clock(365 * 24 * time.Hour) }},
	{Name: "leadership flaps", Single: true, do: func(f *faultSite) func() {
		for range 3 {
			f.c.HandOver()
			f.moment()
		}
		return func() {}
	}},
	{Name: "uploads break off", Single: true, do: func(f *faultSite) func() {
		for range 20 {
			f.breakOff(f.r.IntN(f.c.Len()))
		}
		return func() {}
	}},
	{Name: "slow clients", do: func(f *faultSite) func() { return f.slowClients() }},
}

func (f *faultSite) restart()  { f.c.Restart(f.i) }
func (f *faultSite) healDisk() { f.c.Disk(f.i).Set(Trouble{}) }

func (f *faultSite) restartAll() {
	for j := range f.c.nodes {
		f.c.Restart(j)
	}
}

func (f *faultSite) clock(ahead time.Duration) (mend func()) {
	f.c.SetClock(f.i, ahead)
	return func() { f.c.SetClock(f.i, 0) }
}

// HandOver has the leader hand its office to another node.
func (c *Cluster) HandOver() {
	for i := range c.nodes {
		if n := c.running(i); n != nil && n.IsLeader() {
			ctx, cancel := context.WithTimeout(context.Background(), closeWait)
			_ = n.HandOver(ctx) // one that fails leaves the leader where it was
			cancel()
			return
		}
	}
}

// breakOff begins an upload and hangs up in the middle of its head, before its
// body, within it, or before its last byte.
func (f *faultSite) breakOff(i int) {
	d := net.Dialer{Timeout: time.Second}
	conn, err := d.DialContext(context.Background(), "tcp", f.c.nodes[i].cfg.HTTP)
	if err != nil {
		return // down: that is another fault
	}
	defer func() { _ = conn.Close() }()
	body := make([]byte, 100+f.r.IntN(400<<10))
	for k := range body {
		body[k] = byte(f.r.Uint32())
	}
	var key string
	for _, key = range f.w.customers() {
		break
	}
	head := fmt.Sprintf("POST /api/content HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nX-Retention-Days: 30\r\nContent-Length: %d\r\n",
		f.c.nodes[i].cfg.HTTP, key, len(body))
	if f.r.IntN(2) == 0 { // else it has to wait on disk for its name
		head += "X-Content-Hash: " + storage.SumCID(body).String() + "\r\n"
	}
	head += "\r\n"
	all := head + string(body)
	ends := []int{len(head) / 2, len(head), len(head) + f.r.IntN(len(body)), len(all) - 1}
	_, _ = io.WriteString(conn, all[:ends[f.r.IntN(len(ends))]]) // the node may hang up first
}

// slowClientsMost is how many connections are held open that send nothing more.
const slowClientsMost = 64

func (f *faultSite) slowClients() (mend func()) {
	var conns []net.Conn
	d := net.Dialer{Timeout: time.Second}
	for k := range slowClientsMost {
		conn, err := d.DialContext(context.Background(), "tcp", f.c.nodes[f.i].cfg.HTTP)
		if err != nil {
			break
		}
		conns = append(conns, conn)
		head := "POST /api/content HTTP/1.1\r\nHost: x\r\nX-Slow: "
		if k%2 == 0 {
			head += strings.Repeat("a", 4<<10)
		}
		_, _ = io.WriteString(conn, head) // the node may hang up first
	}
	return func() {
		for _, conn := range conns {
			_ = conn.Close()
		}
	}
}

// site chooses the node that a fault hits.
func (c *Cluster) site(w *Workload, target Target, r *rand.Rand) *faultSite {
	c.tb.Helper()
	f := &faultSite{c: c, w: w, r: r}
	leader := c.leaderNow(r)
	switch target {
	case Leader:
		f.i = leader
	case Follower:
		f.i = (leader + 1 + r.IntN(c.Len()-1)) % c.Len()
	case Owner:
		f.i = c.ownerOfLast(w, leader)
	case Everyone:
		f.i = r.IntN(c.Len())
	}
	return f
}

// leaderNow returns who leads, or any node that runs when nobody does for a
// moment: another fault may be on.
func (c *Cluster) leaderNow(r *rand.Rand) int {
	c.tb.Helper()
	leader := c.anyRunning()
	for until := time.Now().Add(startWait / 20); time.Now().Before(until); time.Sleep(pollEvery) {
		for _, i := range r.Perm(c.Len()) {
			if n := c.running(i); n != nil && n.IsLeader() {
				return i
			}
		}
	}
	return leader
}

// ownerOfLast returns the first owner of what was acknowledged last.
func (c *Cluster) ownerOfLast(w *Workload, fallback int) int {
	w.mu.Lock()
	var cid storage.CID
	if n := len(w.acked); n > 0 {
		cid = w.acked[n-1]
	}
	w.mu.Unlock()
	n := c.running(fallback)
	if n == nil {
		return fallback
	}
	ring, _ := n.Rings()
	if ring == nil {
		return fallback
	}
	first := ring.OwnersOf(cid)[0].ID
	for i := range c.nodes {
		if n := c.running(i); n != nil && n.ID() == first {
			return i
		}
	}
	return fallback
}
