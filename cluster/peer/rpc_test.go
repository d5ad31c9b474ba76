package peer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"

	"ringbin/cluster"
	"ringbin/storage"
)

// stub is a Backend of functions; a call without one is an error.
type stub struct {
	putBlob  func(ctx context.Context, cid storage.CID, body io.Reader) (storage.Receipt, error)
	openBlob func(ctx context.Context, cid storage.CID, offset, length int64) (io.ReadCloser, error)
	propose  func(ctx context.Context, p Pack) (PackReply, error)
	term     func(ctx context.Context) (uint64, error)
	putBlobs func(ctx context.Context, blobs []storage.Proven) []storage.Verdict
	receipt  storage.Receipt
	info     storage.BlobInfo
	held     bool
	err      error

	mu   sync.Mutex // protects seen
	seen []any      // what calls were made with
}

func (s *stub) note(v any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen = append(s.seen, v)
}

func (s *stub) PutBlob(ctx context.Context, cid storage.CID, body io.Reader) (storage.Receipt, error) {
	return s.putBlob(ctx, cid, body)
}

func (s *stub) PutBlobs(ctx context.Context, blobs []storage.Proven) []storage.Verdict {
	return s.putBlobs(ctx, blobs)
}

func (s *stub) OpenBlob(ctx context.Context, cid storage.CID, offset, length int64) (io.ReadCloser, error) {
	return s.openBlob(ctx, cid, offset, length)
}

func (s *stub) ConfirmBlob(_ context.Context, cid storage.CID) (storage.Receipt, bool, error) {
	s.note(cid)
	return s.receipt, s.held, s.err
}

func (s *stub) StatBlob(_ context.Context, cid storage.CID) (storage.BlobInfo, bool, error) {
	s.note(cid)
	return s.info, s.held, s.err
}

// StatBlobs says of each blob what its size has it say.
func (s *stub) StatBlobs(_ context.Context, cids []storage.CID) ([]storage.Holding, error) {
	out := make([]storage.Holding, len(cids))
	for i, cid := range cids {
		out[i] = storage.Holding(cid.Size() % 3)
	}
	return out, s.err
}

func (s *stub) Propose(ctx context.Context, p Pack) (PackReply, error) { return s.propose(ctx, p) }

func (s *stub) ReadIndex(context.Context) (ReadIndexReply, error) {
	return ReadIndexReply{Index: 5, Term: 6}, s.err
}

func (s *stub) Term(ctx context.Context) (uint64, error) { return s.term(ctx) }

func (s *stub) Hello(_ context.Context, body []byte) ([]byte, error) {
	s.note(string(body))
	return append([]byte("hello "), body...), s.err
}

func (s *stub) Join(ctx context.Context, q JoinRequest) (JoinReply, error) {
	s.note(q)
	id, _ := Caller(ctx)
	return JoinReply{ClusterID: "c", Leader: id, Nodes: []NodeAddr{{ID: "n1", RPC: "a:1"}}, CommitIndex: 9}, s.err
}

func (s *stub) Remove(_ context.Context, id storage.NodeID) error {
	s.note(id)
	return s.err
}

func (s *stub) Status(context.Context) (Status, error) {
	return Status{ID: "server", Name: "one", Clock: -5, Applied: 1<<64 - 1, StateHash: [32]byte{1, 31: 2}, CheckIndex: 4096}, s.err
}

func (s *stub) RequestLogs(_ context.Context, query []byte) ([]byte, error) {
	return append([]byte("logs of "), query...), s.err
}

func (s *stub) Gone(ctx context.Context) (bool, error) {
	id, _ := Caller(ctx)
	return id == "client", s.err
}

func (s *stub) Window(_ context.Context, q WindowRequest) (WindowReply, error) {
	s.note(q)
	return WindowReply{Granted: q.Want, Window: 1 << 40, EndsMillis: 59_999}, s.err
}

// rpcTest is a server with a stub behind it and a client, over TLS on loopback.
type rpcTest struct {
	*Client
	back   *stub
	server *Server
	addr   string
	trust  *cluster.Trust
	mux    *cluster.Mux
}

