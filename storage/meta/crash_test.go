package meta

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/hashicorp/raft"

	"ringbin/storage"
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

// losePower returns the disk as it could be found if power were lost now, with
// a share of what is not synced.
func (d *crashDisk) losePower(percent int, rng *rand.Rand) *crashDisk {
	d.linking.Lock()
	defer d.linking.Unlock()
	return &crashDisk{MemFS: d.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rng})}
}

// lost is a disk as power loss left it, and what has to be on it.
type lost struct {
	before   string // the operation that did not happen
	unsynced int
	disk     *crashDisk
	least    uint64 // the index that raft was told is durable
	swapped  bool   // a restore was acknowledged
}

// crasher loses power before each write operation on a disk. The workload says
// what was acknowledged.
type crasher struct {
	disk    *crashDisk
	fs      vfs.FS
	mu      sync.Mutex // protects the fields below; held over a clone, so that nothing is acknowledged meanwhile
	on      bool
	news    bool // something was synced or acknowledged since the last crash
	least   uint64
	swapped bool
	crashes []lost
	rng     *rand.Rand
}

func newCrasher() *crasher {
	c := &crasher{disk: newCrashDisk(), rng: rand.New(rand.NewPCG(1, 2))}
	c.fs = errorfs.Wrap(c.disk, errorfs.InjectorFunc(func(op errorfs.Op) error {
		// The close of a file changes nothing on the disk.
		if op.Kind.ReadOrWrite() == errorfs.OpIsWrite && op.Kind != errorfs.OpFileClose {
			c.crash(fmt.Sprintf("operation %d on %s", op.Kind, op.Path))
		}
		switch op.Kind {
		case errorfs.OpFileSync, errorfs.OpFileSyncData, errorfs.OpFileSyncTo:
			c.note(func() {})
		}
		return nil
	}))
	return c
}

func (c *crasher) crash(before string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.on {
		return
	}
	for _, percent := range []int{0, 50, 100} {
		if percent == 0 && !c.news {
			continue // the same disk as the last time
		}
		c.crashes = append(c.crashes, lost{
			before: before, unsynced: percent, disk: c.disk.losePower(percent, c.rng), least: c.least, swapped: c.swapped,
		})
	}
	c.news = false
}

// note records an acknowledgement or a sync, or turns the crashes on.
func (c *crasher) note(change func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change()
	c.news = true
}

// chronicle is a log and the state hash after each of its entries.
type chronicle struct {
	log    []*raft.Log
	hashes [][32]byte // by index
}

// end is the hash of the state that all of the log gives.
func (h *chronicle) end() [32]byte { return h.hashes[len(h.hashes)-1] }

// madeUp is a log of commands that meet each other, carried out without a crash.
func madeUp(t *testing.T, entries int) *chronicle {
	t.Helper()
	w, done := modelWorld(t, t)
	defer done()
	rng := rand.New(rand.NewPCG(5, 6))
	s := &script{w: w, pick: rng.IntN}
	for len(w.log) < entries {
		var commands [][]byte
		for range rng.IntN(4) {
			h, c := s.next()
			commands = append(commands, w.encoded(&h, c))
		}
		if err := w.f.Apply(w.append(commands...)); err != nil {
			t.Fatal(err)
		}
	}
	h := &chronicle{log: w.log}
	f := openTest(t, testOptions(vfs.NewMem()))
	h.hashes = append(h.hashes, stateHash(t, f))
	for _, l := range w.log {
		f.Apply(l)
		h.hashes = append(h.hashes, stateHash(t, f))
	}
	if h.end() != stateHash(t, w.f) || h.end() == h.hashes[len(h.hashes)/2] {
		t.Fatal("the log is no good one for this test")
	}
	return h
}

// judge says what is wrong with the state that power loss left.
func (h *chronicle) judge(ctx context.Context, f *FSM, least uint64) error {
	index, hash, err := f.StateHash()
	switch {
	case err != nil:
		return err
	case index < least:
		return fmt.Errorf("the state is at index %d, and raft may have dropped what goes before %d", index, least)
	case hash != h.hashes[index]:
		return fmt.Errorf("the state at index %d is not what the log gives", index)
	}
	return f.RecomputeStateHash(ctx)
}

