package meta

import (
	"errors"

	"ringbin/storage"
)

// Limits of references.
const (
	daysAheadMax  = 36_500
	receiptMaxAge = 15 * 60 * 1000 // milliseconds of FSM time
	receiptsMax   = 4 * storage.OwnersMax
)

func refKey(cid storage.CID, kind byte, account string) []byte {
	return key(tableRefs).cid(cid).byte(kind).str(account)
}

func (t *tx) reference(cid storage.CID, account string) (refRecord, bool, error) {
	return read[refRecord](t, refKey(cid, refHashBin, account))
}

func (t *tx) blob(cid storage.CID) (blobRecord, bool, error) {
	return read[blobRecord](t, key(tableBlobs).cid(cid))
}

// putRef writes a reference with its indexes; old is what it replaces, or nil.
func (t *tx) putRef(cid storage.CID, account string, r refRecord, old *refRecord) error {
	if old != nil {
		if err := t.dropRefIndexes(cid, account, *old); err != nil {
			return err
		}
	}
	if err := write(t, refKey(cid, refHashBin, account), r); err != nil {
		return err
	}
	for _, k := range refIndexes(cid, account, r) {
		if err := t.set(k, nil); err != nil {
			return err
		}
	}
	return nil
}

func refIndexes(cid storage.CID, account string, r refRecord) [][]byte {
	return [][]byte{
		key(tableRefsOf).str(account).byte(refHashBin).timeDesc(r.Uploaded).cid(cid),
		key(tableRefsUploaded).cid(cid).byte(refHashBin).time(r.Uploaded).str(account),
		key(tableRefsExpiring).cid(cid).byte(refHashBin).time(r.Expires).str(account),
		key(tableExpiry).time(r.Expires).cid(cid).byte(refHashBin).str(account),
	}
}

func (t *tx) dropRefIndexes(cid storage.CID, account string, r refRecord) error {
	for _, k := range refIndexes(cid, account, r) {
		if err := t.del(k); err != nil {
			return err
		}
	}
	return nil
}

// dropRef removes a reference, gives its bytes back to the account's quota,
// and notes when the blob lost its last one.
func (t *tx) dropRef(cid storage.CID, account string, r refRecord) error {
	if err := t.del(refKey(cid, refHashBin, account)); err != nil {
		return err
	}
	if err := t.dropRefIndexes(cid, account, r); err != nil {
		return err
	}
	t.counts.References--
	t.countsOld = true
	if a, ok, err := t.holder(account); err != nil {
		return err
	} else if ok && !cid.Inline() {
		a.UsedBytes -= cid.Size()
		if err := t.putHolder(a); err != nil {
			return err
		}
	}
	b, ok, err := t.blob(cid)
	if err != nil || !ok {
		return orFatal(err, "reference without its blob")
	}
	if b.References--; b.References == 0 && b.DeadSince == 0 { // else it is dead since it was taken down
		b.DeadSince = t.time
	}
	return t.putBlob(cid, b)
}

// wholeSeconds cuts the time of a write: answers show whole seconds.
func (t *tx) wholeSeconds() int64 { return t.time / 1000 * 1000 }

