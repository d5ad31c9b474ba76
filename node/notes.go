package node

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"ringbin/cluster"
	"ringbin/storage"
	"ringbin/storage/meta"
)

// Who may read a note of PasteWizard's.
const (
	PrivacyPublic   = meta.PrivacyPublic
	PrivacyUnlisted = meta.PrivacyUnlisted
	PrivacyPrivate  = meta.PrivacyPrivate // its owner, and administrators
)

// Languages of notes that are more than a name.
const (
	LanguageAuto  = "auto"      // is to be guessed
	plainLanguage = "plaintext" // is what nothing better was guessed for
)

// Sizes of notes, and how often a change of one is waited out.
const (
	noteHashSymbols = 8
	noteCodeSymbols = 6
	noteBodyTimes   = 3        // the body of a request may be so many times as long as its content
	noteBodyMore    = 64 << 10 // and so much longer
	noteTries       = 4        // to read, or to guess anew, what others change meanwhile
)

// NewNote is a note on its way in.
type NewNote struct {
	Title    string // "": none
	Content  []byte
	Language string // "auto" or "": guessed
	Privacy  meta.Privacy
	Password string // "": none
	Expiry   NoteExpiry
	Burn     bool                   // whoever reads it first is the only one
	Reserved func(hash string) bool // hashes that are not to be given out; may be nil
}

// NoteExpiry is a wish for a note's end: at most one of its members is set.
// The zero value is never for a new note, and no change for an edited one.
type NoteExpiry struct {
	Keep, Never bool
	Span        time.Duration // from the edit or the creation on
}

// NoteEdit changes what is not nil.
type NoteEdit struct {
	Title         *string // "": none
	Content       *[]byte
	Language      *string // "auto": guessed anew
	Privacy       *meta.Privacy
	Password      *string // "": kept
	ClearPassword bool    // wins over Password
	Expiry        NoteExpiry
}

// NoteReader is who reads a note, and what they show for it.
type NoteReader struct {
	Caller   Caller     // the zero one is nobody in particular
	Web      bool       // wrong passwords count on the address
	Addr     netip.Addr // of a reader on the web
	Password string
	Unlock   string // what UnlockNote returned
}

// reading is the reader without what it may not read in the name of: a login
// with a key that was made for other things is nobody's here.
func (r NoteReader) reading() NoteReader {
	if !r.Caller.Can(TokenRead) {
		r.Caller = Caller{}
	}
	return r
}

// NoteView is a note as one reader gets it. Close it.
type NoteView struct {
	Note    Note // before it was burned, when this burned it
	Content []byte
	Views   int64      // with this one
	Owner   *NoteOwner // nil: the account is gone

	release func()
}

// NoteOwner is whose a note is, as others see it.
type NoteOwner struct {
	Number int64
	Name   string
}

// Close gives the memory of the content back.
func (v *NoteView) Close() { v.release() }

// SetLanguageGuess says how languages are guessed, before anything is served;
// "" is no guess.
func (s *Service) SetLanguageGuess(guess func(title string, content []byte) string) {
	s.guessLanguage = func(title string, content []byte) string {
		if language := guess(title, content); language != "" {
			return language
		}
		return plainLanguage
	}
}

// NoteBodyLimit is how many bytes the body of a request may have that carries a
// note: content as long as it may be, escaped, and what stands beside it.
func (s *Service) NoteBodyLimit() int64 {
	return noteBodyTimes*s.Settings().PasteWizard.ContentMaxBytes + noteBodyMore
}

// HoldNote takes room in memory for a body or a content of a size, or, below 0,
// for any body that is allowed; whoever reads one holds it until done. The
// error is KindUnavailable (overloaded).
func (s *Service) HoldNote(ctx context.Context, size int64) (release func(), err error) {
	return s.hold(ctx, "node.HoldNote", size, s.NoteBodyLimit())
}

