package peer

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/fxamacker/cbor/v2"

	"ringbin/storage"
)

// ServerOptions are how a server answers.
type ServerOptions struct {
	Logger *slog.Logger
	// PeerID reads the caller's id out of its verified certificate.
	PeerID func(tls.ConnectionState) (storage.NodeID, bool)
}

// Server answers peers.
type Server struct {
	b        Backend
	o        ServerOptions
	http     *http.Server
	blobs    chan struct{}
	controls chan struct{}
}

type callerKey struct{}

// Caller returns who made the call that ctx is of.
func Caller(ctx context.Context) (storage.NodeID, bool) {
	id, ok := ctx.Value(callerKey{}).(storage.NodeID)
	return id, ok
}

// NewServer returns a server that answers with b.
func NewServer(b Backend, o ServerOptions) *Server {
	s := &Server{b: b, o: o, blobs: make(chan struct{}, blobsMax), controls: make(chan struct{}, controlsMax)}
	mux := http.NewServeMux()
	mux.HandleFunc("PUT "+pathBlob+"{cid}", s.call(s.blobs, s.putBlob))
	mux.HandleFunc("POST "+pathBundle, s.call(s.blobs, s.putBundle))
	mux.HandleFunc("GET "+pathBlob+"{cid}", s.call(s.blobs, s.getBlob))
	mux.HandleFunc("POST "+pathConfirm+"{cid}", s.call(s.controls, s.confirmBlob))
	mux.HandleFunc("POST "+pathBlob+"{cid}", s.call(s.controls, s.statBlob))
	mux.HandleFunc("POST "+pathStats, s.call(s.controls, control(statBytesMax, controlTimeout, s.statBlobs)))
	mux.HandleFunc("POST "+pathPropose, s.call(s.controls, control(packBytesMax, proposeTimeout, b.Propose)))
	mux.HandleFunc("POST "+pathReadIndex, s.call(s.controls, ask(controlTimeout, b.ReadIndex)))
	mux.HandleFunc("POST "+pathTerm, s.call(s.controls, ask(controlTimeout, b.Term)))
	mux.HandleFunc("POST "+pathHello, s.call(s.controls, control(controlBytesMax, controlTimeout, b.Hello)))
	mux.HandleFunc("POST "+pathJoin, s.call(s.controls, control(controlBytesMax, joinTimeout, b.Join)))
	mux.HandleFunc("POST "+pathRemove, s.call(s.controls, control(controlBytesMax, joinTimeout, func(ctx context.Context, id storage.NodeID) (bool, error) {
		return true, b.Remove(ctx, id)
	})))
	mux.HandleFunc("POST "+pathStatus, s.call(s.controls, ask(controlTimeout, b.Status)))
	mux.HandleFunc("POST "+pathGone, s.call(s.controls, ask(controlTimeout, b.Gone)))
	mux.HandleFunc("POST "+pathLogs, s.call(s.controls, control(controlBytesMax, controlTimeout, b.RequestLogs)))
	mux.HandleFunc("POST "+pathWindow, s.call(s.controls, control(controlBytesMax, windowTimeout, b.Window)))
	s.http = &http.Server{
		Handler: mux, ReadHeaderTimeout: headerTimeout, IdleTimeout: 2 * idleTimeout, MaxHeaderBytes: headerBytesMax,
		ConnContext: withCaller,
		ErrorLog:    slog.NewLogLogger(o.Logger.Handler(), slog.LevelDebug),
	}
	return s
}

// Serve answers on connections that have finished TLS, until Shutdown.
func (s *Server) Serve(l net.Listener) error {
	if err := s.http.Serve(memberListener{Listener: l, peerID: s.o.PeerID}); !errors.Is(err, http.ErrServerClosed) {
		return storage.E("peer.Serve", storage.KindInternal, err)
	}
	return nil
}

// Shutdown lets calls under way finish until ctx ends, then cuts them.
func (s *Server) Shutdown(ctx context.Context) error {
	if err := s.http.Shutdown(ctx); err != nil {
		return errors.Join(err, s.http.Close())
	}
	return nil
}

