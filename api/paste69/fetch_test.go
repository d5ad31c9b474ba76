package paste69

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ringbin/storage"
)

func TestRefused(t *testing.T) {
	t.Parallel()
	for _, s := range []string{
		// IPv4, both ends of each range.
		"0.0.0.0", "0.255.255.255", "10.0.0.0", "10.255.255.255", "100.64.0.0", "100.127.255.255", "127.0.0.1", "127.255.255.255",
		"169.254.0.0", "169.254.169.254", "169.254.255.255", "172.16.0.0", "172.31.255.255", "192.0.0.0", "192.0.0.255", "192.0.2.0", "192.0.2.255",
		"192.88.99.0", "192.88.99.255", "192.168.0.0", "192.168.255.255", "198.18.0.0", "198.19.255.255", "198.51.100.0", "198.51.100.255",
		"203.0.113.0", "203.0.113.255", "224.0.0.0", "239.255.255.255", "240.0.0.0", "255.255.255.255",
		// IPv6.
		"::", "::1", "100::", "100::ffff:ffff:ffff:ffff", "2001::", "2001:1ff:ffff::", "2001:db8::", "2001:db8:ffff::1", "fc00::", "fd12:3456::1",
		"fdff:ffff::", "fe80::1", "febf:ffff::", "fec0::", "feff:ffff::", "ff00::", "ff02::1", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
		"fe80::1%eth0", "2606:4700::1%1",
		// IPv4 inside IPv6.
		"::ffff:127.0.0.1", "::ffff:10.1.2.3", "::ffff:169.254.169.254", "::127.0.0.1", "::10.0.0.1", "64:ff9b::127.0.0.1", "64:ff9b::a00:1",
		"64:ff9b:1::127.0.0.1", "64:ff9b:1:2:3:4:10.0.0.1", "64:ff9b:1:7f00:0:100::", "64:ff9b:1:7f:0:1::", "64:ff9b:1::7f:0:800:0",
		"2002:7f00:1::", "2002:a00:1::1", "2002:c0a8:101:1::5", "64:ff9b::0:0",
		// The operator's, and the cluster's own; in any form.
		"9.9.9.9", "9.9.255.1", "::ffff:9.9.9.9", "64:ff9b::9.9.9.9", "2a00::1", "45.1.2.3", "::ffff:45.1.2.3", "2002:2d01:203::", "2a02::7",
	} {
		if !refused(netip.MustParseAddr(s), prefixes("9.9.0.0/16", "2a00::/32"), []netip.Addr{netip.MustParseAddr("45.1.2.3"), netip.MustParseAddr("2a02::7")}) {
			t.Error(s, "is let through")
		}
	}
	if !refused(netip.Addr{}, nil, nil) {
		t.Error("no address is let through")
	}
	for _, s := range []string{
		"1.1.1.1", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255", "128.0.0.0", "169.253.255.255", "169.255.0.0",
		"172.15.255.255", "172.32.0.0", "191.255.255.255", "192.0.1.0", "192.0.3.0", "192.88.98.255", "192.88.100.0", "192.167.255.255", "192.169.0.0",
		"198.17.255.255", "198.20.0.0", "198.51.99.255", "198.51.101.0", "203.0.112.255", "203.0.114.0", "223.255.255.255",
		"2606:4700:4700::1111", "2001:200::1", "2001:db7:ffff::", "2001:db9::", "100:0:0:1::", "2003::1", "fbff:ffff::", "::ffff:1.1.1.1",
		"64:ff9b::8.8.8.8", "64:ff9b:1::8.8.8.8", "2002:808:808::1",
	} {
		if refused(netip.MustParseAddr(s), nil, nil) {
			t.Error(s, "is refused")
		}
	}
}

// world is an Internet of one server, under any name and address.
type world struct {
	names   map[string][]string // addresses by name; each look-up may be seen
	looked  []string
	dialed  []string
	rules   FetchRules
	dial    func(ctx context.Context, to netip.AddrPort) (net.Conn, error) // nil: the server
	serving *httptest.Server
	secure  *httptest.Server
}

