package testcluster

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"ringbin/storage"
)

// checkTimeout is how long one object's history may take to judge. What takes
// longer is counted as undecided, and shown.
const checkTimeout = 20 * time.Second

// Object is what a history is about: one account's balance, one key, one
// reference, or one bin. A history is linearizable when that of each object is.
type Object struct {
	Kind string `json:"kind"` // account, key, reference, bin
	ID   string `json:"id"`
}

// The kinds of objects.
const (
	ObjectAccount   = "account"
	ObjectKey       = "key"
	ObjectReference = "reference"
	ObjectBin       = "bin"
)

// Operation is one thing that a client did to an object, from its first try to
// the answer. The zero Answer of an operation whose outcome the client never
// learnt counts for nothing: it may take effect at any later time, or never.
type Operation struct {
	Object  Object `json:"object"`
	Client  int    `json:"client"`
	What    string `json:"what"`             // see the models
	Cents   int64  `json:"cents,omitempty"`  // asked for: a deposit, a price; an opening balance
	Got     int64  `json:"got,omitempty"`    // answered: a balance, a revision
	Record  int64  `json:"record,omitempty"` // of a bin: which one was sent, or read
	Match   int64  `json:"match,omitempty"`  // of a bin: the revision that the change was meant for
	Refused bool   `json:"refused"`          // answered: no money, no such key, no such reference, another revision
	Unknown bool   `json:"unknown"`          // no answer
	Call    int64  `json:"call"`             // nanoseconds since the history began
	Return  int64  `json:"return,omitempty"` // likewise
	Node    int    `json:"node"`             // who answered
}

// History is what clients did and were answered, in real time.
type History struct {
	start time.Time

	mu  sync.Mutex // protects ops
	ops []Operation
}

// NewHistory begins a history.
func NewHistory() *History { return &History{start: time.Now()} }

// Now is the time since the history began, in nanoseconds.
func (h *History) Now() int64 { return int64(time.Since(h.start)) }

// Add notes an operation that was answered, or given up. Its Return is set here.
func (h *History) Add(o Operation) {
	o.Return = h.Now()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ops = append(h.ops, o)
}

// Len returns how many operations there are.
func (h *History) Len() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.ops)
}

// Verdict is what the check of a history found.
type Verdict struct {
	Objects    int      `json:"objects"`
	Operations int      `json:"operations"`
	Reads      int      `json:"strong_reads"`
	Unknown    int      `json:"unknown_outcomes"` // operations given up without an answer
	Undecided  int      `json:"undecided"`        // objects whose check ran out of time
	Violations []string `json:"violations"`       // objects with no order that explains the answers
}

// Check judges the history of each object.
func (h *History) Check() Verdict {
	h.mu.Lock()
	defer h.mu.Unlock()
	byObject := map[Object][]Operation{}
	v := Verdict{Operations: len(h.ops), Violations: []string{}}
	for _, o := range h.ops {
		byObject[o.Object] = append(byObject[o.Object], o)
		if o.What == "read" {
			v.Reads++
		}
		if o.Unknown {
			v.Unknown++
		}
	}
	v.Objects = len(byObject)
	for object, ops := range byObject {
		switch porcupine.CheckOperationsTimeout(models[object.Kind], porcupineOf(ops), checkTimeout) {
		case porcupine.Illegal:
			v.Violations = append(v.Violations, object.Kind+" "+object.ID)
		case porcupine.Unknown:
			v.Undecided++
		case porcupine.Ok:
		}
	}
	return v
}

// porcupineOf turns an operation without an answer into an open interval of a
// client that does nothing else.
func porcupineOf(ops []Operation) []porcupine.Operation {
	const never = int64(1) << 62
	out := make([]porcupine.Operation, 0, len(ops))
	strangers := 1 << 20
	for _, o := range ops {
		p := porcupine.Operation{ClientId: o.Client, Input: o, Output: o, Call: o.Call, Return: o.Return}
		if o.Unknown {
			p.ClientId, p.Return = strangers, never
			strangers++
		}
		out = append(out, p)
	}
	return out
}

// Save writes the history into a new file of a folder that outlives the test,
// and returns its path.
func (h *History) Save(tb testing.TB) string {
	tb.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	b, err := json.MarshalIndent(h.ops, "", " ")
	if err != nil {
		tb.Fatal(err)
	}
	path := filepath.Join(keepDir(tb), "history.json")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		tb.Fatal(err)
	}
	return path
}

