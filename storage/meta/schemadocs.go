package meta

import (
	"errors"

	"github.com/cockroachdb/pebble/v2"

	"ringbin/storage"
)

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

func schemaDocKey(id string) []byte { return key(tableSchemaDocs).str(id) }

// schemaDoc returns an account's schema doc.
func (t *tx) schemaDoc(op, account, id string) (SchemaDoc, error) {
	d, ok, err := read[SchemaDoc](t, schemaDocKey(id))
	if err != nil || !ok || d.Account != account {
		return SchemaDoc{}, orRefuse(err, refuse(op, storage.KindNotFound, "schema_not_found", nil))
	}
	return d, nil
}

func (t *tx) createSchemaDoc(h Header, c CreateSchemaDoc) (SchemaDoc, error) {
	const op = "CreateSchemaDoc"
	if err := ownAccount(op, h, c.Account); err != nil {
		return SchemaDoc{}, err
	}
	a, ok, err := t.account(c.Account)
	if err != nil || !ok {
		return SchemaDoc{}, orRefuse(err, refuseMissing(op))
	}
	content, known, err := t.admitContent(op, c.CID, c.Receipts)
	if err != nil {
		return SchemaDoc{}, err
	}
	if err := t.roomFor(a, c.CID, nil); err != nil {
		return SchemaDoc{}, err
	}
	has, err := t.binAccount(c.Account)
	if err != nil {
		return SchemaDoc{}, err
	}
	if err := oneMore(op, has.SchemaDocs, schemaDocsMax); err != nil {
		return SchemaDoc{}, err
	}
	id, created := has.newID(t.time, c.Random)
	if err := t.idUnused(op, schemaDocKey(id)); err != nil {
		return SchemaDoc{}, err
	}
	has.SchemaDocs++
	t.counts.SchemaDocs++
	d := SchemaDoc{ID: id, Account: c.Account, Name: c.Name, Created: created, CID: c.CID, Revision: 1}
	return d, errors.Join(t.hold(d.held(), content, known, nil), t.putBinAccount(c.Account, has), write(t, schemaDocKey(id), d))
}

func (t *tx) updateSchemaDoc(h Header, c UpdateSchemaDoc) (SchemaDoc, error) {
	const op = "UpdateSchemaDoc"
	if err := ownAccount(op, h, c.Account); err != nil {
		return SchemaDoc{}, err
	}
	d, err := t.schemaDoc(op, c.Account, c.ID)
	if err != nil {
		return SchemaDoc{}, err
	}
	if c.CID != nil {
		if d, err = t.replaceSchema(op, d, *c.CID, c.Receipts); err != nil {
			return SchemaDoc{}, err
		}
	}
	patch(&d.Name, c.Name)
	return d, write(t, schemaDocKey(d.ID), d)
}

// replaceSchema returns the schema doc with another schema, for the caller to write.
func (t *tx) replaceSchema(op string, d SchemaDoc, cid storage.CID, receipts []storage.Receipt) (SchemaDoc, error) {
	content, known, err := t.admitContent(op, cid, receipts)
	if err != nil {
		return SchemaDoc{}, err
	}
	a, ok, err := t.account(d.Account)
	if err != nil || !ok {
		return SchemaDoc{}, orFatal(err, "schema doc of an account that is not there")
	}
	old := d.held()
	if err := t.roomFor(a, cid, &old); err != nil {
		return SchemaDoc{}, err
	}
	d.CID, d.Taken = cid, false
	d.Revision++
	return d, t.hold(d.held(), content, known, &old)
}

// SchemaDoc returns a schema doc. Of one whose schema was taken down Taken is
// set, be it for good or not yet.
func (f *FSM) SchemaDoc(id string) (d SchemaDoc, found bool, err error) {
	err = f.view("SchemaDoc", func(r pebble.Reader) error {
		if d, found, err = lookUp[SchemaDoc](r, schemaDocKey(id)); err != nil || !found || d.Taken {
			return err
		}
		d.Taken, err = blockedAt(r, d.CID)
		return err
	})
	return d, found, err
}

// schemaDocs checks each schema doc against its content and its account.
func (c *check) schemaDocs() error {
	return each(c, tableSchemaDocs, func(_ []byte, d SchemaDoc) error {
		return errors.Join(
			c.holds(d.held()),
			c.must(binAccountKey(d.Account), nil, "JSONBin's record of account %s, which has schema doc %s", d.Account, d.ID),
			c.owner(d.Account, "schema doc "+d.ID))
	})
}
