package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/julienschmidt/httprouter"
	"github.com/prometheus/client_golang/prometheus"

	"ringbin/api/hashbin"
	"ringbin/api/web"
	"ringbin/cluster"
	"ringbin/node"
	"ringbin/storage"
)

// journal is a log that a test may read while the node writes it.
type journal struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.b.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.b.String()
}

// testFront is a front without a node, with one place, before routes of a test.
func testFront(t *testing.T) (*front, *web.Router, *journal) {
	t.Helper()
	log := &journal{}
	rt := web.NewRouter("test", hashbin.WriteError, nil)
	return &front{
		next: rt, render: hashbin.WriteError, logger: slog.New(slog.NewJSONHandler(log, nil)),
		numbers: newNumbers(prometheus.NewRegistry()), places: make(chan struct{}, 1),
	}, rt, log
}

func do(t *testing.T, h http.Handler, target string, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, target, http.NoBody)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestRequestIDs(t *testing.T) {
	t.Parallel()
	f, _, log := testFront(t)
	for _, id := range []string{"a", "A.b_c-9", strings.Repeat("x", requestIDMax)} {
		if got := do(t, f, "/", "X-Request-Id", id).Header().Get("X-Request-Id"); got != id {
			t.Errorf("%q became %q", id, got)
		}
		if !strings.Contains(log.String(), `"id":"`+id+`"`) {
			t.Errorf("%q is not in the log", id)
		}
	}
	seen := map[string]bool{}
	for _, id := range []string{"", "with blank", "line\nbreak", `quote"`, "é", strings.Repeat("x", requestIDMax+1)} {
		got := do(t, f, "/", "X-Request-Id", id).Header().Get("X-Request-Id")
		if got == "" || got == id || seen[got] || len(got) > requestIDMax {
			t.Errorf("%q became %q", id, got)
		}
		seen[got] = true
	}
}

// A panic is a 500 in the dialect's format and says nothing about itself; one
// after the first byte costs the connection.
func TestPanicsAreTrapped(t *testing.T) {
	t.Parallel()
	f, rt, log := testFront(t)
	rt.Handle(http.MethodGet, "/panics", func(http.ResponseWriter, *http.Request, httprouter.Params) error { panic("SECRET") })
	rt.Handle(http.MethodGet, "/late", func(w http.ResponseWriter, _ *http.Request, _ httprouter.Params) error {
		_, _ = io.WriteString(w, "half")
		panic("late")
	})
	rt.Handle(http.MethodGet, "/aborts", func(http.ResponseWriter, *http.Request, httprouter.Params) error { panic(http.ErrAbortHandler) })
	w := do(t, f, "/panics")
	want := `{"error":"Internal server error","code":"internal_error","details":{}}`
	if w.Code != http.StatusInternalServerError || w.Body.String() != want || w.Header().Get("X-Request-Id") == "" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if !strings.Contains(log.String(), "panic in a handler") || !strings.Contains(log.String(), `"status":500`) {
		t.Errorf("the log does not tell: %s", log)
	}
	for _, path := range []string{"/late", "/aborts"} {
		func() {
			defer func() {
				if err, ok := recover().(error); !ok || !errors.Is(err, http.ErrAbortHandler) {
					t.Errorf("%s: the connection stays: %v", path, err)
				}
			}()
			do(t, f, path)
		}()
	}
	if n := len(f.places); n != 0 {
		t.Errorf("%d places are still taken", n)
	}
}

