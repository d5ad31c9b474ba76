package node

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"ringbin/storage"
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

// TestAddressesShareBuckets: an IPv6 customer has a /64, not an address.
func TestAddressesShareBuckets(t *testing.T) {
	t.Parallel()
	id := func(s string) string { return customerOf(netip.MustParseAddr(s)) }
	same := [][2]string{
		{"2001:db8::1", "2001:db8::ffff:1"},
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
