package api

import (
	"bytes"
	"context"
	"crypto/rand"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"ringbin/cluster"
	"ringbin/node"
	"ringbin/storage"
)

// Numbers of the node that answers.
const (
	benchContents = 1000
	benchSize     = 1 << 10
	benchWithin   = 30 * time.Second
	benchRate     = 1e9 // requests a minute: the limit is kept, and never met
)

// benched is a node's public handler, and whom it knows.
type benched struct {
	handler http.Handler
	key     string
	cids    []storage.CID
}

func newBenched(b *testing.B) *benched {
	b.Helper()
	var service *node.Service
	bd := &benched{}
	n, err := node.Open(b.Context(), node.Config{
		DataDir: b.TempDir(), Name: "n0", Secret: []byte(cluster.NewSecret()),
		HTTP: "127.0.0.1:0", RPC: "127.0.0.1:0", Gossip: "127.0.0.1:0", Admin: "127.0.0.1:0", FreeFloorBytes: -1,
	}, func(s *node.Service) node.Handlers {
		service = s
		h := New(s)
		bd.handler = h.Public
		return h
	})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), benchWithin)
		defer cancel()
		if err := n.Close(ctx); err != nil {
			b.Error(err)
		}
	})
	ctx, cancel := context.WithTimeout(b.Context(), benchWithin)
	defer cancel()
	if err := n.WaitReady(ctx); err != nil {
		b.Fatal(err)
	}
	bd.fill(ctx, b, service)
	return bd
}

func (bd *benched) fill(ctx context.Context, b *testing.B, s *node.Service) {
	b.Helper()
	operator := node.Caller{Operator: true}
	rate := int64(benchRate)
	if _, err := s.SetSettings(ctx, operator, node.SettingsPatch{RateKeyPerMinute: &rate, RateIPPerMinute: &rate}); err != nil {
		b.Fatal(err)
	}
	account, _, err := s.CreateAccount(ctx, operator, node.NewAccount{Email: "a@example.org", Name: "A", BalanceCents: 1 << 40}, nil)
	if err != nil {
		b.Fatal(err)
	}
	if _, bd.key, err = s.CreateKey(ctx, operator, account.ID, node.NewKey{API: node.APIHashBin, Name: "k"}); err != nil {
		b.Fatal(err)
	}
	c, err := s.Authenticate(ctx, node.APIHashBin, bd.key)
	if err != nil {
		b.Fatal(err)
	}
	for range benchContents {
		content := make([]byte, benchSize)
		_, _ = rand.Read(content) // never fails
		cid := storage.SumCID(content)
		if _, _, err := s.Upload(ctx, c, node.Upload{CID: &cid, ContentLength: benchSize, Days: 30, Body: bytes.NewReader(content)}); err != nil {
			b.Fatal(err)
		}
		bd.cids = append(bd.cids, cid)
	}
}

// sink is a connection that costs nothing.
type sink struct {
	header http.Header
	status int
	bytes  int
}

func (s *sink) Header() http.Header { return s.header }

func (s *sink) WriteHeader(status int) { s.status = status }

func (s *sink) Write(p []byte) (int, error) {
	s.bytes += len(p)
	return len(p), nil
}

func (bd *benched) ask(b *testing.B, path string) {
	b.Helper()
	r := httptest.NewRequestWithContext(b.Context(), http.MethodGet, path, http.NoBody)
	r.Header.Set("Authorization", "Bearer "+bd.key)
	w := &sink{header: http.Header{}}
	bd.handler.ServeHTTP(w, r)
	if w.status != http.StatusOK || w.bytes == 0 {
		b.Fatalf("status %d, %d bytes", w.status, w.bytes)
	}
}

// BenchmarkGet is of small content, with the cost of the request that asks for it.
func BenchmarkGet(b *testing.B) {
	bd := newBenched(b)
	paths := make([]string, len(bd.cids))
	for i, cid := range bd.cids {
		paths[i] = "/api/content/" + cid.String()
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		bd.ask(b, paths[i%len(paths)])
		i++
	}
}

// BenchmarkBalance is of a strong read by the node that leads.
func BenchmarkBalance(b *testing.B) {
	bd := newBenched(b)
	b.ReportAllocs()
	for b.Loop() {
		bd.ask(b, "/api/balance")
	}
}
