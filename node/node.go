// Package node assembles a member of the cluster and holds every use case and
// policy once.
//
// [Open] starts a node the one way there is: main and tests both come through
// it. [Service] is what the HTTP dialects call: authentication, scopes, prices,
// quotas, expiry, limits and ids are decided here or in the replicated
// metadata, never in a dialect.
//
// This is where the packages that know nothing of each other meet: the
// metadata (storage/meta) is applied by consensus (cluster), which knows no
// command; bytes (storage/replica) travel between nodes by RPC (cluster/peer)
// to where the agreed ring says.
package node

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/prometheus/client_golang/prometheus"

	"ringbin/cluster"
	"ringbin/cluster/peer"
	"ringbin/storage"
	"ringbin/storage/apilog"
	"ringbin/storage/meta"
	"ringbin/storage/replica"
)

// Node is one running member of a cluster.
type Node struct {
	cfg    Config
	logger *slog.Logger
	fs     vfs.FS
	opened time.Time
	// caughtUp is when this node last asked what is committed and then had it.
	caughtUp atomic.Pointer[time.Time]

	dir        *dataDir
	trust      *cluster.Trust
	identity   *cluster.Identity
	listeners  listeners
	advertised advertised
	hints      addressHints

	ballast  *ballast
	slow     slowDisk
	store    *storage.Store
	fsm      *meta.FSM
	owner    *replica.Owner
	replicas *replica.Replicator
	// replicasNow is replicas for the callbacks of the disks, which open first.
	replicasNow atomic.Pointer[replica.Replicator]
	peers       *peer.Client
	mux         *cluster.Mux
	server      *peer.Server
	former      *cluster.Former

	raftNow   atomic.Pointer[cluster.Raft]   // nil until it is open
	gossipNow atomic.Pointer[cluster.Gossip] // nil until the cluster's id is known
	member    atomic.Bool                    // this node's Raft has its membership
	anchor    atomic.Pointer[reading]        // nil before the first look at the peers

	proposer      *proposer
	steward       *steward
	followerReads sharedRound[uint64]
	leaderReads   sharedRound[uint64]
	kickedFor     atomic.Uint64 // the newest ring that reconciling was kicked for
	movedFor      atomic.Uint64 // the newest next ring that moving was woken for
	out           bool          // this node is no member any more; memberDuties only
	leaving       atomic.Bool   // it was to leave when it was a member last

	registry *prometheus.Registry
	service  *Service
	health   *healthWatch
	certs    *certificate // nil without TLS on the public port
	public   *http.Server
	admin    *http.Server

	ctx       context.Context //nolint:containedctx // the lifetime of the node's own goroutines
	stop      context.CancelCauseFunc
	wg        sync.WaitGroup
	closeOnce sync.Once
	closeErr  error
	failed    chan error // the first fault after which the node can't go on
}

// failedMax is how many fatal faults are kept: the first is enough.
const failedMax = 1

// Open starts a node. It returns once the node listens and has opened its
// disks; becoming a member, when it is not one yet, goes on behind it, and
// [Node.WaitReady] waits for it. The handlers are made by package api.
//
// Errors are one line each: a used data directory, a port in use, a secret or
// an address that does not fit.
func Open(ctx context.Context, cfg Config, handlers func(*Service) Handlers) (*Node, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	n := &Node{cfg: cfg, logger: cfg.Logger, fs: cfg.FS, opened: time.Now(), registry: prometheus.NewRegistry(), failed: make(chan error, failedMax)}
	n.ctx, n.stop = context.WithCancelCause(context.WithoutCancel(ctx))
	n.hints.addr = map[storage.NodeID]string{}
	n.followerReads = sharedRound[uint64]{ask: n.askReadIndex, wg: &n.wg}
	n.leaderReads = sharedRound[uint64]{ask: n.confirmReadIndex, wg: &n.wg}
	n.service = newService(n)
	if err := n.open(ctx, handlers); err != nil {
		closing, cancel := context.WithCancel(context.Background())
		cancel()                                       // nothing to drain
		return nil, errors.Join(err, n.Close(closing)) //nolint:contextcheck // closing without draining, whatever ctx is
	}
	return n, nil
}

