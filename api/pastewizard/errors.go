package pastewizard

import (
	"errors"
	"net/http"
	"strconv"

	"ringbin/api/web"
	"ringbin/storage"
)

// The sentences of the contract that this package decides on itself. Those for
// a wrong field are made by invalid.
const (
	missingHash        = "Missing hash"
	contentRequired    = "Content is required"
	contentNotUTF8     = "Content is not valid UTF-8"
	titleTooLong       = "Title is too long"
	passwordTooLong    = "Password is too long"
	invalidJSON        = "Invalid JSON"
	invalidRequest     = "Invalid request"
	unsupportedType    = "Unsupported content type"
	missingToken       = "Missing API token" //nolint:gosec // a sentence
	invalidToken       = "Invalid API token" //nolint:gosec // a sentence
	insufficientScope  = "Insufficient scope"
	noPaste            = "Paste not found"
	tooLarge           = "Content is too large"
	rateLimited        = "Rate limit exceeded"
	internalError      = "Internal error"
	tryAgain           = "Try again later"
	codeNeedsPassword  = "password_required"
	codeWrongPassword  = "password_invalid"
	codeManyPasswords  = "password_attempts"
	codeTokenMissing   = "auth_missing"
	codeContentBlocked = "content_blocked"
)

// sentences are what clients are told of the codes that they can meet here.
var sentences = map[string]string{
	codeTokenMissing:         missingToken,
	"not_owner":              "You do not own this paste",
	codeNeedsPassword:        "Password required",
	codeWrongPassword:        "Invalid password",
	codeManyPasswords:        "Too many password attempts",
	"token_not_found":        "Token not found",
	"user_not_found":         "User not found",
	"key_limit_reached":      "User has too many tokens",
	"note_expired":           "Paste has expired",
	"note_burned":            "Paste has already been burned",
	web.CodeEndpointNotFound: "Unknown endpoint",
}

// standing are the sentences of kinds whose code says nothing more to a client.
var standing = map[storage.Kind]string{
	storage.KindInvalid:         invalidRequest,
	storage.KindUnauthenticated: invalidToken,
	storage.KindForbidden:       insufficientScope,
	storage.KindNotFound:        noPaste,
	storage.KindTooLarge:        tooLarge,
	storage.KindRateLimited:     rateLimited,
}

// retryAfter is what a client is told to wait when nothing better is known.
const retryAfter = 1

// errorBody is an error as clients get it. The members behind the sentence are
// for 429 and for passwords only.
type errorBody struct {
	OK               bool   `json:"ok"`
	Error            string `json:"error"`
	LimitPerMinute   int64  `json:"limit_per_minute,omitempty"`
	PasswordRequired bool   `json:"password_required,omitempty"`
}

// refused is a request whose fault has a sentence of its own.
func refused(kind storage.Kind, sentence string) error {
	return &storage.Error{Op: "pastewizard.refused", Kind: kind, Text: sentence}
}

// wrong is the error for input with a sentence of its own.
func wrong(sentence string) error { return refused(storage.KindInvalid, sentence) }

// invalid is the error for a field that is not what it has to be.
func invalid(field string) error {
	return &storage.Error{Op: "pastewizard.invalid", Kind: storage.KindInvalid, Field: field}
}

// WriteError writes an error in the API's format.
func (d *Dialect) WriteError(w http.ResponseWriter, _ *http.Request, err error) {
	h := w.Header()
	d.setHeaders(h)
	status, sentence := explain(err)
	body := errorBody{Error: sentence}
	e, _ := errors.AsType[*storage.Error](err)
	switch status {
	case http.StatusUnauthorized:
		h.Set("WWW-Authenticate", "Bearer")
	case http.StatusForbidden:
		body.PasswordRequired = e.Code == codeNeedsPassword || e.Code == codeWrongPassword
	case http.StatusRequestEntityTooLarge:
		h.Set("Connection", "close")
	case http.StatusTooManyRequests:
		h.Set("Retry-After", strconv.FormatInt(waitOf(e), 10))
		body.LimitPerMinute, _ = e.Details["limit_per_minute"].(int64)
	case http.StatusServiceUnavailable:
		h.Set("Retry-After", strconv.Itoa(retryAfter))
	}
	writeJSON(w, status, body)
}

func waitOf(e *storage.Error) int64 {
	seconds, _ := e.Details["retry_after_seconds"].(int64)
	return max(seconds, retryAfter)
}

// explain finds the status and the sentence of an error. What is our own fault
// says no more than that.
func explain(err error) (status int, sentence string) {
	if errors.Is(err, web.ErrMethodNotAllowed) {
		return http.StatusMethodNotAllowed, "Method not allowed"
	}
	e, ok := errors.AsType[*storage.Error](err)
	if !ok {
		return http.StatusInternalServerError, internalError
	}
	if e.Code == codeContentBlocked {
		return http.StatusBadRequest, "Invalid content"
	}
	switch status = web.Status(e.Kind); status {
	case http.StatusInternalServerError:
		return status, internalError
	case http.StatusServiceUnavailable, http.StatusInsufficientStorage, http.StatusConflict:
		return http.StatusServiceUnavailable, tryAgain // the contract has neither 507 nor 409: another try may do
	case http.StatusBadRequest:
		if e.Text == "" && e.Field != "" {
			return status, "Invalid " + e.Field
		}
	}
	for _, s := range []string{e.Text, sentences[e.Code], standing[e.Kind]} {
		if s != "" {
			return status, s
		}
	}
	return http.StatusInternalServerError, internalError // a kind that nothing here fails with
}
