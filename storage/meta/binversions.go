package meta

import "ringbin/storage"

// ClearVersions removes all versions of a bin in one step; of a bin without
// versions it changes nothing. Its value is a [Cleared].
type ClearVersions struct {
	ID             string `cbor:"1,keyasint"`
	PreserveLatest bool   `cbor:"2,keyasint,omitempty"` // the latest one becomes the base before
	IfMatch        *Match `cbor:"3,keyasint,omitempty"`
}

// Cleared is the value of a ClearVersions.
type Cleared struct {
	Bin      Bin   `cbor:"1,keyasint"`           // after it
	Versions int64 `cbor:"2,keyasint,omitempty"` // that the bin had; 0: nothing was changed
	Deleted  int64 `cbor:"3,keyasint,omitempty"` // of these; one less when the latest became the base
}

// BinVersion is a bin's record as of one version.
type BinVersion struct {
	Bin     Bin   // in the same state; set also when the bin has no such version
	Version int64 // 0: the base
	CID     storage.CID
	Blocked bool // taken down: not served
}

// Latest names the newest version of a bin, or its base when it has none.
const Latest int64 = -1

// BinVersion returns version n of a bin: 0 is its base, [Latest] the newest one.
func (f *FSM) BinVersion(id string, n int64) (v BinVersion, found bool, err error) {
	return v, found, err
}
