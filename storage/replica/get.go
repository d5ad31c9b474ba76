package replica

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"ringbin/storage"
)

// Times after which a holder is left for the next one.
const (
	firstByteWithin = 2 * time.Second
	nextByteWithin  = 5 * time.Second
)

// Open returns length bytes of a blob from offset; a length below 0 is to the
// end. The bytes come from one holder after the other: whichever fails, stalls
// or has a bad copy is left, and the next one goes on from the byte where it
// stopped. Each byte was checked against a CRC over its content's name and its
// place: at this node's disk, or at another's and again here. It never ends
// cleanly with missing or wrong bytes (I2). That the bytes of a good copy are
// what the CID names was proven when it was taken in, and the scrub proves it anew.
//
// KindUnavailable (content_unavailable): no holder could be had.
func (r *Replicator) Open(ctx context.Context, cid storage.CID, offset, length int64) (storage.PartReader, error) {
	if offset < 0 || offset > cid.Size() || length > cid.Size()-offset {
		return nil, storage.E("replica.Open", storage.KindRange, nil)
	}
	if length < 0 {
		length = cid.Size() - offset
	}
	g := &get{r: r, ctx: ctx, cid: cid, offset: offset, end: offset + length}
	if length == 0 {
		return g, nil
	}
	if err := g.next(nil); err != nil { //nolint:contextcheck // the reader keeps ctx
		return nil, err
	}
	return g, nil
}

// holders are whom to ask, in order: this node and the others.
func (r *Replicator) holders(cid storage.CID) []storage.NodeID {
	return append([]storage.NodeID{r.o.Owner.id}, r.others(cid)...)
}

// others are whom to ask after this node, in order: the owners that seem alive,
// and last the rest.
func (r *Replicator) others(cid storage.CID) []storage.NodeID {
	cur, next := r.o.Placement.Rings()
	var ids []storage.NodeID
	seen := map[storage.NodeID]bool{r.o.Owner.id: true}
	for _, ring := range []*storage.Ring{cur, next} {
		if ring == nil {
			continue
		}
		for _, o := range ring.OwnersOf(cid) {
			if !seen[o.ID] {
				seen[o.ID] = true
				ids = append(ids, o.ID)
			}
		}
	}
	return r.o.Placement.Order(ids)
}

// get is one read over several holders.
type get struct {
	r       *Replicator
	ctx     context.Context //nolint:containedctx // io.Reader has no other way in
	cid     storage.CID
	offset  int64 // of the next byte
	end     int64
	holders []storage.NodeID // others that were not asked yet
	from    storage.NodeID   // "": nobody was asked yet
	reader  storage.PartReader
	errs    []error
}

// next goes to the next holder that opens.
func (g *get) next(why error) error {
	const op = "replica.Open"
	g.leave(why)
	for g.advance() {
		if g.ctx.Err() != nil {
			return fmt.Errorf("replica.Open: %w", context.Cause(g.ctx))
		}
		reader, err := g.openAt(g.from)
		if err == nil {
			g.reader = reader
			return nil
		}
		g.errs = append(g.errs, fmt.Errorf("%s: %w", g.from, err))
	}
	return &storage.Error{Op: op, Kind: storage.KindUnavailable, Code: "content_unavailable", Err: errors.Join(g.errs...)}
}

// advance moves on to whom to ask next: first this node, then the others.
func (g *get) advance() bool {
	switch self := g.r.o.Owner.id; g.from {
	case "":
		g.from = self
		return true
	case self:
		g.holders = g.r.others(g.cid)
	}
	if len(g.holders) == 0 {
		return false
	}
	g.from, g.holders = g.holders[0], g.holders[1:]
	return true
}

func (g *get) openAt(id storage.NodeID) (storage.PartReader, error) {
	if id == g.r.o.Owner.id {
		return g.openHere()
	}
	s, ctx := newStallReader(g.ctx)
	s.timer = time.AfterFunc(firstByteWithin, func() { s.cancel(errStalled) })
	var err error
	s.r, err = g.r.o.Peers.OpenBlob(ctx, id, g.cid, g.offset, g.end-g.offset)
	s.timer.Stop()
	if err != nil {
		s.cancel(nil)
		return nil, err
	}
	return newPeerReader(g.cid, g.offset, g.end-g.offset, s), nil
}

