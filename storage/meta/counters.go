package meta

import (
	"maps"
	"slices"

	"ringbin/storage"
)

// counters are the members that count for the whole cluster, one for each
// partition: what is counted under a name is counted by the one of the name's
// partition. They follow from what is committed and nothing else, so that no
// two nodes that have applied the same name two.
type counters struct {
	ids   [storage.Partitions]storage.NodeID // "": there is no member
	since [storage.Partitions]uint64         // the entry that made it so; or that this node's state began with
}

// appoint works out who counts once the ring or the members changed: the
// partition's first owner that is a member and stays, without one the first
// such member by id. An entry that changes nothing of that leaves was as it is.
func (c *cached) appoint(was *counters, index uint64) *counters {
	stays := func(id storage.NodeID) bool {
		_, known := c.nodes[id]
		_, leaves := c.draining[id]
		return known && !leaves
	}
	var first storage.NodeID
	for _, id := range slices.Sorted(maps.Keys(c.nodes)) {
		if stays(id) {
			first = id
			break
		}
	}
	now := &counters{}
	same := was != nil
	for p := range now.ids {
		id := first
		if c.ring != nil {
			for _, n := range c.ring.Owners[p] {
				if owner := c.ring.Nodes[n].ID; stays(owner) {
					id = owner
					break
				}
			}
		}
		now.ids[p], now.since[p] = id, index
		if was != nil && was.ids[p] == id {
			now.since[p] = was.since[p]
		} else {
			same = false
		}
	}
	if same {
		return was
	}
	return now
}

// Counter returns the member that counts for a partition, "" without one, and
// what this node knows it by: another number means that another member may have
// counted in between, also where it is the same one again.
func (f *FSM) Counter(partition int) (id storage.NodeID, since uint64) {
	c := f.state.Load().counters
	return c.ids[partition], c.since[partition]
}
