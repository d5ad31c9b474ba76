package node

import (
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Every reason that any file of this package can give has its advice.
func TestEveryReasonHasAdvice(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	constant := regexp.MustCompile(`(?m)^\s*(?:const )?reason[A-Z]\w*\s*=\s*"(\w+)"`)
	found := 0
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range constant.FindAllStringSubmatch(string(b), -1) {
			found++
			if a, ok := Advise(m[1]); !ok || a.Meaning == "" || a.Do == "" {
				t.Errorf("reason %s of %s has no advice", m[1], f)
			}
		}
	}
	if found < 16 {
		t.Errorf("only %d reasons were found in the source", found)
	}
}

func TestExamine(t *testing.T) {
	t.Parallel()
	codes := func(dir string) string {
		var all []string
		for _, f := range Examine(dir) {
			all = append(all, f.Code)
		}
		return strings.Join(all, " ")
	}
	dir := t.TempDir()
	if got := codes(filepath.Join(dir, "none")); got != findNoDir {
		t.Errorf("a directory that is not there: %s", got)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, identityFile), []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := codes(dir); !strings.Contains(got, findPermission) || !strings.Contains(got, findNoBallast) {
		t.Errorf("an open directory without ballast: %s", got)
	}
}

var discard = slog.New(slog.DiscardHandler)

// smallDisk is a file system on a volume with so much free space.
type smallDisk struct {
	vfs.FS

	total, free uint64
}

func (d *smallDisk) GetDiskUsage(string) (vfs.DiskUsage, error) {
	return vfs.DiskUsage{AvailBytes: d.free, TotalBytes: d.total, UsedBytes: d.total - d.free}, nil
}

// The ballast goes out when the disk is full, before any database is opened,
// and comes in again when there is room; meanwhile no content is taken.
func TestBallast(t *testing.T) {
	t.Parallel()
	const size, floor = 4 << 20, 10 << 20
	disk := &smallDisk{FS: vfs.Default, total: 1 << 30, free: 512 << 20}
	path := filepath.Join(t.TempDir(), ballastFile)
	open := func() *ballast {
		b, err := openBallast(disk, path, size, discard)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	b := open()
	var full []bool
	b.attach(func(f bool) { full = append(full, f) })
	st, err := os.Stat(path)
	if err != nil || st.Size() != size || b.isOut() {
		t.Fatalf("laid in: %v %v", st, err)
	}
	if sys := blocksOf(t, path); sys < size {
		t.Errorf("it takes up %d bytes, want %d", sys, size)
	}
	b.tend(size-1, floor)
	if _, err := os.Stat(path); !os.IsNotExist(err) || !b.isOut() {
		t.Errorf("the disk is full, and the ballast is in: %v", err)
	}
	b.tend(floor+2*size-1, floor) // not enough: it would be out again at once
	if !b.isOut() {
		t.Error("laid in without room")
	}
	b.tend(floor+2*size, floor)
	if b.isOut() {
		t.Error("not laid in again")
	}
	if want := []bool{false, true, true, false}; !slices.Equal(full, want) {
		t.Errorf("the store was told %v, want %v", full, want)
	}
	// A node that starts on a full disk has the room before it opens anything.
	disk.free = size - 1
	if b = open(); !b.isOut() {
		t.Error("in, on a full disk")
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("still there: %v", err)
	}
	disk.free = 512 << 20
	b = open()
	before := time.Now()
	b.release() // as Pebble does
	b.release()
	if !b.isOut() || b.out.Before(before) {
		t.Error("not out")
	}
}

// blocksOf is how much of the disk a file takes up.
func blocksOf(t *testing.T, path string) int64 {
	t.Helper()
	st, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	sys, ok := st.Sys().(*syscall.Stat_t)
	if !ok {
		t.Fatal("no blocks")
	}
	return sys.Blocks * 512
}
