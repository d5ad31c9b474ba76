package paste69

import (
	"errors"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"
)

// xmlFields are the children of an XML document's root, each with text only.
// It reads the part of XML that a form needs, and strictly: no DTD, so no
// entities but the five, UTF-8 only, names in ASCII without a prefix. What is
// beyond that is malformed to it, and so a file to whoever asks.
type xmlFields struct {
	scanner

	root  string // "" before it
	empty bool   // the root has no children: <root/>
	value *textReader
}

func newXMLFields(r io.Reader) *xmlFields { return &xmlFields{scanner: newScanner(r, "XML")} }

func (x *xmlFields) next() (*field, error) {
	if x.value != nil {
		if err := skip(x.value); err != nil {
			return nil, err
		}
		x.value = nil
	}
	if x.root == "" {
		if err := x.prolog(); err != nil {
			return nil, err
		}
	}
	if x.empty {
		return nil, x.epilog()
	}
	name, empty, err := x.child()
	switch {
	case err != nil:
		return nil, err
	case name == "":
		return nil, x.epilog()
	case empty:
		return &field{name: name, value: strings.NewReader("")}, nil
	}
	x.value = x.text(name)
	return &field{name: name, value: x.value}, nil
}

// prolog reads up to the root's start tag, and that.
func (x *xmlFields) prolog() error {
	if bom, err := x.ahead("\ufeff"); err != nil {
		return err
	} else if bom {
		_ = x.expect("\ufeff")
	}
	if declared, err := x.ahead("<?xml "); err != nil {
		return err
	} else if declared {
		if err := x.declaration(); err != nil {
			return err
		}
	}
	if err := x.misc(); err != nil {
		return err
	}
	if err := x.expect("<"); err != nil {
		return err
	}
	var err error
	x.root, x.empty, err = x.startTag()
	return err
}

// declaration reads <?xml … ?>: other encodings than UTF-8 are not read.
func (x *xmlFields) declaration() error {
	if err := x.expect("<?xml"); err != nil {
		return err
	}
	version := ""
	for {
		name, value, err := x.attribute()
		if err != nil {
			return err
		}
		switch name {
		case "":
			if version != "1.0" {
				return x.bad("no version 1.0")
			}
			return x.expect("?>")
		case "version":
			version = value
		case "encoding":
			if !strings.EqualFold(value, "utf-8") {
				return x.bad("encoding")
			}
		case "standalone":
		default:
			return x.bad("declaration")
		}
	}
}

// misc skips white space, comments and processing instructions.
func (x *xmlFields) misc() error {
	for {
		if _, err := x.space(); err != nil {
			return err
		}
		skipped, err := x.aside()
		if err != nil || !skipped {
			return err
		}
	}
}

// aside skips one comment or processing instruction, if it comes next.
func (x *xmlFields) aside() (bool, error) {
	if comment, err := x.ahead("<!--"); err != nil {
		return false, err
	} else if comment {
		_ = x.expect("<!--")
		if err := x.until("--"); err != nil {
			return false, err
		}
		return true, x.expect(">")
	}
	if instruction, err := x.ahead("<?"); err != nil || !instruction {
		return false, err
	}
	_ = x.expect("<?")
	target, err := x.name()
	if err != nil {
		return false, err
	}
	if strings.EqualFold(target, "xml") {
		return false, x.bad("a declaration that is not at the start")
	}
	if c, err := x.must(); err != nil {
		return false, err
	} else if c != '?' && !isXMLSpace(c) {
		return false, x.bad("processing instruction")
	}
	x.back()
	return true, x.until("?>")
}

// until skips characters up to a text of two, and that.
func (x *xmlFields) until(text string) error {
	for {
		if there, err := x.ahead(text); err != nil {
			return err
		} else if there {
			return x.expect(text)
		}
		if _, err := x.character(); err != nil {
			return err
		}
	}
}

