package cluster

import (
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"strconv"
	"strings"
	"time"

	"ringbin/storage"
)

// Sizes and limits of secrets.
const (
	secretBytes   = 32
	secretsMax    = 16 // lines of a secret file
	adminTokenTag = "rb_admin_"
)

// The labels under which keys are derived. Each key serves one purpose; a
// label never changes its meaning.
const (
	labelGossip = "ringbin gossip key v1"
	labelCA     = "ringbin ca seed v1"
	labelAdmin  = "ringbin admin token v1"
	labelUnlock = "ringbin pastewizard unlock v1"
)

// SealInfo is what a sealing key is derived for: a key seals one kind of secret.
type SealInfo string

// What is sealed.
const (
	SealAccessKeys SealInfo = "ringbin/jsonbin/access-key/v1" // the access keys of JSONBin
	SealNotes      SealInfo = "ringbin/pastewizard/burn/v1"   // the keys of what is read once
)

// Trust is what follows from the cluster secret: the gossip key, the cluster's
// certificate authority, the operator's token, the key for the few secrets
// that must be shown again. Whoever has the secret is the cluster.
type Trust struct {
	epochs []epoch // the first makes, all verify
}

type epoch struct {
	number                    uint64
	secret                    []byte
	gossip, ca, admin, unlock []byte
}

// NewSecret returns a new line for a secret file: 32 random bytes under epoch 1.
func NewSecret() string {
	b := make([]byte, secretBytes)
	_, _ = rand.Read(b) // never fails: crypto/rand ends the process instead
	return "1:" + base64.RawURLEncoding.EncodeToString(b)
}

// ParseTrust reads a secret file: lines of epoch:secret, of which the first
// makes keys and all verify them, so that a secret can be changed node by
// node. Blank lines and lines that begin with # are passed over. Errors name
// the line and never quote it.
func ParseTrust(file []byte) (*Trust, error) {
	t := &Trust{}
	for i, line := range strings.Split(string(file), "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		e, err := parseEpoch(line)
		if err == nil && t.has(e.number) {
			err = fmt.Errorf("epoch %d stands there twice", e.number)
		}
		if err == nil && len(t.epochs) == secretsMax {
			err = fmt.Errorf("more than %d secrets", secretsMax)
		}
		if err != nil {
			return nil, badSecret(fmt.Sprintf("line %d: %v", i+1, err))
		}
		t.epochs = append(t.epochs, e)
	}
	if len(t.epochs) == 0 {
		return nil, badSecret("it holds no secret")
	}
	return t, nil
}

func badSecret(why string) error {
	return &storage.Error{Op: "cluster.ParseTrust", Kind: storage.KindInvalid, Field: "cluster-secret-file", Text: "cluster secret: " + why}
}

func (t *Trust) has(number uint64) bool {
	for _, e := range t.epochs {
		if e.number == number {
			return true
		}
	}
	return false
}

func parseEpoch(line string) (epoch, error) {
	number, secret, ok := strings.Cut(line, ":")
	if !ok {
		return epoch{}, errors.New("want epoch:secret")
	}
	n, err := strconv.ParseUint(number, 10, 32)
	if err != nil {
		return epoch{}, errors.New("the epoch is not a number")
	}
	b, err := base64.RawURLEncoding.DecodeString(strings.TrimSpace(secret))
	if err != nil || len(b) != secretBytes {
		return epoch{}, fmt.Errorf("the secret is not %d bytes in base64url", secretBytes)
	}
	e := epoch{number: n, secret: b}
	for label, key := range map[string]*[]byte{labelGossip: &e.gossip, labelCA: &e.ca, labelAdmin: &e.admin, labelUnlock: &e.unlock} {
		if *key, err = hkdf.Key(sha256.New, b, nil, label, secretBytes); err != nil {
			return epoch{}, fmt.Errorf("derive keys: %w", err)
		}
	}
	return e, nil
}

// AdminToken returns the operator's token.
func (t *Trust) AdminToken() string { return t.epochs[0].adminToken() }

func (e epoch) adminToken() string { return adminTokenTag + hex.EncodeToString(e.admin) }

// CheckAdminToken compares a token with those of all epochs, in constant time.
func (t *Trust) CheckAdminToken(token string) bool {
	good := 0
	for _, e := range t.epochs {
		good |= subtle.ConstantTimeCompare([]byte(token), []byte(e.adminToken()))
	}
	return good == 1
}

// GossipKeys returns memberlist's keys; the first one encrypts.
func (t *Trust) GossipKeys() [][]byte {
	keys := make([][]byte, len(t.epochs))
	for i, e := range t.epochs {
		keys[i] = e.gossip
	}
	return keys
}

