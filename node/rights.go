package node

import (
	"crypto/sha256"
	"crypto/subtle"

	"ringbin/storage"
)

// deleteKeySymbols is the length of a delete key: 62^32 is 190 bits.
const deleteKeySymbols = 32

// idTries is how many ids are drawn for one new thing: of 62^6 even a
// hundred million leave one draw in five hundred in vain.
const idTries = 8

// owned is what rights to a paste or a short link are judged by.
type owned struct {
	account   string // "": nobody owns it
	deleteKey [32]byte
	private   bool
}

func (p owned) by(c Caller) bool { return p.account != "" && p.account == c.Account }

func (p owned) opens(deleteKey string) bool {
	hash := sha256.Sum256([]byte(deleteKey))
	return subtle.ConstantTimeCompare(hash[:], p.deleteKey[:]) == 1
}

// manage lets the owner pass, and who has the delete key. To all others what
// is private is not there.
func (p owned) manage(op string, c Caller, deleteKey string) error {
	switch {
	case p.by(c) || deleteKey != "" && p.opens(deleteKey):
		return nil
	case p.private:
		return notFound(op)
	case deleteKey != "":
		return unauthenticated(op, "delete_key_invalid")
	case c.Account != "":
		return notAuthorized(op)
	}
	return unauthenticated(op, "auth_missing")
}

func notAuthorized(op string) error {
	return &storage.Error{Op: op, Kind: storage.KindForbidden, Code: "not_authorized"}
}

// needsAccount refuses who has shown no key.
func needsAccount(op string, c Caller) error {
	if c.Account == "" {
		return unauthenticated(op, "auth_missing")
	}
	return nil
}

// plainID reports whether a text can be an id of so many symbols at all: what
// can't is refused without a question to the leader.
func plainID(id string, symbols int) bool { return len(id) == symbols && isAlphanumeric(id) }

// createUnder draws ids until one was never given out before. Never drawn are
// those that a path of the node, or a content id, stands for.
func createUnder[T any](op string, symbols int, reserved func(id string) bool, create func(id string) (T, error)) (T, error) {
	var v T
	err := error(&storage.Error{Op: op, Kind: storage.KindConflict, Code: "id_taken"})
	for range idTries {
		id := randomText(symbols)
		if _, notCID := storage.ParseCID(id); notCID == nil || reserved != nil && reserved(id) {
			continue
		}
		if v, err = create(id); storage.CodeOf(err) != "id_taken" {
			return v, err
		}
	}
	return v, err
}
