package meta

import (
	"errors"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"ringbin/storage"
)

// Bin is a bin's head: all that is known of it but its versions.
type Bin struct {
	ID         string      `cbor:"1,keyasint"`
	Account    string      `cbor:"2,keyasint"`           // who owns it, for ever
	Name       string      `cbor:"3,keyasint,omitempty"` // empty: none was given
	Private    bool        `cbor:"4,keyasint,omitempty"`
	Collection string      `cbor:"5,keyasint,omitempty"` // empty: uncategorized
	Revision   uint64      `cbor:"6,keyasint"`           // 1 at creation, one more with each change of record, versions, name or privacy
	Versions   int64       `cbor:"7,keyasint,omitempty"` // above the base: 1 to Versions are there
	Created    int64       `cbor:"8,keyasint"`
	Base       storage.CID `cbor:"9,keyasint"`
	// BaseTaken: the base was taken down for good. It has no bytes any more.
	BaseTaken bool `cbor:"10,keyasint,omitempty"`
	// Clearings is how often the versions were cleared: those of before are not
	// the bin's any more, also while their references are still to be dropped.
	Clearings uint64 `cbor:"11,keyasint,omitempty"`
}

// Match is the condition of a change: the bin's revision is one of a list.
type Match struct {
	Any       bool     `cbor:"1,keyasint,omitempty"` // every revision will do
	Revisions []uint64 `cbor:"2,keyasint,omitempty"` // at most [MatchMax]
}

// MatchMax bounds the revisions of one Match.
const MatchMax = 1000

// CreateBin makes a bin when the receipts prove that its record is safe. Its
// value is a [Bin].
type CreateBin struct {
	Account        string            `cbor:"1,keyasint"`
	Random         RandomID          `cbor:"2,keyasint"`
	CID            storage.CID       `cbor:"3,keyasint"`
	Name           string            `cbor:"4,keyasint,omitempty"`
	Private        bool              `cbor:"5,keyasint,omitempty"`
	Collection     string            `cbor:"6,keyasint,omitempty"`
	SchemaDoc      string            `cbor:"7,keyasint,omitempty"` // that the record was validated by; empty: none
	SchemaRevision uint64            `cbor:"8,keyasint,omitempty"`
	Receipts       []storage.Receipt `cbor:"9,keyasint,omitempty"` // none for inline content
}

// UpdateBin gives a bin a new record: as a new version, or in the place of the
// latest one. Which of the two is decided when it is applied. Its value is a [BinUpdate].
type UpdateBin struct {
	ID             string            `cbor:"1,keyasint"`
	CID            storage.CID       `cbor:"2,keyasint"`
	Versioning     *bool             `cbor:"3,keyasint,omitempty"` // what the client asked for
	Master         bool              `cbor:"4,keyasint,omitempty"` // with the master key of the bin's account
	Keyless        bool              `cbor:"5,keyasint,omitempty"` // without any right but that the bin is public
	SchemaDoc      string            `cbor:"6,keyasint,omitempty"` // that the record was validated by; empty: none
	SchemaRevision uint64            `cbor:"7,keyasint,omitempty"`
	IfMatch        *Match            `cbor:"8,keyasint,omitempty"`
	Receipts       []storage.Receipt `cbor:"9,keyasint,omitempty"` // none for inline content
}

// BinUpdate is the value of an UpdateBin.
type BinUpdate struct {
	Bin     Bin   `cbor:"1,keyasint"`
	Version int64 `cbor:"2,keyasint,omitempty"` // that this update made; 0: none
}

// DeleteBin removes a bin with all its versions; its value is the [Bin] that is gone.
type DeleteBin struct {
	ID      string `cbor:"1,keyasint"`
	IfMatch *Match `cbor:"2,keyasint,omitempty"`
}

// SetBinPrivacy makes a bin private or public; its value is a [Bin].
type SetBinPrivacy struct {
	ID      string `cbor:"1,keyasint"`
	Private bool   `cbor:"2,keyasint,omitempty"`
	IfMatch *Match `cbor:"3,keyasint,omitempty"`
}

// RenameBin gives a bin another name; its value is a [Bin].
type RenameBin struct {
	ID      string `cbor:"1,keyasint"`
	Name    string `cbor:"2,keyasint"`
	IfMatch *Match `cbor:"3,keyasint,omitempty"`
}

func binKey(id string) []byte { return key(tableBins).str(id) }

func binsOf(account, collection string) keyBuilder {
	return key(tableBinsOf).str(account).str(collection)
}

