package web

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"ringbin/node"
)

// ParseUint reads a number written in decimal digits only, at most limit.
func ParseUint(s string, limit int64) (int64, bool) {
	if !allDigits(s) {
		return 0, false
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil && n <= limit
}

// Paging returns the query's limit, 1 to most, and cursor.
func Paging(q url.Values, standard, most int) (limit int, cursor string, err error) {
	limit = standard
	if q.Has("limit") {
		n, ok := ParseUint(q.Get("limit"), int64(most))
		if !ok || n < 1 {
			return 0, "", Faults("web.Paging", CodeInvalidParameter, Fault{"limit", "integer from 1 to " + strconv.Itoa(most)})
		}
		limit = int(n)
	}
	return limit, q.Get("cursor"), nil
}

// idempotencyKeyMax is the length of an Idempotency-Key.
const idempotencyKeyMax = 255

// IdempotencyKey returns the header of that name; ok is false when there is
// one that is not 1 to 255 printable ASCII characters.
func IdempotencyKey(h http.Header) (key string, sent, ok bool) {
	values := h.Values("Idempotency-Key")
	if len(values) == 0 {
		return "", false, true
	}
	key = values[0]
	if len(values) > 1 || key == "" || len(key) > idempotencyKeyMax {
		return "", true, false
	}
	for i := range len(key) {
		if key[i] < ' ' || key[i] > '~' {
			return "", true, false
		}
	}
	return key, true, true
}

// SetRate says where a bucket stands; nothing when no limit is on.
func SetRate(h http.Header, r node.Rate) {
	if r.Limit == 0 {
		return
	}
	values := [...]string{
		strconv.FormatInt(r.Limit, 10), strconv.FormatInt(r.Remaining, 10), strconv.FormatInt(int64((r.Reset+time.Second-1)/time.Second), 10),
	}
	// In their canonical form: every answer has them.
	h["Ratelimit-Limit"], h["Ratelimit-Remaining"], h["Ratelimit-Reset"] = values[0:1:1], values[1:2:2], values[2:3:3]
}

// forwardedMax bounds how many hops of X-Forwarded-For are looked at.
const forwardedMax = 32

// ClientAddr returns who sent a request: the connection's other end, or, when
// that is a trusted proxy, the last address in X-Forwarded-For that is not one.
// What stands left of that is the client's own invention.
func ClientAddr(r *http.Request, trusted []netip.Prefix) netip.Addr {
	addr := parseAddr(r.RemoteAddr)
	if !isTrusted(addr, trusted) {
		return addr
	}
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for n := 0; n < forwardedMax && n < len(hops); n++ {
		hop := parseAddr(strings.TrimSpace(hops[len(hops)-1-n]))
		if !hop.IsValid() {
			return addr
		}
		addr = hop
		if !isTrusted(addr, trusted) {
			return addr
		}
	}
	return addr
}

func isTrusted(a netip.Addr, trusted []netip.Prefix) bool {
	for _, p := range trusted {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// parseAddr reads an address with or without a port; the zero Addr for anything else.
func parseAddr(s string) netip.Addr {
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return ap.Addr().Unmap().WithZone("")
	}
	a, err := netip.ParseAddr(strings.Trim(s, "[]"))
	if err != nil {
		return netip.Addr{}
	}
	return a.Unmap().WithZone("")
}

// MediaType returns the type and subtype of a Content-Type in lower case,
// without parameters; ok is false when it is not one.
func MediaType(contentType string) (mediaType string, ok bool) {
	mediaType, _, _ = strings.Cut(contentType, ";")
	mediaType = strings.ToLower(strings.TrimSpace(mediaType))
	kind, sub, found := strings.Cut(mediaType, "/")
	return mediaType, found && isToken(kind) && isToken(sub) && len(mediaType) <= mediaTypeMax
}

// mediaTypeMax is the longest type that RFC 6838 allows.
const mediaTypeMax = 127 + 1 + 127

func isToken(s string) bool {
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && !strings.ContainsRune("!#$%&'*+-.^_`|~", rune(c)) {
			return false
		}
	}
	return s != ""
}

// BaseURL is what absolute URLs begin with that lead a client back to the node,
// without a final slash: Origin's, or, for one that names no host (HTTP/1.0),
// the address that it has reached.
func BaseURL(r *http.Request, trusted []netip.Prefix, behindTLS bool) string {
	scheme, host := Origin(r, trusted, behindTLS)
	if host == "" {
		if at, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); ok {
			host = at.String()
		}
	}
	return scheme + "://" + host
}

// Origin returns the scheme and host that a client reached the node by: the
// connection's own, or what a trusted proxy says in X-Forwarded-Proto and
// X-Forwarded-Host. behindTLS is for a proxy that says nothing.
func Origin(r *http.Request, trusted []netip.Prefix, behindTLS bool) (scheme, host string) {
	scheme, host = "http", r.Host
	if r.TLS != nil || behindTLS {
		scheme = "https"
	}
	if !isTrusted(parseAddr(r.RemoteAddr), trusted) {
		return scheme, host
	}
	// The last value is the proxy's own: those before it came with the request.
	switch p := strings.ToLower(lastValue(r.Header, "X-Forwarded-Proto")); p {
	case "http", "https":
		scheme = p
	}
	if h := lastValue(r.Header, "X-Forwarded-Host"); isHost(h) {
		host = h
	}
	return scheme, host
}

func lastValue(h http.Header, name string) string {
	values := strings.Join(h.Values(name), ",")
	return strings.TrimSpace(values[strings.LastIndexByte(values, ',')+1:])
}

// hostMax is the longest host name, with a port.
const hostMax = 253 + len(":65535")

// isHost is whether s can stand in a URL as host or host:port.
func isHost(s string) bool {
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && !strings.ContainsRune("-._:[]", rune(c)) {
			return false
		}
	}
	return s != "" && len(s) <= hostMax
}
