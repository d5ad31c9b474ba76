package cluster

import (
	"sync"

	"github.com/hashicorp/raft"
)

// pipelines is Raft's transport, which knows the pipelines that are open. A
// leader that learns of a newer term stops reading one, and may wait for ever to
// write into it: Raft itself does not get out of that, and its shutdown waits
// for it.
type pipelines struct {
	*raft.NetworkTransport

	mu   sync.Mutex // protects open
	open map[*pipeline]struct{}
}

// pipeline is one of them.
type pipeline struct {
	raft.AppendPipeline
	of *pipelines
}

// AppendEntriesPipeline implements raft.Transport.
func (t *pipelines) AppendEntriesPipeline(id raft.ServerID, target raft.ServerAddress) (raft.AppendPipeline, error) {
	inner, err := t.NetworkTransport.AppendEntriesPipeline(id, target)
	if err != nil {
		return nil, err //nolint:wrapcheck // raft compares errors
	}
	p := &pipeline{AppendPipeline: inner, of: t}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.open == nil {
		t.open = map[*pipeline]struct{}{}
	}
	t.open[p] = struct{}{}
	return p, nil
}

// Close implements raft.AppendPipeline. Raft's own Close says farewell to the
// peer with a mutex held: a second caller, abort or Raft itself, would wait for it there.
func (p *pipeline) Close() error {
	p.of.mu.Lock()
	_, open := p.of.open[p]
	delete(p.of.open, p)
	p.of.mu.Unlock()
	if !open {
		return nil
	}
	return p.AppendPipeline.Close() //nolint:wrapcheck // raft's own
}

// abort ends the pipelines that are open: whoever waits in one gets an error.
func (t *pipelines) abort() {
	t.mu.Lock()
	open := make([]*pipeline, 0, len(t.open))
	for p := range t.open {
		open = append(open, p)
	}
	t.mu.Unlock()
	for _, p := range open {
		_ = p.Close() // it is given up
	}
}
