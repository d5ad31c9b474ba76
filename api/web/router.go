package web

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/julienschmidt/httprouter"

	"ringbin/storage"
)

// Handler answers a request, or returns why it can't: then it must not have
// written anything, and the dialect's ErrorFunc writes the answer.
type Handler func(w http.ResponseWriter, r *http.Request, p httprouter.Params) error

// ErrorFunc writes an error in a dialect's format.
type ErrorFunc func(w http.ResponseWriter, r *http.Request, err error)

// OptionsFunc writes the answer to OPTIONS on a known path. allow lists the
// path's methods; the Allow header is set already.
type OptionsFunc func(w http.ResponseWriter, r *http.Request, allow []string)

// Router is the routes of one dialect.
//
// httprouter refuses a literal beside a parameter, so the routes lie in a short
// stack of its trees: those with the fewest parameters are asked first, those
// that begin with one last. Case and trailing slashes count, nothing is
// redirected, HEAD falls back to GET.
type Router struct {
	// TrailingSlash lets a path end in one slash more than its route.
	TrailingSlash bool
	// LiteralsOnly lets a literal hide the parameters beside it from all methods:
	// where /list has only GET, DELETE /list is not allowed, and not /:id.
	LiteralsOnly bool

	dialect string
	render  ErrorFunc
	options OptionsFunc
	tiers   [tiers]*httprouter.Router
	methods []string // that any route has, sorted
	routes  []Route
}

// Route is one method of one pattern.
type Route struct{ Method, Pattern string }

// Routes lists the routes in the order in which they were added: what a
// description of the API is held against.
func (rt *Router) Routes() []Route { return slices.Clone(rt.routes) }

// tiers is how many trees there are: for zero parameters up to the most that a
// route has, and one for routes that begin with a parameter.
const tiers = 5

// NewRouter returns a Router without routes.
func NewRouter(dialect string, render ErrorFunc, options OptionsFunc) *Router {
	rt := &Router{dialect: dialect, render: render, options: options}
	for i := range rt.tiers {
		rt.tiers[i] = &httprouter.Router{}
	}
	return rt
}

// secretParams are names of parameters that keep a path out of logs.
var secretParams = []string{"key", "token", "hash", "code"}

// Handle adds a route. A pattern is httprouter's.
func (rt *Router) Handle(method, pattern string, h Handler) {
	if i, found := slices.BinarySearch(rt.methods, method); !found {
		rt.methods = slices.Insert(rt.methods, i, method)
	}
	rt.routes = append(rt.routes, Route{method, pattern})
	secret := slices.ContainsFunc(secretParams, func(name string) bool { return strings.Contains(pattern, "/:"+name) })
	rt.tiers[tier(pattern)].Handle(method, pattern, func(w http.ResponseWriter, r *http.Request, p httprouter.Params) {
		rec := RecordOf(r)
		rec.Route = pattern
		if !secret {
			rec.Path = r.URL.Path
		}
		if err := h(w, r, p); err != nil {
			rt.fail(w, r, err)
		}
	})
}

func tier(pattern string) int {
	if strings.HasPrefix(pattern, "/:") || strings.HasPrefix(pattern, "/*") {
		return tiers - 1
	}
	n := strings.Count(pattern, "/:") + strings.Count(pattern, "/*")
	if n >= tiers-1 {
		panic("web: too many parameters in " + pattern)
	}
	return n
}

// ServeHTTP answers with the first tree that knows the path.
func (rt *Router) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	rec := RecordOf(r)
	rec.Dialect, rec.Render = rt.dialect, rt.render
	path, escaped := routingPath(r.URL)
	if rt.TrailingSlash && len(path) > 1 && !strings.HasSuffix(path, "//") {
		path = strings.TrimSuffix(path, "/")
	}
	trees := rt.trees(path)
	h, p := lookup(trees, r.Method, path)
	if h == nil && r.Method == http.MethodHead {
		h, p = lookup(trees, http.MethodGet, path)
	}
	if h != nil {
		if escaped {
			unescape(p)
		}
		h(w, r, p)
		return
	}
	allow := rt.allowed(trees, path)
	if len(allow) == 0 {
		rt.fail(w, r, &storage.Error{Op: "web.Router", Kind: storage.KindNotFound, Code: CodeEndpointNotFound})
		return
	}
	w.Header().Set("Allow", strings.Join(allow, ", "))
	if r.Method == http.MethodOptions {
		rt.options(w, r, allow)
		return
	}
	rt.fail(w, r, ErrMethodNotAllowed)
}

// trees are those to be asked for a path, in order.
func (rt *Router) trees(path string) []*httprouter.Router {
	if !rt.LiteralsOnly {
		return rt.tiers[:]
	}
	for i := range rt.tiers {
		if one := rt.tiers[i : i+1]; len(rt.allowed(one, path)) > 0 {
			return one
		}
	}
	return nil
}

func lookup(trees []*httprouter.Router, method, path string) (httprouter.Handle, httprouter.Params) {
	for _, t := range trees {
		if h, p, _ := t.Lookup(method, path); h != nil && !slices.ContainsFunc(p, isEmpty) {
			return h, p
		}
	}
	return nil, nil
}

// isEmpty is for paths with an empty segment, which httprouter takes for a
// parameter: no route means them.
func isEmpty(p httprouter.Param) bool { return p.Value == "" }

// allowed lists the methods of a path; none for an unknown one.
func (rt *Router) allowed(trees []*httprouter.Router, path string) []string {
	var allow []string
	for _, m := range rt.methods {
		if h, _ := lookup(trees, m, path); h == nil {
			continue
		}
		allow = append(allow, m)
		if m == http.MethodGet {
			allow = append(allow, http.MethodHead)
		}
	}
	if len(allow) == 0 {
		return nil
	}
	return append(allow, http.MethodOptions)
}

// fail writes an error. What failed after its first byte can't be taken back:
// the connection is cut.
func (rt *Router) fail(w http.ResponseWriter, r *http.Request, err error) {
	RecordOf(r).Err = err
	if sent, ok := w.(*Response); ok && sent.Status() != 0 {
		panic(http.ErrAbortHandler)
	}
	rt.render(w, r, err)
}

// routingPath is the path that routes are looked up with. Segments are decoded,
// but an encoded slash stays inside its segment; escaped says that parameters
// are to be decoded once more.
func routingPath(u *url.URL) (path string, escaped bool) {
	if u.RawPath == "" {
		return u.Path, false
	}
	segments := strings.Split(u.RawPath, "/")
	for i, s := range segments {
		plain, err := url.PathUnescape(s)
		if err != nil {
			return u.Path, false // net/url made both, so they agree: not reached
		}
		segments[i] = protected.Replace(plain)
	}
	return strings.Join(segments, "/"), true
}

var (
	protected   = strings.NewReplacer("%", "%25", "/", "%2F")
	unprotected = strings.NewReplacer("%25", "%", "%2F", "/")
)

func unescape(p httprouter.Params) {
	for i := range p {
		p[i].Value = unprotected.Replace(p[i].Value)
	}
}
