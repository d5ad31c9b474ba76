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

// noteModel is what the metadata of notes should do, in as few words as possible.
type noteModel struct {
	time   int64
	grace  int64
	keep   int64 // days
	notes  map[string]*Note
	issued map[string]bool
	quota  map[string]int64
	blobs  map[storage.CID]*noteBlob
	winner map[string]RequestID // hash -> who has burned it
}

// noteBlob is what became of content since it was first seen.
type noteBlob struct {
	blocked bool
	dead    int64 // since when it waits to be condemned; 0: it does not
}

func newNoteModel() *noteModel {
	return &noteModel{
		grace: dayMillis, keep: 30, notes: map[string]*Note{}, issued: map[string]bool{}, quota: map[string]int64{},
		blobs: map[storage.CID]*noteBlob{}, winner: map[string]RequestID{},
	}
}

func (m *noteModel) blob(cid storage.CID) *noteBlob {
	if m.blobs[cid] == nil {
		m.blobs[cid] = &noteBlob{}
	}
	return m.blobs[cid]
}

// holding are the notes with content, of a CID or with nil all.
func (m *noteModel) holding(cid *storage.CID) (all []*Note) {
	for _, n := range m.notes {
		if n.CID != (storage.CID{}) && (cid == nil || n.CID == *cid) {
			all = append(all, n)
		}
	}
	return all
}

func (m *noteModel) used(account string) (used int64) {
	for _, n := range m.holding(nil) {
		if n.Account == account {
			used += stored(n.CID)
		}
	}
	return used
}

// letGo takes the content from a note.
func (m *noteModel) letGo(n *Note) {
	cid := n.CID
	n.CID, n.Sealed = storage.CID{}, nil
	if b := m.blob(cid); len(m.holding(&cid)) == 0 && b.dead == 0 {
		b.dead = m.time
		if n.Burn {
			b.dead = 1
		}
	}
}

// put returns why an account can't have content in the place of old.
func (m *noteModel) put(account string, cid, old storage.CID) string {
	room := m.used(account) - stored(old) + stored(cid)
	switch {
	case m.blobs[cid] != nil && m.blobs[cid].blocked:
		return "content_blocked"
	case m.quota[account] > 0 && stored(cid) > 0 && cid != old && room > m.quota[account]:
		return "insufficient_storage"
	}
	return ""
}

// seen is a note as it is for anybody, whatever became of it.
func (m *noteModel) seen(hash string) *Note {
	n := m.notes[hash]
	if n == nil || m.blobs[n.CID] != nil && m.blobs[n.CID].blocked {
		return nil
	}
	return n
}

func (m *noteModel) over(n *Note) bool { return n.Expires != 0 && n.Expires <= m.time }

// told is a note of which something is told.
func (m *noteModel) told(hash string) *Note {
	n := m.seen(hash)
	if n == nil || n.Burned == 0 && n.Expires != 0 && n.Expires+m.keep*dayMillis <= m.time {
		return nil
	}
	return n
}

func (m *noteModel) do(h Header, c Command) (value any, code string) {
	switch c := c.(type) {
	case CreateNote:
		return m.create(c)
	case EditNote:
		return m.edit(c)
	case DeleteNote:
		n, code := m.change(c.Hash, c.Account, c.Admin)
		if code != "" {
			return nil, code
		}
		was := *n
		m.remove(n)
		return answer(was), ""
	case BurnNote:
		return m.burn(h, c)
	case ResealNote:
		n := m.notes[c.Hash]
		switch {
		case n == nil:
			return nil, "not_found"
		case len(n.Sealed) == 0 || n.Revision != c.Revision:
			return nil, "revision_changed"
		}
		n.Sealed = c.Sealed
		return answer(*n), ""
	case AddCounts:
		for _, v := range c.Notes {
			if n := m.notes[v.ID]; n != nil && n.CID != (storage.CID{}) && !m.over(n) {
				n.Views += v.N
			}
		}
		return none{}, ""
	}
	panic(fmt.Sprintf("the model knows no %T", c))
}

func (m *noteModel) create(c CreateNote) (any, string) {
	switch {
	case m.issued[c.Hash] || m.issued[c.Code]:
		return nil, "id_taken"
	case c.Expires != 0 && c.Expires <= m.time:
		return nil, "expiry_not_future"
	}
	if code := m.put(c.Account, c.CID, storage.CID{}); code != "" {
		return nil, code
	}
	m.issued[c.Hash], m.issued[c.Code] = true, true
	n := &Note{
		Hash: c.Hash, Code: c.Code, Account: c.Account, Title: c.Title, Language: c.Language, Privacy: c.Privacy, Burn: c.Burn, CID: c.CID,
		Sealed: c.Sealed, Created: c.Created, Expires: c.Expires, Revision: 1,
	}
	m.notes[c.Hash] = n
	m.blob(c.CID).dead = 0
	return answer(*n), ""
}

