package testcluster_test

import (
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"ringbin/testcluster"
)

// How long faults go on in every run of the tests, and what they must show for
// it. Longer runs are asked for with RINGBIN_CHAOS_TIME.
const (
	chaosShort   = 8 * time.Second
	chaosKinds   = 4
	retriedShort = 5

	chaosWhole   = 60 * time.Second // from here on every kind of fault must have been seen
	retriedWhole = 100
	refillWhole  = 64 << 20
)

// seedOf is RINGBIN_CHAOS_SEED, or a new one.
func seedOf(t *testing.T) uint64 {
	t.Helper()
	s := os.Getenv("RINGBIN_CHAOS_SEED")
	if s == "" {
		return uint64(time.Now().UnixNano())
	}
	seed, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		t.Fatalf("RINGBIN_CHAOS_SEED: %v", err)
	}
	return seed
}

// TestChaos lets faults happen one after the other, in a random order from a
// seed, while clients work; all checks run at the end.
func TestChaos(t *testing.T) {
	testcluster.Parallel(t)
	o := testcluster.Chaos{Seed: seedOf(t), Time: chaosShort, Spenders: 6, Kinds: chaosKinds, RetriedLeast: retriedShort}
	if s := os.Getenv("RINGBIN_CHAOS_TIME"); s != "" {
		d, err := time.ParseDuration(s)
		if err != nil {
			t.Fatalf("RINGBIN_CHAOS_TIME: %v", err)
		}
		o.Time = d
		if d >= chaosWhole {
			o.Kinds, o.RetriedLeast, o.RefillBytes = 0, retriedWhole, refillWhole
		}
	}
	if s := os.Getenv("RINGBIN_CHAOS_FAULTS"); s != "" {
		o.Only = strings.Split(s, ",")
	}
	t.Logf("seed %d", o.Seed)
	c := testcluster.Start(t, 3, chaosOptions)
	c.RunChaos(o).Print(t.Output())
}

// chaosOptions are those of clusters that faults happen to.
var chaosOptions = testcluster.Options{Disks: true, Journal: true}
