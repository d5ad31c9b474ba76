package replica

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"ringbin/storage"
)

// read opens a range and reads it to its end: a part, then some bytes into memory
// of its own, and so on.
func (c *testCluster) read(ctx context.Context, cid storage.CID, offset, length int64) ([]byte, error) {
	r, err := c.r.Open(ctx, cid, offset, length)
	if err != nil {
		return nil, err
	}
	var all []byte
	for own := make([]byte, 1000); err == nil; {
		var part []byte
		if part, err = r.Next(); err == nil {
			all = append(all, part...)
			var n int
			n, err = r.Read(own)
			all = append(all, own[:n]...)
		}
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return all, errors.Join(err, r.Close())
}

func (c *testCluster) mustRead(want []byte, cid storage.CID, offset, length int64) {
	c.t.Helper()
	got, err := c.read(c.t.Context(), cid, offset, length)
	if err != nil || !bytes.Equal(got, want) {
		c.t.Errorf("%d bytes of %d are read: %v", len(got), len(want), err)
	}
}

// Who is asked: this node, the owners in cur, those in next, and last who seems dead.
func TestGetOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 6)
		c.setRings(ringOf(1, "n4", "n2", "n1"), ringOf(2, "n6", "n2", "n5"))
		c.dead = []storage.NodeID{"n4", "n6"}
		b := content(1, 1000)
		cid := c.keep(b)
		_, err := c.read(t.Context(), cid, 0, -1)
		if storage.KindOf(err) != storage.KindUnavailable || storage.CodeOf(err) != "content_unavailable" {
			t.Error(err)
		}
		var asked []storage.NodeID
		for _, o := range c.takeOpens() {
			asked = append(asked, o.from)
		}
		if want := []storage.NodeID{"n2", "n5", "n4", "n6"}; !slices.Equal(asked, want) {
			t.Errorf("asked %v, want %v", asked, want)
		}
		c.keep(b, "n6")
		c.mustRead(b, cid, 0, -1)
		c.takeOpens()
		c.keep(b, "n1")
		c.mustRead(b, cid, 0, -1)
		if opens := c.takeOpens(); opens != nil {
			t.Errorf("others are asked although this node has it: %v", opens)
		}
	})
}

// A node that owns nothing of the content asks the owners all the same.
func TestGetThroughAStranger(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 4)
		c.setRings(ringOf(1, "n2", "n3", "n4"), nil)
		b := content(1, 1000)
		c.mustRead(b, c.keep(b, "n4"), 0, -1)
	})
}

// I2: what fails, stalls or is corrupt is left, also in the middle, and the
// client sees nothing but time.
func TestGetFailover(t *testing.T) {
	t.Parallel()
	const at = 300_000
	b := content(1, 1<<20)
	for name, c := range map[string]struct {
		fault  fault
		resume int64 // where the next holder is asked to go on: a piece's beginning
		took   time.Duration
	}{
		"down":                 {fault{down: true}, 0, 0},
		"corrupt":              {fault{corrupt: true}, 0, 0},
		"breaks in the middle": {fault{breakAt: at}, storage.PieceBytes, 0},
		"ends too early":       {fault{shortAt: at}, storage.PieceBytes, 0},
		"a bit flips":          {fault{flipAt: at}, storage.PieceBytes, 0},
		"never answers":        {fault{stallOpen: true}, 0, firstByteWithin},
		"stalls":               {fault{stallAt: at}, storage.PieceBytes, nextByteWithin},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				cluster := newCluster(t, 3)
				cluster.set("n2", c.fault)
				cid := cluster.keep(b, "n2", "n3")
				begin := time.Now()
				cluster.mustRead(b, cid, 0, -1)
				if took := time.Since(begin); took != c.took {
					t.Errorf("took %v, want %v", took, c.took)
				}
				size := int64(len(b))
				want := []opened{{"n2", 0, size}, {"n3", c.resume, size - c.resume}}
				if opens := cluster.takeOpens(); !slices.Equal(opens, want) {
					t.Errorf("opened %v, want %v", opens, want)
				}
				cluster.mustRead(b[5:at+7], cid, 5, at+2)
				cluster.mustRead(b[at+1:], cid, at+1, -1)
			})
		})
	}
}

