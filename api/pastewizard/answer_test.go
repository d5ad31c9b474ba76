package pastewizard

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"testing"
	"unicode/utf8"
)

func TestWriteQuoted(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"": `""`, "a/b <b>&é\u2028\x7f": `"a/b <b>&é` + "\u2028\x7f" + `"`, "\"\\\n\r\t\b\x00\x1f": `"\"\\\n\r\t\u0008\u0000\u001f"`,
	} {
		var b bytes.Buffer
		size, err := writeQuoted(&b, []byte(text))
		if err != nil || b.String() != want || size != int64(b.Len()) {
			t.Errorf("%q is %s (%d bytes, %v), want %s", text, &b, size, err, want)
		}
	}
}

// Where nothing more can be written the size is told all the same.
func TestWriteQuotedToNobody(t *testing.T) {
	t.Parallel()
	gone, in := io.Pipe()
	if err := gone.Close(); err != nil {
		t.Fatal(err)
	}
	if size, err := writeQuoted(in, []byte("a\nb")); size != int64(len(`"a\nb"`)) || !errors.Is(err, io.ErrClosedPipe) {
		t.Error(size, err)
	}
}

func FuzzWriteQuoted(f *testing.F) {
	for _, s := range []string{"", "a\"b\\c\n\r\t\b\f\x00\x7f/<&>", "é😀\u2028\ufffd"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if !utf8.Valid(text) {
			return
		}
		var b bytes.Buffer
		size, err := writeQuoted(&b, text)
		if err != nil || size != int64(b.Len()) {
			t.Fatalf("%q: %d bytes of %d, %v", text, size, b.Len(), err)
		}
		var back string
		if err := json.Unmarshal(b.Bytes(), &back); err != nil || back != string(text) {
			t.Fatalf("%q is %s: %q, %v", text, &b, back, err)
		}
		escapes := bytes.ReplaceAll(b.Bytes(), []byte(`\\`), nil)
		if bytes.Contains(escapes, []byte(`\/`)) || bytes.Contains(escapes, []byte("\n")) {
			t.Fatalf("%q is %s", text, &b)
		}
	})
}
