package jsonbin

import (
	"context"
	"io"
	"iter"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"ringbin/storage"
)

// Bounds of one validation. A schema of a few lines can ask for work without end.
const (
	validateTimeMax  = 10 * time.Second
	validateDepthMax = 10_000
	// stepCost is what a piece of work costs beside the bytes that it goes over.
	stepCost = 256
	// matchMax is how long a string may be that a pattern is held against in one go.
	matchMax = 4 << 10
)

// mismatch is the one thing that is reported of a record: where, and what.
type mismatch struct{ path, text string }

// String is the message.
func (m *mismatch) String() string {
	first, size := utf8.DecodeRuneInString(m.text)
	return "Schema Doc Validation Mismatch: " + m.path + " " + string(unicode.ToUpper(first)) + m.text[size:]
}

// validate judges a record, which is a compact text. What is reported is the
// first mismatch: parents before children, siblings in the record's order, in
// one value type, required, then the other keywords by name.
func (s *schema) validate(ctx context.Context, record []byte) (*mismatch, error) {
	ctx, cancel := context.WithTimeout(ctx, validateTimeMax)
	defer cancel()
	c := &checker{ended: ctx.Err, text: record, schema: s}
	m := c.check(span{0, len(record)}, []*jsonschema.Schema{s.root})
	if c.exhausted {
		return nil, &storage.Error{Op: "jsonbin.validate", Kind: storage.KindUnavailable, Code: "schema_too_costly"}
	}
	return m, nil
}

// checker is one validation.
type checker struct {
	ended     func() error // why there is no more time
	text      []byte
	schema    *schema
	unclock   int // bytes since the last look at the clock
	deep      int
	exhausted bool // a bound was met: nothing that follows counts
}

// step counts a piece of work, and is false when there may be no more.
func (c *checker) step() bool { return c.spend(stepCost) }

// spend is step for work that goes over so many bytes.
func (c *checker) spend(bytes int) bool {
	if c.unclock += bytes; c.unclock >= clockEvery {
		c.unclock = 0
		c.exhausted = c.exhausted || c.ended() != nil
	}
	c.exhausted = c.exhausted || c.deep > validateDepthMax
	return !c.exhausted
}

// children goes over what a container holds, as long as there may be more work.
func (c *checker) children(v span) iter.Seq[child] {
	return func(yield func(child) bool) {
		for one := range children(c.text, v) {
			if !c.spend(len(one.name)+one.end-one.start) || !yield(one) {
				return
			}
		}
	}
}

// matches is whether a text matches a pattern. Long ones are read rune by rune,
// so that time can run out meanwhile.
func (c *checker) matches(pattern jsonschema.Regexp, text string) bool {
	c.spend(stepCost + len(text))
	re, ok := pattern.(*regexp.Regexp)
	if !ok || len(text) <= matchMax {
		return !c.exhausted && pattern.MatchString(text)
	}
	return re.MatchReader(&textReader{c: c, rest: text})
}

// textReader reads a text until time runs out.
type textReader struct {
	c    *checker
	rest string
}

// ReadRune costs as much as a step: a pattern may be in many states at once.
func (r *textReader) ReadRune() (rune, int, error) {
	if r.rest == "" || !r.c.step() {
		return 0, 0, io.EOF
	}
	next, size := utf8.DecodeRuneInString(r.rest)
	r.rest = r.rest[size:]
	return next, size, nil
}

// check returns the first mismatch of a value with all of the schemas.
func (c *checker) check(v span, schemas []*jsonschema.Schema) *mismatch {
	c.deep++
	defer func() { c.deep-- }()
	all := c.expand(v, schemas)
	if m := c.own(v, all); m != nil {
		return m
	}
	for one := range c.children(v) {
		below := c.below(all, one)
		if len(below) == 0 {
			continue
		}
		if m := c.check(one.span, below); m != nil {
			m.path = pathPart(one) + m.path
			return m
		}
	}
	return nil
}

func (c *checker) isValid(v span, s *jsonschema.Schema) bool {
	return c.check(v, []*jsonschema.Schema{s}) == nil
}

