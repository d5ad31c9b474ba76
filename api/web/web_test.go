package web_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ringbin/api/web"
	"ringbin/node"
	"ringbin/storage"
)

func get(t *testing.T, target string) *http.Request {
	t.Helper()
	return httptest.NewRequestWithContext(t.Context(), http.MethodGet, target, http.NoBody)
}

// Every kind has a status of its own choice: only our own faults are 500, and
// a kind that is added must be thought of.
func TestStatusIsTotal(t *testing.T) {
	t.Parallel()
	want := map[storage.Kind]int{
		storage.KindInternal: 500, storage.KindInvalid: 400, storage.KindUnauthenticated: 401, storage.KindPayment: 402,
		storage.KindForbidden: 403, storage.KindNotFound: 404, storage.KindConflict: 409, storage.KindPrecondition: 412,
		storage.KindTooLarge: 413, storage.KindRange: 416, storage.KindMismatch: 422, storage.KindRateLimited: 429,
		storage.KindUnavailable: 503, storage.KindUnknown: 503, storage.KindFull: 507, storage.KindCorrupt: 500,
		storage.KindGone: 410,
	}
	for k := storage.Kind(0); !strings.HasPrefix(k.String(), "kind "); k++ {
		status, ok := want[k]
		if !ok {
			t.Errorf("%s has no status here", k)
		}
		if got := web.Status(k); got != status {
			t.Errorf("%s is %d, want %d", k, got, status)
		}
		if got := web.StatusOf(storage.E("x", k, nil)); got != status {
			t.Errorf("an error of %s is %d", k, got)
		}
	}
	if got := web.StatusOf(errors.New("x")); got != http.StatusInternalServerError {
		t.Errorf("an error without kind is %d", got)
	}
	if got := web.StatusOf(web.ErrMethodNotAllowed); got != http.StatusMethodNotAllowed {
		t.Errorf("another method is %d", got)
	}
	if got := web.Status(storage.Kind(255)); got != http.StatusInternalServerError {
		t.Errorf("an unknown kind is %d", got)
	}
}

func readObject(t *testing.T, body string) (*web.Object, error) {
	t.Helper()
	return web.ReadObject(httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", strings.NewReader(body)))
}

func TestObject(t *testing.T) {
	t.Parallel()
	o, err := readObject(t, `{"s":"é","n":-5,"b":false,"l":["a"],"null":null,"twice":1,"twice":2,"S":"no","unknown":{}}`)
	if err != nil {
		t.Fatal(err)
	}
	if s := o.String("s"); s == nil || *s != "é" {
		t.Error("s", s)
	}
	if n := o.Int("n"); n == nil || *n != -5 {
		t.Error("n", n)
	}
	if b := o.Bool("b"); b == nil || *b {
		t.Error("b", b)
	}
	if l := o.Strings("l"); l == nil || !cmp.Equal(*l, []string{"a"}) {
		t.Error("l", l)
	}
	if n := o.Int("twice"); n == nil || *n != 2 {
		t.Error("the last of several counts", n)
	}
	if o.String("null") != nil || o.Int("null") != nil || o.Bool("absent") != nil || o.Strings("absent") != nil || o.Has("null") {
		t.Error("null is not the same as absent")
	}
	if !o.Has("s") || o.Err() != nil {
		t.Error(o.Err())
	}
	if got, want := o.Canonical(), `{"b":false,"l":["a"],"n":-5,"s":"é","twice":2}`; got != want {
		t.Errorf("canonical %s, want %s", got, want)
	}
	if got := o.Unasked(); got != "S" {
		t.Errorf("unasked is %q", got)
	}
}

func TestObjectFaults(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]struct {
		code   string
		fields []string
	}{
		``:                                 {web.CodeInvalidJSON, nil},
		`[]`:                               {web.CodeInvalidJSON, nil},
		`null`:                             {web.CodeInvalidJSON, nil},
		`{"a":1}x`:                         {web.CodeInvalidJSON, nil},
		"{\"s\":\"\xff\"}":                 {web.CodeInvalidJSON, nil},
		`{"s":1,"n":"1","b":0,"l":[1]}`:    {web.CodeInvalidJSON, []string{"s", "n", "b", "l"}},
		`{"n":1.0}`:                        {web.CodeInvalidJSON, []string{"n"}},
		`{"n":1e2}`:                        {web.CodeInvalidJSON, []string{"n"}},
		`{"l":[null]}`:                     {web.CodeInvalidJSON, []string{"l"}},
		`{"l":"a"}`:                        {web.CodeInvalidJSON, []string{"l"}},
		`{"n":9223372036854775808}`:        {web.CodeInvalidParameter, []string{"n"}},
		`{"n":99999999999999999999,"s":1}`: {web.CodeInvalidJSON, []string{"s"}},
	} {
		t.Run(body, func(t *testing.T) {
			t.Parallel()
			o, err := readObject(t, body)
			if err == nil {
				o.String("s")
				o.Int("n")
				o.Bool("b")
				o.Strings("l")
				err = o.Err()
			}
			e, ok := errors.AsType[*storage.Error](err)
			if !ok || e.Code != want.code || e.Kind != storage.KindInvalid {
				t.Fatalf("%v, want %s", err, want.code)
			}
			if len(e.Details) != len(want.fields) {
				t.Errorf("details %v, want %v", e.Details, want.fields)
			}
			for i, f := range want.fields {
				if _, ok := e.Details[f]; !ok || i == 0 && e.Field != f {
					t.Errorf("field %s, details %v, want %v", e.Field, e.Details, want.fields)
				}
			}
		})
	}
}

