//go:build unix

package storage

import (
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// growth is a store on real files, with the options of production, that takes
// one bundle of small blobs after the other.
type growth struct {
	b    *testing.B
	dir  string
	s    *Store
	held uint64
	body []byte
}

// Numbers of growing.
const (
	growthSize     = 1 << 10
	growthBundle   = 64     // blobs of one bundle
	growthFast     = 256    // the same, where nothing is measured
	growthMeasured = 64_000 // blobs, at most, that the cost of a put is the mean of
	growthReads    = 20_000 // the same of a get
	growthLook     = 50 * time.Millisecond
	growthStill    = 4       // looks in a row that find no compaction
	growthHot      = 1000    // blobs that are read again and again
	growthMost     = 100_000 // blobs, unless RINGBIN_GROWTH says another number
)

func (g *growth) open() {
	s, err := OpenStore(g.dir, StoreOptions{FreeFloorBytes: -1})
	if err != nil {
		g.b.Fatal(err)
	}
	g.s = s
}

func (g *growth) close() {
	if err := g.s.Close(); err != nil {
		g.b.Error(err)
	}
}

// content is the blob of a number.
func (g *growth) content(i uint64) []byte {
	binary.BigEndian.PutUint64(g.body, i)
	return g.body
}

// bundle makes the next blobs.
func (g *growth) bundle(n int) []Proven {
	blobs := make([]Proven, n)
	for i := range blobs {
		body := append([]byte(nil), g.content(g.held)...)
		blobs[i] = Proven{cid: SumCID(body), content: body}
		g.held++
	}
	return blobs
}

// put goes on to so many blobs.
func (g *growth) put(blobs uint64, bundle int) {
	for g.held < blobs {
		for _, r := range g.s.PutAll(g.b.Context(), g.bundle(int(min(uint64(bundle), blobs-g.held))), Mark{Generation: 1, Time: 1}) {
			if r.Err != nil {
				g.b.Fatal(r.Err)
			}
		}
	}
}

// cost is the CPU time of this process for each of n things that do does, in
// microseconds: what else goes on in the machine does not count, and compactions do.
func (g *growth) cost(n int, do func()) float64 {
	used := func() time.Duration {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			g.b.Fatal(err)
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	start := used()
	do()
	return float64((used() - start).Nanoseconds()) / 1000 / float64(n)
}

// get reads blobs whole.
func (g *growth) get(n int, number func() uint64) float64 {
	return g.cost(n, func() {
		for range n {
			r, err := g.s.Open(g.b.Context(), SumCID(g.content(number())), 0, -1)
			if err != nil {
				g.b.Fatal(err)
			}
			if n, err := r.WriteTo(io.Discard); err != nil || n != growthSize {
				g.b.Fatalf("%d bytes, %v", n, err)
			}
			if err := r.Close(); err != nil {
				g.b.Fatal(err)
			}
		}
	})
}

// rest waits until no flush and no compaction is under way.
func (g *growth) rest() {
	tick := time.NewTicker(growthLook)
	defer tick.Stop()
	for still := 0; still < growthStill; still++ {
		<-tick.C
		if g.s.DiskStats().Running > 0 {
			still = 0
		}
	}
}

// written are the bytes that went to the disk.
func (g *growth) written() uint64 {
	d := g.s.DiskStats()
	return d.Logged + d.Flushed + d.Compacted
}

// measured are all figures at so many blobs; naming them is in none.
func (g *growth) measured(n uint64) map[string]float64 {
	m := map[string]float64{}
	g.put(max(n, growthMeasured)-growthMeasured, growthFast)
	g.rest()
	last := int(n - g.held)
	before := g.written()
	cost := g.cost(last, func() {
		g.put(n, growthBundle)
		g.rest()
	})
	m["written/byte"] = float64(g.written()-before) / float64(last*growthSize)
	held := g.held
	m["cpu-us/put"] = cost - g.cost(last, func() { g.bundle(last) })
	g.held = held
	g.close()
	began := time.Now()
	g.open()
	m["ms/open"] = float64(time.Since(began).Milliseconds())
	g.rest()
	rng := rand.New(rand.NewPCG(n, 1))
	reads := min(growthReads, last)
	naming := g.cost(growthReads, func() {
		for range growthReads {
			SumCID(g.content(1))
		}
	})
	m["cpu-us/cold"] = g.get(reads, func() uint64 { return rng.Uint64N(n) }) - naming
	hot := func() uint64 { return rng.Uint64N(growthHot) }
	g.get(4*growthHot, hot)
	m["cpu-us/hot"] = g.get(growthReads, hot) - naming
	m["cpu-us/absent"] = g.cost(growthReads, func() {
		for i := range uint64(growthReads) {
			if _, found, err := g.s.Stat(SumCID(g.content(n + i))); found || err != nil {
				g.b.Fatal(found, err)
			}
		}
	}) - naming
	return m
}

// BenchmarkGrowth is what a store of more and more blobs of 1 KiB costs, in CPU
// time of the whole process. RINGBIN_GROWTH is how many there are at most.
func BenchmarkGrowth(b *testing.B) {
	most := uint64(growthMost)
	if text, given := os.LookupEnv("RINGBIN_GROWTH"); given {
		var err error
		if most, err = strconv.ParseUint(text, 10, 64); err != nil {
			b.Fatal(err)
		}
	}
	g := &growth{b: b, dir: b.TempDir(), body: content(1, growthSize)}
	g.open()
	defer func() { g.close() }()
	for n := uint64(1000); n <= most; n *= 10 {
		m := g.measured(n)
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for b.Loop() {
			}
			for unit, v := range m {
				b.ReportMetric(v, unit)
			}
			b.ReportMetric(0, "ns/op") // says nothing
		})
	}
}
