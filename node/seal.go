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
// with its tag. What it is of is authenticated with it, so that one record's
// cannot stand in another: of an access key the account and the key's hash.
const (
	sealVersion   = 1
	sealEpochSize = 4
	sealHeadSize  = 1 + sealEpochSize
)

var errSealed = errors.New("a sealed secret does not open")

// sealer seals secrets of one kind: under the first of its keys. It opens what
// was sealed under any of them.
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

// sealer makes the node's for a kind of secrets: of all cluster secrets that it
// has, and, after those of this cluster's id, with the ids of the clusters that
// it was restored from.
func (n *Node) sealer(kind cluster.SealInfo) (*sealer, error) {
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
		of, err := n.trust.SealKeys(id, kind)
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

// seal seals a secret, bound to what it is of.
func (s *sealer) seal(secret, of []byte) []byte {
	k := s.keys[0]
	out := make([]byte, sealHeadSize+k.aead.NonceSize(), sealHeadSize+k.aead.NonceSize()+len(secret)+k.aead.Overhead())
	out[0] = sealVersion
	binary.BigEndian.PutUint32(out[1:], k.epoch)
	nonce := out[sealHeadSize:]
	_, _ = rand.Read(nonce)                    // never fails: crypto/rand ends the process instead
	return k.aead.Seal(out, nonce, secret, of) //nolint:gosec // the nonce was drawn above
}

// open returns a secret of what it is to be of, and whether it is sealed under
// the key that seals now. The error says nothing of what is sealed.
func (s *sealer) open(sealed, of []byte) (secret []byte, current bool, err error) {
	if len(sealed) < sealHeadSize || sealed[0] != sealVersion {
		return nil, false, unsealable("it is of no known form")
	}
	epoch := binary.BigEndian.Uint32(sealed[1:])
	err = unsealable(fmt.Sprintf("this node has no secret of epoch %d", epoch))
	for i, k := range s.keys {
		if k.epoch != epoch {
			continue
		}
		b, openErr := k.open(sealed[sealHeadSize:], of)
		if openErr == nil {
			return b, i == 0, nil
		}
		err = unsealable("it was changed, or is another record's")
	}
	return nil, false, err
}

func unsealable(why string) error {
	return storage.E("node.open", storage.KindInternal, fmt.Errorf("%w: %s", errSealed, why))
}

func (k sealKey) open(sealed, of []byte) ([]byte, error) {
	if len(sealed) < k.aead.NonceSize() {
		return nil, errSealed
	}
	nonce, rest := sealed[:k.aead.NonceSize()], sealed[k.aead.NonceSize():]
	secret, err := k.aead.Open(nil, nonce, rest, of)
	if err != nil {
		return nil, fmt.Errorf("open: %w", err)
	}
	return secret, nil
}

// sealKey seals an account's access key.
func (s *sealer) sealKey(account, secret string) []byte {
	return s.seal([]byte(secret), keyOf(account, sha256.Sum256([]byte(secret))))
}

// openKey returns the access key of an account whose hash this is.
func (s *sealer) openKey(account string, hash [32]byte, sealed []byte) (secret string, current bool, err error) {
	b, current, err := s.open(sealed, keyOf(account, hash))
	if err == nil && sha256.Sum256(b) != hash {
		return "", false, unsealable("it is another key")
	}
	return string(b), current, err
}

// keyOf is what a sealed access key is bound to.
func keyOf(account string, hash [32]byte) []byte { return append([]byte(account), hash[:]...) }