// open goes bottom up: disk, trust, ports, consensus, HTTP.
func (n *Node) open(ctx context.Context, handlers func(*Service) Handlers) error {
	var err error
	if n.dir, err = openDataDir(n.fs, n.cfg.DataDir); err != nil {
		return err
	}
	if err := n.openTrust(); err != nil {
		return err
	}
	if err := n.openCertificate(); err != nil {
		return err
	}
	if err := n.service.places.open(n.cfg.GeoIPFile); err != nil {
		return err
	}
	if err := n.listen(ctx); err != nil {
		return err
	}
	if err := n.openDisks(); err != nil { //nolint:contextcheck // a store outlives the call that opens it
		return err
	}
	if err := n.openPeers(); err != nil {
		return err
	}
	if err := n.openRaft(); err != nil {
		return err
	}
	n.health = newHealthWatch(n)
	n.registerMetrics()
	n.start() //nolint:contextcheck // the node's goroutines have its own lifetime
	return n.serveHTTP(handlers(n.service))
}

func (n *Node) openTrust() error {
	text, err := n.secret()
	if err != nil {
		return err
	}
	if n.trust, err = cluster.ParseTrust(text); err != nil {
		return err
	}
	n.identity, err = n.trust.Issue(n.self())
	return err
}

func (n *Node) openDisks() error {
	var err error
	if n.ballast, err = openBallast(n.fs, n.dir.join(ballastFile), n.cfg.BallastBytes, n.logger); err != nil {
		return err
	}
	fs := vfs.OnDiskFull(n.fs, n.ballast.release)
	if n.store, err = n.openStore(fs); err != nil {
		return err
	}
	n.ballast.attach(n.store.SetFull)
	n.fsm, err = meta.Open(n.dir.join(metaDir), meta.Options{
		FS: fs, OnDiskSlow: n.slow.add, Logger: n.logger,
		OnHalt: func(err error) { n.fail("metadata can't go on", err) },
		OnCommitted: func(cids []storage.CID) {
			if r := n.replicasNow.Load(); r != nil {
				r.Committed(cids)
			}
		},
		OnCondemned: func(cids []storage.CID) {
			if r := n.replicasNow.Load(); r != nil {
				r.Condemned(cids)
			}
		},
	})
	if err != nil {
		return err
	}
	n.service.requests = openRequestLog(fs, n.dir.join(logsDir), n.self(), apilog.Options{Logger: n.logger, OnDiskSlow: n.slow.add}, n.wallTime, n.store.Room)
	return n.clearSpool()
}

func (n *Node) openPeers() error {
	n.peers = peer.NewClient(peer.ClientOptions{Dial: n.dialPeer, DialAddr: n.dialAddr, Logger: n.logger})
	n.owner = replica.NewOwner(n.self(), n.store, n.vouch)
	n.replicas = replica.New(replica.Options{
		Owner: n.owner, Peers: n.peers, Placement: placement{n}, Logger: n.logger,
		Catalogue: n.catalogue, Moves: moves{n}, BytesPerSecond: n.cfg.RebalanceRate,
		Standings: n.standings, CatchUp: n.catchUp, CollectEvery: n.cfg.CollectEvery,
		ScrubEvery: n.cfg.ScrubEvery, RebuildKeep: n.cfg.RebuildKeep,
	})
	n.replicasNow.Store(n.replicas)
	n.proposer = newProposer(n.self(), n.fsm, n.logger)
	n.proposer.raft = func() (raftLog, bool) {
		r, ok := n.raft()
		return r, ok
	}
	n.proposer.send = n.peers.Propose
	n.proposer.stamp, n.proposer.now = n.stamp, n.clock
	n.proposer.stamp = n.stamp
	n.proposer.now = n.service.now
	n.steward = newSteward(n, n.logger)
	id := n.dir.identity()
	for peerID, addr := range id.Peers {
		n.hints.set(peerID, addr)
	}
	n.former = cluster.NewFormer(cluster.FormOptions{
		Self: cluster.Candidate{ID: n.self(), RPC: n.advertised.rpc}, Expect: n.cfg.BootstrapExpect, Join: n.cfg.Join,
		Hello: n.hello, Promised: id.Promise, Promise: n.promise, ClusterID: id.Cluster, Logger: n.logger, Every: formEvery,
	})
	n.mux = cluster.NewMux(n.listeners.rpc, n.identity, n.logger)
	n.server = peer.NewServer(backend{n}, peer.ServerOptions{Logger: n.logger, PeerID: cluster.PeerID})
	n.wg.Go(func() {
		if err := n.server.Serve(n.mux.Peer()); err != nil && n.ctx.Err() == nil {
			n.fail("peer RPC can't go on", err)
		}
	})
	return nil
}

