package pastewizard_test

import (
	"testing"

	"ringbin/api/pastewizard"
)

func TestDocument(t *testing.T) {
	t.Parallel()
	dialect.CheckDocument(t, "ErrorForbidden.password_required", "ErrorLimited.limit_per_minute")
}

func TestRoutesAndDocumentAgree(t *testing.T) {
	t.Parallel()
	dialect.CheckRoutes(t, pastewizard.Routes())
}
