package node

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"ringbin/cluster"
)

func sealerOf(t *testing.T, epochs ...uint32) *sealer {
	t.Helper()
	keys := make([]cluster.SealKey, len(epochs))
	for i, e := range epochs {
		key := sha256.Sum256([]byte{byte(e)})
		keys[i] = cluster.SealKey{Epoch: e, Key: key[:]}
	}
	s, err := newSealer(keys)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// What one epoch sealed is opened while its secret is known, and no longer.
func TestSealedAcrossEpochs(t *testing.T) {
	t.Parallel()
	const account, secret = "acct_1", "$2b$10$secret"
	hash := sha256.Sum256([]byte(secret))
	was, both, turned, is := sealerOf(t, 1), sealerOf(t, 1, 2), sealerOf(t, 2, 1), sealerOf(t, 2)
	old, anew := was.sealKey(account, secret), turned.sealKey(account, secret)
	for _, c := range []struct {
		name   string
		sealer *sealer
		sealed []byte
		opens  bool
		stale  bool
	}{
		{"old under old", was, old, true, false},
		{"old under both", both, old, true, false},
		{"new under both", both, anew, true, true},
		{"old under both, turned", turned, old, true, true},
		{"new under both, turned", turned, anew, true, false},
		{"old after all", is, old, false, true},
		{"new after all", is, anew, true, false},
	} {
		got, current, err := c.sealer.openKey(account, hash, c.sealed)
		if c.opens != (err == nil) || c.opens && got != secret {
			t.Errorf("%s: opens %t (%v)", c.name, err == nil, err)
		}
		if err != nil && (!errors.Is(err, errSealed) || strings.Contains(err.Error(), secret)) {
			t.Errorf("%s: %v", c.name, err)
		}
		if current == c.stale {
			t.Errorf("%s: current is %t", c.name, current)
		}
	}
	if bytes.Equal(old, was.sealKey(account, secret)) {
		t.Error("sealed twice under one nonce")
	}
	if bytes.Contains(old, []byte(secret)) {
		t.Error("sealed in clear")
	}
}

// No change of a sealed secret goes unseen, nor its standing in another record.
func TestSealedIsBound(t *testing.T) {
	t.Parallel()
	s := sealerOf(t, 3)
	rapid.Check(t, func(rt *rapid.T) {
		account, secret := rapid.String().Draw(rt, "account"), rapid.String().Draw(rt, "secret")
		hash := sha256.Sum256([]byte(secret))
		sealed := s.sealKey(account, secret)
		if got, current, err := s.openKey(account, hash, sealed); err != nil || got != secret || !current {
			rt.Fatalf("not opened: %v", err)
		}
		at := rapid.IntRange(0, len(sealed)-1).Draw(rt, "at")
		flipped := bytes.Clone(sealed)
		flipped[at] ^= 1 << rapid.IntRange(0, 7).Draw(rt, "bit")
		for name, broken := range map[string]func() (string, bool, error){
			"flipped":         func() (string, bool, error) { return s.openKey(account, hash, flipped) },
			"cut":             func() (string, bool, error) { return s.openKey(account, hash, sealed[:at]) },
			"another account": func() (string, bool, error) { return s.openKey(account+"x", hash, sealed) },
			"another secret":  func() (string, bool, error) { return s.openKey(account, sha256.Sum256([]byte(secret+"x")), sealed) },
		} {
			if got, _, err := broken(); err == nil {
				rt.Fatalf("%s: opened as %q", name, got)
			}
		}
	})
}
