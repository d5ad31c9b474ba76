//go:build unix

package meta

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"ringbin/storage"
)

// growth is metadata on real files that takes one upload after the other, each
// of other content, as fast as a cluster under load does: requests are
// remembered for a time, and forgotten again.
type growth struct {
	world

	b     *testing.B
	dir   string
	index uint64
	taken uint64 // uploads
}

// Numbers of growing.
const (
	growthPerSecond = 1000 // uploads of FSM time
	growthPack      = 64   // commands in one entry
	growthMeasured  = 1000 // entries, at most, that the cost of a commit is the mean of
	growthMost      = 1_000_000
)

func newGrowth(b *testing.B) *growth {
	b.Helper()
	g := &growth{b: b, dir: b.TempDir(), world: world{t: b, now: testStart}}
	g.open()
	g.found()
	g.index = uint64(len(g.log))
	g.must(CreateAccount{ID: "bob", Email: "bob@example.org", Name: "Bob", BalanceCents: balanceMax / 2, EntryID: "opening-bob"})
	g.index = uint64(len(g.log))
	b.Cleanup(func() {
		if err := g.f.Close(); err != nil {
			b.Error(err)
		}
	})
	return g
}

func (g *growth) open() {
	f, err := Open(g.dir, Options{})
	if err != nil {
		g.b.Fatal(err)
	}
	g.f = f
}

// cid names content that is as good as any, without making it.
func (g *growth) cid(i uint64) storage.CID {
	const size = 64 << 10
	name := binary.BigEndian.AppendUint64(nil, size)[2:]
	rng := rand.New(rand.NewPCG(i, 0))
	for range 8 {
		name = binary.BigEndian.AppendUint64(name, rng.Uint64())
	}
	cid, err := storage.CIDFromBinary(name)
	if err != nil {
		g.b.Fatal(err)
	}
	return cid
}

// next is the command of the next upload.
func (g *growth) next() (Header, Command) {
	c := g.upload("bob", g.cid(g.taken), 30)
	g.taken++
	return Header{ID: g.nextID(), NotAfter: g.now + minute}, c
}

func (g *growth) commands(n int) [][]byte {
	commands := make([][]byte, n)
	for i := range commands {
		h, c := g.next()
		commands[i] = g.encoded(&h, c)
	}
	g.now += int64(n) * 1000 / growthPerSecond
	return commands
}

// apply carries out commands as one entry.
func (g *growth) apply(commands [][]byte) {
	g.index++
	l := &raft.Log{Index: g.index, Term: 1, Type: raft.LogCommand, Data: Pack(g.now, commands)}
	if err, ok := g.f.ApplyBatch([]*raft.Log{l})[0].(error); ok {
		g.b.Fatal(err)
	}
}

// cpuTime is what this process has used: what else goes on in the machine does
// not count, and compactions do.
func (g *growth) cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		g.b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// grow goes on to so many references, and returns the CPU time that each took
// of the last ones.
func (g *growth) grow(references uint64) time.Duration {
	var took time.Duration
	measured := 0
	for g.taken < references {
		commands := g.commands(int(min(growthPack, references-g.taken)))
		start := g.cpuTime()
		g.apply(commands)
		if references-g.taken <= growthMeasured*growthPack {
			took += g.cpuTime() - start
			measured += len(commands)
		}
	}
	if got := g.f.Counts().References; got != int64(references) {
		g.b.Fatalf("%d references, want %d", got, references)
	}
	return took / time.Duration(max(1, measured))
}

// reopen returns how long it takes to open the metadata after a clean end.
func (g *growth) reopen() time.Duration {
	if err := g.f.Close(); err != nil {
		g.b.Fatal(err)
	}
	start := time.Now() //nolint:forbidigo // it is what is measured
	g.open()
	return time.Since(start) //nolint:forbidigo // it is what is measured
}

func (g *growth) diskBytes() int64 {
	var sum int64
	err := filepath.WalkDir(g.dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil // compacted away meanwhile
		}
		if err == nil && !d.IsDir() {
			sum += info.Size()
		}
		return err
	})
	if err != nil {
		g.b.Fatal(err)
	}
	return sum
}

// BenchmarkGrowth is what metadata of more and more references cost: ns/op is of
// looking one up, the others are named. All references are made by commands.
// RINGBIN_GROWTH is how many there are at most: ten million take a while.
func BenchmarkGrowth(b *testing.B) {
	most := uint64(growthMost)
	if text, given := os.LookupEnv("RINGBIN_GROWTH"); given {
		var err error
		if most, err = strconv.ParseUint(text, 10, 64); err != nil {
			b.Fatal(err)
		}
	}
	g := newGrowth(b)
	for _, n := range []uint64{1000, 100_000, 1_000_000, 10_000_000} {
		if n > most {
			return
		}
		commit := g.grow(n)
		opened := g.reopen()
		bytes := g.diskBytes()
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			rng := rand.New(rand.NewPCG(n, 1))
			for b.Loop() {
				if _, found, err := g.f.Blob(g.cid(rng.Uint64N(n)), g.now); err != nil || !found {
					b.Fatalf("%t, %v", found, err)
				}
			}
			b.ReportMetric(float64(commit.Nanoseconds())/1000, "cpu-us/commit")
			b.ReportMetric(float64(opened.Milliseconds()), "ms/open")
			b.ReportMetric(float64(bytes)/float64(n), "B/reference")
		})
	}
}
