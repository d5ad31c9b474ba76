package node_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"ringbin/cluster"
	"ringbin/node"
	"ringbin/storage"
)

func plain(*node.Service) node.Handlers {
	return node.Handlers{Public: http.NotFoundHandler(), Admin: http.NotFoundHandler()}
}

// The ports of nodes lie below those that the system gives to outgoing
// connections, and none is given out twice: tests run side by side.
const portsFirst, portsEnd = 20_000, 30_000

var portsTaken atomic.Int32

// freeAddr returns a loopback address whose port is free now.
func freeAddr(t *testing.T) string {
	t.Helper()
	var lc net.ListenConfig
	for range portsEnd - portsFirst {
		port := portsFirst + (os.Getpid()*31+int(portsTaken.Add(1)))%(portsEnd-portsFirst)
		ln, err := lc.Listen(t.Context(), "tcp", fmt.Sprint("127.0.0.1:", port))
		if err != nil {
			continue
		}
		if err := ln.Close(); err == nil {
			return ln.Addr().String()
		}
	}
	t.Fatal("no free port")
	return ""
}

func open(t *testing.T, n int) []*node.Node {
	t.Helper()
	return openEdited(t, n, nil)
}

// openEdited opens nodes that are one cluster; edit changes how, and may be nil.
func openEdited(t *testing.T, n int, edit func(*node.Config)) []*node.Node {
	t.Helper()
	secret := []byte(cluster.NewSecret())
	dir := t.TempDir()
	var join []string
	for range n {
		join = append(join, freeAddr(t))
	}
	nodes := make([]*node.Node, n)
	for i := range nodes {
		cfg := node.Config{
			DataDir: filepath.Join(dir, fmt.Sprint(i)), Name: fmt.Sprint("n", i), Secret: secret,
			HTTP: "127.0.0.1:0", RPC: join[i], Gossip: freeAddr(t), Admin: "127.0.0.1:0",
			FreeFloorBytes: -1, CacheBytes: 8 << 20,
			Logger: testLogger(i),
		}
		if n > 1 {
			cfg.Join, cfg.BootstrapExpect = join, n
		}
		if edit != nil {
			edit(&cfg)
		}
		var err error
		if nodes[i], err = node.Open(t.Context(), cfg, plain); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
			defer cancel()
			if err := nodes[i].Close(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	for i, nd := range nodes {
		if err := nd.WaitReady(ctx); err != nil {
			t.Fatalf("node %d: %v", i, err)
		}
	}
	return nodes
}

func testLogger(i int) *slog.Logger {
	if os.Getenv("RINGBIN_TEST_LOG") == "" {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug})).With("at", i)
}

// A node stores, charges once, serves and audits; any node answers.
func TestUploadThroughAnyNode(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 2, 3} {
		t.Run(fmt.Sprint(n, " nodes"), func(t *testing.T) {
			t.Parallel()
			nodes := open(t, n)
			ctx := t.Context()
			op, err := nodes[0].Service().AuthenticateOperator(ctx, nodes[0].AdminToken())
			if err != nil {
				t.Fatal(err)
			}
			account, _, err := nodes[0].Service().CreateAccount(ctx, op, node.NewAccount{Email: "a@example.com", Name: "A", BalanceCents: 100}, nil)
			if err != nil {
				t.Fatal(err)
			}
			_, secret, err := nodes[n-1].Service().CreateKey(ctx, op, account.ID, node.NewKey{API: node.APIHashBin, Name: "k"})
			if err != nil {
				t.Fatal(err)
			}
			for i, size := range []int{0, 10, 64, 65, 5000, 100_000, 600_000, 3 << 20} {
				content := bytes.Repeat([]byte{byte(i + 1)}, size)
				cid := storage.SumCID(content)
				s := nodes[i%n].Service()
				c, err := s.Authenticate(ctx, node.APIHashBin, secret)
				if err != nil {
					t.Fatal(err)
				}
				r, _, err := s.Upload(ctx, c, node.Upload{CID: &cid, ContentLength: int64(size), Days: 30, Body: bytes.NewReader(content)})
				if err != nil {
					t.Fatalf("%d bytes: %v", size, err)
				}
				if r.CID != cid {
					t.Fatalf("answered %s for %s", r.CID, cid)
				}
				for j := range nodes {
					got, err := nodes[j].Service().Content(ctx, cid)
					if err != nil {
						t.Fatalf("node %d: %v", j, err)
					}
					b, err := io.ReadAll(got)
					if err != nil || !bytes.Equal(b, content) {
						t.Fatalf("node %d: %d bytes of %d, %v", j, len(b), size, err)
					}
					if _, err := got.Seek(0, io.SeekStart); err != nil {
						t.Fatal(err)
					}
					b, err = nil, nil
					for part := []byte(nil); err == nil; part, err = got.Next() {
						b = append(b, part...)
					}
					if !errors.Is(err, io.EOF) || !bytes.Equal(b, content) {
						t.Fatalf("node %d, in parts: %d bytes of %d, %v", j, len(b), size, err)
					}
					if err := got.Close(); err != nil {
						t.Error(err)
					}
				}
			}
			for j := range nodes {
				if err := nodes[j].CatchUp(ctx); err != nil {
					t.Fatal(err)
				}
				rep, err := nodes[j].Audit(ctx)
				if err != nil {
					t.Fatal(err)
				}
				if rep.BalanceCents != 95 || rep.References != 8 {
					t.Fatalf("audit says %+v", rep)
				}
			}
		})
	}
}
