package node

import (
	"math"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/maypok86/otter/v2"
	"golang.org/x/time/rate"

	"ringbin/storage"
	"ringbin/storage/meta"
)

// bucketsMax bounds the token buckets of one kind that a node remembers: the
// least used ones go first, and come back full.
const bucketsMax = 100_000

// Rate is where a bucket stands. Limit 0: no limit is on, and no headers are sent.
type Rate struct {
	Limit     int64
	Remaining int64
	Reset     time.Duration // until the bucket is full
}

// RateClass is what a request to Paste69 counts as.
type RateClass int

// The classes. Wrong secrets are counted when they were wrong.
const (
	RateReads RateClass = iota
	RateWrites
	RateKeyRequests
	RateWrongSecrets
)

const rateClasses = int(RateWrongSecrets) + 1

// rates holds the token buckets of one node.
type rates struct {
	keys, addrs *buckets // HashBin's
	emails      *buckets // key requests for an address
	pasteKeys   [rateClasses]*buckets
	pasteAddrs  [rateClasses]*buckets
}

type buckets = otter.Cache[string, *bucket]

type bucket struct {
	mu      sync.Mutex // a change of the allowance and a take are one step
	a       allowance
	limiter *rate.Limiter
}

// allowance is how fast a bucket fills, and what it holds; nothing is no limit.
type allowance struct {
	perSecond float64
	burst     int64
}

// each is a bucket that holds what it is filled with in a time.
func each(span time.Duration, n int64) allowance {
	return allowance{perSecond: float64(n) / span.Seconds(), burst: n}
}

func bucketed(r meta.Rate) allowance {
	return allowance{perSecond: float64(r.PerSecond), burst: r.Burst}
}

func newRates() *rates {
	cache := func() *buckets {
		return otter.Must(&otter.Options[string, *bucket]{MaximumSize: bucketsMax})
	}
	r := &rates{keys: cache(), addrs: cache(), emails: cache()}
	for class := range rateClasses {
		r.pasteKeys[class], r.pasteAddrs[class] = cache(), cache()
	}
	return r
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
	return admit(s.rates.keys, c.Key, each(time.Minute, limit), "key")
}

// AdmitAddr does so for requests with no or refused credentials, per IPv4 address or IPv6 /64.
func (s *Service) AdmitAddr(a netip.Addr) (Rate, error) {
	return admit(s.rates.addrs, customerOf(a), each(time.Minute, s.Settings().RateIPPerMinute), "ip")
}

// Admit takes one request to Paste69 from the bucket of its class: reads and
// writes with a key count on the key only, all else on the address.
// KindRateLimited with details limit, scope, retry_after_seconds.
func (s *Service) Admit(class RateClass, c Caller, a netip.Addr) error {
	r := s.Settings().Paste69.Rates
	byKey, byAddr := r.ReadKey, bucketed(r.ReadAddr)
	switch class {
	case RateReads:
	case RateWrites:
		byKey, byAddr = r.WriteKey, bucketed(r.WriteAddr)
	case RateKeyRequests:
		c, byAddr = Caller{}, each(time.Hour, r.KeyRequestsPerHour)
	case RateWrongSecrets:
		c, byAddr = Caller{}, each(time.Minute, r.WrongSecretsPerMinute)
	}
	var err error
	if c.Key != "" {
		_, err = admit(s.rates.pasteKeys[class], c.Key, bucketed(byKey), "key")
	} else {
		_, err = admit(s.rates.pasteAddrs[class], customerOf(a), byAddr, "ip")
	}
	return err
}

// admitEmail bounds how often an address is asked for: it is not who asks that
// gets the mail.
func (s *Service) admitEmail(email string) error {
	_, err := admit(s.rates.emails, strings.ToLower(email), each(24*time.Hour, s.Settings().Paste69.Rates.KeyRequestsPerDayEmail), "email")
	return err
}

// customerOf names what one customer has of the addresses: they are the same
// one to whoever counts them.
func customerOf(a netip.Addr) string {
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

func admit(cache *buckets, id string, a allowance, scope string) (Rate, error) {
	if a.perSecond <= 0 || a.burst <= 0 {
		return Rate{}, nil
	}
	b, _ := cache.ComputeIfAbsent(id, func() (*bucket, bool) { return &bucket{}, false })
	now := time.Now()
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.a != a {
		b.a, b.limiter = a, rate.NewLimiter(rate.Limit(a.perSecond), int(a.burst))
	}
	ok := b.limiter.AllowN(now, 1)
	tokens := b.limiter.TokensAt(now)
	r := Rate{
		Limit: a.burst, Remaining: max(0, int64(tokens)),
		Reset: time.Duration((float64(a.burst) - tokens) / a.perSecond * float64(time.Second)),
	}
	if ok {
		return r, nil
	}
	retry := max(1, int64(math.Ceil((1-tokens)/a.perSecond)))
	return r, &storage.Error{
		Op: "node.admit", Kind: storage.KindRateLimited, Code: "rate_limited",
		Details: map[string]any{"limit": a.burst, "scope": scope, "retry_after_seconds": retry},
	}
}
