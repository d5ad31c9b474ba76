//go:build unix

package meta

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
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
	refs  int64  // references that there have to be

	filled, made uint64          // the numbers of uploads that were filled in: from the one to before the other
	twice        map[uint64]bool // uploads whose content was uploaded again
}

// Numbers of growing.
const (
	growthPerSecond = 1000      // uploads of FSM time
	growthPack      = 64        // commands in one entry
	growthFast      = 1024      // the same, where nothing is measured
	growthMade      = 1_000_000 // references that commands make; those beyond are filled in
	growthMeasured  = 1000      // entries, at most, that the cost of a commit is the mean of
	growthOthers    = 100       // entries, at most, of what is measured beside that
	growthMost      = 100_000
	growthShort     = 16 // one upload in so many is for a day only, and expires
	growthSweep     = 500
	growthHot       = 1000
	growthPage      = 100
)

func newGrowth(b *testing.B) *growth {
	b.Helper()
	g := &growth{b: b, dir: b.TempDir(), world: world{t: b, now: testStart}, twice: map[uint64]bool{}}
	g.open(Options{})
	g.found()
	g.index = uint64(len(g.log))
	for _, id := range []string{"bob", "eve"} {
		g.must(CreateAccount{ID: id, Email: id + "@example.org", Name: id, BalanceCents: balanceMax / 4, EntryID: "opening-" + id})
	}
	g.index = uint64(len(g.log))
	b.Cleanup(func() {
		if err := g.f.Close(); err != nil {
			b.Error(err)
		}
	})
	return g
}

func (g *growth) open(o Options) {
	f, err := Open(g.dir, o)
	if err != nil {
		g.b.Fatal(err)
	}
	g.f = f
}

// random is what is known again by its purpose and number.
func random(purpose byte, number uint64, bytes int) []byte {
	rng := rand.New(rand.NewPCG(number, uint64(purpose)))
	var b []byte
	for len(b) < bytes {
		b = binary.BigEndian.AppendUint64(b, rng.Uint64())
	}
	return b[:bytes]
}

// cid names content that is as good as any, without making it.
func (g *growth) cid(i uint64) storage.CID {
	const size = 64 << 10
	name := binary.BigEndian.AppendUint64(nil, size)[2:]
	digest := random('c', i, 64)
	if g.filled <= i && i < g.made {
		binary.BigEndian.PutUint64(digest, math.MaxUint64/(g.made-g.filled)*(i-g.filled))
	}
	cid, err := storage.CIDFromBinary(append(name, digest...))
	if err != nil {
		g.b.Fatal(err)
	}
	return cid
}

// command is an upload with ids such as nodes make them, ordered by time.
func (g *growth) command(account string, content uint64, days int) (Header, Command) {
	c := g.upload(account, g.cid(content), days)
	g.ids++
	g.refs++
	c.EntryID = fmt.Sprintf("txn_%08x%x", g.now, random('e', g.ids, 6))
	h := Header{ID: RequestID(random('r', g.ids, 16)), NotAfter: g.now + minute}
	copy(h.ID[:6], binary.BigEndian.AppendUint64(nil, uint64(g.now))[2:])
	return h, c
}

