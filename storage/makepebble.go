package storage

import (
	"fmt"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// newSuffix is what the name of a database ends with until it is whole.
const newSuffix = ".new"

// MakePebble makes the database at path, when there is none. It is made under
// another name and renamed when it is whole: power lost during Pebble's very
// first open can leave a database that never opens again.
func MakePebble(fs vfs.FS, path string, o *pebble.Options) error {
	if _, err := fs.Stat(path); err == nil {
		return nil
	}
	tmp := path + newSuffix
	if err := fs.RemoveAll(tmp); err != nil && !isNotExist(err) {
		return fmt.Errorf("clear %s: %w", tmp, err)
	}
	db, err := pebble.Open(tmp, o)
	if err != nil {
		return fmt.Errorf("make database: %w", err)
	}
	if err := db.Close(); err != nil {
		return fmt.Errorf("make database: %w", err)
	}
	if err := SyncDir(fs, tmp); err != nil {
		return err
	}
	return RenameDurably(fs, tmp, path)
}
