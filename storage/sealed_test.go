package storage

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"
)

// sealedOf is the sealed stream of a range of b.
func sealedOf(t testing.TB, cid CID, b []byte, offset, length int64) []byte {
	t.Helper()
	r := NewSealedReader(cid, offset, length, io.NopCloser(bytes.NewReader(b[offset:])))
	out, err := io.ReadAll(r)
	if err = errors.Join(err, r.Close()); err != nil {
		t.Fatal(err)
	}
	return out
}

func unsealed(cid CID, offset, length int64, r io.Reader) ([]byte, error) {
	u := Unseal(cid, offset, length, r)
	defer u.Close()
	return io.ReadAll(u)
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
