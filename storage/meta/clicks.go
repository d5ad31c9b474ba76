package meta

// AddCounts adds what nodes have counted in memory. Things that are not there,
// or not any more, are passed over. It has no value.
type AddCounts struct {
	Views  []ViewCount  `cbor:"1,keyasint,omitempty"` // each list of at most [CountsMax]
	Clicks []ClickCount `cbor:"2,keyasint,omitempty"`
	Uses   []KeyUse     `cbor:"3,keyasint,omitempty"`
}

// ViewCount is how often a paste was viewed.
type ViewCount struct {
	ID string `cbor:"1,keyasint"`
	N  int64  `cbor:"2,keyasint"`
}

// ClickCount is what was counted of a short link on a day.
type ClickCount struct {
	ID        string           `cbor:"1,keyasint"`
	Day       int32            `cbor:"2,keyasint"` // since 1970, UTC
	N         int64            `cbor:"3,keyasint"`
	Last      int64            `cbor:"4,keyasint"`           // when the last click was
	Visitors  [][8]byte        `cbor:"5,keyasint,omitempty"` // hashes under the day's salt
	Referrers map[string]int64 `cbor:"6,keyasint,omitempty"`
	Countries map[string]int64 `cbor:"7,keyasint,omitempty"`
	Browsers  map[string]int64 `cbor:"8,keyasint,omitempty"`
}

// SetSalt proposes the salt of a day's visitors. The first one of a day holds:
// its value is the [Salt] that does.
type SetSalt struct {
	Day  int32    `cbor:"1,keyasint"`
	Salt [32]byte `cbor:"2,keyasint"`
}

// Salt is what a day's visitors are hashed with.
type Salt struct {
	Day  int32    `cbor:"1,keyasint"`
	Salt [32]byte `cbor:"2,keyasint"`
}

// CountsMax bounds each list of one AddCounts. [CommandMax] bounds all of it.
const CountsMax = 1000

// LinkDay is what is known of a short link's clicks on a day.
type LinkDay struct {
	Day       int32 // since 1970, UTC
	Clicks    int64
	Visitors  int64 // that could be told apart
	Referrers map[string]int64
	Countries map[string]int64
	Browsers  map[string]int64
}

// LinkDays returns a short link's days with clicks, both ends included, in order.
func (f *FSM) LinkDays(id string, from, to int32) (days []LinkDay, err error) { return nil, nil }

// Salt returns the salt of a day, as long as it is kept.
func (f *FSM) Salt(day int32) (salt [32]byte, found bool, err error) { return salt, found, err }
