package node

import (
	"context"
	"net/netip"
	"time"

	"ringbin/storage/meta"
)

// Who may read a note of PasteWizard's.
const (
	PrivacyPublic   = meta.PrivacyPublic
	PrivacyUnlisted = meta.PrivacyUnlisted
	PrivacyPrivate  = meta.PrivacyPrivate // its owner, and administrators
)

// LanguageAuto is the language of a note whose language is to be guessed.
const LanguageAuto = "auto"

// NewNote is a note on its way in.
type NewNote struct {
	Title    string // "": none
	Content  []byte
	Language string // "auto": guessed
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

// SetLanguageGuess says how languages are guessed; nothing is served before.
func (s *Service) SetLanguageGuess(guess func(title string, content []byte) string) {}

// NoteBodyLimit is how many bytes the body of a request may have that carries a
// note: content as long as it may be, escaped, and what stands beside it.
func (s *Service) NoteBodyLimit() int64 { return 0 }

// HoldNote takes room in memory for a body or a content of a size, or, below 0,
// for any body that is allowed; whoever reads one holds it until done. The
// error is KindUnavailable (overloaded).
func (s *Service) HoldNote(ctx context.Context, size int64) (release func(), err error) {
	return nil, noLeader("node.HoldNote", nil)
}

// CreateNote stores content and a note of it, in the caller's account.
// KindTooLarge (payload_too_large).
func (s *Service) CreateNote(ctx context.Context, c Caller, n NewNote) (Note, error) {
	return Note{}, noLeader("node.CreateNote", nil)
}

// EditNote changes a note of the caller's; administrators change any.
// KindNotFound (not_found; also another's private one), KindForbidden
// (not_owner), KindGone (note_burned, note_expired).
func (s *Service) EditNote(ctx context.Context, c Caller, hash string, e NoteEdit) (Note, error) {
	return Note{}, noLeader("node.EditNote", nil)
}

// DeleteNote deletes a note of the caller's, burned and expired ones, too;
// administrators delete any. Codes: not_found, not_owner.
func (s *Service) DeleteNote(ctx context.Context, c Caller, hash string) error {
	return noLeader("node.DeleteNote", nil)
}

// CheckNote is whether ReadNote would read a note now, as far as that can be
// told without its content. Nothing is read, burned or counted.
//
// In the order of the checks: KindNotFound (not_found), KindGone (note_burned,
// note_expired), KindForbidden (password_required, password_invalid),
// KindRateLimited (password_attempts); KindUnavailable (no_leader, overloaded).
func (s *Service) CheckNote(ctx context.Context, r NoteReader, hash string) (Note, error) {
	return Note{}, noLeader("node.CheckNote", nil)
}

// ReadNote gives a note to a reader and counts the view. A note that burns is
// burned by that: of all readers in the cluster one gets it. Errors are
// CheckNote's, and KindUnavailable (content_unavailable), KindUnknown
// (outcome_unknown: the view may be lost).
func (s *Service) ReadNote(ctx context.Context, r NoteReader, hash string) (*NoteView, error) {
	return nil, noLeader("node.ReadNote", nil)
}

// UnlockNote returns, for the right password of a note, a text that stands for
// it for ten minutes on every node; "" when the reader needs no password.
// Errors are CheckNote's.
func (s *Service) UnlockNote(ctx context.Context, r NoteReader, hash string) (unlock string, err error) {
	return "", noLeader("node.UnlockNote", nil)
}

// NoteByCode returns the note with a short code, whatever became of it:
// burned, expired, private. KindNotFound (not_found).
func (s *Service) NoteByCode(ctx context.Context, code string) (Note, error) {
	return Note{}, noLeader("node.NoteByCode", nil)
}

// NoteHere reports whether a hash is a note's, whatever became of it.
func (s *Service) NoteHere(ctx context.Context, hash string) (bool, error) {
	return false, noLeader("node.NoteHere", nil)
}
