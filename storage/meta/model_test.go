package meta

import (
	"bytes"
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/raft"
	"pgregory.net/rapid"

	"ringbin/storage"
)

// model is what the replicated metadata should do, in as few words as possible.
type model struct {
	time      int64
	index     uint64
	settings  Settings
	accounts  map[string]*modelAccount
	refs      map[modelRef]refRecord
	keys      map[string]*modelKey
	deposits  map[string]DepositResult
	blobs     map[storage.CID]*modelBlob
	floor     uint64
	changed   int64 // when the grace last did
	unpaid    int64
	requests  map[RequestID]modelAnswer
	idem      map[[32]byte]modelIdem
	remembers map[RequestID]int64 // until when

	modelPastes
}

// modelBlob is what became of a CID since it was first seen.
type modelBlob struct {
	blocked   bool
	dead      int64  // since when it waits to be condemned; 0: it does not
	condemned uint64 // index of the last Condemn
	buried    int64  // since when it waits to be forgotten; 0: it does not
}

type modelAccount struct {
	balance, used, quota int64
	pastes, links        int64
	disabled             bool
}

type modelKey struct {
	account string
	expires int64
	revoked bool
}

type modelRef struct {
	cid    storage.CID
	kind   byte
	holder string
}

// modelAnswer is a result as far as the model foretells it.
type modelAnswer struct {
	value    any
	code     string
	replayed bool
}

type modelIdem struct {
	answer      modelAnswer
	fingerprint [32]byte
	typ         commandType
	until       int64
}

func newModel() *model {
	return &model{
		settings: DefaultSettings(), accounts: map[string]*modelAccount{}, refs: map[modelRef]refRecord{},
		keys: map[string]*modelKey{}, deposits: map[string]DepositResult{}, blobs: map[storage.CID]*modelBlob{},
		requests: map[RequestID]modelAnswer{}, idem: map[[32]byte]modelIdem{}, remembers: map[RequestID]int64{},
		modelPastes: newModelPastes(),
	}
}

// do foretells the answer to a command in an entry of its own.
func (m *model) do(stamp int64, h Header, c Command) modelAnswer {
	m.time = max(m.time, stamp)
	m.index++
	a, known := m.requests[h.ID]
	if !known {
		a = m.admitted(h, c)
		m.requests[h.ID], m.remembers[h.ID] = a, m.time+requestKept
	}
	m.forget()
	return a
}

// forget drops the requests that have run out, the oldest first and no more
// than go with an entry of one command.
func (m *model) forget() {
	var due []RequestID
	for id, until := range m.remembers {
		if until <= m.time {
			due = append(due, id)
		}
	}
	slices.SortFunc(due, func(a, b RequestID) int {
		return cmp.Or(cmp.Compare(m.remembers[a], m.remembers[b]), bytes.Compare(a[:], b[:]))
	})
	for _, id := range due[:min(len(due), forgetMin+2)] {
		delete(m.requests, id)
		delete(m.remembers, id)
	}
}

func (m *model) admitted(h Header, c Command) modelAnswer {
	if h.NotAfter != 0 && m.time > h.NotAfter {
		return modelAnswer{code: "too_late"}
	}
	if h.Actor.Key != "" {
		k := m.keys[h.Actor.Key]
		switch {
		case k == nil || k.account != h.Actor.Account:
			return modelAnswer{code: "auth_invalid"}
		case k.revoked:
			return modelAnswer{code: "auth_revoked"}
		case k.expires != 0 && k.expires <= m.time:
			return modelAnswer{code: "auth_expired"}
		case m.accounts[k.account].disabled:
			return modelAnswer{code: "account_disabled"}
		}
	}
	if h.Idem == nil {
		return m.carryOut(h, c)
	}
	if known, ok := m.idem[h.Idem.Key]; ok && known.until > m.time {
		if known.typ != c.commandType() || known.fingerprint != h.Idem.Fingerprint {
			return modelAnswer{code: "idempotency_conflict"}
		}
		known.answer.replayed = true
		return known.answer
	}
	a := m.carryOut(h, c)
	if a.code == "" {
		m.idem[h.Idem.Key] = modelIdem{answer: a, fingerprint: h.Idem.Fingerprint, typ: c.commandType(), until: m.time + idemKept}
	}
	return a
}

