package testcluster

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"ringbin/node"
	"ringbin/storage"
)

// Delete removes the reference of this client's account, and notes that the
// content need not be readable on its account any more, whatever came of it.
func (cl *Client) Delete(cid storage.CID) error {
	cl.c.journal.forget(cl.Key, cid)
	a, err := cl.Do(http.MethodDelete, "/api/content/"+cid.String(), map[string]string{"Idempotency-Key": randomName()}, nil)
	if err == nil && a.Status != http.StatusOK {
		err = fmt.Errorf("delete: %d %s", a.Status, a.Body)
	}
	return err
}

// forget takes back what was promised of content to one key: what it cost stays.
func (j *journal) forget(key string, cid storage.CID) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if a := j.accounts[key]; a != nil {
		for _, u := range a.uploads {
			if u.cid == cid && u.acked != nil {
				u.acked.Expiration = time.Time{}
			}
		}
	}
}

// SetGrace changes the grace of deletion.
func (c *Cluster) SetGrace(d time.Duration) {
	c.tb.Helper()
	var s node.Settings
	body := fmt.Sprintf(`{"deletion_grace_seconds":%d}`, int64(d.Seconds()))
	c.mustJSON(c.Operator(c.anyRunning()), http.MethodPatch, "/api/admin/settings", body, http.StatusOK, &s)
}

// WaitCollected returns once the bytes on all running nodes are what is live and
// nothing else, and the live content is on all its owners: the audit for
// garbage. The grace has to be short, and nothing may change meanwhile.
func (c *Cluster) WaitCollected(live ...storage.CID) {
	c.tb.Helper()
	live = slices.Clone(live)
	slices.SortFunc(live, storage.CID.Compare)
	deadline := time.Now().Add(convergeWait)
	for {
		why := c.garbage(live)
		if why == "" {
			return
		}
		if time.Now().After(deadline) {
			c.tb.Fatalf("I13: garbage is left after %v: %s", convergeWait, why)
		}
		time.Sleep(pollEvery)
	}
}

// garbage says in what the nodes differ from what is live; "" when they do not.
func (c *Cluster) garbage(live []storage.CID) string {
	var why []string
	for i := range c.nodes {
		n := c.running(i)
		if n == nil {
			continue
		}
		h, err := n.Holdings(context.Background())
		if err != nil {
			return err.Error()
		}
		standings, err := n.Standings(live)
		if err != nil {
			return err.Error()
		}
		var own []storage.CID
		for k, st := range standings {
			if st.Owned {
				own = append(own, live[k])
			}
		}
		stats := n.StoreStats()
		if h.Waiting.Blobs+h.Grace.Blobs+h.Doomed.Blobs > 0 || !slices.Equal(h.Live.CIDs, own) ||
			stats.Counted && (stats.Blobs != h.Live.Blobs || stats.Bytes != h.Live.Bytes) {
			why = append(why, fmt.Sprintf("node %d has %d live copies of %d that it owns, %d dead ones, %d in their grace, %d to be erased; its store counts %+v",
				i, h.Live.Blobs, len(own), h.Waiting.Blobs, h.Grace.Blobs, h.Doomed.Blobs, stats))
		}
	}
	return strings.Join(why, "; ")
}

// Grow starts one more node, which joins the cluster, and returns its index.
func (c *Cluster) Grow() int {
	c.tb.Helper()
	i := len(c.nodes)
	cfg := c.config(i, 0)
	cfg.Join = []string{c.nodes[c.anyRunning()].cfg.RPC}
	c.nodes = append(c.nodes, &member{cfg: cfg})
	c.open(i)
	c.WaitReady()
	return i
}

// Forget notes that content need not be readable any more on account of a key.
func (c *Cluster) Forget(key string, cid storage.CID) { c.journal.forget(key, cid) }
