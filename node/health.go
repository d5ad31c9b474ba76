package node

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"ringbin/cluster"
	"ringbin/cluster/peer"
	"ringbin/storage"
)

// Times and limits of looking at health.
const (
	lookEvery   = 5 * time.Second
	lookTimeout = 2 * time.Second
)

// Health is how a node and its cluster are.
type Health struct {
	Status  string   `json:"status"` // ok, degraded, unavailable
	Ready   bool     `json:"ready"`
	Reasons []Reason `json:"reasons"`
	// Lost are CIDs that this node owns and nobody has a good copy of, as many
	// as are remembered by name.
	Lost []string `json:"lost,omitempty"`
}

// Reason is one margin that is lost (I18).
type Reason struct {
	Code  string    `json:"code"`
	Text  string    `json:"text"`
	Count int64     `json:"count"`
	Since time.Time `json:"since"`
}

// The codes of reasons. Codes are only added.
const (
	reasonNoLeader    = "no_leader"    // no majority that this node can reach
	reasonNotMember   = "not_a_member" // still waiting for founders or for the cluster that it joins
	reasonClosing     = "shutting_down"
	reasonSingleCopy  = "single_copy"  // one copy of each content: a lost disk is lost content
	reasonNodeDown    = "node_down"    // members that do not answer
	reasonNoTolerance = "no_tolerance" // one more voter lost, and nothing can be written
	reasonCopies      = "copies_missing"
	reasonCorrupt     = "copies_corrupt"
	reasonDisk        = "disk_low"
	reasonSkew        = "clock_skew"
	reasonRingChange  = "ring_change" // copies are on their way to new owners
	reasonDiverged    = "state_diverged"
	reasonVoters      = "few_voters" // fewer members vote than should
	reasonDiskSlow    = "disk_slow"
	reasonBallast     = "ballast_out"   // a disk was full, and has no room yet
	reasonLogLong     = "log_long"      // a Raft log that snapshots do not shorten
	reasonLost        = "lost"          // no good copy of a blob anywhere
	reasonRebuild     = "store_rebuild" // a rotten database of blobs is being replaced
	reasonScrub       = "scrub_late"
	reasonRequestLog  = "api_log_failing" // logs of requests that are not whole
)

// logEntriesMax is how long a Raft log may get: several times what snapshots
// leave of it.
const logEntriesMax = 100_000

// fatalReasons are those with which a node is not ready.
var fatalReasons = []string{reasonNoLeader, reasonNotMember, reasonClosing, reasonSkew}

// healthWatch looks at the node and its peers now and then.
type healthWatch struct {
	n *Node

	mu       sync.Mutex // protects the fields below
	health   Health
	since    map[string]time.Time
	statuses map[storage.NodeID]peer.Status // those that answered the last look
	shutdown bool
}

func newHealthWatch(n *Node) *healthWatch {
	return &healthWatch{n: n, since: map[string]time.Time{}, health: Health{Status: "unavailable", Reasons: []Reason{}}}
}

func (h *healthWatch) run(ctx context.Context) {
	changes, stop := h.n.fsm.Watch()
	defer stop()
	timer := time.NewTicker(lookEvery)
	defer timer.Stop()
	for {
		h.look(ctx)
		select {
		case <-ctx.Done():
			return
		case <-changes:
		case <-timer.C:
		}
	}
}

