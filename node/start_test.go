package node

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"ringbin/cluster"
	"ringbin/storage"
	"ringbin/storage/meta"
)

// Numbers of the node that is started.
const (
	startReferences = 10_000
	startPack       = 512
	startWithin     = 10 * time.Minute
	startClose      = time.Minute
)

// heavyNode makes the data directory of a cluster of one node whose metadata has
// so many references, all made by commands. It holds no blob: what a start has
// to do with those it does behind being ready.
func heavyNode(b *testing.B, references int) (dir string) {
	b.Helper()
	dir = b.TempDir()
	self := meta.Node{ID: newNodeID(), Incarnation: 1, Capacity: defaultCapacity}
	fsm, err := meta.Open(filepath.Join(dir, metaDir), meta.Options{})
	if err != nil {
		b.Fatal(err)
	}
	if _, _, err := beginEpoch(fsm, meta.NewEpoch{Node: self, Reason: "benchmark"}, 1, 1); err != nil {
		b.Fatal(err)
	}
	h := heavy{b: b, fsm: fsm, self: self.ID, now: time.Now().Add(-time.Hour).UnixMilli()}
	h.apply(meta.CreateAccount{ID: "a", Email: "a@example.com", Name: "A", BalanceCents: 1 << 50, EntryID: "opening"})
	for left := references; left > 0; left -= startPack {
		var commands []meta.Command
		for range min(startPack, left) {
			commands = append(commands, h.upload())
		}
		h.apply(commands...)
	}
	if got := fsm.Counts().References; got != int64(references) {
		b.Fatalf("%d references, want %d", got, references)
	}
	state, err := fsm.Snapshot()
	if err != nil {
		b.Fatal(err)
	}
	if err := cluster.FoundFrom(filepath.Join(dir, raftDir), self.ID, fsm.AppliedIndex(), 1, state, slog.New(slog.DiscardHandler)); err != nil {
		b.Fatal(err)
	}
	if err := fsm.Close(); err != nil {
		b.Fatal(err)
	}
	text, err := json.Marshal(identityRecord{Format: dataFormat, Node: self.ID, Incarnation: 1, Cluster: cluster.FoundedID([]storage.NodeID{self.ID})})
	if err == nil {
		err = storage.WriteFileDurably(vfs.Default, filepath.Join(dir, identityFile), text)
	}
	if err != nil {
		b.Fatal(err)
	}
	return dir
}

// heavy applies commands without a log.
type heavy struct {
	b     *testing.B
	fsm   *meta.FSM
	self  storage.NodeID
	now   int64
	taken uint64
	ids   uint64
}

func (h *heavy) upload() meta.Command {
	h.taken++
	const size = 100 << 10 // a million of them are 100 GiB
	name := binary.BigEndian.AppendUint64(nil, size)[2:]
	rng := rand.New(rand.NewPCG(h.taken, 0))
	for range 8 {
		name = binary.BigEndian.AppendUint64(name, rng.Uint64())
	}
	cid, err := storage.CIDFromBinary(name)
	if err != nil {
		h.b.Fatal(err)
	}
	cur, _ := h.fsm.Ring()
	return meta.CommitUpload{
		Account: "a", CID: cid, Days: 30, ContentType: "text/plain", EntryID: fmt.Sprint("txn_", h.taken),
		Receipts: []storage.Receipt{{
			Node: h.self, Incarnation: 1, CID: cid, Generation: h.fsm.AppliedIndex(), Time: h.fsm.Now(), RingVersion: cur.Version,
		}},
	}
}

func (h *heavy) apply(commands ...meta.Command) {
	encoded := make([][]byte, len(commands))
	for i, c := range commands {
		h.ids++
		header := meta.Header{NotAfter: h.now + notAfterSpan.Milliseconds()}
		binary.BigEndian.PutUint64(header.ID[:], h.ids)
		var err error
		if encoded[i], err = meta.Encode(header, c); err != nil {
			h.b.Fatal(err)
		}
	}
	h.now += int64(len(commands))
	if err := cluster.ApplyTo(h.fsm, h.fsm.AppliedIndex()+1, 1, meta.Pack(h.now, encoded)); err != nil {
		h.b.Fatal(err)
	}
}

// BenchmarkStart is how long a node takes until it is ready, when its metadata
// has RINGBIN_GROWTH references; its blobs are not there.
func BenchmarkStart(b *testing.B) {
	references := startReferences
	if text, given := os.LookupEnv("RINGBIN_GROWTH"); given {
		var err error
		if references, err = strconv.Atoi(text); err != nil {
			b.Fatal(err)
		}
	}
	dir := heavyNode(b, references)
	handlers := func(*Service) Handlers {
		return Handlers{Public: http.NotFoundHandler(), Admin: http.NotFoundHandler()}
	}
	for b.Loop() {
		ctx, cancel := context.WithTimeout(b.Context(), startWithin)
		n, err := Open(ctx, Config{
			DataDir: dir, Secret: []byte(benchSecret), FreeFloorBytes: -1,
			HTTP: "127.0.0.1:0", RPC: "127.0.0.1:0", Gossip: "127.0.0.1:0", Admin: "127.0.0.1:0",
		}, handlers)
		if err == nil {
			err = n.WaitReady(ctx)
		}
		cancel()
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		closing, cancel := context.WithTimeout(context.Background(), startClose)
		if err := n.Close(closing); err != nil {
			b.Fatal(err)
		}
		cancel()
		b.StartTimer()
	}
	b.ReportMetric(float64(references), "references")
}

// benchSecret is a cluster's that nobody else has.
var benchSecret = cluster.NewSecret()
