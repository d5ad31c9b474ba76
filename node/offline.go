package node

import (
	"errors"
	"fmt"
	"log/slog"

	"github.com/cockroachdb/pebble/v2/vfs"

	"ringbin/storage"
	"ringbin/storage/meta"
)

// What is done to a node's directory while no node runs on it lies in the files
// recover.go, restore.go and fsck.go. All of it takes the directory's lock
// first: it is never done beside a running node.

// openDataDirAsIs locks a node's directory and reads its identity. Unlike a
// node that starts it makes nothing, and draws no conclusions from what is missing.
func openDataDirAsIs(path string) (*dataDir, error) {
	const op = "node.openDataDirAsIs"
	fs := vfs.Default
	d := &dataDir{fs: fs, path: path}
	if path == "" {
		return nil, storage.Invalid(op, "", "data-dir", "required")
	}
	if !d.exists(identityFile) {
		return nil, &storage.Error{Op: op, Kind: storage.KindNotFound, Text: fmt.Sprintf("%s is not a node's data directory: it has no %s", path, identityFile)}
	}
	lock, err := lockDataDir(fs, path)
	if err != nil {
		return nil, err
	}
	d.lock = lock
	if err := d.read(); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return d, nil
}

// openMetaOffline opens the metadata in a directory. What would halt a running
// node ends the call that met it instead.
func openMetaOffline(dir string, logger *slog.Logger) (*meta.FSM, error) {
	return meta.Open(dir, meta.Options{FS: vfs.Default, Logger: logger, OnHalt: func(err error) {
		logger.Error("metadata can't be applied", "err", err)
	}})
}

// openStoreOffline opens the blobs in a directory.
func openStoreOffline(dir string, logger *slog.Logger) (*storage.Store, error) {
	return storage.OpenStore(dir, storage.StoreOptions{FS: vfs.Default, Logger: logger, FreeFloorBytes: -1})
}
