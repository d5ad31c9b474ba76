package paste69_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"ringbin/api/paste69"
	"ringbin/api/web"
	"ringbin/testcluster/dialogue"
)

func TestDocumentIsValid(t *testing.T) {
	t.Parallel()
	if err := dialect.Contract(t).Validate(t.Context()); err != nil {
		t.Error(err)
	}
}

// Answers have no members but those that the document names, and all of them,
// but for those that not every answer of their kind has.
func TestAnswersAreClosed(t *testing.T) {
	t.Parallel()
	optional := []string{
		"PasteManaged.delete_url", "PasteManagedData.delete_url", "KeyRequested.api_key", "KeyRequestedData.api_key",
		"PasteMetadata.mimeType", "PasteMetadata.content", "PasteMetadataData.mimeType", "PasteMetadataData.content",
	}
	for name, ref := range dialect.Contract(t).Components.Schemas {
		s := ref.Value
		if !s.Type.Is("object") || strings.HasSuffix(name, "Wish") {
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

// The document has the routes that the router has, and no other.
func TestRoutesAndDocumentAgree(t *testing.T) {
	t.Parallel()
	doc := dialect.Contract(t)
	registered := map[web.Route]bool{}
	for _, r := range paste69.Routes() {
		registered[r] = true
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
	if len(registered) < 45 || registered[web.Route{Method: http.MethodGet, Pattern: "/p"}] {
		t.Errorf("%d routes", len(registered))
	}
}
