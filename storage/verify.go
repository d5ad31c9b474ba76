package storage

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/cockroachdb/pebble/v2"
)

// provenBody is a body that ends only when all of it was hashed by whoever sends it,
// and is right.
type provenBody struct{ io.Reader }

// lastSum is the CRC of the n bytes that the last read has returned; the bool is
// false when the body does not know it.
func (b provenBody) lastSum(n int) (uint32, bool) {
	u, ok := b.Reader.(*Unsealed)
	if !ok {
		return 0, false
	}
	return u.lastSum(n)
}

// verifier reads a body that has to be what a CID names.
type verifier struct {
	cid  CID
	body io.Reader
	hash *Hasher // nil: the body is proven
	read int64
	done bool // the body's end was seen
}

func newVerifier(cid CID, body io.Reader) *verifier {
	v := &verifier{cid: cid, body: body}
	if _, ok := body.(provenBody); !ok {
		v.hash = NewHasher()
	}
	return v
}

// fill reads up to len(p) bytes; 0 means the body has ended. A byte past the
// CID's size is an error whatever follows, so that an endless body ends here.
func (v *verifier) fill(ctx context.Context, p []byte) (int, error) {
	left := v.cid.Size() - v.read
	if left == 0 || len(p) == 0 {
		return 0, v.end(ctx)
	}
	p = p[:min(int64(len(p)), left)]
	n := 0
	for n < len(p) && !v.done {
		if err := ctx.Err(); err != nil {
			return 0, fmt.Errorf("storage.Put: %w", context.Cause(ctx))
		}
		k, err := v.body.Read(p[n:])
		n += k
		if errors.Is(err, io.EOF) {
			v.done = true
		} else if err != nil {
			return 0, fmt.Errorf("storage.Put: reading the body: %w", err)
		}
	}
	v.read += int64(n)
	if v.hash != nil {
		_, _ = v.hash.Write(p[:n]) // never fails
	}
	return n, nil
}

// sum is the CRC of what fill has just filled: the one that it was checked by, if
// that was of the same bytes.
func (v *verifier) sum(p []byte) uint32 {
	if b, ok := v.body.(provenBody); ok {
		if sum, ok := b.lastSum(len(p)); ok {
			return sum
		}
	}
	return crc32.Checksum(p, crcTable)
}

// end checks that nothing follows.
func (v *verifier) end(ctx context.Context) error {
	var one [1]byte
	for !v.done {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("storage.Put: %w", context.Cause(ctx))
		}
		n, err := v.body.Read(one[:])
		switch {
		case n > 0:
			return LengthMismatch(v.cid.Size(), v.read+1)
		case errors.Is(err, io.EOF):
			v.done = true
		case err != nil:
			return fmt.Errorf("storage.Put: reading the body: %w", err)
		}
	}
	return nil
}

// verdict is nil when what was read is what the CID names.
func (v *verifier) verdict() error {
	if v.read != v.cid.Size() {
		return LengthMismatch(v.cid.Size(), v.read)
	}
	if v.hash == nil {
		if !v.done { // its end is the proof
			return E("storage.Put", KindInternal, errors.New("the body's end was not seen"))
		}
		return nil
	}
	got, err := v.hash.CID()
	if err == nil && got != v.cid {
		err = DigestMismatch(v.cid, got)
	}
	return err
}

// LengthMismatch is the error for a body that is longer or shorter than its
// CID says; actual is what was seen of it.
func LengthMismatch(expected, actual int64) error {
	return &Error{
		Op: "storage.Put", Kind: KindInvalid, Code: "hash_mismatch",
		Details: map[string]any{"reason": "length", "expected": expected, "actual": actual},
	}
}

// DigestMismatch is the error for a body of the right length that its CID does not name.
func DigestMismatch(expected, actual CID) error {
	return &Error{
		Op: "storage.Put", Kind: KindInvalid, Code: "hash_mismatch",
		Details: map[string]any{"reason": "digest", "expected": expected.String(), "actual": actual.String()},
	}
}

// Verify reads a whole copy and holds it against its CID's own digest, not only
// against its checksums. KindCorrupt: it is wrong, and quarantined from here
// on. The bool is false when no copy is held.
//
// Blocks that lie in the block cache are taken from there.
func (s *Store) Verify(ctx context.Context, cid CID) (bool, error) {
	r, err := s.Open(ctx, cid, 0, -1)
	switch {
	case err != nil && KindOf(err) == KindNotFound:
		return false, nil
	case err != nil:
		return false, err
	}
	defer func() { _ = r.Close() }()
	r.scrub = true
	hash := NewHasher()
	if _, err := r.WriteTo(hash); err != nil {
		return false, err
	}
	got, err := hash.CID()
	if err == nil && got != cid {
		err = DigestMismatch(cid, got)
	}
	if err != nil {
		return false, s.corrupt(cid, err)
	}
	if err := s.verifyLead(cid); err != nil {
		return false, err
	}
	return true, nil
}

// verifyLead reads the block that no reader of content needs and every list
// passes. Older tables are without it.
func (s *Store) verifyLead(cid CID) error {
	if s.lay.class(cid.Size()) != classLarge {
		return nil
	}
	key := s.lay.leadKey(cid)
	err := s.get(cid, key, func(v []byte) error {
		_, err := unseal(key, v)
		return err
	})
	switch {
	case err == nil, errors.Is(err, pebble.ErrNotFound):
		return nil
	case pebble.IsCorruptionError(err), errors.Is(err, errBadCRC):
		return s.corrupt(cid, err)
	}
	return E("storage.Verify", KindInternal, err)
}