func (n *Node) openRaft() error {
	raft, err := cluster.OpenRaft(cluster.Options{
		ID: n.self(), FS: n.fs, Dir: n.dir.join(raftDir), Log: n.cfg.RaftLog, FSM: n.fsm, FSMIndex: n.fsm.AppliedIndex(),
		Identity: n.identity, Listener: n.mux.Raft(), Dial: n.cfg.Network, Resolve: n.resolve,
		Multiplier: n.cfg.RaftMultiplier, Tuning: n.cfg.Raft, Logger: n.logger,
		Intact:    meta.Intact,
		Refuse:    n.refuses,
		OnRemoved: n.endRemoved,
		OnStuck:   func(err error) { n.fail("can't follow the leader", stuck(err)) },
		OnFatal:   func(err error) { n.fail("raft log can't go on", err) },
	})
	if err != nil {
		return err
	}
	n.raftNow.Store(raft)
	return nil
}

var errRemoved = errors.New("this node was removed; its id is not used again: wipe its data directory to join as a new node")

func stuck(err error) error {
	return &storage.Error{
		Op: "node.raft", Kind: storage.KindInternal, Err: err,
		Text: "this node's log does not fit the cluster's any more: start it again; should that not help, remove the raft directory from its data directory: it then joins as a new node and keeps its content",
	}
}

// start starts the node's own goroutines. They end with n.ctx, and Close waits for them.
func (n *Node) start() {
	raft, _ := n.raft()
	n.wg.Go(func() { n.proposer.runGather(n.ctx) })
	n.wg.Go(func() { n.proposer.runRounds(n.ctx) })
	n.wg.Go(func() { n.watchLeader(n.ctx, raft) })
	n.wg.Go(func() {
		err := n.becomeMember(n.ctx, raft)
		if n.ctx.Err() != nil {
			return
		}
		if err == nil {
			err = n.openGossip()
		}
		if err != nil {
			n.fail("can't become a member", err)
			return
		}
		n.member.Store(true)
		n.logger.Info("member of the cluster", "cluster", n.clusterID(), "node", string(n.self()))
		n.wg.Go(func() { n.steward.run(n.ctx, raft) })
		n.wg.Go(func() { n.runMember(n.ctx) })
		n.wg.Go(func() { n.replicas.Run(n.ctx) })
		n.wg.Go(func() { n.runCollect(n.ctx) })
		n.wg.Go(func() { n.service.counts.run(n.ctx) })
		n.wg.Go(func() { n.service.runWindows(n.ctx) })
		n.wg.Go(func() { n.service.requests.runRetention(n.ctx, n.oldestRequest) })
		n.wg.Go(func() { n.runReseal(n.ctx) })
		n.wg.Go(func() { n.runAudits(n.ctx) })
	})
	n.wg.Go(func() { n.service.requests.run(n.ctx) })
	n.wg.Go(func() { n.health.run(n.ctx) })
	n.wg.Go(func() { n.ballast.run(n.ctx, n.store) })
}

