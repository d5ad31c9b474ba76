package node

import (
	"context"

	"ringbin/storage"
)

// SchemaDoc is a schema doc's record.
type SchemaDoc struct {
	ID, Account, Name string
	Created           int64
	CID               storage.CID
	Revision          uint64 // counts the changes of the schema
}

// CreateSchemaDoc stores a schema and a doc of it, for the caller's account.
// That it is a schema is checked before.
func (s *Service) CreateSchemaDoc(ctx context.Context, c Caller, name string, schema []byte) (SchemaDoc, error) {
	return SchemaDoc{}, notYet("node.CreateSchemaDoc")
}

// SchemaDoc returns a schema doc of the caller's account and its text;
// KindNotFound (schema_not_found).
func (s *Service) SchemaDoc(ctx context.Context, c Caller, id string) (SchemaDoc, []byte, error) {
	return SchemaDoc{}, nil, notYet("node.SchemaDoc")
}

// UpdateSchemaDoc stores a new schema, and renames where a name is given.
func (s *Service) UpdateSchemaDoc(ctx context.Context, c Caller, id string, schema []byte, name *string) (SchemaDoc, error) {
	return SchemaDoc{}, notYet("node.UpdateSchemaDoc")
}

// RenameSchemaDoc renames a schema doc.
func (s *Service) RenameSchemaDoc(ctx context.Context, c Caller, id, name string) (SchemaDoc, error) {
	return SchemaDoc{}, notYet("node.RenameSchemaDoc")
}

// SchemaFor returns what records of a collection's bins have to match: found
// is false where the collection has no schema doc, or is "" or gone. A schema that can't be
// read is an error (KindUnavailable): validation is never skipped.
func (s *Service) SchemaFor(ctx context.Context, collection string) (doc SchemaDoc, schema []byte, found bool, err error) {
	return SchemaDoc{}, nil, false, notYet("node.SchemaFor")
}
