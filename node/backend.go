package node

import (
	"context"
	"io"
	"slices"

	"github.com/fxamacker/cbor/v2"

	"ringbin/cluster"
	"ringbin/cluster/peer"
	"ringbin/storage"
	"ringbin/storage/meta"
)

// backend is what a node offers its peers.
type backend struct{ n *Node }

var _ peer.Backend = backend{}

func (b backend) PutBlob(ctx context.Context, cid storage.CID, sealed io.Reader) (storage.Receipt, error) {
	return b.n.owner.ReceiveSealed(ctx, cid, sealed)
}

func (b backend) PutBlobs(ctx context.Context, blobs []storage.Proven) []storage.Verdict {
	return b.n.owner.ReceiveAll(ctx, blobs)
}

func (b backend) ConfirmBlob(ctx context.Context, cid storage.CID) (storage.Receipt, bool, error) {
	return b.n.confirmOwned(ctx, cid)
}

func (b backend) OpenBlob(ctx context.Context, cid storage.CID, offset, length int64) (io.ReadCloser, error) {
	r, err := b.n.store.Open(ctx, cid, offset, length)
	if err != nil {
		if kind := storage.KindOf(err); kind == storage.KindNotFound || kind == storage.KindCorrupt {
			b.n.replicas.Want(cid) // read repair: the caller goes to the next holder meanwhile
		}
		return nil, err
	}
	if length < 0 {
		length = cid.Size() - offset
	}
	return storage.NewSealedReader(cid, offset, length, r), nil
}

func (b backend) StatBlob(_ context.Context, cid storage.CID) (storage.BlobInfo, bool, error) {
	info, ok, err := b.n.store.Stat(cid)
	if err == nil && (!ok || info.Corrupt) {
		b.n.replicas.Want(cid)
	}
	return info, ok, err
}

func (b backend) StatBlobs(ctx context.Context, cids []storage.CID) ([]storage.Holding, error) {
	holdings := make([]storage.Holding, len(cids))
	for i, cid := range cids {
		if err := ctx.Err(); err != nil {
			return nil, context.Cause(ctx)
		}
		h, err := b.n.store.Holding(cid)
		if err != nil {
			return nil, err
		}
		if holdings[i] = h; h != storage.HoldsGood {
			b.n.replicas.Want(cid)
		}
	}
	return holdings, nil
}

func (b backend) Propose(ctx context.Context, p peer.Pack) (peer.PackReply, error) {
	if err := b.n.knownPeer(ctx); err != nil {
		return peer.PackReply{}, err
	}
	index, err := b.n.proposer.accept(ctx, p)
	return peer.PackReply{Index: index}, err
}

func (b backend) ReadIndex(ctx context.Context) (peer.ReadIndexReply, error) {
	raft, ok := b.n.raft()
	if !ok || !raft.IsLeader() {
		return peer.ReadIndexReply{}, noLeader("node.ReadIndex", nil)
	}
	index, err := b.n.leaderReads.get(ctx)
	return peer.ReadIndexReply{Index: index, Term: raft.Term()}, err
}

func (b backend) Term(context.Context) (uint64, error) {
	raft, ok := b.n.raft()
	if !ok {
		return 0, noLeader("node.Term", nil)
	}
	return raft.Term(), nil
}

func (b backend) Hello(_ context.Context, body []byte) ([]byte, error) {
	const op = "node.Hello"
	var q cluster.HelloRequest
	if err := cbor.Unmarshal(body, &q); err != nil {
		return nil, storage.E(op, storage.KindInvalid, err)
	}
	reply, err := cbor.Marshal(b.n.former.Answer(q))
	if err != nil {
		return nil, storage.E(op, storage.KindInternal, err)
	}
	return reply, nil
}

// Join admits a node: its address goes into the book, and it becomes a
// non-voter. It votes once it has caught up, when the voter target wants one.
func (b backend) Join(ctx context.Context, q peer.JoinRequest) (peer.JoinReply, error) {
	const op = "node.Join"
	n := b.n
	raft, ok := n.raft()
	if !ok {
		return peer.JoinReply{}, noLeader(op, nil)
	}
	leader, _, ok := raft.Leader()
	switch {
	case !ok:
		return peer.JoinReply{}, noLeader(op, nil)
	case leader != n.self():
		return n.peers.Join(ctx, leader, q)
	}
	if id, ok := peer.Caller(ctx); ok && id != q.ID && !n.isMember(id) {
		return peer.JoinReply{}, &storage.Error{Op: op, Kind: storage.KindForbidden, Text: "a node can only join itself"}
	}
	n.hints.set(q.ID, q.RPC)
	record := meta.Node{
		ID: q.ID, Name: q.Name, Incarnation: q.Incarnation, RPC: q.RPC, Gossip: q.Gossip,
		HTTP: q.HTTP, Zone: q.Zone, Capacity: q.Capacity, Version: q.Version,
	}
	if !n.inConfiguration(q.ID) {
		if err := n.noteReplaced(ctx, record); err != nil {
			return peer.JoinReply{}, err
		}
	}
	res, err := n.proposer.propose(ctx, meta.Header{}, meta.PutNode{Node: record})
	if err == nil && res.Err != nil {
		err = res.Err
	}
	if err != nil {
		return peer.JoinReply{}, err
	}
	if !n.inConfiguration(q.ID) {
		if err := raft.AddNonvoter(ctx, q.ID); err != nil {
			return peer.JoinReply{}, err
		}
	}
	reply := peer.JoinReply{ClusterID: n.clusterID(), Leader: n.self(), CommitIndex: raft.CommitIndex()}
	for _, m := range n.fsm.Nodes() {
		reply.Nodes = append(reply.Nodes, peer.NodeAddr{ID: m.ID, RPC: m.RPC})
	}
	return reply, nil
}

