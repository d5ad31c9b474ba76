package meta

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"pgregory.net/rapid"

	"ringbin/storage"
)

// binModel is what the metadata of JSONBin should do, in as few words as possible.
type binModel struct {
	time    int64
	s       JSONBinSettings
	last    map[string]int64 // account -> time of its newest id
	used    map[string]int64
	quota   map[string]int64
	bins    map[string]*binInModel
	cols    map[string]*Collection
	docs    map[string]*docInModel
	cleared []*heldInModel // what waits to be swept
	blocked map[storage.CID]int64
}

type heldInModel struct {
	account string
	cid     storage.CID
	taken   bool
}

type binInModel struct {
	Bin
	base     *heldInModel
	versions []*heldInModel
}

type docInModel struct {
	SchemaDoc
	held *heldInModel
}

func newBinModel() *binModel {
	return &binModel{
		s: DefaultJSONBin(), last: map[string]int64{}, used: map[string]int64{}, quota: map[string]int64{}, bins: map[string]*binInModel{},
		cols: map[string]*Collection{}, docs: map[string]*docInModel{}, blocked: map[storage.CID]int64{},
	}
}

// head is the bin as it is to be read.
func (b *binInModel) head() Bin {
	h := b.Bin
	h.Base, h.BaseTaken, h.Versions = b.base.cid, b.base.taken, int64(len(b.versions))
	return h
}

func (d *docInModel) doc() SchemaDoc {
	s := d.SchemaDoc
	s.CID, s.Taken = d.held.cid, d.held.taken
	return s
}

func (m *binModel) id(account string, r RandomID) (string, int64) {
	m.last[account] = max(m.time, m.last[account]+1)
	return fmt.Sprintf("%012x%x", m.last[account], r[:]), m.last[account]
}

// put returns new content, or why there is none; it comes in the place of old.
func (m *binModel) put(account string, cid storage.CID, old *heldInModel) (*heldInModel, string) {
	if _, blocked := m.blocked[cid]; blocked {
		return nil, "content_blocked"
	}
	room := m.used[account] + stored(cid)
	if old != nil && !old.taken {
		room -= stored(old.cid)
	}
	if m.quota[account] > 0 && stored(cid) > 0 && room > m.quota[account] {
		return nil, "insufficient_storage"
	}
	m.drop(old)
	m.used[account] += stored(cid)
	return &heldInModel{account: account, cid: cid}, ""
}

func (m *binModel) drop(h *heldInModel) {
	if h != nil && !h.taken {
		m.used[h.account] -= stored(h.cid)
	}
}

// held are all that hold content, those that wait to be swept included.
func (m *binModel) held() (all []*heldInModel) {
	for _, b := range m.bins {
		all = append(append(all, b.base), b.versions...)
	}
	for _, d := range m.docs {
		all = append(all, d.held)
	}
	return append(all, m.cleared...)
}

func (m *binModel) schemaGood(collection, doc string, revision uint64) bool {
	var want SchemaDoc
	if c := m.cols[collection]; c != nil && c.SchemaDoc != "" {
		want = m.docs[c.SchemaDoc].SchemaDoc
	}
	return doc == want.ID && revision == want.Revision
}

func (match *Match) wants(revision uint64) bool {
	return match == nil || match.Any || slices.Contains(match.Revisions, revision)
}

// do foretells a value, or the code of a refusal.
func (m *binModel) do(c Command) (any, string) {
	switch c := c.(type) {
	case CreateBin:
		return m.create(c)
	case UpdateBin:
		return m.update(c)
	case DeleteBin:
		return m.change(c.ID, c.IfMatch, func(b *binInModel) {
			m.drop(b.base)
			m.cleared = append(m.cleared, b.versions...)
			delete(m.bins, b.ID)
			b.Revision--
		})
	case SetBinPrivacy:
		return m.change(c.ID, c.IfMatch, func(b *binInModel) { b.Private = c.Private })
	case RenameBin:
		return m.change(c.ID, c.IfMatch, func(b *binInModel) { b.Name = c.Name })
	case ClearVersions:
		return m.clear(c)
	case CreateCollection:
		id, created := m.id(c.Account, c.Random)
		m.cols[id] = &Collection{ID: id, Account: c.Account, Name: c.Name, Created: created}
		return *m.cols[id], ""
	case DeleteCollection:
		n := m.cols[c.ID]
		if n == nil || n.Account != c.Account {
			return nil, "collection_not_found"
		}
		delete(m.cols, c.ID)
		for _, b := range m.bins {
			if b.Collection == c.ID {
				b.Collection = ""
			}
		}
		return *n, ""
	case AttachSchema:
		return m.attach(c)
	case CreateSchemaDoc:
		h, code := m.put(c.Account, c.CID, nil)
		if code != "" {
			return nil, code
		}
		id, created := m.id(c.Account, c.Random)
		m.docs[id] = &docInModel{SchemaDoc{ID: id, Account: c.Account, Name: c.Name, Created: created, Revision: 1}, h}
		return m.docs[id].doc(), ""
	case UpdateSchemaDoc:
		d := m.docs[c.ID]
		if d == nil || d.Account != c.Account {
			return nil, "schema_not_found"
		}
		h, code := m.put(c.Account, *c.CID, d.held)
		if code != "" {
			return nil, code
		}
		d.held = h
		d.Revision++
		return d.doc(), ""
	}
	panic(fmt.Sprintf("the model knows no %T", c))
}

