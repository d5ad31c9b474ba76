package meta

import (
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"ringbin/storage"
)

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

func pasteKey(id string) []byte { return key(tablePastes).str(id) }

func (p Paste) ownedKey() []byte {
	return key(tablePastesOf).str(p.Account).timeDesc(p.Created).str(p.ID)
}

// ref is the paste's reference, and record what stands in it.
func (p Paste) ref() refID { return refID{cid: p.CID, kind: refPaste, holder: p.ID} }

func (p Paste) record() refRecord {
	r := refRecord{Uploaded: p.Created, Expires: p.Expires}
	if r.Expires == 0 {
		r.Expires = never
	}
	return r
}

// live reports whether the paste's time is not over.
func (p Paste) live(now int64) bool { return p.Expires == 0 || p.Expires > now }

func (t *tx) createPaste(h Header, c CreatePaste) (Paste, error) {
	const op = "CreatePaste"
	if err := ownAccount(op, h, c.Account); err != nil {
		return Paste{}, err
	}
	if err := t.idFree(op, c.ID); err != nil {
		return Paste{}, err
	}
	if err := t.endAhead(op, c.Expires); err != nil {
		return Paste{}, err
	}
	a, ok, err := t.holder(c.Account)
	if err != nil || !ok {
		return Paste{}, orRefuse(err, refuseMissing(op))
	}
	b, known, err := t.admitContent(op, c.CID, c.Receipts)
	if err != nil {
		return Paste{}, err
	}
	if err := withinOwned(op, a.Pastes); err != nil {
		return Paste{}, err
	}
	if err := t.withinQuota(a, c.CID); err != nil {
		return Paste{}, err
	}
	p := Paste{
		ID: c.ID, Filename: c.Filename, Extension: c.Extension, MediaType: c.MediaType, CID: c.CID, Account: c.Account,
		UTF8: c.UTF8, Private: c.Private, Created: c.Created, Expires: c.Expires, DeleteKey: c.DeleteKey,
	}
	a.Pastes++ // of the anonymous account nobody keeps it
	t.counts.Pastes++
	if err := t.addReference(&a, p.ref(), b, known, nil, p.record(), Entry{}); err != nil {
		return Paste{}, err
	}
	if err := t.issue(p.ID); err != nil {
		return Paste{}, err
	}
	if err := t.set(p.ownedKey(), nil); err != nil {
		return Paste{}, err
	}
	return p, write(t, pasteKey(p.ID), p)
}

// paste returns a paste that is live now, taken down or not.
func (t *tx) paste(id string) (Paste, bool, error) {
	p, ok, err := read[Paste](t, pasteKey(id))
	return p, ok && p.live(t.time), err
}

func (t *tx) deletePaste(_ Header, c DeletePaste) (Paste, error) {
	p, ok, err := t.paste(c.ID)
	if err != nil || !ok {
		return Paste{}, orRefuse(err, refuseMissing("DeletePaste"))
	}
	return p, t.dropRef(p.ref(), p.record())
}

// dropPaste removes the record of a paste, of which dropRef has removed the reference.
func (t *tx) dropPaste(id string) (Paste, error) {
	p, ok, err := read[Paste](t, pasteKey(id))
	if err != nil || !ok {
		return Paste{}, orFatal(err, "reference of a paste that is not there")
	}
	t.counts.Pastes--
	if err := t.del(p.ownedKey()); err != nil {
		return Paste{}, err
	}
	return p, t.del(pasteKey(id))
}

func (t *tx) setPasteExpiry(_ Header, c SetPasteExpiry) (Paste, error) {
	const op = "SetPasteExpiry"
	p, ok, err := t.paste(c.ID)
	if err != nil || !ok {
		return Paste{}, orRefuse(err, refuseMissing(op))
	}
	b, known, err := t.blob(p.CID)
	if err != nil || !known || b.Blocked {
		return Paste{}, orRefuse(err, refuseMissing(op))
	}
	if err := t.endAhead(op, c.Expires); err != nil {
		return Paste{}, err
	}
	a, ok, err := t.holder(p.Account)
	if err != nil || !ok {
		return Paste{}, orFatal(err, "paste of an account that is not there")
	}
	old := p.record()
	p.Expires = c.Expires
	if err := t.addReference(&a, p.ref(), b, true, &old, p.record(), Entry{}); err != nil {
		return Paste{}, err
	}
	return p, write(t, pasteKey(p.ID), p)
}

// addViews counts views of a paste that is still there.
func (t *tx) addViews(v ViewCount) error {
	p, ok, err := t.paste(v.ID)
	if err != nil || !ok || v.N < 1 || v.N > countMax {
		return err
	}
	p.Views += v.N
	return write(t, pasteKey(p.ID), p)
}

// Paste returns a paste that is live at a time and not taken down.
func (f *FSM) Paste(id string, now int64) (p Paste, found bool, err error) {
	err = f.view("Paste", func(r pebble.Reader) error {
		p, found, err = pasteAt(r, id, now)
		return err
	})
	return p, found, err
}

func pasteAt(r pebble.Reader, id string, now int64) (Paste, bool, error) {
	p, ok, err := lookUp[Paste](r, pasteKey(id))
	if err != nil || !ok || !p.live(now) {
		return Paste{}, false, err
	}
	b, ok, err := lookUp[blobRecord](r, key(tableBlobs).cid(p.CID))
	if err != nil || !ok || b.Blocked {
		return Paste{}, false, err
	}
	return p, true, nil
}

// PastesOf goes over an account's live pastes, newest first. The error of each ends it.
func (f *FSM) PastesOf(account string, now int64, each func(Paste) error) error {
	return f.view("PastesOf", func(r pebble.Reader) error {
		return owned(r, key(tablePastesOf).str(account), func(id string) error {
			p, ok, err := pasteAt(r, id, now)
			if err != nil || !ok {
				return err
			}
			return each(p)
		})
	})
}

// owned goes over the ids of an index of what somebody owns.
func owned(r pebble.Reader, prefix []byte, each func(id string) error) error {
	return scan(r, prefix, func(k, _ []byte) (bool, error) {
		if len(k) < len(prefix)+8+1 {
			return false, fmt.Errorf("%w: key %x", errCorruptState, k)
		}
		return true, each(string(k[len(prefix)+8 : len(k)-1]))
	})
}

// pastes checks each paste against its reference and its rows elsewhere.
func (c *check) pastes() error {
	err := each(c, tablePastes, func(_ []byte, p Paste) error {
		return errors.Join(
			c.mustRef(p.ref(), new(p.record()), "the reference of paste %s", p.ID),
			c.must(p.ownedKey(), nil, "paste %s among those of account %q", p.ID, p.Account),
			c.must(key(tableIssued).str(p.ID), nil, "the id of paste %s among those issued", p.ID),
			c.owner(p.Account, "paste "+p.ID),
		)
	})
	return errors.Join(err, c.rowsAre(tablePastesOf, c.rows[tablePastes], "the index of pastes by account"))
}

// owner tells of an account that should be there; nobody is.
func (c *check) owner(account, of string) error {
	if account == anonymous {
		return nil
	}
	return c.must(key(tableAccounts).str(account), nil, "account %s of %s", account, of)
}
