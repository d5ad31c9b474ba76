package testcluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"ringbin/storage"
)

// Numbers of a workload.
const (
	patience        = 3 * time.Second  // of one request; a retry may take as long again
	giveUpAfter     = 90 * time.Second // an operation that nobody answers for so long is a failure
	stuckAfter      = 40 * time.Second // without a write, once all is mended
	againAfter      = 10 * time.Millisecond
	hangUpShare     = 0.25 // of first tries that are given up once they are sent
	hangUpMost      = 12 * time.Millisecond
	opsOfAccount    = 600 // then the client goes on with a new account: histories stay short
	registersOf     = 4   // contents that a registrar puts and deletes again and again
	largeEvery      = 40
	largeBytes      = 300 << 10 // several chunks, stored as a file of its own
	freshBytesMost  = 128 << 20 // of all uploads; afterwards they are small
	openingCents    = 100_000
	retentionDays   = 30
	refusalsKept    = 3   // of each client, for the report of a run that is stuck
	readAckedAtMost = 512 // acknowledged contents that readers choose from
	burnReaders     = 3   // of each paste that burns
	burnedKept      = 64  // texts of burned pastes that must not be seen again
)

// Workload is a number of clients that use a cluster as customers do: they
// upload, extend, delete, pay in, make and revoke keys, read, make pastes and
// burn them, and ask another node when they got no answer. What they are told goes into a [History] and
// into the journal.
type Workload struct {
	c       *Cluster
	History *History
	op      string // the operator's token
	price   func(size int64, days int) int64

	stopping chan struct{}
	group    errgroup.Group
	gate     sync.RWMutex // held shared by each operation; see Pause

	clients  atomic.Int64
	fresh    atomic.Int64 // bytes uploaded
	Unknown  atomic.Int64 // tries whose outcome was not known
	Retried  atomic.Int64 // operations that were tried, unknown, and answered by another node
	Burned   atomic.Int64 // pastes that were burned by several readers at once
	Unread   atomic.Int64 // of them, those that nobody got
	ReadMore atomic.Int64 // and those that more than one got

	mu       sync.Mutex // protects the fields below
	acks     []time.Duration
	reads    []time.Duration
	ackNews  chan struct{} // closed and made anew at each acknowledgement, and when a client ends
	broken   error         // why a client ended before it was told to
	refusals [][]string    // by client: the newest tries that had no final answer
	acked    []storage.CID // the newest, for readers
	accounts []*customer
	start    time.Time
	deleted  map[storage.CID]bool // registers: not for the durability audit
}

// customer is an account as its owner knows it.
type customer struct {
	id, key   string
	token     string // of PasteWizard; "": none yet
	registers [][]byte

	mu      sync.Mutex // protects the fields below
	ops     int
	given   []attempt // operations that were given up
	extends []storage.CID
}

// attempt is an operation whose outcome is not known.
type attempt struct {
	what string
	cid  storage.CID
}

// StartWorkload starts so many spenders, half as many registrars, one keeper of
// keys, one who burns pastes, and readers.
func (c *Cluster) StartWorkload(spenders int, seed uint64) *Workload {
	c.tb.Helper()
	w := &Workload{
		c: c, History: NewHistory(), op: c.AdminToken(), stopping: make(chan struct{}), ackNews: make(chan struct{}),
		start: time.Now(), deleted: map[storage.CID]bool{},
	}
	w.price = c.Node(c.anyRunning()).Service().Quote
	c.mustJSON(c.Operator(c.anyRunning()), http.MethodPatch, "/api/admin/settings",
		`{"rate_limit_ip_per_minute":0,"rate_limit_key_per_minute":0}`, http.StatusOK, &struct{}{})
	run := func(turn func(cl *client) error) {
		id := w.clients.Add(1)
		cl := &client{w: w, id: int(id), r: rand.New(rand.NewPCG(seed, uint64(id)))}
		w.group.Go(func() error { return cl.run(turn) })
	}
	for range spenders {
		run((*client).spend)
	}
	for range max(1, spenders/2) {
		run((*client).register)
	}
	run((*client).keepKeys)
	run((*client).burn)
	for range 2 {
		run((*client).look)
	}
	return w
}

