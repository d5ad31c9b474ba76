package testcluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"ringbin/cluster"
	"ringbin/node"
	"ringbin/storage"
)

// Bounds of the helpers for processes.
const (
	checksAtOnce = 8                // reads that an oracle has under way
	leaderWait   = 30 * time.Second // for somebody to lead after a loss
)

// Processes is a cluster of real processes: what a signal does to them no
// deferred call can soften. Clients and journal are those of [Cluster], whose
// members here are addresses only.
type Processes struct {
	c     *Cluster
	token string
	procs []*process
}

// process is one node: its arguments, and what runs now or nil.
type process struct {
	args   []string
	dir    string // its data
	admin  string // address
	cmd    *exec.Cmd
	log    string // file
	asleep bool
	ended  chan struct{} // closed when cmd has ended, after err is set
	err    error
}

// ProcessOptions say what differs from n nodes side by side on loopback. Each
// may be nil.
type ProcessOptions struct {
	DataDir func(i int) string   // where a node keeps its data
	Host    func(i int) string   // the address that a node listens on
	Command func(i int) []string // stands before a node's command line, and ends by running it
	Args    func(i int) []string // more flags; of two that are the same the last one counts
}

// Build builds the command line as it is shipped, and returns its path.
func Build(tb testing.TB) string {
	tb.Helper()
	bin := filepath.Join(tb.TempDir(), "ringbin")
	cmd := exec.CommandContext(tb.Context(), "go", "build", "-tags", "hashicorpmetrics", "-o", bin, "ringbin/cmd/ringbin")
	if out, err := cmd.CombinedOutput(); err != nil {
		tb.Fatalf("build: %v\n%s", err, out)
	}
	return bin
}

// StartProcesses starts a cluster of n processes and returns once all of them
// are ready. Those that still run when the test ends are killed.
func StartProcesses(tb testing.TB, bin string, n int) *Processes {
	tb.Helper()
	return StartProcessesWith(tb, bin, n, ProcessOptions{})
}

// StartProcessesWith is [StartProcesses] with options.
func StartProcessesWith(tb testing.TB, bin string, n int, o ProcessOptions) *Processes {
	tb.Helper()
	leaks.enter()
	tb.Cleanup(func() { leaks.leave(tb) })
	secret := cluster.NewSecret()
	trust, err := cluster.ParseTrust([]byte(secret))
	if err != nil {
		tb.Fatal(err)
	}
	c := &Cluster{tb: tb, dir: tb.TempDir(), secret: []byte(secret), journal: newJournal(), ground: &loopback{}}
	p := &Processes{c: c, token: trust.AdminToken()}
	secretFile := filepath.Join(c.dir, "secret")
	if err := os.WriteFile(secretFile, []byte(secret+"\n"), 0o600); err != nil {
		tb.Fatal(err)
	}
	rpcs := make([]string, n)
	for i := range n {
		rpcs[i] = o.addr(tb, i)
	}
	for i := range n {
		public := o.addr(tb, i)
		c.nodes = append(c.nodes, &member{cfg: node.Config{HTTP: public}})
		proc := &process{log: filepath.Join(c.dir, fmt.Sprintf("n%d.log", i)), dir: filepath.Join(c.dir, fmt.Sprintf("n%d", i)), admin: o.addr(tb, i)}
		if o.DataDir != nil {
			proc.dir = o.DataDir(i)
		}
		if o.Command != nil {
			proc.args = o.Command(i)
		}
		proc.args = append(proc.args, bin,
			"serve", "--data-dir", proc.dir, "--name", fmt.Sprintf("n%d", i),
			"--http", public, "--rpc", rpcs[i], "--gossip", o.addr(tb, i), "--admin", proc.admin, "--cluster-secret-file", secretFile,
			"--bootstrap-expect", strconv.Itoa(n), "--join", strings.Join(rpcs, ","), "--free-floor-bytes=-1")
		if o.Args != nil {
			proc.args = append(proc.args, o.Args(i)...)
		}
		p.procs = append(p.procs, proc)
	}
	tb.Cleanup(func() {
		for i := range p.procs {
			p.Kill(i)
			if tb.Failed() {
				p.tellLog(i)
			}
		}
	})
	for i := range p.procs {
		p.Start(i)
	}
	p.WaitReady()
	return p
}

func (o ProcessOptions) addr(tb testing.TB, i int) string {
	tb.Helper()
	if o.Host == nil {
		return freeAddr(tb)
	}
	port := portsFirst + int(portsTaken.Add(1))%(portsEnd-portsFirst)
	return net.JoinHostPort(o.Host(i), strconv.Itoa(port))
}

// tellLog prints the end of a node's log.
func (p *Processes) tellLog(i int) {
	const tail = 4000
	b, err := os.ReadFile(p.procs[i].log)
	if err != nil {
		return // it never started
	}
	p.c.tb.Logf("end of the log of node %d:\n%s", i, b[max(0, len(b)-tail):])
}

