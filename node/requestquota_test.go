package node_test

import (
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ringbin/cluster"
	"ringbin/node"
	"ringbin/storage"
)

func (r *binRig) limits(p node.JSONBinPatch) {
	r.t.Helper()
	must(r.s(0).SetSettings(r.t.Context(), r.op, node.SettingsPatch{JSONBin: &p}))(r.t)
	for i := range r.nodes {
		must(r.s(i).Collections(r.t.Context(), r.caller(i)))(r.t) // a strong read: the setting is known there
	}
}

// However requests come through the nodes, none is admitted above the quota,
// and what nodes hold back is no more than a block each.
func TestMonthlyQuota(t *testing.T) {
	t.Parallel()
	for _, quota := range []int64{1, 7, 1000} {
		t.Run(fmt.Sprint(quota), func(t *testing.T) {
			t.Parallel()
			r := newBinRig(t, 3)
			r.limits(node.JSONBinPatch{RequestsPerMonth: &quota})
			var admitted atomic.Int64
			var wg sync.WaitGroup
			for i := range 6 {
				c := r.caller(i)
				wg.Go(func() {
					for range quota {
						err := r.s(i).AdmitBins(t.Context(), c)
						if err == nil {
							admitted.Add(1)
							continue
						}
						wantCode(t, "above the quota", err, storage.KindForbidden, "quota_exhausted")
						return
					}
				})
			}
			wg.Wait()
			const blockMost = 4 // of 1000 requests, three nodes and a hundred blocks of each
			if got := admitted.Load(); got > quota || got < quota-2*blockMost {
				t.Errorf("%d requests of %d admitted", got, quota)
			}
			raised := quota + 1
			r.limits(node.JSONBinPatch{RequestsPerMonth: &raised})
			more := int64(0)
			for i := range r.nodes {
				for r.s(i).AdmitBins(t.Context(), r.caller(i)) == nil {
					more++
				}
			}
			if got := admitted.Load() + more; got != raised {
				t.Errorf("%d requests of %d admitted once it was raised", got, raised)
			}
			none := int64(0)
			r.limits(node.JSONBinPatch{RequestsPerMonth: &none})
			if err := r.s(0).AdmitBins(t.Context(), r.caller(0)); err != nil {
				t.Errorf("without a quota: %v", err)
			}
		})
	}
}

// A month that begins gives the quota anew. What a node had reserved when it
// stopped is lost.
func TestQuotaOfTheNextMonth(t *testing.T) {
	t.Parallel()
	dir, secret := filepath.Join(t.TempDir(), "n"), cluster.NewSecret()
	quota := int64(301) // in blocks of 4
	var r *binRig
	for month := range 3 {
		begun := time.Now()
		start := time.Date(2031, time.Month(12+month), 15, 12, 0, 0, 0, time.UTC)
		n := openIn(t, dir, secret, func(c *node.Config) {
			c.Clock = func() time.Time { return start.Add(time.Since(begun)) }
		})
		if r == nil {
			r = rigOf(t, n)
			r.limits(node.JSONBinPatch{RequestsPerMonth: &quota})
		}
		r.nodes[0] = n
		c := r.caller(0)
		if month == 1 { // one request, and with it a block
			if err := r.s(0).AdmitBins(t.Context(), c); err != nil {
				t.Fatal(err)
			}
			closeNode(t, n)
			n = openIn(t, dir, secret, func(c *node.Config) {
				c.Clock = func() time.Time { return start.Add(time.Since(begun)) }
			})
			r.nodes[0] = n
		}
		want := quota - int64(month%2)*4
		for i := range want + 1 {
			err := r.s(0).AdmitBins(t.Context(), c)
			if (err == nil) != (i < want) {
				t.Fatalf("month %d, request %d: %v", month, i, err)
			}
		}
		closeNode(t, n)
	}
}

// Requests above the limit of a minute are told when to come back.
func TestRequestsPerMinute(t *testing.T) {
	t.Parallel()
	clock := &minuteClock{}
	r := binRigOf(t, openEdited(t, 1, clock.set))
	r.countLong()
	limit := int64(2)
	r.limits(node.JSONBinPatch{RequestsPerMinute: &limit})
	_, otherMaster := r.newAccount("b@example.com")
	for i := range 3 {
		err := r.s(0).AdmitBins(t.Context(), r.caller(0))
		if i < 2 && err != nil {
			t.Errorf("request %d: %v", i, err)
		}
		if i == 2 {
			wantCode(t, "the third one", err, storage.KindRateLimited, "rate_limited")
		}
	}
	if err := r.s(0).AdmitBins(t.Context(), must(r.s(0).AuthenticateBin(t.Context(), otherMaster, ""))(t)); err != nil {
		t.Errorf("another account: %v", err)
	}
}

// The largest quota that can be set is one that requests are admitted under.
func TestLargestMonthlyQuota(t *testing.T) {
	t.Parallel()
	r := newBinRig(t, 1)
	r.limits(node.JSONBinPatch{RequestsPerMonth: new(int64(1<<53 - 1))})
	if err := r.s(0).AdmitBins(t.Context(), r.caller(0)); err != nil {
		t.Error(err)
	}
}
