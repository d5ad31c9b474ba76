package testcluster_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.etcd.io/bbolt"

	"ringbin/node"
	"ringbin/storage"
	"ringbin/testcluster"
)

func fsck(t *testing.T, dir string) node.FsckReport {
	t.Helper()
	r, err := node.Fsck(t.Context(), node.FsckOptions{DataDir: dir, Blobs: true})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestFsck: a directory that nothing happened to is clean, and damage of each
// kind is told. Looking changes nothing.
func TestFsck(t *testing.T) {
	testcluster.Parallel(t)
	c := testcluster.Start(t, 1, testcluster.Options{})
	_, key := c.Account(1000)
	var cids []storage.CID
	for i, size := range []int{100, 20_000, 300_000, 3_000_000} {
		b := content(uint64(i), size)
		if _, _, err := c.Client(0, key).Put(b, 30); err != nil {
			t.Fatal(err)
		}
		cids = append(cids, storage.SumCID(b))
	}
	if _, err := node.Fsck(t.Context(), node.FsckOptions{DataDir: c.DataDir(0)}); storage.CodeOf(err) != "data_dir_in_use" {
		t.Errorf("beside a running node: %v", err)
	}
	c.Stop(0)
	before := digest(t, c.DataDir(0))
	r := fsck(t, c.DataDir(0))
	if len(r.Problems) != 0 || r.Blobs != 4 || r.Hashed != 4 || r.Orphans != 0 || r.Unheld != 0 || r.Log.Commands == 0 || r.Counts.References != 4 {
		t.Fatalf("a clean directory: %+v", r)
	}
	if after := digest(t, c.DataDir(0)); after != before {
		t.Errorf("fsck changed the directory:\n%s\nto\n%s", before, after)
	}

	for name, damage := range map[string]struct {
		do   func(t *testing.T, dir string)
		want []string
	}{
		"a flipped byte in content": {
			func(t *testing.T, dir string) {
				t.Helper()
				flipWhere(t, dir, "blobs", content(3, 3_000_000)[1_000_000:1_000_064])
			},
			[]string{"blob " + cids[3].String()},
		},
		"a flipped bit in a term":       {damageTerm, []string{"CurrentTerm in the raft log fails its check"}},
		"a missing log entry":           {dropEntry, []string{"raft log: entry"}},
		"a flipped byte in an entry":    {damageEntry, []string{"fails its checksum"}},
		"no metadata":                   {func(t *testing.T, dir string) { t.Helper(); remove(t, filepath.Join(dir, "meta")) }, []string{"meta/ is missing"}},
		"no node.json that can be read": {func(t *testing.T, dir string) { t.Helper(); rewrite(t, filepath.Join(dir, "node.json"), []byte("{")) }, []string{"node.json"}},
		"a log that is cut to nothing":  {func(t *testing.T, dir string) { t.Helper(); rewrite(t, filepath.Join(dir, "raft", "raft.db"), nil) }, []string{"raft log"}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "copy")
			if err := os.CopyFS(dir, os.DirFS(c.DataDir(0))); err != nil {
				t.Fatal(err)
			}
			damage.do(t, dir)
			r := fsck(t, dir)
			all := strings.Join(r.Problems, "\n")
			for _, want := range damage.want {
				if !strings.Contains(all, want) {
					t.Errorf("told:\n%s\nwant %s", all, want)
				}
			}
		})
	}
}

// digest is what a directory holds, but for its lock files.
func digest(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() || e.Name() == "LOCK" {
			return err
		}
		content, err := os.ReadFile(path)
		b.WriteString(path + " " + storage.SumCID(content).String() + "\n")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// flipWhere flips one bit of the only place in a database where some bytes lie.
func flipWhere(t *testing.T, dir, db string, where []byte) {
	t.Helper()
	found := 0
	err := filepath.WalkDir(filepath.Join(dir, db), func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if at := bytes.Index(b, where); at >= 0 {
			found++
			b[at] ^= 1
			rewrite(t, path, b)
		}
		return nil
	})
	if err != nil || found != 1 {
		t.Fatalf("found in %d files: %v", found, err)
	}
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
}

// entry changes the last command entry of a log, as bbolt has it.
func entry(t *testing.T, dir string, change func(logs *bbolt.Bucket, key, value []byte) error) {
	t.Helper()
	db, err := bbolt.Open(filepath.Join(dir, "raft", "raft.db"), 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		logs := tx.Bucket([]byte("logs"))
		cur := logs.Cursor()
		k, v := cur.Last()
		for range 2 {
			k, v = cur.Prev()
		}
		return change(logs, bytes.Clone(k), bytes.Clone(v))
	})
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func dropEntry(t *testing.T, dir string) {
	t.Helper()
	entry(t, dir, func(logs *bbolt.Bucket, key, _ []byte) error { return logs.Delete(key) })
}

// damageEntry flips the last bit of an entry's data, behind its envelope's checksum.
func damageEntry(t *testing.T, dir string) {
	t.Helper()
	entry(t, dir, func(logs *bbolt.Bucket, key, value []byte) error {
		at := bytes.Index(value, []byte("Data")) + 20
		value[at] ^= 1
		return logs.Put(key, value)
	})
}

// damageTerm flips a bit of the term that the node has promised not to go below.
func damageTerm(t *testing.T, dir string) {
	t.Helper()
	db, err := bbolt.Open(filepath.Join(dir, "raft", "raft.db"), 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		conf, key := tx.Bucket([]byte("conf")), []byte("CurrentTerm")
		v := bytes.Clone(conf.Get(key))
		v[7] ^= 1
		return conf.Put(key, v)
	})
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if err != nil {
		t.Fatal(err)
	}
}
