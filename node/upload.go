package node

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"

	"ringbin/storage"
	"ringbin/storage/meta"
)

// Limits of an upload.
const (
	retentionDaysMax = 36_500 // and a multiple of 30
	sniffBytes       = 512
	commitTries      = 2 // a commit whose receipts the ring overtook is proposed once more
)

// Upload is one upload on its way in.
type Upload struct {
	CID           *storage.CID // nil: computed from the body
	ContentLength int64        // declared; -1: not
	Days          int
	ContentType   string // declared; "": sniffed
	Body          io.Reader
	// BeforeBody, when not nil, is called once all checks that need no body passed.
	BeforeBody func() error
	// AfterBody, when not nil, is called once the body was read and verified,
	// and may set Days and ContentType: multipart fields may follow the content.
	AfterBody func(u *Upload) error
	Idem      *Idempotency
}

// Upload stores content and its reference, and charges for it: all or nothing.
// The bool reports an idempotent replay.
//
// The order of checks is that of the contract: length, limit, replay, balance,
// room, then the body. Bytes are durable on a write quorum before the log
// entry is proposed, so that a crash in between leaves an orphan and never a
// reference to nothing.
func (s *Service) Upload(ctx context.Context, c Caller, u Upload) (UploadResult, bool, error) {
	release, err := s.once(c, u.Idem)
	if err != nil {
		return UploadResult{}, false, err
	}
	defer release()
	if u.CID != nil {
		if r, done, err := s.beforeBody(ctx, c, &u); done || err != nil {
			return r, done, err
		}
	}
	if err := s.takeUpload(); err != nil {
		return UploadResult{}, false, err
	}
	defer func() { <-s.uploads }()
	if u.BeforeBody != nil {
		if err := u.BeforeBody(); err != nil {
			return UploadResult{}, false, err
		}
	}
	if u.CID == nil {
		return s.uploadUnnamed(ctx, c, &u)
	}
	return s.uploadNamed(ctx, c, &u)
}

// beforeBody makes the checks that a declared CID allows before a byte is read.
func (s *Service) beforeBody(ctx context.Context, c Caller, u *Upload) (UploadResult, bool, error) {
	var none UploadResult
	size := u.CID.Size()
	if u.ContentLength >= 0 && u.ContentLength != size {
		return none, false, lengthMismatch(size, u.ContentLength)
	}
	if err := declaredWithin("node.Upload", s.Settings().MaxUploadBytes, size); err != nil {
		return none, false, err
	}
	if u.AfterBody != nil {
		return none, false, nil // how long and at what price is known after the body
	}
	if r, found, err := replay[UploadResult](s, u.Idem.hashed(c, fingerprintOf(*u.CID, u.Days))); found || err != nil {
		return r, found, err
	}
	return none, false, s.covers(ctx, c, *u.CID, u.Days)
}

func lengthMismatch(expected, actual int64) error {
	return &storage.Error{
		Op: "node.Upload", Kind: storage.KindInvalid, Code: "hash_mismatch",
		Details: map[string]any{"reason": "length", "expected": expected, "actual": actual},
	}
}

// declaredWithin refuses a size that is above a limit; below 0 it is not known yet.
func declaredWithin(op string, limit, size int64) error {
	if size > limit {
		return &storage.Error{
			Op: op, Kind: storage.KindTooLarge, Code: "payload_too_large",
			Details: map[string]any{"max_bytes": limit, "size_bytes": size},
		}
	}
	return nil
}

// takeUpload takes one of the node's places, and refuses early what could not
// be committed: without a leader the body would travel in vain.
func (s *Service) takeUpload() error {
	const op = "node.Upload"
	if s.n.leaderless() {
		return noLeader(op, nil)
	}
	select {
	case s.uploads <- struct{}{}:
		return nil
	default:
		return &storage.Error{Op: op, Kind: storage.KindUnavailable, Code: "overloaded"}
	}
}

// uploadNamed streams a body whose CID is known straight to its owners.
func (s *Service) uploadNamed(ctx context.Context, c Caller, u *Upload) (UploadResult, bool, error) {
	head := &headReader{r: u.Body, max: sniffBytes}
	receipts, err := s.store(ctx, *u.CID, head)
	if err != nil {
		return UploadResult{}, false, bodyError(head, err)
	}
	return s.finish(ctx, c, u, head.head, &stored{cid: *u.CID, receipts: receipts, again: s.holdersOf(*u.CID)})
}

