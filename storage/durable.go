package storage

import (
	"errors"
	"fmt"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// WriteFileDurably replaces a file in one step: after power loss it is the old
// one or the new one, and after the return it is the new one.
func WriteFileDurably(fs vfs.FS, path string, b []byte) error {
	tmp := path + ".tmp"
	f, err := fs.Create(tmp, vfs.WriteCategoryUnspecified)
	if err != nil {
		return fmt.Errorf("create %s: %w", tmp, err)
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", tmp, err)
	}
	return RenameDurably(fs, tmp, path)
}

// RenameDurably renames a complete file or directory, and returns once that
// survives power loss.
func RenameDurably(fs vfs.FS, from, to string) error {
	if err := SyncDir(fs, fs.PathDir(from)); err != nil {
		return err
	}
	if err := fs.Rename(from, to); err != nil {
		return fmt.Errorf("rename %s: %w", from, err)
	}
	return SyncDir(fs, fs.PathDir(to))
}

// MkdirAllDurably makes a directory and what is missing above it, and returns
// once all of that survives power loss.
func MkdirAllDurably(fs vfs.FS, dir string) error {
	// The entry of dir itself is synced even if it is there: whoever made it
	// may have ended before its sync.
	parents := []string{fs.PathDir(dir)}
	for {
		last := parents[len(parents)-1]
		_, err := fs.Stat(last)
		above := fs.PathDir(last)
		if err == nil || above == last {
			break
		}
		if !isNotExist(err) {
			return fmt.Errorf("look for %s: %w", last, err)
		}
		parents = append(parents, above)
	}
	if err := fs.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make %s: %w", dir, err)
	}
	for _, parent := range parents {
		if err := SyncDir(fs, parent); err != nil {
			return err
		}
	}
	return nil
}

// SyncDir makes the entries of a directory durable.
func SyncDir(fs vfs.FS, dir string) error {
	d, err := fs.OpenDir(dir)
	if err != nil {
		return fmt.Errorf("open %s: %w", dir, err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("sync %s: %w", dir, err)
	}
	return nil
}

// OrderedFS wraps a file system for Pebble. Pebble creates a new manifest and
// then the marker that names it, and makes both durable with one sync of their
// directory. POSIX promises no order between two entries of a directory: after
// power loss the marker could be there without the manifest, and the database
// would never open again. Here a manifest's entry is durable when it is created.
func OrderedFS(fs vfs.FS) vfs.FS { return orderedFS{fs} }

type orderedFS struct{ vfs.FS }

// Create implements vfs.FS.
func (o orderedFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := o.FS.Create(name, category)
	if err != nil || !strings.HasPrefix(o.PathBase(name), "MANIFEST-") {
		return f, err //nolint:wrapcheck // Pebble asks what kind of error it is
	}
	if err := SyncDir(o.FS, o.PathDir(name)); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// Unwrap implements vfs.FS.
func (o orderedFS) Unwrap() vfs.FS { return o.FS }
