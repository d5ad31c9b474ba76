package cluster

import (
	"testing"

	"github.com/hashicorp/raft"
)

// TestPokesAreNotLost: one poke is on its way to a follower at a time, and of
// those that come meanwhile the newest one goes after it.
func TestPokesAreNotLost(t *testing.T) {
	t.Parallel()
	var p pokes
	poke := func(index uint64) *raft.AppendEntriesRequest {
		return &raft.AppendEntriesRequest{LeaderCommitIndex: index}
	}
	if !p.begin("a", poke(1)) {
		t.Error("the first poke does not go")
	}
	if !p.begin("b", poke(1)) {
		t.Error("a follower's poke waits for another follower's")
	}
	for i := range uint64(3) {
		if p.begin("a", poke(2+i)) {
			t.Error("two pokes go at once")
		}
	}
	if req := p.next("a"); req == nil || req.LeaderCommitIndex != 4 {
		t.Errorf("after the first one goes %+v, want that of index 4", req)
	}
	if req := p.next("a"); req != nil {
		t.Errorf("%+v goes twice", req)
	}
	if !p.begin("a", poke(5)) {
		t.Error("a poke waits for none")
	}
}
