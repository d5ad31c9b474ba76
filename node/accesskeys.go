package node

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"slices"

	"ringbin/storage"
	"ringbin/storage/meta"
)

// The rights to the bins of an account that an access key may have. A master
// key has them all.
const (
	RightCreate = meta.ScopeCreate
	RightRead   = meta.ScopeRead
	RightUpdate = meta.ScopeUpdate
	RightDelete = meta.ScopeDelete
)

// binRights is a set of them.
type binRights uint8

var allRights = []string{RightCreate, RightRead, RightUpdate, RightDelete}

func rightsOf(scopes []string) (r binRights) {
	for i, right := range allRights {
		if slices.Contains(scopes, right) {
			r |= 1 << i
		}
	}
	return r
}

// CanBins reports whether the caller has a right to the bins of its account.
func (c Caller) CanBins(right string) bool {
	return c.Master || c.rights&rightsOf([]string{right}) != 0
}

// OwnsBin reports whether a bin is of the caller's account.
func (c Caller) OwnsBin(b Bin) bool { return c.Account != "" && c.Account == b.Account }

// masterOnly refuses who has not shown a master key.
func masterOnly(op string, c Caller) error {
	if !c.Master {
		return unauthenticated(op, "auth_missing")
	}
	return nil
}

// What is wrong with a key of JSONBin: which of the two it was matters, not why.
const (
	codeMaster = "master_invalid"
	codeAccess = "access_invalid"
	// codeKeyNeeded is no key's fault: a bin takes no change from who has none.
	codeKeyNeeded = "key_needed"
)

// refusedKey turns the refusal of a key, when a command was applied, into that
// of a key that never was.
func (c Caller) refusedKey(err error) error {
	if c.Operator || storage.KindOf(err) != storage.KindUnauthenticated || storage.CodeOf(err) == codeKeyNeeded {
		return err
	}
	if c.Master {
		return unauthenticated("node.refusedKey", codeMaster)
	}
	return unauthenticated("node.refusedKey", codeAccess)
}

// The symbols of a key. It looks like a hash of bcrypt and is none: of 64
// symbols each carries six random bits, 318 in all.
const (
	binKeyPrefix  = "$2b$10$"
	binKeyRandom  = 53
	binKeySymbols = "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
)

func drawBinKey() string {
	b := make([]byte, binKeyRandom)
	_, _ = rand.Read(b) // never fails: crypto/rand ends the process instead
	for i := range b {
		b[i] = binKeySymbols[b[i]&63]
	}
	return binKeyPrefix + string(b)
}

// AuthenticateBin returns who the keys of a request stand for. A master key
// decides alone, also when it is wrong. KindUnauthenticated with code
// auth_missing, master_invalid or access_invalid; KindUnavailable (no_leader)
// when a miss cannot be told from a key not applied here yet.
func (s *Service) AuthenticateBin(ctx context.Context, masterKey, accessKey string) (Caller, error) {
	const op = "node.AuthenticateBin"
	secret, wrong := masterKey, codeMaster
	switch {
	case masterKey == "" && accessKey == "":
		return Caller{}, unauthenticated(op, "auth_missing")
	case masterKey == "":
		secret, wrong = accessKey, codeAccess
	}
	if err := s.fresh(ctx, op); err != nil {
		return Caller{}, err
	}
	hash := sha256.Sum256([]byte(secret))
	key, found, err := confirmed(ctx, s, func() (Key, bool, error) {
		k, found, err := s.n.fsm.KeyByHash(hash)
		return k, found && k.API == APIJSONBin && isMaster(k) == (wrong == codeMaster), err
	})
	if err != nil {
		return Caller{}, err
	}
	if !found {
		return Caller{}, unauthenticated(op, wrong)
	}
	c := Caller{Account: key.Account, Key: key.ID, Master: isMaster(key), rights: rightsOf(key.Scopes)}
	if _, err := s.usable(op, key); err != nil {
		return Caller{}, c.refusedKey(err)
	}
	s.counts.use(key.ID, s.now())
	return c, nil
}

func isMaster(k Key) bool { return slices.Contains(k.Scopes, meta.ScopeMaster) }

// RotateMasterKey replaces the caller's master key and returns the new one,
// which is shown this once. The old one is dead from then on.
func (s *Service) RotateMasterKey(ctx context.Context, c Caller) (string, error) {
	if err := masterOnly("node.RotateMasterKey", c); err != nil {
		return "", err
	}
	_, secret, err := s.setMasterKey(ctx, c, c.Account, "")
	return secret, err
}

// createMasterKey gives an account a master key by the operator's hand, in the
// place of one that was lost.
func (s *Service) createMasterKey(ctx context.Context, c Caller, account string, k NewKey) (Key, string, error) {
	const op = "node.createMasterKey"
	if err := operatorOnly(op, c); err != nil {
		return Key{}, "", err
	}
	if k.ExpiresInDays != nil {
		return Key{}, "", storage.Invalid(op, "invalid_parameter", "expiresInDays", "none: a master key does not expire")
	}
	if k.Name == "" {
		k.Name = meta.ScopeMaster // there is one of them: it needs no other name
	}
	name, err := cleanText(op, "name", k.Name, keyNameMax)
	if err != nil {
		return Key{}, "", err
	}
	return s.setMasterKey(ctx, c, account, name)
}

