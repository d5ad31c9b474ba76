package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/fxamacker/cbor/v2"
	"github.com/hashicorp/memberlist"

	"ringbin/storage"
)

// Numbers of gossip.
const (
	rejoinEvery = 30 * time.Second // memberlist never rejoins by itself after a long cut
	firstJoins  = time.Second      // until somebody was met
	deadReclaim = 30 * time.Second // after which a name may come back from another address
)

// GossipMeta is what a node tells about itself; it has to fit into 512 bytes.
type GossipMeta struct {
	RPC     string `cbor:"1,keyasint"`
	HTTP    string `cbor:"2,keyasint"`
	Version string `cbor:"3,keyasint"`
}

// GossipTransport is what memberlist talks through.
type GossipTransport = memberlist.NodeAwareTransport

// GossipOptions are how a node gossips.
type GossipOptions struct {
	ID          storage.NodeID
	Incarnation uint64
	ClusterID   string // nodes of another cluster are not heard
	Trust       *Trust
	Transport   GossipTransport
	BindAddr    string // where Transport listens
	Advertise   string // host:port that others use
	Meta        GossipMeta
	// Known returns the addresses of all other members; whoever of them gossip
	// lacks is joined again.
	Known  func() []string
	Logger *slog.Logger
}

// Member is a node as gossip sees it.
type Member struct {
	ID    storage.NodeID
	Addr  string
	Meta  GossipMeta
	Alive bool
}

// Gossip says who seems alive. It is a hint: no authority, no placement, no
// deletion follows from it.
type Gossip struct {
	o      GossipOptions
	list   *memberlist.Memberlist
	events chan struct{}
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu    sync.Mutex // protects alive
	alive map[storage.NodeID]Member
}

// ListenGossip opens memberlist's UDP and TCP sockets and says where they are.
func ListenGossip(addr string) (GossipTransport, string, error) {
	host, portText, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, "", fmt.Errorf("gossip address: %w", err)
	}
	port, err := strconv.Atoi(portText)
	if err != nil {
		return nil, "", fmt.Errorf("gossip port: %w", err)
	}
	if host == "" {
		host = "0.0.0.0"
	}
	t, err := memberlist.NewNetTransport(&memberlist.NetTransportConfig{
		BindAddrs: []string{host}, BindPort: port, Logger: newHCLog(slog.New(slog.DiscardHandler), "gossip").StandardLogger(nil),
	})
	if err != nil {
		return nil, "", fmt.Errorf("listen for gossip on %s: %w", addr, err)
	}
	return gossipSockets{t}, net.JoinHostPort(host, strconv.Itoa(t.GetAutoBindPort())), nil
}

// gossipSockets are memberlist's own. Their Shutdown waits for a goroutine that
// hands accepted connections on, and would wait for ever when nobody takes
// them, as before memberlist has started: here they are taken and dropped.
type gossipSockets struct{ *memberlist.NetTransport }

// Shutdown closes the sockets.
func (g gossipSockets) Shutdown() error {
	done := make(chan struct{})
	defer close(done)
	go func() {
		for {
			select {
			case c := <-g.StreamCh():
				_ = c.Close() // nobody we talk to
			case <-g.PacketCh():
			case <-done:
				return
			}
		}
	}()
	return g.NetTransport.Shutdown() //nolint:wrapcheck // memberlist's own
}

