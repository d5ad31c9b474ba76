package jsonbin

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"unicode/utf8"

	"golang.org/x/sync/semaphore"

	"ringbin/storage"
)

const (
	// depthMax is how deep a record may be nested.
	depthMax = 1000
	// bodyBytesMax bounds the bodies that are in memory at a time, but for the
	// first bodyStep of each.
	bodyBytesMax = 512 << 20
	bodyStep     = 64 << 10
)

// bodies reads request bodies that have to be in memory whole.
type bodies struct{ room *semaphore.Weighted }

func newBodies() *bodies { return &bodies{semaphore.NewWeighted(bodyBytesMax)} }

// read reads a request's body of at most limit bytes. What it takes in memory
// is given back by release, which is never nil. Room is taken for bytes that
// came, not for those that a client announced: nobody blocks others by words.
func (b *bodies) read(r *http.Request, limit int64) (body []byte, release func(), err error) {
	const op = "jsonbin.read"
	held := int64(0)
	release = func() { b.room.Release(held) }
	if r.ContentLength > limit {
		return nil, release, tooLarge(op, limit)
	}
	if r.Body == nil {
		return nil, release, nil
	}
	body = make([]byte, 0, min(max(r.ContentLength, 0)+1, bodyStep))
	for {
		if len(body) == cap(body) {
			grown := int64(cap(body)) * 2
			if !b.room.TryAcquire(grown - held) {
				return nil, release, &storage.Error{Op: op, Kind: storage.KindUnavailable, Code: "overloaded"}
			}
			held = grown
			body = append(make([]byte, 0, grown), body...)
		}
		n, err := r.Body.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		switch {
		case int64(len(body)) > limit:
			return nil, release, tooLarge(op, limit)
		case errors.Is(err, io.EOF):
			return body, release, nil
		case err != nil:
			return nil, release, &storage.Error{Op: op, Kind: storage.KindInvalid, Text: invalidJSON, Err: err}
		}
	}
}

func tooLarge(op string, limit int64) error {
	return &storage.Error{Op: op, Kind: storage.KindTooLarge, Code: "payload_too_large", Details: map[string]any{"max_bytes": limit}}
}

// isBlank is whether a body has nothing but white space.
func isBlank(body []byte) bool { return len(bytes.Trim(body, " \t\r\n")) == 0 }

// compact returns the text of a record without insignificant white space: every
// token is spelled as it was sent. ok is false when the body is no object or
// array of JSON in UTF-8, or nested too deep.
func compact(body []byte) (record []byte, ok bool) {
	if !utf8.Valid(body) {
		return nil, false
	}
	var b bytes.Buffer
	b.Grow(len(body))
	if err := json.Compact(&b, body); err != nil {
		return nil, false
	}
	record = b.Bytes()
	return record, isContainer(record[0]) && depth(record) <= depthMax
}

// depth is how deep compact JSON is nested; what is deeper than depthMax is
// depthMax+1.
func depth(text []byte) int {
	now, most := 0, 0
	for at := 0; at < len(text); at++ {
		switch text[at] {
		case '"':
			at = stringEnd(text, at) - 1
		case '{', '[':
			if now++; now > most {
				most = now
			}
			if most > depthMax {
				return most
			}
		case '}', ']':
			now--
		}
	}
	return most
}