func newWorld(t *testing.T, handler http.HandlerFunc) (*world, *Fetcher) {
	t.Helper()
	w := &world{names: map[string][]string{"e.example": {"93.184.216.34"}}}
	w.serving = httptest.NewServer(handler)
	w.secure = httptest.NewTLSServer(handler)
	t.Cleanup(w.serving.Close)
	t.Cleanup(w.secure.Close)
	roots := x509.NewCertPool()
	roots.AddCert(w.secure.Certificate())
	return w, NewFetcher(FetchOptions{
		Rules:   func() FetchRules { return w.rules },
		Resolve: w.resolve,
		Dial:    w.connect,
		TLS:     &tls.Config{RootCAs: roots},
	})
}

func (w *world) resolve(_ context.Context, host string) ([]netip.Addr, error) {
	w.looked = append(w.looked, host)
	list, known := w.names[strings.ToLower(host)]
	if !known {
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	addresses := make([]netip.Addr, 0, len(list))
	for _, a := range list {
		addresses = append(addresses, netip.MustParseAddr(a))
	}
	return addresses, nil
}

func (w *world) connect(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
	w.dialed = append(w.dialed, to.String())
	if w.dial != nil {
		return w.dial(ctx, to)
	}
	server := w.serving
	if to.Port() == 443 {
		server = w.secure
	}
	return (&net.Dialer{}).DialContext(ctx, "tcp", server.Listener.Addr().String())
}

// got fetches, and returns the content or "failed".
func got(t *testing.T, f *Fetcher, url string, limit int64) (content, name string) {
	t.Helper()
	body, name, err := f.Get(t.Context(), url, limit)
	if err == nil {
		var b []byte
		b, err = io.ReadAll(body)
		content = string(b)
		if err := body.Close(); err != nil {
			t.Error(err)
		}
	}
	if len(f.slots) != 0 {
		t.Error("a slot is lost")
	}
	if err == nil {
		return content, name
	}
	if textOf(err) != "Failed to fetch URL" || storage.KindOf(err) != storage.KindInvalid || errors.Is(err, io.EOF) {
		t.Errorf("%s: %v", url, err)
	}
	return "failed", ""
}

func TestFetch(t *testing.T) {
	t.Parallel()
	var seen *http.Request
	w, f := newWorld(t, func(w http.ResponseWriter, r *http.Request) {
		seen = r
		http.SetCookie(w, &http.Cookie{Name: "a", Value: "b"})
		fmt.Fprintf(w, "hello %s", r.Host)
	})
	for url, name := range map[string]string{
		"http://e.example/a/b%20c.txt?q=1#f": "b c.txt", "http://e.example/a/b/": "b", "http://e.example": "", "HTTP://E.EXAMPLE:80/x": "x", "http://93.184.216.34/y": "y",
	} {
		content, gotName := got(t, f, url, 100)
		if !strings.HasPrefix(content, "hello ") || gotName != name {
			t.Errorf("%s: %q, %q", url, content, gotName)
		}
		h := seen.Header
		if h.Get("User-Agent") != "ringbin-fetch" || h.Get("Cookie")+h.Get("Referer")+h.Get("Authorization") != "" || seen.Method != http.MethodGet {
			t.Errorf("%s was asked with %v", url, h)
		}
	}
	if content, _ := got(t, f, "https://93.184.216.34/", 100); content != "failed" {
		t.Error("a certificate of another name is taken:", content)
	}
	w.names["example.com"] = []string{"93.184.216.34"} // the name that httptest's certificate has
	if content, _ := got(t, f, "https://example.com/", 100); content != "hello example.com" {
		t.Error("https:", content)
	}
}

func TestFetchRefuses(t *testing.T) {
	t.Parallel()
	w, f := newWorld(t, func(http.ResponseWriter, *http.Request) { t.Error("the server was reached") })
	w.names = map[string][]string{
		"local.example": {"127.0.0.1"}, "meta.example": {"169.254.169.254"}, "six.example": {"::1", "fd00::1"}, "mapped.example": {"::ffff:10.0.0.1"},
		"node-2": {"45.1.2.3"}, "own.example": {"45.1.2.3"}, "deny.example": {"9.9.9.9"}, "zone.example": {"fe80::1%lo"}, "e.example": {"93.184.216.34"}, "none.example": {},
	}
	w.rules = FetchRules{Deny: prefixes("9.9.9.0/24"), Nodes: []string{"node-2:8081", "[2a02::7]:8081", "node-gone:8081", "46.1.1.1"}}
	for _, url := range []string{
		"", "x", "/p", "ftp://e.example/", "file:///etc/passwd", "gopher://e.example:80/", "http://", "http:///x", "http://:80/",
		"http://u@e.example/", "http://u:p@e.example/", "http://@e.example/", "http://e.example:81/", "http://e.example:0/", "http://e.example:8080/", "https://e.example:22/",
		"http://local.example/", "http://meta.example/latest/meta-data/", "http://six.example/", "http://mapped.example/", "http://own.example/",
		"http://deny.example/", "http://zone.example/", "http://none.example/", "http://unknown.example/", "http://node-2/",
		"http://127.0.0.1/", "http://[::1]/", "http://[::ffff:127.0.0.1]/", "http://[fe80::1%25eth0]/", "http://[2606:4700::1%25eth0]/", "http://0/", "http://2130706433/", "http://0x7f.1/",
		"http://[2a02::7]/", "http://46.1.1.1/", "http://[64:ff9b::7f00:1]/", "http://[2002:7f00:1::]/", "http://localhost/",
		"http://e.example/" + strings.Repeat("x", targetMax), "http://e.example/\nx",
	} {
		if content, _ := got(t, f, url, 100); content != "failed" {
			t.Errorf("%.60q: %q", url, content)
		}
		if title := f.Title(t.Context(), url); title != "" {
			t.Errorf("%.60q is called %q", url, title)
		}
	}
	if len(w.dialed) != 0 {
		t.Error("connected to", w.dialed)
	}
	w.rules.Ports = []int64{8080}
	if content, _ := got(t, f, "http://e.example/", 100); content != "failed" {
		t.Error("port 80 is not the operator's")
	}
}

// A URL that is none may be a secret that was mistyped: errors, which are logged, do not hold it.
func TestFetchErrorsHoldNoURL(t *testing.T) {
	t.Parallel()
	w, f := newWorld(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", "http://[?token=SECRET")
		w.WriteHeader(http.StatusFound)
	})
	w.names["e.example"] = []string{"93.184.216.34"}
	for _, url := range []string{"http://[?token=SECRET", "http://e.example/"} {
		_, _, err := f.Get(t.Context(), url, 100)
		if err == nil || strings.Contains(err.Error(), "SECRET") {
			t.Errorf("%s: %v", url, err)
		}
	}
}

