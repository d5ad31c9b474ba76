package meta

import (
	"fmt"
	"testing"

	"ringbin/storage"
)

func TestPriceCents(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		size, days, price, want int64
	}{
		{0, 30, 3, 0},
		{64, 36000, 3, 0},
		{65, 30, 3, 1},
		{65, 36000, 3, 1},
		{1024, 360, 3, 1},
		{1 << 20, 30, 3, 1},
		{90 << 20, 360, 3, 4},
		{357_913_941, 30, 3, 1},
		{357_913_942, 30, 3, 2},
		{gib, 1, 3, 1},
		{gib, 30, 3, 3},
		{gib, 31, 3, 4},
		{gib, 45, 3, 5},
		{gib, 360, 3, 36},
		{5 * gib, 7, 3, 4},
		{5 * gib, 360, 3, 180},
		{5 * gib, 36480, 3, 18240},
		{1<<48 - 1, 36480, 3, 956_301_312},
		{gib, 0, 3, 0},
		{gib, -1, 3, 0},
		{gib, 30, 0, 0},
		{1<<48 - 1, 36500, priceMax, 318_941_866_666_665_534}, // above 64 bits on the way
	} {
		if got := PriceCents(c.size, int(c.days), c.price); got != c.want {
			t.Errorf("%d bytes for %d days at %d cost %d, want %d", c.size, c.days, c.price, got, c.want)
		}
	}
}

