package paste69

import (
	"errors"
	"io"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// nestMax bounds how deep lists and objects lie in each other.
const nestMax = 1000

// jsonFields are the members of a JSON object. Its strings are decoded as they
// are read: one of them may be a whole file. Members that are null are left out.
type jsonFields struct {
	scanner

	open  bool
	value *textReader // of the member before
}

func newJSONFields(r io.Reader) *jsonFields { return &jsonFields{scanner: newScanner(r, "JSON")} }

func (j *jsonFields) next() (*field, error) {
	for {
		more, err := j.comma()
		if err != nil {
			return nil, err
		}
		if !more {
			return nil, j.end()
		}
		f, err := j.member()
		if f != nil || err != nil {
			return f, err
		}
	}
}

// comma goes to the next member; false is the end of the object.
func (j *jsonFields) comma() (bool, error) {
	if j.value != nil {
		if err := skip(j.value); err != nil {
			return false, err
		}
		j.value = nil
	}
	first := !j.open
	if first {
		if err := j.sign('{'); err != nil {
			return false, err
		}
		j.open = true
	}
	c, err := j.token()
	switch {
	case err != nil:
		return false, err
	case c == '}':
		return false, j.expect("}")
	case first:
		return true, nil
	}
	return true, j.sign(',')
}

// end makes sure that nothing follows.
func (j *jsonFields) end() error {
	if c, err := j.space(); err != nil {
		return err
	} else if c != 0 {
		return j.bad("text after the object")
	}
	if _, err := j.rune(); !errors.Is(err, io.EOF) { // a NUL, which looks like the end
		return j.bad("text after the object")
	}
	return io.EOF
}

// token skips white space, and returns the character after it, unread.
func (j *jsonFields) token() (rune, error) {
	c, err := j.space()
	if err == nil && c == 0 {
		err = j.bad("ends too early")
	}
	return c, err
}

// sign reads white space and one character.
func (j *jsonFields) sign(want rune) error {
	if _, err := j.space(); err != nil {
		return err
	}
	return j.expect(string(want))
}

// member reads a name and what kind of value it has; nil for null.
func (j *jsonFields) member() (*field, error) {
	name, err := j.name()
	if err != nil {
		return nil, err
	}
	if err := j.sign(':'); err != nil {
		return nil, err
	}
	c, err := j.token()
	if err != nil {
		return nil, err
	}
	if c == '"' {
		j.value = j.text()
		return &field{name: name, value: j.value}, nil
	}
	word, err := j.other(c)
	switch {
	case err != nil || word == "null":
		return nil, err
	case word == "true", word == "false":
		return &field{name: name, kind: boolField, value: strings.NewReader(word)}, nil
	}
	return &field{name: name, kind: otherField, value: strings.NewReader("")}, nil
}

// name reads a member's name; one that is too long is nobody's.
func (j *jsonFields) name() (string, error) {
	if c, err := j.token(); err != nil {
		return "", err
	} else if c != '"' {
		return "", j.bad("wants a name")
	}
	text := j.text()
	b, err := io.ReadAll(io.LimitReader(text, fieldNameMax+1))
	if err != nil {
		return "", err
	}
	if len(b) > fieldNameMax {
		return "", skip(text)
	}
	return string(b), nil
}

// jsonPlain stand for themselves in a string.
var jsonPlain = plainBytes(' ', 0x7f, `"\`)

// text returns the string that comes next.
func (j *jsonFields) text() *textReader {
	open := false
	return &textReader{step: func(p []byte) (int, error) {
		if !open {
			open = true
			if err := j.expect(`"`); err != nil {
				return 0, err
			}
		}
		if n, err := j.run(p, jsonPlain); n > 0 || err != nil {
			return n, j.notEnd(err)
		}
		c, err := j.must()
		switch {
		case err != nil:
			return 0, err
		case c == '"':
			return 0, io.EOF
		case c == '\\':
			if c, err = j.escape(); err != nil {
				return 0, err
			}
		case c < ' ':
			return 0, j.bad("a control character in a string")
		}
		return utf8.EncodeRune(p, c), nil
	}}
}

// escape reads what follows a backslash. Half a surrogate pair is U+FFFD.
func (j *jsonFields) escape() (rune, error) {
	c, err := j.must()
	if err != nil {
		return 0, err
	}
	if c != 'u' {
		i := strings.IndexRune(`"\/bfnrt`, c)
		if i < 0 {
			return 0, j.bad("an unknown escape")
		}
		return rune("\"\\/\b\f\n\r\t"[i]), nil
	}
	c, err = j.hex()
	if err != nil || !utf16.IsSurrogate(c) {
		return c, err
	}
	b, err := j.r.Peek(6)
	if err != nil && !errors.Is(err, io.EOF) {
		return 0, err
	}
	if len(b) == 6 && b[0] == '\\' && b[1] == 'u' {
		low, ok := parseHex(string(b[2:]))
		if pair := utf16.DecodeRune(c, low); ok && pair != utf8.RuneError {
			_, _ = j.r.Discard(len(b))
			return pair, nil
		}
	}
	return utf8.RuneError, nil
}