func (m *model) carryOut(h Header, c Command) modelAnswer {
	switch c := c.(type) {
	case CreateAccount:
		if m.accounts[c.ID] != nil {
			return modelAnswer{code: "email_taken"}
		}
		m.accounts[c.ID] = &modelAccount{balance: c.BalanceCents}
		return modelAnswer{value: Account{ID: c.ID, Email: c.Email, BalanceCents: c.BalanceCents, Created: m.time}}
	case UpdateAccount:
		a := m.accounts[c.ID]
		if a == nil {
			return modelAnswer{code: "not_found"}
		}
		a.disabled, a.quota = *c.Disabled, *c.QuotaBytes
		return modelAnswer{}
	case Deposit:
		return m.deposit(c)
	case CreateKey:
		switch {
		case m.accounts[c.Account] == nil:
			return modelAnswer{code: "not_found"}
		case m.keys[c.ID] != nil:
			return modelAnswer{code: "id_taken"}
		}
		m.keys[c.ID] = &modelKey{account: c.Account, expires: m.time/1000*1000 + int64(c.Days)*dayMillis}
		return modelAnswer{}
	case RevokeKey:
		k := m.keys[c.ID]
		if k == nil || k.account != c.Account || k.revoked && k.expires != 0 && k.expires <= m.time {
			return modelAnswer{code: "not_found"}
		}
		k.revoked = true
		return modelAnswer{}
	case CommitUpload:
		return m.upload(h, c)
	case Extend:
		return m.extend(c)
	case DeleteReference:
		return m.remove(h, c)
	case BlockContent:
		m.block(c)
		return modelAnswer{value: BlockResult{CID: c.CID, Blocked: c.Block}}
	case Condemn:
		return m.condemn(c)
	case DropTombstones:
		return m.dropTombstones(c)
	case Sweep:
		return m.sweep(c)
	case SetSettings:
		m.settings.PriceCentsPerGiB, m.settings.AnonymousQuotaBytes = *c.Patch.PriceCentsPerGiB, *c.Patch.AnonymousQuotaBytes
		if m.settings.DeletionGraceSeconds != *c.Patch.DeletionGraceSeconds {
			m.settings.DeletionGraceSeconds, m.changed = *c.Patch.DeletionGraceSeconds, m.time
		}
		return modelAnswer{value: m.settings}
	case Tick:
		return modelAnswer{value: none{}}
	}
	return m.carryOutPaste(c)
}

func (m *model) deposit(c Deposit) modelAnswer {
	if old, ok := m.deposits[c.Reference]; ok {
		if old.Account != c.Account || old.AmountCents != c.AmountCents {
			return modelAnswer{code: "idempotency_conflict"}
		}
		return modelAnswer{value: old}
	}
	a := m.accounts[c.Account]
	if a == nil {
		return modelAnswer{code: "not_found"}
	}
	a.balance += c.AmountCents
	r := DepositResult{
		EntryID: c.EntryID, Account: c.Account, AmountCents: c.AmountCents, BalanceAfterCents: a.balance,
		Reference: c.Reference, Created: m.time,
	}
	m.deposits[c.Reference] = r
	return modelAnswer{value: r}
}

// used is where the bytes of an account are counted.
func (m *model) used(account string) *int64 {
	if account == anonymous {
		return &m.unpaid
	}
	return &m.accounts[account].used
}

func stored(cid storage.CID) int64 {
	if cid.Inline() {
		return 0
	}
	return cid.Size()
}

