package hashbin_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"ringbin/api/hashbin"
	"ringbin/api/web"
	"ringbin/testcluster/dialogue"
)

func TestDocumentIsValid(t *testing.T) {
	t.Parallel()
	doc := dialect.Contract(t)
	if err := doc.Validate(t.Context()); err != nil {
		t.Error(err)
	}
}

// Answers have no members but those that the document names, and all of them.
func TestAnswersAreClosed(t *testing.T) {
	t.Parallel()
	doc := dialect.Contract(t)
	optional := map[string]bool{"Entry.cid": true}
	for name, ref := range doc.Components.Schemas {
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
	doc := dialect.Contract(t)
	registered := map[web.Route]bool{}
	for _, r := range hashbin.New(nil).Routes() {
		registered[r] = true
		if r.Method == http.MethodGet {
			registered[web.Route{Method: http.MethodHead, Pattern: r.Pattern}] = true
		}
		item := doc.Paths.Value(dialogue.Braces(r.Pattern))
		if item == nil || item.GetOperation(r.Method) == nil {
			t.Errorf("%s %s is not in the document", r.Method, r.Pattern)
		}
	}
	for path, item := range doc.Paths.Map() {
		for method := range item.Operations() {
			if !registered[web.Route{Method: method, Pattern: dialogue.Colons(path)}] {
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
