package paste69

import (
	"errors"
	"testing"

	"ringbin/api/web"
	"ringbin/storage"
)

func TestErrorsInWords(t *testing.T) {
	t.Parallel()
	fault := func(k storage.Kind, code string) error {
		return &storage.Error{Op: "x", Kind: k, Code: code, Err: errors.New("secret")}
	}
	for _, tt := range []struct {
		err     error
		status  int
		message string
	}{
		{web.ErrMethodNotAllowed, 405, "Method Not Allowed"},
		{errors.New("secret /var/lib/ringbin"), 500, "Internal Server Error"},
		{fault(storage.KindInternal, "auth_invalid"), 500, "Internal Server Error"},
		{fault(storage.KindCorrupt, ""), 500, "Internal Server Error"},
		{fault(storage.KindUnauthenticated, "auth_missing"), 401, "API key required"},
		{fault(storage.KindUnauthenticated, "auth_revoked"), 401, "Invalid API key"},
		{fault(storage.KindUnauthenticated, "auth_expired"), 401, "Invalid API key"},
		{fault(storage.KindUnauthenticated, "account_disabled"), 401, "Invalid API key"},
		{fault(storage.KindForbidden, "content_blocked"), 403, "This content is refused"},
		{fault(storage.KindInvalid, "owned_limit_reached"), 400, "The account has as many pastes or short links as it may have"},
		{fault(storage.KindInvalid, "incomplete_body"), 400, "Invalid request body"},
		{fault(storage.KindInvalid, "of no name"), 400, "Invalid request"},
		{fault(storage.KindNotFound, "not_found"), 404, "Not found"},
		{fault(storage.KindConflict, "id_taken"), 503, "The service is temporarily unavailable, please try again later"},
		{fault(storage.KindFull, "insufficient_storage"), 503, "There is no room for the content"},
		{fault(storage.KindUnavailable, "no_leader"), 503, "The service is temporarily unavailable, please try again later"},
		{fault(storage.KindUnavailable, "mail_failed"), 503, "Failed to send verification email"},
		{fault(storage.KindUnknown, ""), 503, "The outcome is not known, please look before trying again"},
		{invalid("x", "Words of a parser", nil), 400, "Words of a parser"},
	} {
		if status, message := explain(tt.err); status != tt.status || message != tt.message {
			t.Errorf("%v: %d %s, want %d %s", tt.err, status, message, tt.status, tt.message)
		}
	}
}

// The cap is named in days, cut to one decimal.
func TestCapInDays(t *testing.T) {
	t.Parallel()
	for hours, want := range map[int64]string{
		3071: "127.9", 17519: "729.9", 168: "7", 720: "30", 1620: "67.5", 894: "37.2", 349: "14.5", 1770: "73.7", 1: "0", 3: "0.1", 0: "0",
	} {
		e := &storage.Error{Kind: storage.KindInvalid, Code: "expiry_too_long", Details: map[string]any{"max_hours": hours}}
		if _, got := explain(e); got != "Maximum allowed expiry for this file size is "+want+" days" {
			t.Errorf("%d hours: %s", hours, got)
		}
	}
}

// No id hides behind a path of the node, or is a content id.
func TestReservedIDs(t *testing.T) {
	t.Parallel()
	d := &Dialect{reserved: firstSegments(append(Routes(), web.Route{Method: "GET", Pattern: "/manifest.json"}))}
	for _, id := range []string{"download", "manifest", "upload", "delete", "AAAAAAAA"} {
		if !d.isReserved(id) {
			t.Errorf("%s may be issued", id)
		}
	}
	for _, id := range []string{"abc12345", "abc123", "Download", "AAAAAAAB"} {
		if d.isReserved(id) {
			t.Errorf("%s may not be issued", id)
		}
	}
}
