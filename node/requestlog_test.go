package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"ringbin/storage"
	"ringbin/storage/apilog"
)

// logRig is a log of requests in a bubble, with nothing else of a node.
type logRig struct {
	*requestLog
	fs     vfs.FS
	broken atomic.Bool // no file of the log is synced any more
	closed atomic.Bool // none can be opened
	full   atomic.Bool // the volume is at its floor
	end    func()      // stops writing, and returns when all is written
}

func newLogRig(t *testing.T) *logRig {
	t.Helper()
	r := &logRig{end: func() {}}
	r.fs = errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
		if r.broken.Load() && strings.HasSuffix(op.Path, ".log") && slices.Contains(syncKinds, op.Kind) || r.closed.Load() && op.Kind == errorfs.OpOpenDir {
			return syscall.EIO
		}
		return nil
	}))
	return r
}

var syncKinds = []errorfs.OpKind{errorfs.OpFileSync, errorfs.OpFileSyncData, errorfs.OpFileSyncTo}

func (r *logRig) open() {
	r.requestLog = openRequestLog(r.fs, "data/logs", "n1", apilog.Options{Logger: slog.New(slog.DiscardHandler)}, func() int64 { return time.Now().UnixMilli() }, func() error {
		if r.full.Load() {
			return &storage.Error{Op: "test", Kind: storage.KindFull}
		}
		return nil
	})
}

func (r *logRig) start() {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { r.run(ctx) })
	r.end = func() {
		cancel()
		wg.Wait()
	}
}

func (r *logRig) log(from, n int) {
	for i := range n {
		r.add(apilog.Entry{API: APIPasteWizard, Endpoint: fmt.Sprint(from + i), Status: 200})
	}
}

// has checks that the log has exactly the entries from a number on, in order.
func (r *logRig) has(t *testing.T, from, n int) {
	t.Helper()
	q := apilog.Query{Limit: apilog.LimitMax}
	var got []string
	for {
		found, err := r.browse(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range found.Entries {
			got = append(got, e.Endpoint)
		}
		if q.Before = found.Until; q.Before.IsZero() {
			break
		}
	}
	slices.Reverse(got)
	if len(got) != n {
		t.Errorf("%d entries, want %d", len(got), n)
	}
	for i, e := range got {
		if e != fmt.Sprint(from+i) {
			t.Fatalf("entry %d is %s, want %d", i, e, from+i)
		}
	}
}

// TestRequestLogLeavesRoom: at the volume's floor requests are not logged, which
// health tells, and above it they are again.
func TestRequestLogLeavesRoom(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newLogRig(t)
		r.open()
		defer func() { r.close() }()
		r.start()
		r.full.Store(true)
		r.log(0, 3)
		time.Sleep(time.Second)
		r.has(t, 0, 0)
		if n := r.dropped.Load(); n != 3 || !r.failing() {
			t.Errorf("%d dropped, failing: %v", n, r.failing())
		}
		r.full.Store(false)
		r.log(3, 2)
		time.Sleep(2 * logDroppedWithin)
		r.has(t, 3, 2)
		if r.failing() {
			t.Error("failing, though there is room")
		}
		r.end()
	})
}

// TestRequestLogStored: an entry is on the disk within a second, and all that
// wait are when the node stops.
func TestRequestLogStored(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newLogRig(t)
		r.open()
		defer func() { r.close() }()
		r.start()
		r.log(0, 3)
		time.Sleep(100 * time.Millisecond)
		r.log(3, 2)
		time.Sleep(900 * time.Millisecond)
		r.has(t, 0, 5)
		r.log(5, 4*apilog.EntriesMax+7)
		r.end()
		r.has(t, 0, 5+4*apilog.EntriesMax+7)
		if r.failing() || r.dropped.Load() != 0 || r.stored.Load() != int64(12+4*apilog.EntriesMax) {
			t.Errorf("failing %t, stored %d, dropped %d", r.failing(), r.stored.Load(), r.dropped.Load())
		}
		r.close()
		if _, err := r.browse(t.Context(), apilog.Query{Limit: 1}); err == nil {
			t.Error("a closed log is browsed")
		}
		r.open()
		r.has(t, 0, 12+4*apilog.EntriesMax)
	})
}

// TestRequestLogFull: what finds no room is dropped and counted, and health
// tells of it for a minute.
func TestRequestLogFull(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newLogRig(t)
		r.open()
		defer func() { r.close() }()
		r.log(0, logQueueMax+5) // nobody writes yet, and nobody waits
		if !r.failing() || r.dropped.Load() != 5 {
			t.Errorf("failing %t, dropped %d", r.failing(), r.dropped.Load())
		}
		r.start()
		time.Sleep(logDroppedWithin)
		if r.failing() {
			t.Error("still failing after a minute")
		}
		r.end()
		r.has(t, 0, logQueueMax)
	})
}

