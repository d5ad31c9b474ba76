package meta

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"pgregory.net/rapid"
)

// modelPastes is the part of the model that pastes, short links, their counts
// and key requests are in.
type modelPastes struct {
	pastes  map[string]*Paste
	links   map[string]*Link
	issued  map[string]bool
	days    map[modelDay]*LinkDay
	visited map[modelVisitor]bool
	salts   map[int32]Salt
	pending map[[32]byte]RequestKey // by token

	ends map[modelEnd]int // what waits in the queue of all that ends -> how many rows go with it
}

type modelDay struct {
	link string
	day  int32
}

type modelVisitor struct {
	modelDay
	hash [8]byte
}

// modelEnd names something that ends. Its id is a day's number, or a token's first byte, or a link's id.
type modelEnd struct {
	at  int64
	end byte
	id  string
}

func newModelPastes() modelPastes {
	return modelPastes{
		pastes: map[string]*Paste{}, links: map[string]*Link{}, issued: map[string]bool{}, days: map[modelDay]*LinkDay{},
		visited: map[modelVisitor]bool{}, salts: map[int32]Salt{}, pending: map[[32]byte]RequestKey{}, ends: map[modelEnd]int{},
	}
}

func (m *model) carryOutPaste(c Command) modelAnswer {
	switch c := c.(type) {
	case CreatePaste:
		return m.createPaste(c)
	case DeletePaste:
		p := m.livePaste(c.ID)
		if p == nil {
			return modelAnswer{code: "not_found"}
		}
		m.drop(modelRef{p.CID, refPaste, p.ID})
		return modelAnswer{value: *p}
	case SetPasteExpiry:
		p := m.livePaste(c.ID)
		switch {
		case p == nil || m.blob(p.CID).blocked:
			return modelAnswer{code: "not_found"}
		case !m.ahead(c.Expires):
			return modelAnswer{code: "expiry_not_future"}
		}
		p.Expires = c.Expires
		m.refs[modelRef{p.CID, refPaste, p.ID}] = p.record()
		return modelAnswer{value: *p}
	case CreateLink:
		return m.createLink(c)
	case DeleteLink:
		l := m.liveLink(c.ID)
		if l == nil {
			return modelAnswer{code: "not_found"}
		}
		m.dropLink(l)
		return modelAnswer{value: *l}
	case SetLinkExpiry:
		l := m.liveLink(c.ID)
		switch {
		case l == nil:
			return modelAnswer{code: "not_found"}
		case !m.ahead(c.Expires):
			return modelAnswer{code: "expiry_not_future"}
		}
		delete(m.ends, modelEnd{l.Expires, endOfLink, l.ID})
		l.Expires = c.Expires
		m.await(l.Expires, endOfLink, l.ID, 1)
		return modelAnswer{value: *l}
	case AddCounts:
		m.addCounts(c)
		return modelAnswer{value: none{}}
	case SetSalt:
		return m.setSalt(c)
	case RequestKey:
		return m.requestKey(c)
	case RedeemToken:
		return m.redeem(c)
	}
	panic(fmt.Sprintf("the model knows no %T", c))
}

func (m *model) ahead(expires int64) bool { return expires == 0 || expires > m.time }

func (m *model) await(at int64, end byte, id string, rows int) {
	if at != 0 {
		m.ends[modelEnd{at, end, id}] = rows
	}
}

func (m *model) livePaste(id string) *Paste {
	if p := m.pastes[id]; p != nil && m.ahead(p.Expires) {
		return p
	}
	return nil
}

func (m *model) liveLink(id string) *Link {
	if l := m.links[id]; l != nil && m.ahead(l.Expires) {
		return l
	}
	return nil
}

