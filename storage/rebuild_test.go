package storage

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// waitRebuild returns once a database is being replaced.
func waitRebuild(t *testing.T, s *Store) {
	t.Helper()
	late := time.After(30 * time.Second)
	for !s.Rebuild().Active {
		select {
		case <-late:
			t.Fatal("no rebuild has begun")
		case <-time.After(time.Millisecond):
		}
	}
}

// flip changes one bit of a file.
func flip(t *testing.T, fs vfs.FS, path string, at int) {
	t.Helper()
	b := readFile(t, fs, path)
	b[at] ^= 1 << (at % 8)
	writeFile(t, fs, path, b)
}

// mustBeOne fails the test unless the directory has exactly one database.
func mustBeOne(t *testing.T, fs vfs.FS, want string) {
	t.Helper()
	names, err := fs.List(testDir)
	if err != nil {
		t.Fatal(err)
	}
	names = slices.DeleteFunc(names, func(name string) bool { return name == storeStagingDir })
	if !slices.Equal(names, []string{want}) {
		t.Errorf("the store's directory has %q, want %q", names, want)
	}
}

// replaceAll restores every blob of a store whose database is being replaced,
// as a pass would: what can't be adopted is put again. It returns how many
// were adopted.
func replaceAll(t *testing.T, s *Store, contents [][]byte) (adopted int) {
	t.Helper()
	for _, b := range contents {
		switch err := s.Adopt(t.Context(), SumCID(b)); {
		case err == nil:
			adopted++
		case KindOf(err) == KindCorrupt:
			put(t, s, b, Mark{Generation: 9})
		default:
			t.Fatal(err)
		}
		if info := mustHold(t, s, b); info.Old {
			t.Errorf("%d bytes are still in the old database", len(b))
		}
	}
	return adopted
}

