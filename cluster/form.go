package cluster

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base32"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"ringbin/storage"
)

// sayEvery is how often a node that waits for founders says for whom.
const sayEvery = 5 * time.Second

// candidatesMax bounds the founders of a cluster.
const candidatesMax = 64

// Candidate is a node that might found a cluster.
type Candidate struct {
	ID  storage.NodeID `cbor:"1,keyasint"`
	RPC string         `cbor:"2,keyasint"` // host:port
}

// HelloRequest is how a blank node presents itself.
type HelloRequest struct {
	From Candidate `cbor:"1,keyasint"`
}

// HelloReply is what a node says of itself.
type HelloReply struct {
	Self      Candidate        `cbor:"1,keyasint"`
	Expect    int              `cbor:"2,keyasint"`           // founders that it waits for
	Seen      []storage.NodeID `cbor:"3,keyasint,omitempty"` // blank nodes that answered it, sorted, itself included
	Promise   []storage.NodeID `cbor:"4,keyasint,omitempty"` // the set it has promised, sorted
	ClusterID string           `cbor:"5,keyasint,omitempty"` // set on a member
}

// FormOptions are how a blank node becomes a member.
type FormOptions struct {
	Self   Candidate
	Expect int      // founders of a new cluster; 0: only join one
	Join   []string // RPC addresses to ask
	Hello  func(ctx context.Context, addr string, q HelloRequest) (HelloReply, error)
	// Promised is the set that this node has promised before a restart.
	Promised []storage.NodeID
	// Promise makes a promise durable before it counts for anybody.
	Promise   func([]storage.NodeID) error
	ClusterID string // of a node that is a member already
	Logger    *slog.Logger
	Every     time.Duration // between rounds
}

// FormResult is what a blank node shall do: bootstrap with these founders, or
// join a cluster that is there.
type FormResult struct {
	Bootstrap []Candidate
	Member    *Membership
}

// Membership is a cluster that was met.
type Membership struct {
	Via       string // RPC address of a member
	ClusterID string
}

// Former makes one cluster of exactly the expected number of blank nodes.
//
// A node promises one set of founders in its life, durably, and only when all
// of the set see exactly that set. It bootstraps only when all of the set have
// promised it. Two clusters out of one set of nodes would take a node that
// promised twice; and since everybody bootstraps the same configuration, a
// founder that bootstraps late joins the same cluster.
type Former struct {
	o FormOptions

	mu        sync.Mutex // protects the fields below
	seen      []storage.NodeID
	promise   []storage.NodeID
	clusterID string
	lastSaid  time.Time
}

// NewFormer returns a Former that has met nobody.
func NewFormer(o FormOptions) *Former {
	return &Former{o: o, promise: o.Promised, clusterID: o.ClusterID}
}

// FoundedID names a cluster after its founders: it is the hash of their sorted ids.
func FoundedID(founders []storage.NodeID) string {
	ids := slices.Clone(founders)
	slices.Sort(ids)
	h := sha256.New()
	for _, id := range ids {
		h.Write([]byte(id))
		h.Write([]byte{0})
	}
	return strings.ToLower(base32.StdEncoding.EncodeToString(h.Sum(nil)[:15]))
}

// Answer is what this node says of itself.
func (f *Former) Answer(HelloRequest) HelloReply {
	f.mu.Lock()
	defer f.mu.Unlock()
	return HelloReply{
		Self: f.o.Self, Expect: f.o.Expect, Seen: slices.Clone(f.seen), Promise: slices.Clone(f.promise), ClusterID: f.clusterID,
	}
}

// SetMember makes Answer say that this node is a member.
func (f *Former) SetMember(clusterID string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.clusterID = clusterID
}

// Run returns once it is clear what this node shall do.
func (f *Former) Run(ctx context.Context) (FormResult, error) {
	if len(f.o.Join) == 0 {
		return f.alone()
	}
	for {
		res, done, err := f.round(ctx)
		if err != nil || done {
			return res, err
		}
		select {
		case <-ctx.Done():
			return FormResult{}, storage.E("cluster.Form", storage.KindUnavailable, context.Cause(ctx))
		case <-time.After(f.o.Every):
		}
	}
}

// alone founds a cluster of one.
func (f *Former) alone() (FormResult, error) {
	if f.o.Expect > 1 {
		return FormResult{}, storage.Invalid("cluster.Form", "", "bootstrap-expect", "needs join with the addresses of the founders")
	}
	if err := f.makePromise([]storage.NodeID{f.o.Self.ID}); err != nil {
		return FormResult{}, err
	}
	return FormResult{Bootstrap: []Candidate{f.o.Self}}, nil
}

// met is what one round of hellos found.
type met struct {
	replies map[storage.NodeID]HelloReply // of blank nodes, by id, this one included
	known   map[storage.NodeID]Candidate  // all that answered, members too
	member  *Membership
	failed  []string // address: reason
	asked   int      // addresses that are not this node's own
	foreign []string // addresses whose certificate follows from another secret
}

