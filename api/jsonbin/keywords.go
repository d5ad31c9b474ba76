package jsonbin

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash"
	"io"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// keyword is one keyword of a schema that a value itself can fail.
type keyword struct {
	name  string
	check func(c *checker, v span) string // what is wrong; "" for nothing
}

// before is the order in which the failures of one value count.
func (k keyword) before(other keyword) bool {
	rank := func(name string) int {
		if i := slices.Index([]string{"type", "required"}, name); i >= 0 {
			return i
		}
		return 2
	}
	return cmp.Or(cmp.Compare(rank(k.name), rank(other.name)), cmp.Compare(k.name, other.name)) < 0
}

// rule is what a schema says of a value itself.
type rule struct {
	keywords     []keyword // in their order
	dependencies []string  // sorted
	patterns     []jsonschema.Regexp
}

// rule returns a schema's rule, made once.
func (c *checker) rule(s *jsonschema.Schema) *rule {
	r, ok := c.schema.rules[s]
	if !ok {
		r = &rule{}
		c.schema.rules[s] = r
		r.read(s, c.schema.object(s))
	}
	return r
}

// read gathers what a schema asks for. Numbers and types are taken from its own
// text, where they still are as they were written.
func (r *rule) read(s *jsonschema.Schema, object map[string]any) {
	if s.Ref != nil {
		return // all beside a reference is ignored
	}
	if s.Bool != nil && !*s.Bool {
		r.add("false schema", func(*checker, span) string { return "boolean schema is false" })
	}
	r.dependencies = slices.Sorted(maps.Keys(s.Dependencies))
	r.patterns = slices.SortedFunc(maps.Keys(s.PatternProperties), func(a, b jsonschema.Regexp) int {
		return cmp.Compare(a.String(), b.String())
	})
	r.forAnything(s, object)
	r.forNumbers(object)
	r.forStrings(s)
	r.forArrays(s)
	r.forObjects(s)
	slices.SortFunc(r.keywords, func(a, b keyword) int {
		if a.before(b) {
			return -1
		}
		return 1
	})
}

func (r *rule) add(name string, check func(c *checker, v span) string) {
	r.keywords = append(r.keywords, keyword{name, check})
}

// addFor adds a keyword that asks something of values of one type only.
func (r *rule) addFor(kind, name string, holds func(c *checker, v span) bool, text string) {
	r.add(name, func(c *checker, v span) string {
		if typeOf(c.value(v)) != kind || holds(c, v) {
			return ""
		}
		return text
	})
}

func (r *rule) forAnything(s *jsonschema.Schema, object map[string]any) {
	if s.Types != nil {
		types := namesOf(object["type"])
		r.add("type", func(c *checker, v span) string {
			if slices.ContainsFunc(types, func(t string) bool { return isOfType(c.value(v), t) }) {
				return ""
			}
			return "should be " + strings.Join(types, ",")
		})
	}
	if s.Enum != nil {
		allowed := map[string]bool{}
		for _, one := range s.Enum.Values {
			allowed[canonicalOf(one)] = true
		}
		r.add("enum", ifNot(func(c *checker, v span) bool { return allowed[c.canonical(v)] }, "should be equal to one of the allowed values"))
	}
	if s.Const != nil {
		constant := canonicalOf(*s.Const)
		r.add("const", ifNot(func(c *checker, v span) bool { return c.canonical(v) == constant }, "should be equal to constant"))
	}
	if s.Not != nil {
		r.add("not", ifNot(func(c *checker, v span) bool { return !c.isValid(v, s.Not) }, "should NOT be valid"))
	}
	if s.AnyOf != nil {
		r.add("anyOf", ifNot(func(c *checker, v span) bool { return c.valid(v, s.AnyOf, 1) > 0 }, "should match some schema in anyOf"))
	}
	if s.OneOf != nil {
		r.add("oneOf", ifNot(func(c *checker, v span) bool { return c.valid(v, s.OneOf, 2) == 1 }, "should match exactly one schema in oneOf"))
	}
}