// Len returns the number of nodes, running or not.
func (p *Processes) Len() int { return len(p.procs) }

// Client returns a client of one node.
func (p *Processes) Client(i int, key string) *Client { return p.c.Client(i, key) }

// PutUntil is [Cluster.PutUntil].
func (p *Processes) PutUntil(ctx context.Context, first int, key string, content []byte, days int) (Upload, error) {
	return p.c.PutUntil(ctx, first, key, content, days)
}

// Start starts a node's process, when none runs.
func (p *Processes) Start(i int) {
	p.c.tb.Helper()
	proc := p.procs[i]
	if proc.cmd != nil {
		return
	}
	log, err := os.OpenFile(proc.log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		p.c.tb.Fatal(err)
	}
	defer func() { _ = log.Close() }() // the process has its own descriptor
	// The process ends by Kill or Stop: a context would kill it behind their backs.
	cmd := exec.CommandContext(context.Background(), proc.args[0], proc.args[1:]...)
	cmd.Stderr = log
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + p.c.dir, "TMPDIR=" + p.c.dir} // no RINGBIN_* of whoever tests
	if err := cmd.Start(); err != nil {
		p.c.tb.Fatal(err)
	}
	ended := make(chan struct{})
	proc.cmd, proc.ended, proc.err = cmd, ended, nil
	go func() {
		proc.err = cmd.Wait()
		close(ended)
	}()
}

// Kill ends a node's process with SIGKILL, and returns once it is gone.
func (p *Processes) Kill(i int) {
	p.c.tb.Helper()
	p.KillAll(i)
}

// KillAll ends several processes with SIGKILL, and waits for none of them
// before all have got it.
func (p *Processes) KillAll(nodes ...int) {
	p.c.tb.Helper()
	for _, i := range nodes {
		if cmd := p.procs[i].cmd; cmd != nil {
			if err := cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
				p.c.tb.Errorf("kill node %d: %v", i, err)
			}
		}
	}
	for _, i := range nodes {
		if p.procs[i].cmd != nil {
			<-p.procs[i].ended
			p.procs[i].cmd, p.procs[i].asleep = nil, false
		}
	}
}

// Stop ends a node's process with SIGTERM; it has to exit with 0.
func (p *Processes) Stop(i int) {
	p.c.tb.Helper()
	cmd := p.procs[i].cmd
	if cmd == nil {
		return
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		p.c.tb.Errorf("stop node %d: %v", i, err)
	}
	<-p.procs[i].ended
	if err := p.procs[i].err; err != nil {
		p.c.tb.Errorf("node %d was told to stop: %v", i, err)
	}
	p.procs[i].cmd = nil
}

// WaitReady waits until every node takes requests.
func (p *Processes) WaitReady() {
	p.c.tb.Helper()
	for i := range p.procs {
		p.c.waitFor(startWait, fmt.Sprintf("node %d ready", i), func() bool { return p.Ready(i) })
	}
}

// Ready reports whether a node takes requests.
func (p *Processes) Ready(i int) bool {
	a, err := p.Client(i, "").Do(http.MethodGet, "/readyz", nil, nil)
	return err == nil && a.Status == http.StatusOK
}

// Status asks one node how the cluster is.
func (p *Processes) Status(i int) (node.ClusterStatus, error) {
	var s node.ClusterStatus
	a, err := p.Client(i, p.token).Do(http.MethodGet, "/api/admin/cluster", nil, nil)
	if err != nil {
		return s, err
	}
	if a.Status != http.StatusOK {
		return s, fmt.Errorf("cluster status: %d %s", a.Status, a.Body)
	}
	return s, a.JSON(&s)
}

// WaitLeader returns the node that leads, by what a running node says.
func (p *Processes) WaitLeader() int {
	p.c.tb.Helper()
	leader := -1
	p.c.waitFor(leaderWait, "a leader", func() bool {
		for i, proc := range p.procs {
			if proc.cmd == nil || proc.asleep {
				continue
			}
			s, err := p.Status(i)
			if err != nil {
				return false
			}
			for _, m := range s.Nodes {
				if m.Leader {
					leader = p.byHTTP(m.HTTP)
				}
			}
			return leader >= 0
		}
		return false
	})
	return leader
}

func (p *Processes) byHTTP(addr string) int {
	for i, m := range p.c.nodes {
		if m.cfg.HTTP == addr {
			return i
		}
	}
	return -1
}

// Account makes an account with a balance, and lifts the limits that load from
// one address would run into. It returns the account's key.
func (p *Processes) Account(balanceCents int64) string {
	p.c.tb.Helper()
	op := p.Client(0, p.token)
	p.c.mustJSON(op, http.MethodPatch, "/api/admin/settings", `{"rate_limit_ip_per_minute":0}`, http.StatusOK, &struct{}{})
	var a struct{ ID string }
	body := fmt.Sprintf(`{"email":"%s@example.com","name":"Test","balance_cents":%d}`, randomName(), balanceCents)
	p.c.mustJSON(op, http.MethodPost, "/api/admin/accounts", body, http.StatusCreated, &a)
	var k struct{ Key string }
	p.c.mustJSON(op, http.MethodPost, "/api/admin/accounts/"+a.ID+"/apikeys", `{"name":"test"}`, http.StatusOK, &k)
	p.c.journal.account(a.ID, k.Key, balanceCents)
	return k.Key
}

