package storage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// crashDisk is a disk that can lose power at any time. A bare MemFS can't: its
// Link and its ReuseForWrite take a lock twice, and never return when a clone is
// asked for in between.
type crashDisk struct {
	*vfs.MemFS
	linking sync.Mutex
}

func newCrashDisk() *crashDisk { return &crashDisk{MemFS: vfs.NewCrashableMem()} }

// Link implements vfs.FS.
func (d *crashDisk) Link(from, to string) error {
	d.linking.Lock()
	defer d.linking.Unlock()
	return d.MemFS.Link(from, to)
}

// ReuseForWrite implements vfs.FS.
func (d *crashDisk) ReuseForWrite(from, to string, c vfs.DiskWriteCategory) (vfs.File, error) {
	d.linking.Lock()
	defer d.linking.Unlock()
	return d.MemFS.ReuseForWrite(from, to, c)
}

// Lock implements vfs.FS; it creates a file in the middle, with the same lock.
func (d *crashDisk) Lock(path string) (io.Closer, error) {
	d.linking.Lock()
	defer d.linking.Unlock()
	return d.MemFS.Lock(path)
}

// losePower returns the disk as it could be found if power were lost now, with
// a share of what is not synced.
func (d *crashDisk) losePower(percent int, rng *rand.Rand) *crashDisk {
	d.linking.Lock()
	defer d.linking.Unlock()
	return &crashDisk{MemFS: d.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rng})}
}

// promise is what a store has acknowledged of one blob.
type promise struct {
	held    bool
	oldest  uint64 // the acknowledged generation
	newest  uint64 // the one that was on its way
	pending bool   // a Put or Erase was on its way: held or not
}

// crashed is a disk as power loss left it, and what has to be on it.
type crashed struct {
	before   string // the operation that did not happen
	unsynced int
	disk     *crashDisk
	promises map[CID]promise
}

// crasher runs a workload on a disk and loses power before each write
// operation. The workload says what it is about to do and what was acknowledged.
type crasher struct {
	t        *testing.T
	disk     *crashDisk
	fs       vfs.FS
	noSync   bool
	mu       sync.Mutex // protects the fields below; held over a clone, so that nothing is promised meanwhile
	promises map[CID]promise
	crashes  []crashed
	rng      *rand.Rand
}

func newCrasher(t *testing.T) *crasher {
	t.Helper()
	disk := newCrashDisk()
	c := &crasher{t: t, disk: disk, promises: map[CID]promise{}, rng: rand.New(rand.NewPCG(1, 2))}
	c.fs = errorfs.Wrap(disk, errorfs.InjectorFunc(func(op errorfs.Op) error {
		// The close of a file changes nothing on the disk.
		if op.Kind.ReadOrWrite() == errorfs.OpIsWrite && op.Kind != errorfs.OpFileClose {
			c.crash(fmt.Sprintf("operation %d on %s", op.Kind, op.Path))
		}
		return nil
	}))
	return c
}

func (c *crasher) crash(before string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, percent := range []int{0, 50, 50, 50, 100} {
		c.crashes = append(c.crashes, crashed{
			before: before, unsynced: percent, promises: maps.Clone(c.promises),
			disk: c.disk.losePower(percent, c.rng),
		})
	}
}

// change applies a change to what is promised of a blob.
func (c *crasher) change(cid CID, f func(*promise)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.promises[cid]
	f(&p)
	c.promises[cid] = p
}

func (c *crasher) open() *Store {
	c.t.Helper()
	o := testOptions(c.fs)
	o.noSync = c.noSync
	s, err := OpenStore(testDir, o)
	if err != nil {
		c.t.Fatal(err)
	}
	return s
}

func (c *crasher) put(s *Store, b []byte, generation uint64) {
	c.t.Helper()
	cid := SumCID(b)
	c.change(cid, func(p *promise) { p.pending, p.newest = !p.held, max(p.newest, generation) })
	put(c.t, s, b, Mark{Generation: generation})
	c.change(cid, func(p *promise) { *p = promise{held: true, oldest: p.newest, newest: p.newest} })
}

func (c *crasher) putAll(s *Store, generation uint64, contents ...[]byte) {
	c.t.Helper()
	blobs := prove(c.t, contents...)
	for _, b := range blobs {
		c.change(b.CID(), func(p *promise) { p.pending, p.newest = !p.held, max(p.newest, generation) })
	}
	for _, r := range s.PutAll(c.t.Context(), blobs, Mark{Generation: generation}) {
		if r.Err != nil {
			c.t.Fatal(r.Err)
		}
	}
	for _, b := range blobs {
		c.change(b.CID(), func(p *promise) { *p = promise{held: true, oldest: p.newest, newest: p.newest} })
	}
}

func (c *crasher) confirm(s *Store, b []byte, generation uint64) {
	c.t.Helper()
	cid := SumCID(b)
	c.change(cid, func(p *promise) { p.newest = generation })
	if _, ok, err := s.Confirm(cid, Mark{Generation: generation}); !ok || err != nil {
		c.t.Fatal(ok, err)
	}
	c.change(cid, func(p *promise) { p.oldest = generation })
}

