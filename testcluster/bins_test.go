package testcluster_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"ringbin/testcluster"
)

// Sizes of a run of TestBinUpdates.
const (
	binClients  = 6 // of each bin
	binPadding  = 300
	binPatience = 15 * time.Second
	binsShared  = 2
)

// binLoad is clients that change the same bins, each time meaning the revision
// that they read last, through whichever node.
type binLoad struct {
	c       *testcluster.Cluster
	h       *testcluster.History
	master  string
	bins    []string
	records atomic.Int64 // numbers of records: no two are the same
	acks    atomic.Int64
	ack     chan struct{}
	cancel  context.CancelFunc
	group   errgroup.Group
}

// record is the n-th record, inline or not.
func (l *binLoad) record(n int64) string {
	return fmt.Sprintf(`{"n":%d,"padding":"%s"}`, n, strings.Repeat("x", int(n%3)*binPadding))
}

// answer is what became of one request: a revision and a record, or neither.
type binAnswer struct {
	status   int
	revision int64
	record   int64
}

func (l *binLoad) do(client int, method, path, match, body string) (binAnswer, error) {
	cl := l.c.Client(client%l.c.Len(), "")
	cl.Patience = binPatience
	header := map[string]string{"X-Master-Key": l.master, "Content-Type": "application/json"}
	if match != "" {
		header["If-Match"] = match
	}
	a, err := cl.Do(method, path, header, bytes.NewReader([]byte(body)))
	if err != nil {
		return binAnswer{}, err
	}
	got := binAnswer{status: a.Status}
	if a.Status != http.StatusOK && a.Status != http.StatusPreconditionFailed {
		return got, nil
	}
	if _, err := fmt.Sscanf(a.Header.Get("ETag"), `"%d"`, &got.revision); err != nil {
		return got, fmt.Errorf("ETag %q of %s %s: %w", a.Header.Get("ETag"), method, path, err)
	}
	var b struct {
		Record struct {
			N int64 `json:"n"`
		} `json:"record"`
	}
	if err := a.JSON(&b); err != nil {
		return got, err
	}
	got.record = b.Record.N
	return got, nil
}

// create makes one bin.
func (l *binLoad) create(t *testing.T) {
	t.Helper()
	n := l.records.Add(1)
	cl := l.c.Client(0, "")
	call := l.h.Now()
	a, err := cl.Do(http.MethodPost, "/v3/b", map[string]string{"X-Master-Key": l.master, "Content-Type": "application/json"},
		strings.NewReader(l.record(n)))
	var made struct{ Metadata struct{ ID string } }
	if err = errors.Join(err, a.JSON(&made)); err != nil || a.Status != http.StatusOK {
		t.Fatalf("create: %v %d %s", err, a.Status, a.Body)
	}
	l.h.Add(testcluster.Operation{Object: testcluster.BinObject(made.Metadata.ID), What: "create", Record: n, Call: call})
	l.bins = append(l.bins, made.Metadata.ID)
}

func startBinLoad(t *testing.T, c *testcluster.Cluster) *binLoad {
	t.Helper()
	account, _ := c.Account(0)
	a, err := c.Operator(0).Do(http.MethodPost, "/api/admin/accounts/"+account+"/apikeys", nil, strings.NewReader(`{"api":"jsonbin"}`))
	var k struct{ Key string }
	if err = errors.Join(err, a.JSON(&k)); err != nil || a.Status != http.StatusOK {
		t.Fatalf("master key: %v %d", err, a.Status)
	}
	ctx, cancel := context.WithCancel(t.Context())
	l := &binLoad{c: c, h: testcluster.NewHistory(), master: k.Key, ack: make(chan struct{}, 1), cancel: cancel}
	for range binsShared {
		l.create(t)
	}
	for _, id := range l.bins {
		for client := range binClients {
			l.group.Go(func() error { return l.run(ctx, id, client) })
		}
	}
	return l
}

// run is one client: it reads, and changes what it has read. A client that did
// not learn what became of its change is another one from then on.
func (l *binLoad) run(ctx context.Context, id string, client int) error {
	for i := client; ctx.Err() == nil; i++ {
		revision, err := l.read(id, client, i) //nolint:contextcheck // each request has its own time
		if err != nil {
			return err
		}
		if revision == 0 {
			continue
		}
		if err := l.update(id, client, i, revision); err != nil { //nolint:contextcheck // each request has its own time
			return err
		}
	}
	return nil
}

