// Package replica keeps R copies of each blob: it puts them to the owners that
// the ring names and counts receipts, reads from whichever copy is good,
// and restores copies that are missing.
//
// Who owns what is the ring's word, which [Placement] hands out; who seems
// alive only orders whom to ask first. That other copies are missing is never
// a reason to delete one.
package replica

import (
	"context"
	"io"

	"ringbin/storage"
)

// Peers are the other nodes, as holders of blobs.
type Peers interface {
	// PutBlob sends an upload to an owner, as a sealed stream.
	PutBlob(ctx context.Context, to storage.NodeID, cid storage.CID, body io.Reader) (storage.Receipt, error)
	// PutBlobs sends several small blobs in one call; the verdicts are in their order.
	PutBlobs(ctx context.Context, to storage.NodeID, blobs []storage.Proven) ([]storage.Verdict, error)
	// OpenBlob returns the sealed stream of a range.
	OpenBlob(ctx context.Context, to storage.NodeID, cid storage.CID, offset, length int64) (io.ReadCloser, error)
	StatBlob(ctx context.Context, to storage.NodeID, cid storage.CID) (storage.BlobInfo, bool, error)
	// StatBlobs asks what a node holds of up to storage.HoldingsMax blobs; the
	// answer is in the order of cids.
	StatBlobs(ctx context.Context, to storage.NodeID, cids []storage.CID) ([]storage.Holding, error)
}

// Placement says who owns what and whom to ask first.
type Placement interface {
	// Rings returns the ring that holds and the one that is being filled;
	// either may be nil.
	Rings() (cur, next *storage.Ring)
	// Order puts nodes that seem alive first; it leaves nobody out.
	Order(ids []storage.NodeID) []storage.NodeID
}
