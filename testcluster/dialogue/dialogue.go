// Package dialogue runs dialogues with a node: requests in txtar archives and
// what has to come back, every answer held against the API's OpenAPI document.
// Each archive has a node of its own.
//
// The comment of an archive says what it is about, and may define variables,
// each on a line NAME = value. Each section is a request and its answer:
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
// Variables are $NAME. $OPERATOR is the operator's token; a dialect gives more.
// ${cid:TEXT} is the CID of a text, ${repeat:N:TEXT} is a text N times,
// ${cid:repeat:N:TEXT} is that one's CID, ${log:REGEXP} is what the last match
// of it in the node's log has in its parentheses.
//
// Lines with ! change how the request is sent or what is expected: !chunked,
// !cut (the client leaves before the body's end), !admin-port, !times N (with
// $N), !eventually (asked again until the answer is as expected), and after the
// status !continued and !not-continued (100 Continue). Bodies of multipart
// requests are sent with CRLF.
//
// Expected headers and bodies may hold placeholders: <any>, <text> (not empty),
// <int>, <time> and the dialect's own; <time=NAME> keeps what came in a
// variable, everywhere the same within an answer, and <NAME+30d>, <NAME+5h> is
// a time that much after one kept. <absent> is a header that must not be there.
// A list that begins with "<unordered>" is compared as a set. A JSON body has
// exactly the members given. A body "WORD ..." may be a dialect's shorthand.
package dialogue

import (
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/tools/txtar"

	"ringbin/node"
	"ringbin/storage"
)

// Dialect is what differs from API to API. Members without a word on nil are
// required.
type Dialect struct {
	Document      []byte // the OpenAPI document
	TrailingSlash bool   // one at the end of a path does not make another path

	// Kinds are the dialect's placeholders: regular expressions by name.
	Kinds map[string]string
	// Configure changes the node's configuration by the archive's variables; may be nil.
	Configure func(c *node.Config, vars map[string]string)
	// Begin prepares the node and sets variables.
	Begin func(t *testing.T, r *Rig, vars map[string]string)
	// Holdings is what a request that fails must leave as it was; "" for those
	// that may change it. May be nil.
	Holdings func(t *testing.T, r *Rig, q Request, vars map[string]string) string
	// Shorthands write out expected bodies that begin with a word; what follows is the argument.
	Shorthands map[string]func(arg string, vars map[string]string) (string, error)
	// Rules are what all answers follow.
	Rules func(q Request, a Answer) error
	// IsForeign is whether a request is for another API, that the document does not describe. May be nil.
	IsForeign func(q Request) bool
	// IsUnknown is whether a 404 is that of a path that is not there.
	IsUnknown func(a Answer) bool
	// IsContent is whether the body is content, of which the document knows nothing. May be nil.
	IsContent func(operationID string, a Answer) bool
	// Note names what an answer shows, for the coverage; may be nil.
	Note func(a Answer) string

	once     sync.Once
	contract *contract
	loadErr  error
	pattern  *regexp.Regexp
}

// eventualWait is how long !eventually asks again, and how often.
const (
	eventualWait  = 20 * time.Second
	eventualPause = 20 * time.Millisecond
)

// Run runs the archives of testdata, and then covered, if all of them passed.
func (d *Dialect) Run(t *testing.T, covered func(t *testing.T)) {
	t.Helper()
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal(err, files)
	}
	d.compile()
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
				d.start(t, ar).run(t, ar)
				ran.Add(1)
			})
		}
		t.Cleanup(func() { // after all of them
			if !t.Failed() && int(ran.Load()) == len(files) {
				covered(t)
			}
		})
	})
}

// talk is one archive being run.
type talk struct {
	dialect *Dialect
	rig     *Rig
	vars    map[string]string
	kept    map[string]string // by placeholders, in the answer at hand
}

var definition = regexp.MustCompile(`(?m)^([A-Z][A-Z0-9_]*) = (.*)$`)

func (d *Dialect) start(t *testing.T, ar *txtar.Archive) *talk {
	t.Helper()
	defined := definition.FindAllStringSubmatch(string(ar.Comment), -1)
	raw := map[string]string{}
	for _, m := range defined {
		raw[m[1]] = m[2]
	}
	rig := d.NewRig(t, func(c *node.Config) {
		if d.Configure != nil {
			d.Configure(c, raw)
		}
	})
	k := &talk{dialect: d, rig: rig, vars: map[string]string{"OPERATOR": rig.Node.AdminToken()}}
	d.Begin(t, rig, k.vars)
	for _, m := range defined {
		k.vars[m[1]] = k.expand(t, m[2])
	}
	return k
}

