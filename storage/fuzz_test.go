package storage

import (
	"bytes"
	"encoding/base64"
	"errors"
	"regexp"
	"testing"
)

var cidAlphabet = regexp.MustCompile(`^[A-Za-z0-9_-]*$`)

// slowParse is the format's parse steps over again, plainly.
func slowParse(s string) (content []byte, want error) {
	switch {
	case !cidAlphabet.MatchString(s[:min(len(s), 95)]):
		return nil, CIDBadCharacter
	case len(s) < 8:
		return nil, CIDTooShort
	case len(s) > 94:
		return nil, CIDTooLong
	}
	length, _ := base64.RawURLEncoding.DecodeString(s[:8])
	n := 0
	for _, b := range length {
		n = n<<8 | int(b)
	}
	chars := 86
	if n <= 64 {
		chars = (4*n + 2) / 3
	}
	if len(s)-8 != chars {
		return nil, CIDBadPayloadLength
	}
	payload, _ := base64.RawURLEncoding.DecodeString(s[8:])
	if base64.RawURLEncoding.EncodeToString(payload) != s[8:] {
		return nil, CIDNotCanonical
	}
	return payload, nil
}

func FuzzParseCID(f *testing.F) {
	for _, v := range cidVectors {
		f.Add(v.cid)
	}
	for _, v := range nameVectors {
		f.Add(v.cid)
	}
	for _, v := range rejectVectors {
		f.Add(v.text)
	}
	f.Fuzz(func(t *testing.T, s string) {
		payload, want := slowParse(s)
		c, err := ParseCID(s)
		if !errors.Is(err, want) {
			t.Fatalf("ParseCID(%q) = %v, want %v", s, err, want)
		}
		if err != nil {
			return
		}
		if c.String() != s {
			t.Fatalf("%q parses as %v", s, c)
		}
		if c.Inline() && !bytes.Equal(c.Content(), payload) {
			t.Fatalf("%q is the content %q", s, c.Content())
		}
		checkCIDForms(t, c)
	})
}

func FuzzHasher(f *testing.F) {
	for _, v := range cidVectors[:15] {
		f.Add(v.content, uint16(1), uint16(64))
	}
	f.Fuzz(func(t *testing.T, content []byte, cut1, cut2 uint16) {
		h := NewHasher()
		rest := content
		for _, cut := range []uint16{cut1, cut2} {
			part := rest[:min(int(cut), len(rest))]
			if n, err := h.Write(part); n != len(part) || err != nil {
				t.Fatalf("Write = %d, %v", n, err)
			}
			rest = rest[len(part):]
			if _, err := h.CID(); err != nil { // asking does not disturb
				t.Fatal(err)
			}
		}
		_, _ = h.Write(rest)
		c, err := h.CID()
		if err != nil || c != SumCID(content) || h.Size() != int64(len(content)) {
			t.Fatalf("hasher says %v, %v; sum is %v", c, err, SumCID(content))
		}
		if parsed, err := ParseCID(c.String()); err != nil || parsed != c {
			t.Fatalf("ParseCID = %v, %v", parsed, err)
		}
	})
}

func FuzzCIDFromBinary(f *testing.F) {
	for _, v := range cidVectors[:16] {
		b, _ := SumCID(v.content).MarshalBinary()
		f.Add(b)
	}
	f.Add([]byte{0, 0, 0, 0, 0, 65})
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := CIDFromBinary(b)
		if n := CIDBinaryLen(b); err == nil && n != len(b) {
			t.Fatalf("read all of %d bytes, CIDBinaryLen = %d", len(b), n)
		}
		if err != nil {
			return
		}
		if again, _ := c.MarshalBinary(); !bytes.Equal(again, b) {
			t.Fatalf("%x is read as %x", b, again)
		}
		checkCIDForms(t, c)
	})
}