// TestRequestLogDiskFails: a disk that fails costs entries and nothing else, and
// once it is well again they are logged again.
func TestRequestLogDiskFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newLogRig(t)
		r.open()
		defer func() { r.close() }()
		r.start()
		r.log(0, 10)
		time.Sleep(time.Second)
		r.broken.Store(true)
		for i := range 30 {
			r.log(1000+i, 1)
			time.Sleep(time.Second)
		}
		if !r.failing() || r.dropped.Load() != 30 {
			t.Errorf("failing %t, dropped %d of 30", r.failing(), r.dropped.Load())
		}
		r.broken.Store(false)
		time.Sleep(logOpenEvery)
		r.log(10, 10)
		time.Sleep(logDroppedWithin)
		if r.failing() || r.dropped.Load() != 30 {
			t.Errorf("well again: failing %t, dropped %d", r.failing(), r.dropped.Load())
		}
		r.end()
		found, err := r.browse(t.Context(), apilog.Query{Limit: apilog.LimitMax})
		lost := func(e apilog.Entry) bool { return len(e.Endpoint) == 4 } // whether they are there nobody knows
		kept := slices.DeleteFunc(found.Entries, lost)
		if err != nil || len(kept) != 20 || kept[0].Endpoint != "19" || kept[19].Endpoint != "0" {
			t.Errorf("%v %v", kept, err)
		}
	})
}

// TestRequestLogOpensLater: a log that can't be opened stops nobody, and is
// opened when it can be.
func TestRequestLogOpensLater(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newLogRig(t)
		r.closed.Store(true)
		r.open()
		defer func() { r.close() }()
		r.start()
		r.log(0, 3)
		time.Sleep(time.Second)
		if _, err := r.browse(t.Context(), apilog.Query{Limit: 1}); err == nil || !r.failing() || r.dropped.Load() != 3 {
			t.Errorf("failing %t, dropped %d, %v", r.failing(), r.dropped.Load(), err)
		}
		r.closed.Store(false)
		time.Sleep(logOpenEvery)
		r.log(3, 3)
		r.end()
		r.has(t, 3, 3)
	})
}

// TestRequestLogRotten: health tells of a log that was moved aside until
// somebody has taken it away.
func TestRequestLogRotten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newLogRig(t)
		r.open()
		r.close()
		names, err := r.fs.List("data/logs")
		for _, name := range names {
			if strings.HasPrefix(name, "marker.manifest") {
				err = errors.Join(err, r.fs.Remove(r.fs.PathJoin("data/logs", name)))
			}
		}
		if err != nil {
			t.Fatal(err)
		}
		r.open()
		defer func() { r.close() }()
		if !r.failing() {
			t.Error("nobody is told")
		}
		r.start()
		r.log(0, 3)
		r.end()
		r.has(t, 0, 3)
		if err := r.fs.RemoveAll("data/logs.bad-1"); err != nil {
			t.Fatal(err)
		}
		if r.failing() {
			t.Error("still failing")
		}
	})
}

// TestRequestLogRetention: what is too old is gone at once after the start, and
// later within an hour.
func TestRequestLogRetention(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newLogRig(t)
		r.open()
		defer func() { r.close() }()
		r.start()
		const kept = 3 * time.Hour
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		r.log(0, 5)
		time.Sleep(kept / 2)
		r.log(5, 5)
		time.Sleep(kept/2 + time.Minute)
		wg.Go(func() { r.runRetention(ctx, func() int64 { return time.Now().Add(-kept).UnixMilli() }) })
		synctest.Wait()
		r.has(t, 5, 5)
		r.log(10, 5)
		time.Sleep(kept/2 + time.Hour)
		r.has(t, 10, 5)
		cancel()
		wg.Wait()
		r.end()
	})
}

// TestLogRequest: what is logged of a request, and how addresses are written.
func TestLogRequest(t *testing.T) {
	t.Parallel()
	s := &Service{requests: &requestLog{ids: apilog.NewIDs("n1"), now: func() int64 { return 1_800_000_000_000 }, queue: make(chan apilog.Entry, 1)}}
	for _, c := range []struct {
		addr, addrWant         string
		endpoint, endpointWant string
	}{
		{"203.0.113.9", "203.0.113.9", "paste.php", "paste.php"},
		{"::ffff:203.0.113.9", "203.0.113.9", "a\xff\xfeb", "ab"},
		{"fe80::1%eth0", "fe80::1", strings.Repeat("é", 70), strings.Repeat("é", 50)},
		{"", "", strings.Repeat("é", 50)[1:], strings.Repeat("é", 49)},
	} {
		e := RequestEntry{API: APIPasteWizard, Caller: Caller{Account: "acc", Key: "key", Token: 7}, Endpoint: c.endpoint, Status: 404}
		if c.addr != "" {
			e.Addr = netip.MustParseAddr(c.addr)
		}
		s.LogRequest(e)
		got := <-s.requests.queue
		want := apilog.Entry{ID: got.ID, API: "pastewizard", Token: 7, Key: "key", Account: "acc", Endpoint: c.endpointWant, Status: 404, Addr: c.addrWant}
		if got != want || got.Time() != 1_800_000_000_000 {
			t.Errorf("%+v, want %+v", got, want)
		}
	}
}
