package meta

import (
	"encoding/binary"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"ringbin/storage"
)

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

// versionID names a version: of a bin, as of so many clearings.
type versionID struct {
	bin      string
	clearing uint64
	n        int64
}

// versionRecord is a version as stored.
type versionRecord struct {
	CID   storage.CID `cbor:"1,keyasint"`
	Taken bool        `cbor:"2,keyasint,omitempty"` // down for good: it has no bytes any more
}

func versionsOf(bin string, clearing uint64) keyBuilder {
	return key(tableBinVersions).str(bin).u64(clearing)
}

func (v versionID) key() []byte { return versionsOf(v.bin, v.clearing).u64(uint64(v.n)) }

func (b Bin) version(n int64) versionID { return versionID{bin: b.ID, clearing: b.Clearings, n: n} }

// versionHeld is what version n of a bin holds; version 0 is its base.
func (b Bin) versionHeld(n int64, r versionRecord) held {
	if n == 0 {
		return b.base()
	}
	return held{holder: versionHolder(b.version(n)), account: b.Account, cid: r.CID, taken: r.Taken}
}

// content returns what version n of a bin holds; nil for one that is to be.
func (t *tx) content(b Bin, n int64, isNew bool) (*held, error) {
	if isNew {
		return nil, nil
	}
	var r versionRecord
	if n > 0 {
		var ok bool
		var err error
		if r, ok, err = read[versionRecord](t, b.version(n).key()); err != nil || !ok {
			return nil, orFatal(err, "bin without its version")
		}
	}
	h := b.versionHeld(n, r)
	return &h, nil
}

// setContent gives version n of a bin its record, in the place of old. Of a base the caller writes the bin.
//
//nolint:revive // the parts of one decision; a struct of them would have no other use
func (t *tx) setContent(b *Bin, n int64, cid storage.CID, taken bool, content blobRecord, known bool, old *held) error {
	r := versionRecord{CID: cid, Taken: taken}
	if n == 0 {
		b.Base, b.BaseTaken = cid, taken
	} else if err := write(t, b.version(n).key(), r); err != nil {
		return err
	}
	return t.hold(b.versionHeld(n, r), content, known, old)
}

func (t *tx) clearVersions(h Header, c ClearVersions) (Cleared, error) {
	const op = "ClearVersions"
	b, err := t.bin(op, h, c.ID)
	if err != nil {
		return Cleared{}, err
	}
	if err := c.IfMatch.check(op, b); err != nil || b.Versions == 0 {
		return Cleared{Bin: b}, err
	}
	res := Cleared{Versions: b.Versions, Deleted: b.Versions}
	if c.PreserveLatest {
		res.Deleted--
		if err := t.preserve(&b); err != nil {
			return Cleared{}, err
		}
	}
	if err := t.leaveVersions(b); err != nil {
		return Cleared{}, err
	}
	b.Revision++
	b.Clearings++
	b.Versions = 0
	res.Bin = b
	return res, t.putBin(b)
}

// preserve makes the latest version of a bin its base. Its bytes are there
// already: what would be above the quota comes down again with the versions.
func (t *tx) preserve(b *Bin) error {
	latest, err := t.content(*b, b.Versions, false)
	if err != nil {
		return err
	}
	content, known, err := t.blob(latest.cid)
	if err != nil {
		return err
	}
	base := b.base()
	return t.setContent(b, 0, latest.cid, latest.taken, content, known, &base)
}

// leaveVersions has the versions of a bin swept that it does not have from now
// on: their number is no measure for what one command does.
func (t *tx) leaveVersions(b Bin) error {
	if b.Versions == 0 {
		return nil
	}
	return t.setEnd(t.time, endOfVersions, clearedID(b.ID, b.Clearings))
}

// clearedID names the versions of a bin that were cleared together.
func clearedID(bin string, clearing uint64) []byte { return keyBuilder(nil).str(bin).u64(clearing) }

func splitClearedID(id []byte) (bin string, clearing uint64, err error) {
	if len(id) < 1+8 || id[len(id)-9] != 0 {
		return "", 0, fmt.Errorf("%w: versions %x", errCorruptState, id)
	}
	return string(id[:len(id)-9]), binary.BigEndian.Uint64(id[len(id)-8:]), nil
}

