package jsonbin

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"ringbin/storage"
)

func nested(open, inner, closing string, times int) string {
	return strings.Repeat(open, times) + inner + strings.Repeat(closing, times)
}

func TestCompact(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ body, want string }{
		{"{ }", "{}"},
		{" [ 1 , 2.50 , 1E+05 , -0 ]\n", "[1,2.50,1E+05,-0]"},
		{`{"b" : 1, "a":2 ,"b":3}`, `{"b":1,"a":2,"b":3}`},
		{`["\u0041\/ \t", "a b", "` + "\u2028" + `<&>"]`, `["\u0041\/ \t","a b","` + "\u2028" + `<&>"]`},
		{"[123456789012345678901234567890.000]", "[123456789012345678901234567890.000]"},
		{`["\ud800"]`, `["\ud800"]`},
		{nested("[", "", "]", depthMax), nested("[", "", "]", depthMax)},
		{nested(`{"a":`, "[]", "}", depthMax-1), nested(`{"a":`, "[]", "}", depthMax-1)},
		{"[" + strings.Repeat(`"[{",`, depthMax) + "[]]", "[" + strings.Repeat(`"[{",`, depthMax) + "[]]"},
	} {
		got, ok := compact([]byte(tt.body))
		if !ok || string(got) != tt.want {
			t.Errorf("%.60q: %.60q %t", tt.body, got, ok)
		}
	}
	for _, body := range []string{
		"", " ", `"test"`, "7", "null", "true", "{", "[1,]", `{"a":1,}`, "{a:1}", "[1] 2", "[01]", "[1.]", "[+1]", "['a']", "[NaN]",
		"\ufeff[]", "[\"\xff\"]", "{\"\xc0\x80\":1}", "[\"a\nb\"]", "// x\n[]", nested("[", "", "]", depthMax+1), nested("[", "", "]", depthMax*100),
	} {
		if got, ok := compact([]byte(body)); ok {
			t.Errorf("%.60q became %.60q", body, got)
		}
	}
}

// FuzzCompact holds the compact text against the standard library's reading of
// both: the same tokens, spelled as they were, and nothing between them.
func FuzzCompact(f *testing.F) {
	for _, seed := range []string{`{"a" : [1, 2.0e5, "x\ny"], "a": null}`, `[ ]`, "[\t{ } ]", `"x"`, "[1,\r\n-0.0]", "{\"\\u0061 b\":\"c  d\"}"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		got, ok := compact(body)
		if !ok {
			return
		}
		if again, ok := compact(got); !ok || !bytes.Equal(again, got) {
			t.Fatalf("%q is not compact", got)
		}
		if a, b := tokens(t, body), tokens(t, got); a != b {
			t.Fatalf("%q became %q: %s and %s", body, got, a, b)
		}
		checkText(t, got, span{0, len(got)})
	})
}

// tokens lists the tokens of JSON as they are spelled.
func tokens(t *testing.T, text []byte) string {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	var b strings.Builder
	at := int64(0)
	for {
		_, err := dec.Token()
		if errors.Is(err, io.EOF) {
			return b.String()
		}
		if err != nil {
			t.Fatal(err)
		}
		end := dec.InputOffset()
		b.WriteString(strings.Trim(string(text[at:end]), " \t\r\n,:") + "\n")
		at = end
	}
}

// checkText holds the walk over a text against its parts: children and what is
// between them are the whole value.
func checkText(t *testing.T, text []byte, v span) {
	t.Helper()
	if end := valueEnd(text, v.start); end != v.end {
		t.Fatalf("%q ends at %d and not at %d", text, v.end, end)
	}
	if !isContainer(text[v.start]) {
		return
	}
	var b bytes.Buffer
	for c := range children(text, v) {
		if c.index > 0 {
			b.WriteByte(',')
		}
		if c.name != nil {
			b.Write(c.name)
			b.WriteByte(':')
		}
		b.Write(text[c.start:c.end])
		checkText(t, text, c.span)
	}
	if got := string(text[v.start+1 : v.end-1]); b.String() != got {
		t.Fatalf("%q was walked as %q", got, b.String())
	}
}

// room is memory of a size, of which a body takes what it needs.
type room struct{ left int64 }

func (m *room) hold(size int64) (func(), error) {
	if size > m.left {
		return nil, &storage.Error{Kind: storage.KindUnavailable}
	}
	m.left -= size
	return func() { m.left += size }, nil
}

func TestReadBody(t *testing.T) {
	t.Parallel()
	const limit = 3 * bodyStep
	send := func(size int, declared bool, m *room) (int, error) {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", strings.NewReader(strings.Repeat("x", size)))
		if !declared {
			r.ContentLength = -1
		}
		body, release, err := readBody(r, "Record", limit, m.hold)
		release()
		return len(body), err
	}
	m := &room{8 * bodyStep}
	for _, size := range []int{0, 1, bodyStep - 1, bodyStep, bodyStep + 1, limit - 1, limit, limit + 1, 2 * limit} {
		for _, declared := range []bool{true, false} {
			n, err := send(size, declared, m)
			switch {
			case size > limit && storage.KindOf(err) != storage.KindTooLarge:
				t.Errorf("%d bytes: %v", size, err)
			case size <= limit && (err != nil || n != size):
				t.Errorf("%d bytes: %d, %v", size, n, err)
			}
		}
	}
	if m.left != 8*bodyStep {
		t.Error("room was not given back")
	}
	if _, err := send(limit, false, &room{}); storage.KindOf(err) != storage.KindUnavailable {
		t.Error(err)
	}
	if n, err := send(bodyStep-1, true, &room{}); n != bodyStep-1 || err != nil {
		t.Error("a small body asks for room:", err)
	}
}