func (m *noteModel) change(hash, account string, admin bool) (*Note, string) {
	n := m.told(hash)
	own := admin || n != nil && n.Account == account
	switch {
	case n == nil || !own && n.Privacy == PrivacyPrivate:
		return nil, "not_found"
	case !own:
		return nil, "not_owner"
	}
	return n, ""
}

func (m *noteModel) edit(c EditNote) (any, string) {
	n, code := m.change(c.Hash, c.Account, c.Admin)
	switch {
	case code != "":
		return nil, code
	case n.Burned != 0:
		return nil, "note_burned"
	case m.over(n):
		return nil, "note_expired"
	case c.Revision != 0 && c.Revision != n.Revision:
		return nil, "revision_changed"
	case c.Content != nil && n.Burn != (len(c.Content.Sealed) > 0):
		return nil, "invalid_parameter"
	case c.Expires != nil && *c.Expires != n.Expires && *c.Expires != 0 && *c.Expires <= m.time:
		return nil, "expiry_not_future"
	}
	if c.Content != nil && (c.Content.CID != n.CID || c.Expires != nil && *c.Expires != n.Expires) {
		if code := m.put(n.Account, c.Content.CID, n.CID); code != "" {
			return nil, code
		}
	}
	patch(&n.Title, c.Title)
	patch(&n.Privacy, c.Privacy)
	patch(&n.Expires, c.Expires)
	if c.Content != nil {
		if c.Content.CID != n.CID {
			m.letGo(n)
			n.CID = c.Content.CID
			m.blob(n.CID).dead = 0
		}
		n.Sealed = c.Content.Sealed
	}
	n.Revision++
	return answer(*n), ""
}

func (m *noteModel) remove(n *Note) {
	if n.CID != (storage.CID{}) {
		m.letGo(n)
	}
	delete(m.notes, n.Hash)
}

func (m *noteModel) burn(h Header, c BurnNote) (any, string) {
	n := m.told(c.Hash)
	if n == nil {
		return nil, "not_found"
	}
	if n.Burn && n.Burned == 0 && n.Revision == c.Revision && !m.over(n) {
		m.letGo(n)
		n.Title, n.Burned, n.BurnedBy = "", m.time, h.ID
		n.Views++
		m.winner[c.Hash] = h.ID
	}
	return Burn{Note: answer(*n), Won: n.Burned != 0 && m.winner[c.Hash] == h.ID}, ""
}

// sweep removes all that is over, the longest over first: of notes with the same
// content the last one that lets it go decides how long it waits.
func (m *noteModel) sweep() {
	notes := slices.SortedFunc(maps.Values(m.notes), func(a, b *Note) int {
		return cmp.Or(cmp.Compare(a.Expires, b.Expires), cmp.Compare(a.Hash, b.Hash))
	})
	for _, n := range notes {
		if n.Burned != 0 || !m.over(n) {
			continue
		}
		switch {
		case m.seen(n.Hash) == nil:
			m.remove(n)
			continue
		case n.CID != storage.CID{}:
			m.letGo(n)
			n.Ends = n.Expires + m.keep*dayMillis
		}
		switch {
		case m.told(n.Hash) == nil && n.Ends <= m.time:
			m.remove(n)
		case n.Ends <= m.time: // the days have become more meanwhile
			n.Ends = n.Expires + m.keep*dayMillis
		}
	}
}

func (m *noteModel) block(cid storage.CID, block bool) {
	_, known := m.blobs[cid]
	b := m.blob(cid)
	switch was := b.blocked; {
	case !known, block && !was && b.dead == 0 && len(m.holding(&cid)) > 0:
		b.dead = m.time
	case !block && was && len(m.holding(&cid)) > 0:
		b.dead = 0
	}
	b.blocked = block
}

func (m *noteModel) due() (cids []storage.CID) {
	for cid, b := range m.blobs {
		if b.dead != 0 && m.time-b.dead >= m.grace {
			cids = append(cids, cid)
		}
	}
	slices.SortFunc(cids, storage.CID.Compare)
	return cids
}

func (m *noteModel) condemn(cid storage.CID) {
	if !slices.Contains(m.due(), cid) {
		return
	}
	for _, n := range m.holding(&cid) { // only of what was taken down
		delete(m.notes, n.Hash)
	}
	m.blob(cid).dead = 0
}

