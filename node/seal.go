package node

import (
	"bytes"
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

// sealer seals the few secrets that are shown again: under the first epoch of
// the cluster secret, and opens those of all epochs that the node knows.
type sealer struct {
	first  uint32
	epochs map[uint32]cipher.AEAD
}

func newSealer(keys []cluster.SealKey) (*sealer, error) {
	s := &sealer{first: keys[0].Epoch, epochs: make(map[uint32]cipher.AEAD, len(keys))}
	for _, k := range keys {
		block, err := aes.NewCipher(k.Key)
		if err != nil {
			return nil, fmt.Errorf("sealing key: %w", err)
		}
		if s.epochs[k.Epoch], err = cipher.NewGCM(block); err != nil {
			return nil, fmt.Errorf("sealing key: %w", err)
		}
	}
	return s, nil
}

// seal seals an account's secret.
func (s *sealer) seal(account, secret string) []byte {
	aead := s.epochs[s.first]
	out := make([]byte, sealHeadSize+aead.NonceSize(), sealHeadSize+aead.NonceSize()+len(secret)+aead.Overhead())
	out[0] = sealVersion
	binary.BigEndian.PutUint32(out[1:], s.first)
	nonce := out[sealHeadSize:]
	_, _ = rand.Read(nonce) // never fails: crypto/rand ends the process instead
	return aead.Seal(out, nonce, []byte(secret), sealedWith(account, sha256.Sum256([]byte(secret))))
}

// open returns the secret of an account whose hash this is. The error says
// nothing of what is sealed.
func (s *sealer) open(account string, hash [32]byte, sealed []byte) (string, error) {
	fault := func(why string) error {
		return storage.E("node.open", storage.KindInternal, fmt.Errorf("%w: %s", errSealed, why))
	}
	if len(sealed) < sealHeadSize || sealed[0] != sealVersion {
		return "", fault("it is of no known form")
	}
	epoch := binary.BigEndian.Uint32(sealed[1:])
	aead, ok := s.epochs[epoch]
	if !ok {
		return "", fault(fmt.Sprintf("this node has no secret of epoch %d", epoch))
	}
	if len(sealed) < sealHeadSize+aead.NonceSize() {
		return "", fault("it is cut short")
	}
	nonce, rest := sealed[sealHeadSize:sealHeadSize+aead.NonceSize()], sealed[sealHeadSize+aead.NonceSize():]
	secret, err := aead.Open(nil, nonce, rest, sealedWith(account, hash))
	if err != nil {
		return "", fault("it was changed, or is another record's")
	}
	if got := sha256.Sum256(secret); !bytes.Equal(got[:], hash[:]) {
		return "", fault("it is another secret")
	}
	return string(secret), nil
}

// old reports whether a sealed secret is to be sealed anew, under the epoch that seals now.
func (s *sealer) old(sealed []byte) bool {
	return len(sealed) < sealHeadSize || sealed[0] != sealVersion || binary.BigEndian.Uint32(sealed[1:]) != s.first
}

func sealedWith(account string, hash [32]byte) []byte { return append([]byte(account), hash[:]...) }