func (b backend) Remove(ctx context.Context, id storage.NodeID) error {
	if err := b.n.knownPeer(ctx); err != nil {
		return err
	}
	return b.n.removeNode(ctx, id)
}

// Status tells a peer how this node is, and whether it knows that the peer was
// removed: one that was away when that was decided hears it here.
func (b backend) Status(ctx context.Context) (peer.Status, error) {
	st := b.n.status()
	if id, ok := peer.Caller(ctx); ok {
		gone, err := b.n.fsm.Removed(id)
		if err != nil {
			return st, err
		}
		st.Removed = gone
	}
	return st, nil
}

// Gone tells a node whether it was taken out. It is the one answer that a node
// which is no member any more gets.
func (b backend) Gone(ctx context.Context) (bool, error) {
	id, ok := peer.Caller(ctx)
	if !ok {
		return false, storage.E("node.Gone", storage.KindUnauthenticated, nil)
	}
	return b.n.fsm.Removed(id)
}

func (b backend) RequestLogs(ctx context.Context, query []byte) ([]byte, error) {
	if err := b.n.knownPeer(ctx); err != nil {
		return nil, err
	}
	return b.n.answerLogs(ctx, query)
}

// Window counts requests for another node.
func (b backend) Window(ctx context.Context, q peer.WindowRequest) (peer.WindowReply, error) {
	if err := b.n.knownPeer(ctx); err != nil {
		return peer.WindowReply{}, err
	}
	return b.n.service.countWindow(ctx, q)
}

// knownPeer refuses whoever the address book does not name: a removed node
// still has a certificate.
func (n *Node) knownPeer(ctx context.Context) error {
	id, ok := peer.Caller(ctx)
	if !ok {
		return storage.E("node.knownPeer", storage.KindUnauthenticated, nil)
	}
	if n.isMember(id) || n.inConfiguration(id) {
		return nil
	}
	return &storage.Error{Op: "node.knownPeer", Kind: storage.KindForbidden, Code: "not_a_member"}
}

// refuses reports whether a node was removed: its Raft is not listened to.
// What can't be read counts as not removed: such a node halts anyway.
func (n *Node) refuses(id storage.NodeID) bool {
	gone, err := n.fsm.Removed(id)
	return err == nil && gone || slices.Contains(n.dir.identity().Removed, id)
}

func (n *Node) isMember(id storage.NodeID) bool {
	_, ok := n.fsm.Node(id)
	return ok
}

func (n *Node) inConfiguration(id storage.NodeID) bool {
	raft, ok := n.raft()
	if !ok {
		return false
	}
	for _, s := range raft.Servers() {
		if s.ID == id {
			return true
		}
	}
	return false
}

// status is this node as it tells its peers.
func (n *Node) status() peer.Status {
	st := peer.Status{
		ID: n.self(), Name: n.cfg.Name, Version: n.cfg.Version, Incarnation: n.dir.identity().Incarnation,
		Applied: n.fsm.AppliedIndex(), Clock: n.clock(),
	}
	if raft, ok := n.raft(); ok {
		st.Term, st.Commit = raft.Term(), raft.CommitIndex()
		st.Leader, _, _ = raft.Leader()
	}
	stats := n.store.Stats()
	st.Blobs, st.BlobBytes = stats.Blobs, stats.Bytes
	if free, total, err := n.store.FreeBytes(); err == nil {
		st.FreeBytes, st.TotalBytes = free, total
	}
	if index, hash, err := n.fsm.StateHash(); err == nil {
		st.StateIndex, st.StateHash = index, hash
	}
	st.BallastOut, st.DiskSlow = n.ballast.isOut(), n.slow.lately()
	if raft, ok := n.raft(); ok {
		st.LogEntries = raft.LogEntries()
	}
	st.LogFailing = n.service.requests.failing()
	check := n.fsm.Checkpoint()
	st.CheckIndex, st.CheckHash = check.Index, check.Hash
	left, pulled := n.replicas.MoveLeft(), n.replicas.Pulled()
	st.MoveBlobs, st.MoveBytes, st.PulledBlobs, st.PulledBytes = left.Blobs, left.Bytes, pulled.Blobs, pulled.Bytes
	rs := n.replicas.Status()
	st.Missing, st.Corrupt, st.SyncedRing = rs.Missing, rs.Corrupt, n.replicas.SyncedFor()
	st.Lost, st.Rebuilding, st.ScrubLate = rs.LostFirst, n.replicas.Rebuilding(), n.scrubLate()
	return st
}
