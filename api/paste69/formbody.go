package paste69

import (
	"errors"
	"io"
)

// formFields are the pieces of an urlencoded body. White space may stand
// unescaped; any other byte may, too.
type formFields struct {
	scanner

	value *textReader // of the piece before
}

func newFormFields(r io.Reader) *formFields { return &formFields{scanner: newScanner(r, "form")} }

var errForm = malformed("form", "a piece without =, or a bad escape")

func (f *formFields) next() (*field, error) {
	if f.value != nil {
		if err := skip(f.value); err != nil {
			return nil, err
		}
		f.value = nil
	}
	if err := f.skipEmpty(); err != nil {
		return nil, err
	}
	name := make([]byte, 0, fieldNameMax)
	for {
		c, end, err := f.char('=')
		switch {
		case errors.Is(err, io.EOF), err == nil && !end && c == '&':
			return nil, errForm
		case err != nil:
			return nil, err
		case end:
			f.value = f.text()
			return &field{name: string(name), value: f.value}, nil
		case len(name) == fieldNameMax:
			return nil, errForm
		}
		name = append(name, c)
	}
}

// skipEmpty goes to the next piece that is not empty; io.EOF for none.
func (f *formFields) skipEmpty() error {
	for {
		c, err := f.r.ReadByte()
		if err != nil {
			return err
		}
		if c != '&' {
			return f.r.UnreadByte()
		}
	}
}

// char reads a byte and decodes it; end says that it is the sign, unescaped.
func (f *formFields) char(sign byte) (c byte, end bool, err error) {
	c, err = f.r.ReadByte()
	switch {
	case err != nil:
		return 0, false, err
	case c == sign:
		return c, true, nil
	case c == '+':
		return ' ', false, nil
	case c != '%':
		return c, false, nil
	}
	b, err := f.r.Peek(2)
	if len(b) < 2 {
		if errors.Is(err, io.EOF) {
			err = errForm
		}
		return 0, false, err
	}
	high, okHigh := unhex(b[0])
	low, okLow := unhex(b[1])
	if !okHigh || !okLow {
		return 0, false, errForm
	}
	_, _ = f.r.Discard(len(b))
	return high<<4 | low, false, nil
}

// formPlain stand for themselves in a value.
var formPlain = plainBytes(0, 0xff, "&+%")

func (f *formFields) text() *textReader {
	return &textReader{step: func(p []byte) (int, error) {
		if n, err := f.run(p, formPlain); n > 0 || err != nil {
			return n, err
		}
		c, end, err := f.char('&')
		switch {
		case err != nil:
			return 0, err
		case end:
			return 0, io.EOF
		}
		p[0] = c
		return 1, nil
	}}
}
