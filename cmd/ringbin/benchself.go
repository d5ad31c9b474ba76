package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"ringbin/cluster"
	"ringbin/node"
)

// Numbers of a cluster that is started to be measured.
const (
	selfNodesMax = 9
	selfReady    = 60 * time.Second
	selfSettled  = 2 * time.Minute
	selfCopies   = 3 // of each blob, where there are so many nodes
	selfPoll     = 50 * time.Millisecond
	selfBalance  = 1 << 50 // cents: no upload fails for money
	selfRate     = 1e9     // requests a minute: limits are kept, and never met
	selfLogTail  = 2000    // bytes of a failed node's log
)

// benchCluster is nodes that run as processes of their own, as in production:
// their CPU time and memory are theirs alone.
type benchCluster struct {
	dir          string
	token        string
	urls, admins []string
	key          string
	procs        []*benchProcess
}

// benchProcess is one node.
type benchProcess struct {
	cmd   *exec.Cmd
	log   string        // file
	ended chan struct{} // closed when cmd has ended, after err is set
	err   error
}

// withBenchCluster starts a cluster below o.dir, calls measure, and removes the
// cluster and its data.
func withBenchCluster(ctx context.Context, o *benchOptions, measure func(*benchCluster) error) error {
	dir, err := os.MkdirTemp(o.dir, "ringbin-bench-")
	if err != nil {
		return err
	}
	c := &benchCluster{dir: dir}
	err = c.start(ctx, o)
	if err == nil {
		err = c.ready(ctx)
	}
	if err == nil {
		err = c.prepare(ctx)
	}
	if err == nil {
		err = measure(c)
	}
	if err != nil {
		err = errors.Join(err, c.tell())
	}
	return errors.Join(err, c.stop(), os.RemoveAll(dir))
}

func (c *benchCluster) start(ctx context.Context, o *benchOptions) error {
	secret := cluster.NewSecret()
	trust, err := cluster.ParseTrust([]byte(secret))
	if err != nil {
		return err
	}
	c.token = trust.AdminToken()
	secretFile := filepath.Join(c.dir, "secret")
	if err := os.WriteFile(secretFile, []byte(secret+"\n"), 0o600); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	addrs, err := sparePorts(ctx, portsOfNode*o.selfNodes)
	if err != nil {
		return err
	}
	nodes := slices.Collect(slices.Chunk(addrs, portsOfNode))
	var founders []string // they vote, and are as many as shall; the others join them
	for _, a := range nodes[:cluster.VoterTarget(len(nodes))] {
		founders = append(founders, a[1])
	}
	for i, a := range nodes {
		name := "n" + strconv.Itoa(i+1)
		args := []string{
			"serve", "--data-dir", filepath.Join(c.dir, name), "--name", name, "--http", a[0], "--rpc", a[1], "--gossip", a[2], "--admin", a[3],
			"--cluster-secret-file", secretFile, "--free-floor-bytes=-1", "--ballast-bytes=0", "--log-level=error",
		}
		if len(nodes) > 1 { // else it is a cluster by itself
			args = append(args, "--join", strings.Join(founders, ","))
		}
		if i < len(founders) {
			args = append(args, "--bootstrap-expect", strconv.Itoa(len(founders)))
		}
		if o.profile != "" {
			args = append(args, "--profile-waits")
		}
		c.urls, c.admins = append(c.urls, "http://"+a[0]), append(c.admins, "http://"+a[3])
		p, err := startProcess(ctx, filepath.Join(c.dir, name+".log"), c.dir, self, append(args, o.nodeArgs...))
		if err != nil {
			return err
		}
		c.procs = append(c.procs, p)
	}
	return nil
}

// portsOfNode is how many addresses a node listens on.
const portsOfNode = 4

// sparePorts returns addresses on loopback that nobody listens on now.
func sparePorts(ctx context.Context, n int) ([]string, error) {
	var lc net.ListenConfig
	var addrs []string
	for range n {
		// All stay open until all are found, so that no two are the same.
		ln, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer func() { _ = ln.Close() }() // it took no connection
		addrs = append(addrs, ln.Addr().String())
	}
	return addrs, nil
}

// nodeEnv is what a child gets of this process's environment: nothing that
// would change a node's options, but what tells the Go runtime how to work.
func nodeEnv(tmp string) []string {
	env := []string{"PATH=" + os.Getenv("PATH"), "HOME=" + tmp, "TMPDIR=" + tmp}
	for _, name := range []string{"GOGC", "GOMEMLIMIT", "GODEBUG", "GOMAXPROCS"} {
		if v, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+v)
		}
	}
	return env
}

