package meta

import (
	"math"
	"math/bits"

	"ringbin/storage"
)

// PriceCents returns what size bytes cost for so many days at p cents for each
// GiB and month of 30 days: rounded up once, on the whole product, which takes
// 128 bits. Content that is its own CID, no days, and a price of 0 cost nothing.
func PriceCents(size int64, days int, p int64) int64 {
	if size <= storage.InlineMax || days <= 0 || p <= 0 {
		return 0
	}
	const month = 30 << 30 // days times bytes
	hi, lo := bits.Mul64(uint64(size), uint64(days)*uint64(p))
	lo, carry := bits.Add64(lo, month-1, 0)
	hi += carry
	if hi >= month {
		return math.MaxInt64
	}
	q, _ := bits.Div64(hi, lo, month)
	return max(1, int64(min(q, math.MaxInt64)))
}
