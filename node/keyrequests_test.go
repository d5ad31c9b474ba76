package node_test

import (
	"bytes"
	"context"
	"log/slog"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"ringbin/cluster"
	"ringbin/node"
	"ringbin/storage"
	"ringbin/storage/meta"
)

// lockedBuffer is a log that is read while it is written.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func openWith(t *testing.T, with func(c *node.Config)) *pasteRig {
	t.Helper()
	cfg := node.Config{
		DataDir: filepath.Join(t.TempDir(), "n"), Secret: []byte(cluster.NewSecret()), HTTP: "127.0.0.1:0", RPC: freeAddr(t), Gossip: freeAddr(t),
		FreeFloorBytes: -1, CacheBytes: 8 << 20,
	}
	with(&cfg)
	n, err := node.Open(t.Context(), cfg, plain)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := n.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := n.WaitReady(ctx); err != nil {
		t.Fatal(err)
	}
	r := &pasteRig{node: n, s: n.Service()}
	if r.op, err = r.s.AuthenticateOperator(t.Context(), n.AdminToken()); err != nil {
		t.Fatal(err)
	}
	return r
}

var tokenIn = regexp.MustCompile(`/keys/verify\?token=([0-9a-f]{64})`)

func (r *pasteRig) mode(t *testing.T, mode string) {
	t.Helper()
	r.set(t, meta.Paste69Patch{KeysMode: &mode})
}

// TestKeyRequestModes: closed, log and open without a mail server.
func TestKeyRequestModes(t *testing.T) {
	t.Parallel()
	var log lockedBuffer
	r := openWith(t, func(c *node.Config) { c.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
	ctx := t.Context()
	_, err := r.s.RequestKey(ctx, "Me", "me@example.com")
	code(t, "closed", err, "key_requests_closed")
	if storage.KindOf(err) != storage.KindUnavailable {
		t.Errorf("closed is %v", storage.KindOf(err))
	}

	r.mode(t, "log")
	got, err := r.s.RequestKey(ctx, "Me", "me@example.com")
	if err != nil || got != (node.KeyRequested{Delivery: "log"}) {
		t.Fatalf("%+v %v", got, err)
	}
	found := tokenIn.FindStringSubmatch(log.String())
	if found == nil {
		t.Fatalf("no token in the log:\n%s", log.String())
	}
	first := found[1]
	if _, err = r.s.RequestKey(ctx, "Me again", "ME@example.com"); err != nil {
		t.Fatal(err)
	}
	_, _, err = r.s.PendingKey(ctx, first)
	code(t, "a token that a later request replaced", err, "not_found")
	all := tokenIn.FindAllStringSubmatch(log.String(), -1)
	token := all[len(all)-1][1]
	for range 2 { // looking uses nothing up
		if name, email, err := r.s.PendingKey(ctx, token); err != nil || name != "Me again" || email != "ME@example.com" {
			t.Fatalf("%q %q %v", name, email, err)
		}
	}
	secret, name, email, err := r.s.RedeemToken(ctx, token)
	if err != nil || name != "Me again" || !strings.EqualFold(email, "me@example.com") || len(secret) != 64 || !strings.HasPrefix(secret, "p69_") {
		t.Fatalf("%d symbols for %q %q: %v", len(secret), name, email, err)
	}
	_, _, _, err = r.s.RedeemToken(ctx, token)
	code(t, "a second time", err, "not_found")
	for _, bad := range []string{"", "x", strings.Repeat("0", 64), strings.ToUpper(token)} {
		_, _, _, err = r.s.RedeemToken(ctx, bad)
		code(t, "redeems "+bad, err, "not_found")
		_, _, err = r.s.PendingKey(ctx, bad)
		code(t, "looks for "+bad, err, "not_found")
	}
	c, err := r.s.Authenticate(ctx, node.APIPaste69, secret)
	if err != nil {
		t.Fatal(err)
	}
	info, err := r.s.KeyInfo(ctx, c)
	want := node.KeyInfo{
		Name: "Me again", Email: "ME@example.com", EmailVerified: true, Created: info.Created, MaxUpload: 256 << 20, MinDays: 30, MaxDays: 730,
	}
	if err != nil || info != want || info.Created == 0 {
		t.Errorf("%+v %v", info, err)
	}
	_, err = r.s.KeyInfo(ctx, node.Caller{})
	code(t, "without a key", err, "auth_missing")

	r.mode(t, "open")
	got, err = r.s.RequestKey(ctx, "You", "me@example.com")
	if err != nil || got.Delivery != "response" || len(got.Secret) != 64 {
		t.Fatalf("%+v %v", got, err)
	}
	open, err := r.s.Authenticate(ctx, node.APIPaste69, got.Secret)
	if err != nil || open.Account == c.Account {
		t.Fatalf("an unverified address opened the account of who has it: %v", err)
	}
	info, err = r.s.KeyInfo(ctx, open)
	if err != nil || info.EmailVerified || info.Email != "me@example.com" || info.Name != "You" {
		t.Errorf("%+v %v", info, err)
	}
	if strings.Contains(log.String(), secret) || strings.Contains(log.String(), got.Secret) {
		t.Error("a key is in the log")
	}
}

// TestKeyJoinsAccount: an address that was verified is one account, whichever way it came.
func TestKeyJoinsAccount(t *testing.T) {
	t.Parallel()
	server := node.ServeSMTP(t, node.SMTPMode{})
	var log lockedBuffer
	r := openWith(t, func(c *node.Config) {
		c.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
		c.PasteBaseURL = "https://p.example/base/"
		c.SMTP = node.SMTPConfig{Host: "127.0.0.1", Port: server.Addr.Port, From: "ringbin@p.example", TLS: "none", Password: "hush"}
	})
	if r.s.Config().SMTP.Password != "" {
		t.Error("the password is shown")
	}
	r.mode(t, "open") // with a mail server it does not count
	a := r.owner(t, "a@example.com")
	got, err := r.s.RequestKey(t.Context(), "", "A@example.com")
	if err != nil || got != (node.KeyRequested{Delivery: "email"}) {
		t.Fatalf("%+v %v", got, err)
	}
	mail := strings.ReplaceAll(strings.ReplaceAll(<-server.Mails, "=\r\n", ""), "=3D", "=")
	found := regexp.MustCompile(`https://p\.example/base/keys/verify\?token=([0-9a-f]{64})\r\n`).FindStringSubmatch(mail)
	if found == nil {
		t.Fatalf("no link in\n%s", mail)
	}
	if strings.Contains(log.String(), found[1]) {
		t.Error("the token is in the log")
	}
	secret, _, _, err := r.s.RedeemToken(t.Context(), found[1])
	if err != nil {
		t.Fatal(err)
	}
	c, err := r.s.Authenticate(t.Context(), node.APIPaste69, secret)
	if err != nil || c.Account != a.Account || c.Key == a.Key {
		t.Errorf("account %s, not %s: %v", c.Account, a.Account, err)
	}
	for range 4 {
		if _, err := r.s.RequestKey(t.Context(), "", "a@example.com"); err != nil {
			t.Fatal(err)
		}
	}
	_, err = r.s.RequestKey(t.Context(), "", "A@EXAMPLE.com")
	code(t, "a sixth mail within a day", err, "rate_limited")
	for _, bad := range []string{"", "a", "a@b@c", "a b@example.com", "a@example.com\r\nBcc: b@example.com", strings.Repeat("a", 255) + "@x"} {
		_, err = r.s.RequestKey(t.Context(), "", bad)
		if storage.KindOf(err) != storage.KindInvalid {
			t.Errorf("%q: %v", bad, err)
		}
	}
}
