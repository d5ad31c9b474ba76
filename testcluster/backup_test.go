package testcluster_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"ringbin/node"
	"ringbin/storage"
	"ringbin/testcluster"
)

// source takes a backup through one node after the other.
type source struct {
	c     *testcluster.Cluster
	asked atomic.Int64
	// stop, when above 0, is how many blobs are given before the source fails.
	stop int64
}

var errStopped = errors.New("the power went")

func (s *source) get(path string) (testcluster.Answer, error) {
	a, err := s.c.Operator(int(s.asked.Add(1))%s.c.Len()).Do(http.MethodGet, path, nil, nil)
	if err == nil && a.Status != http.StatusOK {
		err = fmt.Errorf("%s: %d %s", path, a.Status, a.Body)
	}
	return a, err
}

func (s *source) Snapshot(context.Context) (io.ReadCloser, string, error) {
	a, err := s.get("/api/admin/backup/snapshot") //nolint:contextcheck // each request has its own time
	return io.NopCloser(bytes.NewReader(a.Body)), a.Header.Get("X-Cluster-Id"), err
}

func (s *source) Blob(_ context.Context, cid storage.CID) (io.ReadCloser, error) {
	if s.stop > 0 && s.asked.Load() > s.stop {
		return nil, storage.E("test", storage.KindInternal, errStopped)
	}
	a, err := s.get("/api/admin/backup/blobs/" + cid.String()) //nolint:contextcheck // each request has its own time
	return io.NopCloser(bytes.NewReader(a.Body)), err
}

