package node

import (
	"context"

	"ringbin/storage"
)

// Bin is a bin's record. It has a base record and Versions records above it.
type Bin struct {
	ID, Account string
	Name        string
	Named       bool
	Private     bool
	Collection  string // "": uncategorized
	Revision    uint64 // counts the changes of the whole bin, from 1
	Versions    int64  // above the base
	Created     int64
	Base        storage.CID
}

// The versions of a bin that have names. Others are numbers from 1.
const (
	BinLatest int64 = -1 // the newest version, or the base where there is none
	BinBase   int64 = 0
)

// NewBin is a bin on its way in.
type NewBin struct {
	Record     []byte // compact JSON
	Private    bool
	Name       *string     // nil: none
	Collection string      // "": uncategorized
	Schema     *SchemaUsed // nil: the collection had no schema doc
}

// SchemaUsed is which schema doc a record was found to match, and at which
// revision. A bin that is under another one by now is refused, with
// KindConflict schema_changed: the record is to be validated anew.
type SchemaUsed struct {
	Doc      string
	Revision uint64
}

// IfMatch is which revisions of a bin a change is meant for; nil is any, and
// none given matches no bin.
type IfMatch struct {
	Any       bool // *
	Revisions []uint64
}

// BinUpdate is a new record for a bin.
type BinUpdate struct {
	Record     []byte // compact JSON
	Versioning *bool  // the wish for a version of its own, or for none; nil: not told
	IfMatch    *IfMatch
	Schema     *SchemaUsed // nil: the bin's collection had no schema doc
}

// UpdatedBin is what became of a bin.
type UpdatedBin struct {
	Bin     Bin
	Version int64 // that was made; 0: none was
}

// DeletedBin is a bin that is gone, and how many versions went with it.
type DeletedBin struct {
	Bin      Bin
	Versions int64
}

// ClearedVersions is a bin without versions, and how many are gone; Found is
// whether there were any.
type ClearedVersions struct {
	Bin     Bin
	Found   bool
	Deleted int64
}

// CreateBin stores a record and a bin of it, for a caller that may create.
// Codes: collection_not_found (Invalid), schema_changed (Conflict).
func (s *Service) CreateBin(ctx context.Context, c Caller, b NewBin) (Bin, error) {
	return Bin{}, notYet("node.CreateBin")
}

// Bin returns a bin as of now, whoever's it is: the caller of this judges who may see
// it. KindNotFound (bin_not_found), and KindUnavailable (no_leader) when that
// can't be told.
func (s *Service) Bin(ctx context.Context, id string) (Bin, error) {
	return Bin{}, notYet("node.Bin")
}

// BinRecord returns a record of a bin, byte by byte as it was stored: BinBase,
// BinLatest or a version's number. KindNotFound (version_not_found).
func (s *Service) BinRecord(ctx context.Context, b Bin, version int64) ([]byte, error) {
	return nil, notYet("node.BinRecord")
}

// UpdateBin stores a new record of a bin. The zero Caller is anonymous and may
// change public bins, as may any key that is not the owner's.
// Codes: bin_not_found, not_authorized (Forbidden), schema_changed (Conflict),
// versioning_off (Forbidden), revision_mismatch (Precondition; Details revision uint64).
func (s *Service) UpdateBin(ctx context.Context, c Caller, id string, u BinUpdate) (UpdatedBin, error) {
	return UpdatedBin{}, notYet("node.UpdateBin")
}

// DeleteBin deletes a bin of the caller's account, with its versions. Codes:
// bin_not_found, not_authorized (Forbidden: another account's), revision_mismatch.
func (s *Service) DeleteBin(ctx context.Context, c Caller, id string, match *IfMatch) (DeletedBin, error) {
	return DeletedBin{}, notYet("node.DeleteBin")
}

// SetBinPrivacy makes a bin of the caller's private or public. Codes:
// bin_not_found (also another account's), revision_mismatch.
func (s *Service) SetBinPrivacy(ctx context.Context, c Caller, id string, private bool, match *IfMatch) (Bin, error) {
	return Bin{}, notYet("node.SetBinPrivacy")
}

// RenameBin names a bin of the caller's. Codes as SetBinPrivacy's.
func (s *Service) RenameBin(ctx context.Context, c Caller, id, name string, match *IfMatch) (Bin, error) {
	return Bin{}, notYet("node.RenameBin")
}

// ClearVersions removes all versions of a bin of the caller's; preserveLatest
// makes the newest one the base first. Codes as SetBinPrivacy's.
func (s *Service) ClearVersions(ctx context.Context, c Caller, id string, preserveLatest bool, match *IfMatch) (ClearedVersions, error) {
	return ClearedVersions{}, notYet("node.ClearVersions")
}

func notYet(op string) error { return storage.E(op, storage.KindInternal, nil) }
