package pastewizard

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"ringbin/storage"
)

// said is a value in words: its text, in brackets where it is no text, with a
// sign where it is not UTF-8.
func said(v value) string {
	switch {
	case v.kind == valueAbsent:
		return "nothing"
	case v.kind == valueOther:
		return "[" + string(v.raw) + "]"
	case v.bad:
		return "bad"
	}
	return v.text
}

func TestParseBody(t *testing.T) {
	t.Parallel()
	const parts = "--x\r\nContent-Disposition: form-data; name=\"title\"\r\n\r\na\r\n--x\r\n" +
		"Content-Disposition: form-data; name=content; filename=b.txt\r\nContent-Type: text/x-c\r\n\r\n\r\nb\r\n\r\n--x\r\n" +
		"Content-Disposition: form-data; name=\"title\"\r\n\r\nagain\r\n--x--\r\n"
	for _, tt := range []struct {
		name, contentType, body string
		want                    map[fieldName]string
		fault                   string
	}{
		{name: "nothing at all", want: map[fieldName]string{}},
		{name: "no type", body: "a", fault: unsupportedType},
		{name: "another type", contentType: "text/plain", fault: unsupportedType},
		{name: "no type that can be", contentType: "json", body: "{}", fault: unsupportedType},

		{
			name: "an object", contentType: "application/json", body: ` {"title": "a\/b\u00e9", "content": null, "limit": 7, "scopes": ["read"]} `,
			want: map[fieldName]string{"title": "a/bé", "content": "nothing", "limit": "[7]", "scopes": `[["read"]]`},
		},
		{name: "a type with parameters", contentType: "Application/JSON; charset=latin1", body: `{"title":"é"}`, want: map[fieldName]string{"title": "é"}},
		{name: "the last member counts", contentType: "application/json", body: `{"title":"a","title":"b"}`, want: map[fieldName]string{"title": "b"}},
		{name: "other members", contentType: "application/json", body: `{"x":{"title":1},"Title":"a"}`, want: map[fieldName]string{"": "a"}},
		{name: "no UTF-8", contentType: "application/json", body: "{\"title\":\"\xff\",\"content\":\"a\"}", want: map[fieldName]string{"title": "bad", "content": "a"}},
		{name: "half a pair", contentType: "application/json", body: `{"title":"\ud83d\ude00","content":"\ude00\ud83d"}`, want: map[fieldName]string{"title": "😀", "content": "bad"}},
		{name: "a long value that is no text", contentType: "application/json", body: `{"title":[` + strings.Repeat(" ", rawMax) + `]}`, want: map[fieldName]string{"title": "[]"}},
		{name: "empty JSON", contentType: "application/json", fault: invalidJSON},
		{name: "a list", contentType: "application/json", body: `[]`, fault: invalidJSON},
		{name: "null", contentType: "application/json", body: `null`, fault: invalidJSON},
		{name: "half an object", contentType: "application/json", body: `{"title":"a"`, fault: invalidJSON},
		{name: "two objects", contentType: "application/json", body: `{}{}`, fault: invalidJSON},

		{
			name: "a form", contentType: "application/x-www-form-urlencoded; charset=x", body: "title=a+b%2B%C3%A9&content=&x=y&title=again",
			want: map[fieldName]string{"title": "a b+é", "content": ""},
		},
		{
			name: "signs that are themselves", contentType: "application/x-www-form-urlencoded", body: "content=100%;%4&&title&hash=a=b%zz%",
			want: map[fieldName]string{"content": "100%;%4", "title": "", "hash": "a=b%zz%"},
		},
		{name: "a form that is not UTF-8", contentType: "application/x-www-form-urlencoded", body: "title=%ff", want: map[fieldName]string{"title": "bad"}},
		{name: "an empty form", contentType: "application/x-www-form-urlencoded", want: map[fieldName]string{}},

		{name: "parts", contentType: `multipart/form-data; boundary="x"`, body: parts, want: map[fieldName]string{"title": "a", "content": "\r\nb\r\n"}},
		{name: "no boundary", contentType: "multipart/form-data", body: parts, fault: unsupportedType},
		{name: "another boundary", contentType: "multipart/form-data; boundary=y", body: parts, fault: unsupportedType},
		{name: "parts without an end", contentType: "multipart/form-data; boundary=x", body: strings.TrimSuffix(parts, "--x--\r\n"), fault: unsupportedType},
		{
			name: "too many parts", contentType: "multipart/form-data; boundary=x",
			body: strings.Repeat("--x\r\nContent-Disposition: form-data; name=y\r\n\r\n\r\n", partsMax+1) + "--x--\r\n", fault: unsupportedType,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			all, err := parseBody(tt.contentType, []byte(tt.body))
			if tt.fault != "" {
				if status, sentence := explain(err); err == nil || status != http.StatusBadRequest || sentence != tt.fault {
					t.Fatalf("%v and %v, want %s", all, err, tt.fault)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			got := map[fieldName]string{}
			for name, v := range all {
				got[name] = said(v)
			}
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

// Names that nobody asks for take no room.
func TestUnknownNamesAreForgotten(t *testing.T) {
	t.Parallel()
	var members, pieces []string
	for i := range 1000 {
		members = append(members, fmt.Sprintf(`"n%d":%d`, i, i))
		pieces = append(pieces, fmt.Sprintf("n%d=%d", i, i))
	}
	all, err := parseJSON([]byte("{" + strings.Join(members, ",") + "}"))
	if err != nil || len(all) > 1 {
		t.Errorf("%d of JSON, %v", len(all), err)
	}
	if all := parseForm(strings.Join(pieces, "&")); len(all) > 0 {
		t.Errorf("%d of a form", len(all))
	}
}

func holdAll(int64) (func(), error) { return func() {}, nil }

func TestReadBody(t *testing.T) {
	t.Parallel()
	const limit = 200 << 10
	post := func(body io.Reader) *http.Request {
		return httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", body)
	}
	for _, size := range []int{0, 1, bodyStep - 1, bodyStep, bodyStep + 1, limit} {
		want := bytes.Repeat([]byte("a"), size)
		for _, r := range []*http.Request{post(bytes.NewReader(want)), post(iotest.HalfReader(bytes.NewReader(want)))} {
			held := int64(0)
			body, release, err := readBody(r, limit, func(n int64) (func(), error) {
				held += n
				return func() { held -= n }, nil
			})
			if err != nil || !bytes.Equal(body, want) {
				t.Errorf("%d bytes: %d, %v", size, len(body), err)
			}
			if held < int64(size-bodyStep) {
				t.Errorf("%d bytes: room for %d was asked for", size, held)
			}
			if release(); held != 0 {
				t.Errorf("%d bytes: %d are still held", size, held)
			}
		}
	}
	for name, r := range map[string]*http.Request{
		"announced": post(strings.NewReader(strings.Repeat("a", limit+1))), "not announced": post(io.MultiReader(strings.NewReader(strings.Repeat("a", limit+1)))),
	} {
		_, release, err := readBody(r, limit, holdAll)
		release()
		if storage.KindOf(err) != storage.KindTooLarge {
			t.Errorf("%s: %v", name, err)
		}
	}
	broken := post(iotest.TimeoutReader(strings.NewReader("{}")))
	broken.Header.Set("Content-Type", "application/json")
	if _, _, err := readBody(broken, limit, holdAll); err == nil {
		t.Error("a body that broke off was read")
	} else if _, sentence := explain(err); sentence != invalidJSON {
		t.Error(sentence)
	}
	full := errors.New("full")
	_, release, err := readBody(post(strings.NewReader("a")), limit, func(int64) (func(), error) { return nil, full })
	release()
	if !errors.Is(err, full) {
		t.Error(err)
	}
}

func FuzzParseBody(f *testing.F) {
	for _, seed := range []string{
		`{"title":"a","content":"b\u00e9\ud800","limit":7,"scopes":["read"],"x":{}}`, `{"a":1}{}`, "{\"title\":\"\xff\"}", `{"title":"\\u\ud83d\ude00\""}`,
		`{"content":"\ud83d\u0041"}`, `{"content":"\ud83d\\dc00"}`, `{"content":"\uD83D\uDE00"}`,
		"title=a+b%41&content=%zz;&&=", "%", "a=%4", "--x\r\nContent-Disposition: form-data; name=title\r\n\r\na\r\n--x--\r\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, contentType := range []string{"application/json", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"} {
			all, err := parseBody(contentType, body)
			if err != nil {
				if storage.KindOf(err) != storage.KindInvalid {
					t.Fatalf("%s: %v", contentType, err)
				}
				continue
			}
			for name, v := range all {
				if v.kind == valueText && !v.bad && !utf8.ValidString(v.text) {
					t.Fatalf("%s: %s is %q", contentType, name, v.text)
				}
			}
			switch contentType {
			case "application/json":
				checkJSON(t, body, all)
			case "application/x-www-form-urlencoded":
				checkForm(t, string(body), all)
			}
			_, _ = all.newNote(1 << 10)
			_, _, _ = all.noteEdit(1 << 10)
			_, _ = all.scopes()
			_, _ = all.logQuery()
		}
	})
}

// checkJSON holds fields against what the standard library finds. It writes
// U+FFFD where there is no character; a text is as it was meant if there are no
// more of them than were spelled.
func checkJSON(t *testing.T, body []byte, all fields) {
	t.Helper()
	var want map[string]any
	if err := json.Unmarshal(body, &want); err != nil {
		t.Fatalf("%q was taken, and is %v", body, err)
	}
	var spelled map[string]json.RawMessage
	if err := json.Unmarshal(body, &spelled); err != nil {
		t.Fatal(err)
	}
	for name, v := range all {
		text, isText := want[string(name)].(string)
		if name == "" || v.kind != valueText && !isText {
			continue
		}
		raw := strings.ToLower(string(spelled[string(name)]))
		replaced := strings.Count(text, "\uFFFD") - strings.Count(raw, "\uFFFD")
		if !utf8.Valid(spelled[string(name)]) {
			replaced = 1
		} else {
			replaced -= strings.Count(strings.ReplaceAll(raw, `\\`, ""), `\ufffd`)
		}
		if v.text != text || v.bad != (replaced > 0) {
			t.Fatalf("%s of %q is %q (bad: %t), want %q (%d replaced)", name, body, v.text, v.bad, text, replaced)
		}
	}
}

// checkForm holds fields against what the standard library finds, where it
// finds anything.
func checkForm(t *testing.T, body string, all fields) {
	t.Helper()
	want, err := url.ParseQuery(body)
	if err != nil {
		return // it is stricter
	}
	got := url.Values{}
	for name, v := range all {
		got.Set(string(name), v.text)
	}
	known := url.Values{}
	for _, name := range fieldNames {
		if want.Has(name) {
			known.Set(name, want.Get(name))
		}
	}
	if got.Encode() != known.Encode() {
		t.Fatalf("%q is %v, want %v", body, got, known)
	}
}

// The same fields say the same in each form of a body.
func TestFormsOfABodyAreAlike(t *testing.T) {
	t.Parallel()
	sent := map[string]string{
		"title": "a & b", "content": "x\r\ny;%41+\"\\ \u2028é", "language": "c++", "privacy": "unlisted", "expiry": "1w", "password": "pass word",
		"highlight": "1", "burn_after_read": "1", "token": "pw_x",
	}
	asJSON, err := json.Marshal(sent)
	if err != nil {
		t.Fatal(err)
	}
	form := url.Values{}
	var parts bytes.Buffer
	multi := multipart.NewWriter(&parts)
	for name, v := range maps.All(sent) {
		form.Set(name, v)
		if err := multi.WriteField(name, v); err != nil {
			t.Fatal(err)
		}
	}
	if err := multi.Close(); err != nil {
		t.Fatal(err)
	}
	want, err := parseBody("application/json", asJSON)
	if err != nil || len(want) != len(sent) {
		t.Fatal(want, err)
	}
	for contentType, body := range map[string]string{
		"application/x-www-form-urlencoded": form.Encode(), multi.FormDataContentType(): parts.String(),
	} {
		got, err := parseBody(contentType, []byte(body))
		if d := cmp.Diff(want, got, cmp.AllowUnexported(value{})); err != nil || d != "" {
			t.Errorf("%s: %v %s", contentType, err, d)
		}
	}
}
