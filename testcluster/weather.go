package testcluster

import (
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// Weather is what a direction between two nodes does to what it carries. The
// zero value does nothing.
type Weather struct {
	Delay  time.Duration // of each burst; what follows at once is not delayed again
	Jitter time.Duration // at most, on top of Delay
	Reset  float64       // probability with which a write on a stream breaks the connection
	Loss   float64       // probability with which a packet of gossip is lost
	// BytesPerSecond is how fast a stream is; 0: as fast as it goes.
	BytesPerSecond int64
}

// burst is when a stream was last delayed, in one direction.
type burst struct {
	mu   sync.Mutex // protects last
	last time.Time
}

// SetWeather sets what the direction from one node to another does.
func (c *Cluster) SetWeather(from, to int, w Weather) {
	f := c.ground.network()
	f.mu.Lock()
	defer f.mu.Unlock()
	if w == (Weather{}) {
		delete(f.weather, [2]int{from, to})
		return
	}
	f.weather[[2]int{from, to}] = w
}

// SetWeatherOf sets what all directions to and from a node do.
func (c *Cluster) SetWeatherOf(i int, w Weather) {
	for j := range c.nodes {
		if j != i {
			c.SetWeather(i, j, w)
			c.SetWeather(j, i, w)
		}
	}
}

// CutStreams cuts Raft and peer RPC between a node and all others, both ways,
// and leaves gossip alone.
func (c *Cluster) CutStreams(i int) { c.cutOf(i, cuts{streams: true}) }

// CutGossip cuts gossip between a node and all others, both ways, and leaves
// the rest alone.
func (c *Cluster) CutGossip(i int) { c.cutOf(i, cuts{gossip: true}) }

func (c *Cluster) cutOf(i int, cut cuts) {
	for j := range c.nodes {
		if j != i {
			c.ground.set(i, j, cut)
			c.ground.set(j, i, cut)
		}
	}
}

func (f *fabric) weatherOf(from, to int) Weather {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.weather[[2]int{from, to}]
}

// losesGossip draws whether a packet of gossip gets lost.
func (f *fabric) losesGossip(from, to int) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	d := [2]int{from, to}
	return f.cut[d].gossip || f.weather[d].Loss > 0 && rand.Float64() < f.weather[d].Loss
}

// endure waits as the weather of a direction has it for n bytes.
func (w *wire) endure(from, to int, b *burst, n int, deadline func() time.Time) error {
	now := w.f.weatherOf(from, to)
	if now == (Weather{}) || n == 0 {
		return nil
	}
	if now.Reset > 0 && rand.Float64() < now.Reset {
		_ = w.Close() // that is what the error says
		return &net.OpError{Op: "write", Net: "tcp", Err: syscall.ECONNRESET}
	}
	pause := time.Duration(0)
	if now.BytesPerSecond > 0 {
		pause = time.Duration(int64(n) * int64(time.Second) / now.BytesPerSecond)
	}
	b.mu.Lock()
	if time.Since(b.last) > now.Delay/2 {
		pause += now.Delay
		if now.Jitter > 0 {
			pause += rand.N(now.Jitter)
		}
	}
	b.mu.Unlock()
	err := w.pause(pause, deadline)
	b.mu.Lock()
	b.last = time.Now()
	b.mu.Unlock()
	return err
}

func (w *wire) pause(d time.Duration, deadline func() time.Time) error {
	if d <= 0 {
		return nil
	}
	w.mu.Lock()
	at := deadline()
	w.mu.Unlock()
	late := !at.IsZero() && time.Until(at) < d
	if late {
		d = time.Until(at)
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-w.closed:
		return net.ErrClosed
	}
	if late {
		return os.ErrDeadlineExceeded
	}
	return nil
}