// noteScript makes commands that often meet each other.
type noteScript struct {
	w     *world
	m     *noteModel
	pick  func(n int) int
	drawn int
	burns []sentCommand
}

func newNoteScript(rt *rapid.T, w *world) *noteScript {
	for _, id := range []string{"ann", "bob"} {
		w.must(CreateAccount{ID: id, Email: id + "@example.org", Numbered: true})
	}
	return &noteScript{w: w, m: newNoteModel(), pick: picker(rt)}
}

func (s *noteScript) account() string { return []string{"ann", "bob"}[s.pick(2)] }

func (s *noteScript) cid() storage.CID {
	return sized([]int64{10, 1000, 3000}[s.pick(3)], byte(1+s.pick(2)))
}

// hash returns that of a note, one of which nothing is left included.
func (s *noteScript) hash() string { return fmt.Sprintf("n%d", max(0, s.drawn-s.pick(5))) }

func (s *noteScript) revision(hash string) uint64 {
	if n := s.m.notes[hash]; n != nil {
		return n.Revision - uint64(s.pick(4)/3)
	}
	return 1
}

func (s *noteScript) sealed(burn bool) []byte {
	if !burn {
		return nil
	}
	return []byte{byte(1 + s.pick(100))}
}

func (s *noteScript) expires() int64 {
	return []int64{0, s.w.now + minute, s.w.now + dayMillis, s.w.now + 20*dayMillis, s.w.now}[s.pick(5)]
}

func (s *noteScript) next() (Header, Command) {
	w, hash := s.w, s.hash()
	switch s.pick(14) {
	case 0, 1, 2, 3:
		if s.drawn++; s.pick(10) == 0 {
			s.drawn-- // one that is taken
		}
		hash := fmt.Sprintf("n%d", s.drawn)
		burn, cid := s.pick(3) > 0, s.cid()
		return Header{}, CreateNote{
			Hash: hash, Code: "c-" + hash, Account: s.account(), Title: "t", Language: "go", Privacy: Privacy(s.pick(3)), Burn: burn, CID: cid,
			Sealed: s.sealed(burn), Created: w.now, Expires: s.expires(), Receipts: w.proof(cid),
		}
	case 4, 5, 6:
		return Header{}, s.edit(hash)
	case 7:
		return Header{}, DeleteNote{Hash: hash, Account: s.account(), Admin: s.pick(4) == 0}
	case 8:
		return Header{}, ResealNote{Hash: hash, Revision: s.revision(hash), Sealed: s.sealed(true)}
	case 9:
		return Header{}, AddCounts{Notes: []ViewCount{{ID: hash, N: 1 + int64(s.pick(3))}, {ID: s.hash(), N: 1}}}
	}
	if len(s.burns) > 0 && s.pick(3) == 0 {
		again := s.burns[s.pick(len(s.burns))]
		return again.h, again.c
	}
	b := sentCommand{Header{ID: w.nextID()}, BurnNote{Hash: hash, Revision: s.revision(hash)}}
	s.burns = append(s.burns, b)
	return b.h, b.c
}

func (s *noteScript) edit(hash string) EditNote {
	c := EditNote{Hash: hash, Account: s.account(), Admin: s.pick(4) == 0}
	switch s.pick(4) {
	case 0:
		c.Title, c.Privacy = new("changed"), new(Privacy(s.pick(3)))
	case 1:
		c.Expires = new(s.expires())
	case 2:
		c.Expires = new(s.expires())
		fallthrough
	default:
		cid := s.cid()
		burn := s.m.notes[hash] != nil && s.m.notes[hash].Burn
		c.Content = &NoteContent{CID: cid, Sealed: s.sealed(burn != (s.pick(8) == 0)), Receipts: s.w.proof(cid)}
	}
	if s.pick(3) == 0 {
		c.Revision = s.revision(hash)
	}
	return c
}

// aside does what is no command on notes.
func (s *noteScript) aside() {
	w, m := s.w, s.m
	switch s.pick(7) {
	case 0, 1:
		w.now += []int64{1, minute, 16 * minute, dayMillis, 15 * dayMillis}[s.pick(5)]
		w.must(Tick{})
		m.time = w.now
	case 2:
		m.time = w.now
		w.sweep(1 + s.pick(3))
		m.sweep()
	case 3:
		m.keep = int64(s.pick(4)) * 10
		w.must(SetSettings{Patch: SettingsPatch{PasteWizard: &PasteWizardPatch{ExpiredKeepDays: &m.keep}}})
	case 4:
		account := s.account()
		m.quota[account] = int64(s.pick(3)) * 3500
		w.must(UpdateAccount{ID: account, QuotaBytes: new(m.quota[account])})
	case 5:
		cid, block := s.cid(), s.pick(2) == 0
		w.must(BlockContent{CID: cid, Block: block})
		m.time = w.now
		m.block(cid, block)
	case 6:
		cid := s.cid()
		w.must(Condemn{CIDs: []storage.CID{cid}})
		m.time = w.now
		m.condemn(cid)
	}
}