// OpenGossip starts gossiping.
func OpenGossip(o GossipOptions) (*Gossip, error) {
	const op = "cluster.OpenGossip"
	meta, err := cbor.Marshal(o.Meta)
	if err != nil || len(meta) > memberlist.MetaMaxSize {
		return nil, storage.E(op, storage.KindInvalid, errors.Join(err, fmt.Errorf("gossip meta has %d bytes", len(meta))))
	}
	g := &Gossip{o: o, events: make(chan struct{}, 1), alive: map[storage.NodeID]Member{}}
	c, err := g.config(meta)
	if err != nil {
		return nil, storage.E(op, storage.KindInvalid, err)
	}
	if g.list, err = memberlist.Create(c); err != nil {
		return nil, storage.E(op, storage.KindInternal, err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	g.cancel = cancel
	g.wg.Go(func() { g.rejoin(ctx) })
	return g, nil
}

func (g *Gossip) config(meta []byte) (*memberlist.Config, error) {
	c := memberlist.DefaultLANConfig()
	c.Name = string(g.o.ID) + "/" + strconv.FormatUint(g.o.Incarnation, 10)
	c.Label = g.o.ClusterID
	keys := g.o.Trust.GossipKeys()
	ring, err := memberlist.NewKeyring(keys, keys[0])
	if err != nil {
		return nil, fmt.Errorf("gossip keys: %w", err)
	}
	c.Keyring = ring
	c.Transport = g.o.Transport
	if c.BindAddr, c.BindPort, err = hostPort(g.o.BindAddr); err != nil {
		return nil, err
	}
	host, port, err := hostPort(g.o.Advertise)
	if err != nil {
		return nil, err
	}
	// memberlist wants an address; a name is resolved once, here.
	if c.AdvertiseAddr, err = resolveHost(host); err != nil {
		return nil, err
	}
	c.AdvertisePort = port
	c.DeadNodeReclaimTime = deadReclaim
	c.EnableCompression = false // a packet has some hundred bytes, and making it smaller costs more than sending it
	c.Delegate = gossipDelegate{meta: meta}
	c.Events = gossipEvents{g}
	c.Logger = newHCLog(g.o.Logger, "gossip").StandardLogger(nil)
	return c, nil
}

func hostPort(addr string) (string, int, error) {
	host, text, err := net.SplitHostPort(addr)
	if err != nil {
		return "", 0, fmt.Errorf("gossip address: %w", err)
	}
	port, err := strconv.Atoi(text)
	if err != nil {
		return "", 0, fmt.Errorf("gossip port: %w", err)
	}
	return host, port, nil
}

func resolveHost(host string) (string, error) {
	if net.ParseIP(host) != nil {
		return host, nil
	}
	addrs, err := net.DefaultResolver.LookupHost(context.Background(), host)
	if err != nil || len(addrs) == 0 {
		return "", fmt.Errorf("gossip host %s has no address: %w", host, err)
	}
	return addrs[0], nil
}

// rejoin joins whoever the address book names and gossip lacks: often until
// somebody was met, then every half minute.
func (g *Gossip) rejoin(ctx context.Context) {
	for {
		missing := g.missing()
		if len(missing) > 0 {
			if n, err := g.list.Join(missing); err != nil && n == 0 {
				g.o.Logger.Debug("gossip reached nobody", "tried", len(missing), "err", err)
			}
		}
		every := rejoinEvery
		if len(g.Members()) <= 1 {
			every = firstJoins
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(every):
		}
	}
}

func (g *Gossip) missing() []string {
	var have []string
	for _, m := range g.Members() {
		have = append(have, m.Addr)
	}
	var missing []string
	for _, addr := range g.o.Known() {
		if !slices.Contains(have, addr) {
			missing = append(missing, addr)
		}
	}
	return missing
}

// Alive reports whether a node seems alive.
func (g *Gossip) Alive(id storage.NodeID) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	_, ok := g.alive[id]
	return ok || id == g.o.ID
}

// RPC returns where a node that seems alive says that its RPC is.
func (g *Gossip) RPC(id storage.NodeID) (string, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	m, ok := g.alive[id]
	return m.Meta.RPC, ok && m.Meta.RPC != ""
}

// Members returns those that seem alive, this node included.
func (g *Gossip) Members() []Member {
	g.mu.Lock()
	defer g.mu.Unlock()
	all := make([]Member, 0, len(g.alive))
	for _, m := range g.alive {
		all = append(all, m)
	}
	return all
}

// Events has a tick after each change of who seems alive.
func (g *Gossip) Events() <-chan struct{} { return g.events }

// Close stops gossiping. The others find out by themselves: a restart is not a leave.
func (g *Gossip) Close() error {
	g.cancel()
	err := g.list.Shutdown()
	g.wg.Wait()
	if err != nil {
		return storage.E("cluster.Gossip.Close", storage.KindInternal, err)
	}
	return nil
}

func (g *Gossip) note(n *memberlist.Node, alive bool) {
	name, _, _ := strings.Cut(n.Name, "/")
	id := storage.NodeID(name)
	m := Member{ID: id, Addr: n.Address(), Alive: alive}
	if err := cbor.Unmarshal(n.Meta, &m.Meta); err != nil {
		m.Meta = GossipMeta{}
	}
	g.mu.Lock()
	if alive {
		g.alive[id] = m
	} else if g.alive[id].Addr == m.Addr {
		delete(g.alive, id)
	}
	g.mu.Unlock()
	select {
	case g.events <- struct{}{}:
	default: // one tick waits already
	}
}

// gossipEvents is called by memberlist with its locks held: it only notes.
type gossipEvents struct{ g *Gossip }

func (e gossipEvents) NotifyJoin(n *memberlist.Node)   { e.g.note(n, true) }
func (e gossipEvents) NotifyLeave(n *memberlist.Node)  { e.g.note(n, false) }
func (e gossipEvents) NotifyUpdate(n *memberlist.Node) { e.g.note(n, true) }

// gossipDelegate tells this node's meta, and gossips nothing else.
type gossipDelegate struct{ meta []byte }

func (d gossipDelegate) NodeMeta(int) []byte           { return d.meta }
func (gossipDelegate) NotifyMsg([]byte)                {}
func (gossipDelegate) GetBroadcasts(int, int) [][]byte { return nil }
func (gossipDelegate) LocalState(bool) []byte          { return nil }
func (gossipDelegate) MergeRemoteState([]byte, bool)   {}
