package node

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"fmt"

	"ringbin/storage"
)

// What is to be read once lies sealed wherever it lies: on its owners, and,
// where it is short, in its CID. The key stands, sealed itself, in the note's
// record: once that is burned no copy can be opened, wherever it was left.

// noteKeyBytes is the length of a note's key: AES-256.
const noteKeyBytes = 32

// sealContent seals the content of a note under a key drawn for it.
func sealContent(content []byte) (sealed, key []byte, err error) {
	key = make([]byte, noteKeyBytes)
	_, _ = rand.Read(key) // never fails: crypto/rand ends the process instead
	aead, err := noteAEAD(key)
	if err != nil {
		return nil, nil, err
	}
	return aead.Seal(nil, onlyNonce(aead), content, nil), key, nil //nolint:gosec // the key seals this once
}

// openContent opens sealed content, in its own memory.
func openContent(sealed, key []byte) ([]byte, error) {
	aead, err := noteAEAD(key)
	if err != nil {
		return nil, err
	}
	content, err := aead.Open(sealed[:0], onlyNonce(aead), sealed, nil)
	if err != nil {
		return nil, unsealable("the content is not what the key was drawn for")
	}
	return content, nil
}

// onlyNonce is all zeros: a key seals once, so no nonce is ever used twice with
// it, and there is none to be kept.
func onlyNonce(aead cipher.AEAD) []byte { return make([]byte, aead.NonceSize()) }

func noteAEAD(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, storage.E("node.noteAEAD", storage.KindInternal, fmt.Errorf("a note's key: %w", err))
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, storage.E("node.noteAEAD", storage.KindInternal, fmt.Errorf("a note's key: %w", err))
	}
	return aead, nil
}

// sealNoteKey seals the key of a note's content.
func (s *sealer) sealNoteKey(hash string, key []byte) []byte { return s.seal(key, []byte(hash)) }

// openNoteKey returns the key of a note's content.
func (s *sealer) openNoteKey(n Note) (key []byte, current bool, err error) {
	return s.open(n.Sealed, []byte(n.Hash))
}