// uploadUnnamed keeps a body on disk until it has a name, then sends it on.
func (s *Service) uploadUnnamed(ctx context.Context, c Caller, u *Upload) (UploadResult, bool, error) {
	head := &headReader{r: u.Body, max: sniffBytes}
	spooled, err := s.n.spool(head, s.Settings().MaxUploadBytes, u.ContentLength)
	if err != nil {
		return UploadResult{}, false, bodyError(head, err)
	}
	defer spooled.discard()
	u.CID = &spooled.cid
	if u.AfterBody != nil {
		if err := u.AfterBody(u); err != nil {
			return UploadResult{}, false, err
		}
		u.AfterBody = nil
	}
	if r, done, err := s.beforeBody(ctx, c, &Upload{CID: u.CID, ContentLength: -1, Days: u.Days, Idem: u.Idem}); done || err != nil {
		return r, done, err
	}
	content, err := s.storeSpooled(ctx, spooled)
	if err != nil {
		return UploadResult{}, false, err
	}
	return s.finish(ctx, c, u, head.head, content)
}

// stored is content that lies on enough of its owners, and waits for the
// record that refers to it.
type stored struct {
	cid      storage.CID
	receipts []storage.Receipt
	again    bodySource
}

// storeSpooled brings a spooled body to its owners. It has to stay spooled
// until the content is committed.
func (s *Service) storeSpooled(ctx context.Context, spooled *spooled) (*stored, error) {
	body, err := spooled.open()
	if err != nil {
		return nil, err
	}
	receipts, err := s.store(ctx, spooled.cid, body)
	if err = errors.Join(err, body.Close()); err != nil {
		return nil, err
	}
	return &stored{
		cid: spooled.cid, receipts: receipts,
		again: func(context.Context) (io.ReadCloser, error) { return spooled.open() },
	}, nil
}

// store brings the bytes to their owners. Inline content is only verified.
func (s *Service) store(ctx context.Context, cid storage.CID, body io.Reader) ([]storage.Receipt, error) {
	if cid.Inline() {
		return nil, verifyInline(cid, body)
	}
	return s.n.replicas.Put(ctx, cid, body)
}

func verifyInline(cid storage.CID, body io.Reader) error {
	b, err := io.ReadAll(io.LimitReader(body, storage.InlineMax+1))
	if err != nil {
		return err //nolint:wrapcheck // the client's own fault: bodyError tells
	}
	if int64(len(b)) != cid.Size() {
		return lengthMismatch(cid.Size(), int64(len(b)))
	}
	if !bytes.Equal(b, cid.Content()) {
		return &storage.Error{
			Op: "node.Upload", Kind: storage.KindInvalid, Code: "hash_mismatch",
			Details: map[string]any{"reason": "digest", "expected": cid.String(), "actual": storage.SumCID(b).String()},
		}
	}
	return nil
}

// finish commits the reference and the charge.
func (s *Service) finish(ctx context.Context, c Caller, u *Upload, head []byte, content *stored) (UploadResult, bool, error) {
	if u.AfterBody != nil {
		if err := u.AfterBody(u); err != nil {
			return UploadResult{}, false, err
		}
	}
	cmd := meta.CommitUpload{
		Account: c.Account, CID: *u.CID, Days: u.Days, ContentType: storedType(u.ContentType, head), EntryID: entryID(s.now()),
	}
	idem := u.Idem.hashed(c, fingerprintOf(*u.CID, u.Days))
	return commitStored[UploadResult](ctx, s, c, content, idem, func(r []storage.Receipt) meta.Command {
		cmd.Receipts = r
		return cmd
	})
}

// commitStored proposes what refers to stored content. Receipts that the ring,
// the clock or a Condemn has overtaken are refused, and nothing is done then:
// the command is tried once more, under a new request id and the same Idempotency-Key.
func commitStored[T any](
	ctx context.Context, s *Service, c Caller, content *stored, idem *meta.Idempotency, with func([]storage.Receipt) meta.Command,
) (T, bool, error) {
	for try := 1; ; try++ {
		r, replayed, err := submit[T](ctx, s, c, with(content.receipts), idem)
		if err == nil || try == commitTries || storage.CodeOf(err) != "not_enough_replicas" {
			return r, replayed, err
		}
		if content.receipts, err = s.renew(ctx, content.cid, content.again); err != nil {
			return r, false, err
		}
	}
}