// This machine's own addresses are refused, whether or not a node names them.
func TestFetchRefusesInterfaces(t *testing.T) {
	t.Parallel()
	f := NewFetcher(FetchOptions{Rules: func() FetchRules { return FetchRules{} }})
	own, err := f.ownAddresses(t.Context(), nil)
	if err != nil || !slices.Contains(own, netip.MustParseAddr("127.0.0.1")) {
		t.Error(own, err)
	}
	f.o.Resolve = func(context.Context, string) ([]netip.Addr, error) { return nil, errors.New("no name server") }
	if _, err := f.ownAddresses(t.Context(), []string{"node-1"}); err == nil {
		t.Error("a node whose address is not known now is let through")
	}
}

// A name server that answers differently each time is asked once for a hop, and
// the connection goes to what it said then.
func TestFetchRebinding(t *testing.T) {
	t.Parallel()
	w, f := newWorld(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "public") })
	answers := []string{"93.184.216.34", "127.0.0.1", "127.0.0.1"}
	f.o.Resolve = func(_ context.Context, host string) ([]netip.Addr, error) {
		w.looked = append(w.looked, host)
		a := netip.MustParseAddr(answers[0])
		answers = answers[1:]
		return []netip.Addr{a}, nil
	}
	if content, _ := got(t, f, "http://rebind.example/", 100); content != "public" {
		t.Error(content)
	}
	if len(w.looked) != 1 || len(w.dialed) != 1 || w.dialed[0] != "93.184.216.34:80" {
		t.Errorf("looked up %v, connected to %v", w.looked, w.dialed)
	}
	if content, _ := got(t, f, "http://rebind.example/", 100); content != "failed" || len(w.dialed) != 1 {
		t.Errorf("%q, connected to %v", content, w.dialed)
	}
	// Of several addresses only those that may be are tried, and few of them.
	w.names["mixed.example"] = []string{"127.0.0.1", "10.0.0.1", "1.1.1.1", "::1", "2.2.2.2", "3.3.3.3", "4.4.4.4", "5.5.5.5"}
	w.dialed, w.dial = nil, func(context.Context, netip.AddrPort) (net.Conn, error) { return nil, errors.New("refused") }
	f.o.Resolve = w.resolve
	if content, _ := got(t, f, "http://mixed.example/", 100); content != "failed" {
		t.Error(content)
	}
	if want := []string{"1.1.1.1:80", "2.2.2.2:80", "3.3.3.3:80", "4.4.4.4:80"}; !slices.Equal(w.dialed, want) {
		t.Errorf("connected to %v, want %v", w.dialed, want)
	}
}