func (m *model) upload(h Header, c CommitUpload) modelAnswer {
	price, quota := int64(0), m.settings.AnonymousQuotaBytes
	a := &modelAccount{}
	if c.Account != anonymous {
		if a = m.accounts[c.Account]; a == nil {
			return modelAnswer{code: "not_found"}
		}
		price, quota = m.settings.PriceCentsPerGiB, a.quota
	} else if h.Actor.Key != "" {
		return modelAnswer{code: "not_own_account"}
	}
	switch {
	case m.blob(c.CID).blocked:
		return modelAnswer{code: "content_blocked"}
	case !m.proved(c.CID, c.Receipts):
		return modelAnswer{code: "not_enough_replicas"}
	}
	key := modelRef{c.CID, refUpload, c.Account}
	old, held := m.refs[key]
	now := m.time / 1000 * 1000
	next, days := refRecord{Uploaded: now, Expires: now + int64(c.Days)*dayMillis}, int64(c.Days)
	live := held && old.Expires > m.time
	if live {
		for days = 0; old.Expires+(days+1)*dayMillis <= next.Expires; {
			days++
		}
		next = refRecord{Uploaded: old.Uploaded, Expires: old.Expires + days*dayMillis}
	}
	cost := PriceCents(c.CID.Size(), int(days), price)
	switch {
	case cost > a.balance:
		return modelAnswer{code: "insufficient_balance"}
	case !held && quota > 0 && stored(c.CID) > 0 && *m.used(c.Account)+stored(c.CID) > quota:
		return modelAnswer{code: "insufficient_storage"}
	}
	a.balance -= cost
	if !held {
		*m.used(c.Account) += stored(c.CID)
	}
	m.refs[key] = next
	b := m.seen(c.CID)
	b.dead, b.buried = 0, 0
	return modelAnswer{value: UploadResult{
		CID: c.CID, CostCents: cost, BalanceCents: a.balance, Existing: live, Uploaded: next.Uploaded, Expires: next.Expires,
	}}
}

// proved reports whether receipts, which are all alike, count.
func (m *model) proved(cid storage.CID, all []storage.Receipt) bool {
	return cid.Inline() || len(all) > 0 && all[0].Time >= max(m.changed, m.time-min(15*minute, m.grace()/2)) &&
		all[0].Generation >= max(m.floor, m.blob(cid).condemned)
}

func (m *model) extend(c Extend) modelAnswer {
	key := modelRef{c.CID, refUpload, c.Account}
	r, held := m.refs[key]
	if !held || r.Expires <= m.time || m.blob(c.CID).blocked || c.Account == anonymous {
		return modelAnswer{code: "not_found"}
	}
	r.Expires += int64(c.Days) * dayMillis
	if r.Expires > m.time+36500*dayMillis {
		return modelAnswer{code: "invalid_parameter"}
	}
	a := m.accounts[c.Account]
	cost := PriceCents(c.CID.Size(), c.Days, m.settings.PriceCentsPerGiB)
	if cost > a.balance {
		return modelAnswer{code: "insufficient_balance"}
	}
	a.balance -= cost
	m.refs[key] = r
	return modelAnswer{value: ExtendResult{CID: c.CID, CostCents: cost, BalanceCents: a.balance, Expires: r.Expires, Days: c.Days}}
}

func (m *model) remove(h Header, c DeleteReference) modelAnswer {
	if c.Account == anonymous && h.Actor.Key != "" {
		return modelAnswer{code: "not_own_account"}
	}
	key := modelRef{c.CID, refUpload, c.Account}
	if r, held := m.refs[key]; !held || r.Expires <= m.time {
		return modelAnswer{code: "not_found"}
	}
	m.drop(key)
	exists := c.CID.Inline()
	for k, r := range m.refs {
		exists = exists || k.cid == c.CID && k.kind == refUpload && r.Expires > m.time
	}
	return modelAnswer{value: DeleteResult{CID: c.CID, Exists: exists}}
}

