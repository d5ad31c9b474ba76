package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"ringbin/api"
	"ringbin/cluster"
	"ringbin/node"
)

// closeWithin is how long a server may take to stop.
const closeWithin = 30 * time.Second

func secretCommand() *cobra.Command {
	return &cobra.Command{
		Use: "secret", Short: "Print a new cluster secret", Args: cobra.NoArgs,
		Long: "Print a new cluster secret. Keep it in a file that only the nodes can read: whoever has it is the cluster.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			s := cluster.NewSecret()
			return show(cmd, map[string]string{"secret": s}, func(w io.Writer) { _, _ = fmt.Fprintln(w, s) })
		},
	}
}

func serveCommand() *cobra.Command {
	var cfg node.Config
	var format, level, passwordFile, raftLog string
	var memory memoryOptions
	var proxies []string
	var waits bool
	cmd := &cobra.Command{
		Use: "serve", Short: "Run a node", Args: cobra.NoArgs,
		Long: "Run a node. Alone it is a cluster of one. With --join and --bootstrap-expect, the same on every node,\n" +
			"the nodes make one cluster of exactly that many; later nodes need --join only.",
	}
	f := cmd.Flags()
	f.StringVar(&cfg.DataDir, "data-dir", "", "directory of the node's data (required)")
	f.StringVar(&cfg.Name, "name", "", "stable name; default: host and RPC port")
	f.StringVar(&cfg.Zone, "zone", "", "failure domain: copies go to distinct ones")
	f.Uint64Var(&cfg.Capacity, "capacity", 100, "share of the bytes, relative to other nodes")
	addressFlags(f, &cfg)
	f.StringVar(&cfg.SecretFile, "cluster-secret-file", "", "file with the cluster secret; without one a node that runs alone makes its own")
	f.StringSliceVar(&cfg.Join, "join", nil, "RPC addresses of other nodes")
	f.IntVar(&cfg.BootstrapExpect, "bootstrap-expect", 0, "make a new cluster of exactly so many blank nodes")
	f.StringVar(&cfg.TLSCert, "tls-cert", "", "certificate of the public API; read again on SIGHUP")
	f.StringVar(&cfg.TLSKey, "tls-key", "", "its key")
	f.BoolVar(&cfg.BehindTLS, "behind-tls", false, "a TLS terminator stands in front: serve plain HTTP on any address")
	f.StringVar(&cfg.ContentBaseURL, "content-base-url", "", "URL under which content is served, on a host of its own")
	f.StringSliceVar(&proxies, "trusted-proxies", nil, "networks (CIDR) whose X-Forwarded-For counts")
	f.StringVar(&cfg.PasteBaseURL, "paste-base-url", "", "URL that pastes and short links are handed out under; default: the request's")
	f.StringVar(&cfg.GeoIPFile, "geoip-file", "", "GeoIP database (MMDB) that tells the countries of clicks")
	mailFlags(f, &cfg.SMTP, &passwordFile)
	storeFlags(f, &cfg)
	f.IntVar(&cfg.RaftMultiplier, "raft-multiplier", 1, "stretch Raft's timeouts on slow machines")
	f.StringVar(&raftLog, "raft-log", string(cluster.LogBolt), "what keeps the Raft log of a new data directory, bolt or pebble; others keep what they were made with")
	memory.bind(f)
	f.StringVar(&format, "log-format", "text", "text or json")
	f.StringVar(&level, "log-level", "info", "debug, info, warn or error")
	f.BoolVar(&waits, "profile-waits", false, "note where goroutines wait, for pprof's mutex and block on the admin port; it costs a little")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if cfg.DataDir == "" {
			return errors.New("data-dir: required")
		}
		var err error
		if cfg.TrustedProxies, err = prefixes(proxies); err != nil {
			return err
		}
		if cfg.SMTP.Password, err = password(passwordFile); err != nil {
			return err
		}
		if cfg.Logger, err = logger(cmd.ErrOrStderr(), format, level); err != nil {
			return err
		}
		if cfg.RaftLog, err = cluster.ParseLogKind(raftLog); err != nil {
			return fmt.Errorf("raft-log: %q is neither bolt nor pebble", raftLog)
		}
		if err := memory.set(); err != nil {
			return err
		}
		cfg.Version = version
		if waits {
			profileWaits()
		}
		return serve(cmd.Context(), cmd.ErrOrStderr(), cfg)
	}
	return cmd
}

// How much is noted of where goroutines wait.
const (
	mutexNoted = 10      // one of so many contended mutexes
	waitNoted  = 100_000 // ns: one wait for each so much waiting
)

func profileWaits() {
	runtime.SetMutexProfileFraction(mutexNoted)
	runtime.SetBlockProfileRate(waitNoted)
}

func prefixes(list []string) ([]netip.Prefix, error) {
	var nets []netip.Prefix
	for _, s := range list {
		p, err := netip.ParsePrefix(s)
		if err != nil {
			return nil, fmt.Errorf("trusted-proxies: %q is not a network such as 10.0.0.0/8", s)
		}
		nets = append(nets, p)
	}
	return nets, nil
}

