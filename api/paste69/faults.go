package paste69

import "ringbin/storage"

// Messages of the contract, word for word.
const (
	textBody        = "Invalid request body"
	textTooLarge    = "Request Entity Too Large"
	textOneFile     = "Only one file per request"
	textOneSource   = "Give only one of file, content or url"
	textNoFile      = "No file provided"
	textEmptyFile   = "Empty file"
	textAPIKey      = "api_key must be a header or query parameter" //nolint:gosec // a message
	textPrivate     = "Invalid value for private"
	textExpiry      = "Invalid expiration format"
	textPast        = "Expiration time must be in the future"
	textTwoExpiries = "Give either expires_in or expires_at"
	textNoExpiry    = "One of expires_in or expires_at is required"
	textNoURL       = "URL cannot be empty"
	textURL         = "Invalid URL. Must be a valid absolute HTTP(S) URL"
	textOwnURL      = "URL must not point to a short link of this server"
	textPaging      = "Invalid page or limit"
	textDates       = "Invalid date range"
	textNoEmail     = "Email is required"
	textEmail       = "Invalid email"
	textName        = "Invalid name"
	textFetch       = "Failed to fetch URL"
	textEncoding    = "Content-Encoding is not supported"
)

// invalid is a fault of the client's that has its own message; err is what
// lies below, for operators.
func invalid(code, text string, err error) error {
	return &storage.Error{Op: "paste69", Kind: storage.KindInvalid, Code: code, Text: text, Err: err}
}

func badBody(err error) error { return invalid("invalid_body", textBody, err) }

func tooLarge(limit int64) error {
	return &storage.Error{
		Op: "paste69", Kind: storage.KindTooLarge, Code: "payload_too_large", Text: textTooLarge,
		Details: map[string]any{"max_bytes": limit},
	}
}
