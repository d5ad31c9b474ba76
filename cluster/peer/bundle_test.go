package peer

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"testing"

	"ringbin/storage"
)

func proven(t *testing.T, contents ...[]byte) []storage.Proven {
	t.Helper()
	blobs := make([]storage.Proven, len(contents))
	for i, b := range contents {
		var err error
		if blobs[i], err = storage.Prove(storage.SumCID(b), b); err != nil {
			t.Fatal(err)
		}
	}
	return blobs
}

// Blobs arrive with their bytes and in their order, and each has its own verdict.
func TestPutBlobs(t *testing.T) {
	t.Parallel()
	r := newRPC(t)
	blobs := proven(t, []byte("inline"), nil, someContent[:storage.BundledMax], someContent[:1000], someContent[:65])
	full := &storage.Error{Kind: storage.KindFull, Code: "insufficient_storage"}
	r.back.putBlobs = func(ctx context.Context, got []storage.Proven) []storage.Verdict {
		if id, _ := Caller(ctx); id != "client" {
			t.Errorf("%s calls", id)
		}
		verdicts := make([]storage.Verdict, len(got))
		for i, p := range got {
			if p.CID() != blobs[i].CID() || !bytes.Equal(p.Content(), blobs[i].Content()) {
				t.Errorf("blob %d is another one", i)
			}
			verdicts[i].Receipt = storage.Receipt{Node: "server", Incarnation: 1, CID: p.CID(), Generation: uint64(i), Time: 3, RingVersion: 4}
		}
		verdicts[1] = storage.Verdict{Err: full}
		verdicts[3].Receipt.Node = "another"
		verdicts[4].Receipt.CID = someCID
		return verdicts
	}
	for range 2 { // the second one reads into the buffer of the first
		verdicts, err := r.PutBlobs(t.Context(), "server", blobs)
		if err != nil || len(verdicts) != len(blobs) {
			t.Fatalf("%d verdicts, %v", len(verdicts), err)
		}
		for i, v := range verdicts {
			switch i {
			case 1:
				if storage.KindOf(v.Err) != storage.KindFull || storage.CodeOf(v.Err) != "insufficient_storage" {
					t.Error(v.Err)
				}
			case 3, 4:
				if storage.KindOf(v.Err) != storage.KindCorrupt {
					t.Errorf("a receipt for something else: %v", v.Err)
				}
			default:
				if v.Err != nil || v.Receipt.CID != blobs[i].CID() || v.Receipt.Generation != uint64(i) {
					t.Errorf("%+v", v)
				}
			}
		}
	}
}

// I2: a blob that is not what its CID names is refused, and its neighbours are not.
func TestUnbundle(t *testing.T) {
	t.Parallel()
	a, b, c := []byte("inline"), someContent[:100], someContent[:200]
	wire := func(contents ...[]byte) (w []byte) {
		for _, content := range contents {
			w, _ = storage.SumCID(content).AppendBinary(w) // never fails
			w = append(w, content...)
		}
		return w
	}
	whole := wire(a, b, c)
	blobs, verdicts, err := unbundle(whole)
	if err != nil || len(blobs) != 3 || len(verdicts) != 3 || blobs[2].CID() != storage.SumCID(c) {
		t.Fatalf("%d blobs, %d verdicts, %v", len(blobs), len(verdicts), err)
	}
	// Every flipped bit of b's bytes.
	from := len(wire(a, b)) - len(b)
	for i := range 8 * len(b) {
		bad := slices.Clone(whole)
		bad[from+i/8] ^= 1 << (i % 8)
		blobs, verdicts, err := unbundle(bad)
		if err != nil || len(blobs) != 2 || blobs[0].CID() != storage.SumCID(a) || blobs[1].CID() != storage.SumCID(c) {
			t.Fatalf("bit %d: %d blobs, %v", i, len(blobs), err)
		}
		if e := decodeError("", verdicts[1].Error); storage.CodeOf(e) != "hash_mismatch" || len(verdicts[0].Error)+len(verdicts[2].Error) > 0 {
			t.Fatalf("bit %d: %+v", i, verdicts)
		}
	}
	for n := range whole { // cut short, it is not taken for fewer blobs
		if blobs, _, err := unbundle(whole[:n]); err == nil && !slices.Contains([]int{0, len(wire(a)), len(wire(a, b))}, n) {
			t.Errorf("%d bytes of %d are %d blobs", n, len(whole), len(blobs))
		}
	}
	many := slices.Repeat([][]byte{a}, storage.BundleBlobsMax+1)
	if _, _, err := unbundle(wire(many[1:]...)); err != nil {
		t.Error(err)
	}
	if _, _, err := unbundle(wire(many...)); storage.KindOf(err) != storage.KindInvalid {
		t.Errorf("too many blobs: %v", err)
	}
}

func TestPutBlobsRefused(t *testing.T) {
	t.Parallel()
	r := newRPC(t)
	blobs := proven(t, someContent[:100])
	called := errors.New("called")
	r.back.putBlobs = func(context.Context, []storage.Proven) []storage.Verdict {
		return []storage.Verdict{{Err: called}}
	}
	if _, err := r.PutBlobs(t.Context(), "another", blobs); storage.CodeOf(err) != "unreachable" {
		t.Error(err)
	}
	large := proven(t, slices.Repeat([][]byte{someContent}, 3)...)
	if _, err := r.PutBlobs(t.Context(), "server", large); storage.KindOf(err) != storage.KindTooLarge {
		t.Errorf("more bytes than a bundle may have: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.PutBlobs(ctx, "server", blobs); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	for range blobsMax {
		r.server.blobs <- struct{}{}
	}
	if _, err := r.PutBlobs(t.Context(), "server", blobs); storage.CodeOf(err) != "overloaded" {
		t.Error(err)
	}
}

// FuzzUnbundle: whatever a peer sends, what comes out is proven and no longer
// than what went in.
func FuzzUnbundle(f *testing.F) {
	w, _ := storage.SumCID(someContent[:100]).AppendBinary(nil)
	f.Add(append(w, someContent[:100]...))
	f.Add([]byte{0, 0, 0, 0, 0, 1, 'x'})
	f.Fuzz(func(t *testing.T, b []byte) {
		blobs, verdicts, err := unbundle(b)
		if err != nil {
			return
		}
		size := 0
		for _, p := range blobs {
			if storage.SumCID(p.Content()) != p.CID() {
				t.Error("a blob that is not what its CID names")
			}
			size += len(p.Content())
		}
		if size > len(b) || len(blobs) > len(verdicts) {
			t.Errorf("%d blobs of %d bytes, %d verdicts of %d bytes", len(blobs), size, len(verdicts), len(b))
		}
	})
}
