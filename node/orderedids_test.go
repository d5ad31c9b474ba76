package node

import (
	"bytes"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"

	"ringbin/storage/meta"
)

// Ids sort by the time that they were drawn at, and two of one time differ.
func TestOrderedIDs(t *testing.T) {
	t.Parallel()
	form := regexp.MustCompile(`^txn_[0-9A-Za-z]{20}$`)
	rng := rand.New(rand.NewPCG(1, 1))
	texts, ids := map[string]bool{}, map[meta.RequestID]bool{}
	const times = 1000
	for range times {
		at := rng.Int64N(1 << 44) // the year 2527
		later := at + 1 + rng.Int64N(1<<uint(rng.IntN(44)))
		text, id := entryID(at), orderedRequestID(at)
		if !form.MatchString(text) {
			t.Fatalf("%q", text)
		}
		if next := entryID(later); strings.Compare(text, next) >= 0 {
			t.Errorf("%q of %d is not before %q of %d", text, at, next, later)
		}
		if next := orderedRequestID(later); bytes.Compare(id[:], next[:]) >= 0 {
			t.Errorf("%x of %d is not before %x of %d", id, at, next, later)
		}
		texts[entryID(1)], ids[orderedRequestID(1)] = true, true
	}
	if len(texts) != times || len(ids) != times {
		t.Errorf("%d and %d ids of %d draws", len(texts), len(ids), times)
	}
}
