package node

import (
	"context"
	"io"
	"net/netip"

	"ringbin/storage"
)

// Paste is a paste's record.
type Paste struct {
	ID, Filename, Extension, MediaType string
	CID                                storage.CID
	Account                            string // "": anonymous, it has no owner
	UTF8                               bool   // the whole content is valid UTF-8 text
	Private                            bool
	Created, Expires                   int64 // Unix milliseconds; Expires 0: never
	DeleteKey                          [32]byte
	Views                              int64
}

// Link is a short link's record.
type Link struct {
	ID, Target, Title, Account string
	Created, Expires           int64
	DeleteKey                  [32]byte
	Clicks, LastClick          int64
}

// LinkDay is what was counted of a link on one UTC day.
type LinkDay struct {
	Day                            int32 // since 1970
	Clicks, Visitors               int64
	Referrers, Countries, Browsers map[string]int64
}

// Expiry is a wish for an end: the zero value is no wish.
type Expiry struct {
	Never   bool
	At      int64 // Unix seconds; 0: relative
	Months  int64 // calendar months, the day clamped to the month's end, in UTC
	Seconds int64 // then a fixed span
}

// NewPaste is a paste on its way in.
type NewPaste struct {
	Body          io.Reader
	ContentLength int64 // declared size of the content itself; -1: unknown
	// BeforeBody, when not nil, is called once all checks that need no body passed.
	BeforeBody func() error
	// AfterBody, when not nil, is called once the body was read and hashed: Size
	// and Head are set, and it may set the members below them.
	AfterBody func(p *NewPaste) error

	Size int64
	Head []byte // the first 3072 bytes

	Filename, Extension, MediaType string
	UTF8, Private                  bool
	Expiry                         Expiry
	Reserved                       func(id string) bool // ids that must not be issued; may be nil
}

// ListOrder is a page of a list and its order.
type ListOrder struct {
	Page, Limit int    // from 1
	Sort        string // created_at (or any other word: newest first), expires_at, size, filename, views, clicks: ascending
	Reverse     bool
}

// NewLink is a wish for a short link.
type NewLink struct {
	Target, Title string
	Expiry        Expiry
	Reserved      func(id string) bool
}

// Click is one redirect.
type Click struct {
	Addr              netip.Addr
	Referrer, Browser string
	Country           string // "": looked up
}

// LinkStats is a link with what was counted of it on days of a range.
type LinkStats struct {
	Link Link
	Days []LinkDay // ascending; days without clicks are left out
}

// KeyRequested tells where a requested key, or the link to it, went.
type KeyRequested struct {
	Delivery string // email, log, response
	Secret   string // the key itself, with response
}

// KeyInfo is what a key may know of itself.
type KeyInfo struct {
	Name, Email      string
	EmailVerified    bool
	Created          int64
	MaxUpload        int64
	MinDays, MaxDays int64
}

// PasteStats is what the statistics page tells.
type PasteStats struct {
	Pastes, Links, Blobs, Bytes int64
}

// RateClass is what a request counts as.
type RateClass int

// The classes.
const (
	RateReads RateClass = iota
	RateWrites
	RateKeyRequests
	RateWrongSecrets
)

var errSketch = storage.E("node", storage.KindInternal, nil)

// Now is wall time in Unix milliseconds.
func (s *Service) Now() int64 { return s.now() }

// CreatePaste stores a paste.
func (s *Service) CreatePaste(ctx context.Context, c Caller, p NewPaste) (Paste, string, error) {
	return Paste{}, "", errSketch
}

// PasteUploadLimit is how many bytes a caller's paste may have.
func (s *Service) PasteUploadLimit(c Caller) int64 { return 0 }

// Paste returns a paste.
func (s *Service) Paste(ctx context.Context, c Caller, id string) (Paste, error) {
	return Paste{}, errSketch
}

// PasteContent returns a paste's bytes.
func (s *Service) PasteContent(ctx context.Context, p Paste) (*Content, error) {
	return nil, errSketch
}

// CountView counts one view.
func (s *Service) CountView(id string) {}

// Pastes lists the caller's pastes.
func (s *Service) Pastes(ctx context.Context, c Caller, o ListOrder) (page []Paste, total int, err error) {
	return nil, 0, errSketch
}

// SetPasteExpiry changes when a paste ends.
func (s *Service) SetPasteExpiry(ctx context.Context, c Caller, id, deleteKey string, e Expiry) (Paste, error) {
	return Paste{}, errSketch
}

// DeletePaste deletes a paste.
func (s *Service) DeletePaste(ctx context.Context, c Caller, id, deleteKey string) error {
	return errSketch
}

// CheckPasteKey checks a delete key.
func (s *Service) CheckPasteKey(ctx context.Context, id, deleteKey string) (Paste, error) {
	return Paste{}, errSketch
}

// CreateLink makes a short link.
func (s *Service) CreateLink(ctx context.Context, c Caller, l NewLink) (Link, string, error) {
	return Link{}, "", errSketch
}

// Link returns a short link.
func (s *Service) Link(ctx context.Context, id string) (Link, error) { return Link{}, errSketch }

// OwnLink returns the caller's own short link.
func (s *Service) OwnLink(ctx context.Context, c Caller, id string) (Link, error) {
	return Link{}, errSketch
}

// CountClick counts one click; it never blocks.
func (s *Service) CountClick(id string, k Click) {}

// LinkStats returns what was counted from one day to another, both included.
func (s *Service) LinkStats(ctx context.Context, c Caller, id string, from, to int32) (LinkStats, error) {
	return LinkStats{}, errSketch
}

// Links lists the caller's short links.
func (s *Service) Links(ctx context.Context, c Caller, o ListOrder) (page []Link, total int, err error) {
	return nil, 0, errSketch
}

// SetLinkExpiry changes when a link ends.
func (s *Service) SetLinkExpiry(ctx context.Context, c Caller, id, deleteKey string, e Expiry) (Link, error) {
	return Link{}, errSketch
}

// DeleteLink deletes a link.
func (s *Service) DeleteLink(ctx context.Context, c Caller, id, deleteKey string) error {
	return errSketch
}

// CheckLinkKey checks a delete key.
func (s *Service) CheckLinkKey(ctx context.Context, id, deleteKey string) (Link, error) {
	return Link{}, errSketch
}

// RequestKey asks for a key.
func (s *Service) RequestKey(ctx context.Context, name, email string) (KeyRequested, error) {
	return KeyRequested{}, errSketch
}

// PendingKey tells whom a token is for.
func (s *Service) PendingKey(ctx context.Context, token string) (name, email string, err error) {
	return "", "", errSketch
}

// RedeemToken makes a key of a token.
func (s *Service) RedeemToken(ctx context.Context, token string) (secret, name, email string, err error) {
	return "", "", "", errSketch
}

// KeyInfo tells what the caller's key brings.
func (s *Service) KeyInfo(ctx context.Context, c Caller) (KeyInfo, error) {
	return KeyInfo{}, errSketch
}

// Retention is for how many hours a paste is kept.
func (s *Service) Retention(withKey bool, size int64) (hours int64) { return 0 }

// CountryOf is the country of an address.
func (s *Service) CountryOf(a netip.Addr) string { return "" }

// Admit takes one request from the bucket of its class.
func (s *Service) Admit(class RateClass, c Caller, a netip.Addr) error { return nil }

// PasteStats counts.
func (s *Service) PasteStats() PasteStats { return PasteStats{} }

// ClusterHosts are the hosts of all nodes: names or addresses.
func (s *Service) ClusterHosts() []string { return nil }
