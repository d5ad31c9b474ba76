package testcluster

import (
	"context"
	"path/filepath"

	"ringbin/api"
	"ringbin/node"
	"ringbin/storage"
)

// What operators do to nodes that do not run, and to clusters that lost some.

// DataDir is a node's directory.
func (c *Cluster) DataDir(i int) string { return c.nodes[i].cfg.DataDir }

// Lose kills a node that never comes back as a member. Its disk stays where it is.
func (c *Cluster) Lose(i int) {
	c.tb.Helper()
	c.Kill(i)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.nodes[i].gone = true
}

// Resurrect starts a lost node on the disk that it had. It is the caller's to close.
func (c *Cluster) Resurrect(i int) *node.Node {
	c.tb.Helper()
	c.ground.opening(i, &c.nodes[i].cfg)
	n, err := node.Open(context.Background(), c.nodes[i].cfg, api.New)
	if err != nil {
		c.tb.Fatalf("node %d: %v", i, err)
	}
	return n
}

// JoinThrough starts one more node, which joins through another one, and
// returns its index. With a directory that is not "" it starts on that.
func (c *Cluster) JoinThrough(through int, dir string) int {
	c.tb.Helper()
	i := len(c.nodes)
	m := &member{cfg: c.config(i, 0)}
	m.cfg.Join = []string{c.nodes[through].cfg.RPC}
	if dir != "" {
		m.cfg.DataDir = dir
	}
	m.cfg.DataDir = filepath.Clean(m.cfg.DataDir)
	c.mu.Lock()
	c.nodes = append(c.nodes, m)
	c.mu.Unlock()
	c.open(i)
	return i
}

// Excuse tells the oracles that content is lost, and that the test meant it to be.
func (c *Cluster) Excuse(cid storage.CID) {
	c.journal.mu.Lock()
	defer c.journal.mu.Unlock()
	c.journal.excused[cid] = true
}