var quiet = slog.New(slog.DiscardHandler)

func newRPC(t *testing.T) *rpcTest {
	t.Helper()
	trust, err := cluster.ParseTrust([]byte(cluster.NewSecret()))
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &rpcTest{back: &stub{}, addr: l.Addr().String(), trust: trust}
	r.mux = cluster.NewMux(l, r.issue(t, "server"), quiet)
	r.server = NewServer(r.back, ServerOptions{Logger: quiet, PeerID: cluster.PeerID})
	served := make(chan error, 1)
	go func() { served <- r.server.Serve(r.mux.Peer()) }()
	r.Client = r.client(t, "client")
	t.Cleanup(func() {
		r.CloseIdle()
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = r.server.Shutdown(ctx) // some tests leave calls under way
		if err := errors.Join(<-served, r.mux.Close()); err != nil {
			t.Error(err)
		}
	})
	return r
}

func (r *rpcTest) issue(t *testing.T, id storage.NodeID) *cluster.Identity {
	t.Helper()
	identity, err := r.trust.Issue(id)
	if err != nil {
		t.Fatal(err)
	}
	return identity
}

// client reaches the server under the id "server" only.
func (r *rpcTest) client(t *testing.T, id storage.NodeID) *Client {
	t.Helper()
	identity := r.issue(t, id)
	dial := func(ctx context.Context, addr string, want storage.NodeID) (net.Conn, error) {
		raw, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
		if err != nil {
			return nil, err
		}
		return identity.Client(ctx, raw, want, cluster.ALPNPeer)
	}
	c := NewClient(ClientOptions{
		Dial:     func(ctx context.Context, want storage.NodeID) (net.Conn, error) { return dial(ctx, r.addr, want) },
		DialAddr: func(ctx context.Context, addr string) (net.Conn, error) { return dial(ctx, addr, "") },
		Logger:   quiet,
	})
	t.Cleanup(c.CloseIdle)
	return c
}

func must0[T any](t *testing.T, want T) func(T, error) {
	t.Helper()
	return func(got T, err error) {
		t.Helper()
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%+v, %v; want %+v", got, err, want)
		}
	}
}

var (
	someContent = bytes.Repeat([]byte("0123456789abcdef"), 40_000)
	someCID     = storage.SumCID(someContent)
)

func TestControlCalls(t *testing.T) {
	t.Parallel()
	r := newRPC(t)
	ctx := t.Context()
	pack := Pack{Origin: "client", Seq: 3, Term: 4, Commands: [][]byte{{1}, {}, bytes.Repeat([]byte{7}, 1<<20)}}
	r.back.propose = func(_ context.Context, p Pack) (PackReply, error) {
		if !reflect.DeepEqual(p, pack) {
			t.Errorf("%d commands of %s", len(p.Commands), p.Origin)
		}
		return PackReply{Index: 1<<64 - 1}, nil
	}
	r.back.term = func(context.Context) (uint64, error) { return 77, nil }
	r.back.receipt = storage.Receipt{Node: "server", Incarnation: 2, CID: someCID, Generation: 3, Time: 4, RingVersion: 5}
	r.back.info = storage.BlobInfo{CID: someCID, Generation: 3, Corrupt: true}
	join := JoinRequest{ID: "client", Name: "two", Incarnation: 1, RPC: "r:1", Gossip: "g:2", HTTP: "h:3", Zone: "z", Capacity: 1 << 63, Version: "v"}
	joined := JoinReply{ClusterID: "c", Leader: "client", Nodes: []NodeAddr{{ID: "n1", RPC: "a:1"}}, CommitIndex: 9}

	must0(t, PackReply{Index: 1<<64 - 1})(r.Propose(ctx, "server", pack))
	must0(t, ReadIndexReply{Index: 5, Term: 6})(r.ReadIndex(ctx, "server"))
	must0(t, uint64(77))(r.Term(ctx, "server"))
	must0(t, Status{ID: "server", Name: "one", Clock: -5, Applied: 1<<64 - 1, StateHash: [32]byte{1, 31: 2}, CheckIndex: 4096})(r.Status(ctx, "server"))
	must0(t, []byte("logs of all"))(r.RequestLogs(ctx, "server", []byte("all")))
	must0(t, []byte("hello you"))(r.HelloAddr(ctx, r.addr, []byte("you")))
	must0(t, joined)(r.JoinAddr(ctx, r.addr, join))
	must0(t, joined)(r.Join(ctx, "server", join))
	if err := r.Remove(ctx, "server", "gone"); err != nil {
		t.Error(err)
	}
	counted := WindowRequest{Key: "rate/7", Limit: 60, Want: 1 << 40}
	must0(t, WindowReply{Granted: 1 << 40, Window: 1 << 40, EndsMillis: 59_999})(r.Window(ctx, "server", counted))
	for _, held := range []bool{true, false} {
		r.back.held = held
		if got, ok, err := r.ConfirmBlob(ctx, "server", someCID); err != nil || ok != held || got != r.back.receipt {
			t.Errorf("ConfirmBlob = %+v, %t, %v", got, ok, err)
		}
		if got, ok, err := r.StatBlob(ctx, "server", someCID); err != nil || ok != held || got != r.back.info {
			t.Errorf("StatBlob = %+v, %t, %v", got, ok, err)
		}
	}
	want := []any{"you", join, join, storage.NodeID("gone"), counted, someCID, someCID, someCID, someCID}
	if !reflect.DeepEqual(r.back.seen, want) {
		t.Errorf("the server saw %v", r.back.seen)
	}
}