func (m *binModel) create(c CreateBin) (any, string) {
	if n := m.cols[c.Collection]; c.Collection != "" && (n == nil || n.Account != c.Account) {
		return nil, "collection_not_found"
	}
	if !m.schemaGood(c.Collection, c.SchemaDoc, c.SchemaRevision) {
		return nil, "schema_changed"
	}
	h, code := m.put(c.Account, c.CID, nil)
	if code != "" {
		return nil, code
	}
	id, created := m.id(c.Account, c.Random)
	b := &binInModel{base: h, Bin: Bin{
		ID: id, Account: c.Account, Name: c.Name, Private: c.Private, Collection: c.Collection, Created: created, Revision: 1,
	}}
	m.bins[id] = b
	return b.head(), ""
}

func (m *binModel) update(c UpdateBin) (any, string) {
	b := m.bins[c.ID]
	asked, refused := c.Versioning != nil && *c.Versioning, c.Versioning != nil && !*c.Versioning
	switch {
	case b == nil:
		return nil, "bin_not_found"
	case c.Keyless && (b.Private || !m.s.PublicUpdate):
		return nil, "key_needed"
	case !m.schemaGood(b.Collection, c.SchemaDoc, c.SchemaRevision):
		return nil, "schema_changed"
	case asked && !m.s.Versioning:
		return nil, "versioning_off"
	case !c.IfMatch.wants(b.Revision):
		return nil, "revision_mismatch"
	}
	versioned := asked || !b.Private && (!refused || !c.Master)
	versioned = versioned && m.s.Versioning && int64(len(b.versions)) < m.s.VersionsMax
	at := &b.base
	if versioned {
		at = new(*heldInModel)
	} else if n := len(b.versions); n > 0 {
		at = &b.versions[n-1]
	}
	h, code := m.put(b.Account, c.CID, *at)
	if code != "" {
		return nil, code
	}
	*at = h
	made := int64(0)
	if versioned {
		b.versions = append(b.versions, h)
		made = int64(len(b.versions))
	}
	b.Revision++
	return BinUpdate{Bin: b.head(), Version: made}, ""
}

func (m *binModel) change(id string, match *Match, by func(*binInModel)) (any, string) {
	b := m.bins[id]
	switch {
	case b == nil:
		return nil, "bin_not_found"
	case !match.wants(b.Revision):
		return nil, "revision_mismatch"
	}
	b.Revision++
	by(b)
	return b.head(), ""
}

func (m *binModel) clear(c ClearVersions) (any, string) {
	b := m.bins[c.ID]
	switch {
	case b == nil:
		return nil, "bin_not_found"
	case !c.IfMatch.wants(b.Revision):
		return nil, "revision_mismatch"
	case len(b.versions) == 0:
		return Cleared{Bin: b.head()}, ""
	}
	n := len(b.versions)
	res := Cleared{Versions: int64(n), Deleted: int64(n)}
	if c.PreserveLatest {
		res.Deleted--
		m.drop(b.base)
		latest := *b.versions[n-1]
		b.base = &latest
		if !latest.taken {
			m.used[b.Account] += stored(latest.cid)
		}
	}
	m.cleared = append(m.cleared, b.versions...)
	b.versions = nil
	b.Revision++
	b.Clearings++
	res.Bin = b.head()
	return res, ""
}

func (m *binModel) attach(c AttachSchema) (any, string) {
	n := m.cols[c.Collection]
	if n == nil || n.Account != c.Account {
		return nil, "collection_not_found"
	}
	d := m.docs[cmp.Or(c.SchemaDoc, n.SchemaDoc)]
	if d == nil || d.Account != c.Account {
		return nil, "schema_not_found"
	}
	n.SchemaDoc = c.SchemaDoc
	return Attached{Collection: *n, SchemaDoc: d.doc()}, ""
}

// binScript makes commands that often meet each other.
type binScript struct {
	pick func(n int) int // 0 to n-1
	w    *world
	m    *binModel
}

var binSizes = []int64{10, 65, 1000, 4000}

func (s *binScript) account() string { return []string{"ann", "bob"}[s.pick(2)] }

func (s *binScript) cid() storage.CID { return sized(binSizes[s.pick(len(binSizes))], byte(s.pick(2))) }

