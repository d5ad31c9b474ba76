package paste69

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"ringbin/node"
	"ringbin/storage"
)

// sent is a create request; its body comes in chunks of some size.
type sent struct {
	query, contentType, body string
	headers                  map[string]string
}

// taken is what came out of it.
type taken struct {
	Content, URL, Name, Extension, Type string
	UTF8, Private                       bool
	Expiry                              node.Expiry
	Fault                               string
}

const testLimit = 2 << 20

func at(now time.Time) func() time.Time { return func() time.Time { return now } }

// take does what node does with a create: reads its body to the end, then asks for the rest.
func take(t *testing.T, s sent, chunks func(io.Reader) io.Reader) taken {
	t.Helper()
	target := "/p"
	if s.query != "" {
		target += "?" + s.query
	}
	r := httptest.NewRequest(http.MethodPost, target, chunks(strings.NewReader(s.body)))
	r.ContentLength = -1
	if s.contentType != "" {
		r.Header.Set("Content-Type", s.contentType)
	}
	for name, value := range s.headers {
		r.Header.Set(name, value)
	}
	dir := t.TempDir()
	got, err := takeRequest(r, createOptions{Limit: testLimit, Spool: newSpooler(dir, anyRoom), Now: at(noon)})
	if err != nil {
		if storage.KindOf(err) == storage.KindInternal || errors.Is(err, io.EOF) {
			t.Errorf("%.100q: %v", s.body, err)
		}
		got = taken{Fault: textOf(err)}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left on disk: %v, %v", left, err)
	}
	return got
}

func takeRequest(r *http.Request, o createOptions) (taken, error) {
	c, err := readCreate(r, o)
	if err != nil {
		return taken{}, err
	}
	defer c.close()
	if c.URL() != "" {
		c.fetched(io.NopCloser(strings.NewReader("fetched")), "dir/from.url")
	}
	content, err := io.ReadAll(c)
	if err != nil {
		return taken{}, err
	}
	p := node.NewPaste{Size: int64(len(content)), Head: content[:min(len(content), sniffMax)]}
	if err := c.finish(&p); err != nil {
		return taken{}, err
	}
	return taken{
		Content: string(content), URL: c.URL(), Name: p.Filename, Extension: p.Extension, Type: p.MediaType,
		UTF8: p.UTF8, Private: p.Private, Expiry: p.Expiry,
	}, nil
}

func whole(r io.Reader) io.Reader { return r }

const (
	urlencoded = "application/x-www-form-urlencoded"
	jsonType   = "application/json"
	partsType  = "multipart/form-data; boundary=B"
)

// parts writes a multipart body: each part is "name: value", or "name; filename=…: value".
func parts(list ...string) string {
	var b strings.Builder
	for _, p := range list {
		name, value, _ := strings.Cut(p, ": ")
		name, params, _ := strings.Cut(name, "; ")
		if params != "" {
			params = "; " + params
		}
		fmt.Fprintf(&b, "--B\r\nContent-Disposition: form-data; name=%q%s\r\n\r\n%s\r\n", name, params, value)
	}
	return b.String() + "--B--\r\n"
}

func text(content string) taken {
	return taken{Content: content, Name: "paste.txt", Extension: "txt", Type: "text/plain", UTF8: true}
}

func fault(message string) taken { return taken{Fault: message} }

var hourly = node.Expiry{Seconds: 3600}

