package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"ringbin/cluster"
)

// Times and limits of the client.
const (
	answerMax       = 4 << 20
	retryPauseLeast = 200 * time.Millisecond
	retryPauseMost  = 5 * time.Second
	connectWithin   = 5 * time.Second
	answerWithin    = 20 * time.Second // from the end of a request to its answer
)

// client talks to a cluster through whichever of its URLs answers.
type client struct {
	urls    []string
	key     string
	timeout time.Duration // of a whole command's attempts
	http    *http.Client
	next    int
}

// clientOptions are those of every command that talks to a cluster.
type clientOptions struct {
	urls       []string
	key        string
	adminToken string
	secretFile string
	timeout    time.Duration
}

// bindClient adds the options for commands that use an API key.
func bindClient(cmd *cobra.Command) *clientOptions {
	o := &clientOptions{}
	f := cmd.Flags()
	f.StringSliceVar(&o.urls, "url", []string{"http://127.0.0.1:8080"}, "URLs of nodes; when one does not answer, the next is tried")
	f.StringVar(&o.key, "key", "", "API key")
	f.DurationVar(&o.timeout, "timeout", time.Minute, "how long to go on trying")
	return o
}

// bindOperator adds the options for commands of the operator.
func bindOperator(cmd *cobra.Command) *clientOptions {
	o := &clientOptions{}
	f := cmd.Flags()
	f.StringSliceVar(&o.urls, "url", []string{"http://127.0.0.1:8080"}, "URLs of nodes; when one does not answer, the next is tried")
	f.StringVar(&o.adminToken, "admin-token", "", "the operator's token")
	f.StringVar(&o.secretFile, "cluster-secret-file", "", "file with the cluster secret, of which the token follows")
	f.DurationVar(&o.timeout, "timeout", time.Minute, "how long to go on trying")
	return o
}

func (o *clientOptions) client() (*client, error) {
	// Each step has its own time, shorter than the whole command's: a node that
	// hangs must leave time for the next one.
	dialer := &net.Dialer{Timeout: connectWithin}
	c := &client{key: o.key, timeout: o.timeout, http: &http.Client{Transport: &http.Transport{
		Proxy: http.ProxyFromEnvironment, DialContext: dialer.DialContext, ResponseHeaderTimeout: answerWithin, ExpectContinueTimeout: time.Second,
		TLSHandshakeTimeout: connectWithin, MaxIdleConnsPerHost: 64, IdleConnTimeout: time.Minute, DisableCompression: true,
	}}}
	for _, s := range o.urls {
		u, err := url.Parse(s)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return nil, fmt.Errorf("url: %q is not a URL such as http://127.0.0.1:8080", s)
		}
		c.urls = append(c.urls, strings.TrimRight(s, "/"))
	}
	if len(c.urls) == 0 {
		return nil, errors.New("url: at least one is required")
	}
	return c, nil
}

func (o *clientOptions) operator() (*client, error) {
	c, err := o.client()
	if err != nil {
		return nil, err
	}
	if c.key = o.adminToken; c.key != "" {
		return c, nil
	}
	if o.secretFile == "" {
		return nil, errors.New("admin-token or cluster-secret-file: one is required")
	}
	c.key, err = tokenOf(o.secretFile)
	return c, err
}

func tokenOf(secretFile string) (string, error) {
	b, err := os.ReadFile(secretFile)
	if err != nil {
		return "", err
	}
	t, err := cluster.ParseTrust(b)
	if err != nil {
		return "", err
	}
	return t.AdminToken(), nil
}

// apiError is an answer that is none of the successes.
type apiError struct {
	status  int
	message string
	code    string
	details map[string]any // by parameter: what is wanted
	retry   time.Duration
}

func (e *apiError) Error() string {
	switch {
	case e.status == 0: // nothing was sent
		return e.message
	case e.code == "":
		return fmt.Sprintf("the server answered %d: %s", e.status, e.message)
	}
	var details strings.Builder
	for _, name := range slices.Sorted(maps.Keys(e.details)) {
		if field, ok := e.details[name].(string); ok && e.details[field] != nil {
			continue // it only says which of the details to look at
		}
		_, _ = fmt.Fprintf(&details, "; %s: %v", name, e.details[name]) // a Builder takes everything
	}
	return fmt.Sprintf("%s (%s, %d)%s", e.message, e.code, e.status, details.String())
}

