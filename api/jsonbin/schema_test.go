package jsonbin

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"ringbin/storage"
)

// judge validates a record against a schema and returns the message.
func judge(t *testing.T, schema, record string) string {
	t.Helper()
	doc, ok := compact([]byte(schema))
	if !ok {
		t.Fatalf("no JSON: %s", schema)
	}
	s, err := compileSchema(doc)
	if err != nil {
		t.Fatalf("%s: %v", schema, err)
	}
	text, ok := compact([]byte(record))
	if !ok {
		t.Fatalf("no record: %s", record)
	}
	m, err := s.validate(t.Context(), text)
	if err != nil {
		t.Fatal(err)
	}
	if m == nil {
		return ""
	}
	return strings.TrimPrefix(m.String(), "Schema Doc Validation Mismatch: ")
}

// Each keyword has its text; in each row the first record is valid.
func TestKeywords(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ keyword, good, bad, want string }{
		{`"type":"string"`, `"x"`, `1`, "Should be string"},
		{`"type":["string","null"]`, `null`, `1`, "Should be string,null"},
		{`"type":"integer"`, `1.0`, `1.5`, "Should be integer"},
		{`"type":"integer"`, `1e3`, `"1"`, "Should be integer"},
		{`"type":"number"`, `1.5`, `true`, "Should be number"},
		{`"required":["x","y"]`, `{"x":1,"y":2}`, `{"x":1}`, "Should have required property 'y'"},
		{`"enum":[1,"a",{"b":[2]}]`, `{"b":[2.0]}`, `"b"`, "Should be equal to one of the allowed values"},
		{`"const":1.50`, `15e-1`, `1.51`, "Should be equal to constant"},
		{`"const":9007199254740993`, `9007199254740993`, `9007199254740992`, "Should be equal to constant"},
		{`"not":{"type":"null"}`, `1`, `null`, "Should NOT be valid"},
		{`"minimum":3`, `3.0`, `2.99`, "Should be >= 3"},
		{`"maximum":3`, `3`, `1e400`, "Should be <= 3"},
		{`"exclusiveMinimum":3`, `3.1`, `3`, "Should be > 3"},
		{`"exclusiveMaximum":0.1`, `0.09`, `0.1`, "Should be < 0.1"},
		{`"minLength":2`, `"éé"`, `"é"`, "Should NOT be shorter than 2 characters"},
		{`"maxLength":2`, `"\u00e9\u00e9"`, `"abc"`, "Should NOT be longer than 2 characters"},
		{`"multipleOf":0.01`, `19.99`, `19.995`, "Should be multiple of 0.01"},
		{`"pattern":"^a"`, `"ab"`, `"ba"`, `Should match pattern "^a"`},
		{`"format":"email"`, `"a@b.c"`, `"a"`, `Should match format "email"`},
		{`"format":"date"`, `"2026-01-31"`, `"2026-02-31"`, `Should match format "date"`},
		{`"format":"time"`, `"10:00:00Z"`, `"x"`, `Should match format "time"`},
		{`"format":"date-time"`, `"2026-01-31T10:00:00Z"`, `"x"`, `Should match format "date-time"`},
		{`"format":"hostname"`, `"a.example"`, `"-"`, `Should match format "hostname"`},
		{`"format":"ipv4"`, `"1.2.3.4"`, `"1.2.3"`, `Should match format "ipv4"`},
		{`"format":"ipv6"`, `"::1"`, `"1.2.3.4"`, `Should match format "ipv6"`},
		{`"format":"uri"`, `"http://a/b"`, `"b"`, `Should match format "uri"`},
		{`"format":"uuid"`, `"2eb8aa08-aa98-11ea-b4aa-73b441d16380"`, `"2eb8aa08"`, `Should match format "uuid"`},
		{`"format":"regex"`, `"a+"`, `"(?=a)"`, `Should match format "regex"`},
		{`"format":"json-pointer"`, `"/a"`, `"a"`, `Should match format "json-pointer"`},
		{`"uniqueItems":true`, `[1,"1",[1]]`, `[1,2,{"a":1,"b":2},1.0,{"b":2,"a":1}]`, "Should NOT have duplicate items (items ## 0 and 3 are identical)"},
		{`"minItems":1`, `[1]`, `[]`, "Should NOT have fewer than 1 items"},
		{`"maxItems":1`, `[1]`, `[1,2]`, "Should NOT have more than 1 items"},
		{`"contains":{"type":"null"}`, `[1,null]`, `[1]`, "Should contain a valid item"},
		{`"minProperties":1`, `{"a":1}`, `{}`, "Should NOT have fewer than 1 properties"},
		{`"maxProperties":1`, `{"a":1}`, `{"a":1,"b":2}`, "Should NOT have more than 1 properties"},
		{`"items":[true],"additionalItems":false`, `[1]`, `[1,2]`, "Should NOT have more than 1 items"},
		{`"properties":{"a":true},"patternProperties":{"^x":true},"additionalProperties":false`, `{"a":1,"xy":2}`, `{"b":1}`, "Should NOT have additional properties"},
		{`"dependencies":{"a":["b"]}`, `{"b":1}`, `{"a":1}`, "Should have property b when property a is present"},
		{`"dependencies":{"a":{"required":["b"]}}`, `{"a":1,"b":1}`, `{"a":1}`, "Should have required property 'b'"},
		{`"propertyNames":{"maxLength":1}`, `{"a":1}`, `{"ab":1}`, "Property name 'ab' is invalid"},
		{`"anyOf":[{"type":"null"},{"type":"string"}]`, `"x"`, `1`, "Should match some schema in anyOf"},
		{`"oneOf":[{"type":"number"},{"minimum":3}]`, `1`, `4`, "Should match exactly one schema in oneOf"},
		{`"oneOf":[{"type":"null"},{"type":"string"}]`, `null`, `4`, "Should match exactly one schema in oneOf"},
		{`"allOf":[{"minimum":1},{"maximum":2}]`, `2`, `3`, "Should be <= 2"},
		{`"if":{"type":"string"},"then":{"minLength":1},"else":{"minimum":1}`, `"x"`, `""`, "Should NOT be shorter than 1 characters"},
		{`"if":{"type":"string"},"then":{"minLength":1},"else":{"minimum":1}`, `1`, `0`, "Should be >= 1"},
		{`"$ref":"#/definitions/a","minimum":5`, `3`, `2`, "Should be >= 3"},
		{`"properties":{"a":false}`, `{"b":1}`, `{"a":1}`, ""},
	} {
		schema := `{"definitions":{"a":{"minimum":3}},"properties":{"v":{` + tt.keyword + `}}}`
		if got := judge(t, schema, `{"v":`+tt.good+`}`); got != "" {
			t.Errorf("%s refuses %s: %s", tt.keyword, tt.good, got)
		}
		want := ".v " + tt.want
		if tt.want == "" {
			want = ".v.a Boolean schema is false"
		}
		if got := judge(t, schema, `{"v":`+tt.bad+`}`); got != want {
			t.Errorf("%s with %s: %q, want %q", tt.keyword, tt.bad, got, want)
		}
	}
}

