package node

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/fxamacker/cbor/v2"

	"ringbin/cluster"
	"ringbin/cluster/peer"
	"ringbin/storage"
	"ringbin/storage/meta"
)

// Times of becoming and staying a member.
const (
	formEvery     = 500 * time.Millisecond
	joinEvery     = 2 * time.Second
	announceEvery = 2 * time.Second
	memberRPC     = 5 * time.Second
)

// addressHints are RPC addresses learnt before, or beside, the replicated
// address book. They only say where to dial; who answers is proved by TLS.
type addressHints struct {
	mu   sync.Mutex // protects addr
	addr map[storage.NodeID]string
}

func (h *addressHints) set(id storage.NodeID, addr string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if addr != "" && len(h.addr) < hintsMax {
		h.addr[id] = addr
	}
}

// hintsMax bounds what strangers with a certificate can make a node remember.
const hintsMax = 1024

func (h *addressHints) get(id storage.NodeID) (string, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	a, ok := h.addr[id]
	return a, ok
}

// resolve turns a node id into host:port: what the node itself says now, since
// it may have moved and can't change the book before it is heard; then the
// replicated book, then hints. Who answers is proved by TLS.
func (n *Node) resolve(id storage.NodeID) (string, bool) {
	if g := n.gossipNow.Load(); g != nil {
		if addr, ok := g.RPC(id); ok {
			return addr, true
		}
	}
	if m, ok := n.fsm.Node(id); ok && m.RPC != "" {
		return m.RPC, true
	}
	return n.hints.get(id)
}

// dialPeer opens a peer RPC connection to a node whose certificate must carry its id.
func (n *Node) dialPeer(ctx context.Context, id storage.NodeID) (net.Conn, error) {
	addr, ok := n.resolve(id)
	if !ok {
		return nil, fmt.Errorf("no address for node %s", id)
	}
	return n.dialTLS(ctx, addr, id)
}

// dialAddr does so to an address behind which any member may be.
func (n *Node) dialAddr(ctx context.Context, addr string) (net.Conn, error) {
	return n.dialTLS(ctx, addr, "")
}

// becomeMember makes a blank node one of a cluster: of a new one, or of the
// one that it meets. It returns once this node's Raft has its membership.
func (n *Node) becomeMember(ctx context.Context, raft *cluster.Raft) error {
	// A node that stopped between its first entry and the whole of its
	// membership goes on joining.
	id := n.dir.identity()
	joining := raft.HasState() && id.Cluster == "" && len(id.Promise) == 0
	if raft.HasState() && !joining {
		return n.noteMembership()
	}
	if joining && len(n.cfg.Join) == 0 {
		return storage.Invalid("node.becomeMember", "", "join", "this node was joining a cluster: the addresses are needed once more")
	}
	res, err := n.former.Run(ctx)
	if err != nil {
		return err
	}
	if joining && res.Member == nil {
		return &storage.Error{
			Op: "node.becomeMember", Kind: storage.KindConflict,
			Text: "this node was joining a cluster and found none: wipe its data directory to found one",
		}
	}
	if res.Member != nil {
		return n.join(ctx, raft, *res.Member)
	}
	ids := make([]storage.NodeID, 0, len(res.Bootstrap))
	for _, c := range res.Bootstrap {
		ids = append(ids, c.ID)
		n.hints.set(c.ID, c.RPC)
	}
	if err := n.keepHints(); err != nil {
		return err
	}
	// Another founder may have asked for this node's vote meanwhile, or sent it
	// the first entries: the same configuration then comes with those.
	if err := raft.Bootstrap(ids); err != nil && storage.KindOf(err) != storage.KindConflict {
		return err
	}
	return n.setCluster(cluster.FoundedID(ids))
}

// noteMembership completes node.json after a crash between the Raft log's
// bootstrap and the record of it.
func (n *Node) noteMembership() error {
	id := n.dir.identity()
	if id.Cluster != "" {
		return nil
	}
	if len(id.Promise) == 0 {
		return storage.E("node.noteMembership", storage.KindCorrupt, errors.New("raft has state, node.json names no cluster"))
	}
	return n.setCluster(cluster.FoundedID(id.Promise))
}

func (n *Node) setCluster(id string) error {
	n.former.SetMember(id)
	return n.dir.update(func(r *identityRecord) { r.Cluster = id })
}

// promise keeps the set of founders before it counts for anybody.
func (n *Node) promise(ids []storage.NodeID) error {
	return n.dir.update(func(r *identityRecord) { r.Promise = ids })
}

