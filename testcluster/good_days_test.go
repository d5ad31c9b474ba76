package testcluster_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"ringbin/storage"
	"ringbin/testcluster"
)

// content returns n bytes that no other seed gives.
func content(seed uint64, n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), byte(seed >> 16), byte(seed >> 24)})
	_, _ = r.Read(b)
	return b
}

// sizes are on both sides of each border: inline, one value, several chunks.
var sizes = []int{0, 1, 64, 65, 1 << 10, 64<<10 - 1, 64 << 10, 64<<10 + 1, 1 << 20, 3<<20 + 7}

type member struct {
	Blobs      int64
	Partitions int
	Alive      bool
	Missing    int64 `json:"missing_copies"`
}

type status struct {
	R, W  int
	Nodes []member
}

func clusterStatus(t *testing.T, c *testcluster.Cluster, i int) status {
	t.Helper()
	a, err := c.Operator(i).Do(http.MethodGet, "/api/admin/cluster", nil, nil)
	if err != nil || a.Status != http.StatusOK {
		t.Fatalf("cluster status: %v %d %s", err, a.Status, a.Body)
	}
	var s status
	if err := a.JSON(&s); err != nil {
		t.Fatal(err)
	}
	return s
}

func copies(s status) (n int64) {
	for _, m := range s.Nodes {
		n += m.Blobs
	}
	return n
}