func ifNot(holds func(c *checker, v span) bool, text string) func(c *checker, v span) string {
	return func(c *checker, v span) string {
		if holds(c, v) {
			return ""
		}
		return text
	}
}

// valid counts the schemas that a value is valid against, up to most.
func (c *checker) valid(v span, schemas []*jsonschema.Schema, most int) int {
	n := 0
	for _, s := range schemas {
		if n < most && c.isValid(v, s) {
			n++
		}
	}
	return n
}

func isOfType(value []byte, name string) bool {
	kind := typeOf(value)
	return kind == name || name == typeInteger && kind == typeNumber && parseDecimal(value).isInteger()
}

// namesOf reads a keyword that is a string or a list of them.
func namesOf(v any) []string {
	switch v := v.(type) {
	case string:
		return []string{v}
	case []any:
		var names []string
		for _, one := range v {
			if name, ok := one.(string); ok {
				names = append(names, name)
			}
		}
		return names
	}
	return nil
}

func (r *rule) forNumbers(object map[string]any) {
	for _, k := range []struct {
		name, text string
		holds      func(value, limit decimal) bool
	}{
		{"minimum", "should be >= ", func(value, limit decimal) bool { return value.compare(limit) >= 0 }},
		{"maximum", "should be <= ", func(value, limit decimal) bool { return value.compare(limit) <= 0 }},
		{"exclusiveMinimum", "should be > ", func(value, limit decimal) bool { return value.compare(limit) > 0 }},
		{"exclusiveMaximum", "should be < ", func(value, limit decimal) bool { return value.compare(limit) < 0 }},
		{"multipleOf", "should be multiple of ", decimal.isMultipleOf},
	} {
		number, ok := object[k.name].(json.Number)
		if !ok {
			continue
		}
		limit := parseDecimal([]byte(number))
		r.addFor(typeNumber, k.name, func(c *checker, v span) bool {
			return c.spend(len(number)) && k.holds(parseDecimal(c.value(v)), limit)
		}, k.text+number.String())
	}
}

func (r *rule) forStrings(s *jsonschema.Schema) {
	length := func(c *checker, v span) int { return utf8.RuneCountInString(plain(c.value(v))) }
	r.bound(typeString, "minLength", s.MinLength, length, "should NOT be shorter than %d characters")
	r.bound(typeString, "maxLength", s.MaxLength, length, "should NOT be longer than %d characters")
	if s.Pattern != nil {
		r.addFor(typeString, "pattern", func(c *checker, v span) bool { return c.matches(s.Pattern, plain(c.value(v))) },
			`should match pattern "`+s.Pattern.String()+`"`)
	}
	if s.Format != nil {
		r.addFor(typeString, "format", func(c *checker, v span) bool { return s.Format.Validate(plain(c.value(v))) == nil },
			`should match format "`+s.Format.Name+`"`)
	}
}

// bound adds a least or greatest number of something; nil is no bound.
func (r *rule) bound(kind, name string, limit *int, measure func(c *checker, v span) int, text string) {
	if limit == nil {
		return
	}
	holds := func(c *checker, v span) bool { return measure(c, v) >= *limit }
	if strings.HasPrefix(name, "max") {
		holds = func(c *checker, v span) bool { return measure(c, v) <= *limit }
	}
	r.addFor(kind, name, holds, fmt.Sprintf(text, *limit))
}

func (r *rule) forArrays(s *jsonschema.Schema) {
	r.bound(typeArray, "minItems", s.MinItems, (*checker).count, "should NOT have fewer than %d items")
	r.bound(typeArray, "maxItems", s.MaxItems, (*checker).count, "should NOT have more than %d items")
	if items, ok := s.Items.([]*jsonschema.Schema); ok && s.AdditionalItems == false {
		most := len(items)
		r.bound(typeArray, "maxItems", &most, (*checker).count, "should NOT have more than %d items")
		r.keywords[len(r.keywords)-1].name = "additionalItems"
	}
	if s.UniqueItems {
		r.add("uniqueItems", (*checker).duplicates)
	}
	if s.Contains != nil {
		r.addFor(typeArray, "contains", func(c *checker, v span) bool {
			for one := range c.children(v) {
				if c.isValid(one.span, s.Contains) {
					return true
				}
			}
			return false
		}, "should contain a valid item")
	}
}

