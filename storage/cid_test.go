package storage

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// sequence returns the bytes 0 to n-1.
func sequence(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i)
	}
	return b
}

// cidVectors are contents and the CIDs that the format gives them.
var cidVectors = []struct {
	name    string
	content []byte
	cid     string
}{
	{"A1 empty", []byte(""), "AAAAAAAA"},
	{"A2 one letter", []byte("A"), "AAAAAAABQQ"},
	{"A3 NUL", []byte("\x00"), "AAAAAAABAA"},
	{"A4 0xff", []byte("\xff"), "AAAAAAAB_w"},
	{"A5 CR LF", []byte("\r\n"), "AAAAAAACDQo"},
	{"A6 both url characters", []byte("\xfb\xff\xbf"), "AAAAAAAD-_-_"},
	{"A7 hello", []byte("hello"), "AAAAAAAFaGVsbG8"},
	{"A8 16 bytes", sequence(16), "AAAAAAAQAAECAwQFBgcICQoLDA0ODw"},
	{"A9 63 bytes", bytes.Repeat([]byte("x"), 63), "AAAAAAA_eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4"},
	{"A10 64 bytes", bytes.Repeat([]byte("x"), 64), "AAAAAABAeHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eA"},
	{"A11 64 times 0xff", bytes.Repeat([]byte{0xff}, 64), "AAAAAABA_____________________________________________________________________________________w"},
	{"A12 65 bytes", bytes.Repeat([]byte("x"), 65), "AAAAAABBRg2doReeYM-O5F0saH5FyWNhHN-H0k8AblA2CN3yhjRM_9xtTs3FjuawqoPa1iVinkuwwisBYRNepTWXpBBoUA"},
	{"A13 65 NULs", make([]byte, 65), "AAAAAABBGdxq4S3giyGzbB7H81POnnzvc_pNE1TENiNBZ_CEe8niuF4vNiCPdz7zJOLXnmrxvspEcORLhnK0fQd-_jOh-A"},
	{"A14 256 bytes", sequence(256), "AAAAAAEAHnuAvI7cVSyP7rJ4DhEUd-W8cEZfrBp3sps1mAw_DOSgNqbJRiA2gkvVaAHmKvfp_rpcIu2KWvh3v33hF9ysbQ"},
	{"A15 1 KiB", bytes.Repeat([]byte("x"), 1024), "AAAAAAQA-kHseDNC1MI-e2VQ8eluMqFiaeOQRJ5f3aYPBWEeywjdVqW4zekAJLfak0zbmpzIyKMQ6yDiUidpm79lGOIzYA"},
	{"A16 100 kB", bytes.Repeat([]byte("a"), 100000), "AAAAAYagx2ZP8Yu--lho0eujhjcIetcOY4ABP1L0zj3UqYvr1JNTzkC-Hf3a0iWbrNx70Q6Y1EpqaNXRCRvNVbR--1zVDg"},
	{"A17 1 MiB", make([]byte, 1<<20), "AAAAEAAA1ikmhbOA4zjgJbNBWpD-j505pG5726jLeMUKM4zvynQfaeTkZBHDLeGv3t-yaOV5pR-B_4Xlb1Ww7nwz_owlyQ"},
	{"A18 above 16 MiB", make([]byte, 16777217), "AAABAAABBLCbJw161U_Q476FaS0p0K5Pi8Guo9LFJGDAGTphy4QmU3Yhhy4J3oYbaLy2tnxr11qOJ2NtA7AwfpaFXHv76A"},
}

// nameVectors are names of contents that nobody knows.
var nameVectors = []struct {
	name string
	size int64
	cid  string
}{
	{"A19 digest all zero", 65, "AAAAAABB" + strings.Repeat("A", 86)},
	{"A20 above the upload maximum", 5368709121, "AAFAAAAB" + strings.Repeat("A", 86)},
	{"A21 the format's maximum", ContentMax, "________" + strings.Repeat("A", 86)},
}