func reasons(t *testing.T, c *testcluster.Cluster, i int) map[string]bool {
	t.Helper()
	a, err := c.Client(i, "").Do(http.MethodGet, "/healthz", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	var h struct{ Reasons []string }
	if err := a.JSON(&h); err != nil {
		t.Fatal(err)
	}
	codes := map[string]bool{}
	for _, r := range h.Reasons {
		codes[r] = true
	}
	return codes
}

// TestUploadsThroughAnyNode: every size through alternating nodes is read back,
// byte for byte, through each; a copy lies on every owner before the answer.
func TestUploadsThroughAnyNode(t *testing.T) {
	testcluster.Parallel(t)
	for _, n := range []int{1, 2, 3} {
		t.Run(fmt.Sprintf("%d nodes", n), func(t *testing.T) {
			c := testcluster.Start(t, n, testcluster.Options{})
			_, key := c.Account(1000)
			stored := int64(0)
			for i, size := range sizes {
				b := content(uint64(i), size)
				if _, _, err := c.Client(i%n, key).Put(b, 30); err != nil {
					t.Fatal(err)
				}
				if size > storage.InlineMax {
					stored++
				}
				for j := range n {
					got, err := c.Client(j, "").Get(storage.SumCID(b))
					if err != nil || !bytes.Equal(got, b) {
						t.Fatalf("%d bytes through node %d: %v", size, j, err)
					}
				}
			}
			s := clusterStatus(t, c, 0)
			if got := copies(s); n < 3 && got != stored*int64(n) {
				t.Errorf("%d copies of %d blobs on %d nodes: W is R there, so all are due before the answer", got, stored, n)
			}
			if want := min(n, 2); s.R != n || s.W != want {
				t.Errorf("R %d W %d on %d nodes, want R %d W %d", s.R, s.W, n, n, want)
			}
			if single := reasons(t, c, 0)["single_copy"]; single != (n == 1) {
				t.Errorf("health says single copy: %v, on %d nodes", single, n)
			}
		})
	}
}

// TestFiveNodes: with R = 3 of five nodes each one holds about three fifths,
// and nodes that own nothing of a CID serve it all the same.
func TestFiveNodes(t *testing.T) {
	testcluster.Parallel(t)
	const blobs = 60
	c := testcluster.Start(t, 5, testcluster.Options{})
	_, key := c.Account(10_000)
	var g errgroup.Group
	g.SetLimit(8)
	for i := range blobs {
		g.Go(func() error {
			_, _, err := c.Client(i%5, key).Put(content(uint64(i), 100+i), 30)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	c.WaitConverged()
	s := clusterStatus(t, c, 2)
	if got := copies(s); got != 3*blobs {
		t.Errorf("%d copies of %d blobs, want three of each", got, blobs)
	}
	for i, m := range s.Nodes {
		if m.Partitions < 614 || m.Partitions > 615 { // 3 * 1024 / 5
			t.Errorf("node %d owns %d partitions of 3*1024 on five nodes", i, m.Partitions)
		}
		if m.Blobs < blobs*3/10 || m.Blobs > blobs*9/10 {
			t.Errorf("node %d holds %d of %d blobs, want about three fifths", i, m.Blobs, blobs)
		}
	}
}

// TestManyClients: concurrent uploads of the same and of different content by
// two accounts are each charged once.
func TestManyClients(t *testing.T) {
	testcluster.Parallel(t)
	c := testcluster.Start(t, 3, testcluster.Options{})
	_, rich := c.Account(1000)
	_, other := c.Account(1000)
	var g errgroup.Group
	for i := range 48 {
		g.Go(func() error {
			key := rich
			if i%2 == 0 {
				key = other
			}
			_, err := c.PutUntil(t.Context(), i, key, content(uint64(i/8), 2000), 30)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	for i, key := range []string{rich, other} {
		got, err := c.Client(i, key).Balance()
		if err != nil || got != 1000-6 {
			t.Errorf("balance %d (%v) after six distinct blobs of one cent each, want 994", got, err)
		}
	}
}

// TestPoorAccounts: concurrent uploads through all nodes never overdraw (I6).
func TestPoorAccounts(t *testing.T) {
	testcluster.Parallel(t)
	c := testcluster.Start(t, 3, testcluster.Options{})
	_, key := c.Account(5)
	refused := make(chan struct{}, 20)
	var g errgroup.Group
	for i := range 20 {
		g.Go(func() error {
			_, a, err := c.Client(i%3, key).Put(content(uint64(i), 500), 30)
			if a.Status == http.StatusPaymentRequired {
				refused <- struct{}{}
				return nil
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	if len(refused) != 15 {
		t.Errorf("%d of 20 uploads refused with a balance for five", len(refused))
	}
}

// TestJoin: a fourth and a fifth node join, take their share, and serve.
func TestJoin(t *testing.T) {
	testcluster.Parallel(t)
	c := testcluster.Start(t, 3, testcluster.Options{Joining: 2})
	_, key := c.Account(1000)
	for i := range 20 {
		if _, _, err := c.Client(i%5, key).Put(content(uint64(i), 300), 30); err != nil {
			t.Fatal(err)
		}
	}
	c.WaitConverged()
	for i, m := range clusterStatus(t, c, 4).Nodes {
		if !m.Alive || m.Partitions < 614 {
			t.Errorf("node %d: alive %v, %d partitions", i, m.Alive, m.Partitions)
		}
	}
}

// TestUploadsAreCutOff: a client that goes away in the middle leaves no charge,
// no content, and nothing running.
func TestUploadsAreCutOff(t *testing.T) {
	testcluster.Parallel(t)
	c := testcluster.Start(t, 3, testcluster.Options{})
	_, key := c.Account(100)
	b := content(1, 4<<20)
	cid := storage.SumCID(b)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+c.Node(1).Addresses().HTTP+"/api/content", &breaksOff{b: b[:1<<20]})
	if err != nil {
		t.Fatal(err)
	}
	req.ContentLength = int64(len(b))
	for k, v := range map[string]string{
		"Authorization": "Bearer " + key, "Content-Type": "application/octet-stream",
		"X-Content-Hash": cid.String(), "X-Retention-Days": "30",
	} {
		req.Header.Set(k, v)
	}
	client := &http.Client{Transport: c.Transport()}
	if resp, err := client.Do(req); err == nil {
		_ = resp.Body.Close()
		if resp.StatusCode < 400 {
			t.Errorf("a quarter of the body was answered with %d", resp.StatusCode)
		}
	}
	if _, err := c.Client(0, "").Get(cid); err == nil {
		t.Error("content is readable that never came whole")
	}
	if got, err := c.Client(2, key).Balance(); err != nil || got != 100 {
		t.Errorf("balance %d (%v), want 100", got, err)
	}
	if got := copies(clusterStatus(t, c, 0)); got != 0 {
		t.Errorf("%d copies were kept of a quarter of the content", got)
	}
}

type breaksOff struct{ b []byte }

func (r *breaksOff) Read(p []byte) (int, error) {
	if len(r.b) == 0 {
		return 0, fmt.Errorf("the client goes away")
	}
	n := copy(p, r.b)
	r.b = r.b[n:]
	return n, nil
}
