package jsonbin

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"ringbin/api/web"
	"ringbin/storage"
)

// retryAfter is what a client is told to wait when nothing better is known.
const retryAfter = 1

// codeMismatch is a record that does not match its schema doc. Details has the
// doc's id and name.
const codeMismatch = "schema_mismatch"

type errorBody struct {
	Message       string `json:"message"`
	SchemaDocID   string `json:"schemaDocID,omitempty"`
	SchemaDocName string `json:"schemaDocName,omitempty"`
}

// WriteError writes an error in JSONBin's format.
func (d *Dialect) WriteError(w http.ResponseWriter, _ *http.Request, err error) {
	setOrigin(w.Header())
	status, message := d.describe(err)
	body := errorBody{Message: message}
	h := w.Header()
	h.Del("Allow") // an unknown verb is an unknown route
	e, _ := errors.AsType[*storage.Error](err)
	switch status {
	case http.StatusBadRequest:
		if e != nil && e.Code == codeMismatch {
			body.SchemaDocID, _ = e.Details["schemaDocID"].(string)
			body.SchemaDocName, _ = e.Details["schemaDocName"].(string)
		}
	case http.StatusPreconditionFailed:
		if e != nil && e.Details["revision"] != nil {
			h.Set("ETag", fmt.Sprintf(`"%v"`, e.Details["revision"]))
		}
	case http.StatusRequestEntityTooLarge:
		h.Set("Connection", "close")
	case http.StatusTooManyRequests:
		h.Set("Retry-After", strconv.FormatInt(waitOf(e), 10))
	case http.StatusServiceUnavailable:
		outcome := "none"
		if storage.KindOf(err) == storage.KindUnknown {
			outcome = "unknown"
		}
		h.Set("X-Outcome", outcome)
		h.Set("Retry-After", strconv.Itoa(retryAfter))
	}
	writeJSON(w, status, body)
}

func waitOf(e *storage.Error) int64 {
	if e == nil {
		return retryAfter
	}
	seconds, _ := e.Details["retry_after_seconds"].(int64)
	return max(seconds, retryAfter)
}

// describe finds the status and the sentence of an error. What is our own fault
// says no more than that.
func (d *Dialect) describe(err error) (status int, message string) {
	e, ok := errors.AsType[*storage.Error](err)
	switch {
	case errors.Is(err, web.ErrMethodNotAllowed), ok && e.Code == web.CodeEndpointNotFound:
		return http.StatusNotFound, noRoute
	case !ok:
		return http.StatusInternalServerError, internal
	}
	switch status = web.Status(e.Kind); status {
	case http.StatusInternalServerError:
		return status, internal
	case http.StatusServiceUnavailable, http.StatusInsufficientStorage: // the contract has no 507
		return http.StatusServiceUnavailable, unavailable
	case http.StatusTooManyRequests:
		return status, tooMany
	case http.StatusRequestEntityTooLarge:
		return status, fmt.Sprintf("%s cannot be larger than %v bytes", e.Field, e.Details["max_bytes"])
	}
	if e.Text != "" {
		return status, e.Text
	}
	if text := sentence(e, d.s.Settings().JSONBin); text != "" {
		return status, text
	}
	return status, http.StatusText(status)
}
