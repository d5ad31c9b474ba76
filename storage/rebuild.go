package storage

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// A database whose files rot can't be mended in place: Pebble would try to
// compact the bad table for ever, and no list gets past it. So a blank one is
// opened beside it, while the node serves. The new one takes all writes; the
// old one is only read, where the new one has nothing. Its good copies are
// adopted, the others fetched from peers, and when nothing is missing it goes.
//
// Which one a copy lies in: in the new database when its header is there. Else
// the new database may have a mark that says it was erased. Else it is the old
// one's, under the new database's mark where there is one. Receipts are given
// for copies in the new database alone.

// rebuilding reports what is left to do; s.mu is held.
func (s *Store) rebuilding() bool { return s.old != nil || s.aside != "" }

// Rebuild is how far the replacement of a rotten database is.
type Rebuild struct {
	Active bool
	Aside  string // the database that could not be opened at all, kept until all is restored
}

// Rebuild returns whether a rotten database is being replaced.
func (s *Store) Rebuild() Rebuild {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return Rebuild{Active: s.rebuilding(), Aside: s.aside}
}

// rotten asks for a database to be replaced. It does not block.
func (s *Store) rotten(*database) {
	select {
	case s.rot <- struct{}{}:
	default: // asked for already
	}
}

// runRebuild replaces databases when asked to, until ctx ends.
func (s *Store) runRebuild(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.rot:
			if err := s.startRebuild(); err != nil {
				s.logger.Error("a rotten database can't be replaced", "err", err)
			}
		}
	}
}

// startRebuild opens a blank database that takes the writes from here on. The
// rename that puts it there is what switches: power lost before it leaves the
// store as it was, after it the blank one with the old one behind it.
func (s *Store) startRebuild() error {
	s.changing.Lock()
	defer s.changing.Unlock()
	if s.old != nil || !s.cur.isRotten() {
		return nil // the present one is looked at again when the old one is gone
	}
	number := s.cur.number + 1
	if err := s.removeAll(s.fs.PathJoin(s.dir, dbName(number))); err != nil {
		return err
	}
	if err := s.makeDatabase(number); err != nil {
		return err
	}
	fresh, err := s.openDatabase(number, s.cache, false)
	if err != nil {
		return err
	}
	// A write that is on its way still ends up in what is the old one now, where
	// it is found as well.
	s.mu.Lock()
	s.old, s.cur, s.db = s.cur, fresh, fresh.db
	s.mu.Unlock()
	s.logger.Error("a database rots and is being replaced", "old", s.old.path, "new", fresh.path)
	if s.opts.OnCorrupt != nil {
		s.opts.OnCorrupt(CID{}, errRebuild)
	}
	return nil
}

// view is the databases of a moment; they stay open until release.
type view struct{ cur, old *database }

func (s *Store) use() view {
	s.mu.RLock()
	defer s.mu.RUnlock()
	v := view{s.cur, s.old}
	v.cur.users.Add(1)
	if v.old != nil {
		v.old.users.Add(1)
	}
	return v
}

// forget drops what is remembered of bad blocks of a CID. What was written may
// lie in the old database by now.
func (s *Store) forget(cid CID) {
	v := s.use()
	defer v.release()
	v.cur.forget(cid)
	if v.old != nil {
		v.old.forget(cid)
	}
}

func (v view) release() {
	v.cur.users.Done()
	if v.old != nil {
		v.old.users.Done()
	}
}

var errRebuild = errors.New("the database that holds it is being replaced")

// Adopt moves a copy from the old database to the new one, when it is good, and
// does nothing for one that is not in the old database. KindCorrupt: it is not
// good; it stays, quarantined.
func (s *Store) Adopt(ctx context.Context, cid CID) error {
	c, ok, err := s.look(cid)
	switch {
	case err != nil:
		return err
	case !ok:
		return nil
	case c.Corrupt && c.fault == nil:
		return E("storage.Adopt", KindCorrupt, nil)
	case !c.Old:
		return nil
	}
	r, err := s.Open(ctx, cid, 0, -1)
	if err != nil {
		return err
	}
	_, err = s.Put(ctx, cid, r, Mark{Generation: c.Generation, Time: c.Time})
	_ = r.Close() // never fails
	if e, ok := errors.AsType[*Error](err); ok && e.Code == "hash_mismatch" {
		return s.corrupt(cid, err)
	}
	return err
}

// EndRebuild drops the old database, and one that was set aside: every copy
// that counts is in the new one.
func (s *Store) EndRebuild() error {
	const op = "storage.EndRebuild"
	s.changing.Lock()
	defer s.changing.Unlock()
	s.stopCounting()
	if err := s.dropOld(); err != nil {
		return E(op, KindInternal, err)
	}
	if err := s.dropGoneMarks(); err != nil {
		return E(op, KindInternal, err)
	}
	if s.cur.isRotten() {
		s.rotten(s.cur) // it waited for the old one to go
	}
	return nil
}