func (m *model) drop(key modelRef) {
	delete(m.refs, key)
	account := key.holder
	if key.kind == refPaste {
		account = m.forgetPaste(key.holder)
	}
	*m.used(account) -= stored(key.cid)
	if b := m.blobs[key.cid]; m.references(key.cid) == 0 && b.dead == 0 {
		b.dead = m.time
	}
}

func (m *model) grace() int64 { return m.settings.DeletionGraceSeconds * 1000 }

// blob is what is known of a CID, for looking at.
func (m *model) blob(cid storage.CID) modelBlob {
	if b := m.blobs[cid]; b != nil {
		return *b
	}
	return modelBlob{}
}

// seen is what is known of a CID from now on.
func (m *model) seen(cid storage.CID) *modelBlob {
	if m.blobs[cid] == nil {
		m.blobs[cid] = &modelBlob{}
	}
	return m.blobs[cid]
}

func (m *model) references(cid storage.CID) (n int) {
	for k := range m.refs {
		if k.cid == cid {
			n++
		}
	}
	return n
}

func (m *model) block(c BlockContent) {
	_, known := m.blobs[c.CID]
	b := m.seen(c.CID)
	was, waiting := b.blocked, b.dead != 0
	b.blocked = c.Block
	switch {
	case !known, c.Block && !was && !waiting && m.references(c.CID) > 0:
		b.dead = m.time
	case !c.Block && was && m.references(c.CID) > 0:
		b.dead = 0
	case !c.Block && was && !waiting:
		b.buried = m.time
	}
	if c.Block {
		b.buried = 0
	}
}

func (m *model) condemn(c Condemn) modelAnswer {
	var res CondemnResult
	for _, cid := range c.CIDs {
		b := m.blobs[cid]
		if b == nil || b.dead == 0 || m.time < b.dead+m.grace() {
			continue
		}
		for k := range m.refs { // only of what was taken down
			if k.cid == cid {
				m.drop(k)
				res.Dropped++
			}
		}
		b.dead, b.condemned = 0, m.index
		if !b.blocked {
			b.buried = m.time
		}
		res.Condemned++
	}
	return modelAnswer{value: res}
}

func (m *model) dropTombstones(c DropTombstones) modelAnswer {
	var due []storage.CID
	for cid, b := range m.blobs {
		if b.buried != 0 && b.buried+2*m.grace() <= m.time {
			due = append(due, cid)
		}
	}
	slices.SortFunc(due, func(a, b storage.CID) int {
		return cmp.Or(cmp.Compare(m.blobs[a].buried, m.blobs[b].buried), a.Compare(b))
	})
	more := len(due) > c.Limit
	due = due[:min(len(due), c.Limit)]
	for _, cid := range due {
		m.floor = max(m.floor, m.blobs[cid].condemned)
		delete(m.blobs, cid)
	}
	return modelAnswer{value: DropResult{Dropped: len(due), More: more}}
}

func (m *model) sweep(c Sweep) modelAnswer {
	var due []modelRef
	for k, r := range m.refs {
		if r.Expires <= m.time {
			due = append(due, k)
		}
	}
	binary := func(cid storage.CID) []byte {
		b, _ := cid.AppendBinary(nil) // never fails
		return b
	}
	slices.SortFunc(due, func(a, b modelRef) int {
		return cmp.Or(
			cmp.Compare(m.refs[a].Expires, m.refs[b].Expires), bytes.Compare(binary(a.cid), binary(b.cid)),
			cmp.Compare(a.kind, b.kind), cmp.Compare(a.holder, b.holder),
		)
	})
	more := len(due) > c.Limit
	due = due[:min(len(due), c.Limit)]
	for _, k := range due {
		m.drop(k)
	}
	removed := len(due) + m.sweepOthers(c.Limit-len(due))
	return modelAnswer{value: SweepResult{Removed: removed, More: more || len(m.due()) > 0}}
}

// script makes commands that often meet each other: few accounts, few contents.
type script struct {
	pick func(n int) int // 0 to n-1
	w    *world
	sent []sentCommand

	pastes, links int  // ids that were drawn
	token         byte // of the last key request
}

