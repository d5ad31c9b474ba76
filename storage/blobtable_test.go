package storage

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// writeBlobTable writes a table with the given values under their numbers.
func writeBlobTable(t *testing.T, s *Store, path string, values [][]byte) {
	t.Helper()
	f, err := s.createDirect(path, valueOver+300)
	if err != nil {
		t.Fatal(err)
	}
	table := blobTable{out: f}
	for i, v := range values {
		if err := table.set(fmt.Appendf(nil, "key %06d", i), v); err != nil {
			t.Fatal(err)
		}
	}
	if err := table.end(); err != nil {
		t.Fatal(err)
	}
}

// TestBlobTable: Pebble reads what we write, finds its checksums right, and the
// numbers that it plans compactions by.
func TestBlobTable(t *testing.T) {
	t.Parallel()
	for _, fs := range []vfs.FS{vfs.Default, vfs.NewMem()} {
		dir := t.TempDir()
		if err := fs.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		for _, n := range []int{1, 2, rowsShare, rowsShare + 1, 1000, 12000} { // 12000 are more than a write, and so is their index
			s := &Store{fs: fs}
			var values [][]byte
			var sum uint64
			for i := range n {
				values = append(values, content(uint64(i), i%300))
				sum += uint64(i%300) + sealBytes
			}
			path := fs.PathJoin(dir, fmt.Sprint(n))
			writeBlobTable(t, s, path, values)
			checkBlobTable(t, fs, path, values, sum)
		}
	}
}

func checkBlobTable(t *testing.T, fs vfs.FS, path string, values [][]byte, sum uint64) {
	t.Helper()
	f, err := fs.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	readable, err := sstable.NewSimpleReadable(f)
	if err != nil {
		t.Fatal(err)
	}
	r, err := sstable.NewReader(t.Context(), readable, sstable.ReaderOptions{})
	if err != nil {
		t.Fatalf("%d values: %v", len(values), err)
	}
	defer func() { _ = r.Close() }()
	if err := r.ValidateBlockChecksums(); err != nil {
		t.Fatal(err)
	}
	props, err := r.ReadPropertiesBlock(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if props.NumEntries != uint64(len(values)) || props.RawValueSize != sum || props.NumDeletions != 0 || props.NumDataBlocks != props.NumEntries {
		t.Fatalf("properties of %d values: %v", len(values), &props)
	}
	it, err := r.NewIter(sstable.NoTransforms, nil, nil, sstable.AssertNoBlobHandles)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = it.Close() }()
	i := 0
	for kv := it.First(); kv != nil; kv = it.Next() {
		got, err := unseal(kv.K.UserKey, kv.InPlaceValue())
		if err != nil || i == len(values) || !bytes.Equal(got, values[i]) || string(kv.K.UserKey) != fmt.Sprintf("key %06d", i) {
			t.Fatalf("value %d of %d: %q, %v", i, len(values), kv.K.UserKey, err)
		}
		i++
	}
	if err := it.Error(); err != nil || i != len(values) {
		t.Fatalf("%d values of %d: %v", i, len(values), err)
	}
	if kv := it.SeekGE(fmt.Appendf(nil, "key %06d", len(values)/2), 0); kv == nil {
		t.Fatal("a key is not found")
	}
}

// TestTableWithoutLead: tables of before leads were written hold, list and go.
func TestTableWithoutLead(t *testing.T) {
	t.Parallel()
	s := openTest(t, testOptions(vfs.NewMem()))
	before, after := content(1, 700), content(2, 701)
	put(t, s, before, Mark{Generation: 1, Time: 1})
	cid := SumCID(after)
	f, err := s.createDirect(s.fs.PathJoin(s.staging, "old.sst"), valueOver+int(s.lay.chunk))
	if err != nil {
		t.Fatal(err)
	}
	table := blobTable{out: f}
	for i := range s.lay.chunks(cid.Size()) {
		if err := table.set(s.lay.key(cid, i), after[int64(i)*s.lay.chunk:min(cid.Size(), int64(i+1)*s.lay.chunk)]); err != nil {
			t.Fatal(err)
		}
	}
	if err := table.set(s.header(cid, Mark{Generation: 1, Time: 1})); err != nil {
		t.Fatal(err)
	}
	if err := table.end(); err != nil {
		t.Fatal(err)
	}
	if err := s.db.Ingest(t.Context(), []string{s.fs.PathJoin(s.staging, "old.sst")}); err != nil {
		t.Fatal(err)
	}
	mustHold(t, s, after)
	if infos, err := s.List(nil, 10); err != nil || len(infos) != 2 {
		t.Fatalf("%v are listed, %v", infos, err)
	}
	if erased, err := s.Erase(cid, 2); err != nil || !erased {
		t.Fatalf("erased: %t, %v", erased, err)
	}
	mustHold(t, s, before)
}

// TestBlobLeads: the first block of a blob, which a list reads, is no chunk.
func TestBlobLeads(t *testing.T) {
	t.Parallel()
	s := openTest(t, testOptions(vfs.NewMem()))
	b := content(1, 100<<10)
	cid := put(t, s, b, Mark{Generation: 1, Time: 1})
	start, end := s.lay.span(cid)
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: start, UpperBound: end})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = it.Close() }()
	if !it.First() || len(it.Key()) != len(s.lay.leadKey(cid)) || len(it.Value()) != sealBytes {
		t.Fatalf("the first key of a blob is %x", it.Key())
	}
	if err := s.db.Compact(t.Context(), start, end, false); err != nil { // Pebble writes it anew, in its own form
		t.Fatal(err)
	}
	mustHold(t, s, b)
	if infos, err := s.List(nil, 10); err != nil || len(infos) != 1 || infos[0].CID != cid {
		t.Fatalf("%v are listed, %v", infos, err)
	}
}
