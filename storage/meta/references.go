package meta

import (
	"errors"
	"fmt"
	"math"

	"ringbin/storage"
)

// Kinds of reference.
const (
	refUpload byte = 'h' // an account's upload through HashBin; the account holds it
	refPaste  byte = 'p' // a paste's; the paste holds it, so that equal bytes have one for each paste
	refBin    byte = 'j' // of what JSONBin holds; the base or version of a bin, or the schema doc, holds it
	refNote   byte = 'w' // of a note of PasteWizard's, while it has content; the note holds it
)

// refKinds are all kinds of reference, in order.
var refKinds = []byte{refUpload, refPaste, refBin, refNote}

// refID names a reference.
type refID struct {
	cid    storage.CID
	kind   byte
	holder string
}

// refRecord is a reference as stored.
type refRecord struct {
	Uploaded int64 `cbor:"1,keyasint"`
	Expires  int64 `cbor:"2,keyasint"` // never for what does not expire

	Account string `cbor:"3,keyasint,omitempty"` // whose bytes it counts, of a refBin or refNote: its holder may be gone before it

	// Graceless content that lost its last reference is condemned without the grace:
	// the key to it is erased, so that nothing can bring it back.
	Graceless bool `cbor:"4,keyasint,omitempty"`
}

// deadAtOnce is a DeadSince so old that any grace from then is over.
const deadAtOnce int64 = 1

// never is after all times: what does not expire is no case of its own.
const never = int64(math.MaxInt64)

// Limits of receipts.
const (
	receiptMaxAge = 15 * 60 * 1000 // milliseconds of FSM time
	receiptsMax   = 4 * storage.OwnersMax
)

func uploadRef(cid storage.CID, account string) refID {
	return refID{cid: cid, kind: refUpload, holder: account}
}

func (id refID) key() []byte { return key(tableRefs).cid(id.cid).byte(id.kind).str(id.holder) }

// indexes are the rows that stand for a reference elsewhere, wherever it lies.
func (id refID) indexes(r refRecord) [][]byte {
	all := [][]byte{key(tableExpiry).time(r.Expires).cid(id.cid).byte(id.kind).str(id.holder)}
	if id.kind == refUpload {
		all = append(all, key(tableRefsOf).str(id.holder).byte(id.kind).timeDesc(r.Uploaded).cid(id.cid))
	}
	return all
}

// contentIndexes are the rows that stand for a reference in tableRefs among
// those of its content.
func (id refID) contentIndexes(r refRecord) [][]byte {
	all := [][]byte{key(tableRefsExpiring).cid(id.cid).byte(id.kind).time(r.Expires).str(id.holder)}
	if id.kind == refUpload {
		all = append(all, key(tableRefsUploaded).cid(id.cid).byte(id.kind).time(r.Uploaded).str(id.holder))
	}
	return all
}

// splitRefKey reads what a key of tableRefs names.
func splitRefKey(k []byte) (refID, error) { return splitRefID(k[1:]) }

// splitExpiryKey reads what a key of tableExpiry names.
func splitExpiryKey(k []byte) (refID, error) {
	if len(k) < 1+8 {
		return refID{}, fmt.Errorf("%w: key %x", errCorruptState, k)
	}
	return splitRefID(k[1+8:])
}

func splitRefID(b []byte) (refID, error) {
	n := storage.CIDBinaryLen(b)
	if n < 0 || len(b) < n+2 || b[len(b)-1] != 0 {
		return refID{}, fmt.Errorf("%w: key %x", errCorruptState, b)
	}
	cid, err := storage.CIDFromBinary(b[:n])
	if err != nil {
		return refID{}, fmt.Errorf("%w: %w", errCorruptState, err)
	}
	return refID{cid: cid, kind: b[n], holder: string(b[n+1 : len(b)-1])}, nil
}

func (t *tx) reference(id refID) (refRecord, bool, error) {
	b, _, err := t.blob(id.cid)
	if err != nil {
		return refRecord{}, false, err
	}
	return b.reference(id, func(k []byte) (refRecord, bool, error) { return read[refRecord](t, k) })
}

func (t *tx) blob(cid storage.CID) (blobRecord, bool, error) {
	return read[blobRecord](t, key(tableBlobs).cid(cid))
}

// shown reports whether a CID has a live upload now: what only pastes know is
// not told of by its CID.
func (t *tx) shown(cid storage.CID) (bool, error) {
	b, _, err := t.blob(cid)
	if err != nil {
		return false, err
	}
	expires, ok, err := b.latestExpiry(t.rows, cid, refUpload)
	return ok && expires > t.time, err
}

// admitContent returns the record of content that may get a reference, and
// whether there is one: it was not taken down, and receipts prove that it is safe.
func (t *tx) admitContent(op string, cid storage.CID, receipts []storage.Receipt) (b blobRecord, known bool, err error) {
	b, known, err = t.blob(cid)
	if err != nil {
		return b, known, err
	}
	if b.Blocked {
		return b, known, refuse(op, storage.KindForbidden, "content_blocked", nil)
	}
	return b, known, t.checkReceipts(cid, receipts, b)
}