func (j *jsonFields) hex() (rune, error) {
	b, err := j.r.Peek(4)
	if err != nil {
		return 0, j.notEnd(err)
	}
	c, ok := parseHex(string(b))
	if !ok {
		return 0, j.bad("an escape without four hex digits")
	}
	_, _ = j.r.Discard(len(b))
	return c, nil
}

func parseHex(digits string) (rune, bool) {
	n := rune(0)
	for i := range len(digits) {
		d, ok := unhex(digits[i])
		if !ok {
			return 0, false
		}
		n = n<<4 | rune(d)
	}
	return n, true
}

func unhex(c byte) (byte, bool) {
	switch {
	case c >= '0' && c <= '9':
		return c - '0', true
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10, true
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}

// other reads a value that is no string; c is its first character. The word is
// that of a literal, "" for all else.
func (j *jsonFields) other(c rune) (string, error) {
	switch {
	case c == '{' || c == '[':
		return "", j.nested()
	case c == '-' || c >= '0' && c <= '9':
		return "", j.number()
	}
	for _, word := range []string{"null", "true", "false"} {
		if rune(word[0]) == c {
			return word, j.expect(word)
		}
	}
	return "", j.bad("wants a value")
}

// number reads what RFC 8259 calls one.
func (j *jsonFields) number() error {
	if err := j.maybe("-"); err != nil {
		return err
	}
	c, err := j.must()
	switch {
	case err != nil:
		return err
	case c < '0' || c > '9':
		return j.bad("wants a digit")
	case c != '0':
		if _, err := j.digits(); err != nil {
			return err
		}
	}
	if dot, err := j.ahead("."); err != nil {
		return err
	} else if dot {
		if err := j.tail("."); err != nil {
			return err
		}
	}
	for _, e := range []string{"e", "E"} {
		if exponent, err := j.ahead(e); err != nil {
			return err
		} else if exponent {
			return j.tail(e)
		}
	}
	return nil
}

// tail reads a dot or an exponent, and its digits.
func (j *jsonFields) tail(sign string) error {
	if err := j.expect(sign); err != nil {
		return err
	}
	if sign != "." {
		if err := j.maybe("+-"); err != nil {
			return err
		}
	}
	n, err := j.digits()
	if err == nil && n == 0 {
		err = j.bad("wants a digit")
	}
	return err
}

// maybe reads one of some characters, if it is there.
func (j *jsonFields) maybe(one string) error {
	for _, c := range one {
		there, err := j.ahead(string(c))
		if err != nil {
			return err
		}
		if there {
			return j.expect(string(c))
		}
	}
	return nil
}

func (j *jsonFields) digits() (int, error) {
	for n := 0; ; n++ {
		c, err := j.rune()
		if errors.Is(err, io.EOF) {
			return n, nil
		}
		if err != nil {
			return n, err
		}
		if c < '0' || c > '9' {
			j.back()
			return n, nil
		}
	}
}

// nested skips a list or an object; its syntax counts. open is what is open,
// the innermost last.
func (j *jsonFields) nested() error {
	var open []rune
	for {
		closed, err := j.element(&open)
		if err != nil {
			return err
		}
		if !closed {
			continue // it opened one
		}
		// A value ended: so may what holds it.
		for {
			if len(open) == 0 {
				return nil
			}
			ended, err := j.ended(&open)
			if err != nil {
				return err
			}
			if !ended {
				break
			}
		}
	}
}

// element reads a value, with its name inside an object. One that is a list or
// object with something inside is only opened.
func (j *jsonFields) element(open *[]rune) (closed bool, err error) {
	if n := len(*open); n > 0 && (*open)[n-1] == '{' {
		if err := j.label(); err != nil {
			return false, err
		}
	}
	c, err := j.token()
	switch {
	case err != nil:
		return false, err
	case c == '"':
		return true, skip(j.text())
	case c != '{' && c != '[':
		_, err := j.other(c)
		return true, err
	case len(*open) == nestMax:
		return false, j.bad("nested too deep")
	}
	if err := j.expect(string(c)); err != nil {
		return false, err
	}
	end, err := j.token()
	if err != nil {
		return false, err
	}
	if end == closing(c) {
		return true, j.expect(string(end))
	}
	*open = append(*open, c)
	return false, nil
}

func closing(open rune) rune {
	if open == '{' {
		return '}'
	}
	return ']'
}

// label skips a name and its colon.
func (j *jsonFields) label() error {
	if _, err := j.name(); err != nil {
		return err
	}
	return j.sign(':')
}

// ended reads what follows a value: the end of what holds it, or a comma.
func (j *jsonFields) ended(open *[]rune) (bool, error) {
	c, err := j.token()
	if err != nil {
		return false, err
	}
	last := len(*open) - 1
	if c == closing((*open)[last]) {
		*open = (*open)[:last]
		return true, j.expect(string(c))
	}
	return false, j.expect(",")
}
