package pastewizard

import (
	"errors"
	"maps"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"github.com/julienschmidt/httprouter"

	"ringbin/api/web"
	"ringbin/node"
	"ringbin/storage"
)

// who is for whom a page is.
type who uint8

const (
	nobody  who = iota // logins are not looked at
	anybody            // a login is looked at, and none is needed
	member             // a login is needed
	admin              // that of an administrator
)

// pageRoute is one method of one page.
type pageRoute struct {
	method, pattern string
	who             who
	do              func(*visit) error
}

func pageRoutes() []pageRoute {
	const get, post = http.MethodGet, http.MethodPost
	return []pageRoute{
		{get, notePattern, anybody, (*visit).showNote},
		{post, notePattern, anybody, (*visit).openNote},
		{get, "/s/:code", nobody, (*visit).followCode},
		{get, loginPath, nobody, (*visit).showLogin},
		{post, loginPath, nobody, (*visit).login},
		{post, logoutPath, nobody, (*visit).logout},
		{get, keysPath, member, (*visit).showKeys},
		{post, keysPath, member, (*visit).changeKeys},
		{get, tokensPath, admin, (*visit).showTokens},
		{post, tokensPath, admin, (*visit).changeTokens},
		{get, logsPath, admin, (*visit).showLogs},
		{get, stylePath, nobody, (*visit).showStyle},
	}
}

// notePattern is the one path that the pages share with Paste69.
const notePattern = "/p/:hash"

// Paths of the other pages.
const (
	loginPath  = "/login"
	logoutPath = "/logout"
	keysPath   = "/api_keys.php"
	tokensPath = "/admin/api_tokens"
	logsPath   = "/admin/api_logs"
)

// newPageRouter returns the routes of the pages.
func (d *Dialect) newPageRouter() *web.Router {
	router := web.NewRouter(node.APIPasteWizard, d.WritePageError, func(w http.ResponseWriter, _ *http.Request, _ []string) {
		w.WriteHeader(http.StatusNoContent)
	})
	for _, rt := range pageRoutes() {
		router.Handle(rt.method, rt.pattern, func(w http.ResponseWriter, r *http.Request, p httprouter.Params) error {
			v := &visit{d: d, w: w, r: r, params: p, site: d.siteOf(r)}
			if r.Method == http.MethodPost && !v.site.isOwn(r) {
				return &storage.Error{Op: "pastewizard.ServePage", Kind: storage.KindForbidden, Text: crossSite}
			}
			admitted, err := v.enter(rt.who)
			if err != nil || !admitted {
				return err
			}
			return rt.do(v)
		})
	}
	return router
}

// ServePage answers a request for a page.
func (d *Dialect) ServePage(w http.ResponseWriter, r *http.Request) { d.pageRouter.ServeHTTP(w, r) }

// What pages say of errors that the API does not have.
const (
	crossSite  = "This form was sent from another site"
	adminsOnly = "This page is for administrators"
)

// WritePageError writes an error as a page.
func (d *Dialect) WritePageError(w http.ResponseWriter, r *http.Request, err error) {
	status, sentence := explain(err)
	switch status {
	case http.StatusUnauthorized:
		status = http.StatusForbidden // a page asks by its form for who one is, not by a header
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		e, _ := errors.AsType[*storage.Error](err)
		w.Header().Set("Retry-After", strconv.FormatInt(waitOf(e), 10))
	}
	page := problemPage{Status: status, Message: sentence, RequestID: w.Header().Get("X-Request-Id")}
	f := frame{Name: "problem", Title: sentence, Prefix: d.siteOf(r).prefix, Body: page}
	if d.pages.render(w, status, f) != nil {
		w.WriteHeader(http.StatusInternalServerError)
	}
}

// visit is one request for a page on its way through the dialect.
type visit struct {
	d      *Dialect
	w      http.ResponseWriter
	r      *http.Request
	params httprouter.Params
	site   site
	caller node.Caller // who is logged in; zero: nobody
}

func (v *visit) service() *node.Service { return v.d.s }

func (v *visit) isHead() bool { return v.r.Method == http.MethodHead }

func (v *visit) addr() netip.Addr {
	return web.ClientAddr(v.r, v.service().Config().TrustedProxies)
}

// enter finds who is logged in, as far as the page wants to know. Who has to be
// and is not was sent to the login, and is not admitted.
func (v *visit) enter(w who) (admitted bool, err error) {
	if w == nobody {
		return true, nil
	}
	if err := v.identify(); err != nil {
		return false, err
	}
	switch {
	case w == anybody:
	case v.caller.Account == "":
		return false, v.redirect(v.redirectStatus(), loginPath+"?"+url.Values{"to": {v.r.URL.Path}}.Encode())
	case !v.caller.Can(node.TokenRead) && !v.caller.Can(node.TokenWrite):
		return false, refused(storage.KindForbidden, insufficientScope)
	case w == admin && !v.caller.Can(node.TokenAdmin):
		return false, refused(storage.KindForbidden, adminsOnly)
	}
	return true, nil
}

