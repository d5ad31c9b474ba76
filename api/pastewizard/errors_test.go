package pastewizard

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"ringbin/api/web"
	"ringbin/storage"
)

func TestExplain(t *testing.T) {
	t.Parallel()
	coded := func(kind storage.Kind, code string) error { return &storage.Error{Kind: kind, Code: code} }
	for _, tt := range []struct {
		err      error
		status   int
		sentence string
	}{
		{wrong("Missing hash"), 400, "Missing hash"},
		{invalid("title"), 400, "Invalid title"},
		{storage.Invalid("x", "invalid_parameter", "cursor", "one of ours"), 400, "Invalid cursor"},
		{coded(storage.KindForbidden, "content_blocked"), 400, "Invalid content"},
		{coded(storage.KindInvalid, "key_limit_reached"), 400, "User has too many tokens"},
		{coded(storage.KindInvalid, "anything"), 400, "Invalid request"},
		{coded(storage.KindUnauthenticated, "auth_missing"), 401, "Missing API token"},
		{coded(storage.KindUnauthenticated, "auth_invalid"), 401, "Invalid API token"},
		{coded(storage.KindUnauthenticated, "auth_revoked"), 401, "Invalid API token"},
		{coded(storage.KindUnauthenticated, "account_disabled"), 401, "Invalid API token"},
		{coded(storage.KindForbidden, "not_owner"), 403, "You do not own this paste"},
		{coded(storage.KindForbidden, "password_required"), 403, "Password required"},
		{coded(storage.KindForbidden, "password_invalid"), 403, "Invalid password"},
		{coded(storage.KindForbidden, "anything"), 403, "Insufficient scope"},
		{coded(storage.KindNotFound, "not_found"), 404, "Paste not found"},
		{coded(storage.KindNotFound, "token_not_found"), 404, "Token not found"},
		{coded(storage.KindNotFound, "user_not_found"), 404, "User not found"},
		{coded(storage.KindNotFound, web.CodeEndpointNotFound), 404, "Unknown endpoint"},
		{web.ErrMethodNotAllowed, 405, "Method not allowed"},
		{coded(storage.KindGone, "note_expired"), 410, "Paste has expired"},
		{coded(storage.KindGone, "note_burned"), 410, "Paste has already been burned"},
		{coded(storage.KindTooLarge, "payload_too_large"), 413, "Content is too large"},
		{coded(storage.KindRateLimited, "rate_limited"), 429, "Rate limit exceeded"},
		{coded(storage.KindRateLimited, "password_attempts"), 429, "Too many password attempts"},
		{coded(storage.KindInternal, "x"), 500, "Internal error"},
		{coded(storage.KindCorrupt, "x"), 500, "Internal error"},
		{errors.New("x"), 500, "Internal error"},
		{coded(storage.KindUnavailable, "no_leader"), 503, "Try again later"},
		{coded(storage.KindUnknown, "outcome_unknown"), 503, "Try again later"},
		{coded(storage.KindFull, "insufficient_storage"), 503, "Try again later"},
		{coded(storage.KindConflict, "revision_changed"), 503, "Try again later"},
	} {
		if status, sentence := explain(tt.err); status != tt.status || sentence != tt.sentence {
			t.Errorf("%v: %d %s, want %d %s", tt.err, status, sentence, tt.status, tt.sentence)
		}
	}
}

// Whatever kind an error is of, its status is one of the contract's, and what is
// our own fault says no more than that.
func TestExplainIsTotal(t *testing.T) {
	t.Parallel()
	statuses := map[int]bool{400: true, 401: true, 403: true, 404: true, 410: true, 413: true, 429: true, 500: true, 503: true}
	for k := storage.Kind(0); !strings.HasPrefix(k.String(), "kind "); k++ {
		status, sentence := explain(&storage.Error{Kind: k, Field: "x"})
		if !statuses[status] || sentence == "" {
			t.Errorf("%s: %d %q", k, status, sentence)
		}
		if status == http.StatusInternalServerError && sentence != internalError {
			t.Errorf("%s says %q", k, sentence)
		}
	}
}
