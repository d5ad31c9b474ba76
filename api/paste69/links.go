package paste69

import (
	"fmt"
	"net/http"
	"strings"

	"ringbin/api/web"
	"ringbin/node"
)

// putLink adds the members of a short link: in data url is the target, flat it
// is the short URL, as flat url is always the link to hand out.
func putLink(u *union, l node.Link, deleteKey string) {
	short := "/u/" + l.ID
	u.put("id", l.ID)
	u.split("url", l.Target, u.base+short)
	putLinkRest(u, l)
	u.link("stats_url", short+"/stats")
	u.link("delete_url", deletePath(l.ID, deleteKey))
}

func putLinkRest(u *union, l node.Link) {
	u.put("original_url", l.Target)
	u.link("short_url", "/u/"+l.ID)
	u.put("title", l.Title)
	u.put("clicks", l.Clicks)
	u.put("last_click", stampOrNull(l.LastClick))
	u.put("created_at", stamp(l.Created))
	u.put("expires_at", stampOrNull(l.Expires))
}

func (c *call) shorten() error {
	in, err := readShorten(c.r, c.now())
	if err != nil {
		return err
	}
	if err := checkOwn(in.URL, c.base(), ownOrigin(c.r, c.service().Config())); err != nil {
		return err
	}
	if in.Title == "" && c.service().Settings().Paste69.FetchTitles {
		in.Title = c.d.fetcher.Title(c.r.Context(), in.URL)
	}
	l, deleteKey, err := c.service().CreateLink(c.r.Context(), c.caller, node.NewLink{
		Target: in.URL, Title: in.Title, Expiry: in.Expiry, Reserved: c.d.isReserved,
	})
	if err != nil {
		return err
	}
	u := c.union()
	putLink(u, l, deleteKey)
	return c.send(u, "")
}

// follow redirects to the target, and counts the click without waiting for it.
func (c *call) follow() error {
	l, err := c.service().Link(c.r.Context(), c.params.ByName("id"))
	if err := c.named(err, noLink); err != nil {
		return err
	}
	if c.r.Method == http.MethodGet && !isPrefetch(c.r) {
		referrer, browser := classify(c.r)
		c.service().CountClick(l.ID, node.Click{
			Addr: web.ClientAddr(c.r, c.service().Config().TrustedProxies), Referrer: referrer, Browser: browser,
		})
	}
	h := c.w.Header()
	h.Set("Location", asciiURL(l.Target))
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Length", "0")
	c.w.WriteHeader(http.StatusTemporaryRedirect)
	return nil
}

// asciiURL is a URL as a header may hold it; all that is ASCII stays as it is.
func asciiURL(target string) string {
	var b strings.Builder
	for i := range len(target) {
		if ch := target[i]; ch > ' ' && ch < 0x7f {
			b.WriteByte(ch)
		} else {
			fmt.Fprintf(&b, "%%%02X", ch)
		}
	}
	return b.String()
}

func (c *call) setLinkExpiry() error {
	e, err := c.wishedExpiry()
	if err != nil {
		return err
	}
	l, err := c.service().SetLinkExpiry(c.r.Context(), c.caller, c.params.ByName("id"), c.deleteKey(), e)
	if err := c.byDeleteKey(c.named(err, noLink)); err != nil {
		return err
	}
	u := c.union()
	putLink(u, l, "")
	return c.send(u, "")
}

func (c *call) listLinks() error {
	order, err := parsePaging(c.r.URL.Query())
	if err != nil {
		return err
	}
	page, total, err := c.service().Links(c.r.Context(), c.caller, order)
	if err != nil {
		return err
	}
	u := c.union()
	data, flat := items(u, page, putListed)
	return c.sendList(u, data, flat, total, order)
}

// putListed adds the members of a short link in a list: url is the target in
// both forms, as there is no other link to hand out beside each item's short_url.
func putListed(u *union, l node.Link) {
	u.put("id", l.ID)
	u.put("url", l.Target)
	putLinkRest(u, l)
	u.link("stats_url", "/u/"+l.ID+"/stats")
	u.link("delete_url", deletePath(l.ID, ""))
}
