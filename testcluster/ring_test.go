package testcluster_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"ringbin/node"
	"ringbin/storage"
	"ringbin/testcluster"
)

// traffic puts and gets at a steady rate through some nodes, and knows what was
// acknowledged. A get that fails through a node that is up is a failure.
type traffic struct {
	c      *testcluster.Cluster
	cancel context.CancelFunc
	group  errgroup.Group

	mu    sync.Mutex // protects the fields below
	acked []storage.CID
	puts  int
	gets  int
}

// preload uploads blobs before anything else happens.
func preload(t *testing.T, c *testcluster.Cluster, key string, first, blobs, size int) []storage.CID {
	t.Helper()
	cids := make([]storage.CID, blobs)
	var g errgroup.Group
	g.SetLimit(8)
	for i := range blobs {
		g.Go(func() error {
			b := content(1<<24|uint64(first+i), size)
			cids[i] = storage.SumCID(b)
			_, err := c.PutUntil(t.Context(), i%3, key, b, 30)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	return cids
}

// startTraffic has one writer and one reader on each of these nodes.
func startTraffic(t *testing.T, c *testcluster.Cluster, key string, acked []storage.CID, nodes ...int) *traffic {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	tr := &traffic{c: c, cancel: cancel, acked: slices.Clone(acked)}
	const pause = 20 * time.Millisecond
	for _, i := range nodes {
		tr.group.Go(func() error {
			for n := 0; ctx.Err() == nil; n++ {
				b := content(uint64(i)<<16|uint64(n), 1000+n)
				_, err := c.PutUntil(ctx, i, key, b, 30)
				switch {
				case ctx.Err() != nil:
					continue // stopped: whatever came of this one
				case err != nil:
					return err
				}
				tr.mu.Lock()
				tr.acked = append(tr.acked, storage.SumCID(b))
				tr.puts++
				tr.mu.Unlock()
				<-time.After(pause)
			}
			return nil
		})
		tr.group.Go(func() error {
			r := rand.New(rand.NewPCG(uint64(i), 7))
			for ctx.Err() == nil {
				tr.mu.Lock()
				cid := tr.acked[r.IntN(len(tr.acked))]
				tr.mu.Unlock()
				if _, err := c.Client(i, "").Get(cid); err != nil { //nolint:contextcheck // each request has its own time
					return err
				}
				tr.mu.Lock()
				tr.gets++
				tr.mu.Unlock()
				<-time.After(pause)
			}
			return nil
		})
	}
	return tr
}

func (tr *traffic) add(cids []storage.CID) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.acked = append(tr.acked, cids...)
}

func (tr *traffic) known() []storage.CID {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	return slices.Clone(tr.acked)
}

func (tr *traffic) stop(t *testing.T) {
	t.Helper()
	tr.cancel()
	if err := tr.group.Wait(); err != nil {
		t.Errorf("a request failed: %v", err)
	}
	t.Logf("%d puts acknowledged, %d reads, none failed", tr.puts, tr.gets)
}

// ringWatch notes each change of the ring as it begins, and what was stored by then.
type ringWatch struct {
	mu      sync.Mutex // protects the fields below
	changes []ringStep
	held    map[uint64]bool // versions of rings that have held

	stop func()
}

// ringStep is one change, which may be dropped.
type ringStep struct {
	from, to *storage.Ring
	known    []storage.CID
}

// watchRings looks through a node that stays.
func watchRings(t *testing.T, c *testcluster.Cluster, i int, known func() []storage.CID) *ringWatch {
	t.Helper()
	w := &ringWatch{held: map[uint64]bool{}}
	ctx, cancel := context.WithCancel(t.Context())
	rings := map[uint64]*storage.Ring{}
	look := func() {
		cur, next := c.Node(i).Rings()
		w.mu.Lock()
		defer w.mu.Unlock()
		w.held[cur.Version] = true
		if rings[cur.Version] == nil {
			rings[cur.Version] = cur // the first one, or one that is left of a dropped change
		}
		if next != nil && rings[next.Version] == nil {
			rings[next.Version] = next
			w.changes = append(w.changes, ringStep{from: rings[cur.Version], to: next, known: known()})
		}
	}
	look()
	var g sync.WaitGroup
	g.Go(func() {
		const lookEvery = time.Millisecond
		for ctx.Err() == nil {
			look()
			<-time.After(lookEvery)
		}
	})
	w.stop = func() { cancel(); g.Wait() }
	return w
}

// least is what the changes that were not dropped had to move: of each blob that
// there was, one copy for each owner that had none. Nothing is erased so soon:
// who has owned it once holds it still.
func (w *ringWatch) least() (bytes int64, changes int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	holds := map[storage.CID]map[storage.NodeID]bool{}
	for _, ch := range w.changes {
		if !w.held[ch.to.Version] {
			continue
		}
		changes++
		for _, cid := range ch.known {
			if holds[cid] == nil {
				holds[cid] = map[storage.NodeID]bool{}
			}
			for _, o := range ch.from.OwnersOf(cid) {
				holds[cid][o.ID] = true
			}
			for _, o := range ch.to.OwnersOf(cid) {
				if !holds[cid][o.ID] {
					holds[cid][o.ID] = true
					bytes += cid.Size()
				}
			}
		}
	}
	return bytes, changes
}

// pulled is what all nodes have fetched from each other, as they count it.
func pulled(c *testcluster.Cluster) (bytes int64) {
	for _, m := range c.Status(0).Nodes {
		bytes += m.PulledBytes
	}
	return bytes
}

// balanced fails the test unless each member's places are within one of its share.
func balanced(t *testing.T, c *testcluster.Cluster, through, members int) {
	t.Helper()
	s := c.Status(through)
	if len(s.Nodes) != members || s.NextRing != 0 || s.R != min(3, members) {
		t.Fatalf("%d members of %d, R %d, next ring %d", len(s.Nodes), members, s.R, s.NextRing)
	}
	share := storage.Partitions * s.R
	for _, m := range s.Nodes {
		if m.Partitions < share/members || m.Partitions > (share+members-1)/members {
			t.Errorf("node %s owns %d partitions of %d on %d nodes", m.Name, m.Partitions, share, members)
		}
	}
}

// placed waits until all members are in the ring, and nothing moves.
func placed(c *testcluster.Cluster, through, members int) {
	c.WaitFor("ring of all members", func() bool {
		s := c.Status(through)
		return len(s.Nodes) == members && s.NextRing == 0 && c.Node(through).Placed()
	})
}

// TestGrowAndShrinkUnderLoad is 3 -> 5 -> 3: no read fails, nothing is lost, and
// no more than what has to move moves. Half of the content is there before the
// ring grows, the other half before it shrinks.
func TestGrowAndShrinkUnderLoad(t *testing.T) {
	testcluster.Parallel(t)
	c := testcluster.Start(t, 3, testcluster.Options{Later: 2})
	_, key := c.Account(10_000_000)
	const blobs, size = 250, 20_000
	cids := preload(t, c, key, 0, blobs, size)
	c.WaitConverged()
	before := pulled(c)
	tr := startTraffic(t, c, key, cids, 0, 1, 2)
	w := watchRings(t, c, 0, tr.known)
	began := time.Now()
	c.Join(3)
	c.Join(4)
	placed(c, 0, 5)
	balanced(t, c, 0, 5)
	moved := pulled(c) - before
	least, changes := w.least()
	t.Logf("3 -> 5 in %v, %d changes: %d bytes fetched, %d had to be: %.3f", time.Since(began).Round(time.Millisecond), changes, moved, least, float64(moved)/float64(least))
	if float64(moved) > 1.2*float64(least) {
		t.Errorf("%d bytes moved where %d had to", moved, least)
	}
	tr.add(preload(t, c, key, blobs, blobs, size))
	c.WaitFor("all copies", func() bool {
		for _, m := range c.Status(0).Nodes {
			if m.Missing > 0 {
				return false
			}
		}
		return true
	})
	before, moved = pulled(c), pulledBy(c, 3)+pulledBy(c, 4)
	leastBefore, _ := w.least()
	began = time.Now()
	c.AskToLeave(3, 0, false)
	c.AskToLeave(4, 0, false)
	c.WaitLeft(3)
	c.WaitLeft(4)
	placed(c, 0, 3)
	balanced(t, c, 0, 3)
	tr.stop(t)
	w.stop()
	moved = pulled(c) - (before - moved) // who has left counts no more, before or after
	least, changes = w.least()
	least -= leastBefore
	t.Logf("5 -> 3 in %v, %d changes altogether: %d bytes fetched, %d had to be: %.3f", time.Since(began).Round(time.Millisecond), changes, moved, least, float64(moved)/float64(least))
	if float64(moved) > 1.2*float64(least) {
		t.Errorf("%d bytes moved where %d had to", moved, least)
	}
	if voters := len(slices.DeleteFunc(c.Status(0).Nodes, func(m node.MemberStatus) bool { return !m.Voter })); voters != 3 {
		t.Errorf("%d voters of three nodes", voters)
	}
	c.WaitConverged()
}

func pulledBy(c *testcluster.Cluster, i int) int64 {
	for _, m := range c.Status(0).Nodes {
		if m.ID == string(c.ID(i)) {
			return m.PulledBytes
		}
	}
	return 0
}

// slowly has copies move so slowly that something can happen meanwhile.
func slowly(_ int, cfg *node.Config) { cfg.RebalanceRate = 256 << 10 }

// halfWay returns once a node that joins has got some partitions, and others, of
// which it still has to fetch content, are left.
func halfWay(c *testcluster.Cluster, through, i int) {
	c.WaitFor("part of a ring change", func() bool {
		cur, next := c.Node(through).Rings()
		if next == nil || cur.Places(c.ID(i)) == 0 {
			return false
		}
		left := c.Status(through).Move
		return left.Left > 0 && left.Blobs > 0 && left.Bytes > 0
	})
}

// TestMoveOutlastsRestarts: the new owner is killed and started again, and then
// the leader: what was handed over stays so, and the change ends.
func TestMoveOutlastsRestarts(t *testing.T) {
	testcluster.Parallel(t)
	c := testcluster.Start(t, 3, testcluster.Options{Later: 1, Configure: slowly})
	_, key := c.Account(10_000_000)
	cids := preload(t, c, key, 0, 100, 30_000)
	c.WaitConverged()
	c.Join(3)
	halfWay(c, 0, 3)
	left := c.Status(0).Move.Left
	c.Kill(3)
	c.Restart(3)
	leader := c.WaitLeader()
	if leader == 3 {
		t.Fatal("a node that has just joined leads")
	}
	c.Kill(leader)
	through := (leader + 1) % 3
	c.WaitLeader()
	c.WaitFor("an answer", func() bool {
		a, err := c.Operator(through).Do(http.MethodGet, "/api/admin/cluster", nil, nil)
		return err == nil && a.Status == http.StatusOK
	})
	if now := c.Status(through).Move; now.To != 0 && now.Left > left {
		t.Errorf("%d partitions to hand over, %d before the restarts", now.Left, left)
	}
	c.Restart(leader)
	placed(c, 0, 4)
	balanced(t, c, 0, 4)
	for _, cid := range cids {
		if _, err := c.Client(through, "").Get(cid); err != nil {
			t.Error(err)
		}
	}
}

// TestMoveIsDropped: the operator drops a change half-way. Nothing moves, all is
// readable and writable, and later the rest moves.
func TestMoveIsDropped(t *testing.T) {
	testcluster.Parallel(t)
	c := testcluster.Start(t, 3, testcluster.Options{Later: 1, Configure: slowly})
	_, key := c.Account(10_000_000)
	cids := preload(t, c, key, 0, 100, 30_000)
	c.WaitConverged()
	tr := startTraffic(t, c, key, cids, 0, 1)
	c.Join(3)
	halfWay(c, 0, 3)
	if !reasons(t, c, 0)["ring_change"] {
		c.WaitFor("reason of health", func() bool { return reasons(t, c, 0)["ring_change"] })
	}
	c.HoldMoves(1, true)
	c.WaitFor("hold", func() bool { return c.Status(0).Move.Held })
	s := c.Status(0)
	if s.NextRing != 0 || s.Move.Left != 0 {
		t.Errorf("ring %d is being filled", s.NextRing)
	}
	some := 0
	for _, m := range s.Nodes {
		if m.ID == string(c.ID(3)) {
			some = m.Partitions
		}
	}
	if some == 0 || some >= 768 {
		t.Errorf("the new node owns %d partitions", some)
	}
	for _, cid := range cids {
		if _, err := c.Client(2, "").Get(cid); err != nil {
			t.Error(err)
		}
	}
	c.HoldMoves(2, false)
	placed(c, 0, 4)
	balanced(t, c, 0, 4)
	tr.stop(t)
}

// TestNewOwnerDies: a node that joins dies half-way for good. Once it is removed
// the ring is that of the others again.
func TestNewOwnerDies(t *testing.T) {
	testcluster.Parallel(t)
	c := testcluster.Start(t, 3, testcluster.Options{Later: 1, Configure: slowly})
	_, key := c.Account(10_000_000)
	cids := preload(t, c, key, 0, 100, 30_000)
	c.WaitConverged()
	tr := startTraffic(t, c, key, cids, 0, 1, 2)
	c.Join(3)
	halfWay(c, 0, 3)
	c.Kill(3)
	c.Remove(3, 0)
	placed(c, 0, 3)
	balanced(t, c, 0, 3)
	tr.stop(t)
}

// TestLeaderLeaves: the leader of three is to leave, with force, since R falls.
// It hands over leadership and copies and ends; a second one leaves too, and one
// node is left with everything.
func TestLeaderLeaves(t *testing.T) {
	testcluster.Parallel(t)
	c := testcluster.Start(t, 3, testcluster.Options{})
	_, key := c.Account(1_000_000)
	cids := preload(t, c, key, 0, 40, 2000)
	leader := c.WaitLeader()
	a, err := c.Operator(0).Do(http.MethodPost, "/api/admin/cluster/nodes/"+string(c.ID(leader))+"/leave", nil, strings.NewReader("{}"))
	if err != nil || a.Status != http.StatusConflict {
		t.Errorf("leaving without force: %v %d %s", err, a.Status, a.Body)
	}
	c.Leave(leader, true)
	left := (leader + 1) % 3
	placed(c, left, 2)
	balanced(t, c, left, 2)
	second := (leader + 2) % 3
	c.Leave(second, true)
	placed(c, left, 1)
	balanced(t, c, left, 1)
	for _, cid := range cids {
		if _, err := c.Client(left, "").Get(cid); err != nil {
			t.Error(err)
		}
	}
}

// TestDrainIsTakenBack: a node that was to leave stays after all.
func TestDrainIsTakenBack(t *testing.T) {
	testcluster.Parallel(t)
	c := testcluster.Start(t, 4, testcluster.Options{Configure: slowly})
	_, key := c.Account(1_000_000)
	preload(t, c, key, 0, 60, 30_000)
	c.WaitConverged()
	c.AskToLeave(3, 0, false)
	c.WaitFor("a ring without it", func() bool { return c.Status(0).NextRing != 0 })
	a, err := c.Operator(1).Do(http.MethodDelete, "/api/admin/cluster/nodes/"+string(c.ID(3))+"/leave", nil, nil)
	if err != nil || a.Status != http.StatusOK {
		t.Fatalf("taking it back: %v %d %s", err, a.Status, a.Body)
	}
	placed(c, 0, 4)
	balanced(t, c, 0, 4)
}

// TestNamesakeReplacesDeadVoter: a node that lost all its data comes back under
// its name. It is a new node, and takes the place and the vote of its dead self.
func TestNamesakeReplacesDeadVoter(t *testing.T) {
	testcluster.Parallel(t)
	c := testcluster.Start(t, 3, testcluster.Options{})
	_, key := c.Account(1_000_000)
	cids := preload(t, c, key, 0, 40, 2000)
	c.WaitConverged()
	old := c.ID(2)
	c.Kill(2)
	c.Wipe(2)
	c.Restart(2)
	c.WaitReady()
	if c.ID(2) == old {
		t.Fatal("a wiped node has its old id")
	}
	placed(c, 0, 3)
	balanced(t, c, 0, 3)
	c.WaitFor("three votes", func() bool {
		voters := 0
		for _, m := range c.Status(0).Nodes {
			if m.ID == string(old) {
				t.Error("the dead self is a member still")
			}
			if m.Voter {
				voters++
			}
		}
		return voters == 3
	})
	c.WaitConverged()
	c.Kill(0)
	c.WaitLeader()
	for _, cid := range cids {
		if _, err := c.Client(2, "").Get(cid); err != nil {
			t.Error(err)
		}
	}
}

// TestNamesakeElsewhere: a node on another address under the name of a dead one
// takes its place, and when the dead one comes back it learns that it is none any
// more. Under the name of a living one it is a member beside it.
func TestNamesakeElsewhere(t *testing.T) {
	testcluster.Parallel(t)
	c := testcluster.Start(t, 3, testcluster.Options{Later: 2, Configure: func(i int, cfg *node.Config) {
		switch i {
		case 3:
			cfg.Name = "n0"
		case 4:
			cfg.Name = "n2"
		}
	}})
	_, key := c.Account(1_000_000)
	preload(t, c, key, 0, 40, 2000)
	c.Join(3)
	placed(c, 0, 4)
	if !slices.ContainsFunc(c.Status(0).Nodes, func(m node.MemberStatus) bool { return m.ID == string(c.ID(0)) }) {
		t.Error("a living node was replaced")
	}
	old := c.ID(2)
	c.Kill(2)
	c.Join(4)
	c.WaitFor("the heir", func() bool {
		return !slices.ContainsFunc(c.Status(0).Nodes, func(m node.MemberStatus) bool { return m.ID == string(old) })
	})
	placed(c, 0, 4)
	balanced(t, c, 0, 4)
	c.Restart(2)
	select {
	case err := <-c.Node(2).Failed():
		if errors.Is(err, node.ErrLeft) {
			t.Error("a node that was replaced says that it has left")
		}
	case <-time.After(time.Minute):
		t.Error("a node that was replaced goes on")
	}
	c.Gone(2)
}

// TestStrongReadNeedsVoters: a leader that reaches only a member without a vote
// must not take its word for a majority.
func TestStrongReadNeedsVoters(t *testing.T) {
	testcluster.Parallel(t)
	c := testcluster.Start(t, 3, testcluster.Options{Joining: 1})
	c.WaitConverged()
	s := c.Status(0)
	if i := slices.IndexFunc(s.Nodes, func(m node.MemberStatus) bool { return !m.Voter }); i < 0 || s.Nodes[i].ID != string(c.ID(3)) {
		t.Fatal("the fourth node should have no vote")
	}
	leader := c.WaitLeader()
	if err := c.CatchUp(t.Context(), leader); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		if i != leader {
			c.Partition(i, leader)
			c.Partition(leader, i)
		}
	}
	// While it still believes to lead, and later when it knows nobody.
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if err := c.CatchUp(ctx, leader); err == nil {
		t.Error("a strong read through a leader that reaches no other voter")
	}
	if err := c.CatchUp(t.Context(), (leader+1)%3); err != nil {
		t.Errorf("the others have a majority: %v", err)
	}
}
