package hashbin_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/tools/txtar"

	"ringbin/storage"
)

// A dialogue is a txtar archive that runs against a node of its own. Its
// comment says what it is about, and may define variables, each on a line
// NAME = value. Each section is a request and what has to come back:
//
//	-- what it shows --
//	POST /api/content?retention_months=1
//	Authorization: Bearer $KEY
//	!chunked
//
//	the body, without its last newline
//	=> 201
//	Content-Type: application/json
//
//	{"cid": "$TEN", "size": 10, "expiration": "<time=UNTIL>"}
//
// Variables are $NAME. Given are $OPERATOR, the operator's token, and $ACCOUNT,
// $KEY and $KEYID of an account with $10.00. ${cid:TEXT} is the CID of a text,
// ${repeat:N:TEXT} is a text N times, ${cid:repeat:N:TEXT} is that one's CID.
//
// Lines with ! change how the request is sent or what is expected: !chunked,
// !cut (the client leaves before the body's end), !admin-port, !times N (with
// $N), and after the status !continued and !not-continued (100 Continue).
// Bodies of multipart requests are sent with CRLF.
//
// Expected headers and bodies may hold placeholders: <any>, <text> (not empty),
// <int>, <time>, <id>, <key>; <time=NAME> keeps what came in a variable, and
// <NAME+30d> is a time that many days after one kept. <absent> is a header that
// must not be there. A list that begins with "<unordered>" is compared as a set.
// A JSON body has exactly the members given; "error CODE
// DETAILS" stands for an error with any sentence. Every answer is held against
// the OpenAPI document too, and an upload that fails must leave balance,
// history and list as they were.
type dialogue struct {
	rig  *rig
	vars map[string]string
}

// codesOfOneNode are the codes below 500 that one node can be brought to
// without waiting for a day; auth_expired and idempotency_in_progress have
// tests of their own.
var codesOfOneNode = []string{
	"invalid_json", "invalid_parameter", "missing_header", "invalid_header", "invalid_cid", "hash_mismatch", "incomplete_body",
	"missing_content", "key_limit_reached", "auth_missing", "auth_invalid", "auth_revoked", "account_disabled",
	"insufficient_balance", "content_not_found", "not_found", "endpoint_not_found", "method_not_allowed", "email_taken",
	"precondition_failed", "payload_too_large", "range_not_satisfiable", "idempotency_conflict", "rate_limited",
}

func TestDialogues(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal(err, files)
	}
	var ran atomic.Int64
	t.Run("files", func(t *testing.T) {
		t.Parallel()
		for _, file := range files {
			t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
				t.Parallel()
				ar, err := txtar.ParseFile(file)
				if err != nil {
					t.Fatal(err)
				}
				newDialogue(t, ar).run(t, ar)
				ran.Add(1)
			})
		}
		t.Cleanup(func() { // after all of them
			if !t.Failed() && int(ran.Load()) == len(files) {
				checkCoverage(t)
			}
		})
	})
}

// checkCoverage tells what no dialogue has shown.
func checkCoverage(t *testing.T) {
	t.Helper()
	c := loadContract(t)
	c.mu.Lock()
	defer c.mu.Unlock()
	for path, item := range c.doc.Paths.Map() {
		for method, op := range item.Operations() {
			// The one member of a cluster can't be removed, and does not leave.
			if !c.seen[op.OperationID] && op.OperationID != "removeNode" && op.OperationID != "leave" {
				t.Errorf("no dialogue shows a success of %s %s", method, path)
			}
		}
	}
	for _, code := range codesOfOneNode {
		if !c.codes[code] {
			t.Errorf("no dialogue shows %s", code)
		}
	}
}

