package paste69

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"ringbin/storage"
)

// Limits of a body's fields.
const (
	fieldMax     = 64 << 10 // bytes of a field that is not the content
	fieldNameMax = 64       // longer names are nobody's
)

// field is one field of a body.
type field struct {
	name  string
	kind  fieldKind
	value io.Reader // to be read before the next field is asked for; what is left is skipped

	file     bool   // a multipart part that has a filename
	filename string // and what it is
}

// fieldKind is what stands in a field: JSON has more than text.
type fieldKind uint8

const (
	textField  fieldKind = iota
	boolField            // value reads true or false
	otherField           // a number, an object, a list: value is empty
)

// fields are a body's fields in the order in which they came. All forms of
// bodies are read through it, so that none is ever held whole.
type fields interface {
	// next returns io.EOF itself after the last field, when the body ended as
	// it must; any other error is a malformed body or one that broke off.
	next() (*field, error)
}

var errMalformed = errors.New("malformed")

func malformed(form, what string) error { return fmt.Errorf("%w %s: %s", errMalformed, form, what) }

// bodyFault is what a client hears of an error of fields: its own fault, unless
// it has a Kind already. It hides an io.EOF, which would look like a regular end.
func bodyFault(err error) error {
	if storage.KindOf(err) != storage.KindInternal {
		return err
	}
	if _, ours := errors.AsType[*storage.Error](err); ours {
		return err // a disk's
	}
	return badBody(errors.New(err.Error()))
}

// text reads a field that is not the content.
func (f *field) text() (string, error) {
	b, err := io.ReadAll(io.LimitReader(f.value, fieldMax+1))
	switch {
	case err != nil:
		return "", bodyFault(err)
	case len(b) > fieldMax:
		return "", badBody(malformed(f.name, "above 64 KiB"))
	}
	return string(b), nil
}

// filled reports whether a value has any byte, and gives a reader of all of it.
func filled(value io.Reader) (io.Reader, bool, error) {
	var first [1]byte
	switch _, err := io.ReadFull(value, first[:]); {
	case errors.Is(err, io.EOF):
		return nil, false, nil
	case err != nil:
		return nil, false, bodyFault(err)
	}
	return io.MultiReader(strings.NewReader(string(first[:])), value), true, nil
}

// skip reads a value to its end.
func skip(value io.Reader) error {
	if value == nil {
		return nil
	}
	_, err := io.Copy(io.Discard, value)
	return err
}

// fieldTest tells whether a body is one of our forms, where its type does not.
type fieldTest struct {
	names  []string                        // that may stand there
	once   bool                            // each of them
	enough func(seen, filled nameSet) bool // of them are there
}

type nameSet map[string]bool

// passes reads fields to their end.
func (t fieldTest) passes(src fields) bool {
	seen, nonEmpty := nameSet{}, nameSet{}
	for {
		f, err := src.next()
		if err == io.EOF { //nolint:errorlint // bare, by contract
			return t.enough(seen, nonEmpty)
		}
		if err != nil || !slices.Contains(t.names, f.name) || t.once && seen[f.name] {
			return false
		}
		seen[f.name] = true
		value, some, err := filled(f.value)
		if err != nil || skip(value) != nil {
			return false
		}
		if some && f.kind == textField {
			nonEmpty[f.name] = true
		}
	}
}

const apiKeyField = "api_key"

// formTest is that of urlencoded bodies: a file looks like one hardly ever.
func formTest(names []string) fieldTest {
	return fieldTest{
		names: append(slices.Clone(names), apiKeyField), once: true,
		enough: func(seen, _ nameSet) bool { return len(seen) > 0 },
	}
}