func (m *model) createPaste(c CreatePaste) modelAnswer {
	quota := m.settings.AnonymousQuotaBytes
	if a := m.accounts[c.Account]; a != nil {
		quota = a.quota
	}
	switch {
	case m.issued[c.ID]:
		return modelAnswer{code: "id_taken"}
	case !m.ahead(c.Expires):
		return modelAnswer{code: "expiry_not_future"}
	case c.Account != anonymous && m.accounts[c.Account] == nil:
		return modelAnswer{code: "not_found"}
	case m.blob(c.CID).blocked:
		return modelAnswer{code: "content_blocked"}
	case !m.proved(c.CID, c.Receipts):
		return modelAnswer{code: "not_enough_replicas"}
	case quota > 0 && stored(c.CID) > 0 && *m.used(c.Account)+stored(c.CID) > quota:
		return modelAnswer{code: "insufficient_storage"}
	}
	m.issued[c.ID] = true
	p := &Paste{ID: c.ID, CID: c.CID, Account: c.Account, Created: c.Created, Expires: c.Expires}
	m.pastes[c.ID] = p
	m.refs[modelRef{c.CID, refPaste, c.ID}] = p.record()
	*m.used(c.Account) += stored(c.CID)
	if a := m.accounts[c.Account]; a != nil {
		a.pastes++
	}
	b := m.seen(c.CID)
	b.dead, b.buried = 0, 0
	return modelAnswer{value: *p}
}

// forgetPaste drops a paste, and returns who owned it.
func (m *model) forgetPaste(id string) string {
	account := m.pastes[id].Account
	if a := m.accounts[account]; a != nil {
		a.pastes--
	}
	delete(m.pastes, id)
	return account
}

func (m *model) createLink(c CreateLink) modelAnswer {
	a := m.accounts[c.Account]
	switch {
	case m.issued[c.ID]:
		return modelAnswer{code: "id_taken"}
	case !m.ahead(c.Expires):
		return modelAnswer{code: "expiry_not_future"}
	case a == nil:
		return modelAnswer{code: "not_found"}
	}
	m.issued[c.ID] = true
	a.links++
	l := &Link{ID: c.ID, Account: c.Account, Created: c.Created, Expires: c.Expires}
	m.links[c.ID] = l
	m.await(l.Expires, endOfLink, l.ID, 1)
	return modelAnswer{value: *l}
}

func (m *model) dropLink(l *Link) {
	m.accounts[l.Account].links--
	delete(m.links, l.ID)
	delete(m.ends, modelEnd{l.Expires, endOfLink, l.ID})
	rows := 0
	for k, d := range m.days {
		if k.link == l.ID {
			rows += 1 + len(d.Referrers) + len(d.Browsers)
			delete(m.days, k)
		}
	}
	if rows > 0 {
		m.await(m.time, endOfClicks, l.ID, rows)
	}
}

func (m *model) addCounts(c AddCounts) {
	for _, v := range c.Views {
		if p := m.livePaste(v.ID); p != nil {
			p.Views += v.N
		}
	}
	today := m.time / dayMillis
	for _, k := range c.Clicks {
		l := m.liveLink(k.ID)
		if l == nil || int64(k.Day) > today+1 {
			continue
		}
		at := modelDay{k.ID, k.Day}
		d := m.days[at]
		if d == nil {
			d = &LinkDay{Day: k.Day, Referrers: map[string]int64{}, Countries: map[string]int64{}, Browsers: map[string]int64{}}
			m.days[at] = d
		}
		d.Clicks, l.Clicks, l.LastClick = d.Clicks+k.N, l.Clicks+k.N, max(l.LastClick, k.Last)
		for name, n := range k.Referrers {
			d.Referrers[name] += n
		}
		for name, n := range k.Browsers {
			d.Browsers[name] += n
		}
		if today >= int64(k.Day)+2 {
			continue
		}
		for _, v := range k.Visitors {
			if !m.visited[modelVisitor{at, v}] {
				m.visited[modelVisitor{at, v}] = true
				d.Visitors++
				m.erasable(k.Day)
			}
		}
	}
}

// erasable has one row more of a day to be erased.
func (m *model) erasable(day int32) {
	end := modelEnd{(int64(day) + 2) * dayMillis, endOfDay, fmt.Sprintf("%09d", day)}
	m.ends[end]++
}

func (m *model) setSalt(c SetSalt) modelAnswer {
	today := m.time / dayMillis
	if int64(c.Day) > today+1 || int64(c.Day)+2 <= today {
		return modelAnswer{code: "invalid_parameter"}
	}
	if s, ok := m.salts[c.Day]; ok {
		return modelAnswer{value: s}
	}
	m.salts[c.Day] = Salt(c)
	m.erasable(c.Day)
	return modelAnswer{value: Salt(c)}
}

