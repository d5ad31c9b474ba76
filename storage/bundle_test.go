package storage

import (
	"bytes"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"pgregory.net/rapid"
)

func prove(tb testing.TB, contents ...[]byte) []Proven {
	tb.Helper()
	blobs := make([]Proven, len(contents))
	for i, b := range contents {
		var err error
		if blobs[i], err = Prove(SumCID(b), b); err != nil {
			tb.Fatal(err)
		}
	}
	return blobs
}

// putAll puts up to six blobs, some of them perhaps twice.
func (m *storeModel) putAll(t *rapid.T) {
	contents := rapid.SliceOfN(rapid.SampledFrom(m.pool), 0, 6).Draw(t, "contents")
	_, _, mark := m.draw(t)
	blobs := make([]Proven, len(contents))
	for i, b := range contents {
		var err error
		if blobs[i], err = Prove(SumCID(b), b); err != nil {
			t.Fatal(err)
		}
	}
	results := m.s.PutAll(t.Context(), blobs, mark)
	if len(results) != len(blobs) {
		t.Fatalf("%d results for %d blobs", len(results), len(blobs))
	}
	for i, r := range results {
		cid := blobs[i].CID()
		want := m.raise(cid, mark)
		if r.Err != nil || r.Info != (BlobInfo{CID: cid, Generation: want.Generation, Time: want.Time}) {
			t.Fatalf("PutAll gives %+v, want %+v", r, want)
		}
	}
	for _, p := range blobs {
		if !p.CID().Inline() {
			m.held[p.CID()] = m.raise(p.CID(), mark)
		}
	}
}

// I2: only bytes that are what their CID names become a Proven.
func TestProve(t *testing.T) {
	t.Parallel()
	for _, size := range []int{0, 1, 64, 65, 1000} {
		b := content(1, size)
		cid := SumCID(b)
		if p, err := Prove(cid, b); err != nil || p.CID() != cid || !bytes.Equal(p.Content(), b) {
			t.Errorf("%d right bytes: %v", size, err)
		}
		_, err := Prove(cid, append(slices.Clone(b), 0))
		checkBodyError(t, "one too long", size, err, "length")
		if size == 0 {
			continue
		}
		_, err = Prove(cid, b[1:])
		checkBodyError(t, "one too short", size, err, "length")
		_, err = Prove(cid, content(2, size))
		checkBodyError(t, "another", size, err, "digest")
	}
}

// A full volume takes nothing that is new, and still confirms what is held.
func TestPutAllOnAFullVolume(t *testing.T) {
	t.Parallel()
	s := openTest(t, testOptions(vfs.NewMem()))
	held, lacking, large := content(1, 100), content(2, 100), content(3, 700)
	put(t, s, held, Mark{Generation: 1})
	s.SetFull(true)
	r := s.PutAll(t.Context(), prove(t, lacking, held, large, []byte("inline")), Mark{Generation: 2})
	for i, full := range []bool{true, false, true, false} {
		if full != (r[i].Err != nil && KindOf(r[i].Err) == KindFull) || !full && (r[i].Err != nil || r[i].Info.Generation != 2) {
			t.Errorf("blob %d: %+v", i, r[i])
		}
	}
	s.SetFull(false)
	if info := mustHold(t, s, held); info.Generation != 2 {
		t.Errorf("generation %d is confirmed", info.Generation)
	}
	if st := s.Stats(); st.Blobs != 1 {
		t.Errorf("%d blobs are held", st.Blobs)
	}
}

// A corrupt copy is replaced, and its neighbours in the bundle are as they are.
func TestPutAllReplacesCorruptCopies(t *testing.T) {
	t.Parallel()
	for _, size := range []int{100, 300, 700} {
		t.Run(fmt.Sprintf("%d bytes", size), func(t *testing.T) {
			t.Parallel()
			s := openTest(t, testOptions(vfs.NewMem()))
			bad, good, lacking := content(1, size), content(2, size), content(3, size)
			for _, b := range [][]byte{bad, good} {
				put(t, s, b, Mark{Generation: 1})
			}
			_ = s.corrupt(SumCID(bad), errBody) // the error is the caller's
			if info, ok, err := s.Stat(SumCID(bad)); !ok || !info.Corrupt || err != nil {
				t.Fatalf("%+v, %t, %v", info, ok, err)
			}
			for _, r := range s.PutAll(t.Context(), prove(t, lacking, bad, good, bad), Mark{Generation: 5}) {
				if r.Err != nil || r.Info.Generation != 5 {
					t.Errorf("%+v", r)
				}
			}
			for _, b := range [][]byte{bad, good, lacking} {
				if info := mustHold(t, s, b); info.Generation != 5 {
					t.Errorf("generation %d", info.Generation)
				}
			}
			s.counting.wg.Wait()
			if st := s.Stats(); st.Blobs != 3 || st.Bytes != int64(3*size) {
				t.Errorf("Stats = %+v", st)
			}
		})
	}
}

// Bundles that share blobs in other orders never wait for each other, nor for
// single puts, and leave no lock.
func TestBundlesThatShareBlobs(t *testing.T) {
	t.Parallel()
	s := openTest(t, testOptions(vfs.NewMem()))
	contents := make([][]byte, 12)
	for i := range contents {
		contents[i] = content(uint64(i), 100+10*i)
	}
	var wg sync.WaitGroup
	for i := range uint64(16) {
		blobs := prove(t, contents...)
		wg.Go(func() {
			for k := range blobs { // each in another order
				j := (k*5 + int(i)) % len(blobs)
				blobs[k], blobs[j] = blobs[j], blobs[k]
			}
			for _, r := range s.PutAll(t.Context(), blobs, Mark{Generation: i}) {
				if r.Err != nil {
					t.Error(r.Err)
				}
			}
			b := contents[i%12]
			if _, err := s.Put(t.Context(), SumCID(b), bytes.NewReader(b), Mark{Generation: i}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, b := range contents {
		if info := mustHold(t, s, b); info.Generation != 15 {
			t.Errorf("generation %d, want the newest", info.Generation)
		}
	}
	if len(s.locks.held) != 0 {
		t.Errorf("%d locks are left", len(s.locks.held))
	}
}
