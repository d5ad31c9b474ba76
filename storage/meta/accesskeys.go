package meta

import (
	"errors"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"ringbin/storage"
)

// JSONBin's keys are in the one table of keys, under their own API. An account
// has one master key, whose only scope is [ScopeMaster], and access keys, whose
// scopes are what they may do with bins. Their ids are made when they are.
const (
	// APIJSONBin is the dialect in which these keys work.
	APIJSONBin = "jsonbin"

	ScopeMaster = "master"
	ScopeCreate = "create"
	ScopeRead   = "read"
	ScopeUpdate = "update"
	ScopeDelete = "delete"
)

// AccessKeysMost bounds an account's access keys where the setting has no limit.
const AccessKeysMost = 1000

// SetMasterKey gives an account a master key. The one that it had is dead in
// the same step. Its value is a [Key].
type SetMasterKey struct {
	Account string   `cbor:"1,keyasint"`
	Random  RandomID `cbor:"2,keyasint"`
	Hash    [32]byte `cbor:"3,keyasint"` // SHA-256 of the key
	Name    string   `cbor:"4,keyasint,omitempty"`
}

// CreateAccessKey makes an access key; its value is a [Key].
type CreateAccessKey struct {
	Account string   `cbor:"1,keyasint"`
	Random  RandomID `cbor:"2,keyasint"`
	Name    string   `cbor:"3,keyasint"`
	Hash    [32]byte `cbor:"4,keyasint"` // SHA-256 of the key
	Sealed  []byte   `cbor:"5,keyasint"` // the key itself, for its owner's eyes only
	Scopes  []string `cbor:"6,keyasint,omitempty"`
}

// UpdateAccessKey changes the members that are not nil; its value is a [Key].
type UpdateAccessKey struct {
	Account string    `cbor:"1,keyasint"`
	ID      string    `cbor:"2,keyasint"`
	Name    *string   `cbor:"3,keyasint,omitempty"`
	Scopes  *[]string `cbor:"4,keyasint,omitempty"`
	Sealed  *[]byte   `cbor:"5,keyasint,omitempty"` // the same key, sealed anew
}

// DeleteAccessKey removes an access key; its value is the [Key] that is gone.
type DeleteAccessKey struct {
	Account string `cbor:"1,keyasint"`
	ID      string `cbor:"2,keyasint"`
}

// sealedMax bounds a sealed key in bytes.
const sealedMax = 1024

var binScopes = []string{ScopeCreate, ScopeRead, ScopeUpdate, ScopeDelete}

func (k Key) master() bool { return slices.Equal(k.Scopes, []string{ScopeMaster}) }

// goodAccess refuses what no access key can be.
func goodAccess(op string, scopes []string, sealed []byte) error {
	for i, s := range scopes {
		if !slices.Contains(binScopes, s) || slices.Contains(scopes[:i], s) {
			return refuseField(op, "scopes", "create, read, update and delete, each at most once")
		}
	}
	if len(sealed) > sealedMax {
		return refuseField(op, "sealed", "at most 1024 bytes")
	}
	return nil
}

// binKeys returns an account's keys of JSONBin, oldest first, those that were revoked included.
func binKeys(r pebble.Reader, account string) (keys []Key, err error) {
	prefix := keysOf(account, APIJSONBin)
	err = scan(r, prefix, func(k, _ []byte) (bool, error) {
		rec, ok, err := lookUp[Key](r, key(tableKeys).str(string(k[len(prefix):len(k)-1])))
		if err != nil || !ok {
			return false, orFatal(err, "list of a key that is not there")
		}
		keys = append(keys, rec)
		return true, nil
	})
	return keys, err
}

// newBinKey gives a key of JSONBin its id, unless it or its secret is another's.
func (t *tx) newBinKey(op string, k Key, random RandomID) (Key, binAccount, error) {
	if _, ok, err := t.account(k.Account); err != nil || !ok {
		return Key{}, binAccount{}, orRefuse(err, refuseMissing(op))
	}
	has, err := t.binAccount(k.Account)
	if err != nil {
		return Key{}, binAccount{}, err
	}
	k.API = APIJSONBin
	k.ID, k.Created = has.newID(t.time, random)
	for _, taken := range [][]byte{key(tableKeyHashes).raw(k.Hash[:]), key(tableKeys).str(k.ID)} {
		if err := t.idUnused(op, taken); err != nil {
			return Key{}, binAccount{}, err
		}
	}
	return k, has, nil
}