func TestObjectIsLimited(t *testing.T) {
	t.Parallel()
	padded := func(n int) string { return `{"a":1` + strings.Repeat(" ", n-7) + `}` }
	if _, err := readObject(t, padded(web.JSONMax)); err != nil {
		t.Error(err)
	}
	if _, err := readObject(t, padded(web.JSONMax+1)); storage.KindOf(err) != storage.KindTooLarge {
		t.Error(err)
	}
}

func TestWriteJSON(t *testing.T) {
	t.Parallel()
	w := httptest.NewRecorder()
	if err := web.WriteJSON(w, http.StatusTeapot, map[string]string{"a": "<&>"}); err != nil {
		t.Fatal(err)
	}
	if got := w.Body.String(); w.Code != http.StatusTeapot || got != `{"a":"<&>"}` || w.Header().Get("Content-Length") != "11" {
		t.Errorf("%d %s %v", w.Code, got, w.Header())
	}
	if err := web.WriteJSON(httptest.NewRecorder(), http.StatusOK, func() {}); err == nil {
		t.Error("a function was written")
	}
	if !json.Valid(w.Body.Bytes()) {
		t.Error("not JSON")
	}
}

func TestClientAddr(t *testing.T) {
	t.Parallel()
	trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
	many := strings.TrimSuffix(strings.Repeat("10.0.0.9, ", 40), ", ")
	for _, tt := range []struct{ name, remote, forwarded, want string }{
		{"direct", "203.0.113.7:1000", "", "203.0.113.7"},
		{"a stranger's own word", "203.0.113.7:1000", "198.51.100.1", "203.0.113.7"},
		{"behind a proxy", "10.0.0.1:1000", "198.51.100.1", "198.51.100.1"},
		{"what the client invents stands left", "10.0.0.1:1000", "1.1.1.1, 198.51.100.1", "198.51.100.1"},
		{"two proxies", "10.0.0.1:1000", "1.1.1.1, 198.51.100.1, 10.0.0.2", "198.51.100.1"},
		{"no word of the proxy", "10.0.0.1:1000", "", "10.0.0.1"},
		{"nonsense", "10.0.0.1:1000", "198.51.100.1, unknown", "10.0.0.1"},
		{"nonsense after a hop", "10.0.0.1:1000", "unknown, 10.0.0.2", "10.0.0.2"},
		{"only proxies", "10.0.0.1:1000", "10.0.0.3, 10.0.0.2", "10.0.0.3"},
		{"too many hops", "10.0.0.1:1000", "198.51.100.1, " + many, "10.0.0.9"},
		{"IPv6 with a port", "[fd00::1]:1000", "[2001:db8::1]:443", "2001:db8::1"},
		{"IPv6 in brackets", "[fd00::1]:1000", "[2001:db8::1]", "2001:db8::1"},
		{"IPv4 in IPv6", "[::ffff:10.0.0.1]:1000", "::ffff:198.51.100.1", "198.51.100.1"},
		{"a zone", "[fe80::1%eth0]:1000", "", "fe80::1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := get(t, "/")
			r.RemoteAddr = tt.remote
			if tt.forwarded != "" {
				r.Header.Set("X-Forwarded-For", tt.forwarded)
			}
			if got := web.ClientAddr(r, trusted); got.String() != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
		})
	}
	r := get(t, "/")
	r.RemoteAddr = "10.0.0.1:1"
	r.Header["X-Forwarded-For"] = []string{"1.1.1.1", "198.51.100.1, 10.0.0.2"}
	if got := web.ClientAddr(r, trusted); got.String() != "198.51.100.1" {
		t.Errorf("two headers give %s", got)
	}
	r.RemoteAddr = "nonsense"
	if got := web.ClientAddr(r, trusted); got.IsValid() {
		t.Errorf("nonsense gives %s", got)
	}
}

