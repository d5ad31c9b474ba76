package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"ringbin/api"
	"ringbin/cluster"
	"ringbin/node"
	"ringbin/storage"
)

// Ports of a development cluster: node i has its block of ten ports, the
// public one first, then RPC, gossip and admin.
const (
	portsPerNode = 10
	devReady     = 60 * time.Second
	devNodesMax  = 9
	devFile      = "dev.json"
	devBalance   = 10_000 // cents
)

// hello is what the curl lines upload: too long to be its own CID.
const hello = "Hello, ring of nodes! This text is long enough to lie on three disks."

// devState is what a development cluster keeps beside its nodes' data.
type devState struct {
	Nodes   int    `json:"nodes"`
	Secret  string `json:"secret"`
	Account string `json:"account,omitempty"`
	Key     string `json:"key,omitempty"`
	// PasteKey is the account's key of Paste69, BinKey its master key of JSONBin,
	// WizardKey its token of PasteWizard.
	PasteKey  string `json:"paste_key,omitempty"`
	BinKey    string `json:"bin_key,omitempty"`
	WizardKey string `json:"wizard_key,omitempty"`
}

// keys are the account's keys, by their API.
func (s *devState) keys() map[string]*string {
	return map[string]*string{
		node.APIHashBin: &s.Key, node.APIPaste69: &s.PasteKey, node.APIJSONBin: &s.BinKey, node.APIPasteWizard: &s.WizardKey,
	}
}

type devOptions struct {
	nodes    int
	dir      string
	httpPort int
	level    string
}

func devCommand() *cobra.Command {
	var o devOptions
	cmd := &cobra.Command{
		Use: "dev", Short: "Run a whole cluster on loopback, to try things", Args: cobra.NoArgs,
		Long: "Run N nodes in one process, with an account and a key. Ctrl-C stops it; the next start goes on with the same data.",
	}
	f := cmd.Flags()
	f.IntVar(&o.nodes, "nodes", 3, "number of nodes of a new cluster, 1 to 9")
	f.StringVar(&o.dir, "data-dir", "./dev", "directory of all nodes' data")
	f.IntVar(&o.httpPort, "http-base-port", 8080, "public port of the first node; node i uses the four ports from base + 10 i")
	f.StringVar(&o.level, "log-level", "warn", "debug, info, warn or error")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return runDev(cmd.Context(), o, cmd.OutOrStdout(), cmd.ErrOrStderr())
	}
	return cmd
}

func runDev(ctx context.Context, o devOptions, out, errOut io.Writer) error {
	d, err := openDev(ctx, o, errOut)
	if err != nil {
		return err
	}
	err = d.ready(ctx)
	if err == nil {
		d.tell(out)
		err = d.wait(ctx)
	}
	return errors.Join(err, d.close()) //nolint:contextcheck // ctx is over: closing has its own time
}

// devCluster is a running development cluster.
type devCluster struct {
	o     devOptions
	state devState
	nodes []*node.Node
}

func openDev(ctx context.Context, o devOptions, errOut io.Writer) (*devCluster, error) {
	d := &devCluster{o: o}
	if err := d.load(); err != nil {
		return nil, err
	}
	level, err := logger(errOut, "text", o.level)
	if err != nil {
		return nil, err
	}
	for i := range d.state.Nodes {
		n, err := node.Open(ctx, d.config(i, level), api.New)
		if err != nil {
			return nil, errors.Join(err, d.close()) //nolint:contextcheck // what is open is closed
		}
		d.nodes = append(d.nodes, n)
	}
	return d, nil
}

func (d *devCluster) file() string { return filepath.Join(d.o.dir, devFile) }

// load reads what a former start left, or begins a new cluster.
func (d *devCluster) load() error {
	b, err := os.ReadFile(d.file())
	if err == nil {
		if err := json.Unmarshal(b, &d.state); err != nil {
			return fmt.Errorf("%s: %w", d.file(), err)
		}
		return nil
	}
	if !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if d.o.nodes < 1 || d.o.nodes > devNodesMax {
		return fmt.Errorf("nodes: %d is not 1 to %d", d.o.nodes, devNodesMax)
	}
	d.state = devState{Nodes: d.o.nodes, Secret: cluster.NewSecret()}
	return d.save()
}

// save keeps the key readable by this user only.
func (d *devCluster) save() error {
	if err := os.MkdirAll(d.o.dir, 0o700); err != nil {
		return err
	}
	b, err := json.MarshalIndent(d.state, "", "  ") //nolint:gosec // into a file that only this user reads
	if err != nil {
		return err
	}
	tmp := d.file() + ".tmp"
	if err := os.WriteFile(tmp, b, 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, d.file())
}

