package storage

import (
	"bytes"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// TestBlobFiles: each chunk of a large blob is read from its file, and is what
// Pebble would have read.
func TestBlobFiles(t *testing.T) {
	t.Parallel()
	for _, fs := range []vfs.FS{vfs.Default, vfs.NewMem()} {
		dir := t.TempDir()
		if err := fs.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		o := testOptions(fs)
		o.FreeFloorBytes = -1
		s, err := OpenStore(fs.PathJoin(dir, "blobs"), o)
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range []int{400, 401, 499, 500, 501, 100_000, 100_001} {
			b := content(1, n)
			cid := put(t, s, b, Mark{Generation: 1, Time: 1})
			mustHold(t, s, b)
			for i := range int64(s.lay.chunks(cid.Size())) {
				want := b[i*s.lay.chunk : min(int64(n), (i+1)*s.lay.chunk)]
				got, ok := s.files.chunk(cid, i, s.buffer())
				if !ok || !bytes.Equal(got, want) {
					t.Fatalf("chunk %d of %d bytes: read %t, %d bytes", i, n, ok, len(got))
				}
			}
			if _, ok := s.files.chunk(cid, int64(s.lay.chunks(cid.Size())), s.buffer()); ok {
				t.Fatal("a chunk past the end is read")
			}
		}
		small := put(t, s, content(1, 300), Mark{Generation: 1, Time: 1})
		if err := s.db.Flush(); err != nil {
			t.Fatal(err)
		}
		if _, ok := s.files.chunk(small, 0, s.buffer()); ok {
			t.Fatal("a small blob is read from a file")
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if n := len(s.files.open); n != 0 {
			t.Fatalf("%d files are noted that are closed", n)
		}
	}
}

// TestBlobFileOfAnother: what lies in a file counts for nothing that its CRC does
// not say it is.
func TestBlobFileOfAnother(t *testing.T) {
	t.Parallel()
	s := openTest(t, testOptions(vfs.NewMem()))
	one, other := content(1, 700), content(2, 700)
	a, b := put(t, s, one, Mark{Generation: 1, Time: 1}), put(t, s, other, Mark{Generation: 1, Time: 1})
	mustHold(t, s, one)
	mustHold(t, s, other)
	s.files.mu.Lock()
	s.files.open[a], s.files.open[b] = s.files.open[b], s.files.open[a]
	s.files.mu.Unlock()
	if _, ok := s.files.chunk(a, 0, s.buffer()); ok {
		t.Fatal("a chunk of another blob is taken for one")
	}
	mustHold(t, s, one)
	mustHold(t, s, other)
}

// TestBlobFileCloses: a file that Pebble has closed is not read any more.
func TestBlobFileCloses(t *testing.T) {
	t.Parallel()
	s := openTest(t, testOptions(vfs.NewMem()))
	cid := put(t, s, content(1, 700), Mark{Generation: 1, Time: 1})
	mustHold(t, s, content(1, 700))
	s.files.mu.Lock()
	f := s.files.open[cid]
	s.files.mu.Unlock()
	closed := &blobFile{File: f.File, files: s.files, cid: cid, closed: true}
	if err := closed.readValue(s.lay.key(cid, 0), 0, make([]byte, s.lay.chunk+sealBytes)); err == nil {
		t.Fatal("a closed file is read")
	}
	if erased, err := s.Erase(cid, 2); err != nil || !erased {
		t.Fatalf("erased: %t, %v", erased, err)
	}
	if _, err := readAll(s, cid); KindOf(err) != KindNotFound {
		t.Fatalf("what is erased is read: %v", err)
	}
}