func (n *Node) join(ctx context.Context, raft *cluster.Raft, m cluster.Membership) error {
	changes, stop := raft.Watch()
	defer stop()
	for {
		if raft.HasState() && n.inConfiguration(n.self()) {
			return n.setCluster(m.ClusterID)
		}
		if err := n.askToJoin(ctx, m.Via); err != nil {
			n.logger.Warn("joining is not done yet", "via", m.Via, "err", err)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-changes:
		case <-time.After(joinEvery):
		}
	}
}

func (n *Node) askToJoin(ctx context.Context, via string) error {
	ctx, cancel := context.WithTimeout(ctx, 2*memberRPC)
	defer cancel()
	self := n.record()
	reply, err := n.peers.JoinAddr(ctx, via, peer.JoinRequest{
		ID: self.ID, Name: self.Name, Incarnation: self.Incarnation, RPC: self.RPC, Gossip: self.Gossip,
		HTTP: self.HTTP, Zone: self.Zone, Capacity: self.Capacity, Version: self.Version,
	})
	if err != nil {
		return err
	}
	for _, a := range reply.Nodes {
		n.hints.set(a.ID, a.RPC)
	}
	return n.keepHints()
}

// keepHints writes the addresses down for the next start.
func (n *Node) keepHints() error {
	n.hints.mu.Lock()
	peers := maps.Clone(n.hints.addr)
	n.hints.mu.Unlock()
	for _, m := range n.fsm.Nodes() {
		peers[m.ID] = m.RPC
	}
	if maps.Equal(peers, n.dir.identity().Peers) {
		return nil
	}
	return n.dir.update(func(r *identityRecord) { r.Peers = peers })
}

// hello asks an address who is there.
func (n *Node) hello(ctx context.Context, addr string, q cluster.HelloRequest) (cluster.HelloReply, error) {
	const op = "node.hello"
	var reply cluster.HelloReply
	body, err := cbor.Marshal(q)
	if err != nil {
		return reply, storage.E(op, storage.KindInternal, err)
	}
	ctx, cancel := context.WithTimeout(ctx, memberRPC)
	defer cancel()
	b, err := n.peers.HelloAddr(ctx, addr, body)
	if err != nil {
		return reply, err
	}
	if err := cbor.Unmarshal(b, &reply); err != nil {
		return reply, storage.E(op, storage.KindInvalid, err)
	}
	return reply, nil
}

// record is this node as the address book should have it.
func (n *Node) record() meta.Node {
	capacity := n.cfg.Capacity
	if capacity == 0 {
		capacity = 100
	}
	return meta.Node{
		ID: n.self(), Name: n.cfg.Name, Incarnation: n.dir.identity().Incarnation,
		RPC: n.advertised.rpc, Gossip: n.advertised.gossip, HTTP: n.advertised.http,
		Zone: n.cfg.Zone, Capacity: capacity, Version: n.cfg.Version,
	}
}

// runMember does what every member does until ctx ends: it keeps its own entry
// in the address book true, writes addresses down for the next start, tells
// replication of new rings, and notices when it is no member any more.
func (n *Node) runMember(ctx context.Context) {
	changes, stop := n.fsm.Watch()
	defer stop()
	var peersChanged <-chan struct{}
	if g := n.gossipNow.Load(); g != nil {
		peersChanged = g.Events()
	}
	timer := time.NewTicker(announceEvery)
	defer timer.Stop()
	for {
		n.memberDuties(ctx)
		select {
		case <-ctx.Done():
			return
		case <-changes:
		case <-peersChanged:
			// Who came back may have what could not be had.
			if st := n.replicas.Status(); st.Missing > 0 || st.Corrupt > 0 || st.Lost > 0 {
				n.replicas.Kick()
			}
		case <-timer.C:
		}
	}
}

func (n *Node) memberDuties(ctx context.Context) {
	raft, ok := n.raft()
	if !ok {
		return
	}
	n.noteLeaving()
	n.checkOut(ctx)
	n.ringDuties()
	if _, _, led := raft.Leader(); !led {
		return
	}
	if m, ok := n.fsm.Node(n.self()); n.inConfiguration(n.self()) && (!ok || m != n.record()) {
		if err := n.proposeAs(ctx, meta.PutNode{Node: n.record()}); err != nil {
			n.logger.Debug("own record not written yet", "err", err)
		}
	}
	if err := n.keepHints(); err != nil {
		n.logger.Error("addresses not written down", "err", err)
	}
}

// ClusterHosts returns the hosts of all nodes as they are known to others,
// names or addresses: what is fetched for a user must not come from them.
func (s *Service) ClusterHosts() []string {
	known := s.n.fsm.Nodes()
	known = append(known, s.n.record())
	seen := map[string]bool{}
	for _, m := range known {
		for _, addr := range []string{m.RPC, m.Gossip, m.HTTP} {
			if host, _, err := net.SplitHostPort(addr); err == nil && host != "" {
				seen[host] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(seen))
}
