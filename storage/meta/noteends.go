package meta

import (
	"fmt"

	"ringbin/storage"
)

// How a note ends.
//
//	Expires is over       it can be read no more; a sweep drops its reference and
//	                      lets go of CID and key, and the record waits in tableDue
//	ExpiredKeepDays later nothing is told of it any more; a sweep removes the record
//	burned                its reference is dropped at once, the record stays for ever
//	taken down            it is not there for anybody, and goes with its reference
//
// Hash and code are never issued again.

// noteExpired lets go of the content of a note whose reference a sweep has dropped.
func (t *tx) noteExpired(hash string) error {
	n, ok, err := read[Note](t, noteKey(hash))
	if err != nil || !ok {
		return orFatal(err, "reference of a note that is not there")
	}
	b, known, err := t.blob(n.CID)
	if err != nil || !known {
		return orFatal(err, "note without its blob")
	}
	if b.Blocked { // else the record would tell of what is not there for anybody
		return t.removeNote(n)
	}
	n.CID, n.Sealed = storage.CID{}, nil
	return t.waitForEnd(n)
}

// waitForEnd writes an expired note, and when a sweep looks at it again.
func (t *tx) waitForEnd(n Note) error {
	n.Ends = n.keptUntil(t.cache.settings.PasteWizard.ExpiredKeepDays)
	if err := t.setEnd(n.Ends, endOfNote, []byte(n.Hash)); err != nil {
		return err
	}
	return write(t, noteKey(n.Hash), n)
}

// endNote removes what is left of an expired note, or has it wait on when the
// setting has grown meanwhile.
func (t *tx) endNote(row []byte, hash string) error {
	n, ok, err := read[Note](t, noteKey(hash))
	if err != nil || !ok {
		return orFatal(err, "end of a note that is not there")
	}
	if n.Forgotten(t.time, t.cache.settings.PasteWizard.ExpiredKeepDays) {
		return t.removeNote(n)
	}
	if err := t.del(row); err != nil {
		return err
	}
	return t.waitForEnd(n)
}

// takeNote removes a note whose content was taken down for good: the caller
// drops its reference.
func (t *tx) takeNote(hash string) error {
	n, ok, err := read[Note](t, noteKey(hash))
	if err != nil || !ok {
		return orFatal(err, fmt.Sprintf("reference of note %s, which is not there", hash))
	}
	return t.removeNote(n)
}
