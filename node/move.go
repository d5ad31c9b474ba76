package node

import (
	"context"

	"ringbin/cluster/peer"
	"ringbin/storage"
	"ringbin/storage/meta"
)

// moves is what a change of the ring asks of this node, as replication wants it.
type moves struct{ n *Node }

func (m moves) ToSync() (version uint64, partitions []int, err error) {
	return m.n.fsm.ToSync(m.n.self(), m.n.dir.identity().Incarnation)
}

func (m moves) Synced(ctx context.Context, version uint64, partitions []int) error {
	set := meta.NewPartitionSet()
	for _, p := range partitions {
		set.Add(p)
	}
	return m.n.proposeAs(ctx, meta.PartitionsSynced{
		Node: m.n.self(), Incarnation: m.n.dir.identity().Incarnation, Version: version, Partitions: set,
	})
}

// ringDuties wakes replication when the rings want something else of it. Both
// kinds of look are cheap when there is nothing to do, and neither is asked for
// by each partition that is handed over.
func (n *Node) ringDuties() {
	cur, next := n.fsm.Ring()
	if cur != nil && n.kickedFor.Swap(cur.Version) != cur.Version {
		n.replicas.Kick()
	}
	if next != nil && n.movedFor.Swap(next.Version) != next.Version {
		n.replicas.RingChanged()
	}
}

// MoveStatus is how far a change of the ring is.
type MoveStatus struct {
	From  uint64 `json:"from_version"`
	To    uint64 `json:"to_version"`      // 0: none under way
	Left  int    `json:"partitions_left"` // to be handed over
	Since int64  `json:"since_ms"`        // FSM time, Unix milliseconds, of the ring's last change
	Held  bool   `json:"held"`            // by the operator: nothing is moved
	Blobs int64  `json:"blobs_left"`      // that new owners still have to fetch, as far as they answer
	Bytes int64  `json:"bytes_left"`
}

func (n *Node) moveStatus(statuses map[storage.NodeID]peer.Status) MoveStatus {
	cur, next := n.fsm.Ring()
	c := n.fsm.RingChange()
	m := MoveStatus{Left: c.Left, Since: c.Since, Held: c.Held}
	if cur != nil {
		m.From = cur.Version
	}
	if next != nil {
		m.To = next.Version
	}
	for _, st := range statuses {
		m.Blobs += st.MoveBlobs
		m.Bytes += st.MoveBytes
	}
	return m
}

// confirmOwned gives this node's word for a copy that it owns. An owner that
// does not hold it yet, since an upload began under the rings before, fetches it
// from those who do.
func (n *Node) confirmOwned(ctx context.Context, cid storage.CID) (storage.Receipt, bool, error) {
	r, held, err := n.owner.Confirm(ctx, cid)
	if err != nil || held || !n.replicas.Fetch(ctx, cid) {
		return r, held, err
	}
	return n.owner.Confirm(ctx, cid)
}
