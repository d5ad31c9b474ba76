package paste69

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"ringbin/api/web"
	"ringbin/node"
	"ringbin/storage"
)

// contentMax is how much text metadata may hold.
const contentMax = 1 << 20

// pasteID is the id of a path: all from the first dot on is decoration.
func (c *call) pasteID() string {
	id, _, _ := strings.Cut(c.params.ByName("id"), ".")
	return id
}

// putPaste adds the members of a paste. deleteKey is known in the answer that
// made it only.
func putPaste(u *union, p node.Paste) {
	tail := pasteTail(p)
	u.put("id", p.ID)
	u.put("filename", p.Filename)
	u.put("size", p.CID.Size())
	u.put("mime_type", p.MediaType)
	u.put("created_at", stamp(p.Created))
	u.put("expires_at", stampOrNull(p.Expires))
	u.put("private", p.Private)
	u.link("url", "/"+tail)
	u.link("raw_url", "/raw/"+tail)
	u.link("download_url", "/download/"+tail)
}

// putOwned adds the members of a paste for who may delete it: a paste without
// owner has no delete URL that works without the delete key.
func putOwned(u *union, p node.Paste) {
	putPaste(u, p)
	if p.Account != "" {
		u.link("delete_url", deletePath(p.ID, ""))
	}
}

// createPaste takes an upload of any form. Whether one may be made at all is
// asked before the body is read.
func (c *call) createPaste() error {
	s := c.service()
	if c.caller.Account == "" && !s.Settings().Paste69.AnonymousUploads {
		return &storage.Error{Op: "paste69.createPaste", Kind: storage.KindUnauthenticated, Code: "anonymous_disabled"}
	}
	formPost := isBrowser(c.r) && isFormPost(c.r)
	limit := s.PasteUploadLimit(c.caller)
	in, err := readCreate(c.r, createOptions{Limit: limit, Spool: c.d.spool, Now: c.now})
	if err != nil {
		return err
	}
	defer in.close()
	if url := in.URL(); url != "" {
		if err := c.fetch(in, url, limit); err != nil {
			return err
		}
	}
	p, deleteKey, err := s.CreatePaste(c.r.Context(), c.caller, node.NewPaste{
		Body: in, ContentLength: in.size(), AfterBody: in.finish, Reserved: c.d.isReserved,
	})
	if err != nil {
		return err
	}
	if formPost {
		return c.showPaste(p, deleteKey)
	}
	u := c.union()
	putPaste(u, p)
	u.link("delete_url", deletePath(p.ID, deleteKey))
	return c.send(u, "")
}

// fetch gets the content of an upload by URL.
func (c *call) fetch(in *create, url string, limit int64) error {
	if !c.service().Settings().Paste69.FetchUploads {
		return &storage.Error{Op: "paste69.fetch", Kind: storage.KindForbidden, Code: "fetch_disabled", Text: "URL uploads are disabled"}
	}
	if err := c.needKey(); err != nil {
		return err
	}
	body, name, err := c.d.fetcher.Get(c.r.Context(), url, limit)
	if err != nil {
		return err
	}
	in.fetched(body, name)
	return nil
}

// readPaste answers with the form of a paste that is asked for.
func (c *call) readPaste() error {
	wanted := wanted(c.r)
	p, err := c.paste()
	if err != nil {
		return err
	}
	if wanted == formView {
		return c.viewPaste(p)
	}
	c.w.Header().Add("Vary", "Accept")
	if wanted == formBytes {
		return c.sendBytes(p)
	}
	u := c.union()
	putPaste(u, p)
	u.put("views", p.Views)
	if wanted == formContent {
		release, err := c.room(p, contentMax)
		if err != nil {
			return err
		}
		defer release()
		text, err := c.text(p, contentMax, false)
		if err != nil {
			return err
		}
		u.put("mimeType", p.MediaType)
		u.put("content", string(text))
		c.countView(p)
	}
	return c.send(u, "")
}

// paste finds the paste of the path, if the caller may read it.
func (c *call) paste() (node.Paste, error) {
	p, err := c.service().Paste(c.r.Context(), c.caller, c.pasteID())
	return p, c.named(err, noPaste)
}

// countView counts a GET; HEAD is none.
func (c *call) countView(p node.Paste) {
	if c.r.Method == http.MethodGet {
		c.service().CountView(p.ID)
	}
}

