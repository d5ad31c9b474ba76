package pastewizard

import (
	"net/http"
	"strings"

	"ringbin/api/web"
	"ringbin/node"
)

// call is one request on its way through the API.
type call struct {
	d        *Dialect
	w        http.ResponseWriter
	r        *http.Request
	settings node.PasteWizardSettings
	endpoint endpoint
	known    bool        // there is such an endpoint
	caller   node.Caller // zero: nobody yet

	query  fields
	fields fields // those that count: the query's, or the body's

	read    bool // the body is, and what came of it
	parsed  fields
	bodyErr error
	release func()
}

func (c *call) service() *node.Service { return c.d.s }

func (c *call) isHead() bool { return c.r.Method == http.MethodHead }

// body returns the fields of the body, which is read once.
func (c *call) body() (fields, error) {
	if c.read {
		return c.parsed, c.bodyErr
	}
	c.read = true
	hold := func(size int64) (func(), error) { return c.service().HoldNote(c.r.Context(), size) }
	var raw []byte
	if raw, c.release, c.bodyErr = readBody(c.r, c.service().NoteBodyLimit(), hold); c.bodyErr == nil {
		c.parsed, c.bodyErr = parseBody(c.r.Header.Get("Content-Type"), raw)
	}
	return c.parsed, c.bodyErr
}

// base is what URLs begin with.
func (c *call) base() string {
	if set := c.settings.BaseURL; set != "" {
		return strings.TrimRight(set, "/")
	}
	cfg := c.service().Config()
	return web.BaseURL(c.r, cfg.TrustedProxies, cfg.BehindTLS)
}

// close gives the body's memory back, and has the request logged if a token of
// ours was shown.
func (c *call) close() {
	if c.release != nil {
		c.release()
	}
	if c.caller.Key == "" {
		return
	}
	c.service().LogRequest(node.RequestEntry{
		API: node.APIPasteWizard, Caller: c.caller, Endpoint: c.logName(), Status: c.status(),
		Addr: web.ClientAddr(c.r, c.service().Config().TrustedProxies),
	})
}

// status is what was answered. Nothing yet means that the handler has panicked:
// the client will be told of that next.
func (c *call) status() int {
	if sent, ok := c.w.(*web.Response); ok && sent.Status() != 0 {
		return sent.Status()
	}
	return http.StatusInternalServerError
}

// unknownEndpoint is how the logs name paths that do not look like one of ours:
// what stands in them may be a hash or a token that slipped there.
const unknownEndpoint = "unknown"

// endpointMax is the longest name of an endpoint that is logged.
const endpointMax = 32

func (c *call) logName() string {
	if name := strings.TrimPrefix(c.r.URL.Path, apiPrefix); isEndpointName(name) {
		return name
	}
	return unknownEndpoint
}

// isEndpointName is whether a text can name an endpoint. No hash and no token
// has a dot.
func isEndpointName(s string) bool {
	word, isScript := strings.CutSuffix(s, ".php")
	return isScript && len(s) <= endpointMax && strings.Trim(word, "abcdefghijklmnopqrstuvwxyz_") == ""
}
