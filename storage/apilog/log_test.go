package apilog

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"ringbin/storage"
)

const testDir = "data/logs"

// fataler is what tests and their generators have in common.
type fataler interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

func openLog(t fataler, fs vfs.FS) *Log {
	t.Helper()
	l, err := Open(testDir, Options{FS: fs})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func closeLog(t fataler, l *Log) {
	t.Helper()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

// someEntries are n entries from a time on, a few in each millisecond.
func someEntries(ids *IDs, from int64, n int) []Entry {
	entries := make([]Entry, n)
	for i := range entries {
		entries[i] = Entry{
			ID: ids.Next(from + int64(i/3)), API: "pastewizard", Token: int64(i%5 + 1), Key: "k", Account: fmt.Sprint("a", i%4),
			Endpoint: []string{"paste.php", "raw.php"}[i%2], Status: 200 + i%3, Addr: "203.0.113.9",
		}
	}
	return entries
}

func appendAll(t fataler, l *Log, entries []Entry) {
	t.Helper()
	if err := l.Append(entries); err != nil {
		t.Fatal(err)
	}
}

// all pages through a log.
func all(t fataler, l *Log, q Query) []Entry {
	t.Helper()
	got := []Entry{}
	for {
		found, err := l.Browse(context.Background(), q)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, found.Entries...)
		if found.Until.IsZero() {
			return got
		}
		q.Before = found.Until
	}
}

func newestFirst(entries []Entry) []Entry {
	sorted := slices.Clone(entries)
	slices.SortFunc(sorted, func(a, b Entry) int { return b.ID.Compare(a.ID) })
	return sorted
}

// TestLog holds a log against a slice of entries.
func TestLog(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		fs := vfs.NewMem()
		l := openLog(t, fs)
		defer func() { closeLog(t, l) }()
		ids := NewIDs("n1")
		model := []Entry{}
		times := rapid.Int64Range(1, 40)
		t.Repeat(map[string]func(*rapid.T){
			"append": func(t *rapid.T) {
				added := someEntries(ids, times.Draw(t, "time"), rapid.IntRange(1, 9).Draw(t, "n"))
				appendAll(t, l, added)
				model = append(model, added...)
			},
			"drop": func(t *rapid.T) {
				before := times.Draw(t, "before")
				if err := l.DropBefore(t.Context(), before); err != nil {
					t.Fatal(err)
				}
				model = slices.DeleteFunc(model, func(e Entry) bool { return e.Time() < before })
			},
			"reopen": func(t *rapid.T) {
				closeLog(t, l)
				l = openLog(t, fs)
				ids = NewIDs("n1")
			},
			"browse": func(t *rapid.T) {
				q := Query{
					API:      rapid.SampledFrom([]string{"", "pastewizard", "other"}).Draw(t, "api"),
					From:     rapid.Int64Range(0, 40).Draw(t, "from"),
					To:       rapid.Int64Range(0, 40).Draw(t, "to"),
					Token:    rapid.Int64Range(0, 6).Draw(t, "token"),
					Account:  rapid.SampledFrom([]string{"", "a1"}).Draw(t, "account"),
					Endpoint: rapid.SampledFrom([]string{"", "raw.php"}).Draw(t, "endpoint"),
					Status:   rapid.SampledFrom([]int{0, 201}).Draw(t, "status"),
					Addr:     rapid.SampledFrom([]string{"", "203.0.113.9", "203.0.113.8"}).Draw(t, "addr"),
					Limit:    rapid.IntRange(1, 10).Draw(t, "limit"),
				}
				want := slices.DeleteFunc(newestFirst(model), func(e Entry) bool {
					return q.API != "" && e.API != q.API || e.Time() < q.From || q.To != 0 && e.Time() >= q.To ||
						q.Token != 0 && e.Token != q.Token || q.Account != "" && e.Account != q.Account ||
						q.Endpoint != "" && e.Endpoint != q.Endpoint || q.Status != 0 && e.Status != q.Status || q.Addr != "" && e.Addr != q.Addr
				})
				if d := cmp.Diff(want, all(t, l, q)); d != "" {
					t.Fatal(d)
				}
			},
		})
	})
}

// TestIDs: ids rise with time and, within a millisecond, in the order they were
// made; those of two nodes differ; time that no ULID can hold stays in order.
func TestIDs(t *testing.T) {
	t.Parallel()
	a, b := NewIDs("a"), NewIDs("b")
	before := a.Next(-5)
	for _, now := range []int64{0, 1, 1, 1, 1_800_000_000_000, 1_800_000_000_000, 1<<63 - 1, 1<<63 - 1} {
		id := a.Next(now)
		if id.Compare(before) <= 0 {
			t.Errorf("at %d: %s after %s", now, id, before)
		}
		if other := b.Next(now); other == id {
			t.Errorf("two nodes made %s", id)
		}
		before = id
	}
	if e := (Entry{ID: a.Next(1_800_000_000_123)}); e.Time() != 1_800_000_000_123 {
		t.Errorf("time %d", e.Time())
	}
	for range 1000 { // wherever the numbers begin, there is room above
		if first := NewIDs("a").seq.Load(); first >= 1<<47 {
			t.Fatalf("numbers begin at %d", first)
		}
	}
}

