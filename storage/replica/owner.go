package replica

import (
	"context"
	"io"

	"ringbin/storage"
)

// Vouch is what a node can say of itself at a moment; it goes into receipts.
type Vouch struct {
	Incarnation uint64
	Generation  uint64 // its applied index
	Time        int64  // FSM time in Unix milliseconds
	RingVersion uint64
}

// Owner is this node as a holder of copies. Its receipts are its word, given
// after its own fsync (I3).
type Owner struct {
	id    storage.NodeID
	store *storage.Store
	vouch func() Vouch
}

// NewOwner returns the holder that a store makes of a node.
func NewOwner(id storage.NodeID, store *storage.Store, vouch func() Vouch) *Owner {
	return &Owner{id: id, store: store, vouch: vouch}
}

// ID is the node's id.
func (o *Owner) ID() storage.NodeID { return o.id }

// Receive hashes and keeps a blob, wherever it comes from.
func (o *Owner) Receive(ctx context.Context, cid storage.CID, body io.Reader) (storage.Receipt, error) {
	return o.receive(ctx, cid, body, o.store.Put)
}

// ReceiveSealed keeps an upload that a member has hashed and sends sealed. Its
// end is that member's word that the hash was right: without it nothing is
// taken in. What is moved or repaired later is hashed by whoever fetches it.
func (o *Owner) ReceiveSealed(ctx context.Context, cid storage.CID, sealed io.Reader) (storage.Receipt, error) {
	body := storage.Unseal(cid, 0, cid.Size(), sealed)
	defer body.Close()
	return o.receiveProven(ctx, cid, body)
}

// receiveProven keeps a blob whose body ends only when its hash was right.
func (o *Owner) receiveProven(ctx context.Context, cid storage.CID, body io.Reader) (storage.Receipt, error) {
	return o.receive(ctx, cid, body, o.store.PutProven)
}

// receive takes the vouch before the bytes are written: the generation never
// claims more than was applied by then.
func (o *Owner) receive(
	ctx context.Context, cid storage.CID, body io.Reader,
	put func(context.Context, storage.CID, io.Reader, storage.Mark) (storage.BlobInfo, error),
) (storage.Receipt, error) {
	v := o.vouch()
	info, err := put(ctx, cid, body, storage.Mark{Generation: v.Generation, Time: v.Time})
	if err != nil {
		return storage.Receipt{}, err
	}
	return o.receipt(v, info), nil
}

// ReceiveAll keeps a bundle; the verdicts are in the order of its blobs. The
// vouch is taken before, as Receive does.
func (o *Owner) ReceiveAll(ctx context.Context, blobs []storage.Proven) []storage.Verdict {
	v := o.vouch()
	verdicts := make([]storage.Verdict, len(blobs))
	for i, r := range o.store.PutAll(ctx, blobs, storage.Mark{Generation: v.Generation, Time: v.Time}) {
		if verdicts[i].Err = r.Err; r.Err == nil {
			verdicts[i].Receipt = o.receipt(v, r.Info)
		}
	}
	return verdicts
}

// Confirm gives a fresh receipt for a copy that is held and good.
func (o *Owner) Confirm(_ context.Context, cid storage.CID) (storage.Receipt, bool, error) {
	v := o.vouch()
	info, held, err := o.store.Confirm(cid, storage.Mark{Generation: v.Generation, Time: v.Time})
	if err != nil || !held {
		return storage.Receipt{}, false, err
	}
	return o.receipt(v, info), true, nil
}

func (o *Owner) receipt(v Vouch, info storage.BlobInfo) storage.Receipt {
	return storage.Receipt{
		Node: o.id, Incarnation: v.Incarnation, CID: info.CID, Generation: info.Generation, Time: v.Time, RingVersion: v.RingVersion,
	}
}