// listKey is the bin's row in the list that it is in.
func (b Bin) listKey() []byte { return binsOf(b.Account, b.Collection).str(b.ID) }

// bin returns a bin for a change by who acts; nothing of another account is changed.
func (t *tx) bin(op string, h Header, id string) (Bin, error) {
	b, ok, err := binAt(t.rows(), id)
	if err != nil || !ok {
		return Bin{}, orRefuse(err, refuse(op, storage.KindNotFound, "bin_not_found", nil))
	}
	return b, ownAccount(op, h, b.Account)
}

// binAt returns a bin as everybody is to see it: in no collection when the one
// that it is listed under is gone.
func binAt(r pebble.Reader, id string) (Bin, bool, error) {
	b, ok, err := lookUp[Bin](r, binKey(id))
	if err != nil || !ok || b.Collection == "" {
		return b, ok, err
	}
	_, there, err := lookUp[Collection](r, collectionKey(b.Collection))
	if !there {
		b.Collection = ""
	}
	return b, true, err
}

// putBin writes a bin, and its row in the list that it is in now.
func (t *tx) putBin(b Bin) error {
	old, known, err := read[Bin](t, binKey(b.ID))
	if err != nil {
		return err
	}
	if known && old.Collection != b.Collection {
		if err := t.del(old.listKey()); err != nil {
			return err
		}
	}
	if !known || old.Collection != b.Collection {
		if err := t.set(b.listKey(), nil); err != nil {
			return err
		}
	}
	return write(t, binKey(b.ID), b)
}

// check refuses a change of a bin that is not as the client knows it.
func (m *Match) check(op string, b Bin) error {
	switch {
	case m == nil || m.Any:
		return nil
	case len(m.Revisions) > MatchMax:
		return refuseField(op, "if_match", "at most 1000 revisions")
	case slices.Contains(m.Revisions, b.Revision):
		return nil
	}
	return refuse(op, storage.KindPrecondition, "revision_mismatch", map[string]any{"revision": int64(b.Revision)})
}

func (t *tx) createBin(h Header, c CreateBin) (Bin, error) {
	const op = "CreateBin"
	if err := ownAccount(op, h, c.Account); err != nil {
		return Bin{}, err
	}
	a, ok, err := t.account(c.Account)
	if err != nil || !ok {
		return Bin{}, orRefuse(err, refuseMissing(op))
	}
	if c.Collection != "" {
		if _, err := t.collection(op, c.Account, c.Collection); err != nil {
			return Bin{}, err
		}
	}
	if err := t.validated(op, c.Collection, c.SchemaDoc, c.SchemaRevision); err != nil {
		return Bin{}, err
	}
	content, known, err := t.admitContent(op, c.CID, c.Receipts)
	if err != nil {
		return Bin{}, err
	}
	if err := t.roomFor(a, c.CID, nil); err != nil {
		return Bin{}, err
	}
	has, err := t.binAccount(c.Account)
	if err != nil {
		return Bin{}, err
	}
	if err := oneMore(op, has.Bins, binsMax); err != nil {
		return Bin{}, err
	}
	id, created := has.newID(t.time, c.Random)
	if err := t.idUnused(op, binKey(id)); err != nil {
		return Bin{}, err
	}
	has.Bins++
	t.counts.Bins++
	b := Bin{
		ID: id, Account: c.Account, Name: c.Name, Private: c.Private, Collection: c.Collection, Revision: 1, Created: created, Base: c.CID,
	}
	return b, errors.Join(t.hold(b.base(), content, known, nil), t.putBinAccount(c.Account, has), t.putBin(b))
}

func (t *tx) updateBin(h Header, c UpdateBin) (BinUpdate, error) {
	const op = "UpdateBin"
	b, err := t.bin(op, h, c.ID)
	if err != nil {
		return BinUpdate{}, err
	}
	if err := t.mayUpdate(op, b, c); err != nil {
		return BinUpdate{}, err
	}
	versioned := t.versioned(b, c)
	n := b.Versions
	if versioned {
		n++
	}
	old, err := t.content(b, n, versioned)
	if err != nil {
		return BinUpdate{}, err
	}
	content, known, err := t.admitContent(op, c.CID, c.Receipts)
	if err != nil {
		return BinUpdate{}, err
	}
	a, ok, err := t.account(b.Account)
	if err != nil || !ok {
		return BinUpdate{}, orFatal(err, "bin of an account that is not there")
	}
	if err := t.roomFor(a, c.CID, old); err != nil {
		return BinUpdate{}, err
	}
	b.Revision++
	b.Versions = n
	if err := t.setContent(&b, n, c.CID, false, content, known, old); err != nil {
		return BinUpdate{}, err
	}
	u := BinUpdate{Bin: b}
	if versioned {
		u.Version = n
	}
	return u, t.putBin(b)
}

