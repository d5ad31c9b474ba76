package node

import "context"

// The rights to the bins of an account that an access key may have. A master
// key has them all.
const (
	RightCreate = "create"
	RightRead   = "read"
	RightUpdate = "update"
	RightDelete = "delete"
)

// AccessKey is an access key as its account sees it.
type AccessKey struct {
	ID      string
	Name    string
	Key     string // the key itself
	Rights  []string
	Created int64
}

// AuthenticateBin returns who the keys of a request stand for: the master key
// decides alone where there is one. KindUnauthenticated with code auth_missing,
// master_invalid or access_invalid; KindUnavailable (no_leader) when a miss
// can't be told from a key not applied here yet.
func (s *Service) AuthenticateBin(ctx context.Context, masterKey, accessKey string) (Caller, error) {
	return Caller{}, notYet("node.AuthenticateBin")
}

// AdmitBins counts one request with a valid key against the limits of its
// account: KindRateLimited rate_limited (Details retry_after_seconds int64), or
// KindForbidden quota_exhausted.
func (s *Service) AdmitBins(ctx context.Context, c Caller) error {
	return notYet("node.AdmitBins")
}

// CanBins reports whether the caller may do something to the bins of its account.
func (c Caller) CanBins(right string) bool { return false }

// OwnsBin reports whether a bin is of the caller's account.
func (c Caller) OwnsBin(b Bin) bool { return c.Account != "" && c.Account == b.Account }

// RotateMasterKey replaces the caller's master key, and returns the new one,
// which is shown this once. The old one is dead.
func (s *Service) RotateMasterKey(ctx context.Context, c Caller) (string, error) {
	return "", notYet("node.RotateMasterKey")
}

// AccessKeys returns the access keys of the caller's account, oldest first. One
// that does not open fails them all: KindInternal.
func (s *Service) AccessKeys(ctx context.Context, c Caller) ([]AccessKey, error) {
	return nil, notYet("node.AccessKeys")
}

// AccessKey returns one of them; KindNotFound (key_not_found).
func (s *Service) AccessKey(ctx context.Context, c Caller, id string) (AccessKey, error) {
	return AccessKey{}, notYet("node.AccessKey")
}

// CreateAccessKey makes an access key. KindForbidden access_key_limit (Details
// limit int64).
func (s *Service) CreateAccessKey(ctx context.Context, c Caller, name string, rights []string) (AccessKey, error) {
	return AccessKey{}, notYet("node.CreateAccessKey")
}

// UpdateAccessKey changes what a key may be used for, and its name where one is
// given; key_not_found.
func (s *Service) UpdateAccessKey(ctx context.Context, c Caller, id string, rights []string, name *string) (AccessKey, error) {
	return AccessKey{}, notYet("node.UpdateAccessKey")
}

// DeleteAccessKey deletes a key, and returns what it was, without the key
// itself; key_not_found.
func (s *Service) DeleteAccessKey(ctx context.Context, c Caller, id string) (AccessKey, error) {
	return AccessKey{}, notYet("node.DeleteAccessKey")
}
