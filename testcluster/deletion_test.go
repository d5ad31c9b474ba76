package testcluster_test

import (
	"bytes"
	"context"
	"net/http"
	"testing"
	"time"

	"ringbin/node"
	"ringbin/storage"
	"ringbin/testcluster"
)

// The grace of these tests, and how often nodes look for garbage in them.
const (
	testGrace    = 2 * time.Second
	collectEvery = 300 * time.Millisecond
)

func startCollecting(t *testing.T) (*testcluster.Cluster, string) {
	t.Helper()
	c := testcluster.Start(t, 3, testcluster.Options{Configure: func(_ int, cfg *node.Config) { cfg.CollectEvery = collectEvery }})
	c.SetGrace(testGrace)
	_, key := c.Account(100_000)
	return c, key
}

// putAll uploads one content of each stored size, and returns their names.
func putAll(t *testing.T, c *testcluster.Cluster, key string, seed uint64) []storage.CID {
	t.Helper()
	var cids []storage.CID
	for i, size := range sizes {
		if size <= storage.InlineMax {
			continue
		}
		u, err := c.PutUntil(t.Context(), i, key, content(seed+uint64(i)<<8, size), 30)
		if err != nil {
			t.Fatal(err)
		}
		cids = append(cids, u.CID)
	}
	return cids
}

func deleteAll(t *testing.T, c *testcluster.Cluster, key string, cids []storage.CID, alive ...int) {
	t.Helper()
	for i, cid := range cids {
		cl := c.Client(alive[i%len(alive)], key)
		if err := cl.Delete(cid); err != nil {
			t.Fatal(err)
		}
		a, err := cl.Do(http.MethodGet, "/api/content/"+cid.String(), nil, nil)
		if err != nil || a.Status != http.StatusNotFound {
			t.Errorf("I14: deleted, and read through the node that said so: %d, %v", a.Status, err)
		}
	}
}

// The audit for garbage: what was deleted goes from every disk, what was not
// stays. What was deleted may come again, at any time.
func TestDeletedBytesGo(t *testing.T) {
	testcluster.Parallel(t)
	c, key := startCollecting(t)
	kept, gone := putAll(t, c, key, 1), putAll(t, c, key, 2)
	deleteAll(t, c, key, gone, 0, 1, 2)
	c.WaitCollected(kept...)
	for i := range 3 {
		if blobs, _ := c.Node(i).Erased(storage.FateCondemned); blobs != int64(len(gone)) {
			t.Errorf("node %d has erased %d condemned copies of %d", i, blobs, len(gone))
		}
	}
	again := putAll(t, c, key, 2)
	c.WaitCollected(append(kept, again...)...)
}

// Whatever is uploaded while it is being condemned is kept, or the upload is
// refused: what was acknowledged last is read back from every node.
func TestUploadsWhileCondemned(t *testing.T) {
	testcluster.Parallel(t)
	c, key := startCollecting(t)
	c.SetGrace(time.Second)
	var live []storage.CID
	for i := range 6 {
		b := content(uint64(i), 1000+i*100_000)
		for round := range 4 {
			u, err := c.PutUntil(t.Context(), i+round, key, b, 30)
			if err != nil {
				t.Fatal(err)
			}
			for n := range 3 {
				if _, err := c.Client(n, "").Get(u.CID); err != nil {
					t.Fatalf("I1: acknowledged, and not read through node %d: %v", n, err)
				}
			}
			if round == 3 {
				live = append(live, u.CID)
				continue
			}
			if err := c.Client(i%3, key).Delete(u.CID); err != nil {
				t.Fatal(err)
			}
			// The Condemn comes a second later: some uploads are before it, some behind.
			time.Sleep(850*time.Millisecond + time.Duration(i*70)*time.Millisecond)
		}
	}
	c.WaitCollected(live...)
}

// A node that was away while content was condemned, and even forgotten, erases
// its copies when it is back.
func TestAwayWhileCondemned(t *testing.T) {
	testcluster.Parallel(t)
	c, key := startCollecting(t)
	kept, gone := putAll(t, c, key, 1), putAll(t, c, key, 2)
	c.WaitConverged()
	c.Kill(2)
	deleteAll(t, c, key, gone, 0, 1)
	c.WaitCollected(kept...)
	forgotten := func() bool {
		st, err := c.Node(0).Standings(gone[:1])
		return err == nil && st[0].Condemned == 0
	}
	for deadline := time.Now().Add(30 * time.Second); !forgotten(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("condemned content is never forgotten")
		}
	}
	c.Restart(2)
	c.WaitReady()
	c.WaitCollected(kept...)
}

