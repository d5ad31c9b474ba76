package pastewizard

import "ringbin/node"

// newNote reads the fields of a new paste.
func (f fields) newNote(contentMax int64) (n node.NewNote, err error) {
	if err := f.fits(contentMax); err != nil {
		return n, err
	}
	if n.Title, err = f.title(); err != nil {
		return n, err
	}
	if n.Content, err = f.content(); err != nil {
		return n, err
	}
	n.Language = node.LanguageAuto
	if f.sent("language") {
		if n.Language, err = f.language(); err != nil {
			return n, err
		}
	}
	n.Privacy = node.PrivacyPublic
	if f.sent("privacy") {
		if n.Privacy, err = f.privacy(); err != nil {
			return n, err
		}
	}
	if n.Expiry, err = f.expiry("never"); err != nil {
		return n, err
	}
	if n.Expiry.Keep {
		return n, invalid("expiry") // there is nothing to be kept
	}
	if n.Password, err = f.password(); err != nil {
		return n, err
	}
	colours, err := f.flag("highlight", true)
	if err != nil {
		return n, err
	}
	if !colours {
		n.Language = plainText
	}
	n.Burn, err = f.flag("burn_after_read", false)
	return n, err
}

// noteEdit reads the fields of an edit, and which paste it is of. Fields that
// only new pastes have are ignored.
func (f fields) noteEdit(contentMax int64) (hash string, e node.NoteEdit, err error) {
	if err := f.fits(contentMax); err != nil {
		return "", e, err
	}
	if hash, err = f.hash(); err != nil {
		return "", e, err
	}
	if e.Title, err = given(f, "title", f.title); err != nil {
		return "", e, err
	}
	if e.Content, err = given(f, "content", f.content); err != nil {
		return "", e, err
	}
	if e.Language, err = given(f, "language", f.language); err != nil {
		return "", e, err
	}
	if e.Privacy, err = given(f, "privacy", f.privacy); err != nil {
		return "", e, err
	}
	if e.Expiry, err = f.expiry("keep"); err != nil {
		return "", e, err
	}
	if e.Password, err = given(f, "password", f.password); err != nil {
		return "", e, err
	}
	e.ClearPassword, err = f.flag("clear_password", false)
	return hash, e, err
}

// given reads a field that was sent; nil when it was not.
func given[T any](f fields, name fieldName, read func() (T, error)) (*T, error) {
	if !f.sent(name) {
		return nil, nil //nolint:nilnil // absent is no fault
	}
	v, err := read()
	if err != nil {
		return nil, err
	}
	return &v, nil
}
