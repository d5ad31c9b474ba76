package testcluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"time"

	"ringbin/node"
)

// Join starts a node that Options.Later kept back.
func (c *Cluster) Join(i int) {
	c.tb.Helper()
	c.mu.Lock()
	c.nodes[i].gone = false
	c.mu.Unlock()
	c.open(i)
}

// Leave drains a node and returns once it has ended by itself, as it was told to.
func (c *Cluster) Leave(i int, force bool) {
	c.tb.Helper()
	c.AskToLeave(i, i, force)
	c.WaitLeft(i)
}

// AskToLeave asks through a node that another one, or itself, leaves.
func (c *Cluster) AskToLeave(i, through int, force bool) {
	c.tb.Helper()
	a, err := c.Operator(through).Do(http.MethodPost, "/api/admin/cluster/nodes/"+string(c.ID(i))+"/leave", nil, bytes.NewReader(fmt.Appendf(nil, `{"force":%t}`, force)))
	if err != nil || a.Status != http.StatusOK {
		c.tb.Fatalf("node %d is to leave: %v %d %s", i, err, a.Status, a.Body)
	}
}

// WaitLeft returns once a node that is to leave has ended, and closes it.
func (c *Cluster) WaitLeft(i int) {
	c.tb.Helper()
	select {
	case err := <-c.Node(i).Failed():
		if !errors.Is(err, node.ErrLeft) {
			c.tb.Fatalf("node %d ends with %v", i, err)
		}
	case <-time.After(convergeWait):
		c.tb.Fatalf("node %d has not left within %v", i, convergeWait)
	}
	c.Gone(i)
}

// Gone closes a node that ended as it had to: nobody starts it again.
func (c *Cluster) Gone(i int) {
	c.tb.Helper()
	c.mu.Lock()
	c.nodes[i].gone = true
	c.mu.Unlock()
	c.Stop(i)
}

// HoldMoves drops the ring change under way and holds others back, or lets them go on.
func (c *Cluster) HoldMoves(through int, hold bool) {
	c.tb.Helper()
	// Asked again as often as nobody knows what came of it: saying it twice does no harm.
	c.WaitFor(fmt.Sprintf("word of holding moves: %t", hold), func() bool {
		a, err := c.Operator(through).Do(http.MethodPost, "/api/admin/cluster/moves", nil, bytes.NewReader(fmt.Appendf(nil, `{"hold":%t}`, hold)))
		return err == nil && a.Status == http.StatusOK
	})
}

// Wipe takes all data from a node that is down. Started again, it is a new node
// under its old name and address.
func (c *Cluster) Wipe(i int) {
	c.tb.Helper()
	if c.running(i) != nil {
		c.tb.Fatalf("node %d is running", i)
	}
	if err := os.RemoveAll(c.nodes[i].cfg.DataDir); err != nil {
		c.tb.Fatal(err)
	}
}

// Status is the cluster as a node sees it.
func (c *Cluster) Status(through int) node.ClusterStatus {
	c.tb.Helper()
	var s node.ClusterStatus
	a, err := c.Operator(through).Do(http.MethodGet, "/api/admin/cluster", nil, nil)
	if err == nil && a.Status != http.StatusOK {
		err = fmt.Errorf("%d %s", a.Status, a.Body)
	}
	if err = errors.Join(err, a.JSON(&s)); err != nil {
		c.tb.Fatalf("cluster status through node %d: %v", through, err)
	}
	return s
}

// WaitFor asks again until a condition holds that nobody could notify of.
func (c *Cluster) WaitFor(what string, holds func() bool) {
	c.tb.Helper()
	c.waitFor(convergeWait, what, holds)
}

// CatchUp is a linearizable read through a node, without its answer.
func (c *Cluster) CatchUp(ctx context.Context, i int) error { return c.Node(i).CatchUp(ctx) }