// checkReceipts holds content to its proof: W receipts of distinct current
// owners in each active ring, fresh, and given by a node that had applied the
// last condemning of the CID: only copies from before it are erased for it (I3, I12). Inline content needs none.
func (t *tx) checkReceipts(cid storage.CID, receipts []storage.Receipt, b blobRecord) error {
	const op = "checkReceipts"
	if cid.Inline() {
		return nil
	}
	if len(receipts) > receiptsMax {
		return refuseField(op, "receipts", "too many")
	}
	floor, _, err := read[uint64](t, single(singleFloor))
	if err != nil {
		return err
	}
	good := map[storage.NodeID]bool{}
	for _, r := range receipts {
		n, known := t.cache.nodes[r.Node]
		if known && n.Incarnation == r.Incarnation && r.CID == cid && r.Time >= t.receiptsSince() && r.Generation >= max(b.Condemned, floor, 1) {
			good[r.Node] = true
		}
	}
	if t.cache.ring == nil {
		return refuse(op, storage.KindUnavailable, "not_enough_replicas", map[string]any{"wanted": int64(1), "got": int64(0)})
	}
	for _, ring := range []*storage.Ring{t.cache.ring, t.cache.next} {
		if ring == nil {
			continue
		}
		got, wanted := ring.CountOwners(cid, func(o storage.RingNode) bool { return good[o.ID] }), ring.WriteQuorum(cid)
		if got < wanted {
			return refuse(op, storage.KindUnavailable, "not_enough_replicas", map[string]any{"wanted": int64(wanted), "got": int64(got)})
		}
	}
	return nil
}

// withinQuota refuses bytes above the account's quota; all anonymous ones share one.
func (t *tx) withinQuota(a Account, cid storage.CID) error {
	quota := a.QuotaBytes
	switch {
	case a.ID == anonymous:
		quota = t.cache.settings.AnonymousQuotaBytes
	case quota == 0:
		quota = t.cache.settings.QuotaBytes
	}
	if quota == 0 || cid.Inline() || a.UsedBytes+cid.Size() <= quota {
		return nil
	}
	return refuse("withinQuota", storage.KindFull, "insufficient_storage", map[string]any{
		"reason": "quota", "quota_bytes": quota, "used_bytes": a.UsedBytes, "size_bytes": cid.Size(),
	})
}

func heldRef(held bool, r refRecord) *refRecord {
	if !held {
		return nil
	}
	return &r
}

// addReference writes a reference that was decided on, new or in the place of an
// old one, for the account that it is counted for.
//
//nolint:revive // the parts of one decision; a struct of them would have no other use
func (t *tx) addReference(a *Account, id refID, b blobRecord, known bool, old *refRecord, next refRecord, e Entry) error {
	if err := t.charge(a, e); err != nil {
		return err
	}
	t.countsOld = true
	if !id.cid.Inline() {
		t.committed = append(t.committed, id.cid)
	}
	if !known {
		t.counts.Blobs++
	}
	if err := t.putRef(&b, id, next, old); err != nil {
		return err
	}
	if old == nil {
		t.counts.References++
		if !id.cid.Inline() {
			a.UsedBytes += id.cid.Size()
		}
	}
	if !b.Blocked { // else it goes on dying of that
		b.DeadSince, b.Buried = 0, 0
	}
	if err := t.putHolder(*a); err != nil {
		return err
	}
	return t.putBlob(id.cid, b)
}

// putRef writes a reference with its indexes, which are there when it is and no
// longer than it is; old is what it replaces, or nil. The caller writes the blob's record.
func (t *tx) putRef(b *blobRecord, id refID, r refRecord, old *refRecord) error {
	if err := t.placeRef(b, id, r, old); err != nil {
		return err
	}
	if old != nil {
		if err := t.dropAll(id.indexes(*old)); err != nil {
			return err
		}
	} else {
		b.References++
	}
	return t.addAll(id.indexes(r))
}

// addAll and dropAll write and remove index rows, which have no value.
func (t *tx) addAll(keys [][]byte) error {
	for _, k := range keys {
		if err := t.add(k, nil); err != nil {
			return err
		}
	}
	return nil
}

func (t *tx) dropAll(keys [][]byte) error {
	for _, k := range keys {
		if err := t.drop(k, nil); err != nil {
			return err
		}
	}
	return nil
}

// dropRef removes a reference, and a paste's record with it, gives its bytes
// back to the quota that they are counted for, and notes when the blob lost its last one.
func (t *tx) dropRef(id refID, r refRecord) error {
	b, ok, err := t.blob(id.cid)
	if err != nil || !ok {
		return orFatal(err, "reference without its blob")
	}
	if b.Only.is(id) {
		b.Only = onlyRef{}
	} else if err := errors.Join(t.del(id.key()), t.dropAll(id.contentIndexes(r))); err != nil {
		return err
	}
	if err := t.dropAll(id.indexes(r)); err != nil {
		return err
	}
	t.counts.References--
	t.countsOld = true
	if err := t.uncount(id, r); err != nil {
		return err
	}
	if b.References--; b.References == 0 && b.DeadSince == 0 { // else it is dead since it was taken down
		b.DeadSince = t.time
		if r.Graceless {
			b.DeadSince = deadAtOnce
		}
	}
	return t.putBlob(id.cid, b)
}

// uncount takes a reference out of what its account has.
func (t *tx) uncount(id refID, r refRecord) error {
	account := id.holder
	if id.kind == refBin || id.kind == refNote {
		account = r.Account
	}
	if id.kind == refPaste {
		p, err := t.dropPaste(id.holder)
		if err != nil {
			return err
		}
		account = p.Account
	}
	a, ok, err := t.holder(account)
	if err != nil || !ok {
		return err
	}
	if !id.cid.Inline() {
		a.UsedBytes -= id.cid.Size()
	}
	switch id.kind {
	case refPaste:
		a.Pastes--
	case refNote:
		a.Notes--
	}
	return t.putHolder(a)
}