// addressFlags are where a node listens, and how others reach it.
func addressFlags(f *pflag.FlagSet, c *node.Config) {
	f.StringVar(&c.HTTP, "http", "127.0.0.1:8080", "address of the public API")
	f.StringVar(&c.RPC, "rpc", "0.0.0.0:8081", "address of node-to-node RPC (mTLS)")
	f.StringVar(&c.Gossip, "gossip", "0.0.0.0:8082", "address of gossip, TCP and UDP (encrypted)")
	f.StringVar(&c.Admin, "admin", "127.0.0.1:8083", "address of metrics, pprof and health details; empty: off")
	f.StringVar(&c.AdvertiseHost, "advertise-host", "", "host that other nodes dial; default: the address, or the host's name for 0.0.0.0")
}

// storeFlags are the options of the blob store and its disk.
func storeFlags(f *pflag.FlagSet, c *node.Config) {
	f.Int64Var(&c.CacheBytes, "cache-bytes", 0, "block cache of the blob store; 0: 64 MiB")
	f.Int64Var(&c.FreeFloorBytes, "free-floor-bytes", 0, "refuse uploads below so much free space; 0: 5 % or 2 GiB, -1: never")
	f.Int64Var(&c.RebalanceRate, "rebalance-rate", 64<<20, "bytes each second that this node fetches for ring changes and repair; 0: no limit")
	f.Int64Var(&c.BallastBytes, "ballast-bytes", -1, "reserve so much of the disk for the day when it is full; -1: 1 GiB or 1 % of the volume, 0: none")
	f.DurationVar(&c.ScrubEvery, "scrub-every", 0, "read and hash every stored copy within this time; 0: 14 days (336h), -1s: never")
}

// mailFlags are the options of the mail server.
func mailFlags(f *pflag.FlagSet, c *node.SMTPConfig, passwordFile *string) {
	f.StringVar(&c.Host, "smtp-host", "", "mail server that links to new keys are sent through; without one no mail is sent")
	f.IntVar(&c.Port, "smtp-port", 0, "its port; 0: 587, 465 or 25, as smtp-tls is")
	f.StringVar(&c.User, "smtp-user", "", "user name at the mail server; empty: none is told")
	f.StringVar(passwordFile, "smtp-password-file", "", "file with the user's password")
	f.StringVar(&c.From, "smtp-from", "", "sender's address of mails")
	f.StringVar(&c.TLS, "smtp-tls", "starttls", "starttls, tls (from the first byte), or none")
}

// password reads one from its file; a line end behind it is not part of it.
func password(file string) (string, error) {
	if file == "" {
		return "", nil
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("smtp-password-file: %w", err)
	}
	return strings.TrimRight(string(b), "\r\n"), nil
}

// serve runs one node until ctx ends or the node can't go on.
func serve(ctx context.Context, w io.Writer, cfg node.Config) error {
	// Before anyone can know that the node is there: until it is taken, the
	// signal ends the process.
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	n, err := node.Open(ctx, cfg, api.New)
	if err != nil {
		return err
	}
	banner(w, n, cfg)
	debug.FreeOSMemory() // what starting left behind: a node that does little would keep it for minutes
	for {
		select {
		case <-hup:
			if err := n.ReloadTLS(); err != nil {
				cfg.Logger.Error("certificate not read again; the old one stays", "err", err)
			} else {
				cfg.Logger.Info("certificate read again")
			}
		case <-ctx.Done():
			cfg.Logger.Info("stopping")
			return closeNode(n) //nolint:contextcheck // ctx is over: closing has its own time
		case err := <-n.Failed():
			closeErr := closeNode(n) //nolint:contextcheck // the fault is what is told
			if errors.Is(err, node.ErrLeft) {
				cfg.Logger.Info("left the cluster: this node's data directory can be wiped")
				return closeErr
			}
			return err
		}
	}
}

func closeNode(n *node.Node) error {
	ctx, cancel := context.WithTimeout(context.Background(), closeWithin)
	defer cancel()
	return n.Close(ctx)
}

// banner says what listens where, and what protects it.
func banner(w io.Writer, n *node.Node, cfg node.Config) {
	a := n.Addresses()
	public := "plain HTTP, on loopback only"
	switch {
	case cfg.TLSCert != "":
		public = "TLS; API keys and the operator's token"
	case cfg.BehindTLS:
		public = "plain HTTP: the TLS terminator in front has to protect it"
	}
	admin := "metrics, pprof; no authentication: keep it on loopback or a private network"
	if a.Admin == "" {
		a.Admin, admin = "off", ""
	} else if host, _, err := net.SplitHostPort(a.Admin); err == nil && isLoopback(host) {
		admin = "metrics, pprof; on loopback only"
	}
	_, _ = fmt.Fprintf(w, "ringbin %s, node %s\n", version, n.ID())
	for _, row := range [][3]string{
		{"public API", a.HTTP, public},
		{"node RPC", a.RPC, "mutual TLS; certificates follow from the cluster secret"},
		{"gossip", a.Gossip, "AES-256-GCM; the key follows from the cluster secret"},
		{"admin", a.Admin, admin},
		{"data", cfg.DataDir, "files are readable by this user only"},
	} {
		_, _ = fmt.Fprintln(w, strings.TrimRight(fmt.Sprintf("  %-11s %-24s %s", row[0], row[1], row[2]), " "))
	}
}

func isLoopback(host string) bool {
	a, err := netip.ParseAddr(host)
	return err == nil && a.IsLoopback()
}
