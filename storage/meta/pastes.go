package meta

import "ringbin/storage"

// Paste is a paste's record: what is known of it beside its bytes, which its
// reference keeps alive. The record is there exactly while the reference is.
type Paste struct {
	ID        string      `cbor:"1,keyasint"`
	Filename  string      `cbor:"2,keyasint"`
	Extension string      `cbor:"3,keyasint"`
	MediaType string      `cbor:"4,keyasint"`
	CID       storage.CID `cbor:"5,keyasint"`
	Account   string      `cbor:"6,keyasint,omitempty"` // who owns it; empty: nobody
	UTF8      bool        `cbor:"7,keyasint,omitempty"` // the whole content is valid UTF-8 text
	Private   bool        `cbor:"8,keyasint,omitempty"`
	Created   int64       `cbor:"9,keyasint"`
	Expires   int64       `cbor:"10,keyasint,omitempty"` // 0: never
	DeleteKey [32]byte    `cbor:"11,keyasint"`           // SHA-256 of the delete key
	Views     int64       `cbor:"12,keyasint,omitempty"`
}

// CreatePaste makes a paste when the receipts prove that its bytes are safe.
// Nothing is charged. Its value is a [Paste].
type CreatePaste struct {
	ID        string            `cbor:"1,keyasint"`
	Account   string            `cbor:"2,keyasint,omitempty"` // empty: an anonymous paste, counted against their common quota
	CID       storage.CID       `cbor:"3,keyasint"`
	Filename  string            `cbor:"4,keyasint"`
	Extension string            `cbor:"5,keyasint"`
	MediaType string            `cbor:"6,keyasint"`
	UTF8      bool              `cbor:"7,keyasint"`
	Private   bool              `cbor:"8,keyasint"`
	Created   int64             `cbor:"9,keyasint"`
	Expires   int64             `cbor:"10,keyasint"` // 0: never
	DeleteKey [32]byte          `cbor:"11,keyasint"`
	Receipts  []storage.Receipt `cbor:"12,keyasint,omitempty"` // none for inline content
}

// DeletePaste removes a paste; its value is the [Paste] that is gone.
type DeletePaste struct {
	ID string `cbor:"1,keyasint"`
}

// SetPasteExpiry changes when a paste ends, to an earlier or a later time; its
// value is the [Paste].
type SetPasteExpiry struct {
	ID      string `cbor:"1,keyasint"`
	Expires int64  `cbor:"2,keyasint"` // 0: never
}

// Paste returns a paste that is live at a time and not taken down.
func (f *FSM) Paste(id string, now int64) (p Paste, found bool, err error) { return p, found, err }

// PastesOf goes over an account's live pastes, newest first.
func (f *FSM) PastesOf(account string, now int64, each func(Paste) error) error { return nil }
