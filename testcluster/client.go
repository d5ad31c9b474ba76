package testcluster

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"strconv"
	"time"

	"ringbin/storage"
)

// Times of a test's client.
const (
	requestTimeout = 30 * time.Second
	retryEvery     = 50 * time.Millisecond
)

// Client talks to one node as any HTTP client would.
type Client struct {
	c    *Cluster
	i    int
	http *http.Client
	// Key is the API key, or the operator's token.
	Key string
	// Patience is how long one request may take; 0: half a minute.
	Patience time.Duration
	// HangUp, when above 0, is how long after it was sent whole a request is
	// given up: what became of it is then unknown.
	HangUp time.Duration
}

// Client returns a client of one node. It goes on working, with errors, while
// the node is down.
func (c *Cluster) Client(i int, key string) *Client {
	return &Client{c: c, i: i, Key: key, http: &http.Client{Timeout: requestTimeout, Transport: c.ground.transport()}}
}

// Transport is how clients reach nodes, for tests with clients of their own.
func (c *Cluster) Transport() http.RoundTripper { return c.ground.transport() }

// Operator returns a client of one node with the operator's token.
func (c *Cluster) Operator(i int) *Client {
	c.tb.Helper()
	return c.Client(i, c.AdminToken())
}

// Answer is an HTTP answer, read whole.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// JSON decodes the answer's body.
func (a Answer) JSON(v any) error { return json.Unmarshal(a.Body, v) }

// Do sends one request. A body that ends early is an error, never an answer.
func (cl *Client) Do(method, path string, header map[string]string, body io.Reader) (Answer, error) {
	patience := cl.Patience
	if patience == 0 {
		patience = requestTimeout
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if cl.HangUp > 0 {
		ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
			WroteRequest: func(httptrace.WroteRequestInfo) { time.AfterFunc(cl.HangUp, cancel) },
		})
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://"+cl.c.nodes[cl.i].cfg.HTTP+path, body)
	if err != nil {
		return Answer{}, err
	}
	if cl.Key != "" {
		req.Header.Set("Authorization", "Bearer "+cl.Key)
	}
	for k, v := range header {
		req.Header.Set(k, v)
	}
	resp, err := cl.http.Do(req)
	if err != nil {
		return Answer{}, err
	}
	b, err := io.ReadAll(resp.Body)
	if closeErr := resp.Body.Close(); err == nil {
		err = closeErr
	}
	a := Answer{Status: resp.StatusCode, Header: resp.Header, Body: b}
	cl.c.secrets.watch(cl.c.tb, method+" "+path, a)
	return a, err
}

// Account makes an account with a balance and a key, and returns both.
func (c *Cluster) Account(balanceCents int64) (account, key string) {
	c.tb.Helper()
	op := c.Operator(c.anyRunning())
	var a struct{ ID string }
	body := fmt.Sprintf(`{"email":"%s@example.com","name":"Test","balance_cents":%d}`, randomName(), balanceCents)
	c.mustJSON(op, http.MethodPost, "/api/admin/accounts", body, http.StatusCreated, &a)
	var k struct{ Key string }
	c.mustJSON(op, http.MethodPost, "/api/admin/accounts/"+a.ID+"/apikeys", `{"name":"test"}`, http.StatusOK, &k)
	c.journal.account(a.ID, k.Key, balanceCents)
	return a.ID, k.Key
}

// tokenBody asks the operator's API for a token of PasteWizard.
func tokenBody(scopes []string, perMinute int64) string {
	b, err := json.Marshal(map[string]any{"name": "test", "api": "pastewizard", "scopes": scopes, "rate_limit_per_minute": perMinute})
	if err != nil {
		panic(err) // strings and numbers can be written always
	}
	return string(b)
}

// Token makes an account with a token of PasteWizard, and returns the token. A
// limit of 0 is none.
func (c *Cluster) Token(perMinute int64, scopes ...string) string {
	c.tb.Helper()
	return c.token(c.Operator(c.anyRunning()), perMinute, scopes)
}

func (c *Cluster) token(op *Client, perMinute int64, scopes []string) string {
	c.tb.Helper()
	var a struct{ ID string }
	c.mustJSON(op, http.MethodPost, "/api/admin/accounts", fmt.Sprintf(`{"email":"%s@example.com","name":"Test"}`, randomName()), http.StatusCreated, &a)
	var k struct{ ID, Key string }
	c.mustJSON(op, http.MethodPost, "/api/admin/accounts/"+a.ID+"/apikeys", tokenBody(scopes, perMinute), http.StatusOK, &k)
	c.secrets.add("token "+k.ID, []byte(k.Key))
	return k.Key
}

