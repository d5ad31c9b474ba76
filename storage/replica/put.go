package replica

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"ringbin/storage"
)

// Limits and times of a put.
const (
	piecesQueued  = 4                // of each owner: 1 MiB that it may lag behind
	lagMax        = 5 * time.Second  // an owner that takes nothing for so long is dropped, while W remain
	decideWithin  = 10 * time.Second // after the body's end: W receipts, or an error
	lateWithin    = 30 * time.Second // after the answer: what a late copy still has to take is little
	stragglersMax = 256              // puts whose last copies are still on their way
)

// errDropped is why an owner's body ends when it is given up.
var errDropped = errors.New("given up: this owner lags behind")

// Put streams a body once, to all owners of its partition in every active ring
// at the same time. It is hashed here and nowhere else: owners check the CRCs of
// what was hashed, and keep it on this node's word that the hash was right. Put returns the receipts as soon as W owners of each ring
// have fsynced it. Copies beyond W may still be on their way: repair owns them.
//
// KindUnavailable (not_enough_replicas): fewer than W owners could be had.
// KindFull (insufficient_storage): too many of them have no room. KindInvalid
// (hash_mismatch): the body is not what cid names. An error of body itself is
// returned as it is. In each of these cases no owner keeps anything on account
// of this call, but for those that had finished. A small body is read whole
// before any owner sees it; what was on its way in a bundle when the call was
// given up may be kept, and nothing refers to it.
func (r *Replicator) Put(ctx context.Context, cid storage.CID, body io.Reader) ([]storage.Receipt, error) {
	rings, err := r.rings()
	if err != nil {
		return nil, err
	}
	p := newPut(cid, rings)
	if cid.Size() <= storage.BundledMax {
		return r.putBundled(ctx, p, body)
	}
	p.stream()
	sendCtx, stop := r.outlive(ctx)
	for _, s := range p.sends {
		r.wg.Go(func() { s.finish(r.send(sendCtx, s, cid)) })
	}
	return r.conclude(ctx, sendCtx, stop, p, p.feed(ctx, body))
}

// outlive returns a context for senders, which go on when a copy beyond W is
// late and its request is over, and end with the replicator.
func (r *Replicator) outlive(ctx context.Context) (context.Context, context.CancelCauseFunc) {
	sendCtx, stop := context.WithCancelCause(context.WithoutCancel(ctx))
	unbind := context.AfterFunc(r.ctx, func() { stop(context.Cause(r.ctx)) })
	return sendCtx, func(cause error) {
		unbind()
		stop(cause)
	}
}

// conclude returns what was decided, and sees to it that late copies land or end.
func (r *Replicator) conclude(
	ctx, sendCtx context.Context, stop context.CancelCauseFunc, p *put, feedErr error,
) ([]storage.Receipt, error) {
	receipts, err := p.decide(ctx, feedErr)
	if err != nil {
		stop(err)
		p.abort(err)
	}
	r.wg.Go(func() {
		p.await(sendCtx, r.stragglers, stop)
		stop(nil)
	})
	return receipts, err
}

func (r *Replicator) rings() ([]*storage.Ring, error) {
	cur, next := r.o.Placement.Rings()
	if cur == nil {
		return nil, &storage.Error{Op: "replica.Put", Kind: storage.KindUnavailable, Code: "no_leader", Text: "the cluster has no ring yet"}
	}
	if next == nil {
		return []*storage.Ring{cur}, nil
	}
	return []*storage.Ring{cur, next}, nil
}

func (r *Replicator) send(ctx context.Context, s *send, cid storage.CID) (storage.Receipt, error) {
	if s.to == r.o.Owner.id {
		return r.o.Owner.receiveProven(ctx, cid, s.plain())
	}
	return r.o.Peers.PutBlob(ctx, s.to, cid, s.sealed())
}

// put is one body on its way to several owners.
type put struct {
	cid    storage.CID
	rings  []*storage.Ring
	sends  []*send
	done   chan *send // each send, once, when it has an outcome
	got    map[storage.NodeID]storage.Receipt
	failed map[storage.NodeID]error

	// Of a body that is streamed:
	hash   *storage.Hasher
	sealer *storage.Sealer
}

func newPut(cid storage.CID, rings []*storage.Ring) *put {
	p := &put{cid: cid, rings: rings, got: map[storage.NodeID]storage.Receipt{}, failed: map[storage.NodeID]error{}}
	for _, ring := range rings {
		for _, o := range ring.OwnersOf(cid) {
			if !slices.ContainsFunc(p.sends, func(s *send) bool { return s.to == o.ID }) {
				p.sends = append(p.sends, &send{to: o.ID, dropped: make(chan struct{})})
			}
		}
	}
	p.done = make(chan *send, len(p.sends))
	for _, s := range p.sends {
		s.done = p.done
	}
	return p
}

