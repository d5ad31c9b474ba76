package paste69

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Limits of requests to strangers.
const (
	fetchAgent        = "ringbin-fetch"
	fetchConnectMax   = 5 * time.Second // name, connection; TLS has as long again
	fetchTotalMax     = 30 * time.Second
	fetchRedirectsMax = 3
	fetchAddressesMax = 4 // of one name that are tried
	fetchHeaderMax    = 64 << 10
	fetchesMax        = 16 // at a time
)

// FetchRules are what the operator allows.
type FetchRules struct {
	Ports []int64        // 80 and 443 when empty
	Deny  []netip.Prefix // refused besides what always is
	Nodes []string       // addresses or host names of the cluster's nodes, with or without port
}

// FetchOptions are what a Fetcher works with. Only Rules is required; the rest
// is for tests.
type FetchOptions struct {
	Rules   func() FetchRules // asked anew for each fetch
	Resolve func(ctx context.Context, host string) ([]netip.Addr, error)
	Dial    func(ctx context.Context, to netip.AddrPort) (net.Conn, error)
	TLS     *tls.Config
}

// Fetcher makes requests to strangers' servers, wherever users want them made.
// It connects to public addresses only: a name is resolved once for each hop,
// each address is checked, and the connection is made to a checked one, so
// that no second answer of a name server can change it. Every failure is one
// and the same error: it must not tell what answers inside.
type Fetcher struct {
	o     FetchOptions
	slots chan struct{}
}

// NewFetcher returns a Fetcher.
func NewFetcher(o FetchOptions) *Fetcher {
	if o.Resolve == nil {
		o.Resolve = func(ctx context.Context, host string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		}
	}
	if o.Dial == nil {
		o.Dial = func(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "tcp", to.String())
		}
	}
	return &Fetcher{o: o, slots: make(chan struct{}, fetchesMax)}
}

func fetchFailed(err error) error {
	return invalid("fetch_failed", textFetch, errors.New(err.Error())) // its text only: no io.EOF, no Kind from below
}

// Get fetches a body of at most limit bytes, counted after decompression. What
// goes wrong while it is read is the same error, too. name is the last segment
// of the URL's path, "" for none. The caller closes the body.
func (f *Fetcher) Get(ctx context.Context, rawURL string, limit int64) (body io.ReadCloser, name string, err error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, "", fetchFailed(errTarget) // the error would tell the log what may be a secret
	}
	resp, err := f.open(ctx, u, fetchTotalMax) //nolint:bodyclose // the caller closes it
	if err != nil {
		return nil, "", fetchFailed(err)
	}
	return &fetchedBody{ReadCloser: resp.Body, left: limit}, lastSegment(u), nil
}

func lastSegment(u *url.URL) string {
	segments := strings.FieldsFunc(u.Path, func(r rune) bool { return r == '/' })
	if len(segments) == 0 {
		return ""
	}
	return segments[len(segments)-1]
}

// fetchedBody turns what goes wrong with a body into the one error.
type fetchedBody struct {
	io.ReadCloser

	left int64
}

func (b *fetchedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return 0, fetchFailed(errors.New("too large"))
	}
	if err != nil && err != io.EOF { //nolint:errorlint // bare at the regular end only
		err = fetchFailed(err)
	}
	return n, err
}

// open follows redirects to a 200. Its body ends the whole when it is closed.
func (f *Fetcher) open(ctx context.Context, u *url.URL, total time.Duration) (*http.Response, error) {
	ctx, cancel := context.WithTimeout(ctx, total)
	release, err := f.enter(ctx)
	if err != nil {
		cancel()
		return nil, err
	}
	end := func() { cancel(); release() }
	rules := f.o.Rules()
	own, err := f.ownAddresses(ctx, rules.Nodes)
	if err != nil {
		end()
		return nil, err
	}
	resp, err := f.follow(ctx, u, &hop{f: f, rules: rules, own: own})
	if err != nil {
		end()
		return nil, err
	}
	resp.Body = &endingBody{ReadCloser: resp.Body, end: end}
	return resp, nil
}

