package jsonbin

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

func found(t *testing.T, record, path string) (string, error) {
	t.Helper()
	values, err := matches(t.Context(), []byte(record), path)
	return "[" + string(bytes.Join(values, []byte(","))) + "]", err
}

const store = `{"users":[{"name":"Ann","age":30,"city":"Oslo","tags":["a","b"]},` +
	`{"name":"Bob","age":20.0,"city":"Rome"},{"name":"Cid","age":4e1,"city":"Bern","x":null}],` +
	`"limit":25,"big":9007199254740993,"a b":1,"o":{"p":{"q":1,"p":2},"q":"é"}}`

func TestJSONPath(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ path, want string }{
		{"$", "[" + store + "]"},
		{"$.limit", "[25]"},
		{"limit", "[25]"},
		{".limit", "[25]"},
		{"$['limit']", "[25]"},
		{`$["limit"]`, "[25]"},
		{`$['\u006cimit']`, "[25]"},
		{"$[limit]", "[25]"},
		{"$['a b']", "[1]"},
		{"$.missing", "[]"},
		{"users[0].name", `["Ann"]`},
		{"$.users[2].age", "[4e1]"},
		{"$.users[-1].name", `["Cid"]`},
		{"$.users[-1:].name", `["Cid"]`},
		{"$.users[9]", "[]"},
		{"$.users[(@.length-1)].name", `["Cid"]`},
		{"$.users[( @.length - 3 )].name", `["Ann"]`},
		{"$.users[(@.length+0)].name", "[]"},
		{"$.users[1,0].name", `["Ann","Bob"]`},
		{"$.users[0,0].name", `["Ann"]`},
		{"$.users[0:2].name", `["Ann","Bob"]`},
		{"$.users[::2].name", `["Ann","Cid"]`},
		{"$.users[::-1].name", `["Ann","Bob","Cid"]`},
		{"$.users[2:0:-1].name", `["Bob","Cid"]`},
		{"$.users[1:].name", `["Bob","Cid"]`},
		{"$.users[:-2].name", `["Ann"]`},
		{"$.users[::0].name", "[]"},
		{"$.users[*].name", `["Ann","Bob","Cid"]`},
		{"$.users.*.name", `["Ann","Bob","Cid"]`},
		{"*.name", "[]"},
		{"o.*", `[{"q":1,"p":2},"é"]`},
		{"$.o['q','p']", `[{"q":1,"p":2},"é"]`},
		{"$.o[q,p]", `[{"q":1,"p":2},"é"]`},
		{"$..name", `["Ann","Bob","Cid"]`},
		{"users..name", `["Ann","Bob","Cid"]`},
		{"$..p", `[{"q":1,"p":2},2]`},
		{"$..p..p", "[2]"},
		{"$..*..p", `[{"q":1,"p":2},2]`},
		{"$..tags[0]", `["a"]`},
		{"$..[0]", `[{"name":"Ann","age":30,"city":"Oslo","tags":["a","b"]},"a"]`},
		{`$.users[?(@.age>20 && @.city!="Oslo")].name`, `["Cid"]`},
		{"$.users[?(@.age>=20)].name", `["Ann","Bob","Cid"]`},
		{"$.users[?(@.age==20)].name", `["Bob"]`},
		{"$.users[?(@.age==40)].name", `["Cid"]`},
		{"$.users[?(@.age<$.limit)].name", `["Bob"]`},
		{"$.users[?(@.tags)].name", `["Ann"]`},
		{"$.users[?(!@.tags)].name", `["Bob","Cid"]`},
		{"$.users[?(@.x)].name", `["Cid"]`},
		{"$.users[?(@.x==null)].name", `["Cid"]`},
		{"$.users[?(@.tags[0]=='a')].name", `["Ann"]`},
		{"$.users[?(@.name=='Ann' || (@.name == 'Cid' && !(@.age<40)))].name", `["Ann","Cid"]`},
		{"$.users[?(@.name<='Bob')].name", `["Ann","Bob"]`},
		{"$.users[?(@.nothing!='x')].name", `["Ann","Bob","Cid"]`},
		{"$.users[?(@.nothing<1)].name", "[]"},
		{"$.users[?(@.name>1)].name", "[]"},
		{"$.users[?@.age==30].name", `["Ann"]`},
		{"$.users[?(@..tags)].name", `["Ann"]`},
		{"$[?(@==9007199254740992)]", "[]"},
		{"$[?(@==9007199254740993)]", "[9007199254740993]"},
		{"$[?(@.q==\"é\")].q", `["é"]`},
		{"$.users[?(@ == 1)]", "[]"},
	} {
		if got, err := found(t, store, tt.path); err != nil || got != tt.want {
			t.Errorf("%s: %s %v, want %s", tt.path, got, err, tt.want)
		}
	}
}