func (c *crasher) erase(s *Store, b []byte) {
	c.t.Helper()
	cid := SumCID(b)
	c.change(cid, func(p *promise) { p.pending = true })
	if ok, err := s.Erase(cid, 1<<40); !ok || err != nil {
		c.t.Fatal(ok, err)
	}
	c.change(cid, func(p *promise) { *p = promise{} })
}

func (c *crasher) flush(s *Store) {
	c.t.Helper()
	if err := s.db.Flush(); err != nil {
		c.t.Fatal(err)
	}
}

func (c *crasher) close(s *Store) {
	c.t.Helper()
	if err := s.Close(); err != nil {
		c.t.Fatal(err)
	}
}

// crashBlobs are the blobs of the workload: two tiny, two small, two large.
func crashBlobs() (tiny, small, large [2][]byte) {
	for i := range 2 {
		tiny[i], small[i], large[i] = content(uint64(i), 80), content(uint64(i), 330), content(uint64(i), 720)
	}
	return tiny, small, large
}

// run is the workload: each kind of write on each class of blob, with flushes,
// a compaction and a restart.
func (c *crasher) run() {
	c.t.Helper()
	tiny, small, large := crashBlobs()
	s := c.open()
	c.put(s, tiny[0], 1)
	c.put(s, small[0], 1)
	c.put(s, large[0], 1)
	c.confirm(s, tiny[0], 2)
	c.confirm(s, large[0], 2)
	c.erase(s, small[0])
	c.flush(s)
	c.put(s, small[0], 3)
	c.erase(s, large[0])
	c.put(s, large[1], 1)
	c.close(s)
	s = c.open()
	c.put(s, large[0], 4)
	c.put(s, large[0], 5)
	c.erase(s, tiny[0])
	if err := s.cur.reclaim(context.Background(), 0); err != nil {
		c.t.Fatal(err)
	}
	c.put(s, tiny[1], 1)
	if err := s.db.Compact(context.Background(), []byte{0}, []byte{0xff, 0xff}, false); err != nil {
		c.t.Fatal(err)
	}
	c.confirm(s, large[1], 6)
	c.put(s, small[1], 6)
	c.erase(s, large[0])
	c.putAll(s, 7, tiny[0], small[1], tiny[1]) // new, held, held
	c.close(s)
}

// I1, I3: power may go before any write operation, the very first ones of a
// new store included: what was acknowledged is there with its right bytes and
// generation, and what was erased is not.
func TestPowerLossAtEveryWrite(t *testing.T) {
	t.Parallel()
	c := newCrasher(t)
	c.run()
	t.Logf("%d power losses", len(c.crashes))
	for i, crash := range c.crashes {
		if lost := crash.check(t); lost > 0 || t.Failed() {
			t.Fatalf("%d promises broken by power loss %d, before %s, with %d %% of what was not synced", lost, i, crash.before, crash.unsynced)
		}
	}
}

// check opens what power loss left, counts the broken promises and takes up
// work again, to lose power once more.
func (c crashed) check(t *testing.T) (lost int) {
	t.Helper()
	var told corruptions
	o := testOptions(c.disk)
	o.OnCorrupt = told.told
	s, err := OpenStore(testDir, o)
	if err != nil {
		t.Errorf("the store does not open: %v", err)
		return 1
	}
	tiny, small, large := crashBlobs()
	contents := slices.Concat(tiny[:], small[:], large[:])
	held := 0
	for _, b := range contents {
		cid := SumCID(b)
		p := c.promises[cid]
		info, ok, err := s.Stat(cid)
		if err != nil {
			t.Errorf("Stat: %v", err)
		}
		switch {
		case ok:
			held++
			if !p.held && !p.pending {
				lost++ // erased, and came back
			}
			if got, err := readAll(s, cid); err != nil || !bytes.Equal(got, b) || info.Corrupt {
				lost++
			}
			if p.held && info.Generation < p.oldest || info.Generation > p.newest && p.held {
				lost++
			}
		case p.held && !p.pending:
			lost++
		}
	}
	if infos, err := s.List(nil, 100); err != nil || len(infos) != held {
		t.Errorf("List has %d blobs, Stat %d, %v", len(infos), held, err)
	}
	mustStageNothing(t, s)
	for i, b := range contents { // half of them are written anew
		if i%2 == 0 {
			put(t, s, b, Mark{Generation: 9})
		}
	}
	again := c.disk.losePower(0, nil)
	if err := s.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	o.FS = again
	if s, err = OpenStore(testDir, o); err != nil {
		t.Errorf("the store does not open after a second power loss: %v", err)
		return lost + 1
	}
	for i, b := range contents {
		if i%2 == 0 {
			mustHold(t, s, b)
		}
	}
	if err := s.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	if cids := told.take(); len(cids) > 0 {
		t.Errorf("power loss made copies corrupt: %v", cids)
	}
	return lost
}

