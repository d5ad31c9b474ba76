package storage

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"
)

func BenchmarkCIDString(b *testing.B) {
	cid := SumCID(content(1, 1<<10))
	for b.Loop() {
		if len(cid.String()) != cidCharsMax {
			b.Fatal("another length")
		}
	}
}

// BenchmarkChunkCRC is what each chunk costs on its way in and out again.
func BenchmarkChunkCRC(b *testing.B) {
	size := int(defaultLayout.chunk)
	cid := SumCID(content(1, size))
	key := defaultLayout.key(cid, 0)
	sealed := appendSeal(key, content(1, size))
	b.SetBytes(int64(size))
	for b.Loop() {
		if _, err := unseal(key, sealed); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkRingOwners(b *testing.B) {
	ring := Ring{Version: 1, R: 3, W: 2}
	for i := range 9 {
		ring.Nodes = append(ring.Nodes, RingNode{ID: NodeID(fmt.Sprint("n", i)), Incarnation: 1, Capacity: 1})
	}
	for p := range uint16(Partitions) {
		ring.Owners = append(ring.Owners, []uint16{p % 9, (p + 1) % 9, (p + 2) % 9})
	}
	cid := SumCID(content(1, 1<<10))
	for b.Loop() {
		if len(ring.OwnersOf(cid)) != ring.R {
			b.Fatal("another number of owners")
		}
	}
}

var benchSizes = []int{1 << 10, 64 << 10, 1 << 20}

func benchName(size int) string {
	return strings.ReplaceAll(fmt.Sprintf("%dKiB", size>>10), "1024KiB", "1MiB")
}

// openBench opens a store on real files with the options of production, but for
// the floor of free space.
func openBench(b *testing.B) *Store {
	b.Helper()
	s, err := OpenStore(b.TempDir(), StoreOptions{FreeFloorBytes: -1})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := s.Close(); err != nil {
			b.Error(err)
		}
	})
	return s
}

// benchAtOnce is how many goroutines for each core put and get: puts at the
// same time share syncs.
const benchAtOnce = 16

// BenchmarkPut includes the fsync, and one SHA-512 to check the body and
// another one to name it.
func BenchmarkPut(b *testing.B) {
	for _, size := range benchSizes {
		b.Run(benchName(size), func(b *testing.B) {
			s := openBench(b)
			var seed atomic.Uint64
			head := make([]byte, size)
			_, _ = rand.Read(head) // never fails
			b.SetBytes(int64(size))
			b.SetParallelism(benchAtOnce)
			b.RunParallel(func(pb *testing.PB) {
				body := bytes.Clone(head)
				for pb.Next() {
					binary.BigEndian.PutUint64(body, seed.Add(1))
					if _, err := s.Put(b.Context(), SumCID(body), bytes.NewReader(body), Mark{Generation: 1, Time: 1}); err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
	}
}

func BenchmarkGet(b *testing.B) {
	const held = 64 // blobs; those of 64 KiB fit into the block cache
	for _, size := range benchSizes {
		b.Run(benchName(size), func(b *testing.B) {
			s := openBench(b)
			var cids []CID
			for i := range held {
				body := content(uint64(i), size)
				cids = append(cids, SumCID(body))
				if _, err := s.Put(b.Context(), cids[i], bytes.NewReader(body), Mark{Generation: 1, Time: 1}); err != nil {
					b.Fatal(err)
				}
			}
			if err := s.db.Flush(); err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(size))
			for i := 0; b.Loop(); i++ {
				r, err := s.Open(b.Context(), cids[i%held], 0, -1)
				if err != nil {
					b.Fatal(err)
				}
				if n, err := r.WriteTo(io.Discard); err != nil || n != int64(size) {
					b.Fatalf("%d bytes, %v", n, err)
				}
				if err := r.Close(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