func TestPaging(t *testing.T) {
	t.Parallel()
	for query, want := range map[string]int{"": 50, "limit=1": 1, "limit=100": 100, "limit=007": 7, "limit=0": -1, "limit=101": -1, "limit=": -1, "limit=+1": -1, "limit=1.0": -1} {
		limit, cursor, err := web.Paging(get(t, "/?cursor=c&"+query).URL.Query(), 50, 100)
		if want < 0 {
			if e, ok := errors.AsType[*storage.Error](err); !ok || e.Field != "limit" {
				t.Errorf("%s: %v", query, err)
			}
		} else if err != nil || limit != want || cursor != "c" {
			t.Errorf("%s: %d %q %v", query, limit, cursor, err)
		}
	}
}

func TestIdempotencyKey(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		values   []string
		sent, ok bool
	}{
		{nil, false, true},
		{[]string{"a"}, true, true},
		{[]string{strings.Repeat("~", 255)}, true, true},
		{[]string{"with blanks"}, true, true},
		{[]string{""}, true, false},
		{[]string{strings.Repeat("a", 256)}, true, false},
		{[]string{"a", "a"}, true, false},
		{[]string{"tab\t"}, true, false},
		{[]string{"é"}, true, false},
		{[]string{"\x7f"}, true, false},
	} {
		_, sent, ok := web.IdempotencyKey(http.Header{"Idempotency-Key": tt.values})
		if sent != tt.sent || ok != tt.ok {
			t.Errorf("%q: sent %t, ok %t", tt.values, sent, ok)
		}
	}
}

func TestSetRate(t *testing.T) {
	t.Parallel()
	h := http.Header{}
	web.SetRate(h, node.Rate{})
	if len(h) != 0 {
		t.Errorf("no limit gives %v", h)
	}
	web.SetRate(h, node.Rate{Limit: 60, Remaining: 3, Reset: 1500 * time.Millisecond})
	want := http.Header{"Ratelimit-Limit": {"60"}, "Ratelimit-Remaining": {"3"}, "Ratelimit-Reset": {"2"}}
	if d := cmp.Diff(want, h); d != "" {
		t.Error(d)
	}
}

func TestMediaType(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"text/plain": "text/plain", "Text/HTML; charset=utf-8": "text/html", " application/x-a+b ;": "application/x-a+b",
		"": "", "text": "", "text/": "", "/plain": "", "text/pl ain": "", "a/b/c": "", strings.Repeat("a", 255) + "/b": "",
	} {
		got, ok := web.MediaType(in)
		if ok != (want != "") || ok && got != want {
			t.Errorf("%q: %q %t", in, got, ok)
		}
	}
}

func TestOrigin(t *testing.T) {
	t.Parallel()
	trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	for _, tt := range []struct {
		name, remote, proto, host string
		behindTLS                 bool
		want                      string
	}{
		{"the connection's own", "203.0.113.7:1", "", "", false, "http bin.example"},
		{"a terminator that says nothing", "203.0.113.7:1", "", "", true, "https bin.example"},
		{"a stranger's word", "203.0.113.7:1", "https", "evil.example", false, "http bin.example"},
		{"a proxy's word", "10.0.0.1:1", "HTTPS", "Paste.example:8443", false, "https Paste.example:8443"},
		{"a proxy that is not encrypted", "10.0.0.1:1", "http", "", true, "http bin.example"},
		{"the last word is the proxy's", "10.0.0.1:1", "http, https", "evil.example, paste.example", false, "https paste.example"},
		{"IPv6", "10.0.0.1:1", "", "[2001:db8::1]:80", false, "http [2001:db8::1]:80"},
		{"nonsense", "10.0.0.1:1", "javascript", "a/b", false, "http bin.example"},
		{"a user", "10.0.0.1:1", "", "user@host", false, "http bin.example"},
		{"too long", "10.0.0.1:1", "", strings.Repeat("a", 300), false, "http bin.example"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := get(t, "/")
			r.Host, r.RemoteAddr = "bin.example", tt.remote
			if tt.proto != "" {
				r.Header.Set("X-Forwarded-Proto", tt.proto)
			}
			if tt.host != "" {
				r.Header.Set("X-Forwarded-Host", tt.host)
			}
			if scheme, host := web.Origin(r, trusted, tt.behindTLS); scheme+" "+host != tt.want {
				t.Errorf("%s %s, want %s", scheme, host, tt.want)
			}
		})
	}
}
