package paste69

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"net/url"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf8"
)

// pair is a field as it was read.
type pair struct{ name, value string }

// readAllFields reads a body to its end; ok is false for a malformed one.
func readAllFields(src fields) (list []pair, ok bool) {
	for {
		f, err := src.next()
		if err == io.EOF { //nolint:errorlint // bare, by contract
			_, again := src.next()
			return list, again == io.EOF //nolint:errorlint // the end stays the end
		}
		if err != nil {
			return nil, false
		}
		value, err := io.ReadAll(f.value)
		if err != nil {
			return nil, false
		}
		list = append(list, pair{f.name, string(value)})
	}
}

// The strict decoder of the standard library is the measure of ours: what is
// JSON to one is JSON to the other, and strings mean the same.
func FuzzJSONFields(f *testing.F) {
	for _, s := range []string{
		`{}`, `{"a":"b"}`, ` {"a" : "\u00e9\n\ud83d\ude00\ud800x\udc00","b":[1,-0.5e+7,{"c":[]}],"d":true,"e":null,"f":false} `,
		`{"a":01}`, `{"a":"x`, `{"a":1,}`, `[]`, `{"a":"\x"}`, "{\"a\":\"\x01\"}", `{"a":"b"}x`, `{"a":-}`, `{"a":[1,]}`, `{"a":{"b":1,}}`,
		"{}\x00", `{"a":1.}`, `{"a":1e}`, `{"":""}`, `{"\u0061":"\ud800\u0041"}`, "{\"a\":\"\ufffd\"}", "\ufeff{}",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var members map[string]json.RawMessage
		want := utf8.Valid(body) && json.Unmarshal(body, &members) == nil && members != nil
		if bytes.Count(body, []byte("["))+bytes.Count(body, []byte("{")) > nestMax {
			return
		}
		list, got := readJSON(bytes.NewReader(body))
		if got != want {
			t.Fatalf("%q is JSON: %v, want %v", body, got, want)
		}
		if again, ok := readJSON(iotest.OneByteReader(bytes.NewReader(body))); ok != got || len(again) != len(list) {
			t.Fatalf("%q depends on its chunks", body)
		}
		last := map[string]string{}
		for _, p := range list {
			last[p.name] = p.value
		}
		for name, raw := range members {
			var text string
			if len(name) > fieldNameMax || raw[0] != '"' || json.Unmarshal(raw, &text) != nil {
				continue
			}
			if given, ok := last[name]; !ok || given != text && !strings.Contains(string(body), "null") {
				t.Fatalf("%q: %q is %q, want %q", body, name, given, text)
			}
		}
	})
}

func readJSON(r io.Reader) ([]pair, bool) {
	src := newJSONFields(r)
	var list []pair
	for {
		f, err := src.next()
		if err == io.EOF { //nolint:errorlint // bare, by contract
			return list, true
		}
		if err != nil {
			return nil, false
		}
		value, err := io.ReadAll(f.value)
		if err != nil {
			return nil, false
		}
		list = append(list, pair{f.name, string(value)})
	}
}

// slowXML reads a body with the standard library's decoder, which takes more
// than ours: what ours takes, it must take, and in the same way.
func slowXML(body []byte) ([]pair, error) {
	var root struct {
		Fields []struct {
			XMLName xml.Name
			Text    string `xml:",chardata"`
		} `xml:",any"`
	}
	dec := xml.NewDecoder(bytes.NewReader(body))
	if err := dec.Decode(&root); err != nil {
		return nil, err
	}
	for {
		tok, err := dec.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		if _, more := tok.(xml.StartElement); more {
			return nil, errors.New("two roots")
		}
	}
	var list []pair
	for _, f := range root.Fields {
		list = append(list, pair{f.XMLName.Local, f.Text})
	}
	return list, nil
}

func FuzzXMLFields(f *testing.F) {
	for _, s := range []string{
		`<r><content>x</content></r>`, `<?xml version="1.0" encoding="utf-8"?><!-- c --><r a="b" xmlns:c='d'><content>a&lt;&#65;&#x42;<![CDATA[<x>]]]]>]]</content><ext/></r><?pi x?>`,
		"<r>\r\n<content>a\rb\r\nc&#13;\n</content></r>\n", `<r/>`, `<r><a><b/></a></r>`, `<r><content>]]></content></r>`, `<r>x</r>`, `<r></s>`,
		`<r><content>&bogus;</content></r>`, `<!DOCTYPE r><r/>`, `<r><content>&#0;</content></r>`, "<r><content>\x00</content></r>", `<r><content a='<'/></r>`,
		`<r><content><!-- -- --></content></r>`, `<r><content>a<?p q?>b<!-- c -->d</content></r>`, "\ufeff<r/>", `<r a="b"c="d"/>`, `<r><c>x</c ></r ><x/>`,
		`<r a:b="c" d="&amp;"/>`, `<?xml version="1.1"?><r/>`, `<r><content>]]]]&gt;]</content></r>`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		list, ok := readAllFields(newXMLFields(bytes.NewReader(body)))
		if again, same := readAllFields(newXMLFields(iotest.OneByteReader(bytes.NewReader(body)))); same != ok || len(again) != len(list) {
			t.Fatalf("%q depends on its chunks", body)
		}
		if !ok {
			return
		}
		want, err := slowXML(bytes.TrimPrefix(body, []byte("\ufeff")))
		if err != nil || len(want) != len(list) {
			t.Fatalf("%q is %q, want %q, %v", body, list, want, err)
		}
		for i := range want {
			if want[i] != list[i] {
				t.Fatalf("%q: %q, want %q", body, list[i], want[i])
			}
		}
	})
}

