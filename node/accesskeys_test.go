package node_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ringbin/cluster"
	"ringbin/node"
	"ringbin/storage"
)

var binKeyForm = regexp.MustCompile(`^\$2b\$10\$[./A-Za-z0-9]{53}$`)

// Both keys authenticate, each by itself, and a master key decides alone.
func TestAuthenticateBin(t *testing.T) {
	t.Parallel()
	r := newBinRig(t, 1)
	ctx, s, owner := t.Context(), r.s(0), r.caller(0)
	k := must(s.CreateAccessKey(ctx, owner, "k", []string{node.RightRead, node.RightCreate}))(t)
	if !binKeyForm.MatchString(k.Key) || !binKeyForm.MatchString(r.master) {
		t.Errorf("keys of a strange form")
	}
	c := must(s.AuthenticateBin(ctx, "", k.Key))(t)
	if c.Account != r.account || c.Master || !c.CanBins(node.RightRead) || !c.CanBins(node.RightCreate) || c.CanBins(node.RightUpdate) || c.CanBins(node.RightDelete) {
		t.Errorf("the access key stands for %+v", c)
	}
	if !owner.Master || !owner.CanBins(node.RightDelete) {
		t.Errorf("the master key stands for %+v", owner)
	}
	for name, c := range map[string]struct{ master, access, code string }{
		"none":                      {"", "", "auth_missing"},
		"unknown master":            {"x", "", "master_invalid"},
		"unknown access":            {"", "x", "access_invalid"},
		"wrong master, good access": {"x", k.Key, "master_invalid"},
		"swapped":                   {k.Key, r.master, "master_invalid"},
		"master as access":          {"", r.master, "access_invalid"},
		"not trimmed":               {r.master + " ", "", "master_invalid"},
	} {
		_, err := s.AuthenticateBin(ctx, c.master, c.access)
		wantCode(t, name, err, storage.KindUnauthenticated, c.code)
	}
	must(s.AuthenticateBin(ctx, r.master, "x"))(t)
	_, err := s.Authenticate(ctx, node.APIHashBin, r.master)
	wantCode(t, "in another dialect", err, storage.KindUnauthenticated, "auth_invalid")
	if _, err := s.UpdateAccount(ctx, r.op, r.account, node.AccountPatch{Disabled: new(true)}); err != nil {
		t.Fatal(err)
	}
	_, err = s.AuthenticateBin(ctx, "", k.Key)
	wantCode(t, "of a disabled account", err, storage.KindUnauthenticated, "access_invalid")
}

// A rotated master key is dead on every node within 5 s, and what is on its
// way under it is refused; access keys stay.
func TestRotationKillsTheOldKey(t *testing.T) {
	t.Parallel()
	r := newBinRig(t, 3)
	ctx, old, caller := t.Context(), r.master, r.caller(0)
	k := must(r.s(0).CreateAccessKey(ctx, caller, "k", []string{node.RightRead}))(t)
	for i := range r.nodes {
		r.caller(i)
	}
	r.master = must(r.s(1).RotateMasterKey(ctx, r.caller(1)))(t)
	bound := time.Now().Add(5 * time.Second)
	for i := range r.nodes {
		for {
			_, err := r.s(i).AuthenticateBin(ctx, old, "")
			if storage.CodeOf(err) == "master_invalid" {
				break
			}
			if err != nil || time.Now().After(bound) {
				t.Fatalf("node %d takes the old key: %v", i, err)
			}
		}
		r.caller(i)
		must(r.s(i).AuthenticateBin(ctx, "", k.Key))(t)
	}
	_, err := r.s(2).CreateBin(ctx, caller, node.NewBin{Record: []byte(`[1]`)})
	wantCode(t, "a command under the old key", err, storage.KindUnauthenticated, "master_invalid")
	_, again, err := r.s(2).CreateKey(ctx, r.op, r.account, node.NewKey{API: node.APIJSONBin})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.s(2).AuthenticateBin(ctx, r.master, ""); storage.CodeOf(err) != "master_invalid" {
		t.Errorf("the operator's new key leaves the old one: %v", err)
	}
	must(r.s(2).AuthenticateBin(ctx, again, ""))(t)
}