func (f *Former) round(ctx context.Context) (FormResult, bool, error) {
	m := f.ask(ctx)
	f.mu.Lock()
	promise := f.promise
	f.mu.Unlock()
	if m.member != nil {
		return f.meetMember(m, promise)
	}
	// Most of the others can't all be wrong: this node's secret is.
	if len(m.foreign) > m.asked/2 {
		return FormResult{}, false, &storage.Error{
			Op: "cluster.Form", Kind: storage.KindInvalid, Field: "cluster-secret-file",
			Text: "the cluster secret is not that of the nodes at " + strings.Join(m.foreign, ", "),
		}
	}
	if f.o.Expect == 0 {
		f.say("waiting for a member to join", "unreachable", strings.Join(m.failed, "; "))
		return FormResult{}, false, nil
	}
	ids := idsOf(m.replies)
	f.mu.Lock()
	f.seen = ids
	f.mu.Unlock()
	switch {
	case len(promise) > 0:
		return f.awaitPromises(m, promise)
	case len(ids) > f.o.Expect:
		f.say("too many blank nodes: nobody bootstraps", "expected", f.o.Expect, "found", joinIDs(ids))
	case len(ids) < f.o.Expect:
		f.say("waiting for founders", "expected", f.o.Expect, "found", joinIDs(ids), "unreachable", strings.Join(m.failed, "; "))
	case f.agreed(m, ids):
		if err := f.makePromise(ids); err != nil {
			return FormResult{}, false, err
		}
	}
	return FormResult{}, false, nil
}

// meetMember decides what a member's existence means. To one who promised the
// very set that became that cluster, it means that all have promised.
func (f *Former) meetMember(found met, promise []storage.NodeID) (FormResult, bool, error) {
	m := *found.member
	if len(promise) > 0 && FoundedID(promise) != m.ClusterID {
		return FormResult{}, false, &storage.Error{
			Op: "cluster.Form", Kind: storage.KindConflict,
			Text: "this node promised to found another cluster than the one it meets: wipe its data directory to join",
			Err:  fmt.Errorf("promised %s, met %s through %s", FoundedID(promise), m.ClusterID, m.Via),
		}
	}
	if len(promise) > 0 {
		founders := make([]Candidate, len(promise))
		for i, id := range promise {
			founders[i] = Candidate{ID: id, RPC: found.known[id].RPC}
		}
		return FormResult{Bootstrap: founders}, true, nil
	}
	return FormResult{Member: found.member}, true, nil
}

// agreed reports whether every founder waits for as many, sees exactly the same
// set, and has promised nothing or just this.
func (f *Former) agreed(m met, ids []storage.NodeID) bool {
	for id, r := range m.replies {
		if id == f.o.Self.ID {
			continue
		}
		if r.Expect != f.o.Expect {
			f.say("founders expect different numbers", "expected", f.o.Expect, "other", string(id), "other_expects", r.Expect)
			return false
		}
		if !slices.Equal(r.Seen, ids) || len(r.Promise) > 0 && !slices.Equal(r.Promise, ids) {
			return false
		}
	}
	return true
}

// awaitPromises bootstraps once every founder has promised the same set.
func (f *Former) awaitPromises(m met, promise []storage.NodeID) (FormResult, bool, error) {
	founders := make([]Candidate, 0, len(promise))
	var waiting []string
	for _, id := range promise {
		r, ok := m.replies[id]
		if !ok || id != f.o.Self.ID && !slices.Equal(r.Promise, promise) {
			waiting = append(waiting, string(id))
			continue
		}
		founders = append(founders, r.Self)
	}
	if len(waiting) > 0 {
		f.say("waiting for founders' promises", "of", strings.Join(waiting, " "), "unreachable", strings.Join(m.failed, "; "))
		return FormResult{}, false, nil
	}
	return FormResult{Bootstrap: founders}, true, nil
}

func (f *Former) makePromise(ids []storage.NodeID) error {
	if err := f.o.Promise(ids); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.promise = ids
	return nil
}

// ask says hello to every address.
func (f *Former) ask(ctx context.Context) met {
	type answer struct {
		addr  string
		reply HelloReply
		err   error
	}
	addrs := f.o.Join[:min(len(f.o.Join), candidatesMax)]
	answers := make(chan answer, len(addrs))
	var wg sync.WaitGroup
	for _, addr := range addrs {
		wg.Go(func() {
			r, err := f.o.Hello(ctx, addr, HelloRequest{From: f.o.Self})
			answers <- answer{addr: addr, reply: r, err: err}
		})
	}
	wg.Wait()
	close(answers)
	m := met{
		replies: map[storage.NodeID]HelloReply{f.o.Self.ID: f.Answer(HelloRequest{})},
		known:   map[storage.NodeID]Candidate{f.o.Self.ID: f.o.Self},
	}
	for a := range answers {
		if a.err == nil {
			m.known[a.reply.Self.ID] = a.reply.Self
		}
		if a.err != nil || a.reply.Self.ID != f.o.Self.ID {
			m.asked++
		}
		if _, ok := errors.AsType[x509.UnknownAuthorityError](a.err); ok {
			m.foreign = append(m.foreign, a.addr)
		}
		switch {
		case a.err != nil:
			m.failed = append(m.failed, a.addr+": "+a.err.Error())
		case a.reply.ClusterID != "" && a.reply.Self.ID != f.o.Self.ID:
			m.member = &Membership{Via: a.addr, ClusterID: a.reply.ClusterID}
		case a.reply.Self.ID != f.o.Self.ID:
			m.replies[a.reply.Self.ID] = a.reply
		}
	}
	slices.Sort(m.failed)
	slices.Sort(m.foreign)
	return m
}

// say logs what is waited for, now and then.
func (f *Former) say(msg string, args ...any) {
	f.mu.Lock()
	quiet := time.Since(f.lastSaid) < sayEvery
	if !quiet {
		f.lastSaid = time.Now()
	}
	f.mu.Unlock()
	if !quiet {
		f.o.Logger.Info(msg, args...) //nolint:sloglint // constants of this file
	}
}

func idsOf(replies map[storage.NodeID]HelloReply) []storage.NodeID {
	ids := make([]storage.NodeID, 0, len(replies))
	for id := range replies {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

func joinIDs(ids []storage.NodeID) string {
	text := make([]string, len(ids))
	for i, id := range ids {
		text[i] = string(id)
	}
	return strings.Join(text, " ")
}
