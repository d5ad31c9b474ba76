package meta

import "ringbin/storage"

// SchemaDoc is a JSON Schema that collections have their records validated by.
// The schema itself is content.
type SchemaDoc struct {
	ID       string      `cbor:"1,keyasint"`
	Account  string      `cbor:"2,keyasint"`
	Name     string      `cbor:"3,keyasint"`
	Created  int64       `cbor:"4,keyasint"`
	CID      storage.CID `cbor:"5,keyasint"`
	Revision uint64      `cbor:"6,keyasint"` // of the schema: 1 at creation, one more each time that it is replaced
	// Taken: the schema was taken down for good. It has no bytes any more.
	Taken bool `cbor:"7,keyasint,omitempty"`
}

// CreateSchemaDoc makes a schema doc when the receipts prove that the schema is
// safe. Its value is a [SchemaDoc].
type CreateSchemaDoc struct {
	Account  string            `cbor:"1,keyasint"`
	Random   RandomID          `cbor:"2,keyasint"`
	Name     string            `cbor:"3,keyasint"`
	CID      storage.CID       `cbor:"4,keyasint"`
	Receipts []storage.Receipt `cbor:"5,keyasint,omitempty"` // none for inline content
}

// UpdateSchemaDoc changes the members that are not nil; its value is a [SchemaDoc].
type UpdateSchemaDoc struct {
	Account  string            `cbor:"1,keyasint"`
	ID       string            `cbor:"2,keyasint"`
	Name     *string           `cbor:"3,keyasint,omitempty"`
	CID      *storage.CID      `cbor:"4,keyasint,omitempty"`
	Receipts []storage.Receipt `cbor:"5,keyasint,omitempty"` // of CID
}

// SchemaDoc returns a schema doc. Of one whose content was taken down Taken is set.
func (f *FSM) SchemaDoc(id string) (d SchemaDoc, found bool, err error) { return d, found, err }
