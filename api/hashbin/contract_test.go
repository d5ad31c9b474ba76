package hashbin_test

import (
	"slices"
	"strings"
	"testing"

	"ringbin/api/hashbin"
)

func TestDocument(t *testing.T) {
	t.Parallel()
	dialect.CheckDocument(t, "Entry.cid")
}

func TestRoutesAndDocumentAgree(t *testing.T) {
	t.Parallel()
	routes := hashbin.New(nil).Routes()
	dialect.CheckRoutes(t, routes)
	operator := hashbin.NewOperator(nil).Routes()
	for _, r := range operator {
		if !slices.Contains(routes, r) || !strings.HasPrefix(r.Pattern, "/api/admin/") {
			t.Errorf("%s %s is on the admin port", r.Method, r.Pattern)
		}
	}
}
