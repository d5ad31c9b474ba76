package cluster

import (
	"errors"
	"log/slog"
	"path/filepath"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/raft"

	"ringbin/storage"
)

// TestLogKindStays: a directory keeps the kind of log that it was made with,
// whatever is asked for later; beside it a blank log would be one that has
// forgotten its votes.
func TestLogKindStays(t *testing.T) {
	t.Parallel()
	for made, asked := range map[LogKind]LogKind{LogBolt: LogPebble, LogPebble: LogBolt} {
		t.Run(string(made), func(t *testing.T) {
			t.Parallel()
			rt := &raftTest{t: t, trust: mustTrust(t, secretLine(1)), addrs: map[storage.NodeID]string{}, log: made}
			node := rt.add()
			t.Cleanup(func() { rt.stop(node) })
			rt.bootstrap()
			rt.apply("first")
			rt.stop(node)
			rt.log = asked
			rt.start(node)
			index := rt.apply("second")
			rt.mustReach(node, index, []string{"first", "second"})
			if kind, err := kindIn(vfs.Default, node.dir); kind != made || err != nil {
				t.Errorf("the log is of kind %q (%v), was made as %q", kind, err, made)
			}
		})
	}
}

// TestOfflineLogs: what an operator does with the log of a node that does not
// run works on each kind of log.
func TestOfflineLogs(t *testing.T) {
	t.Parallel()
	logger := slog.New(slog.DiscardHandler)
	if _, err := OpenOfflineLog(t.TempDir(), logger); storage.KindOf(err) != storage.KindNotFound {
		t.Errorf("opening the log of a blank directory: %v", err)
	}
	for _, kind := range []LogKind{LogBolt, LogPebble} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			rt := &raftTest{t: t, trust: mustTrust(t, secretLine(1)), addrs: map[storage.NodeID]string{}, log: kind}
			node := rt.add()
			t.Cleanup(func() { rt.stop(node) })
			rt.bootstrap()
			last := rt.apply("first")
			rt.stop(node)
			checkOfflineLog(t, node, last, []string{"first"})

			log, err := OpenOfflineLog(node.dir, logger)
			if err != nil {
				t.Fatal(err)
			}
			index, err := log.GoOnAlone(node.id, []byte("alone"))
			if err := errors.Join(err, log.Close()); err != nil {
				t.Fatal(err)
			}
			checkOfflineLog(t, node, index, []string{"first", "alone"})

			rt.start(node)
			index = rt.apply("last")
			rt.mustReach(node, index, []string{"first", "alone", "last"})
		})
	}
}

// checkOfflineLog replays a log, and checks it as fsck does.
func checkOfflineLog(t *testing.T, node *raftNode, last uint64, want []string) {
	t.Helper()
	log, err := OpenOfflineLog(node.dir, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	fsm := newListFSM()
	end, err := log.Replay(fsm, 0)
	if err := errors.Join(err, log.Close()); err != nil {
		t.Fatal(err)
	}
	if got, _, _ := fsm.state(); !slices.Equal(got, want) || end.Index != last {
		t.Errorf("replayed up to %d: %q, want up to %d: %q", end.Index, got, last, want)
	}
	var commands []string
	bad := errors.New("bad")
	sum := CheckLog(node.dir, func(c []byte) error { commands = append(commands, string(c)); return nil },
		func(p string) { t.Errorf("problem: %s", p) })
	if sum.Last != last || sum.Commands != int64(len(want)) || !slices.Equal(commands, want) {
		t.Errorf("checked: %+v, %q, want up to %d: %q", sum, commands, last, want)
	}
	told := 0
	CheckLog(node.dir, func([]byte) error { return bad }, func(string) { told++ })
	if told != len(want) {
		t.Errorf("%d problems told of %d bad commands", told, len(want))
	}
}

// TestCheckFindsMissingEntries: a hole in a Pebble log is told.
func TestCheckFindsMissingEntries(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	log, err := openPebbleLog(vfs.Default, dir, slog.New(slog.DiscardHandler), nil, false)
	if err != nil {
		t.Fatal(err)
	}
	err = errors.Join(log.StoreLogs([]*raft.Log{entry(1), entry(2), entry(4)}), log.Close())
	if err != nil {
		t.Fatal(err)
	}
	told := 0
	CheckLog(dir, func([]byte) error { return nil }, func(string) { told++ })
	if told == 0 {
		t.Error("a missing entry was not told")
	}
	if names, err := filepath.Glob(filepath.Join(dir, "*")); err != nil || len(names) != 1 {
		t.Errorf("the check left %v (%v)", names, err)
	}
}