func TestFetchRedirects(t *testing.T) {
	t.Parallel()
	w, f := newWorld(t, func(w http.ResponseWriter, r *http.Request) {
		if to := r.URL.Query().Get("to"); to != "" {
			w.Header().Set("Location", to)
			w.WriteHeader(http.StatusFound)
			return
		}
		if n := r.URL.Query().Get("n"); n != "" && n != "0" {
			w.Header().Set("Location", "/hop?n="+string(n[0]-1))
			w.WriteHeader(http.StatusPermanentRedirect)
			return
		}
		if status := r.URL.Query().Get("status"); status != "" {
			var code int
			_, _ = fmt.Sscan(status, &code)
			w.WriteHeader(code)
		}
		_, _ = io.WriteString(w, "there "+r.Host)
	})
	w.names["local.example"] = []string{"127.0.0.1"}
	w.names["f.example"] = []string{"1.1.1.1"}
	for path, want := range map[string]string{
		"?n=0": "there e.example", "?n=1": "there e.example", "?n=3": "there e.example", "?n=4": "failed", "?n=9": "failed",
		"?to=http://f.example/": "there f.example", "?to=//f.example/": "there f.example",
		"?to=http://127.0.0.1/": "failed", "?to=http://local.example/": "failed", "?to=http://[::1]/": "failed", "?to=file:///etc/passwd": "failed",
		"?to=http://u:p@f.example/": "failed", "?to=http://f.example:8080/": "failed", "?to=http://e.example:bad/": "failed", "?to=http://169.254.169.254/": "failed",
		"?status=201": "failed", "?status=204": "failed", "?status=206": "failed", "?status=302": "failed", "?status=404": "failed", "?status=500": "failed", "?status=304": "failed",
	} {
		w.dialed = nil
		if content, _ := got(t, f, "http://e.example/"+path, 100); content != want {
			t.Errorf("%s: %q, want %q", path, content, want)
		}
		for _, a := range w.dialed {
			if a != "93.184.216.34:80" && a != "1.1.1.1:80" {
				t.Errorf("%s: connected to %s", path, a)
			}
		}
	}
}

func TestFetchLimits(t *testing.T) {
	t.Parallel()
	var bomb bytes.Buffer
	z := gzip.NewWriter(&bomb)
	if _, err := io.CopyN(z, endless{}, 16<<20); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	_, f := newWorld(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/bomb":
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write(bomb.Bytes())
		case "/br":
			w.Header().Set("Content-Encoding", "br")
			_, _ = io.WriteString(w, "x")
		case "/headers":
			w.Header().Set("X-Long", strings.Repeat("x", 2*fetchHeaderMax))
		case "/short":
			w.Header().Set("Content-Length", "10")
			_, _ = io.WriteString(w, "x")
		default:
			_, _ = io.WriteString(w, "0123456789")
		}
	})
	if content, _ := got(t, f, "http://e.example/", 10); content != "0123456789" {
		t.Error("at the limit:", content)
	}
	for _, path := range []string{"/bomb", "/br", "/headers", "/short"} {
		if content, _ := got(t, f, "http://e.example"+path, 1<<20); content != "failed" {
			t.Errorf("%s: %.20q", path, content)
		}
	}
	if content, _ := got(t, f, "http://e.example/", 9); content != "failed" {
		t.Error("above the limit:", content)
	}
	if content, _ := got(t, f, "http://e.example/bomb", 16<<20); len(content) != 16<<20 {
		t.Error("gzip within the limit:", len(content))
	}
}

// drips serves a connection with a body that never ends.
func drips(conn net.Conn, head string, pause time.Duration) {
	defer func() { _ = conn.Close() }()
	if _, err := http.ReadRequest(bufio.NewReader(conn)); err != nil {
		return
	}
	for text := head; ; text = "x" {
		if _, err := io.WriteString(conn, text); err != nil {
			return
		}
		time.Sleep(pause)
	}
}