// character reads one that XML allows.
func (x *xmlFields) character() (rune, error) {
	c, err := x.must()
	if err == nil && !isXMLChar(c) {
		err = x.bad("a character that XML does not have")
	}
	return c, err
}

func isXMLChar(c rune) bool {
	switch {
	case c < ' ':
		return c == '\t' || c == '\n' || c == '\r'
	case c >= 0xd800 && c <= 0xdfff, c == 0xfffe, c == 0xffff:
		return false
	}
	return c <= utf8.MaxRune
}

func isXMLSpace(c rune) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }

// name reads a name without a prefix.
func (x *xmlFields) name() (string, error) {
	var name []byte
	for {
		c, err := x.must()
		if err != nil {
			return "", err
		}
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_'
		if !letter && (len(name) == 0 || c != '-' && c != '.' && (c < '0' || c > '9')) {
			x.back()
			break
		}
		if len(name) == fieldNameMax {
			return "", x.bad("a name that is too long")
		}
		name = append(name, byte(c))
	}
	if len(name) == 0 {
		return "", x.bad("wants a name")
	}
	return string(name), nil
}

// startTag reads a tag from its name on.
func (x *xmlFields) startTag() (name string, empty bool, err error) {
	if name, err = x.name(); err != nil {
		return "", false, err
	}
	for n := 0; ; n++ {
		attribute, _, err := x.attribute()
		switch {
		case err != nil:
			return "", false, err
		case attribute == "":
			slash, err := x.ahead("/")
			if err != nil || !slash {
				return name, false, errors.Join(err, x.expect(">"))
			}
			return name, true, x.expect("/>")
		case n == attributesMax:
			return "", false, x.bad("too many attributes")
		}
	}
}

// Limits of a start tag.
const (
	attributesMax = 64
	attributeMax  = 4 << 10 // bytes of a value
)

// attribute reads an attribute; its name is "" where there is none.
func (x *xmlFields) attribute() (name, value string, err error) {
	before, err := x.must()
	if err != nil {
		return "", "", err
	}
	x.back()
	c, err := x.space()
	if err != nil || c == '>' || c == '/' || c == '?' {
		return "", "", err
	}
	if !isXMLSpace(before) {
		return "", "", x.bad("no space before an attribute")
	}
	if name, err = x.name(); err != nil {
		return "", "", err
	}
	if prefix, err := x.ahead(":"); err != nil {
		return "", "", err
	} else if prefix {
		_ = x.expect(":")
		local, err := x.name()
		if err != nil {
			return "", "", err
		}
		name += ":" + local
	}
	if _, err = x.space(); err != nil {
		return "", "", err
	}
	if err = x.expect("="); err != nil {
		return "", "", err
	}
	if _, err = x.space(); err != nil {
		return "", "", err
	}
	value, err = x.quoted()
	return name, value, err
}

// quoted reads an attribute's value.
func (x *xmlFields) quoted() (string, error) {
	quote, err := x.must()
	if err != nil {
		return "", err
	}
	if quote != '"' && quote != '\'' {
		return "", x.bad("an attribute without quotes")
	}
	var value []byte
	for len(value) < attributeMax {
		c, err := x.character()
		switch {
		case err != nil:
			return "", err
		case c == quote:
			return string(value), nil
		case c == '<':
			return "", x.bad("< in an attribute")
		case c == '&':
			if c, err = x.reference(); err != nil {
				return "", err
			}
		}
		value = utf8.AppendRune(value, c)
	}
	return "", x.bad("an attribute that is too long")
}

// referenceMax is the length of a reference between & and ;.
const referenceMax = 16

// reference reads what follows an &.
func (x *xmlFields) reference() (rune, error) {
	var name []byte
	for {
		c, err := x.must()
		switch {
		case err != nil:
			return 0, err
		case c == ';':
			return x.referred(string(name))
		case len(name) == referenceMax || c >= utf8.RuneSelf:
			return 0, x.bad("a reference that is too long")
		}
		name = append(name, byte(c))
	}
}

