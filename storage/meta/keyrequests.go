package meta

// KeyRequest is a wish for a key that waits for its token to come back from
// the address.
type KeyRequest struct {
	Email   string   `cbor:"1,keyasint"`
	Name    string   `cbor:"2,keyasint"`
	Token   [32]byte `cbor:"3,keyasint"` // SHA-256
	Created int64    `cbor:"4,keyasint"`
	Expires int64    `cbor:"5,keyasint"`
}

// RequestKey notes a wish for a key, in the place of one that waits for the
// same address. It has no value.
type RequestKey struct {
	Email   string   `cbor:"1,keyasint"`
	Name    string   `cbor:"2,keyasint"`
	Token   [32]byte `cbor:"3,keyasint"` // SHA-256
	Expires int64    `cbor:"4,keyasint"`
}

// RedeemToken makes the key that a token was asked for, once: for the account
// whose address it is, or for a new one. Its value is a [Redeemed].
type RedeemToken struct {
	Token   [32]byte `cbor:"1,keyasint"` // SHA-256
	Account string   `cbor:"2,keyasint"` // id of a new account
	KeyID   string   `cbor:"3,keyasint"`
	KeyHash [32]byte `cbor:"4,keyasint"`
	API     string   `cbor:"5,keyasint"`
}

// Redeemed is the value of a RedeemToken.
type Redeemed struct {
	Key     Key     `cbor:"1,keyasint"`
	Account Account `cbor:"2,keyasint"`
}

// OpenKey makes a key, and an account of its own for it, whose address nobody
// has verified. Its value is a [Key].
type OpenKey struct {
	Account string   `cbor:"1,keyasint"`
	KeyID   string   `cbor:"2,keyasint"`
	KeyHash [32]byte `cbor:"3,keyasint"`
	API     string   `cbor:"4,keyasint"`
	Email   string   `cbor:"5,keyasint"`
	Name    string   `cbor:"6,keyasint"`
}

// PendingKey returns the request that waits for a token, when it still does at a time.
func (f *FSM) PendingKey(token [32]byte, now int64) (r KeyRequest, found bool, err error) {
	return r, found, err
}