func (d *devCluster) addr(i, offset int) string {
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(d.o.httpPort+portsPerNode*i+offset))
}

func (d *devCluster) config(i int, log *slog.Logger) node.Config {
	name := "n" + strconv.Itoa(i+1)
	c := node.Config{
		DataDir: filepath.Join(d.o.dir, name), Name: name,
		HTTP: d.addr(i, 0), RPC: d.addr(i, 1), Gossip: d.addr(i, 2), Admin: d.addr(i, 3),
		Secret: []byte(d.state.Secret), FreeFloorBytes: -1, Logger: log.With("at", name), Version: version,
	}
	if d.state.Nodes > 1 {
		c.BootstrapExpect = d.state.Nodes
		for j := range d.state.Nodes {
			c.Join = append(c.Join, d.addr(j, 1))
		}
	}
	return c
}

// ready waits for the cluster, and makes the account and the key once.
func (d *devCluster) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, devReady)
	defer cancel()
	for _, n := range d.nodes {
		if err := n.WaitReady(ctx); err != nil {
			return err
		}
	}
	missing := d.state.keys()
	maps.DeleteFunc(missing, func(_ string, key *string) bool { return *key != "" })
	if len(missing) == 0 {
		return nil
	}
	s := d.nodes[0].Service()
	op, err := s.AuthenticateOperator(ctx, d.nodes[0].AdminToken())
	if err != nil {
		return err
	}
	// A former start may have been stopped between the account and its key.
	const email = "dev@localhost"
	found, err := s.Accounts(ctx, op, email, 1, "")
	if err != nil {
		return err
	}
	var a node.Account
	if len(found.Items) > 0 {
		a = found.Items[0]
	} else if a, _, err = s.CreateAccount(ctx, op, node.NewAccount{Email: email, Name: "Developer", BalanceCents: devBalance}, nil); err != nil {
		return err
	}
	d.state.Account = a.ID
	for dialect, key := range missing {
		// Without a limit of the key's own: in the first minutes of a new cluster one
		// of PasteWizard's would be the nodes' small shares.
		if _, *key, err = s.CreateKey(ctx, op, a.ID, node.NewKey{API: dialect, Name: "dev", RatePerMinute: new(int64)}); err != nil {
			return err
		}
	}
	return d.save()
}

// tell prints what to try.
func (d *devCluster) tell(out io.Writer) {
	var b bytes.Buffer
	fmt.Fprintf(&b, "\nringbin %s: %d nodes on loopback, data in %s\n\n", version, len(d.nodes), d.o.dir)
	for i, n := range d.nodes {
		a := n.Addresses()
		fmt.Fprintf(&b, "  n%d  http://%s   admin http://%s\n", i+1, a.HTTP, a.Admin)
	}
	at := func(i int) string { return d.nodes[i%len(d.nodes)].Addresses().HTTP } // one line for each of three nodes
	fmt.Fprintf(&b, "\n  account         %s (balance $%d.%02d to begin with)\n", d.state.Account, devBalance/100, devBalance%100)
	fmt.Fprintf(&b, "  API key         %s\n  of Paste69      %s\n  of JSONBin      %s\n  of PasteWizard  %s\n  pages           http://%s/\n\nTry:\n\n",
		d.state.Key, d.state.PasteKey, d.state.BinKey, d.state.WizardKey, at(0))
	fmt.Fprintf(&b, `  curl -sS -w '\n' -H 'Authorization: Bearer %[1]s' -H 'Content-Type: text/plain' --data-binary '%[5]s' 'http://%[2]s/api/content?retention_months=1'
  curl -sS -w '\n' -H 'Authorization: Bearer %[1]s' http://%[3]s/api/balance
  curl -sS -w '\n' http://%[6]s/%[4]s.txt

Ctrl-C stops it; the next start goes on with the same data.
`, d.state.Key, at(0), at(1), storage.SumCID([]byte(hello)), hello, at(2))
	_, _ = out.Write(b.Bytes()) // to the terminal
}

func (d *devCluster) wait(ctx context.Context) error {
	failed := make(chan error, len(d.nodes))
	stop := make(chan struct{})
	defer close(stop)
	for _, n := range d.nodes {
		go func() {
			select {
			case err := <-n.Failed():
				failed <- err
			case <-stop:
			}
		}()
	}
	select {
	case <-ctx.Done():
		return nil
	case err := <-failed:
		return err
	}
}

func (d *devCluster) close() error {
	var errs []error
	for _, n := range d.nodes {
		errs = append(errs, closeNode(n))
	}
	return errors.Join(errs...)
}
