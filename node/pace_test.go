package node

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/raft"

	"ringbin/cluster/peer"
	"ringbin/storage"
	"ringbin/storage/meta"
)

// Times of the cluster that is looked at, in virtual time.
const (
	appendTakes = 5 * time.Millisecond   // an entry, from the leader's log to all state machines
	blobTakes   = 5 * time.Millisecond   // what a client does before each command
	wireTakes   = 200 * time.Microsecond // a pack or its answer
	lasts       = 400 * time.Millisecond // the run
	leaderOfAll = storage.NodeID("n0")   // the leader
	term        = uint64(1)              // its term
	clientsMany = 64                     // of all nodes
	wantEntry   = 24                     // commands in an entry
)

// slowLog is one log of several nodes, which takes its time for each entry.
type slowLog struct {
	self storage.NodeID
	all  *slowEntries
}

type slowEntries struct {
	fsms  []*meta.FSM
	index uint64 // of the last entry; only the leader appends
}

func (l slowLog) Apply(_ context.Context, data []byte) (uint64, error) {
	time.Sleep(appendTakes)
	l.all.index++
	for _, fsm := range l.all.fsms {
		fsm.Apply(&raft.Log{Index: l.all.index, Term: term, Type: raft.LogCommand, Data: data})
	}
	return l.all.index, nil
}

func (l slowLog) IsLeader() bool                       { return l.self == leaderOfAll }
func (slowLog) Leader() (storage.NodeID, uint64, bool) { return leaderOfAll, term, true }
func (slowLog) Term() uint64                           { return term }
func (slowLog) Poke(uint64)                            {}

// proposers are three nodes' with one log, of which the first leads. They end
// with ctx.
func proposers(ctx context.Context, t *testing.T, wg *sync.WaitGroup) []*proposer {
	t.Helper()
	logger := slog.New(slog.DiscardHandler)
	log := &slowEntries{}
	var all []*proposer
	for i := range 3 {
		fsm, err := meta.Open("meta", meta.Options{FS: vfs.NewMem(), Logger: logger})
		if err != nil {
			t.Fatal(err)
		}
		log.fsms = append(log.fsms, fsm)
		p := newProposer(storage.NodeID(fmt.Sprint("n", i)), fsm, logger)
		p.raft = func() (raftLog, bool) { return slowLog{p.self, log}, true }
		p.stamp = func(context.Context) int64 { return p.now() }
		p.send = func(ctx context.Context, _ storage.NodeID, pack peer.Pack) (peer.PackReply, error) {
			time.Sleep(wireTakes)
			index, err := all[0].accept(ctx, pack)
			time.Sleep(wireTakes)
			return peer.PackReply{Index: index}, err
		}
		all = append(all, p)
	}
	for _, p := range all {
		wg.Go(func() { p.runGather(ctx) })
		wg.Go(func() { p.runRounds(ctx) })
	}
	return all
}

// TestEntriesFill: under load an entry has the commands of many requests of
// all nodes, and a request that comes alone does not wait for others.
func TestEntriesFill(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		clients int
		least   float64       // commands in an entry
		most    time.Duration // that a command took
	}{
		"many clients": {clientsMany, wantEntry, 8 * appendTakes},
		"few clients":  {6, 1.5, 4 * appendTakes},
		"one client":   {1, 1, appendTakes + 2*wireTakes},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				var nodes, clients sync.WaitGroup
				all := proposers(ctx, t, &nodes)
				var mu sync.Mutex // protects slowest
				var slowest time.Duration
				end := time.Now().Add(lasts)
				for i := range c.clients {
					p := all[(i+1)%len(all)] // one client alone is not the leader's
					clients.Go(func() {
						for time.Now().Before(end) {
							time.Sleep(blobTakes)
							began := time.Now()
							mustPropose(t, p, meta.Tick{})
							took := time.Since(began)
							mu.Lock()
							slowest = max(slowest, took)
							mu.Unlock()
						}
					})
				}
				clients.Wait()
				entries, commands := all[0].rounded.entries.Load(), all[0].rounded.commands.Load()
				t.Logf("%d commands in %d entries: %.1f in each; the slowest took %v", commands, entries, float64(commands)/float64(entries), slowest)
				if got := float64(commands) / float64(entries); got < c.least {
					t.Errorf("%.1f commands in an entry, want %v", got, c.least)
				}
				if slowest > c.most {
					t.Errorf("a command took %v, want %v at most", slowest, c.most)
				}
				cancel()
				nodes.Wait()
				for _, p := range all {
					if err := p.fsm.Close(); err != nil {
						t.Error(err)
					}
				}
			})
		})
	}
}
