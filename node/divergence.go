package node

import (
	"errors"
	"fmt"

	"ringbin/cluster/peer"
	"ringbin/storage"
)

var errDiverged = errors.New("the replicated states of nodes differ")

// compareStates holds this node's state against what the others told of theirs
// at the same index (I10). One that is in the minority stops serving and
// voting: its disk or its program is at fault. Where no majority tells who is
// right, nothing is written any more.
func (n *Node) compareStates(statuses map[storage.NodeID]peer.Status) {
	own, ok := statuses[n.self()]
	if !ok {
		return
	}
	at, agree, differ := sameIndex(own, statuses)
	majority := len(n.fsm.Nodes())/2 + 1
	if differ > 0 {
		n.logger.Error("replicated states differ", "index", at, "agree", agree, "differ", differ)
	}
	switch {
	case differ >= majority:
		n.fail("its state is not the one that a majority has", fmt.Errorf("%w at index %d", errDiverged, at))
	case agree >= majority:
		n.proposer.frozen.Store(false) // the others are the ones that stop
	case differ > 0:
		n.proposer.frozen.Store(true)
	}
}

// sameIndex counts the nodes, this one included, that have the same state as
// this one at an index that they share, and those of the largest group with
// another one.
func sameIndex(own peer.Status, statuses map[storage.NodeID]peer.Status) (at uint64, agree, differ int) {
	for _, pick := range []func(peer.Status) (uint64, [32]byte){
		func(s peer.Status) (uint64, [32]byte) { return s.CheckIndex, s.CheckHash },
		func(s peer.Status) (uint64, [32]byte) { return s.StateIndex, s.StateHash },
	} {
		index, hash := pick(own)
		if index == 0 {
			continue
		}
		groups := map[[32]byte]int{}
		for _, s := range statuses {
			if i, h := pick(s); i == index {
				groups[h]++
			}
		}
		for h, size := range groups {
			if h != hash && size > differ {
				at, agree, differ = index, groups[hash], size
			}
		}
		if differ > 0 {
			return at, agree, differ
		}
		agree = max(agree, groups[hash])
	}
	return 0, agree, 0
}
