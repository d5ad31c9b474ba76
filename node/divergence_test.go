package node

import (
	"testing"

	"ringbin/cluster/peer"
	"ringbin/storage"
)

func TestSameIndex(t *testing.T) {
	t.Parallel()
	right, wrong := [32]byte{1}, [32]byte{2}
	at := func(index uint64, hash [32]byte) peer.Status { return peer.Status{StateIndex: index, StateHash: hash} }
	checked := func(index uint64, hash [32]byte) peer.Status {
		return peer.Status{CheckIndex: index, CheckHash: hash, StateIndex: index + 7, StateHash: hash}
	}
	tests := map[string]struct {
		own           peer.Status
		others        []peer.Status
		agree, differ int
	}{
		"all equal":                {at(9, right), []peer.Status{at(9, right), at(9, right)}, 3, 0},
		"others are elsewhere":     {at(9, right), []peer.Status{at(8, wrong), at(10, wrong)}, 1, 0},
		"one other differs":        {at(9, right), []peer.Status{at(9, right), at(9, wrong)}, 2, 1},
		"this one differs":         {at(9, wrong), []peer.Status{at(9, right), at(9, right)}, 1, 2},
		"two nodes, nobody knows":  {at(9, wrong), []peer.Status{at(9, right)}, 1, 1},
		"at the common checkpoint": {checked(4096, wrong), []peer.Status{checked(4096, right), checked(4096, right)}, 1, 2},
		"before any entry":         {at(0, right), []peer.Status{at(0, wrong)}, 0, 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			all := map[storage.NodeID]peer.Status{"self": tt.own}
			for i, s := range tt.others {
				all[storage.NodeID(rune('a'+i))] = s
			}
			if _, agree, differ := sameIndex(tt.own, all); agree != tt.agree || differ != tt.differ {
				t.Errorf("agree %d differ %d, want %d and %d", agree, differ, tt.agree, tt.differ)
			}
		})
	}
}