// CreateNote stores content and a note of it, in the caller's account. Codes:
// auth_missing, payload_too_large.
func (s *Service) CreateNote(ctx context.Context, c Caller, n NewNote) (Note, error) {
	const op = "node.CreateNote"
	if err := needsAccount(op, c); err != nil {
		return Note{}, err
	}
	kept, err := s.keepNote(ctx, op, n.Burn, n.Content)
	if err != nil {
		return Note{}, err
	}
	defer kept.release()
	cmd := meta.CreateNote{Account: c.Account, Title: n.Title, Language: n.Language, Privacy: n.Privacy, Burn: n.Burn}
	if cmd.Language == LanguageAuto || cmd.Language == "" {
		cmd.Language = s.guessLanguage(n.Title, n.Content)
	}
	if n.Password != "" {
		if cmd.Password, err = s.passwords.hash(ctx, n.Password); err != nil {
			return Note{}, err
		}
	}
	made, err := createUnder(op, noteHashSymbols, n.Reserved, func(hash string) (Note, error) {
		cmd.Hash, cmd.Code = hash, randomText(noteCodeSymbols)
		if cmd.Sealed, err = kept.sealedKey(s.n, hash); err != nil {
			return Note{}, err
		}
		return commitContent[Note](ctx, s, c, kept.content, func(cid storage.CID, r []storage.Receipt) meta.Command {
			cmd.CID, cmd.Receipts, cmd.Created = cid, r, second(s.now())
			cmd.Expires = n.Expiry.end(cmd.Created)
			return cmd
		})
	})
	if err == nil {
		s.counts.notesMade.Add(1)
	}
	return made, err
}

// end returns when a wish of a time ends, 0 for never.
func (e NoteExpiry) end(now int64) int64 {
	if e.Span == 0 {
		return 0
	}
	return now + e.Span.Milliseconds()
}

// keptContent is content as it is to be stored.
type keptContent struct {
	content []byte
	key     []byte // what it is sealed under; nil: nothing
	release func() // gives back the memory that content takes beside what came
}

// keepNote makes of content what is to be stored of it. What is sealed is one
// more copy, and takes room as bodies do. Release it.
func (s *Service) keepNote(ctx context.Context, op string, burn bool, content []byte) (keptContent, error) {
	if err := declaredWithin(op, s.Settings().PasteWizard.ContentMaxBytes, int64(len(content))); err != nil {
		return keptContent{}, err
	}
	if !burn {
		return keptContent{content: content, release: func() {}}, nil
	}
	release, err := s.HoldNote(ctx, int64(len(content)))
	if err != nil {
		return keptContent{}, err
	}
	sealed, key, err := sealContent(content)
	if err != nil {
		release()
		return keptContent{}, err
	}
	return keptContent{content: sealed, key: key, release: release}, nil
}

// sealedKey is the content's key as it stands in the record of a note.
func (k keptContent) sealedKey(n *Node, hash string) ([]byte, error) {
	if k.key == nil {
		return nil, nil
	}
	sealer, err := n.sealer(cluster.SealNotes)
	if err != nil {
		return nil, err
	}
	return sealer.sealNoteKey(hash, k.key), nil
}

// findNote returns a note as of now, whatever became of it.
func (s *Service) findNote(ctx context.Context, op, hash string) (Note, error) {
	if !plainID(hash, noteHashSymbols) {
		return Note{}, notFound(op)
	}
	return strong(ctx, s, notFound(op), func() (Note, bool, error) {
		n, found, err := s.n.fsm.Note(hash)
		return n, found && !s.forgotten(n), err
	})
}

// forgotten reports whether a note's end is so long ago that nothing is told of
// it any more, though its record be there yet.
func (s *Service) forgotten(n Note) bool {
	return n.Forgotten(s.clusterTime(), s.Settings().PasteWizard.ExpiredKeepDays)
}

// clusterTime is the time by the node's clock, and no earlier than what the
// cluster has decided by: what was once over stays so.
func (s *Service) clusterTime() int64 { return max(s.now(), s.n.fsm.Now()) }

// mayManage is whether a note is the caller's to change, or every note is.
func mayManage(c Caller, n Note) bool {
	return c.Account != "" && c.Account == n.Account || c.Can(TokenAdmin)
}

// visible refuses, as if it were not there, what the caller may not know of.
func visible(op string, c Caller, n Note) error {
	if n.Privacy == PrivacyPrivate && !mayManage(c, n) {
		return notFound(op)
	}
	return nil
}

// stillOpen refuses a note whose content is not to be had any more.
func (s *Service) stillOpen(op string, n Note) error {
	switch {
	case n.Burned != 0:
		return &storage.Error{Op: op, Kind: storage.KindGone, Code: "note_burned"}
	case n.Expired(s.clusterTime()):
		return &storage.Error{Op: op, Kind: storage.KindGone, Code: "note_expired"}
	}
	return nil
}

// CheckNote is whether ReadNote would read a note now, as far as that can be
// told without its content. Nothing is read, burned or counted.
//
// In the order of the checks: KindNotFound (not_found), KindGone (note_burned,
// note_expired), KindForbidden (password_required, password_invalid),
// KindRateLimited (password_attempts); KindUnavailable (no_leader, overloaded).
func (s *Service) CheckNote(ctx context.Context, r NoteReader, hash string) (Note, error) {
	return s.checkNote(ctx, "node.CheckNote", r, hash)
}