// text reads a text paste of at most limit bytes: the start of a longer one
// where a part will do, else nothing. Other pastes have none.
func (c *call) text(p node.Paste, limit int64, part bool) ([]byte, error) {
	if !p.UTF8 || p.CID.Size() > limit && !part {
		return nil, nil
	}
	content, err := c.service().PasteContent(c.r.Context(), p)
	if err != nil {
		return nil, c.named(err, noPaste)
	}
	text, err := io.ReadAll(io.LimitReader(content, limit))
	if err := errors.Join(err, content.Close()); err != nil {
		return nil, storage.E("paste69.text", storage.KindUnavailable, err)
	}
	return text, nil
}

func (c *call) rawPaste() error {
	p, err := c.paste()
	if err != nil {
		return err
	}
	return c.sendBytes(p)
}

func (c *call) downloadPaste() error {
	p, err := c.paste()
	if err != nil {
		return err
	}
	c.w.Header().Set("Content-Disposition", attachment(p.Filename))
	return c.sendBytes(p)
}

// bytesPolicy lets nothing run that a stranger uploaded.
const bytesPolicy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; sandbox"

// sendBytes answers with a paste's bytes.
func (c *call) sendBytes(p node.Paste) error {
	content, err := c.service().PasteContent(c.r.Context(), p)
	if err != nil {
		return c.named(err, noPaste)
	}
	defer func() { _ = content.Close() }() // read only: a fault that matters was seen by Read
	h := c.w.Header()
	h.Set("Content-Type", c.bytesType(p))
	h.Set("Content-Security-Policy", bytesPolicy)
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Robots-Tag", "noindex")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("ETag", `"`+p.CID.String()+`"`)
	h.Set("Cache-Control", "public, no-cache")
	if p.Private {
		h.Set("Cache-Control", "private, no-store")
	}
	if err := web.ServeContent(c.w, c.r, content, time.UnixMilli(p.Created)); err != nil {
		return err
	}
	if web.SentFromStart(c.w, c.r) {
		c.service().CountView(p.ID)
	}
	return nil
}

// bytesType is the type that bytes are sent with. A page would run in the name
// of the node's host, so it is sent as text unless the operator wants it.
func (c *call) bytesType(p node.Paste) string {
	mediaType := p.MediaType
	if (mediaType == "text/html" || mediaType == "application/xhtml+xml") && !c.service().Settings().Paste69.ServeHTML {
		mediaType = "text/plain"
	}
	if p.UTF8 {
		return mediaType + "; charset=utf-8"
	}
	return mediaType
}

// attachment is the Content-Disposition of a download: the name in ASCII for
// old clients, and as it is.
func attachment(filename string) string {
	var plain, exact strings.Builder
	for _, r := range filename {
		switch {
		case r == '"' || r == '\\':
			plain.WriteRune('\\')
			plain.WriteRune(r)
		case r < ' ' || r > '~':
			plain.WriteByte('_')
		default:
			plain.WriteRune(r)
		}
	}
	for i := range len(filename) {
		if b := filename[i]; isAttrChar(b) {
			exact.WriteByte(b)
		} else {
			fmt.Fprintf(&exact, "%%%02X", b)
		}
	}
	return `attachment; filename="` + plain.String() + `"; filename*=UTF-8''` + exact.String()
}

// isAttrChar is RFC 5987's attr-char.
func isAttrChar(b byte) bool {
	return b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' || b >= '0' && b <= '9' || strings.IndexByte("!#$&+-.^_`|~", b) >= 0
}

func (c *call) setPasteExpiry() error {
	e, err := c.wishedExpiry()
	if err != nil {
		return err
	}
	p, err := c.service().SetPasteExpiry(c.r.Context(), c.caller, c.pasteID(), c.deleteKey(), e)
	if err := c.byDeleteKey(c.named(err, noPaste)); err != nil {
		return err
	}
	u := c.union()
	putOwned(u, p)
	return c.send(u, "")
}

// wishedExpiry reads a change of expiry. Who has nothing to show for it is
// refused before the body is read.
func (c *call) wishedExpiry() (node.Expiry, error) {
	if c.deleteKey() == "" {
		if err := c.needKey(); err != nil {
			return node.Expiry{}, err
		}
	}
	return readExpiry(c.r, c.now())
}

func (c *call) listPastes() error {
	order, err := parsePaging(c.r.URL.Query())
	if err != nil {
		return err
	}
	page, total, err := c.service().Pastes(c.r.Context(), c.caller, order)
	if err != nil {
		return err
	}
	u := c.union()
	data, flat := items(u, page, func(u *union, p node.Paste) {
		putOwned(u, p)
		u.put("views", p.Views)
	})
	return c.sendList(u, data, flat, total, order)
}

func (c *call) sendList(u *union, data, flat []object, total int, order node.ListOrder) error {
	u.split("items", data, flat)
	u.put("total", total)
	u.put("page", order.Page)
	u.put("limit", order.Limit)
	return c.send(u, "")
}
