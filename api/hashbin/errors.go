package hashbin

import (
	"errors"
	"maps"
	"net/http"
	"strconv"

	"ringbin/api/web"
	"ringbin/storage"
)

// sentences are the standing texts of the codes: the closed list of the
// contract. Codes are only added.
var sentences = map[string]string{
	"invalid_json":            "The request body is not a JSON object of the right form",
	"invalid_parameter":       "A parameter is missing or out of range",
	"missing_header":          "Required headers are missing",
	"invalid_header":          "A header is not as it must be",
	"invalid_cid":             "The CID in the path is not one",
	"hash_mismatch":           "The body is not the content that X-Content-Hash names",
	"incomplete_body":         "The request body ended too early",
	"missing_content":         "The form must have exactly one part named content",
	"key_limit_reached":       "The account has as many active keys as it may have",
	"auth_missing":            "Authentication is required",
	"auth_invalid":            "The credentials are not valid",
	"auth_expired":            "The API key has expired",
	"auth_revoked":            "The API key was revoked",
	"account_disabled":        "The account is disabled",
	"insufficient_balance":    "Insufficient balance",
	"content_not_found":       "Content not found",
	"not_found":               "Not found",
	"endpoint_not_found":      "There is no such endpoint",
	"method_not_allowed":      "The endpoint does not have this method",
	"idempotency_in_progress": "A request with this Idempotency-Key is being executed",
	"email_taken":             "Another account has this address",
	"conflict":                "The present state does not allow this",
	"precondition_failed":     "A condition of the request does not hold",
	"payload_too_large":       "The request body is too large",
	"range_not_satisfiable":   "The content does not have this range",
	"idempotency_conflict":    "The Idempotency-Key or reference was used for another request",
	"rate_limited":            "Too many requests",
	"internal_error":          "Internal server error",
	"no_leader":               "The cluster has no majority that this node can reach",
	"outcome_unknown":         "The outcome is not known: retry with the same Idempotency-Key",
	"not_enough_replicas":     "Too few nodes could take the content",
	"content_unavailable":     "No copy of the content can be read just now",
	"overloaded":              "The node is busy",
	"shutting_down":           "The node is shutting down",
	"insufficient_storage":    "There is no room for the content",
}

// defaults are the codes of kinds whose error brings none of the list.
var defaults = map[storage.Kind]string{
	storage.KindInvalid:         "invalid_parameter",
	storage.KindUnauthenticated: "auth_invalid",
	storage.KindPayment:         "insufficient_balance",
	storage.KindNotFound:        "not_found",
	storage.KindConflict:        "conflict",
	storage.KindPrecondition:    "precondition_failed",
	storage.KindTooLarge:        "payload_too_large",
	storage.KindRange:           "range_not_satisfiable",
	storage.KindMismatch:        "idempotency_conflict",
	storage.KindRateLimited:     "rate_limited",
	storage.KindUnavailable:     "overloaded",
	storage.KindUnknown:         "outcome_unknown",
	storage.KindFull:            "insufficient_storage",
}

// unavailableLike are codes of inner errors that a client knows by another name.
var unavailableLike = map[string]string{
	"not_leader": "no_leader", "unreachable": "no_leader", "too_late": "no_leader",
}

// retryAfter is what a client is told to wait when nothing better is known.
const retryAfter = 1

type errorBody struct {
	Error   string         `json:"error"`
	Code    string         `json:"code"`
	Details map[string]any `json:"details"`
}

// WriteError renders an error in HashBin's format.
func WriteError(w http.ResponseWriter, _ *http.Request, err error) {
	status, body := describe(err)
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	switch status {
	case http.StatusUnauthorized:
		h.Set("WWW-Authenticate", `Bearer realm="hashbin"`)
	case http.StatusTooManyRequests:
		if s, ok := body.Details["retry_after_seconds"].(int64); ok {
			h.Set("Retry-After", strconv.FormatInt(s, 10))
		}
	case http.StatusConflict:
		if body.Code == "idempotency_in_progress" {
			h.Set("Retry-After", strconv.Itoa(retryAfter))
		}
	case http.StatusServiceUnavailable, http.StatusInsufficientStorage:
		outcome := "none"
		if storage.KindOf(err) == storage.KindUnknown {
			outcome = "unknown"
		}
		body.Details["outcome"] = outcome
		h.Set("X-Outcome", outcome)
		h.Set("Retry-After", strconv.Itoa(retryAfter))
	}
	_ = web.WriteJSON(w, status, body) // strings and numbers: they encode
}

// describe finds the status, the code and the details of an error. What is
// our own fault says no more than that.
func describe(err error) (int, errorBody) {
	if errors.Is(err, web.ErrMethodNotAllowed) {
		return http.StatusMethodNotAllowed, newBody("method_not_allowed", "", nil)
	}
	status := web.StatusOf(err)
	e, ok := errors.AsType[*storage.Error](err)
	if !ok || status == http.StatusInternalServerError {
		return http.StatusInternalServerError, newBody("internal_error", "", nil)
	}
	if e.Kind == storage.KindForbidden {
		// There is no 403 in this contract: content that was taken down is a
		// header that names what is refused.
		return http.StatusBadRequest, newBody("invalid_header", "This content is refused", map[string]any{
			"field": "X-Content-Hash", "X-Content-Hash": "names content that was taken down",
		})
	}
	code := e.Code
	if alias, ok := unavailableLike[code]; ok {
		code = alias
	}
	if _, known := sentences[code]; !known {
		code = defaults[e.Kind]
	}
	details := maps.Clone(e.Details)
	if details == nil {
		details = map[string]any{}
	}
	if e.Field != "" {
		details["field"] = e.Field
	}
	return status, newBody(code, e.Text, details)
}

func newBody(code, text string, details map[string]any) errorBody {
	if text == "" {
		text = sentences[code]
	}
	if details == nil {
		details = map[string]any{}
	}
	return errorBody{Error: text, Code: code, Details: details}
}
