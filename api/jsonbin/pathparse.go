package jsonbin

import (
	"encoding/json"
	"strconv"
	"strings"
	"unicode/utf8"
)

// parsePath reads a path. Without a leading $ it starts at the root all the same.
func parsePath(path string) ([]step, error) {
	if utf8.RuneCountInString(path) > pathCharsMax || !utf8.ValidString(path) {
		return nil, errPath
	}
	p := &pathParser{rest: path}
	if !p.skip("$") && p.rest != "" && !strings.HasPrefix(p.rest, ".") && !strings.HasPrefix(p.rest, "[") {
		p.rest = "." + p.rest
	}
	steps, err := p.steps()
	if err != nil || p.rest != "" || path == "" {
		return nil, errPath
	}
	return steps, nil
}

// pathParser is a path and what of it is not read yet.
type pathParser struct{ rest string }

// skip goes over a token, if it is next.
func (p *pathParser) skip(token string) bool {
	var ok bool
	p.rest, ok = strings.CutPrefix(p.rest, token)
	return ok
}

func (p *pathParser) blanks() { p.rest = strings.TrimLeft(p.rest, " \t") }

// steps reads steps as long as there are any.
func (p *pathParser) steps() ([]step, error) {
	var steps []step
	for {
		s := step{}
		var err error
		switch {
		case p.skip(".."):
			s.deep = true
			if strings.HasPrefix(p.rest, "[") {
				s.selectors, err = p.brackets()
			} else {
				s.selectors, err = p.afterDot()
			}
		case p.skip("."):
			s.selectors, err = p.afterDot()
		case strings.HasPrefix(p.rest, "["):
			s.selectors, err = p.brackets()
		default:
			return steps, nil
		}
		if err != nil {
			return nil, err
		}
		steps = append(steps, s)
	}
}

// afterDot reads a name or an asterisk.
func (p *pathParser) afterDot() ([]selector, error) {
	if p.skip("*") {
		return []selector{{kind: selectAll}}, nil
	}
	name := p.word()
	if name == "" || strings.HasPrefix(p.rest, "(") {
		return nil, errPath
	}
	return []selector{{kind: selectName, name: name}}, nil
}

// word reads a name without quotes.
func (p *pathParser) word() string {
	end := strings.IndexFunc(p.rest, func(c rune) bool {
		return c < utf8.RuneSelf && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '_' && c != '-' && c != '$'
	})
	if end < 0 {
		end = len(p.rest)
	}
	word := p.rest[:end]
	p.rest = p.rest[end:]
	return word
}

// brackets reads selectors between brackets.
func (p *pathParser) brackets() ([]selector, error) {
	p.skip("[")
	var all []selector
	for {
		p.blanks()
		s, err := p.selector()
		if err != nil {
			return nil, err
		}
		all = append(all, s)
		p.blanks()
		switch {
		case p.skip("]"):
			return all, nil
		case !p.skip(","):
			return nil, errPath
		}
	}
}

func (p *pathParser) selector() (selector, error) {
	switch {
	case p.skip("*"):
		return selector{kind: selectAll}, nil
	case p.skip("?"):
		c, err := p.either()
		return selector{kind: selectFilter, filter: c}, err
	case strings.HasPrefix(p.rest, "("):
		return p.computed()
	case strings.HasPrefix(p.rest, "'"), strings.HasPrefix(p.rest, `"`):
		quoted, err := p.quoted()
		if err != nil {
			return selector{}, err
		}
		return selector{kind: selectName, name: plain(quoted)}, nil
	}
	return p.indexOrWord()
}

// computed reads an index that is counted from the length.
func (p *pathParser) computed() (selector, error) {
	p.skip("(")
	p.blanks()
	if !p.skip("@.length") {
		return selector{}, errPath
	}
	p.blanks()
	s := selector{kind: selectFromLength}
	if sign := p.sign(); sign != 0 {
		p.blanks()
		n, ok := p.integer()
		if !ok || n < 0 {
			return selector{}, errPath
		}
		s.index = sign * n
	}
	p.blanks()
	if !p.skip(")") {
		return selector{}, errPath
	}
	return s, nil
}

func (p *pathParser) sign() int64 {
	switch {
	case p.skip("-"):
		return -1
	case p.skip("+"):
		return 1
	}
	return 0
}

// indexOrWord reads an index, a slice, or a name without quotes.
func (p *pathParser) indexOrWord() (selector, error) {
	before := p.rest
	first, hasFirst := p.integer()
	p.blanks()
	switch {
	case strings.HasPrefix(p.rest, ":"):
		return p.slice(first, hasFirst)
	case hasFirst && (strings.HasPrefix(p.rest, "]") || strings.HasPrefix(p.rest, ",")):
		return selector{kind: selectIndex, index: first}, nil
	}
	p.rest = before
	name := p.word()
	if name == "" || strings.Contains("-0123456789", name[:1]) {
		return selector{}, errPath
	}
	return selector{kind: selectName, name: name}, nil
}