// UnlockKeys returns what the nodes sign with, among themselves, that a reader
// has shown a password; the first one signs, all verify.
func (t *Trust) UnlockKeys() [][]byte {
	keys := make([][]byte, len(t.epochs))
	for i, e := range t.epochs {
		keys[i] = e.unlock
	}
	return keys
}

// SealKey is a key for secrets that must be shown again, and the epoch of the
// cluster secret that it follows from.
type SealKey struct {
	Epoch uint32
	Key   []byte // 32 bytes
}

// SealKeys returns the keys of a cluster for one kind of secrets that must be
// shown again; the first one seals, all open.
func (t *Trust) SealKeys(clusterID string, info SealInfo) ([]SealKey, error) {
	keys := make([]SealKey, len(t.epochs))
	for i, e := range t.epochs {
		key, err := hkdf.Key(sha256.New, e.secret, []byte(clusterID), string(info), secretBytes)
		if err != nil {
			return nil, storage.E("cluster.SealKeys", storage.KindInternal, err)
		}
		keys[i] = SealKey{Epoch: uint32(e.number), Key: key}
	}
	return keys, nil
}

// Certificates are valid for a century, the year 1999 to 2099: what makes them
// good is the secret, not a date, and simulations begin in the year 2000.
var (
	validFrom  = time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC)
	validUntil = time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC)
)

// authority makes the CA certificate of an epoch. Its key follows from the
// secret, so that every node makes the same authority by itself.
func (e epoch) authority() (*x509.Certificate, ed25519.PrivateKey, error) {
	key := ed25519.NewKeyFromSeed(e.ca)
	template := &x509.Certificate{
		SerialNumber: new(big.Int).SetUint64(e.number + 1),
		Subject:      pkix.Name{CommonName: "ringbin cluster, epoch " + strconv.FormatUint(e.number, 10)},
		NotBefore:    validFrom, NotAfter: validUntil,
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, nil, fmt.Errorf("make authority: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, nil, fmt.Errorf("make authority: %w", err)
	}
	return cert, key, nil
}

// Identity is a node's certificate and whom it believes.
type Identity struct {
	id   storage.NodeID
	cert tls.Certificate
	pool *x509.CertPool
}

// Issue makes a node's certificate: it carries the node's id as its only name.
func (t *Trust) Issue(id storage.NodeID) (*Identity, error) {
	const op = "cluster.Issue"
	pool := x509.NewCertPool()
	for _, e := range t.epochs {
		ca, _, err := e.authority()
		if err != nil {
			return nil, storage.E(op, storage.KindInternal, err)
		}
		pool.AddCert(ca)
	}
	ca, caKey, err := t.epochs[0].authority()
	if err != nil {
		return nil, storage.E(op, storage.KindInternal, err)
	}
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, storage.E(op, storage.KindInternal, err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, storage.E(op, storage.KindInternal, err)
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: string(id)}, DNSNames: []string{string(id)},
		NotBefore: validFrom, NotAfter: validUntil, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca, public, caKey)
	if err != nil {
		return nil, storage.E(op, storage.KindInternal, err)
	}
	return &Identity{id: id, cert: tls.Certificate{Certificate: [][]byte{der}, PrivateKey: private}, pool: pool}, nil
}

// ServerTLS is for listening: the other side must be a member.
func (i *Identity) ServerTLS(alpn ...string) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{i.cert}, NextProtos: alpn,
		ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: i.pool, DynamicRecordSizingDisabled: true,
	}
}

// ClientTLS is for dialing: the other side must be the node with this id, or,
// for "", any member.
func (i *Identity) ClientTLS(peer storage.NodeID, alpn string) *tls.Config {
	c := &tls.Config{
		MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{i.cert}, NextProtos: []string{alpn},
		RootCAs: i.pool, ServerName: string(peer), DynamicRecordSizingDisabled: true,
	}
	if peer != "" {
		return c
	}
	// Without a name to expect, the chain is verified here instead.
	c.InsecureSkipVerify = true
	c.VerifyConnection = func(cs tls.ConnectionState) error {
		if len(cs.PeerCertificates) == 0 {
			return errors.New("the peer has no certificate")
		}
		_, err := cs.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: i.pool, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
		return err //nolint:wrapcheck // tls wraps it
	}
	return c
}

// PeerID returns the node id that the other side's verified certificate carries.
func PeerID(cs tls.ConnectionState) (storage.NodeID, bool) {
	if !cs.HandshakeComplete || len(cs.PeerCertificates) == 0 || len(cs.PeerCertificates[0].DNSNames) != 1 {
		return "", false
	}
	return storage.NodeID(cs.PeerCertificates[0].DNSNames[0]), true
}