type sentCommand struct {
	h Header
	c Command
}

var (
	scriptSizes = []int64{10, 64, 65, 1000, gib, 100 * gib}
	scriptSteps = []int64{0, 0, 1, 1000, 61_001, 8 * minute, dayMillis, 9 * dayMillis}
)

func (s *script) account() string {
	return []string{"acc0", "acc1", "acc2", "acc3", anonymous}[s.pick(5)]
}

func (s *script) cid() storage.CID {
	return sized(scriptSizes[s.pick(len(scriptSizes))], byte(s.pick(2)))
}

func (s *script) entryID() string { return fmt.Sprintf("entry-%d", s.w.ids+1) }

// next draws a header and a command: now and then one that was sent before,
// under its request id or under the client's key alone.
func (s *script) next() (Header, Command) {
	s.w.now += scriptSteps[s.pick(len(scriptSteps))]
	if len(s.sent) > 0 && s.pick(8) == 0 {
		again := s.sent[s.pick(len(s.sent))]
		return again.h, again.c
	}
	h := Header{ID: s.w.nextID()}
	if s.pick(3) == 0 {
		h.NotAfter = s.w.now + minute
	}
	account := s.account()
	if s.pick(6) == 5 {
		h.Actor = Actor{Account: account, Key: fmt.Sprintf("key%d", s.pick(6))}
	}
	if s.pick(3) == 0 {
		h.Idem = &Idempotency{Scope: "all", Key: [32]byte{byte(s.pick(4))}, Fingerprint: [32]byte{byte(s.pick(2))}}
	}
	c := s.command(account)
	s.sent = append(s.sent, sentCommand{h, c})
	return h, c
}

func (s *script) command(account string) Command {
	switch s.pick(32) {
	case 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31:
		return s.pasteCommand(account)
	case 16:
		return Condemn{CIDs: []storage.CID{s.cid(), s.cid(), s.cid()}}
	case 17:
		return DropTombstones{Limit: 1 + s.pick(3)}
	case 0, 1:
		id := fmt.Sprintf("acc%d", s.pick(4))
		return CreateAccount{ID: id, Email: id + "@example.org", BalanceCents: int64(s.pick(3)), EntryID: s.entryID()}
	case 2:
		return UpdateAccount{ID: account, Disabled: new(s.pick(4) == 0), QuotaBytes: new(int64(s.pick(3)) * gib)}
	case 3, 4:
		return Deposit{
			EntryID: s.entryID(), Account: account, AmountCents: int64(1 + 100*s.pick(4)), Reference: fmt.Sprintf("wire %d", s.pick(8)),
		}
	case 5:
		n := s.pick(3)
		return CreateKey{ID: fmt.Sprintf("key%d", n), Account: account, API: "hashbin", Hash: [32]byte{byte(n)}, Days: 1 + s.pick(20)}
	case 6:
		return RevokeKey{Account: account, ID: fmt.Sprintf("key%d", s.pick(6))}
	case 7:
		return Extend{Account: account, CID: s.cid(), Days: 1 + s.pick(100), EntryID: s.entryID()}
	case 8:
		return DeleteReference{Account: account, CID: s.cid()}
	case 9:
		return Sweep{Limit: 1 + s.pick(4)}
	case 10:
		return BlockContent{CID: s.cid(), Block: s.pick(3) == 0}
	case 11:
		return SetSettings{Patch: SettingsPatch{
			PriceCentsPerGiB: new(int64(s.pick(5))), AnonymousQuotaBytes: new(int64(s.pick(3)) * gib),
			DeletionGraceSeconds: new([]int64{60, 60, 3600, 86400}[s.pick(4)]),
		}}
	case 12:
		return Tick{}
	}
	c := CommitUpload{Account: account, CID: s.cid(), Days: 1 + s.pick(40), EntryID: s.entryID()}
	c.Receipts = s.receipts(c.CID)
	return c
}

