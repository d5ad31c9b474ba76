package node

import (
	"context"
	"crypto/rand"
	"slices"

	"ringbin/storage"
	"ringbin/storage/meta"
)

// The versions of a bin that have names. Others are numbers from 1.
const (
	BinBase   int64 = 0
	BinLatest       = meta.Latest // the newest version, or the base where there is none
)

// NewBin is a bin on its way in.
type NewBin struct {
	Record     []byte // compact JSON
	Private    bool
	Name       string      // "": none
	Collection string      // "": uncategorized
	Schema     *SchemaUsed // nil: the collection had no schema doc
}

// SchemaUsed is which schema doc a record was found to match, and at which
// revision. When the bin is under another one by now the record is to be
// validated anew: KindConflict, schema_changed.
type SchemaUsed struct {
	Doc      string
	Revision uint64
}

func (u *SchemaUsed) named() (doc string, revision uint64) {
	if u == nil {
		return "", 0
	}
	return u.Doc, u.Revision
}

// IfMatch is which revisions of a bin a change is meant for; nil is any, and
// one that names none matches no bin.
type IfMatch struct {
	Any       bool // *
	Revisions []uint64
}

// match is the form that the log carries. A bin that has reached a revision
// never has a lower one again, and gets to higher ones one by one: so of a
// list of any length the lowest that can still match are enough.
func (m *IfMatch) match(reached uint64) *meta.Match {
	if m == nil {
		return nil
	}
	possible := make([]uint64, 0, len(m.Revisions))
	for _, r := range m.Revisions {
		if r >= reached {
			possible = append(possible, r)
		}
	}
	slices.Sort(possible)
	possible = slices.Compact(possible)
	return &meta.Match{Any: m.Any, Revisions: possible[:min(len(possible), meta.MatchMax)]}
}

// BinUpdate is a new record for a bin.
type BinUpdate struct {
	Record     []byte      // compact JSON
	Versioning *bool       // whether it is wished for as a version of its own; nil: nothing was said
	Schema     *SchemaUsed // nil: the bin's collection had no schema doc
	IfMatch    *IfMatch
}

// BinVersion is one record of a bin, and the bin at the same moment.
type BinVersion struct {
	Bin     Bin
	Version int64 // its number; 0: the base
	Found   bool  // the bin has such a version

	cid     storage.CID
	blocked bool
}

// Size is the length of the record in bytes.
func (v BinVersion) Size() int64 { return v.cid.Size() }

// CreateBin stores a record and a bin of it, in the caller's account. Codes:
// collection_not_found, schema_changed.
func (s *Service) CreateBin(ctx context.Context, c Caller, b NewBin) (Bin, error) {
	const op = "node.CreateBin"
	if !c.CanBins(RightCreate) {
		return Bin{}, notAuthorized(op)
	}
	cmd := meta.CreateBin{Account: c.Account, Name: b.Name, Private: b.Private, Collection: b.Collection}
	cmd.SchemaDoc, cmd.SchemaRevision = b.Schema.named()
	return createDrawn(func(random meta.RandomID) (Bin, error) {
		return commitRecord[Bin](ctx, s, c, b.Record, func(cid storage.CID, r []storage.Receipt) meta.Command {
			cmd.Random, cmd.CID, cmd.Receipts = random, cid, r
			return cmd
		})
	})
}

// Bin returns a bin as of now, whoever's it is: OwnsBin and CanBins tell what
// the caller may do with a private one. KindNotFound (bin_not_found).
func (s *Service) Bin(ctx context.Context, id string) (Bin, error) {
	return strong(ctx, s, binNotFound("node.Bin"), func() (Bin, bool, error) { return s.n.fsm.Bin(id) })
}

// BinVersion returns one version of a bin, BinBase, BinLatest or a number,
// together with the bin, both as of one moment from now on. KindNotFound
// (bin_not_found); a bin without such a version is no error, but its version
// is not Found.
func (s *Service) BinVersion(ctx context.Context, id string, version int64) (BinVersion, error) {
	return strong(ctx, s, binNotFound("node.BinVersion"), func() (BinVersion, bool, error) {
		v, found, err := s.n.fsm.BinVersion(id, version)
		return BinVersion{Bin: v.Bin, Version: v.Version, Found: found, cid: v.CID, blocked: v.Blocked}, v.Bin.ID != "", err
	})
}

// BinRecord returns the bytes of a record, as they were stored. KindNotFound
// (version_not_found); KindForbidden (content_blocked) when it was taken down;
// KindUnavailable when no copy can be had.
func (s *Service) BinRecord(ctx context.Context, v BinVersion) ([]byte, error) {
	const op = "node.BinRecord"
	switch {
	case v.blocked:
		return nil, &storage.Error{Op: op, Kind: storage.KindForbidden, Code: "content_blocked"}
	case !v.Found:
		return nil, &storage.Error{Op: op, Kind: storage.KindNotFound, Code: "version_not_found"}
	}
	return s.readAll(ctx, v.cid)
}