// next is the command of the next upload.
func (g *growth) next() (Header, Command) {
	days := 30
	if g.taken%growthShort == 0 {
		days = 1
	}
	h, c := g.command("bob", g.taken, days)
	g.taken++
	return h, c
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

// lasting returns the number of content that does not expire soon.
func lasting(rng *rand.Rand, n uint64) uint64 {
	i := rng.Uint64N(n)
	if i%growthShort == 0 {
		i++
	}
	return i
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

// cost is the CPU time of each of n things that do does, in microseconds.
func (g *growth) cost(n int, do func()) float64 {
	start := g.cpuTime()
	do()
	return float64((g.cpuTime() - start).Nanoseconds()) / 1000 / float64(max(1, n))
}

// hurry goes on to so many references by means that make it cheaper: larger
// entries, more memory.
func (g *growth) hurry(references uint64) {
	g.reopen(Options{MemTableBytes: 256 << 20, CacheBytes: 1 << 30})
	for g.taken < references {
		g.apply(g.commands(int(min(growthFast, references-g.taken))))
	}
	g.reopen(Options{})
}

// fill writes the rows of uploads straight into the database, table by table in
// the order of their keys, up to so many references: content's names go up with
// its number. The hashes of the tables know nothing of it, nor do requests.
func (g *growth) fill(references uint64) {
	g.reopen(Options{MemTableBytes: 256 << 20})
	defer g.reopen(Options{})
	g.filled, g.made = g.taken, references
	at := g.now / 1000 * 1000
	ref := refRecord{Uploaded: at, Expires: at + 30*dayMillis}
	cid := func(i uint64) (storage.CID, refID) { c := g.cid(i); return c, uploadRef(c, "bob") }
	entry := func(i uint64) string { return fmt.Sprintf("txn_%08x%012x", at, i) }
	for _, row := range []func(i uint64) ([]byte, any){
		func(i uint64) ([]byte, any) { _, id := cid(i); return id.indexes(ref)[1], nil },
		func(i uint64) ([]byte, any) { _, id := cid(i); return id.indexes(ref)[0], nil },
		func(i uint64) ([]byte, any) {
			c, id := cid(i)
			return key(tableBlobs).cid(c), blobRecord{ContentType: "text/plain", References: 1, Only: onlyRef{Kind: id.kind, Holder: id.holder, Ref: ref}}
		},
		func(i uint64) ([]byte, any) {
			c, _ := cid(i)
			return key(tableEntries).str(entry(i)), Entry{
				ID: entry(i), Kind: kindUpload, AmountCents: 1, CID: &c, Days: 30, Debit: customer("bob"), Credit: ledgerRevenue, Index: g.index, Time: at, Balance: balanceMax / 5,
			}
		},
		func(i uint64) ([]byte, any) {
			return key(tableEntriesOf).str("bob").u64(g.index).u64(1<<20 + i), entry(i)
		},
	} {
		for i := g.filled; i < g.made; {
			batch := g.f.db.NewBatch()
			for end := min(i+growthFast, g.made); i < end; i++ {
				k, v := row(i)
				var value []byte
				var err error
				switch v := v.(type) {
				case nil:
				case string:
					value = []byte(v)
				default:
					value, err = encMode.Marshal(v)
				}
				if err = errors.Join(err, batch.Set(k, value, nil)); err != nil {
					g.b.Fatal(err)
				}
			}
			if err := batch.Commit(pebble.NoSync); err != nil {
				g.b.Fatal(err)
			}
		}
	}
	n := int64(g.made - g.filled)
	g.poke(func(t *tx) error {
		t.counts.References, t.counts.Blobs, t.counts.Entries = t.counts.References+n, t.counts.Blobs+n, t.counts.Entries+n
		return write(t, single(singleCounts), t.counts)
	})
	g.taken, g.refs = references, g.refs+n
}

// grow goes on to so many references, and returns the CPU time that each took
// of the last ones, compactions behind them included.
func (g *growth) grow(references uint64) float64 {
	const measured = growthMeasured * growthPack
	switch before := references - 2*measured; {
	case references > growthMade:
		g.fill(before)
	case references-g.taken > 3*measured:
		g.hurry(before)
	}
	for references-g.taken > measured { // until all is as it would be anyway
		g.apply(g.commands(growthPack))
	}
	n := int(references - g.taken)
	making := g.making()
	cost := g.cost(n, func() {
		for g.taken < references {
			g.apply(g.commands(int(min(growthPack, references-g.taken))))
		}
	})
	g.check()
	return cost - making
}

// making is what it costs to make a command, which is no part of carrying it out.
func (g *growth) making() float64 {
	taken, refs := g.taken, g.refs
	cost := g.cost(growthPack*growthPack, func() {
		for range growthPack {
			g.commands(growthPack)
		}
	})
	g.taken, g.refs = taken, refs
	return cost
}

func (g *growth) check() {
	if got := g.f.Counts().References; got != g.refs {
		g.b.Fatalf("%d references, want %d", got, g.refs)
	}
}

// repeat uploads random content that is there, through another account.
func (g *growth) repeat(rng *rand.Rand) float64 {
	var entries [][][]byte
	for range min(growthOthers, int(g.taken)/growthPack/4) {
		var commands [][]byte
		for len(commands) < growthPack {
			if i := lasting(rng, g.taken); !g.twice[i] {
				g.twice[i] = true
				h, c := g.command("eve", i, 30)
				commands = append(commands, g.encoded(&h, c))
			}
		}
		entries = append(entries, commands)
	}
	cost := g.cost(len(entries)*growthPack, func() {
		for _, commands := range entries {
			g.apply(commands)
		}
	})
	g.check()
	return cost
}

// sweep carries out a Sweep and returns how many references it removed.
func (g *growth) sweep(limit int) int {
	h := Header{ID: RequestID(random('s', g.index, 16)), NotAfter: g.now + minute}
	g.apply([][]byte{g.encoded(&h, Sweep{Limit: limit})})
	swept := g.refs - g.f.Counts().References
	g.refs -= swept
	return int(swept)
}

// expire sweeps what was for a day, from the oldest on.
func (g *growth) expire() float64 {
	g.now += (25 * time.Hour).Milliseconds()
	g.sweep(1) // time goes on, and with it requests are forgotten
	swept := 0
	cost := g.cost(1, func() {
		for range growthOthers * growthPack / growthSweep {
			swept += g.sweep(growthSweep)
		}
	})
	if swept == 0 {
		g.b.Fatal("nothing has expired")
	}
	return cost / float64(swept)
}

// look looks random content up.
func (g *growth) look(n int, number func() uint64) float64 {
	return g.cost(n, func() {
		for range n {
			if _, found, err := g.f.Blob(g.cid(number()), g.now); err != nil || !found {
				g.b.Fatalf("%t, %v", found, err)
			}
		}
	})
}

// pages lists pages of an account, from the newest on.
func (g *growth) pages(n int) float64 {
	return g.cost(n, func() {
		cursor := ""
		for range n {
			page, next, err := g.f.References("bob", cursor, growthPage, g.now)
			if err != nil || len(page) == 0 {
				g.b.Fatal(len(page), err)
			}
			cursor = next
		}
	})
}

// counter counts the bytes of a snapshot.
type counter struct{ bytes int64 }

func (c *counter) Write(b []byte) (int, error) {
	c.bytes += int64(len(b))
	return len(b), nil
}
func (*counter) ID() string    { return "counter" }
func (*counter) Close() error  { return nil }
func (*counter) Cancel() error { return nil }

func (g *growth) snapshot() (cost float64, bytes int64) {
	var c counter
	cost = g.cost(1, func() {
		s, err := g.f.Snapshot()
		if err == nil {
			err = s.Persist(&c)
			s.Release()
		}
		if err != nil {
			g.b.Fatal(err)
		}
	})
	return cost, c.bytes
}

// reopen returns how long it takes to open the metadata after a clean end.
func (g *growth) reopen(o Options) time.Duration {
	if err := g.f.Close(); err != nil {
		g.b.Fatal(err)
	}
	start := time.Now() //nolint:forbidigo // it is what is measured
	g.open(o)
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

// measured are all figures at so many references.
func (g *growth) measured(n uint64) map[string]float64 {
	m := map[string]float64{}
	m["cpu-us/commit"] = g.grow(n)
	m["ms/open"] = float64(g.reopen(Options{}).Milliseconds())
	m["B/reference"] = float64(g.diskBytes()) / float64(n)
	rng := rand.New(rand.NewPCG(n, 1))
	making := g.cost(growthHot, func() {
		for range growthHot {
			g.cid(lasting(rng, n))
		}
	})
	m["cpu-us/cold"] = g.look(min(growthOthers*growthPack, int(n/2)), func() uint64 { return lasting(rng, n) }) - making
	var hot uint64
	again := func() uint64 { hot = (hot + 1) % growthHot; return hot/growthShort*growthShort + 1 }
	g.look(growthHot, again)
	m["cpu-us/hot"] = g.look(growthHot, again) - making
	g.pages(1)
	m["cpu-us/page"] = g.pages(min(growthPage, int(n)/growthPage/2))
	m["cpu-us/again"] = g.repeat(rng)
	m["cpu-us/swept"] = g.expire()
	cpu, bytes := g.snapshot()
	m["cpu-s/snapshot"], m["snapshot-B/reference"] = cpu/1e6, float64(bytes)/float64(n)
	return m
}

// BenchmarkGrowth is what metadata of more and more references cost, in CPU
// time of the whole process. Up to growthMade all references are made by
// commands. RINGBIN_GROWTH is how many there are at most: ten million take half
// an hour and 12 GB.
func BenchmarkGrowth(b *testing.B) {
	most := uint64(growthMost)
	if text, given := os.LookupEnv("RINGBIN_GROWTH"); given {
		var err error
		if most, err = strconv.ParseUint(text, 10, 64); err != nil {
			b.Fatal(err)
		}
	}
	g := newGrowth(b)
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