// commitUpload is the one entry in which receipts become a reference, and the
// account is charged for it: all or nothing.
func (t *tx) commitUpload(h Header, c CommitUpload) (UploadResult, error) {
	const op = "CommitUpload"
	if err := ownAccount(op, h, c.Account); err != nil {
		return UploadResult{}, err
	}
	if c.Days < 1 || c.Days > daysAheadMax {
		return UploadResult{}, refuseField(op, "days", "1 to 36500")
	}
	a, ok, err := t.holder(c.Account)
	if err != nil || !ok {
		return UploadResult{}, orRefuse(err, refuseMissing(op))
	}
	b, known, err := t.blob(c.CID)
	if err != nil {
		return UploadResult{}, err
	}
	if b.Blocked {
		return UploadResult{}, refuse(op, storage.KindForbidden, "content_blocked", nil)
	}
	if err := t.checkReceipts(c, b); err != nil {
		return UploadResult{}, err
	}
	old, held, err := t.reference(c.CID, c.Account)
	if err != nil {
		return UploadResult{}, err
	}
	live := held && old.Expires > t.time
	now := t.wholeSeconds()
	next, days := refRecord{Uploaded: now, Expires: now + int64(c.Days)*dayMillis}, c.Days
	if live {
		// Forward by whole days only, and exactly those are charged: no
		// sequence of re-uploads gains unpaid time.
		days = int(max(0, (now+int64(c.Days)*dayMillis-old.Expires)/dayMillis))
		next = refRecord{Uploaded: old.Uploaded, Expires: old.Expires + int64(days)*dayMillis}
	}
	cost := t.price(a, c.CID, days)
	if err := affordable(op, a, cost); err != nil {
		return UploadResult{}, err
	}
	entry := Entry{ID: c.EntryID, Kind: kindUpload, AmountCents: cost, CID: &c.CID, Days: int64(days)}
	if storage.Planted(storage.BugChargeFirst) {
		if err := errors.Join(t.charge(&a, entry), t.putHolder(a)); err != nil {
			return UploadResult{}, err
		}
		entry.AmountCents = 0
	}
	if !held {
		if err := t.withinQuota(a, c.CID); err != nil {
			return UploadResult{}, err
		}
	}
	alive, err := t.alive(c.CID)
	if err != nil {
		return UploadResult{}, err
	}
	if !alive {
		b.ContentType = c.ContentType
	}
	if err := t.addReference(&a, c.CID, b, known, heldRef(held, old), next, entry); err != nil {
		return UploadResult{}, err
	}
	return UploadResult{
		CID: c.CID, CostCents: cost, BalanceCents: a.BalanceCents, Existing: live, Uploaded: next.Uploaded, Expires: next.Expires,
	}, nil
}

func heldRef(held bool, r refRecord) *refRecord {
	if !held {
		return nil
	}
	return &r
}

// addReference writes what a commit has decided on.
//
//nolint:revive // the parts of one decision; a struct of them would have no other use
func (t *tx) addReference(a *Account, cid storage.CID, b blobRecord, known bool, old *refRecord, next refRecord, e Entry) error {
	if err := t.charge(a, e); err != nil {
		return err
	}
	t.countsOld = true
	if !cid.Inline() {
		t.committed = append(t.committed, cid)
	}
	if !known {
		t.counts.Blobs++
	}
	if old == nil {
		t.counts.References++
		b.References++
		if !cid.Inline() {
			a.UsedBytes += cid.Size()
		}
	}
	b.DeadSince, b.Buried = 0, 0
	if err := t.putHolder(*a); err != nil {
		return err
	}
	if err := t.putBlob(cid, b); err != nil {
		return err
	}
	return t.putRef(cid, a.ID, next, old)
}

