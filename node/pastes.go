package node

import (
	"context"
	"crypto/sha256"
	"io"

	"ringbin/storage"
	"ringbin/storage/meta"
)

// Sizes of pastes.
const (
	pasteIDSymbols = 8
	pasteHeadBytes = 3072 // of the content, for whoever looks what it is
)

// NewPaste is a paste on its way in.
type NewPaste struct {
	Body          io.Reader
	ContentLength int64 // declared size of the content itself; -1: unknown
	// BeforeBody, when not nil, is called once all checks that need no body passed.
	BeforeBody func() error
	// AfterBody, when not nil, is called once the body was read and hashed:
	// Size and Head are set then, and it may set what follows them.
	AfterBody func(p *NewPaste) error

	Size int64
	Head []byte // the first 3072 bytes

	Filename, Extension, MediaType string

	UTF8, Private bool
	Expiry        Expiry
	Reserved      func(id string) bool // ids that are not to be given out; may be nil
}

// PasteUploadLimit returns how many bytes a paste of the caller may have.
func (s *Service) PasteUploadLimit(c Caller) int64 {
	if c.Account == "" {
		return s.Settings().Paste69.MaxUpload
	}
	return s.Settings().Paste69.MaxUploadKey
}

// CreatePaste stores content and a paste of it, and returns it with its delete
// key, which is shown this once. The zero Caller is anonymous.
func (s *Service) CreatePaste(ctx context.Context, c Caller, p NewPaste) (Paste, string, error) {
	if err := s.admitPaste(c, &p); err != nil {
		return Paste{}, "", err
	}
	if err := s.takeUpload(); err != nil {
		return Paste{}, "", err
	}
	defer func() { <-s.uploads }()
	if p.BeforeBody != nil {
		if err := p.BeforeBody(); err != nil {
			return Paste{}, "", err
		}
	}
	head := &headReader{r: p.Body, max: pasteHeadBytes}
	spooled, err := s.n.spool(head, s.PasteUploadLimit(c), p.ContentLength)
	if err != nil {
		return Paste{}, "", bodyError(head, err)
	}
	defer spooled.discard()
	p.Size, p.Head = spooled.cid.Size(), head.head
	if p.AfterBody != nil {
		if err := p.AfterBody(&p); err != nil {
			return Paste{}, "", err
		}
	}
	// Fields may follow the content: what was right before may be wrong now.
	if err := s.admitPaste(c, &p); err != nil {
		return Paste{}, "", err
	}
	now := second(s.now())
	expires, err := pasteEnd(s.Settings().Paste69, c.Account != "", p.Size, p.Expiry, now)
	if err != nil {
		return Paste{}, "", err
	}
	content, err := s.storeSpooled(ctx, spooled)
	if err != nil {
		return Paste{}, "", err
	}
	return s.commitPaste(ctx, c, &p, content, now, expires)
}

// admitPaste refuses what can be refused before a byte of the content is read.
func (s *Service) admitPaste(c Caller, p *NewPaste) error {
	const op = "node.CreatePaste"
	withKey, settings := c.Account != "", s.Settings().Paste69
	switch {
	case !withKey && !settings.AnonymousUploads:
		return unauthenticated(op, "anonymous_disabled")
	case !withKey && p.Private:
		return unauthenticated(op, "private_needs_key")
	case p.Expiry.Never:
		if err := mayStayForever(op, settings, withKey); err != nil {
			return err
		}
	case p.Expiry.wished():
		if _, err := p.Expiry.end(second(s.now())); err != nil {
			return err
		}
	}
	return declaredWithin(op, s.PasteUploadLimit(c), p.ContentLength)
}

func (s *Service) commitPaste(ctx context.Context, c Caller, p *NewPaste, content *stored, now, expires int64) (Paste, string, error) {
	deleteKey := randomText(deleteKeySymbols)
	cmd := meta.CreatePaste{
		Account: c.Account, CID: content.cid, Filename: p.Filename, Extension: p.Extension, MediaType: p.MediaType,
		UTF8: p.UTF8, Private: p.Private, Created: now, Expires: expires, DeleteKey: sha256.Sum256([]byte(deleteKey)),
	}
	made, err := createUnder("node.CreatePaste", pasteIDSymbols, p.Reserved, func(id string) (Paste, error) {
		cmd.ID = id
		made, _, err := commitStored[Paste](ctx, s, c, content, nil, func(r []storage.Receipt) meta.Command {
			cmd.Receipts = r
			return cmd
		})
		return made, err
	})
	if err != nil {
		return Paste{}, "", err
	}
	s.counts.pastesMade.Add(1)
	return made, deleteKey, nil
}