// This node's own bad copy is left for another's.
func TestGetOwnCopyCorrupt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3)
		b := content(1, 2<<20)
		cid := c.keep(b, "n1", "n2")
		c.rot("n1")
		c.mustRead(b, cid, 0, -1)
		if opens := c.takeOpens(); len(opens) != 1 || opens[0].offset == 0 || opens[0].offset >= int64(len(b)) {
			t.Errorf("opened %v, want one in the middle", opens)
		}
		c.mustRead(b, cid, 0, -1)
		if opens := c.takeOpens(); len(opens) != 1 || opens[0].offset != 0 {
			t.Errorf("opened %v: a copy in quarantine is not read", opens)
		}
	})
}

// I2: a read does not end cleanly when the holders run out, nor does a wrong byte leave.
func TestGetNeverEndsCleanlyWithoutTheBytes(t *testing.T) {
	t.Parallel()
	const size = 1 << 20
	b := content(1, size)
	for name, c := range map[string]struct {
		a, b fault
		kind storage.Kind
	}{
		"both break":         {fault{breakAt: 1000}, fault{breakAt: 2000}, storage.KindUnavailable},
		"both end early":     {fault{shortAt: 1000}, fault{shortAt: size - 1}, storage.KindUnavailable},
		"both stall":         {fault{stallAt: 1000}, fault{stallAt: 1000}, storage.KindUnavailable},
		"wrong early byte":   {fault{flipAt: 1}, fault{flipAt: 5}, storage.KindUnavailable},
		"wrong last byte":    {fault{flipAt: size - 1}, fault{flipAt: size}, storage.KindUnavailable},
		"wrong, then breaks": {fault{flipAt: 5}, fault{breakAt: 1000}, storage.KindUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				cluster := newCluster(t, 3)
				cluster.set("n2", c.a)
				cluster.set("n3", c.b)
				cid := cluster.keep(b, "n2", "n3")
				r, err := cluster.r.Open(t.Context(), cid, 0, -1)
				if err != nil {
					t.Fatal(err)
				}
				got, err := io.ReadAll(r)
				if storage.KindOf(err) != c.kind || len(got) >= size || !bytes.Equal(got, b[:len(got)]) {
					t.Errorf("%d bytes, %v", len(got), err)
				}
				if n, err := r.Read(make([]byte, 1)); n != 0 || err == nil || errors.Is(err, io.EOF) {
					t.Errorf("after the error: %d bytes, %v", n, err)
				}
				if err := r.Close(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// Whatever fails at the holders: right bytes and a clean end, or an error.
func TestGetProperty(t *testing.T) {
	t.Parallel()
	const size = 600 << 10
	b := content(1, size)
	owners := []storage.NodeID{"n2", "n3", "n4"}
	rapid.Check(t, func(rt *rapid.T) {
		whole := rapid.Bool().Draw(rt, "whole")
		faults := map[storage.NodeID]fault{}
		good := false
		for _, id := range owners {
			faults[id] = drawFault(rt, size)
			good = good || faults[id] == fault{}
		}
		offset, length := int64(0), int64(size)
		if !whole {
			offset = rapid.Int64Range(0, size).Draw(rt, "offset")
			length = rapid.Int64Range(0, size-offset).Draw(rt, "length")
		}
		var got []byte
		var err error
		synctest.Test(t, func(t *testing.T) {
			c := newCluster(t, 2)
			// The holders differ by their faults: one store, opened once, is enough.
			for _, id := range owners[1:] {
				c.nodes[id] = &testNode{id: id, store: c.nodes["n2"].store}
			}
			c.setRings(ringOf(1, owners...), nil)
			cid := c.keep(b, "n2")
			for id, f := range faults {
				c.set(id, f)
			}
			got, err = c.read(t.Context(), cid, offset, length)
		})
		switch {
		case err == nil && !bytes.Equal(got, b[offset:offset+length]):
			rt.Fatalf("a clean end with %d bytes of %d", len(got), length)
		case err != nil && good:
			rt.Fatalf("a good holder is there: %v", err)
		case err != nil && whole && len(got) == size:
			rt.Fatal("all bytes have left before the error")
		}
	})
}

func drawFault(rt *rapid.T, size int64) (f fault) {
	kinds := []string{"none", "down", "corrupt", "open", "stall", "break", "short", "flip"}
	at := rapid.Int64Range(1, size-1).Draw(rt, "at")
	switch rapid.SampledFrom(kinds).Draw(rt, "fault") {
	case "down":
		f.down = true
	case "corrupt":
		f.corrupt = true
	case "open":
		f.stallOpen = true
	case "stall":
		f.stallAt = at
	case "break":
		f.breakAt = at
	case "short":
		f.shortAt = at
	case "flip":
		f.flipAt = at
	}
	return f
}

func TestGetRanges(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3)
		for _, size := range []int{0, 10, 64, 65, 1000, 600 << 10} {
			b := content(1, size)
			cid := c.keep(b)
			if !cid.Inline() {
				c.keep(b, "n3")
			}
			n := int64(size)
			for _, r := range [][2]int64{{0, -1}, {0, n}, {0, 0}, {n, 0}, {n, -1}, {n / 2, 1}, {n / 2, -1}, {n / 3, n / 3}} {
				offset, length := r[0], r[1]
				if offset+length > n {
					continue
				}
				end := offset + length
				if length < 0 {
					end = n
				}
				c.mustRead(b[offset:end], cid, offset, length)
			}
			for _, r := range [][2]int64{{-1, 1}, {n + 1, 0}, {n + 1, -1}, {0, n + 1}, {n, 1}, {1, 1<<63 - 1}} {
				if _, err := c.r.Open(t.Context(), cid, r[0], r[1]); storage.KindOf(err) != storage.KindRange {
					t.Errorf("range %v of %d: %v", r, size, err)
				}
			}
		}
	})
}

// A request that is given up ends its read with its cause, not with the next holder.
func TestGetGivenUp(t *testing.T) {
	t.Parallel()
	errGone := errors.New("the client is gone")
	for name, f := range map[string]fault{"before the first byte": {stallOpen: true}, "in the middle": {stallAt: 1000}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c := newCluster(t, 3)
				c.set("n2", f)
				cid := c.keep(content(1, 1<<20), "n2", "n3")
				ctx, cancel := context.WithCancelCause(t.Context())
				time.AfterFunc(time.Second, func() { cancel(errGone) })
				if _, err := c.read(ctx, cid, 0, -1); !errors.Is(err, errGone) {
					t.Error(err)
				}
				if opens := c.takeOpens(); len(opens) != 1 {
					t.Errorf("opened %v", opens)
				}
			})
		})
	}
}