func (s *script) receipts(cid storage.CID) (all []storage.Receipt) {
	if cid.Inline() || s.pick(8) == 0 {
		return nil
	}
	generation := uint64(len(s.w.log) - min(len(s.w.log)-1, s.pick(4)*s.pick(8))) // some are of before a Condemn
	for _, id := range []storage.NodeID{"n1", "n2"} {
		all = append(all, storage.Receipt{Node: id, Incarnation: 1, CID: cid, Generation: generation, Time: s.w.now})
	}
	return all
}

// modelWorld is a world with a ring, and no account yet.
func modelWorld(t *testing.T, rt tester) (w *world, done func()) {
	t.Helper()
	f, err := Open(testDir, testOptions(vfs.NewMem()))
	if err != nil {
		rt.Fatal(err)
	}
	w = &world{t: rt, f: f, now: testStart}
	for _, id := range []storage.NodeID{"n1", "n2", "n3"} {
		w.must(PutNode{Node: testNode(id, 1)})
	}
	w.must(SetRing{Ring: testRing(1, 3, "n1", "n2", "n3")})
	return w, func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
}

// picker draws either rapid's numbers, which it makes small when a test fails, or
// evenly: then more commands meet something that they can be carried out on.
func picker(rt *rapid.T) func(n int) int {
	if rapid.Bool().Draw(rt, "even") {
		return rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 0)).IntN
	}
	numbers := rapid.IntRange(0, 1<<16)
	return func(n int) int { return numbers.Draw(rt, "pick") % n }
}

// The metadata answers as the model foretells, holds what the model holds, and
// its audit finds nothing (I5, I6, I7, I8, I10).
func TestModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		w, done := modelWorld(t, rt)
		defer done()
		m := newModel()
		m.index = uint64(len(w.log))
		for _, l := range w.log { // what made the ring is remembered, too
			m.requests[RequestID{7: byte(l.Index)}] = modelAnswer{}
			m.remembers[RequestID{7: byte(l.Index)}] = testStart + requestKept
		}
		s := &script{w: w, pick: picker(rt)}
		for range rapid.IntRange(10, 150).Draw(rt, "steps") {
			h, c := s.next()
			got := w.do(h, c)
			want := m.do(w.now, h, c)
			code := ""
			if got.Err != nil {
				code = got.Err.Code
			}
			if code != want.code || got.Replayed != want.replayed {
				rt.Fatalf("%T %+v under %+v: %+v (%s), want %+v", c, c, h, got, code, want)
			}
			if want.value != nil {
				equal(rt, fmt.Sprintf("%T %+v", c, c), got.Value, want.value)
			}
		}
		m.compare(t, rt, w)
	})
}

// compare holds the state against the model's.
func (m *model) compare(t *testing.T, rt *rapid.T, w *world) {
	t.Helper()
	for id, a := range m.accounts {
		got := w.account(id)
		if got.BalanceCents != a.balance || got.UsedBytes != a.used || got.Disabled != a.disabled || got.QuotaBytes != a.quota ||
			got.Pastes != a.pastes || got.Links != a.links {
			rt.Errorf("account %+v, want %+v", got, a)
		}
	}
	equal(rt, "anonymous bytes", w.unpaidBytes(), m.unpaid)
	for k, r := range m.refs {
		if k.kind == refPaste {
			continue
		}
		got, live, err := w.f.Reference(k.holder, k.cid, w.f.Now())
		if err != nil || live != (r.Expires > m.time && !m.blob(k.cid).blocked) {
			rt.Errorf("reference %v is live: %t, %v", k, live, err)
		}
		if live && (got.Expires != r.Expires || got.Uploaded != r.Uploaded) {
			rt.Errorf("reference %+v, want %+v", got, r)
		}
	}
	m.compareBlobs(rt, w)
	m.comparePastes(rt, w)
	counts := w.f.Counts()
	equal(rt, "blobs", counts.Blobs, int64(len(m.blobs)))
	equal(rt, "accounts", counts.Accounts, int64(len(m.accounts)))
	equal(rt, "references", counts.References, int64(len(m.refs)))
	equal(rt, "keys", counts.Keys, int64(len(m.keys)))
	if err := w.f.Check(t.Context(), func(problem string) { rt.Errorf("%s", problem) }); err != nil {
		rt.Fatal(err)
	}
	if _, err := w.f.Audit(t.Context()); err != nil {
		rt.Error(err)
	}
}

