package meta

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"ringbin/storage"
)

// This is a search through every interleaving, up to a depth, of upload, delete,
// condemning, erasing, ring changes and crashes (I1, I12, I13). The metadata is the
// real thing: the functions that Apply runs, on a real database. So is the
// judgement of copies. What is a model are the nodes: each has its copies, and
// a state of the metadata that may be behind. Ring A is {a, b}, ring B {b, c},
// R = W = 2; a second is the unit of time, and the grace is two.

const (
	searchNodes = 3
	searchCIDs  = 2
	searchGrace = 2
)

var searchIDs = [searchNodes]storage.NodeID{"a", "b", "c"}

// copyAt is a copy on a node, or a receipt for one; times are seconds since the start.
type copyAt struct {
	held      bool
	gen, time uint8
}

// searchWorld is all there is at a moment. It is comparable: a world that was
// seen before is not looked at again.
type searchWorld struct {
	head     int32 // the state of the log's end
	nodes    [searchNodes]searchNode
	receipts [searchCIDs][searchNodes]copyAt
}

type searchNode struct {
	at     int32 // the state that the node has applied
	blind  bool  // it crashed, and has not heard since what was committed
	copies [searchCIDs]copyAt
	doomed [searchCIDs]bool // judged, and not erased yet: only with the bug that takes no lock
}

// searchState is one state of the metadata.
type searchState struct {
	id    int32
	index uint64
	time  int64 // seconds
	kv    map[string]string
	cache *cached

	stands [searchNodes][searchCIDs]storage.Standing
	next   map[string]*searchState // by command; nil: refused
}

// plant is a bug.
type plant struct {
	noLock     bool // judged under the lock of nobody, erased some time later
	genIgnored bool // a copy goes when its CID is condemned, however new it is
	noCondemn  bool // the commit does not ask for the generation
	noAge      bool // the commit does not ask for the age of receipts
	noOrphans  bool // no bug: nothing goes by age, so that generations alone have to hold
	noFloor    bool // tombstones go, and the floor stays
	noCatchUp  bool // a node erases by what it knew before it crashed
	noChange   bool // receipts from before a change of the grace count
}

type search struct {
	t      *testing.T
	db     *pebble.DB
	bug    plant
	states []*searchState
	known  map[string]*searchState
	base   int32 // what a node falls back to when it crashes
	cids   [searchCIDs]storage.CID
	rings  [2][]storage.NodeID
	grace  bool // the grace is changed, too
}