// mayUpdate refuses what may not be done to the bin as it is now.
func (t *tx) mayUpdate(op string, b Bin, c UpdateBin) error {
	s := t.cache.settings.JSONBin
	if c.Keyless && (b.Private || !s.PublicUpdate) {
		return refuse(op, storage.KindUnauthenticated, "key_needed", nil)
	}
	if err := t.validated(op, b.Collection, c.SchemaDoc, c.SchemaRevision); err != nil {
		return err
	}
	if !s.Versioning && c.Versioning != nil && *c.Versioning {
		return refuse(op, storage.KindForbidden, "versioning_off", nil)
	}
	return c.IfMatch.check(op, b)
}

// versioned reports whether an update makes a new version.
func (t *tx) versioned(b Bin, c UpdateBin) bool {
	s := t.cache.settings.JSONBin
	if !s.Versioning || b.Versions >= s.VersionsMax {
		return false
	}
	if b.Private {
		return c.Versioning != nil && *c.Versioning
	}
	return c.Versioning == nil || *c.Versioning || !c.Master
}

func (t *tx) deleteBin(h Header, c DeleteBin) (Bin, error) {
	const op = "DeleteBin"
	b, err := t.bin(op, h, c.ID)
	if err != nil {
		return Bin{}, err
	}
	if err := c.IfMatch.check(op, b); err != nil {
		return Bin{}, err
	}
	listed, _, err := read[Bin](t, binKey(b.ID))
	if err != nil {
		return Bin{}, err
	}
	has, err := t.binAccount(b.Account)
	if err != nil {
		return Bin{}, err
	}
	has.Bins--
	t.counts.Bins--
	t.countsOld = true
	return b, errors.Join(t.letGo(b.base()), t.leaveVersions(b), t.putBinAccount(b.Account, has), t.del(listed.listKey()), t.del(binKey(b.ID)))
}

func (t *tx) setBinPrivacy(h Header, c SetBinPrivacy) (Bin, error) {
	return t.changeBin("SetBinPrivacy", h, c.ID, c.IfMatch, func(b *Bin) { b.Private = c.Private })
}

func (t *tx) renameBin(h Header, c RenameBin) (Bin, error) {
	return t.changeBin("RenameBin", h, c.ID, c.IfMatch, func(b *Bin) { b.Name = c.Name })
}

func (t *tx) changeBin(op string, h Header, id string, match *Match, by func(*Bin)) (Bin, error) {
	b, err := t.bin(op, h, id)
	if err != nil {
		return Bin{}, err
	}
	if err := match.check(op, b); err != nil {
		return Bin{}, err
	}
	by(&b)
	b.Revision++
	return b, t.putBin(b)
}

// Bin returns a bin.
func (f *FSM) Bin(id string) (b Bin, found bool, err error) {
	err = f.viewAtOnce("Bin", func(r pebble.Reader) error {
		b, found, err = binAt(r, id)
		return err
	})
	return b, found, err
}

// bins checks each bin against its base, its versions and the list that it is in.
func (c *check) bins() error {
	err := each(c, tableBins, func(_ []byte, b Bin) error {
		problem := errors.Join(
			c.holds(b.base()),
			c.must(b.listKey(), nil, "bin %s in its list", b.ID),
			c.must(binAccountKey(b.Account), nil, "JSONBin's record of account %s, which has bin %s", b.Account, b.ID),
			c.owner(b.Account, "bin "+b.ID))
		versions, err := keysIn(c.r, b.version(1).key(), past(b.version(b.Versions+1).key()), int(b.Versions)+1)
		if err == nil && int64(len(versions)) != b.Versions {
			problem = errors.Join(problem, c.say("bin %s has not %d versions", b.ID, b.Versions))
		}
		if _, there, readErr := lookUp[Collection](c.r, collectionKey(b.Collection)); b.Collection != "" && !there && readErr == nil {
			if !c.waits(endOfCollection, leavingID(b.Account, b.Collection)) {
				problem = errors.Join(problem, c.say("bin %s is in collection %s, which is not there", b.ID, b.Collection))
			}
		}
		return errors.Join(problem, err)
	})
	return errors.Join(err, c.rowsAre(tableBinsOf, c.rows[tableBins], "the lists of bins"))
}
