package node

import (
	"context"

	"ringbin/storage"
	"ringbin/storage/meta"
)

// CollectionBins is which bins of a collection are wished for, newest first.
type CollectionBins struct {
	Collection string // "": those that are in none
	After      string // the page begins after this bin's place, whether or not there still is one; "": see Page
	Page       int    // from 1, which 0 is too
	Ascending  bool   // oldest first
}

// CreateCollection makes a collection in the caller's account.
func (s *Service) CreateCollection(ctx context.Context, c Caller, name string) (Collection, error) {
	if err := masterOnly("node.CreateCollection", c); err != nil {
		return Collection{}, err
	}
	return createDrawn(func(random meta.RandomID) (Collection, error) {
		return submitBins[Collection](ctx, s, c, meta.CreateCollection{Account: c.Account, Random: random, Name: name})
	})
}

// Collections returns all collections of the caller's account, oldest first.
func (s *Service) Collections(ctx context.Context, c Caller) ([]Collection, error) {
	if err := masterOnly("node.Collections", c); err != nil {
		return nil, err
	}
	if err := s.n.catchUp(ctx); err != nil {
		return nil, err
	}
	return s.n.fsm.CollectionsOf(c.Account)
}

// Collection returns a collection of the caller's account; KindNotFound
// (collection_not_found).
func (s *Service) Collection(ctx context.Context, c Caller, id string) (Collection, error) {
	const op = "node.Collection"
	if err := masterOnly(op, c); err != nil {
		return Collection{}, err
	}
	missing := &storage.Error{Op: op, Kind: storage.KindNotFound, Code: "collection_not_found"}
	return strong(ctx, s, missing, func() (Collection, bool, error) {
		l, found, err := s.n.fsm.Collection(id)
		return l, found && l.Account == c.Account, err
	})
}

// RenameCollection renames a collection of the caller's; collection_not_found.
func (s *Service) RenameCollection(ctx context.Context, c Caller, id, name string) (Collection, error) {
	if err := masterOnly("node.RenameCollection", c); err != nil {
		return Collection{}, err
	}
	return submitBins[Collection](ctx, s, c, meta.RenameCollection{Account: c.Account, ID: id, Name: name})
}

// DeleteCollection deletes a collection of the caller's, and returns what it
// was. Its bins are in none from then on. Code: collection_not_found.
func (s *Service) DeleteCollection(ctx context.Context, c Caller, id string) (Collection, error) {
	if err := masterOnly("node.DeleteCollection", c); err != nil {
		return Collection{}, err
	}
	return submitBins[Collection](ctx, s, c, meta.DeleteCollection{Account: c.Account, ID: id})
}

// AttachSchema puts a collection of the caller's under a schema doc, in the
// place of one that it may be under, or, with doc "", under none. It returns
// the doc that was attached or detached, too. Codes: collection_not_found,
// schema_not_found (also when there is none to detach).
func (s *Service) AttachSchema(ctx context.Context, c Caller, collection, doc string) (Collection, SchemaDoc, error) {
	if err := masterOnly("node.AttachSchema", c); err != nil {
		return Collection{}, SchemaDoc{}, err
	}
	a, err := submitBins[meta.Attached](ctx, s, c, meta.AttachSchema{Account: c.Account, Collection: collection, SchemaDoc: doc})
	return a.Collection, a.SchemaDoc, err
}

// BinsOfCollection returns a page of the bins of a collection of the caller's,
// or of those that are in none; collection_not_found.
func (s *Service) BinsOfCollection(ctx context.Context, c Caller, w CollectionBins) ([]Bin, error) {
	if err := s.collectionFor(ctx, c, w.Collection); err != nil {
		return nil, err
	}
	size := int(s.Settings().JSONBin.PageSize)
	return s.n.fsm.BinsOf(meta.BinList{
		Account: c.Account, Collection: w.Collection, Ascending: w.Ascending, After: w.After,
		Skip: size * max(0, w.Page-1), Limit: size,
	})
}

// collectionFor waits for a list to be as of now, and refuses that of a
// collection which the caller does not have.
func (s *Service) collectionFor(ctx context.Context, c Caller, id string) error {
	if id == "" {
		if err := masterOnly("node.BinsOfCollection", c); err != nil {
			return err
		}
		return s.n.catchUp(ctx)
	}
	_, err := s.Collection(ctx, c, id)
	return err
}