// endVersions drops up to limit versions that their bin has no more, and
// returns how many records it removed. The row goes with the last one.
func (t *tx) endVersions(row, id []byte, limit int) (int, error) {
	bin, clearing, err := splitClearedID(id)
	if err != nil {
		return 0, err
	}
	prefix := versionsOf(bin, clearing)
	keys, err := keysIn(t.rows(), prefix, past(prefix), limit)
	if err != nil {
		return 0, err
	}
	for _, k := range keys {
		if err := t.endVersion(k); err != nil {
			return 0, err
		}
	}
	if len(keys) == limit {
		return limit, nil // there may be more
	}
	return len(keys) + 1, t.del(row)
}

func (t *tx) endVersion(k []byte) error {
	v, err := splitVersionKey(k)
	if err != nil {
		return err
	}
	r, ok, err := read[versionRecord](t, k)
	if err != nil || !ok {
		return orFatal(err, "version that is not there")
	}
	if !r.Taken {
		id := refID{cid: r.CID, kind: refBin, holder: versionHolder(v)}
		ref, ok, err := t.reference(id)
		if err != nil || !ok {
			return orFatal(err, "version without its reference")
		}
		if err := t.dropRef(id, ref); err != nil {
			return err
		}
	}
	return t.del(k)
}

func splitVersionKey(k []byte) (versionID, error) {
	const numbers = 8 + 8
	if len(k) < 1+1+numbers || k[len(k)-numbers-1] != 0 {
		return versionID{}, fmt.Errorf("%w: key %x", errCorruptState, k)
	}
	return versionID{
		bin:      string(k[1 : len(k)-numbers-1]),
		clearing: binary.BigEndian.Uint64(k[len(k)-numbers:]),
		n:        int64(binary.BigEndian.Uint64(k[len(k)-8:])),
	}, nil
}

// BinVersion returns version n of a bin: 0 is its base, [Latest] the newest one.
func (f *FSM) BinVersion(id string, n int64) (v BinVersion, found bool, err error) {
	err = f.viewAtOnce("BinVersion", func(r pebble.Reader) error {
		v, found, err = binVersionAt(r, id, n)
		return err
	})
	return v, found, err
}

func binVersionAt(r pebble.Reader, id string, n int64) (v BinVersion, found bool, err error) {
	b, ok, err := binAt(r, id)
	if err != nil || !ok {
		return v, false, err
	}
	v.Bin = b
	if n == Latest {
		n = b.Versions
	}
	if n < 0 || n > b.Versions {
		return v, false, nil
	}
	var rec versionRecord
	if n > 0 {
		if rec, ok, err = lookUp[versionRecord](r, b.version(n).key()); err != nil || !ok {
			return v, false, orFatal(err, "bin without its version")
		}
	}
	h := b.versionHeld(n, rec)
	v.Version, v.CID, v.Blocked = n, h.cid, h.taken
	if !v.Blocked {
		v.Blocked, err = blockedAt(r, h.cid)
	}
	return v, true, err
}

// blockedAt reports whether content was taken down.
func blockedAt(r pebble.Reader, cid storage.CID) (bool, error) {
	b, _, err := lookUp[blobRecord](r, key(tableBlobs).cid(cid))
	return b.Blocked, err
}

// versions checks each version: it has its reference, and is one of its bin's
// or waits to be dropped.
func (c *check) versions() error {
	return each(c, tableBinVersions, func(k []byte, r versionRecord) error {
		v, err := splitVersionKey(k)
		if err != nil {
			return c.say("%v", err)
		}
		if !r.Taken {
			id := refID{cid: r.CID, kind: refBin, holder: versionHolder(v)}
			if err := c.mustRef(id, nil, "the reference of %q to %s", id.holder, id.cid); err != nil {
				return err
			}
		}
		b, ok, err := lookUp[Bin](c.r, binKey(v.bin))
		if err != nil {
			return err
		}
		if ok && b.Clearings == v.clearing && v.n >= 1 && v.n <= b.Versions || c.waits(endOfVersions, clearedID(v.bin, v.clearing)) {
			return nil
		}
		return c.say("version %d of bin %s is not the bin's, and waits for nothing", v.n, v.bin)
	})
}

// cleared reports whether versions that wait to be dropped are not their bin's any more.
func (c *check) cleared(id []byte) (bool, error) {
	bin, clearing, err := splitClearedID(id)
	if err != nil {
		return false, nil //nolint:nilerr // the end of nothing
	}
	b, ok, err := lookUp[Bin](c.r, binKey(bin))
	return !ok || b.Clearings > clearing, err
}