// However many nodes are asked at the same time, an account has no more keys
// than it may have.
func TestAccessKeyLimit(t *testing.T) {
	t.Parallel()
	r := newBinRig(t, 3)
	ctx := t.Context()
	var made atomic.Int64
	var wg sync.WaitGroup
	for i := range 12 {
		c := r.caller(i)
		wg.Go(func() {
			_, err := r.s(i).CreateAccessKey(ctx, c, fmt.Sprint(i), nil)
			if err == nil {
				made.Add(1)
				return
			}
			wantCode(t, "one more", err, storage.KindForbidden, "access_key_limit")
		})
	}
	wg.Wait()
	keys := must(r.s(1).AccessKeys(ctx, r.caller(1)))(t)
	if made.Load() != 3 || len(keys) != 3 {
		t.Fatalf("%d keys were made, %d are there", made.Load(), len(keys))
	}
	for i, k := range keys {
		if i > 0 && keys[i-1].ID >= k.ID {
			t.Error("not oldest first")
		}
	}
	gone := must(r.s(2).DeleteAccessKey(ctx, r.caller(2), keys[0].ID))(t)
	if gone.Name != keys[0].Name || gone.Key != "" {
		t.Errorf("deleted %+v", gone)
	}
	_, err := r.s(0).AccessKey(ctx, r.caller(0), keys[0].ID)
	wantCode(t, "a deleted key", err, storage.KindNotFound, "key_not_found")
	changed := must(r.s(0).UpdateAccessKey(ctx, r.caller(0), keys[1].ID, []string{node.RightDelete}, new("new")))(t)
	if changed.Key != keys[1].Key || changed.Name != "new" || fmt.Sprint(changed.Rights) != "[delete]" {
		t.Error("an update changed more or less than it was to")
	}
	bare := must(r.s(1).UpdateAccessKey(ctx, r.caller(1), keys[1].ID, nil, nil))(t)
	c := must(r.s(1).AuthenticateBin(ctx, "", keys[1].Key))(t)
	if len(bare.Rights) != 0 || c.CanBins(node.RightDelete) {
		t.Error("a key that was left no right has one")
	}
}

// openIn opens a lone node in a directory; edit changes how, and may be nil.
func openIn(t *testing.T, dir, secret string, edit func(*node.Config)) *node.Node {
	t.Helper()
	cfg := node.Config{
		DataDir: dir, Name: "n", Secret: []byte(secret),
		HTTP: "127.0.0.1:0", RPC: freeAddr(t), Gossip: freeAddr(t), Admin: "127.0.0.1:0",
		FreeFloorBytes: -1, CacheBytes: 8 << 20, Logger: testLogger(0),
	}
	if edit != nil {
		edit(&cfg)
	}
	n, err := node.Open(t.Context(), cfg, plain)
	if err != nil {
		t.Fatal(err)
	}
	if err := n.WaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	return n
}

func closeNode(t *testing.T, n *node.Node) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := n.Close(ctx); err != nil {
		t.Error(err)
	}
}

// rigOf is a rig of one node that is open already.
func rigOf(t *testing.T, n *node.Node) *binRig {
	t.Helper()
	r := &binRig{t: t, nodes: []*node.Node{n}, op: must(n.Service().AuthenticateOperator(t.Context(), n.AdminToken()))(t)}
	r.account, r.master = r.newAccount("a@example.com")
	return r
}

