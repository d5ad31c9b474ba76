package node

import (
	"crypto/rand"
	"encoding/base32"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	iofs "io/fs"
	"strings"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"

	"ringbin/storage"
)

// Names inside the data directory.
const (
	identityFile = "node.json"
	lockFile     = "LOCK"
	secretFile   = "cluster.secret"
	raftDir      = "raft"
	metaDir      = "meta"
	blobsDir     = "blobs"
	logsDir      = "logs"
	spoolDir     = "spool"

	dataFormat = 1
)

// identityRecord is node.json: who this node is. It is written whole, under a
// temporary name, and renamed: what is read is always complete.
type identityRecord struct {
	Format      int            `json:"format"`
	Node        storage.NodeID `json:"node_id"`
	Incarnation uint64         `json:"incarnation"`
	// Cluster is set once this node's Raft log holds its membership. A node
	// with a Cluster and no Raft log has lost its vote and is somebody else (I15).
	Cluster string `json:"cluster_id,omitempty"`
	// Promise is the one set of nodes that this one will ever bootstrap with.
	Promise []storage.NodeID `json:"promise,omitempty"`
	// Peers are the last known RPC addresses: hints for the time before the
	// replicated address book can be read.
	Peers map[storage.NodeID]string `json:"peers,omitempty"`
	// Removed are the members that a recovery removed. The metadata knows them,
	// too, but only once it has applied the log: until then they count from here.
	Removed []storage.NodeID `json:"removed,omitempty"`
}

// dataDir is a node's directory: one process at a time.
type dataDir struct {
	fs   vfs.FS
	path string
	lock io.Closer

	mu sync.Mutex // protects id and the file it is written to
	id identityRecord
}

// openDataDir locks the directory and reads or makes the node's identity.
func openDataDir(fs vfs.FS, path string) (*dataDir, error) {
	const op = "node.openDataDir"
	if path == "" {
		return nil, storage.Invalid(op, "", "data-dir", "required")
	}
	if err := storage.MkdirAllDurably(fs, path); err != nil {
		return nil, storage.E(op, storage.KindInternal, err)
	}
	lock, err := lockDataDir(fs, path)
	if err != nil {
		return nil, err
	}
	d := &dataDir{fs: fs, path: path, lock: lock}
	if err := d.load(); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return d, nil
}

func lockDataDir(fs vfs.FS, path string) (io.Closer, error) {
	lock, err := fs.Lock(fs.PathJoin(path, lockFile))
	if err != nil {
		return nil, &storage.Error{
			Op: "node.lockDataDir", Kind: storage.KindConflict, Code: "data_dir_in_use",
			Text: fmt.Sprintf("data directory %s is used by another process", path), Err: err,
		}
	}
	return lock, nil
}

func (d *dataDir) load() error {
	err := d.read()
	if isNotExist(err) {
		d.id = identityRecord{Format: dataFormat, Node: newNodeID(), Incarnation: 1}
		return d.write()
	}
	if err != nil {
		return err
	}
	return d.checkLosses()
}

// read reads the record that is there.
func (d *dataDir) read() error {
	b, err := d.readFile(identityFile)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, &d.id); err != nil {
		return storage.E("node.load", storage.KindCorrupt, fmt.Errorf("%s: %w", identityFile, err))
	}
	if d.id.Format != dataFormat {
		return storage.E("node.load", storage.KindConflict, fmt.Errorf("%s has format %d, this program knows %d", identityFile, d.id.Format, dataFormat))
	}
	return nil
}

// checkLosses notices directories that a member should have and does not: a
// lost Raft log makes a new node of it, lost blobs a new incarnation.
func (d *dataDir) checkLosses() error {
	if d.id.Cluster == "" {
		return nil
	}
	if !d.exists(raftDir) {
		// Its metadata goes, too: what it has applied may be of an epoch that
		// the cluster it joins knows nothing of.
		if err := d.fs.RemoveAll(d.join(metaDir)); err != nil && !isNotExist(err) {
			return storage.E("node.checkLosses", storage.KindInternal, err)
		}
		d.id = identityRecord{Format: dataFormat, Node: newNodeID(), Incarnation: 1, Peers: d.id.Peers}
		return d.write()
	}
	blobs, err := storage.HasStore(d.fs, d.join(blobsDir))
	if err == nil && !blobs {
		d.id.Incarnation++
		return d.write()
	}
	return err
}

func (d *dataDir) exists(name string) bool {
	_, err := d.fs.Stat(d.join(name))
	return err == nil
}

func (d *dataDir) join(name string) string { return d.fs.PathJoin(d.path, name) }

// identity returns a copy of the record. What it points to is never changed, only replaced.
func (d *dataDir) identity() identityRecord {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.id
}

// update changes the record and returns once the change is durable.
func (d *dataDir) update(change func(*identityRecord)) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	change(&d.id)
	return d.write()
}

func (d *dataDir) write() error {
	b, err := json.MarshalIndent(d.id, "", "  ")
	if err != nil {
		return storage.E("node.writeIdentity", storage.KindInternal, err)
	}
	return d.writeFile(identityFile, append(b, '\n'))
}

// writeFile replaces a file of the directory, durably and in one step.
func (d *dataDir) writeFile(name string, b []byte) error {
	if err := storage.WriteFileDurably(d.fs, d.join(name), b); err != nil {
		return storage.E("node.writeFile", storage.KindInternal, err)
	}
	return nil
}

func (d *dataDir) readFile(name string) ([]byte, error) {
	f, err := d.fs.Open(d.join(name))
	if err != nil {
		return nil, err //nolint:wrapcheck // callers ask what kind it is
	}
	b, err := io.ReadAll(f)
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, storage.E("node.readFile", storage.KindInternal, err)
	}
	return b, nil
}

func (d *dataDir) close() error {
	if err := d.lock.Close(); err != nil {
		return storage.E("node.closeDataDir", storage.KindInternal, err)
	}
	return nil
}

// newNodeID draws an id of 80 random bits. It goes into certificates as a DNS
// name, hence the alphabet.
func newNodeID() storage.NodeID {
	b := make([]byte, 10)
	_, _ = rand.Read(b) // never fails: crypto/rand ends the process instead
	return storage.NodeID(strings.ToLower(base32.StdEncoding.EncodeToString(b)))
}

func isNotExist(err error) bool { return errors.Is(err, iofs.ErrNotExist) }