// again reports whether the same request may do better later, or elsewhere.
func (e *apiError) again() bool {
	return e.status == http.StatusServiceUnavailable || e.status == http.StatusTooManyRequests || e.code == "idempotency_in_progress"
}

// request is one call of the API. Body is called for each attempt.
type request struct {
	method, path string
	header       map[string]string
	body         func() (io.ReadCloser, int64, error)
	write        bool // gets an Idempotency-Key: it may be sent again, and through another node
}

// do sends a request until it is answered with a success or a refusal that
// will not change: to the next URL when one fails, later when all do.
func (c *client) do(ctx context.Context, r request) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	giveUp := time.AfterFunc(c.timeout, func() { cancel(errTimeout) })
	defer giveUp.Stop()
	idem := ""
	if r.write {
		idem = rand.Text()
	}
	pause := retryPauseLeast
	var last error // what to tell: not that the time was up in the middle of another try
	for try := 1; ; try++ {
		resp, err := c.once(ctx, r, idem)
		if err == nil {
			giveUp.Stop() // a body may take its time
			return resp, nil
		}
		if last == nil || ctx.Err() == nil {
			last = err
		}
		wait := time.Duration(0)
		if ae, ok := errors.AsType[*apiError](err); ok {
			if !ae.again() {
				return nil, err
			}
			wait = ae.retry
		}
		c.next++
		if try%len(c.urls) == 0 { // all were tried: pause
			if _, distrusted := errors.AsType[*tls.CertificateVerificationError](err); distrusted {
				return nil, err // it will not be trusted later either
			}
			wait = max(wait, pause)
			pause = min(2*pause, retryPauseMost)
		} else {
			wait = 0
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("%w; the last answer was: %w", context.Cause(ctx), last)
		case <-time.After(wait):
		}
	}
}

var errTimeout = errors.New("gave up after the timeout")

func (c *client) once(ctx context.Context, r request, idem string) (*http.Response, error) {
	var body io.Reader
	var size int64
	if r.body != nil {
		rc, n, err := r.body()
		if err != nil {
			return nil, &apiError{message: err.Error()}
		}
		defer func() { _ = rc.Close() }() // it was only read
		body, size = rc, n
	}
	req, err := http.NewRequestWithContext(ctx, r.method, c.urls[c.next%len(c.urls)]+r.path, body)
	if err != nil {
		return nil, &apiError{message: err.Error()}
	}
	if body != nil {
		req.ContentLength = size
	}
	for k, v := range r.header {
		req.Header.Set(k, v)
	}
	if c.key != "" {
		req.Header.Set("Authorization", "Bearer "+c.key)
	}
	if idem != "" {
		req.Header.Set("Idempotency-Key", idem)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode < 300 {
		return resp, nil
	}
	defer func() { _ = resp.Body.Close() }()
	return nil, readError(resp)
}

func readError(resp *http.Response) *apiError {
	e := &apiError{status: resp.StatusCode, message: resp.Status}
	var b struct {
		Error string `json:"error"`
		Code  string `json:"code"`
		// Details are of any form; those of parameters are objects.
		Details any `json:"details"`
	}
	if json.NewDecoder(io.LimitReader(resp.Body, answerMax)).Decode(&b) == nil && b.Error != "" {
		e.message, e.code = b.Error, b.Code
		e.details, _ = b.Details.(map[string]any)
	}
	if s, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil {
		e.retry = min(time.Duration(s)*time.Second, retryPauseMost)
	}
	return e
}

// call sends JSON (nil: nothing) and decodes the answer into v (nil: dropped).
func (c *client) call(ctx context.Context, method, path string, in, v any) error {
	r := request{method: method, path: path, write: method != http.MethodGet}
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return err
		}
		r.header = map[string]string{"Content-Type": "application/json"}
		r.body = func() (io.ReadCloser, int64, error) { return io.NopCloser(bytes.NewReader(b)), int64(len(b)), nil }
	}
	resp, err := c.do(ctx, r)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(io.LimitReader(resp.Body, answerMax))
	if err != nil {
		return err
	}
	if v == nil {
		return nil
	}
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("the answer is not what it should be: %w", err)
	}
	return nil
}