// duplicates tells of the first item that was there before.
func (c *checker) duplicates(v span) string {
	if typeOf(c.value(v)) != typeArray {
		return ""
	}
	seen := map[string]int{}
	for one := range c.children(v) {
		if !c.step() {
			return ""
		}
		text := c.canonical(one.span)
		if before, ok := seen[text]; ok {
			return fmt.Sprintf("should NOT have duplicate items (items ## %d and %d are identical)", before, one.index)
		}
		seen[text] = one.index
	}
	return ""
}

func (r *rule) forObjects(s *jsonschema.Schema) {
	r.bound(typeObject, "minProperties", s.MinProperties, (*checker).count, "should NOT have fewer than %d properties")
	r.bound(typeObject, "maxProperties", s.MaxProperties, (*checker).count, "should NOT have more than %d properties")
	if len(s.Required) > 0 {
		r.add("required", func(c *checker, v span) string {
			if name, ok := c.missing(v, s.Required); ok {
				return "should have required property '" + name + "'"
			}
			return ""
		})
	}
	if s.AdditionalProperties == false {
		r.addFor(typeObject, "additionalProperties", func(c *checker, v span) bool {
			for one := range c.children(v) {
				if len(c.forMember(s, plain(one.name))) == 0 {
					return false
				}
			}
			return true
		}, "should NOT have additional properties")
	}
	for _, name := range r.dependencies {
		if wanted, ok := s.Dependencies[name].([]string); ok {
			r.add("dependencies", func(c *checker, v span) string {
				if missing, ok := c.missing(v, wanted); ok && c.has(v, name) {
					return "should have property " + missing + " when property " + name + " is present"
				}
				return ""
			})
		}
	}
	if s.PropertyNames != nil {
		r.add("propertyNames", func(c *checker, v span) string { return c.badName(v, s.PropertyNames) })
	}
}

// missing returns the first of the names that an object lacks.
func (c *checker) missing(v span, names []string) (string, bool) {
	if typeOf(c.value(v)) != typeObject {
		return "", false
	}
	there := map[string]bool{}
	for one := range c.children(v) {
		there[plain(one.name)] = true
	}
	for _, name := range names {
		if !there[name] {
			return name, true
		}
	}
	return "", false
}

// badName tells of the first member whose name is not valid.
func (c *checker) badName(v span, names *jsonschema.Schema) string {
	for one := range c.children(v) {
		if one.name == nil {
			return ""
		}
		colon := one.start - 1
		if !c.isValid(span{colon - len(one.name), colon}, names) {
			return "property name '" + plain(one.name) + "' is invalid"
		}
	}
	return ""
}

// canonical is one text for all spellings of a value: what equality goes by.
// That of a container is a hash, so that depth costs no memory.
func (c *checker) canonical(v span) string {
	switch value := c.value(v); typeOf(value) {
	case typeNumber:
		return parseDecimal(value).String()
	case typeString:
		return `"` + plain(value)
	case typeArray:
		h := sha256.New()
		for one := range c.children(v) {
			writePart(h, c.canonical(one.span))
		}
		return string(h.Sum([]byte{'['}))
	case typeObject:
		members := map[string]string{}
		for one := range c.children(v) {
			members[plain(one.name)] = c.canonical(one.span)
		}
		h := sha256.New()
		for _, name := range slices.Sorted(maps.Keys(members)) {
			writePart(h, name)
			writePart(h, members[name])
		}
		return string(h.Sum([]byte{'{'}))
	default:
		return string(value)
	}
}

func writePart(h hash.Hash, part string) {
	var size [8]byte
	binary.BigEndian.PutUint64(size[:], uint64(len(part)))
	_, _ = h.Write(size[:]) // a hash takes everything
	_, _ = io.WriteString(h, part)
}

func canonicalOf(v any) string {
	text := asText(v)
	c := &checker{ended: func() error { return nil }, text: text} // it is a part of a schema, which is small
	return c.canonical(span{0, len(text)})
}