func (s *Service) checkNote(ctx context.Context, op string, r NoteReader, hash string) (Note, error) {
	r = r.reading()
	n, err := s.findNote(ctx, op, hash)
	if err == nil {
		err = visible(op, r.Caller, n)
	}
	if err == nil {
		err = s.stillOpen(op, n)
	}
	if err == nil {
		err = s.checkPassword(ctx, op, r, n)
	}
	if err != nil {
		return Note{}, err
	}
	return n, nil
}

// errNoteChanged is that a note is not what it was when it was looked at: it is
// to be looked at again.
var errNoteChanged = errors.New("the note has changed")

// ReadNote gives a note to a reader and counts the view. A note that burns is
// burned by that: of all readers in the cluster one gets it. Errors are
// CheckNote's, and KindUnavailable (content_unavailable, note_changing),
// KindUnknown (outcome_unknown: the view may be lost).
func (s *Service) ReadNote(ctx context.Context, r NoteReader, hash string) (*NoteView, error) {
	const op = "node.ReadNote"
	for range noteTries {
		n, err := s.checkNote(ctx, op, r, hash)
		if err != nil {
			return nil, err
		}
		v, err := s.viewNote(ctx, op, r.Caller, n)
		if !errors.Is(err, errNoteChanged) {
			return v, err
		}
	}
	return nil, &storage.Error{Op: op, Kind: storage.KindUnavailable, Code: "note_changing"}
}

// viewNote gives out the content of a note that the reader may have.
func (s *Service) viewNote(ctx context.Context, op string, c Caller, n Note) (*NoteView, error) {
	release, err := s.HoldNote(ctx, n.CID.Size())
	if err != nil {
		return nil, err
	}
	v := &NoteView{Note: n, release: release}
	if err := s.fillView(ctx, op, c, v); err != nil {
		release()
		return nil, err
	}
	if number, name, found := s.DisplayOf(n.Account); found {
		v.Owner = &NoteOwner{Number: number, Name: name}
	}
	return v, nil
}

// fillView adds the content and the views. All of the content is here, and
// right, before anything is burned or counted.
func (s *Service) fillView(ctx context.Context, op string, c Caller, v *NoteView) error {
	var err error
	if v.Content, err = s.noteContent(ctx, op, v.Note); err != nil {
		return err
	}
	if v.Note.Burn {
		v.Views, err = s.burn(ctx, c, v.Note)
	} else {
		v.Views, err = s.counts.viewNote(v.Note.Hash)
	}
	return err
}

// noteContent returns the content of a note, checked. What is below an error
// is left out of it: it names the content.
func (s *Service) noteContent(ctx context.Context, op string, n Note) ([]byte, error) {
	content, err := s.readAll(ctx, n.CID)
	if err == nil && n.Burn {
		content, err = s.opened(n, content)
	}
	if err == nil {
		return content, nil
	}
	// Of a note that was burned, edited or deleted meanwhile the content may
	// be gone at once.
	if is, err := s.findNote(ctx, op, n.Hash); err == nil && is.CID != n.CID || storage.KindOf(err) == storage.KindNotFound {
		return nil, errNoteChanged
	}
	return nil, &storage.Error{Op: op, Kind: storage.KindUnavailable, Code: "content_unavailable"}
}

// opened is sealed content of a note in clear.
func (s *Service) opened(n Note, sealed []byte) ([]byte, error) {
	sealer, err := s.n.sealer(cluster.SealNotes)
	if err != nil {
		return nil, err
	}
	key, _, err := sealer.openNoteKey(n)
	if err != nil {
		return nil, err
	}
	return openContent(sealed, key)
}

// NoteByCode returns the note with a short code, whatever became of it:
// burned, expired, private. KindNotFound (not_found).
func (s *Service) NoteByCode(ctx context.Context, code string) (Note, error) {
	const op = "node.NoteByCode"
	if !plainID(code, noteCodeSymbols) {
		return Note{}, notFound(op)
	}
	return strong(ctx, s, notFound(op), func() (Note, bool, error) {
		n, found, err := s.n.fsm.NoteByCode(code)
		return n, found && !s.forgotten(n), err
	})
}

// NoteHere reports whether a hash is a note's, whatever became of it. It is
// asked for each paste as well: one that is here answers for both.
func (s *Service) NoteHere(ctx context.Context, hash string) (bool, error) {
	if !plainID(hash, noteHashSymbols) {
		return false, nil
	}
	note, _, err := confirmed(ctx, s, func() (note, found bool, err error) {
		if _, note, err = s.n.fsm.Note(hash); note || err != nil {
			return note, note, err
		}
		_, found, err = s.n.fsm.Paste(hash, s.now())
		return false, found, err
	})
	return note, err
}