// look asks every member how it is and draws conclusions.
func (h *healthWatch) look(ctx context.Context) {
	n := h.n
	book := n.fsm.Nodes()
	ids := make([]storage.NodeID, 0, len(book))
	for _, m := range book {
		if m.ID != n.self() {
			ids = append(ids, m.ID)
		}
	}
	asking, cancel := context.WithTimeout(ctx, lookTimeout)
	clock := n.readClock()
	answers := n.askStatus(asking, ids, clock)
	cancel()
	own := n.status()
	own.Clock = 0
	statuses := map[storage.NodeID]peer.Status{n.self(): own}
	for _, a := range answers {
		if a.Err == nil {
			statuses[a.ID] = a.Value
			if a.Value.Removed {
				// Ids are not reused, and nothing brings one back (I15): one peer's
				// word is enough. This node was away when it happened.
				n.endRemoved()
			}
		}
	}
	n.compareStates(statuses)
	n.setAnchor(clock, medianSkew(statuses))
	reasons := h.conclude(statuses, len(book))
	h.set(reasons, statuses)
	if raft, ok := n.raft(); ok && ctx.Err() == nil && raft.IsLeader() && slices.ContainsFunc(reasons, func(r Reason) bool { return r.Code == reasonSkew }) {
		// Only a clock that the others share may stamp entries.
		if err := n.handOver(ctx, raft); err != nil {
			n.logger.Warn("leadership not handed over with a clock that is off", "err", err)
		}
	}
}

func (h *healthWatch) conclude(statuses map[storage.NodeID]peer.Status, members int) []Reason {
	n := h.n
	var reasons []Reason
	add := func(code string, count int64, text string) {
		if count > 0 {
			reasons = append(reasons, Reason{Code: code, Text: text, Count: count})
		}
	}
	raft, _ := n.raft()
	if !n.member.Load() {
		add(reasonNotMember, 1, "this node is not a member of a cluster yet")
	}
	cur, next := n.fsm.Ring()
	if _, _, led := raft.Leader(); !led || time.Since(raft.LastContact()) > skewMax || cur == nil {
		add(reasonNoLeader, 1, "no leader, or no majority that this node can reach")
	}
	if cur != nil && cur.R == 1 {
		add(reasonSingleCopy, 1, "degraded: single copy")
	}
	if down := members - len(statuses); down > 0 {
		add(reasonNodeDown, int64(down), fmt.Sprintf("%d of %d members do not answer", down, members))
	}
	add(reasonNoTolerance, h.noTolerance(statuses), "one more voter lost and nothing can be written")
	var missing, corrupt int64
	for _, st := range statuses {
		missing += st.Missing
		corrupt += st.Corrupt
	}
	add(reasonCopies, missing, "copies that owners do not hold yet")
	add(reasonCorrupt, corrupt, "copies that failed their check and are being replaced")
	h.repairReasons(statuses, add)
	add(reasonDisk, disksLow(statuses, n.store.FloorBytes()), "nodes below the floor of free space refuse uploads")
	reasons = append(reasons, h.margins(statuses, members)...)
	if skew := medianSkew(statuses); skew > skewMax || skew < -skewMax {
		add(reasonSkew, skew.Milliseconds(), "this node's clock is off from the others'")
	}
	add(reasonDiverged, int64(number(n.proposer.frozen.Load())), "nodes disagree about the state and none has a majority: nothing is written")
	if next != nil {
		left := int64(n.fsm.RingChange().Left)
		add(reasonRingChange, max(left, 1), fmt.Sprintf("ring %d is being filled: %d of %d partitions are still to be handed over", next.Version, left, storage.Partitions))
	}
	return reasons
}

// margins are those that nodes tell of themselves, and how many should vote.
func (h *healthWatch) margins(statuses map[storage.NodeID]peer.Status, members int) []Reason {
	var reasons []Reason
	var ballastOut, slow, long, logs int64
	for _, st := range statuses {
		if st.BallastOut {
			ballastOut++
		}
		if st.LogEntries > logEntriesMax {
			long++
		}
		if st.LogFailing {
			logs++
		}
		slow += st.DiskSlow
	}
	raft, _ := h.n.raft()
	target := h.n.fsm.Settings().VoterTarget
	if target == 0 {
		target = cluster.VoterTarget(members)
	}
	wanting := int64(min(target, members) - len(raft.Voters()))
	for _, r := range []Reason{
		{Code: reasonVoters, Count: wanting, Text: "members that should vote and do not yet"},
		{Code: reasonBallast, Count: ballastOut, Text: "nodes whose disk was full: they take no content until there is room"},
		{Code: reasonDiskSlow, Count: slow, Text: "operations of disks took seconds, in the last minute"},
		{Code: reasonLogLong, Count: long, Text: "nodes whose Raft log is not shortened by snapshots"},
		{Code: reasonRequestLog, Count: logs, Text: "nodes whose log of API requests is not whole"},
	} {
		if r.Count > 0 {
			reasons = append(reasons, r)
		}
	}
	return reasons
}