// TestLogReadsSoMuch: an answer ends when much was read, whatever was found.
func TestLogReadsSoMuch(t *testing.T) {
	t.Parallel()
	l := openLog(t, vfs.NewMem())
	defer closeLog(t, l)
	entries := someEntries(NewIDs("n1"), 1, 1000)
	appendAll(t, l, entries)
	want := newestFirst(entries)
	q := Query{Status: 999, Limit: 10}
	for read := 300; ; read += 300 {
		first, end := q.bounds()
		it, err := l.db.NewIter(iterOptions(first, end))
		if err != nil {
			t.Fatal(err)
		}
		found, err := browse(t.Context(), it, q, 300)
		if err = errors.Join(err, it.Close()); err != nil || len(found.Entries) != 0 {
			t.Fatal(found, err)
		}
		if found.Until.IsZero() {
			if read < len(entries) {
				t.Fatalf("the end after %d entries", read)
			}
			break
		}
		if found.Until != want[read-1].ID {
			t.Fatalf("after %d entries it has looked until %s, want %s", read, found.Until, want[read-1].ID)
		}
		q.Before = found.Until
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := l.Browse(ended, Query{Limit: 1}); err == nil {
		t.Error("it looks for somebody who is gone")
	}
}

// TestLogPowerLoss: what was acknowledged is there after power loss, at
// whatever moment, and the log opens.
func TestLogPowerLoss(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 1))
		fs := vfs.NewCrashableMem()
		ids := NewIDs("n1")
		var acked []Entry
		for life := range 3 {
			l := openLog(t, fs)
			if d := cmp.Diff(newestFirst(acked), all(t, l, Query{Limit: LimitMax}), cmp.Transformer("none", noneIsEmpty)); d != "" {
				t.Fatalf("seed %d, life %d: %s", seed, life, d)
			}
			for range rng.IntN(6) {
				added := someEntries(ids, int64(life*100), 1+rng.IntN(50))
				appendAll(t, l, added)
				acked = append(acked, added...)
			}
			if cut := int64(life * 50); rng.IntN(2) == 0 {
				if err := l.DropBefore(t.Context(), cut); err != nil {
					t.Fatal(err)
				}
				acked = slices.DeleteFunc(acked, func(e Entry) bool { return e.Time() < cut })
			}
			lost := fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: rng.IntN(101), RNG: rng})
			closeLog(t, l)
			fs = lost
		}
	}
}

func noneIsEmpty(e []Entry) []Entry { return append([]Entry{}, e...) }

// TestLogRotten: a log that can't be opened any more is moved aside, and an
// empty one takes its place; only the newest one is kept.
func TestLogRotten(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMem()
	ids := NewIDs("n1")
	for round, spoil := range []func(t *testing.T, fs vfs.FS){
		spoilFiles("MANIFEST-", "", 40),
		spoilFiles("marker.manifest", ".", -1),
		spoilFiles("", ".sst", -1),
	} {
		l := openLog(t, fs)
		for range 3 { // so that there is more than one table
			appendAll(t, l, someEntries(ids, 1, 500))
			if err := l.db.Flush(); err != nil {
				t.Fatal(err)
			}
		}
		closeLog(t, l)
		spoil(t, fs)
		l = openLog(t, fs)
		if got := all(t, l, Query{Limit: 10}); len(got) != 0 {
			t.Errorf("round %d: %d entries of a log that was rotten", round, len(got))
		}
		appendAll(t, l, someEntries(ids, 2, 7))
		if got := all(t, l, Query{Limit: 10}); len(got) != 7 {
			t.Errorf("round %d: %d entries of 7", round, len(got))
		}
		closeLog(t, l)
		if aside, err := Aside(fs, testDir); !aside || err != nil {
			t.Errorf("round %d: nothing is aside: %v", round, err)
		}
		names, err := fs.List("data")
		if slices.Sort(names); err != nil || !slices.Equal(names, []string{"logs", fmt.Sprint("logs.bad-", round+1)}) {
			t.Errorf("round %d: %v %v", round, names, err)
		}
		if err := fs.RemoveAll(testDir); err != nil {
			t.Fatal(err)
		}
	}
}

