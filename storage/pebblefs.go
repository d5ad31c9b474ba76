package storage

import (
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// PebbleFS returns the file system to give to Pebble, which lets a database
// open after power loss on file systems that do not keep the order of a
// directory's changes.
//
// Pebble makes a file, then a marker that names it, removes the older marker,
// and only then syncs the directory. Power loss could leave a marker without
// its file, or no marker at all. Here each of these steps is durable before
// the next one; markers move so seldom that it costs nothing.
func PebbleFS(fs vfs.FS) vfs.FS { return markerFS{fs} }

type markerFS struct{ vfs.FS }

const markerPrefix = "marker."

// Create implements vfs.FS.
func (fs markerFS) Create(path string, category vfs.DiskWriteCategory) (vfs.File, error) {
	if err := fs.settle(path); err != nil {
		return nil, err
	}
	return fs.FS.Create(path, category) //nolint:wrapcheck // Pebble looks for the system's own error
}

// Remove implements vfs.FS.
func (fs markerFS) Remove(path string) error {
	if err := fs.settle(path); err != nil {
		return err
	}
	return fs.FS.Remove(path) //nolint:wrapcheck // Pebble looks for the system's own error
}

// Unwrap implements vfs.FS.
func (fs markerFS) Unwrap() vfs.FS { return fs.FS }

// settle makes what was done in a directory durable before a marker in it changes.
func (fs markerFS) settle(path string) error {
	if !strings.HasPrefix(fs.PathBase(path), markerPrefix) {
		return nil
	}
	return SyncDir(fs.FS, fs.PathDir(path))
}
