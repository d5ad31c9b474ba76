package testcluster

import (
	"context"
	"os"
	"sync"
	"time"

	"ringbin/storage"
)

// journal is what clients were told, kept outside the cluster.
type journal struct {
	mu       sync.Mutex // protects accounts
	accounts map[string]*journalAccount
	excused  map[storage.CID]bool // lost, as the test means it to be

	path   string
	fileMu sync.Mutex // a line is written whole
	file   *os.File   // nil: none is kept
}

// journalAccount is one account as its client knows it, by key.
type journalAccount struct {
	id      string
	opening int64
	uploads map[string]*journalUpload // by Idempotency-Key
}

type journalUpload struct {
	cid   storage.CID
	days  int
	acked *Upload // nil: the outcome is not known
}

func newJournal() *journal {
	return &journal{accounts: map[string]*journalAccount{}, excused: map[storage.CID]bool{}}
}

func (j *journal) account(id, key string, opening int64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.accounts[key] = &journalAccount{id: id, opening: opening, uploads: map[string]*journalUpload{}}
}

func (j *journal) tried(key, idem string, cid storage.CID, days int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if a := j.accounts[key]; a != nil && a.uploads[idem] == nil {
		a.uploads[idem] = &journalUpload{cid: cid, days: days}
	}
}

func (j *journal) acknowledged(key, idem string, u Upload) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if a := j.accounts[key]; a != nil && a.uploads[idem] != nil {
		a.uploads[idem].acked = &u
	}
}

// acked returns the distinct CIDs that were acknowledged and last beyond a time.
func (j *journal) acked(now time.Time) []storage.CID {
	j.mu.Lock()
	defer j.mu.Unlock()
	seen := map[storage.CID]bool{}
	var cids []storage.CID
	for _, a := range j.accounts {
		for _, u := range a.uploads {
			if u.acked != nil && !seen[u.cid] && !j.excused[u.cid] && u.acked.Expiration.After(now) {
				seen[u.cid] = true
				cids = append(cids, u.cid)
			}
		}
	}
	return cids
}

// ForgetAccount leaves an account out of the oracles: its owner knows more of it than
// the journal does.
func (c *Cluster) ForgetAccount(key string) {
	c.journal.mu.Lock()
	defer c.journal.mu.Unlock()
	delete(c.journal.accounts, key)
}

// spent returns the least and the most that an account can have been charged.
func (a *journalAccount) spent(price func(u *journalUpload) int64) (least, most int64) {
	for _, u := range a.uploads {
		if u.acked != nil {
			least += u.acked.CostCents
			most += u.acked.CostCents
			continue
		}
		most += price(u)
	}
	return least, most
}

// Check runs the oracles now: it heals the network, restarts who is down, and
// holds the cluster to its word.
func (c *Cluster) Check() {
	c.tb.Helper()
	c.Heal()
	for i := range c.nodes {
		c.Restart(i)
	}
	c.WaitReady()
	c.WaitConverged()
	c.checkContent()
	c.checkLedger()
}

// checkContent reads every acknowledged blob through every node (I1, I2).
func (c *Cluster) checkContent() {
	c.tb.Helper()
	for _, cid := range c.journal.acked(c.latestClock()) {
		for i := range c.nodes {
			if c.gone(i) {
				continue
			}
			if _, err := c.Client(i, "").Get(cid); err != nil {
				c.tb.Errorf("I1: acknowledged %s through node %d: %v", cid, i, err)
			}
		}
	}
}

// checkLedger audits every node's ledger and joins it with the journal: each
// balance is what the acknowledged uploads cost, give or take those whose
// outcome the client never learnt (I5-I8).
func (c *Cluster) checkLedger() {
	c.tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), convergeWait)
	defer cancel()
	for i := range c.nodes {
		if c.gone(i) {
			continue
		}
		if _, err := c.Node(i).Audit(ctx); err != nil {
			c.tb.Errorf("I5: node %d: %v", i, err)
		}
	}
	c.journal.mu.Lock()
	defer c.journal.mu.Unlock()
	quoting := c.Node(c.anyRunning()).Service()
	for key, a := range c.journal.accounts {
		least, most := a.spent(func(u *journalUpload) int64 { return quoting.Quote(u.cid.Size(), u.days) })
		for i := range c.nodes {
			if c.gone(i) {
				continue
			}
			balance, err := c.Client(i, key).Balance()
			if err != nil {
				c.tb.Errorf("balance through node %d: %v", i, err)
				continue
			}
			if balance < a.opening-most || balance > a.opening-least {
				c.tb.Errorf("I7, I8: account %s through node %d has %d cents: opened with %d, charged %d to %d", a.id, i, balance, a.opening, least, most)
			}
		}
	}
}
