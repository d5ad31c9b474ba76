package paste69

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"

	"ringbin/node"
	"ringbin/storage"
)

func (s sent) request() *http.Request {
	target := "/u"
	if s.query != "" {
		target += "?" + s.query
	}
	r := httptest.NewRequest(http.MethodPost, target, strings.NewReader(s.body))
	if s.contentType != "" {
		r.Header.Set("Content-Type", s.contentType)
	}
	for name, value := range s.headers {
		r.Header.Set(name, value)
	}
	return r
}

func TestReadShorten(t *testing.T) {
	t.Parallel()
	const target = "https://e.example/a?b=c"
	form := shortenForm{URL: target, Title: "T", Expiry: hourly}
	const badBody, badURL = "Invalid request body", "Invalid URL. Must be a valid absolute HTTP(S) URL"
	for name, tt := range map[string]struct {
		sent  sent
		want  shortenForm
		fault string
	}{
		"form":                  {sent: sent{contentType: urlencoded, body: "url=https://e.example/a?b%3dc&title=T&expires_in=1h"}, want: form},
		"form, no type":         {sent: sent{body: "url=https://e.example/a?b%3dc&title=T&expires=1h"}, want: form},
		"form, text/plain":      {sent: sent{contentType: "text/plain; charset=utf-8", body: "title=T&url=https://e.example/a?b%3dc&expires=1h"}, want: form},
		"json":                  {sent: sent{contentType: jsonType, body: `{"url":"` + target + `","title":"T","expires_in":"1h","x":{},"private":true}`}, want: form},
		"json, no type":         {sent: sent{body: ` {"url":"` + target + `","title":"T","expires_in":"1h"}`}, want: form},
		"json, form type":       {sent: sent{contentType: urlencoded, body: `{"url":"` + target + `","title":"T","expires_in":"1h"}`}, want: form},
		"xml":                   {sent: sent{contentType: "text/xml", body: `<u><url>` + target + `</url><title>T</title><expires_in>1h</expires_in></u>`}, want: form},
		"parts":                 {sent: sent{contentType: partsType, body: parts("url: "+target, "title: T", "expires_in: 1h", "other: x")}, want: form},
		"query":                 {sent: sent{query: "url=https%3A%2F%2Fe.example%2Fa%3Fb%3Dc&title=T&expires=1h"}, want: form},
		"query, any type":       {sent: sent{contentType: "image/png", query: "url=https%3A%2F%2Fe.example%2Fa%3Fb%3Dc&title=T&expires=1h"}, want: form},
		"body and query":        {sent: sent{body: "url=https://e.example/a?b%3dc&title=T", query: "title=Q&expires_in=1h"}, want: form},
		"lone URL":              {sent: sent{body: "\n" + target + " \r\n", query: "title=T&expires=1h"}, want: form},
		"lone URL, curl -d":     {sent: sent{contentType: urlencoded, body: target, query: "title=T&expires=1h"}, want: form},
		"lone URL, other type":  {sent: sent{contentType: "text/html", body: target}, fault: badBody},
		"title cleaned":         {sent: sent{contentType: jsonType, body: `{"url":"` + target + `","title":"a\u0000\n` + strings.Repeat("é", 200) + `"}`}, want: shortenForm{URL: target, Title: "a" + strings.Repeat("é", 127)}},
		"no expiry":             {sent: sent{body: target}, want: shortenForm{URL: target}},
		"never":                 {sent: sent{body: target, query: "expires_in=never"}, want: shortenForm{URL: target, Expiry: node.Expiry{Never: true}}},
		"empty":                 {fault: "URL cannot be empty"},
		"empty url":             {sent: sent{body: "url="}, fault: "URL cannot be empty"},
		"null url":              {sent: sent{contentType: jsonType, body: `{"url":null}`}, fault: "URL cannot be empty"},
		"ftp":                   {sent: sent{body: "url=ftp://e.example/"}, fault: badURL},
		"url is a number":       {sent: sent{contentType: jsonType, body: `{"url":5}`}, fault: badBody},
		"bad json":              {sent: sent{body: `{"url":`}, fault: badBody},
		"bad xml":               {sent: sent{contentType: "text/xml", body: `<u><url>x</url><other/></u>`}, fault: badBody},
		"unknown field":         {sent: sent{body: "url=" + target + "&content=x"}, fault: badBody},
		"two lone URLs":         {sent: sent{body: target + "\n" + target}, fault: badBody},
		"api_key":               {sent: sent{body: "url=https://e.example/&api_key=k"}, fault: "api_key must be a header or query parameter"},
		"api_key in json":       {sent: sent{contentType: jsonType, body: `{"url":"x","api_key":"k"}`}, fault: "api_key must be a header or query parameter"},
		"bad private":           {sent: sent{body: target, query: "private=x"}, fault: "Invalid value for private"},
		"bad expiry":            {sent: sent{body: target, query: "expires_in=x"}, fault: "Invalid expiration format"},
		"two expiries":          {sent: sent{body: target, query: "expires_in=1h&expires_at=2027-01-01"}, fault: "Give either expires_in or expires_at"},
		"no boundary":           {sent: sent{contentType: "multipart/form-data", body: "x"}, fault: badBody},
		"compressed":            {sent: sent{body: target, headers: map[string]string{"Content-Encoding": "gzip"}}, fault: "Content-Encoding is not supported"},
		"too large":             {sent: sent{body: strings.Repeat("x", smallMax+1)}, fault: "Request Entity Too Large"},
		"too large, undeclared": {sent: sent{body: strings.Repeat("x", smallMax+1), query: "undeclared"}, fault: "Request Entity Too Large"},
	} {
		r := tt.sent.request()
		if tt.sent.query == "undeclared" {
			r.ContentLength = -1
		}
		got, err := readShorten(r, noon)
		if textOf(err) != tt.fault || err == nil && got != tt.want {
			t.Errorf("%s: %+v, %v, want %+v %s", name, got, err, tt.want, tt.fault)
		}
		if tt.fault == "Request Entity Too Large" && storage.KindOf(err) != storage.KindTooLarge {
			t.Errorf("%s: %v", name, err)
		}
	}
	r := httptest.NewRequest(http.MethodPost, "/u", iotest.ErrReader(errors.New("gone")))
	if _, err := readShorten(r, noon); textOf(err) != badBody {
		t.Error(err)
	}
}

