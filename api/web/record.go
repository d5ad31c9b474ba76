package web

import (
	"context"
	"net/http"
)

// Record is what the layers around a handler learn from it. It belongs to one
// request and is written by that request's goroutine only.
type Record struct {
	Dialect string
	Route   string    // the pattern that matched; "" for none
	Path    string    // the path where it may be logged: it matched, and holds no secret
	Err     error     // what the handler failed with
	Render  ErrorFunc // how the dialect writes errors; nil until a router has the request
}

type recordKey struct{}

// WithRecord returns a context that carries a new Record.
func WithRecord(ctx context.Context) (context.Context, *Record) {
	rec := &Record{}
	return context.WithValue(ctx, recordKey{}, rec), rec
}

// RecordOf returns the request's Record; one that nobody reads if it has none.
func RecordOf(r *http.Request) *Record {
	if rec, ok := r.Context().Value(recordKey{}).(*Record); ok {
		return rec
	}
	return &Record{}
}
