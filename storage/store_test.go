package storage

import (
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"slices"
	"sync"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"pgregory.net/rapid"
)

// storeModel is a Store beside the map that it has to behave like.
type storeModel struct {
	fs     vfs.FS
	s      *Store
	pool   [][]byte // contents that are put
	held   map[CID]Mark
	bytes  map[CID][]byte
	opened int
}

func newStoreModel(t *rapid.T) *storeModel {
	m := &storeModel{fs: vfs.NewMem(), held: map[CID]Mark{}, bytes: map[CID][]byte{}}
	for _, size := range append([]int{0, 64}, borderSizes...) {
		b := content(0, size)
		m.pool = append(m.pool, b)
		m.bytes[SumCID(b)] = b
	}
	m.open(t)
	return m
}

func (m *storeModel) open(t *rapid.T) {
	o := testOptions(m.fs)
	o.OnCorrupt = func(cid CID, err error) { t.Errorf("%v is corrupt: %v", cid, err) }
	s, err := OpenStore(testDir, o)
	if err != nil {
		t.Fatal(err)
	}
	m.s = s
	m.opened++
}

func (m *storeModel) draw(t *rapid.T) ([]byte, CID, Mark) {
	b := rapid.SampledFrom(m.pool).Draw(t, "content")
	mark := Mark{Generation: rapid.Uint64Range(0, 6).Draw(t, "generation"), Time: rapid.Int64Range(0, 6).Draw(t, "time")}
	return b, SumCID(b), mark
}

func (m *storeModel) raise(cid CID, mark Mark) Mark {
	was := m.held[cid]
	return Mark{Generation: max(was.Generation, mark.Generation), Time: max(was.Time, mark.Time)}
}

func (m *storeModel) put(t *rapid.T) {
	b, cid, mark := m.draw(t)
	info, err := m.s.Put(context.Background(), cid, bytes.NewReader(b), mark)
	if err != nil {
		t.Fatal(err)
	}
	want := m.raise(cid, mark)
	if info != (BlobInfo{CID: cid, Generation: want.Generation, Time: want.Time}) {
		t.Fatalf("Put gives %+v, want %+v", info, want)
	}
	if !cid.Inline() {
		m.held[cid] = want
	}
}

func (m *storeModel) putWrong(t *rapid.T) {
	b, cid, mark := m.draw(t)
	wrong := slices.Clone(b)
	switch rapid.IntRange(0, 2).Draw(t, "fault") {
	case 0:
		wrong = append(wrong, 1)
	case 1:
		wrong = wrong[:rapid.IntRange(0, max(0, len(b)-1)).Draw(t, "cut")]
	default:
		if len(wrong) > 0 {
			wrong[rapid.IntRange(0, len(b)-1).Draw(t, "flip")] ^= 0x10
		}
	}
	_, err := m.s.Put(context.Background(), cid, bytes.NewReader(wrong), mark)
	if same := bytes.Equal(wrong, b); same != (err == nil) || !same && CodeOf(err) != "hash_mismatch" {
		t.Fatalf("Put of %d wrong bytes for %d: %v", len(wrong), len(b), err)
	}
}

func (m *storeModel) confirm(t *rapid.T) {
	_, cid, mark := m.draw(t)
	info, ok, err := m.s.Confirm(cid, mark)
	_, held := m.held[cid]
	if err != nil || ok != held {
		t.Fatalf("Confirm = %t, %v; held is %t", ok, err, held)
	}
	if held {
		m.held[cid] = m.raise(cid, mark)
		if info.Generation != m.held[cid].Generation || info.Time != m.held[cid].Time {
			t.Fatalf("Confirm gives %+v, want %+v", info, m.held[cid])
		}
	}
}

func (m *storeModel) erase(t *rapid.T) {
	_, cid, mark := m.draw(t)
	ok, err := m.s.Erase(cid, mark.Generation)
	was, held := m.held[cid]
	if want := held && was.Generation < mark.Generation; err != nil || ok != want {
		t.Fatalf("Erase = %t, %v; want %t", ok, err, want)
	}
	if ok {
		delete(m.held, cid)
	}
}

