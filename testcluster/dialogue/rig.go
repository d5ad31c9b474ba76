package dialogue

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"ringbin/api"
	"ringbin/cluster"
	"ringbin/node"
)

// Times after which a test calls something stuck.
const (
	startWait  = 30 * time.Second
	answerWait = 30 * time.Second
)

// Host is the host that requests name, unless they have a line for it.
const Host = "bin.example"

// Rig is a node of its own that a test talks to.
type Rig struct {
	Node    *node.Node
	Log     *Journal
	dialect *Dialect
}

// minuteBegan is a clock on which a minute has just begun: no limit of a minute
// begins anew in the middle of a dialogue.
func minuteBegan() func() time.Time {
	late := time.Since(time.Now().Truncate(time.Minute))
	return func() time.Time { return time.Now().Add(-late) }
}

// NewRig starts a node and returns once it is ready. configure may be nil.
func (d *Dialect) NewRig(t *testing.T, configure func(c *node.Config)) *Rig {
	t.Helper()
	log := &Journal{}
	cfg := node.Config{
		DataDir: t.TempDir(), Name: "n0", Secret: []byte(cluster.NewSecret()),
		HTTP: "127.0.0.1:0", RPC: "127.0.0.1:0", Gossip: "127.0.0.1:0", Admin: "127.0.0.1:0",
		FreeFloorBytes: -1, CacheBytes: 1 << 20, Version: "test",
		Logger: slog.New(slog.NewJSONHandler(log, nil)), Clock: minuteBegan(),
	}
	if configure != nil {
		configure(&cfg)
	}
	n, err := node.Open(t.Context(), cfg, api.New)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), startWait)
		defer cancel()
		if err := n.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), startWait)
	defer cancel()
	if err := n.WaitReady(ctx); err != nil {
		t.Fatal(err)
	}
	return &Rig{Node: n, Log: log, dialect: d}
}

// Journal is a log that a test may read while the node writes it.
type Journal struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (j *Journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.b.Write(p)
}

// String is all that was logged.
func (j *Journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.b.String()
}

// Request is one request as it is written to the connection.
type Request struct {
	Method, Target string
	Header         []string // lines
	Body           string
	Chunked        bool
	Cut            bool // the client goes away before the body's end
	AdminPort      bool
}

// Get returns the value of the first line of that name.
func (q *Request) Get(name string) string {
	for _, line := range q.Header {
		if k, v, _ := strings.Cut(line, ":"); strings.EqualFold(k, name) {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

// Wire is the request up to its body, and the body as it is sent.
func (q *Request) Wire() (head, body string) {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nConnection: close\r\n", q.Method, q.Target)
	if q.Get("Host") == "" {
		b.WriteString("Host: " + Host + "\r\n")
	}
	for _, line := range q.Header {
		b.WriteString(line + "\r\n")
	}
	body = q.Body
	switch {
	case q.Chunked:
		b.WriteString("Transfer-Encoding: chunked\r\n")
		body = ""
		if q.Body != "" {
			body = fmt.Sprintf("%x\r\n%s\r\n", len(q.Body), q.Body)
		}
		if !q.Cut {
			body += "0\r\n\r\n"
		}
	case q.Get("Content-Length") == "" && (q.Body != "" || q.Method == http.MethodPost || q.Method == http.MethodPatch):
		fmt.Fprintf(&b, "Content-Length: %d\r\n", len(q.Body))
	}
	b.WriteString("\r\n")
	return b.String(), body
}

// Answer is one answer, read whole.
type Answer struct {
	Status    int
	Header    http.Header
	Body      []byte
	Continued bool // 100 Continue came first
}

// Dial opens a connection that the test does not wait on for ever.
func (r *Rig) Dial(t *testing.T, adminPort bool) *net.TCPConn {
	t.Helper()
	addr := r.Node.Addresses().HTTP
	if adminPort {
		addr = r.Node.Addresses().Admin
	}
	var d net.Dialer
	conn, err := d.DialContext(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(answerWait)); err != nil {
		t.Fatal(err)
	}
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		t.Fatalf("%T", conn)
	}
	return tcp
}

// Send writes a request by hand, so that it may be as wrong as a test wants,
// and holds the answer against the contract.
func (r *Rig) Send(t *testing.T, q Request) Answer {
	t.Helper()
	a, err := r.exchange(t, q)
	if err != nil {
		t.Fatalf("%s %s: %v", q.Method, q.Target, err)
	}
	r.CheckAnswer(t, q, a)
	return a
}

func (r *Rig) exchange(t *testing.T, q Request) (Answer, error) {
	t.Helper()
	conn := r.Dial(t, q.AdminPort)
	defer func() { _ = conn.Close() }()
	head, wire := q.Wire()
	in := bufio.NewReader(conn)
	if !strings.EqualFold(q.Get("Expect"), "100-continue") {
		head, wire = head+wire, ""
	}
	if _, err := io.WriteString(conn, head); err != nil {
		return Answer{}, err
	}
	if q.Cut {
		if err := conn.CloseWrite(); err != nil {
			return Answer{}, err
		}
	}
	a, err := ReadAnswer(in, q.Method)
	if err == nil && a.Status == http.StatusContinue {
		if _, err := io.WriteString(conn, wire); err != nil {
			return Answer{}, err
		}
		a, err = ReadAnswer(in, q.Method)
		a.Continued = true
	}
	return a, err
}

// ReadAnswer reads the next answer of a connection.
func ReadAnswer(in *bufio.Reader, method string) (Answer, error) {
	resp, err := http.ReadResponse(in, &http.Request{Method: method})
	if err != nil {
		return Answer{}, err
	}
	if resp.StatusCode == http.StatusContinue {
		return Answer{Status: resp.StatusCode}, nil
	}
	body, err := io.ReadAll(resp.Body)
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		return Answer{}, err
	}
	return Answer{Status: resp.StatusCode, Header: resp.Header, Body: body}, nil
}

// CheckAnswer holds an answer against the document and against the rules that
// all answers follow.
func (r *Rig) CheckAnswer(t *testing.T, q Request, a Answer) {
	t.Helper()
	if err := errors.Join(r.dialect.Check(t.Context(), q, a), commonRules(a), r.dialect.Rules(q, a)); err != nil {
		t.Errorf("%s %s: %d %s: %v", q.Method, q.Target, a.Status, bytes.TrimSpace(a.Body), err)
	}
}

// commonRules are those of the node, whatever the dialect.
func commonRules(a Answer) error {
	if h := a.Header; h.Get("X-Request-Id") == "" || h.Get("X-Content-Type-Options") != "nosniff" {
		return fmt.Errorf("an answer without request id or nosniff: %v", h)
	}
	return nil
}

// Call sends a request with JSON and returns the answer; the status has to be one of 2xx.
func (r *Rig) Call(t *testing.T, method, target, token, body string) Answer {
	t.Helper()
	a := r.Send(t, Request{Method: method, Target: target, Header: []string{"Authorization: Bearer " + token}, Body: body})
	if a.Status >= http.StatusMultipleChoices {
		t.Fatalf("%s %s: %d %s", method, target, a.Status, a.Body)
	}
	return a
}

// Member returns a string member of an answer.
func (a Answer) Member(t *testing.T, name string) string {
	t.Helper()
	v, _ := decode(t, string(a.Body)).(map[string]any)
	s, ok := v[name].(string)
	if !ok {
		t.Fatalf("no %s in %s", name, a.Body)
	}
	return s
}
