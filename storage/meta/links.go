package meta

// Link is a short link's record.
type Link struct {
	ID        string   `cbor:"1,keyasint"`
	Target    string   `cbor:"2,keyasint"`
	Title     string   `cbor:"3,keyasint"`
	Account   string   `cbor:"4,keyasint"` // who owns it
	Created   int64    `cbor:"5,keyasint"`
	Expires   int64    `cbor:"6,keyasint,omitempty"` // 0: never
	DeleteKey [32]byte `cbor:"7,keyasint"`           // SHA-256 of the delete key
	Clicks    int64    `cbor:"8,keyasint,omitempty"`
	LastClick int64    `cbor:"9,keyasint,omitempty"` // 0: none yet
}

// CreateLink makes a short link; its value is a [Link].
type CreateLink struct {
	ID        string   `cbor:"1,keyasint"`
	Account   string   `cbor:"2,keyasint"`
	Target    string   `cbor:"3,keyasint"`
	Title     string   `cbor:"4,keyasint"`
	Created   int64    `cbor:"5,keyasint"`
	Expires   int64    `cbor:"6,keyasint"` // 0: never
	DeleteKey [32]byte `cbor:"7,keyasint"`
}

// DeleteLink removes a short link; its value is the [Link] that is gone.
type DeleteLink struct {
	ID string `cbor:"1,keyasint"`
}

// SetLinkExpiry changes when a short link ends, to an earlier or a later time;
// its value is the [Link].
type SetLinkExpiry struct {
	ID      string `cbor:"1,keyasint"`
	Expires int64  `cbor:"2,keyasint"` // 0: never
}

// Link returns a short link that is live at a time.
func (f *FSM) Link(id string, now int64) (l Link, found bool, err error) { return l, found, err }

// LinksOf goes over an account's live short links, newest first.
func (f *FSM) LinksOf(account string, now int64, each func(Link) error) error { return nil }