var xmlEntities = map[string]rune{"lt": '<', "gt": '>', "amp": '&', "apos": '\'', "quot": '"'}

func (x *xmlFields) referred(name string) (rune, error) {
	if c, known := xmlEntities[name]; known {
		return c, nil
	}
	number, found := strings.CutPrefix(name, "#")
	base := 10
	if hex, found := strings.CutPrefix(number, "x"); found {
		number, base = hex, 16
	}
	n, err := strconv.ParseUint(number, base, 21) // no signs, as ParseInt would take
	if !found || err != nil || !isXMLChar(rune(n)) {
		return 0, x.bad("an unknown reference")
	}
	return rune(n), nil
}

// child reads up to the next child and its start tag; its name is "" at the
// root's end.
func (x *xmlFields) child() (name string, empty bool, err error) {
	if err := x.misc(); err != nil {
		return "", false, err
	}
	if err := x.expect("<"); err != nil {
		return "", false, err // text beside the fields, too
	}
	if end, err := x.ahead("/"); err != nil {
		return "", false, err
	} else if end {
		return "", false, x.endTag(x.root)
	}
	return x.startTag()
}

// endTag reads an end tag from its slash on.
func (x *xmlFields) endTag(name string) error {
	if err := x.expect("/" + name); err != nil {
		return err
	}
	if _, err := x.space(); err != nil {
		return err
	}
	return x.expect(">")
}

// epilog reads what follows the root.
func (x *xmlFields) epilog() error {
	if err := x.misc(); err != nil {
		return err
	}
	if _, err := x.rune(); err == nil {
		return x.bad("text after the root")
	} else if !errors.Is(err, io.EOF) {
		return err
	}
	x.empty = true // asked again, the end stays the end
	return io.EOF
}

// xmlPlain stand for themselves in a text.
var xmlPlain = plainBytes(' ', 0x7f, "<&]")

// text returns the content of a child.
func (x *xmlFields) text(name string) *textReader {
	literal := false // inside <![CDATA[
	return &textReader{step: func(p []byte) (int, error) {
		if n, err := x.run(p, xmlPlain); n > 0 || err != nil {
			return n, x.notEnd(err)
		}
		c, err := x.character()
		switch {
		case err != nil:
			return 0, err
		case c == '\r':
			return x.lineEnd(p)
		case c == ']':
			literal, c, err = x.bracket(literal)
		case literal:
		case c == '&':
			c, err = x.reference()
		case c == '<':
			x.back()
			literal, err = x.markup(name)
			c = 0
		}
		if err != nil || c == 0 {
			return 0, err
		}
		return utf8.EncodeRune(p, c), nil
	}}
}

// lineEnd reads what follows a \r: every line ends in \n.
func (x *xmlFields) lineEnd(p []byte) (int, error) {
	if pair, err := x.ahead("\n"); err != nil {
		return 0, err
	} else if pair {
		return 0, nil // the next
	}
	p[0] = '\n'
	return 1, nil
}

// bracket reads on from a ]. Two and a > end a literal, and stand nowhere else.
func (x *xmlFields) bracket(literal bool) (stays bool, c rune, err error) {
	end, err := x.ahead("]>")
	switch {
	case err != nil:
		return false, 0, err
	case !end:
		return literal, ']', nil
	case !literal:
		return false, 0, x.bad("]]> in a text")
	}
	return false, 0, x.expect("]>")
}

// markup reads what a < begins inside a text; io.EOF is its end tag.
func (x *xmlFields) markup(name string) (literal bool, err error) {
	const open = "<![CDATA["
	if literal, err = x.ahead(open); err != nil {
		return false, err
	}
	if literal {
		return true, x.expect(open)
	}
	if skipped, err := x.aside(); err != nil || skipped {
		return false, err
	}
	if err := x.expect("<"); err != nil {
		return false, err
	}
	if err := x.endTag(name); err != nil {
		return false, err // an element inside, too
	}
	return false, io.EOF
}
