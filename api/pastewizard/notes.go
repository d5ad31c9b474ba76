package pastewizard

import (
	"net/http"
	"strconv"

	"ringbin/node"
)

// userBody is an account as others see it.
type userBody struct {
	ID          int64  `json:"id"`
	DisplayName string `json:"display_name"`
}

// pasteHead and pasteTail are what stands before and behind a paste's content.
type pasteHead struct {
	Hash  string  `json:"hash"`
	Title *string `json:"title"`
}

type pasteTail struct {
	Language      string    `json:"language"`
	Privacy       string    `json:"privacy"`
	BurnAfterRead int       `json:"burn_after_read"`
	ShortURL      string    `json:"short_url"`
	CreatedAt     string    `json:"created_at"`
	ExpireAt      *string   `json:"expire_at"`
	ViewCount     int64     `json:"view_count"`
	Owner         *userBody `json:"owner"`
}

// pasteMade is the answer to a new paste, and pasteEdited to an edit.
type pasteMade struct {
	OK       bool   `json:"ok"`
	Hash     string `json:"hash"`
	URL      string `json:"url"`
	ShortURL string `json:"short_url"`
}

type pasteEdited struct {
	OK   bool   `json:"ok"`
	Hash string `json:"hash"`
	URL  string `json:"url"`
}

type pasteDeleted struct {
	OK      bool `json:"ok"`
	Deleted bool `json:"deleted"`
}

func (c *call) url(hash string) string { return c.base() + "/p/" + hash }

func (c *call) shortURL(code string) string { return c.base() + "/s/" + code }

// flagBody is a flag as answers have it.
func flagBody(v bool) int {
	if v {
		return 1
	}
	return 0
}

// reading reads what both endpoints that read take: whose hash, and who reads.
func (c *call) reading() (hash string, r node.NoteReader, err error) {
	r.Caller = c.caller
	if hash, err = c.fields.hash(); err != nil {
		return "", r, err
	}
	if r.Password = c.r.Header.Get("X-Paste-Password"); r.Password == "" {
		r.Password, err = c.fields.text("password")
	}
	return hash, r, err
}

// view reads a note. HEAD is answered here, and gets no view: it burns nothing
// and counts nothing.
func (c *call) view(contentType string) (*node.NoteView, error) {
	hash, r, err := c.reading()
	if err != nil {
		return nil, err
	}
	if !c.isHead() {
		return c.service().ReadNote(c.r.Context(), r, hash)
	}
	if _, err := c.service().CheckNote(c.r.Context(), r, hash); err != nil {
		return nil, err
	}
	c.replyHead(contentType)
	return nil, nil //nolint:nilnil // it is answered
}

func (c *call) readPaste() error {
	v, err := c.view(jsonType)
	if v == nil {
		return err
	}
	defer v.Close()
	n := v.Note
	head, tail := pasteHead{Hash: n.Hash}, pasteTail{
		Language: n.Language, Privacy: privacyWord(n.Privacy), BurnAfterRead: flagBody(n.Burn), ShortURL: c.shortURL(n.Code),
		CreatedAt: stamp(n.Created), ExpireAt: stampOrNull(n.Expires), ViewCount: v.Views,
	}
	if n.Title != "" {
		head.Title = &n.Title
	}
	if v.Owner != nil {
		tail.Owner = &userBody{v.Owner.Number, v.Owner.Name}
	}
	before, after := asText(head), asText(tail)
	return c.replyAround(`{"ok":true,"paste":`+before[:len(before)-1]+`,"content":`, v.Content, ","+after[1:]+"}")
}

// textType is the type of content alone.
const textType = "text/plain; charset=utf-8"

// rawPaste answers with content alone, always whole: there are no ranges and no
// conditions, which would leave a burned note half read.
func (c *call) rawPaste() error {
	v, err := c.view(textType)
	if v == nil {
		return err
	}
	defer v.Close()
	h := c.w.Header()
	h.Set("Content-Type", textType)
	h.Set("Content-Length", strconv.Itoa(len(v.Content)))
	c.w.WriteHeader(http.StatusOK)
	_, _ = c.w.Write(v.Content) // the client is gone; the server sees it too
	return nil
}

func (c *call) createPaste() error {
	n, err := c.fields.newNote(c.settings.ContentMaxBytes)
	if err != nil {
		return err
	}
	made, err := c.service().CreateNote(c.r.Context(), c.caller, n)
	if err != nil {
		return err
	}
	return c.reply(pasteMade{true, made.Hash, c.url(made.Hash), c.shortURL(made.Code)})
}

func (c *call) editPaste() error {
	hash, e, err := c.fields.noteEdit(c.settings.ContentMaxBytes)
	if err != nil {
		return err
	}
	edited, err := c.service().EditNote(c.r.Context(), c.caller, hash, e)
	if err != nil {
		return err
	}
	return c.reply(pasteEdited{true, edited.Hash, c.url(edited.Hash)})
}

func (c *call) deletePaste() error {
	hash, err := c.fields.hash()
	if err != nil {
		return err
	}
	if err := c.service().DeleteNote(c.r.Context(), c.caller, hash); err != nil {
		return err
	}
	return c.reply(pasteDeleted{true, true})
}
