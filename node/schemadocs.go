package node

import (
	"context"

	"ringbin/storage"
	"ringbin/storage/meta"
)

// CreateSchemaDoc stores a schema and a doc of it, in the caller's account.
// That it is a valid schema is known by then.
func (s *Service) CreateSchemaDoc(ctx context.Context, c Caller, name string, schema []byte) (SchemaDoc, error) {
	if err := masterOnly("node.CreateSchemaDoc", c); err != nil {
		return SchemaDoc{}, err
	}
	cmd := meta.CreateSchemaDoc{Account: c.Account, Name: name}
	return createDrawn(func(random meta.RandomID) (SchemaDoc, error) {
		return commitRecord[SchemaDoc](ctx, s, c, schema, func(cid storage.CID, r []storage.Receipt) meta.Command {
			cmd.Random, cmd.CID, cmd.Receipts = random, cid, r
			return cmd
		})
	})
}

// SchemaDoc returns a schema doc of the caller's account; KindNotFound
// (schema_not_found).
func (s *Service) SchemaDoc(ctx context.Context, c Caller, id string) (SchemaDoc, error) {
	const op = "node.SchemaDoc"
	if err := masterOnly(op, c); err != nil {
		return SchemaDoc{}, err
	}
	missing := &storage.Error{Op: op, Kind: storage.KindNotFound, Code: "schema_not_found"}
	return strong(ctx, s, missing, func() (SchemaDoc, bool, error) {
		d, found, err := s.n.fsm.SchemaDoc(id)
		return d, found && d.Account == c.Account, err
	})
}

// Schema returns the bytes of a schema, as they were stored. KindUnavailable
// when they can't be had.
func (s *Service) Schema(ctx context.Context, d SchemaDoc) ([]byte, error) {
	if d.Taken {
		return nil, &storage.Error{Op: "node.Schema", Kind: storage.KindUnavailable, Code: "content_blocked"}
	}
	return s.readAll(ctx, d.CID)
}

// UpdateSchemaDoc replaces the schema of a doc of the caller's, and renames the
// doc where a name is given; schema_not_found.
func (s *Service) UpdateSchemaDoc(ctx context.Context, c Caller, id string, schema []byte, name *string) (SchemaDoc, error) {
	if _, err := s.SchemaDoc(ctx, c, id); err != nil { // nothing is stored for what is not there
		return SchemaDoc{}, err
	}
	cmd := meta.UpdateSchemaDoc{Account: c.Account, ID: id, Name: name}
	return commitRecord[SchemaDoc](ctx, s, c, schema, func(cid storage.CID, r []storage.Receipt) meta.Command {
		cmd.CID, cmd.Receipts = &cid, r
		return cmd
	})
}

// RenameSchemaDoc renames a schema doc of the caller's; schema_not_found.
func (s *Service) RenameSchemaDoc(ctx context.Context, c Caller, id, name string) (SchemaDoc, error) {
	if err := masterOnly("node.RenameSchemaDoc", c); err != nil {
		return SchemaDoc{}, err
	}
	return submitBins[SchemaDoc](ctx, s, c, meta.UpdateSchemaDoc{Account: c.Account, ID: id, Name: &name})
}

// SchemaFor returns what records of a collection's bins have to match, as of
// now. Not found is one where the collection has none, is "", or is gone. One
// that can't be read is an error, KindUnavailable: validation is never skipped.
func (s *Service) SchemaFor(ctx context.Context, collection string) (doc SchemaDoc, schema []byte, found bool, err error) {
	if collection == "" {
		return SchemaDoc{}, nil, false, nil
	}
	if err := s.n.catchUp(ctx); err != nil {
		return SchemaDoc{}, nil, false, err
	}
	l, found, err := s.n.fsm.Collection(collection)
	if err != nil || !found || l.SchemaDoc == "" {
		return SchemaDoc{}, nil, false, err
	}
	if doc, found, err = s.n.fsm.SchemaDoc(l.SchemaDoc); err != nil || !found {
		return SchemaDoc{}, nil, false, err
	}
	if schema, err = s.Schema(ctx, doc); err != nil {
		return SchemaDoc{}, nil, false, err
	}
	return doc, schema, true, nil
}