// Keywords say nothing of values of other types.
func TestKeywordsOfOtherTypes(t *testing.T) {
	t.Parallel()
	const schema = `{"items":{"minimum":3,"maxLength":1,"pattern":"x","format":"email","minItems":3,"uniqueItems":true,"required":["a"],
		"minProperties":1,"multipleOf":7,"propertyNames":false,"additionalProperties":false,"dependencies":{"a":["b"]},"contains":false}}`
	if got := judge(t, schema, `[null,true]`); got != "" {
		t.Error(got)
	}
	if got := judge(t, `{"items":{"format":"duration"}}`, `["x"]`); got != "" {
		t.Errorf("a format that is not asserted: %s", got)
	}
}

func TestWhichMismatch(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ schema, record, want string }{
		{`{"required":["username"]}`, `{"a":1}`, " Should have required property 'username'"},
		{`{"properties":{"user":{"properties":{"tags":{"items":{"type":"string"}}}}}}`, `{"user":{"tags":[1]}}`, ".user.tags[0] Should be string"},
		{`{"additionalProperties":{"type":"string"}}`, `{"a-b":1}`, "['a-b'] Should be string"},
		{`{"additionalProperties":{"type":"string"}}`, `{"it's":1}`, `['it\'s'] Should be string`},
		{`{"additionalProperties":{"type":"string"}}`, `{"":1}`, `[''] Should be string`},
		{`{"additionalProperties":{"type":"string"}}`, `{"$a_1":1}`, ".$a_1 Should be string"},
		{`{"additionalProperties":{"type":"string"}}`, `{"z":1,"a":1}`, ".z Should be string"},
		{`{"properties":{"a":{"type":"string"}},"required":["b"]}`, `{"a":1}`, " Should have required property 'b'"},
		{`{"properties":{"a":{"type":"string"}},"allOf":[{"required":["b"]}]}`, `{"a":1}`, " Should have required property 'b'"},
		{`{"additionalProperties":false,"required":["b"]}`, `{"a":1}`, " Should have required property 'b'"},
		{`{"required":["b"],"type":"array"}`, `{"a":1}`, " Should be array"},
		{`{"items":{"pattern":"^a","minLength":3,"enum":["x"]}}`, `["b"]`, "[0] Should be equal to one of the allowed values"},
		{`{"items":{"patternProperties":{"a":{"minimum":3},"b":{"minimum":2}}}}`, `[{"ab":1}]`, "[0].ab Should be >= 3"},
		{`{"properties":{"a":{"properties":{"b":{"type":"null"}}},"c":{"type":"null"}}}`, `{"a":{"b":1},"c":1}`, ".a.b Should be null"},
		{`{"properties":{"n":{"$ref":"#"}},"required":["v"]}`, `{"v":1,"n":{"v":1,"n":{}}}`, ".n.n Should have required property 'v'"},
		{`{"items":[{"type":"string"},{"type":"number"}],"additionalItems":{"type":"null"}}`, `["a",1,2]`, "[2] Should be null"},
		{`{"properties":{"a":{"type":"string"}}}`, `{"a":1,"a":"x"}`, ".a Should be string"},
	} {
		if got := judge(t, tt.schema, tt.record); got != tt.want {
			t.Errorf("%s with %s: %q, want %q", tt.schema, tt.record, got, tt.want)
		}
	}
}

