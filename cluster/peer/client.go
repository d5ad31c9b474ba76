package peer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/fxamacker/cbor/v2"

	"ringbin/storage"
)

// ClientOptions are how peers are reached. Both dial functions return
// connections that have finished TLS.
type ClientOptions struct {
	Dial     func(ctx context.Context, id storage.NodeID) (net.Conn, error)
	DialAddr func(ctx context.Context, addr string) (net.Conn, error)
	Logger   *slog.Logger
}

// Client calls peers: by id, whose certificate must carry it, or, before ids
// are known, by address.
type Client struct {
	byID, byAddr *http.Client
}

// errUnsent marks errors of dialing: nothing was sent.
var errUnsent = errors.New("not reached")

// NewClient returns a client with no connections yet.
func NewClient(o ClientOptions) *Client {
	dialID := func(ctx context.Context, _, addr string) (net.Conn, error) {
		host, _, err := net.SplitHostPort(addr)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", errUnsent, err)
		}
		c, err := o.Dial(ctx, storage.NodeID(host))
		return c, unsent(err)
	}
	dialAddr := func(ctx context.Context, _, addr string) (net.Conn, error) {
		c, err := o.DialAddr(ctx, addr)
		return c, unsent(err)
	}
	return &Client{byID: newHTTP(dialID), byAddr: newHTTP(dialAddr)}
}

func unsent(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", errUnsent, err)
}

func newHTTP(dial func(ctx context.Context, network, addr string) (net.Conn, error)) *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			DialTLSContext: dial, MaxIdleConnsPerHost: idlePerPeer, IdleConnTimeout: idleTimeout,
			ExpectContinueTimeout: continueWithin, DisableCompression: true,
			WriteBufferSize: 64 << 10, ReadBufferSize: 64 << 10,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// CloseIdle closes connections that nobody uses.
func (c *Client) CloseIdle() {
	c.byID.CloseIdleConnections()
	c.byAddr.CloseIdleConnections()
}

// Forget drops what is kept of a node that was removed.
func (c *Client) Forget(storage.NodeID) { c.byID.CloseIdleConnections() }

func address(host, path string) string { return "https://" + host + path }

