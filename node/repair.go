package node

import (
	"errors"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"ringbin/cluster/peer"
	"ringbin/storage"
)

// Limits of repair.
const (
	setAsideMax      = 2  // databases of a store that a start sets aside: it has two at most
	scrubLatePercent = 25 // over its time
)

// openStore opens the blob store. A database that can't be opened any more for
// rot is set aside, and the node comes up without what it held, to be filled by
// its peers: under a new incarnation, which is written down before, so that no
// receipt for what is gone ever counts again.
func (n *Node) openStore(fs vfs.FS) (*storage.Store, error) {
	dir := n.dir.join(blobsDir)
	for range setAsideMax {
		store, err := n.tryStore(fs, dir)
		rot, rotten := errors.AsType[*storage.RottenError](err)
		if !rotten {
			return store, err
		}
		if !n.hasPeers() {
			return nil, &storage.Error{
				Op: "node.openStore", Kind: storage.KindCorrupt, Err: err,
				Text: "the blob store is damaged and there is no other node to fill a new one: restore " + rot.Path + " from a backup, or move it away to start without its content",
			}
		}
		n.logger.Error("a database of blobs can't be opened: it is set aside, and filled again by other nodes", "path", rot.Path, "err", rot.Err)
		if err := n.dir.update(func(r *identityRecord) { r.Incarnation++ }); err != nil {
			return nil, err
		}
		if err := storage.SetAside(fs, rot); err != nil {
			return nil, err
		}
	}
	return n.tryStore(fs, dir)
}

func (n *Node) tryStore(fs vfs.FS, dir string) (*storage.Store, error) {
	return storage.OpenStore(dir, storage.StoreOptions{
		FS: fs, OnDiskSlow: n.slow.add, Logger: n.logger, CacheBytes: n.cfg.CacheBytes, FreeFloorBytes: n.cfg.FreeFloorBytes,
		OnCorrupt: func(cid storage.CID, err error) {
			n.logger.Error("a stored copy is corrupt", "blob", cid, "err", err)
			if r := n.replicasNow.Load(); r != nil {
				r.OnCorrupt(cid)
			}
		},
		OnFatal: func(err error) { n.fail("blob store can't go on", err) },
	})
}

// hasPeers reports whether this node is a member of a cluster with others.
func (n *Node) hasPeers() bool {
	id := n.dir.identity()
	others := len(id.Peers)
	if _, own := id.Peers[id.Node]; own {
		others--
	}
	return id.Cluster != "" && others > 0
}

// scrubLate reports whether copies were not read for longer than it should take.
func (n *Node) scrubLate() bool {
	every := n.replicas.ScrubEvery()
	return every > 0 && n.replicas.Scrub().Age(time.Now()) > every+every/100*scrubLatePercent
}

// lost are the CIDs that this node found to be lost.
func (n *Node) lost() []string {
	var out []string
	for _, cid := range n.replicas.Lost() {
		out = append(out, cid.String())
	}
	return out
}

// repairReasons are what the copies of blobs lack in the whole cluster.
func (h *healthWatch) repairReasons(statuses map[storage.NodeID]peer.Status, add func(code string, count int64, text string)) {
	var lost, rebuilding, late int64
	for _, st := range statuses {
		lost += st.Lost
		rebuilding += int64(number(st.Rebuilding))
		late += int64(number(st.ScrubLate))
	}
	add(reasonLost, lost, "blobs of which no owner has a good copy: what is left of them is kept")
	add(reasonRebuild, rebuilding, "nodes that replace a rotten database of blobs")
	add(reasonScrub, late, "nodes that have not read all their copies again in time")
}

func (n *Node) repairMetrics(gauge gaugeFunc) {
	r := n.replicas
	gauge("replica_lost_blobs", "Blobs that this node owns and nobody has a good copy of.", func() float64 { return float64(r.Status().Lost) })
	gauge("replica_pass_lacking_copies", "Copies that the running or last pass found missing or corrupt.", func() float64 { return float64(r.Status().Progress.Lacking) })
	gauge("replica_pass_restored_copies", "Copies that the running or last pass restored.", func() float64 { return float64(r.Status().Progress.Restored) })
	gauge("replica_pass_restored_bytes", "Bytes of the copies that the running or last pass restored.", func() float64 { return float64(r.Status().Progress.RestoredBytes) })
	gauge("store_rebuild", "1 while a rotten database of blobs is being replaced.", func() float64 { return number(r.Rebuilding()) })
	gauge("scrub_bytes", "Bytes that the scrub has read and found right, ever.", func() float64 { return float64(r.Scrub().Bytes) })
	gauge("scrub_found_copies", "Copies that the scrub found wrong, ever.", func() float64 { return float64(r.Scrub().Found) })
	gauge("scrub_age_seconds", "Since the last whole round of the scrub ended, or since the first one began.", func() float64 { return r.Scrub().Age(time.Now()).Seconds() })
	gauge("scrub_last_round_timestamp_seconds", "When the last whole round of the scrub ended; 0 before the first.", func() float64 {
		if at := r.Scrub().Finished; !at.IsZero() {
			return float64(at.Unix())
		}
		return 0
	})
}

// ScrubFound is how many bad copies the scrub of this node has found.
func (n *Node) ScrubFound() int64 { return n.replicas.Scrub().Found }
