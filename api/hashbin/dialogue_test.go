package hashbin_test

import "testing"

// codesOfOneNode are the codes below 500 that one node can be brought to
// without waiting for a day; auth_expired and idempotency_in_progress have
// tests of their own.
var codesOfOneNode = []string{
	"invalid_json", "invalid_parameter", "missing_header", "invalid_header", "invalid_cid", "hash_mismatch", "incomplete_body",
	"missing_content", "key_limit_reached", "auth_missing", "auth_invalid", "auth_revoked", "account_disabled",
	"insufficient_balance", "content_not_found", "not_found", "endpoint_not_found", "method_not_allowed", "email_taken",
	"precondition_failed", "payload_too_large", "range_not_satisfiable", "idempotency_conflict", "rate_limited",
}

func TestDialogues(t *testing.T) {
	t.Parallel()
	dialect.Run(t, func(t *testing.T) {
		t.Helper()
		// The one member of a cluster can't be removed, and does not leave.
		dialect.CheckCoverage(t, []string{"removeNode", "leave"}, codesOfOneNode)
	})
}