// openHere opens this node's own copy. What is in memory then is not watched:
// nothing of it can stall.
func (g *get) openHere() (storage.PartReader, error) {
	r, err := g.r.o.Owner.store.Open(g.ctx, g.cid, g.offset, g.end-g.offset)
	if err != nil {
		g.r.Want(g.cid)
		return nil, err
	}
	if r.InMemory() {
		return r, nil
	}
	s, ctx := newStallReader(g.ctx)
	s.timer = time.AfterFunc(nextByteWithin, func() { s.cancel(errStalled) })
	s.timer.Stop()
	r.Within(ctx)
	s.r = r
	return &ownReader{s, r}, nil
}

// ownReader is this node's own copy, watched.
type ownReader struct {
	*stallReader
	own *storage.Reader
}

// Next implements storage.PartReader.
func (o *ownReader) Next() ([]byte, error) {
	o.timer.Reset(nextByteWithin)
	defer o.timer.Stop()
	return o.own.Next()
}

// peerReader is what another node sends, checked here.
type peerReader struct {
	*storage.Unsealed
	sealed io.Closer
}

func newPeerReader(cid storage.CID, offset, length int64, sealed io.ReadCloser) *peerReader {
	return &peerReader{Unsealed: storage.Unseal(cid, offset, length, sealed), sealed: sealed}
}

// Close implements io.Closer.
func (p *peerReader) Close() error {
	p.Unsealed.Close()
	return p.sealed.Close() //nolint:wrapcheck // a reader hands errors on
}

// leave closes the holder that is being read.
func (g *get) leave(why error) {
	if g.reader == nil {
		return
	}
	if why != nil {
		g.errs = append(g.errs, fmt.Errorf("%s: %w", g.from, why))
		g.r.o.Logger.Warn("left a holder in the middle of a read", "node", string(g.from), "blob", g.cid, "offset", g.offset, "err", why)
	}
	_ = g.reader.Close() // it is left
	g.reader = nil
}

// Read implements io.Reader.
func (g *get) Read(p []byte) (n int, err error) {
	if len(p) == 0 && g.offset < g.end {
		return 0, nil
	}
	err = g.read(func(left int64) (int, error) {
		n, err = g.reader.Read(p[:min(int64(len(p)), left)])
		return n, err //nolint:wrapcheck // a reader hands errors on
	})
	return n, err //nolint:wrapcheck // likewise
}

// Next implements storage.PartReader.
func (g *get) Next() (part []byte, err error) {
	err = g.read(func(left int64) (int, error) {
		part, err = g.reader.Next()
		part = part[:min(int64(len(part)), left)]
		return len(part), err
	})
	return part, err
}

// read has some of the bytes that are left taken from a holder, and goes to the
// next one until there are any.
func (g *get) read(take func(left int64) (int, error)) error {
	if g.offset == g.end {
		return io.EOF
	}
	for {
		if g.reader == nil {
			return io.ErrClosedPipe
		}
		n, err := take(g.end - g.offset)
		if n > 0 {
			g.offset += int64(n)
			return nil
		}
		if err == nil {
			continue
		}
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF // the holder had fewer bytes than it said
		}
		if g.ctx.Err() != nil {
			return fmt.Errorf("replica.Read: %w", context.Cause(g.ctx))
		}
		if err := g.next(err); err != nil {
			return err
		}
	}
}

// Close implements io.Closer.
func (g *get) Close() error {
	g.leave(nil)
	return nil
}

var errStalled = errors.New("no byte came in time")

// stallReader ends a read that makes no progress.
type stallReader struct {
	r      io.ReadCloser
	timer  *time.Timer
	cancel context.CancelCauseFunc
	once   sync.Once
}

func newStallReader(parent context.Context) (*stallReader, context.Context) {
	ctx, cancel := context.WithCancelCause(parent)
	return &stallReader{cancel: cancel}, ctx
}

// Read implements io.Reader. Only the holder's own time counts: the timer
// rests while nobody reads.
func (s *stallReader) Read(p []byte) (int, error) {
	s.timer.Reset(nextByteWithin)
	n, err := s.r.Read(p)
	s.timer.Stop()
	return n, err //nolint:wrapcheck // a reader hands errors on
}

// Close implements io.Closer.
func (s *stallReader) Close() error {
	s.once.Do(func() {
		s.timer.Stop()
		s.cancel(nil)
	})
	return s.r.Close() //nolint:wrapcheck // a reader hands errors on
}