var rejectVectors = []struct {
	name string
	text string
	want CIDError
}{
	{"R1 empty", "", CIDTooShort},
	{"R2 seven characters", "AAAAAAA", CIDTooShort},
	{"R3 padding", "AAAAAAABQQ==", CIDBadCharacter},
	{"R4 padding", "AAAAAAAFaGVsbG8=", CIDBadCharacter},
	{"R5 LF inside", "AAAAAAAFaGVs\nbG8", CIDBadCharacter},
	{"R6 CR LF at the end", "AAAAAAAFaGVsbG8\r\n", CIDBadCharacter},
	{"R7 leading space", " AAAAAAABQQ", CIDBadCharacter},
	{"R8 standard alphabet", "AAAAAAAB/w", CIDBadCharacter},
	{"R9 extension", "AAAAAAABQQ.txt", CIDBadCharacter},
	{"R10 NUL", "AAAAAAABQ\x00", CIDBadCharacter},
	{"R11 not ASCII", "AAAAAAABQ\u00e9", CIDBadCharacter},
	{"R12 illustration", "00000123...", CIDBadCharacter},
	{"R13 illustration without dots", "00000123", CIDBadPayloadLength},
	{"R14 maximum without digest", "________", CIDBadPayloadLength},
	{"R15 no payload", "AAAAAAAB", CIDBadPayloadLength},
	{"R16 one character of payload", "AAAAAAABQ", CIDBadPayloadLength},
	{"R17 two bytes for one", "AAAAAAABQUE", CIDBadPayloadLength},
	{"R18 one byte for none", "AAAAAAAAQQ", CIDBadPayloadLength},
	{"R19 lower case", "aaaaaaabqq", CIDBadPayloadLength},
	{"R20 digest of hello", "AAAAAAAFm3HSJL1i83hdltRq0-o9czGb-8KJDKra4t_3JRlnPKcjI8PZm6XBHXx6zG4UuMXaDEZjR1wuXDre9G9zvN7AQw", CIDBadPayloadLength},
	{"R21 64 needs 86", "AAAAAABA" + strings.Repeat("A", 85), CIDBadPayloadLength},
	{"R22 65 needs 86", "AAAAAABB" + strings.Repeat("A", 85), CIDBadPayloadLength},
	{"R23 95 characters", "AAAAAABB" + strings.Repeat("A", 87), CIDTooLong},
	{"R24 alias of A2", "AAAAAAABQR", CIDNotCanonical},
	{"R25 alias of A2", "AAAAAAABQf", CIDNotCanonical},
	{"R26 alias of A5", "AAAAAAACDQp", CIDNotCanonical},
	{"R27 alias of A11", "AAAAAABA" + strings.Repeat("_", 85) + "x", CIDNotCanonical},
	{"R28 alias of A19", "AAAAAABB" + strings.Repeat("A", 85) + "B", CIDNotCanonical},
	// The order of the checks, and how far they look.
	{"bad character before too short", "A A", CIDBadCharacter},
	{"bad character 95 before too long", strings.Repeat("A", 94) + ".", CIDBadCharacter},
	{"bad character 96 is not looked at", strings.Repeat("A", 95) + ".", CIDTooLong},
}

func TestCIDVectors(t *testing.T) {
	t.Parallel()
	for _, v := range cidVectors {
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			c, err := ParseCID(v.cid)
			if err != nil {
				t.Fatalf("ParseCID(%q): %v", v.cid, err)
			}
			if sum := SumCID(v.content); sum != c || sum.String() != v.cid {
				t.Errorf("SumCID = %v, want %v", sum, v.cid)
			}
			if c.Size() != int64(len(v.content)) {
				t.Errorf("Size() = %d, want %d", c.Size(), len(v.content))
			}
			if inline := len(v.content) <= InlineMax; c.Inline() != inline {
				t.Errorf("Inline() = %t", c.Inline())
			} else if inline && !bytes.Equal(c.Content(), v.content) {
				t.Errorf("Content() = %q", c.Content())
			} else if !inline && c.Content() != nil {
				t.Errorf("Content() = %q for hashed content", c.Content())
			}
		})
	}
}

func TestCIDNamesOfUnknownContent(t *testing.T) {
	t.Parallel()
	for _, v := range nameVectors {
		c, err := ParseCID(v.cid)
		if err != nil {
			t.Errorf("%s: %v", v.name, err)
			continue
		}
		if c.Size() != v.size || c.String() != v.cid || c.Inline() || c.Digest() != [64]byte{} {
			t.Errorf("%s: got size %d, name %v", v.name, c.Size(), c)
		}
	}
}