func newDialogue(t *testing.T, ar *txtar.Archive) *dialogue {
	t.Helper()
	d := &dialogue{rig: newRig(t), vars: map[string]string{}}
	d.vars["OPERATOR"] = d.rig.node.AdminToken()
	d.vars["ACCOUNT"], d.vars["KEY"], d.vars["KEYID"] = d.rig.account(t, "user@example.com", 1000)
	for line := range strings.Lines(string(ar.Comment)) {
		if m := definition.FindStringSubmatch(strings.TrimRight(line, "\n")); m != nil {
			d.vars[m[1]] = d.expand(t, m[2])
		}
	}
	return d
}

var definition = regexp.MustCompile(`^([A-Z][A-Z0-9_]*) = (.*)$`)

func (d *dialogue) run(t *testing.T, ar *txtar.Archive) {
	t.Helper()
	for _, f := range ar.Files {
		if !t.Run(f.Name, func(t *testing.T) { d.section(t, string(f.Data)) }) {
			t.Fatal("the dialogue ends here")
		}
	}
}

// section is one request and its answer, as often as it asks for.
func (d *dialogue) section(t *testing.T, text string) {
	t.Helper()
	ask, want, ok := strings.Cut("\n"+text, "\n=> ")
	if !ok {
		t.Fatal("no line => status")
	}
	times := 1
	if m := timesLine.FindStringSubmatch(ask); m != nil {
		times, _ = strconv.Atoi(m[1])
	}
	for n := range times {
		d.vars["N"] = strconv.Itoa(n)
		q := d.request(t, strings.TrimLeft(ask, "\n"))
		before := d.holdings(t, q)
		a := d.rig.send(t, q)
		d.compare(t, want, a)
		if after := d.holdings(t, q); a.status >= http.StatusBadRequest && after != before {
			t.Errorf("after a failed upload the account has\n%s\nand had\n%s", after, before)
		}
	}
}

var timesLine = regexp.MustCompile(`(?m)^!times (\d+)$`)

// holdings is what a failed upload must leave as it was; "" for any other request.
func (d *dialogue) holdings(t *testing.T, q request) string {
	t.Helper()
	path, _, _ := strings.Cut(q.target, "?")
	if q.method != http.MethodPost || !strings.HasPrefix(path, "/api/content") {
		return ""
	}
	targets := []string{"/api/balance", "/api/balance/history?limit=100", "/api/content?limit=100"}
	if cid, err := storage.ParseCID(q.get("X-Content-Hash")); err == nil {
		targets = append(targets, "/api/content/"+cid.String()+"/exists")
	}
	var b strings.Builder
	for _, target := range targets {
		a := d.rig.send(t, request{method: http.MethodGet, target: target, header: []string{"Authorization: Bearer " + d.vars["KEY"]}})
		fmt.Fprintf(&b, "%s: %d %s\n", target, a.status, a.body)
	}
	return b.String()
}

// request reads the first half of a section.
func (d *dialogue) request(t *testing.T, text string) request {
	t.Helper()
	head, body, _ := strings.Cut(text, "\n\n")
	lines := strings.Split(strings.TrimRight(head, "\n"), "\n")
	q := request{body: d.expand(t, body)}
	q.method, q.target, _ = strings.Cut(d.expand(t, lines[0]), " ")
	for _, line := range lines[1:] {
		switch {
		case line == "!chunked":
			q.chunked = true
		case line == "!cut":
			q.cut = true
		case line == "!admin-port":
			q.adminPort = true
		case timesLine.MatchString(line):
		case strings.HasPrefix(line, "!"):
			t.Fatalf("unknown %s", line)
		default:
			q.header = append(q.header, d.expand(t, line))
		}
	}
	if strings.HasPrefix(q.get("Content-Type"), "multipart/") {
		q.body = strings.ReplaceAll(q.body, "\n", "\r\n")
	}
	return q
}

var variable = regexp.MustCompile(`\$\{([a-z]+):([^}]*)\}|\$([A-Z][A-Z0-9_]*)`)

