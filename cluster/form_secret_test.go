package cluster

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"ringbin/storage"
)

// TestFormWithAnotherSecret: a node whose secret is not that of most others
// gives up with a word; one stranger among them holds nobody up.
func TestFormWithAnotherSecret(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		strangers map[string]bool
		wrong     bool
	}{
		"all others are strangers": {map[string]bool{"b": true, "c": true}, true},
		"one of two is":            {map[string]bool{"b": true}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
			defer cancel()
			f := NewFormer(FormOptions{
				Self: Candidate{ID: "a", RPC: "a"}, Expect: 3, Join: []string{"a", "b", "c"},
				Logger: slog.New(slog.DiscardHandler), Every: time.Millisecond,
				Promise: func([]storage.NodeID) error { return nil },
				Hello: func(_ context.Context, addr string, _ HelloRequest) (HelloReply, error) {
					switch {
					case addr == "a":
						return HelloReply{Self: Candidate{ID: "a", RPC: "a"}, Expect: 3}, nil
					case c.strangers[addr]:
						return HelloReply{}, fmt.Errorf("tls with %s: %w", addr, x509.UnknownAuthorityError{})
					}
					return HelloReply{}, errors.New("nobody is there")
				},
			})
			_, err := f.Run(ctx)
			if wrong := storage.KindOf(err) == storage.KindInvalid; wrong != c.wrong {
				t.Errorf("gives up: %v, want %v (%v)", wrong, c.wrong, err)
			}
		})
	}
}
