package node

import (
	"context"
	"time"

	"ringbin/storage"
)

// How long commands gather. What an entry costs (two syncs of the log on each
// node, RPCs, futures) is nearly the same for one command as for a hundred, so
// that under load fewer and fuller entries leave more of the machine to all
// else; a command that comes alone waits for nobody.
const (
	packPause   = 2 * time.Millisecond  // from one pack of a node to the next at least
	gatherLeast = 4                     // commands in a pack from which on a node gathers before the next one
	gatherMost  = 50 * time.Millisecond // for so long at most
	joinMost    = 2 * time.Millisecond  // how long the leader waits for the packs of other nodes
)

// gatherPause is how long a node gathers after a pack of so many commands: as
// long as the pack took. The next one then has the commands of two rounds, and
// waits no longer than if it had just missed one. A pack that failed tells
// nothing of how long the next one takes.
func gatherPause(commands int, took time.Duration, err error) time.Duration {
	if commands < gatherLeast || err != nil {
		return packPause - took
	}
	return max(packPause-took, min(took, gatherMost))
}

// joining says whose packs the leader expects in an entry. All packs of an
// entry are answered at the same time, so that their nodes send the next ones
// nearly at the same time: without waiting for each other they would go into
// the log by turns, in twice as many entries.
type joining struct {
	before, last map[storage.NodeID]bool // the nodes of the last two entries
}

// expected is how many nodes had packs in the last two entries.
func (j *joining) expected() int {
	n := len(j.last)
	for id := range j.before {
		if !j.last[id] {
			n++
		}
	}
	return n
}

// merged notes the packs of an entry.
func (j *joining) merged(rounds []*round) {
	j.before, j.last = j.last, make(map[storage.NodeID]bool, len(rounds))
	for _, r := range rounds {
		j.last[r.origin] = true
	}
}

// rest waits for d, and reports whether ctx goes on.
func rest(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}