func TestXMLFields(t *testing.T) {
	t.Parallel()
	for body, want := range map[string][]pair{
		`<r/>`:                         nil,
		`<r><a>1</a><b/></r>`:          {{"a", "1"}, {"b", ""}},
		"<r><a>x\r\ny\rz&#13;</a></r>": {{"a", "x\ny\nz\r"}},
		`<r><a>]] ]><![CDATA[]]]]><![CDATA[>]]></a></r>`:               {{"a", "]] ]>]]>"}},
		`<r><a>a<!-- x -->b<?p?>c</a></r>`:                             {{"a", "abc"}},
		`<?xml version='1.0' standalone="yes"?><r x:y = "z"><a/></r >`: {{"a", ""}},
		`<r><a>&amp;&apos;&quot;&gt;&#x1F600;</a></r>`:                 {{"a", "&'\">\U0001f600"}},
	} {
		got, ok := readAllFields(newXMLFields(strings.NewReader(body)))
		if !ok || len(got) != len(want) {
			t.Errorf("%s: %q, %v", body, got, ok)
			continue
		}
		for i := range want {
			if got[i] != want[i] {
				t.Errorf("%s: %q, want %q", body, got[i], want[i])
			}
		}
	}
	for _, body := range []string{
		"", "x", "<r>", "<r><a></r>", "<r><a></b></r>", "<r/><r/>", "<r/>x", "x<r/>", "<r><a>]]></a></r>", "<r><a>&x;</a></r>", "<r><a>&#xD800;</a></r>",
		"<r><a>&#-1;</a></r>", "<r><a>&</a></r>", "<r><a b></a></r>", "<r><a b=c></a></r>", "<r><p:a/></r>", "<r><a>\x01</a></r>", "<r><a>\xff</a></r>",
		"<r>x<a/></r>", "<!DOCTYPE r><r/>", `<?xml version="1.0"?><?xml version="1.0"?><r/>`, "<r><!-- -- --></r>", "<r><![CDATA[x]]></r>",
		"<r " + strings.Repeat("a='' ", 100) + "/>", "<r a='" + strings.Repeat("x", attributeMax+1) + "'/>", "<" + strings.Repeat("r", 1000) + "/>",
	} {
		if got, ok := readAllFields(newXMLFields(strings.NewReader(body))); ok {
			t.Errorf("%.60q is %q", body, got)
		}
	}
}

// What is a form to us is the same form to the standard library.
func FuzzFormFields(f *testing.F) {
	for _, s := range []string{"a=b", "a=b&&c=%41+d", "a", "=", "a=%", "a=%4", "&", "a==b=", "a=\xff%00", "a=b&a=c"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		src := newFormFields(iotest.HalfReader(bytes.NewReader(body)))
		got := url.Values{}
		for {
			f, err := src.next()
			if err == io.EOF { //nolint:errorlint // bare, by contract
				break
			}
			if err != nil {
				return
			}
			value, err := io.ReadAll(f.value)
			if err != nil {
				return
			}
			got.Add(f.name, string(value))
		}
		want, err := url.ParseQuery(string(body))
		if bytes.Contains(body, []byte(";")) {
			return // which url.ParseQuery refuses
		}
		if err != nil || got.Encode() != want.Encode() {
			t.Fatalf("%q is %q, want %q, %v", body, got, want, err)
		}
	})
}

// A reader may ask for as little as it likes.
func TestTextReaderInSmallReads(t *testing.T) {
	t.Parallel()
	for _, size := range []int{1, 2, 3, 4, 5, 7} {
		src := newJSONFields(strings.NewReader(`{"a":"\u20acx\ud83d\ude00é"}`))
		f, err := src.next()
		if err != nil {
			t.Fatal(err)
		}
		var got []byte
		p := make([]byte, size)
		for err == nil {
			var n int
			n, err = f.value.Read(p)
			got = append(got, p[:n]...)
		}
		if string(got) != "€x\U0001f600é" || !errors.Is(err, io.EOF) {
			t.Errorf("in reads of %d: %q, %v", size, got, err)
		}
	}
}