// redirectStatus turns a form that was sent into a request for a page.
func (v *visit) redirectStatus() int {
	if v.r.Method == http.MethodPost {
		return http.StatusSeeOther
	}
	return http.StatusFound
}

// redirect leads to another path of the node.
func (v *visit) redirect(status int, route string) error {
	h := v.w.Header()
	setPageHeaders(h)
	h.Del("Content-Type")
	h.Set("Location", v.site.prefix+route)
	h.Set("Content-Length", "0")
	v.w.WriteHeader(status)
	return nil
}

// frame is what stands around a page.
func (v *visit) frame(name, title string, body any) frame {
	f := frame{Name: name, Title: title, Prefix: v.site.prefix, Body: body, Admin: v.caller.Can(node.TokenAdmin)}
	if v.caller.Account != "" {
		f.User = "somebody" // whose account is gone is not logged in any more soon
		if _, display, found := v.service().DisplayOf(v.caller.Account); found && display != "" {
			f.User = display
		}
	}
	return f
}

func (v *visit) render(name, title string, body any) error {
	return v.d.pages.render(v.w, http.StatusOK, v.frame(name, title, body))
}

func (v *visit) showStyle() error { return v.d.pages.serveStyle(v.w, v.r) }

// pageFormMax bounds the body of a form.
const pageFormMax = 64 << 10

// form reads the fields of a form that was sent.
func (v *visit) form() (fields, error) {
	body, _, err := readBody(v.r, pageFormMax, func(int64) (func(), error) { return func() {}, nil })
	if err != nil {
		return nil, err
	}
	return parseBody(v.r.Header.Get("Content-Type"), body)
}

// query reads the fields of a form that stands in the URL.
func (v *visit) query() fields { return parseForm(v.r.URL.RawQuery).filled() }

// filled is a form without the fields that were left empty: browsers send those, too.
func (f fields) filled() fields {
	maps.DeleteFunc(f, func(_ fieldName, v value) bool { return v.kind == valueText && strings.TrimSpace(v.text) == "" })
	return f
}

// site is where a browser reaches the node.
type site struct {
	own    []string // origins of its pages
	prefix string   // of the path of all of them
	secure bool     // by https
	mute   bool     // browsers say nothing there of where a form comes from
}

// siteOf is the setting's site, or else that of the request. A form may come
// from the page of either.
func (d *Dialect) siteOf(r *http.Request) site {
	cfg := d.s.Config()
	scheme, host := web.Origin(r, cfg.TrustedProxies, cfg.BehindTLS)
	return siteAt(scheme, host, d.s.Settings().PasteWizard.BaseURL)
}

func siteAt(scheme, host, baseURL string) site {
	at := site{own: []string{scheme + "://" + host}, secure: scheme == "https"}
	if base, err := url.Parse(baseURL); err == nil && base.Host != "" {
		at.own = append(at.own, base.Scheme+"://"+base.Host)
		at.prefix = strings.TrimRight(base.EscapedPath(), "/")
		at.secure = base.Scheme == "https"
		host = base.Host
	}
	at.mute = !at.secure && !isOwnMachine(host)
	return at
}

// isOwnMachine is whether browsers take a host for the machine that they run
// on, and trust it as if it were reached by https.
func isOwnMachine(host string) bool {
	name := (&url.URL{Host: host}).Hostname()
	if addr, err := netip.ParseAddr(name); err == nil {
		return addr.IsLoopback()
	}
	name = strings.ToLower(name)
	return name == "localhost" || strings.HasSuffix(name, ".localhost")
}

// isOwn is whether a form comes from a page of ours, or from no page at all. A
// browser that tells by Sec-Fetch-Site tells the truth; an old one sends Origin.
//
// Pages that tell no referrer, as ours do, hide the origin of their forms: it is
// null. By plain HTTP, but on the own machine, that is all that browsers send.
// It has to do there, and may: no browser keeps a login by plain HTTP, and the
// cookie of a note comes with no other site's form, so that such a form can do
// what its maker can do without it.
func (s site) isOwn(r *http.Request) bool {
	if from := r.Header.Get("Sec-Fetch-Site"); from != "" {
		return from == "same-origin" || from == "none"
	}
	origin := r.Header.Get("Origin")
	for _, own := range s.own {
		if strings.EqualFold(origin, own) {
			return true
		}
	}
	return origin == "" || origin == "null" && s.mute
}