// The metadata of notes answers as the model foretells, holds what it holds, no
// note is burned for two (I9), and neither check nor audit finds anything.
func TestNoteModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		w, done := modelWorld(t, rt)
		defer done()
		s := newNoteScript(rt, w)
		m := s.m
		answers := map[RequestID]Result{}
		winners := map[string]RequestID{}
		for range rapid.IntRange(10, 120).Draw(rt, "steps") {
			if s.pick(4) == 0 {
				s.aside()
				continue
			}
			h, c := s.next()
			m.time = w.now
			_, remembered := w.f.remembered(h.ID)
			got := w.do(h, c)
			if remembered {
				equal(rt, "the same request", got, answers[h.ID])
				continue
			}
			answers[h.ID] = got
			want, code := m.do(h, c)
			switch {
			case got.Err != nil && got.Err.Code != code, got.Err == nil && code != "":
				rt.Fatalf("%T %+v: %+v, want %q", c, c, got, code)
			case got.Err == nil:
				equal(rt, fmt.Sprintf("%T %+v", c, c), got.Value, want)
			}
			if b, ok := got.Value.(Burn); ok && b.Won {
				if first, burned := winners[b.Note.Hash]; burned && first != h.ID {
					rt.Fatalf("%s is burned for %x and for %x", b.Note.Hash, first, h.ID)
				}
				winners[b.Note.Hash] = h.ID
			}
		}
		m.compare(t, rt, w)
	})
}

func (m *noteModel) compare(t *testing.T, rt *rapid.T, w *world) {
	t.Helper()
	m.time = w.f.Now()
	for hash := range m.issued {
		got, found, err := w.f.Note(hash)
		want := m.seen(hash)
		if err != nil || found != (want != nil) {
			rt.Fatalf("note %s is found: %t, %v; want %+v", hash, found, err, want)
		}
		if found {
			equal(rt, "note", got, *want)
			equal(rt, "forgotten", got.Forgotten(m.time, m.keep), m.told(hash) == nil)
		}
	}
	var sealed, wantSealed []string
	err := w.f.SealedNotes(func(n Note) error {
		sealed = append(sealed, n.Hash)
		return nil
	})
	if err != nil {
		rt.Fatal(err)
	}
	open := map[string]int64{}
	for _, n := range m.holding(nil) {
		open[n.Account]++
		if n.Burn {
			wantSealed = append(wantSealed, n.Hash)
		}
	}
	slices.Sort(wantSealed)
	equal(rt, "sealed", sealed, wantSealed)
	for _, id := range []string{"ann", "bob"} {
		a := w.account(id)
		equal(rt, "account "+id, []int64{a.UsedBytes, a.Notes}, []int64{m.used(id), open[id]})
	}
	due := w.condemnDue()
	slices.SortFunc(due, storage.CID.Compare)
	equal(rt, "due to be condemned", due, m.due())
	counts := w.f.Counts()
	equal(rt, "counts", []int64{counts.Notes, counts.References}, []int64{int64(len(m.notes)), int64(len(m.holding(nil)))})
	if err := w.f.Check(t.Context(), func(problem string) { rt.Errorf("%s", problem) }); err != nil {
		rt.Fatal(err)
	}
	if _, err := w.f.Audit(t.Context()); err != nil {
		rt.Error(err)
	}
}

// One log gives one state, however its entries are batched, and whether a
// snapshot stands in for its beginning.
func TestNoteDeterminism(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		w, done := modelWorld(t, rt)
		defer done()
		s := newNoteScript(rt, w)
		for range rapid.IntRange(5, 60).Draw(rt, "steps") {
			if s.pick(4) == 0 {
				s.aside()
				continue
			}
			h, c := s.next()
			s.m.time = w.now
			w.do(h, c)
			s.m.do(h, c)
			if s.pick(8) == 0 {
				w.must(s.other())
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

// other is a command on tokens or sessions, or a sweep that stops early.
func (s *noteScript) other() Command {
	s.drawn++
	n := byte(s.drawn)
	switch s.pick(3) {
	case 0:
		return s.w.newToken(s.account(), n)
	case 1:
		return CloseSession{Hash: secret(n)}
	}
	return Sweep{Limit: 1 + s.pick(3)}
}
