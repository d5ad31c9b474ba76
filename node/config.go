package node

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"ringbin/cluster"
	"ringbin/storage"
	"ringbin/storage/replica"
)

// Config is what is a node's own: addresses, paths, TLS, files. Policy is
// replicated and lives in the cluster's settings.
type Config struct {
	DataDir string
	Name    string // stable name; default: the host's name and the RPC port
	Zone    string // failure domain; copies go to distinct ones where there are enough
	// Capacity is the node's relative share of the bytes; 0 counts as 100.
	Capacity uint64

	HTTP          string // public API
	RPC           string // raft and peer RPC over mTLS
	Gossip        string // memberlist
	Admin         string // metrics, pprof, details of health; "" switches it off
	AdvertiseHost string // what others dial when an address listens on all interfaces

	Secret          []byte // content of the secret file; empty: SecretFile, then one of the node's own
	SecretFile      string
	Join            []string // RPC addresses
	BootstrapExpect int

	TLSCert, TLSKey string // files for the public port, read again on Node.ReloadTLS
	BehindTLS       bool   // a TLS terminator stands in front of the public port

	ContentBaseURL string         // host of its own for content; "" is the request's own
	PasteBaseURL   string         // what Paste69's absolute URLs begin with; "": the request's own
	GeoIPFile      string         // database that tells addresses' countries; "": none
	SMTP           SMTPConfig     // the mail server for key requests; without a host no mail is sent
	TrustedProxies []netip.Prefix // whose X-Forwarded-For counts

	CacheBytes     int64           // block cache of the blob store; 0: its default
	FreeFloorBytes int64           // below it uploads are refused; 0: max(5 %, 2 GiB); <0: off
	RebalanceRate  int64           // bytes each second fetched for ring changes and repair; 0: no limit
	BallastBytes   int64           // reserved on disk for when it is full; 0: none, <0: min(1 GiB, 1 %)
	ScrubEvery     time.Duration   // within it every copy is read again; 0: two weeks; <0: never
	RaftMultiplier int             // stretches raft's timeouts on slow machines; 0 counts as 1
	RaftLog        cluster.LogKind // of a blank directory, others keep theirs; "": bolt
	MaxStale       time.Duration   // how old a key's state may be without a leader; 0: 2 s
	CollectEvery   time.Duration   // between passes that erase what nobody owns or refers to; 0: 10 minutes

	Logger  *slog.Logger
	Version string

	// Seams for tests; the zero values are the real thing.
	FS      vfs.FS
	Network Network
	Raft    cluster.Tuning
	Clock   func() time.Time // what is told to others, stamped on entries and judges expiry; not what timers run by
	// NoLibraryMetrics leaves out what raft and memberlist tell of themselves:
	// that is the process's, and would mix a simulation's time with the real one.
	NoLibraryMetrics bool
	RebuildKeep      time.Duration // how long a rotten database is kept once it is replaced; 0: longer than a receipt counts
}

// Network is how a node reaches others and is reached.
type Network interface {
	Listen(ctx context.Context, network, addr string) (net.Listener, error)
	DialContext(ctx context.Context, network, addr string) (net.Conn, error)
	// ListenGossip opens what memberlist talks through, and says where it listens.
	ListenGossip(ctx context.Context, addr string) (GossipTransport, string, error)
}

// Handlers are the HTTP faces of a node; package api makes them.
type Handlers struct {
	Public http.Handler
	Admin  http.Handler
}

const (
	defaultMaxStale = 2 * time.Second
	defaultCapacity = 100
)

func (c Config) withDefaults() Config {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Capacity == 0 {
		c.Capacity = defaultCapacity
	}
	if c.RaftMultiplier == 0 {
		c.RaftMultiplier = 1
	}
	if c.MaxStale == 0 {
		c.MaxStale = defaultMaxStale
	}
	if c.FS == nil {
		c.FS = vfs.Default
	}
	if c.Clock == nil {
		c.Clock = time.Now
	}
	if c.Network == nil {
		c.Network = osNetwork{}
	}
	if c.Clock == nil {
		c.Clock = time.Now
	}
	return c
}

// validate refuses what can't work, naming the option.
func (c Config) validate() error {
	const op = "node.Config"
	bad := func(field, want string) error {
		e := storage.Invalid(op, "", field, want)
		e.Text = field + ": " + want
		return e
	}
	for _, a := range []struct{ field, addr string }{{"http", c.HTTP}, {"rpc", c.RPC}, {"gossip", c.Gossip}} {
		if _, _, err := net.SplitHostPort(a.addr); err != nil {
			return bad(a.field, "host:port required")
		}
	}
	if (c.TLSCert == "") != (c.TLSKey == "") {
		return bad("tls-cert", "tls-cert and tls-key go together")
	}
	if c.TLSCert == "" && !c.BehindTLS && !loopback(c.HTTP) {
		return bad("http", "plain HTTP is served on loopback addresses only: give tls-cert and tls-key, or behind-tls when a TLS terminator stands in front")
	}
	if c.RebalanceRate != 0 && c.RebalanceRate < replica.RateLeast {
		return bad("rebalance-rate", fmt.Sprintf("at least %d bytes each second, or 0 for no limit", replica.RateLeast))
	}
	if c.BootstrapExpect < 0 || c.BootstrapExpect > 1 && len(c.Join) == 0 {
		return bad("bootstrap-expect", "needs join with the RPC addresses of the founders")
	}
	if field, want := c.SMTP.fault(); field != "" {
		return bad(field, want)
	}
	if c.PasteBaseURL == "" && c.SMTP.Host != "" {
		return bad("paste-base-url", "required with smtp-host: links in mails begin with it")
	}
	if c.PasteBaseURL != "" && !absolute(c.PasteBaseURL) {
		return bad("paste-base-url", "an absolute http or https URL without query")
	}
	if len(c.Join) > 0 && c.SecretFile == "" && len(c.Secret) == 0 {
		return bad("cluster-secret-file", "required to join others")
	}
	return nil
}

// absolute is whether URLs can begin with a text. That there is a ? or a # is
// not to be seen in what is parsed when nothing follows it.
func absolute(text string) bool {
	u, err := url.Parse(text)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Hostname() != "" && u.User == nil && !strings.ContainsAny(text, "?# ")
}

func loopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}

// secret returns the cluster secret: given, from its file, or, for a node that
// runs alone, one that it makes once in its own directory.
func (n *Node) secret() ([]byte, error) {
	const op = "node.secret"
	if len(n.cfg.Secret) > 0 {
		return n.cfg.Secret, nil
	}
	if n.cfg.SecretFile != "" {
		b, err := os.ReadFile(n.cfg.SecretFile)
		if err != nil {
			return nil, storage.E(op, storage.KindInvalid, err)
		}
		return b, nil
	}
	b, err := n.dir.readFile(secretFile)
	if !isNotExist(err) {
		return b, err
	}
	b = []byte(cluster.NewSecret() + "\n")
	return b, n.dir.writeFile(secretFile, b)
}

type osNetwork struct{}

func (osNetwork) Listen(ctx context.Context, network, addr string) (net.Listener, error) {
	var lc net.ListenConfig
	return lc.Listen(ctx, network, addr) //nolint:wrapcheck // the address is in the error
}

func (osNetwork) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	d := net.Dialer{Timeout: dialTimeout}
	return d.DialContext(ctx, network, addr) //nolint:wrapcheck // the address is in the error
}

func (osNetwork) ListenGossip(_ context.Context, addr string) (GossipTransport, string, error) {
	return cluster.ListenGossip(addr)
}
