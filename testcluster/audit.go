package testcluster

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"ringbin/storage"
)

// graceMost is how long bytes that nothing refers to may lie on a disk, by
// DESIGN 9.
const graceMost = 24 * time.Hour

// Audit is what the audits at the end of a run found. What must not be is a
// failure of the test as well.
type Audit struct {
	Journalled    int   `json:"journalled"` // lines of the journal
	Blobs         int   `json:"blobs"`      // acknowledged and not deleted
	Lost          int   `json:"lost"`       // of them, through any node
	LostWithout   int   `json:"lost_without"`
	Entries       int   `json:"ledger_entries"`
	DoubleCharges int   `json:"double_charges"`
	LostCharges   int   `json:"lost_charges"` // acknowledged, and not in the ledger
	Copies        int   `json:"copies"`
	Garbage       int   `json:"garbage"`      // copies that nothing refers to, in grace
	GarbageLate   int   `json:"garbage_late"` // likewise, out of grace
	GarbageBytes  int64 `json:"garbage_bytes"`
}

// Audit holds a cluster that is whole and quiet to what the workload's journal
// says.
func (w *Workload) Audit() Audit {
	w.c.tb.Helper()
	lines, err := w.c.journal.read()
	if err != nil {
		w.c.tb.Fatalf("journal: %v", err)
	}
	a := Audit{Journalled: len(lines)}
	w.auditLedger(&a, lines)
	w.auditGarbage(&a)
	w.auditDurability(&a, lines)
	w.c.checkSecrets()
	return a
}

// durable returns what was acknowledged and can't have been deleted.
func (w *Workload) durable(lines []Acknowledged) []storage.CID {
	registers := w.registers()
	seen := map[storage.CID]bool{}
	var cids []storage.CID
	for _, l := range lines {
		if l.What == "upload" && !registers[l.CID] && !seen[l.CID] {
			seen[l.CID] = true
			cids = append(cids, l.CID)
		}
	}
	return cids
}

// auditDurability reads each content from each node, whole, and hashes it (I1,
// I2); and again with R - W of the nodes stopped, each in its turn (I17).
func (w *Workload) auditDurability(a *Audit, lines []Acknowledged) {
	w.c.tb.Helper()
	cids := w.durable(lines)
	a.Blobs = len(cids)
	a.Lost = w.readAll(cids, "")
	if w.c.Len() < 3 {
		return
	}
	for i := range w.c.nodes {
		if w.c.gone(i) {
			continue
		}
		w.c.Kill(i)
		w.c.WaitLeader()
		a.LostWithout += w.readAll(sample(cids, withoutMost), fmt.Sprintf(" with node %d stopped", i))
		w.c.Restart(i)
		w.c.WaitReady()
	}
}

// withoutMost is how many contents are read again with each of the nodes
// stopped: all of a short run, evenly spread over a long one.
const withoutMost = 1500

func sample(cids []storage.CID, n int) []storage.CID {
	if len(cids) <= n {
		return cids
	}
	some := make([]storage.CID, 0, n)
	for i := range n {
		some = append(some, cids[i*len(cids)/n])
	}
	return some
}

func (w *Workload) readAll(cids []storage.CID, how string) (lost int) {
	w.c.tb.Helper()
	var g errgroup.Group
	g.SetLimit(checksAtOnce)
	bad := make([]bool, len(cids))
	for i := range w.c.nodes {
		if w.c.running(i) == nil {
			continue
		}
		for j, cid := range cids {
			g.Go(func() error {
				if err := w.c.persist(func() error { _, err := w.c.Client(i, "").Get(cid); return err }); err != nil {
					bad[j] = true // one node at a time: no two of these write the same
					return fmt.Errorf("I1: acknowledged %s through node %d%s: %w", cid, i, how, err)
				}
				return nil
			})
		}
		if err := g.Wait(); err != nil {
			w.c.tb.Error(err)
		}
	}
	for _, b := range bad {
		if b {
			lost++
		}
	}
	return lost
}

// persist asks again for a moment: an election may be under way.
func (c *Cluster) persist(ask func() error) error {
	err := ask()
	for until := time.Now().Add(leaderWait); err != nil && time.Now().Before(until); err = ask() {
		time.Sleep(pollEvery)
	}
	return err
}

// entry is one line of an account's history.
type entry struct {
	ID     string
	Type   string
	Amount int64  `json:"amount_cents"`
	After  int64  `json:"balance_after_cents"`
	CID    string `json:"cid"`
}

// historyOf reads an account's history whole, the oldest entry first.
func (c *Cluster) historyOf(i int, key string) ([]entry, error) {
	var all []entry
	for cursor := ""; ; {
		a, err := c.Client(i, key).Do(http.MethodGet, "/api/balance/history?limit=100&cursor="+url.QueryEscape(cursor), nil, nil)
		if err != nil {
			return nil, err
		}
		var page struct {
			Entries []entry
			Next    *string `json:"next_cursor"`
		}
		if err := a.JSON(&page); err != nil || a.Status != http.StatusOK {
			return nil, fmt.Errorf("history: %d %s", a.Status, a.Body)
		}
		all = append(all, page.Entries...)
		if page.Next == nil {
			slices.Reverse(all)
			return all, nil
		}
		cursor = *page.Next
	}
}

// kinds of ledger entries, by what a client asked for.
var entryOf = map[string]string{"upload": "upload_payment", "extend": "cid_extension", "deposit": "deposit"}

