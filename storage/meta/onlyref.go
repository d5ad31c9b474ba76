package meta

import (
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"ringbin/storage"
)

// Most content has one reference in all its life. That one lies in the record of
// the content: one row says all. The second moves it to tableRefs, where they
// stay, with the indexes by content, until there is none: so a record with an
// only reference counts one, and has no row in those tables.

// onlyRef is a reference but for its CID. Kind 0: there is none.
type onlyRef struct {
	Kind   byte      `cbor:"1,keyasint"`
	Holder string    `cbor:"2,keyasint,omitempty"`
	Ref    refRecord `cbor:"3,keyasint"`
}

func (o onlyRef) id(cid storage.CID) refID { return refID{cid: cid, kind: o.Kind, holder: o.Holder} }

func (o onlyRef) is(id refID) bool { return o.Kind == id.kind && o.Holder == id.holder }

// reference finds a reference of content with this record.
func (b blobRecord) reference(id refID, row func(key []byte) (refRecord, bool, error)) (refRecord, bool, error) {
	switch {
	case b.Only.is(id):
		return b.Only.Ref, true, nil
	case b.Only.Kind != 0 || b.References == 0:
		return refRecord{}, false, nil
	}
	return row(id.key())
}

// place puts a new reference, or one in the place of old, into the record of
// its content or beside it.
func (t *tx) placeRef(b *blobRecord, id refID, r refRecord, old *refRecord) error {
	if old == nil && b.References == 0 || b.Only.is(id) {
		b.Only = onlyRef{Kind: id.kind, Holder: id.holder, Ref: r}
		return nil
	}
	if first := b.Only; first.Kind != 0 {
		b.Only = onlyRef{}
		if err := t.putRow(first.id(id.cid), first.Ref, nil); err != nil {
			return err
		}
	}
	return t.putRow(id, r, old)
}

// putRow writes a reference to tableRefs, and what it stands for among the
// references of its content.
func (t *tx) putRow(id refID, r refRecord, old *refRecord) error {
	if old != nil {
		if err := t.dropAll(id.contentIndexes(*old)); err != nil {
			return err
		}
	}
	if err := write(t, id.key(), r); err != nil {
		return err
	}
	return t.addAll(id.contentIndexes(r))
}

// eachReference goes over all references, those of one sort of place after the other.
func eachReference(r pebble.Reader, each func(id refID, ref refRecord) error) error {
	err := scan(r, []byte{tableRefs}, func(k, v []byte) (bool, error) {
		id, err := splitRefKey(k)
		if err != nil {
			return false, err
		}
		var ref refRecord
		if err := decMode.Unmarshal(v, &ref); err != nil {
			return false, fmt.Errorf("reference of %s: %w", id.holder, err)
		}
		return true, each(id, ref)
	})
	if err != nil {
		return err
	}
	return scan(r, []byte{tableBlobs}, func(k, v []byte) (bool, error) {
		cid, err := storage.CIDFromBinary(k[1:])
		if err != nil {
			return false, fmt.Errorf("%w: key %x: %w", errCorruptState, k, err)
		}
		var b blobRecord
		if err := decMode.Unmarshal(v, &b); err != nil {
			return false, fmt.Errorf("record of blob %s: %w", cid.LogValue(), err)
		}
		if b.Only.Kind == 0 {
			return true, nil
		}
		return true, each(b.Only.id(cid), b.Only.Ref)
	})
}
