package storage

import (
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// What is written is told by its reason, once: into the log, then out of it
// into tables, or past it.
func TestDiskStats(t *testing.T) {
	t.Parallel()
	s := openTest(t, testOptions(vfs.NewMem()))
	before := s.DiskStats()
	put(t, s, content(1, 300), Mark{})
	small := s.DiskStats()
	if small.Logged-before.Logged < 300 || small.Unflushed-before.Unflushed < 300 {
		t.Errorf("a small blob: %+v, then %+v", before, small)
	}
	if small.Flushed != before.Flushed || small.Ingested != before.Ingested {
		t.Errorf("no table was written: %+v, then %+v", before, small)
	}
	put(t, s, content(2, 1000), Mark{})
	large := s.DiskStats()
	if large.Ingested-small.Ingested < 1000 || large.Logged-small.Logged > 300 {
		t.Errorf("a large blob: %+v, then %+v", small, large)
	}
	if err := s.db.Flush(); err != nil {
		t.Fatal(err)
	}
	flushed := s.DiskStats()
	if flushed.Flushed-large.Flushed < 300 || flushed.Unflushed >= small.Unflushed {
		t.Errorf("flushed: %+v, then %+v", large, flushed)
	}
	if err := s.db.Compact(t.Context(), []byte{0}, []byte{0xff, 0xff}, false); err != nil {
		t.Fatal(err)
	}
	if after := s.DiskStats(); after.Running != 0 {
		t.Errorf("something still runs: %+v", after)
	}
}