// A slow client is no reason to leave a holder.
func TestGetBySlowReader(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3)
		b := content(1, 1<<20)
		cid := c.keep(b, "n2", "n3")
		r, err := c.r.Open(t.Context(), cid, 0, -1)
		if err != nil {
			t.Fatal(err)
		}
		var got []byte
		for buf := make([]byte, 100<<10); err == nil; {
			time.Sleep(time.Minute) // of the bubble's clock
			var n int
			n, err = r.Read(buf)
			got = append(got, buf[:n]...)
		}
		if !errors.Is(err, io.EOF) || !bytes.Equal(got, b) {
			t.Errorf("%d bytes, %v", len(got), err)
		}
		if opens := c.takeOpens(); len(opens) != 1 {
			t.Errorf("opened %v", opens)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		if _, err := r.Read(make([]byte, 1)); err == nil {
			t.Error("a closed reader reads on")
		}
	})
}

// TestPutThenGet reads through every node what was put through one.
func TestPutThenGet(t *testing.T) {
	t.Parallel()
	for _, size := range []int{100, 5 << 20} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c := newCluster(t, 3)
				c.set("n2", fault{down: true})
				b := content(1, size)
				cid := storage.SumCID(b)
				if _, err := c.r.Put(t.Context(), cid, bytes.NewReader(b)); err != nil {
					t.Fatal(err)
				}
				c.mustRead(b, cid, 0, -1)
			})
		})
	}
}