// What is remembered of a bad block goes when its blob is written, even when the
// database that took it has become the old one in that very moment.
func TestWrittenIsReadInOldDatabase(t *testing.T) {
	t.Parallel()
	s := openTest(t, testOptions(vfs.NewMem()))
	b := content(1, 200)
	cid := put(t, s, b, Mark{Generation: 1})
	s.cur.faults[cid] = map[string]error{string(firstKey(s, cid)): errBadCRC}
	s.cur.listFailed()
	waitRebuild(t, s)
	if _, err := readAll(s, cid); err == nil {
		t.Fatal("the fault is not remembered")
	}
	s.forget(cid)
	if got, err := readAll(s, cid); err != nil || !bytes.Equal(got, b) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

// P6, I2: a rotten table makes way while the store serves. Good copies are
// served from the old database, bad ones not at all; nobody vouches for either;
// what is erased stays so; over a restart in the middle; and in the end one
// database is left with all in it.
func TestRottenDatabaseIsReplaced(t *testing.T) {
	t.Parallel()
	fs := filledTables(t)
	for _, path := range tables(t, fs) {
		if b := readFile(t, fs, path); bytes.Contains(b, rotContents()[0]) {
			flip(t, fs, path, bytes.Index(b, rotContents()[0])+1)
		}
	}
	s, err := OpenStore(testDir, testOptions(fs))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.List(nil, 100); KindOf(err) != KindCorrupt {
		t.Fatalf("List past a rotten block: %v", err)
	}
	waitRebuild(t, s)
	good, bad := 0, 0
	for _, b := range rotContents() {
		cid := SumCID(b)
		got, err := readAll(s, cid)
		switch {
		case err == nil && bytes.Equal(got, b):
			good++
		case KindOf(err) == KindCorrupt && bytes.HasPrefix(b, got):
			bad++
		default:
			t.Errorf("%d bytes of %d, %v", len(got), len(b), err)
		}
		if _, ok, err := s.Confirm(cid, Mark{Generation: 5}); ok || err != nil {
			t.Errorf("a copy in the old database is confirmed: %v", err)
		}
	}
	if good == 0 || bad == 0 {
		t.Fatalf("%d good, %d bad: want some of each", good, bad)
	}
	erased := rotContents()[len(rotContents())-1]
	if ok, err := s.Erase(SumCID(erased), 100); !ok || err != nil {
		t.Fatal(ok, err)
	}
	fresh := content(70, 200)
	put(t, s, fresh, Mark{Generation: 7})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openTest(t, testOptions(fs))
	if !s.Rebuild().Active {
		t.Fatal("the rebuild ended with a restart")
	}
	if _, ok, err := s.Stat(SumCID(erased)); ok || err != nil {
		t.Errorf("what was erased is back: %v", err)
	}
	kept := rotContents()[:len(rotContents())-1]
	adopted := replaceAll(t, s, kept)
	t.Logf("%d copies good, %d bad; %d adopted, %d put again", good, bad, adopted, len(kept)-adopted)
	if err := s.EndRebuild(); err != nil {
		t.Fatal(err)
	}
	if s.Rebuild().Active {
		t.Error("the rebuild has no end")
	}
	mustBeOne(t, fs, dbName(2))
	for _, b := range append(kept, fresh) {
		mustHold(t, s, b)
	}
	if _, ok, err := s.Stat(SumCID(erased)); ok || err != nil {
		t.Errorf("what was erased is back: %v", err)
	}
	infos, err := s.List(nil, 100)
	if err != nil || len(infos) != len(kept)+1 {
		t.Errorf("List has %d blobs, %v", len(infos), err)
	}
	s.counting.wg.Wait()
	if st := s.Stats(); st.Blobs != int64(len(kept)+1) || !st.Counted {
		t.Errorf("%+v for %d blobs", st, len(kept)+1)
	}
}

// A list goes over both databases in order, whatever the page.
func TestListOverTwoDatabases(t *testing.T) {
	t.Parallel()
	s := openTest(t, testOptions(vfs.NewMem()))
	var want []CID
	for i := range 40 {
		want = append(want, put(t, s, content(uint64(i), 66+i*20), Mark{Generation: 1}))
	}
	s.cur.listFailed()
	waitRebuild(t, s)
	for i := range 40 {
		b := content(uint64(i), 66+i*20)
		switch i % 4 {
		case 0:
			put(t, s, b, Mark{Generation: 2})
		case 1:
			if err := s.Adopt(t.Context(), SumCID(b)); err != nil {
				t.Fatal(err)
			}
		case 2:
			if ok, err := s.Erase(SumCID(b), 100); !ok || err != nil {
				t.Fatal(ok, err)
			}
			want = slices.DeleteFunc(want, func(c CID) bool { return c == SumCID(b) })
		}
	}
	slices.SortFunc(want, CID.Compare)
	for _, limit := range []int{1, 3, 100} {
		var got []CID
		var after *CID
		for {
			page, err := s.List(after, limit)
			if err != nil {
				t.Fatal(err)
			}
			for _, info := range page {
				got = append(got, info.CID)
			}
			if len(page) < limit {
				break
			}
			after = &page[len(page)-1].CID
		}
		if !slices.Equal(got, want) {
			t.Errorf("pages of %d: %d blobs, want %d", limit, len(got), len(want))
		}
	}
	s.counting.wg.Wait()
	if st := s.Stats(); st.Blobs != int64(len(want)) {
		t.Errorf("%d blobs counted of %d", st.Blobs, len(want))
	}
}

// A compaction that fails for rot again and again gets the database replaced.
func TestFailingCompactionsReplaceTheDatabase(t *testing.T) {
	t.Parallel()
	fs := filledTables(t)
	for _, path := range tables(t, fs) {
		b := readFile(t, fs, path)
		if at := bytes.Index(b, rotContents()[1]); at >= 0 {
			flip(t, fs, path, at)
		}
	}
	s := openTest(t, testOptions(fs))
	for i := range 3 * rotFailuresMax { // each is one that Pebble would try by itself
		put(t, s, content(uint64(1000+i), 100), Mark{Generation: 1})
		if s.Rebuild().Active {
			break
		}
		v := s.use()
		err := v.cur.db.Compact(t.Context(), []byte{0}, []byte{0xff, 0xff}, false)
		v.release()
		if err == nil && !s.Rebuild().Active {
			t.Fatal("a rotten table is compacted")
		}
	}
	waitRebuild(t, s)
	put(t, s, content(5000, 300), Mark{Generation: 1}) // and writes go on
}

// I1, I3: power may go before any write operation of a replacement: what was
// acknowledged is there, what was erased is not.
func TestPowerLossWhileReplacing(t *testing.T) {
	t.Parallel()
	c := newCrasher(t)
	tiny, small, large := crashBlobs()
	s := c.open()
	c.put(s, tiny[0], 1)
	c.put(s, small[0], 1)
	c.put(s, large[0], 1)
	c.put(s, large[1], 1)
	c.confirm(s, small[0], 2)
	s.cur.listFailed()
	waitRebuild(t, s)
	c.put(s, small[1], 3)
	c.erase(s, large[1])
	c.put(s, tiny[0], 4) // anew: what lies in the old database is not confirmed
	for _, b := range [][]byte{small[0], large[0]} {
		if err := s.Adopt(t.Context(), SumCID(b)); err != nil {
			t.Fatal(err)
		}
	}
	c.close(s)
	s = c.open()
	c.put(s, tiny[1], 5)
	if err := s.EndRebuild(); err != nil {
		t.Fatal(err)
	}
	c.put(s, large[1], 6)
	c.close(s)
	t.Logf("%d power losses", len(c.crashes))
	for i, crash := range c.crashes {
		if lost := crash.check(t); lost > 0 || t.Failed() {
			t.Fatalf("%d promises broken by power loss %d, before %s, with %d %% of what was not synced", lost, i, crash.before, crash.unsynced)
		}
	}
}

// I16: whatever byte rots in a file that a database is opened with, it opens
// with all that it had, or says that it is rotten; then it is set aside, and a
// blank one opens. It never opens with less, but for the end of a log: in its
// last 32 KiB Pebble can't tell rot from a torn write, and what is gone there is
// found by the next pass.
func TestRotInWhatADatabaseIsOpenedWith(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMem()
	s, err := OpenStore(testDir, testOptions(fs))
	if err != nil {
		t.Fatal(err)
	}
	var contents [][]byte
	for i := range 6 {
		b := content(uint64(i), 300+i%2*500) // small ones in the log, large ones in the manifest
		put(t, s, b, Mark{Generation: 1})
		contents = append(contents, b)
		if i == 2 {
			if err := s.db.Flush(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	dir := fs.PathJoin(testDir, storeDBDir)
	names, err := fs.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(5, 6))
	opened, rotten := map[string]int{}, map[string]int{}
	for _, name := range names {
		kind, _, _ := strings.Cut(name, "-")
		if strings.HasSuffix(name, ".sst") {
			continue
		}
		if strings.HasSuffix(name, ".log") {
			kind = "log"
		}
		path := fs.PathJoin(dir, name)
		b := readFile(t, fs, path)
		for at := rng.IntN(11); at < len(b); at += 11 {
			mine := vfs.NewMem()
			if ok, err := vfs.Clone(fs, mine, "", ""); !ok || err != nil {
				t.Fatal(ok, err)
			}
			flip(t, mine, path, at)
			if opensWhole(t, mine, contents, fmt.Sprintf("byte %d of %d of %s", at, len(b), name)) {
				opened[kind]++
			} else {
				rotten[kind]++
			}
		}
	}
	t.Logf("opened with all: %v; rotten: %v", opened, rotten)
	if rotten["MANIFEST"] == 0 || rotten["OPTIONS"] == 0 {
		t.Error("no rot was noticed in a manifest or in options")
	}
}

// opensWhole reports whether a store opened with all its blobs; if not it must
// say that it is rotten, and come up blank once the database is set aside.
func opensWhole(t *testing.T, fs vfs.FS, contents [][]byte, what string) bool {
	t.Helper()
	s, err := OpenStore(testDir, testOptions(fs))
	if err == nil {
		for _, b := range contents {
			if got, err := readAll(s, SumCID(b)); (err != nil || !bytes.Equal(got, b)) && (!strings.HasSuffix(what, ".log") || KindOf(err) != KindNotFound) {
				t.Errorf("%s: opened without a blob of %d bytes: %v", what, len(b), err)
			}
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		return true
	}
	rot, ok := errors.AsType[*RottenError](err)
	if !ok {
		t.Errorf("%s: %v", what, err)
		return false
	}
	if err := SetAside(fs, rot); err != nil {
		t.Fatal(err)
	}
	if has, err := HasStore(fs, testDir); has || err != nil {
		t.Errorf("a database that was set aside counts: %v", err)
	}
	if s, err = OpenStore(testDir, testOptions(fs)); err != nil {
		t.Fatalf("%s: after it was set aside: %v", what, err)
	}
	if !s.Rebuild().Active {
		t.Errorf("%s: a store that came up blank says nothing of it", what)
	}
	for _, b := range contents {
		put(t, s, b, Mark{Generation: 2})
	}
	if err := s.EndRebuild(); err != nil {
		t.Error(err)
	}
	mustBeOne(t, fs, dbName(1))
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	return false
}

// What is read by a scrub is held against its digest: a value that was changed
// and sealed again passes every checksum.
func TestVerify(t *testing.T) {
	t.Parallel()
	s := openTest(t, testOptions(vfs.NewMem()))
	for _, size := range []int{120, 300, 950} {
		cid := put(t, s, content(1, size), Mark{})
		if ok, err := s.Verify(t.Context(), cid); !ok || err != nil {
			t.Errorf("Verify of a good copy: %t, %v", ok, err)
		}
		key := firstKey(s, cid)
		if err := rewrite(s, key, func(v []byte) []byte {
			v[len(v)-sealBytes-1] ^= 1
			return appendSeal(key, v[:len(v)-sealBytes])
		}); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Verify(t.Context(), cid); KindOf(err) != KindCorrupt {
			t.Errorf("Verify of a wrong copy: %v", err)
		}
		if h, err := s.Holding(cid); h != HoldsCorrupt || err != nil {
			t.Errorf("Holding = %d, %v", h, err)
		}
	}
	if ok, err := s.Verify(t.Context(), SumCID(content(3, 500))); ok || err != nil {
		t.Errorf("Verify of what is not held: %t, %v", ok, err)
	}
}