// Stop lets every client end what it has begun, and returns the first failure.
// The cluster must be whole again.
func (w *Workload) Stop() error {
	close(w.stopping)
	return w.group.Wait()
}

// Pause returns once no operation is under way, and none begins until resume
// is called.
func (w *Workload) Pause() (resume func()) {
	w.gate.Lock()
	return w.gate.Unlock
}

// More returns once n further writes were acknowledged.
func (w *Workload) More(n int) {
	w.c.tb.Helper()
	late := time.After(stuckAfter)
	w.mu.Lock()
	until := len(w.acks) + n
	w.mu.Unlock()
	for {
		w.mu.Lock()
		now, news, broken := len(w.acks), w.ackNews, w.broken
		w.mu.Unlock()
		if broken != nil {
			w.c.tb.Errorf("a client ended: %v", broken)
		}
		if now >= until || broken != nil {
			return
		}
		select {
		case <-news:
		case <-late:
			w.c.tb.Fatalf("%d of %d writes acknowledged in %v; clients were told last:\n%s", now, until, stuckAfter, w.told())
		}
	}
}

// refused notes a try that had no final answer.
func (w *Workload) refused(client, node int, a Answer, err error) {
	text := fmt.Sprintf("%7.2f s, client %d, node %d: %d %s", w.Elapsed().Seconds(), client, node, a.Status, bytes.TrimSpace(a.Body))
	if err != nil {
		text += err.Error()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.refusals) <= client {
		w.refusals = append(w.refusals, nil)
	}
	kept := append(w.refusals[client], text)
	w.refusals[client] = kept[max(0, len(kept)-refusalsKept):]
}

// told lists the newest tries that had no final answer, by client.
func (w *Workload) told() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Join(slices.Concat(w.refusals...), "\n")
}

// Acknowledged returns how many writes and reads were answered.
func (w *Workload) Acknowledged() (writes, reads int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.acks), len(w.reads)
}

// Elapsed is the time since the workload began; gaps are told in it.
func (w *Workload) Elapsed() time.Duration { return time.Since(w.start) }

// WriteGap returns the longest time without an acknowledged write that began
// or ended in a span, and ReadGap that without a read. What overlaps one of the
// exceptions does not count.
func (w *Workload) WriteGap(in span, except []span) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return longestGap(w.acks, in, except)
}

// ReadGap returns the longest time without a successful read of content.
func (w *Workload) ReadGap(in span, except []span) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return longestGap(w.reads, in, except)
}

func longestGap(at []time.Duration, in span, except []span) (gap time.Duration) {
	i, _ := slices.BinarySearch(at, in[0])
	for i = max(1, i); i < len(at) && at[i-1] < in[1]; i++ {
		if g := (span{at[i-1], at[i]}); !g.overlaps(except) {
			gap = max(gap, g[1]-g[0])
		}
	}
	return gap
}

func (w *Workload) ack() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.acks = append(w.acks, time.Since(w.start))
	w.news()
}

// news wakes who waits for it; mu is held.
func (w *Workload) news() {
	close(w.ackNews)
	w.ackNews = make(chan struct{})
}

func (w *Workload) read() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.reads = append(w.reads, time.Since(w.start))
}

// client is one of the clients: a goroutine of its own.
type client struct {
	w  *Workload
	id int
	r  *rand.Rand
	me *customer // whose account it uses now

	key keyState // of a keeper of keys
}

func (cl *client) run(turn func(*client) error) error {
	for {
		select {
		case <-cl.w.stopping:
			return nil
		default:
		}
		cl.w.gate.RLock()
		err := turn(cl)
		cl.w.gate.RUnlock()
		if err != nil {
			cl.w.mu.Lock()
			cl.w.broken = errors.Join(cl.w.broken, err)
			cl.w.news()
			cl.w.mu.Unlock()
			return err
		}
	}
}

// errNobody is the end of an operation that nobody answered.
var errNobody = errors.New("nobody answered")

