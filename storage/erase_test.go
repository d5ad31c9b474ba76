package storage

import (
	"errors"
	"fmt"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// EraseIf asks with what the last writer has left, and does as it is told.
func TestEraseIf(t *testing.T) {
	t.Parallel()
	for _, size := range borderSizes {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			t.Parallel()
			s := openTest(t, testOptions(vfs.NewMem()))
			b, neighbour := content(1, size), content(2, size)
			cid := put(t, s, b, Mark{Generation: 3, Time: 30})
			put(t, s, neighbour, Mark{})
			if _, _, err := s.Confirm(cid, Mark{Generation: 5, Time: 50}); err != nil {
				t.Fatal(err)
			}
			asked := 0
			erase := func(answer bool, fault error) (bool, error) {
				return s.EraseIf(t.Context(), cid, func(held BlobInfo) (bool, error) {
					asked++
					if held != (BlobInfo{CID: cid, Generation: 5, Time: 50}) {
						t.Errorf("asked with %+v", held)
					}
					return answer, fault
				})
			}
			if ok, err := erase(false, nil); ok || err != nil {
				t.Errorf("kept: %t, %v", ok, err)
			}
			fault := errors.New("not now")
			if ok, err := erase(true, fault); ok || !errors.Is(err, fault) {
				t.Errorf("failed: %t, %v", ok, err)
			}
			mustHold(t, s, b)
			if ok, err := erase(true, nil); !ok || err != nil || asked != 3 {
				t.Errorf("erased: %t, %v; asked %d times", ok, err, asked)
			}
			if ok, err := erase(true, nil); ok || err != nil || asked != 3 {
				t.Errorf("nothing to erase: %t, %v; asked %d times", ok, err, asked)
			}
			mustHold(t, s, neighbour)
			if st := s.Stats(); st.Blobs != 1 || st.Bytes != int64(size) {
				t.Errorf("stats count %+v", st)
			}
			put(t, s, b, Mark{Generation: 1})
			if info := mustHold(t, s, b); info.Generation != 1 {
				t.Errorf("what comes again has the old mark: %+v", info)
			}
		})
	}
}

// The room of what was erased comes back, of large blobs at once, of small ones
// when there is enough of it, and what was not erased stays.
func TestReclaim(t *testing.T) {
	t.Parallel()
	o := testOptions(vfs.NewMem())
	o.layout = layout{chunk: 64 << 10, tinyMax: 16 << 10, smallMax: 256 << 10}
	s := openTest(t, o)
	tables := func() int64 { return s.db.Metrics().Total().TablesSize }
	var small, large []CID
	for i := range uint64(100) {
		small = append(small, put(t, s, content(i, 100_000), Mark{}))
	}
	for i := range uint64(10) {
		large = append(large, put(t, s, content(i, 1_000_000), Mark{}))
	}
	if err := s.db.Flush(); err != nil {
		t.Fatal(err)
	}
	full := tables()
	erase := func(cids []CID) {
		t.Helper()
		for i, cid := range cids {
			if i%10 == 0 {
				continue
			}
			if ok, err := s.Erase(cid, 1); !ok || err != nil {
				t.Fatal(ok, err)
			}
		}
	}
	erase(large)
	if left := tables(); left > full-9_000_000 {
		t.Errorf("%d bytes of %d are left when the large blobs are erased", left, full)
	}
	if did, err := s.Reclaim(t.Context()); did || err != nil {
		t.Errorf("nothing to reclaim: %t, %v", did, err)
	}
	erase(small)
	s.cur.garbage.Add(garbageLeast)
	if did, err := s.Reclaim(t.Context()); !did || err != nil {
		t.Errorf("reclaimed: %t, %v", did, err)
	}
	if left, held := tables(), s.Stats().Bytes; left > held+held/10 {
		t.Errorf("%d bytes of tables for %d bytes of content", left, held)
	}
	for i, cid := range append(small, large...) {
		_, ok, err := s.Stat(cid)
		if ok != (i%10 == 0) || err != nil {
			t.Fatalf("blob %d: %t, %v", i, ok, err)
		}
		if !ok {
			continue
		}
		if b, err := readAll(s, cid); err != nil || SumCID(b) != cid {
			t.Errorf("blob %d: %v", i, err)
		}
	}
}

// While a database is being replaced, what is erased is gone from both, wherever
// its copy lies, over restarts and to the end; what comes again is whole.
func TestEraseWhileReplacing(t *testing.T) {
	t.Parallel()
	for _, size := range borderSizes {
		for _, c := range []struct {
			name    string
			prepare func(t *testing.T, s *Store, b []byte)
			garbage int64 // in the database that takes the writes
		}{
			{"old", func(*testing.T, *Store, []byte) {}, 0},
			{"both", func(t *testing.T, s *Store, b []byte) {
				t.Helper()
				if err := s.Adopt(t.Context(), SumCID(b)); err != nil {
					t.Fatal(err)
				}
			}, 1},
			{"quarantined", func(t *testing.T, s *Store, b []byte) {
				t.Helper()
				if err := s.corrupt(SumCID(b), errBadCRC); KindOf(err) != KindCorrupt {
					t.Fatal(err)
				}
			}, 1},
		} {
			t.Run(fmt.Sprintf("%s %d", c.name, size), func(t *testing.T) {
				t.Parallel()
				o := testOptions(vfs.NewMem())
				s, err := OpenStore(testDir, o)
				if err != nil {
					t.Fatal(err)
				}
				b, neighbour := content(1, size), content(2, size)
				cid := put(t, s, b, Mark{Generation: 3})
				put(t, s, neighbour, Mark{Generation: 3})
				s.cur.listFailed()
				waitRebuild(t, s)
				c.prepare(t, s, b)
				if ok, err := s.Erase(cid, 4); !ok || err != nil {
					t.Fatal(ok, err)
				}
				if s.lay.class(cid.Size()) == classLarge {
					c.garbage = 0
				}
				if got := s.cur.garbage.Load(); got != c.garbage*cid.Size() {
					t.Errorf("%d bytes of garbage", got)
				}
				gone := func(s *Store, of int) {
					t.Helper()
					if _, ok, err := s.Stat(cid); ok || err != nil {
						t.Errorf("what was erased is there: %t, %v", ok, err)
					}
					if _, err := readAll(s, cid); KindOf(err) != KindNotFound {
						t.Errorf("what was erased is read: %v", err)
					}
					if infos, err := s.List(nil, 10); err != nil || len(infos) != of {
						t.Errorf("%d blobs are listed, %v", len(infos), err)
					}
					mustHold(t, s, neighbour)
				}
				gone(s, 1)
				for _, readOnly := range []bool{true, false} {
					if err := s.Close(); err != nil {
						t.Fatal(err)
					}
					o.ReadOnly = readOnly
					if s, err = OpenStore(testDir, o); err != nil {
						t.Fatal(err)
					}
					if !s.Rebuild().Active {
						t.Fatal("the rebuild ended with a restart")
					}
					gone(s, 1)
				}
				put(t, s, b, Mark{Generation: 1})
				if info := mustHold(t, s, b); info.Generation != 1 || info.Old {
					t.Errorf("what comes again is %+v", info)
				}
				if ok, err := s.Erase(cid, 2); !ok || err != nil {
					t.Fatal(ok, err)
				}
				gone(s, 1)
				if err := s.Adopt(t.Context(), SumCID(neighbour)); err != nil {
					t.Fatal(err)
				}
				if err := s.EndRebuild(); err != nil {
					t.Fatal(err)
				}
				gone(s, 1)
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
			})
		}
	}
}
