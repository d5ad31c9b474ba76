package meta

import (
	"errors"

	"ringbin/storage"
)

// daysAheadMax is how far ahead an upload may expire.
const daysAheadMax = 36_500

// upload is an account's own upload of a CID, when there is one.
func (t *tx) upload(cid storage.CID, account string) (refRecord, bool, error) {
	return t.reference(uploadRef(cid, account))
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
	b, known, err := t.admitContent(op, c.CID, c.Receipts)
	if err != nil {
		return UploadResult{}, err
	}
	old, held, err := t.upload(c.CID, c.Account)
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
	shown := false
	if b.References > 0 {
		if shown, err = t.shown(c.CID); err != nil {
			return UploadResult{}, err
		}
	}
	if !shown {
		b.ContentType = c.ContentType
	}
	if err := t.addReference(&a, uploadRef(c.CID, c.Account), b, known, heldRef(held, old), next, entry); err != nil {
		return UploadResult{}, err
	}
	return UploadResult{
		CID: c.CID, CostCents: cost, BalanceCents: a.BalanceCents, Existing: live, Uploaded: next.Uploaded, Expires: next.Expires,
	}, nil
}

// price is what so many days cost an account now; anonymous ones are free.
func (t *tx) price(a Account, cid storage.CID, days int) int64 {
	if a.ID == anonymous {
		return 0
	}
	return PriceCents(cid.Size(), days, t.cache.settings.PriceCentsPerGiB)
}

func (t *tx) extend(h Header, c Extend) (ExtendResult, error) {
	const op = "Extend"
	if err := ownAccount(op, h, c.Account); err != nil {
		return ExtendResult{}, err
	}
	old, held, err := t.upload(c.CID, c.Account)
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
	if err := t.addReference(&a, uploadRef(c.CID, c.Account), b, true, &old, next, entry); err != nil {
		return ExtendResult{}, err
	}
	return ExtendResult{CID: c.CID, CostCents: cost, BalanceCents: a.BalanceCents, Expires: next.Expires, Days: c.Days}, nil
}

func (t *tx) deleteReference(h Header, c DeleteReference) (DeleteResult, error) {
	const op = "DeleteReference"
	if err := ownAccount(op, h, c.Account); err != nil {
		return DeleteResult{}, err
	}
	old, held, err := t.upload(c.CID, c.Account)
	if err != nil || !held || old.Expires <= t.time {
		return DeleteResult{}, orRefuse(err, refuseMissing(op))
	}
	if err := t.dropRef(uploadRef(c.CID, c.Account), old); err != nil {
		return DeleteResult{}, err
	}
	shown, err := t.shown(c.CID)
	return DeleteResult{CID: c.CID, Exists: shown || c.CID.Inline()}, err
}