func (m *storeModel) read(t *rapid.T) {
	b, cid, _ := m.draw(t)
	offset := rapid.IntRange(0, len(b)).Draw(t, "offset")
	length := rapid.IntRange(0, len(b)-offset).Draw(t, "length")
	got, err := readRange(m.s, cid, int64(offset), int64(length), rapid.Bool().Draw(t, "write to"))
	if _, held := m.held[cid]; !held && !cid.Inline() {
		if KindOf(err) != KindNotFound {
			t.Fatalf("Open of what is not held: %v", err)
		}
		return
	}
	if err != nil || !bytes.Equal(got, b[offset:offset+length]) {
		t.Fatalf("%d from %d of %d bytes: %v", length, offset, len(b), err)
	}
}

func (m *storeModel) flush(t *rapid.T) {
	if err := m.s.db.Flush(); err != nil {
		t.Fatal(err)
	}
}

func (m *storeModel) compact(t *rapid.T) {
	if err := m.s.db.Compact(context.Background(), []byte{0}, []byte{0xff, 0xff}, false); err != nil {
		t.Fatal(err)
	}
}

func (m *storeModel) reopen(t *rapid.T) {
	if err := m.s.Close(); err != nil {
		t.Fatal(err)
	}
	m.open(t)
}

// check compares everything.
func (m *storeModel) check(t *rapid.T) {
	want := slices.SortedFunc(maps.Keys(m.held), CID.Compare)
	infos, err := m.s.List(nil, len(m.pool)+1)
	if err != nil || len(infos) != len(want) {
		t.Fatalf("List has %d blobs, want %d, %v", len(infos), len(want), err)
	}
	var size int64
	for i, cid := range want {
		mark := m.held[cid]
		if infos[i] != (BlobInfo{CID: cid, Generation: mark.Generation, Time: mark.Time}) {
			t.Fatalf("List has %+v, want %+v", infos[i], mark)
		}
		if b, err := readAll(m.s, cid); err != nil || !bytes.Equal(b, m.bytes[cid]) {
			t.Fatalf("blob of %d bytes: %v", cid.Size(), err)
		}
		size += cid.Size()
	}
	m.s.counting.wg.Wait() // the count of what was there at the start
	if st := m.s.Stats(); st != (StoreStats{Blobs: int64(len(want)), Bytes: size, Counted: true}) {
		t.Fatalf("Stats = %+v, want %d blobs of %d bytes", st, len(want), size)
	}
}

// I2: a Store is a map from CIDs to bytes and marks, reopened or not.
func TestStoreIsAMap(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		m := newStoreModel(t)
		defer func() { _ = m.s.Close() }()
		t.Repeat(map[string]func(*rapid.T){
			"put": m.put, "put 2": m.put, "put all": m.putAll, "put wrong": m.putWrong, "confirm": m.confirm, "erase": m.erase, "read": m.read,
			"flush": m.flush, "compact": m.compact, "reopen": m.reopen, "": m.check,
		})
	})
}

var errBody = errors.New("the connection broke")

// endless gives bytes for ever and counts them.
type endless struct{ given int }

func (e *endless) Read(p []byte) (int, error) {
	clear(p)
	e.given += len(p)
	return len(p), nil
}

// A body that is not what its CID names leaves nothing: no key, no file.
func TestFailingBodiesLeaveNothing(t *testing.T) {
	t.Parallel()
	s := openTest(t, testOptions(vfs.NewMem()))
	for _, size := range append([]int{0, 1, 64}, borderSizes...) {
		b := content(1, size)
		cid := SumCID(b)
		wrong := slices.Clone(b)
		if size > 0 {
			wrong[size-1]++
		} else {
			wrong = []byte{1}
		}
		long := append(slices.Clone(b), 'x')
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(errBody)
		for name, c := range map[string]struct {
			ctx    context.Context
			body   io.Reader
			reason string // empty: errBody comes back
		}{
			"wrong":              {t.Context(), bytes.NewReader(wrong), "any"},
			"long":               {t.Context(), bytes.NewReader(long), "length"},
			"long, late":         {t.Context(), io.MultiReader(iotest.OneByteReader(bytes.NewReader(b)), bytes.NewReader([]byte{0})), "length"},
			"fails at once":      {t.Context(), iotest.ErrReader(errBody), ""},
			"fails half way":     {t.Context(), io.MultiReader(bytes.NewReader(b[:size/2]), iotest.ErrReader(errBody)), ""},
			"fails at the end":   {t.Context(), io.MultiReader(bytes.NewReader(b), iotest.ErrReader(errBody)), ""},
			"context ended":      {ctx, bytes.NewReader(b), ""},
			"context ends later": cancelledHalfWay(t.Context(), b),
		} {
			_, err := s.Put(c.ctx, cid, c.body, Mark{Generation: 1})
			checkBodyError(t, name, size, err, c.reason)
		}
		if size > 0 {
			_, err := s.Put(t.Context(), cid, bytes.NewReader(b[:size-1]), Mark{})
			checkBodyError(t, "short", size, err, "length")
			_, err = s.Put(t.Context(), cid, bytes.NewReader(nil), Mark{})
			checkBodyError(t, "empty", size, err, "length")
		}
		body := &endless{}
		_, err := s.Put(t.Context(), cid, body, Mark{})
		checkBodyError(t, "endless", size, err, "length")
		if body.given > size+1 {
			t.Errorf("%d bytes of an endless body are read for %d", body.given, size)
		}
		mustBeEmpty(t, s)
	}
}

