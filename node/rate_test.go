package node

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"ringbin/storage"
	"ringbin/storage/meta"
)

// TestBucket: a bucket holds one minute's allowance, refills evenly, and says
// when the next request is admitted.
func TestBucket(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRates()
		for i := range 6 {
			got, err := admit(r.keys, "k", each(time.Minute, 6), "key")
			if err != nil || got.Limit != 6 || got.Remaining != int64(5-i) {
				t.Fatalf("request %d: %+v %v", i, got, err)
			}
		}
		_, err := admit(r.keys, "k", each(time.Minute, 6), "key")
		e, ok := err.(*storage.Error) //nolint:errorlint // admit returns it bare
		if !ok || e.Kind != storage.KindRateLimited || e.Details["retry_after_seconds"] != int64(10) || e.Details["scope"] != "key" {
			t.Fatalf("the seventh of six: %v", err)
		}
		if _, err := admit(r.keys, "other", each(time.Minute, 6), "key"); err != nil {
			t.Fatalf("another key: %v", err)
		}
		time.Sleep(10 * time.Second)
		if _, err := admit(r.keys, "k", each(time.Minute, 6), "key"); err != nil {
			t.Fatalf("after the time it was told to wait: %v", err)
		}
		if _, err := admit(r.keys, "k", each(time.Minute, 6), "key"); err == nil {
			t.Fatal("two were admitted where one had refilled")
		}
		if got, err := admit(r.keys, "k", each(time.Minute, 0), "key"); err != nil || got.Limit != 0 {
			t.Fatalf("switched off: %+v %v", got, err)
		}
	})
}

// TestBursts: a bucket that holds more than it gets in a second is filled at
// its own speed.
func TestBursts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRates()
		a := bucketed(meta.Rate{PerSecond: 10, Burst: 50})
		take := func(n int) (got int) {
			for range n {
				if _, err := admit(r.addrs, "a", a, "ip"); err == nil {
					got++
				}
			}
			return got
		}
		if got := take(60); got != 50 {
			t.Fatalf("%d at once", got)
		}
		time.Sleep(time.Second)
		if got := take(60); got != 10 {
			t.Fatalf("%d a second later", got)
		}
	})
}

// TestAddressesShareBuckets: an IPv6 customer has a /64, not an address.
func TestAddressesShareBuckets(t *testing.T) {
	t.Parallel()
	id := func(s string) string { return customerOf(netip.MustParseAddr(s)) }
	same := [][2]string{
		{"2001:db8::1", "2001:db8:0:0:ffff::1"},
		{"192.0.2.1", "::ffff:192.0.2.1"},
	}
	for _, p := range same {
		if id(p[0]) != id(p[1]) {
			t.Errorf("%s and %s have two buckets", p[0], p[1])
		}
	}
	other := [][2]string{{"2001:db8::1", "2001:db8:0:1::1"}, {"192.0.2.1", "192.0.2.2"}}
	for _, p := range other {
		if id(p[0]) == id(p[1]) {
			t.Errorf("%s and %s share a bucket", p[0], p[1])
		}
	}
}

// TestPasteRates: classes do not share buckets; what a key allows is the
// key's alone, and 0 is no limit.
func TestPasteRates(t *testing.T) {
	t.Parallel()
	s, _ := bareService(t)
	off, few := meta.Rate{}, meta.Rate{PerSecond: 1, Burst: 3}
	two := int64(2)
	mustPropose(t, s.n.proposer, meta.SetSettings{Patch: meta.SettingsPatch{Paste69: &meta.Paste69Patch{Rates: &meta.Paste69RatesPatch{
		WriteAddr: &few, WriteKey: &few, ReadAddr: &few, ReadKey: &off, KeyRequestsPerHour: &two, WrongSecretsPerMinute: &two,
	}}}})
	here, there := netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8:0:1::1")
	key := Caller{Account: "a", Key: "k"}
	for _, c := range []struct {
		name  string
		class RateClass
		who   Caller
		from  netip.Addr
		most  int // admitted at once; -1: no limit
	}{
		{"writes", RateWrites, Caller{}, here, 3},
		{"writes from elsewhere", RateWrites, Caller{}, there, 3},
		{"writes with a key", RateWrites, key, here, 3},
		{"reads", RateReads, Caller{}, here, 3},
		{"reads with a key", RateReads, key, here, -1},
		{"key requests", RateKeyRequests, Caller{}, here, 2},
		{"key requests with a key count on the address", RateKeyRequests, key, here, 0},
		{"wrong secrets", RateWrongSecrets, key, there, 2},
	} {
		n := 0
		var err error
		for ; n < 20 && err == nil; n++ {
			err = s.Admit(c.class, c.who, c.from)
		}
		// A slow machine may refill a token meanwhile.
		if most := c.most; most < 0 && err != nil || most >= 0 && (n < most+1 || n > most+3) {
			t.Errorf("%s: %d, %v", c.name, n-1, err)
		}
		if err == nil {
			continue
		}
		e, ok := err.(*storage.Error) //nolint:errorlint // it comes bare
		if retry, _ := e.Details["retry_after_seconds"].(int64); !ok || e.Kind != storage.KindRateLimited || retry < 1 {
			t.Errorf("%s: %#v", c.name, err)
		}
	}
}
