package hashbin_test

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
	"net/textproto"
	"strings"
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

// rig is a node of its own that a test talks to.
type rig struct {
	node     *node.Node
	contract *contract
}

func newRig(t *testing.T) *rig {
	t.Helper()
	n, err := node.Open(t.Context(), node.Config{
		DataDir: t.TempDir(), Name: "n0", Secret: []byte(cluster.NewSecret()),
		HTTP: "127.0.0.1:0", RPC: "127.0.0.1:0", Gossip: "127.0.0.1:0", Admin: "127.0.0.1:0",
		FreeFloorBytes: -1, CacheBytes: 1 << 20, Logger: slog.New(slog.DiscardHandler), Version: "test",
	}, api.New)
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
	return &rig{node: n, contract: loadContract(t)}
}

// request is one request as it is written to the connection.
type request struct {
	method, target string
	header         []string // lines
	body           string
	chunked        bool
	cut            bool // the client goes away before the body's end
	adminPort      bool
}

func (q *request) get(name string) string {
	for _, line := range q.header {
		if k, v, _ := strings.Cut(line, ":"); strings.EqualFold(k, name) {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

// head is the request up to its body; wire is the body as it is sent.
func (q *request) head() (head, wire string) {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: bin.example\r\nConnection: close\r\n", q.method, q.target)
	for _, line := range q.header {
		b.WriteString(line + "\r\n")
	}
	wire = q.body
	switch {
	case q.chunked:
		b.WriteString("Transfer-Encoding: chunked\r\n")
		wire = ""
		if q.body != "" {
			wire = fmt.Sprintf("%x\r\n%s\r\n", len(q.body), q.body)
		}
		if !q.cut {
			wire += "0\r\n\r\n"
		}
	case q.get("Content-Length") == "" && (q.body != "" || q.method == http.MethodPost || q.method == http.MethodPatch):
		fmt.Fprintf(&b, "Content-Length: %d\r\n", len(q.body))
	}
	b.WriteString("\r\n")
	return b.String(), wire
}

// dial opens a connection that the test does not wait on for ever.
func (r *rig) dial(t *testing.T, adminPort bool) *net.TCPConn {
	t.Helper()
	addr := r.node.Addresses().HTTP
	if adminPort {
		addr = r.node.Addresses().Admin
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

// send writes a request by hand, so that it may be as wrong as a test wants,
// and holds the answer against the contract.
func (r *rig) send(t *testing.T, q request) answered {
	t.Helper()
	a, err := r.exchange(t, q)
	if err != nil {
		t.Fatalf("%s %s: %v", q.method, q.target, err)
	}
	r.checkAnswer(t, q, a)
	return a
}

func (r *rig) exchange(t *testing.T, q request) (answered, error) {
	t.Helper()
	conn := r.dial(t, q.adminPort)
	defer func() { _ = conn.Close() }()
	head, wire := q.head()
	in := bufio.NewReader(conn)
	if !strings.EqualFold(q.get("Expect"), "100-continue") {
		head, wire = head+wire, ""
	}
	if _, err := io.WriteString(conn, head); err != nil {
		return answered{}, err
	}
	if q.cut {
		if err := conn.CloseWrite(); err != nil {
			return answered{}, err
		}
	}
	a, err := readAnswer(in, q.method)
	if err == nil && a.status == http.StatusContinue {
		if _, err := io.WriteString(conn, wire); err != nil {
			return answered{}, err
		}
		a, err = readAnswer(in, q.method)
		a.continued = true
	}
	return a, err
}

func readAnswer(in *bufio.Reader, method string) (answered, error) {
	resp, err := http.ReadResponse(in, &http.Request{Method: method})
	if err != nil {
		return answered{}, err
	}
	if resp.StatusCode == http.StatusContinue {
		return answered{status: resp.StatusCode}, nil
	}
	body, err := io.ReadAll(resp.Body)
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		return answered{}, err
	}
	return answered{status: resp.StatusCode, header: resp.Header, body: body}, nil
}

// checkAnswer holds an answer against the document and against the rules that
// all answers follow.
func (r *rig) checkAnswer(t *testing.T, q request, a answered) {
	t.Helper()
	if err := r.contract.check(t.Context(), q.method, q.target, a); err != nil {
		t.Errorf("%s %s: %d %s: %v", q.method, q.target, a.status, bytes.TrimSpace(a.body), err)
	}
	h := a.header
	if h.Get("X-Request-Id") == "" || h.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("%s %s: an answer without request id or nosniff: %v", q.method, q.target, h)
	}
	if h.Get("Content-Type") == "application/json" && h.Get("ETag") == "" && h.Get("Cache-Control") != "no-store" {
		t.Errorf("%s %s: JSON that a cache may keep: %q", q.method, q.target, h.Get("Cache-Control"))
	}
	if a.status == http.StatusUnauthorized && h.Get("WWW-Authenticate") != `Bearer realm="hashbin"` {
		t.Errorf("%s %s: WWW-Authenticate is %q", q.method, q.target, h.Get("WWW-Authenticate"))
	}
	if r := textproto.TrimString(h.Get("Retry-After")); a.status >= http.StatusTooManyRequests && a.status != http.StatusInternalServerError && (r == "" || r == "0") {
		t.Errorf("%s %s: %d without Retry-After", q.method, q.target, a.status)
	}
}

// call sends a request with JSON and returns the answer; the status has to be one of 2xx.
func (r *rig) call(t *testing.T, method, target, token, body string) answered {
	t.Helper()
	a := r.send(t, request{method: method, target: target, header: []string{"Authorization: Bearer " + token}, body: body})
	if a.status >= http.StatusMultipleChoices {
		t.Fatalf("%s %s: %d %s", method, target, a.status, a.body)
	}
	return a
}

// account makes an account with a key.
func (r *rig) account(t *testing.T, email string, cents int) (id, key, keyID string) {
	t.Helper()
	operator := r.node.AdminToken()
	a := r.call(t, http.MethodPost, "/api/admin/accounts", operator, fmt.Sprintf(`{"email":%q,"name":"John Doe","balance_cents":%d}`, email, cents))
	id = member(t, a, "id")
	k := r.call(t, http.MethodPost, "/api/admin/accounts/"+id+"/apikeys", operator, `{"name":"Production API Key"}`)
	return id, member(t, k, "key"), member(t, k, "id")
}