// An error is the same on the other side, whatever its kind.
func TestErrorsCross(t *testing.T) {
	t.Parallel()
	r := newRPC(t)
	for kind := storage.KindInternal; kind <= storage.KindCorrupt; kind++ {
		sent := &storage.Error{
			Op: "meta.Thing", Kind: kind, Code: "some_code", Text: "A sentence.", Field: "field",
			Details: map[string]any{"wanted": int64(2), "less": int64(-1), "why": "short"}, Err: errors.New("below"),
		}
		r.back.err = fmt.Errorf("wrapped: %w", sent)
		_, err := r.ReadIndex(t.Context(), "server")
		got, ok := errors.AsType[*storage.Error](err)
		if !ok || got.Kind != kind || got.Code != sent.Code || got.Text != sent.Text || got.Field != sent.Field || !maps.Equal(got.Details, sent.Details) {
			t.Errorf("%v: got %#v", kind, err)
		}
		if got != nil && got.Err.Error() != "peer: "+r.back.err.Error() {
			t.Errorf("the chain is %v", got.Err)
		}
	}
	for name, err := range map[string]error{
		"plain":           errors.New("plain"),
		"details unknown": &storage.Error{Kind: storage.KindInternal, Details: map[string]any{"f": func() {}}},
	} {
		r.back.err = err
		if _, err := r.ReadIndex(t.Context(), "server"); err == nil || storage.KindOf(err) != storage.KindInternal {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Who calls is read from the certificate, for each connection.
func TestCallerIsProved(t *testing.T) {
	t.Parallel()
	r := newRPC(t)
	for range 2 {
		for _, id := range []storage.NodeID{"n-a", "n-b"} {
			reply, err := r.client(t, id).Join(t.Context(), "server", JoinRequest{ID: "somebody else"})
			if err != nil || reply.Leader != id {
				t.Errorf("the caller is %q, %v; want %q", reply.Leader, err, id)
			}
		}
	}
	if id, ok := Caller(t.Context()); ok {
		t.Errorf("a caller without a call: %q", id)
	}
}

func TestUnreachable(t *testing.T) {
	t.Parallel()
	r := newRPC(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	calls := map[string]func() error{
		"nobody listens":    func() error { _, err := r.HelloAddr(t.Context(), l.Addr().String(), nil); return err },
		"another's address": func() error { _, err := r.Propose(t.Context(), "another", Pack{}); return err },
		"blob":              func() error { _, err := r.PutBlob(t.Context(), "another", someCID, bytes.NewReader(nil)); return err },
		"read":              func() error { _, err := r.OpenBlob(t.Context(), "another", someCID, 0, -1); return err },
		"confirm":           func() error { _, _, err := r.ConfirmBlob(t.Context(), "another", someCID); return err },
		"stat":              func() error { _, _, err := r.StatBlob(t.Context(), "another", someCID); return err },
	}
	for name, call := range calls {
		if err := call(); strings.Contains(err.Error(), someCID.String()) {
			t.Errorf("%s: the error tells the CID: %v", name, err) // errors are logged
		}
		if err := call(); storage.KindOf(err) != storage.KindUnavailable || storage.CodeOf(err) != "unreachable" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A server that dies before its answer is whole leaves the outcome open, and
// the call is not made a second time.
func TestServerDies(t *testing.T) {
	t.Parallel()
	for name, die := range map[string]func(r *rpcTest){
		"panics":      func(*rpcTest) { panic("a fault") },
		"cuts":        func(*rpcTest) { panic(http.ErrAbortHandler) },
		"is shut off": func(r *rpcTest) { _ = r.server.http.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRPC(t)
			if _, err := r.ReadIndex(t.Context(), "server"); err != nil { // a connection to use again
				t.Fatal(err)
			}
			var calls atomic.Int32
			r.back.propose = func(context.Context, Pack) (PackReply, error) {
				calls.Add(1)
				die(r)
				return PackReply{}, nil
			}
			_, err := r.Propose(t.Context(), "server", Pack{Origin: "client"})
			if storage.KindOf(err) != storage.KindUnknown || storage.CodeOf(err) != "outcome_unknown" || calls.Load() != 1 {
				t.Errorf("%v after %d calls", err, calls.Load())
			}
		})
	}
}

// A call that its caller gives up on ends at the server too.
func TestGivenUp(t *testing.T) {
	t.Parallel()
	r := newRPC(t)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	r.back.term = func(ctx context.Context) (uint64, error) {
		defer close(ended)
		cancel()
		<-ctx.Done()
		return 0, ctx.Err()
	}
	if _, err := r.Term(ctx, "server"); storage.KindOf(err) != storage.KindUnknown || !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	<-ended
}

func TestLimits(t *testing.T) {
	t.Parallel()
	r := newRPC(t)
	r.back.propose = func(context.Context, Pack) (PackReply, error) { return PackReply{}, nil }
	if _, err := r.Propose(t.Context(), "server", Pack{Commands: [][]byte{make([]byte, packBytesMax-100)}}); err != nil {
		t.Errorf("the largest pack: %v", err)
	}
	if _, err := r.Propose(t.Context(), "server", Pack{Commands: [][]byte{make([]byte, packBytesMax)}}); storage.KindOf(err) != storage.KindInvalid {
		t.Errorf("a pack too large: %v", err)
	}
	if _, err := r.HelloAddr(t.Context(), r.addr, make([]byte, controlBytesMax)); storage.KindOf(err) != storage.KindInvalid {
		t.Errorf("a hello too large: %v", err)
	}
	if len(r.back.seen) > 0 {
		t.Error("it was called all the same")
	}
}

// With all places taken a call is refused at once; blobs never take the places
// of control calls.
func TestOverloaded(t *testing.T) {
	t.Parallel()
	r := newRPC(t)
	for range blobsMax {
		r.server.blobs <- struct{}{}
	}
	for name, call := range map[string]func() error{
		"put": func() error {
			_, err := r.PutBlob(t.Context(), "server", someCID, bytes.NewReader(someContent))
			return err
		},
		"get": func() error { _, err := r.OpenBlob(t.Context(), "server", someCID, 0, -1); return err },
	} {
		if err := call(); storage.KindOf(err) != storage.KindUnavailable || storage.CodeOf(err) != "overloaded" {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := r.ReadIndex(t.Context(), "server"); err != nil {
		t.Error(err)
	}
	for range controlsMax {
		r.server.controls <- struct{}{}
	}
	if _, err := r.ReadIndex(t.Context(), "server"); storage.CodeOf(err) != "overloaded" {
		t.Error(err)
	}
	<-r.server.controls
	if _, err := r.ReadIndex(t.Context(), "server"); err != nil {
		t.Error(err)
	}
}

func TestPutBlob(t *testing.T) {
	t.Parallel()
	r := newRPC(t)
	arrived := make(chan []byte, 1)
	receipt := storage.Receipt{Node: "server", Incarnation: 1, CID: someCID, Generation: 2, Time: 3, RingVersion: 4}
	r.back.putBlob = func(_ context.Context, cid storage.CID, body io.Reader) (storage.Receipt, error) {
		got, err := unsealed(0, cid.Size(), body)
		if cid != someCID {
			t.Errorf("for %s", cid)
		}
		answer := receipt
		arrived <- got
		return answer, err
	}
	upload := func() io.Reader { return sealed(0, someCID.Size(), bytes.NewReader(someContent)) }
	for range 2 {
		must0(t, receipt)(r.PutBlob(t.Context(), "server", someCID, upload()))
		if got := <-arrived; !bytes.Equal(got, someContent) {
			t.Errorf("%d bytes arrive", len(got))
		}
	}
	for name, body := range map[string]io.Reader{
		"more":  io.MultiReader(upload(), bytes.NewReader([]byte("more"))),
		"fewer": io.LimitReader(upload(), someCID.Size()),
	} {
		if _, err := r.PutBlob(t.Context(), "server", someCID, body); err == nil {
			t.Errorf("a stream of %s bytes than its blob has is sent", name)
		}
		<-arrived // the owner may see its end later than the sender
	}
	for name, bad := range map[string]storage.Receipt{"of another node": {Node: "n9", CID: someCID}, "of another blob": {Node: "server"}} {
		receipt = bad
		if _, err := r.PutBlob(t.Context(), "server", someCID, upload()); storage.KindOf(err) != storage.KindCorrupt {
			t.Errorf("a receipt %s: %v", name, err)
		}
		<-arrived
	}
}

// A body that fails at the sender never ends cleanly at the owner.
func TestPutBlobBodyFails(t *testing.T) {
	t.Parallel()
	r := newRPC(t)
	errBody := errors.New("the client is gone")
	for _, sent := range []int{0, 1, 5000, 300_000, len(someContent)} {
		end := make(chan error, 1)
		r.back.putBlob = func(_ context.Context, _ storage.CID, body io.Reader) (storage.Receipt, error) {
			_, err := io.Copy(io.Discard, body)
			end <- err
			return storage.Receipt{Node: "server", CID: someCID}, nil // an owner that looks at nothing
		}
		body := io.MultiReader(bytes.NewReader(someContent[:sent]), iotest.ErrReader(errBody))
		if _, err := r.PutBlob(t.Context(), "server", someCID, body); !errors.Is(err, errBody) {
			t.Errorf("after %d bytes: %v", sent, err)
		}
		if sent == 0 {
			continue // the owner may not even have been asked
		}
		if err := <-end; err == nil {
			t.Errorf("the owner sees a clean end after %d bytes", sent)
		}
	}
}

// An owner that refuses before it has read says why, although the body goes on.
func TestPutBlobRefused(t *testing.T) {
	t.Parallel()
	r := newRPC(t)
	r.back.putBlob = func(context.Context, storage.CID, io.Reader) (storage.Receipt, error) {
		return storage.Receipt{}, &storage.Error{Kind: storage.KindFull, Code: "insufficient_storage"}
	}
	var read atomic.Int64
	body := readerFunc(func(p []byte) (int, error) { read.Add(int64(len(p))); return len(p), nil })
	_, err := r.PutBlob(t.Context(), "server", someCID, body)
	if storage.KindOf(err) != storage.KindFull || storage.CodeOf(err) != "insufficient_storage" {
		t.Error(err)
	}
	if read.Load() > 0 {
		t.Errorf("%d bytes are read for an owner that is full", read.Load())
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// sealed is the stream of a range of someContent that a reader gives.
func sealed(offset, length int64, r io.Reader) io.ReadCloser {
	return storage.NewSealedReader(someCID, offset, length, io.NopCloser(r))
}

// unsealed reads a stream to its end.
func unsealed(offset, length int64, r io.Reader) ([]byte, error) {
	u := storage.Unseal(someCID, offset, length, r)
	defer u.Close()
	return io.ReadAll(u)
}

func (r *rpcTest) serveContent(content []byte) {
	r.back.openBlob = func(_ context.Context, _ storage.CID, offset, length int64) (io.ReadCloser, error) {
		r.back.note([2]int64{offset, length})
		return sealed(offset, length, bytes.NewReader(content[offset:min(int64(len(content)), offset+length)])), nil
	}
}

func TestOpenBlobRanges(t *testing.T) {
	t.Parallel()
	r := newRPC(t)
	r.serveContent(someContent)
	n := someCID.Size()
	for _, c := range [][2]int64{{0, -1}, {0, n}, {0, 1}, {n - 1, 1}, {n, 0}, {n, -1}, {0, 0}, {1000, 300_000}, {7, -1}} {
		body, err := r.OpenBlob(t.Context(), "server", someCID, c[0], c[1])
		if err != nil {
			t.Errorf("range %v: %v", c, err)
			continue
		}
		end := c[0] + c[1]
		if c[1] < 0 {
			end = n
		}
		got, err := unsealed(c[0], end-c[0], body)
		if err = errors.Join(err, body.Close()); err != nil || !bytes.Equal(got, someContent[c[0]:end]) {
			t.Errorf("range %v: %d bytes, %v", c, len(got), err)
		}
	}
	seen := len(r.back.seen)
	for _, c := range [][2]int64{{-1, 1}, {n + 1, 0}, {n + 1, -1}, {0, n + 1}, {n, 1}, {1, 1<<63 - 1}} {
		if _, err := r.OpenBlob(t.Context(), "server", someCID, c[0], c[1]); storage.KindOf(err) != storage.KindRange {
			t.Errorf("range %v: %v", c, err)
		}
	}
	if len(r.back.seen) != seen {
		t.Error("a bad range reaches the store")
	}
}

// I2: what a server can't send whole never ends cleanly at the reader.
func TestOpenBlobCutShort(t *testing.T) {
	t.Parallel()
	r := newRPC(t)
	errDisk := errors.New("a chunk is corrupt")
	n := len(someContent)
	stream, err := io.ReadAll(sealed(0, someCID.Size(), bytes.NewReader(someContent)))
	if err != nil {
		t.Fatal(err)
	}
	for name, body := range map[string]io.Reader{
		"nothing":        bytes.NewReader(nil),
		"one byte short": bytes.NewReader(stream[:len(stream)-1]),
		"no end":         bytes.NewReader(stream[:len(stream)-8]),
		"one too many":   io.MultiReader(bytes.NewReader(stream), bytes.NewReader([]byte{1})),
		"a short blob":   sealed(0, someCID.Size(), bytes.NewReader(someContent[:n-1])),
		"fails at once":  iotest.ErrReader(errDisk),
		"fails half way": io.MultiReader(bytes.NewReader(stream[:n/2]), iotest.ErrReader(errDisk)),
		"panics":         io.MultiReader(bytes.NewReader(stream[:n/2]), readerFunc(func([]byte) (int, error) { panic("a fault") })),
	} {
		r.back.openBlob = func(context.Context, storage.CID, int64, int64) (io.ReadCloser, error) {
			return io.NopCloser(body), nil
		}
		got, err := r.OpenBlob(t.Context(), "server", someCID, 0, -1)
		if err != nil {
			continue
		}
		b, err := unsealed(0, someCID.Size(), got)
		if (err == nil) != bytes.Equal(b, someContent) {
			t.Errorf("%s: a clean end after %d bytes", name, len(b))
		}
		_ = got.Close()
	}
	r.back.openBlob = func(context.Context, storage.CID, int64, int64) (io.ReadCloser, error) {
		return nil, storage.E("store", storage.KindCorrupt, nil)
	}
	if _, err := r.OpenBlob(t.Context(), "server", someCID, 0, -1); storage.KindOf(err) != storage.KindCorrupt {
		t.Error(err)
	}
}

// answer makes a client whose peer gives one answer to everything.
func answer(t *testing.T, h http.HandlerFunc) *Client {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: h, ReadHeaderTimeout: time.Minute}
	go func() { _ = s.Serve(l) }()
	t.Cleanup(func() { _ = s.Close() })
	dial := func(ctx context.Context) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "tcp", l.Addr().String())
	}
	c := NewClient(ClientOptions{
		Dial:     func(ctx context.Context, _ storage.NodeID) (net.Conn, error) { return dial(ctx) },
		DialAddr: func(ctx context.Context, _ string) (net.Conn, error) { return dial(ctx) },
		Logger:   quiet,
	})
	t.Cleanup(c.CloseIdle)
	return c
}

// Answers that no peer of ours gives are errors.
func TestStrangeAnswers(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		h    http.HandlerFunc
		kind storage.Kind
	}{
		"another length": {func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("short")) }, storage.KindCorrupt},
		"no length":      {func(w http.ResponseWriter, _ *http.Request) { _ = http.NewResponseController(w).Flush() }, storage.KindCorrupt},
		"not found":      {http.NotFound, storage.KindUnavailable},
		"elsewhere":      {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/x", http.StatusFound) }, storage.KindUnavailable},
		"error no CBOR":  {func(w http.ResponseWriter, _ *http.Request) { strangeError(w, "{}") }, storage.KindInternal},
		"error cut in two": {func(w http.ResponseWriter, _ *http.Request) {
			strangeError(w, string(encodeError(errors.New("x"))[:2]))
		}, storage.KindInternal},
	} {
		if _, err := answer(t, c.h).OpenBlob(t.Context(), "n", someCID, 0, -1); err == nil || storage.KindOf(err) != c.kind {
			t.Errorf("%s: %v", name, err)
		}
	}
	c := answer(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("no CBOR")) })
	if _, err := c.Term(t.Context(), "n"); err == nil || storage.KindOf(err) != storage.KindInternal {
		t.Error(err)
	}
}

func strangeError(w http.ResponseWriter, body string) {
	w.Header().Set("Content-Type", errorType)
	w.WriteHeader(wireStatus)
	_, _ = io.WriteString(w, body)
}

// A peer whose connection carries no proof is hung up on.
func TestServeWithoutTLS(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := NewServer(&stub{}, ServerOptions{Logger: quiet, PeerID: cluster.PeerID})
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if n, err := c.Read(make([]byte, 1)); n > 0 || err == nil {
		t.Errorf("%d bytes, %v", n, err)
	}
	_ = c.Close()
	if err := errors.Join(s.Shutdown(t.Context()), <-served); err != nil {
		t.Error(err)
	}
}

// FanOut asks all, a bounded number at a time, and keeps the order.
func TestFanOut(t *testing.T) {
	t.Parallel()
	var ids []storage.NodeID
	for i := range 20 {
		ids = append(ids, storage.NodeID(fmt.Sprint(i)))
	}
	errOdd := errors.New("odd")
	for _, limit := range []int{-1, 1, 3, 100} {
		var now, most atomic.Int32
		answers := FanOut(t.Context(), ids, limit, func(_ context.Context, id storage.NodeID) (string, error) {
			n := now.Add(1)
			defer now.Add(-1)
			for was := most.Load(); n > was; was = most.Load() {
				most.CompareAndSwap(was, n)
			}
			if slices.Index(ids, id)%2 == 1 {
				return "", errOdd
			}
			return "v" + string(id), nil
		})
		if int(most.Load()) > max(1, limit) {
			t.Errorf("limit %d: %d at a time", limit, most.Load())
		}
		for i, a := range answers {
			want := Answer[string]{ID: ids[i], Value: "v" + string(ids[i])}
			if i%2 == 1 {
				want.Value, want.Err = "", errOdd
			}
			if a != want {
				t.Errorf("answer %d is %+v", i, a)
			}
		}
	}
	if got := FanOut(t.Context(), nil, 3, func(context.Context, storage.NodeID) (int, error) { return 0, nil }); len(got) > 0 {
		t.Errorf("answers of nobody: %v", got)
	}
}
