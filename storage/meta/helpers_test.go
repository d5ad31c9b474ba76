package meta

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/raft"

	"ringbin/storage"
)

const (
	testDir   = "data/meta"
	testStart = int64(1_700_000_000_000) // a whole second
	minute    = int64(60_000)
	gib       = int64(1) << 30
)

// tester is what helpers need of a test; rapid's T is one, too.
type tester interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
	Errorf(format string, args ...any)
}

func testOptions(fs vfs.FS) Options {
	return Options{FS: fs, CacheBytes: 1 << 20, MemTableBytes: 64 << 10}
}

// openTest opens metadata that is closed at the test's end.
func openTest(t *testing.T, o Options) *FSM {
	t.Helper()
	f, err := Open(testDir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	return f
}

// world is a log with one replica on it, and a clock for its stamps.
type world struct {
	t   tester
	f   *FSM
	now int64
	log []*raft.Log
	ids uint64
}

func newWorld(t *testing.T) *world {
	t.Helper()
	return &world{t: t, f: openTest(t, testOptions(vfs.NewMem())), now: testStart}
}

// newCluster is a world with three nodes and a ring of R copies on them, and an
// account "ann" that has money.
func newCluster(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	w.found()
	return w
}

func (w *world) found() {
	w.t.Helper()
	for _, id := range []storage.NodeID{"n1", "n2", "n3"} {
		w.must(PutNode{Node: testNode(id, 1)})
	}
	w.must(SetRing{Ring: testRing(1, 3, "n1", "n2", "n3")})
	w.must(CreateAccount{ID: "ann", Email: "ann@example.org", Name: "Ann", BalanceCents: 1000, EntryID: "opening-ann"})
}

func testNode(id storage.NodeID, incarnation uint64) Node {
	return Node{
		ID: id, Name: "node " + string(id), Incarnation: incarnation, RPC: string(id) + ":8081",
		Gossip: string(id) + ":8082", HTTP: string(id) + ":8080", Zone: "a", Capacity: 1, Version: "1",
	}
}

// testRing gives each partition r owners in turn.
func testRing(version uint64, r int, ids ...storage.NodeID) storage.Ring {
	ring := storage.Ring{Version: version, R: r, W: storage.QuorumFor(r)}
	for _, id := range ids {
		ring.Nodes = append(ring.Nodes, storage.RingNode{ID: id, Incarnation: 1, Capacity: 1})
	}
	for p := range storage.Partitions {
		var owners []uint16
		for i := range r {
			owners = append(owners, uint16((p+i)%len(ids)))
		}
		ring.Owners = append(ring.Owners, owners)
	}
	return ring
}

// sized returns the name of content of a size, without the content.
func sized(size int64, seed byte) storage.CID {
	b := binary.BigEndian.AppendUint64(nil, uint64(size))[2:]
	payload := min(size, 64)
	if size > storage.InlineMax {
		payload = 64
	}
	cid, err := storage.CIDFromBinary(append(b, bytes.Repeat([]byte{seed}, int(payload))...))
	if err != nil {
		panic(err) // constant form
	}
	return cid
}

func (w *world) nextID() RequestID {
	w.ids++
	var id RequestID
	binary.BigEndian.PutUint64(id[:], w.ids)
	return id
}

// append writes commands into the log as one entry at the present time.
func (w *world) append(commands ...[]byte) *raft.Log {
	l := &raft.Log{Index: uint64(len(w.log)) + 1, Term: 1, Type: raft.LogCommand, Data: Pack(w.now, commands)}
	w.log = append(w.log, l)
	return l
}

// encoded is a command under a new request id, unless the header has one.
func (w *world) encoded(h *Header, c Command) []byte {
	w.t.Helper()
	if h.ID == (RequestID{}) {
		h.ID = w.nextID()
	}
	b, err := Encode(*h, c)
	if err != nil {
		w.t.Fatal(err)
	}
	return b
}

// do carries out one command and returns the answer that its proposer gets.
func (w *world) do(h Header, c Command) Result {
	w.t.Helper()
	b := w.encoded(&h, c)
	p := w.f.Expect(h.ID)
	if err := w.f.Apply(w.append(b)); err != nil {
		w.t.Fatalf("%T: %v", c, err)
	}
	select {
	case r := <-p.Done():
		return r
	default:
		w.t.Fatalf("%T has no answer", c)
		return Result{}
	}
}

// must carries out a command that may not be refused, and returns its value.
func (w *world) must(c Command) any {
	w.t.Helper()
	return w.mustAs(Header{}, c)
}

func (w *world) mustAs(h Header, c Command) any {
	w.t.Helper()
	r := w.do(h, c)
	if r.Err != nil {
		w.t.Fatalf("%T is refused: %v %v", c, r.Err, r.Err.Details)
	}
	return r.Value
}

// mustUpload is must for uploads, whose numbers many tests ask for.
func (w *world) mustUpload(c CommitUpload) UploadResult {
	w.t.Helper()
	r, ok := w.must(c).(UploadResult)
	if !ok {
		w.t.Fatal("an upload has another value")
	}
	return r
}

// refused carries out a command that must be refused, and change nothing. It
// returns what the refusal tells.
func (w *world) refused(h Header, c Command, kind storage.Kind, code string) (details map[string]any) {
	w.t.Helper()
	before := w.content()
	r := w.do(h, c)
	if r.Err == nil {
		w.t.Fatalf("%T is carried out: %+v, want %s", c, r.Value, code)
	}
	if r.Err.Kind != kind || r.Err.Code != code {
		w.t.Fatalf("%T is refused with %v (%s), want %s (%s)", c, r.Err, r.Err.Kind, code, kind)
	}
	if after := w.content(); !maps.Equal(before, after) {
		w.t.Fatalf("%T is refused, yet the state changes", c)
	}
	return r.Err.Details
}

// content is the replicated state but for FSM time and the remembered requests.
func (w *world) content() map[string]string {
	w.t.Helper()
	m := map[string]string{}
	err := w.f.view("test", func(r pebble.Reader) error {
		return scanRange(r, nil, nil, func(k, v []byte) (bool, error) {
			switch {
			case k[0] == tableRequests, k[0] == tableAnswers, k[0] == tableIdem, k[0] == tableIdemAge, k[0] == tableLocal:
			case string(k) == string(single(singleTime)):
			default:
				m[string(k)] = string(v)
			}
			return true, nil
		})
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return m
}

// poke changes the state as no command does yet.
func (w *world) poke(change func(*tx) error) {
	w.t.Helper()
	s := w.f.state.Load()
	x := w.f.newTx(w.f.state.Load())
	defer func() { _ = x.close() }()
	if err := errors.Join(change(x), w.f.commit(x, s.index, s.term, s.check)); err != nil {
		w.t.Fatal(err)
	}
}

// receipts are good ones of the nodes, given now.
func (w *world) receipts(cid storage.CID, nodes ...storage.NodeID) []storage.Receipt {
	var all []storage.Receipt
	for _, id := range nodes {
		all = append(all, storage.Receipt{
			Node: id, Incarnation: 1, CID: cid, Generation: w.f.AppliedIndex(), Time: w.f.Now(), RingVersion: 1,
		})
	}
	return all
}

// upload is the command of an upload that all owners have.
func (w *world) upload(account string, cid storage.CID, days int) CommitUpload {
	c := CommitUpload{Account: account, CID: cid, Days: days, ContentType: "text/plain"}
	if !cid.Inline() {
		c.Receipts = w.receipts(cid, "n1", "n2", "n3")
	}
	c.EntryID = fmt.Sprintf("entry-%d", w.ids+1)
	return c
}

func (w *world) account(id string) Account {
	w.t.Helper()
	a, ok, err := w.f.Account(id)
	if err != nil || !ok {
		w.t.Fatalf("account %q: %t, %v", id, ok, err)
	}
	return a
}

func equal(t tester, what string, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s: got %+v, want %+v", what, got, want)
	}
}

func stateHash(t tester, f *FSM) [32]byte {
	t.Helper()
	_, h, err := f.StateHash()
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// sink takes a snapshot in memory.
type sink struct {
	bytes.Buffer
	cancelled bool
}

func (*sink) ID() string   { return "test" }
func (*sink) Close() error { return nil }

func (s *sink) Cancel() error {
	s.cancelled = true
	return nil
}

// snapshotOf returns the bytes of a snapshot.
func snapshotOf(t tester, f *FSM) []byte {
	t.Helper()
	s, err := f.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Release()
	var to sink
	if err := s.Persist(&to); err != nil || to.cancelled {
		t.Fatalf("Persist: %v, cancelled %t", err, to.cancelled)
	}
	return slices.Clone(to.Bytes())
}

func restore(f *FSM, b []byte) error { return f.Restore(io.NopCloser(bytes.NewReader(b))) }