func newSearch(t *testing.T, bug plant) *search {
	t.Helper()
	db, err := pebble.Open("search", &pebble.Options{FS: vfs.NewMem(), Logger: quiet{}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	s := &search{t: t, db: db, bug: bug, known: map[string]*searchState{}}
	s.rings = [2][]storage.NodeID{{"a", "b"}, {"b", "c"}}
	for i := range s.cids {
		s.cids[i] = sized(1000, byte(i+1))
	}
	return s
}

type quiet struct{}

func (quiet) Infof(string, ...any)  {}
func (quiet) Errorf(string, ...any) {}
func (quiet) Fatalf(f string, a ...any) {
	panic(fmt.Sprintf(f, a...))
}

// blank is the state before anything.
func (s *search) blank() *searchState {
	empty := &searchState{time: 10, kv: map[string]string{}, cache: &cached{nodes: map[storage.NodeID]Node{}, settings: DefaultSettings()}}
	st := empty
	for _, id := range searchIDs {
		st = s.must(st, "node "+string(id), func(t *tx) error {
			_, err := t.putNode(Header{}, PutNode{Node: testNode(id, 1)})
			return err
		})
	}
	st = s.must(st, "ring", func(t *tx) error {
		_, err := t.setRing(Header{}, SetRing{Ring: testRing(1, 2, s.rings[0]...)})
		return err
	})
	return s.must(st, "grace", s.setGrace(searchGrace))
}

func (s *search) setGrace(seconds int64) func(*tx) error {
	return func(t *tx) error {
		_, err := t.setSettings(Header{}, SetSettings{Patch: SettingsPatch{DeletionGraceSeconds: new(seconds)}})
		return err
	}
}

func (s *search) must(st *searchState, name string, run func(*tx) error) *searchState {
	s.t.Helper()
	next := s.apply(st, name, 0, run)
	if next == nil {
		s.t.Fatalf("%s is refused", name)
	}
	return next
}

// apply runs one command on a state, and remembers what became of it. A refused
// one changes nothing and leaves no entry.
func (s *search) apply(st *searchState, name string, later int64, run func(*tx) error) *searchState {
	if next, ok := st.next[name]; ok {
		return next
	}
	b := s.db.NewIndexedBatch()
	known := map[string]*row{}
	for k, v := range st.kv {
		known[k] = &row{key: k, was: []byte(v), now: []byte(v), looked: true, encoded: true}
		if err := b.Set([]byte(k), []byte(v), nil); err != nil {
			s.t.Fatal(err)
		}
	}
	x := &tx{b: b, db: s.db, hashes: &tableHashes{}, fresh: &unflushed{}, known: known, index: st.index + 1, time: (st.time + later) * 1000, cache: st.cache}
	defer func() { _ = x.close() }()
	if st.next == nil {
		st.next = map[string]*searchState{}
	}
	if err := run(x); err != nil {
		if _, refused := errors.AsType[*storage.Error](err); !refused {
			s.t.Fatalf("%s halts: %v", name, err)
		}
		st.next[name] = nil
		return nil
	}
	if x.cacheOld && s.bug.noChange {
		c := *x.cache
		c.graceSince = 0
		x.cache = &c
	}
	next := s.intern(x)
	st.next[name] = next
	return next
}

// intern returns the one state that has this content.
func (s *search) intern(x *tx) *searchState {
	st := &searchState{index: x.index, time: x.time / 1000, kv: map[string]string{}, cache: x.cache}
	err := scanRange(x.rows(), nil, nil, func(k, v []byte) (bool, error) {
		if s.bug.noFloor && string(k) == string(single(singleFloor)) {
			return true, nil
		}
		st.kv[string(k)] = string(v)
		return true, nil
	})
	if err != nil {
		s.t.Fatal(err)
	}
	var name strings.Builder
	fmt.Fprintf(&name, "%d %d ", st.index, st.time)
	for _, k := range slices.Sorted(maps.Keys(st.kv)) {
		name.WriteString(k + "=" + st.kv[k] + ";")
	}
	if known := s.known[name.String()]; known != nil {
		return known
	}
	s.known[name.String()] = st
	st.id = int32(len(s.states))
	s.states = append(s.states, st)
	at := &state{cached: *st.cache}
	at.time = st.time * 1000
	for n, id := range searchIDs {
		for c, cid := range s.cids {
			st.stands[n][c] = at.standing(id, cid)
			if v, ok := st.kv[string(key(tableBlobs).cid(cid))]; ok {
				var b blobRecord
				if err := decMode.Unmarshal([]byte(v), &b); err != nil {
					s.t.Fatal(err)
				}
				b.stand(&st.stands[n][c])
			}
		}
	}
	return st
}

func (s *search) state(id int32) *searchState { return s.states[id] }

// put brings bytes to a node; its receipt goes with the upload that is on its way.
func (s *search) put(w searchWorld, n, c int) searchWorld {
	at := s.state(w.nodes[n].at)
	held := w.nodes[n].copies[c]
	w.nodes[n].copies[c] = copyAt{held: true, gen: max(held.gen, uint8(at.index)), time: max(held.time, uint8(at.time))}
	w.receipts[c][n] = copyAt{held: true, gen: w.nodes[n].copies[c].gen, time: uint8(at.time)}
	return w
}

// commit proposes the upload with the receipts that it has.
func (s *search) commit(w searchWorld, c int) (searchWorld, bool) {
	var receipts []storage.Receipt
	for n, r := range w.receipts[c] {
		if !r.held {
			continue
		}
		gen, at := uint64(r.gen), int64(r.time)*1000
		if s.bug.noCondemn {
			gen = 1 << 60
		}
		if s.bug.noAge {
			at = s.state(w.head).time * 1000
		}
		receipts = append(receipts, storage.Receipt{Node: searchIDs[n], Incarnation: 1, CID: s.cids[c], Generation: gen, Time: at})
	}
	if len(receipts) < 2 {
		return w, false
	}
	w, ok := s.propose(w, fmt.Sprintf("commit %d %v", c, w.receipts[c]), 0, func(t *tx) error {
		_, err := t.commitUpload(Header{}, CommitUpload{CID: s.cids[c], Days: 30, Receipts: receipts})
		return err
	})
	if ok {
		w.receipts[c] = [searchNodes]copyAt{}
	}
	return w, ok
}

func (s *search) propose(w searchWorld, name string, later int64, run func(*tx) error) (searchWorld, bool) {
	next := s.apply(s.state(w.head), name, later, run)
	if next == nil {
		return w, false
	}
	w.head = next.id
	return w, true
}

// fate judges a node's copy by what the node has applied.
func (s *search) fate(w searchWorld, n, c int) storage.Fate {
	held := w.nodes[n].copies[c]
	if w.nodes[n].blind && !s.bug.noCatchUp {
		return storage.FateKeep
	}
	info := storage.BlobInfo{CID: s.cids[c], Generation: uint64(held.gen), Time: int64(held.time) * 1000}
	if s.bug.genIgnored {
		info.Generation = 0
	}
	if s.bug.noOrphans {
		info.Time = 1 << 40
	}
	st := s.state(w.nodes[n].at).stands[n][c]
	fate := st.Fate(info)
	if fate == storage.FateMoved {
		for _, id := range st.Owners {
			if !w.nodes[slices.Index(searchIDs[:], id)].copies[c].held {
				return storage.FateKeep
			}
		}
	}
	return fate
}

// synced is a node's look at all that the next ring gives it: what it lacks it
// fetches, and then says that it holds it.
func (s *search) synced(w searchWorld, n int) (searchWorld, bool) {
	at := s.state(w.nodes[n].at)
	next := at.cache.next
	if next == nil {
		return w, false
	}
	for c, cid := range s.cids {
		if !at.stands[n][c].Referenced || !next.Owns(searchIDs[n], cid) || w.nodes[n].copies[c].held {
			continue
		}
		from := slices.IndexFunc(w.nodes[:], func(o searchNode) bool { return o.copies[c].held })
		if from < 0 {
			return w, false
		}
		w.nodes[n].copies[c] = copyAt{held: true, gen: uint8(at.index), time: uint8(at.time)}
	}
	return s.propose(w, fmt.Sprintf("synced %d of %d", n, next.Version), 0, func(t *tx) error {
		_, err := t.ringSynced(Header{}, RingSynced{Node: searchIDs[n], Incarnation: 1, Version: next.Version})
		return err
	})
}

// setRing proposes the ring that does not hold.
func (s *search) setRing(w searchWorld) (searchWorld, bool) {
	cur := s.state(w.head).cache.ring
	owners := s.rings[0]
	if cur.Nodes[0].ID == "a" {
		owners = s.rings[1]
	}
	return s.propose(w, "set ring", 0, func(t *tx) error {
		_, err := t.setRing(Header{}, SetRing{From: cur.Version, Ring: testRing(cur.Version+1, 2, owners...)})
		return err
	})
}

// step calls each with every world that one step leads to.
func (s *search) step(w searchWorld, each func(what string, next searchWorld)) {
	try := func(what string, next searchWorld, ok bool) {
		if ok && next != w {
			each(what, next)
		}
	}
	for c := range s.cids {
		next, ok := s.commit(w, c)
		try(fmt.Sprintf("commit %d", c), next, ok)
		next, ok = s.propose(w, fmt.Sprintf("delete %d", c), 0, func(t *tx) error {
			_, err := t.deleteReference(Header{}, DeleteReference{CID: s.cids[c]})
			return err
		})
		try(fmt.Sprintf("delete %d", c), next, ok)
		if s.state(w.head).stands[0][c].Waiting {
			next, ok = s.propose(w, fmt.Sprintf("condemn %d", c), 0, func(t *tx) error {
				res, err := t.condemn(Header{}, Condemn{CIDs: s.cids[c : c+1]})
				if err == nil && res.Condemned == 0 {
					return refuse("test", storage.KindConflict, "too_early", nil)
				}
				return err
			})
			try(fmt.Sprintf("condemn %d", c), next, ok)
		}
		for n := range searchNodes {
			try(fmt.Sprintf("put %d on %s", c, searchIDs[n]), s.put(w, n, c), true)
			if !w.nodes[n].copies[c].held {
				continue
			}
			erased := w
			erased.nodes[n].copies[c], erased.nodes[n].doomed[c] = copyAt{}, false
			if s.bug.noLock {
				doomed := w
				doomed.nodes[n].doomed[c] = true
				try(fmt.Sprintf("judge %d on %s", c, searchIDs[n]), doomed, s.fate(w, n, c) != storage.FateKeep)
				try(fmt.Sprintf("erase %d on %s", c, searchIDs[n]), erased, w.nodes[n].doomed[c])
				continue
			}
			try(fmt.Sprintf("erase %d on %s", c, searchIDs[n]), erased, s.fate(w, n, c) != storage.FateKeep)
		}
	}
	s.stepCluster(w, try)
}

// stepCluster are the steps that are of no CID.
func (s *search) stepCluster(w searchWorld, try func(what string, next searchWorld, ok bool)) {
	next, ok := s.propose(w, "tick", 1, func(*tx) error { return nil })
	try("tick", next, ok)
	next, ok = s.propose(w, "drop tombstones", 0, func(t *tx) error {
		res, err := t.dropTombstones(Header{}, DropTombstones{Limit: 10})
		if err == nil && res.Dropped == 0 {
			return refuse("test", storage.KindConflict, "none", nil)
		}
		return err
	})
	try("drop tombstones", next, ok)
	next, ok = s.setRing(w)
	try("set ring", next, ok)
	if ring := s.state(w.head).cache.next; ring != nil {
		next, ok = s.propose(w, "abort ring", 0, func(t *tx) error {
			_, err := t.abortRing(Header{}, AbortRing{Version: ring.Version})
			return err
		})
		try("abort ring", next, ok)
	}
	if s.grace {
		next, ok = s.propose(w, "raise the grace", 0, s.setGrace(3*searchGrace))
		try("raise the grace", next, ok)
	}
	for n := range searchNodes {
		applied := w
		applied.nodes[n].at, applied.nodes[n].blind = w.head, false
		try("apply on "+string(searchIDs[n]), applied, true)
		crashed := w
		crashed.nodes[n].at, crashed.nodes[n].blind = s.base, true
		try("crash of "+string(searchIDs[n]), crashed, s.state(w.nodes[n].at).index > s.state(s.base).index)
		next, ok := s.synced(w, n)
		try("synced on "+string(searchIDs[n]), next, ok)
	}
}

// broken says what does not hold: each reference has its W copies on owners.
func (s *search) broken(w searchWorld) string {
	head := s.state(w.head)
	for c, cid := range s.cids {
		if !head.stands[0][c].Referenced {
			continue
		}
		copies := 0
		for _, o := range head.cache.ring.OwnersOf(cid) {
			if w.nodes[slices.Index(searchIDs[:], o.ID)].copies[c].held {
				copies++
			}
		}
		if copies < head.cache.ring.W {
			return fmt.Sprintf("content %d is referenced and has %d copies on owners", c, copies)
		}
	}
	return ""
}

// found is a way to a world that is broken.
type found struct {
	what  string
	steps []string
}

// run looks at everything that up to depth steps lead to.
func (s *search) run(from searchWorld, depth int) (bad *found, worlds int) {
	type origin struct {
		from searchWorld
		what string
	}
	seen := map[searchWorld]origin{from: {}}
	edge := []searchWorld{from}
	path := func(w searchWorld) (steps []string) {
		for w != from {
			o := seen[w]
			steps = append(steps, o.what)
			w = o.from
		}
		slices.Reverse(steps)
		return steps
	}
	for range depth {
		var beyond []searchWorld
		for _, w := range edge {
			s.step(w, func(what string, next searchWorld) {
				if _, known := seen[next]; known || bad != nil {
					return
				}
				seen[next] = origin{w, what}
				if why := s.broken(next); why != "" {
					bad = &found{what: why, steps: path(next)}
					return
				}
				beyond = append(beyond, next)
			})
			if bad != nil {
				return bad, len(seen)
			}
		}
		edge = beyond
	}
	return nil, len(seen)
}

// start is a world in which content 1 is live on a and b, and content 0 went
// through the given steps; all nodes have applied all of it.
func (s *search) start(prepare ...string) searchWorld {
	s.t.Helper()
	var w searchWorld
	w.head = s.blank().id
	settle := func() {
		for n := range w.nodes {
			w.nodes[n].at = w.head
		}
	}
	do := func(next searchWorld, ok bool) {
		if !ok {
			s.t.Fatal("a step of the beginning is refused")
		}
		w = next
		settle()
	}
	upload := func(c int) {
		do(s.put(s.put(w, 0, c), 1, c), true)
		do(s.commit(w, c))
	}
	settle()
	upload(1)
	for _, step := range prepare {
		if step == "upload" {
			upload(0)
			continue
		}
		var next searchWorld
		ok := false
		s.step(w, func(what string, to searchWorld) {
			if what == step {
				next, ok = to, true
			}
		})
		do(next, ok)
	}
	s.base = w.head
	return w
}