func TestFetchTimes(t *testing.T) {
	t.Parallel()
	const slow = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<title>never ends"
	pipe := func(head string) func(context.Context, netip.AddrPort) (net.Conn, error) {
		return func(context.Context, netip.AddrPort) (net.Conn, error) {
			client, server := net.Pipe()
			go drips(server, head, time.Second)
			return client, nil
		}
	}
	hang := func(ctx context.Context, _ netip.AddrPort) (net.Conn, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	for name, tt := range map[string]struct {
		dial      func(context.Context, netip.AddrPort) (net.Conn, error)
		total     time.Duration
		titleOnly time.Duration
	}{
		"connect":       {hang, 5 * time.Second, 5 * time.Second},
		"slow body":     {pipe(slow), 30 * time.Second, 5 * time.Second},
		"slow headers":  {pipe("HTTP/1.1 200 OK\r\nX: "), 30 * time.Second, 5 * time.Second},
		"slow redirect": {pipe("HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n"), 30 * time.Second, 5 * time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			f := NewFetcher(FetchOptions{
				Rules: func() FetchRules { return FetchRules{} },
				Resolve: func(context.Context, string) ([]netip.Addr, error) {
					return []netip.Addr{netip.MustParseAddr("1.1.1.1")}, nil
				},
				Dial: tt.dial,
			})
			start := time.Now()
			if content, _ := got(t, f, "http://e.example/", 1<<20); content != "failed" {
				t.Errorf("%s: %q", name, content)
			}
			if took := time.Since(start); took > tt.total {
				t.Errorf("%s took %v", name, took)
			}
			start = time.Now()
			if title := f.Title(t.Context(), "http://e.example/"); title != "" {
				t.Errorf("%s: the title %q", name, title)
			}
			if took := time.Since(start); took > tt.titleOnly {
				t.Errorf("%s: the title took %v", name, took)
			}
			time.Sleep(2 * time.Second) // of the bubble: the server sees its end
		})
	}
}

// More than a few at a time wait for their turn, and no longer than they may.
func TestFetchSlots(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := NewFetcher(FetchOptions{Rules: func() FetchRules { return FetchRules{} }})
		for range fetchesMax {
			f.slots <- struct{}{}
		}
		start := time.Now()
		if _, _, err := f.Get(t.Context(), "http://1.1.1.1/", 1); textOf(err) != "Failed to fetch URL" || time.Since(start) != fetchTotalMax {
			t.Error(err, time.Since(start))
		}
	})
}

func TestTitle(t *testing.T) {
	t.Parallel()
	pages := map[string]struct{ contentType, page, want string }{
		"/plain":   {"text/html", "<html><head><meta charset=utf-8><title>\n Example &amp; <b>Web</b>site\t</title><body><title>no</title>", "Example & <b>Web</b>site"},
		"/xhtml":   {"application/xhtml+xml; charset=utf-8", "<html><head><title>X</title></head></html>", "X"},
		"/latin":   {"text/html; charset=iso-8859-1", "<title>caf\xe9</title>", "café"},
		"/meta":    {"text/html", "<meta http-equiv=content-type content='text/html; charset=koi8-r'><title>\xf0\xd2\xc9</title>", "При"},
		"/long":    {"text/html", "<title>" + strings.Repeat("é", 300) + "</title>", strings.Repeat("é", 127)},
		"/control": {"text/html", "<title>a&#x1;b\u0085c</title>", "ab c"},
		"/late":    {"text/html", strings.Repeat("<p>x</p>", titleBodyMax/8) + "<title>too late</title>", ""},
		"/huge":    {"text/html", "<title>" + strings.Repeat("x", 2*titleBodyMax), strings.Repeat("x", 255)},
		"/none":    {"text/html", "<p>x", ""},
		"/empty":   {"text/html", "<title></title><title>b</title>", ""},
		"/text":    {"text/plain", "<title>x</title>", ""},
		"/notype":  {"", "<title>x</title>", ""},
		"/script":  {"text/html", "<script>'<title>x</title>'</script><!-- <title>y</title> --><title>z</title>", "z"},
	}
	_, f := newWorld(t, func(w http.ResponseWriter, r *http.Request) {
		p := pages[r.URL.Path]
		w.Header()["Content-Type"] = []string{p.contentType}
		_, _ = io.WriteString(w, p.page)
	})
	for path, p := range pages {
		if title := f.Title(t.Context(), "http://e.example"+path); title != p.want {
			t.Errorf("%s: %q, want %q", path, title, p.want)
		}
		if len(f.slots) != 0 {
			t.Error("a slot is lost")
		}
	}
}