// cancelledHalfWay is a body whose context ends when half of it was read.
func cancelledHalfWay(parent context.Context, b []byte) struct {
	ctx    context.Context
	body   io.Reader
	reason string
} {
	ctx, cancel := context.WithCancelCause(parent)
	end := readerFunc(func([]byte) (int, error) {
		cancel(errBody)
		return 0, nil
	})
	return struct {
		ctx    context.Context
		body   io.Reader
		reason string
	}{ctx, io.MultiReader(bytes.NewReader(b[:len(b)/2]), end), ""}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func checkBodyError(t *testing.T, name string, size int, err error, reason string) {
	t.Helper()
	if reason == "" {
		if !errors.Is(err, errBody) {
			t.Errorf("%s, %d bytes: %v", name, size, err)
		}
		return
	}
	e, ok := errors.AsType[*Error](err)
	if !ok || e.Kind != KindInvalid || e.Code != "hash_mismatch" || reason != "any" && e.Details["reason"] != reason {
		t.Errorf("%s, %d bytes: %v", name, size, err)
	}
}

// A blob that is there is no reason to believe a body.
func TestPutAgainVerifies(t *testing.T) {
	t.Parallel()
	s := openTest(t, testOptions(vfs.NewMem()))
	for _, size := range []int{100, 300, 700} {
		b := content(1, size)
		cid := put(t, s, b, Mark{Generation: 1})
		_, err := s.Put(t.Context(), cid, bytes.NewReader(content(2, size)), Mark{Generation: 9})
		checkBodyError(t, "wrong", size, err, "digest")
		if info := mustHold(t, s, b); info.Generation != 1 {
			t.Errorf("a wrong body raised the generation to %d", info.Generation)
		}
		put(t, s, b, Mark{Generation: 3})
		if info := mustHold(t, s, b); info.Generation != 3 {
			t.Errorf("generation %d after a second Put", info.Generation)
		}
		mustStageNothing(t, s)
	}
}

func TestConcurrentPutsOfOneCID(t *testing.T) {
	t.Parallel()
	s := openTest(t, testOptions(vfs.NewMem()))
	var wg sync.WaitGroup
	sizes := []int{100, 300, 700}
	for _, size := range sizes {
		b := content(1, size)
		for i := range uint64(16) {
			wg.Go(func() {
				body := b
				if i%4 == 0 {
					body = content(2, size)
				}
				_, err := s.Put(context.Background(), SumCID(b), bytes.NewReader(body), Mark{Generation: i})
				if (err != nil) != (i%4 == 0) {
					t.Errorf("Put %d of %d bytes: %v", i, size, err)
				}
			})
		}
	}
	wg.Wait()
	for _, size := range sizes {
		if info := mustHold(t, s, content(1, size)); info.Generation != 15 {
			t.Errorf("generation %d, want the newest", info.Generation)
		}
	}
	s.counting.wg.Wait()
	if st := s.Stats(); st.Blobs != 3 || st.Bytes != 1100 {
		t.Errorf("Stats = %+v", st)
	}
	mustStageNothing(t, s)
	if len(s.locks.held) != 0 {
		t.Errorf("%d locks are left", len(s.locks.held))
	}
}

func TestConfirmAndErase(t *testing.T) {
	t.Parallel()
	s := openTest(t, testOptions(vfs.NewMem()))
	for _, size := range []int{100, 300, 700} {
		b := content(1, size)
		cid := put(t, s, b, Mark{Generation: 5, Time: 50})
		for _, step := range []struct {
			mark, want Mark
		}{
			{Mark{4, 40}, Mark{5, 50}}, // never back
			{Mark{5, 50}, Mark{5, 50}},
			{Mark{6, 40}, Mark{6, 50}}, // each by itself
			{Mark{5, 60}, Mark{6, 60}},
		} {
			info, ok, err := s.Confirm(cid, step.mark)
			if err != nil || !ok || info.Generation != step.want.Generation || info.Time != step.want.Time {
				t.Errorf("Confirm(%+v) = %+v, %t, %v", step.mark, info, ok, err)
			}
		}
		for _, below := range []uint64{0, 5, 6} {
			if ok, err := s.Erase(cid, below); ok || err != nil {
				t.Errorf("Erase below %d = %t, %v", below, ok, err)
			}
		}
		mustHold(t, s, b)
		if ok, err := s.Erase(cid, 7); !ok || err != nil {
			t.Errorf("Erase = %t, %v", ok, err)
		}
		if _, ok, err := s.Confirm(cid, Mark{9, 9}); ok || err != nil {
			t.Errorf("Confirm of an erased blob = %t, %v", ok, err)
		}
		if ok, err := s.Erase(cid, 100); ok || err != nil {
			t.Errorf("Erase twice = %t, %v", ok, err)
		}
		mustBeEmpty(t, s)
		// What comes back is as fresh as its own receipt says, no fresher.
		put(t, s, b, Mark{Generation: 2})
		if info := mustHold(t, s, b); info.Generation != 2 {
			t.Errorf("generation %d after a new Put", info.Generation)
		}
		if ok, err := s.Erase(cid, 3); !ok || err != nil {
			t.Errorf("Erase = %t, %v", ok, err)
		}
	}
}

// I13: a copy that was confirmed is not erased below that generation, however
// the two meet.
func TestEraseNeverPassesConfirm(t *testing.T) {
	t.Parallel()
	s := openTest(t, testOptions(vfs.NewMem()))
	for round := range uint64(60) {
		b := content(round, []int{100, 300, 700}[round%3])
		cid := put(t, s, b, Mark{Generation: 1})
		var confirmed, erased bool
		var wg sync.WaitGroup
		wg.Go(func() {
			var err error
			if round%2 == 0 {
				_, confirmed, err = s.Confirm(cid, Mark{Generation: 2})
			} else {
				_, err = s.Put(context.Background(), cid, bytes.NewReader(b), Mark{Generation: 2})
				confirmed = err == nil
				if KindOf(err) == KindUnavailable {
					err = nil
				}
			}
			if err != nil {
				t.Error(err)
			}
		})
		wg.Go(func() {
			var err error
			if erased, err = s.Erase(cid, 2); err != nil {
				t.Error(err)
			}
		})
		wg.Wait()
		_, held, err := s.Stat(cid)
		// A Put that came after the Erase stores the blob afresh.
		if err != nil || held != confirmed || !confirmed && !erased || round%2 == 0 && confirmed && erased {
			t.Fatalf("confirmed %t, erased %t, held %t, %v", confirmed, erased, held, err)
		}
	}
}

func TestFreeSpaceFloor(t *testing.T) {
	t.Parallel()
	const gib = 1 << 30
	for name, c := range map[string]struct {
		floor       int64
		free, total uint64
		full        bool
		floorBytes  int64
	}{
		"default, large volume, below 5 %":  {0, 49 * gib, 1000 * gib, true, 50 * gib},
		"default, large volume, above 5 %":  {0, 51 * gib, 1000 * gib, false, 50 * gib},
		"default, small volume, below":      {0, 2*gib + 299, 10 * gib, true, 2 * gib},
		"default, small volume, just above": {0, 2*gib + 300, 10 * gib, false, 2 * gib},
		"own floor, below":                  {1000, 1299, 10 * gib, true, 1000},
		"own floor, just above":             {1000, 1300, 10 * gib, false, 1000},
		"off":                               {-1, 1, 10 * gib, false, 0},
		"file system does not know":         {0, 0, 0, false, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fs := vfs.NewMem()
			fs.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: c.free, TotalBytes: c.total})
			o := testOptions(fs)
			o.FreeFloorBytes = c.floor
			s := openTest(t, o)
			b := content(1, 300)
			_, err := s.Put(t.Context(), SumCID(b), bytes.NewReader(b), Mark{})
			if c.full != (KindOf(err) == KindFull && err != nil) || !c.full && err != nil {
				t.Errorf("Put: %v", err)
			}
			if c.full {
				mustBeEmpty(t, s)
			}
			put(t, s, []byte("inline content needs no room"), Mark{})
			free, total, err := s.FreeBytes()
			if err != nil || free != int64(c.free) || total != int64(c.total) || s.FloorBytes() != c.floorBytes {
				t.Errorf("FreeBytes = %d, %d, %v; FloorBytes = %d", free, total, err, s.FloorBytes())
			}
		})
	}
}