// setMasterKey gives an account a new master key, in the place of the one that
// it may have.
func (s *Service) setMasterKey(ctx context.Context, c Caller, account, name string) (Key, string, error) {
	secret := drawBinKey()
	k, err := createDrawn(func(random meta.RandomID) (Key, error) {
		return submitBins[Key](ctx, s, c, meta.SetMasterKey{Account: account, Random: random, Hash: sha256.Sum256([]byte(secret)), Name: name})
	})
	if err != nil {
		return Key{}, "", err
	}
	return k, secret, nil
}

// AccessKey is an access key as its account sees it.
type AccessKey struct {
	ID      string
	Name    string
	Key     string // the key itself; "" where it is not shown
	Rights  []string
	Created int64
}

func shownKey(k Key) AccessKey {
	return AccessKey{ID: k.ID, Name: k.Name, Rights: k.Scopes, Created: k.Created}
}

// opened is an access key with the key itself.
func (s *sealer) opened(k Key) (AccessKey, error) {
	shown := shownKey(k)
	var err error
	shown.Key, _, err = s.open(k.Account, k.Hash, k.Sealed)
	return shown, err
}

// AccessKeys returns the access keys of the caller's account, oldest first.
// With one that does not open all fail: KindInternal.
func (s *Service) AccessKeys(ctx context.Context, c Caller) ([]AccessKey, error) {
	if err := masterOnly("node.AccessKeys", c); err != nil {
		return nil, err
	}
	if err := s.n.catchUp(ctx); err != nil {
		return nil, err
	}
	keys, err := s.n.fsm.AccessKeys(c.Account)
	if err != nil {
		return nil, err
	}
	sealer, err := s.n.sealer()
	if err != nil {
		return nil, err
	}
	shown := make([]AccessKey, len(keys))
	for i, k := range keys {
		if shown[i], err = sealer.opened(k); err != nil {
			return nil, err
		}
	}
	return shown, nil
}

// AccessKey returns an access key of the caller's account without the key
// itself; KindNotFound (key_not_found).
func (s *Service) AccessKey(ctx context.Context, c Caller, id string) (AccessKey, error) {
	k, err := s.accessKey(ctx, "node.AccessKey", c, id)
	return shownKey(k), err
}

func (s *Service) accessKey(ctx context.Context, op string, c Caller, id string) (Key, error) {
	if err := masterOnly(op, c); err != nil {
		return Key{}, err
	}
	missing := &storage.Error{Op: op, Kind: storage.KindNotFound, Code: "key_not_found"}
	return strong(ctx, s, missing, func() (Key, bool, error) {
		keys, err := s.n.fsm.AccessKeys(c.Account)
		i := slices.IndexFunc(keys, func(k Key) bool { return k.ID == id })
		if err != nil || i < 0 {
			return Key{}, false, err
		}
		return keys[i], true, nil
	})
}

// CreateAccessKey makes an access key of the caller's account. KindForbidden
// (access_key_limit; Details limit) when it has as many as it may have.
func (s *Service) CreateAccessKey(ctx context.Context, c Caller, name string, rights []string) (AccessKey, error) {
	if err := masterOnly("node.CreateAccessKey", c); err != nil {
		return AccessKey{}, err
	}
	sealer, err := s.n.sealer()
	if err != nil {
		return AccessKey{}, err
	}
	secret := drawBinKey()
	cmd := meta.CreateAccessKey{
		Account: c.Account, Name: name, Hash: sha256.Sum256([]byte(secret)), Sealed: sealer.seal(c.Account, secret), Scopes: rights,
	}
	k, err := createDrawn(func(random meta.RandomID) (Key, error) {
		cmd.Random = random
		return submitBins[Key](ctx, s, c, cmd)
	})
	if err != nil {
		return AccessKey{}, err
	}
	return sealer.opened(k)
}

// UpdateAccessKey changes what an access key is for, and its name where one is
// given. The key itself stays, and is sealed anew. Code: key_not_found.
func (s *Service) UpdateAccessKey(ctx context.Context, c Caller, id string, rights []string, name *string) (AccessKey, error) {
	k, err := s.accessKey(ctx, "node.UpdateAccessKey", c, id)
	if err != nil {
		return AccessKey{}, err
	}
	sealer, err := s.n.sealer()
	if err != nil {
		return AccessKey{}, err
	}
	secret, _, err := sealer.open(k.Account, k.Hash, k.Sealed)
	if err != nil {
		return AccessKey{}, err
	}
	sealed := sealer.seal(k.Account, secret)
	scopes := append([]string{}, rights...) // never nil, which in the log would be no change
	k, err = submitBins[Key](ctx, s, c, meta.UpdateAccessKey{Account: c.Account, ID: id, Name: name, Scopes: &scopes, Sealed: &sealed})
	if err != nil {
		return AccessKey{}, err
	}
	return sealer.opened(k)
}

// DeleteAccessKey deletes an access key of the caller's account and returns
// what it was, without the key itself; key_not_found.
func (s *Service) DeleteAccessKey(ctx context.Context, c Caller, id string) (AccessKey, error) {
	if err := masterOnly("node.DeleteAccessKey", c); err != nil {
		return AccessKey{}, err
	}
	k, err := submitBins[Key](ctx, s, c, meta.DeleteAccessKey{Account: c.Account, ID: id})
	if err != nil {
		return AccessKey{}, err
	}
	return shownKey(k), nil
}