// findPaste finds a paste that is live by this node's clock.
func (s *Service) findPaste(ctx context.Context, op, id string) (Paste, error) {
	if !plainID(id, pasteIDSymbols) {
		return Paste{}, notFound(op)
	}
	p, found, err := confirmed(ctx, s, func() (Paste, bool, error) { return s.n.fsm.Paste(id, s.now()) })
	if err == nil && !found {
		err = notFound(op)
	}
	return p, err
}

func ofPaste(p Paste) owned {
	return owned{account: p.Account, deleteKey: p.DeleteKey, private: p.Private}
}

// Paste returns a paste that the caller may read: private ones are the owner's,
// and KindNotFound (not_found) to all others.
func (s *Service) Paste(ctx context.Context, c Caller, id string) (Paste, error) {
	const op = "node.Paste"
	p, err := s.findPaste(ctx, op, id)
	if err == nil && p.Private && !ofPaste(p).by(c) {
		err = notFound(op)
	}
	if err != nil {
		return Paste{}, err
	}
	return p, nil
}

// PasteContent returns the bytes of a paste. They are not changed by anything
// that may have become of the paste since it was looked up.
func (s *Service) PasteContent(ctx context.Context, p Paste) (*Content, error) {
	return s.contentOf(ctx, p.CID, p.MediaType), nil
}

// CountView notes that a paste was viewed once.
func (s *Service) CountView(id string) { s.counts.view(id) }

// managedPaste finds a paste that the caller may change.
func (s *Service) managedPaste(ctx context.Context, op string, c Caller, id, deleteKey string) (Paste, error) {
	p, err := s.findPaste(ctx, op, id)
	if err == nil {
		err = ofPaste(p).manage(op, c, deleteKey)
	}
	return p, err
}

// CheckPasteKey returns a paste whose delete key this is, and changes nothing.
func (s *Service) CheckPasteKey(ctx context.Context, id, deleteKey string) (Paste, error) {
	return s.managedPaste(ctx, "node.CheckPasteKey", Caller{}, id, deleteKey)
}

// SetPasteExpiry changes when a paste ends. How long it may be kept is counted
// from now, and depends on whether it was made with a key.
func (s *Service) SetPasteExpiry(ctx context.Context, c Caller, id, deleteKey string, e Expiry) (Paste, error) {
	const op = "node.SetPasteExpiry"
	p, err := s.managedPaste(ctx, op, c, id, deleteKey)
	if err != nil {
		return Paste{}, err
	}
	if !e.wished() {
		return Paste{}, expiryInvalid(op)
	}
	expires, err := pasteEnd(s.Settings().Paste69, p.Account != "", p.CID.Size(), e, second(s.now()))
	if err != nil {
		return Paste{}, err
	}
	p, _, err = submit[Paste](ctx, s, c, meta.SetPasteExpiry{ID: id, Expires: expires}, nil)
	return p, err
}

// DeletePaste deletes a paste for the owner, or for who has the delete key.
func (s *Service) DeletePaste(ctx context.Context, c Caller, id, deleteKey string) error {
	if _, err := s.managedPaste(ctx, "node.DeletePaste", c, id, deleteKey); err != nil {
		return err
	}
	_, _, err := submit[Paste](ctx, s, c, meta.DeletePaste{ID: id}, nil)
	return err
}

// Pastes returns a page of the caller's pastes, and how many there are on all pages.
func (s *Service) Pastes(ctx context.Context, c Caller, o ListOrder) (page []Paste, total int, err error) {
	if err := needsAccount("node.Pastes", c); err != nil {
		return nil, 0, err
	}
	if err := s.n.catchUp(ctx); err != nil {
		return nil, 0, err
	}
	now := s.now()
	var all []listed
	err = s.n.fsm.PastesOf(c.Account, now, func(p Paste) error {
		all = append(all, listPaste(p, o.Sort))
		return nil
	})
	if err != nil {
		return nil, 0, err
	}
	page, err = pageOf(all, o, func(id string) (Paste, bool, error) { return s.n.fsm.Paste(id, now) })
	return page, len(all), err
}

func listPaste(p Paste, by string) listed {
	l := listed{id: p.ID}
	switch by {
	case sortExpires:
		l.number = endOrder(p.Expires)
	case sortSize:
		l.number = p.CID.Size()
	case sortFilename:
		l.text = p.Filename
	case sortViews:
		l.number = p.Views
	default:
		l.number = -p.Created
	}
	return l
}

// PasteStats is what the statistics page tells.
type PasteStats struct {
	Pastes, Links int64 // in the cluster, with those that have expired lately
	Blobs, Bytes  int64 // stored on this node
}

// PasteStats returns what is counted anyhow.
func (s *Service) PasteStats() PasteStats {
	counts, store := s.n.fsm.Counts(), s.n.store.Stats()
	return PasteStats{Pastes: counts.Pastes, Links: counts.Links, Blobs: store.Blobs, Bytes: store.Bytes}
}
