package testcluster

import (
	"errors"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// Disk is what a node of a cluster with disks keeps all on but its Raft log,
// which is a real file: a disk in memory that can lose power, be slow, stand
// still, fill up or fail.
type Disk struct {
	data string // the node's data directory
	raft string // lies on the machine's own disk

	mu      sync.Mutex // protects the fields below
	mem     *vfs.MemFS
	life    *sync.Mutex // of mem: held over a Link, which takes a lock twice, and over a clone
	trouble Trouble
	changed chan struct{} // closed and made anew at each change
}

// Trouble is what a disk does to its node.
type Trouble struct {
	Sync     time.Duration // how long each sync takes
	Stalled  bool          // nothing is written or synced until it is over
	Full     bool          // below the floor of free space
	NoBlobs  bool          // the staging of large blobs fails with EIO
	BadReads float64       // probability with which a read of a blob's file fails with EIO
}

// The size of a disk, as it tells it.
const (
	diskBytes     = 64 << 30
	diskFreeBytes = 32 << 30
	// diskFloorBytes is the free space below which a node refuses uploads.
	diskFloorBytes = 1 << 30
)

func newDisk(dataDir string) *Disk {
	return &Disk{
		data: dataDir, raft: filepath.Join(dataDir, "raft"),
		mem: vfs.NewCrashableMem(), life: &sync.Mutex{}, changed: make(chan struct{}),
	}
}

// Set makes trouble, or with the zero value ends it.
func (d *Disk) Set(t Trouble) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.trouble = t
	close(d.changed)
	d.changed = make(chan struct{})
}

// losePower replaces what is on the disk by what power loss would leave now: a
// percentage of what is not synced. What the node that runs writes from now on
// goes nowhere.
func (d *Disk) losePower(percent int, rng *rand.Rand) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.life.Lock()
	defer d.life.Unlock()
	d.mem = d.mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rng})
	d.life = &sync.Mutex{}
}

// stalled reports whether the disk stands still.
func (d *Disk) stalled() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.trouble.Stalled
}

// release lets a node end whose disk stands still: what it waits to write goes
// nowhere.
func (d *Disk) release() {
	d.losePower(100, rand.New(rand.NewPCG(0, 0)))
	d.Set(Trouble{})
}

// wipe removes a directory of the node's, which must be down.
func (d *Disk) wipe(name string) error {
	fs := d.fs()
	return errors.Join(fs.RemoveAll(fs.PathJoin(d.data, name)))
}

// fs is the disk for one life of a node.
func (d *Disk) fs() vfs.FS {
	d.mu.Lock()
	defer d.mu.Unlock()
	return diskFS{FS: errorfs.Wrap(linkFS{d.mem, d.life}, errorfs.InjectorFunc(d.inject)), d: d}
}

// syncs are the operations that promise something.
var syncs = []errorfs.OpKind{errorfs.OpFileSync, errorfs.OpFileSyncData, errorfs.OpFileSyncTo}

func (d *Disk) inject(op errorfs.Op) error {
	for {
		d.mu.Lock()
		t, changed := d.trouble, d.changed
		d.mu.Unlock()
		write := op.Kind.ReadOrWrite() == errorfs.OpIsWrite && op.Kind != errorfs.OpFileClose
		switch {
		case t.Stalled && write:
			<-changed
			continue
		case t.NoBlobs && write && strings.Contains(op.Path, "staging"):
			return syscall.EIO
		case t.BadReads > 0 && op.Kind == errorfs.OpFileReadAt && strings.Contains(op.Path, "/blobs/") && rand.Float64() < t.BadReads:
			return syscall.EIO
		}
		if t.Sync > 0 && slices.Contains(syncs, op.Kind) {
			time.Sleep(t.Sync)
		}
		return nil
	}
}

// diskFS is a Disk as a node sees it.
type diskFS struct {
	vfs.FS
	d *Disk
}

// Stat implements vfs.FS.
func (f diskFS) Stat(name string) (vfs.FileInfo, error) {
	if name == f.d.raft {
		return vfs.Default.Stat(name)
	}
	return f.FS.Stat(name)
}

// GetDiskUsage implements vfs.FS.
func (f diskFS) GetDiskUsage(string) (vfs.DiskUsage, error) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	free := uint64(diskFreeBytes)
	if f.d.trouble.Full {
		free = 1 << 20
	}
	return vfs.DiskUsage{AvailBytes: free, TotalBytes: diskBytes, UsedBytes: diskBytes - free}, nil
}

// Unwrap implements vfs.FS.
func (f diskFS) Unwrap() vfs.FS { return f.FS }

// linkFS holds a lock over Link and ReuseForWrite: MemFS never returns from one when a clone is
// asked for in between.
type linkFS struct {
	*vfs.MemFS
	life *sync.Mutex
}

// Link implements vfs.FS.
func (f linkFS) Link(from, to string) error {
	f.life.Lock()
	defer f.life.Unlock()
	return f.MemFS.Link(from, to)
}

// ReuseForWrite implements vfs.FS.
func (f linkFS) ReuseForWrite(from, to string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f.life.Lock()
	defer f.life.Unlock()
	return f.MemFS.ReuseForWrite(from, to, c)
}