// noPasteRates takes Paste69's limits of rate away: a test is one address.
const noPasteRates = `{"paste69":{"rates":{"write_addr":{"per_second":0},"write_key":{"per_second":0},` +
	`"read_addr":{"per_second":0},"read_key":{"per_second":0}}}}`

// PasteKey makes an account with a key of Paste69, whose limits of rate it
// takes away.
func (p *Processes) PasteKey() string {
	p.c.tb.Helper()
	op := p.Client(0, p.token)
	p.c.mustJSON(op, http.MethodPatch, "/api/admin/settings", noPasteRates, http.StatusOK, &struct{}{})
	var a struct{ ID string }
	p.c.mustJSON(op, http.MethodPost, "/api/admin/accounts", fmt.Sprintf(`{"email":"%s@example.com","name":"Test"}`, randomName()), http.StatusCreated, &a)
	var k struct{ Key string }
	p.c.mustJSON(op, http.MethodPost, "/api/admin/accounts/"+a.ID+"/apikeys", `{"name":"test","api":"paste69"}`, http.StatusOK, &k)
	return k.Key
}

// Token is [Cluster.Token].
func (p *Processes) Token(perMinute int64, scopes ...string) string {
	p.c.tb.Helper()
	return p.c.token(p.Client(0, p.token), perMinute, scopes)
}

// Acked returns the distinct CIDs that were acknowledged.
func (p *Processes) Acked() []storage.CID { return p.c.journal.acked(time.Now()) }

// Check starts who is down, waits until all nodes have the same, and holds the
// cluster to its word. Every upload must have been tried until its outcome was
// known: balances are then exact.
func (p *Processes) Check() {
	p.c.tb.Helper()
	for i := range p.procs {
		p.Start(i)
	}
	p.WaitReady()
	p.c.waitUntil(convergeWait, "convergence", p.unconverged)
	p.checkContent()
	p.checkBalances()
}

// unconverged is what is missing until all nodes have the same and no copy is
// missing, or "".
func (p *Processes) unconverged() string {
	s, err := p.Status(0)
	if err != nil {
		return err.Error()
	}
	if len(s.Nodes) != len(p.procs) {
		return fmt.Sprintf("%d nodes", len(s.Nodes))
	}
	for _, m := range s.Nodes {
		if !m.Alive || !m.Voter || m.Missing != 0 || m.Applied != s.Nodes[0].Applied {
			return fmt.Sprintf("%+v, and %s has applied %d", m, s.Nodes[0].ID, s.Nodes[0].Applied)
		}
	}
	for i := range p.procs {
		if p.procs[i].cmd != nil && !p.settled(i) {
			return fmt.Sprintf("node %d is not settled", i)
		}
	}
	return ""
}

// settled reports whether a node has looked after all that it has applied: its
// status tells of copies that are missing only once it has looked.
func (p *Processes) settled(i int) bool {
	b, err := p.adminGet(i, "/metrics")
	return err == nil && bytes.Contains(b, []byte("\nringbin_replica_unsettled 0\n"))
}

// checkContent reads every acknowledged blob through every node (I1, I2).
func (p *Processes) checkContent() {
	p.c.tb.Helper()
	var g errgroup.Group
	g.SetLimit(checksAtOnce)
	for _, cid := range p.Acked() {
		for i := range p.procs {
			g.Go(func() error {
				if _, err := p.Client(i, "").Get(cid); err != nil {
					return fmt.Errorf("I1: acknowledged %s through node %d: %w", cid, i, err)
				}
				return nil
			})
		}
	}
	if err := g.Wait(); err != nil {
		p.c.tb.Error(err)
	}
}

// checkBalances holds every account's balance, through every node, to what its
// client was told (I7, I8).
func (p *Processes) checkBalances() {
	p.c.tb.Helper()
	p.c.journal.mu.Lock()
	defer p.c.journal.mu.Unlock()
	for key, a := range p.c.journal.accounts {
		spent := int64(0)
		for idem, u := range a.uploads {
			if u.acked == nil {
				p.c.tb.Errorf("the upload with the key %s was given up", idem)
				continue
			}
			spent += u.acked.CostCents
		}
		for i := range p.procs {
			balance, err := p.Client(i, key).Balance()
			if err != nil {
				p.c.tb.Errorf("balance through node %d: %v", i, err)
			} else if balance != a.opening-spent {
				p.c.tb.Errorf("I7, I8: account %s through node %d has %d cents: opened with %d, charged %d", a.id, i, balance, a.opening, spent)
			}
		}
	}
}
