package main

import (
	"bytes"
	"context"
	crand "crypto/rand"
	"crypto/sha512"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"ringbin/storage"
)

// How content that is read is chosen.
const (
	keysUniform = "uniform"
	keysZipf    = "zipf"

	zipfSkew = 1.1
)

// hashEvery is how many answers go by their length for each one that is hashed:
// SHA-512 of all would take more of the machine than the nodes do.
const hashEvery = 64

// content is put and read in one size.
type content struct {
	size     int64
	o        *benchOptions
	client   *loadClient
	template *template

	mu     sync.Mutex // protects cids while they are put
	cids   []storage.CID
	choose func(*rand.Rand) uint64
}

// template is random bytes that all content of a size begins with. What makes
// it one of its own comes last, so that a hash of the rest is at hand.
type template struct {
	size  int64
	head  []byte
	state hash.Cloner // of head
}

// tailBytes are random and end each content.
const tailBytes = 32

func newTemplate(size int64) *template {
	t := &template{size: size, head: make([]byte, size-tailBytes)}
	_, _ = crand.Read(t.head) // never fails
	h, ok := sha512.New().(hash.Cloner)
	if !ok {
		panic("SHA-512 of the standard library can't be cloned")
	}
	_, _ = h.Write(t.head) // never fails
	t.state = h
	return t
}

// next makes new content: its name, and its last bytes.
func (t *template) next() (storage.CID, []byte, error) {
	tail := make([]byte, tailBytes)
	_, _ = crand.Read(tail) // never fails
	h, err := t.state.Clone()
	if err != nil {
		return storage.CID{}, nil, err
	}
	_, _ = h.Write(tail) // never fails
	name := binary.BigEndian.AppendUint64(nil, uint64(t.size))[2:]
	cid, err := storage.CIDFromBinary(h.Sum(name))
	return cid, tail, err
}

// put prepares an upload of new content.
func (c *content) put(w *loadWorker) (send, error) {
	cid, tail, err := c.template.next()
	if err != nil {
		return nil, err
	}
	header := http.Header{
		"Authorization": {"Bearer " + c.o.client.key}, "Content-Type": {"application/octet-stream"},
		"X-Content-Hash": {cid.String()}, "X-Retention-Days": {"30"},
	}
	if c.o.idempotent {
		header.Set("Idempotency-Key", crand.Text())
	}
	url := c.url(w) + "/api/content"
	return func(ctx context.Context) error {
		if err := c.client.post(ctx, url, header, c.template.head, tail); err != nil {
			return err
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.cids = append(c.cids, cid)
		return nil
	}, nil
}

func (c *content) url(w *loadWorker) string { return c.o.client.urls[w.turn%len(c.o.client.urls)] }

// freeze makes what is put by now what is read. No load may be on.
func (c *content) freeze(keys string) {
	n := uint64(len(c.cids))
	c.choose = func(r *rand.Rand) uint64 { return r.Uint64N(n) }
	if keys == keysZipf && n > 0 {
		c.choose = func(r *rand.Rand) uint64 { return rand.NewZipf(r, zipfSkew, 1, n-1).Uint64() }
	}
}

// get prepares a read. Content is public: no key is sent.
func (c *content) get(w *loadWorker) (send, error) {
	cid := c.at(c.choose(w.rng))
	url := c.url(w) + "/api/content/" + cid.String()
	hashed := w.rng.IntN(hashEvery) == 0
	return func(ctx context.Context) error {
		if hashed {
			return c.client.getHashed(ctx, url, cid)
		}
		return c.client.get(ctx, url, nil, cid.Size())
	}, nil
}

func (c *content) at(i uint64) storage.CID {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cids[i]
}

// mixed prepares one or the other.
func (c *content) mixed(w *loadWorker) (send, error) {
	if w.rng.IntN(100) < c.o.reads {
		return c.get(w)
	}
	return c.put(w)
}

// loadClient sends requests with as little work as there can be: nothing is
// tried again, and what fails is counted.
type loadClient struct{ http.Client }

// Limits of one request.
const (
	loadTimeout = 5 * time.Minute
	joinedMost  = 64 * kib // shorter bodies are sent as one piece, with their header, as other clients do
)

func newLoadClient() *loadClient {
	return &loadClient{http.Client{Timeout: loadTimeout, Transport: &http.Transport{
		MaxIdleConnsPerHost: concurrencyMax, IdleConnTimeout: time.Minute, DisableCompression: true,
	}}}
}

// post sends a body of two parts, and drops the answer.
func (c *loadClient) post(ctx context.Context, url string, header http.Header, head, tail []byte) error {
	size := int64(len(head) + len(tail))
	body := io.MultiReader(bytes.NewReader(head), bytes.NewReader(tail))
	if size <= joinedMost {
		body = bytes.NewReader(slices.Concat(head, tail))
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, body)
	if err != nil {
		return err
	}
	req.ContentLength = size
	if header != nil {
		req.Header = header
	}
	_, err = c.send(req, io.Discard)
	return err
}

// get reads so many bytes, and drops them; below 0 any number.
func (c *loadClient) get(ctx context.Context, url string, header http.Header, size int64) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	if header != nil {
		req.Header = header
	}
	n, err := c.send(req, io.Discard)
	if err == nil && size >= 0 && n != size {
		err = fmt.Errorf("%d bytes were received, not %d", n, size)
	}
	return err
}

func (c *loadClient) getHashed(ctx context.Context, url string, cid storage.CID) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	h := storage.NewHasher()
	if _, err := c.send(req, h); err != nil {
		return err
	}
	got, err := h.CID()
	if err == nil && got != cid {
		err = fmt.Errorf("the bytes received are %s, not %s", got, cid)
	}
	return err
}

func (c *loadClient) send(req *http.Request, body io.Writer) (int64, error) {
	resp, err := c.Do(req)
	if err != nil {
		return 0, err
	}
	if resp.StatusCode >= 300 {
		return 0, errors.Join(readError(resp), resp.Body.Close())
	}
	n, err := io.Copy(body, resp.Body)
	return n, errors.Join(err, resp.Body.Close())
}

// balance prepares strong reads through one node.
func (c *loadClient) balance(url, key string) func(*loadWorker) (send, error) {
	header := http.Header{"Authorization": {"Bearer " + key}}
	return func(*loadWorker) (send, error) {
		return func(ctx context.Context) error { return c.get(ctx, url+"/api/balance", header, -1) }, nil
	}
}

// blank prepares reads of so many bytes from the floor's server.
func (c *loadClient) blank(url string, size int64) func(*loadWorker) (send, error) {
	url += "/" + strconv.FormatInt(size, 10)
	return func(*loadWorker) (send, error) {
		return func(ctx context.Context) error { return c.get(ctx, url, nil, size) }, nil
	}
}

// sink prepares uploads to the floor's server.
func (c *loadClient) sink(url string, size int64) func(*loadWorker) (send, error) {
	t := newTemplate(size)
	return func(*loadWorker) (send, error) {
		return func(ctx context.Context) error { return c.post(ctx, url+"/", nil, t.head, t.head[:tailBytes]) }, nil
	}
}
