package jsonbin

import (
	"bytes"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/julienschmidt/httprouter"

	"ringbin/api/web"
	"ringbin/node"
)

// call is one request on its way through the dialect.
type call struct {
	s        *node.Service
	w        http.ResponseWriter
	r        *http.Request
	params   httprouter.Params
	keys     keyTexts
	settings node.JSONBinSettings
	caller   node.Caller // zero: nobody
}

// idLength is the length of every id: hex characters.
const idLength = 24

func isID(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return len(s) == idLength
}

// id is the path's id; wrong is the sentence for one that is none.
func (c *call) id(wrong string) (string, error) {
	id := c.params.ByName("id")
	if !isID(id) {
		return "", invalid(wrong)
	}
	return id, nil
}

// header returns a header whose empty value means that it was not sent.
func (c *call) header(name string) string { return c.r.Header.Get(name) }

// name returns a header that names something, as text; sent also when empty.
func (c *call) name(header string) (name string, sent bool) {
	values := c.r.Header.Values(header)
	if len(values) == 0 {
		return "", false
	}
	return headerText(values[0]), true
}

// headerText reads the bytes of a header as UTF-8, or else as Latin-1.
func headerText(value string) string {
	if utf8.ValidString(value) {
		return value
	}
	text := make([]rune, len(value))
	for i := range len(value) {
		text[i] = rune(value[i])
	}
	return string(text)
}

func isBlankName(name string) bool { return strings.TrimSpace(name) == "" }

func isLonger(name string, most int64) bool { return int64(utf8.RuneCountInString(name)) > most }

// flag reads a boolean header; nil when it is neither.
func (c *call) flag(header string) *bool {
	var v bool
	switch strings.ToLower(c.header(header)) {
	case "true":
		v = true
	case "false":
	default:
		return nil
	}
	return &v
}

// isTrue is whether a boolean header is true.
func (c *call) isTrue(header string) bool {
	v := c.flag(header)
	return v != nil && *v
}

// needJSON refuses a body that is not called JSON.
func (c *call) needJSON() error {
	if t, _ := web.MediaType(c.r.Header.Get("Content-Type")); t != "application/json" {
		return invalid(needContentType)
	}
	return nil
}

// record reads the body as a record: its size, its JSON, and that it is not
// blank. what is what it is called when too large, blank the sentence for a
// blank one. release is never nil.
func (c *call) record(what string, limit int64, blank string, allowBlank bool) (record []byte, release func(), err error) {
	body, release, err := c.body(what, limit)
	if err != nil {
		return nil, release, err
	}
	record, err = asRecord(body, blank, allowBlank)
	return record, release, err
}

// asRecord compacts a body.
func asRecord(body []byte, blank string, allowBlank bool) ([]byte, error) {
	if isBlank(body) {
		return nil, invalid(blank)
	}
	record, ok := compact(body)
	switch {
	case !ok:
		return nil, invalid(invalidJSON)
	case len(record) == len("{}") && !allowBlank:
		return nil, invalid(blank)
	}
	return record, nil
}

// date writes a time of a command.
func date(ms int64) string { return time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05.000Z") }

// reply answers with a value.
func (c *call) reply(v any) error {
	writeJSON(c.w, http.StatusOK, v)
	return nil
}

// replyText answers with JSON that is text already: records are sent from where
// they lie, as they lie.
func (c *call) replyText(parts ...[]byte) error {
	writeText(c.w, http.StatusOK, parts...)
	return nil
}

// withRecord answers with a record and what is known of it.
func (c *call) withRecord(record []byte, metadata any) error {
	return c.replyText([]byte(`{"record":`), record, []byte(`,"metadata":`), asText(metadata), []byte("}"))
}

func writeJSON(w http.ResponseWriter, status int, v any) { writeText(w, status, asText(v)) }

func writeText(w http.ResponseWriter, status int, parts ...[]byte) {
	size := 0
	for _, p := range parts {
		size += len(p)
	}
	h := w.Header()
	h.Set("Content-Type", "application/json; charset=utf-8")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Length", strconv.Itoa(size))
	w.WriteHeader(status)
	if size < len(parts)*gatherBelow {
		_, _ = w.Write(bytes.Join(parts, nil)) // the client is gone; the server sees it too
		return
	}
	for _, p := range parts {
		if _, err := w.Write(p); err != nil {
			return
		}
	}
}

// gatherBelow is the size of parts below which they are written as one.
const gatherBelow = 4 << 10

// body reads the whole body; what is what it is called when it is too large.
func (c *call) body(what string, limit int64) (body []byte, release func(), err error) {
	return readBody(c.r, what, limit, func(size int64) (func(), error) { return c.s.HoldRecord(c.r.Context(), size) })
}
