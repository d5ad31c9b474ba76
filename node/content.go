package node

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"ringbin/storage"
	"ringbin/storage/meta"
)

// Times of reads.
const (
	maxAgeMax    = 31_536_000 * time.Second
	deadlineZone = 5 * time.Second // this near an expiry, FSM time decides
)

// Content is live content, ready to be read. It is an io.ReadSeeker for
// http.ServeContent; bytes come from whichever copy is at hand. Close it.
type Content struct {
	CID         storage.CID
	ContentType string
	Uploaded    int64 // 0: inline content without a live reference
	Expires     int64 // 0: likewise
	MaxAge      time.Duration

	ctx    context.Context //nolint:containedctx // io.ReadSeeker has no other way in
	open   func(ctx context.Context, offset int64) (storage.PartReader, error)
	offset int64
	reader storage.PartReader // nil until the first Read after a Seek
	inline []byte
}

// Content finds live content by its CID, inline content always; what only
// pastes refer to is not found here. KindNotFound
// (content_not_found); KindUnavailable (no_leader) when a miss cannot be
// confirmed: a miss is never stale.
func (s *Service) Content(ctx context.Context, cid storage.CID) (*Content, error) {
	const op = "node.Content"
	c := s.contentOf(ctx, cid, "")
	c.MaxAge = maxAgeMax
	b, live, err := s.lookUp(ctx, cid)
	switch {
	case err != nil:
		return nil, err
	case b.Blocked || !live && !cid.Inline():
		return nil, &storage.Error{Op: op, Kind: storage.KindNotFound, Code: "content_not_found"}
	case live:
		c.ContentType, c.Uploaded, c.Expires = b.ContentType, b.Uploaded, b.Expires
		if !cid.Inline() {
			c.MaxAge = min(maxAgeMax, time.Duration(max(0, b.Expires-s.now()))*time.Millisecond).Truncate(time.Second)
		}
	default:
		c.ContentType = http.DetectContentType(cid.Content())
	}
	return c, nil
}

// contentOf is the bytes of a CID, whatever the catalogue says of it.
func (s *Service) contentOf(ctx context.Context, cid storage.CID, mediaType string) *Content {
	c := &Content{CID: cid, ContentType: mediaType, ctx: ctx}
	if cid.Inline() {
		c.inline = cid.Content()
		return c
	}
	c.open = func(ctx context.Context, offset int64) (storage.PartReader, error) {
		return s.n.replicas.Open(ctx, cid, offset, -1)
	}
	return c
}

// confirmed looks something up. A hit is local. A miss counts only once this
// node has applied all that was committed when it was asked.
func confirmed[T any](ctx context.Context, s *Service, look func() (T, bool, error)) (v T, found bool, err error) {
	if v, found, err = look(); err != nil || found {
		return v, found, err
	}
	if err := s.n.catchUp(ctx); err != nil {
		return v, false, err
	}
	return look()
}

// lookUp finds what the catalogue says of a CID. A hit is local. A miss counts
// only once this node has applied all that was committed when it was asked.
// Inline content needs neither: it is served whatever the catalogue says, but
// for its type and a takedown.
func (s *Service) lookUp(ctx context.Context, cid storage.CID) (b meta.Blob, live bool, err error) {
	b, live, err = s.blob(cid, s.now())
	if err != nil || cid.Inline() {
		return b, live, err
	}
	if live && b.Expires-s.now() > deadlineZone.Milliseconds() {
		return b, true, nil
	}
	if err := s.n.catchUp(ctx); err != nil {
		return b, false, err
	}
	now := s.now()
	b, live, err = s.blob(cid, now)
	if err == nil && !live {
		// The clock of this node may run ahead of the cluster's: within the
		// zone around the deadline the replicated clock decides.
		if late, still, lateErr := s.blob(cid, s.n.fsm.Now()); lateErr == nil && still && now-late.Expires < deadlineZone.Milliseconds() {
			return late, true, nil
		}
	}
	return b, live, err
}

func (s *Service) blob(cid storage.CID, now int64) (meta.Blob, bool, error) {
	if storage.Planted(storage.BugExpiredServed) {
		now = 0
	}
	b, found, err := s.n.fsm.Blob(cid, now)
	return b, found && b.Shown && !b.Blocked, err
}

