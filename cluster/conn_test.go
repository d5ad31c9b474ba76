package cluster

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// countedConn counts how often it is written to and read.
type countedConn struct {
	net.Conn
	writes, reads atomic.Int64
}

func (c *countedConn) Write(p []byte) (int, error) {
	c.writes.Add(1)
	return c.Conn.Write(p)
}

func (c *countedConn) Read(p []byte) (int, error) {
	c.reads.Add(1)
	return c.Conn.Read(p)
}

// connPair returns both sides of a connection, and what lies below the one that dialed.
func connPair(t *testing.T, below, other net.Conn) (ours, theirs *Conn, counted *countedConn) {
	t.Helper()
	trust := mustTrust(t, secretLine(1))
	counted = &countedConn{Conn: below}
	theirs = server(other, mustIssue(t, trust, "node-a").ServerTLS(ALPNPeer))
	shaken := make(chan error, 1)
	go func() { shaken <- theirs.HandshakeContext(t.Context()) }()
	ours, err := mustIssue(t, trust, "node-b").Client(t.Context(), counted, "node-a", ALPNPeer)
	if err != nil {
		t.Fatal(err)
	}
	if err := <-shaken; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = below.Close()
		_ = other.Close()
	})
	return ours, theirs, counted
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	rng := rand.NewChaCha8([32]byte{byte(n)})
	_, _ = rng.Read(b)
	return b
}

// Whatever is written arrives in order, with one write for all that was gathered,
// and when nothing moves any more no memory is held.
func TestConnGathers(t *testing.T) {
	t.Parallel()
	below, other := net.Pipe()
	ours, theirs, counted := connPair(t, below, other)
	for _, n := range []int{1, recordBytes, recordBytes + 1, gatheredBytes, gatheredBytes + 1, 1<<20 + 7, 5} {
		want, got := randomBytes(n), make([]byte, n)
		before := counted.writes.Load()
		wrote := make(chan error, 1)
		go func() {
			k, err := ours.Write(want)
			if err == nil && k != n {
				err = io.ErrShortWrite
			}
			wrote <- err
		}()
		if _, err := io.ReadFull(theirs, got); err != nil {
			t.Fatalf("%d bytes: %v", n, err)
		}
		if err := <-wrote; err != nil {
			t.Fatalf("%d bytes: %v", n, err)
		}
		if !bytes.Equal(got, want) {
			t.Fatalf("%d bytes arrive, but others", n)
		}
		if writes, most := counted.writes.Load()-before, int64((n+gatheredBytes-1)/gatheredBytes); writes > most {
			t.Errorf("%d bytes take %d writes, not %d", n, writes, most)
		}
		if ours.raw.room != nil || theirs.raw.ahead != nil {
			t.Errorf("after %d bytes memory is held", n)
		}
	}
}

// parts is a body that writes itself.
type parts [][]byte

func (p *parts) Read([]byte) (int, error) { return 0, errors.New("a part is copied") }

func (p *parts) WriteTo(w io.Writer) (int64, error) {
	var written int64
	for _, part := range *p {
		n, err := w.Write(part)
		written += int64(n)
		if err != nil {
			return written, err
		}
	}
	return written, nil
}

// Bodies of a known length go out as they lie, and no longer than that.
func TestConnReadFrom(t *testing.T) {
	t.Parallel()
	below, other := net.Pipe()
	ours, theirs, _ := connPair(t, below, other)
	all := randomBytes(600_000)
	cut := func() *parts { return &parts{all[:200_000], all[200_000:200_003], all[200_003:]} }
	for name, tc := range map[string]struct {
		body io.Reader
		want int
	}{
		"parts":                   {cut(), len(all)},
		"parts of a known length": {io.LimitReader(cut(), int64(len(all))), len(all)},
		"parts that go on":        {io.LimitReader(cut(), 200_001), 200_001},
		"parts that end early":    {io.LimitReader(cut(), 700_000), len(all)},
		"another reader":          {io.LimitReader(io.MultiReader(bytes.NewReader(all)), 300_000), 300_000},
	} {
		type sent struct {
			n   int64
			err error
		}
		done := make(chan sent, 1)
		go func() {
			n, err := ours.ReadFrom(tc.body)
			done <- sent{n, err}
		}()
		got := make([]byte, tc.want)
		if _, err := io.ReadFull(theirs, got); err != nil || !bytes.Equal(got, all[:tc.want]) {
			t.Fatalf("%s: what arrives is something else: %v", name, err)
		}
		if s := <-done; s.err != nil || s.n != int64(tc.want) {
			t.Errorf("%s: %d bytes are sent, not %d: %v", name, s.n, tc.want, s.err)
		}
	}
}

// A stream is read in larger parts than records.
func TestConnReadsAhead(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	dialed, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	accepted, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	ours, theirs, counted := connPair(t, dialed, accepted)
	want, got := randomBytes(8<<20), make([]byte, 8<<20)
	before := counted.reads.Load()
	go func() { _, _ = theirs.Write(want) }()
	if _, err := io.ReadFull(ours, got); err != nil || !bytes.Equal(got, want) {
		t.Fatalf("what arrives is something else: %v", err)
	}
	if records, reads := int64(len(want)/recordBytes), counted.reads.Load()-before; reads > records/2 {
		t.Errorf("%d reads of %d records", reads, records)
	}
}

// Close ends a write that the other side does not take, at once; nothing is
// written after it failed.
func TestConnCloseEndsWrite(t *testing.T) {
	t.Parallel()
	trust := mustTrust(t, secretLine(1))
	synctest.Test(t, func(t *testing.T) {
		below, other := net.Pipe()
		theirs := server(other, mustIssue(t, trust, "node-a").ServerTLS(ALPNPeer))
		go func() { _ = theirs.HandshakeContext(context.Background()) }()
		ours, err := mustIssue(t, trust, "node-b").Client(t.Context(), below, "node-a", ALPNPeer)
		if err != nil {
			t.Fatal(err)
		}
		wrote := make(chan error, 1)
		go func() {
			_, err := ours.Write(make([]byte, 1<<20))
			wrote <- err
		}()
		synctest.Wait()
		start := time.Now()
		_ = ours.Close()
		if err := <-wrote; err == nil {
			t.Error("a write that was cut off succeeds")
		}
		if waited := time.Since(start); waited > 0 {
			t.Errorf("closing takes %v", waited)
		}
		if _, err := ours.raw.Write([]byte{1}); err == nil {
			t.Error("something follows half a record")
		}
		_ = other.Close()
	})
}
