package dialogue

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"

	"ringbin/api/web"
)

// contract is an OpenAPI document, and what of it the tests have seen.
type contract struct {
	doc *openapi3.T

	mu    sync.Mutex
	seen  map[string]bool // operationId
	notes map[string]bool
}

// Contract returns the document.
func (d *Dialect) Contract(t *testing.T) *openapi3.T {
	t.Helper()
	c, err := d.load()
	if err != nil {
		t.Fatal(err)
	}
	return c.doc
}

// CheckDocument fails the test where the document is not valid, and where what
// answers hold is left open: an answer has no members but those that the
// document names, and all of them but the optional ones, each SCHEMA.member.
// Schemas of requests end in Wish or Patch, and may leave things out.
func (d *Dialect) CheckDocument(t *testing.T, optional ...string) {
	t.Helper()
	doc := d.Contract(t)
	if err := doc.Validate(t.Context()); err != nil {
		t.Error(err)
	}
	for name, ref := range doc.Components.Schemas {
		s := ref.Value
		if !s.Type.Is("object") || strings.Contains(name, "Wish") || strings.HasSuffix(name, "Patch") {
			continue
		}
		if s.AdditionalProperties.Has == nil || *s.AdditionalProperties.Has {
			t.Errorf("%s takes members that it does not name", name)
		}
		for member := range s.Properties {
			if !slices.Contains(s.Required, member) && !slices.Contains(optional, name+"."+member) {
				t.Errorf("%s.%s is not required", name, member)
			}
		}
	}
}

// CheckRoutes fails the test unless the document has the routes that the router
// has, and no other but HEAD beside GET.
func (d *Dialect) CheckRoutes(t *testing.T, routes []web.Route) {
	t.Helper()
	doc := d.Contract(t)
	registered := map[web.Route]bool{}
	for _, r := range routes {
		registered[r] = true
		if r.Method == http.MethodGet {
			registered[web.Route{Method: http.MethodHead, Pattern: r.Pattern}] = true
		}
		item := doc.Paths.Value(braces(r.Pattern))
		if item == nil || item.GetOperation(r.Method) == nil {
			t.Errorf("%s %s is not in the document", r.Method, r.Pattern)
		}
	}
	for path, item := range doc.Paths.Map() {
		for method := range item.Operations() {
			if !registered[web.Route{Method: method, Pattern: colons(path)}] {
				t.Errorf("%s %s is in the document only", method, path)
			}
		}
	}
}

func (d *Dialect) load() (*contract, error) {
	d.once.Do(func() {
		doc, err := openapi3.NewLoader().LoadFromData(d.Document)
		if err != nil {
			d.loadErr = fmt.Errorf("the document can't be read: %w", err)
			return
		}
		d.contract = &contract{doc: doc, seen: map[string]bool{}, notes: map[string]bool{}}
	})
	return d.contract, d.loadErr
}

// route finds the path of the document that a request is for: literals go
// before parameters. A HEAD that is not described by itself is its GET.
func (c *contract) route(method, path string) *routers.Route {
	var best *routers.Route
	for _, pattern := range slices.Sorted(keys(c.doc.Paths.Map())) {
		if !matches(pattern, path) {
			continue
		}
		item := c.doc.Paths.Value(pattern)
		op := item.GetOperation(method)
		if op == nil && method == http.MethodHead {
			op = item.Get
		}
		r := &routers.Route{Spec: c.doc, Path: pattern, PathItem: item, Method: method, Operation: op}
		if best == nil || strings.Count(pattern, "{") < strings.Count(best.Path, "{") {
			best = r
		}
	}
	if best == nil || best.Operation == nil {
		return nil
	}
	return best
}

func keys[V any](m map[string]V) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

var parameter = regexp.MustCompile(`\\\{[^/]*?\\\}`)

func matches(pattern, path string) bool {
	exact := parameter.ReplaceAllString(regexp.QuoteMeta(pattern), "[^/]+")
	return regexp.MustCompile(`\A` + exact + `\z`).MatchString(path)
}

// Check holds an answer against the document. What the document does not know
// is for the dialect to judge.
func (d *Dialect) Check(ctx context.Context, q Request, a Answer) error {
	if d.IsForeign != nil && d.IsForeign(q) {
		return nil
	}
	c, err := d.load()
	if err != nil {
		return err
	}
	u, err := url.ParseRequestURI(q.Target)
	if err != nil {
		return err
	}
	path := u.EscapedPath()
	if d.TrailingSlash && len(path) > 1 {
		path = strings.TrimSuffix(path, "/")
	}
	route := c.route(q.Method, path)
	if route == nil {
		return undescribed(d, q, a)
	}
	if route.Operation.Responses.Status(a.Status) == nil {
		return fmt.Errorf("%s does not describe status %d", route.Operation.OperationID, a.Status)
	}
	c.mu.Lock()
	c.seen[route.Operation.OperationID] = c.seen[route.Operation.OperationID] || a.Status < http.StatusBadRequest
	c.mu.Unlock()
	req, err := http.NewRequestWithContext(ctx, q.Method, q.Target, http.NoBody)
	if err != nil {
		return err
	}
	in := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{Request: req, Route: route},
		Status:                 a.Status, Header: a.Header, Body: io.NopCloser(bytes.NewReader(a.Body)),
		Options: &openapi3filter.Options{
			IncludeResponseStatus: true,
			// Content is bytes of any type; only JSON has a form to check.
			ExcludeResponseBody: route.Operation.Responses.Status(a.Status).Value.Content.Get("application/json") == nil ||
				d.IsContent != nil && d.IsContent(route.Operation.OperationID, a),
		},
	}
	return openapi3filter.ValidateResponse(ctx, in)
}

// undescribed accepts what an undescribed method or path may be answered with.
func undescribed(d *Dialect, q Request, a Answer) error {
	switch {
	case a.Status == http.StatusNotFound && (q.Method == http.MethodHead || d.IsUnknown(a)):
	case a.Status == http.StatusMethodNotAllowed && a.Header.Get("Allow") != "":
	case a.Status == http.StatusNoContent && q.Method == http.MethodOptions && a.Header.Get("Allow") != "":
	default:
		return fmt.Errorf("the document does not know this path and method, and the answer is %d", a.Status)
	}
	return nil
}

// CheckCoverage tells what no dialogue has shown: operations without a success,
// but for those named, and notes that nothing brought.
func (d *Dialect) CheckCoverage(t *testing.T, but, notes []string) {
	t.Helper()
	c, err := d.load()
	if err != nil {
		t.Fatal(err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for path, item := range c.doc.Paths.Map() {
		for method, op := range item.Operations() {
			if !c.seen[op.OperationID] && !slices.Contains(but, op.OperationID) {
				t.Errorf("no dialogue shows a success of %s %s", method, path)
			}
		}
	}
	for _, note := range notes {
		if !c.notes[note] {
			t.Errorf("no dialogue shows %s", note)
		}
	}
}

// note keeps for the coverage what an answer tells.
func (d *Dialect) note(a Answer) {
	c, err := d.load()
	if err != nil || d.Note == nil {
		return
	}
	if s := d.Note(a); s != "" {
		c.mu.Lock()
		c.notes[s] = true
		c.mu.Unlock()
	}
}

// braces and Colons turn a router's pattern into a document's and back.
func braces(pattern string) string { return colon.ReplaceAllString(pattern, "{$1}") }

// colons is the other way.
func colons(pattern string) string { return strings.NewReplacer("{", ":", "}", "").Replace(pattern) }

var colon = regexp.MustCompile(`:([a-z]+)`)