func (s *Store) dropOld() error {
	defer s.startCounting()
	if old := s.old; old != nil {
		// Renamed before it is closed: no later open finds it, whole or in part.
		gone := s.fs.PathJoin(s.dir, storeGoneDBDir)
		if err := s.removeAll(gone); err != nil {
			return err
		}
		s.mu.Lock()
		s.old = nil
		s.mu.Unlock()
		old.users.Wait()
		if err := RenameDurably(s.fs, old.path, gone); err != nil {
			return err
		}
		if err := old.db.Close(); err != nil {
			s.logger.Warn("the old database did not close well", "err", err)
		}
		if err := s.removeAll(gone); err != nil {
			return err
		}
		s.logger.Info("the rotten database is replaced", "path", s.cur.path)
	}
	if s.aside == "" {
		return nil
	}
	if err := s.removeAll(s.aside); err != nil {
		return err
	}
	s.mu.Lock()
	s.aside = ""
	s.mu.Unlock()
	return nil
}

// dropGoneMarks removes the marks that hid copies of the old database, or said
// that they were bad. One that stays, for a crash, hides nothing.
func (s *Store) dropGoneMarks() error {
	v := s.use()
	defer v.release()
	cids, err := goneCIDs(v.cur.db)
	if err != nil {
		return err
	}
	for _, cid := range cids {
		if err := s.dropGoneMark(cid); err != nil {
			return err
		}
	}
	return nil
}

func goneCIDs(db *pebble.DB) ([]CID, error) {
	it, err := db.NewIter(&pebble.IterOptions{LowerBound: []byte{classMark}, UpperBound: []byte{classMark + 1}})
	if err != nil {
		return nil, fmt.Errorf("read marks: %w", err)
	}
	var cids []CID
	for ok := it.First(); ok; ok = it.Next() {
		if _, flags, err := parseMark(it.Key(), it.Value()); err == nil && flags&(flagGone|flagCorrupt) != 0 {
			if cid, err := cidOfKey(it.Key()); err == nil {
				cids = append(cids, cid)
			}
		}
	}
	if err := it.Close(); err != nil {
		return nil, fmt.Errorf("read marks: %w", err)
	}
	return cids, nil
}

// dropGoneMark removes one, unless a new copy was put meanwhile.
func (s *Store) dropGoneMark(cid CID) error {
	defer s.locks.lock(cid)()
	v := s.use()
	defer v.release()
	_, flags, err := addMark(v.cur, &copyState{BlobInfo: BlobInfo{CID: cid}})
	if err != nil || flags&(flagGone|flagCorrupt) == 0 {
		return err
	}
	if flags&flagCorrupt != 0 {
		if _, _, held, err := s.headerIn(v.cur, cid); held || err != nil {
			return nil // the copy that it is about is here, if bad
		}
	}
	if err := v.cur.db.Delete(markKey(cid), pebble.NoSync); err != nil {
		return fmt.Errorf("drop mark: %w", err)
	}
	return nil
}

// HasStore reports whether a directory has a store's database: one that has
// not comes up blank.
func HasStore(fs vfs.FS, dir string) (bool, error) {
	names, err := fs.List(dir)
	if isNotExist(err) {
		return false, nil
	}
	if err != nil {
		return false, E("storage.HasStore", KindInternal, err)
	}
	return len(dbNumbers(names)) > 0, nil
}

// SetAside renames a database that can't be opened, so that the next OpenStore
// makes a blank one, and keeps it until [Store.EndRebuild]. Whoever calls it
// must have raised the node's incarnation before: receipts that were given for
// what it held count no more. An older one that was set aside is removed.
func SetAside(fs vfs.FS, rot *RottenError) error {
	const op = "storage.SetAside"
	dir := fs.PathDir(rot.Path)
	names, err := fs.List(dir)
	if err != nil {
		return E(op, KindInternal, err)
	}
	before := asideNumbers(names)
	number := 1
	if len(before) > 0 {
		number = before[len(before)-1] + 1
	}
	if err := RenameDurably(fs, rot.Path, fs.PathJoin(dir, asideName(number))); err != nil {
		return E(op, KindInternal, err)
	}
	for _, n := range before {
		if err := fs.RemoveAll(fs.PathJoin(dir, asideName(n))); err != nil {
			return E(op, KindInternal, err)
		}
	}
	return nil
}

func asideName(number int) string { return storeAsideDBDir + strconv.Itoa(number) }

func asideNumbers(names []string) []int {
	var numbers []int
	for _, name := range names {
		if rest, ok := strings.CutPrefix(name, storeAsideDBDir); ok {
			if n, err := strconv.Atoi(rest); err == nil && n > 0 {
				numbers = append(numbers, n)
			}
		}
	}
	slices.Sort(numbers)
	return numbers
}
