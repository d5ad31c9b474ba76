package cluster

import (
	"fmt"
	"io"

	"github.com/hashicorp/raft"
)

// stuckInstalls is how often one snapshot is installed over a longer dead log
// before that is called a circle.
const stuckInstalls = 5

// installWatch notices a follower that goes in a circle: its log has a tail
// that was never committed and is longer than what Raft drops with a snapshot,
// so that the leader's next entries never fit, and the leader sends its
// snapshot again. [inFlightMax] and trailingLogs together keep that from
// happening (I19); should it happen all the same, somebody has to be told.
//
// Raft calls all methods from one goroutine.
type installWatch struct {
	raft.BatchingFSM
	newest func() (snapshot, log uint64) // indexes of the newest snapshot and of the log's end
	stuck  func(error)

	index    uint64
	installs int // of the snapshot at index, with nothing applied since the first
}

// ApplyBatch implements raft.BatchingFSM.
func (w *installWatch) ApplyBatch(logs []*raft.Log) []any {
	w.installs = 0
	return w.BatchingFSM.ApplyBatch(logs)
}

// Restore implements raft.FSM.
func (w *installWatch) Restore(from io.ReadCloser) error {
	if err := w.BatchingFSM.Restore(from); err != nil {
		return err //nolint:wrapcheck // Raft's own caller
	}
	index, end := w.newest()
	if index != w.index {
		w.index, w.installs = index, 0
	}
	if end <= index {
		w.installs = 0 // no tail: the leader only did not hear that it arrived
		return nil
	}
	if w.installs++; w.installs == stuckInstalls && w.stuck != nil {
		w.stuck(fmt.Errorf("the snapshot at index %d was installed %d times, and the log's dead tail to index %d stays", index, stuckInstalls, end))
	}
	return nil
}