var createTests = []struct {
	name string
	sent sent
	want taken
}{
	// Raw bodies.
	{"raw", sent{contentType: "text/plain", body: "hello"}, text("hello")},
	{"raw, no type", sent{body: "hello"}, text("hello")},
	{"raw, blank type", sent{contentType: " ", body: "hello"}, text("hello")},
	{"raw, a type that is none", sent{contentType: "foo", body: `{"content":"x"}`}, taken{Content: `{"content":"x"}`, Name: "paste.json", Extension: "json", Type: "application/json", UTF8: true}},
	{"raw, +json", sent{contentType: "application/problem+json", body: `{"content":"x"}`}, taken{Content: `{"content":"x"}`, Name: "paste.json", Extension: "json", Type: "application/json", UTF8: true}},
	{"raw, empty", sent{contentType: "text/plain"}, fault("Empty file")},
	{"raw, empty, no type", sent{}, fault("Empty file")},
	{"raw, binary", sent{contentType: "image/png", body: "\x00\xff\x01"}, taken{Content: "\x00\xff\x01", Name: "paste", Type: "application/octet-stream"}},
	{
		"raw, headers",
		sent{contentType: "text/plain", body: "x", headers: map[string]string{
			"X-Filename": "a.py", "X-Expires-In": "1h", "X-Private": "YES", "X-Extension": ".RB",
		}},
		taken{Content: "x", Name: "a.py", Extension: "rb", Type: "text/plain", UTF8: true, Private: true, Expiry: hourly},
	},
	{
		"raw, query beats header",
		sent{contentType: "text/plain", body: "x", query: "filename=q.c&ext=d&expires=1h&private=0", headers: map[string]string{
			"X-Filename": "a.py", "X-Expires-In": "60min", "X-Private": "yes", "X-Extension": "rb",
		}},
		taken{Content: "x", Name: "q.c", Extension: "d", Type: "text/plain", UTF8: true, Expiry: hourly},
	},
	{"raw, bad expiry before the body", sent{contentType: "text/plain", query: "expires_in=90"}, fault("Invalid expiration format")},
	{"raw, bad private", sent{contentType: "text/plain", body: "x", query: "private=maybe"}, fault("Invalid value for private")},
	{"raw, empty private", sent{contentType: "text/plain", body: "x", query: "private"}, fault("Invalid value for private")},
	{"raw, empty expiry", sent{contentType: "text/plain", body: "x", query: "expires_in=&expires_at=&expires=1h"}, taken{Content: "x", Name: "paste.txt", Extension: "txt", Type: "text/plain", UTF8: true, Expiry: hourly}},
	{"raw, repeated name", sent{contentType: "text/plain", body: "x", query: "filename=&filename=1&filename=2"}, taken{Content: "x", Name: "1", Extension: "txt", Type: "text/plain", UTF8: true}},
	{"raw, query and header differ", sent{contentType: "text/plain", body: "x", query: "expires_at=2027-01-01", headers: map[string]string{"X-Expires-In": "1h"}}, fault("Give either expires_in or expires_at")},
	{"raw, url in the query is none", sent{contentType: "text/plain", body: "x", query: "url=https://e.example/"}, text("x")},
	{"raw, content in the query", sent{contentType: "text/plain", query: "content=hello"}, text("hello")},
	{"raw, content in the query, too", sent{contentType: "text/plain", body: "x", query: "content=hello"}, fault("Give only one of file, content or url")},
	{"raw, past", sent{contentType: "text/plain", body: "x", query: "expires_at=2026-03-04"}, fault("Expiration time must be in the future")},
	{"gzip", sent{contentType: "text/plain", body: "x", headers: map[string]string{"Content-Encoding": "gzip"}}, fault("Content-Encoding is not supported")},
	{"identity", sent{contentType: "text/plain", body: "x", headers: map[string]string{"Content-Encoding": "Identity"}}, text("x")},
	{"raw, above the limit", sent{contentType: "text/plain", body: strings.Repeat("x", testLimit+1)}, fault("Request Entity Too Large")},
	{"raw, at the limit", sent{contentType: "text/plain", body: strings.Repeat("x", testLimit)}, text(strings.Repeat("x", testLimit))},

	// Multipart.
	{"parts", sent{contentType: partsType, body: parts("file; filename=\"a.go\": package a")}, taken{Content: "package a", Name: "a.go", Extension: "go", Type: "text/plain", UTF8: true}},
	{
		"parts, options on both sides",
		sent{contentType: partsType, query: "filename=q&expires_in=2h", body: parts("expires_in: 1h", "file; filename=\"a.go\": x", "private: on", "filename: b.md")},
		taken{Content: "x", Name: "b.md", Extension: "md", Type: "text/markdown", UTF8: true, Private: true, Expiry: hourly},
	},
	{"parts, headers are none", sent{contentType: partsType, body: parts("content: x"), headers: map[string]string{"X-Private": "yes"}}, text("x")},
	{"parts, content", sent{contentType: partsType, body: parts("content: x", "ext: c")}, taken{Content: "x", Name: "paste.c", Extension: "c", Type: "text/plain", UTF8: true}},
	{"parts, extension beats ext", sent{contentType: partsType, body: parts("content: x", "ext: c", "extension: d")}, taken{Content: "x", Name: "paste.d", Extension: "d", Type: "text/plain", UTF8: true}},
	{"parts, body's ext beats the query's extension", sent{contentType: partsType, query: "extension=d", body: parts("content: x", "ext: c")}, taken{Content: "x", Name: "paste.c", Extension: "c", Type: "text/plain", UTF8: true}},
	{"parts, the first content counts", sent{contentType: partsType, body: parts("content: ", "content: x", "content: y")}, text("x")},
	{"parts, blank file input", sent{contentType: partsType, body: parts("file; filename=\"\": ", "content: x", "expires_at: ")}, text("x")},
	{"parts, blank file input last", sent{contentType: partsType, body: parts("content: x", "file; filename=\"\": ")}, text("x")},
	{"parts, empty file", sent{contentType: partsType, body: parts("file; filename=\"a\": ")}, fault("Empty file")},
	{"parts, no file", sent{contentType: partsType, body: parts("expires_in: 1h", "content: ", "url: ")}, fault("No file provided")},
	{"parts, none", sent{contentType: partsType, body: "--B--\r\n"}, fault("No file provided")},
	{"parts, two files", sent{contentType: partsType, body: parts("file; filename=\"a\": x", "file; filename=\"b\": y")}, fault("Only one file per request")},
	{"parts, file and content", sent{contentType: partsType, body: parts("file; filename=\"a\": x", "content: y")}, fault("Give only one of file, content or url")},
	{"parts, content and file", sent{contentType: partsType, body: parts("content: y", "file; filename=\"a\": x")}, fault("Give only one of file, content or url")},
	{"parts, url and file", sent{contentType: partsType, body: parts("url: https://e.example", "file; filename=\"a\": x")}, fault("Give only one of file, content or url")},
	{"parts, file and url", sent{contentType: partsType, body: parts("file; filename=\"a\": x", "url: https://e.example")}, fault("Give only one of file, content or url")},
	{"parts, file and query's content", sent{contentType: partsType, query: "content=q", body: parts("file; filename=\"a\": x")}, fault("Give only one of file, content or url")},
	{"parts, content beats query's", sent{contentType: partsType, query: "content=q", body: parts("content: x")}, text("x")},
	{"parts, url", sent{contentType: partsType, body: parts("url: https://e.example", "private: 1")}, taken{Content: "fetched", URL: "https://e.example", Name: "from.url", Extension: "url", Type: "text/plain", UTF8: true, Private: true}},
	{"parts, api_key before", sent{contentType: partsType, body: parts("api_key: k", "content: x")}, fault("api_key must be a header or query parameter")},
	{"parts, api_key after", sent{contentType: partsType, body: parts("content: x", "api_key: k")}, fault("api_key must be a header or query parameter")},
	{"parts, unknown ones", sent{contentType: partsType, body: parts("a: "+strings.Repeat("b", fieldMax+1), "content: x", "title: t")}, text("x")},
	{"parts, a field that is too long", sent{contentType: partsType, body: parts("filename: "+strings.Repeat("b", fieldMax+1), "content: x")}, fault("Invalid request body")},
	{"parts, very many", sent{contentType: partsType, body: parts(append(manyParts(10_000), "content: x")...)}, fault("Invalid request body")},
	{"parts, huge headers", sent{contentType: partsType, body: parts("content; filename=\"" + strings.Repeat("a", 1<<20) + "\": x")}, fault("Invalid request body")},
	{"parts, no boundary", sent{contentType: "multipart/form-data", body: parts("content: x")}, fault("Invalid request body")},
	{"parts, other boundary", sent{contentType: "multipart/form-data; boundary=C", body: parts("content: x")}, fault("Invalid request body")},
	{"parts, broken off", sent{contentType: partsType, body: strings.TrimSuffix(parts("file; filename=\"a\": x"), "--B--\r\n")}, fault("Invalid request body")},
	{"parts, broken off in a part", sent{contentType: partsType, body: strings.TrimSuffix(parts("file; filename=\"a\": x"), "\r\n--B--\r\n")}, fault("Invalid request body")},
	{"parts, empty body", sent{contentType: partsType}, fault("Invalid request body")},
	{"parts, other multipart", sent{contentType: "multipart/mixed; boundary=B", body: "x"}, text("x")},
	{"parts, both expiries", sent{contentType: partsType, query: "expires_at=2027-01-01", body: parts("content: x", "expires_in: 1h")}, fault("Give either expires_in or expires_at")},
	{"parts, unlike", sent{contentType: partsType, query: "expires=2h", body: parts("content: x", "expires_in: 1h")}, fault("Give either expires_in or expires_at")},
	{"parts, alike", sent{contentType: partsType, query: "expires=60m", body: parts("content: x", "expires_in: 1h")}, taken{Content: "x", Name: "paste.txt", Extension: "txt", Type: "text/plain", UTF8: true, Expiry: hourly}},

	// JSON.
	{"json", sent{contentType: jsonType, body: `{"content":"Hello World"}`}, text("Hello World")},
	{"json, parameters and case", sent{contentType: "Application/JSON; charset=utf-8", body: ` { "content" : "a\u0041\n\ud83d\ude00\ud800" } `}, text("aA\n\U0001f600\ufffd")},
	{
		"json, all",
		sent{contentType: jsonType, body: `{"expires_in":"1h","unknown":{"a":[1,2.5e-3,{}],"b":[]},"content":"x","private":true,"filename":"f.md","extension":null}`},
		taken{Content: "x", Name: "f.md", Extension: "md", Type: "text/markdown", UTF8: true, Private: true, Expiry: hourly},
	},
	{"json, null is absent", sent{contentType: jsonType, body: `{"content":null,"url":null,"api_key":null,"private":null,"content":"x","content":"y"}`}, text("x")},
	{"json, empty is absent", sent{contentType: jsonType, body: `{"content":"","url":""}`}, fault("No file provided")},
	{"json, nothing", sent{contentType: jsonType, body: `{}`}, fault("No file provided")},
	{"json, both", sent{contentType: jsonType, body: `{"content":"x","url":"https://e.example"}`}, fault("Give only one of file, content or url")},
	{"json, both, turned round", sent{contentType: jsonType, body: `{"url":"https://e.example","content":"x"}`}, fault("Give only one of file, content or url")},
	{"json, file is no field", sent{contentType: jsonType, body: `{"file":"y","content":"x"}`}, text("x")},
	{"json, api_key", sent{contentType: jsonType, body: `{"content":"x","api_key":"k"}`}, fault("api_key must be a header or query parameter")},
	{"json, private as text", sent{contentType: jsonType, body: `{"content":"x","private":"No"}`}, text("x")},
	{"json, private as number", sent{contentType: jsonType, body: `{"content":"x","private":1}`}, fault("Invalid value for private")},
	{"json, expiry as number", sent{contentType: jsonType, body: `{"content":"x","expires_in":3600}`}, fault("Invalid expiration format")},
	{"json, expiry as list", sent{contentType: jsonType, body: `{"content":"x","expires_at":[]}`}, fault("Invalid expiration format")},
	{"json, content as number", sent{contentType: jsonType, body: `{"content":5}`}, fault("Invalid request body")},
	{"json, url as bool", sent{contentType: jsonType, body: `{"content":"x","url":true}`}, fault("Invalid request body")},
	{"json, filename as bool", sent{contentType: jsonType, body: `{"content":"x","filename":true}`}, fault("Invalid request body")},
	{"json, list", sent{contentType: jsonType, body: `[]`}, fault("Invalid request body")},
	{"json, empty", sent{contentType: jsonType}, fault("Invalid request body")},
	{"json, cut off", sent{contentType: jsonType, body: `{"content":"x"`}, fault("Invalid request body")},
	{"json, cut off inside", sent{contentType: jsonType, body: `{"content":"x`}, fault("Invalid request body")},
	{"json, text behind", sent{contentType: jsonType, body: `{"content":"x"}{}`}, fault("Invalid request body")},
	{"json, not UTF-8", sent{contentType: jsonType, body: "{\"content\":\"\xff\"}"}, fault("Invalid request body")},
	{"json, nested too deep", sent{contentType: jsonType, body: `{"a":` + strings.Repeat("[", 100_000)}, fault("Invalid request body")},
	{"json, escapes count as sent", sent{contentType: jsonType, body: `{"content":"` + strings.Repeat(`\u0041`, (testLimit+framingMax)/6) + `"}`}, fault("Request Entity Too Large")},
	{"json, many MiB", sent{contentType: jsonType, body: `{"content":"` + strings.Repeat(`\n`, testLimit/2) + `"}`}, text(strings.Repeat("\n", testLimit/2))},
	{"json, very many members", sent{contentType: jsonType, body: `{` + strings.Repeat(`"a":1,`, 10_000) + `"content":"x"}`}, text("x")},

	// JSON without a type.
	{"bare json", sent{body: " \n{\"content\":\"x\",\"expires\":\"1h\"}"}, taken{Content: "x", Name: "paste.txt", Extension: "txt", Type: "text/plain", UTF8: true, Expiry: hourly}},
	{"bare json, unknown member", sent{body: `{"content":"x","a":1}`}, rawJSON(`{"content":"x","a":1}`)},
	{"bare json, api_key", sent{body: `{"content":"x","api_key":"k"}`}, rawJSON(`{"content":"x","api_key":"k"}`)},
	{"bare json, no content", sent{body: `{"private":true}`}, rawJSON(`{"private":true}`)},
	{"bare json, empty content", sent{body: `{"content":""}`}, rawJSON(`{"content":""}`)},
	{"bare json, content as number", sent{body: `{"content":1}`}, rawJSON(`{"content":1}`)},
	{"bare json, name in the query", sent{body: `{"content":"x"}`, query: "ext=json"}, rawJSON(`{"content":"x"}`)},
	{"bare json, name in the headers", sent{body: `{"content":"x"}`, headers: map[string]string{"X-Filename": "paste.json"}}, rawJSON(`{"content":"x"}`)},
	{"bare json, url", sent{body: `{"url":"https://e.example"}`}, taken{Content: "fetched", URL: "https://e.example", Name: "from.url", Extension: "url", Type: "text/plain", UTF8: true}},
	{"bare json, bad expiry", sent{body: `{"content":"x","expires_in":"soon"}`}, fault("Invalid expiration format")},
	{"bare json, at the limit of the test", sent{body: `{"content":"` + strings.Repeat("x", jsonTestMax-14) + `"}`}, text(strings.Repeat("x", jsonTestMax-14))},
	{"bare json, above it", sent{body: `{"content":"` + strings.Repeat("x", jsonTestMax-13) + `"}`}, rawJSON(`{"content":"` + strings.Repeat("x", jsonTestMax-13) + `"}`)},
	{"bare json, text behind", sent{body: `{"content":"x"} x`}, text(`{"content":"x"} x`)},

	// Forms.
	{"form", sent{contentType: urlencoded, body: "content=hello+w%C3%B6rld%0a&expires_in=1h&&private=off"}, taken{Content: "hello wörld\n", Name: "paste.txt", Extension: "txt", Type: "text/plain", UTF8: true, Expiry: hourly}},
	{"form, unescaped", sent{contentType: urlencoded, body: "content=a = b\r\nc&filename=a b.c"}, taken{Content: "a = b\r\nc", Name: "a b.c", Extension: "c", Type: "text/plain", UTF8: true}},
	{"form, content last", sent{contentType: urlencoded, body: "filename=a.c&content=x"}, taken{Content: "x", Name: "a.c", Extension: "c", Type: "text/plain", UTF8: true}},
	{"form, a file", sent{contentType: urlencoded, body: "hello world\n"}, text("hello world\n")},
	{"form, a file with headers", sent{contentType: urlencoded, body: "hello\n", headers: map[string]string{"X-Filename": "h.c"}}, taken{Content: "hello\n", Name: "h.c", Extension: "c", Type: "text/plain", UTF8: true}},
	{"form, unknown name", sent{contentType: urlencoded, body: "content=x&a=b"}, text("content=x&a=b")},
	{"form, title is no field of create", sent{contentType: urlencoded, body: "content=x&title=b"}, text("content=x&title=b")},
	{"form, file is no field of it", sent{contentType: urlencoded, body: "file=x"}, text("file=x")},
	{"form, repeated name", sent{contentType: urlencoded, body: "content=x&content=y"}, text("content=x&content=y")},
	{"form, no =", sent{contentType: urlencoded, body: "content=x&private"}, text("content=x&private")},
	{"form, bad escape", sent{contentType: urlencoded, body: "content=100%&private=1"}, text("content=100%&private=1")},
	{"form, bad escape at the end", sent{contentType: urlencoded, body: "content=%f"}, text("content=%f")},
	{"form, escaped name", sent{contentType: urlencoded, body: "%63ontent=x"}, text("x")},
	{"form, api_key", sent{contentType: urlencoded, body: "content=x&api_key=k"}, fault("api_key must be a header or query parameter")},
	{"form, no content", sent{contentType: urlencoded, body: "expires_in=1h"}, fault("No file provided")},
	{"form, empty", sent{contentType: urlencoded}, fault("Empty file")},
	{"form, only &", sent{contentType: urlencoded, body: "&&"}, text("&&")},
	{"form, both", sent{contentType: urlencoded, body: "content=x&url=https://e.example"}, fault("Give only one of file, content or url")},
	{"form, large", sent{contentType: urlencoded, body: "content=" + strings.Repeat("x", 1<<20) + "&ext=c"}, taken{Content: strings.Repeat("x", 1<<20), Name: "paste.c", Extension: "c", Type: "text/plain", UTF8: true}},
	{"form, large file", sent{contentType: urlencoded, body: "content=" + strings.Repeat("x", 1<<20) + "&c"}, text("content=" + strings.Repeat("x", 1<<20) + "&c")},
	{"form, too large", sent{contentType: urlencoded, body: "content=" + strings.Repeat("x", testLimit+framingMax)}, fault("Request Entity Too Large")},
	{"form, large file is too large", sent{contentType: urlencoded, body: strings.Repeat("x", testLimit+1)}, fault("Request Entity Too Large")},
	{"form, very many fields", sent{contentType: urlencoded, body: strings.Repeat("a=b&", 10_000)}, text(strings.Repeat("a=b&", 10_000))},

	// XML.
	{"xml", sent{contentType: "application/xml", body: `<?xml version="1.0" encoding="UTF-8"?><paste><content>a &lt;b&gt; &#x41;<![CDATA[<&>]]></content><expires_in>1h</expires_in></paste>`}, taken{Content: "a <b> A<&>", Name: "paste.txt", Extension: "txt", Type: "text/plain", UTF8: true, Expiry: hourly}},
	{"xml, text/xml", sent{contentType: "text/xml; charset=utf-8", body: "<r b='c'>\n <filename>x.c</filename> <!-- no --> <content>x</content>\r\n</r >\n"}, taken{Content: "x", Name: "x.c", Extension: "c", Type: "text/plain", UTF8: true}},
	{"xml, DTD", sent{contentType: "text/xml", body: `<!DOCTYPE r [<!ENTITY b "c">]><r><content>&b;</content></r>`}, text(`<!DOCTYPE r [<!ENTITY b "c">]><r><content>&b;</content></r>`)},
	{"xml, a document", sent{contentType: "text/xml", body: `<note><to>x</to></note>`}, text(`<note><to>x</to></note>`)},
	{"xml, no content", sent{contentType: "text/xml", body: `<r><filename>x</filename></r>`}, text(`<r><filename>x</filename></r>`)},
	{"xml, twice", sent{contentType: "text/xml", body: `<r><content>x</content><content>y</content></r>`}, text(`<r><content>x</content><content>y</content></r>`)},
	{"xml, nested", sent{contentType: "text/xml", body: `<r><content>x<b/></content></r>`}, text(`<r><content>x<b/></content></r>`)},
	{"xml, text beside", sent{contentType: "text/xml", body: `<r>t<content>x</content></r>`}, text(`<r>t<content>x</content></r>`)},
	{"xml, broken", sent{contentType: "text/xml", body: `<r><content>x</content>`}, text(`<r><content>x</content>`)},
	{"xml, other encoding", sent{contentType: "text/xml", body: `<?xml version="1.0" encoding="latin1"?><r><content>x</content></r>`}, taken{Content: `<?xml version="1.0" encoding="latin1"?><r><content>x</content></r>`, Name: "paste.xml", Extension: "xml", Type: "text/xml", UTF8: true}},
	{"xml, empty content", sent{contentType: "text/xml", body: `<r><content/></r>`}, fault("No file provided")},
	{"xml, private", sent{contentType: "text/xml", body: `<r><content>x</content><private>perhaps</private></r>`}, fault("Invalid value for private")},
	{"xml, empty", sent{contentType: "text/xml"}, fault("Empty file")},
	{"xml, large", sent{contentType: "text/xml", body: "<r><content>" + strings.Repeat("x", 1<<20) + "</content></r>"}, text(strings.Repeat("x", 1<<20))},
}

