package jsonbin

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/url"
	"regexp"
	"regexp/syntax"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"ringbin/storage"
)

const (
	// schemaURL is the name that a schema without $id has for its own references.
	schemaURL = "schema-doc://ringbin/schema"
	// exponentDigitsMax bounds exponents in a schema: the compiler would write
	// such a number out.
	exponentDigitsMax = 3
	// patternsMax bounds the patterns of a schema, all together, as they are once
	// their repetitions are written out: a few bytes can ask for gigabytes.
	patternsMax = 1 << 18
)

// Faults of schema docs.
const (
	invalidSchema = "Invalid Schema Doc provided"
	remoteRef     = "Remote $ref is not allowed in a Schema Doc"
)

// schema is a compiled schema doc. The compiler checks it against draft-07 and
// resolves its references; what it asks for is judged in validate.go.
type schema struct {
	root  *jsonschema.Schema
	doc   any // its text, parsed
	rules map[*jsonschema.Schema]*rule
}

// compileSchema reads the text of a schema doc, which is a compact record.
func compileSchema(text []byte) (*schema, error) {
	if text[0] != '{' || hasHugeNumber(text) {
		return nil, schemaFault(invalidSchema, nil)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return nil, schemaFault(invalidSchema, err)
	}
	if patternsOf(doc) > patternsMax {
		return nil, schemaFault(invalidSchema, nil)
	}
	s := &survey{resources: map[string]bool{schemaURL: true}}
	s.schema(doc, mustParse(schemaURL), "")
	switch {
	case s.wrong:
		return nil, schemaFault(invalidSchema, nil)
	case s.leaves():
		return nil, schemaFault(remoteRef, nil)
	}
	root, err := s.compile(doc)
	if err != nil {
		return nil, err
	}
	return &schema{root: root, doc: doc, rules: map[*jsonschema.Schema]*rule{}}, nil
}

func schemaFault(text string, err error) error {
	return &storage.Error{Op: "jsonbin.compileSchema", Kind: storage.KindInvalid, Text: text, Err: err}
}

// compile compiles the document, and each of its definitions, used or not.
func (s *survey) compile(doc any) (*jsonschema.Schema, error) {
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft7)
	c.UseLoader(noLoader{})
	c.UseRegexpEngine(func(pattern string) (jsonschema.Regexp, error) { return regexp.Compile(pattern) })
	for _, name := range formatsIgnored {
		c.RegisterFormat(&jsonschema.Format{Name: name, Validate: func(any) error { return nil }})
	}
	if err := c.AddResource(schemaURL, doc); err != nil {
		return nil, schemaFault(invalidSchema, err)
	}
	root, err := c.Compile(schemaURL)
	for _, pointer := range s.definitions {
		if err != nil {
			break
		}
		_, err = c.Compile(schemaURL + "#" + pointer)
	}
	switch {
	case errors.Is(err, errRemote):
		return nil, schemaFault(remoteRef, err)
	case err != nil:
		return nil, schemaFault(invalidSchema, err)
	}
	return root, nil
}

// formatsIgnored are those that the compiler knows and that are not asserted.
var formatsIgnored = []string{
	"relative-json-pointer", "duration", "period", "iri", "uri-reference", "iri-reference", "uri-template", "semver",
}

var errRemote = errors.New("nothing is loaded for a schema doc")

// noLoader loads nothing, from nowhere.
type noLoader struct{}

func (noLoader) Load(string) (any, error) { return nil, errRemote }

// survey goes over a schema before the compiler does: it tells which references
// leave it, and takes out the $schema that the compiler would follow.
type survey struct {
	resources   map[string]bool // by URL, without fragment
	references  []string
	definitions []string // pointers, escaped for a URL
	wrong       bool
}

// Members of a schema whose members are schemas, and members that hold data.
var (
	holdsSchemas = map[string]bool{"properties": true, "patternProperties": true, "definitions": true, "dependencies": true}
	holdsData    = map[string]bool{"enum": true, "const": true, "default": true, "examples": true}
)

// schema surveys one schema, or a list of them.
func (s *survey) schema(v any, base *url.URL, pointer string) {
	switch v := v.(type) {
	case []any:
		for i, item := range v {
			s.schema(item, base, pointer+"/"+strconv.Itoa(i))
		}
	case map[string]any:
		s.draft(v)
		base = s.names(v, base)
		for name, member := range v {
			at := pointer + "/" + pointerToken(name)
			under, isObject := member.(map[string]any)
			switch {
			case holdsData[name]:
			case holdsSchemas[name] && isObject:
				for key, one := range under {
					below := at + "/" + pointerToken(key)
					if name == "definitions" {
						s.definitions = append(s.definitions, below)
					}
					s.schema(one, base, below)
				}
			default:
				s.schema(member, base, at)
			}
		}
	}
}