// A full volume does not keep what is there from being confirmed and erased.
func TestFullVolumeStillServes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		fs := vfs.NewMem()
		w := spaceWatch{fs: fs, dir: "", floor: 1000}
		for _, step := range []struct {
			free uint64
			wait time.Duration
			full bool
		}{{5000, 0, false}, {10, spaceFresh / 2, false}, {10, spaceFresh, true}, {5000, spaceFresh / 2, true}, {5000, spaceFresh, false}} {
			fs.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: step.free, TotalBytes: 1 << 40})
			time.Sleep(step.wait)
			if err := w.admit(100); (err != nil) != step.full {
				t.Errorf("%d bytes free: %v", step.free, err)
			}
		}
	})
	fs := vfs.NewMem()
	fs.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: 5000, TotalBytes: 1 << 40})
	o := testOptions(fs)
	o.FreeFloorBytes = 1000
	s := openTest(t, o)
	b := content(1, 300)
	cid := put(t, s, b, Mark{Generation: 1})
	fs.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: 10, TotalBytes: 1 << 40})
	s.space.at = time.Time{} // forget the last look
	put(t, s, b, Mark{Generation: 2})
	mustHold(t, s, b)
	if ok, err := s.Erase(cid, 3); !ok || err != nil {
		t.Errorf("Erase = %t, %v", ok, err)
	}
	if _, err := s.Put(t.Context(), cid, bytes.NewReader(b), Mark{}); KindOf(err) != KindFull || CodeOf(err) != "insufficient_storage" {
		t.Errorf("Put: %v", err)
	}
}