func (k *talk) run(t *testing.T, ar *txtar.Archive) {
	t.Helper()
	for _, f := range ar.Files {
		if !t.Run(f.Name, func(t *testing.T) { k.section(t, string(f.Data)) }) {
			t.Fatal("the dialogue ends here")
		}
	}
}

var timesLine = regexp.MustCompile(`(?m)^!times (\d+)$`)

// section is one request and its answer, as often as it asks for.
func (k *talk) section(t *testing.T, text string) {
	t.Helper()
	ask, want, ok := strings.Cut("\n"+text, "\n=> ")
	if !ok {
		t.Fatal("no line => status")
	}
	times := 1
	if m := timesLine.FindStringSubmatch(ask); m != nil {
		times, _ = strconv.Atoi(m[1])
	}
	patience := time.Now()
	if strings.Contains(ask, "\n!eventually\n") {
		patience = patience.Add(eventualWait)
	}
	for n := range times {
		k.vars["N"] = strconv.Itoa(n)
		q := k.request(t, strings.TrimLeft(ask, "\n"))
		for {
			err := k.exchange(t, q, want)
			if err == nil {
				break
			}
			if !time.Now().Before(patience) {
				t.Error(err)
				break
			}
			time.Sleep(eventualPause)
		}
	}
}

func (k *talk) exchange(t *testing.T, q Request, want string) error {
	t.Helper()
	before := k.holdings(t, q)
	a := k.rig.Send(t, q)
	k.dialect.note(a)
	err := k.compare(t, want, a)
	if after := k.holdings(t, q); a.Status >= 400 && after != before {
		err = errors.Join(err, fmt.Errorf("after a request that failed there is\n%s\nand was\n%s", after, before))
	}
	return err
}

func (k *talk) holdings(t *testing.T, q Request) string {
	t.Helper()
	if k.dialect.Holdings == nil {
		return ""
	}
	return k.dialect.Holdings(t, k.rig, q, k.vars)
}

// request reads the first half of a section.
func (k *talk) request(t *testing.T, text string) Request {
	t.Helper()
	head, body, _ := strings.Cut(text, "\n\n")
	lines := strings.Split(strings.TrimRight(head, "\n"), "\n")
	q := Request{Body: k.expand(t, body)}
	q.Method, q.Target, _ = strings.Cut(k.expand(t, lines[0]), " ")
	for _, line := range lines[1:] {
		switch {
		case line == "!chunked":
			q.Chunked = true
		case line == "!cut":
			q.Cut = true
		case line == "!admin-port":
			q.AdminPort = true
		case line == "!eventually", timesLine.MatchString(line):
		case strings.HasPrefix(line, "!"):
			t.Fatalf("unknown %s", line)
		default:
			q.Header = append(q.Header, k.expand(t, line))
		}
	}
	if strings.HasPrefix(q.Get("Content-Type"), "multipart/") {
		q.Body = strings.ReplaceAll(q.Body, "\n", "\r\n")
	}
	return q
}

var variable = regexp.MustCompile(`\$\{([a-z]+):([^}]*)\}|\$([A-Z][A-Z0-9_]*)`)

// expand replaces variables and functions.
func (k *talk) expand(t *testing.T, s string) string {
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
		case "log":
			return k.logged(t, m[2])
		case "":
			v, ok := k.vars[m[3]]
			if !ok {
				t.Fatalf("no variable %s", found)
			}
			return v
		}
		t.Fatalf("no function %s", found)
		return ""
	})
}

func (k *talk) logged(t *testing.T, pattern string) string {
	t.Helper()
	found := regexp.MustCompile(pattern).FindAllStringSubmatch(k.rig.Log.String(), -1)
	if len(found) == 0 || len(found[0]) < 2 {
		t.Fatalf("the log has no %s", pattern)
	}
	return found[len(found)-1][1]
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

// compile makes the pattern of all placeholders.
func (d *Dialect) compile() {
	all := maps.Clone(commonKinds)
	maps.Copy(all, d.Kinds)
	d.Kinds = all
	var names []string
	for name := range all {
		names = append(names, regexp.QuoteMeta(name))
	}
	d.pattern = regexp.MustCompile(`<(` + strings.Join(names, "|") + `)(?:=([A-Z][A-Z0-9_]*))?>|<([A-Z][A-Z0-9_]*)([+-]\d+)([dhs])>`)
}
