package node

import "context"

// Collection is a collection's record.
type Collection struct {
	ID, Account, Name string
	SchemaDoc         string // "": none is attached
	Created           int64
}

// CollectionBins is which bins of a collection are wished for, newest first.
type CollectionBins struct {
	Collection string // "": uncategorized ones
	After      string // the page begins after this bin, whether or not there still is one; "": see Page
	Page       int    // from 1; 0 counts as 1
	Ascending  bool   // oldest first
}

// CreateCollection makes a collection of the caller's account.
func (s *Service) CreateCollection(ctx context.Context, c Caller, name string) (Collection, error) {
	return Collection{}, notYet("node.CreateCollection")
}

// Collections returns all collections of the caller's account, oldest first.
func (s *Service) Collections(ctx context.Context, c Caller) ([]Collection, error) {
	return nil, notYet("node.Collections")
}

// Collection returns a collection of the caller's account; KindNotFound
// (collection_not_found).
func (s *Service) Collection(ctx context.Context, c Caller, id string) (Collection, error) {
	return Collection{}, notYet("node.Collection")
}

// RenameCollection renames a collection; collection_not_found.
func (s *Service) RenameCollection(ctx context.Context, c Caller, id, name string) (Collection, error) {
	return Collection{}, notYet("node.RenameCollection")
}

// DeleteCollection deletes a collection and returns what it was: its bins are
// uncategorized from then on.
func (s *Service) DeleteCollection(ctx context.Context, c Caller, id string) (Collection, error) {
	return Collection{}, notYet("node.DeleteCollection")
}

// AttachSchema puts a collection under a schema doc of the same account, in
// the place of one it may have been under; with doc "" under none. It returns
// the collection and the doc that was attached or detached. Codes:
// collection_not_found, schema_not_found (also when there is none to detach).
func (s *Service) AttachSchema(ctx context.Context, c Caller, collection, doc string) (Collection, SchemaDoc, error) {
	return Collection{}, SchemaDoc{}, notYet("node.AttachSchema")
}

// BinsOfCollection returns a page of the bins of one collection of the
// caller's account, or of its uncategorized ones; collection_not_found.
func (s *Service) BinsOfCollection(ctx context.Context, c Caller, w CollectionBins) ([]Bin, error) {
	return nil, notYet("node.BinsOfCollection")
}