func manyParts(n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = "a: b"
	}
	return list
}

func rawJSON(content string) taken {
	return taken{Content: content, Name: "paste.json", Extension: "json", Type: "application/json", UTF8: true}
}

func TestCreate(t *testing.T) {
	t.Parallel()
	for _, tt := range createTests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := take(t, tt.sent, whole)
			compareTaken(t, "whole", got, tt.want)
			for name, chunks := range map[string]func(io.Reader) io.Reader{"halves": iotest.HalfReader, "end with data": iotest.DataErrReader, "bytes": iotest.OneByteReader} {
				if name == "bytes" && len(tt.sent.body) > 64<<10 {
					continue // slow, and the same
				}
				compareTaken(t, name, take(t, tt.sent, chunks), tt.want)
			}
		})
	}
}

func compareTaken(t *testing.T, chunks string, got, want taken) {
	t.Helper()
	if got == want {
		return
	}
	short := func(s taken) taken {
		if len(s.Content) > 200 {
			s.Content = fmt.Sprintf("%s… (%d bytes)", s.Content[:100], len(s.Content))
		}
		return s
	}
	t.Errorf("%s:\n got %+v\nwant %+v", chunks, short(got), short(want))
}

// A client that goes away in the middle is told so, whatever it was sending,
// and nothing of its body is taken for the whole.
func TestCreateBrokenOff(t *testing.T) {
	t.Parallel()
	for _, s := range []sent{
		{contentType: "text/plain", body: "hello"},
		{body: "hello"},
		{body: `{"content":"x"}`},
		{contentType: jsonType, body: `{"content":"x"}`},
		{contentType: urlencoded, body: "content=x"},
		{contentType: urlencoded, body: "x"},
		{contentType: "text/xml", body: "<a><content>x</content></a>"},
		{contentType: partsType, body: strings.TrimSuffix(parts("content: x"), "--\r\n")},
	} {
		for _, err := range []error{io.ErrUnexpectedEOF, os.ErrDeadlineExceeded} {
			got := take(t, s, func(r io.Reader) io.Reader { return io.MultiReader(r, iotest.ErrReader(err)) })
			if got != fault("Invalid request body") {
				t.Errorf("%s %q: %+v", s.contentType, s.body, got)
			}
		}
	}
}