// bodySource gives an upload's bytes once more.
type bodySource func(ctx context.Context) (io.ReadCloser, error)

// holdersOf reads bytes back from whichever owner has them, for a body that was
// streamed and can't be asked of its client again.
func (s *Service) holdersOf(cid storage.CID) bodySource {
	return func(ctx context.Context) (io.ReadCloser, error) { return s.n.replicas.Open(ctx, cid, 0, -1) }
}

// renew gets receipts of now: the owners' fresh word for what they hold, and
// where that is too few, since copies were erased or the ring has changed, by
// sending the bytes again.
func (s *Service) renew(ctx context.Context, cid storage.CID, again bodySource) ([]storage.Receipt, error) {
	receipts := s.n.confirm(ctx, cid)
	if s.n.enough(cid, receipts) {
		return receipts, nil
	}
	body, err := again(ctx)
	if err != nil {
		return nil, &storage.Error{Op: "node.renew", Kind: storage.KindUnavailable, Code: "not_enough_replicas", Err: err}
	}
	receipts, err = s.n.replicas.Put(ctx, cid, body)
	return receipts, errors.Join(err, body.Close())
}

// confirm asks the owners of the rings that hold now for fresh receipts.
func (n *Node) confirm(ctx context.Context, cid storage.CID) []storage.Receipt {
	asked := map[storage.NodeID]bool{}
	var receipts []storage.Receipt
	cur, next := n.fsm.Ring()
	for _, ring := range []*storage.Ring{cur, next} {
		if ring == nil {
			continue
		}
		for _, o := range ring.OwnersOf(cid) {
			if asked[o.ID] {
				continue
			}
			asked[o.ID] = true
			if r, held, err := n.confirmAt(ctx, o.ID, cid); err == nil && held {
				receipts = append(receipts, r)
			}
		}
	}
	return receipts
}

// enough reports whether receipts are of a quorum of each ring that holds now.
func (n *Node) enough(cid storage.CID, receipts []storage.Receipt) bool {
	cur, next := n.fsm.Ring()
	for _, ring := range []*storage.Ring{cur, next} {
		if ring == nil {
			continue
		}
		got := ring.CountOwners(cid, func(o storage.RingNode) bool {
			return slices.ContainsFunc(receipts, func(r storage.Receipt) bool { return r.Node == o.ID && r.Incarnation == o.Incarnation })
		})
		if got < ring.WriteQuorum(cid) {
			return false
		}
	}
	return cur != nil
}

func (n *Node) confirmAt(ctx context.Context, id storage.NodeID, cid storage.CID) (storage.Receipt, bool, error) {
	if id == n.self() {
		return n.confirmOwned(ctx, cid)
	}
	return n.peers.ConfirmBlob(ctx, id, cid)
}

// storedType is the content's type: what the client declared, unless that says
// nothing; else what the first bytes look like.
func storedType(declared string, head []byte) string {
	declared, _, _ = strings.Cut(declared, ";")
	declared = strings.ToLower(strings.TrimSpace(declared))
	switch declared {
	case "", "application/octet-stream", "application/x-www-form-urlencoded":
		return http.DetectContentType(head)
	}
	return declared
}

// headReader keeps the first bytes that pass, and the fault that ended them.
type headReader struct {
	r    io.Reader
	max  int // bytes that are kept
	head []byte
	err  error
}

func (h *headReader) Read(p []byte) (int, error) {
	n, err := h.r.Read(p)
	h.head = append(h.head, p[:min(n, h.max-len(h.head))]...)
	if err != nil && !errors.Is(err, io.EOF) {
		h.err = err
	}
	return n, err //nolint:wrapcheck // a reader hands errors on
}

// bodyError tells a body that broke off from a fault of ours.
func bodyError(body *headReader, err error) error {
	if body.err == nil {
		return err
	}
	if storage.KindOf(body.err) != storage.KindInternal {
		return body.err // the dialect's own: a limit, a malformed part
	}
	return &storage.Error{Op: "node.Upload", Kind: storage.KindInvalid, Code: "incomplete_body", Err: body.err}
}

// checkDays is the rule for retention in days.
func checkDays(op string, days int) error {
	if days < 1 || days%30 != 0 || days > retentionDaysMax {
		return storage.Invalid(op, "invalid_parameter", "days", "a positive multiple of 30, at most 36480")
	}
	return nil
}