func TestUnknownSpaceIsAnErrorOnlyWithAFloor(t *testing.T) {
	t.Parallel()
	fail := errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind == errorfs.OpGetDiskUsage {
			return errorfs.ErrInjected
		}
		return nil
	})
	for _, floor := range []int64{0, -1} {
		o := testOptions(errorfs.Wrap(vfs.NewMem(), fail))
		o.FreeFloorBytes = floor
		s := openTest(t, o)
		b := content(1, 300)
		_, err := s.Put(t.Context(), SumCID(b), bytes.NewReader(b), Mark{})
		if (err != nil) != (floor == 0) {
			t.Errorf("floor %d: %v", floor, err)
		}
		if _, _, err := s.FreeBytes(); !errors.Is(err, errorfs.ErrInjected) {
			t.Errorf("FreeBytes: %v", err)
		}
		if n := s.FloorBytes(); n != 0 {
			t.Errorf("FloorBytes = %d", n)
		}
	}
}

// The default layout on the operating system's own files.
func TestStoreOnRealFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	sizes := []int{65, 16 << 10, 16<<10 + 1, 256 << 10, 512<<10 - 1, 512 << 10, 1<<20 + 1}
	for _, life := range []string{"first", "second"} {
		s, err := OpenStore(dir, StoreOptions{FreeFloorBytes: -1})
		if err != nil {
			t.Fatal(err)
		}
		for _, size := range sizes {
			if b := content(1, size); life == "first" {
				put(t, s, b, Mark{Generation: 1})
			} else {
				mustHold(t, s, b)
			}
		}
		mustStageNothing(t, s)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
