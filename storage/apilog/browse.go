package apilog

import (
	"context"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
	"github.com/fxamacker/cbor/v2"
	"github.com/oklog/ulid/v2"

	"ringbin/storage"
)

// Limits of one look into the log.
const (
	LimitMax = 500     // entries of an answer
	readMax  = 100_000 // entries that are read for it
	checkAt  = 1000    // entries between two looks at whether anybody still waits
)

// Query says which entries are wanted. What is zero is not looked at.
type Query struct {
	API      string `cbor:"1,keyasint,omitempty"`
	From     int64  `cbor:"2,keyasint,omitempty"` // Unix milliseconds, included
	To       int64  `cbor:"3,keyasint,omitempty"` // not included
	Token    int64  `cbor:"4,keyasint,omitempty"`
	Account  string `cbor:"5,keyasint,omitempty"`
	Endpoint string `cbor:"6,keyasint,omitempty"`
	Status   int    `cbor:"7,keyasint,omitempty"`
	Addr     string `cbor:"8,keyasint,omitempty"`
	// Before is the id that all entries of the answer are older than.
	Before ulid.ULID `cbor:"9,keyasint"`
	Limit  int       `cbor:"10,keyasint"`
}

func (q Query) wants(e Entry) bool {
	return (q.API == "" || q.API == e.API) &&
		(q.Token == 0 || q.Token == e.Token) &&
		(q.Account == "" || q.Account == e.Account) &&
		(q.Endpoint == "" || q.Endpoint == e.Endpoint) &&
		(q.Status == 0 || q.Status == e.Status) &&
		(q.Addr == "" || q.Addr == e.Addr)
}

// bounds are the keys to look at.
func (q Query) bounds() (first, end []byte) {
	first, end = []byte{tagEntry}, []byte{tagEntry + 1}
	if q.From != 0 {
		first = key(Entry{ID: edge(q.From)})
	}
	if q.To != 0 {
		end = key(Entry{ID: edge(q.To)})
	}
	if before := key(Entry{ID: q.Before}); !q.Before.IsZero() && string(before) < string(end) {
		end = before
	}
	return first, end
}

// Found is what one node has found.
type Found struct {
	Entries []Entry `cbor:"1,keyasint"` // newest first
	// Until is how far the node has looked: there is nothing more down to this
	// id, included. Zero: there is nothing more at all.
	Until ulid.ULID `cbor:"2,keyasint"`
}

// Browse looks for entries, newest first. It ends when it has as many as are
// wanted, or has read so many that others should have their turn.
func (l *Log) Browse(ctx context.Context, q Query) (Found, error) {
	const op = "apilog.Browse"
	l.life.RLock()
	defer l.life.RUnlock()
	if l.closed {
		return Found{}, storage.E(op, storage.KindUnavailable, errClosed)
	}
	first, end := q.bounds()
	it, err := l.db.NewIter(&pebble.IterOptions{LowerBound: first, UpperBound: end})
	if err != nil {
		return Found{}, storage.E(op, storage.KindInternal, err)
	}
	found, err := browse(ctx, it, q, readMax)
	if err = errors.Join(err, it.Close()); err != nil { // closing tells what stopped the iterator, too
		return Found{}, storage.E(op, storage.KindInternal, err)
	}
	return found, nil
}

func browse(ctx context.Context, it *pebble.Iterator, q Query, most int) (Found, error) {
	found := Found{Entries: []Entry{}}
	limit := min(max(q.Limit, 1), LimitMax)
	read := 0
	for ok := it.Last(); ok; ok = it.Prev() {
		if read%checkAt == 0 && ctx.Err() != nil {
			return found, context.Cause(ctx)
		}
		var e Entry
		if err := cbor.Unmarshal(it.Value(), &e); err != nil {
			return found, fmt.Errorf("entry %x: %w", it.Key(), err)
		}
		if q.wants(e) {
			found.Entries = append(found.Entries, e)
		}
		if read++; read == most || len(found.Entries) == limit {
			if it.Prev() {
				found.Until = e.ID
			}
			break
		}
	}
	return found, nil
}
