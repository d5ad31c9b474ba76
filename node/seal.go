package node

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"ringbin/cluster"
	"ringbin/storage"
)

// A sealed secret is: version, epoch of the cluster secret, nonce, ciphertext
// with its tag. The account and the secret's hash are authenticated with it,
// so that one record's cannot stand in another.
const (
	sealVersion   = 1
	sealEpochSize = 4
	sealHeadSize  = 1 + sealEpochSize
)

var errSealed = errors.New("a sealed secret does not open")

// sealer seals the few secrets that are shown again: under the first of its
// keys. It opens what was sealed under any of them.
type sealer struct {
	keys []sealKey
}

type sealKey struct {
	epoch uint32
	aead  cipher.AEAD
}

func newSealer(keys []cluster.SealKey) (*sealer, error) {
	s := &sealer{}
	for _, k := range keys {
		block, err := aes.NewCipher(k.Key)
		if err != nil {
			return nil, fmt.Errorf("sealing key: %w", err)
		}
		aead, err := cipher.NewGCM(block)
		if err != nil {
			return nil, fmt.Errorf("sealing key: %w", err)
		}
		s.keys = append(s.keys, sealKey{epoch: k.Epoch, aead: aead})
	}
	return s, nil
}

// sealer makes the node's: of all secrets that it has, and, after those of this
// cluster's id, with the ids of the clusters that it was restored from.
func (n *Node) sealer() (*sealer, error) {
	const op = "node.sealer"
	id := n.clusterID()
	if id == "" {
		return nil, noLeader(op, nil)
	}
	epoch, err := n.fsm.Epoch()
	if err != nil {
		return nil, err
	}
	var keys []cluster.SealKey
	for _, id := range append([]string{id}, epoch.Formers...) {
		of, err := n.trust.SealKeys(id, cluster.SealAccessKeys)
		if err != nil {
			return nil, err
		}
		keys = append(keys, of...)
	}
	s, err := newSealer(keys)
	if err != nil {
		return nil, storage.E(op, storage.KindInternal, err)
	}
	return s, nil
}

// seal seals an account's secret.
func (s *sealer) seal(account, secret string) []byte {
	k := s.keys[0]
	out := make([]byte, sealHeadSize+k.aead.NonceSize(), sealHeadSize+k.aead.NonceSize()+len(secret)+k.aead.Overhead())
	out[0] = sealVersion
	binary.BigEndian.PutUint32(out[1:], k.epoch)
	nonce := out[sealHeadSize:]
	_, _ = rand.Read(nonce)                                                                            // never fails: crypto/rand ends the process instead
	return k.aead.Seal(out, nonce, []byte(secret), sealedWith(account, sha256.Sum256([]byte(secret)))) //nolint:gosec // the nonce was drawn above
}

// open returns the secret of an account whose hash this is, and whether it is
// sealed under the key that seals now. The error says nothing of what is sealed.
func (s *sealer) open(account string, hash [32]byte, sealed []byte) (secret string, current bool, err error) {
	fault := func(why string) error {
		return storage.E("node.open", storage.KindInternal, fmt.Errorf("%w: %s", errSealed, why))
	}
	if len(sealed) < sealHeadSize || sealed[0] != sealVersion {
		return "", false, fault("it is of no known form")
	}
	epoch := binary.BigEndian.Uint32(sealed[1:])
	err = fault(fmt.Sprintf("this node has no secret of epoch %d", epoch))
	for i, k := range s.keys {
		if k.epoch != epoch {
			continue
		}
		b, openErr := k.open(account, hash, sealed[sealHeadSize:])
		if openErr == nil {
			return string(b), i == 0, nil
		}
		err = fault("it was changed, or is another record's")
	}
	return "", false, err
}

func (k sealKey) open(account string, hash [32]byte, sealed []byte) ([]byte, error) {
	if len(sealed) < k.aead.NonceSize() {
		return nil, errSealed
	}
	nonce, rest := sealed[:k.aead.NonceSize()], sealed[k.aead.NonceSize():]
	secret, err := k.aead.Open(nil, nonce, rest, sealedWith(account, hash))
	if err != nil {
		return nil, fmt.Errorf("open: %w", err)
	}
	if got := sha256.Sum256(secret); got != hash {
		return nil, errSealed
	}
	return secret, nil
}

func sealedWith(account string, hash [32]byte) []byte { return append([]byte(account), hash[:]...) }