// expand adds the schemas that hold for the same value because of the given
// ones: references, allOf, a branch of if, dependencies.
func (c *checker) expand(v span, schemas []*jsonschema.Schema) []*jsonschema.Schema {
	all := slices.Clone(schemas)
	add := func(s *jsonschema.Schema) {
		if s != nil && !slices.Contains(all, s) {
			all = append(all, s)
		}
	}
	for i := 0; i < len(all) && c.step(); i++ {
		s := all[i]
		add(s.Ref)
		for _, one := range s.AllOf {
			add(one)
		}
		if s.If != nil {
			if c.isValid(v, s.If) {
				add(s.Then)
			} else {
				add(s.Else)
			}
		}
		for _, name := range c.rule(s).dependencies {
			if one, ok := s.Dependencies[name].(*jsonschema.Schema); ok && c.has(v, name) {
				add(one)
			}
		}
	}
	return all
}

// own returns the mismatch of a value itself, whatever is in it.
func (c *checker) own(v span, all []*jsonschema.Schema) *mismatch {
	var first *keyword
	text := ""
	cost := stepCost
	if !isContainer(c.text[v.start]) {
		cost += v.end - v.start // of others the members are counted
	}
	for _, s := range all {
		for i, k := range c.rule(s).keywords {
			if !c.spend(cost) {
				return nil
			}
			if first != nil && !k.before(*first) {
				break
			}
			if found := k.check(c, v); found != "" {
				first, text = &c.rule(s).keywords[i], found
				break
			}
		}
	}
	if first == nil {
		return nil
	}
	return &mismatch{text: text}
}

// below lists the schemas that hold for a member or an item.
func (c *checker) below(all []*jsonschema.Schema, one child) []*jsonschema.Schema {
	var below []*jsonschema.Schema
	for _, s := range all {
		if one.name == nil {
			below = append(below, forItem(s, one.index)...)
			continue
		}
		below = append(below, c.forMember(s, plain(one.name))...)
	}
	return below
}

func forItem(s *jsonschema.Schema, index int) []*jsonschema.Schema {
	switch items := s.Items.(type) {
	case *jsonschema.Schema:
		return []*jsonschema.Schema{items}
	case []*jsonschema.Schema:
		if index < len(items) {
			return items[index : index+1]
		}
		if more, ok := s.AdditionalItems.(*jsonschema.Schema); ok {
			return []*jsonschema.Schema{more}
		}
	}
	return nil
}

func (c *checker) forMember(s *jsonschema.Schema, name string) []*jsonschema.Schema {
	var found []*jsonschema.Schema
	if one, ok := s.Properties[name]; ok {
		found = append(found, one)
	}
	for _, pattern := range c.rule(s).patterns {
		if c.matches(pattern, name) {
			found = append(found, s.PatternProperties[pattern])
		}
	}
	if more, ok := s.AdditionalProperties.(*jsonschema.Schema); ok && len(found) == 0 {
		found = append(found, more)
	}
	return found
}

// has is whether a value is an object with a member of that name.
func (c *checker) has(v span, name string) bool {
	for one := range c.children(v) {
		if one.name != nil && says(one.name, name) {
			return true
		}
	}
	return false
}

func (c *checker) value(v span) []byte { return c.text[v.start:v.end] }

func (c *checker) count(v span) int {
	n := 0
	for range c.children(v) {
		n++
	}
	return n
}

var identifier = regexp.MustCompile(`^[A-Za-z_$][A-Za-z0-9_$]*$`)

// pathPart is one step of a mismatch's path.
func pathPart(one child) string {
	if one.name == nil {
		return "[" + strconv.Itoa(one.index) + "]"
	}
	name := plain(one.name)
	if identifier.MatchString(name) {
		return "." + name
	}
	return "['" + strings.NewReplacer(`\`, `\\`, "'", `\'`, "\n", `\n`, "\r", `\r`, "\t", `\t`, "\f", `\f`).Replace(name) + "']"
}