// spoilFiles changes two bytes of the files whose names are like that, or, below
// 0, removes them.
func spoilFiles(prefix, part string, at int64) func(t *testing.T, fs vfs.FS) {
	return func(t *testing.T, fs vfs.FS) {
		t.Helper()
		names, err := fs.List(testDir)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			if !strings.HasPrefix(name, prefix) || !strings.Contains(name, part) {
				continue
			}
			path := fs.PathJoin(testDir, name)
			if at < 0 {
				err = fs.Remove(path)
			} else {
				var f vfs.File
				if f, err = fs.OpenReadWrite(path, vfs.WriteCategoryUnspecified); err == nil {
					_, err = f.WriteAt([]byte{0xa5, 0x5a}, at)
					err = errors.Join(err, f.Close())
				}
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestLogDiskFails: a log whose disk fails says so, ends nobody's process, can
// be closed, and opened again when the disk is well.
func TestLogDiskFails(t *testing.T) {
	t.Parallel()
	const failed = 599
	for _, op := range []errorfs.OpKind{errorfs.OpFileSync, errorfs.OpFileWrite, errorfs.OpFileSyncData} {
		var failing atomic.Bool
		mem := vfs.NewMem()
		fs := errorfs.Wrap(mem, errorfs.InjectorFunc(func(o errorfs.Op) error {
			if failing.Load() && o.Kind == op && strings.HasSuffix(o.Path, ".log") {
				return syscall.EIO
			}
			return nil
		}))
		l := openLog(t, fs)
		ids := NewIDs("n1")
		before := someEntries(ids, 1, 10)
		appendAll(t, l, before)
		failing.Store(true)
		unknown := someEntries(ids, 2, 10)
		for i := range unknown {
			unknown[i].Status = failed
		}
		err := l.Append(unknown)
		if err == nil {
			closeLog(t, l) // a kind of sync that Pebble does not do here
			continue
		}
		if !l.Broken() {
			t.Errorf("%d: a failed write leaves the log as it was: %v", op, err)
		}
		if err := l.Append(someEntries(ids, 3, 10)); storage.KindOf(err) != storage.KindUnavailable {
			t.Errorf("%d: a broken log answers %v", op, err)
		}
		_ = l.Close() // it can't be closed well
		failing.Store(false)
		l = openLog(t, fs)
		after := someEntries(ids, 4, 10)
		appendAll(t, l, after)
		got := all(t, l, Query{Limit: LimitMax})
		got = slices.DeleteFunc(got, func(e Entry) bool { return e.Status == failed }) // nobody knows
		if d := cmp.Diff(newestFirst(append(before, after...)), got); d != "" {
			t.Errorf("%d: %s", op, d)
		}
		closeLog(t, l)
	}
}

// TestLogFlushFails: on a disk that takes no tables, the log refuses entries
// before Pebble would make them wait, can be read and closed, and goes on once
// the disk is well.
func TestLogFlushFails(t *testing.T) {
	t.Parallel()
	var failing atomic.Bool
	fs := errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(o errorfs.Op) error {
		if failing.Load() && o.Kind == errorfs.OpCreate && strings.HasSuffix(o.Path, ".sst") {
			return syscall.EIO
		}
		return nil
	}))
	l := openLog(t, fs)
	ids := NewIDs("n1")
	failing.Store(true)
	kept := 0
	for ; ; kept++ {
		err := l.Append(someEntries(ids, int64(kept), EntriesMax))
		if storage.KindOf(err) == storage.KindUnavailable && err != nil {
			break
		}
		if err != nil || kept > unflushedMax/EntriesMax {
			t.Fatalf("after %d times: %v", kept, err)
		}
	}
	if found, err := l.Browse(t.Context(), Query{Limit: LimitMax}); len(found.Entries) != LimitMax || err != nil {
		t.Errorf("%d entries can be read: %v", len(found.Entries), err)
	}
	closeLog(t, l)
	failing.Store(false)
	l = openLog(t, fs)
	appendAll(t, l, someEntries(ids, 1_000_000, 1))
	if got := all(t, l, Query{Limit: LimitMax}); len(got) != kept*EntriesMax+1 {
		t.Errorf("%d entries of %d", len(got), kept*EntriesMax+1)
	}
	closeLog(t, l)
}

// TestLogClosed: what comes too late is an error.
func TestLogClosed(t *testing.T) {
	t.Parallel()
	l := openLog(t, vfs.NewMem())
	closeLog(t, l)
	closeLog(t, l)
	_, err := l.Browse(t.Context(), Query{Limit: 1})
	for _, err := range []error{err, l.Append(someEntries(NewIDs("n1"), 1, 1)), l.DropBefore(t.Context(), 5)} {
		if storage.KindOf(err) != storage.KindUnavailable {
			t.Error(err)
		}
	}
}

// TestLogOfAnotherVersion: it is left alone.
func TestLogOfAnotherVersion(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMem()
	l := openLog(t, fs)
	if err := l.db.Set([]byte{tagVersion}, []byte{version + 1}, nil); err != nil {
		t.Fatal(err)
	}
	closeLog(t, l)
	if _, err := Open(testDir, Options{FS: fs}); err == nil {
		t.Error("it opens")
	}
	if aside, err := Aside(fs, testDir); aside || err != nil {
		t.Errorf("it was moved aside: %v", err)
	}
}

func iterOptions(first, end []byte) *pebble.IterOptions {
	return &pebble.IterOptions{LowerBound: first, UpperBound: end}
}
