package dialogue

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// compare holds an answer against the second half of a section.
func (k *talk) compare(t *testing.T, want string, a Answer) error {
	t.Helper()
	k.kept = map[string]string{}
	head, body, _ := strings.Cut(want, "\n\n")
	lines := strings.Split(strings.TrimRight(head, "\n"), "\n")
	var faults []error
	if strconv.Itoa(a.Status) != strings.TrimSpace(lines[0]) {
		faults = append(faults, fmt.Errorf("status %d, want %s: %s", a.Status, lines[0], a.Body))
	}
	for _, line := range lines[1:] {
		faults = append(faults, k.compareHeader(t, line, a))
	}
	return errors.Join(append(faults, k.compareBody(t, k.expand(t, strings.TrimRight(body, "\n")), a))...)
}

func (k *talk) compareHeader(t *testing.T, line string, a Answer) error {
	t.Helper()
	switch line {
	case "!continued", "!not-continued":
		if a.Continued != (line == "!continued") {
			return fmt.Errorf("100 Continue came: %t", a.Continued)
		}
		return nil
	}
	name, value, _ := strings.Cut(line, ":")
	value = strings.TrimSpace(value)
	got := a.Header.Values(name)
	if value == "<absent>" {
		if len(got) > 0 {
			return fmt.Errorf("header %s is %q, want none", name, got)
		}
		return nil
	}
	if err := k.match(t, k.expand(t, value), strings.Join(got, ", ")); err != nil {
		return fmt.Errorf("header %s: %w", name, err)
	}
	return nil
}

func (k *talk) compareBody(t *testing.T, want string, a Answer) error {
	t.Helper()
	word, arg, _ := strings.Cut(want, " ")
	if write := k.dialect.Shorthands[word]; write != nil {
		var err error
		if want, err = write(arg, k.vars); err != nil {
			t.Fatal(err)
		}
	}
	if a.Header.Get("Content-Type") != "application/json" || !strings.HasPrefix(want, "{") {
		got := string(a.Body)
		if strings.HasPrefix(a.Header.Get("Content-Type"), "multipart/") {
			got = strings.TrimRight(strings.ReplaceAll(got, "\r\n", "\n"), "\n")
		}
		if err := k.match(t, want, got); err != nil {
			return fmt.Errorf("body: %w", err)
		}
		return nil
	}
	wanted, got := decode(t, want), decode(t, string(a.Body))
	if err := k.same(t, "body", wanted, got); err != nil {
		return fmt.Errorf("%w\nin %s", err, a.Body)
	}
	return nil
}

func decode(t *testing.T, s string) any {
	t.Helper()
	dec := json.NewDecoder(strings.NewReader(s))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		t.Fatalf("%v in %s", err, s)
	}
	return v
}

// same compares JSON, member by member in the order of their names.
func (k *talk) same(t *testing.T, at string, want, got any) error {
	t.Helper()
	switch w := want.(type) {
	case map[string]any:
		return k.sameObject(t, at, w, got)
	case []any:
		g, ok := got.([]any)
		if len(w) > 0 && w[0] == "<unordered>" {
			return k.sameSet(t, at, w[1:], g)
		}
		if !ok || len(g) != len(w) {
			return fmt.Errorf("%s is %v, want a list of %d", at, got, len(w))
		}
		for i := range w {
			if err := k.same(t, fmt.Sprintf("%s[%d]", at, i), w[i], g[i]); err != nil {
				return err
			}
		}
		return nil
	case string:
		switch g := got.(type) {
		case string:
			if err := k.match(t, w, g); err != nil {
				return fmt.Errorf("%s: %w", at, err)
			}
			return nil
		case json.Number:
			if w == "<int>" {
				return nil
			}
		}
		if w == "<any>" {
			return nil
		}
	default:
		if want == got {
			return nil
		}
	}
	return fmt.Errorf("%s is %v, want %v", at, got, want)
}

func (k *talk) sameObject(t *testing.T, at string, want map[string]any, got any) error {
	t.Helper()
	g, ok := got.(map[string]any)
	if !ok {
		return fmt.Errorf("%s is %v, want an object", at, got)
	}
	names := slices.Sorted(keys(want))
	for name := range g {
		if _, ok := want[name]; !ok {
			return fmt.Errorf("%s has %s", at, name)
		}
	}
	for _, name := range names {
		v, ok := g[name]
		if !ok {
			return fmt.Errorf("%s lacks %s", at, name)
		}
		if err := k.same(t, at+"."+name, want[name], v); err != nil {
			return err
		}
	}
	return nil
}

// sameSet compares lists whose order is not given: what was made within one
// second has none.
func (k *talk) sameSet(t *testing.T, at string, want, got []any) error {
	t.Helper()
	if len(want) != len(got) {
		return fmt.Errorf("%s has %d items, want %d", at, len(got), len(want))
	}
	left := slices.Clone(got)
	for i, w := range want {
		n := slices.IndexFunc(left, func(g any) bool {
			kept := maps.Clone(k.kept)
			if k.same(t, at, w, g) == nil {
				return true
			}
			k.kept = kept
			return false
		})
		if n < 0 {
			return fmt.Errorf("%s has none like %v (item %d)", at, w, i)
		}
		left = slices.Delete(left, n, n+1)
	}
	return nil
}

var commonKinds = map[string]string{
	"any": `.*`, "text": `.+`, "int": `-?\d+`, "time": `\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ`,
}

// match compares a text with one that may hold placeholders, and keeps what they ask for.
func (k *talk) match(t *testing.T, want, got string) error {
	t.Helper()
	var pattern strings.Builder
	var keep []string
	pattern.WriteString(`(?s)\A`)
	at := 0
	for _, m := range k.dialect.pattern.FindAllStringSubmatchIndex(want, -1) {
		pattern.WriteString(regexp.QuoteMeta(want[at:m[0]]))
		at = m[1]
		if m[2] >= 0 {
			pattern.WriteString("(" + k.dialect.Kinds[want[m[2]:m[3]]] + ")")
			name := ""
			if m[4] >= 0 {
				name = want[m[4]:m[5]]
			}
			keep = append(keep, name)
			continue
		}
		pattern.WriteString(regexp.QuoteMeta(k.later(t, want[m[6]:m[7]], want[m[8]:m[9]], want[m[10]:m[11]])))
	}
	pattern.WriteString(regexp.QuoteMeta(want[at:]) + `\z`)
	values := regexp.MustCompile(pattern.String()).FindStringSubmatch(got)
	if values == nil {
		return fmt.Errorf("%q, want %q", got, want)
	}
	for i, name := range keep {
		if name == "" {
			continue
		}
		if kept, ok := k.kept[name]; ok && kept != values[i+1] {
			return fmt.Errorf("%q, but %s was %q elsewhere", got, name, kept)
		}
		k.kept[name], k.vars[name] = values[i+1], values[i+1]
	}
	return nil
}

var spans = map[string]time.Duration{"d": 24 * time.Hour, "h": time.Hour, "s": time.Second}

// later is a kept time and so much, written as it was.
func (k *talk) later(t *testing.T, name, count, unit string) string {
	t.Helper()
	layout := time.RFC3339
	if !strings.Contains(k.vars[name], "T") {
		layout = time.DateTime
	}
	at, err := time.Parse(layout, k.vars[name])
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(count)
	if err != nil {
		t.Fatal(err)
	}
	return at.Add(time.Duration(n) * spans[unit]).Format(layout)
}