// settle asks one node after the other, in the same words, until one gives an
// answer that is final, and tells which. The words must carry an
// Idempotency-Key or have no effect that counts twice.
func (cl *client) settle(key string, ask func(c *Client) (Answer, error)) (Answer, int, error) {
	unsure := -1 // who left the outcome open last
	until := time.Now().Add(giveUpAfter)
	for try := 0; time.Now().Before(until); try++ {
		i := cl.r.IntN(cl.w.c.Len())
		if cl.w.c.running(i) == nil && try < cl.w.c.Len() {
			continue // a balancer knows who is down, most of the time
		}
		c := cl.w.c.Client(i, key)
		c.Patience = patience
		if try == 0 && cl.r.Float64() < hangUpShare {
			c.HangUp = drawn(cl.r, hangUpMost) + 1
		}
		a, err := ask(c)
		if err == nil && final(a) {
			if unsure >= 0 && unsure != i {
				cl.w.Retried.Add(1)
			}
			return a, i, nil
		}
		cl.w.refused(cl.id, i, a, err)
		if err != nil && !neverSent(err) || err == nil && a.Header.Get("X-Outcome") == "unknown" {
			unsure = i
			cl.w.Unknown.Add(1)
		}
		time.Sleep(againAfter)
	}
	return Answer{}, -1, errNobody
}

// drawn draws a duration below d.
func drawn(r *rand.Rand, d time.Duration) time.Duration { return time.Duration(r.Int64N(int64(d))) }

// final reports whether an answer tells what became of a request: not that
// another one under the same key is under way, nor that the node could not.
func final(a Answer) bool {
	busy := a.Status == http.StatusConflict && bytes.Contains(a.Body, []byte("in_progress"))
	return a.Status < http.StatusInternalServerError && !busy && a.Status != http.StatusTooManyRequests
}

func neverSent(err error) bool {
	op, ok := errors.AsType[*net.OpError](err)
	return ok && op.Op == "dial"
}

// account gives the client an account that is not used up.
func (cl *client) account() error {
	if cl.me != nil {
		cl.me.mu.Lock()
		cl.me.ops++
		used := cl.me.ops > opsOfAccount
		cl.me.mu.Unlock()
		if !used {
			return nil
		}
	}
	return cl.newAccount()
}

func (cl *client) newAccount() error {
	var made struct{ ID string }
	idem, body := randomName(), fmt.Sprintf(`{"email":"%s@example.com","name":"Test","balance_cents":%d}`, randomName(), openingCents)
	call := cl.w.History.Now()
	a, i, err := cl.settle(cl.w.op, func(c *Client) (Answer, error) {
		return c.Do(http.MethodPost, "/api/admin/accounts", map[string]string{"Idempotency-Key": idem}, bytes.NewReader([]byte(body)))
	})
	if err != nil {
		return fmt.Errorf("make an account: %w", err)
	}
	if err := a.JSON(&made); err != nil || a.Status != http.StatusCreated {
		return fmt.Errorf("I8: make an account, asked again under one key: %d %s", a.Status, a.Body)
	}
	cl.w.History.Add(Operation{Object: AccountObject(made.ID), Client: cl.id, What: "open", Cents: openingCents, Call: call, Node: i})
	k, err := cl.makeKey(cl.w.op, "/api/admin/accounts/"+made.ID+"/apikeys", `{"name":"test"}`)
	if err != nil {
		return err
	}
	cl.me = &customer{id: made.ID, key: k.Key}
	cl.key = keyState{}
	for range registersOf {
		cl.me.registers = append(cl.me.registers, cl.bytes(100+cl.r.IntN(900)))
	}
	cl.w.mu.Lock()
	cl.w.accounts = append(cl.w.accounts, cl.me)
	cl.w.mu.Unlock()
	return nil
}

type madeKey struct{ ID, Key string }

// makeKey makes a key. That has no Idempotency-Key: one whose answer is lost is
// a key that nobody has.
func (cl *client) makeKey(key, path, body string) (madeKey, error) {
	var k madeKey
	a, _, err := cl.settle(key, func(c *Client) (Answer, error) {
		return c.Do(http.MethodPost, path, nil, strings.NewReader(body))
	})
	if err != nil {
		return k, fmt.Errorf("make a key: %w", err)
	}
	if a.Status != http.StatusOK {
		return k, fmt.Errorf("make a key: %d %s", a.Status, a.Body)
	}
	err = a.JSON(&k)
	cl.w.c.secrets.add("key "+k.ID, []byte(k.Key))
	return k, err
}