// price is what so many days cost an account now; anonymous ones are free.
func (t *tx) price(a Account, cid storage.CID, days int) int64 {
	if a.ID == anonymous {
		return 0
	}
	return PriceCents(cid.Size(), days, t.cache.settings.PriceCentsPerGiB)
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

// alive reports whether any reference of a CID is live now.
func (t *tx) alive(cid storage.CID) (bool, error) {
	for _, kind := range refKinds {
		expires, ok, err := latestExpiry(t.b, cid, kind)
		if err != nil {
			return false, err
		}
		if ok && expires > t.time {
			return true, nil
		}
	}
	return false, nil
}

// checkReceipts holds an upload to its proof: W receipts of distinct current
// owners in each active ring, fresh, and given by a node that had applied the
// last condemning of the CID: only copies from before it are erased for it (I3, I12). Inline content needs none.
func (t *tx) checkReceipts(c CommitUpload, b blobRecord) error {
	const op = "checkReceipts"
	if c.CID.Inline() {
		return nil
	}
	if len(c.Receipts) > receiptsMax {
		return refuseField(op, "receipts", "too many")
	}
	floor, _, err := read[uint64](t, single(singleFloor))
	if err != nil {
		return err
	}
	good := map[storage.NodeID]bool{}
	for _, r := range c.Receipts {
		n, known := t.cache.nodes[r.Node]
		if known && n.Incarnation == r.Incarnation && r.CID == c.CID && r.Time >= t.receiptsSince() && r.Generation >= max(b.Condemned, floor, 1) {
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
		got, wanted := 0, ring.WriteQuorum(c.CID)
		for _, o := range ring.OwnersOf(c.CID) {
			if good[o.ID] {
				got++
			}
		}
		if got < wanted {
			return refuse(op, storage.KindUnavailable, "not_enough_replicas", map[string]any{"wanted": int64(wanted), "got": int64(got)})
		}
	}
	return nil
}

func (t *tx) extend(h Header, c Extend) (ExtendResult, error) {
	const op = "Extend"
	if err := ownAccount(op, h, c.Account); err != nil {
		return ExtendResult{}, err
	}
	old, held, err := t.reference(c.CID, c.Account)
	if err != nil || !held || old.Expires <= t.time {
		return ExtendResult{}, orRefuse(err, refuseMissing(op))
	}
	b, _, err := t.blob(c.CID)
	if err != nil || b.Blocked {
		return ExtendResult{}, orRefuse(err, refuseMissing(op))
	}
	next := refRecord{Uploaded: old.Uploaded, Expires: old.Expires + int64(c.Days)*dayMillis}
	if c.Days < 1 || c.Days > daysAheadMax || next.Expires > t.time+daysAheadMax*dayMillis {
		return ExtendResult{}, refuseField(op, "days", "an expiry is at most 36500 days ahead")
	}
	a, ok, err := t.account(c.Account)
	if err != nil || !ok {
		return ExtendResult{}, orRefuse(err, refuseMissing(op))
	}
	cost := t.price(a, c.CID, c.Days)
	if err := affordable(op, a, cost); err != nil {
		return ExtendResult{}, err
	}
	entry := Entry{ID: c.EntryID, Kind: kindExtension, AmountCents: cost, CID: &c.CID, Days: int64(c.Days)}
	if err := t.addReference(&a, c.CID, b, true, &old, next, entry); err != nil {
		return ExtendResult{}, err
	}
	return ExtendResult{CID: c.CID, CostCents: cost, BalanceCents: a.BalanceCents, Expires: next.Expires, Days: c.Days}, nil
}

func (t *tx) deleteReference(h Header, c DeleteReference) (DeleteResult, error) {
	const op = "DeleteReference"
	if err := ownAccount(op, h, c.Account); err != nil {
		return DeleteResult{}, err
	}
	old, held, err := t.reference(c.CID, c.Account)
	if err != nil || !held || old.Expires <= t.time {
		return DeleteResult{}, orRefuse(err, refuseMissing(op))
	}
	if err := t.dropRef(c.CID, c.Account, old); err != nil {
		return DeleteResult{}, err
	}
	alive, err := t.alive(c.CID)
	return DeleteResult{CID: c.CID, Exists: alive || c.CID.Inline()}, err
}

// sweepMax bounds one Sweep.
const sweepMax = 2000

// sweep removes references whose time is over, the longest over first. What it
// has removed is out of the expiry index, so the index's beginning is the cursor.
func (t *tx) sweep(_ Header, c Sweep) (SweepResult, error) {
	limit := min(max(c.Limit, 1), sweepMax)
	var due [][]byte
	more := false
	err := scanRange(t.b, []byte{tableExpiry}, key(tableExpiry).time(t.time+1), func(k, _ []byte) (bool, error) {
		if len(due) == limit {
			more = true
			return false, nil
		}
		due = append(due, append([]byte(nil), k...))
		return true, nil
	})
	if err != nil {
		return SweepResult{}, err
	}
	for _, k := range due {
		cid, account, err := splitExpiryKey(k)
		if err != nil {
			return SweepResult{}, err
		}
		r, ok, err := t.reference(cid, account)
		if err != nil || !ok {
			return SweepResult{}, orFatal(err, "expiry without its reference")
		}
		if err := t.dropRef(cid, account, r); err != nil {
			return SweepResult{}, err
		}
	}
	return SweepResult{Removed: len(due), More: more}, nil
}