// watchLeader fails what is on its way to a former leader at once.
func (n *Node) watchLeader(ctx context.Context, raft *cluster.Raft) {
	changes, stop := raft.Watch()
	defer stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-changes:
			n.proposer.leaderChanged()
			if id, term, ok := raft.Leader(); ok {
				n.logger.Info("leader", "node", string(id), "term", term)
			}
		}
	}
}

func (n *Node) openGossip() error {
	g, err := cluster.OpenGossip(cluster.GossipOptions{
		ID: n.self(), Incarnation: n.dir.identity().Incarnation, ClusterID: n.clusterID(), Trust: n.trust,
		BindAddr: n.listeners.gossipBind, Advertise: n.advertised.gossip, Known: n.gossipAddresses, Transport: n.listeners.gossip,
		Meta:   cluster.GossipMeta{RPC: n.advertised.rpc, HTTP: n.advertised.http, Version: n.cfg.Version},
		Logger: n.logger,
	})
	if err != nil {
		return err
	}
	n.listeners.gossipTaken = true
	n.gossipNow.Store(g)
	return nil
}

func (n *Node) gossipAddresses() []string {
	book := n.fsm.Nodes()
	addrs := make([]string, 0, len(book))
	for _, m := range book {
		if m.ID != n.self() && m.Gossip != "" {
			addrs = append(addrs, m.Gossip)
		}
	}
	return addrs
}

// fail notes the first fault after which this node must not go on. Whoever
// runs it reads [Node.Failed] and closes it.
func (n *Node) fail(what string, err error) {
	n.logger.Error("node can't go on", "what", what, "err", err)
	fault := storage.E("node: "+what, storage.KindInternal, err)
	if e, ok := errors.AsType[*storage.Error](err); ok && e.Text != "" {
		fault.Text, fault.Err = e.Text, e.Err // what is for people is told once
	}
	select {
	case n.failed <- fault:
	default:
	}
}

// Failed yields the fault after which the node can't go on (I16), once.
func (n *Node) Failed() <-chan error { return n.failed }

func (n *Node) raft() (*cluster.Raft, bool) {
	r := n.raftNow.Load()
	return r, r != nil
}

func (n *Node) self() storage.NodeID { return n.dir.identity().Node }

func (n *Node) clusterID() string { return n.dir.identity().Cluster }

// ID returns the node's id.
func (n *Node) ID() storage.NodeID { return n.self() }

// Service returns the node's use cases.
func (n *Node) Service() *Service { return n.service }

// AdminToken returns the operator's token.
func (n *Node) AdminToken() string { return n.trust.AdminToken() }

