package pastewizard

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"strings"

	"ringbin/api/web"
	"ringbin/storage"
)

// Limits of a body. That on its size is the node's.
const (
	bodyStep     = 64 << 10 // read without asking for room
	parsedCopies = 2        // of a body, beside it, while it is parsed
	partsMax     = 1000     // of a multipart form
	discardMax   = 16 << 20 // of a body that is too large, taken all the same
)

// holdFunc asks for room in memory.
type holdFunc func(size int64) (release func(), err error)

// readBody reads a body of at most limit bytes. Room is asked for bytes that
// came, not for those that a client announced: nobody blocks others by words.
// release, which is never nil, gives all of it back.
func readBody(r *http.Request, limit int64, hold holdFunc) (body []byte, release func(), err error) {
	var held []func()
	release = func() {
		for _, give := range held {
			give()
		}
	}
	if r.Body == nil {
		return nil, release, nil
	}
	if r.ContentLength > limit {
		discard(r)
		return nil, release, refused(storage.KindTooLarge, tooLarge)
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
			return nil, release, refused(storage.KindTooLarge, tooLarge)
		case errors.Is(err, io.EOF):
			give, err := hold(parsedCopies * int64(len(body)))
			if err != nil {
				return nil, release, err
			}
			held = append(held, give)
			return body, release, nil
		case err != nil:
			return nil, release, unreadable(r.Header.Get("Content-Type"), err)
		}
	}
}

// discard reads what is left of a body, unless that is very much or the client
// still waits to be asked for it: one that is cut off while it sends may never
// see the answer.
func discard(r *http.Request) {
	if r.ContentLength <= discardMax && r.Header.Get("Expect") == "" {
		_, _ = io.Copy(io.Discard, io.LimitReader(r.Body, discardMax)) // whatever comes of it, the body is refused
	}
}

// The types that a body may have.
const (
	typeJSON  = "application/json"
	typeForm  = "application/x-www-form-urlencoded"
	typeParts = "multipart/form-data"
)

// unreadable is for a body that is not what its type says. The contract has a
// sentence of its own for JSON alone.
func unreadable(contentType string, err error) error {
	sentence := unsupportedType
	if t, _ := web.MediaType(contentType); t == typeJSON {
		sentence = invalidJSON
	}
	return &storage.Error{Op: "pastewizard.readBody", Kind: storage.KindInvalid, Text: sentence, Err: err}
}

// parseBody reads the fields of a body.
func parseBody(contentType string, body []byte) (fields, error) {
	if contentType == "" && len(body) == 0 {
		return fields{}, nil
	}
	mediaType, _ := web.MediaType(contentType)
	var all fields
	var err error
	switch mediaType {
	case typeJSON:
		all, err = parseJSON(body)
	case typeForm:
		return parseForm(string(body)), nil
	case typeParts:
		all, err = parseParts(contentType, body)
	default:
		err = errors.New("no type that is known")
	}
	if err != nil {
		return nil, unreadable(contentType, err)
	}
	return all, nil
}

var errNoObject = errors.New("not an object")

// parseJSON reads an object; null is the same as absent, and the last of
// several members counts.
func parseJSON(body []byte) (fields, error) {
	var all fields
	if err := json.Unmarshal(body, &all); err != nil {
		return nil, err
	}
	if all == nil {
		return nil, errNoObject
	}
	return all, nil
}

// parseForm reads an urlencoded form, or a query, as the URL standard has it:
// there is none that can't be read. A % that begins no escape stands for
// itself, and so does a semicolon.
func parseForm(form string) fields {
	all := fields{}
	for piece := range strings.SplitSeq(form, "&") {
		name, v, _ := strings.Cut(piece, "=")
		all.add(unescape(name), func() string { return unescape(v) })
	}
	return all
}

// unescape reads what stands between the signs of a form.
func unescape(s string) string {
	if !strings.ContainsAny(s, "+%") {
		return s
	}
	plain := make([]byte, 0, len(s))
	for at := 0; at < len(s); at++ {
		c := s[at]
		switch {
		case c == '+':
			c = ' '
		case c == '%' && at+2 < len(s):
			if b, err := hex.DecodeString(s[at+1 : at+3]); err == nil {
				c, at = b[0], at+2
			}
		}
		plain = append(plain, c)
	}
	return string(plain)
}

// parseParts reads a multipart form. What a part is called as a file says nothing.
func parseParts(contentType string, body []byte) (fields, error) {
	_, params, err := mime.ParseMediaType(contentType)
	if err != nil {
		return nil, err
	}
	if params["boundary"] == "" {
		return nil, errors.New("no boundary")
	}
	all, parts := fields{}, multipart.NewReader(bytes.NewReader(body), params["boundary"])
	for range partsMax {
		part, err := parts.NextRawPart()
		if err == io.EOF { //nolint:errorlint // bare at the final boundary, wrapped where the body broke off
			return all, nil
		}
		if err != nil {
			return nil, err
		}
		content, err := io.ReadAll(part)
		if err != nil {
			return nil, err
		}
		all.add(part.FormName(), func() string { return string(content) })
	}
	return nil, errors.New("too many parts")
}
