package node

import (
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"ringbin/storage"
)

func openDir(t *testing.T, fs vfs.FS) *dataDir {
	t.Helper()
	d, err := openDataDir(fs, "data")
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func reopen(t *testing.T, fs vfs.FS, d *dataDir) *dataDir {
	t.Helper()
	if err := d.close(); err != nil {
		t.Fatal(err)
	}
	return openDir(t, fs)
}

// TestLostDirectories: a member without its Raft log is somebody else, one
// without its blobs says so by a new incarnation (I15).
func TestLostDirectories(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMem()
	d := openDir(t, fs)
	first := d.identity()
	if err := d.update(func(r *identityRecord) { r.Cluster = "c" }); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{d.join(raftDir), fs.PathJoin(d.join(blobsDir), "db")} {
		if err := fs.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	d = reopen(t, fs, d)
	if id := d.identity(); id.Node != first.Node || id.Incarnation != 1 || id.Cluster != "c" {
		t.Fatalf("an ordinary restart made %+v of %+v", id, first)
	}
	if err := fs.RemoveAll(d.join(blobsDir)); err != nil {
		t.Fatal(err)
	}
	d = reopen(t, fs, d)
	if id := d.identity(); id.Node != first.Node || id.Incarnation != 2 {
		t.Fatalf("lost blobs made %+v of %+v", id, first)
	}
	if err := fs.MkdirAll(d.join(blobsDir), 0o700); err != nil { // of which the database is gone
		t.Fatal(err)
	}
	d = reopen(t, fs, d)
	if id := d.identity(); id.Node != first.Node || id.Incarnation != 3 {
		t.Fatalf("a lost database of blobs made %+v of %+v", id, first)
	}
	if err := fs.RemoveAll(d.join(raftDir)); err != nil {
		t.Fatal(err)
	}
	d = reopen(t, fs, d)
	if id := d.identity(); id.Node == first.Node || id.Cluster != "" || len(id.Promise) != 0 {
		t.Fatalf("a lost raft log made %+v of %+v", id, first)
	}
}

func TestOneProcessForEachDirectory(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMem()
	d := openDir(t, fs)
	if _, err := openDataDir(fs, "data"); storage.CodeOf(err) != "data_dir_in_use" {
		t.Errorf("opened twice: %v", err)
	}
	if err := d.close(); err != nil {
		t.Fatal(err)
	}
}

// TestPromiseSurvivesPowerLoss: power is lost before each write operation; a
// promise that was made is there, and the identity is never half-written.
func TestPromiseSurvivesPowerLoss(t *testing.T) {
	t.Parallel()
	for at := 1; ; at++ {
		mem := vfs.NewCrashableMem()
		promised := false
		var clone *vfs.MemFS
		var kept bool
		writes := 0
		fs := errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
			if op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
				if writes++; writes == at {
					clone, kept = mem.CrashClone(vfs.CrashCloneCfg{}), promised
				}
			}
			return nil
		}))
		d := openDir(t, fs)
		was := d.identity().Node
		if err := d.update(func(r *identityRecord) { r.Promise = []storage.NodeID{"a", "b"} }); err != nil {
			t.Fatal(err)
		}
		promised = true
		if err := d.update(func(r *identityRecord) { r.Cluster = "c" }); err != nil {
			t.Fatal(err)
		}
		if err := d.close(); err != nil {
			t.Fatal(err)
		}
		if clone == nil {
			if at < 5 {
				t.Fatalf("only %d write operations were seen", at-1)
			}
			return
		}
		after := openDir(t, clone).identity()
		if kept && (after.Node != was && after.Cluster == "" && len(after.Promise) == 0) {
			t.Fatalf("power lost before write %d: the promise is gone: %+v", at, after)
		}
	}
}
