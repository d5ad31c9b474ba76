package web

import (
	"errors"
	"net/http"

	"ringbin/storage"
)

// ErrMethodNotAllowed is for a path that is known, but not with this method.
// The Allow header is set already when a renderer gets it.
var ErrMethodNotAllowed = errors.New("method not allowed")

// StatusOf returns the HTTP status of an error.
func StatusOf(err error) int {
	if errors.Is(err, ErrMethodNotAllowed) {
		return http.StatusMethodNotAllowed
	}
	return Status(storage.KindOf(err))
}

// Status is the one table from what went wrong to its status.
func Status(k storage.Kind) int {
	switch k {
	case storage.KindInvalid:
		return http.StatusBadRequest
	case storage.KindUnauthenticated:
		return http.StatusUnauthorized
	case storage.KindPayment:
		return http.StatusPaymentRequired
	case storage.KindForbidden:
		return http.StatusForbidden
	case storage.KindNotFound:
		return http.StatusNotFound
	case storage.KindGone:
		return http.StatusGone
	case storage.KindConflict:
		return http.StatusConflict
	case storage.KindPrecondition:
		return http.StatusPreconditionFailed
	case storage.KindTooLarge:
		return http.StatusRequestEntityTooLarge
	case storage.KindRange:
		return http.StatusRequestedRangeNotSatisfiable
	case storage.KindMismatch:
		return http.StatusUnprocessableEntity
	case storage.KindRateLimited:
		return http.StatusTooManyRequests
	case storage.KindUnavailable, storage.KindUnknown:
		return http.StatusServiceUnavailable
	case storage.KindFull:
		return http.StatusInsufficientStorage
	case storage.KindInternal, storage.KindCorrupt:
		return http.StatusInternalServerError
	}
	return http.StatusInternalServerError
}

// Codes of the errors that this package makes itself.
const (
	CodeEndpointNotFound    = "endpoint_not_found"
	CodeIncompleteBody      = "incomplete_body"
	CodeInvalidHeader       = "invalid_header"
	CodeInvalidJSON         = "invalid_json"
	CodeInvalidParameter    = "invalid_parameter"
	CodePayloadTooLarge     = "payload_too_large"
	CodePreconditionFailed  = "precondition_failed"
	CodeRangeNotSatisfiable = "range_not_satisfiable"
)

// Fault is one wrong input: its name, and what it has to be.
type Fault struct {
	Field, Want string
}

// Faults is the error for wrong inputs of one kind, all named together; nil
// when there is none. Field is the first.
func Faults(op, code string, faults ...Fault) error {
	if len(faults) == 0 {
		return nil
	}
	e := storage.Invalid(op, code, faults[0].Field, faults[0].Want)
	for _, f := range faults[1:] {
		if _, named := e.Details[f.Field]; !named {
			e.Details[f.Field] = f.Want
		}
	}
	return e
}