// memberListener hides from net/http that connections are TLS: it would hang up
// on a protocol that it does not know. Who calls is read here, once for each
// connection.
type memberListener struct {
	net.Listener
	peerID func(tls.ConnectionState) (storage.NodeID, bool)
}

// Accept implements net.Listener.
func (l memberListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err //nolint:wrapcheck // net/http knows these errors
		}
		if t, ok := c.(interface{ ConnectionState() tls.ConnectionState }); ok {
			if id, ok := l.peerID(t.ConnectionState()); ok {
				return memberConn{Conn: c, id: id}, nil
			}
		}
		_ = c.Close() // nobody we know
	}
}

type memberConn struct {
	net.Conn
	id storage.NodeID
}

func withCaller(ctx context.Context, c net.Conn) context.Context {
	if m, ok := c.(memberConn); ok {
		return context.WithValue(ctx, callerKey{}, m.id)
	}
	return ctx
}

type handler func(w http.ResponseWriter, r *http.Request) error

// call takes a place, traps panics and renders errors.
func (s *Server) call(places chan struct{}, h handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			if p := recover(); p != nil {
				if p == http.ErrAbortHandler { //nolint:errorlint // a sentinel that is compared so by net/http itself
					panic(p)
				}
				s.o.Logger.Error("peer call panicked", "path", r.Pattern, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
				panic(http.ErrAbortHandler)
			}
		}()
		select {
		case places <- struct{}{}:
			defer func() { <-places }()
		default:
			s.fail(w, &storage.Error{Op: "peer.call", Kind: storage.KindUnavailable, Code: "overloaded"})
			return
		}
		if err := h(w, r); err != nil {
			s.fail(w, err)
		}
	}
}

func (s *Server) fail(w http.ResponseWriter, err error) {
	w.Header().Set("Content-Type", errorType)
	w.WriteHeader(wireStatus)
	_, _ = w.Write(encodeError(err)) // a caller that is gone needs no answer
}

func reply(w http.ResponseWriter, v any) error {
	b, err := cbor.Marshal(v)
	if err != nil {
		return storage.E("peer.reply", storage.KindInternal, err)
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(b)))
	_, _ = w.Write(b) // a caller that is gone needs no answer
	return nil
}

// control is a call with one value in and one out.
func control[Q, A any](bytesMax int64, timeout time.Duration, f func(context.Context, Q) (A, error)) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, bytesMax))
		if err != nil {
			return storage.E("peer.control", storage.KindInvalid, err)
		}
		var q Q
		if err := decMode.Unmarshal(b, &q); err != nil {
			return storage.E("peer.control", storage.KindInvalid, err)
		}
		ctx, cancel := context.WithTimeout(r.Context(), timeout)
		defer cancel()
		a, err := f(ctx, q)
		if err != nil {
			return err
		}
		return reply(w, a)
	}
}

// ask is a call with nothing in.
func ask[A any](timeout time.Duration, f func(context.Context) (A, error)) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		ctx, cancel := context.WithTimeout(r.Context(), timeout)
		defer cancel()
		a, err := f(ctx)
		if err != nil {
			return err
		}
		return reply(w, a)
	}
}

func pathCID(r *http.Request) (storage.CID, error) {
	cid, err := storage.ParseCID(r.PathValue("cid"))
	if err != nil {
		return cid, storage.E("peer.pathCID", storage.KindInvalid, err)
	}
	return cid, nil
}

func (s *Server) putBlob(w http.ResponseWriter, r *http.Request) error {
	cid, err := pathCID(r)
	if err != nil {
		return err
	}
	receipt, err := s.b.PutBlob(r.Context(), cid, &rollingBody{r: r.Body, c: http.NewResponseController(w)})
	if err != nil {
		return err
	}
	return reply(w, receipt)
}

