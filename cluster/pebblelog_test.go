package cluster

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/raft"
)

func mustPebbleLog(t *testing.T, fs vfs.FS) *pebbleLog {
	t.Helper()
	p, err := openPebbleLog(fs, "raft", slog.New(slog.DiscardHandler), nil, false)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func entry(index uint64) *raft.Log {
	return &raft.Log{Index: index, Term: index / 10, Type: raft.LogCommand, Data: fmt.Appendf(nil, "entry %d", index), AppendedAt: time.Unix(0, int64(index)+1)}
}

func entries(first, last uint64) []*raft.Log {
	var logs []*raft.Log
	for i := first; i <= last; i++ {
		logs = append(logs, entry(i))
	}
	return logs
}

func checkEnds(t *testing.T, p *pebbleLog, first, last uint64) {
	t.Helper()
	gotFirst, err := p.FirstIndex()
	if err != nil {
		t.Fatal(err)
	}
	gotLast, err := p.LastIndex()
	if err != nil {
		t.Fatal(err)
	}
	if gotFirst != first || gotLast != last {
		t.Errorf("the log goes from %d to %d, want %d to %d", gotFirst, gotLast, first, last)
	}
}

func TestPebbleLog(t *testing.T) {
	t.Parallel()
	p := mustPebbleLog(t, vfs.NewMem())
	defer func() { _ = p.Close() }()
	checkEnds(t, p, 0, 0)
	if err := p.StoreLogs(entries(1, 300)); err != nil {
		t.Fatal(err)
	}
	checkEnds(t, p, 1, 300)
	odd := []*raft.Log{
		{Index: 301, Term: 40, Type: raft.LogNoop},
		{Index: 302, Term: 40, Type: raft.LogConfiguration, Data: []byte("data"), Extensions: []byte("extensions")},
	}
	if err := p.StoreLogs(odd); err != nil {
		t.Fatal(err)
	}
	for _, want := range append(odd, entries(1, 300)...) {
		var got raft.Log
		if err := p.GetLog(want.Index, &got); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(*want, got, cmp.Transformer("bytes", func(b []byte) string { return string(b) })); diff != "" {
			t.Errorf("entry %d: %s", want.Index, diff)
		}
	}
	var l raft.Log
	if err := p.GetLog(303, &l); !errors.Is(err, raft.ErrLogNotFound) {
		t.Errorf("an entry that is not there: %v", err)
	}
	if err := errors.Join(p.DeleteRange(1, 100), p.DeleteRange(200, 302)); err != nil {
		t.Fatal(err)
	}
	checkEnds(t, p, 101, 199)
	for _, i := range []uint64{1, 100, 200, 302} {
		if err := p.GetLog(i, &l); !errors.Is(err, raft.ErrLogNotFound) {
			t.Errorf("entry %d is deleted and there: %v", i, err)
		}
	}
}

func TestPebbleLogStable(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMem()
	p := mustPebbleLog(t, fs)
	if _, err := p.Get([]byte("k")); err == nil || err.Error() != "not found" {
		t.Errorf("a key that was never set: %v; Raft knows it by the text", err)
	}
	if err := errors.Join(p.Set([]byte("k"), []byte("v")), p.SetUint64([]byte("n"), 7), p.Close()); err != nil {
		t.Fatal(err)
	}
	p = mustPebbleLog(t, fs)
	if v, err := p.Get([]byte("k")); err != nil || string(v) != "v" {
		t.Errorf("got %q %v", v, err)
	}
	if v, err := p.GetUint64([]byte("n")); err != nil || v != 7 {
		t.Errorf("got %d %v", v, err)
	}
	if err := errors.Join(p.set([]byte{tagVersion}, []byte{pebbleLogVersion + 1}), p.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := openPebbleLog(fs, "raft", slog.New(slog.DiscardHandler), nil, false); err == nil {
		t.Error("a log of a later version was opened")
	}
}

// logLife is a log that is written through several lives, and what of it was
// acknowledged.
type logLife struct {
	t   *testing.T
	fs  *vfs.MemFS
	rng *rand.Rand

	mu    sync.Mutex // protects the fields below
	acked map[uint64]bool
	first uint64 // what is before was deleted, or is about to be
	last  uint64
	term  uint64
}

// logLives lets power be lost four times, and returns how much of what was
// acknowledged was missing afterwards.
func logLives(t *testing.T, seed uint64, how *pebble.WriteOptions) (checked, lost int) {
	t.Helper()
	l := &logLife{t: t, fs: vfs.NewCrashableMem(), rng: rand.New(rand.NewPCG(seed, 1)), acked: map[uint64]bool{}, first: 1}
	for range 4 {
		p := mustPebbleLog(t, l.fs)
		p.sync = how
		for i := range l.acked {
			var got raft.Log
			checked++
			if err := p.GetLog(i, &got); err != nil || !bytes.Equal(got.Data, entry(i).Data) {
				lost++
			}
		}
		if got, err := p.GetUint64([]byte("term")); l.term > 0 && (err != nil || got < l.term) {
			lost++
		}
		l.untilCrash(p)
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return checked, lost
}

// untilCrash lets power be lost while somebody writes: what was acknowledged
// before that instant has to be there afterwards.
func (l *logLife) untilCrash(p *pebbleLog) {
	l.t.Helper()
	stop, half := make(chan struct{}), make(chan struct{})
	steps, r := 20+l.rng.IntN(60), rand.New(rand.NewPCG(l.rng.Uint64(), 2))
	var wg sync.WaitGroup
	wg.Go(func() {
		for step := 0; ; step++ {
			if step == steps {
				close(half)
			}
			select {
			case <-stop:
				return
			default:
			}
			if err := l.step(p, r, step%10 == 9); err != nil {
				l.t.Error(err)
				return
			}
		}
	})
	<-half
	l.mu.Lock()
	must, last, term := maps.Clone(l.acked), l.last, l.term
	l.mu.Unlock()
	crashed := l.fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: l.rng.IntN(101), RNG: l.rng})
	l.mu.Lock()
	first := l.first // what was deleted between the two instants need not be there
	l.mu.Unlock()
	close(stop)
	wg.Wait()
	maps.DeleteFunc(must, func(i uint64, _ bool) bool { return i < first })
	l.fs, l.acked, l.last, l.term, l.first = crashed, must, last, term, first
}

// step appends, votes, and now and then compacts.
func (l *logLife) step(p *pebbleLog, r *rand.Rand, compact bool) error {
	l.mu.Lock()
	from, oldest, term := l.last+1, l.first, l.term+1
	l.mu.Unlock()
	to := from + uint64(r.IntN(20))
	if err := errors.Join(p.StoreLogs(entries(from, to)), p.SetUint64([]byte("term"), term)); err != nil {
		return err
	}
	if compact && from > oldest+50 {
		l.mu.Lock()
		l.first = from - 10
		maps.DeleteFunc(l.acked, func(i uint64, _ bool) bool { return i < l.first })
		l.mu.Unlock()
		if err := p.DeleteRange(oldest, from-11); err != nil {
			return err
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := from; i <= to; i++ {
		l.acked[i] = true
	}
	l.last, l.term = to, term
	return nil
}

// TestPebbleLogPowerLoss: what was acknowledged is there after power loss.
func TestPebbleLogPowerLoss(t *testing.T) {
	t.Parallel()
	total := 0
	for seed := range uint64(12) {
		checked, lost := logLives(t, seed, pebble.Sync)
		if total += checked; lost > 0 {
			t.Errorf("seed %d: %d of %d entries and votes that were acknowledged are lost", seed, lost, checked)
		}
	}
	if total < 1000 {
		t.Errorf("only %d entries were looked for", total)
	}
}

// TestPebbleLogNoSync: without syncs the test above would fail.
func TestPebbleLogNoSync(t *testing.T) {
	t.Parallel()
	for seed := range uint64(5) {
		if _, lost := logLives(t, seed, pebble.NoSync); lost > 0 {
			return
		}
	}
	t.Error("nothing was lost without syncs: the test of power loss shows nothing")
}

func writeSnapshot(t *testing.T, s *snapshotFiles, index uint64, content string) {
	t.Helper()
	sink, err := s.Create(raft.SnapshotVersionMax, index, 1, raft.Configuration{}, 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(sink, content); err != nil {
		t.Fatal(err)
	}
	if err := sink.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestSnapshotFiles: whole snapshots survive power loss, the two newest are
// kept, and a flipped bit is noticed.
func TestSnapshotFiles(t *testing.T) {
	t.Parallel()
	fs := vfs.NewCrashableMem()
	s, err := openSnapshotFiles(fs, "raft")
	if err != nil {
		t.Fatal(err)
	}
	for i := range uint64(5) {
		writeSnapshot(t, s, i, fmt.Sprintf("content %d", i))
	}
	half, err := s.Create(raft.SnapshotVersionMax, 9, 1, raft.Configuration{}, 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(half, "half"); err != nil {
		t.Fatal(err)
	}
	crashed := fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 50, RNG: rand.New(rand.NewPCG(1, 1))})
	if err := half.Cancel(); err != nil {
		t.Fatal(err)
	}
	if s, err = openSnapshotFiles(crashed, "raft"); err != nil {
		t.Fatal(err)
	}
	list, err := s.List()
	if err != nil || len(list) < 2 || list[0].Index != 4 || list[1].Index != 3 {
		t.Fatalf("%d snapshots after power loss: %v", len(list), err)
	}
	m, r, err := s.Open(list[0].ID)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(r)
	if err = errors.Join(err, r.Close(), r.Close()); err != nil || string(b) != "content 4" || m.Size != int64(len(b)) {
		t.Errorf("got %q of %d bytes: %v", b, m.Size, err)
	}
	f, err := crashed.OpenReadWrite(s.path(m.ID), vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte("C"), 0); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Open(m.ID); !errors.Is(err, errSnapshotCorrupt) {
		t.Errorf("a snapshot with another byte in it: %v", err)
	}
}