// auditLedger joins the ledger with the journal: each acknowledged operation
// that cost something has exactly one entry, each whose outcome the client
// never learnt none or one, and there is no other entry (I5-I8). All nodes tell
// the same.
func (w *Workload) auditLedger(a *Audit, lines []Acknowledged) {
	w.c.tb.Helper()
	ctx, cancel := auditContext()
	defer cancel()
	for i := range w.c.nodes {
		if n := w.c.running(i); n != nil {
			if _, err := n.Audit(ctx); err != nil {
				w.c.tb.Errorf("I5: node %d: %v", i, err)
			}
		}
	}
	byAccount := map[string][]Acknowledged{}
	for _, l := range lines {
		byAccount[l.Account] = append(byAccount[l.Account], l)
	}
	given := w.given()
	for id, key := range w.customers() {
		var first []entry
		for i := range w.c.nodes {
			if w.c.running(i) == nil {
				continue
			}
			var entries []entry
			err := w.c.persist(func() (err error) { entries, err = w.c.historyOf(i, key); return err })
			switch {
			case err != nil:
				w.c.tb.Errorf("account %s through node %d: %v", id, i, err)
			case first == nil:
				first = entries
				w.join(a, id, entries, byAccount[id], given[id])
			case !slices.Equal(first, entries):
				w.c.tb.Errorf("I10: account %s has another history through node %d", id, i)
			}
		}
	}
}

// bill is what entries of one kind for one content should be.
type bill struct{ kind, cid string }

// join compares one account's entries with what its client knows.
func (w *Workload) join(a *Audit, id string, entries []entry, lines []Acknowledged, given []attempt) {
	w.c.tb.Helper()
	a.Entries += len(entries)
	paid, deposits := map[bill]int{}, map[string]int64{}
	balance := int64(0)
	for i, e := range entries {
		balance += e.Amount
		if e.After != balance || balance < 0 {
			w.c.tb.Errorf("I5, I6: account %s: entry %d, %s, leaves %d, and they add up to %d", id, i, e.ID, e.After, balance)
		}
		if e.Type == "deposit" {
			deposits[e.ID] = e.Amount
			continue
		}
		paid[bill{e.Type, e.CID}]++
	}
	owed, open := map[bill]int{}, map[bill]int{}
	depositsOpen := 1 // the opening balance
	for _, g := range given {
		if g.what == "deposit" {
			depositsOpen++
			continue
		}
		open[bill{entryOf[g.what], g.cid.String()}]++
	}
	for _, l := range lines {
		switch {
		case l.What == "deposit":
			if deposits[l.Entry] != l.Cents {
				a.LostCharges++
				w.c.tb.Errorf("I8: account %s: deposit %s of %d cents is in the ledger with %d", id, l.Idem, l.Cents, deposits[l.Entry])
			}
			delete(deposits, l.Entry)
		case l.Cents > 0:
			owed[bill{entryOf[l.What], l.CID.String()}]++
		}
	}
	if len(deposits) > depositsOpen {
		a.DoubleCharges += len(deposits) - depositsOpen
		w.c.tb.Errorf("I8: account %s: %d deposits that nobody made", id, len(deposits)-depositsOpen)
	}
	for b, n := range paid {
		if most := owed[b] + open[b]; n > most {
			a.DoubleCharges += n - most
			w.c.tb.Errorf("I7, I8: account %s: %d times %s for %s, and %d acknowledged", id, n, b.kind, b.cid, owed[b])
		}
	}
	for b, n := range owed {
		if paid[b] < n {
			a.LostCharges += n - paid[b]
			w.c.tb.Errorf("I7: account %s: %d times %s for %s, and %d acknowledged", id, paid[b], b.kind, b.cid, n)
		}
	}
}

// auditGarbage holds each disk to what is on it: what the catalogue names and
// the ring gives to the node, and beside that only what is in its grace (I13).
func (w *Workload) auditGarbage(a *Audit) {
	w.c.tb.Helper()
	for i := range w.c.nodes {
		n := w.c.running(i)
		if n == nil {
			continue
		}
		cur, next := n.Rings()
		live := map[storage.CID]bool{}
		err := pages(func(after *storage.CID) ([]storage.CID, error) { return n.Catalogued(after, auditPage) }, func(cid storage.CID) {
			live[cid] = cur.Owns(n.ID(), cid) || next != nil && next.Owns(n.ID(), cid)
		}, func(cid storage.CID) storage.CID { return cid })
		if err != nil {
			w.c.tb.Errorf("catalogue of node %d: %v", i, err)
		}
		held := map[storage.CID]bool{}
		err = pages(func(after *storage.CID) ([]storage.BlobInfo, error) { return n.Held(after, auditPage) }, func(b storage.BlobInfo) {
			held[b.CID] = true
			a.Copies++
			if live[b.CID] {
				return
			}
			a.Garbage++
			a.GarbageBytes += b.CID.Size()
			if n.Now()-b.Time > graceMost.Milliseconds() {
				a.GarbageLate++
				w.c.tb.Errorf("I13: node %d keeps %s, which nothing refers to, since %v", i, b.CID, time.UnixMilli(b.Time))
			}
		}, func(b storage.BlobInfo) storage.CID { return b.CID })
		if err != nil {
			w.c.tb.Errorf("blobs of node %d: %v", i, err)
		}
		for cid, mine := range live {
			if mine && !held[cid] {
				w.c.tb.Errorf("I17: node %d owns %s and does not hold it", i, cid)
			}
		}
	}
}

const auditPage = 1000

// pages calls each with every item of a list that comes in pages.
func pages[T any](page func(after *storage.CID) ([]T, error), each func(T), cidOf func(T) storage.CID) error {
	var after *storage.CID
	for {
		items, err := page(after)
		if err != nil {
			return err
		}
		for _, it := range items {
			each(it)
		}
		if len(items) < auditPage {
			return nil
		}
		last := cidOf(items[len(items)-1])
		after = &last
	}
}
