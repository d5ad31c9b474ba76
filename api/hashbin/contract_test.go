package hashbin_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"

	"ringbin/api/hashbin"
	"ringbin/api/web"
)

// contract is the embedded OpenAPI document, and what of it the tests have seen.
type contract struct {
	doc *openapi3.T

	mu    sync.Mutex
	seen  map[string]bool // operationId
	codes map[string]bool
}

var theContract = sync.OnceValues(func() (*contract, error) {
	doc, err := openapi3.NewLoader().LoadFromData(hashbin.OpenAPI)
	if err != nil {
		return nil, fmt.Errorf("the document can't be read: %w", err)
	}
	return &contract{doc: doc, seen: map[string]bool{}, codes: map[string]bool{}}, nil
})

func loadContract(t *testing.T) *contract {
	t.Helper()
	c, err := theContract()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// route finds the path of the document that a request is for: literals go
// before parameters. A HEAD that is not described by itself is its GET.
func (c *contract) route(method string, u *url.URL) *routers.Route {
	var best *routers.Route
	for _, pattern := range slices.Sorted(maps(c.doc.Paths.Map())) {
		if !matches(pattern, u.EscapedPath()) {
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

func maps[V any](m map[string]V) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

func matches(pattern, path string) bool {
	want, got := strings.Split(pattern, "/"), strings.Split(path, "/")
	if len(want) != len(got) {
		return false
	}
	for i := range want {
		if strings.HasPrefix(want[i], "{") {
			if got[i] == "" {
				return false
			}
		} else if want[i] != got[i] {
			return false
		}
	}
	return true
}

// answered is one answer, read whole.
type answered struct {
	status    int
	header    http.Header
	body      []byte
	continued bool // 100 Continue came first
}

// check holds an answer against the document. What the document does not know
// may only be answered as unknown.
func (c *contract) check(ctx context.Context, method, target string, a answered) error {
	u, err := url.ParseRequestURI(target)
	if err != nil {
		return err
	}
	route := c.route(method, u)
	if route == nil {
		return undescribed(method, a)
	}
	if route.Operation.Responses.Status(a.status) == nil {
		return fmt.Errorf("%s does not describe status %d", route.Operation.OperationID, a.status)
	}
	c.mu.Lock()
	c.seen[route.Operation.OperationID] = c.seen[route.Operation.OperationID] || a.status < http.StatusBadRequest
	c.mu.Unlock()
	req, err := http.NewRequestWithContext(ctx, method, target, http.NoBody)
	if err != nil {
		return err
	}
	in := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{Request: req, Route: route},
		Status:                 a.status, Header: a.header, Body: io.NopCloser(bytes.NewReader(a.body)),
		Options: &openapi3filter.Options{
			IncludeResponseStatus: true,
			// Content is bytes of any type; only JSON has a form to check.
			ExcludeResponseBody: route.Operation.Responses.Status(a.status).Value.Content.Get("application/json") == nil ||
				strings.HasSuffix(route.Operation.OperationID, "AtRoot") && a.status < http.StatusBadRequest ||
				route.Operation.OperationID == "getContent" && a.status < http.StatusBadRequest,
		},
	}
	return openapi3filter.ValidateResponse(ctx, in)
}

// undescribed accepts what an undescribed method or path may be answered with.
func undescribed(method string, a answered) error {
	switch {
	case a.status == http.StatusNotFound && (method == http.MethodHead || bytes.Contains(a.body, []byte(`"code":"endpoint_not_found"`))):
	case a.status == http.StatusMethodNotAllowed && a.header.Get("Allow") != "":
	case a.status == http.StatusNoContent && method == http.MethodOptions && a.header.Get("Allow") != "":
	default:
		return fmt.Errorf("the document does not know this path and method, and the answer is %d", a.status)
	}
	return nil
}

func TestDocumentIsValid(t *testing.T) {
	t.Parallel()
	c := loadContract(t)
	if err := c.doc.Validate(t.Context()); err != nil {
		t.Error(err)
	}
}

// Answers have no members but those that the document names, and all of them.
func TestAnswersAreClosed(t *testing.T) {
	t.Parallel()
	c := loadContract(t)
	optional := map[string]bool{"Entry.cid": true}
	for name, ref := range c.doc.Components.Schemas {
		s := ref.Value
		if !s.Type.Is("object") || strings.Contains(name, "Wish") || strings.HasSuffix(name, "Patch") {
			continue
		}
		if s.AdditionalProperties.Has == nil || *s.AdditionalProperties.Has {
			t.Errorf("%s takes members that it does not name", name)
		}
		for member := range s.Properties {
			if !slices.Contains(s.Required, member) && !optional[name+"."+member] {
				t.Errorf("%s.%s is not required", name, member)
			}
		}
	}
}

// The document has the routes that the router has, and no other.
func TestRoutesAndDocumentAgree(t *testing.T) {
	t.Parallel()
	c := loadContract(t)
	registered := map[web.Route]bool{}
	for _, r := range hashbin.New(nil).Routes() {
		registered[r] = true
		if r.Method == http.MethodGet {
			registered[web.Route{Method: http.MethodHead, Pattern: r.Pattern}] = true
		}
		item := c.doc.Paths.Value(braces(r.Pattern))
		if item == nil || item.GetOperation(r.Method) == nil {
			t.Errorf("%s %s is not in the document", r.Method, r.Pattern)
		}
	}
	for path, item := range c.doc.Paths.Map() {
		for method := range item.Operations() {
			if !registered[web.Route{Method: method, Pattern: colons(path)}] {
				t.Errorf("%s %s is in the document only", method, path)
			}
		}
	}
	operator := hashbin.NewOperator(nil).Routes()
	for _, r := range operator {
		if !registered[r] || !strings.HasPrefix(r.Pattern, "/api/admin/") {
			t.Errorf("%s %s is on the admin port", r.Method, r.Pattern)
		}
	}
}

func braces(pattern string) string {
	parts := strings.Split(pattern, "/")
	for i, p := range parts {
		if name, ok := strings.CutPrefix(p, ":"); ok {
			parts[i] = "{" + name + "}"
		}
	}
	return strings.Join(parts, "/")
}

func colons(pattern string) string {
	return strings.NewReplacer("{", ":", "}", "").Replace(pattern)
}