// draft checks and takes out $schema.
func (s *survey) draft(v map[string]any) {
	named, ok := v["$schema"]
	if !ok {
		return
	}
	text, _ := named.(string)
	text = strings.TrimSuffix(text, "#")
	for _, known := range []string{"//json-schema.org/draft-07/schema", "//json-schema.org/draft-06/schema"} {
		if text == "http:"+known || text == "https:"+known {
			delete(v, "$schema")
			return
		}
	}
	s.wrong = true
}

// names notes what a schema is called and what it refers to, and returns the
// base of the names in it. Beside $ref, $id says nothing.
func (s *survey) names(v map[string]any, base *url.URL) *url.URL {
	if ref, ok := v["$ref"].(string); ok {
		u, err := base.Parse(ref)
		if err != nil {
			s.wrong = true
			return base
		}
		s.references = append(s.references, withoutFragment(u))
		return base
	}
	if id, ok := v["$id"].(string); ok {
		u, err := base.Parse(id)
		if err != nil {
			s.wrong = true
			return base
		}
		s.resources[withoutFragment(u)] = true
		return u
	}
	return base
}

// leaves is whether a reference leads out of the document.
func (s *survey) leaves() bool {
	for _, r := range s.references {
		if !s.resources[r] {
			return true
		}
	}
	return false
}

func withoutFragment(u *url.URL) string {
	bare := *u
	bare.Fragment, bare.RawFragment = "", ""
	return bare.String()
}

func mustParse(text string) *url.URL {
	u, err := url.Parse(text)
	if err != nil {
		panic(err)
	}
	return u
}

// pointerToken is a name in a JSON pointer in a URL.
func pointerToken(name string) string {
	return url.PathEscape(strings.NewReplacer("~", "~0", "/", "~1").Replace(name))
}

// hasHugeNumber is whether a number in a text has an exponent of many digits.
func hasHugeNumber(text []byte) bool {
	for at := 0; at < len(text); at++ {
		switch c := text[at]; {
		case c == '"':
			at = stringEnd(text, at) - 1
		case c >= '0' && c <= '9':
			number := text[at:valueEnd(text, at)]
			at += len(number) - 1
			e := bytes.IndexAny(number, "eE")
			if e >= 0 && len(bytes.TrimLeft(number[e+1:], "+-0")) > exponentDigitsMax {
				return true
			}
		}
	}
	return false
}

// patternsOf is how large the patterns are that are anywhere in a document. What
// is no pattern counts nothing: the compiler refuses it.
func patternsOf(v any) int {
	n := 0
	switch v := v.(type) {
	case []any:
		for _, item := range v {
			n += patternsOf(item)
		}
	case map[string]any:
		for name, member := range v {
			n += patternsOf(member)
			if under, ok := member.(map[string]any); ok && name == "patternProperties" {
				for pattern := range under {
					n += patternSize(pattern)
				}
			}
			if pattern, ok := member.(string); ok && name == "pattern" {
				n += patternSize(pattern)
			}
		}
	}
	return n
}

func patternSize(pattern string) int {
	tree, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return 0
	}
	return writtenOut(tree)
}

// writtenOut is about how many instructions a pattern becomes.
func writtenOut(re *syntax.Regexp) int {
	n := 1 + len(re.Rune)
	for _, sub := range re.Sub {
		n += writtenOut(sub)
	}
	if re.Op == syntax.OpRepeat {
		n *= max(re.Min+1, re.Max, 1)
	}
	return n
}

// object returns what a compiled schema was compiled from; nil for true and false.
func (s *schema) object(of *jsonschema.Schema) map[string]any {
	_, pointer, _ := strings.Cut(of.Location, "#")
	at := s.doc
	for token := range strings.SplitSeq(strings.TrimPrefix(pointer, "/"), "/") {
		if pointer == "" {
			break
		}
		plain, err := url.PathUnescape(token)
		if err != nil {
			return nil
		}
		plain = strings.NewReplacer("~1", "/", "~0", "~").Replace(plain)
		switch v := at.(type) {
		case map[string]any:
			at = v[plain]
		case []any:
			i, err := strconv.Atoi(plain)
			if err != nil || i >= len(v) {
				return nil
			}
			at = v[i]
		}
	}
	object, _ := at.(map[string]any)
	return object
}

// asText writes a value of a schema as JSON text.
func asText(v any) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		panic("jsonbin: parsed JSON can't be written: " + err.Error())
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}