func TestSchemasRefused(t *testing.T) {
	t.Parallel()
	for schema, want := range map[string]string{
		`{"pattern":"(` + strings.Repeat("a", 300) + `){1000}"}`: invalidSchema,

		`{"default":{"patternProperties":{"(` + strings.Repeat("a?", 150) + `){999,}":true}},"$ref":"#/default"}`: invalidSchema,

		`["type"]`:                   invalidSchema,
		`{"type":"strange"}`:         invalidSchema,
		`{"required":"x"}`:           invalidSchema,
		`{"pattern":"(?=a)"}`:        invalidSchema,
		`{"minimum":1e9999}`:         invalidSchema,
		`{"multipleOf":0}`:           invalidSchema,
		`{"$ref":"#/definitions/x"}`: invalidSchema,
		`{"definitions":{"a":{"$ref":"#/none"}},"type":"object"}`:    invalidSchema,
		`{"$schema":"http://json-schema.org/draft-04/schema#"}`:      invalidSchema,
		`{"$schema":"https://json-schema.org/draft/2020-12/schema"}`: invalidSchema,
		`{"$schema":7}`:                                      invalidSchema,
		`{"$ref":"http://example.com/x.json"}`:               remoteRef,
		`{"$ref":"file:///etc/passwd"}`:                      remoteRef,
		`{"$ref":"other.json"}`:                              remoteRef,
		`{"$ref":"http://json-schema.org/draft-07/schema#"}`: remoteRef,
		`{"definitions":{"a":{"$ref":"http://example.com/x.json#/a"}},"type":"object"}`: remoteRef,
		`{"properties":{"a":{"items":[{"$ref":"http://example.com/x.json"}]}}}`:         remoteRef,
		`{"$id":"http://example.com/a.json","properties":{"a":{"$ref":"b.json"}}}`:      remoteRef,
	} {
		doc, ok := compact([]byte(schema))
		if !ok {
			t.Fatal(schema)
		}
		_, err := compileSchema(doc)
		if e, ok := errors.AsType[*storage.Error](err); !ok || e.Text != want || e.Kind != storage.KindInvalid {
			t.Errorf("%s: %v, want %s", schema, err, want)
		}
	}
}

func TestSchemasTaken(t *testing.T) {
	t.Parallel()
	for _, schema := range []string{
		`{"pattern":"^[a-z]{1,1000}$"}`,
		`{"$schema":"http://json-schema.org/draft-07/schema#","type":"object"}`,
		`{"$schema":"http://json-schema.org/draft-06/schema","type":"object"}`,
		`{"$id":"http://example.com/a.json","properties":{"a":{"$ref":"a.json#/definitions/b"}},"definitions":{"b":{"type":"string"}}}`,
		`{"properties":{"a":{"$ref":"item.json"}},"definitions":{"b":{"$id":"item.json","type":"string"}}}`,
		`{"properties":{"a":{"$ref":"#name"}},"definitions":{"b":{"$id":"#name","type":"string"}}}`,
		`{"properties":{"a":{"$ref":"#/definitions/a~1b%25"}},"definitions":{"a/b%":{"type":"string"}}}`,
		`{"properties":{"$ref":{"type":"string"},"$schema":{"type":"string"}}}`,
		`{"enum":[{"$ref":"http://example.com/"}],"default":{"$schema":"x"},"const":{"$ref":"x"}}`,
	} {
		doc, _ := compact([]byte(schema))
		s, err := compileSchema(doc)
		if err != nil {
			t.Errorf("%s: %v", schema, err)
			continue
		}
		if _, err := s.validate(t.Context(), []byte(`{"a":1}`)); err != nil {
			t.Error(err)
		}
		if strings.Contains(schema, `{"a":{"$ref"`) {
			if got := judge(t, schema, `{"a":1}`); got != ".a Should be string" {
				t.Errorf("%s: %s", schema, got)
			}
		}
	}
}

