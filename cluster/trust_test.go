package cluster

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"

	"ringbin/storage"
)

func secretLine(epoch int) string {
	_, secret, _ := strings.Cut(NewSecret(), ":")
	return fmt.Sprintf("%d:%s", epoch, secret)
}

func mustTrust(t *testing.T, lines ...string) *Trust {
	t.Helper()
	trust, err := ParseTrust([]byte(strings.Join(lines, "\n")))
	if err != nil {
		t.Fatal(err)
	}
	return trust
}

func mustIssue(t *testing.T, trust *Trust, id storage.NodeID) *Identity {
	t.Helper()
	identity, err := trust.Issue(id)
	if err != nil {
		t.Fatal(err)
	}
	return identity
}

// An error of a secret file names the line and never quotes it.
func TestParseTrustErrors(t *testing.T) {
	t.Parallel()
	good := secretLine(1)
	_, secret, _ := strings.Cut(good, ":")
	var many []string
	for i := range secretsMax + 1 {
		many = append(many, secretLine(i))
	}
	for name, c := range map[string]struct {
		file, want string
	}{
		"empty":             {"", "no secret"},
		"comments only":     {"# nothing\n\n", "no secret"},
		"no epoch":          {"\n" + secret, "line 2"},
		"epoch no number":   {"# a comment\n\nx1:" + secret, "line 3"},
		"epoch negative":    {"-1:" + secret, "line 1"},
		"epoch too large":   {"4294967296:" + secret, "line 1"},
		"secret too short":  {good + "\n2:" + secret[:42], "line 2"},
		"secret too long":   {"2:" + secret + "AAAA", "line 1"},
		"secret no base64":  {"2:" + secret[:42] + "!", "line 1"},
		"secret padded":     {"2:" + secret + "=", "line 1"},
		"epoch twice":       {good + "\n" + secretLine(2) + "\n" + secretLine(1), "line 3"},
		"too many":          {strings.Join(many, "\n"), fmt.Sprintf("line %d", secretsMax+1)},
		"swapped":           {secret + ":1", "line 1"},
		"two on one line":   {good + " " + good, "line 1"},
		"colon only":        {":", "line 1"},
		"secret is missing": {"1:", "line 1"},
	} {
		_, err := ParseTrust([]byte(c.file))
		e, ok := errors.AsType[*storage.Error](err)
		if !ok || e.Kind != storage.KindInvalid || e.Field != "cluster-secret-file" || !strings.Contains(e.Text, c.want) {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for _, part := range []string{secret[:8], secret[20:28], "x1"} {
			if strings.Contains(err.Error(), part) {
				t.Errorf("%s: the error quotes the line: %v", name, err)
			}
		}
	}
}

func TestParseTrustForms(t *testing.T) {
	t.Parallel()
	line := secretLine(7)
	number, secret, _ := strings.Cut(line, ":")
	want := mustTrust(t, line).AdminToken()
	for _, file := range []string{line + "\n", "\r\n" + line + "\r\n", "  " + line + "  ", "# old\n" + line, number + ": " + secret, line + "\n" + secretLine(6)} {
		if got := mustTrust(t, file).AdminToken(); got != want {
			t.Errorf("file %d bytes long gives another token", len(file))
		}
	}
	if first, second := NewSecret(), NewSecret(); first == second {
		t.Error("two new secrets are equal")
	}
}

// The operator's token follows from the secret alone; the first makes it, all verify it.
func TestAdminToken(t *testing.T) {
	t.Parallel()
	older, newer := secretLine(1), secretLine(2)
	was, is, both := mustTrust(t, older), mustTrust(t, newer), mustTrust(t, newer, older)
	if was.AdminToken() != mustTrust(t, older).AdminToken() || was.AdminToken() == is.AdminToken() || both.AdminToken() != is.AdminToken() {
		t.Error("tokens are not those of their secrets")
	}
	for name, c := range map[string]struct {
		trust *Trust
		token string
		ok    bool
	}{
		"own":               {is, is.AdminToken(), true},
		"older of both":     {both, was.AdminToken(), true},
		"newer of both":     {both, is.AdminToken(), true},
		"older after":       {is, was.AdminToken(), false},
		"newer before":      {was, is.AdminToken(), false},
		"empty":             {is, "", false},
		"cut":               {is, is.AdminToken()[:40], false},
		"one more":          {is, is.AdminToken() + "0", false},
		"without its label": {is, strings.TrimPrefix(is.AdminToken(), adminTokenTag), false},
	} {
		if c.trust.CheckAdminToken(c.token) != c.ok {
			t.Errorf("%s: %t", name, !c.ok)
		}
	}
	for _, secret := range []string{older, newer} {
		_, s, _ := strings.Cut(secret, ":")
		if strings.Contains(both.AdminToken(), s) {
			t.Error("the token shows the secret")
		}
	}
	if keys := both.GossipKeys(); len(keys) != 2 || !slices.Equal(keys[0], is.GossipKeys()[0]) || !slices.Equal(keys[1], was.GossipKeys()[0]) {
		t.Error("gossip keys are not those of the epochs in their order")
	}
	if keys := both.UnlockKeys(); len(keys) != 2 || !slices.Equal(keys[0], is.UnlockKeys()[0]) || !slices.Equal(keys[1], was.UnlockKeys()[0]) ||
		slices.Equal(keys[0], keys[1]) || slices.Equal(keys[0], both.GossipKeys()[0]) {
		t.Error("unlock keys are not those of the epochs in their order, or another purpose's")
	}
}

// Sealing keys follow from the secret, the cluster and the kind of what is
// sealed; the first epoch's comes first.
func TestSealKeys(t *testing.T) {
	t.Parallel()
	older, newer := secretLine(1), secretLine(2)
	keys := func(trust *Trust, clusterID string, info SealInfo) []SealKey {
		t.Helper()
		k, err := trust.SealKeys(clusterID, info)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	both := mustTrust(t, newer, older)
	got := keys(both, "c", SealAccessKeys)
	if len(got) != 2 || got[0].Epoch != 2 || got[1].Epoch != 1 {
		t.Fatalf("epochs are not those of the file: %d keys", len(got))
	}
	if was := keys(mustTrust(t, older), "c", SealAccessKeys); !slices.Equal(was[0].Key, got[1].Key) {
		t.Error("an epoch's key changes with the place of its line")
	}
	for name, other := range map[string][]byte{
		"another epoch":   got[1].Key,
		"another cluster": keys(both, "d", SealAccessKeys)[0].Key,
		"another kind":    keys(both, "c", "x")[0].Key,
		"gossip":          both.GossipKeys()[0],
	} {
		if slices.Equal(other, got[0].Key) {
			t.Errorf("the key is that of %s", name)
		}
	}
}

// handshake runs both sides to the end and says what each of them saw; the
// server's answer counts, since a TLS 1.3 client is done before it is verified.
func handshake(t *testing.T, server, client *tls.Config) (peer tls.ConnectionState, serverErr, clientErr error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	done := make(chan struct{})
	go func() {
		defer close(done)
		raw, err := l.Accept()
		if err != nil {
			serverErr = err
			return
		}
		s := tls.Server(raw, server)
		if serverErr = s.HandshakeContext(t.Context()); serverErr == nil {
			peer = s.ConnectionState()
			_, serverErr = s.Write([]byte{1})
		}
		_ = raw.Close()
	}()
	raw, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	c := tls.Client(raw, client)
	if clientErr = c.HandshakeContext(t.Context()); clientErr == nil {
		_, clientErr = io.ReadFull(c, make([]byte, 1))
	}
	_ = raw.Close()
	<-done
	return peer, serverErr, clientErr
}

// Members know each other by the ids in their certificates.
func TestHandshake(t *testing.T) {
	t.Parallel()
	trust := mustTrust(t, secretLine(1))
	a, b := mustIssue(t, trust, "node-a"), mustIssue(t, mustTrust(t, secretLine(1)), "node-b")
	good := mustIssue(t, trust, "node-b")
	anonymous := good.ClientTLS("node-a", ALPNPeer)
	anonymous.Certificates = nil
	for name, c := range map[string]struct {
		client *tls.Config
		ok     bool
	}{
		"a member that wants this id":   {good.ClientTLS("node-a", ALPNPeer), true},
		"a member that wants anybody":   {good.ClientTLS("", ALPNPeer), true},
		"a member that wants another":   {good.ClientTLS("node-c", ALPNPeer), false},
		"a member that wants itself":    {good.ClientTLS("node-b", ALPNPeer), false},
		"a strange CA":                  {b.ClientTLS("node-a", ALPNPeer), false},
		"a strange CA, wants anybody":   {b.ClientTLS("", ALPNPeer), false},
		"no certificate":                {anonymous, false},
		"a protocol that nobody speaks": {good.ClientTLS("node-a", "h2"), false},
	} {
		peer, serverErr, clientErr := handshake(t, a.ServerTLS(ALPNPeer), c.client)
		if ok := serverErr == nil && clientErr == nil; ok != c.ok {
			t.Errorf("%s: server %v, client %v", name, serverErr, clientErr)
		}
		if id, ok := PeerID(peer); ok != c.ok || ok && id != "node-b" {
			t.Errorf("%s: the peer is %q, %t", name, id, ok)
		}
	}
	// The server refuses by itself, not only the client.
	strange := b.ClientTLS("", ALPNPeer)
	strange.VerifyConnection = nil
	if _, serverErr, _ := handshake(t, a.ServerTLS(ALPNPeer), strange); serverErr == nil {
		t.Error("a certificate of a strange CA is taken")
	}
	// And the client, when the server does not.
	blind := b.ServerTLS(ALPNPeer)
	blind.ClientAuth = tls.RequireAnyClientCert
	for _, id := range []storage.NodeID{"node-b", ""} {
		if _, _, clientErr := handshake(t, blind, good.ClientTLS(id, ALPNPeer)); clientErr == nil {
			t.Errorf("a server of a strange CA is taken for %q", id)
		}
	}
}

// A secret is changed node by node: added last everywhere, then put first, then
// the old one taken out. Each node understands those one step away.
func TestRotation(t *testing.T) {
	t.Parallel()
	older, newer := secretLine(1), secretLine(2)
	steps := [][]string{{older}, {older, newer}, {newer, older}, {newer}}
	for i, a := range steps {
		for j, b := range steps {
			server := mustIssue(t, mustTrust(t, a...), "node-a").ServerTLS(ALPNPeer)
			for _, want := range []storage.NodeID{"node-a", ""} {
				client := mustIssue(t, mustTrust(t, b...), "node-b").ClientTLS(want, ALPNPeer)
				_, serverErr, clientErr := handshake(t, server, client)
				ok := serverErr == nil && clientErr == nil
				if near := max(i, j)-min(i, j) <= 1; ok != near {
					t.Errorf("steps %d and %d: server %v, client %v", i, j, serverErr, clientErr)
				}
			}
		}
	}
}
