package storage

import (
	"bytes"
	"errors"
	"hash/crc32"
	"io"
	"slices"
	"testing"
	"testing/iotest"

	"github.com/cockroachdb/pebble/v2/vfs"
	"pgregory.net/rapid"
)

// sealedOf is the sealed stream of a range of b.
func sealedOf(tb testing.TB, cid CID, b []byte, offset, length int64) []byte {
	tb.Helper()
	r := NewSealedReader(cid, offset, length, io.NopCloser(bytes.NewReader(b[offset:])))
	out, err := io.ReadAll(r)
	if err = errors.Join(err, r.Close()); err != nil {
		tb.Fatal(err)
	}
	return out
}

func unsealed(cid CID, offset, length int64, r io.Reader) ([]byte, error) {
	u := Unseal(cid, offset, length, r)
	defer u.Close()
	return readByTurns(u)
}

// A range arrives as it was, however it is read and written.
func TestSealedRoundTrip(t *testing.T) {
	t.Parallel()
	b := content(1, 3*PieceBytes+100)
	cid := SumCID(b)
	n := int64(len(b))
	for _, c := range [][2]int64{{0, n}, {0, 0}, {n, 0}, {5, 1}, {0, PieceBytes}, {7, PieceBytes}, {0, PieceBytes + 1}, {PieceBytes - 1, 2 * PieceBytes}, {n - 1, 1}} {
		offset, length := c[0], c[1]
		sealed := sealedOf(t, cid, b, offset, length)
		if int64(len(sealed)) != SealedSize(length) {
			t.Errorf("%v: a stream of %d bytes, want %d", c, len(sealed), SealedSize(length))
		}
		var written bytes.Buffer
		r := NewSealedReader(cid, offset, length, io.NopCloser(iotest.HalfReader(bytes.NewReader(b[offset:]))))
		if _, err := r.WriteTo(&written); err != nil || !bytes.Equal(written.Bytes(), sealed) {
			t.Errorf("%v: written are %d bytes, %v", c, written.Len(), err)
		}
		for _, buf := range []int{1000, 32 << 10, PieceBytes, 1 << 20} {
			u := Unseal(cid, offset, length, iotest.HalfReader(bytes.NewReader(sealed)))
			var got bytes.Buffer
			_, err := io.CopyBuffer(struct{ io.Writer }{&got}, u, make([]byte, buf))
			if err != nil || !bytes.Equal(got.Bytes(), b[offset:offset+length]) {
				t.Errorf("%v by %d bytes: %d bytes, %v", c, buf, got.Len(), err)
			}
			u.Close()
		}
		if got, err := unsealed(cid, offset, length, bytes.NewReader(sealed)); err != nil || !bytes.Equal(got, b[offset:offset+length]) {
			t.Errorf("%v in parts: %d bytes, %v", c, len(got), err)
		}
	}
}

// I2: whatever bit of a stream flips, wherever it is cut, and whatever follows
// it: no wrong byte leaves, and there is no clean end.
func TestSealedFaults(t *testing.T) {
	t.Parallel()
	b := content(1, PieceBytes+5000)
	cid := SumCID(b)
	sealed := sealedOf(t, cid, b, 0, cid.Size())
	rapid.Check(t, func(rt *rapid.T) {
		bad := slices.Clone(sealed)
		at := rapid.IntRange(0, len(bad)-1).Draw(rt, "at")
		if rapid.Bool().Draw(rt, "near an edge") {
			edges := []int{0, pieceHead, PieceBytes + pieceHead, PieceBytes + pieceOver, len(bad) - pieceOver, len(bad)}
			at = min(len(bad)-1, rapid.SampledFrom(edges).Draw(rt, "edge")+rapid.IntRange(0, 9).Draw(rt, "after"))
		}
		switch rapid.IntRange(0, 2).Draw(rt, "fault") {
		case 0:
			bad[at] ^= 1 << rapid.IntRange(0, 7).Draw(rt, "bit")
		case 1:
			bad = bad[:at]
		case 2:
			bad = append(bad, bad[at])
		}
		got, err := unsealed(cid, 0, cid.Size(), bytes.NewReader(bad))
		if err == nil || len(got) == len(b) || !bytes.Equal(got, b[:len(got)]) {
			rt.Fatalf("%d bytes, %v", len(got), err)
		}
	})
}

