package storage

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// readFile and writeFile move a whole file of a vfs.FS.
func readFile(t *testing.T, fs vfs.FS, path string) []byte {
	t.Helper()
	f, err := fs.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	b, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func writeFile(t *testing.T, fs vfs.FS, path string, b []byte) {
	t.Helper()
	f, err := fs.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// tables are the paths of a closed store's table files.
func tables(t *testing.T, fs vfs.FS) []string {
	t.Helper()
	dir := fs.PathJoin(testDir, storeDBDir)
	names, err := fs.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	names = slices.DeleteFunc(names, func(name string) bool { return !strings.HasSuffix(name, ".sst") })
	slices.Sort(names)
	for i := range names {
		names[i] = fs.PathJoin(dir, names[i])
	}
	return names
}

// rotContents are blobs of each class.
func rotContents() [][]byte {
	var all [][]byte
	for i, size := range []int{70, 120, 150, 151, 300, 399, 400, 950} {
		all = append(all, content(uint64(i), size))
	}
	return all
}

// filledTables is a closed store with a mark, whose blobs all lie in tables.
func filledTables(t *testing.T) *vfs.MemFS {
	t.Helper()
	fs := vfs.NewMem()
	s, err := OpenStore(testDir, testOptions(fs))
	if err != nil {
		t.Fatal(err)
	}
	for i, b := range rotContents() {
		cid := put(t, s, b, Mark{Generation: 1})
		if _, _, err := s.Confirm(cid, Mark{Generation: 1 + uint64(i%2)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.db.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return fs
}

// I2, I16: one flipped bit anywhere in a table gives an error that is told to
// OnCorrupt, never wrong or missing bytes, and a Put of the blob heals it.
func TestFlippedBits(t *testing.T) {
	t.Parallel()
	fs := filledTables(t)
	clean := map[string][]byte{}
	for _, path := range tables(t, fs) {
		clean[path] = readFile(t, fs, path)
	}
	if len(clean) < 3 {
		t.Fatalf("%d tables, want one for small blobs and one for each large one", len(clean))
	}
	const step = 37 // every byte has its turn at step 1, which takes long
	noticed, flips := 0, 0
	for path, b := range clean {
		for at := rand.IntN(step); at < len(b); at += step {
			rotten := slices.Clone(b)
			rotten[at] ^= 1 << rand.IntN(8)
			// A closed store on a file system of its own, but for this byte.
			mine := vfs.NewMem()
			if ok, err := vfs.Clone(fs, mine, "", ""); !ok || err != nil {
				t.Fatal(ok, err)
			}
			writeFile(t, mine, path, rotten)
			flips++
			if rotsLoudly(t, mine) {
				noticed++
			}
			if t.Failed() {
				t.Fatalf("byte %d of %s", at, path)
			}
		}
	}
	t.Logf("%d flips, %d of them in the way of a read", flips, noticed)
	if noticed < flips/4 {
		t.Error("hardly a flip was noticed: the test reads too little")
	}
}

// The block before a large blob's chunks is in nobody's way but a list's: the
// scrub finds it bad, and a Put replaces it.
func TestVerifyReadsTheLead(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMem()
	s, err := OpenStore(testDir, testOptions(fs))
	if err != nil {
		t.Fatal(err)
	}
	b := content(1, 950)
	cid := put(t, s, b, Mark{Generation: 1})
	if ok, err := s.Verify(t.Context(), cid); !ok || err != nil {
		t.Fatal(ok, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	all := tables(t, fs)
	if len(all) != 1 {
		t.Fatalf("%d tables", len(all))
	}
	flip(t, fs, all[0], 30)
	s = openTest(t, testOptions(fs))
	if got, err := readAll(s, cid); err != nil || !bytes.Equal(got, b) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if _, err := s.Verify(t.Context(), cid); KindOf(err) != KindCorrupt {
		t.Errorf("scrubbed: %v", err)
	}
	put(t, s, b, Mark{Generation: 2})
	mustHold(t, s, b)
	if ok, err := s.Verify(t.Context(), cid); !ok || err != nil {
		t.Error(ok, err)
	}
	if _, err := s.List(nil, 10); err != nil {
		t.Error(err)
	}
}

// rotsLoudly reads everything from a store with one flipped bit, then puts
// everything again. It reports whether a read failed.
func rotsLoudly(t *testing.T, fs vfs.FS) bool {
	t.Helper()
	var told corruptions
	o := testOptions(fs)
	o.OnCorrupt = told.told
	s, err := OpenStore(testDir, o)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	noticed := false
	for _, b := range rotContents() {
		cid := SumCID(b)
		got, err := readAll(s, cid)
		if err == nil {
			if !bytes.Equal(got, b) {
				t.Fatalf("%d wrong bytes are read", len(got))
			}
			for _, c := range told.take() {
				if c != cid {
					continue
				}
				// A reader has no use for what lies around a large blob's chunks; the scrub has.
				if _, err := s.Verify(t.Context(), cid); s.lay.class(cid.Size()) != classLarge || KindOf(err) != KindCorrupt {
					t.Errorf("a blob of %d bytes that is read well is told to be corrupt: %v", len(b), err)
				}
			}
			continue
		}
		noticed = true
		if KindOf(err) != KindCorrupt || !bytes.HasPrefix(b, got) {
			t.Errorf("%d bytes, then %v", len(got), err)
		}
		if !slices.Contains(told.take(), cid) {
			t.Errorf("OnCorrupt was not told of a blob of %d bytes: %v", len(b), err)
		}
		if info, ok, err := s.Stat(cid); !ok || !info.Corrupt || err != nil {
			t.Errorf("Stat after a failed read: %+v, %t, %v", info, ok, err)
		}
		if _, ok, err := s.Confirm(cid, Mark{Generation: 9}); ok || err != nil {
			t.Errorf("a corrupt copy is confirmed: %v", err)
		}
	}
	if infos, err := s.List(nil, 100); err == nil && len(infos) != len(rotContents()) || err != nil && KindOf(err) != KindCorrupt {
		t.Errorf("List has %d blobs, %v", len(infos), err)
	}
	v := s.use()
	rotten := v.cur.isRotten()
	v.release()
	if rotten { // it is going to be replaced: a Put in the very moment is refused
		waitRebuild(t, s)
	}
	for _, b := range append(rotContents(), content(90, 80), content(90, 350), content(90, 800)) {
		put(t, s, b, Mark{Generation: 3})
		mustHold(t, s, b)
	}
	return noticed
}

// firstKey is where a blob's first bytes lie.
func firstKey(s *Store, cid CID) []byte {
	if cid.Size() <= s.lay.tinyMax {
		return s.lay.key(cid, headerChunk)
	}
	return s.lay.key(cid, 0)
}

// rewrite changes a value behind the store's back.
func rewrite(s *Store, key []byte, change func([]byte) []byte) error {
	v, closer, err := s.db.Get(key)
	if err != nil {
		return err
	}
	v = bytes.Clone(v)
	if err := closer.Close(); err != nil {
		return err
	}
	return s.db.Set(key, change(v), pebble.Sync)
}

// damages are what can be wrong below Pebble's own checks.
var damages = map[string]func(s *Store, cid CID) error{
	"flipped byte in the first chunk": func(s *Store, cid CID) error {
		return rewrite(s, firstKey(s, cid), func(v []byte) []byte { v[len(v)/2] ^= 1; return v })
	},
	"first value of another blob": func(s *Store, cid CID) error {
		other := content(77, int(cid.Size()))
		otherCID := SumCID(other)
		if _, err := s.Put(context.Background(), otherCID, bytes.NewReader(other), Mark{}); err != nil {
			return err
		}
		v, closer, err := s.db.Get(firstKey(s, otherCID))
		if err != nil {
			return err
		}
		v = bytes.Clone(v)
		_ = closer.Close()
		_, err = s.Erase(otherCID, 1)
		if err != nil {
			return err
		}
		return s.db.Set(firstKey(s, cid), v, pebble.Sync)
	},
	"first value cut": func(s *Store, cid CID) error {
		return rewrite(s, firstKey(s, cid), func(v []byte) []byte { return v[:3] })
	},
	"first value sealed, but short": func(s *Store, cid CID) error {
		key := firstKey(s, cid)
		return rewrite(s, key, func(v []byte) []byte { return appendSeal(key, v[:len(v)-sealBytes-1]) })
	},
	"header cut": func(s *Store, cid CID) error {
		return rewrite(s, s.lay.key(cid, headerChunk), func(v []byte) []byte { return v[:headerBytes-1] })
	},
	"header of another version": func(s *Store, cid CID) error {
		key := s.lay.key(cid, headerChunk)
		return rewrite(s, key, func(v []byte) []byte { v[0]++; return appendSeal(key, v[:len(v)-sealBytes]) })
	},
	"header of another size": func(s *Store, cid CID) error {
		key := s.lay.key(cid, headerChunk)
		return rewrite(s, key, func(v []byte) []byte { v[8]++; return appendSeal(key, v[:len(v)-sealBytes]) })
	},
	"mark with another CRC": func(s *Store, cid CID) error {
		return s.db.Set(markKey(cid), make([]byte, sealedMarkBytes), pebble.Sync)
	},
	"mark sealed, but short": func(s *Store, cid CID) error {
		key := markKey(cid)
		return s.db.Set(key, appendSeal(key, []byte{1}), pebble.Sync)
	},
}

// I2, I16: what Pebble lets through, the seals do not. The copy stays out of
// service over a restart, and the next Put replaces it.
func TestDamagedValues(t *testing.T) {
	t.Parallel()
	for name, damage := range damages {
		for _, size := range []int{120, 300, 950} {
			checkDamage(t, name, content(1, size), damage)
		}
	}
	for _, size := range []int{300, 950} {
		checkDamage(t, "second chunk missing", content(1, size), func(s *Store, cid CID) error {
			return s.db.Delete(s.lay.key(cid, 1), pebble.Sync)
		})
	}
}

func checkDamage(t *testing.T, name string, b []byte, damage func(*Store, CID) error) {
	t.Helper()
	fs := vfs.NewMem()
	var told corruptions
	o := testOptions(fs)
	o.OnCorrupt = told.told
	s, err := OpenStore(testDir, o)
	if err != nil {
		t.Fatal(err)
	}
	beside := content(5, len(b))
	put(t, s, beside, Mark{})
	cid := put(t, s, b, Mark{Generation: 4})
	mustHold(t, s, b) // and its table is open
	if err := damage(s, cid); err != nil {
		t.Fatal(err)
	}
	s.files.drop(cid) // the damage lies over its table
	got, err := readAll(s, cid)
	if KindOf(err) != KindCorrupt || !bytes.HasPrefix(b, got) {
		t.Errorf("%s, %d bytes: %d bytes are read, %v", name, len(b), len(got), err)
	}
	if cids := told.take(); !slices.Equal(cids, []CID{cid}) {
		t.Errorf("%s, %d bytes: OnCorrupt is told of %v", name, len(b), cids)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openTest(t, o)
	if _, err := s.Open(t.Context(), cid, 0, 1); KindOf(err) != KindCorrupt {
		t.Errorf("%s, %d bytes: after a restart, %v", name, len(b), err)
	}
	infos, err := s.List(nil, 3)
	if err != nil || len(infos) != 2 || !slices.ContainsFunc(infos, func(i BlobInfo) bool { return i.CID == cid && i.Corrupt }) {
		t.Errorf("%s, %d bytes: List = %+v, %v", name, len(b), infos, err)
	}
	_, err = s.Put(t.Context(), cid, bytes.NewReader(content(3, len(b))), Mark{})
	checkBodyError(t, name, len(b), err, "digest")
	put(t, s, b, Mark{Generation: 6})
	if info := mustHold(t, s, b); info.Generation != 6 {
		t.Errorf("%s, %d bytes: generation %d after the new Put", name, len(b), info.Generation)
	}
	mustHold(t, s, beside)
	s.counting.wg.Wait()
	if st := s.Stats(); st.Blobs != 2 || st.Bytes != int64(2*len(b)) {
		t.Errorf("%s, %d bytes: %+v", name, len(b), st)
	}
}

// A corrupt copy may be erased as any other.
func TestEraseOfACorruptCopy(t *testing.T) {
	t.Parallel()
	s := openTest(t, testOptions(vfs.NewMem()))
	for _, size := range []int{120, 300, 950} {
		cid := put(t, s, content(1, size), Mark{Generation: 4})
		if err := damages["flipped byte in the first chunk"](s, cid); err != nil {
			t.Fatal(err)
		}
		s.files.drop(cid) // the damage lies over its table
		if _, err := readAll(s, cid); KindOf(err) != KindCorrupt {
			t.Errorf("read: %v", err)
		}
		if ok, err := s.Erase(cid, 5); !ok || err != nil {
			t.Errorf("Erase = %t, %v", ok, err)
		}
		mustBeEmpty(t, s)
	}
}

// I16: a database that lost what says where it begins does not come up blank.
func TestLostMarkersAreNoBlankStore(t *testing.T) {
	t.Parallel()
	fs := filledTables(t)
	dir := fs.PathJoin(testDir, storeDBDir)
	names, err := fs.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if strings.HasPrefix(name, markerPrefix) {
			if err := fs.Remove(fs.PathJoin(dir, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if s, err := OpenStore(testDir, testOptions(fs)); err == nil {
		t.Error("the store opens")
		_ = s.Close()
	}
}