func TestReadExpiry(t *testing.T) {
	t.Parallel()
	if e, err := readExpiry(sent{contentType: jsonType, body: `{"expires_at":"2026-12-31T23:59:59Z"}`}.request(), noon); err != nil || e.At != 1798761599 {
		t.Errorf("%+v, %v", e, err)
	}
	if e, err := readExpiry(sent{query: "expires_in=never"}.request(), noon); err != nil || !e.Never {
		t.Errorf("%+v, %v", e, err)
	}
	for _, s := range []sent{{}, {body: "expires_in="}, {contentType: jsonType, body: "{}"}} {
		if _, err := readExpiry(s.request(), noon); textOf(err) != "One of expires_in or expires_at is required" {
			t.Errorf("%+v: %v", s, err)
		}
	}
	if _, err := readExpiry(sent{body: "https://e.example/"}.request(), noon); textOf(err) != "Invalid request body" {
		t.Error("a lone URL is nothing here:", err)
	}
}

func TestReadKeyRequest(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		sent               sent
		name, email, fault string
	}{
		"form":           {sent: sent{contentType: urlencoded, body: "name=Your Name&email=your@email.com"}, name: "Your Name", email: "your@email.com"},
		"no name":        {sent: sent{contentType: jsonType, body: `{"email":" a.b+c@d-e.example "}`}, email: "a.b+c@d-e.example"},
		"no mail":        {sent: sent{body: "name=x"}, fault: "Email is required"},
		"blank mail":     {sent: sent{body: "email=+"}, fault: "Email is required"},
		"bad mail":       {sent: sent{body: "email=x"}, fault: "Invalid email"},
		"header in mail": {sent: sent{body: "email=a@b.example%0d%0aBcc:c@d.example"}, fault: "Invalid email"},
		"long name":      {sent: sent{query: "email=a@b.example&name=" + strings.Repeat("x", 101)}, fault: "Invalid name"},
		"blank name":     {sent: sent{query: "email=a@b.example&name=+%c2%a0"}, email: "a@b.example"},
		"control":        {sent: sent{query: "email=a@b.example&name=x%0ay"}, name: "xy", email: "a@b.example"},
	} {
		got, email, err := readKeyRequest(tt.sent.request())
		if got != tt.name || email != tt.email || textOf(err) != tt.fault {
			t.Errorf("%s: %q %q %v", name, got, email, err)
		}
	}
}

