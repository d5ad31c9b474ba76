package cluster

import (
	"sync"

	"github.com/hashicorp/raft"

	"ringbin/storage"
)

// pokes are those on their way: one to a follower at a time, since one that is
// frozen would gather them, and what came meanwhile goes when that one is back.
type pokes struct {
	mu    sync.Mutex // protects newer
	newer map[storage.NodeID]*raft.AppendEntriesRequest
}

// begin reports whether a poke goes now; else it goes when next is asked.
func (p *pokes) begin(id storage.NodeID, req *raft.AppendEntriesRequest) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.newer == nil {
		p.newer = map[storage.NodeID]*raft.AppendEntriesRequest{}
	}
	_, busy := p.newer[id]
	p.newer[id] = nil
	if busy {
		p.newer[id] = req
	}
	return !busy
}

// next is the newest poke that came while one was on its way; nil: none did.
func (p *pokes) next(id storage.NodeID) *raft.AppendEntriesRequest {
	p.mu.Lock()
	defer p.mu.Unlock()
	req := p.newer[id]
	if req == nil {
		delete(p.newer, id)
	} else {
		p.newer[id] = nil
	}
	return req
}

// Poke tells the followers at once that an index is committed, by an
// AppendEntries without entries. Left alone they learn it with the next one,
// up to twice commitTimeout later.
func (r *Raft) Poke(index uint64) {
	var l raft.Log
	if err := r.logs.GetLog(index, &l); err != nil || !r.IsLeader() || r.Term() != l.Term {
		return // compacted, or not the leader any more: the ordinary way will do
	}
	req := &raft.AppendEntriesRequest{
		RPCHeader: raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax, ID: []byte(r.opts.ID), Addr: []byte(r.opts.ID)},
		Term:      l.Term, PrevLogEntry: index, PrevLogTerm: l.Term, LeaderCommitIndex: index,
	}
	for _, s := range r.Servers() {
		if s.ID == r.opts.ID || !r.pokes.begin(s.ID, req) {
			continue
		}
		r.wg.Go(func() {
			for req := req; req != nil; req = r.pokes.next(s.ID) {
				var resp raft.AppendEntriesResponse
				// A poke that fails costs nothing but the wait that it would have saved.
				_ = r.transport.AppendEntries(raft.ServerID(s.ID), raft.ServerAddress(s.ID), req, &resp)
			}
		})
	}
}
