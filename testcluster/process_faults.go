package testcluster

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"ringbin/node"
)

// Freeze stops a node's process where it stands, as a long pause of its
// machine does. It notices nothing until Thaw.
func (p *Processes) Freeze(i int) {
	p.c.tb.Helper()
	p.signal(i, syscall.SIGSTOP)
	p.procs[i].asleep = true
}

// Thaw lets a frozen process go on.
func (p *Processes) Thaw(i int) {
	p.c.tb.Helper()
	p.signal(i, syscall.SIGCONT)
	p.procs[i].asleep = false
}

func (p *Processes) signal(i int, sig os.Signal) {
	p.c.tb.Helper()
	cmd := p.procs[i].cmd
	if cmd == nil {
		p.c.tb.Fatalf("node %d does not run", i)
	}
	if err := cmd.Process.Signal(sig); err != nil {
		p.c.tb.Fatalf("%s for node %d: %v", sig, i, err)
	}
}

// EndedWithin reports whether a node's process ends by itself in time. One that
// did can be started again.
func (p *Processes) EndedWithin(i int, d time.Duration) (ended bool, err error) {
	proc := p.procs[i]
	if proc.cmd == nil {
		return true, nil
	}
	select {
	case <-proc.ended:
		proc.cmd = nil
		return true, proc.err
	case <-time.After(d):
		return false, nil
	}
}

// Supervise starts a node again whenever its process ended by itself, as a
// service manager does, until the returned function is called. It returns how
// often that was.
func (p *Processes) Supervise(i int, every time.Duration) (stop func() (restarts int)) {
	p.c.tb.Helper()
	quit, done, restarts := make(chan struct{}), make(chan struct{}), 0
	go func() {
		defer close(done)
		for {
			select {
			case <-quit:
				return
			case <-time.After(every):
			}
			if ended, _ := p.EndedWithin(i, 0); ended {
				p.Start(i)
				restarts++
			}
		}
	}()
	return func() int {
		close(quit)
		<-done
		return restarts
	}
}

// Dir is where a node keeps its data.
func (p *Processes) Dir(i int) string { return p.procs[i].dir }

// LogText is what a node has logged.
func (p *Processes) LogText(i int) string {
	b, err := os.ReadFile(p.procs[i].log)
	if err != nil {
		p.c.tb.Fatal(err)
	}
	return string(b)
}

// Wipe removes all that a node keeps: its disk was replaced by a blank one. The
// node must not run.
func (p *Processes) Wipe(i int) {
	p.c.tb.Helper()
	entries, err := os.ReadDir(p.procs[i].dir)
	if err != nil {
		p.c.tb.Fatal(err)
	}
	for _, e := range entries {
		if err := os.RemoveAll(filepath.Join(p.procs[i].dir, e.Name())); err != nil {
			p.c.tb.Fatal(err)
		}
	}
}

// Addr is the address of a node's public API.
func (p *Processes) Addr(i int) string { return p.c.nodes[i].cfg.HTTP }

// WaitFor waits for something within the time that a cluster takes to settle.
func (p *Processes) WaitFor(what string, ok func() bool) {
	p.c.tb.Helper()
	p.c.waitFor(convergeWait, what, ok)
}

// Reasons are what a node's health names, with their counts, by code.
func (p *Processes) Reasons(i int) (map[string]int64, error) {
	b, err := p.adminGet(i, "/healthz")
	if err != nil {
		return nil, err
	}
	var h node.Health
	if err := json.Unmarshal(b, &h); err != nil {
		return nil, err
	}
	reasons := map[string]int64{}
	for _, r := range h.Reasons {
		reasons[r.Code] = r.Count
	}
	return reasons, nil
}

// adminGet reads from a node's admin port, whatever the status.
func (p *Processes) adminGet(i int, path string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), requestTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.procs[i].admin+path, nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(resp.Body)
	return b, errors.Join(err, resp.Body.Close())
}

// Forget drops uploads of an account that were refused for good, and for which
// nothing may have been charged.
func (p *Processes) Forget(key string) {
	j := p.c.journal
	j.mu.Lock()
	defer j.mu.Unlock()
	maps.DeleteFunc(j.accounts[key].uploads, func(_ string, u *journalUpload) bool { return u.acked == nil })
}

// Member is one row of a cluster's status.
type Member = node.MemberStatus

// Remove takes a dead member out. A refusal is the caller's to notice: it may
// ask again.
func (p *Processes) Remove(via int, id string) {
	a, err := p.Client(via, p.token).Do(http.MethodDelete, "/api/admin/cluster/nodes/"+id, nil, nil)
	if err != nil || a.Status >= http.StatusBadRequest {
		p.c.tb.Logf("remove %s through node %d: %v, %d %s", id, via, err, a.Status, a.Body)
	}
}

// Converged reports whether all nodes have the same and no copy is missing.
func (p *Processes) Converged() bool { return p.unconverged() == "" }
