package storage

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// I2: each range is those bytes of the content and no others.
func TestRangesAtChunkBorders(t *testing.T) {
	t.Parallel()
	s := openTest(t, testOptions(vfs.NewMem()))
	for _, size := range append([]int{0, 1, 64}, borderSizes...) {
		b := content(1, size)
		cid := put(t, s, b, Mark{Generation: 1})
		offsets := []int{0, 1, 99, 100, 101, 150, 199, 200, 300, 399, size - 1, size}
		lengths := []int{-1, 0, 1, 99, 100, 101, 200, 201, size}
		for _, offset := range offsets {
			for _, length := range lengths {
				if offset < 0 || offset > size || length > size-offset {
					continue
				}
				end := offset + length
				if length < 0 {
					end = size
				}
				for _, writeTo := range []bool{false, true} {
					got, err := readRange(s, cid, int64(offset), int64(length), writeTo)
					if err != nil || !bytes.Equal(got, b[offset:end]) {
						t.Fatalf("%d bytes, %d from %d: %d bytes, %v", size, length, offset, len(got), err)
					}
				}
				r, err := s.Open(t.Context(), cid, int64(offset), int64(length))
				if err != nil {
					t.Fatal(err)
				}
				got, err := readByTurns(r)
				if err = errors.Join(err, r.Close()); err != nil || !bytes.Equal(got, b[offset:end]) {
					t.Fatalf("%d bytes, %d from %d, in parts: %d bytes, %v", size, length, offset, len(got), err)
				}
			}
		}
	}
}

// readByTurns reads a part, then some bytes into memory of its own, and so on.
func readByTurns(r interface {
	io.Reader
	Next() ([]byte, error)
},
) ([]byte, error) {
	var all []byte
	for own := make([]byte, 70); ; {
		part, err := r.Next()
		all = append(all, part...)
		if err == nil {
			var n int
			n, err = r.Read(own)
			all = append(all, own[:n]...)
		}
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return all, err
		}
	}
}

func TestRangesOutsideTheContent(t *testing.T) {
	t.Parallel()
	s := openTest(t, testOptions(vfs.NewMem()))
	for _, size := range []int{0, 10, 100, 300, 700} {
		cid := put(t, s, content(2, size), Mark{})
		n := int64(size)
		for _, r := range [][2]int64{{-1, 1}, {n + 1, -1}, {n + 1, 0}, {n, 1}, {0, n + 1}, {1, n}, {0, 1<<63 - 1}, {1<<63 - 1, 1<<63 - 1}} {
			if _, err := s.Open(t.Context(), cid, r[0], r[1]); KindOf(err) != KindRange {
				t.Errorf("%d bytes, %d from %d: %v", size, r[1], r[0], err)
			}
		}
	}
	if _, err := s.Open(t.Context(), SumCID(content(3, 200)), 0, -1); KindOf(err) != KindNotFound {
		t.Errorf("a blob that was never put: %v", err)
	}
}

