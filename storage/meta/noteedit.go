package meta

import "ringbin/storage"

// EditNote changes the members that are not nil, all or nothing; its value is
// the [Note] as that of a CreateNote.
type EditNote struct {
	Hash     string       `cbor:"1,keyasint"`
	Account  string       `cbor:"2,keyasint"`           // who edits it
	Admin    bool         `cbor:"3,keyasint,omitempty"` // and may edit any
	Revision uint64       `cbor:"4,keyasint,omitempty"` // edited only if it is this one; 0: any
	Title    *string      `cbor:"5,keyasint,omitempty"`
	Language *string      `cbor:"6,keyasint,omitempty"`
	Privacy  *Privacy     `cbor:"7,keyasint,omitempty"`
	Expires  *int64       `cbor:"8,keyasint,omitempty"` // 0: never
	Password *string      `cbor:"9,keyasint,omitempty"` // its hash; empty: none any more
	Content  *NoteContent `cbor:"10,keyasint,omitempty"`
}

// NoteContent is new content of a note.
type NoteContent struct {
	CID      storage.CID       `cbor:"1,keyasint"`
	Sealed   []byte            `cbor:"2,keyasint,omitempty"` // its key, of a note that burns
	Receipts []storage.Receipt `cbor:"3,keyasint,omitempty"` // none for inline content
}

// openNote refuses what can be read no more, and in which order.
func (t *tx) openNote(op string, n Note) error {
	switch {
	case n.Burned != 0:
		return refuse(op, storage.KindGone, "note_burned", nil)
	case n.Expired(t.time):
		return refuse(op, storage.KindGone, "note_expired", nil)
	}
	return nil
}

func revisionChanged(op string, n Note) error {
	return refuse(op, storage.KindConflict, "revision_changed", map[string]any{"revision": int64(n.Revision)})
}

func (t *tx) editNote(h Header, c EditNote) (Note, error) {
	const op = "EditNote"
	if err := ownAccount(op, h, c.Account); err != nil {
		return Note{}, err
	}
	was, err := t.noteOf(op, c.Hash, c.Account, c.Admin)
	if err != nil {
		return Note{}, err
	}
	if err := t.openNote(op, was); err != nil {
		return Note{}, err
	}
	if c.Revision != 0 && c.Revision != was.Revision {
		return Note{}, revisionChanged(op, was)
	}
	n := c.edit(was)
	if err := n.check(op); err != nil {
		return Note{}, err
	}
	if n.Expires != was.Expires {
		if err := t.endAhead(op, n.Expires); err != nil {
			return Note{}, err
		}
	}
	if n.CID == was.CID && n.Expires == was.Expires {
		return n.told(), write(t, noteKey(n.Hash), n)
	}
	return n.told(), t.rehold(op, n, was, c.Content)
}

// edit is the note after the edit.
func (c EditNote) edit(n Note) Note {
	patch(&n.Title, c.Title)
	patch(&n.Language, c.Language)
	patch(&n.Privacy, c.Privacy)
	patch(&n.Expires, c.Expires)
	if c.Password != nil && *c.Password != n.Password {
		n.Password = *c.Password
		n.PasswordRevision++
	}
	if c.Content != nil {
		n.CID, n.Sealed = c.Content.CID, c.Content.Sealed
	}
	n.Revision++
	return n
}

// rehold writes a note whose content or expiry has changed.
func (t *tx) rehold(op string, n, was Note, content *NoteContent) error {
	b, known, err := t.blob(n.CID)
	if content != nil {
		b, known, err = t.admitContent(op, n.CID, content.Receipts)
	}
	if err != nil {
		return err
	}
	a, ok, err := t.account(n.Account)
	if err != nil || !ok {
		return orFatal(err, "note of an account that is not there")
	}
	if n.CID != was.CID {
		if err := t.roomFor(a, n.CID, &held{cid: was.CID}); err != nil {
			return err
		}
	}
	return t.holdNote(a, n, &was, b, known)
}