func TestParseCIDRejects(t *testing.T) {
	t.Parallel()
	texts := map[string]bool{}
	for _, v := range rejectVectors {
		c, err := ParseCID(v.text)
		if !errors.Is(err, v.want) {
			t.Errorf("%s: ParseCID(%q) = %v, want %v", v.name, v.text, err, v.want)
		}
		if c != (CID{}) {
			t.Errorf("%s: a CID comes with the error", v.name)
		}
		texts[v.want.Error()] = true
	}
	for _, want := range []string{
		"cid: bad character", "cid: too short", "cid: too long", "cid: payload does not fit length", "cid: not canonical",
	} {
		if !texts[want] {
			t.Errorf("no vector fails with %q", want)
		}
	}
}

// A lax decoder reads sixteen strings as one byte; one of them is its name.
func TestParseCIDHasNoAliases(t *testing.T) {
	t.Parallel()
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	for _, v := range cidVectors[1:] {
		accepted := 0
		for i := range len(alphabet) {
			text := v.cid[:len(v.cid)-1] + alphabet[i:i+1]
			if c, err := ParseCID(text); err == nil {
				accepted++
				if c.String() != text {
					t.Errorf("%q parses as %v", text, c)
				}
			} else if !errors.Is(err, CIDNotCanonical) {
				t.Errorf("%q: %v", text, err)
			}
		}
		payload := min(len(v.content), 64)
		if want := []int{64, 4, 16}[payload%3]; accepted != want {
			t.Errorf("%s: %d last characters are accepted, want %d", v.name, accepted, want)
		}
	}
}

// drawContent draws content around the sizes where the format changes.
func drawContent(t *rapid.T, label string) []byte {
	sizes := rapid.OneOf(rapid.IntRange(0, 3), rapid.IntRange(62, 67), rapid.IntRange(0, 300))
	n := sizes.Draw(t, label+" size")
	return rapid.SliceOfN(rapid.Byte(), n, n).Draw(t, label)
}

func TestCIDLaws(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		a, b := drawContent(t, "a"), drawContent(t, "b")
		c, d := SumCID(a), SumCID(b)
		if (c == d) != bytes.Equal(a, b) || (c.String() == d.String()) != (c == d) {
			t.Fatal("CIDs are equal other than their contents")
		}
		parsed, err := ParseCID(c.String())
		if err != nil || parsed != c || parsed.Size() != int64(len(a)) {
			t.Fatalf("ParseCID(SumCID) = %v, %v", parsed, err)
		}
		checkCIDForms(t, c)
		cb, _ := c.MarshalBinary()
		db, _ := d.MarshalBinary()
		if c.Compare(d) != bytes.Compare(cb, db) || c.Compare(d) != -d.Compare(c) || (c.Compare(d) == 0) != (c == d) {
			t.Fatal("Compare is not the order of the binary forms")
		}
		if c != d && bytes.HasPrefix(cb, db) {
			t.Fatal("one binary form is a prefix of another one")
		}
		if c.Digest() != hashedDigest(a) {
			t.Fatal("Digest is not the SHA-512 of the content")
		}
		if p := c.Partition(); p != int(c.Digest()[0])<<2|int(c.Digest()[1])>>6 || p >= Partitions {
			t.Fatalf("partition %d", p)
		}
	})
}

// hashedDigest gets a digest out of the package by the other way: a hasher's state.
func hashedDigest(b []byte) [64]byte {
	h := NewHasher()
	_, _ = h.Write(b)
	return [64]byte(h.sum.Sum(nil))
}

// checkCIDForms takes a CID through all its forms and back.
func checkCIDForms(t interface{ Fatalf(string, ...any) }, c CID) {
	if h, ok := t.(interface{ Helper() }); ok {
		h.Helper()
	}
	if len(c.String()) < 8 || len(c.String()) > 94 {
		t.Fatalf("%v has %d characters", c, len(c.String()))
	}
	var fromJSON, fromBinary CID
	text, err := json.Marshal(c)
	if err == nil {
		err = json.Unmarshal(text, &fromJSON)
	}
	if err != nil || fromJSON != c {
		t.Fatalf("text form: %v, %v", fromJSON, err)
	}
	b, err := c.MarshalBinary()
	if err == nil {
		err = fromBinary.UnmarshalBinary(b)
	}
	if err != nil || fromBinary != c {
		t.Fatalf("binary form: %v, %v", fromBinary, err)
	}
	if n := CIDBinaryLen(append(slices.Clone(b), 1, 2, 3)); n != len(b) {
		t.Fatalf("CIDBinaryLen = %d, want %d", n, len(b))
	}
	if _, err := CIDFromBinary(append(slices.Clone(b), 0)); !errors.Is(err, CIDBadPayloadLength) {
		t.Fatalf("one byte too many: %v", err)
	}
	if _, err := CIDFromBinary(b[:len(b)-1]); err == nil {
		t.Fatalf("a cut binary form is read")
	}
}