// Where nothing matched there is no dialect to ask; the format is ours.
func TestPanicWithoutRoute(t *testing.T) {
	t.Parallel()
	f, _, _ := testFront(t)
	f.next = http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("early") })
	if w := do(t, f, "/"); w.Code != http.StatusInternalServerError || !strings.Contains(w.Body.String(), "internal_error") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestTooManyRequests(t *testing.T) {
	t.Parallel()
	f, rt, _ := testFront(t)
	started, end := make(chan struct{}), make(chan struct{})
	rt.Handle(http.MethodGet, "/slow", func(http.ResponseWriter, *http.Request, httprouter.Params) error {
		close(started)
		<-end
		return nil
	})
	var wg sync.WaitGroup
	wg.Go(func() { do(t, f, "/slow") })
	<-started
	w := do(t, f.before(http.NotFoundHandler(), hashbin.WriteError), "/other") // another port's front has the same places
	if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" || !strings.Contains(w.Body.String(), "overloaded") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	close(end)
	wg.Wait()
	if w := do(t, f, "/other"); w.Code != http.StatusNotFound {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// openNode starts a node of its own, and returns its log.
func openNode(t *testing.T) (*node.Node, *journal) {
	t.Helper()
	log := &journal{}
	n, err := node.Open(t.Context(), node.Config{
		DataDir: t.TempDir(), Name: "n0", Secret: []byte(cluster.NewSecret()),
		HTTP: "127.0.0.1:0", RPC: "127.0.0.1:0", Gossip: "127.0.0.1:0", Admin: "127.0.0.1:0",
		FreeFloorBytes: -1, CacheBytes: 1 << 20, Version: "test",
		Logger: slog.New(slog.NewJSONHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}, New)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := n.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := n.WaitReady(ctx); err != nil {
		t.Fatal(err)
	}
	return n, log
}

type answer struct {
	status int
	header http.Header
	body   string
}

func request(t *testing.T, method, url, body string, header ...string) answer {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 30 * time.Second}
	resp, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, string(b)}
}

// Whatever is sent, the log holds no key, no token, no query and no header.
func TestLogHoldsNoSecrets(t *testing.T) {
	t.Parallel()
	n, log := openNode(t)
	public, token := "http://"+n.Addresses().HTTP, n.AdminToken()
	var account struct{ ID string }
	a := request(t, http.MethodPost, public+"/api/admin/accounts", `{"email":"BODYSECRET@example.com","name":"N","balance_cents":100}`, "Authorization", "Bearer "+token)
	if err := json.Unmarshal([]byte(a.body), &account); err != nil {
		t.Fatal(a.body)
	}
	var key struct{ Key string }
	a = request(t, http.MethodPost, public+"/api/admin/accounts/"+account.ID+"/apikeys", `{"name":"N"}`, "X-Admin-Token", token)
	if err := json.Unmarshal([]byte(a.body), &key); err != nil || key.Key == "" {
		t.Fatal(a.body)
	}
	wrong := "hb_live_WRONGSECRET000000000000000000000"
	for _, header := range [][]string{
		{"Authorization", "Bearer " + key.Key},
		{"Authorization", "ApiKey " + key.Key},
		{"X-API-Key", key.Key},
		{"Authorization", "Bearer " + wrong},
		{"Authorization", wrong},
		{"Cookie", "session=COOKIESECRET"},
		{"Idempotency-Key", "IDEMSECRET", "Authorization", "Bearer " + key.Key},
		{"X-Request-Id", "known-id"},
	} {
		for _, path := range []string{"/api/balance", "/api/nowhere", "/api/content", "/QUERYLESS"} {
			request(t, http.MethodGet, public+path+"?api_key=QUERYSECRET&token="+key.Key, "", header...)
			request(t, http.MethodPost, public+path+"?api_key=QUERYSECRET", `{"x":"BODYSECRET"`, header...)
		}
	}
	text := log.String()
	if !strings.Contains(text, `"id":"known-id"`) || !strings.Contains(text, `"route":"/api/balance"`) {
		t.Fatal("the requests are not in the log")
	}
	for _, secret := range []string{key.Key, token, "WRONGSECRET", "QUERYSECRET", "BODYSECRET", "COOKIESECRET", "IDEMSECRET", "hb_live_", "Bearer "} {
		if at := strings.Index(text, secret); at >= 0 {
			t.Errorf("%s is in the log: %.200s", secret, text[max(0, at-100):])
		}
	}
}

func TestHealth(t *testing.T) {
	t.Parallel()
	n, _ := openNode(t)
	public, admin := "http://"+n.Addresses().HTTP, "http://"+n.Addresses().Admin
	for _, base := range []string{public, admin} {
		for path, want := range map[string]string{"/livez": `{"live":true}`, "/readyz": `{"ready":true}`} {
			a := request(t, http.MethodGet, base+path, "")
			if a.status != http.StatusOK || a.body != want || a.header.Get("Cache-Control") != "no-store" {
				t.Errorf("%s: %d %s", path, a.status, a.body)
			}
			if a := request(t, http.MethodHead, base+path, ""); a.status != http.StatusOK || a.body != "" {
				t.Errorf("HEAD %s: %d %s", path, a.status, a.body)
			}
		}
	}
	// One node has one copy of everything.
	if a := request(t, http.MethodGet, public+"/healthz", ""); a.status != http.StatusOK || a.body != `{"status":"degraded","ready":true,"reasons":["single_copy"]}` {
		t.Errorf("in public: %d %s", a.status, a.body)
	}
	a := request(t, http.MethodGet, admin+"/healthz", "")
	var h node.Health
	if err := json.Unmarshal([]byte(a.body), &h); err != nil {
		t.Fatal(err)
	}
	if a.status != http.StatusOK || !h.Ready || len(h.Reasons) != 1 || h.Reasons[0].Code != "single_copy" || h.Reasons[0].Text == "" || h.Reasons[0].Since.IsZero() {
		t.Errorf("in full: %d %s", a.status, a.body)
	}
}

func TestCodesOnly(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		health node.Health
		want   string
	}{
		{node.Health{Status: "ok", Ready: true}, `{"status":"ok","ready":true,"reasons":[]}`},
		{node.Health{Status: "unavailable", Reasons: []node.Reason{{Code: "no_leader", Text: "n1", Count: 3}, {Code: "node_down"}}}, `{"status":"unavailable","ready":false,"reasons":["no_leader","node_down"]}`},
	} {
		b, err := json.Marshal(codesOnly(tt.health))
		if err != nil || string(b) != tt.want {
			t.Errorf("%s, want %s", b, tt.want)
		}
	}
}

