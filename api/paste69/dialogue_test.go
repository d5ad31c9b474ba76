package paste69_test

import "testing"

// messages are the contract's own words that one node can be brought to.
var messages = []string{
	"API key required", "Invalid API key", "Invalid deletion key", "Not authorized", "Not found",
	"Paste not found or expired", "Shortlink not found or expired", "Invalid or expired verification token",
	"Private pastes can only be created with an API key", "Permanent pastes require an API key", "URL uploads are disabled",
	"api_key must be a header or query parameter", "Only one file per request", "Give only one of file, content or url",
	"No file provided", "Empty file", "Invalid request body", "Invalid value for private", "Invalid expiration format",
	"Expiration time must be in the future", "Give either expires_in or expires_at", "One of expires_in or expires_at is required",
	"URL cannot be empty", "Invalid URL. Must be a valid absolute HTTP(S) URL", "URL must not point to a short link of this server",
	"Failed to fetch URL", "Invalid date range", "Invalid page or limit", "Email is required", "Invalid email",
	"API key requests are closed on this server. Ask its operator for a key", "Rate limit exceeded, please try again later",
	"Request Entity Too Large", "Method Not Allowed",
}

func TestDialogues(t *testing.T) {
	t.Parallel()
	dialect.Run(t, func(t *testing.T) {
		t.Helper()
		dialect.CheckCoverage(t, nil, messages)
	})
}