// stream makes ready for feed; a put that goes in bundles does without.
func (p *put) stream() {
	p.hash, p.sealer = storage.NewHasher(), storage.NewSealer(p.cid, 0)
	for _, s := range p.sends {
		s.pieces = make(chan *storage.Piece, piecesQueued)
	}
}

// feed reads the body and hands each piece to every owner that is still at it.
// It returns nil when the body has ended as its CID says.
func (p *put) feed(ctx context.Context, body io.Reader) error {
	for {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		if !p.possible() {
			return errTooFew
		}
		last, err := p.feedPiece(ctx, body)
		if err != nil {
			return err
		}
		if last {
			return p.verdict()
		}
	}
}

// feedPiece reads and hands out one piece. It is sealed before it is hashed: what
// becomes of its bytes afterwards, wherever, its CRC tells, and before, the hash.
func (p *put) feedPiece(ctx context.Context, body io.Reader) (last bool, err error) {
	left := p.cid.Size() - p.hash.Size()
	piece := storage.NewPiece(min(storage.PieceBytes, left+1)) // a byte too many is to be seen
	defer piece.Release()
	n, err := fill(body, piece.Room())
	if n > 0 {
		p.sealer.Seal(piece, n)
		_, _ = p.hash.Write(piece.Bytes()) // never fails
		if p.hash.Size() > p.cid.Size() {
			return false, storage.LengthMismatch(p.cid.Size(), p.hash.Size())
		}
		p.offer(ctx, piece)
	}
	if errors.Is(err, io.EOF) {
		return true, nil
	}
	return false, err
}

// fill reads until b is full. Unlike io.ReadFull it keeps a body's clean end,
// io.EOF, apart from a body that says itself that it was cut short.
func fill(body io.Reader, b []byte) (n int, err error) {
	for n < len(b) && err == nil {
		var k int
		k, err = body.Read(b[n:])
		n += k
	}
	return n, err //nolint:wrapcheck // the body's own
}

var errTooFew = errors.New("too few owners are left")

// verdict ends the body for all owners when it is right; else they are aborted.
func (p *put) verdict() error {
	got, err := p.hash.CID()
	switch {
	case err != nil:
		return err
	case got.Size() != p.cid.Size():
		return storage.LengthMismatch(p.cid.Size(), got.Size())
	case got != p.cid:
		return storage.DigestMismatch(p.cid, got)
	}
	for _, s := range p.sends {
		s.end = p.sealer.End() // this node's word
		close(s.pieces)
	}
	return nil
}

// offer gives a piece to every owner. One whose queue stays full is waited for
// up to lagMax, and then dropped while enough remain without it; after
// decideWithin it is dropped all the same: the put can't be held up for ever.
func (p *put) offer(ctx context.Context, piece *storage.Piece) {
	var late <-chan time.Time
	var since time.Time
	for _, s := range p.sends {
		if s.gone() {
			continue
		}
		piece.Hold()
		select {
		case s.pieces <- piece:
			continue
		default:
		}
		if late == nil {
			late, since = time.After(lagMax), time.Now()
		}
		sent := false
		for !sent && !s.gone() {
			select {
			case s.pieces <- piece:
				sent = true
			case other := <-p.done:
				p.note(other)
			case <-late:
				late = time.After(lagMax)
				if p.possibleWithout(s.to) || time.Since(since) >= decideWithin {
					s.drop(errDropped)
					p.failed[s.to] = errDropped
				}
			case <-ctx.Done():
				piece.Release()
				return
			}
		}
		if !sent {
			piece.Release()
		}
	}
	p.collect()
}

// collect takes outcomes that are there without waiting.
func (p *put) collect() {
	for {
		select {
		case s := <-p.done:
			p.note(s)
		default:
			return
		}
	}
}

func (p *put) note(s *send) {
	if s.err != nil {
		p.failed[s.to] = s.err
		s.drop(s.err)
		return
	}
	p.got[s.to] = s.receipt
	delete(p.failed, s.to)
}

// possible reports whether W owners of each ring have not failed.
func (p *put) possible() bool { return p.possibleWithout("") }

func (p *put) possibleWithout(id storage.NodeID) bool {
	return p.each(func(owner storage.NodeID) bool {
		_, failed := p.failed[owner]
		return !failed && owner != id
	})
}

// enough reports whether W owners of each ring have given receipts (I12).
func (p *put) enough() bool {
	return p.each(func(owner storage.NodeID) bool {
		_, ok := p.got[owner]
		return ok
	})
}

func (p *put) each(counts func(storage.NodeID) bool) bool {
	for _, ring := range p.rings {
		n := ring.CountOwners(p.cid, func(o storage.RingNode) bool { return counts(o.ID) })
		if n < ring.WriteQuorum(p.cid) {
			return false
		}
	}
	return true
}