func (p *pathParser) slice(first int64, hasFirst bool) (selector, error) {
	s := selector{kind: selectSlice}
	if hasFirst {
		s.first = &first
	}
	for _, part := range []**int64{&s.last, &s.gap} {
		p.blanks()
		if !p.skip(":") {
			break
		}
		p.blanks()
		if n, ok := p.integer(); ok {
			*part = &n
		}
	}
	return s, nil
}

// indexMax bounds integers of a path, so that counting with them is safe.
const indexMax = 1 << 53

func (p *pathParser) integer() (int64, bool) {
	end := len(p.rest) - len(strings.TrimLeft(strings.TrimPrefix(p.rest, "-"), "0123456789"))
	n, err := strconv.ParseInt(p.rest[:end], 10, 64)
	if err != nil || n > indexMax || n < -indexMax {
		return 0, false
	}
	p.rest = p.rest[end:]
	return n, true
}

// quoted reads a string in either kind of quotes and returns it as one of JSON.
func (p *pathParser) quoted() ([]byte, error) {
	quote := p.rest[0]
	text := []byte{'"'}
	for i := 1; i < len(p.rest); i++ {
		switch c := p.rest[i]; {
		case c == quote:
			p.rest = p.rest[i+1:]
			text = append(text, '"')
			if !json.Valid(text) {
				return nil, errPath
			}
			return text, nil
		case c == '"':
			text = append(text, '\\', '"')
		case c == '\\' && i+1 < len(p.rest):
			i++
			if p.rest[i] != '\'' {
				text = append(text, '\\')
			}
			text = append(text, p.rest[i])
		default:
			text = append(text, c)
		}
	}
	return nil, errPath
}

// either reads conditions with || between them.
func (p *pathParser) either() (condition, error) {
	var parts anyOf
	for {
		c, err := p.both()
		if err != nil {
			return nil, err
		}
		parts = append(parts, c)
		p.blanks()
		if !p.skip("||") {
			break
		}
	}
	if len(parts) == 1 {
		return parts[0], nil
	}
	return parts, nil
}

// both reads conditions with && between them.
func (p *pathParser) both() (condition, error) {
	var parts allOf
	for {
		c, err := p.single()
		if err != nil {
			return nil, err
		}
		parts = append(parts, c)
		p.blanks()
		if !p.skip("&&") {
			break
		}
	}
	if len(parts) == 1 {
		return parts[0], nil
	}
	return parts, nil
}

// single reads a comparison, an existence, a negation, or what is in parentheses.
func (p *pathParser) single() (condition, error) {
	p.blanks()
	switch {
	case p.skip("!"):
		c, err := p.single()
		if _, compares := c.(comparison); compares {
			return nil, errPath // of what would it be the negation?
		}
		return negate{c}, err
	case p.skip("("):
		c, err := p.either()
		p.blanks()
		if err != nil || !p.skip(")") {
			return nil, errPath
		}
		return group{c}, nil
	}
	left, err := p.operand()
	if err != nil {
		return nil, err
	}
	p.blanks()
	operator := ""
	for _, o := range []string{"==", "!=", "<=", ">=", "<", ">"} {
		if p.skip(o) {
			operator = o
			break
		}
	}
	if operator == "" {
		if left.query == nil {
			return nil, errPath
		}
		return exists{*left.query}, nil
	}
	right, err := p.operand()
	if err != nil || !left.isSingle() || !right.isSingle() {
		return nil, errPath
	}
	return comparison{left, right, operator}, nil
}

// isSingle is whether an operand is one value at most.
func (o operand) isSingle() bool {
	if o.query == nil {
		return true
	}
	for _, s := range o.query.steps {
		if s.deep || len(s.selectors) != 1 {
			return false
		}
		switch s.selectors[0].kind {
		case selectAll, selectSlice, selectFilter:
			return false
		case selectName, selectIndex, selectFromLength:
		}
	}
	return true
}

// operand reads a literal, or a path from the current node or the root.
func (p *pathParser) operand() (operand, error) {
	p.blanks()
	switch {
	case p.rest == "":
		return operand{}, errPath
	case p.rest[0] == '@' || p.rest[0] == '$':
		q := &query{fromRoot: p.rest[0] == '$'}
		p.rest = p.rest[1:]
		var err error
		q.steps, err = p.steps()
		return operand{query: q}, err
	case p.rest[0] == '\'' || p.rest[0] == '"':
		text, err := p.quoted()
		return operand{literal: text}, err
	}
	end := strings.IndexAny(p.rest, " \t)]&|=!<>,")
	if end < 0 {
		end = len(p.rest)
	}
	text := p.rest[:end]
	p.rest = p.rest[end:]
	if !json.Valid([]byte(text)) || isContainer(text[0]) {
		return operand{}, errPath
	}
	return operand{literal: []byte(text)}, nil
}
