package storage

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"
	"log/slog"
)

// Sizes of the 256t format. A CID is LENGTH, the content's size as six
// big-endian bytes, and PAYLOAD: the content itself up to InlineMax bytes, its
// SHA-512 above that; both in base64url without padding.
const (
	// InlineMax is the size in bytes up to which content is its own name.
	InlineMax = 64
	// ContentMax is the largest size in bytes that the format can name.
	ContentMax = 1<<48 - 1

	lengthBytes  = 6
	lengthChars  = 8
	digestChars  = 86
	cidCharsMax  = lengthChars + digestChars
	cidBinaryMax = lengthBytes + sha512.Size
)

// CID names content by its bytes. It is a comparable value, good as a map key;
// two contents have one CID exactly when they are equal. Only [ParseCID],
// [SumCID], [CIDFromBinary] and [Hasher] make one. The zero CID is the name of
// empty content.
type CID struct {
	size    uint64
	payload [sha512.Size]byte // the content, zero-padded, or its digest
}

// CIDError is why a string is not a CID. Values are the reasons of the 256t
// contract, one for each string that does not parse.
type CIDError string

// The reasons, in the order in which they are looked for.
//
//nolint:errname // reasons of one error type, named after it
const (
	CIDBadCharacter     CIDError = "bad_character"
	CIDTooShort         CIDError = "too_short"
	CIDTooLong          CIDError = "too_long"
	CIDBadPayloadLength CIDError = "bad_payload_length"
	CIDNotCanonical     CIDError = "not_canonical"
)

// Error returns the reason in words.
func (e CIDError) Error() string {
	switch e {
	case CIDBadCharacter:
		return "cid: bad character"
	case CIDTooShort:
		return "cid: too short"
	case CIDTooLong:
		return "cid: too long"
	case CIDBadPayloadLength:
		return "cid: payload does not fit length"
	case CIDNotCanonical:
		return "cid: not canonical"
	}
	return "cid: " + string(e)
}

var (
	cidText       = base64.RawURLEncoding
	cidTextStrict = base64.RawURLEncoding.Strict()
)

// ParseCID reads a CID. The string must be the one canonical form: nothing is
// trimmed, cut or converted. The error is a [CIDError]. It does not allocate
// on success.
func ParseCID(s string) (CID, error) {
	// The alphabet comes first: the decoder itself skips CR and LF.
	for i := 0; i < len(s) && i <= cidCharsMax; i++ {
		if !isCIDChar(s[i]) {
			return CID{}, CIDBadCharacter
		}
	}
	switch {
	case len(s) < lengthChars:
		return CID{}, CIDTooShort
	case len(s) > cidCharsMax:
		return CID{}, CIDTooLong
	}
	var text [cidCharsMax]byte
	copy(text[:], s)
	var length [8]byte
	if _, err := cidTextStrict.Decode(length[2:], text[:lengthChars]); err != nil {
		return CID{}, CIDNotCanonical
	}
	c := CID{size: binary.BigEndian.Uint64(length[:])}
	if len(s)-lengthChars != payloadChars(c.size) {
		return CID{}, CIDBadPayloadLength
	}
	if _, err := cidTextStrict.Decode(c.payload[:], text[lengthChars:len(s)]); err != nil {
		return CID{}, CIDNotCanonical
	}
	return c, nil
}

func isCIDChar(b byte) bool {
	return b >= 'A' && b <= 'Z' || b >= 'a' && b <= 'z' || b >= '0' && b <= '9' || b == '-' || b == '_'
}

func payloadChars(size uint64) int {
	if size > InlineMax {
		return digestChars
	}
	return cidText.EncodedLen(int(size))
}

// SumCID returns the CID of content.
func SumCID(content []byte) CID {
	c := CID{size: uint64(len(content))}
	if len(content) <= InlineMax {
		copy(c.payload[:], content)
		return c
	}
	c.payload = sha512.Sum512(content)
	return c
}

// CIDFromBinary reads the form that [CID.AppendBinary] writes. The error is a
// [CIDError]: bytes that are not a CID where one must be are corruption.
func CIDFromBinary(b []byte) (CID, error) {
	if len(b) < lengthBytes {
		return CID{}, CIDTooShort
	}
	var length [8]byte
	copy(length[2:], b[:lengthBytes])
	c := CID{size: binary.BigEndian.Uint64(length[:])}
	if len(b)-lengthBytes != c.payloadBytes() {
		return CID{}, CIDBadPayloadLength
	}
	copy(c.payload[:], b[lengthBytes:])
	return c, nil
}

// Size returns the content's size in bytes, 0 to [ContentMax].
func (c CID) Size() int64 { return int64(c.size) }

// Inline reports whether the CID is the content: such content is never stored.
func (c CID) Inline() bool { return c.size <= InlineMax }

