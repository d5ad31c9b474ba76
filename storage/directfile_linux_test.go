package storage

import (
	"bytes"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// refusingFS makes files that promise to be written past the page cache, and then
// refuse it.
type refusingFS struct{ vfs.FS }

func (fs refusingFS) Create(path string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := fs.FS.Create(path, c)
	return &refusingFile{File: f}, err
}

type refusingFile struct{ vfs.File }

func (f *refusingFile) Write(p []byte) (int, error) {
	if isDirect(f.File) {
		return 0, syscall.EINVAL
	}
	return f.File.Write(p)
}

// isDirect reports whether a file is written past the page cache now.
func isDirect(f vfs.File) bool {
	flags, _, errno := syscall.Syscall(syscall.SYS_FCNTL, f.Fd(), syscall.F_GETFL, 0)
	return errno == 0 && flags&syscall.O_DIRECT != 0
}

// watchedFS counts the bytes that go through the page cache before those that go
// past it, and after.
type watchedFS struct {
	vfs.FS
	before, past, after int
}

func (fs *watchedFS) Create(path string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := fs.FS.Create(path, c)
	return &watchedFile{File: f, fs: fs}, err
}

type watchedFile struct {
	vfs.File
	fs *watchedFS
}

func (f *watchedFile) Write(p []byte) (int, error) {
	switch {
	case isDirect(f.File):
		f.fs.past += len(p)
	case f.fs.past == 0:
		f.fs.before += len(p)
	default:
		f.fs.after += len(p)
	}
	return f.File.Write(p)
}

// TestDirectFileCaches: of a large file only what Pebble reads as it takes a table
// in goes through the page cache.
func TestDirectFileCaches(t *testing.T) {
	t.Parallel()
	for _, n := range []int{directWrite, directWrite + 1, directWrite + directAlign, 3*directWrite + 5} {
		fs := &watchedFS{FS: vfs.Default}
		f, err := (&Store{fs: fs}).createDirect(fs.PathJoin(t.TempDir(), "file"), 1000)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write(content(1, n)); err != nil {
			t.Fatal(err)
		}
		if err := f.finish(); err != nil {
			t.Fatal(err)
		}
		if fs.past == 0 {
			t.Skip("this file system has no way past the page cache")
		}
		if fs.before != directAlign || fs.after > cachedEnd+directAlign || fs.before+fs.past+fs.after != n {
			t.Errorf("of %d bytes %d, then %d go through the cache, %d past it", n, fs.before, fs.after, fs.past)
		}
	}
}

// TestDirectFile: a file holds what was written, whatever its length and the
// file system.
func TestDirectFile(t *testing.T) {
	t.Parallel()
	const reserve = 1000
	for name, fs := range map[string]vfs.FS{"disk": vfs.Default, "memory": vfs.NewMem(), "refusing": refusingFS{vfs.Default}} {
		dir := t.TempDir()
		if err := fs.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		s := &Store{fs: fs}
		for _, n := range []int{
			0, 1, directAlign - 1, directAlign, directAlign + 1,
			directWrite - 1, directWrite, directWrite + 1, directWrite + directAlign, 3*directWrite + 5,
		} {
			want := content(uint64(n), n)
			path := fs.PathJoin(dir, "file")
			f, err := s.createDirect(path, reserve)
			if err != nil {
				t.Fatal(err)
			}
			if wrote, err := f.Write(want); err != nil || wrote != n {
				t.Fatalf("%s: %d of %d are written: %v", name, wrote, n, err)
			}
			if err := f.finish(); err != nil {
				t.Fatalf("%s: %d bytes: %v", name, n, err)
			}
			if got := readFile(t, fs, path); !bytes.Equal(got, want) {
				t.Fatalf("%s: %d bytes of %d are there, or others", name, len(got), n)
			}
		}
	}
}

// TestDirectFileSyncs: what finish returned for survives power loss.
func TestDirectFileSyncs(t *testing.T) {
	t.Parallel()
	fs := vfs.NewCrashableMem()
	f, err := (&Store{fs: fs}).createDirect("file", 1000)
	if err != nil {
		t.Fatal(err)
	}
	want := content(1, 2*directWrite+77)
	if _, err := f.Write(want); err != nil {
		t.Fatal(err)
	}
	if err := f.finish(); err != nil {
		t.Fatal(err)
	}
	if err := SyncDir(fs, ""); err != nil {
		t.Fatal(err)
	}
	if got := readFile(t, fs.CrashClone(vfs.CrashCloneCfg{}), "file"); !bytes.Equal(got, want) {
		t.Fatalf("%d bytes of %d survive", len(got), len(want))
	}
}
