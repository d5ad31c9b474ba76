package storage

import (
	"errors"
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

// OpenPebble opens a database that is there; never is a blank one made in its
// place. One that can't be opened for what its files hold is a [*RottenError].
func OpenPebble(fs vfs.FS, path string, o *pebble.Options) (*pebble.DB, error) {
	o.ErrorIfNotExists = true
	err := checkManifest(fs, path)
	if err == nil {
		var db *pebble.DB
		if db, err = pebble.Open(path, o); err == nil {
			return db, nil
		}
		err = errors.Join(err, checkOptions(fs, path))
	}
	if isRot(err) {
		return nil, &RottenError{Path: path, Err: err}
	}
	return nil, fmt.Errorf("open %s: %w", path, err)
}