func (cl *client) bytes(n int) []byte {
	b := make([]byte, n)
	for i := 0; i < n; i += 8 {
		v := cl.r.Uint64()
		for j := i; j < min(n, i+8); j++ {
			b[j] = byte(v)
			v >>= 8
		}
	}
	return b
}

// spend is a turn of a client that uploads, extends and pays in.
func (cl *client) spend() error {
	if err := cl.account(); err != nil {
		return err
	}
	switch n := cl.r.IntN(10); {
	case n < 7:
		size := 65 + cl.r.IntN(2000)
		if cl.r.IntN(largeEvery) == 0 && cl.w.fresh.Load() < freshBytesMost {
			size = largeBytes + cl.r.IntN(1000)
		}
		cl.w.fresh.Add(int64(size))
		return cl.upload(cl.bytes(size))
	case n < 9:
		return cl.extend()
	}
	return cl.deposit()
}

// upload uploads content and notes what it cost.
func (cl *client) upload(content []byte) error {
	cid, idem, call := storage.SumCID(content), randomName(), cl.w.History.Now()
	charge := Operation{Object: AccountObject(cl.me.id), Client: cl.id, What: "charge", Call: call}
	put := Operation{Object: ReferenceObject(cl.me.id, cid), Client: cl.id, What: "put", Call: call}
	var u Upload
	a, i, err := cl.settle(cl.me.key, func(c *Client) (Answer, error) {
		return c.Do(http.MethodPost, "/api/content", map[string]string{
			"X-Content-Hash": cid.String(), "X-Retention-Days": strconv.Itoa(retentionDays),
			"Content-Type": "application/octet-stream", "Idempotency-Key": idem,
		}, bytes.NewReader(content))
	})
	if err != nil {
		charge.Unknown, put.Unknown, charge.Cents = true, true, cl.w.price(cid.Size(), retentionDays)
		cl.w.History.Add(charge)
		cl.w.History.Add(put)
		cl.gaveUp("upload", cid)
		return fmt.Errorf("upload: %w", err)
	}
	if err := a.JSON(&u); err != nil || a.Status != http.StatusOK || u.CID != cid || u.Balance == nil {
		return fmt.Errorf("upload through node %d: %d %s", i, a.Status, a.Body)
	}
	charge.Cents, charge.Got, charge.Node, put.Node = u.CostCents, *u.Balance, i, i
	cl.w.History.Add(charge)
	cl.w.History.Add(put)
	cl.me.mu.Lock()
	cl.me.extends = append(cl.me.extends, cid)
	cl.me.mu.Unlock()
	return cl.done(i, Acknowledged{
		What: "upload", Account: cl.me.id, Idem: idem, CID: cid, Size: cid.Size(), Cents: u.CostCents, Expires: u.Expiration,
	})
}

// done writes what was acknowledged into the journal.
func (cl *client) done(node int, a Acknowledged) error {
	if n := cl.w.c.running(node); n != nil {
		a.Index, _, _ = n.StateHash() // of a node that closes meanwhile: 0 will do
	}
	if err := cl.w.c.journal.write(a); err != nil {
		return err
	}
	cl.w.ack()
	if a.What == "upload" {
		cl.w.mu.Lock()
		if len(cl.w.acked) < readAckedAtMost {
			cl.w.acked = append(cl.w.acked, a.CID)
		} else {
			cl.w.acked[cl.r.IntN(readAckedAtMost)] = a.CID
		}
		cl.w.mu.Unlock()
	}
	return nil
}

func (cl *client) gaveUp(what string, cid storage.CID) {
	cl.me.mu.Lock()
	defer cl.me.mu.Unlock()
	cl.me.given = append(cl.me.given, attempt{what, cid})
}