// Members with one name are all matched; names are compared by what they say;
// what is found keeps its spelling.
func TestJSONPathKeepsSpelling(t *testing.T) {
	t.Parallel()
	const record = `{"a":1.50,"\u0061":"\u00e9","b":{"a":1E2,"a":[]}}`
	for path, want := range map[string]string{
		"$.a": `[1.50,"\u00e9"]`, "$..a": `[1.50,"\u00e9",1E2,[]]`, "$[?(@=='é')]": `["\u00e9"]`, "$[?(@.a==1)]": "[]",
		"$[?(@==1.5)]": "[1.50]",
	} {
		if got, err := found(t, record, path); err != nil || got != want {
			t.Errorf("%s: %s %v, want %s", path, got, err, want)
		}
	}
}

func TestJSONPathRefuses(t *testing.T) {
	t.Parallel()
	for _, path := range []string{
		"", "$.", "$..", "$[", "$[]", "$[0", "$['a]", "$.a()", "$.length()", "a(", "$[?(@.a", "$[?(@.a=~/x/)]", "$[?(@.a=~'x')]", "$[?(@.match(/x/))]",
		"$[(1+1)]", "$[(@.size-1)]", "$[(@.length*2)]", "$[(@.length-@.x)]", "$[?(1)]", "$[?()]", "$[?(@.a==)]", "$[?(@.a==[1])]",
		"$[?(@.*==1)]", "$[?(@..a==1)]", "$[?(@.a==1 &&)]", "$[?(@.a=1)]", "$[?(!@.a==1)]", "$$", "@", "@.a", "$.a b", "$[a b]", "$ .a", "$.a[0]x",
		"$[99999999999999999999]", "$[1a]", "$[-]", "$['\\x']", "$[1:2:3:4]", "$.a^", "$.a~", "$;x", "\xff", "$[?(process.exit())]", "$[?(@.a==undefined)]",
		strings.Repeat("a", pathCharsMax+1),
	} {
		if got, err := found(t, store, path); !errors.Is(err, errPath) {
			t.Errorf("%.80q: %s %v", path, got, err)
		}
	}
	if _, err := found(t, store, strings.Repeat("é", pathCharsMax)); err != nil {
		t.Error("the length is counted in characters:", err)
	}
}

func TestJSONPathBounds(t *testing.T) {
	t.Parallel()
	many := "[" + strings.TrimSuffix(strings.Repeat("1,", pathNodesMax), ",") + "]"
	if values, err := find(t.Context(), []byte(many), "$[*]"); err != nil || len(values) != pathNodesMax {
		t.Errorf("%d nodes: %d %v", pathNodesMax, len(values), err)
	}
	more := strings.TrimSuffix(many, "]") + ",1]"
	if _, err := found(t, more, "$[*]"); !errors.Is(err, errPath) {
		t.Errorf("a node more: %v", err)
	}
	if got, err := found(t, more, "$[0]"); err != nil || got != "[1]" {
		t.Errorf("the first of too many: %s %v", got, err)
	}
	late, cancel := context.WithTimeout(t.Context(), -1)
	defer cancel()
	if _, err := matches(late, []byte(many), "$..a"); !errors.Is(err, errPath) {
		t.Errorf("after its time: %v", err)
	}
	deep := nested(`[`, fmt.Sprintf("%q", strings.Repeat("x", 1<<20)), `]`, depthMax)
	start := time.Now()
	if got, err := found(t, deep, "$..*"); !errors.Is(err, errPath) {
		t.Errorf("an answer of %d bytes: %v", len(got), err)
	}
	if took := time.Since(start); took > 5*pathTimeMax {
		t.Errorf("it took %s", took)
	}
}

// FuzzJSONPath holds each answer against rules that all have: matches are
// values of the record, in its order, each once; a path and the same path from
// the root are one.
func FuzzJSONPath(f *testing.F) {
	for _, path := range []string{"$", "..name", "users[?(@.age>20 && @.city!=\"Oslo\")]", "$..[::-2]", "$.users[(@.length-1)]", "a..b[*,'c',0]", "$[?(!(@.a||@.b))]"} {
		f.Add(path, []byte(store))
	}
	f.Fuzz(func(t *testing.T, path string, body []byte) {
		record, ok := compact(body)
		if !ok || len(record) > 4096 {
			return
		}
		values, err := matches(t.Context(), record, path)
		if err != nil {
			if !errors.Is(err, errPath) {
				t.Fatal(err)
			}
			return
		}
		last := -1
		for _, v := range values {
			at := cap(record) - cap(v) // where it lies in the record
			if at <= last || valueEnd(record, at) != at+len(v) {
				t.Fatalf("%q in %q: %q at %d after %d", path, record, v, at, last)
			}
			last = at
		}
	})
}