func (m *model) requestKey(c RequestKey) modelAnswer {
	if c.Expires <= m.time || c.Expires > m.time+7*dayMillis {
		return modelAnswer{code: "invalid_parameter"}
	}
	if old, taken := m.pending[c.Token]; taken && !strings.EqualFold(old.Email, c.Email) {
		return modelAnswer{code: "id_taken"}
	}
	for token, old := range m.pending {
		if strings.EqualFold(old.Email, c.Email) {
			m.dropRequest(token)
		}
	}
	m.pending[c.Token] = c
	m.await(c.Expires, endOfKeyRequest, string(c.Token[:]), 1)
	return modelAnswer{value: none{}}
}

func (m *model) dropRequest(token [32]byte) {
	delete(m.ends, modelEnd{m.pending[token].Expires, endOfKeyRequest, string(token[:])})
	delete(m.pending, token)
}

func (m *model) redeem(c RedeemToken) modelAnswer {
	r, ok := m.pending[c.Token]
	if !ok || r.Expires <= m.time {
		return modelAnswer{code: "not_found"}
	}
	id := strings.ToLower(r.Email[:4]) // the address tells the account
	a := m.accounts[id]
	switch {
	case a != nil && a.disabled:
		return modelAnswer{code: "account_disabled"}
	case a == nil && m.accounts[c.Account] != nil, m.keys[c.KeyID] != nil:
		return modelAnswer{code: "id_taken"}
	case a == nil && c.Account != id: // the script does not send these
		panic("an account with another's address")
	}
	if a == nil {
		m.accounts[id] = &modelAccount{}
	}
	m.keys[c.KeyID] = &modelKey{account: id}
	m.dropRequest(c.Token)
	return modelAnswer{}
}

// due are those that have ended, the longest over first.
func (m *model) due() (due []modelEnd) {
	for e := range m.ends {
		if e.at <= m.time {
			due = append(due, e)
		}
	}
	slices.SortFunc(due, func(a, b modelEnd) int {
		return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.end, b.end), cmp.Compare(a.id, b.id))
	})
	return due
}

// sweepOthers removes up to limit rows of what has ended; what is more than rows
// of its own goes with the last one.
func (m *model) sweepOthers(limit int) (removed int) {
	for _, e := range m.due() {
		if removed == limit {
			break
		}
		switch e.end {
		case endOfLink:
			m.dropLink(m.links[e.id])
			removed++
			continue
		case endOfKeyRequest:
			m.dropRequest([32]byte([]byte(e.id)))
			removed++
			continue
		}
		n := min(m.ends[e], limit-removed)
		if m.ends[e] -= n; removed+n < limit {
			delete(m.ends, e)
			n++
		}
		removed += n
	}
	return removed
}

// newer returns one of the last ids that were drawn, and now and then a new one
// or one that is none.
func (s *script) newer(sort string, drawn *int, fresh bool) string {
	if fresh {
		*drawn++
		return fmt.Sprintf("%s%d", sort, *drawn-s.pick(2)*s.pick(2))
	}
	return fmt.Sprintf("%s%d", sort, *drawn-s.pick(4))
}

// pasteCommand draws one of the commands of pastes, short links and key requests.
func (s *script) pasteCommand(account string) Command {
	paste, link := s.newer("paste", &s.pastes, false), s.newer("link", &s.links, false)
	expires := []int64{0, s.w.now + 20*dayMillis, s.w.now + 60*dayMillis, s.w.now + dayMillis, s.w.now + 1000, s.w.now - 1}[s.pick(6)]
	switch s.pick(18) {
	case 0:
		return DeletePaste{ID: paste}
	case 1:
		return SetPasteExpiry{ID: paste, Expires: expires}
	case 2, 3, 12:
		return CreateLink{ID: s.newer("link", &s.links, true), Account: account, Created: s.w.now, Expires: expires}
	case 4:
		return DeleteLink{ID: link}
	case 5:
		return SetLinkExpiry{ID: link, Expires: expires}
	case 6, 7, 13:
		return s.counts(paste, link)
	case 8:
		return SetSalt{Day: s.day(), Salt: [32]byte{byte(s.pick(3))}}
	case 9:
		s.token = byte(s.pick(4))
		return RequestKey{
			Email: fmt.Sprintf("%s%d@example.org", []string{"acc", "Acc"}[s.pick(2)], s.pick(4)), Token: [32]byte{s.token},
			Expires: s.w.now + []int64{7 * dayMillis, dayMillis, 0, 8 * dayMillis}[s.pick(4)],
		}
	case 10:
		return s.redeem()
	}
	c := CreatePaste{ID: s.newer("paste", &s.pastes, true), Account: account, CID: s.cid(), Created: s.w.now, Expires: expires}
	c.Receipts = s.receipts(c.CID)
	return c
}