// What a schema asks for has an end, also where it goes in circles or doubles
// at each step.
func TestValidationIsBounded(t *testing.T) {
	t.Parallel()
	if got := judge(t, `{"allOf":[{"$ref":"#"}],"anyOf":[{"$ref":"#/definitions/a"}],"definitions":{"a":{"$ref":"#/definitions/a"}}}`, `[1]`); got != "" {
		t.Error(got)
	}
	var b strings.Builder
	b.WriteString(`{"anyOf":[{"$ref":"#/definitions/a60"}],"definitions":{"a0":{"type":"null"}`)
	for i := 1; i <= 60; i++ {
		before, this := "a"+itoa(i-1), "a"+itoa(i)
		b.WriteString(`,"` + this + `":{"anyOf":[{"$ref":"#/definitions/` + before + `"},{"$ref":"#/definitions/` + before + `"}]}`)
	}
	b.WriteString("}}")
	for _, schema := range []string{b.String(), `{"not":{"$ref":"#"}}`} {
		doc, _ := compact([]byte(schema))
		s, err := compileSchema(doc)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		_, err = s.validate(ctx, []byte(`[1]`))
		cancel()
		if storage.KindOf(err) != storage.KindUnavailable {
			t.Errorf("%.40s: %v", schema, err)
		}
	}
}

// Time runs out also within one keyword, and between what no keyword is for.
func TestValidationIsBoundedByBytes(t *testing.T) {
	t.Parallel()
	names := func(n int, one string) string {
		all := make([]string, n)
		for i := range all {
			all[i] = strings.ReplaceAll(one, "#", itoa(i))
		}
		return strings.Join(all, ",")
	}
	members := "{" + names(300_000, `"m#":1`) + "}"
	deep := strings.Repeat("[", 900) + names(500_000, "1") + strings.Repeat("]", 900)
	for name, tt := range map[string]struct{ schema, record string }{
		"patternProperties": {`{"patternProperties":{` + names(5000, `"^z#$":true`) + `}}`, members},
		"dependencies":      {`{"dependencies":{` + names(5000, `"z#":{"type":"object"}`) + `}}`, members},
		"names needed":      {`{"dependencies":{` + names(5000, `"z#":["a"]`) + `}}`, members},
		"uniqueItems":       {`{"uniqueItems":true}`, deep},
		"enum":              {`{"anyOf":[` + names(500, `{"enum":[#]}`) + `]}`, deep},
		"pattern":           {`{"items":{"pattern":"((a?){50}){20}b"}}`, `["` + strings.Repeat("a", 1_000_000) + `"]`},
	} {
		s, err := compileSchema([]byte(tt.schema))
		if err != nil {
			t.Fatal(name, err)
		}
		const least = 100 * time.Millisecond
		ctx, cancel := context.WithTimeout(t.Context(), least)
		start := time.Now()
		_, err = s.validate(ctx, []byte(tt.record))
		cancel()
		if storage.KindOf(err) != storage.KindUnavailable || time.Since(start) > 20*least {
			t.Errorf("%s: %v after %v", name, err, time.Since(start))
		}
	}
}

func itoa(n int) string { return string(asText(n)) }

func FuzzSchema(f *testing.F) {
	f.Add([]byte(`{"properties":{"a":{"type":["string","null"]}},"required":["b"],"$ref":"#/definitions/x"}`), []byte(`{"a":1}`))
	f.Add([]byte(`{"items":[{"const":1e2}],"additionalItems":false,"definitions":{"x":{"$id":"y"}}}`), []byte(`[100]`))
	f.Fuzz(func(t *testing.T, schema, body []byte) {
		doc, ok := compact(schema)
		if !ok || len(doc) > 2048 {
			return
		}
		s, err := compileSchema(doc)
		if err != nil {
			if storage.KindOf(err) != storage.KindInvalid {
				t.Fatal(err)
			}
			return
		}
		record, ok := compact(body)
		if !ok || len(record) > 2048 {
			return
		}
		first, err := s.validate(t.Context(), record)
		if err != nil {
			return
		}
		second, _ := s.validate(t.Context(), record)
		if (first == nil) != (second == nil) || first != nil && first.String() != second.String() {
			t.Fatalf("%q with %q: %v, then %v", doc, record, first, second)
		}
	})
}
