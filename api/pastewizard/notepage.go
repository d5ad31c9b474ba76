package pastewizard

import (
	"net/http"

	"ringbin/api/highlight"
	"ringbin/node"
	"ringbin/storage"
)

// The cookie that stands for the password of one note, as long as its text
// counts.
const (
	unlockCookie  = "paste_" // and the hash
	unlockSeconds = 10 * 60
)

// noteReader is who looks at a note. A login whose key may not read pastes is
// as good as none.
func (v *visit) noteReader(hash string) node.NoteReader {
	r := node.NoteReader{Web: true, Addr: v.addr()}
	if v.caller.Can(node.TokenRead) {
		r.Caller = v.caller
	}
	if cookie, err := v.r.Cookie(unlockCookie + hash); err == nil {
		r.Unlock = cookie.Value
	}
	return r
}

// showNote is the page of a note. One that burns is not shown to GET: a link
// that is followed ahead, by whatever does that, must not burn it.
func (v *visit) showNote() error {
	hash := v.params.ByName("hash")
	reader := v.noteReader(hash)
	n, err := v.service().CheckNote(v.r.Context(), reader, hash)
	switch {
	case needsPassword(err):
		return v.askPassword(hash, false)
	case err != nil:
		return err
	case n.Burn:
		return v.render("warning", "Burn After Read paste", warningPage{Hash: hash, Expires: n.Expires})
	case v.isHead():
		setPageHeaders(v.w.Header())
		v.w.WriteHeader(http.StatusOK)
		return nil
	}
	return v.deliver(reader, n)
}

// openNote takes the password of a note, and burns one that burns if that was
// confirmed.
func (v *visit) openNote() error {
	hash := v.params.ByName("hash")
	form, err := v.form()
	if err != nil {
		return err
	}
	reader := v.noteReader(hash)
	if reader.Password, err = form.password(); err != nil {
		return err
	}
	confirmed, err := form.flag("confirm", false)
	if err != nil {
		return err
	}
	unlock := ""
	if reader.Password != "" {
		if unlock, err = v.service().UnlockNote(v.r.Context(), reader, hash); err != nil {
			return v.refusedBy(err, hash)
		}
		reader.Password, reader.Unlock = "", unlock // it is as good, and costs less to check
	}
	n, err := v.service().CheckNote(v.r.Context(), reader, hash)
	switch {
	case err != nil:
		return v.refusedBy(err, hash)
	case n.Burn && confirmed:
		return v.deliver(reader, n)
	}
	if unlock != "" {
		v.setUnlock(hash, unlock)
	}
	return v.redirect(http.StatusSeeOther, "/p/"+hash)
}

func needsPassword(err error) bool {
	code := storage.CodeOf(err)
	return code == codeNeedsPassword || code == codeWrongPassword
}

// refusedBy asks for the password again, where that was it.
func (v *visit) refusedBy(err error, hash string) error {
	if !needsPassword(err) {
		return err
	}
	return v.askPassword(hash, storage.CodeOf(err) == codeWrongPassword)
}

func (v *visit) askPassword(hash string, wrong bool) error {
	f := v.frame("password", "Password required", passwordPage{Hash: hash, Wrong: wrong})
	return v.d.pages.render(v.w, http.StatusForbidden, f)
}

func (v *visit) setUnlock(hash, unlock string) {
	http.SetCookie(v.w, &http.Cookie{ //nolint:gosec // Secure on https: on plain HTTP the browser would drop it
		Name: unlockCookie + hash, Value: unlock, Path: v.site.prefix + "/p/" + hash, MaxAge: unlockSeconds,
		HttpOnly: true, Secure: v.site.secure, SameSite: http.SameSiteLaxMode,
	})
}

// deliver gives out the content of a note: with this, one that burns is burned.
// Room to show it is there before that.
func (v *visit) deliver(reader node.NoteReader, n node.Note) error {
	ctx := v.r.Context()
	if size := n.CID.Size(); size <= highlight.BytesMax {
		release, err := v.d.shown.Take(ctx, size)
		if err != nil {
			return err
		}
		defer release()
	}
	view, err := v.service().ReadNote(ctx, reader, n.Hash)
	if err != nil {
		return v.refusedBy(err, n.Hash)
	}
	defer view.Close()
	page := notePage{
		Burned: view.Note.Burn, Language: view.Note.Language, Created: view.Note.Created, Expires: view.Note.Expires, Views: view.Views,
	}
	if view.Note.Privacy != node.PrivacyPublic {
		page.Privacy = privacyWord(view.Note.Privacy)
	}
	if view.Owner != nil {
		page.Owner = view.Owner.Name
	}
	title := view.Note.Title
	if title == "" {
		title = "Paste " + view.Note.Hash
	}
	return v.d.pages.note(ctx, v.w, v.frame("note", title, nil), page, view.Content)
}

// followCode leads from a short URL to the note, whatever became of it.
func (v *visit) followCode() error {
	n, err := v.service().NoteByCode(v.r.Context(), v.params.ByName("code"))
	if err != nil {
		return err
	}
	return v.redirect(http.StatusFound, "/p/"+n.Hash)
}