func TestCIDFormsReject(t *testing.T) {
	t.Parallel()
	c := SumCID([]byte("kept"))
	was := c
	if err := c.UnmarshalText([]byte("AAAAAAABQR")); !errors.Is(err, CIDNotCanonical) {
		t.Errorf("UnmarshalText: %v", err)
	}
	if err := c.UnmarshalBinary([]byte{0, 0, 0, 0, 0}); !errors.Is(err, CIDTooShort) {
		t.Errorf("UnmarshalBinary: %v", err)
	}
	if c != was {
		t.Error("a failed read changed the CID")
	}
	if n := CIDBinaryLen(make([]byte, 5)); n != -1 {
		t.Errorf("CIDBinaryLen of 5 bytes = %d", n)
	}
}

// The zero CID is the name of empty content, and Content is a copy.
func TestCIDValue(t *testing.T) {
	t.Parallel()
	if SumCID(nil) != (CID{}) || (CID{}).String() != "AAAAAAAA" || (CID{}).Content() == nil {
		t.Error("the zero CID does not name empty content")
	}
	c := SumCID([]byte("abc"))
	c.Content()[0] = 'x'
	if string(c.Content()) != "abc" {
		t.Error("Content lends its bytes")
	}
}

func TestHasherReset(t *testing.T) {
	t.Parallel()
	h := NewHasher()
	for _, v := range cidVectors[:16] {
		h.Reset()
		_, _ = h.Write(v.content)
		c, err := h.CID()
		if err != nil || c.String() != v.cid || h.Size() != int64(len(v.content)) {
			t.Errorf("%s after Reset: %v, %v", v.name, c, err)
		}
	}
}

func TestHasherPastTheFormat(t *testing.T) {
	t.Parallel()
	h := NewHasher()
	h.size = ContentMax
	if _, err := h.CID(); err != nil {
		t.Errorf("at the maximum: %v", err)
	}
	_, _ = h.Write([]byte{0})
	if _, err := h.CID(); KindOf(err) != KindTooLarge {
		t.Errorf("above the maximum: %v", err)
	}
}

// Logs tell contents apart, and neither show one nor lead to it.
func TestLogsHoldNoCID(t *testing.T) {
	t.Parallel()
	names := map[string]bool{}
	for _, content := range []string{"", "a secret", "another one", strings.Repeat("long ", 50), strings.Repeat("longer ", 50)} {
		cid := SumCID([]byte(content))
		var b bytes.Buffer
		slog.New(slog.NewTextHandler(&b, nil)).Info("a line", "blob", cid)
		if strings.Contains(b.String(), cid.String()) || content != "" && strings.Contains(b.String(), content) {
			t.Errorf("%q is told: %s", content, b.String())
		}
		_, name, found := strings.Cut(strings.TrimSpace(b.String()), " blob=")
		if !found || len(name) != 2*logNameBytes || names[name] {
			t.Errorf("%q is called %q", content, name)
		}
		names[name] = true
	}
}

func TestParseCIDDoesNotAllocate(t *testing.T) { //nolint:paralleltest // AllocsPerRun counts what others allocate as well
	for _, v := range cidVectors {
		if n := testing.AllocsPerRun(10, func() { _, _ = ParseCID(v.cid) }); n != 0 {
			t.Errorf("%s: %v allocations", v.name, n)
		}
	}
}

func BenchmarkSumCID(b *testing.B) {
	for _, size := range []struct {
		name  string
		bytes int
	}{{"64B", 64}, {"65B", 65}, {"1KiB", 1 << 10}, {"1MiB", 1 << 20}} {
		b.Run(size.name, func(b *testing.B) {
			content := make([]byte, size.bytes)
			b.SetBytes(int64(size.bytes))
			b.ReportAllocs()
			for b.Loop() {
				_ = SumCID(content)
			}
		})
	}
}

func BenchmarkParseCID(b *testing.B) {
	for _, v := range cidVectors[9:12] {
		b.Run(v.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := ParseCID(v.cid); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