// Bytes that came without a commit are nobody's: they go when nobody has touched
// them for the grace.
func TestOrphansGo(t *testing.T) {
	testcluster.Parallel(t)
	c, key := startCollecting(t)
	kept := putAll(t, c, key, 1)
	_, poorKey := c.Account(0)
	b := content(99, 100_000)
	cid := storage.SumCID(b)
	// The form of an upload whose price is known only behind the body.
	header := map[string]string{"Content-Type": "multipart/form-data; boundary=x"}
	body := "--x\r\nContent-Disposition: form-data; name=\"content\"; filename=\"f\"\r\n\r\n" + string(b) +
		"\r\n--x\r\nContent-Disposition: form-data; name=\"days\"\r\n\r\n30\r\n--x--\r\n"
	header["X-Content-Hash"] = cid.String()
	if a, err := c.Client(0, poorKey).Do(http.MethodPost, "/api/content", header, bytes.NewReader([]byte(body))); err != nil || a.Status < 400 {
		t.Fatalf("an upload that nobody pays for: %d %s, %v", a.Status, a.Body, err)
	}
	c.WaitCollected(kept...)
	if erased(c, storage.FateOrphan) == 0 {
		t.Error("the upload has left no orphan")
	}
}

// erased counts the copies that the founders have erased for a reason.
func erased(c *testcluster.Cluster, why storage.Fate) (all int64) {
	for i := range 3 {
		blobs, _ := c.Node(i).Erased(why)
		all += blobs
	}
	return all
}

// Who does not own content any more erases its copy after the grace, when all
// owners have theirs, and not before.
func TestFormerOwnersErase(t *testing.T) {
	testcluster.Parallel(t)
	c, key := startCollecting(t)
	cids := putAll(t, c, key, 1)
	for i := range uint64(40) {
		u, err := c.PutUntil(t.Context(), int(i), key, content(1000+i, 2000), 30)
		if err != nil {
			t.Fatal(err)
		}
		cids = append(cids, u.CID)
	}
	c.Grow()
	c.WaitConverged()
	c.WaitCollected(cids...)
	if erased(c, storage.FateMoved) == 0 {
		t.Error("no former owner has erased anything")
	}
}

// A takedown: refused and not served from then on, gone from the disks after the
// grace; taken back within it, all is as it was.
func TestTakedownErases(t *testing.T) {
	testcluster.Parallel(t)
	c, key := startCollecting(t)
	kept := putAll(t, c, key, 1)
	down := putAll(t, c, key, 2)
	op := c.Operator(0)
	block := func(cid storage.CID, body string) {
		t.Helper()
		a, err := op.Do(http.MethodDelete, "/api/admin/content/"+cid.String(), nil, bytes.NewReader([]byte(body)))
		if err != nil || a.Status != http.StatusOK {
			t.Fatalf("takedown: %d %s, %v", a.Status, a.Body, err)
		}
	}
	block(kept[0], `{"reason":"a mistake"}`)
	block(kept[0], `{"block":false}`)
	if _, err := c.Client(0, "").Get(kept[0]); err != nil {
		t.Errorf("taken down and allowed again: %v", err)
	}
	for _, cid := range down {
		c.Forget(key, cid)
		block(cid, `{"reason":"court order 17"}`)
	}
	c.WaitCollected(kept...)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if _, err := c.PutUntil(ctx, 0, key, content(2+uint64(3)<<8, sizes[3]), 30); err == nil {
		t.Error("taken in again")
	}
	for i := range 3 {
		if a, err := c.Client(i, "").Do(http.MethodGet, "/api/content/"+down[0].String(), nil, nil); err != nil || a.Status != http.StatusNotFound {
			t.Errorf("served through node %d: %d, %v", i, a.Status, err)
		}
	}
}

// slowBody pauses once in the middle of its content.
type slowBody struct {
	r     *bytes.Reader
	pause time.Duration
}

func (s *slowBody) Read(p []byte) (int, error) {
	if half := s.r.Size() / 2; int64(s.r.Len()) == half {
		time.Sleep(s.pause)
		s.pause = 0
	} else if int64(s.r.Len()) > half {
		p = p[:min(int64(len(p)), int64(s.r.Len())-half)]
	}
	return s.r.Read(p)
}

// A body that takes longer than receipts live is committed all the same: the
// owners are asked for their word once more, under the same Idempotency-Key.
func TestSlowUploadRenewsItsReceipts(t *testing.T) {
	testcluster.Parallel(t)
	c, key := startCollecting(t)
	b := content(7, 200_000)
	cid := storage.SumCID(b)
	header := map[string]string{
		"X-Content-Hash": cid.String(), "X-Retention-Days": "30", "Content-Type": "application/octet-stream", "Idempotency-Key": "slow",
	}
	a, err := c.Client(1, key).Do(http.MethodPost, "/api/content", header, &slowBody{r: bytes.NewReader(b), pause: 3 * testGrace / 4})
	if err != nil || a.Status != http.StatusOK {
		t.Fatalf("slow upload: %d %s, %v", a.Status, a.Body, err)
	}
	again, err := c.Client(2, key).Do(http.MethodPost, "/api/content", header, bytes.NewReader(b))
	if err != nil || again.Status != http.StatusOK || again.Header.Get("Idempotency-Replayed") != "true" || !bytes.Equal(a.Body, again.Body) {
		t.Errorf("replayed: %d %s, %v", again.Status, again.Body, err)
	}
	c.WaitCollected(cid)
	c.ForgetAccount(key) // the journal has not seen these
}