// A stream of another content, or of another place in it, does not pass.
func TestSealedElsewhere(t *testing.T) {
	t.Parallel()
	b, other := content(1, 3000), SumCID(content(2, 3000))
	cid := SumCID(b)
	sealed := sealedOf(t, cid, b, 1000, 1000)
	for name, read := range map[string]func() ([]byte, error){
		"another content": func() ([]byte, error) { return unsealed(other, 1000, 1000, bytes.NewReader(sealed)) },
		"another place":   func() ([]byte, error) { return unsealed(cid, 1001, 1000, bytes.NewReader(sealed)) },
		"another length":  func() ([]byte, error) { return unsealed(cid, 1000, 1001, bytes.NewReader(sealed)) },
		"not sealed":      func() ([]byte, error) { return unsealed(cid, 0, 3000, bytes.NewReader(b)) },
	} {
		if got, err := read(); KindOf(err) != KindCorrupt || len(got) > 0 {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
	}
}

// A reader that fails, or has too little, makes no end.
func TestSealedReaderFails(t *testing.T) {
	t.Parallel()
	b := content(1, 3000)
	cid := SumCID(b)
	errDisk := errors.New("a chunk is corrupt")
	for name, r := range map[string]io.Reader{
		"short": bytes.NewReader(b[:2999]),
		"fails": io.MultiReader(bytes.NewReader(b[:2999]), iotest.ErrReader(errDisk)),
	} {
		s := NewSealedReader(cid, 0, 3000, io.NopCloser(r))
		if got, err := io.ReadAll(s); err == nil {
			t.Errorf("%s: a clean end after %d bytes", name, len(got))
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// I2: what was hashed by its sender is kept with the sender's end, and never
// before: cut anywhere, or with any bit flipped, it leaves nothing.
func TestPutProven(t *testing.T) {
	t.Parallel()
	for _, size := range []int{65, 20_000, 300_000, 600_000} {
		b := content(1, size)
		cid := SumCID(b)
		sealed := sealedOf(t, cid, b, 0, cid.Size())
		s := openTest(t, testOptions(vfs.NewMem()))
		put := func(stream []byte) error {
			u := Unseal(cid, 0, cid.Size(), bytes.NewReader(stream))
			defer u.Close()
			_, err := s.PutProven(t.Context(), cid, u, Mark{Generation: 1})
			return err
		}
		for at := range len(sealed) {
			near := at < 2 || at > len(sealed)-pieceOver-2 || at%100_000 == 0
			if !near {
				continue
			}
			flipped := slices.Clone(sealed)
			flipped[at] ^= 4
			if put(sealed[:at]) == nil || put(flipped) == nil {
				t.Fatalf("%d bytes are kept although the stream is wrong at %d of %d", size, at, len(sealed))
			}
			if _, held, err := s.Stat(cid); held || err != nil {
				t.Fatalf("held: %t, %v", held, err)
			}
		}
		for range 2 { // the second finds it there
			if err := put(sealed); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := readRange(s, cid, 0, cid.Size(), false); err != nil || !bytes.Equal(got, b) {
			t.Errorf("%d bytes are read of %d: %v", len(got), size, err)
		}
		if put(sealed[:len(sealed)-1]) == nil {
			t.Error("a copy that is there is confirmed by a stream without an end")
		}
	}
}

// A member that gives its word for bytes of another name is believed, and found
// out by whoever hashes.
func TestPutProvenByALiar(t *testing.T) {
	t.Parallel()
	for _, size := range []int{20_000, 600_000} {
		cid := SumCID(content(1, size))
		s := openTest(t, testOptions(vfs.NewMem()))
		if _, err := s.PutProven(t.Context(), cid, bytes.NewReader(content(2, size)), Mark{}); err != nil {
			t.Fatal(err)
		}
		if held, err := s.Verify(t.Context(), cid); held || KindOf(err) != KindCorrupt {
			t.Errorf("held: %t, %v", held, err)
		}
		if _, err := s.Open(t.Context(), cid, 0, -1); KindOf(err) != KindCorrupt {
			t.Error(err)
		}
		if _, err := s.Put(t.Context(), cid, bytes.NewReader(content(1, size)), Mark{}); err != nil {
			t.Error(err)
		}
	}
}

// The CRC that comes with a piece is that of the bytes that a read returned, or
// it is not given.
func TestUnsealedSum(t *testing.T) {
	t.Parallel()
	b := content(1, 2*PieceBytes+100)
	cid := SumCID(b)
	stream := sealedOf(t, cid, b, 0, int64(len(b)))
	for _, room := range []int{PieceBytes, PieceBytes + 1, PieceBytes - 1, 7000} {
		u := Unseal(cid, 0, int64(len(b)), bytes.NewReader(stream))
		buf := make([]byte, room)
		sums := 0
		for {
			n, err := u.Read(buf)
			if sum, ok := u.lastSum(n); ok {
				if sums++; sum != crc32.Checksum(buf[:n], crcTable) {
					t.Errorf("room for %d: another CRC of %d bytes", room, n)
				}
			}
			if _, ok := u.lastSum(n + 1); ok {
				t.Errorf("room for %d: a CRC of more than was read", room)
			}
			if err != nil {
				break
			}
		}
		if want := map[bool]int{true: 3, false: 0}[room >= PieceBytes]; sums < want || room >= PieceBytes && sums != want {
			t.Errorf("room for %d: %d CRCs, not %d", room, sums, want)
		}
		u.Close()
	}
}
