package storage

import (
	"hash/crc32"
	"testing"

	"pgregory.net/rapid"
)

// TestJoinCRC: joined from its parts, a CRC is that of the whole.
func TestJoinCRC(t *testing.T) {
	t.Parallel()
	whole := content(1, 2*PieceBytes)
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, len(whole)).Draw(t, "bytes")
		at := rapid.IntRange(0, n).Draw(t, "cut")
		first, second := crc32.Checksum(whole[:at], crcTable), crc32.Checksum(whole[at:n], crcTable)
		if got, want := joinCRC(first, second, n-at), crc32.Checksum(whole[:n], crcTable); got != want {
			t.Fatalf("%d bytes cut at %d: %08x, not %08x", n, at, got, want)
		}
	})
}

func BenchmarkJoinCRC(b *testing.B) {
	for b.Loop() {
		joinCRC(1, 2, PieceBytes)
	}
}