// expand replaces variables and functions.
func (d *dialogue) expand(t *testing.T, s string) string {
	t.Helper()
	return variable.ReplaceAllStringFunc(s, func(found string) string {
		m := variable.FindStringSubmatch(found)
		switch m[1] {
		case "cid":
			content := m[2]
			if rest, ok := strings.CutPrefix(content, "repeat:"); ok {
				content = repeated(t, rest)
			}
			return storage.SumCID([]byte(content)).String()
		case "repeat":
			return repeated(t, m[2])
		case "":
			v, ok := d.vars[m[3]]
			if !ok {
				t.Fatalf("no variable %s", found)
			}
			return v
		}
		t.Fatalf("no function %s", found)
		return ""
	})
}

func repeated(t *testing.T, arg string) string {
	t.Helper()
	times, text, _ := strings.Cut(arg, ":")
	n, err := strconv.Atoi(times)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Repeat(text, n)
}

// compare holds an answer against the second half of a section.
func (d *dialogue) compare(t *testing.T, want string, a answered) {
	t.Helper()
	d.note(a)
	head, body, _ := strings.Cut(want, "\n\n")
	lines := strings.Split(strings.TrimRight(head, "\n"), "\n")
	if strconv.Itoa(a.status) != strings.TrimSpace(lines[0]) {
		t.Errorf("status %d, want %s: %s", a.status, lines[0], a.body)
	}
	for _, line := range lines[1:] {
		switch line {
		case "!continued", "!not-continued":
			if a.continued != (line == "!continued") {
				t.Errorf("100 Continue came: %t", a.continued)
			}
			continue
		}
		name, value, _ := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		got := a.header.Values(name)
		if value == "<absent>" {
			if len(got) > 0 {
				t.Errorf("header %s is %q, want none", name, got)
			}
		} else if err := d.match(t, d.expand(t, value), strings.Join(got, ", ")); err != nil {
			t.Errorf("header %s: %v", name, err)
		}
	}
	d.compareBody(t, d.expand(t, strings.TrimRight(body, "\n")), a)
}

// note keeps for the coverage which codes came.
func (d *dialogue) note(a answered) {
	var e struct{ Code string }
	if a.status >= http.StatusBadRequest && json.Unmarshal(a.body, &e) == nil {
		d.rig.contract.mu.Lock()
		d.rig.contract.codes[e.Code] = true
		d.rig.contract.mu.Unlock()
	}
}