func (c *Cluster) anyRunning() int {
	c.tb.Helper()
	for i := range c.nodes {
		if c.running(i) != nil {
			return i
		}
	}
	c.tb.Fatal("no node is up")
	return 0
}

func (c *Cluster) mustJSON(cl *Client, method, path, body string, status int, into any) {
	c.tb.Helper()
	a, err := cl.Do(method, path, map[string]string{"Idempotency-Key": randomName()}, bytes.NewReader([]byte(body)))
	if err != nil {
		c.tb.Fatalf("%s %s: %v", method, path, err)
	}
	if a.Status != status {
		c.tb.Fatalf("%s %s: %d %s", method, path, a.Status, a.Body)
	}
	if err := a.JSON(into); err != nil {
		c.tb.Fatalf("%s %s: %v in %s", method, path, err, a.Body)
	}
}

func randomName() string { return rand.Text() }

// Upload is what an acknowledged upload said.
type Upload struct {
	CID        storage.CID `json:"cid"`
	CostCents  int64       `json:"cost_cents"`
	Expiration time.Time   `json:"expiration"`
	Balance    *int64      `json:"new_balance_cents"`
}

// Put uploads content once through this client's node and notes the outcome in
// the journal.
func (cl *Client) Put(content []byte, days int) (Upload, Answer, error) {
	return cl.PutAs(randomName(), content, days)
}

// PutAs is Put under an Idempotency-Key of the caller's.
func (cl *Client) PutAs(idem string, content []byte, days int) (Upload, Answer, error) {
	cid := storage.SumCID(content)
	cl.c.journal.tried(cl.Key, idem, cid, days)
	a, err := cl.Do(http.MethodPost, "/api/content", map[string]string{
		"X-Content-Hash": cid.String(), "X-Retention-Days": strconv.Itoa(days),
		"Content-Type": "application/octet-stream", "Idempotency-Key": idem,
	}, bytes.NewReader(content))
	if err != nil {
		return Upload{}, a, err
	}
	if a.Status != http.StatusOK {
		return Upload{}, a, fmt.Errorf("upload: %d %s", a.Status, a.Body)
	}
	var u Upload
	if err := a.JSON(&u); err != nil {
		return Upload{}, a, err
	}
	if u.CID != cid {
		return Upload{}, a, fmt.Errorf("upload answered %s for %s", u.CID, cid)
	}
	cl.c.journal.acknowledged(cl.Key, idem, u)
	return u, a, nil
}

// PutUntil uploads content with one Idempotency-Key, through this node and the
// next ones, until it is acknowledged or ctx ends.
func (c *Cluster) PutUntil(ctx context.Context, first int, key string, content []byte, days int) (Upload, error) {
	idem := randomName()
	for try := 0; ; try++ {
		cl := c.Client((first+try)%c.Len(), key)
		u, a, err := cl.PutAs(idem, content, days) //nolint:contextcheck // each try has its own time
		if err == nil {
			return u, nil
		}
		if a.Status >= 400 && a.Status < 500 && a.Status != http.StatusConflict && a.Status != http.StatusTooManyRequests {
			return Upload{}, err
		}
		select {
		case <-ctx.Done():
			return Upload{}, fmt.Errorf("%w: last %w", ctx.Err(), err)
		case <-time.After(retryEvery):
		}
	}
}

// Get reads content through this client's node and checks it against its CID.
func (cl *Client) Get(cid storage.CID) ([]byte, error) {
	a, err := cl.Do(http.MethodGet, "/api/content/"+cid.String(), nil, nil)
	if err != nil {
		return nil, err
	}
	if a.Status != http.StatusOK {
		return nil, fmt.Errorf("get: %d %s", a.Status, a.Body)
	}
	if got := storage.SumCID(a.Body); got != cid {
		return nil, fmt.Errorf("I2: a complete answer for %s has other bytes: %s", cid, got)
	}
	return a.Body, nil
}

// Balance returns the balance in cents of the client's account.
func (cl *Client) Balance() (int64, error) {
	a, err := cl.Do(http.MethodGet, "/api/balance", nil, nil)
	if err != nil {
		return 0, err
	}
	if a.Status != http.StatusOK {
		return 0, fmt.Errorf("balance: %d %s", a.Status, a.Body)
	}
	var b struct {
		Cents int64 `json:"balance_cents"`
	}
	return b.Cents, a.JSON(&b)
}
