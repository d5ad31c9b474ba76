package node

import (
	"math"
	"net/netip"
	"sync"
	"time"

	"github.com/maypok86/otter/v2"
	"golang.org/x/time/rate"

	"ringbin/storage"
)

// bucketsMax bounds the token buckets that a node remembers: the least used
// ones go first, and come back full.
const bucketsMax = 100_000

// Rate is where a bucket stands. Limit 0: no limit is on, and no headers are sent.
type Rate struct {
	Limit     int64
	Remaining int64
	Reset     time.Duration // until the bucket is full
}

// rates holds the token buckets of one node. Each bucket holds one minute's allowance.
type rates struct {
	keys, addrs *otter.Cache[string, *bucket]
}

type bucket struct {
	mu      sync.Mutex // a change of the limit and a take are one step
	limit   int64
	limiter *rate.Limiter
}

func newRates() *rates {
	cache := func() *otter.Cache[string, *bucket] {
		return otter.Must(&otter.Options[string, *bucket]{MaximumSize: bucketsMax})
	}
	return &rates{keys: cache(), addrs: cache()}
}

// AdmitCaller takes one request from the caller's bucket. KindRateLimited with
// details limit, scope, retry_after_seconds.
func (s *Service) AdmitCaller(c Caller) (Rate, error) {
	limit := s.Settings().RateKeyPerMinute
	if c.rate > 0 {
		limit = c.rate
	}
	if c.Operator {
		return Rate{}, nil
	}
	return admit(s.rates.keys, c.Key, limit, "key")
}

// AdmitAddr does so for requests with no or refused credentials, per IPv4 address or IPv6 /64.
func (s *Service) AdmitAddr(a netip.Addr) (Rate, error) {
	return admit(s.rates.addrs, bucketOf(a), s.Settings().RateIPPerMinute, "ip")
}

// bucketOf names the bucket of an address.
func bucketOf(a netip.Addr) string {
	a = a.Unmap().WithZone("")
	if a.Is6() {
		if p, err := a.Prefix(ipv6Bits); err == nil {
			return p.String()
		}
	}
	return a.String()
}

// ipv6Bits is what one customer has of an IPv6 address: the rest is theirs to vary.
const ipv6Bits = 64

func admit(cache *otter.Cache[string, *bucket], id string, limit int64, scope string) (Rate, error) {
	if limit <= 0 {
		return Rate{}, nil
	}
	b, _ := cache.ComputeIfAbsent(id, func() (*bucket, bool) { return &bucket{}, false })
	now := time.Now()
	b.mu.Lock()
	defer b.mu.Unlock()
	perSecond := rate.Limit(float64(limit) / 60)
	if b.limit != limit {
		b.limit, b.limiter = limit, rate.NewLimiter(perSecond, int(limit))
	}
	ok := b.limiter.AllowN(now, 1)
	tokens := b.limiter.TokensAt(now)
	r := Rate{
		Limit: limit, Remaining: max(0, int64(tokens)),
		Reset: time.Duration((float64(limit) - tokens) / float64(perSecond) * float64(time.Second)),
	}
	if ok {
		return r, nil
	}
	retry := max(1, int64(math.Ceil((1-tokens)/float64(perSecond))))
	return r, &storage.Error{
		Op: "node.admit", Kind: storage.KindRateLimited, Code: "rate_limited",
		Details: map[string]any{"limit": limit, "scope": scope, "retry_after_seconds": retry},
	}
}
