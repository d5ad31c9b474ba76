package meta

import (
	"errors"

	"github.com/cockroachdb/pebble/v2"

	"ringbin/storage"
)

// Privacy is who finds a note, and who may read it.
type Privacy uint8

// The privacies, from the most open one.
const (
	PrivacyPublic Privacy = iota
	PrivacyUnlisted
	PrivacyPrivate // of its owner only: to all others it is not there
	privacyEnd
)

// Note is a paste of PasteWizard's. Its content is there from its creation until
// it expires or is burned, and has a reference exactly as long; the record stays
// behind it, so that its end can be told.
type Note struct {
	Hash     string  `cbor:"1,keyasint"` // its id
	Code     string  `cbor:"2,keyasint"` // its short code
	Account  string  `cbor:"3,keyasint"` // who owns it, for ever
	Title    string  `cbor:"4,keyasint,omitempty"`
	Language string  `cbor:"5,keyasint"`
	Privacy  Privacy `cbor:"6,keyasint,omitempty"`
	Burn     bool    `cbor:"7,keyasint,omitempty"` // burned by its first reader; never changes
	Password string  `cbor:"8,keyasint,omitempty"` // its hash; empty: none

	PasswordRevision uint64 `cbor:"9,keyasint,omitempty"` // grows with each change of the password

	CID    storage.CID `cbor:"10,keyasint"`           // zero when the content is gone: it is never empty
	Sealed []byte      `cbor:"11,keyasint,omitempty"` // the key of the content, wrapped; of a note that burns, while its content is there

	Created  int64     `cbor:"12,keyasint"`
	Expires  int64     `cbor:"13,keyasint,omitempty"` // 0: never
	Revision uint64    `cbor:"14,keyasint"`           // 1 at creation, one more with each edit
	Views    int64     `cbor:"15,keyasint,omitempty"`
	Burned   int64     `cbor:"16,keyasint,omitempty"` // when; 0: it is not
	BurnedBy RequestID `cbor:"17,keyasint"`           // of the burn that won

	Ends int64 `cbor:"18,keyasint,omitempty"` // when what is left of it goes, once a sweep has found it expired
}

// HasContent reports whether the content is there, be it expired and not swept yet.
func (n Note) HasContent() bool { return n.CID != storage.CID{} }

// Expired reports whether the note's time is over.
func (n Note) Expired(now int64) bool { return n.Expires != 0 && n.Expires <= now }

// Forgotten reports whether a note expired so long ago that nothing is told of
// it any more, though its record may be there yet. What was burned is told of for ever.
func (n Note) Forgotten(now, keepDays int64) bool {
	return n.Burned == 0 && n.Expired(now) && n.keptUntil(keepDays) <= now
}

func (n Note) keptUntil(keepDays int64) int64 { return n.Expires + keepDays*dayMillis }

// told is the note as a command answers with it. An answer is remembered for a
// while: what a burn erases must not be in one, or it would outlive the burn there.
func (n Note) told() Note {
	n.Title, n.Password, n.CID, n.Sealed = "", "", storage.CID{}, nil
	return n
}

// CreateNote makes a note when the receipts prove that its content is safe. Its
// value is the [Note] without title, password, CID and sealed key, as that of
// every command on notes.
type CreateNote struct {
	Hash     string            `cbor:"1,keyasint"`
	Code     string            `cbor:"2,keyasint"`
	Account  string            `cbor:"3,keyasint"`
	Title    string            `cbor:"4,keyasint,omitempty"`
	Language string            `cbor:"5,keyasint"`
	Privacy  Privacy           `cbor:"6,keyasint,omitempty"`
	Burn     bool              `cbor:"7,keyasint,omitempty"`
	Password string            `cbor:"8,keyasint,omitempty"` // its hash
	CID      storage.CID       `cbor:"9,keyasint"`           // of a note that burns, that of the ciphertext
	Sealed   []byte            `cbor:"10,keyasint,omitempty"`
	Created  int64             `cbor:"11,keyasint"`
	Expires  int64             `cbor:"12,keyasint,omitempty"` // 0: never
	Receipts []storage.Receipt `cbor:"13,keyasint,omitempty"` // none for inline content
}