func (s *script) day() int32 { return dayOf(s.w.now) - 2 + int32(s.pick(5)) }

func (s *script) counts(paste, link string) AddCounts {
	k := ClickCount{ID: link, Day: s.day(), N: int64(1 + s.pick(3)), Last: s.w.now}
	for range s.pick(4) {
		k.Visitors = append(k.Visitors, visitor(s.pick(4)))
	}
	k.Referrers = map[string]int64{}
	for range s.pick(3) {
		k.Referrers[fmt.Sprint(s.pick(3))]++
	}
	k.Browsers = map[string]int64{fmt.Sprint(s.pick(2)): k.N}
	return AddCounts{Views: []ViewCount{{ID: paste, N: int64(1 + s.pick(3))}}, Clicks: []ClickCount{k}}
}

// redeem is a token with the account that the address will make it.
func (s *script) redeem() RedeemToken {
	n := s.pick(3) + 3
	c := RedeemToken{Token: [32]byte{s.token}, Account: "acc0", KeyID: fmt.Sprintf("key%d", n), KeyHash: [32]byte{byte(n)}, API: "paste69"}
	if r, found, err := s.w.f.PendingKey(c.Token, s.w.f.Now()); err == nil && found {
		c.Account = strings.ToLower(r.Email[:4])
	}
	return c
}

// comparePastes holds what the metadata has of all this against the model's.
func (m *model) comparePastes(rt *rapid.T, w *world) {
	now := w.f.Now()
	for id := range m.issued {
		got, found, err := w.f.Paste(id, now)
		p := m.livePaste(id)
		if err != nil || found != (p != nil && !m.blob(p.CID).blocked) {
			rt.Errorf("paste %s is found: %t, %v", id, found, err)
		}
		if found {
			equal(rt, "paste", got, *p)
		}
		link, found, err := w.f.Link(id, now)
		l := m.liveLink(id)
		if err != nil || found != (l != nil) {
			rt.Errorf("short link %s is found: %t, %v", id, found, err)
		}
		if found {
			equal(rt, "short link", link, *l)
		}
		days, err := w.f.LinkDays(id, 0, 1<<30)
		if err != nil {
			rt.Error(err)
		}
		var want []LinkDay
		for k, d := range m.days {
			if k.link == id {
				want = append(want, *d)
			}
		}
		slices.SortFunc(want, func(a, b LinkDay) int { return cmp.Compare(a.Day, b.Day) })
		equal(rt, "days of "+id, days, want)
	}
	for token, r := range m.pending {
		if _, found, err := w.f.PendingKey(token, now); err != nil || found != (r.Expires > now) {
			rt.Errorf("request %+v is found: %t, %v", r, found, err)
		}
	}
	counts := w.f.Counts()
	equal(rt, "counts", []int64{counts.Pastes, counts.Links, counts.KeyRequests}, []int64{int64(len(m.pastes)), int64(len(m.links)), int64(len(m.pending))})
	equal(rt, "sweep due", w.f.SweepDue(now), len(m.due()) > 0 || m.expired())
	rows := 0
	for _, n := range m.ends {
		rows += min(n, 0)
	}
	equal(rt, "rows below none", rows, 0)
	equal(rt, "the queue of ends", w.rows(tableDue), len(m.ends))
}

func (m *model) expired() bool {
	for _, r := range m.refs {
		if r.Expires <= m.time {
			return true
		}
	}
	return false
}
