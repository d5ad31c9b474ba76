package storage

import (
	"errors"
	"fmt"
	"strings"
)

// Kind says what went wrong, in as many words as a caller can act on. The list
// is closed and append-only: kinds travel between nodes and are stored in the
// replicated log, so a number never changes its meaning.
type Kind uint8

// The kinds. The status that each has over HTTP is in package api/web.
const (
	KindInternal        Kind = iota // a fault of ours; says nothing about the request
	KindInvalid                     // the input is wrong: Field names what
	KindUnauthenticated             // no credentials, or not ones that count now
	KindPayment                     // the balance does not cover it
	KindForbidden                   // known, but not allowed
	KindNotFound                    // no such thing, or not any more
	KindConflict                    // the present state does not allow it
	KindPrecondition                // a condition of the request does not hold
	KindTooLarge                    // above a limit on size
	KindRange                       // a range that the content does not have
	KindMismatch                    // the same id was used for another request
	KindRateLimited                 // too many requests
	KindUnavailable                 // not now; nothing was done
	KindUnknown                     // the outcome is not known: done, or not done, or done later
	KindFull                        // no room for the bytes; nothing was done
	KindCorrupt                     // stored bytes are not what was stored
	KindGone                        // it was there, and will not be again
	kindEnd
)

var kindNames = [kindEnd]string{
	"internal fault", "invalid", "not authenticated", "payment required", "forbidden", "not found",
	"conflict", "precondition failed", "too large", "range not satisfiable", "id reused for another request",
	"rate limited", "unavailable", "outcome unknown", "no room", "corrupt", "gone",
}

// String returns the kind in words.
func (k Kind) String() string {
	if k >= kindEnd {
		return fmt.Sprintf("kind %d", uint8(k))
	}
	return kindNames[k]
}

// Error is the one error type that crosses package borders. Clients see Kind,
// Code, Text, Field and Details; operators see the whole chain through Error.
// None of it may hold a secret.
type Error struct {
	// Op is the operation that failed: "meta.CommitUpload".
	Op string
	// Kind is what a caller can act on.
	Kind Kind
	// Code is a stable reason in snake_case where one Kind has several; empty
	// where the Kind says all. Codes are only added.
	Code string
	// Text is one English sentence for a client; empty where Code or Kind
	// have a standing one.
	Text string
	// Field names the input at fault, where one is: a header, a member, a parameter.
	Field string
	// Details are further facts for a client: numbers and short strings by name.
	Details map[string]any
	// Err is what lies below, for operators only.
	Err error
}

// E returns an error of a kind, with what lies below it (or nil).
func E(op string, kind Kind, err error) *Error {
	return &Error{Op: op, Kind: kind, Err: err}
}

// Invalid returns the error for one wrong input: its name, and what it has to be.
func Invalid(op, code, field, want string) *Error {
	return &Error{Op: op, Kind: KindInvalid, Code: code, Field: field, Details: map[string]any{field: want}}
}

// Error returns the chain for a log line.
func (e *Error) Error() string {
	var b strings.Builder
	if e.Op != "" {
		b.WriteString(e.Op)
		b.WriteString(": ")
	}
	switch {
	case e.Code != "":
		b.WriteString(e.Code)
	default:
		b.WriteString(e.Kind.String())
	}
	if e.Field != "" {
		fmt.Fprintf(&b, " (%s)", e.Field)
	}
	if e.Text != "" {
		b.WriteString(": ")
		b.WriteString(e.Text)
	}
	if e.Err != nil {
		b.WriteString(": ")
		b.WriteString(e.Err.Error())
	}
	return b.String()
}

// Unwrap returns what lies below.
func (e *Error) Unwrap() error { return e.Err }

// KindOf returns the Kind of the outermost *Error in the chain of err, and
// KindInternal for an error that has none.
func KindOf(err error) Kind {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Kind
	}
	return KindInternal
}

// CodeOf returns the Code of the outermost *Error in the chain, or "".
func CodeOf(err error) string {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	return ""
}