// A declared length above what may be sent is refused unread.
func TestCreateDeclaredTooLarge(t *testing.T) {
	t.Parallel()
	r := httptest.NewRequest(http.MethodPost, "/p", iotest.ErrReader(errors.New("was read")))
	r.ContentLength = testLimit + framingMax + 1
	_, err := readCreate(r, createOptions{Limit: testLimit, Spool: newSpooler(t.TempDir(), anyRoom), Now: at(noon)})
	if storage.KindOf(err) != storage.KindTooLarge {
		t.Error(err)
	}
}

// What can't be kept on disk is a fault of ours, not of the body.
func TestSpoolFaults(t *testing.T) {
	t.Parallel()
	body := "content=" + strings.Repeat("x", spoolMemory)
	request := func() *http.Request {
		r := httptest.NewRequest(http.MethodPost, "/p", strings.NewReader(body))
		r.Header.Set("Content-Type", urlencoded)
		return r
	}
	o := createOptions{Limit: testLimit, Spool: newSpooler(t.TempDir()+"/missing", anyRoom), Now: at(noon)}
	if _, err := takeRequest(request(), o); err == nil || storage.KindOf(err) == storage.KindInvalid {
		t.Error("no directory:", err)
	}
	if len(o.Spool.slots) != 0 {
		t.Error("a slot is lost")
	}
	o.Spool = newSpooler(t.TempDir(), anyRoom)
	for range spoolsMax {
		o.Spool.slots <- struct{}{}
	}
	if _, err := takeRequest(request(), o); storage.CodeOf(err) != "overloaded" {
		t.Error("no slot:", err)
	}
	<-o.Spool.slots
	if got, err := takeRequest(request(), o); err != nil || len(got.Content) != spoolMemory {
		t.Error(err)
	}
	if len(o.Spool.slots) != spoolsMax-1 {
		t.Error("a slot is lost")
	}
}

