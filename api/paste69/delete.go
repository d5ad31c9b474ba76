package paste69

import (
	"net/http"

	"ringbin/node"
)

// Lengths of ids: routes that take both kinds tell them apart by it.
const linkIDLength = 6

// isLink is whether the id of a path that takes both kinds is a short link's.
func (c *call) isLink() bool { return len(c.pasteID()) == linkIDLength }

// delete deletes a paste or a short link.
func (c *call) delete() error {
	if c.isLink() {
		return c.deleteLink()
	}
	return c.deletePaste()
}

func (c *call) deletePaste() error {
	err := c.service().DeletePaste(c.r.Context(), c.deleter(), c.pasteID(), c.deleteKey())
	if err := c.byDeleteKey(c.named(err, noPaste)); err != nil {
		return err
	}
	return c.deleted("Paste deleted successfully", false)
}

func (c *call) deleteLink() error {
	err := c.service().DeleteLink(c.r.Context(), c.deleter(), c.pasteID(), c.deleteKey())
	if err := c.byDeleteKey(c.named(err, noLink)); err != nil {
		return err
	}
	return c.deleted("URL deleted successfully", true)
}

// deleter is who deletes: where the path has a delete key, it alone counts.
func (c *call) deleter() node.Caller {
	if c.params.ByName("key") != "" {
		return node.Caller{}
	}
	return c.caller
}

func (c *call) deleted(message string, link bool) error {
	if c.r.Method == http.MethodPost && isBrowser(c.r) {
		return c.d.pages.deleted(c.w, c.r, deletedPage{site: c.site(), ID: c.pasteID(), Link: link})
	}
	return c.done(message)
}

// confirm shows what a delete URL would delete. It never deletes.
func (c *call) confirm() error {
	if c.isLink() {
		return c.confirmLink()
	}
	return c.confirmPaste()
}

func (c *call) confirmPaste() error {
	p, err := c.service().CheckPasteKey(c.r.Context(), c.pasteID(), c.deleteKey())
	if err := c.byDeleteKey(c.named(err, noPaste)); err != nil {
		return err
	}
	return c.askToConfirm(confirmPage{ID: p.ID, Name: p.Filename, Size: p.CID.Size(), Created: p.Created, Expires: p.Expires})
}

func (c *call) confirmLink() error {
	l, err := c.service().CheckLinkKey(c.r.Context(), c.pasteID(), c.deleteKey())
	if err := c.byDeleteKey(c.named(err, noLink)); err != nil {
		return err
	}
	return c.askToConfirm(confirmPage{ID: l.ID, Link: true, Name: l.Target, Created: l.Created, Expires: l.Expires})
}

func (c *call) askToConfirm(page confirmPage) error {
	if isBrowser(c.r) {
		page.site, page.DeleteKey = c.site(), c.deleteKey()
		return c.d.pages.confirm(c.w, c.r, page)
	}
	c.secretHeaders()
	return c.sendObject(object{
		{"success", true}, {"data", object{{"id", page.ID}}}, {"id", page.ID}, {"message", "Send DELETE or POST to delete"},
	})
}