// replay opens what power loss left, judges it, and applies the rest of the
// log, as a node does that comes up again.
func (h *chronicle) replay(t *testing.T, disk *crashDisk, least uint64) {
	t.Helper()
	f, err := Open(testDir, testOptions(disk))
	if err != nil {
		t.Errorf("it does not open: %v", err)
		return
	}
	index := f.AppliedIndex()
	if err := h.judge(t.Context(), f, least); err != nil {
		t.Error(err)
	}
	applyInBatches(f, h.log[index:], func(n int) int { return int(index) % n })
	if stateHash(t, f) != h.end() {
		t.Errorf("replay from index %d ends in another state", index)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
}

// Power may go before any write operation: the state is then one that the log
// gives, not older than the last snapshot, and replay of the log from there on
// ends in the state of a node that never crashed.
func TestPowerLossAtEveryWrite(t *testing.T) {
	t.Parallel()
	h := madeUp(t, 45)
	c := newCrasher()
	c.on, c.news = true, true
	f, err := Open(testDir, testOptions(c.fs))
	if err != nil {
		t.Fatal(err)
	}
	for rest := h.log; len(rest) > 0; {
		i := len(h.log) - len(rest)
		n := min(1+i%6, len(rest))
		f.ApplyBatch(rest[:n])
		rest = rest[n:]
		switch i % 5 {
		case 0, 4:
			s, err := f.Snapshot()
			if err != nil {
				t.Fatal(err)
			}
			s.Release()
			c.note(func() { c.least = f.AppliedIndex() })
		case 1:
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
			if f, err = Open(testDir, testOptions(c.fs)); err != nil {
				t.Fatal(err)
			}
		case 3:
			if err := f.db.Compact(context.Background(), []byte{0}, []byte{0xff}, false); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d power losses", len(c.crashes))
	if len(c.crashes) < 300 {
		t.Error("too few power losses")
	}
	for i, crash := range c.crashes {
		h.replay(t, crash.disk, crash.least)
		if t.Failed() {
			t.Fatalf("power loss %d, before %s, with %d %% of what was not synced", i, crash.before, crash.unsynced)
		}
	}
}

// Without the flush in front of a snapshot, power loss takes entries that raft
// drops: the test above can fail.
func TestPowerLossHasTeeth(t *testing.T) {
	t.Parallel()
	h := madeUp(t, 20)
	disk := newCrashDisk()
	f := openTest(t, testOptions(disk))
	f.ApplyBatch(h.log[:15])
	if err := f.Flush(); err != nil {
		t.Fatal(err)
	}
	f.ApplyBatch(h.log[15:])
	after, err := Open(testDir, testOptions(disk.losePower(0, nil)))
	if err != nil {
		t.Fatal(err)
	}
	if err := h.judge(t.Context(), after, 15); err != nil {
		t.Error(err)
	}
	if err := h.judge(t.Context(), after, f.AppliedIndex()); err == nil {
		t.Error("entries outlived power loss without a flush")
	}
	if err := after.Close(); err != nil {
		t.Error(err)
	}
}

// Power may go before any write operation of a restore: the node comes up with
// the old state whole or the new one whole, with the new one once the restore
// was acknowledged, and can go on from either.
func TestPowerLossDuringRestore(t *testing.T) {
	t.Parallel()
	h := madeUp(t, 60)
	const oldIndex, newIndex = 20, 50
	source := openTest(t, testOptions(vfs.NewMem()))
	source.ApplyBatch(h.log[:newIndex])
	b := snapshotOf(t, source)

	c := newCrasher()
	f, err := Open(testDir, testOptions(c.fs))
	if err != nil {
		t.Fatal(err)
	}
	f.ApplyBatch(h.log[:oldIndex])
	if err := f.Flush(); err != nil {
		t.Fatal(err)
	}
	c.note(func() { c.on, c.least = true, oldIndex })
	if err := restore(f, b); err != nil {
		t.Fatal(err)
	}
	c.note(func() { c.swapped = true })
	c.crash("the end")
	f.ApplyBatch(h.log[newIndex:])
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	old, restored := 0, 0
	for i, crash := range c.crashes {
		g, err := Open(testDir, testOptions(crash.disk))
		if err != nil {
			t.Fatalf("power loss %d, before %s: it does not open: %v", i, crash.before, err)
		}
		index := g.AppliedIndex()
		switch {
		case crash.swapped && index < newIndex:
			t.Errorf("the restore is undone: index %d", index)
		case !crash.swapped && index != oldIndex && index != newIndex:
			t.Errorf("index %d is neither the old one nor the new one", index)
		case stateHash(t, g) != h.hashes[index]:
			t.Errorf("the state at index %d is a mix", index)
		}
		if err := g.RecomputeStateHash(t.Context()); err != nil {
			t.Error(err)
		}
		if index == oldIndex { // raft restores once more
			old++
			if err := restore(g, b); err != nil {
				t.Error(err)
			}
		} else {
			restored++
		}
		if err := g.Close(); err != nil {
			t.Error(err)
		}
		h.replay(t, crash.disk, newIndex)
		if t.Failed() {
			t.Fatalf("power loss %d, before %s, with %d %% of what was not synced", i, crash.before, crash.unsynced)
		}
	}
	t.Logf("%d power losses left the old state, %d the new one", old, restored)
	if old == 0 || restored == 0 {
		t.Error("all power losses are on one side")
	}
}

// signed gives a changed snapshot the checksum that it then needs.
func signed(b []byte) []byte {
	body := b[:len(b)-sha256.Size]
	sum := sha256.Sum256(body)
	return append(slices.Clone(body), sum[:]...)
}

// badSnapshots are snapshots that are not what was written.
func badSnapshots(b []byte) map[string][]byte {
	bad := map[string][]byte{"nothing": {}, "another head": signed(append([]byte("ringbin meta 2\n"), b[len(snapshotHead):]...))}
	for n := 1; n < len(b); n += 1 + len(b)/40 {
		bad[fmt.Sprintf("cut at %d", n)] = b[:n]
		flipped := slices.Clone(b)
		flipped[n] ^= 1 << (n % 8)
		bad[fmt.Sprintf("flipped at %d", n)] = flipped
	}
	for i := range 64 {
		bad[fmt.Sprintf("%d bytes short", i+1)] = b[:len(b)-1-i]
	}
	trailer := len(b) - sha256.Size - 16
	for name, at := range map[string]int{"count": trailer, "index": trailer + 8} {
		changed := slices.Clone(b)
		v := binary.BigEndian.Uint64(changed[at:])
		binary.BigEndian.PutUint64(changed[at:], v+1)
		bad["another "+name] = signed(changed)
	}
	wrong := slices.Clone(b)
	wrong[len(wrong)-1] ^= 1
	bad["another checksum"] = wrong
	end := string(make([]byte, 1+8+8+sha256.Size))
	for name, pairs := range map[string]string{
		"out of order":   "\x02\x02b\x00" + "\x02\x02a\x00",
		"twice":          "\x02\x02a\x00" + "\x02\x02a\x00",
		"key too long":   string(binary.AppendUvarint(nil, snapshotKeyMax+1)),
		"value too long": "\x02\x02a" + string(binary.AppendUvarint(nil, 1<<62)),
	} {
		bad[name] = signed([]byte(snapshotHead + pairs + end))
	}
	return bad
}

// A snapshot that is damaged is refused, and the old state stays and works on.
func TestDamagedSnapshots(t *testing.T) {
	t.Parallel()
	h := madeUp(t, 60)
	source := openTest(t, testOptions(vfs.NewMem()))
	source.ApplyBatch(h.log[:50])
	good := snapshotOf(t, source)
	disk := vfs.NewMem()
	f, err := Open(testDir, testOptions(disk))
	if err != nil {
		t.Fatal(err)
	}
	f.ApplyBatch(h.log[:20])
	for name, b := range badSnapshots(good) {
		if err := restore(f, b); storage.KindOf(err) != storage.KindCorrupt {
			t.Errorf("%s: %v", name, err)
		}
		if f.AppliedIndex() != 20 || stateHash(t, f) != h.hashes[20] {
			t.Fatalf("%s: the state is at index %d", name, f.AppliedIndex())
		}
	}
	if err := f.RecomputeStateHash(t.Context()); err != nil {
		t.Error(err)
	}
	f.ApplyBatch(h.log[20:30])
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	f = openTest(t, testOptions(disk))
	equal(t, "state hash after a restart", stateHash(t, f), h.hashes[30])
	if err := restore(f, good); err != nil {
		t.Fatal(err)
	}
	f.ApplyBatch(h.log[50:])
	equal(t, "state hash at the end", stateHash(t, f), h.end())
	if again := snapshotOf(t, f); bytes.Equal(again, good) {
		t.Error("a later snapshot is the same")
	}
}

// A snapshot that cannot be written is cancelled, and the node goes on.
func TestSnapshotThatFails(t *testing.T) {
	t.Parallel()
	w := newCluster(t)
	s, err := w.f.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Release()
	var to failingSink
	if err := s.Persist(&to); err == nil || !to.cancelled {
		t.Errorf("Persist: %v, cancelled %t", err, to.cancelled)
	}
	w.must(Tick{})
}

type failingSink struct{ sink }

func (*failingSink) Write([]byte) (int, error) { return 0, errorfs.ErrInjected }

// A restore answers who waits for what the snapshot holds, and releases a node
// from its halt: the state is a good one again.
func TestRestoreSettles(t *testing.T) {
	t.Parallel()
	w := newCluster(t)
	h := Header{ID: RequestID{9}}
	want := w.do(h, w.upload("ann", sized(gib, 1), 30))
	b := snapshotOf(t, w.f)

	o := testOptions(vfs.NewMem())
	o.OnHalt = func(error) {}
	f := openTest(t, o)
	p, other := f.Expect(h.ID), f.Expect(RequestID{8})
	if f.Apply(&raft.Log{Index: 1, Type: raft.LogCommand, Data: []byte("no envelope")}) == nil {
		t.Error("no halt")
	}
	if err := restore(f, b); err != nil {
		t.Fatal(err)
	}
	select {
	case r := <-p.Done():
		equal(t, "answer", r, want)
	default:
		t.Error("who waits has no answer")
	}
	if len(other.Done()) != 0 {
		t.Error("a request that nobody made is answered")
	}
	if err := f.Wait(t.Context(), uint64(len(w.log))); err != nil {
		t.Error(err)
	}
	w.must(Deposit{EntryID: "d", Account: "ann", AmountCents: 1, Reference: "d"})
	if err := f.Apply(w.log[len(w.log)-1]); err != nil {
		t.Error(err)
	}
	equal(t, "state hash", stateHash(t, f), stateHash(t, w.f))
}

// A snapshot that is being written goes on through a restore, and its database
// goes with it.
func TestSnapshotOutlivesRestore(t *testing.T) {
	t.Parallel()
	w := newCluster(t)
	w.must(Deposit{EntryID: "d", Account: "ann", AmountCents: 1, Reference: "d"})
	want, other := snapshotOf(t, w.f), snapshotOf(t, newCluster(t).f)
	snap, err := w.f.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	if err := restore(w.f, other); err != nil {
		t.Fatal(err)
	}
	var s sink
	if err := snap.Persist(&s); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(s.Bytes(), want) {
		t.Error("the snapshot has another state than the one that it was taken of")
	}
	snap.Release()
	names, err := w.f.fs.List(w.f.dir)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "directory", slices.DeleteFunc(names, func(n string) bool { return !strings.HasPrefix(n, dbPrefix) }), []string{w.f.name})
}