// DeleteNote removes a note in whatever state; its value is the [Note] that is gone.
type DeleteNote struct {
	Hash    string `cbor:"1,keyasint"`
	Account string `cbor:"2,keyasint"`           // who deletes it
	Admin   bool   `cbor:"3,keyasint,omitempty"` // and may delete any
}

// Limits of a note, in bytes. The proposer has narrower ones of what people send.
const (
	noteTitleMax    = 4 * 255 // characters are up to 4 bytes
	noteLanguageMax = 64
	notePasswordMax = 512
)

func noteKey(hash string) []byte { return key(tableNotes).str(hash) }

func noteCodeKey(code string) []byte { return key(tableNoteCodes).str(code) }

// ref is the reference of the note's content, and record what stands in it.
func (n Note) ref() refID { return refID{cid: n.CID, kind: refNote, holder: n.Hash} }

func (n Note) record() refRecord {
	r := refRecord{Uploaded: n.Created, Expires: n.Expires, Account: n.Account, Graceless: n.Burn}
	if r.Expires == 0 {
		r.Expires = never
	}
	return r
}

// check refuses what no note can be.
func (n Note) check(op string) error {
	switch {
	case len(n.Title) > noteTitleMax:
		return refuseField(op, "title", "at most 1020 bytes")
	case n.Language == "" || len(n.Language) > noteLanguageMax:
		return refuseField(op, "language", "1 to 64 bytes")
	case n.Privacy >= privacyEnd:
		return refuseField(op, "privacy", "public, unlisted or private")
	case len(n.Password) > notePasswordMax:
		return refuseField(op, "password", "a hash of at most 512 bytes")
	case !n.HasContent():
		return refuseField(op, "content", "not empty")
	case n.Burn != (len(n.Sealed) > 0) || len(n.Sealed) > sealedMax:
		return refuseField(op, "sealed", "1 to 1024 bytes, of a note that burns only")
	}
	return nil
}

func (t *tx) createNote(h Header, c CreateNote) (Note, error) {
	const op = "CreateNote"
	if err := ownAccount(op, h, c.Account); err != nil {
		return Note{}, err
	}
	n := Note{
		Hash: c.Hash, Code: c.Code, Account: c.Account, Title: c.Title, Language: c.Language, Privacy: c.Privacy, Burn: c.Burn,
		Password: c.Password, CID: c.CID, Sealed: c.Sealed, Created: c.Created, Expires: c.Expires, Revision: 1,
	}
	if n.Password != "" {
		n.PasswordRevision = 1
	}
	if err := n.check(op); err != nil {
		return Note{}, err
	}
	if err := t.noteIDsFree(op, n); err != nil {
		return Note{}, err
	}
	if err := t.endAhead(op, n.Expires); err != nil {
		return Note{}, err
	}
	a, ok, err := t.account(n.Account)
	if err != nil || !ok {
		return Note{}, orRefuse(err, refuseMissing(op))
	}
	b, known, err := t.admitContent(op, n.CID, c.Receipts)
	if err != nil {
		return Note{}, err
	}
	if err := withinOwned(op, a.Notes); err != nil {
		return Note{}, err
	}
	if err := t.withinQuota(a, n.CID); err != nil {
		return Note{}, err
	}
	t.counts.Notes++
	return n.told(), errors.Join(
		t.holdNote(a, n, nil, b, known), t.issue(n.Hash), t.issue(n.Code), t.set(noteCodeKey(n.Code), []byte(n.Hash)))
}

// noteIDsFree refuses a note whose hash or code is taken: both are ids of the
// one space, and are never issued again.
func (t *tx) noteIDsFree(op string, n Note) error {
	for _, id := range []string{n.Hash, n.Code} {
		if err := t.idFree(op, id); err != nil {
			return err
		}
	}
	if n.Hash == n.Code {
		return refuse(op, storage.KindConflict, "id_taken", nil)
	}
	return nil
}