// Each case of the table is a re-upload of what was uploaded at T for 30 days.
func TestReuploadByWholeDays(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		after        int64
		days         int
		cents        int64
		existing     bool
		uploaded     int64 // after T
		expiresAfter int64 // days after T
	}{
		{5000, 30, 0, true, 0, 30},
		{23 * 60 * minute, 30, 0, true, 0, 30},
		{10 * dayMillis, 30, 1, true, 0, 40},
		{5000, 60, 3, true, 0, 60},
		{30 * dayMillis, 30, 3, false, 30 * dayMillis, 60},
	} {
		t.Run(fmt.Sprintf("after %d ms for %d days", c.after, c.days), func(t *testing.T) {
			t.Parallel()
			w := newCluster(t)
			cid := sized(gib, 1)
			equal(t, "first", w.must(w.upload("ann", cid, 30)), UploadResult{
				CID: cid, CostCents: 3, BalanceCents: 997, Uploaded: testStart, Expires: testStart + 30*dayMillis,
			})
			w.now += c.after
			w.must(Tick{}) // receipts are of the present
			equal(t, "again", w.must(w.upload("ann", cid, c.days)), UploadResult{
				CID: cid, CostCents: c.cents, BalanceCents: 997 - c.cents, Existing: c.existing,
				Uploaded: testStart + c.uploaded, Expires: testStart + c.expiresAfter*dayMillis,
			})
			equal(t, "references", w.f.Counts().References, int64(1))
			equal(t, "bytes", w.account("ann").UsedBytes, gib)
			entries, _, err := w.f.History("ann", "", 10)
			want := 2 // the opening balance and the first charge
			if c.cents > 0 {
				want++
			}
			if err != nil || len(entries) != want {
				t.Errorf("%d entries, want %d; %v", len(entries), want, err)
			}
			if _, err := w.f.Audit(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

// I7: no sequence of re-uploads gains time that was not paid for.
func TestReuploadsGainNothing(t *testing.T) {
	t.Parallel()
	w := newCluster(t)
	w.now += 999 // within a second
	cid := sized(gib, 1)
	var paid int64
	for range 100 {
		w.must(Tick{})
		r := w.mustUpload(w.upload("ann", cid, 30))
		paid += r.CostCents
		days := (r.Expires - r.Uploaded) / dayMillis
		if least := PriceCents(gib, int(days), 3); paid < least {
			t.Fatalf("%d days for %d cents, they cost %d", days, paid, least)
		}
		w.now += 11*60*minute + 7*1000 + 13
	}
}

// I3, I12: W receipts of present owners in each active ring, fresh, and newer
// than what has condemned the content.
func TestReceipts(t *testing.T) {
	t.Parallel()
	cid := sized(1000, 1)
	for name, c := range map[string]struct {
		change func(*world, *CommitUpload)
		got    int64 // -1: carried out
	}{
		"all owners":      {func(*world, *CommitUpload) {}, -1},
		"W owners":        {func(_ *world, c *CommitUpload) { c.Receipts = c.Receipts[1:] }, -1},
		"one owner":       {func(_ *world, c *CommitUpload) { c.Receipts = c.Receipts[:1] }, 1},
		"none":            {func(_ *world, c *CommitUpload) { c.Receipts = nil }, 0},
		"one owner twice": {func(_ *world, c *CommitUpload) { c.Receipts[1], c.Receipts[2] = c.Receipts[0], c.Receipts[0] }, 1},
		"unknown nodes":   {func(_ *world, c *CommitUpload) { c.Receipts[1].Node, c.Receipts[2].Node = "x", "y" }, 1},
		"old incarnation": {func(w *world, _ *CommitUpload) {
			w.must(PutNode{Node: testNode("n1", 2)})
			w.must(PutNode{Node: testNode("n2", 2)})
		}, 1},
		"wrong incarnation": {func(_ *world, c *CommitUpload) { c.Receipts[0].Incarnation, c.Receipts[1].Incarnation = 2, 0 }, 1},
		"of other content":  {func(_ *world, c *CommitUpload) { c.Receipts[0].CID, c.Receipts[1].CID = sized(1000, 2), sized(999, 1) }, 1},
		"15 minutes old":    {func(w *world, _ *CommitUpload) { w.now += 15 * minute }, -1},
		"older":             {func(w *world, _ *CommitUpload) { w.now += 15*minute + 1 }, 0},
		"removed owner":     {func(w *world, c *CommitUpload) { w.must(RemoveNode{ID: "n1"}); c.Receipts = c.Receipts[:2] }, 1},
		"generation 0":      {func(_ *world, c *CommitUpload) { c.Receipts[0].Generation, c.Receipts[1].Generation = 0, 0 }, 1},
		"condemned since": {func(w *world, c *CommitUpload) {
			w.poke(func(x *tx) error { return x.putBlob(cid, blobRecord{Condemned: c.Receipts[0].Generation + 1}) })
		}, 0},
		"condemned before": {func(w *world, c *CommitUpload) {
			w.poke(func(x *tx) error { return x.putBlob(cid, blobRecord{Condemned: c.Receipts[0].Generation}) })
		}, -1},
		"below the floor": {func(w *world, c *CommitUpload) {
			w.poke(func(x *tx) error { return write(x, single(singleFloor), c.Receipts[0].Generation+1) })
		}, 0},
		"at the floor": {func(w *world, c *CommitUpload) {
			w.poke(func(x *tx) error { return write(x, single(singleFloor), c.Receipts[0].Generation) })
		}, -1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newCluster(t)
			up := w.upload("ann", cid, 30)
			c.change(w, &up)
			if c.got < 0 {
				w.must(up)
				return
			}
			details := w.refused(Header{}, up, storage.KindUnavailable, "not_enough_replicas")
			equal(t, "details", details, map[string]any{"wanted": int64(2), "got": c.got})
		})
	}
}

func TestReceiptsOfTwoRings(t *testing.T) {
	t.Parallel()
	w := newCluster(t)
	for _, id := range []storage.NodeID{"n4", "n5", "n6"} {
		w.must(PutNode{Node: testNode(id, 1)})
	}
	w.must(SetRing{From: 1, Ring: testRing(2, 3, "n4", "n5", "n6")})
	cid := sized(1000, 1)
	up := w.upload("ann", cid, 30)
	w.refused(Header{}, up, storage.KindUnavailable, "not_enough_replicas") // none of the next ring
	up.Receipts = w.receipts(cid, "n4", "n5", "n6")
	w.refused(Header{}, up, storage.KindUnavailable, "not_enough_replicas") // none of the one that holds
	up.Receipts = w.receipts(cid, "n1", "n2", "n4")
	w.refused(Header{}, up, storage.KindUnavailable, "not_enough_replicas")
	up.Receipts = w.receipts(cid, "n1", "n2", "n4", "n6")
	w.must(up)
}

func TestUploadRefuses(t *testing.T) {
	t.Parallel()
	w := newCluster(t)
	none := Header{}
	cid := sized(1000, 1)
	w.refused(none, w.upload("eve", cid, 30), storage.KindNotFound, "not_found")
	for _, days := range []int{-1, 0, 36501, 1 << 40} {
		w.refused(none, w.upload("ann", cid, days), storage.KindInvalid, "invalid_parameter")
	}
	many := w.upload("ann", cid, 30)
	many.Receipts = make([]storage.Receipt, receiptsMax+1)
	w.refused(none, many, storage.KindInvalid, "invalid_parameter")
	w.must(w.upload("ann", cid, 36500))

	alone := newWorld(t)
	alone.must(CreateAccount{ID: "ann", Email: "a"})
	alone.refused(none, alone.upload("ann", cid, 30), storage.KindUnavailable, "not_enough_replicas")
	alone.must(alone.upload("ann", sized(64, 1), 30)) // inline content needs no node
}

// I6: what the balance does not cover is refused with the numbers, and changes nothing.
func TestInsufficientBalance(t *testing.T) {
	t.Parallel()
	w := newCluster(t)
	numbers := map[string]any{"required_cents": int64(1080), "balance_cents": int64(1000), "shortfall_cents": int64(80)}
	details := w.refused(Header{}, w.upload("ann", sized(360*gib, 1), 30), storage.KindPayment, "insufficient_balance")
	equal(t, "details", details, numbers)
	w.must(w.upload("ann", sized(333*gib, 1), 30)) // 999 cents
	details = w.refused(Header{}, Extend{Account: "ann", CID: sized(333*gib, 1), Days: 30, EntryID: "x"}, storage.KindPayment, "insufficient_balance")
	equal(t, "shortfall", details["shortfall_cents"], any(int64(998)))
	w.must(w.upload("ann", sized(65, 1), 1)) // the last cent
	equal(t, "balance", w.account("ann").BalanceCents, int64(0))
	w.refused(Header{}, w.upload("ann", sized(65, 2), 1), storage.KindPayment, "insufficient_balance")
	w.must(w.upload("ann", sized(64, 2), 1))
}

func TestExtend(t *testing.T) {
	t.Parallel()
	w := newCluster(t)
	none := Header{}
	cid := sized(gib, 1)
	w.must(w.upload("ann", cid, 30))
	w.must(CreateAccount{ID: "bob", Email: "bob@example.org"})
	equal(t, "value", w.must(Extend{Account: "ann", CID: cid, Days: 30, EntryID: "x1"}), ExtendResult{
		CID: cid, CostCents: 3, BalanceCents: 994, Expires: testStart + 60*dayMillis, Days: 30,
	})
	w.refused(none, Extend{Account: "bob", CID: cid, Days: 30, EntryID: "x2"}, storage.KindNotFound, "not_found")
	w.refused(none, Extend{Account: "ann", CID: sized(gib, 2), Days: 30, EntryID: "x2"}, storage.KindNotFound, "not_found")
	for _, days := range []int{-1, 0, 36441, 1 << 40, 213503982335, 1 << 62} { // some overflow when counted in milliseconds
		w.refused(none, Extend{Account: "ann", CID: cid, Days: days, EntryID: "x2"}, storage.KindInvalid, "invalid_parameter")
	}
	w.must(Deposit{EntryID: "d", Account: "ann", AmountCents: 10000, Reference: "d"})
	w.must(Extend{Account: "ann", CID: cid, Days: 36440, EntryID: "x2"})
	w.refused(none, Extend{Account: "ann", CID: cid, Days: 1, EntryID: "x3"}, storage.KindInvalid, "invalid_parameter")
	w.must(BlockContent{CID: cid, Block: true})
	w.now += 10 * dayMillis
	w.refused(none, Extend{Account: "ann", CID: cid, Days: 1, EntryID: "x3"}, storage.KindNotFound, "not_found")
	short := sized(10, 1)
	w.must(w.upload("ann", short, 1))
	w.now += dayMillis
	w.refused(none, Extend{Account: "ann", CID: short, Days: 1, EntryID: "x3"}, storage.KindNotFound, "not_found")
}

func TestDelete(t *testing.T) {
	t.Parallel()
	w := newCluster(t)
	w.must(CreateAccount{ID: "bob", Email: "bob@example.org", BalanceCents: 10, EntryID: "o"})
	cid, inline := sized(1000, 1), sized(10, 1)
	for _, account := range []string{"ann", "bob"} {
		w.must(w.upload(account, cid, 30))
		w.must(w.upload(account, inline, 30))
	}
	equal(t, "bytes", w.account("ann").UsedBytes, int64(1000))
	equal(t, "ann's", w.must(DeleteReference{Account: "ann", CID: cid}), DeleteResult{CID: cid, Exists: true})
	equal(t, "bytes", w.account("ann").UsedBytes, int64(0))
	w.refused(Header{}, DeleteReference{Account: "ann", CID: cid}, storage.KindNotFound, "not_found")
	equal(t, "bob's", w.must(DeleteReference{Account: "bob", CID: cid}), DeleteResult{CID: cid})
	b, found, err := w.f.Blob(cid, w.f.Now())
	if err != nil || !found || b.Alive {
		t.Errorf("blob %+v, %t, %v", b, found, err)
	}
	w.must(DeleteReference{Account: "ann", CID: inline})
	equal(t, "inline", w.must(DeleteReference{Account: "bob", CID: inline}), DeleteResult{CID: inline, Exists: true})
	equal(t, "references", w.f.Counts().References, int64(0))
	w.must(w.upload("bob", cid, 1))
	w.now += dayMillis
	w.refused(Header{}, DeleteReference{Account: "bob", CID: cid}, storage.KindNotFound, "not_found") // expired
}

func TestBlock(t *testing.T) {
	t.Parallel()
	w := newCluster(t)
	cid := sized(1000, 1)
	w.must(w.upload("ann", cid, 30))
	equal(t, "value", w.must(BlockContent{CID: cid, Block: true, Reason: "law"}), BlockResult{CID: cid, Blocked: true})
	w.refused(Header{}, w.upload("ann", cid, 60), storage.KindForbidden, "content_blocked")
	if _, live, err := w.f.Reference("ann", cid, w.f.Now()); live || err != nil {
		t.Error("blocked content has a reference", err)
	}
	w.must(BlockContent{CID: cid, Block: false})
	w.must(w.upload("ann", cid, 60))
	never := sized(1000, 2)
	w.must(BlockContent{CID: never, Block: true})
	w.refused(Header{}, w.upload("ann", never, 30), storage.KindForbidden, "content_blocked")
}

func TestQuotas(t *testing.T) {
	t.Parallel()
	w := newCluster(t)
	none := Header{}
	w.must(SetSettings{Patch: SettingsPatch{QuotaBytes: new(int64(1000))}})
	w.must(w.upload("ann", sized(600, 1), 30))
	details := w.refused(none, w.upload("ann", sized(401, 2), 30), storage.KindFull, "insufficient_storage")
	equal(t, "details", details, map[string]any{
		"reason": "quota", "quota_bytes": int64(1000), "used_bytes": int64(600), "size_bytes": int64(401),
	})
	w.must(w.upload("ann", sized(400, 2), 30)) // to the byte
	w.must(w.upload("ann", sized(64, 3), 30))  // inline content is no stored byte
	w.must(w.upload("ann", sized(600, 1), 60)) // held already
	w.must(UpdateAccount{ID: "ann", QuotaBytes: new(int64(1100))})
	w.must(w.upload("ann", sized(100, 3), 30))
	w.must(DeleteReference{Account: "ann", CID: sized(600, 1)})
	w.must(w.upload("ann", sized(599, 4), 1))
	w.now += dayMillis
	w.must(Tick{})
	w.must(w.upload("ann", sized(599, 4), 1)) // expired, and counted until it is swept
	w.now += dayMillis
	w.must(Sweep{Limit: 10})
	equal(t, "bytes", w.account("ann").UsedBytes, int64(500))
	if _, err := w.f.Audit(t.Context()); err != nil {
		t.Error(err)
	}
}

func (w *world) unpaidBytes() int64 {
	w.t.Helper()
	x := w.f.newTx(w.f.state.Load())
	defer func() { _ = x.close() }()
	a, ok, err := x.holder(anonymous)
	if err != nil || !ok {
		w.t.Fatal(ok, err)
	}
	return a.UsedBytes
}

// Anonymous uploads are free, and bounded together.
func TestAnonymousUploads(t *testing.T) {
	t.Parallel()
	w := newCluster(t)
	none := Header{}
	w.must(testKey("key", 1))
	cid := sized(gib, 1)
	equal(t, "value", w.must(w.upload(anonymous, cid, 30)), UploadResult{
		CID: cid, Uploaded: testStart, Expires: testStart + 30*dayMillis,
	})
	w.must(w.upload("ann", cid, 30)) // a reference of its own
	equal(t, "bytes", w.unpaidBytes(), gib)
	w.must(SetSettings{Patch: SettingsPatch{AnonymousQuotaBytes: new(gib + 1000), QuotaBytes: new(int64(1))}})
	details := w.refused(none, w.upload(anonymous, sized(1001, 2), 30), storage.KindFull, "insufficient_storage")
	equal(t, "details", details, map[string]any{
		"reason": "quota", "quota_bytes": gib + 1000, "used_bytes": gib, "size_bytes": int64(1001),
	})
	w.must(w.upload(anonymous, sized(1000, 2), 1))
	w.must(w.upload(anonymous, sized(64, 3), 1)) // inline content is no stored byte
	w.must(w.upload(anonymous, cid, 60))         // held already
	w.refused(none, w.upload(anonymous, sized(65, 3), 1), storage.KindFull, "insufficient_storage")
	w.refused(none, Extend{Account: anonymous, CID: cid, Days: 1, EntryID: "x"}, storage.KindNotFound, "not_found")

	w.now += dayMillis
	equal(t, "swept", w.must(Sweep{Limit: 10}), SweepResult{Removed: 2})
	equal(t, "bytes", w.unpaidBytes(), gib)
	w.must(w.upload(anonymous, sized(1000, 4), 1))
	w.must(DeleteReference{Account: anonymous, CID: cid})
	equal(t, "bytes", w.unpaidBytes(), int64(1000))

	for _, actor := range []Actor{{Account: "ann", Key: "key"}, {Account: "ann"}} {
		w.refused(Header{Actor: actor}, w.upload(anonymous, sized(100, 5), 1), storage.KindForbidden, "not_own_account")
		w.refused(Header{Actor: actor}, DeleteReference{Account: anonymous, CID: sized(1000, 4)}, storage.KindForbidden, "not_own_account")
	}
	equal(t, "balance", w.account("ann").BalanceCents, int64(997))
	equal(t, "accounts", w.f.Counts().Accounts, int64(1))
	equal(t, "entries", w.f.Counts().Entries, int64(2))
	if _, err := w.f.Audit(t.Context()); err != nil {
		t.Error(err)
	}
	w.poke(func(x *tx) error { return x.putHolder(Account{UsedBytes: 999}) })
	if _, err := w.f.Audit(t.Context()); storage.KindOf(err) != storage.KindCorrupt {
		t.Errorf("the audit finds %v", err)
	}
}

// Sweep removes what has expired, the longest over first, and goes on where it
// stopped.
func TestSweep(t *testing.T) {
	t.Parallel()
	w := newCluster(t)
	for i := range 7 {
		w.must(w.upload("ann", sized(1000+int64(i), 1), 1+i))
	}
	equal(t, "nothing is over", w.must(Sweep{Limit: 10}), SweepResult{})
	if w.f.SweepDue(testStart + dayMillis - 1) {
		t.Error("a sweep is due before the first expiry")
	}
	w.now += 5 * dayMillis // the very moment of the fifth expiry
	if !w.f.SweepDue(w.now) {
		t.Error("no sweep is due")
	}
	for _, want := range []SweepResult{{Removed: 2, More: true}, {Removed: 2, More: true}, {Removed: 1}, {}} {
		equal(t, "sweep", w.must(Sweep{Limit: 2}), want)
	}
	equal(t, "references", w.f.Counts().References, int64(2))
	equal(t, "bytes", w.account("ann").UsedBytes, int64(1005+1006))
	w.now += 5 * dayMillis
	equal(t, "limit 0", w.must(Sweep{}), SweepResult{Removed: 1, More: true})
	equal(t, "last", w.must(Sweep{Limit: 1 << 40}), SweepResult{Removed: 1})
	if _, err := w.f.Audit(t.Context()); err != nil {
		t.Error(err)
	}
}