// keepDir makes a folder that outlives the test.
func keepDir(tb testing.TB) string {
	tb.Helper()
	base := os.Getenv("RINGBIN_CHAOS_KEEP")
	if base != "" {
		if err := os.MkdirAll(base, 0o700); err != nil {
			tb.Fatal(err)
		}
	}
	dir, err := os.MkdirTemp(base, "ringbin-failed-") //nolint:usetesting // it is kept for whoever looks into the failure
	if err != nil {
		tb.Fatal(err)
	}
	return dir
}

// models say what each kind of object may answer. A state is an int64.
var models = map[string]porcupine.Model{
	ObjectAccount:   nondeterministic(stepAccount),
	ObjectKey:       nondeterministic(stepKey),
	ObjectReference: nondeterministic(stepReference),
	ObjectBin:       nondeterministic(stepBin),
}

// absentState is that of an object before anything was done to it.
const absentState = int64(-1)

// nondeterministic turns a step into a model. The step returns the state after
// an operation that took effect, and whether its answer allows for that; an
// operation without an answer may always have had no effect.
func nondeterministic(step func(state int64, o Operation) (int64, bool)) porcupine.Model {
	m := porcupine.NondeterministicModel{
		Init: func() []any { return []any{absentState} },
		Step: func(state, input, _ any) []any {
			s, okState := state.(int64)
			o, okInput := input.(Operation)
			if !okState || !okInput {
				return nil
			}
			next, ok := step(s, o)
			switch {
			case !ok && !o.Unknown:
				return nil
			case !ok || o.Unknown && next == s:
				return []any{s}
			case o.Unknown:
				return []any{s, next}
			}
			return []any{next}
		},
	}
	return m.ToModel()
}

// stepAccount: open, deposit, charge, read. The state is the balance; answers
// tell it.
func stepAccount(balance int64, o Operation) (int64, bool) {
	after := balance
	switch o.What {
	case "open":
		return o.Cents, balance == absentState
	case "deposit":
		after = balance + o.Cents
	case "charge":
		after = balance - o.Cents
		if o.Refused {
			return balance, after < 0
		}
	case "read":
	}
	return after, after >= 0 && (o.Unknown || o.Got == after)
}

// States of keys and references.
const (
	stateLive = int64(1)
	stateGone = int64(2)
)

// stepKey: create, revoke, use. A use is a write under the key: it is refused
// from the revocation on, through whichever node.
func stepKey(state int64, o Operation) (int64, bool) {
	switch o.What {
	case "create":
		return stateLive, state == absentState
	case "revoke":
		return stateGone, state != absentState
	}
	return state, o.Refused == (state != stateLive)
}

// stepReference: put, delete, read. A read that finds nothing is refused.
func stepReference(state int64, o Operation) (int64, bool) {
	live := state == stateLive
	switch o.What {
	case "put":
		return stateLive, !o.Refused
	case "delete":
		if o.Refused {
			return state, !live
		}
		return stateGone, live || o.Unknown
	}
	return state, o.Refused != live
}

// recordBits is the part of a bin's state that says which record it has; the
// rest is its revision.
const recordBits = 32

// stepBin: create, update, read. An update is meant for one revision, and
// refused at another one; all answers tell the revision.
func stepBin(state int64, o Operation) (int64, bool) {
	revision, record := state>>recordBits, state&(1<<recordBits-1)
	switch o.What {
	case "create":
		return 1<<recordBits | o.Record, state == absentState
	case "update":
		if o.Match != revision {
			return state, o.Refused && o.Got == revision
		}
		return (revision+1)<<recordBits | o.Record, !o.Refused && (o.Unknown || o.Got == revision+1)
	}
	return state, o.Got == revision && o.Record == record
}

// AccountObject names an account.
func AccountObject(id string) Object { return Object{Kind: ObjectAccount, ID: id} }

// KeyObject names a key.
func KeyObject(id string) Object { return Object{Kind: ObjectKey, ID: id} }

// BinObject names a bin.
func BinObject(id string) Object { return Object{Kind: ObjectBin, ID: id} }

// ReferenceObject names an account's reference to content.
func ReferenceObject(account string, cid storage.CID) Object {
	return Object{Kind: ObjectReference, ID: fmt.Sprintf("%s %s", account, cid)}
}
