package node

import (
	"context"

	"ringbin/storage"
	"ringbin/storage/meta"
)

// managedNote finds a note that the caller may change. To all others another's
// private one is not there.
func (s *Service) managedNote(ctx context.Context, op string, c Caller, hash string) (Note, error) {
	n, err := s.findNote(ctx, op, hash)
	if err == nil {
		err = visible(op, c, n)
	}
	if err == nil && !mayManage(c, n) {
		err = &storage.Error{Op: op, Kind: storage.KindForbidden, Code: "not_owner"}
	}
	return n, err
}

// EditNote changes a note of the caller's; administrators change any.
// KindNotFound (not_found; also another's private one), KindForbidden
// (not_owner), KindGone (note_burned, note_expired), KindTooLarge
// (payload_too_large).
func (s *Service) EditNote(ctx context.Context, c Caller, hash string, e NoteEdit) (Note, error) {
	const op = "node.EditNote"
	for range noteTries {
		n, err := s.managedNote(ctx, op, c, hash)
		if err == nil {
			err = s.stillOpen(op, n)
		}
		if err != nil {
			return Note{}, err
		}
		edited, err := s.editNote(ctx, op, c, n, e)
		if storage.CodeOf(err) != "revision_changed" && err != errNoteChanged { //nolint:errorlint // it is never wrapped
			return edited, err
		}
	}
	return Note{}, &storage.Error{Op: op, Kind: storage.KindUnavailable, Code: "note_changing"}
}

func (s *Service) editNote(ctx context.Context, op string, c Caller, n Note, e NoteEdit) (Note, error) {
	cmd := meta.EditNote{
		Hash: n.Hash, Account: c.Account, Admin: c.Can(TokenAdmin),
		Title: e.Title, Language: e.Language, Privacy: e.Privacy,
	}
	if e.Language != nil && *e.Language == LanguageAuto {
		language, err := s.guessAnew(ctx, op, n, e)
		if err != nil {
			return Note{}, err
		}
		cmd.Language = &language
		if e.Content == nil {
			cmd.Revision = n.Revision // it was guessed by what the note had then
		}
	}
	var err error
	if cmd.Password, err = s.editedPassword(ctx, e); err != nil {
		return Note{}, err
	}
	timed := func() meta.EditNote {
		if e.Expiry.Never || e.Expiry.Span != 0 {
			cmd.Expires = new(e.Expiry.end(second(s.now())))
		}
		return cmd
	}
	if e.Content == nil {
		edited, _, err := submit[Note](ctx, s, c, timed(), nil)
		return edited, err
	}
	kept, err := s.keepNote(ctx, op, n.Burn, *e.Content)
	if err != nil {
		return Note{}, err
	}
	defer kept.release()
	sealed, err := kept.sealedKey(s.n, n.Hash)
	if err != nil {
		return Note{}, err
	}
	return commitContent[Note](ctx, s, c, kept.content, func(cid storage.CID, r []storage.Receipt) meta.Command {
		cmd.Content = &meta.NoteContent{CID: cid, Sealed: sealed, Receipts: r}
		return timed()
	})
}

// guessAnew guesses a note's language as it is to be after an edit.
func (s *Service) guessAnew(ctx context.Context, op string, n Note, e NoteEdit) (string, error) {
	title := n.Title
	if e.Title != nil {
		title = *e.Title
	}
	if e.Content != nil {
		return s.guessLanguage(title, *e.Content), nil
	}
	release, err := s.HoldNote(ctx, n.CID.Size())
	if err != nil {
		return "", err
	}
	defer release()
	content, err := s.noteContent(ctx, op, n)
	if err != nil {
		return "", err
	}
	return s.guessLanguage(title, content), nil
}

// editedPassword is what an edit makes of a note's password; nil is no change.
func (s *Service) editedPassword(ctx context.Context, e NoteEdit) (*string, error) {
	switch {
	case e.ClearPassword:
		return new(""), nil
	case e.Password == nil || *e.Password == "":
		return nil, nil //nolint:nilnil // no change is no error
	}
	hash, err := s.passwords.hash(ctx, *e.Password)
	return &hash, err
}

// DeleteNote deletes a note of the caller's, burned and expired ones, too;
// administrators delete any. Codes: not_found, not_owner.
func (s *Service) DeleteNote(ctx context.Context, c Caller, hash string) error {
	if _, err := s.managedNote(ctx, "node.DeleteNote", c, hash); err != nil {
		return err
	}
	_, _, err := submit[Note](ctx, s, c, meta.DeleteNote{Hash: hash, Account: c.Account, Admin: c.Can(TokenAdmin)}, nil)
	return err
}