// decide waits for W receipts in each ring, or for the certainty that there
// won't be any.
func (p *put) decide(ctx context.Context, feedErr error) ([]storage.Receipt, error) {
	if feedErr != nil && !errors.Is(feedErr, errTooFew) {
		return nil, feedErr
	}
	timer := time.NewTimer(decideWithin)
	defer timer.Stop()
	for {
		p.collect()
		if feedErr == nil && p.enough() {
			receipts := make([]storage.Receipt, 0, len(p.got))
			for _, rc := range p.got {
				receipts = append(receipts, rc)
			}
			return receipts, nil
		}
		if feedErr != nil || !p.possible() {
			return nil, p.tooFew()
		}
		select {
		case s := <-p.done:
			p.note(s)
		case <-timer.C:
			return nil, p.tooFew()
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// tooFew says why: the bytes are wrong, there is no room, or nobody is there.
func (p *put) tooFew() error {
	full := 0
	var reasons []error
	for id, err := range p.failed {
		if storage.KindOf(err) == storage.KindFull {
			full++
		}
		reasons = append(reasons, fmt.Errorf("%s: %w", id, err))
	}
	details := map[string]any{"wanted": int64(p.rings[len(p.rings)-1].WriteQuorum(p.cid)), "got": int64(len(p.got))}
	if full > 0 && full == len(p.failed) {
		return &storage.Error{Op: "replica.Put", Kind: storage.KindFull, Code: "insufficient_storage", Details: details, Err: errors.Join(reasons...)}
	}
	return &storage.Error{Op: "replica.Put", Kind: storage.KindUnavailable, Code: "not_enough_replicas", Details: details, Err: errors.Join(reasons...)}
}

// abort ends every owner's body with an error: none may take it for whole.
func (p *put) abort(err error) {
	for _, s := range p.sends {
		s.drop(err)
	}
}

// await lets late copies land, a bounded number at a time and for a bounded
// time: a node that is frozen would hold its place for ever.
func (p *put) await(ctx context.Context, places chan struct{}, stop context.CancelCauseFunc) {
	settled := func() bool { return len(p.got)+len(p.failed) == len(p.sends) }
	if p.collect(); settled() {
		return
	}
	select {
	case places <- struct{}{}:
		defer func() { <-places }()
	default:
		stop(errDropped)
	}
	late := time.NewTimer(lateWithin)
	defer late.Stop()
	for !settled() {
		select {
		case s := <-p.done:
			p.note(s)
		case <-late.C:
			stop(errDropped)
		case <-ctx.Done():
			p.abort(context.Cause(ctx))
			p.note(<-p.done)
		}
	}
}

// send is a body on its way to one owner.
type send struct {
	to      storage.NodeID
	pieces  chan *storage.Piece
	end     []byte // of the sealed stream; set before pieces is closed
	dropped chan struct{}
	why     error // set before dropped is closed
	done    chan<- *send
	receipt storage.Receipt
	err     error
}

// next waits for the next piece, which the caller then holds; io.EOF comes after
// the put's verdict only. A dropped send ends in an error, never cleanly.
func (s *send) next() (*storage.Piece, error) {
	select {
	case <-s.dropped:
		return nil, s.why
	default:
	}
	select {
	case piece, more := <-s.pieces:
		if !more {
			return nil, io.EOF
		}
		return piece, nil
	case <-s.dropped:
		return nil, s.why
	}
}

// plain is the content, for the owner in this node.
func (s *send) plain() *storage.Parts {
	b := &sendBody{s: s, view: func(p *storage.Piece) ([]byte, error) { return p.Bytes(), p.Check() }}
	return storage.NewParts(b.part)
}

// sealed is the sealed stream of it, for another node.
func (s *send) sealed() *storage.Parts {
	b := &sendBody{s: s, view: func(p *storage.Piece) ([]byte, error) { return p.Frame(), nil }, ends: true}
	return storage.NewParts(b.part)
}

// sendBody reads what is sent. One goroutine reads it: a piece is let go only
// when it has been read, so that whoever gives up a send takes no memory away
// from under a write.
type sendBody struct {
	s     *send
	view  func(*storage.Piece) ([]byte, error)
	ends  bool           // the stream's end follows
	piece *storage.Piece // that the last part lies in; nil: in none
}

// part returns what is sent next, and lets go of what was before.
func (b *sendBody) part() ([]byte, error) {
	if b.piece != nil {
		b.piece.Release()
		b.piece = nil
	}
	piece, err := b.s.next()
	switch {
	case err == nil:
		b.piece = piece
		return b.view(piece)
	case errors.Is(err, io.EOF) && b.ends:
		b.ends = false
		return b.s.end, nil
	}
	return nil, err
}

func (s *send) gone() bool {
	select {
	case <-s.dropped:
		return true
	default:
		return false
	}
}

// drop is called by the put's own goroutine only.
func (s *send) drop(why error) {
	if !s.gone() {
		s.why = why
		close(s.dropped)
	}
}

func (s *send) finish(receipt storage.Receipt, err error) {
	s.receipt, s.err = receipt, err
	s.done <- s
}