// Reads of any size, one byte included, see the same content.
func TestReadInSmallSteps(t *testing.T) {
	t.Parallel()
	s := openTest(t, testOptions(vfs.NewMem()))
	b := content(4, 777)
	cid := put(t, s, b, Mark{})
	for _, step := range []int{1, 7, 99, 100, 101, 1000} {
		r, err := s.Open(t.Context(), cid, 5, 700)
		if err != nil {
			t.Fatal(err)
		}
		var got []byte
		for buf := make([]byte, step); ; {
			n, err := r.Read(buf)
			got = append(got, buf[:n]...)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if err := r.Close(); err != nil || !bytes.Equal(got, b[5:705]) {
			t.Errorf("steps of %d give %d other bytes, %v", step, len(got), err)
		}
	}
}

type failingWriter struct{ left int }

var errWriter = errors.New("the client is gone")

func (w *failingWriter) Write(p []byte) (int, error) {
	if len(p) > w.left {
		return w.left, errWriter
	}
	w.left -= len(p)
	return len(p), nil
}

func TestReaderEnds(t *testing.T) {
	t.Parallel()
	s := openTest(t, testOptions(vfs.NewMem()))
	b := content(5, 900)
	cid := put(t, s, b, Mark{})

	r, err := s.Open(t.Context(), cid, 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := r.WriteTo(&failingWriter{left: 250}); n != 250 || !errors.Is(err, errWriter) {
		t.Errorf("WriteTo = %d, %v", n, err)
	}
	if rest, err := io.ReadAll(r); err != nil || !bytes.Equal(rest, b[250:]) {
		t.Errorf("after a failed WriteTo %d bytes follow, %v", len(rest), err)
	}
	if err := errors.Join(r.Close(), r.Close()); err != nil {
		t.Errorf("Close twice: %v", err)
	}

	cause := errors.New("the server stops")
	ctx, cancel := context.WithCancelCause(t.Context())
	if r, err = s.Open(ctx, cid, 0, -1); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(r, make([]byte, 100)); err != nil {
		t.Fatal(err)
	}
	cancel(cause)
	if _, err := r.Read(make([]byte, 1)); !errors.Is(err, cause) {
		t.Errorf("Read after the context's end: %v", err)
	}
	_ = r.Close()

	// Erased under a reader: an error, never a clean end.
	if r, err = s.Open(t.Context(), cid, 0, -1); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(r, make([]byte, 100)); err != nil {
		t.Fatal(err)
	}
	if ok, err := s.Erase(cid, 1); !ok || err != nil {
		t.Fatal(ok, err)
	}
	if _, err := io.ReadAll(r); KindOf(err) != KindNotFound {
		t.Errorf("Read of an erased blob: %v", err)
	}
	_ = r.Close()
	mustBeEmpty(t, s)
}

// List gives every blob once in the order of Compare, whatever the page.
func TestListOrderAndPages(t *testing.T) {
	t.Parallel()
	s := openTest(t, testOptions(vfs.NewMem()))
	var all []CID
	for seed := range uint64(3) {
		for _, size := range borderSizes {
			all = append(all, put(t, s, content(seed, size), Mark{Generation: seed}))
		}
	}
	put(t, s, []byte("inline"), Mark{})
	slices.SortFunc(all, CID.Compare)
	if _, _, err := s.Confirm(all[5], Mark{Generation: 77}); err != nil {
		t.Fatal(err)
	}
	for _, limit := range []int{1, 2, 7, 59, 60, 61, 1000} {
		var got []CID
		for after := (*CID)(nil); ; after = &got[len(got)-1] {
			page, err := s.List(after, limit)
			if err != nil || len(page) > limit {
				t.Fatalf("%d blobs, %v", len(page), err)
			}
			if len(page) == 0 {
				break
			}
			for _, info := range page {
				if want := info.CID == all[5]; want != (info.Generation == 77) {
					t.Errorf("generation %d is listed", info.Generation)
				}
				got = append(got, info.CID)
			}
		}
		if !slices.Equal(got, all) {
			t.Errorf("pages of %d list %d blobs in another order than Compare's", limit, len(got))
		}
	}
	// After names that are not held, inline ones included.
	for _, name := range []CID{{}, SumCID([]byte("x")), SumCID(content(9, 300)), SumCID(content(9, 400)), SumCID(content(9, 5000))} {
		page, err := s.List(&name, 1000)
		want, _ := slices.BinarySearchFunc(all, name, CID.Compare)
		if err != nil || len(page) != len(all)-want {
			t.Errorf("after %d bytes: %d blobs, want %d, %v", name.Size(), len(page), len(all)-want, err)
		}
	}
	if page, err := s.List(nil, 0); err != nil || len(page) != 0 {
		t.Errorf("a page of 0: %d blobs, %v", len(page), err)
	}
}
