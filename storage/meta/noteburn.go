package meta

import (
	"errors"

	"github.com/cockroachdb/pebble/v2"
)

// BurnNote burns a note that burns, for the one reader who may have its content
// then: who names this very request. Its value is a [Burn].
type BurnNote struct {
	Hash     string `cbor:"1,keyasint"`
	Revision uint64 `cbor:"2,keyasint"` // that the reader has fetched
}

// Burn is the value of a BurnNote: the note as it is after it, as a CreateNote
// answers with it, and whether this request is the one that has burned it.
type Burn struct {
	Note Note `cbor:"1,keyasint"`
	Won  bool `cbor:"2,keyasint,omitempty"`
}

// ResealNote changes how the key of a note that burns is wrapped, and nothing
// else: not the revision either. Its value is the [Note] as that of a CreateNote.
type ResealNote struct {
	Hash     string `cbor:"1,keyasint"`
	Revision uint64 `cbor:"2,keyasint"` // whose key it is
	Sealed   []byte `cbor:"3,keyasint"`
}

// burnNote erases title, password, CID and key in the entry that decides who
// has won: nobody can open the content after it, on no node. What is not to be burned,
// or not any more, is no refusal: the reader learns from the state how it is.
func (t *tx) burnNote(h Header, c BurnNote) (Burn, error) {
	n, ok, err := noteAt(t.rows(), c.Hash)
	if err != nil || !ok || n.Forgotten(t.time, t.cache.settings.PasteWizard.ExpiredKeepDays) {
		return Burn{}, orRefuse(err, refuseMissing("BurnNote"))
	}
	if n.Burned != 0 || !n.Burn || n.Revision != c.Revision || n.Expired(t.time) {
		return Burn{Note: n.told(), Won: n.Burned != 0 && n.BurnedBy == h.ID}, nil
	}
	if err := t.dropRef(n.ref(), n.record()); err != nil {
		return Burn{}, err
	}
	n = n.told()
	n.Burned, n.BurnedBy = t.time, h.ID
	n.Views++
	return Burn{Note: n, Won: true}, write(t, noteKey(n.Hash), n)
}

// resealNote works on what is taken down, too: it may be allowed again.
func (t *tx) resealNote(_ Header, c ResealNote) (Note, error) {
	const op = "ResealNote"
	n, ok, err := read[Note](t, noteKey(c.Hash))
	if err != nil || !ok {
		return Note{}, orRefuse(err, refuseMissing(op))
	}
	if !n.Burn || !n.HasContent() || n.Revision != c.Revision {
		return Note{}, revisionChanged(op, n)
	}
	n.Sealed = c.Sealed
	if err := n.check(op); err != nil {
		return Note{}, err
	}
	return n.told(), write(t, noteKey(n.Hash), n)
}

// SealedNotes goes over the notes that hold a sealed key, those whose content is
// taken down included. The error of each ends it. It must not wait for a command.
func (f *FSM) SealedNotes(each func(Note) error) error {
	return f.view("SealedNotes", func(r pebble.Reader) error {
		return scan(r, []byte{tableNotes}, func(_, v []byte) (bool, error) {
			var n Note
			if err := decMode.Unmarshal(v, &n); err != nil {
				return false, errors.Join(errCorruptState, err)
			}
			if len(n.Sealed) == 0 {
				return true, nil
			}
			return true, each(n)
		})
	})
}