func TestReadToken(t *testing.T) {
	t.Parallel()
	for want, s := range map[string]sent{"a": {query: "token=a"}, "b": {query: "token=a", body: "token=b"}, "": {}} {
		if got, err := readToken(s.request()); got != want || err != nil {
			t.Errorf("%q, %v, want %q", got, err, want)
		}
	}
}

func TestPlainAddress(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"a@b", "a.b@c.example", "a+b_c@d-e.f", "!#$%&'*+-/=?^_`{|}~@x.y", strings.Repeat("a", 64) + "@b.c", "1@2.3"} {
		if !isPlainAddress(s) {
			t.Error(s, "is none")
		}
	}
	for _, s := range []string{
		"", "a", "@", "a@", "@b", "a@b@c", "a b@c", "A <a@b>", "<a@b>", "a@b (c)", `"a"@b`, "a@[127.0.0.1]", ".a@b", "a.@b", "a..b@c", "a@b.",
		"a@.b", "a@-b", "a@b-", "a@b,c@d", "a@b\n", "a\x00@b", "ä@b", "a@ä.de", "a@b_c", strings.Repeat("a", 65) + "@b", "a@" + strings.Repeat("b", 64),
		"a@" + strings.Repeat("b.", 130) + "c",
	} {
		if isPlainAddress(s) {
			t.Error(s, "is one")
		}
	}
}

func TestCheckURL(t *testing.T) {
	t.Parallel()
	for _, s := range []string{
		"http://a", "https://a.example/b?c#d", "HTTP://A:8080/", "https://user:pw@host/", "http://[::1]:80/", "https://例え.jp/ä", "http://a/" + strings.Repeat("b", targetMax-9),
	} {
		if err := checkURL(s); err != nil {
			t.Errorf("%.60q: %v", s, err)
		}
	}
	for _, s := range []string{
		"x", "/a", "//a/b", "ftp://a", "javascript:alert(1)", "http:a", "http:///a", "http://:80/", "http://a b", "http://a/b c", "http://a/\tb", "http://a/\x7f",
		"http://a/\u2028", "http://a:99999/", "http://a:0/", "http://a:x/", "data:text/html,x", " http://a", "http://a\n", "http://a/%zz", "http://a/\xff",
		"http://a/" + strings.Repeat("b", targetMax-8),
	} {
		if err := checkURL(s); textOf(err) != "Invalid URL. Must be a valid absolute HTTP(S) URL" {
			t.Errorf("%.60q: %v", s, err)
		}
	}
}

func TestCheckOwn(t *testing.T) {
	t.Parallel()
	bases := []string{"https://H.example/prefix", "http://10.0.0.1:8080", "https://h.example", "not a base"}
	for _, s := range []string{
		"https://h.example/u/abc123", "http://h.example/u/abc123/", "https://H.EXAMPLE./u/abc123?x#y", "https://h.example:443/%75/abc123",
		"https://h.example/prefix/u/ABCDEF", "http://10.0.0.1:8080/u/abc123",
	} {
		if err := checkOwn(s, bases...); textOf(err) != "URL must not point to a short link of this server" {
			t.Error(s, err)
		}
	}
	for _, s := range []string{
		"https://other.example/u/abc123", "https://h.example/abc12345", "https://h.example/u/abc1234", "https://h.example/u/list", "https://h.example/u/",
		"http://10.0.0.1/u/abc123", "https://h.example:8443/u/abc123", "https://h.example/u/abc12-", "https://h.example/u/abc123/stats",
	} {
		if err := checkOwn(s, bases...); err != nil {
			t.Error(s, err)
		}
	}
}