// rollingBody lets a body take as long as it moves. A read brings no more than a
// record of TLS, so that the deadline is not set for each.
type rollingBody struct {
	r   io.Reader
	c   *http.ResponseController
	set time.Time
}

func (b *rollingBody) Read(p []byte) (int, error) {
	if now := time.Now(); now.Sub(b.set) >= rollEvery {
		if err := b.c.SetReadDeadline(now.Add(progressWithin)); err != nil {
			return 0, fmt.Errorf("set deadline: %w", err)
		}
		b.set = now
	}
	return b.r.Read(p) //nolint:wrapcheck // a reader hands errors on
}

func (s *Server) confirmBlob(w http.ResponseWriter, r *http.Request) error {
	cid, err := pathCID(r)
	if err != nil {
		return err
	}
	receipt, ok, err := s.b.ConfirmBlob(r.Context(), cid)
	if err != nil {
		return err
	}
	return reply(w, held[storage.Receipt]{Value: receipt, Held: ok})
}

func (s *Server) statBlob(w http.ResponseWriter, r *http.Request) error {
	cid, err := pathCID(r)
	if err != nil {
		return err
	}
	info, ok, err := s.b.StatBlob(r.Context(), cid)
	if err != nil {
		return err
	}
	return reply(w, held[storage.BlobInfo]{Value: info, Held: ok})
}

// statBlobs answers with a byte for each blob.
func (s *Server) statBlobs(ctx context.Context, cids []storage.CID) ([]byte, error) {
	if len(cids) > storage.HoldingsMax {
		return nil, storage.Invalid("peer.statBlobs", "", "cids", fmt.Sprintf("up to %d", storage.HoldingsMax))
	}
	holdings, err := s.b.StatBlobs(ctx, cids)
	if err != nil {
		return nil, err
	}
	out := make([]byte, len(holdings))
	for i, h := range holdings {
		out[i] = byte(h)
	}
	return out, nil
}

// getBlob sends a range sealed, with its length: what is cut short never looks whole.
func (s *Server) getBlob(w http.ResponseWriter, r *http.Request) error {
	cid, err := pathCID(r)
	if err != nil {
		return err
	}
	offset, length, err := rangeOf(r, cid)
	if err != nil {
		return err
	}
	body, err := s.b.OpenBlob(r.Context(), cid, offset, length)
	if err != nil {
		return err
	}
	defer func() { _ = body.Close() }()
	size := storage.SealedSize(length)
	w.Header().Set("Content-Length", strconv.FormatInt(size, 10))
	w.Header().Set("Content-Type", "application/octet-stream")
	out := &rollingWriter{w: w, c: http.NewResponseController(w)}
	if n, err := io.Copy(out, body); err != nil || n != size {
		s.o.Logger.Debug("blob not sent whole", "blob", cid, "sent", n, "err", err)
		panic(http.ErrAbortHandler)
	}
	return nil
}

func rangeOf(r *http.Request, cid storage.CID) (offset, length int64, err error) {
	q := r.URL.Query()
	offset, err1 := strconv.ParseInt(q.Get("offset"), 10, 64)
	length, err2 := strconv.ParseInt(q.Get("length"), 10, 64)
	if err := errors.Join(err1, err2); err != nil {
		return 0, 0, storage.E("peer.rangeOf", storage.KindInvalid, err)
	}
	if offset < 0 || offset > cid.Size() || length > cid.Size()-offset {
		return 0, 0, storage.E("peer.rangeOf", storage.KindRange, nil)
	}
	if length < 0 {
		length = cid.Size() - offset
	}
	return offset, length, nil
}

// rollingWriter lets an answer take as long as it moves.
type rollingWriter struct {
	w io.Writer
	c *http.ResponseController
}

func (b *rollingWriter) Write(p []byte) (int, error) {
	if err := b.c.SetWriteDeadline(time.Now().Add(progressWithin)); err != nil {
		return 0, fmt.Errorf("set deadline: %w", err)
	}
	return b.w.Write(p) //nolint:wrapcheck // a writer hands errors on
}
