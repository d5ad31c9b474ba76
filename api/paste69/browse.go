package paste69

import (
	"net/http"
	"net/url"
	"strings"

	"ringbin/api/web"
	"ringbin/node"
)

// pageRoutes are the node's web pages.
func pageRoutes() []route {
	const get, reads = http.MethodGet, node.RateReads
	return []route{
		{method: get, pattern: "/", who: nobody, rate: reads, do: (*call).frontPage, html: true},
		{method: get, pattern: "/submit", who: nobody, rate: reads, do: (*call).frontPage, html: true},
		{method: get, pattern: "/docs", who: nobody, rate: reads, do: (*call).docsPage, html: true},
		{method: get, pattern: "/stats", who: nobody, rate: reads, do: (*call).statsPage, html: true},
		{method: get, pattern: "/assets/:name", who: nobody, rate: reads, do: (*call).asset},
	}
}

// site is what every page is told of the request.
func (d *Dialect) site(r *http.Request) site { return site{Base: d.base(r), Now: d.s.Now()} }

func (c *call) site() site { return c.d.site(c.r) }

func (d *Dialect) retention() retention {
	p := d.s.Settings().Paste69
	return retention{
		AnonymousMinDays: p.AnonymousMinDays, AnonymousMaxDays: p.AnonymousMaxDays,
		KeyMinDays: p.KeyMinDays, KeyMaxDays: p.KeyMaxDays, Reference: p.RetentionReference,
	}
}

func (c *call) frontPage() error {
	p := c.service().Settings().Paste69
	return c.d.pages.front(c.w, c.r, frontPage{
		site: c.site(), Retention: c.d.retention(), MaxUpload: p.MaxUpload, MaxUploadKey: p.MaxUploadKey, Anonymous: p.AnonymousUploads,
	})
}

func (c *call) docsPage() error {
	settings := c.service().Settings()
	p := settings.Paste69
	return c.d.pages.docs(c.w, c.r, docsPage{
		site: c.site(), Retention: c.d.retention(), MaxUpload: p.MaxUpload, MaxUploadKey: p.MaxUploadKey, Anonymous: p.AnonymousUploads,
		KeysMode: keysMode(c.service().Config(), settings), FetchUploads: p.FetchUploads,
	})
}

func (c *call) statsPage() error {
	p, n := c.service().Settings().Paste69, c.service().PasteStats()
	return c.d.pages.stats(c.w, c.r, statsPage{
		site: c.site(), Pastes: n.Pastes, Links: n.Links, Blobs: n.Blobs, Bytes: n.Bytes,
		Retention: c.d.retention(), MaxUpload: p.MaxUpload, MaxUploadKey: p.MaxUploadKey,
	})
}

func (c *call) asset() error { return c.d.pages.asset(c.w, c.r, c.params.ByName("name")) }

// isFormPost is whether a body is of a type that browsers send forms with.
func isFormPost(r *http.Request) bool {
	mediaType, _ := web.MediaType(r.Header.Get("Content-Type"))
	return mediaType == "multipart/form-data" || mediaType == "application/x-www-form-urlencoded"
}

// The cookie that carries a delete URL from an upload by form to the view that
// comes next. It authenticates nothing.
const (
	cookieName    = "deletion_url"
	cookieSeconds = 5 * 60
)

// showPaste sends a browser from its form to the view of what it uploaded.
func (c *call) showPaste(p node.Paste, deleteKey string) error {
	base := c.base()
	at := base + "/" + pasteTail(p)
	c.setCookie(p, base+deletePath(p.ID, deleteKey), cookieSeconds)
	c.secretHeaders()
	h := c.w.Header()
	h.Set("Location", at)
	h.Set("Content-Length", "0")
	c.w.WriteHeader(http.StatusSeeOther)
	return nil
}

// setCookie sets the cookie for the view of one paste; no seconds delete it.
func (c *call) setCookie(p node.Paste, value string, seconds int) {
	path, secure := "/", false
	if u, err := url.Parse(c.base()); err == nil {
		path, secure = strings.TrimRight(u.EscapedPath(), "/")+"/"+pasteTail(p), u.Scheme == "https"
	}
	if seconds == 0 {
		seconds = -1
	}
	http.SetCookie(c.w, &http.Cookie{ //nolint:gosec // Secure on https: on plain HTTP the browser would drop it
		Name: cookieName, Value: value, Path: path, MaxAge: seconds, HttpOnly: true, Secure: secure, SameSite: http.SameSiteLaxMode,
	})
}

// cookieKey is the delete key of a cookie that was set for this paste; "" for none.
func (c *call) cookieKey(p node.Paste) string {
	cookie, err := c.r.Cookie(cookieName)
	if err != nil {
		return ""
	}
	key, ok := strings.CutPrefix(cookie.Value, c.base()+deletePath(p.ID, "")+"/")
	if !ok || strings.ContainsFunc(key, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
	}) {
		return ""
	}
	return key
}

// viewPaste shows a paste; right after its upload with its delete link, once.
func (c *call) viewPaste(p node.Paste) error {
	var text []byte
	if _, media := mediaKind(p.MediaType); !media {
		release, err := c.room(p, textBytesMax)
		if err != nil {
			return err
		}
		defer release()
		if text, err = c.text(p, textBytesMax, true); err != nil {
			return err
		}
	}
	page := pastePage{
		site: c.site(), ID: p.ID, Filename: p.Filename, Extension: p.Extension, MediaType: p.MediaType,
		Size: p.CID.Size(), Created: p.Created, Expires: p.Expires, Views: p.Views, Private: p.Private, Text: text,
		Rendered: c.r.URL.Query().Get("view") == "rendered", QueryKey: c.r.URL.Query().Get("api_key"),
	}
	if c.r.Method == http.MethodGet {
		page.DeleteKey = c.cookieKey(p)
	}
	if page.DeleteKey != "" {
		c.setCookie(p, "", 0)
	}
	if err := c.d.pages.paste(c.w, c.r, page); err != nil {
		c.w.Header().Del("Set-Cookie")
		return err
	}
	c.countView(p)
	return nil
}
