package paste69

import (
	"net/http"

	"ringbin/node"
)

// who says what a route asks of the request's API key.
type who uint8

const (
	nobody  who = iota // keys are not looked at
	reader             // a bad key counts as none
	anyone             // none is well, a bad one is refused
	keyOnly            // a good one is required
)

// route is one method of one path.
type route struct {
	method, pattern string
	who             who
	rate            node.RateClass
	do              func(*call) error
	alias           bool // URLs in data are absolute
	html            bool // browsers get pages, errors included
}

// routes are all routes. The router sorts them: literals go before parameters.
func routes() []route {
	all := mainRoutes()
	for _, rt := range aliasRoutes() {
		rt.alias = true
		all = append(all, rt)
	}
	return append(all, pageRoutes()...)
}

func mainRoutes() []route {
	const get, post, put, del = http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete
	const reads, writes, asks = node.RateReads, node.RateWrites, node.RateKeyRequests
	return []route{
		{method: post, pattern: "/p", who: anyone, rate: writes, do: (*call).createPaste, html: true},
		{method: get, pattern: "/p/list", who: keyOnly, rate: reads, do: (*call).listPastes},
		{method: get, pattern: "/p/:id", who: reader, rate: reads, do: (*call).readPaste, html: true},
		{method: get, pattern: "/:id", who: reader, rate: reads, do: (*call).readPaste, html: true},
		{method: get, pattern: "/p/:id/raw", who: reader, rate: reads, do: (*call).rawPaste},
		{method: get, pattern: "/p/:id/raw.:ext", who: reader, rate: reads, do: (*call).rawPaste},
		{method: get, pattern: "/raw/:id", who: reader, rate: reads, do: (*call).rawPaste},
		{method: get, pattern: "/p/:id/download", who: reader, rate: reads, do: (*call).downloadPaste},
		{method: get, pattern: "/p/:id/download.:ext", who: reader, rate: reads, do: (*call).downloadPaste},
		{method: get, pattern: "/download/:id", who: reader, rate: reads, do: (*call).downloadPaste},
		{method: put, pattern: "/p/:id/expire", who: anyone, rate: writes, do: (*call).setPasteExpiry},
		{method: put, pattern: "/p/:id/expiry", who: anyone, rate: writes, do: (*call).setPasteExpiry},
		{method: del, pattern: "/p/:id", who: anyone, rate: writes, do: (*call).deletePaste},
		{method: get, pattern: "/p/:id/:key", who: anyone, rate: reads, do: (*call).confirmPaste, html: true},
		{method: del, pattern: "/p/:id/:key", who: anyone, rate: writes, do: (*call).deletePaste},
		{method: post, pattern: "/p/:id/:key", who: anyone, rate: writes, do: (*call).deletePaste, html: true},
		{method: get, pattern: "/delete/:id/:key", who: anyone, rate: reads, do: (*call).confirm, html: true},
		{method: del, pattern: "/delete/:id/:key", who: anyone, rate: writes, do: (*call).delete},
		{method: post, pattern: "/delete/:id/:key", who: anyone, rate: writes, do: (*call).delete, html: true},
		{method: post, pattern: "/u", who: keyOnly, rate: writes, do: (*call).shorten},
		{method: get, pattern: "/u/list", who: keyOnly, rate: reads, do: (*call).listLinks},
		{method: get, pattern: "/u/:id", who: reader, rate: reads, do: (*call).follow, html: true},
		{method: get, pattern: "/u/:id/stats", who: keyOnly, rate: reads, do: (*call).linkStats, html: true},
		{method: put, pattern: "/u/:id/expire", who: anyone, rate: writes, do: (*call).setLinkExpiry},
		{method: put, pattern: "/u/:id/expiry", who: anyone, rate: writes, do: (*call).setLinkExpiry},
		{method: del, pattern: "/u/:id", who: anyone, rate: writes, do: (*call).deleteLink},
		{method: post, pattern: "/keys/request", who: nobody, rate: asks, do: (*call).requestKey},
		{method: get, pattern: "/keys/verify", who: reader, rate: reads, do: (*call).verifyKey, html: true},
		{method: post, pattern: "/keys/verify", who: nobody, rate: reads, do: (*call).redeemToken, html: true},
	}
}

func aliasRoutes() []route {
	const get, post, put, del = http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete
	const reads, writes, asks = node.RateReads, node.RateWrites, node.RateKeyRequests
	return []route{
		{method: post, pattern: "/", who: anyone, rate: writes, do: (*call).createPaste, html: true},
		{method: post, pattern: "/upload", who: anyone, rate: writes, do: (*call).createPaste, html: true},
		{method: get, pattern: "/pastes", who: keyOnly, rate: reads, do: (*call).listPastes},
		{method: del, pattern: "/delete/:id", who: anyone, rate: writes, do: (*call).delete},
		{method: post, pattern: "/delete/:id", who: anyone, rate: writes, do: (*call).delete, html: true},
		{method: del, pattern: "/:id", who: anyone, rate: writes, do: (*call).delete},
		{method: get, pattern: "/u/:id/:key", who: anyone, rate: reads, do: (*call).confirm, html: true},
		{method: del, pattern: "/u/:id/:key", who: anyone, rate: writes, do: (*call).delete},
		{method: post, pattern: "/u/:id/:key", who: anyone, rate: writes, do: (*call).delete, html: true},
		{method: post, pattern: "/url", who: keyOnly, rate: writes, do: (*call).shorten},
		{method: post, pattern: "/shorten", who: keyOnly, rate: writes, do: (*call).shorten},
		{method: get, pattern: "/urls", who: keyOnly, rate: reads, do: (*call).listLinks},
		{method: get, pattern: "/url/:id/stats", who: keyOnly, rate: reads, do: (*call).linkStats, html: true},
		{method: put, pattern: "/url/:id/expire", who: anyone, rate: writes, do: (*call).setLinkExpiry},
		{method: post, pattern: "/api-key", who: nobody, rate: asks, do: (*call).requestKey},
	}
}