func startProcess(ctx context.Context, logFile, dir, program string, args []string) (*benchProcess, error) {
	log, err := os.OpenFile(logFile, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }() // the process has its own descriptor
	// It ends by stop, which gives it time: a context would kill it.
	cmd := exec.CommandContext(context.WithoutCancel(ctx), program, args...) //nolint:gosec // it is this very program
	cmd.Stderr, cmd.Env = log, nodeEnv(dir)
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &benchProcess{cmd: cmd, log: logFile, ended: make(chan struct{})}
	go func() {
		p.err = cmd.Wait()
		close(p.ended)
	}()
	return p, nil
}

// ready waits until each node is.
func (c *benchCluster) ready(ctx context.Context) error {
	ready, cancel := context.WithTimeout(ctx, selfReady)
	defer cancel()
	for i, u := range c.urls {
		for !isReady(ready, u) {
			select {
			case <-c.procs[i].ended:
				return fmt.Errorf("node %d ended", i+1)
			default:
			}
			if !pause(ready, selfPoll) {
				return fmt.Errorf("node %d is not ready: %w", i+1, ready.Err())
			}
		}
	}
	return nil
}

// isSettled reports whether all of so many nodes own their part of the ring, as
// many vote as shall, and nothing is about to move.
func isSettled(s *node.ClusterStatus, nodes int) bool {
	voters := 0
	for _, n := range s.Nodes {
		if !n.Alive || n.Partitions == 0 {
			return false
		}
		if n.Voter {
			voters++
		}
	}
	return len(s.Nodes) == nodes && voters == cluster.VoterTarget(nodes) && s.RingVersion > 0 && s.NextRing == 0 && s.R == min(selfCopies, nodes)
}

// settle waits until the ring is what it will be while it is measured.
func (c *benchCluster) settle(ctx context.Context, op *client) error {
	ctx, cancel := context.WithTimeout(ctx, selfSettled)
	defer cancel()
	for {
		var s node.ClusterStatus
		err := op.call(ctx, http.MethodGet, "/api/admin/cluster", nil, &s)
		if err == nil && isSettled(&s, len(c.procs)) {
			return nil
		}
		if !pause(ctx, selfPoll) {
			return errors.Join(fmt.Errorf("the ring is not settled: %w", ctx.Err()), err)
		}
	}
}

// prepare waits for the ring, lifts the cluster's limits, and makes an account.
func (c *benchCluster) prepare(ctx context.Context) error {
	o := clientOptions{urls: c.urls, adminToken: c.token, timeout: selfReady}
	op, err := o.operator()
	if err != nil {
		return err
	}
	if err := c.settle(ctx, op); err != nil {
		return err
	}
	settings := map[string]int64{"rate_limit_ip_per_minute": selfRate, "rate_limit_key_per_minute": selfRate}
	if err := op.call(ctx, http.MethodPatch, "/api/admin/settings", settings, nil); err != nil {
		return err
	}
	var a account
	in := map[string]any{"email": "bench@example.com", "name": "Bench", "balance_cents": int64(selfBalance)}
	if err := op.call(ctx, http.MethodPost, "/api/admin/accounts", in, &a); err != nil {
		return err
	}
	var k struct {
		Key string `json:"key"`
	}
	if err := op.call(ctx, http.MethodPost, "/api/admin/accounts/"+a.ID+"/apikeys", map[string]string{"name": "bench"}, &k); err != nil {
		return err
	}
	c.key = k.Key
	return nil
}

func isReady(ctx context.Context, url string) bool {
	ctx, cancel := context.WithTimeout(ctx, scrapeWithin)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/readyz", nil)
	if err != nil {
		return false
	}
	resp, err := (&http.Client{}).Do(req)
	if err != nil {
		return false
	}
	return resp.Body.Close() == nil && resp.StatusCode == http.StatusOK
}

// tell returns the ends of the nodes' logs, for who has to know what went wrong.
func (c *benchCluster) tell() error {
	var errs []error
	for i, p := range c.procs {
		if b, err := os.ReadFile(p.log); err == nil && len(b) > 0 {
			errs = append(errs, fmt.Errorf("the log of node %d ends: %s", i+1, b[max(0, len(b)-selfLogTail):]))
		}
	}
	return errors.Join(errs...)
}

// stop ends all nodes and waits for them.
func (c *benchCluster) stop() error {
	var errs []error
	for _, p := range c.procs {
		if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
			errs = append(errs, err)
		}
	}
	for _, p := range c.procs {
		select {
		case <-p.ended:
		case <-time.After(closeWithin):
			errs = append(errs, p.cmd.Process.Kill())
			<-p.ended
		}
		errs = append(errs, p.err)
	}
	return errors.Join(errs...)
}
