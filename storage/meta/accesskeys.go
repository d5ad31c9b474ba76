package meta

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

// AccessKeys lists an account's access keys, oldest first.
func (f *FSM) AccessKeys(account string) (keys []Key, err error) { return nil, nil }

// MasterKey returns an account's master key.
func (f *FSM) MasterKey(account string) (k Key, found bool, err error) { return k, found, err }