// noTolerance is 1 when losing one more voter stops writing, in a cluster that
// could tolerate a loss.
func (h *healthWatch) noTolerance(statuses map[storage.NodeID]peer.Status) int64 {
	raft, _ := h.n.raft()
	voters := raft.Voters()
	alive := 0
	for _, v := range voters {
		if _, ok := statuses[v]; ok {
			alive++
		}
	}
	if len(voters) >= 2 && alive <= len(voters)/2+1 && (len(voters) == 2 || alive < len(voters)) {
		return 1
	}
	return 0
}

func disksLow(statuses map[storage.NodeID]peer.Status, floor int64) int64 {
	var low int64
	for _, st := range statuses {
		if floor > 0 && st.TotalBytes > 0 && st.FreeBytes < floor {
			low++
		}
	}
	return low
}

// medianSkew is how far the median of all clocks is ahead of this node's.
func medianSkew(statuses map[storage.NodeID]peer.Status) time.Duration {
	ahead := make([]int64, 0, len(statuses))
	for _, st := range statuses {
		ahead = append(ahead, st.Clock)
	}
	slices.Sort(ahead)
	if len(ahead) < 3 {
		return 0 // of two clocks nobody can tell which one is wrong
	}
	return time.Duration(ahead[len(ahead)/2]) * time.Millisecond
}

func (h *healthWatch) set(reasons []Reason, statuses map[storage.NodeID]peer.Status) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.shutdown {
		reasons = append(reasons, Reason{Code: reasonClosing, Text: "this node is shutting down", Count: 1})
	}
	now := time.Now()
	since := make(map[string]time.Time, len(reasons))
	health := Health{Status: "ok", Ready: true, Reasons: make([]Reason, 0, len(reasons))}
	for _, r := range reasons {
		if at, ok := h.since[r.Code]; ok {
			r.Since = at
		} else {
			r.Since = now
		}
		since[r.Code] = r.Since
		health.Reasons = append(health.Reasons, r)
		health.Status = "degraded"
	}
	if slices.ContainsFunc(reasons, func(r Reason) bool { return slices.Contains(fatalReasons, r.Code) }) {
		health.Ready, health.Status = false, "unavailable"
	}
	h.health, h.since, h.statuses = health, since, statuses
}

// closing makes the node not ready, from now on.
func (h *healthWatch) closing() {
	h.mu.Lock()
	h.shutdown = true
	statuses := h.statuses
	h.mu.Unlock()
	h.set(nil, statuses)
}

// Health returns it as of the last look, at most a few seconds ago.
func (s *Service) Health() Health {
	h := s.n.health
	h.mu.Lock()
	defer h.mu.Unlock()
	health := h.health
	health.Reasons = slices.Clone(health.Reasons)
	health.Lost = s.n.lost()
	return health
}

// Ready reports whether the node should be sent requests, as of now: it is not
// closing, its clock is right, and it hears a leader.
func (s *Service) Ready() bool {
	raft, ok := s.n.raft()
	if !ok || !s.n.member.Load() || time.Since(raft.LastContact()) > s.n.cfg.MaxStale {
		return false
	}
	for _, r := range s.Health().Reasons {
		if r.Code == reasonClosing || r.Code == reasonSkew {
			return false
		}
	}
	cur, _ := s.n.fsm.Ring()
	return cur != nil
}
