package peer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"

	"github.com/fxamacker/cbor/v2"

	"ringbin/storage"
)

// A bundle is small blobs that go to one owner in one request. On the wire each
// is its CID in binary and then its bytes, whose number the CID tells; the
// answer is one verdict for each, in their order.

// bundleVerdict is a verdict as it crosses: a receipt, or a wireError.
type bundleVerdict struct {
	Receipt storage.Receipt `cbor:"1,keyasint"`
	Error   cbor.RawMessage `cbor:"2,keyasint,omitempty"`
}

// bundleWireBytes bounds a bundle's body.
const bundleWireBytes = storage.BundleBytesMax + storage.BundleBlobsMax*storage.CIDBinaryMax

// PutBlobs sends a bundle to an owner and returns its verdict on each blob, in
// their order. The error is the whole call's: KindUnknown when it may have arrived.
func (c *Client) PutBlobs(ctx context.Context, to storage.NodeID, blobs []storage.Proven) ([]storage.Verdict, error) {
	const op = "peer.PutBlobs"
	body, size := bundleBody(blobs)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address(string(to), pathBundle), body)
	if err != nil {
		return nil, storage.E(op, storage.KindInternal, err)
	}
	req.ContentLength = size
	resp, err := do(c.byID, op, req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(io.LimitReader(resp.Body, replyBytesMax))
	if err != nil {
		return nil, sendError(op, err)
	}
	var wire []bundleVerdict
	if err := decMode.Unmarshal(b, &wire); err != nil {
		return nil, storage.E(op, storage.KindInternal, err)
	}
	if len(wire) != len(blobs) {
		return nil, storage.E(op, storage.KindCorrupt, fmt.Errorf("%d verdicts for %d blobs", len(wire), len(blobs)))
	}
	verdicts := make([]storage.Verdict, len(wire))
	for i, w := range wire {
		switch {
		case len(w.Error) > 0:
			verdicts[i].Err = decodeError(op, w.Error)
		case w.Receipt.CID != blobs[i].CID() || w.Receipt.Node != to:
			verdicts[i].Err = storage.E(op, storage.KindCorrupt, errors.New("the receipt is for something else"))
		default:
			verdicts[i].Receipt = w.Receipt
		}
	}
	return verdicts, nil
}

// bundleBody copies no content.
func bundleBody(blobs []storage.Proven) (body io.Reader, size int64) {
	names := make([]byte, 0, len(blobs)*storage.CIDBinaryMax)
	parts := make([]io.Reader, 0, 2*len(blobs))
	for _, p := range blobs {
		at := len(names)
		names, _ = p.CID().AppendBinary(names) // never fails
		parts = append(parts, bytes.NewReader(names[at:]), bytes.NewReader(p.Content()))
		size += int64(len(names)-at) + p.CID().Size()
	}
	return io.MultiReader(parts...), size
}

// putBundle proves each blob before the backend sees it.
func (s *Server) putBundle(w http.ResponseWriter, r *http.Request) error {
	const op = "peer.putBundle"
	if r.ContentLength < 0 || r.ContentLength > bundleWireBytes {
		return storage.E(op, storage.KindTooLarge, fmt.Errorf("a bundle of %d bytes", r.ContentLength))
	}
	buf := bundleBuffer(int(r.ContentLength))
	defer bundleBuffers.Put(buf)
	if _, err := io.ReadFull(&rollingBody{r: r.Body, c: http.NewResponseController(w)}, *buf); err != nil {
		return storage.E(op, storage.KindInvalid, err)
	}
	blobs, wire, err := unbundle(*buf)
	if err != nil {
		return err
	}
	verdicts := s.b.PutBlobs(r.Context(), blobs)
	next := 0
	for i := range wire {
		if len(wire[i].Error) > 0 {
			continue
		}
		if v := verdicts[next]; v.Err != nil {
			wire[i].Error = encodeError(v.Err)
		} else {
			wire[i].Receipt = v.Receipt
		}
		next++
	}
	return reply(w, wire)
}

// unbundle returns the blobs that are what their CIDs name, and the verdicts,
// of which those of the others are made already.
func unbundle(b []byte) ([]storage.Proven, []bundleVerdict, error) {
	const op = "peer.unbundle"
	var blobs []storage.Proven
	var verdicts []bundleVerdict
	for len(b) > 0 {
		if len(verdicts) == storage.BundleBlobsMax {
			return nil, nil, storage.Invalid(op, "", "blobs", "up to "+strconv.Itoa(storage.BundleBlobsMax))
		}
		n := storage.CIDBinaryLen(b)
		if n < 0 || n > len(b) {
			return nil, nil, storage.E(op, storage.KindInvalid, io.ErrUnexpectedEOF)
		}
		cid, err := storage.CIDFromBinary(b[:n])
		if err != nil || cid.Size() > int64(len(b)-n) {
			return nil, nil, storage.E(op, storage.KindInvalid, errors.Join(err, io.ErrUnexpectedEOF))
		}
		end := n + int(cid.Size())
		var v bundleVerdict
		if p, err := storage.Prove(cid, b[n:end:end]); err != nil {
			v.Error = encodeError(err)
		} else {
			blobs = append(blobs, p)
		}
		verdicts = append(verdicts, v)
		b = b[end:]
	}
	return blobs, verdicts, nil
}

// bundleBuffers hold the bodies of bundles until they are stored.
var bundleBuffers sync.Pool

func bundleBuffer(n int) *[]byte {
	if b, ok := bundleBuffers.Get().(*[]byte); ok && cap(*b) >= n {
		*b = (*b)[:n]
		return b
	}
	b := make([]byte, n)
	return &b
}