// Keys are listed again after a restart, and while the cluster secret is
// changed; after the next look of the leader the old secret is not needed.
func TestSealedKeysOutliveASecret(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first := cluster.NewSecret()
	_, text, _ := strings.Cut(cluster.NewSecret(), ":")
	second := "2:" + text
	start := func(lines ...string) *node.Node {
		t.Helper()
		return openIn(t, filepath.Join(dir, "n"), strings.Join(lines, "\n"), nil)
	}
	stop := func(n *node.Node) {
		t.Helper()
		closeNode(t, n)
	}
	n := start(first)
	r := rigOf(t, n)
	want := []node.AccessKey{must(r.s(0).CreateAccessKey(t.Context(), r.caller(0), "one", []string{node.RightRead}))(t)}
	stop(n)
	for _, lines := range [][]string{{first}, {first, second}, {second, first}} {
		n = start(lines...)
		r.nodes[0] = n
		if got := must(r.s(0).AccessKeys(t.Context(), r.caller(0)))(t); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("with %d secrets %d keys are listed, not those that were made", len(lines), len(got))
		}
		if len(lines) == 2 {
			want = append(want, must(r.s(0).CreateAccessKey(t.Context(), r.caller(0), "more", nil))(t))
		}
		if lines[0] == second {
			if err := n.WaitSealed(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		stop(n)
	}
	n = start(second)
	r.nodes[0] = n
	if got := must(r.s(0).AccessKeys(t.Context(), r.caller(0)))(t); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("without the old secret %d keys are listed, not those that were made", len(got))
	}
	stop(n)
	_, third, _ := strings.Cut(cluster.NewSecret(), ":")
	n = start("3:" + third)
	r.nodes[0] = n
	_, err := r.s(0).AccessKeys(t.Context(), r.caller(0))
	if storage.KindOf(err) != storage.KindInternal || strings.Contains(err.Error(), want[0].Key) {
		t.Errorf("listed under a stranger's secret: %v", err)
	}
	must(r.s(0).AuthenticateBin(t.Context(), "", want[0].Key))(t)
	stop(n)
}

// backupOf is a lone node as what a backup is made of.
type backupOf struct{ r *binRig }

func (b backupOf) Snapshot(ctx context.Context) (io.ReadCloser, string, error) {
	s, err := b.r.s(0).Snapshot(ctx, b.r.op)
	if err != nil {
		return nil, "", err
	}
	defer s.Close()
	var buf bytes.Buffer
	return io.NopCloser(&buf), s.Cluster, s.Write(&buf)
}

func (b backupOf) Blob(ctx context.Context, cid storage.CID) (io.ReadCloser, error) {
	return b.r.s(0).StoredBlob(ctx, b.r.op, cid)
}

// A cluster that was restored from a backup has another id: keys that were
// sealed under the old one are listed, and so are they by a cluster that is
// restored from that one. Bins have their records.
func TestSealedKeysOutliveARestore(t *testing.T) {
	t.Parallel()
	dir, secret := t.TempDir(), cluster.NewSecret()
	n := openIn(t, filepath.Join(dir, "0"), secret, nil)
	r := rigOf(t, n)
	want := must(r.s(0).CreateAccessKey(t.Context(), r.caller(0), "one", []string{node.RightRead}))(t)
	record := recordOf(1000, "restored")
	b := r.bin(0, node.NewBin{Record: record})
	for _, generation := range []string{"1", "2"} {
		backup := filepath.Join(dir, "backup"+generation)
		if _, err := node.CreateBackup(t.Context(), node.BackupOptions{Dir: backup, Source: backupOf{r}}); err != nil {
			t.Fatal(err)
		}
		closeNode(t, n)
		data := filepath.Join(dir, generation)
		if _, err := node.RestoreBackup(t.Context(), node.RestoreOptions{Dir: backup, DataDir: data}); err != nil {
			t.Fatal(err)
		}
		n = openIn(t, data, secret, nil)
		r.nodes[0] = n
		got := must(r.s(0).AccessKeys(t.Context(), r.caller(0)))(t)
		if len(got) != 1 || fmt.Sprint(got[0]) != fmt.Sprint(want) {
			t.Errorf("restored %s: %d keys are listed, not the one that was made", generation, len(got))
		}
		if got, _ := r.record(0, b.ID, node.BinLatest); got != string(record) {
			t.Errorf("restored %s: another record", generation)
		}
		if err := n.WaitSealed(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	closeNode(t, n)
}
