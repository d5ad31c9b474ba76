package paste69

import (
	"strings"
	"unicode/utf8"

	"github.com/gabriel-vasile/mimetype"
)

// sniffMax is how many bytes decide about a type.
const sniffMax = 3072

// sniffed is what the first bytes say.
type sniffed struct {
	mediaType string // without parameters
	extension string // "" for none
	text      bool
}

func sniff(head []byte) sniffed {
	// The package has one limit for the program, and takes less than that for
	// a whole file: JSON that is cut off would be none.
	mimetype.SetLimit(sniffMax)
	found := mimetype.Detect(head[:min(len(head), sniffMax)])
	s := sniffed{extension: found.Extension()}
	s.mediaType, _, _ = strings.Cut(found.String(), ";")
	for m := found; m != nil; m = m.Parent() {
		s.text = s.text || m.Is("text/plain")
	}
	return s
}

// utf8Checker tells whether a stream is valid UTF-8.
type utf8Checker struct {
	tail    [utf8.UTFMax]byte // a character that is not complete yet
	n       int
	invalid bool
}

func (u *utf8Checker) write(p []byte) {
	for u.n > 0 && len(p) > 0 && !u.invalid {
		u.tail[u.n] = p[0]
		u.n++
		p = p[1:]
		if utf8.FullRune(u.tail[:u.n]) {
			u.invalid = !utf8.Valid(u.tail[:u.n])
			u.n = 0
		}
	}
	if u.invalid || len(p) == 0 {
		return
	}
	whole := len(p)
	for back := 1; back < utf8.UTFMax && back <= len(p); back++ {
		if i := len(p) - back; utf8.RuneStart(p[i]) {
			if !utf8.FullRune(p[i:]) {
				whole = i
			}
			break
		}
	}
	u.invalid = !utf8.Valid(p[:whole])
	u.n = copy(u.tail[:], p[whole:])
}

func (u *utf8Checker) valid() bool { return !u.invalid && u.n == 0 }