// The content is handed on while it comes: not a byte more is read than the
// buffers hold before the reader asks.
func TestCreateStreams(t *testing.T) {
	t.Parallel()
	for contentType, start := range map[string]string{
		"text/plain": "", jsonType: `{"content":"`, partsType: "--B\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\n",
	} {
		body := &countingReader{r: io.MultiReader(strings.NewReader(start), endless{})}
		r := httptest.NewRequest(http.MethodPost, "/p", body)
		r.ContentLength = -1
		r.Header.Set("Content-Type", contentType)
		c, err := readCreate(r, createOptions{Limit: testLimit, Spool: newSpooler(t.TempDir(), anyRoom), Now: at(noon)})
		if err != nil {
			t.Fatal(err)
		}
		if body.n > 128<<10 {
			t.Errorf("%s: %d bytes were read ahead", contentType, body.n)
		}
		if n, err := io.Copy(io.Discard, c); storage.KindOf(err) != storage.KindTooLarge || n > testLimit+64<<10 {
			t.Errorf("%s: %d, %v", contentType, n, err)
		}
		c.close()
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}

type countingReader struct {
	r io.Reader
	n int
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += n
	return n, err
}

// FuzzCreate holds that no body does harm, and that its chunks don't matter.
func FuzzCreate(f *testing.F) {
	for _, tt := range createTests {
		if len(tt.sent.body) < 4<<10 {
			f.Add(tt.sent.contentType, tt.sent.query, []byte(tt.sent.body))
		}
	}
	f.Fuzz(func(t *testing.T, contentType, query string, body []byte) {
		run := func(chunks func(io.Reader) io.Reader) (taken, storage.Kind) {
			r := httptest.NewRequest(http.MethodPost, "/p", chunks(bytes.NewReader(body)))
			r.ContentLength = -1
			r.URL.RawQuery = query
			r.Header.Set("Content-Type", contentType)
			got, err := takeRequest(r, createOptions{Limit: 1 << 20, Spool: newSpooler(os.TempDir(), anyRoom), Now: at(noon)})
			if err != nil {
				if storage.KindOf(err) != storage.KindInvalid || errors.Is(err, io.EOF) {
					t.Fatal(err)
				}
				return taken{Fault: textOf(err)}, storage.KindOf(err)
			}
			return got, 0
		}
		got, kind := run(whole)
		for _, chunks := range []func(io.Reader) io.Reader{iotest.OneByteReader, iotest.HalfReader} {
			if again, otherKind := run(chunks); again != got || otherKind != kind {
				t.Fatalf("in chunks %+v, %v; whole %+v, %v", again, otherKind, got, kind)
			}
		}
	})
}

// anyRoom is a disk with room for everything.
func anyRoom() error { return nil }

// What is kept until it is known what it is stops where the disk has no room
// left: before it begins, and while it grows.
func TestSpoolsStopBeforeTheDiskIsFull(t *testing.T) {
	t.Parallel()
	full := &storage.Error{Op: "test", Kind: storage.KindFull, Code: "insufficient_storage"}
	for asked, want := range map[int]int{1: 0, 2: roomEvery} {
		dir, looks := t.TempDir(), 0
		room := func() error {
			if looks++; looks == asked {
				return full
			}
			return nil
		}
		s := newSpooler(dir, room).keep(strings.NewReader(strings.Repeat("x", 3*roomEvery)))
		n, err := io.Copy(io.Discard, s)
		if storage.KindOf(err) != storage.KindFull || n > int64(want)+spoolMemory {
			t.Errorf("full at look %d: %d bytes kept, %v", asked, n, err)
		}
		s.close()
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			t.Errorf("%d files left, %v", len(left), err)
		}
	}
}