// do sends one request and returns the answer's body when it is a success.
func do(h *http.Client, op string, req *http.Request) (*http.Response, error) {
	resp, err := h.Do(req)
	if err != nil {
		return nil, sendError(op, err)
	}
	if resp.StatusCode == http.StatusOK {
		return resp, nil
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(io.LimitReader(resp.Body, controlBytesMax))
	if err != nil {
		return nil, sendError(op, err)
	}
	if resp.Header.Get("Content-Type") != errorType {
		return nil, storage.E(op, storage.KindUnavailable, fmt.Errorf("peer answered %s", resp.Status))
	}
	return nil, decodeError(op, b)
}

// sendError tells what was certainly not sent from what may have arrived. An
// error of the body that was being sent is handed on: errors.Is finds it.
func sendError(op string, err error) error {
	if about, ok := errors.AsType[*url.Error](err); ok {
		err = about.Err // else the URL stands in it, and the CID in that
	}
	if errors.Is(err, errUnsent) {
		return &storage.Error{Op: op, Kind: storage.KindUnavailable, Code: "unreachable", Err: err}
	}
	return &storage.Error{Op: op, Kind: storage.KindUnknown, Code: "outcome_unknown", Err: err}
}

// exchange makes a control call.
func exchange[A any](ctx context.Context, h *http.Client, host, path string, timeout time.Duration, q any) (A, error) {
	var a A
	name, _, _ := strings.Cut(path[1:], "/") // behind it a CID may stand
	op := "peer/" + name
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	body, err := cbor.Marshal(q)
	if err != nil {
		return a, storage.E(op, storage.KindInternal, err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address(host, path), bytes.NewReader(body))
	if err != nil {
		return a, storage.E(op, storage.KindInternal, err)
	}
	// A request must not be sent again behind our back over a second
	// connection: whether the first arrived is exactly what we could not tell.
	req.GetBody = nil
	resp, err := do(h, op, req)
	if err != nil {
		return a, err
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(io.LimitReader(resp.Body, replyBytesMax))
	if err != nil {
		return a, sendError(op, err)
	}
	if err := decMode.Unmarshal(b, &a); err != nil {
		return a, storage.E(op, storage.KindInternal, err)
	}
	return a, nil
}

// Propose sends a pack to the leader. KindUnavailable: certainly not done.
// KindUnknown: it may be.
func (c *Client) Propose(ctx context.Context, to storage.NodeID, p Pack) (PackReply, error) {
	return exchange[PackReply](ctx, c.byID, string(to), pathPropose, proposeTimeout, p)
}

// ReadIndex asks the leader what a linearizable read has to wait for.
func (c *Client) ReadIndex(ctx context.Context, to storage.NodeID) (ReadIndexReply, error) {
	return exchange[ReadIndexReply](ctx, c.byID, string(to), pathReadIndex, controlTimeout, nil)
}

// Term asks a node for its current term.
func (c *Client) Term(ctx context.Context, to storage.NodeID) (uint64, error) {
	return exchange[uint64](ctx, c.byID, string(to), pathTerm, controlTimeout, nil)
}

// Status asks a node how it is.
func (c *Client) Status(ctx context.Context, to storage.NodeID) (Status, error) {
	return exchange[Status](ctx, c.byID, string(to), pathStatus, controlTimeout, nil)
}

// Gone asks a node whether this one was a member and was taken out.
func (c *Client) Gone(ctx context.Context, to storage.NodeID) (bool, error) {
	return exchange[bool](ctx, c.byID, string(to), pathGone, controlTimeout, nil)
}

// Window asks the node that counts for a key to count requests.
func (c *Client) Window(ctx context.Context, to storage.NodeID, q WindowRequest) (WindowReply, error) {
	return exchange[WindowReply](ctx, c.byID, string(to), pathWindow, windowTimeout, q)
}

// RequestLogs looks into the log of requests of another node.
func (c *Client) RequestLogs(ctx context.Context, to storage.NodeID, query []byte) ([]byte, error) {
	return exchange[[]byte](ctx, c.byID, string(to), pathLogs, controlTimeout, query)
}

// HelloAddr asks who is at an address.
func (c *Client) HelloAddr(ctx context.Context, addr string, body []byte) ([]byte, error) {
	return exchange[[]byte](ctx, c.byAddr, addr, pathHello, controlTimeout, body)
}

// JoinAddr asks the member at an address to let this node in.
func (c *Client) JoinAddr(ctx context.Context, addr string, q JoinRequest) (JoinReply, error) {
	return exchange[JoinReply](ctx, c.byAddr, addr, pathJoin, joinTimeout, q)
}

// Join hands another node's wish on to the leader.
func (c *Client) Join(ctx context.Context, to storage.NodeID, q JoinRequest) (JoinReply, error) {
	return exchange[JoinReply](ctx, c.byID, string(to), pathJoin, joinTimeout, q)
}

// Remove asks the leader to take a member out.
func (c *Client) Remove(ctx context.Context, to, id storage.NodeID) error {
	_, err := exchange[bool](ctx, c.byID, string(to), pathRemove, joinTimeout, id)
	return err
}

// PutBlob sends the sealed stream of a blob to an owner and returns its receipt.
// An error of the stream cuts the transfer, so that it never looks complete.
func (c *Client) PutBlob(ctx context.Context, to storage.NodeID, cid storage.CID, sealed io.Reader) (storage.Receipt, error) {
	const op = "peer.PutBlob"
	var receipt storage.Receipt
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, address(string(to), pathBlob+cid.String()), io.NopCloser(sealed))
	if err != nil {
		return receipt, storage.E(op, storage.KindInternal, err)
	}
	req.ContentLength = storage.SealedSize(cid.Size()) // so that the connection takes the pieces as they lie
	req.Header.Set("Expect", "100-continue")
	resp, err := do(c.byID, op, req)
	if err != nil {
		return receipt, err
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(io.LimitReader(resp.Body, controlBytesMax))
	if err != nil {
		return receipt, sendError(op, err)
	}
	if err := decMode.Unmarshal(b, &receipt); err != nil {
		return receipt, storage.E(op, storage.KindInternal, err)
	}
	if receipt.CID != cid || receipt.Node != to {
		return receipt, storage.E(op, storage.KindCorrupt, errors.New("the receipt is for something else"))
	}
	return receipt, nil
}

// ConfirmBlob asks an owner for a fresh receipt of what it holds.
func (c *Client) ConfirmBlob(ctx context.Context, to storage.NodeID, cid storage.CID) (storage.Receipt, bool, error) {
	h, err := exchange[held[storage.Receipt]](ctx, c.byID, string(to), pathConfirm+cid.String(), controlTimeout, nil)
	return h.Value, h.Held, err
}

// StatBlob asks a node what it knows of a blob.
func (c *Client) StatBlob(ctx context.Context, to storage.NodeID, cid storage.CID) (storage.BlobInfo, bool, error) {
	h, err := exchange[held[storage.BlobInfo]](ctx, c.byID, string(to), pathBlob+cid.String(), controlTimeout, nil)
	return h.Value, h.Held, err
}

// StatBlobs asks a node what it holds of up to storage.HoldingsMax blobs; the
// answer is in the order of cids.
func (c *Client) StatBlobs(ctx context.Context, to storage.NodeID, cids []storage.CID) ([]storage.Holding, error) {
	const op = "peer.StatBlobs"
	holdings, err := exchange[[]byte](ctx, c.byID, string(to), pathStats, controlTimeout, cids)
	if err != nil {
		return nil, err
	}
	if len(holdings) != len(cids) {
		return nil, storage.E(op, storage.KindCorrupt, fmt.Errorf("an answer about %d blobs for %d", len(holdings), len(cids)))
	}
	out := make([]storage.Holding, len(holdings))
	for i, h := range holdings {
		out[i] = storage.Holding(h)
	}
	return out, nil
}

// OpenBlob returns the sealed stream of length bytes of a blob from offset; a
// length below 0 is to the end. Whoever unseals it sees what is wrong with it.
func (c *Client) OpenBlob(ctx context.Context, to storage.NodeID, cid storage.CID, offset, length int64) (io.ReadCloser, error) {
	const op = "peer.OpenBlob"
	q := url.Values{"offset": {strconv.FormatInt(offset, 10)}, "length": {strconv.FormatInt(length, 10)}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address(string(to), pathBlob+cid.String()+"?"+q.Encode()), nil)
	if err != nil {
		return nil, storage.E(op, storage.KindInternal, err)
	}
	resp, err := do(c.byID, op, req)
	if err != nil {
		return nil, err
	}
	if length < 0 {
		length = cid.Size() - offset
	}
	if want := storage.SealedSize(length); resp.ContentLength != want {
		return nil, errors.Join(storage.E(op, storage.KindCorrupt, fmt.Errorf("%d bytes for %d", resp.ContentLength, want)), resp.Body.Close())
	}
	return resp.Body, nil
}
