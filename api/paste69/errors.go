package paste69

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"ringbin/api/web"
	"ringbin/storage"
)

// sentences are what clients are told of the codes that they can meet here.
var sentences = map[string]string{
	"auth_missing":           "API key required",
	"auth_invalid":           "Invalid API key",
	"auth_expired":           "Invalid API key",
	"auth_revoked":           "Invalid API key",
	"account_disabled":       "Invalid API key",
	"anonymous_disabled":     "API key required",
	"delete_key_invalid":     "Invalid deletion key",
	"not_authorized":         "Not authorized",
	"private_needs_key":      "Private pastes can only be created with an API key",
	"never_needs_key":        "Permanent pastes require an API key",
	"expiry_not_future":      "Expiration time must be in the future",
	"expiry_invalid":         "Invalid expiration format",
	"owned_limit_reached":    "The account has as many pastes or short links as it may have",
	"key_limit_reached":      "The account has as many API keys as it may have",
	"content_blocked":        "This content is refused",
	"key_requests_closed":    "API key requests are closed on this server. Ask its operator for a key",
	"mail_failed":            "Failed to send verification email",
	"no_leader":              "The service is temporarily unavailable, please try again later",
	"incomplete_body":        "Invalid request body",
	web.CodeEndpointNotFound: "Not found",
}

// standing are the sentences of kinds whose code says nothing more to a client.
var standing = map[storage.Kind]string{
	storage.KindInvalid:         "Invalid request",
	storage.KindUnauthenticated: "Invalid API key",
	storage.KindForbidden:       "Not authorized",
	storage.KindNotFound:        "Not found",
	storage.KindConflict:        "The service is temporarily unavailable, please try again later",
	storage.KindPrecondition:    "Precondition Failed",
	storage.KindTooLarge:        "Request Entity Too Large",
	storage.KindRange:           "Requested Range Not Satisfiable",
	storage.KindRateLimited:     "Rate limit exceeded, please try again later",
	storage.KindUnavailable:     "The service is temporarily unavailable, please try again later",
	storage.KindUnknown:         "The outcome is not known, please look before trying again",
	storage.KindFull:            "There is no room for the content",
}

// retryAfter is what a client is told to wait when nothing better is known.
const retryAfter = 1

type errorBody struct {
	Success bool   `json:"success"`
	Error   string `json:"error"`
}

// WriteError renders an error in Paste69's format: JSON, or a page for browsers
// where the route has one.
func (d *Dialect) WriteError(w http.ResponseWriter, r *http.Request, err error) {
	status, message := explain(err)
	h := w.Header()
	for _, name := range []string{"Content-Disposition", "Content-Type", "ETag", "Last-Modified"} {
		h.Del(name) // of content that could not be sent after all
	}
	h.Set("Cache-Control", "no-store")
	switch status {
	case http.StatusUnauthorized:
		h.Set("WWW-Authenticate", "Bearer")
	case http.StatusRequestEntityTooLarge:
		h.Set("Connection", "close")
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		if code := storage.CodeOf(err); code != "key_requests_closed" && code != "mail_failed" {
			h.Set("Retry-After", strconv.FormatInt(waitOf(err), 10))
		}
	}
	if d.htmlForm[web.RecordOf(r).Route] {
		if isBrowser(r) && d.pages.problem(w, r, problemPage{
			site: d.site(r), Status: status, Message: message, RequestID: h.Get("X-Request-Id"),
		}) == nil {
			return
		}
		h.Add("Vary", "Accept")
	}
	_ = web.WriteJSON(w, status, errorBody{Error: message}) // strings: they encode
}

func waitOf(err error) int64 {
	if e, ok := errors.AsType[*storage.Error](err); ok {
		if s, ok := e.Details["retry_after_seconds"].(int64); ok {
			return max(s, retryAfter)
		}
	}
	return retryAfter
}

// explain finds the status and the sentence of an error. What is our own fault
// says no more than that.
func explain(err error) (status int, message string) {
	if errors.Is(err, web.ErrMethodNotAllowed) {
		return http.StatusMethodNotAllowed, "Method Not Allowed"
	}
	status = web.StatusOf(err)
	e, ok := errors.AsType[*storage.Error](err)
	switch {
	case !ok || status == http.StatusInternalServerError:
		return http.StatusInternalServerError, "Internal Server Error"
	case e.Kind == storage.KindFull, e.Kind == storage.KindConflict:
		status = http.StatusServiceUnavailable // the contract has neither 507 nor 409: another try may do
	}
	if e.Code == "expiry_too_long" {
		hours, _ := e.Details["max_hours"].(int64)
		return status, tooLong(hours)
	}
	for _, s := range []string{e.Text, sentences[e.Code], standing[e.Kind]} {
		if s != "" {
			return status, s
		}
	}
	return status, http.StatusText(status)
}

// tooLong names the cap in days, cut to one decimal.
func tooLong(hours int64) string {
	tenths := hours * 10 / 24
	days := strconv.FormatInt(tenths/10, 10)
	if tenths%10 != 0 {
		days += "." + strconv.FormatInt(tenths%10, 10)
	}
	return fmt.Sprintf("Maximum allowed expiry for this file size is %s days", days)
}