func (d *dialogue) compareBody(t *testing.T, want string, a answered) {
	t.Helper()
	if rest, ok := strings.CutPrefix(want, "error "); ok {
		code, details, _ := strings.Cut(rest, " ")
		want = fmt.Sprintf(`{"error":"<text>","code":%q,"details":%s}`, code, details)
	}
	if a.header.Get("Content-Type") != "application/json" || !strings.HasPrefix(want, "{") {
		got := string(a.body)
		if strings.HasPrefix(a.header.Get("Content-Type"), "multipart/") {
			got = strings.TrimRight(strings.ReplaceAll(got, "\r\n", "\n"), "\n")
		}
		if err := d.match(t, want, got); err != nil {
			t.Errorf("body: %v", err)
		}
		return
	}
	wanted, got := decode(t, want), decode(t, string(a.body))
	if err := d.same(t, "body", wanted, got); err != nil {
		t.Errorf("%v\nin %s", err, a.body)
	}
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
func (d *dialogue) same(t *testing.T, at string, want, got any) error {
	t.Helper()
	switch w := want.(type) {
	case map[string]any:
		g, ok := got.(map[string]any)
		if !ok {
			return fmt.Errorf("%s is %v, want an object", at, got)
		}
		names := slices.Sorted(maps(w))
		for name := range g {
			if _, ok := w[name]; !ok {
				return fmt.Errorf("%s has %s", at, name)
			}
		}
		for _, name := range names {
			v, ok := g[name]
			if !ok {
				return fmt.Errorf("%s lacks %s", at, name)
			}
			if err := d.same(t, at+"."+name, w[name], v); err != nil {
				return err
			}
		}
		return nil
	case []any:
		g, ok := got.([]any)
		if len(w) > 0 && w[0] == "<unordered>" {
			return d.sameSet(t, at, w[1:], g)
		}
		if !ok || len(g) != len(w) {
			return fmt.Errorf("%s is %v, want a list of %d", at, got, len(w))
		}
		for i := range w {
			if err := d.same(t, fmt.Sprintf("%s[%d]", at, i), w[i], g[i]); err != nil {
				return err
			}
		}
		return nil
	case string:
		switch g := got.(type) {
		case string:
			if err := d.match(t, w, g); err != nil {
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

// sameSet compares lists whose order is not given: what was made within one
// second has none.
func (d *dialogue) sameSet(t *testing.T, at string, want, got []any) error {
	t.Helper()
	if len(want) != len(got) {
		return fmt.Errorf("%s has %d items, want %d", at, len(got), len(want))
	}
	left := slices.Clone(got)
	for i, w := range want {
		n := slices.IndexFunc(left, func(g any) bool { return d.same(t, at, w, g) == nil })
		if n < 0 {
			return fmt.Errorf("%s has none like %v (item %d)", at, w, i)
		}
		left = slices.Delete(left, n, n+1)
	}
	return nil
}

var placeholder = regexp.MustCompile(`<(any|text|int|time|id|key)(?:=([A-Z][A-Z0-9_]*))?>|<([A-Z][A-Z0-9_]*)([+-]\d+)d>`)

var kinds = map[string]string{
	"any": `.*`, "text": `.+`, "int": `-?\d+`, "time": `\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ`,
	"id": `(?:user|key|txn)_[0-9A-Za-z]{1,59}`, "key": `hb_live_[0-9A-Za-z]{32}`,
}

// match compares a text with one that may hold placeholders, and keeps what they ask for.
func (d *dialogue) match(t *testing.T, want, got string) error {
	t.Helper()
	var pattern strings.Builder
	var keep []string
	pattern.WriteString(`(?s)\A`)
	at := 0
	for _, m := range placeholder.FindAllStringSubmatchIndex(want, -1) {
		pattern.WriteString(regexp.QuoteMeta(want[at:m[0]]))
		at = m[1]
		if m[2] >= 0 {
			pattern.WriteString("(" + kinds[want[m[2]:m[3]]] + ")")
			name := ""
			if m[4] >= 0 {
				name = want[m[4]:m[5]]
			}
			keep = append(keep, name)
			continue
		}
		pattern.WriteString(regexp.QuoteMeta(d.later(t, want[m[6]:m[7]], want[m[8]:m[9]])))
	}
	pattern.WriteString(regexp.QuoteMeta(want[at:]) + `\z`)
	values := regexp.MustCompile(pattern.String()).FindStringSubmatch(got)
	if values == nil {
		return fmt.Errorf("%q, want %q", got, want)
	}
	for i, name := range keep {
		if name != "" {
			d.vars[name] = values[i+1]
		}
	}
	return nil
}

// later is a kept time and so many days.
func (d *dialogue) later(t *testing.T, name, days string) string {
	t.Helper()
	at, err := time.Parse(time.RFC3339, d.vars[name])
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(days)
	if err != nil {
		t.Fatal(err)
	}
	return at.Add(time.Duration(n) * 24 * time.Hour).Format(time.RFC3339)
}

// member returns a string member of an answer.
func member(t *testing.T, a answered, name string) string {
	t.Helper()
	var v map[string]any
	if err := json.Unmarshal(a.body, &v); err != nil {
		t.Fatalf("%v in %s", err, a.body)
	}
	s, ok := v[name].(string)
	if !ok {
		t.Fatalf("no %s in %s", name, a.body)
	}
	return s
}
