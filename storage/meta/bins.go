package meta

import "ringbin/storage"

// Bin is a bin's head: all that is known of it but its versions.
type Bin struct {
	ID         string      `cbor:"1,keyasint"`
	Account    string      `cbor:"2,keyasint"`           // who owns it, for ever
	Name       string      `cbor:"3,keyasint,omitempty"` // empty: none was given
	Private    bool        `cbor:"4,keyasint,omitempty"`
	Collection string      `cbor:"5,keyasint,omitempty"` // empty: uncategorized
	Revision   uint64      `cbor:"6,keyasint"`           // 1 at creation, one more with each change of record, versions, name or privacy
	Versions   int64       `cbor:"7,keyasint,omitempty"` // above the base: 1 to Versions are there
	Created    int64       `cbor:"8,keyasint"`
	Base       storage.CID `cbor:"9,keyasint"`
	// BaseTaken: the base was taken down for good. It has no bytes any more.
	BaseTaken bool `cbor:"10,keyasint,omitempty"`
	// Clearings is how often the versions were cleared: those of before are not
	// the bin's any more, also while their references are still to be dropped.
	Clearings uint64 `cbor:"11,keyasint,omitempty"`
}

// Match is the condition of a change: the bin's revision is one of a list.
type Match struct {
	Any       bool     `cbor:"1,keyasint,omitempty"` // every revision will do
	Revisions []uint64 `cbor:"2,keyasint,omitempty"` // at most [MatchMax]
}

// MatchMax bounds the revisions of one Match.
const MatchMax = 1000

// RandomID is what makes an id unguessable, drawn by who proposes. The id is made when the command is
// applied: of the time of creation, which rises strictly within an account, and of this.
type RandomID [6]byte

// CreateBin makes a bin when the receipts prove that its record is safe. Its
// value is a [Bin].
type CreateBin struct {
	Account        string            `cbor:"1,keyasint"`
	Random         RandomID          `cbor:"2,keyasint"`
	CID            storage.CID       `cbor:"3,keyasint"`
	Name           string            `cbor:"4,keyasint,omitempty"`
	Private        bool              `cbor:"5,keyasint,omitempty"`
	Collection     string            `cbor:"6,keyasint,omitempty"`
	SchemaDoc      string            `cbor:"7,keyasint,omitempty"` // that the record was validated by; empty: none
	SchemaRevision uint64            `cbor:"8,keyasint,omitempty"`
	Receipts       []storage.Receipt `cbor:"9,keyasint,omitempty"` // none for inline content
}

// UpdateBin gives a bin a new record: as a new version, or in the place of the
// latest one. Which of the two is decided when it is applied. Its value is a [BinUpdate].
type UpdateBin struct {
	ID             string            `cbor:"1,keyasint"`
	CID            storage.CID       `cbor:"2,keyasint"`
	Versioning     *bool             `cbor:"3,keyasint,omitempty"` // what the client asked for
	Master         bool              `cbor:"4,keyasint,omitempty"` // with the master key of the bin's account
	Keyless        bool              `cbor:"5,keyasint,omitempty"` // without any right but that the bin is public
	SchemaDoc      string            `cbor:"6,keyasint,omitempty"` // that the record was validated by; empty: none
	SchemaRevision uint64            `cbor:"7,keyasint,omitempty"`
	IfMatch        *Match            `cbor:"8,keyasint,omitempty"`
	Receipts       []storage.Receipt `cbor:"9,keyasint,omitempty"` // none for inline content
}

// BinUpdate is the value of an UpdateBin.
type BinUpdate struct {
	Bin     Bin   `cbor:"1,keyasint"`
	Version int64 `cbor:"2,keyasint,omitempty"` // that this update made; 0: none
}

// DeleteBin removes a bin with all its versions; its value is the [Bin] that is gone.
type DeleteBin struct {
	ID      string `cbor:"1,keyasint"`
	IfMatch *Match `cbor:"2,keyasint,omitempty"`
}

// SetBinPrivacy makes a bin private or public; its value is a [Bin].
type SetBinPrivacy struct {
	ID      string `cbor:"1,keyasint"`
	Private bool   `cbor:"2,keyasint,omitempty"`
	IfMatch *Match `cbor:"3,keyasint,omitempty"`
}

// RenameBin gives a bin another name; its value is a [Bin].
type RenameBin struct {
	ID      string `cbor:"1,keyasint"`
	Name    string `cbor:"2,keyasint"`
	IfMatch *Match `cbor:"3,keyasint,omitempty"`
}

// Bin returns a bin.
func (f *FSM) Bin(id string) (b Bin, found bool, err error) { return b, found, err }
