package pastewizard

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strconv"

	"ringbin/api/web"
	"ringbin/storage"
)

const jsonType = "application/json; charset=utf-8"

// writeJSON answers with a value.
func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", jsonType)
	_ = web.WriteJSON(w, status, v) // strings, numbers and flags: they encode
}

// reply answers with a success.
func (c *call) reply(v any) error {
	writeJSON(c.w, http.StatusOK, v)
	return nil
}

// replyHead answers HEAD where the answer to GET is not made.
func (c *call) replyHead(contentType string) {
	c.w.Header().Set("Content-Type", contentType)
	c.w.WriteHeader(http.StatusOK)
}

// contentStep is how much of a content is written at a time.
const contentStep = 32 << 10

// replyAround answers with JSON that has a content in its middle: it is written
// from where it lies, since it may be large. before and after are the texts on
// both sides.
func (c *call) replyAround(before string, content []byte, after string) error {
	quoted, err := writeQuoted(io.Discard, content)
	if err != nil {
		return storage.E("pastewizard.replyAround", storage.KindInternal, err)
	}
	h := c.w.Header()
	h.Set("Content-Type", jsonType)
	h.Set("Content-Length", strconv.FormatInt(int64(len(before)+len(after))+quoted, 10))
	c.w.WriteHeader(http.StatusOK)
	out := bufio.NewWriterSize(c.w, contentStep)
	_, _ = out.WriteString(before)
	_, _ = writeQuoted(out, content)
	_, _ = out.WriteString(after)
	_ = out.Flush() // it keeps the first error: the client is gone; the server sees it too
	return nil
}

// asText writes a value as JSON, with plain < > &.
func asText(v any) string {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		panic("pastewizard: an answer can't be written: " + err.Error())
	}
	return string(bytes.TrimSuffix(b.Bytes(), []byte("\n")))
}

// writeQuoted writes text that is UTF-8 as a string of JSON, and tells how long
// that is.
func writeQuoted(w io.Writer, text []byte) (size int64, err error) {
	put := func(b []byte) {
		size += int64(len(b))
		if err == nil {
			_, err = w.Write(b)
		}
	}
	put([]byte{'"'})
	plain := 0 // where what is not written yet begins
	for at, c := range text {
		if c >= ' ' && c != '"' && c != '\\' {
			continue
		}
		put(text[plain:at])
		put(escaped(c))
		plain = at + 1
	}
	put(text[plain:])
	put([]byte{'"'})
	return size, err
}

// escaped is how a byte that can't stand in a string of JSON is spelled there.
func escaped(c byte) []byte {
	switch c {
	case '\n':
		return []byte(`\n`)
	case '\r':
		return []byte(`\r`)
	case '\t':
		return []byte(`\t`)
	case '"', '\\':
		return []byte{'\\', c}
	}
	const hexDigits = "0123456789abcdef"
	return []byte{'\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&0xf]}
}