func (f *Fetcher) enter(ctx context.Context) (release func(), err error) {
	select {
	case f.slots <- struct{}{}:
		return func() { <-f.slots }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// endingBody ends a fetch, once.
type endingBody struct {
	io.ReadCloser

	end func()
}

func (b *endingBody) Close() error {
	err := b.ReadCloser.Close()
	if b.end != nil {
		b.end()
		b.end = nil
	}
	return err
}

// ownAddresses are the cluster's: what a node serves is not to be asked for by
// a node. A name that can't be looked up just now may be anyone's.
func (f *Fetcher) ownAddresses(ctx context.Context, nodes []string) ([]netip.Addr, error) {
	var own []netip.Addr
	interfaces, err := net.InterfaceAddrs()
	if err != nil {
		return nil, err
	}
	for _, i := range interfaces {
		if p, err := netip.ParsePrefix(i.String()); err == nil {
			own = append(own, p.Addr().Unmap().WithZone(""))
		}
	}
	for _, node := range nodes {
		host := node
		if h, _, err := net.SplitHostPort(node); err == nil {
			host = h
		}
		addresses, err := f.lookup(ctx, strings.Trim(host, "[]"))
		if notFound, ok := errors.AsType[*net.DNSError](err); ok && notFound.IsNotFound {
			continue
		}
		if err != nil {
			return nil, err
		}
		for _, a := range addresses {
			own = append(own, a.Unmap().WithZone(""))
		}
	}
	return own, nil
}

func (f *Fetcher) lookup(ctx context.Context, host string) ([]netip.Addr, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{a}, nil
	}
	return f.o.Resolve(ctx, host)
}

// follow makes the first request and those of redirects, each checked anew.
func (f *Fetcher) follow(ctx context.Context, u *url.URL, h *hop) (*http.Response, error) {
	for redirects := 0; ; redirects++ {
		if err := h.check(u); err != nil {
			return nil, err
		}
		resp, err := h.request(ctx, u)
		if err != nil {
			return nil, err
		}
		if resp.StatusCode == http.StatusOK && isIdentity(resp.Header) {
			return resp, nil
		}
		_ = resp.Body.Close() // not wanted
		next := redirectOf(resp)
		if next == "" {
			return nil, fmt.Errorf("answered %d", resp.StatusCode)
		}
		if redirects == fetchRedirectsMax {
			return nil, errors.New("too many redirects")
		}
		if u, err = u.Parse(next); err != nil {
			return nil, errTarget // as above
		}
	}
}

// isIdentity is false for encodings that were not asked for: gzip is undone,
// and its header gone, by then.
func isIdentity(h http.Header) bool {
	return !slices.ContainsFunc(h.Values("Content-Encoding"), func(v string) bool {
		return v != "" && !strings.EqualFold(v, "identity")
	})
}

func redirectOf(resp *http.Response) string {
	switch resp.StatusCode {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther,
		http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		return resp.Header.Get("Location")
	}
	return ""
}

// hop makes one request at a time.
type hop struct {
	f     *Fetcher
	rules FetchRules
	own   []netip.Addr
}

var errRefused = errors.New("refused")

// check is what a URL has to be before anything is looked up.
func (h *hop) check(u *url.URL) error {
	ports := h.rules.Ports
	if len(ports) == 0 {
		ports = []int64{80, 443}
	}
	port, ok := portOf(u)
	if !ok || !slices.Contains(ports, port) || u.User != nil || u.Hostname() == "" || len(u.String()) > targetMax {
		return errRefused
	}
	return nil
}

// request sends a GET over a connection of its own.
func (h *hop) request(ctx context.Context, u *url.URL) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), http.NoBody)
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", fetchAgent)
	t := &http.Transport{ // no Proxy, no cookies, nothing that outlives the request
		DialContext:            h.dial,
		TLSClientConfig:        h.f.o.TLS.Clone(),
		TLSHandshakeTimeout:    fetchConnectMax,
		DisableKeepAlives:      true,
		MaxResponseHeaderBytes: fetchHeaderMax,
	}
	return t.RoundTrip(req)
}

// dial resolves a name, once, and connects to an address that it checked.
func (h *hop) dial(ctx context.Context, _, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchConnectMax)
	defer cancel()
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	addresses, err := h.f.lookup(ctx, host)
	if err != nil {
		return nil, err
	}
	err = errRefused
	tried := 0
	for _, a := range addresses {
		to, badPort := netip.ParseAddrPort(net.JoinHostPort(a.String(), port))
		if badPort != nil || refused(to.Addr(), h.rules.Deny, h.own) || tried == fetchAddressesMax {
			continue
		}
		tried++
		conn, failed := h.f.o.Dial(ctx, to)
		if failed == nil {
			return conn, nil
		}
		err = failed
	}
	return nil, err
}