// extend lengthens what was uploaded before, once.
func (cl *client) extend() error {
	cl.me.mu.Lock()
	var cid storage.CID
	n := len(cl.me.extends)
	if n > 0 {
		cid, cl.me.extends = cl.me.extends[0], cl.me.extends[1:]
	}
	cl.me.mu.Unlock()
	if n == 0 {
		return nil
	}
	idem := randomName()
	o := Operation{Object: AccountObject(cl.me.id), Client: cl.id, What: "charge", Call: cl.w.History.Now()}
	a, i, err := cl.settle(cl.me.key, func(c *Client) (Answer, error) {
		return c.Do(http.MethodPost, "/api/content/"+cid.String()+"/extend", map[string]string{"Idempotency-Key": idem},
			bytes.NewReader([]byte(`{"days":30}`)))
	})
	if err != nil {
		o.Unknown, o.Cents = true, cl.w.price(cid.Size(), retentionDays)
		cl.w.History.Add(o)
		cl.gaveUp("extend", cid)
		return fmt.Errorf("extend: %w", err)
	}
	var got struct {
		Cost    int64     `json:"cost_cents"`
		Balance int64     `json:"new_balance_cents"`
		Expires time.Time `json:"expires_at"`
	}
	if err := a.JSON(&got); err != nil || a.Status != http.StatusOK {
		return fmt.Errorf("extend through node %d: %d %s", i, a.Status, a.Body)
	}
	o.Cents, o.Got, o.Node = got.Cost, got.Balance, i
	cl.w.History.Add(o)
	return cl.done(i, Acknowledged{
		What: "extend", Account: cl.me.id, Idem: idem, CID: cid, Size: cid.Size(), Cents: got.Cost, Expires: got.Expires,
	})
}

// deposit pays something in. Its reference is an Idempotency-Key for ever.
func (cl *client) deposit() error {
	idem, cents := randomName(), 1+cl.r.Int64N(50)
	o := Operation{Object: AccountObject(cl.me.id), Client: cl.id, What: "deposit", Cents: cents, Call: cl.w.History.Now()}
	a, i, err := cl.settle(cl.w.op, func(c *Client) (Answer, error) {
		return c.Do(http.MethodPost, "/api/admin/accounts/"+cl.me.id+"/deposit", map[string]string{"Idempotency-Key": idem},
			bytes.NewReader(fmt.Appendf(nil, `{"amount_cents":%d,"reference":%q}`, cents, idem)))
	})
	if err != nil {
		o.Unknown = true
		cl.w.History.Add(o)
		cl.gaveUp("deposit", storage.CID{})
		return fmt.Errorf("deposit: %w", err)
	}
	var got struct {
		ID    string
		After int64 `json:"balance_after_cents"`
	}
	if err := a.JSON(&got); err != nil || a.Status != http.StatusOK {
		return fmt.Errorf("deposit through node %d: %d %s", i, a.Status, a.Body)
	}
	o.Got, o.Node = got.After, i
	cl.w.History.Add(o)
	return cl.done(i, Acknowledged{What: "deposit", Account: cl.me.id, Idem: idem, Cents: cents, Entry: got.ID})
}

// register is a turn of a client that puts and deletes the same few contents.
func (cl *client) register() error {
	if err := cl.account(); err != nil {
		return err
	}
	content := cl.me.registers[cl.r.IntN(len(cl.me.registers))]
	if cl.r.IntN(2) == 0 {
		return cl.upload(content)
	}
	cid, idem := storage.SumCID(content), randomName()
	cl.w.mu.Lock()
	cl.w.deleted[cid] = true
	cl.w.mu.Unlock()
	o := Operation{Object: ReferenceObject(cl.me.id, cid), Client: cl.id, What: "delete", Call: cl.w.History.Now()}
	a, i, err := cl.settle(cl.me.key, func(c *Client) (Answer, error) {
		return c.Do(http.MethodDelete, "/api/content/"+cid.String(), map[string]string{"Idempotency-Key": idem}, nil)
	})
	if err != nil {
		o.Unknown = true
		cl.w.History.Add(o)
		return fmt.Errorf("delete: %w", err)
	}
	if a.Status != http.StatusOK && a.Status != http.StatusNotFound {
		return fmt.Errorf("delete through node %d: %d %s", i, a.Status, a.Body)
	}
	o.Refused, o.Node = a.Status == http.StatusNotFound, i
	cl.w.History.Add(o)
	if o.Refused {
		return nil
	}
	return cl.done(i, Acknowledged{What: "delete", Account: cl.me.id, Idem: idem, CID: cid})
}

