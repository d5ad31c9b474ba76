package pastewizard_test

import "testing"

// messages are the contract's own words that one node can be brought to.
var messages = []string{
	"Missing hash", "Content is required", "Content is not valid UTF-8", "Title is too long", "Password is too long",
	"Invalid title", "Invalid content", "Invalid language", "Invalid privacy", "Invalid expiry", "Invalid password", "Invalid highlight",
	"Invalid burn_after_read", "Invalid clear_password", "Invalid JSON", "Unsupported content type",
	"Missing API token", "Invalid API token", "Insufficient scope", "You do not own this paste", "Password required",
	"Paste not found", "Unknown endpoint", "Token not found", "User not found", "Method not allowed",
	"Paste has already been burned", "Content is too large", "Rate limit exceeded", "Too many password attempts",
	"Invalid token_id", "Invalid user_id", "Invalid name", "Invalid scopes", "Invalid rate_limit_per_minute", "Invalid limit", "Invalid cursor",
	"Invalid revoked", "Invalid from", "Invalid to", "Invalid status", "Invalid ip", "Invalid endpoint",
}

func TestDialogues(t *testing.T) {
	t.Parallel()
	dialect.Run(t, func(t *testing.T) {
		t.Helper()
		dialect.CheckCoverage(t, nil, messages)
	})
}
