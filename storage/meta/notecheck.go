package meta

import (
	"errors"

	"ringbin/storage"
)

// notes checks each note against its reference, its rows elsewhere, and what
// has to be gone of one that was burned or has expired.
func (c *check) notes() error {
	err := each(c, tableNotes, func(_ []byte, n Note) error {
		return errors.Join(
			c.content(n),
			c.ended(n),
			c.must(noteCodeKey(n.Code), []byte(n.Hash), "the code of note %s", n.Hash),
			c.must(key(tableIssued).str(n.Hash), nil, "the hash of note %s among those issued", n.Hash),
			c.must(key(tableIssued).str(n.Code), nil, "the code of note %s among those issued", n.Hash),
			c.owner(n.Account, "note "+n.Hash),
		)
	})
	return errors.Join(err, c.rowsAre(tableNoteCodes, c.rows[tableNotes], "the index of notes by code"))
}

// content checks the reference of a note that has content. That no other one
// names the note is looked for from the references.
func (c *check) content(n Note) error {
	if !n.HasContent() {
		return nil
	}
	return c.mustRef(n.ref(), new(n.record()), "the reference of note %s", n.Hash)
}

// ended checks what is left of a note against how it ended.
func (c *check) ended(n Note) error {
	switch {
	case n.Burned != 0 && (!n.Burn || n.HasContent() || len(n.Sealed) > 0 || n.Title != "" || n.Password != "" || n.Ends != 0):
		return c.say("note %s was burned, and not all of it is gone", n.Hash)
	case n.Burned == 0 && n.HasContent() && (n.Burn != (len(n.Sealed) > 0) || n.Ends != 0):
		return c.say("note %s has content, and not the key to it, or an end", n.Hash)
	case n.Burned == 0 && !n.HasContent() && (n.Expires == 0 || n.Ends == 0 || len(n.Sealed) > 0):
		return c.say("note %s has no content, and neither was burned nor has expired", n.Hash)
	}
	return c.mustEnd(n.Ends, endOfNote, []byte(n.Hash), "note "+n.Hash)
}

// heldByNote checks that the reference is of a note's content, as it is now.
func (c *check) heldByNote(id refID) error {
	n, ok, err := lookUp[Note](c.r, noteKey(id.holder))
	if err != nil {
		return err
	}
	if !ok || n.CID != id.cid || n.CID == (storage.CID{}) {
		return c.say("note %s has a reference, and not its content", id.holder)
	}
	return nil
}