func backup(t *testing.T, dir string, s *source) node.BackupReport {
	t.Helper()
	r, err := node.CreateBackup(t.Context(), node.BackupOptions{Dir: dir, Source: s})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func verify(t *testing.T, dir string) node.VerifyReport {
	t.Helper()
	r, err := node.VerifyBackup(t.Context(), dir, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestBackupAndRestore: a backup of three nodes becomes a new cluster of three,
// in which everything that clients can see is as it was.
func TestBackupAndRestore(t *testing.T) {
	testcluster.Parallel(t)
	c := testcluster.Start(t, 3, testcluster.Options{})
	account, key := c.Account(100_000)
	var cids []storage.CID
	put := func(seed uint64, size int) {
		b := content(seed, size)
		if _, _, err := c.Client(int(seed)%3, key).Put(b, 30); err != nil {
			t.Fatal(err)
		}
		cids = append(cids, storage.SumCID(b))
	}
	for i, size := range sizes {
		put(uint64(i), size)
	}
	blocked := storage.SumCID(content(5, sizes[5]))
	if a, err := c.Operator(0).Do(http.MethodDelete, "/api/admin/content/"+blocked.String(), nil, bytes.NewReader([]byte(`{"reason":"test"}`))); err != nil || a.Status != http.StatusOK {
		t.Fatal(err, a.Status)
	}
	c.Excuse(blocked)
	dir := filepath.Join(t.TempDir(), "backup")

	// One that is cut off leaves nothing that could be taken for a backup.
	_, err := node.CreateBackup(t.Context(), node.BackupOptions{Dir: dir, Source: &source{c: c, stop: 3}})
	if !errors.Is(err, errStopped) {
		t.Fatalf("interrupted: %v", err)
	}
	if _, err := node.VerifyBackup(t.Context(), dir, 0, nil); storage.KindOf(err) != storage.KindNotFound {
		t.Errorf("an interrupted first backup counts as one: %v", err)
	}
	first := backup(t, dir, &source{c: c})
	stored := int64(len(sizes) - 3) // the smallest are their own names
	if first.Blobs != stored || first.Fetched+first.Kept != stored || first.Kept == 0 || len(first.Missing) != 0 {
		t.Errorf("after an interrupted one: %+v", first)
	}
	// The next one fetches what is new, and an interrupted one in between
	// leaves the last one valid.
	put(100, 70_000)
	put(101, 2_000_000)
	if _, err := node.CreateBackup(t.Context(), node.BackupOptions{Dir: dir, Source: &source{c: c, stop: 1}}); !errors.Is(err, errStopped) {
		t.Fatalf("interrupted: %v", err)
	}
	if v := verify(t, dir); v.Index != first.Index || len(v.Problems) != 0 || v.Checked != stored {
		t.Errorf("after an interrupted one: %+v", v)
	}
	second := backup(t, dir, &source{c: c})
	if second.Blobs != stored+2 || second.Kept < stored || second.Index <= first.Index {
		t.Errorf("second: %+v", second)
	}

	restored := filepath.Join(t.TempDir(), "restored")
	r, err := node.RestoreBackup(t.Context(), node.RestoreOptions{Dir: dir, DataDir: restored})
	if err != nil {
		t.Fatal(err)
	}
	if r.Blobs != second.Blobs || r.BlobBytes != second.BlobBytes || len(r.Lost) != 0 || r.From != second.Cluster || r.Cluster == r.From {
		t.Errorf("restored: %+v", r)
	}
	c2 := testcluster.Start(t, 1, testcluster.Options{Joining: 2, Configure: func(i int, cfg *node.Config) {
		if i == 0 {
			cfg.DataDir = restored
		}
	}})
	c2.WaitConverged()
	again := filepath.Join(t.TempDir(), "again") // before the key is used: the time of that is kept
	backup(t, again, &source{c: c2})
	comparePairs(t, pairs(t, dir, second.Snapshot), pairs(t, again, verify(t, again).Snapshot))
	compareClusters(t, c, c2, account, key, cids)
	if s := clusterStatus(t, c2, 0); s.R != 3 || copies(s) != 3*second.Blobs {
		t.Errorf("R %d, %d copies of %d blobs", s.R, copies(s), second.Blobs)
	}
	// A backup of one cluster is not overwritten by another one's.
	if _, err := node.CreateBackup(t.Context(), node.BackupOptions{Dir: dir, Source: &source{c: c2}}); storage.KindOf(err) != storage.KindConflict {
		t.Errorf("a backup of another cluster into the same directory: %v", err)
	}
	if _, _, err := c2.Client(1, key).Put(content(200, 3000), 30); err != nil {
		t.Error(err)
	}
}

// compareClusters compares what clients see.
func compareClusters(t *testing.T, c, c2 *testcluster.Cluster, account, key string, cids []storage.CID) {
	t.Helper()
	for _, path := range []string{
		"/api/balance", "/api/balance/history?limit=100", "/api/content?limit=100", "/api/admin/settings", "/api/admin/accounts?limit=100",
	} {
		ask := func(c *testcluster.Cluster, i int) testcluster.Answer {
			k := key
			if bytes.Contains([]byte(path), []byte("admin")) {
				k = c.AdminToken()
			}
			a, err := c.Client(i, k).Do(http.MethodGet, path, nil, nil)
			if err != nil || a.Status != http.StatusOK {
				t.Fatalf("%s: %v %d %s", path, err, a.Status, a.Body)
			}
			return a
		}
		was := ask(c, 0)
		for i := range 3 {
			if is := ask(c2, i); !bytes.Equal(was.Body, is.Body) {
				t.Errorf("%s of %s was\n%s\nand is through node %d\n%s", path, account, was.Body, i, is.Body)
			}
		}
	}
	for _, cid := range cids {
		was, err := c.Client(0, "").Do(http.MethodGet, "/api/content/"+cid.String(), nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 3 {
			is, err := c2.Client(i, "").Do(http.MethodGet, "/api/content/"+cid.String(), nil, nil)
			if err != nil || is.Status != was.Status || !bytes.Equal(is.Body, was.Body) || is.Header.Get("Content-Type") != was.Header.Get("Content-Type") {
				t.Errorf("%s: was %d with %d bytes, is %d with %d through node %d: %v", cid, was.Status, len(was.Body), is.Status, len(is.Body), i, err)
			}
		}
	}
}

// notRestored are the tables that are a cluster's own: who its members are,
// what it was asked lately, and a node's own numbers.
var notRestored = []byte{0x0f, 0x10, 0x13, 0x14, 0x15, 0xf0}

// pairs are the state in a snapshot, but for the tables that are not restored.
func pairs(t *testing.T, dir, name string) map[string]string {
	t.Helper()
	f, err := os.Open(filepath.Join(dir, "snapshots", name))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	r := bufio.NewReader(f)
	if _, err := r.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	take := func() string {
		n, err := binary.ReadUvarint(r)
		if err != nil {
			t.Fatal(err)
		}
		b := make([]byte, n)
		if _, err := io.ReadFull(r, b); err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	all := map[string]string{}
	for k := take(); k != ""; k = take() {
		v := take()
		if !bytes.Contains(notRestored, []byte{k[0]}) {
			all[k] = v
		}
	}
	return all
}

func comparePairs(t *testing.T, was, is map[string]string) {
	t.Helper()
	if len(was) < 50 {
		t.Errorf("only %d pairs to compare", len(was))
	}
	for k, v := range was {
		if is[k] != v {
			t.Errorf("%x was %x and is %x", k, v, is[k])
		}
	}
	for k := range is {
		if _, ok := was[k]; !ok {
			t.Errorf("%x is new", k)
		}
	}
}

// TestTamperedBackup: whatever byte of a backup is changed, verify finds it, and
// a restore does not take it.
func TestTamperedBackup(t *testing.T) {
	testcluster.Parallel(t)
	c := testcluster.Start(t, 1, testcluster.Options{})
	_, key := c.Account(1000)
	for i, size := range []int{100, 300_000} {
		if _, _, err := c.Client(0, key).Put(content(uint64(i), size), 30); err != nil {
			t.Fatal(err)
		}
	}
	dir := filepath.Join(t.TempDir(), "backup")
	r := backup(t, dir, &source{c: c})
	cid := storage.SumCID(content(1, 300_000))
	blob := filepath.Join(dir, "blobs", fmt.Sprintf("%03x", cid.Partition()), cid.String())
	for name, path := range map[string]string{"snapshot": filepath.Join(dir, "snapshots", r.Snapshot), "blob": blob} {
		t.Run(name, func(t *testing.T) {
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			b[len(b)/2] ^= 1
			rewrite(t, path, b)
			if v := verify(t, dir); len(v.Problems) != 1 {
				t.Errorf("found %q", v.Problems)
			}
			_, err = node.RestoreBackup(t.Context(), node.RestoreOptions{Dir: dir, DataDir: filepath.Join(t.TempDir(), "new")})
			if storage.KindOf(err) != storage.KindCorrupt {
				t.Errorf("restored all the same: %v", err)
			}
			b[len(b)/2] ^= 1
			rewrite(t, path, b)
			if v := verify(t, dir); len(v.Problems) != 0 {
				t.Errorf("mended, and found %q", v.Problems)
			}
		})
	}
	// A bad file is of the right size: only a backup that checks replaces it.
	rewrite(t, blob, make([]byte, 300_000))
	report, err := node.CreateBackup(t.Context(), node.BackupOptions{Dir: dir, Source: &source{c: c}, Check: true, Prune: true})
	if err != nil || report.Fetched != 1 || report.Kept != 1 {
		t.Errorf("checked: %v %+v", err, report)
	}
	if v := verify(t, dir); len(v.Problems) != 0 {
		t.Errorf("after it: %q", v.Problems)
	}
}

func rewrite(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}