// compareBlobs holds the catalogue, and what waits in it, against the model's.
func (m *model) compareBlobs(rt *rapid.T, w *world) {
	floor, err := w.f.Floor()
	if err != nil || floor != m.floor {
		rt.Errorf("floor %d, want %d, %v", floor, m.floor, err)
	}
	dead, tombstones := int64(0), int64(0)
	for cid, b := range m.blobs {
		st, err := w.f.Standings("n1", []storage.CID{cid})
		if err != nil {
			rt.Fatal(err)
		}
		got := st[0]
		if got.Referenced != (m.references(cid) > 0) || got.Waiting != (b.dead != 0) || got.Condemned != b.condemned {
			rt.Errorf("%s stands %+v, want %+v", cid, got, *b)
		}
		if b.dead != 0 {
			dead++
		}
		if b.buried != 0 {
			tombstones++
		}
	}
	err = w.f.view("test", func(r pebble.Reader) error {
		for table, want := range map[byte]int64{tableDead: dead, tableTombstones: tombstones} {
			if n, err := queued(r, table); err != nil || n != want {
				return fmt.Errorf("%d wait in table %x, want %d: %w", n, table, want, err)
			}
		}
		return nil
	})
	if err != nil {
		rt.Error(err)
	}
}

// I10: one log gives one state, however its entries are batched, and whether a
// snapshot stands in for its beginning.
func TestDeterminism(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		w, done := modelWorld(t, rt)
		defer done()
		pick := picker(rt)
		s := &script{w: w, pick: pick}
		for range rapid.IntRange(1, 40).Draw(rt, "entries") {
			var commands [][]byte
			for range pick(4) { // an entry may hold none
				h, c := s.next()
				commands = append(commands, w.encoded(&h, c))
			}
			if err := w.f.Apply(w.append(commands...)); err != nil {
				rt.Fatal(err)
			}
		}
		want := stateHash(rt, w.f)
		applyAll := func(name string, apply func(f *FSM)) {
			f, err := Open(testDir, testOptions(vfs.NewMem()))
			if err != nil {
				rt.Fatal(err)
			}
			apply(f)
			equal(rt, name, stateHash(rt, f), want)
			if err := f.RecomputeStateHash(t.Context()); err != nil {
				rt.Error(name, err)
			}
			equal(rt, name, f.Counts(), w.f.Counts())
			if err := f.Close(); err != nil {
				rt.Error(err)
			}
		}
		applyAll("one batch", func(f *FSM) { f.ApplyBatch(w.log) })
		applyAll("a snapshot in between", func(f *FSM) {
			at := pick(len(w.log) + 1)
			applyInBatches(f, w.log[:at], pick)
			b := snapshotOf(rt, f)
			for i := range 3 { // the entries that a dead leader has lost
				other, err := Encode(Header{ID: RequestID{0xff, byte(i)}}, CreateAccount{ID: fmt.Sprint(i), Email: fmt.Sprint(i)})
				if err != nil {
					rt.Fatal(err)
				}
				f.Apply(&raft.Log{Index: uint64(at + i + 1), Term: 1, Type: raft.LogCommand, Data: Pack(testStart, [][]byte{other})})
			}
			if err := restore(f, b); err != nil {
				rt.Fatal(err)
			}
			applyInBatches(f, w.log[at:], pick)
		})
	})
}

func applyInBatches(f *FSM, log []*raft.Log, pick func(int) int) {
	for len(log) > 0 {
		n := min(1+pick(7), len(log))
		f.ApplyBatch(log[:n])
		log = log[n:]
	}
}
