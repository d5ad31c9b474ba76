package paste69

import (
	"net/http"
	"strings"

	"ringbin/api/web"
	"ringbin/node"
)

// base is what absolute URLs begin with, without a final slash: what the
// operator gave, path prefix included, or what the client reached the node by.
func (d *Dialect) base(r *http.Request) string {
	cfg := d.s.Config()
	if cfg.PasteBaseURL != "" {
		return strings.TrimRight(cfg.PasteBaseURL, "/")
	}
	return ownOrigin(r, cfg)
}

func ownOrigin(r *http.Request, cfg node.Config) string {
	return web.BaseURL(r, cfg.TrustedProxies, cfg.BehindTLS)
}

// base is the dialect's for this request.
func (c *call) base() string { return c.d.base(c.r) }

// pasteTail is how a paste's URLs end: its id, and its extension if it has one.
func pasteTail(p node.Paste) string {
	if p.Extension == "" {
		return p.ID
	}
	return p.ID + "." + p.Extension
}

// deletePath is where a thing is deleted. Without the delete key it works for
// its owner only.
func deletePath(id, deleteKey string) string {
	if deleteKey == "" {
		return "/delete/" + id
	}
	return "/delete/" + id + "/" + deleteKey
}
