package paste69

import (
	"bufio"
	"errors"
	"io"
	"unicode/utf8"
)

// scanner reads a body that is text, a character at a time where it has to and
// in runs where it can. What is not UTF-8 is malformed.
type scanner struct {
	r    *bufio.Reader
	form string // for errors
}

const scanBuffer = 32 << 10

func newScanner(r io.Reader, form string) scanner {
	return scanner{r: bufio.NewReaderSize(r, scanBuffer), form: form}
}

func (s *scanner) bad(what string) error { return malformed(s.form, what) }

// rune returns the next character; io.EOF at the end of the body.
func (s *scanner) rune() (rune, error) {
	c, size, err := s.r.ReadRune()
	if err == nil && c == utf8.RuneError && size == 1 {
		return 0, s.bad("not UTF-8")
	}
	return c, err
}

// must is rune where the body may not end.
func (s *scanner) must() (rune, error) {
	c, err := s.rune()
	return c, s.notEnd(err)
}

func (s *scanner) notEnd(err error) error {
	if errors.Is(err, io.EOF) {
		return s.bad("ends too early")
	}
	return err
}

func (s *scanner) back() { _ = s.r.UnreadRune() } // after rune or must only

// expect reads a text that must stand there.
func (s *scanner) expect(text string) error {
	for _, want := range text {
		switch c, err := s.must(); {
		case err != nil:
			return err
		case c != want:
			return s.bad("wants " + text)
		}
	}
	return nil
}

// space skips white space, and returns the character after it, unread; 0 at
// the end of the body.
func (s *scanner) space() (rune, error) {
	for {
		switch c, err := s.rune(); {
		case errors.Is(err, io.EOF):
			return 0, nil
		case err != nil:
			return 0, err
		case c != ' ' && c != '\t' && c != '\n' && c != '\r':
			s.back()
			return c, nil
		}
	}
}

// ahead reports whether a text comes next; it stays unread.
func (s *scanner) ahead(text string) (bool, error) {
	b, err := s.r.Peek(len(text))
	if err != nil && !errors.Is(err, io.EOF) {
		return false, err
	}
	return string(b) == text, nil
}

// run copies characters as long as they are plain; none is no error.
func (s *scanner) run(p []byte, plain *[256]bool) (int, error) {
	b, err := s.r.Peek(1)
	if len(b) == 0 {
		return 0, err
	}
	b, _ = s.r.Peek(min(s.r.Buffered(), len(p)))
	n := 0
	for n < len(b) && plain[b[n]] {
		n++
	}
	copy(p, b[:n])
	_, _ = s.r.Discard(n) // they are buffered
	return n, nil
}

// plainBytes is a table of the bytes that stand for themselves.
func plainBytes(from, to int, but string) *[256]bool {
	var plain [256]bool
	for c := from; c <= to; c++ {
		plain[c] = true
	}
	for i := range len(but) {
		plain[but[i]] = false
	}
	return &plain
}

// textReader is the value of a field, decoded as it is read: step decodes some
// more into p, which has room for at least utf8.UTFMax bytes.
type textReader struct {
	step func(p []byte) (int, error)
	kept []byte // decoded, and too much for the last Read
	err  error
}

// Read decodes until p has no room for another character.
func (t *textReader) Read(p []byte) (int, error) {
	if len(t.kept) == 0 && len(p) < utf8.UTFMax && len(p) > 0 {
		var few [utf8.UTFMax]byte
		n := t.fill(few[:])
		t.kept = append(t.kept, few[:n]...)
	}
	if len(t.kept) > 0 {
		n := copy(p, t.kept)
		t.kept = t.kept[n:]
		return n, nil
	}
	if n := t.fill(p); n > 0 || len(p) == 0 {
		return n, nil
	}
	return 0, t.err
}

func (t *textReader) fill(p []byte) int {
	n := 0
	for t.err == nil && len(p)-n >= utf8.UTFMax {
		var more int
		more, t.err = t.step(p[n:])
		n += more
	}
	return n
}