// Without fsync, acknowledged blobs are lost: the test above can fail.
func TestPowerLossHasTeeth(t *testing.T) {
	t.Parallel()
	c := newCrasher(t)
	c.noSync = true
	s := c.open()
	tiny, small, _ := crashBlobs()
	c.put(s, tiny[0], 1)
	c.put(s, small[0], 1)
	c.crash("the end")
	c.close(s)
	// Pebble may have gone on writing meanwhile: the crash is looked for by name.
	at := slices.IndexFunc(c.crashes, func(x crashed) bool { return x.before == "the end" && x.unsynced == 0 })
	if lost := c.crashes[at].check(t); lost != 2 {
		t.Errorf("%d promises broken, want 2", lost)
	}
}

// Power loss while several writers share fsyncs.
func TestPowerLossUnderConcurrentWrites(t *testing.T) {
	t.Parallel()
	disk := newCrashDisk()
	rng := rand.New(rand.NewPCG(3, 4))
	acked := map[CID][]byte{}
	for life := range 12 {
		s, err := OpenStore(testDir, testOptions(disk))
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range acked {
			mustHold(t, s, b)
		}
		var mu sync.Mutex // protects acked
		var wg sync.WaitGroup
		ctx, stop := context.WithCancel(t.Context())
		enough := make(chan struct{}, 4)
		for w := range 4 {
			wg.Go(func() {
				for i := 0; ctx.Err() == nil; i++ {
					b := content(uint64(life<<32|w<<16|i), 66+(i*97+w*311)%900)
					_, err := s.Put(ctx, SumCID(b), bytes.NewReader(b), Mark{Generation: 1})
					if errors.Is(err, context.Canceled) {
						return
					}
					if err != nil {
						t.Error(err)
						return
					}
					mu.Lock()
					acked[SumCID(b)] = b
					mu.Unlock()
					if i == 20+life {
						enough <- struct{}{}
					}
				}
			})
		}
		<-enough
		mu.Lock()
		must := maps.Clone(acked)
		mu.Unlock()
		crashedDisk := disk.losePower(rng.IntN(101), rng)
		stop()
		wg.Wait()
		if err := s.Close(); err != nil { // writes nothing into the clone
			t.Fatal(err)
		}
		disk, acked = crashedDisk, must
	}
	t.Logf("%d blobs outlived their power losses", len(acked))
}

// A write to Pebble's log that fails is not acknowledged: OnFatal is told, and
// the writer goes no further.
func TestFailingLogIsNeverAcknowledged(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex // protects fail
	fail := false
	o := testOptions(errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
		mu.Lock()
		defer mu.Unlock()
		if fail && op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
			return errorfs.ErrInjected
		}
		return nil
	})))
	var told []error
	o.OnFatal = func(err error) { told = append(told, err) }
	s, err := OpenStore(testDir, o) // it can't be closed any more
	if err != nil {
		t.Fatal(err)
	}
	b := content(1, 100)
	mu.Lock()
	fail = true
	mu.Unlock()
	defer func() {
		if p := recover(); p == nil || len(told) != 1 || !strings.Contains(told[0].Error(), "injected error") {
			t.Errorf("panic %v; OnFatal is told %v", p, told)
		}
	}()
	_, err = s.Put(t.Context(), SumCID(b), bytes.NewReader(b), Mark{})
	t.Errorf("Put returns %v", err)
}

// A file that is replaced is the old one or the new one, and the new one once
// it was said to be.
func TestWriteFileDurably(t *testing.T) {
	t.Parallel()
	const path = "node.json"
	disk := newCrashDisk()
	var clones []*crashDisk
	said := "" // the content that was acknowledged last
	var must []string
	fs := errorfs.Wrap(disk, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
			for seed := range uint64(4) {
				clones = append(clones, disk.losePower(int(seed)*33, rand.New(rand.NewPCG(seed, 1))))
				must = append(must, said)
			}
		}
		return nil
	}))
	versions := []string{"one", "two, which is longer", "3", ""}
	for _, v := range versions {
		if err := WriteFileDurably(fs, path, []byte(v)); err != nil {
			t.Fatal(err)
		}
		said = v
	}
	next := map[string]string{"": "one", "one": versions[1], versions[1]: "3", "3": ""}
	for i, clone := range clones {
		if _, err := clone.Stat(path); err != nil {
			if must[i] != "" || !isNotExist(err) {
				t.Errorf("crash %d: %v, want %q", i, err, must[i])
			}
			continue
		}
		if got := string(readFile(t, clone, path)); got != must[i] && got != next[must[i]] {
			t.Errorf("crash %d: %q, want %q or %q", i, got, must[i], next[must[i]])
		}
	}
	if len(clones) < 4*4*len(versions) {
		t.Errorf("%d crashes only", len(clones))
	}
}

func TestDurablyReportsErrors(t *testing.T) {
	t.Parallel()
	for i := range 20 {
		left := i
		fs := errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(errorfs.Op) error {
			if left--; left == -1 {
				return errorfs.ErrInjected
			}
			return nil
		}))
		err := WriteFileDurably(fs, "file", []byte("x"))
		if err == nil {
			if i < 6 {
				t.Errorf("only %d operations", i)
			}
			return
		}
		if !errors.Is(err, errorfs.ErrInjected) {
			t.Errorf("operation %d: %v", i, err)
		}
	}
	t.Error("more operations than were tried")
}