// one is an id of a map, or one that is not there.
func one[V any](s *binScript, of map[string]V) string {
	ids := slices.Sorted(maps.Keys(of))
	if len(ids) == 0 || s.pick(12) == 0 {
		return "018bcfe56800000000000000"
	}
	return ids[s.pick(len(ids))]
}

// schema is the one that a collection has, or now and then another.
func (s *binScript) schema(collection string) (doc string, revision uint64) {
	if n := s.m.cols[collection]; n != nil && n.SchemaDoc != "" {
		doc, revision = n.SchemaDoc, s.m.docs[n.SchemaDoc].Revision
	}
	if s.pick(10) == 0 {
		revision++
	}
	return doc, revision
}

func (s *binScript) match(id string) *Match {
	b := s.m.bins[id]
	if b == nil || s.pick(3) > 0 {
		return nil
	}
	return &Match{Any: s.pick(6) == 0, Revisions: []uint64{b.Revision + 3, b.Revision + uint64(s.pick(2))}}
}

func (s *binScript) command() Command {
	account, cid, bin := s.account(), s.cid(), one(s, s.m.bins)
	random := RandomID{byte(s.w.ids >> 8), byte(s.w.ids)}
	switch s.pick(16) {
	case 0, 1, 2:
		c := CreateBin{Account: account, Random: random, CID: cid, Private: s.pick(2) == 0, Receipts: s.w.proof(cid)}
		if s.pick(3) > 0 {
			c.Collection = one(s, s.m.cols)
		}
		c.SchemaDoc, c.SchemaRevision = s.schema(c.Collection)
		return c
	case 3:
		return DeleteBin{ID: bin, IfMatch: s.match(bin)}
	case 4:
		return SetBinPrivacy{ID: bin, Private: s.pick(2) == 0, IfMatch: s.match(bin)}
	case 5:
		return RenameBin{ID: bin, Name: "renamed", IfMatch: s.match(bin)}
	case 6, 7:
		return ClearVersions{ID: bin, PreserveLatest: s.pick(2) == 0, IfMatch: s.match(bin)}
	case 8:
		return CreateCollection{Account: account, Random: random, Name: "n"}
	case 9:
		return DeleteCollection{Account: account, ID: one(s, s.m.cols)}
	case 10:
		c := AttachSchema{Account: account, Collection: one(s, s.m.cols)}
		if s.pick(3) > 0 {
			c.SchemaDoc = one(s, s.m.docs)
		}
		return c
	case 11:
		return CreateSchemaDoc{Account: account, Random: random, Name: "d", CID: cid, Receipts: s.w.proof(cid)}
	case 12:
		return UpdateSchemaDoc{Account: account, ID: one(s, s.m.docs), CID: &cid, Receipts: s.w.proof(cid)}
	}
	c := UpdateBin{ID: bin, CID: cid, Master: s.pick(2) == 0, IfMatch: s.match(bin), Receipts: s.w.proof(cid)}
	c.Keyless = !c.Master && s.pick(2) == 0
	if v := s.pick(3); v > 0 {
		c.Versioning = new(v == 1)
	}
	if b := s.m.bins[bin]; b != nil {
		c.SchemaDoc, c.SchemaRevision = s.schema(b.Collection)
	}
	return c
}

// aside does what is no command of JSONBin.
func (s *binScript) aside() {
	w, m := s.w, s.m
	switch s.pick(6) {
	case 0:
		w.now += []int64{1, 1000, minute, dayMillis}[s.pick(4)]
		w.must(Tick{})
	case 1:
		w.sweep(1 + s.pick(3))
		for _, h := range m.cleared {
			m.drop(h)
		}
		m.cleared = nil
	case 2:
		m.s.VersionsMax, m.s.Versioning, m.s.PublicUpdate = int64(s.pick(4)), s.pick(4) > 0, s.pick(4) > 0
		w.must(SetSettings{Patch: SettingsPatch{JSONBin: &JSONBinPatch{
			VersionsMax: &m.s.VersionsMax, Versioning: &m.s.Versioning, PublicUpdate: &m.s.PublicUpdate,
		}}})
	case 3:
		account := s.account()
		m.quota[account] = int64(s.pick(3)) * 5000
		w.must(UpdateAccount{ID: account, QuotaBytes: new(m.quota[account])})
	case 4:
		cid, block := s.cid(), s.pick(2) == 0
		w.must(BlockContent{CID: cid, Block: block})
		if _, was := m.blocked[cid]; block && !was {
			m.blocked[cid] = w.now
		} else if !block {
			delete(m.blocked, cid)
		}
	case 5:
		cid := s.cid()
		if s.pick(2) == 0 { // all of a takedown
			w.must(BlockContent{CID: cid, Block: true})
			if _, was := m.blocked[cid]; !was {
				m.blocked[cid] = w.now
			}
			w.now += dayMillis
		}
		w.must(Condemn{CIDs: []storage.CID{cid}})
		since, blocked := m.blocked[cid]
		if !blocked || w.now-since < w.f.Settings().graceMillis() {
			return
		}
		for _, h := range m.held() {
			if h.cid == cid && !h.taken {
				m.drop(h)
				h.taken = true
			}
		}
	}
}