// holdNote writes a note with the reference of its content, in the place of
// what it was, or nil. What forbids it was looked for before.
func (t *tx) holdNote(a Account, n Note, was *Note, b blobRecord, known bool) error {
	if was != nil && was.CID == n.CID {
		old := was.record()
		return errors.Join(t.addReference(&a, n.ref(), b, known, &old, n.record(), Entry{}), write(t, noteKey(n.Hash), n))
	}
	a.Notes++
	if err := t.addReference(&a, n.ref(), b, known, nil, n.record(), Entry{}); err != nil {
		return err
	}
	if was != nil {
		if err := t.dropRef(was.ref(), was.record()); err != nil {
			return err
		}
	}
	return write(t, noteKey(n.Hash), n)
}

// noteOf returns a note for a change by its owner, or an admin. To all others
// what is private is not there.
func (t *tx) noteOf(op, hash, account string, admin bool) (Note, error) {
	n, ok, err := noteAt(t.rows(), hash)
	own := admin || n.Account == account
	switch {
	case err != nil:
		return Note{}, err
	case !ok || n.Forgotten(t.time, t.cache.settings.PasteWizard.ExpiredKeepDays) || !own && n.Privacy == PrivacyPrivate:
		return Note{}, refuseMissing(op)
	case !own:
		return Note{}, refuse(op, storage.KindForbidden, "not_owner", nil)
	}
	return n, nil
}

func (t *tx) deleteNote(h Header, c DeleteNote) (Note, error) {
	const op = "DeleteNote"
	if err := ownAccount(op, h, c.Account); err != nil {
		return Note{}, err
	}
	n, err := t.noteOf(op, c.Hash, c.Account, c.Admin)
	if err != nil {
		return Note{}, err
	}
	if n.HasContent() {
		if err := t.dropRef(n.ref(), n.record()); err != nil {
			return Note{}, err
		}
	}
	return n.told(), t.removeNote(n)
}

// removeNote removes the record of a note, of which no reference is left.
func (t *tx) removeNote(n Note) error {
	t.counts.Notes--
	t.countsOld = true
	return errors.Join(t.clearEnd(n.Ends, endOfNote, []byte(n.Hash)), t.del(noteCodeKey(n.Code)), t.del(noteKey(n.Hash)))
}

// addNoteViews counts views of a note whose content is still to be had.
func (t *tx) addNoteViews(v ViewCount) error {
	n, ok, err := read[Note](t, noteKey(v.ID))
	if err != nil || !ok || !n.HasContent() || n.Expired(t.time) || v.N < 1 || v.N > countMax {
		return err
	}
	n.Views += v.N
	return write(t, noteKey(n.Hash), n)
}

// noteAt returns a note, in whatever state, unless its content is taken down.
func noteAt(r pebble.Reader, hash string) (Note, bool, error) {
	n, ok, err := lookUp[Note](r, noteKey(hash))
	if err != nil || !ok || !n.HasContent() {
		return n, ok, err
	}
	b, ok, err := lookUp[blobRecord](r, key(tableBlobs).cid(n.CID))
	if err != nil || !ok || b.Blocked {
		return Note{}, false, err
	}
	return n, true, nil
}

// Note returns a note in whatever state, also when it has expired or was
// burned: as long as its record is there, and its content not taken down.
func (f *FSM) Note(hash string) (n Note, found bool, err error) {
	err = f.viewAtOnce("Note", func(r pebble.Reader) error {
		n, found, err = noteAt(r, hash)
		return err
	})
	return n, found, err
}

// NoteByCode is Note for a short code.
func (f *FSM) NoteByCode(code string) (n Note, found bool, err error) {
	err = f.viewAtOnce("NoteByCode", func(r pebble.Reader) error {
		hash, ok, err := lookUpID(r, noteCodeKey(code))
		if err != nil || !ok {
			return err
		}
		n, found, err = noteAt(r, hash)
		return err
	})
	return n, found, err
}