func (t *tx) setMasterKey(h Header, c SetMasterKey) (Key, error) {
	const op = "SetMasterKey"
	if err := ownAccount(op, h, c.Account); err != nil {
		return Key{}, err
	}
	k, has, err := t.newBinKey(op, Key{Account: c.Account, Name: c.Name, Hash: c.Hash, Scopes: []string{ScopeMaster}}, c.Random)
	if err != nil {
		return Key{}, err
	}
	keys, err := binKeys(t.rows(), c.Account)
	if err != nil {
		return Key{}, err
	}
	for _, old := range keys {
		if !old.master() {
			continue
		}
		if err := t.dropKey(old); err != nil {
			return Key{}, err
		}
	}
	return k, errors.Join(t.addKey(k), t.putBinAccount(c.Account, has))
}

func (t *tx) createAccessKey(h Header, c CreateAccessKey) (Key, error) {
	const op = "CreateAccessKey"
	if err := ownAccount(op, h, c.Account); err != nil {
		return Key{}, err
	}
	if err := goodAccess(op, c.Scopes, c.Sealed); err != nil {
		return Key{}, err
	}
	k, has, err := t.newBinKey(op, Key{Account: c.Account, Name: c.Name, Hash: c.Hash, Scopes: c.Scopes, Sealed: c.Sealed}, c.Random)
	if err != nil {
		return Key{}, err
	}
	keys, err := binKeys(t.rows(), c.Account)
	if err != nil {
		return Key{}, err
	}
	limit := t.cache.settings.JSONBin.AccessKeysMax
	if limit == 0 {
		limit = AccessKeysMost
	}
	if int64(len(accessKeys(keys))) >= limit {
		return Key{}, refuse(op, storage.KindForbidden, "access_key_limit", map[string]any{"limit": limit})
	}
	return k, errors.Join(t.addKey(k), t.putBinAccount(c.Account, has))
}

// accessKeys are those of an account's keys that are access keys and count.
func accessKeys(keys []Key) []Key {
	return slices.DeleteFunc(keys, func(k Key) bool { return k.master() || k.Revoked != 0 })
}

// accessKey returns an account's access key.
func (t *tx) accessKey(op string, h Header, account, id string) (Key, error) {
	if err := ownAccount(op, h, account); err != nil {
		return Key{}, err
	}
	k, ok, err := read[Key](t, key(tableKeys).str(id))
	if err != nil || !ok || k.Account != account || k.API != APIJSONBin || k.master() || k.Revoked != 0 {
		return Key{}, orRefuse(err, refuse(op, storage.KindNotFound, "key_not_found", nil))
	}
	return k, nil
}

func (t *tx) updateAccessKey(h Header, c UpdateAccessKey) (Key, error) {
	const op = "UpdateAccessKey"
	k, err := t.accessKey(op, h, c.Account, c.ID)
	if err != nil {
		return Key{}, err
	}
	patch(&k.Name, c.Name)
	patch(&k.Scopes, c.Scopes)
	patch(&k.Sealed, c.Sealed)
	if err := goodAccess(op, k.Scopes, k.Sealed); err != nil {
		return Key{}, err
	}
	return k, t.putKey(k)
}

func (t *tx) deleteAccessKey(h Header, c DeleteAccessKey) (Key, error) {
	k, err := t.accessKey("DeleteAccessKey", h, c.Account, c.ID)
	if err != nil {
		return Key{}, err
	}
	return k, t.dropKey(k)
}

// dropKey removes a key with all that is known of it, its sessions too.
func (t *tx) dropKey(k Key) error {
	t.counts.Keys--
	t.countsOld = true
	return errors.Join(
		t.endSessions(k.ID), t.del(key(tableKeyHashes).raw(k.Hash[:])), t.del(keysOf(k.Account, k.API).str(k.ID)), t.del(key(tableKeys).str(k.ID)))
}

// AccessKeys lists an account's access keys, oldest first.
func (f *FSM) AccessKeys(account string) (keys []Key, err error) {
	err = f.viewAtOnce("AccessKeys", func(r pebble.Reader) error {
		keys, err = binKeys(r, account)
		keys = accessKeys(keys)
		return err
	})
	return keys, err
}

// MasterKey returns an account's master key.
func (f *FSM) MasterKey(account string) (k Key, found bool, err error) {
	err = f.viewAtOnce("MasterKey", func(r pebble.Reader) error {
		keys, err := binKeys(r, account)
		if i := slices.IndexFunc(keys, func(k Key) bool { return k.master() && k.Revoked == 0 }); i >= 0 {
			k, found = keys[i], true
		}
		return err
	})
	return k, found, err
}