// newBinScript is a script of a world with two accounts and nothing else.
func newBinScript(rt *rapid.T, w *world) *binScript {
	for _, id := range []string{"ann", "bob"} {
		w.must(CreateAccount{ID: id, Email: id + "@example.org"})
	}
	numbers := rapid.IntRange(0, 1<<16)
	return &binScript{w: w, m: newBinModel(), pick: func(n int) int { return numbers.Draw(rt, "pick") % n }}
}

// The metadata of JSONBin answers as the model foretells, holds what it holds,
// and neither check nor audit finds anything.
func TestBinModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		w, done := modelWorld(t, rt)
		defer done()
		s := newBinScript(rt, w)
		m := s.m
		for range rapid.IntRange(10, 80).Draw(rt, "steps") {
			if s.pick(4) == 0 {
				s.aside()
				continue
			}
			c := s.command()
			m.time = w.now
			got := w.do(Header{}, c)
			want, code := m.do(c)
			switch {
			case got.Err != nil && got.Err.Code != code, got.Err == nil && code != "":
				rt.Fatalf("%T %+v: %+v, want %q", c, c, got, code)
			case got.Err == nil:
				equal(rt, fmt.Sprintf("%T %+v", c, c), got.Value, want)
			}
		}
		m.compare(t, rt, w)
	})
}

func (m *binModel) compare(t *testing.T, rt *rapid.T, w *world) {
	t.Helper()
	lists := map[BinList][]string{}
	for _, account := range []string{"ann", "bob"} {
		equal(rt, "used by "+account, w.account(account).UsedBytes, m.used[account])
		lists[BinList{Account: account, Ascending: true, Limit: 100}] = nil
	}
	for id, b := range m.bins {
		equal(rt, "bin", w.bin(id), b.head())
		for n, h := range append([]*heldInModel{b.base}, b.versions...) {
			v, found := w.version(id, int64(n))
			_, blocked := m.blocked[h.cid]
			equal(rt, "version", []any{found, v.CID, v.Blocked}, []any{true, h.cid, blocked || h.taken})
		}
		l := BinList{Account: b.Account, Collection: b.Collection, Ascending: true, Limit: 100}
		lists[l] = append(lists[l], id)
	}
	for l, want := range lists {
		slices.Sort(want)
		equal(rt, fmt.Sprintf("%+v", l), w.listed(l), append([]string{}, want...))
	}
	references := map[storage.CID]int64{}
	total := int64(0)
	for _, h := range m.held() {
		if !h.taken {
			references[h.cid]++
			total++
		}
	}
	for cid, n := range references {
		equal(rt, "alive", []any{w.blob(cid).Alive, n > 0}, []any{true, true})
	}
	counts := w.f.Counts()
	equal(rt, "counts", []int64{counts.Bins, counts.Collections, counts.SchemaDocs, counts.References},
		[]int64{int64(len(m.bins)), int64(len(m.cols)), int64(len(m.docs)), total})
	if err := w.f.Check(t.Context(), func(problem string) { rt.Errorf("%s", problem) }); err != nil {
		rt.Fatal(err)
	}
	if _, err := w.f.Audit(t.Context()); err != nil {
		rt.Error(err)
	}
}

// One log gives one state, however its entries are batched, and whether a
// snapshot stands in for its beginning.
func TestBinDeterminism(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		w, done := modelWorld(t, rt)
		defer done()
		s := newBinScript(rt, w)
		m := s.m
		for range rapid.IntRange(5, 40).Draw(rt, "steps") {
			c := s.command()
			m.time = w.now
			w.do(Header{}, c)
			m.do(c)
			if s.pick(8) == 0 {
				w.must(Sweep{Limit: 1 + s.pick(3)})
			}
		}
		f, err := Open(testDir, testOptions(vfs.NewMem()))
		if err != nil {
			rt.Fatal(err)
		}
		at := s.pick(len(w.log) + 1)
		applyInBatches(f, w.log[:at], s.pick)
		if err := restore(f, snapshotOf(rt, f)); err != nil {
			rt.Fatal(err)
		}
		applyInBatches(f, w.log[at:], s.pick)
		equal(rt, "state hash", stateHash(rt, f), stateHash(rt, w.f))
		if err := f.RecomputeStateHash(t.Context()); err != nil {
			rt.Error(err)
		}
		if err := f.Close(); err != nil {
			rt.Error(err)
		}
	})
}
