package testcluster_test

import (
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ringbin/node"
	"ringbin/storage"
	"ringbin/testcluster"
)

// refusedWait is how long a node that was removed may take to notice.
const refusedWait = 30 * time.Second

// TestRecoverFromOneOfThree: two of three nodes are lost for ever. The third
// one becomes a cluster of its own, with all that it had; what it had not is
// listed; the others' old disks are refused (I15), and new nodes join.
func TestRecoverFromOneOfThree(t *testing.T) {
	testcluster.Parallel(t)
	c := testcluster.Start(t, 3, testcluster.Options{})
	_, key := c.Account(100_000)
	var held []storage.CID
	for i := range 20 {
		b := content(uint64(i), 1000+i*40_000)
		if _, _, err := c.Client(i%3, key).Put(b, 30); err != nil {
			t.Fatal(err)
		}
		held = append(held, storage.SumCID(b))
	}
	c.WaitConverged()
	const survivor = 1
	c.Lose(0)
	c.Lose(2)
	c.Kill(survivor)
	lost := []storage.CID{held[3], held[17]}
	held = append(append(held[:3:3], held[4:17]...), held[18:]...)
	eraseOffline(t, c.DataDir(survivor), lost)
	for _, cid := range lost {
		c.Excuse(cid)
	}

	// A look changes nothing.
	opts := node.RecoverOptions{DataDir: c.DataDir(survivor), LostFile: filepath.Join(t.TempDir(), "lost.txt")}
	look, err := node.Recover(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	opts.Do = true
	r, err := node.Recover(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	if look.Done || look.Index != 0 || look.LastIndex != r.LastIndex || look.Lost != r.Lost {
		t.Errorf("looked %+v, did %+v", look, r)
	}
	if !r.Done || r.Epoch != 1 || r.Index != r.LastIndex+2 || len(r.Removed) != 2 || r.Blobs != 20 || r.Lost != 2 || !r.Voter || r.Majority != 2 {
		t.Errorf("report: %+v", r)
	}
	text, err := os.ReadFile(opts.LostFile)
	if err != nil || strings.Count(string(text), "\n") != 2 {
		t.Errorf("list of lost blobs: %v %q", err, text)
	}
	for _, cid := range lost {
		if !strings.Contains(string(text), cid.String()) {
			t.Errorf("%s is not in the list", cid)
		}
	}

	c.Restart(survivor)
	c.WaitReady()
	for _, cid := range held {
		if _, err := c.Client(survivor, "").Get(cid); err != nil {
			t.Error(err)
		}
	}
	for _, cid := range lost {
		if a, err := c.Client(survivor, "").Do(http.MethodGet, "/api/content/"+cid.String(), nil, nil); err != nil || a.Status != http.StatusServiceUnavailable {
			t.Errorf("a lost blob is answered %v %d %s", err, a.Status, a.Body)
		}
	}
	if _, _, err := c.Client(survivor, key).Put(content(100, 5000), 30); err != nil {
		t.Error(err)
	}
	// Nothing will ever hold them again but an upload.
	for i, cid := range lost {
		b := content([]uint64{3, 17}[i], int(cid.Size()))
		if _, _, err := c.Client(survivor, key).Put(b, 30); err != nil {
			t.Error(err)
		}
	}
	oldDisksAreRefused(t, c, survivor, 0, 2)
	c.WaitReady()

	// What is left of the others joins as somebody new, with its blobs at hand.
	was, is, err := node.Forget(c.DataDir(2))
	if err != nil || was == is {
		t.Fatal(was, is, err)
	}
	c.JoinThrough(survivor, c.DataDir(2))
	c.JoinThrough(survivor, "")
	c.WaitReady()
	c.WaitConverged()
	if s := clusterStatus(t, c, survivor); s.R != 3 || len(s.Nodes) != 3 {
		t.Errorf("after two nodes joined: R %d, %d nodes", s.R, len(s.Nodes))
	}
}

// eraseOffline makes a node lose copies.
func eraseOffline(t *testing.T, dir string, cids []storage.CID) {
	t.Helper()
	s, err := storage.OpenStore(filepath.Join(dir, "blobs"), storage.StoreOptions{FreeFloorBytes: -1})
	if err != nil {
		t.Fatal(err)
	}
	for _, cid := range cids {
		if gone, err := s.Erase(cid, 1<<60); err != nil || !gone {
			t.Fatalf("erase %s: %t %v", cid, gone, err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// oldDisksAreRefused starts nodes that were removed on the disks that they had,
// while they reach nobody but each other: they are the old cluster's majority,
// and can't know. Once they reach the new epoch, they end.
func oldDisksAreRefused(t *testing.T, c *testcluster.Cluster, survivor int, old ...int) {
	t.Helper()
	c.Isolate(survivor)
	closing, cancel := context.WithCancel(context.Background())
	cancel()
	var nodes []*node.Node
	for _, i := range old {
		n := c.Resurrect(i)
		defer func() {
			if err := n.Close(closing); err != nil {
				t.Error(err)
			}
		}()
		nodes = append(nodes, n)
	}
	ready, stop := context.WithTimeout(t.Context(), refusedWait)
	defer stop()
	for _, n := range nodes {
		if err := n.WaitReady(ready); err != nil {
			t.Fatal(err)
		}
	}
	c.Heal()
	late, done := context.WithTimeout(t.Context(), refusedWait)
	defer done()
	for _, n := range nodes {
		select {
		case err := <-n.Failed():
			if !strings.Contains(err.Error(), "removed") {
				t.Errorf("an old disk fails with %v", err)
			}
		case <-late.Done():
			t.Errorf("node %s was removed, and goes on", n.ID())
		}
	}
}

// TestRecoverRefuses what can't be recovered from, or is in use.
func TestRecoverRefuses(t *testing.T) {
	testcluster.Parallel(t)
	c := testcluster.Start(t, 1, testcluster.Options{})
	if _, err := node.Recover(t.Context(), node.RecoverOptions{DataDir: c.DataDir(0), Do: true}); storage.CodeOf(err) != "data_dir_in_use" {
		t.Errorf("beside a running node: %v", err)
	}
	empty := t.TempDir()
	if _, err := node.Recover(t.Context(), node.RecoverOptions{DataDir: empty, Do: true}); storage.KindOf(err) != storage.KindNotFound {
		t.Errorf("in an empty directory: %v", err)
	}
	if f, err := os.Open(empty); err != nil {
		t.Error(err)
	} else if _, err := f.Readdirnames(1); err != io.EOF {
		t.Errorf("something was made in the empty directory: %v", err)
	}
}