// keyState is the key that a keeper has in hand.
type keyState struct {
	madeKey
	uses    int
	revoked bool
}

// keepKeys is a turn of a client that makes, uses and revokes keys.
func (cl *client) keepKeys() error {
	if err := cl.account(); err != nil {
		return err
	}
	switch k := &cl.key; {
	case k.ID == "" || k.revoked && k.uses > 2:
		o := Operation{Client: cl.id, What: "create", Call: cl.w.History.Now()}
		made, err := cl.makeKey(cl.me.key, "/api/auth/apikeys", `{"name":"test"}`)
		if err != nil {
			return cl.newAccount() // the keys that nobody has fill the account
		}
		cl.key = keyState{madeKey: made}
		o.Object = KeyObject(made.ID)
		cl.w.History.Add(o)
	case !k.revoked && k.uses > 2:
		o := Operation{Object: KeyObject(k.ID), Client: cl.id, What: "revoke", Call: cl.w.History.Now()}
		a, i, err := cl.settle(cl.me.key, func(c *Client) (Answer, error) {
			return c.Do(http.MethodDelete, "/api/auth/apikeys/"+k.ID, nil, nil)
		})
		if err != nil || a.Status != http.StatusOK {
			return fmt.Errorf("revoke through node %d: %w %d %s", i, err, a.Status, a.Body)
		}
		o.Node = i
		cl.w.History.Add(o)
		k.revoked, k.uses = true, 0
	default:
		k.uses++
		return cl.use()
	}
	return nil
}

// use writes under the key in hand: to lengthen what is not there is refused,
// in the log, and as what shows whether the key counts.
func (cl *client) use() error {
	nothing := storage.SumCID(cl.bytes(200))
	o := Operation{Object: KeyObject(cl.key.ID), Client: cl.id, What: "use", Call: cl.w.History.Now()}
	a, i, err := cl.settle(cl.key.Key, func(c *Client) (Answer, error) {
		return c.Do(http.MethodPost, "/api/content/"+nothing.String()+"/extend", nil, bytes.NewReader([]byte(`{"days":30}`)))
	})
	if err != nil || a.Status != http.StatusNotFound && a.Status != http.StatusUnauthorized {
		return fmt.Errorf("use of a key through node %d: %w %d %s", i, err, a.Status, a.Body)
	}
	o.Refused, o.Node = a.Status == http.StatusUnauthorized, i
	cl.w.History.Add(o)
	return nil
}

// burn is a turn of a client that makes a paste for one reader, and lets several
// read it at the same moment. Once it is burned its text must not be seen again,
// on disks neither.
func (cl *client) burn() error {
	if err := cl.account(); err != nil {
		return err
	}
	if cl.me.token == "" {
		k, err := cl.makeKey(cl.w.op, "/api/admin/accounts/"+cl.me.id+"/apikeys", tokenBody([]string{"read", "write"}, 0))
		if err != nil {
			return err
		}
		cl.me.token = k.Key
	}
	text := newBurnText(20 + cl.r.IntN(2000)) // the shortest are but their mark
	a, _, err := cl.settle(cl.me.token, func(c *Client) (Answer, error) { return createBurn(c, text) })
	if err != nil {
		return fmt.Errorf("make a paste: %w", err)
	}
	b, err := burnOf(a, cl.me.token, text)
	if err != nil {
		return err
	}
	cl.w.ack()
	race := BurnRace{Readers: burnReaders, HangUp: hangUpShare, Nodes: cl.w.c.Len(), Client: cl.w.c.Client}
	err = errors.Join(race.Run(b, cl.r), b.Judge())
	if n := cl.w.Burned.Add(1); n <= burnedKept {
		cl.w.c.secrets.add(fmt.Sprintf("text of burned paste %d", n), markOf(text))
	}
	switch b.Winners() {
	case 0:
		cl.w.Unread.Add(1)
	case 1:
	default:
		cl.w.ReadMore.Add(1)
	}
	return err
}

