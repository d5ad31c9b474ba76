package jsonbin

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"unicode/utf8"

	"ringbin/storage"
)

// depthMax is how deep a record may be nested.
const depthMax = 1000

// bodyStep is how much of a body is read without asking for room.
const bodyStep = 64 << 10

// readBody reads a request's body of at most limit bytes; what is what it is
// called when it is larger. hold asks for room in memory. It is asked for bytes
// that came, not for those that a client announced: nobody blocks others by
// words. release, which is never nil, gives all of it back.
func readBody(r *http.Request, what string, limit int64, hold func(int64) (func(), error)) (body []byte, release func(), err error) {
	const op = "jsonbin.readBody"
	var held []func()
	release = func() {
		for _, give := range held {
			give()
		}
	}
	large := &storage.Error{Op: op, Kind: storage.KindTooLarge, Field: what, Details: map[string]any{"max_bytes": limit}}
	if r.Body == nil {
		return nil, release, nil
	}
	if r.ContentLength > limit {
		discard(r)
		return nil, release, large
	}
	first := int64(bodyStep)
	if r.ContentLength >= 0 {
		first = min(r.ContentLength+1, bodyStep)
	}
	body = make([]byte, 0, first)
	for {
		if len(body) == cap(body) {
			grown := max(2*cap(body), bodyStep)
			give, err := hold(int64(grown - cap(body)))
			if err != nil {
				return nil, release, err
			}
			held = append(held, give)
			body = append(make([]byte, 0, grown), body...)
		}
		n, err := r.Body.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		switch {
		case int64(len(body)) > limit:
			discard(r)
			return nil, release, large
		case errors.Is(err, io.EOF):
			return body, release, nil
		case err != nil:
			return nil, release, &storage.Error{Op: op, Kind: storage.KindInvalid, Text: invalidJSON, Err: err}
		}
	}
}

// discardMax is how much of a body that is too large is taken all the same.
const discardMax = 16 << 20

// discard reads what is left of a body, unless that is very much or the client
// still waits to be asked for it: one that is cut off while it sends may never
// see the answer.
func discard(r *http.Request) {
	if r.ContentLength <= discardMax && r.Header.Get("Expect") == "" {
		_, _ = io.Copy(io.Discard, io.LimitReader(r.Body, discardMax)) // whatever comes of it, the body is refused
	}
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
