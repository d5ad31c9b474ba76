package meta

import (
	"strings"

	"ringbin/storage"
)

// Limits of what people make, and find by its id.
const (
	issuedMax = 64      // bytes of an id
	ownedMax  = 100_000 // pastes, and as many short links, of an account; those not swept yet count
)

// idFree refuses an id that a paste or short link has, or ever had.
func (t *tx) idFree(op, id string) error {
	if id == "" || len(id) > issuedMax || strings.ContainsRune(id, 0) {
		return refuseField(op, "id", "1 to 64 bytes without a zero")
	}
	if _, taken, err := t.get(key(tableIssued).str(id)); err != nil || taken {
		return orRefuse(err, refuse(op, storage.KindConflict, "id_taken", nil))
	}
	return nil
}

// issue notes an id for ever: it outlives what has it.
func (t *tx) issue(id string) error { return t.set(key(tableIssued).str(id), nil) }

func withinOwned(op string, owned int64) error {
	if owned < ownedMax {
		return nil
	}
	return refuse(op, storage.KindInvalid, "owned_limit_reached", map[string]any{"limit": int64(ownedMax)})
}