// WaitReady returns once the node serves reads and writes: it is a member,
// knows a leader and a ring, and its FSM has caught up.
func (n *Node) WaitReady(ctx context.Context) error {
	for {
		if err := n.catchUp(ctx); err == nil {
			if cur, _ := n.fsm.Ring(); cur != nil && n.member.Load() {
				n.health.look(ctx)
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return storage.E("node.WaitReady", storage.KindUnavailable, ctx.Err())
		case err := <-n.failed:
			n.failed <- err
			return err
		case <-time.After(retryPause):
		}
	}
}

// Close stops the node. With a ctx that is already done nothing is drained or
// handed over, as if the process had been killed, but for files being closed.
func (n *Node) Close(ctx context.Context) error {
	n.closeOnce.Do(func() { n.closeErr = n.close(ctx) })
	return n.closeErr
}

// close is top down; each step says why it stands where it does.
func (n *Node) close(ctx context.Context) error {
	var errs []error
	// 1. Not ready: balancers look elsewhere while requests drain.
	if n.health != nil {
		n.health.closing()
	}
	// 2. HTTP first, so that clients learn early and nothing new is proposed.
	errs = append(errs, shutdownHTTP(ctx, n.public))
	// 3. What is gathered is flushed while there is still a log to write to.
	if n.member.Load() && ctx.Err() == nil {
		flushing, cancel := context.WithTimeout(ctx, flushTimeout)
		n.service.counts.flushLast(flushing)
		cancel()
	}
	// 4. Leadership is handed over before Raft stops: the others go on at once.
	raft, haveRaft := n.raft()
	if haveRaft && ctx.Err() == nil && raft.IsLeader() {
		if err := n.handOver(ctx, raft); err != nil {
			n.logger.Warn("leadership not handed over", "err", err)
		}
	}
	// 5. The node's own loops, while everything they call is still open.
	n.stop(errClosed)
	if g := n.gossipNow.Load(); g != nil {
		errs = append(errs, g.Close())
	}
	// 6. Peers' requests: a receipt or a pack in the middle may still finish.
	if n.server != nil {
		drain, cancel := context.WithTimeout(ctx, peerDrain)
		_ = n.server.Shutdown(drain) // what did not finish in time is cut below
		cancel()
	}
	// 7. Raft, then the listener that it reads from.
	if haveRaft {
		errs = append(errs, raft.Close())
	}
	if n.mux != nil {
		errs = append(errs, n.mux.Close())
	}
	errs = append(errs, shutdownHTTP(ctx, n.admin)) // metrics to the last
	n.wg.Wait()
	// 8. Disks last, when nobody writes any more.
	if n.replicas != nil {
		n.replicas.Close()
	}
	if n.peers != nil {
		n.peers.CloseIdle()
	}
	if n.fsm != nil {
		errs = append(errs, n.fsm.Close())
	}
	if n.store != nil {
		errs = append(errs, n.store.Close())
	}
	if n.service.requests != nil {
		n.service.requests.close()
	}
	errs = append(errs, n.listeners.close())
	// 9. The lock: from here on another process may have the directory.
	if n.dir != nil {
		errs = append(errs, n.dir.close())
	}
	return errors.Join(errs...)
}

// Times of closing.
const (
	flushTimeout    = time.Second
	handOverTimeout = 3 * time.Second
	peerDrain       = 5 * time.Second
)

var errClosed = errors.New("node is closing")

// HandOver gives leadership, when this node has it, to another voter.
func (n *Node) HandOver(ctx context.Context) error {
	raft, ok := n.raft()
	if !ok || !raft.IsLeader() {
		return nil
	}
	return n.handOver(ctx, raft)
}

func (n *Node) handOver(ctx context.Context, raft *cluster.Raft) error {
	if len(raft.Voters()) < 2 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, handOverTimeout)
	defer cancel()
	return raft.TransferLeadership(ctx)
}

// placement is what replication asks of membership.
type placement struct{ n *Node }

func (p placement) Rings() (cur, next *storage.Ring) { return p.n.fsm.Ring() }

func (p placement) Alive(id storage.NodeID) bool {
	g := p.n.gossipNow.Load()
	return g == nil || g.Alive(id)
}

// Order puts who seems alive first. It is a hint: nobody is left out.
func (p placement) Order(ids []storage.NodeID) []storage.NodeID {
	ordered := make([]storage.NodeID, 0, len(ids))
	for _, id := range ids {
		if p.Alive(id) {
			ordered = append(ordered, id)
		}
	}
	for _, id := range ids {
		if !p.Alive(id) {
			ordered = append(ordered, id)
		}
	}
	return ordered
}

// vouch is what this node puts into a receipt beside the CID.
func (n *Node) vouch() replica.Vouch {
	v := replica.Vouch{
		Incarnation: n.dir.identity().Incarnation, Generation: n.fsm.AppliedIndex(), Time: n.fsm.Now(),
	}
	cur, next := n.fsm.Ring()
	switch {
	case next != nil:
		v.RingVersion = next.Version
	case cur != nil:
		v.RingVersion = cur.Version
	}
	return v
}

// catalogue lists the CIDs that are alive and stored, in order.
func (n *Node) catalogue(after *storage.CID, limit int) ([]storage.CID, error) {
	// FSM time: by a clock of its own that runs ahead, a node would find that
	// everything has expired, and call itself complete.
	blobs, err := n.fsm.Blobs(after, limit, n.fsm.Now())
	if err != nil {
		return nil, err
	}
	cids := make([]storage.CID, len(blobs))
	for i := range blobs {
		cids[i] = blobs[i].CID
	}
	return cids, nil
}