func TestAdminPort(t *testing.T) {
	t.Parallel()
	n, _ := openNode(t)
	public, admin := "http://"+n.Addresses().HTTP, "http://"+n.Addresses().Admin
	request(t, http.MethodGet, public+"/api/balance", "")
	a := request(t, http.MethodGet, admin+"/metrics", "")
	for _, want := range []string{
		`ringbin_http_requests_total{dialect="hashbin",method="GET",route="/api/balance",status="401"} 1`,
		"ringbin_http_requests_in_flight ", "ringbin_http_request_seconds_bucket", "ringbin_http_sent_bytes_total",
		"\nraft_", "\nmemberlist_", // the libraries' own
	} {
		if !strings.Contains(a.body, want) {
			t.Errorf("no %s in the metrics", want)
		}
	}
	if a := request(t, http.MethodGet, admin+"/debug/pprof/", ""); a.status != http.StatusOK || !strings.Contains(a.body, "goroutine") {
		t.Errorf("pprof: %d", a.status)
	}
	for _, path := range []string{"/metrics", "/debug/pprof/", "/debug/pprof/cmdline"} {
		if a := request(t, http.MethodGet, public+path, ""); a.status != http.StatusNotFound {
			t.Errorf("%s in public: %d %s", path, a.status, a.body)
		}
	}
	if a := request(t, http.MethodGet, admin+"/api/balance", ""); a.status != http.StatusNotFound {
		t.Errorf("a customer's endpoint on the admin port: %d", a.status)
	}
	a = request(t, http.MethodGet, admin+"/api/admin/settings", "", "Authorization", "Bearer "+n.AdminToken())
	if a.status != http.StatusOK || a.header.Get("X-Request-Id") == "" {
		t.Errorf("the operator's endpoints: %d %s", a.status, a.body)
	}
}

func TestDocumentIsServed(t *testing.T) {
	t.Parallel()
	n, _ := openNode(t)
	a := request(t, http.MethodGet, "http://"+n.Addresses().HTTP+"/openapi/hashbin.yaml", "")
	if a.status != http.StatusOK || a.body != string(hashbin.OpenAPI) || a.header.Get("Content-Type") != "application/yaml" ||
		a.header.Get("Access-Control-Allow-Origin") != "*" {
		t.Errorf("%d %v", a.status, a.header)
	}
}

// A client's method is no label of its own.
func TestMethodsAsLabels(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	numbers := newNumbers(reg)
	w := httptest.NewRecorder()
	r := httptest.NewRequestWithContext(t.Context(), "SECRETMETHOD", "/", http.NoBody)
	numbers.observe(r, &web.Record{Err: storage.E("x", storage.KindInternal, nil)}, web.Track(w, r), time.Second)
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if strings.Contains(f.String(), "SECRETMETHOD") {
			t.Errorf("%s has it", f.GetName())
		}
	}
}