// UpdateBin stores a new record of a bin. Who may not update it by their key,
// or has none, may while the bin is public. Codes: bin_not_found, key_needed
// (Unauthenticated), not_authorized (Forbidden), schema_changed,
// versioning_off, revision_mismatch (Details revision int64).
func (s *Service) UpdateBin(ctx context.Context, c Caller, id string, u BinUpdate) (UpdatedBin, error) {
	const op = "node.UpdateBin"
	b, err := s.knownBin(ctx, op, id)
	if err != nil {
		return UpdatedBin{}, err
	}
	if !c.OwnsBin(b) || !c.CanBins(RightUpdate) {
		if b.Private || !s.Settings().JSONBin.PublicUpdate {
			return UpdatedBin{}, needsKey(op, c)
		}
		c = Caller{} // a key without the right counts as none
	}
	cmd := meta.UpdateBin{
		ID: id, Versioning: u.Versioning, Master: c.Master, Keyless: c == Caller{}, IfMatch: u.IfMatch.match(b.Revision),
	}
	cmd.SchemaDoc, cmd.SchemaRevision = u.Schema.named()
	return commitRecord[UpdatedBin](ctx, s, c, u.Record, func(cid storage.CID, r []storage.Receipt) meta.Command {
		cmd.CID, cmd.Receipts = cid, r
		return cmd
	})
}

// needsKey refuses who has no right to a bin: without a key for want of one.
func needsKey(op string, c Caller) error {
	if c == (Caller{}) {
		return unauthenticated(op, codeKeyNeeded)
	}
	return notAuthorized(op)
}

// DeleteBin deletes a bin of the caller's account with its versions, and
// returns what it was. Codes: bin_not_found, not_authorized (another
// account's), revision_mismatch.
func (s *Service) DeleteBin(ctx context.Context, c Caller, id string, m *IfMatch) (Bin, error) {
	const op = "node.DeleteBin"
	b, err := s.knownBin(ctx, op, id)
	if err != nil {
		return Bin{}, err
	}
	if !c.OwnsBin(b) || !c.CanBins(RightDelete) {
		return Bin{}, notAuthorized(op)
	}
	return submitBins[Bin](ctx, s, c, meta.DeleteBin{ID: id, IfMatch: m.match(b.Revision)})
}

// SetBinPrivacy makes a bin of the caller's private or public. Codes:
// bin_not_found (also another account's), revision_mismatch.
func (s *Service) SetBinPrivacy(ctx context.Context, c Caller, id string, private bool, m *IfMatch) (Bin, error) {
	b, err := s.ownBin(ctx, "node.SetBinPrivacy", c, id)
	if err != nil {
		return Bin{}, err
	}
	return submitBins[Bin](ctx, s, c, meta.SetBinPrivacy{ID: id, Private: private, IfMatch: m.match(b.Revision)})
}

// RenameBin names a bin of the caller's. Codes as SetBinPrivacy's.
func (s *Service) RenameBin(ctx context.Context, c Caller, id, name string, m *IfMatch) (Bin, error) {
	b, err := s.ownBin(ctx, "node.RenameBin", c, id)
	if err != nil {
		return Bin{}, err
	}
	return submitBins[Bin](ctx, s, c, meta.RenameBin{ID: id, Name: name, IfMatch: m.match(b.Revision)})
}

// ClearVersions removes all versions of a bin of the caller's, in one step;
// preserveLatest makes the newest one the base before. Of a bin without
// versions it changes nothing. Codes as SetBinPrivacy's.
func (s *Service) ClearVersions(ctx context.Context, c Caller, id string, preserveLatest bool, m *IfMatch) (ClearedVersions, error) {
	b, err := s.ownBin(ctx, "node.ClearVersions", c, id)
	if err != nil {
		return ClearedVersions{}, err
	}
	return submitBins[ClearedVersions](ctx, s, c, meta.ClearVersions{ID: id, PreserveLatest: preserveLatest, IfMatch: m.match(b.Revision)})
}

// knownBin finds a bin for a change of it: what the bin is like counts when
// the change is applied, so that a hit may be old.
func (s *Service) knownBin(ctx context.Context, op, id string) (Bin, error) {
	b, found, err := confirmed(ctx, s, func() (Bin, bool, error) { return s.n.fsm.Bin(id) })
	if err == nil && !found {
		err = binNotFound(op)
	}
	return b, err
}

// ownBin finds a bin that the caller's master key may change. To all others
// it is not there.
func (s *Service) ownBin(ctx context.Context, op string, c Caller, id string) (Bin, error) {
	if err := masterOnly(op, c); err != nil {
		return Bin{}, err
	}
	b, err := s.knownBin(ctx, op, id)
	if err == nil && !c.OwnsBin(b) {
		err = binNotFound(op)
	}
	return b, err
}

func binNotFound(op string) error {
	return &storage.Error{Op: op, Kind: storage.KindNotFound, Code: "bin_not_found"}
}

// submitBins is submit for who has shown a key of JSONBin. When the key is no
// good any more once the command is applied, the answer is that of a key that
// never was.
func submitBins[T any](ctx context.Context, s *Service, c Caller, cmd meta.Command) (T, error) {
	v, _, err := submit[T](ctx, s, c, cmd, nil)
	return v, c.refusedKey(err)
}

// createDrawn draws the random part of an id until the id is new. Of 48 bits,
// beside a time that is new to the account, the first one is.
func createDrawn[T any](create func(random meta.RandomID) (T, error)) (v T, err error) {
	for range idTries {
		var random meta.RandomID
		_, _ = rand.Read(random[:]) // never fails: crypto/rand ends the process instead
		if v, err = create(random); storage.CodeOf(err) != "id_taken" {
			return v, err
		}
	}
	return v, err
}
