package paste69_test

import (
	"net/http"
	"slices"
	"testing"

	"ringbin/api/paste69"
	"ringbin/api/web"
)

func TestDocument(t *testing.T) {
	t.Parallel()
	dialect.CheckDocument(t,
		"PasteManaged.delete_url", "PasteManagedData.delete_url", "KeyRequested.api_key", "KeyRequestedData.api_key",
		"PasteMetadata.mimeType", "PasteMetadata.content", "PasteMetadataData.mimeType", "PasteMetadataData.content")
}

func TestRoutesAndDocumentAgree(t *testing.T) {
	t.Parallel()
	routes := paste69.Routes()
	dialect.CheckRoutes(t, routes)
	if len(routes) < 45 || slices.Contains(routes, web.Route{Method: http.MethodGet, Pattern: "/p"}) {
		t.Errorf("%d routes", len(routes))
	}
}