// Content returns a copy of the content of an inline CID, and nil for another.
func (c CID) Content() []byte {
	if !c.Inline() {
		return nil
	}
	return bytes.Clone(c.payload[:c.size:c.size])
}

// Digest returns the SHA-512 of the content: the one that a hashed CID holds,
// computed for an inline one.
func (c CID) Digest() [sha512.Size]byte {
	if c.Inline() {
		return sha512.Sum512(c.payload[:c.size])
	}
	return c.payload
}

func (c CID) payloadBytes() int {
	if c.Inline() {
		return int(c.size)
	}
	return sha512.Size
}

// String returns the CID's one textual form.
func (c CID) String() string {
	var b [cidCharsMax]byte
	return string(c.appendText(b[:0]))
}

// logNameBytes is the length of a CID's name in logs: it tells the blobs of a
// cluster apart.
const logNameBytes = 8

// LogValue is what logs call the content: the head of a hash of its CID. A CID
// may hold the content, and leads to it where it is public; a log must do neither.
func (c CID) LogValue() slog.Value {
	var b [cidBinaryMax]byte
	bin, _ := c.AppendBinary(b[:0])
	sum := sha256.Sum256(bin)
	return slog.StringValue(hex.EncodeToString(sum[:logNameBytes]))
}

func (c CID) appendText(b []byte) []byte {
	var length [8]byte
	binary.BigEndian.PutUint64(length[:], c.size)
	b = cidText.AppendEncode(b, length[2:])
	return cidText.AppendEncode(b, c.payload[:c.payloadBytes()])
}

// AppendBinary appends the CID as LENGTH and PAYLOAD in bytes, 6 to 70 of them.
// The form sorts by size, then by payload; no form is a prefix of another one.
func (c CID) AppendBinary(b []byte) ([]byte, error) {
	var length [8]byte
	binary.BigEndian.PutUint64(length[:], c.size)
	b = append(b, length[2:]...)
	return append(b, c.payload[:c.payloadBytes()]...), nil
}

// MarshalBinary returns the form of AppendBinary.
func (c CID) MarshalBinary() ([]byte, error) { return c.AppendBinary(nil) }

// UnmarshalBinary reads the form of AppendBinary.
func (c *CID) UnmarshalBinary(b []byte) error {
	v, err := CIDFromBinary(b)
	if err != nil {
		return err
	}
	*c = v
	return nil
}

// MarshalText returns the form of String.
func (c CID) MarshalText() ([]byte, error) { return c.appendText(nil), nil }

// UnmarshalText reads the form of String, as ParseCID does.
func (c *CID) UnmarshalText(b []byte) error {
	v, err := ParseCID(string(b))
	if err != nil {
		return err
	}
	*c = v
	return nil
}

// Compare orders CIDs as their binary forms are ordered.
func (c CID) Compare(d CID) int {
	switch {
	case c.size < d.size:
		return -1
	case c.size > d.size:
		return 1
	}
	return bytes.Compare(c.payload[:], d.payload[:])
}

// Hasher computes the CID of what is written to it, in one pass and without
// keeping more than the first InlineMax bytes.
type Hasher struct {
	sum   hash.Hash
	size  uint64
	first [InlineMax]byte
}

// NewHasher returns a Hasher that has seen nothing.
func NewHasher() *Hasher { return &Hasher{sum: sha512.New()} }

// Write never fails; content past ContentMax has no CID and fails in CID.
func (h *Hasher) Write(p []byte) (int, error) {
	if h.size < InlineMax {
		copy(h.first[h.size:], p)
	}
	h.size += uint64(len(p))
	return h.sum.Write(p) //nolint:wrapcheck // a hash never fails
}

// Size returns the bytes seen so far.
func (h *Hasher) Size() int64 { return int64(h.size) }

// CID returns the name of what was written so far.
func (h *Hasher) CID() (CID, error) {
	if h.size > ContentMax {
		return CID{}, E("storage.Hasher", KindTooLarge, fmt.Errorf("%d bytes have no CID", h.size))
	}
	c := CID{size: h.size}
	if c.Inline() {
		copy(c.payload[:], h.first[:h.size])
		return c, nil
	}
	h.sum.Sum(c.payload[:0])
	return c, nil
}

// Reset forgets what was written.
func (h *Hasher) Reset() {
	h.sum.Reset()
	h.size = 0
}

// CIDBinaryLen returns the length of the binary CID that b begins with, or -1
// when b is too short to tell.
func CIDBinaryLen(b []byte) int {
	if len(b) < lengthBytes {
		return -1
	}
	var length [8]byte
	copy(length[2:], b[:lengthBytes])
	return lengthBytes + CID{size: binary.BigEndian.Uint64(length[:])}.payloadBytes()
}