// look is a turn of a client that reads.
func (cl *client) look() error {
	cl.w.mu.Lock()
	var who *customer
	var cid storage.CID
	if n := len(cl.w.accounts); n > 0 {
		// The newest accounts are those in use.
		who = cl.w.accounts[n-1-cl.r.IntN(min(n, int(cl.w.clients.Load())))]
	}
	if n := len(cl.w.acked); n > 0 {
		cid = cl.w.acked[cl.r.IntN(n)]
	}
	gone := cl.w.deleted[cid]
	cl.w.mu.Unlock()
	i := cl.r.IntN(cl.w.c.Len())
	if who == nil || cl.w.c.running(i) == nil {
		time.Sleep(time.Millisecond)
		return nil
	}
	switch n := cl.r.IntN(10); {
	case n < 3:
		return cl.readBalance(i, who)
	case n < 5:
		return cl.readRegisters(i, who)
	case cid == (storage.CID{}) || gone:
		return nil
	}
	return cl.readContent(i, cid)
}

func (cl *client) readBalance(i int, who *customer) error {
	o := Operation{Object: AccountObject(who.id), Client: cl.id, What: "read", Call: cl.w.History.Now(), Node: i}
	c := cl.w.c.Client(i, who.key)
	c.Patience = patience
	var err error
	if o.Got, err = c.Balance(); err == nil {
		cl.w.History.Add(o) // a read without an answer tells nothing
	}
	return nil
}

// readRegisters lists an account's references: a strong read of each register.
func (cl *client) readRegisters(i int, who *customer) error {
	call := cl.w.History.Now()
	c := cl.w.c.Client(i, who.key)
	c.Patience = patience
	a, err := c.Do(http.MethodGet, "/api/content?limit=100", nil, nil)
	if err != nil || a.Status != http.StatusOK {
		return nil //nolint:nilerr // a read without an answer tells nothing
	}
	var got struct {
		Items []struct{ CID storage.CID }
		Next  *string `json:"next_cursor"`
	}
	if err := a.JSON(&got); err != nil {
		return err
	}
	if got.Next != nil {
		return nil // a spender's: more than a page
	}
	listed := map[storage.CID]bool{}
	for _, it := range got.Items {
		listed[it.CID] = true
	}
	for _, content := range who.registers {
		cid := storage.SumCID(content)
		cl.w.History.Add(Operation{
			Object: ReferenceObject(who.id, cid), Client: cl.id, What: "read", Refused: !listed[cid], Call: call, Node: i,
		})
	}
	return nil
}

// readContent reads what was acknowledged: it is there, or the node can't say.
func (cl *client) readContent(i int, cid storage.CID) error {
	c := cl.w.c.Client(i, "")
	c.Patience = patience
	a, err := c.Do(http.MethodGet, "/api/content/"+cid.String(), nil, nil)
	switch {
	case err != nil:
		return nil //nolint:nilerr // cut off, which is not a wrong answer
	case a.Status == http.StatusNotFound:
		cl.w.mu.Lock()
		gone := cl.w.deleted[cid]
		cl.w.mu.Unlock()
		if !gone {
			return fmt.Errorf("I1: node %d says 404 of %s, which was acknowledged", i, cid)
		}
	case a.Status == http.StatusOK:
		if storage.SumCID(a.Body) != cid {
			return fmt.Errorf("I2: node %d served other bytes for %s", i, cid)
		}
		cl.w.read()
	}
	return nil
}

// Given returns what was given up without an answer, by account.
func (w *Workload) given() map[string][]attempt {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := map[string][]attempt{}
	for _, a := range w.accounts {
		a.mu.Lock()
		all[a.id] = slices.Clone(a.given)
		a.mu.Unlock()
	}
	return all
}

// customers returns the accounts' ids and keys.
func (w *Workload) customers() map[string]string {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := map[string]string{}
	for _, a := range w.accounts {
		all[a.id] = a.key
	}
	return all
}

func (w *Workload) registers() map[storage.CID]bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return maps.Clone(w.deleted)
}

// Deadline returns ctx with the time that an audit may take.
func auditContext() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), convergeWait)
}