// Metadata returns live content's record. Inline content needs a live
// reference for it, as any other.
func (s *Service) Metadata(ctx context.Context, cid storage.CID) (*Content, error) {
	c, err := s.Content(ctx, cid)
	if err != nil {
		return nil, err
	}
	if c.Expires == 0 && cid.Inline() {
		if err := s.n.catchUp(ctx); err != nil {
			return nil, err
		}
		if c, err = s.Content(ctx, cid); err != nil {
			return nil, err
		}
	}
	if c.Expires == 0 {
		return nil, &storage.Error{Op: "node.Metadata", Kind: storage.KindNotFound, Code: "content_not_found"}
	}
	return c, nil
}

// Exists reports whether content is live or inline.
func (s *Service) Exists(ctx context.Context, cid storage.CID) (bool, error) {
	_, err := s.Content(ctx, cid)
	if err != nil && storage.KindOf(err) != storage.KindNotFound {
		return false, err
	}
	return err == nil, nil
}

// Size returns the content's size in bytes.
func (c *Content) Size() int64 { return c.CID.Size() }

// Read reads on from where the last Read or Seek left off. A read that cannot
// go on with right bytes fails: the connection is to be cut (I2).
func (c *Content) Read(p []byte) (int, error) {
	if c.offset >= c.Size() {
		return 0, io.EOF
	}
	if c.inline != nil {
		n := copy(p, c.inline[c.offset:])
		c.offset += int64(n)
		return n, nil
	}
	if err := c.ready(); err != nil {
		return 0, err
	}
	n, err := c.reader.Read(p)
	c.offset += int64(n)
	return n, err //nolint:wrapcheck // a reader hands errors on
}

// Next implements storage.PartReader, as Read does.
func (c *Content) Next() ([]byte, error) {
	if c.offset >= c.Size() {
		return nil, io.EOF
	}
	if c.inline != nil {
		part := c.inline[c.offset:]
		c.offset = c.Size()
		return part, nil
	}
	if err := c.ready(); err != nil {
		return nil, err
	}
	part, err := c.reader.Next()
	c.offset += int64(len(part))
	return part, err
}

func (c *Content) ready() error {
	if c.reader != nil {
		return nil
	}
	r, err := c.open(c.ctx, c.offset)
	if err != nil {
		return err
	}
	c.reader = r
	return nil
}

// Prepare opens a copy before the first byte is promised, so that content
// without a reachable copy is an error and not a broken answer.
func (c *Content) Prepare() error {
	if c.inline != nil || c.Size() == 0 {
		return nil
	}
	return c.ready()
}

// Seek moves to where the next Read begins.
func (c *Content) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekStart:
	case io.SeekCurrent:
		offset += c.offset
	case io.SeekEnd:
		offset += c.Size()
	}
	if offset < 0 {
		return 0, errors.New("node.Content: seek before the start")
	}
	if offset != c.offset && c.reader != nil {
		r := c.reader
		c.reader = nil
		if err := r.Close(); err != nil {
			return 0, err //nolint:wrapcheck // a reader hands errors on
		}
	}
	c.offset = offset
	return offset, nil
}

// Close lets the copy go.
func (c *Content) Close() error {
	if c.reader == nil {
		return nil
	}
	r := c.reader
	c.reader = nil
	return r.Close() //nolint:wrapcheck // a reader hands errors on
}

// Extend lengthens the caller's own live reference from its current expiry.
func (s *Service) Extend(ctx context.Context, c Caller, cid storage.CID, days int, idem *Idempotency) (ExtendResult, bool, error) {
	if err := checkDays("node.Extend", days); err != nil {
		return ExtendResult{}, false, err
	}
	return do[ExtendResult](ctx, s, c, meta.Extend{Account: c.Account, CID: cid, Days: days, EntryID: entryID(s.now())}, idem)
}

// Delete removes the caller's own live reference. There is no refund.
func (s *Service) Delete(ctx context.Context, c Caller, cid storage.CID, idem *Idempotency) (DeleteResult, bool, error) {
	return do[DeleteResult](ctx, s, c, meta.DeleteReference{Account: c.Account, CID: cid}, idem)
}

// References returns the caller's own live references, newest first.
func (s *Service) References(ctx context.Context, c Caller, limit int, cursor string) (Page[Reference], error) {
	if err := s.n.catchUp(ctx); err != nil {
		return Page[Reference]{}, err
	}
	items, next, err := s.n.fsm.References(c.Account, cursor, min(limit, pageMax), s.now())
	if err != nil {
		return Page[Reference]{}, err
	}
	return Page[Reference]{Items: items, Next: next}, nil
}