// read returns the bin's revision; 0: nobody told it.
func (l *binLoad) read(id string, client, node int) (int64, error) {
	call := l.h.Now()
	got, err := l.do(node, http.MethodGet, "/v3/b/"+id+"/latest", "", "")
	switch {
	case err != nil || got.status == http.StatusServiceUnavailable:
		return 0, l.pause() // no answer is no read
	case got.status != http.StatusOK:
		return 0, fmt.Errorf("a read answers %d", got.status)
	}
	l.h.Add(testcluster.Operation{
		Object: testcluster.BinObject(id), Client: client, What: "read", Record: got.record, Got: got.revision, Call: call, Node: node % l.c.Len(),
	})
	return got.revision, nil
}

func (l *binLoad) update(id string, client, node int, revision int64) error {
	n := l.records.Add(1)
	o := testcluster.Operation{
		Object: testcluster.BinObject(id), Client: client, What: "update", Record: n, Match: revision, Call: l.h.Now(), Node: node % l.c.Len(),
	}
	got, err := l.do(node, http.MethodPut, "/v3/b/"+id, fmt.Sprintf(`"%d"`, revision), l.record(n))
	o.Got = got.revision
	switch {
	case err != nil || got.status == http.StatusServiceUnavailable:
		o.Unknown = true
		l.h.Add(o)
		return l.pause()
	case got.status == http.StatusPreconditionFailed:
		o.Refused = true
	case got.status != http.StatusOK:
		return fmt.Errorf("an update answers %d", got.status)
	case got.record != n:
		return fmt.Errorf("an update of record %d answers %d", n, got.record)
	}
	l.h.Add(o)
	if !o.Refused {
		l.acks.Add(1)
		select {
		case l.ack <- struct{}{}:
		default:
		}
	}
	return nil
}

// pause lets who was not answered wait a moment, as a client would.
func (l *binLoad) pause() error {
	time.Sleep(50 * time.Millisecond)
	return nil
}

// more returns once n further updates were acknowledged.
func (l *binLoad) more(t *testing.T, n int64) {
	t.Helper()
	until := l.acks.Load() + n
	late := time.After(time.Minute)
	for l.acks.Load() < until {
		select {
		case <-l.ack:
		case <-late:
			t.Fatalf("%d of %d updates acknowledged in a minute", l.acks.Load(), until)
		}
	}
}

// stop ends the clients and judges what they were told.
func (l *binLoad) stop(t *testing.T) {
	t.Helper()
	l.cancel()
	if err := l.group.Wait(); err != nil {
		t.Error(err)
	}
	v := l.h.Check()
	t.Logf("%d updates acknowledged, %d operations, %d without an answer", l.acks.Load(), v.Operations, v.Unknown)
	if len(v.Violations) > 0 || v.Undecided > 0 {
		t.Errorf("lost updates: %+v, history in %s", v, l.h.Save(t))
	}
}

// TestBinUpdates: clients change the same bins through all nodes, each meaning
// the revision that it read, while leaders are killed and nodes cut off. No
// acknowledged update is lost and none is made twice, and every read is of the
// one record of its revision.
func TestBinUpdates(t *testing.T) {
	testcluster.Parallel(t)
	c := testcluster.Start(t, 3, testcluster.Options{})
	l := startBinLoad(t, c)
	l.more(t, 20)
	leader := c.WaitLeader()
	c.Kill(leader)
	l.more(t, 20)
	c.Restart(leader)
	c.WaitReady()
	l.more(t, 10)
	leader = c.WaitLeader()
	c.Isolate(leader)
	l.more(t, 20)
	c.Heal()
	l.more(t, 10)
	for i := range c.Len() {
		c.SetWeatherOf(i, testcluster.Weather{Delay: 5 * time.Millisecond, Jitter: 20 * time.Millisecond, Reset: 0.01})
	}
	l.more(t, 20)
	for i := range c.Len() {
		c.SetWeatherOf(i, testcluster.Weather{})
	}
	follower := (c.WaitLeader() + 1) % c.Len()
	c.Kill(follower)
	l.more(t, 20)
	c.Restart(follower)
	c.WaitReady()
	l.more(t, 10)
	l.stop(t)
}
