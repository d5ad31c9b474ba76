package storage

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// testLayout has all kinds of blobs below 1 KB: tiny to 150 bytes, small below
// 400, large above, in chunks of 100.
var testLayout = layout{chunk: 100, tinyMax: 150, smallMax: 400}

const testDir = "data/blobs"

// borderSizes are the sizes around each border of testLayout, none inline.
var borderSizes = []int{65, 66, 99, 100, 101, 149, 150, 151, 199, 200, 201, 300, 399, 400, 401, 500, 501, 999, 1000, 1001}

// content returns n bytes that depend on seed alone.
func content(seed uint64, n int) []byte {
	rng := rand.New(rand.NewPCG(seed, uint64(n)))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	return b
}

// corruptions collects what OnCorrupt is told.
type corruptions struct {
	mu   sync.Mutex
	cids []CID
}

func (c *corruptions) told(cid CID, _ error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cids = append(c.cids, cid)
}

// take returns what was told since the last time.
func (c *corruptions) take() []CID {
	c.mu.Lock()
	defer c.mu.Unlock()
	told := c.cids
	c.cids = nil
	return told
}

func testOptions(fs vfs.FS) StoreOptions {
	return StoreOptions{FS: fs, CacheBytes: 1 << 20, MemTableBytes: 256 << 10, layout: testLayout}
}

// openTest opens a store that is closed at the test's end.
func openTest(t *testing.T, o StoreOptions) *Store {
	t.Helper()
	s, err := OpenStore(testDir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// put stores content and returns its name.
func put(t *testing.T, s *Store, b []byte, m Mark) CID {
	t.Helper()
	cid := SumCID(b)
	info, err := s.Put(t.Context(), cid, bytes.NewReader(b), m)
	if err != nil {
		t.Fatalf("Put of %d bytes: %v", len(b), err)
	}
	if info.CID != cid || info.Generation < m.Generation || info.Time < m.Time || info.Corrupt {
		t.Fatalf("Put gives %+v", info)
	}
	return cid
}

// readRange reads a range through Read or WriteTo.
func readRange(s *Store, cid CID, offset, length int64, writeTo bool) ([]byte, error) {
	r, err := s.Open(context.Background(), cid, offset, length)
	if err != nil {
		return nil, err
	}
	defer func() { _ = r.Close() }()
	if writeTo {
		var b bytes.Buffer
		_, err = r.WriteTo(&b)
		return b.Bytes(), err
	}
	return io.ReadAll(r)
}

func readAll(s *Store, cid CID) ([]byte, error) { return readRange(s, cid, 0, -1, true) }

// mustHold fails the test unless the blob is there with its right bytes.
func mustHold(t *testing.T, s *Store, b []byte) BlobInfo {
	t.Helper()
	cid := SumCID(b)
	info, ok, err := s.Stat(cid)
	if err != nil || !ok || info.Corrupt || info.CID != cid {
		t.Fatalf("Stat of %d bytes: %+v, %t, %v", len(b), info, ok, err)
	}
	got, err := readAll(s, cid)
	if err != nil || !bytes.Equal(got, b) {
		t.Fatalf("%d bytes of %d are read: %v", len(got), len(b), err)
	}
	return info
}

// mustBeEmpty fails the test when the database has a key or staging a file.
func mustBeEmpty(t *testing.T, s *Store) {
	t.Helper()
	it, err := s.db.NewIter(&pebble.IterOptions{KeyTypes: pebble.IterKeyTypePointsOnly})
	if err != nil {
		t.Fatal(err)
	}
	for ok := it.First(); ok; ok = it.Next() {
		t.Errorf("key %x is left", it.Key())
	}
	if err := it.Close(); err != nil {
		t.Fatal(err)
	}
	mustStageNothing(t, s)
	if st := s.Stats(); st.Blobs != 0 || st.Bytes != 0 {
		t.Errorf("stats count %+v", st)
	}
}

func mustStageNothing(t *testing.T, s *Store) {
	t.Helper()
	names, err := s.fs.List(s.staging)
	if err != nil || len(names) != 0 {
		t.Errorf("staging holds %q, %v", names, err)
	}
}
