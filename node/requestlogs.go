package node

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"github.com/fxamacker/cbor/v2"
	"github.com/oklog/ulid/v2"

	"ringbin/cluster/peer"
	"ringbin/storage"
	"ringbin/storage/apilog"
	"ringbin/storage/meta"
)

// Limits and times of browsing the logs of requests.
const (
	// LogPageMax is how many entries a page has at most.
	LogPageMax = apilog.LimitMax

	logsAskedMax = 32              // nodes that are asked at the same time
	logsWithin   = 2 * time.Second // for each one's answer
	// browseWithin is for how long more is looked for when a page is not full:
	// nodes read a bounded number of entries for an answer.
	browseWithin = time.Second
)

// LogQuery is what to look for in the logs of requests. What is zero is not
// looked at.
type LogQuery struct {
	API      string
	From, To int64 // Unix milliseconds; From is in it, To is not
	Token    int64
	User     int64 // account number
	Endpoint string
	Status   int
	Addr     netip.Addr
	Limit    int    // up to LogPageMax
	Cursor   string // LogPage.Next of the page before, of whichever node
}

// LogPage is a part of the logs of all nodes, newest first. It may be short,
// and even empty, and not the last one.
type LogPage struct {
	Logs []LogEntry
	Next string // cursor; "" on the last page
	// Missing are the names of the nodes that could not be asked: what they
	// have logged is not in the page.
	Missing []string
}

// LogEntry is one request.
type LogEntry struct {
	ID       string // ULID; their order is that of the entries
	Time     int64  // Unix milliseconds
	Token    int64  // 0: the key has no number
	Account  string
	User     int64 // number of the account; 0: it has none, or is gone
	UserName string
	Endpoint string
	Status   int
	Addr     string
	Node     string // name of the node that served it
}

// RequestLogs asks all nodes for what they have logged. It is for admins and
// the operator; others are KindForbidden (scope_missing). A bad cursor is
// KindInvalid, field cursor.
func (s *Service) RequestLogs(ctx context.Context, c Caller, q LogQuery) (LogPage, error) {
	const op = "node.RequestLogs"
	page := LogPage{Logs: []LogEntry{}, Missing: []string{}}
	if !c.Operator && !c.Can(TokenAdmin) {
		return page, scopeMissing(op)
	}
	query, found, err := s.logQuery(op, q)
	if err != nil || !found {
		return page, err
	}
	nodes, began := s.n.fsm.Nodes(), time.Now()
	for {
		var merged []apilog.Merged
		var next ulid.ULID
		limit := query.Limit - len(page.Logs)
		merged, nodes, next = s.n.askLogs(ctx, nodes, query, limit, &page)
		if ctx.Err() != nil {
			return page, storage.E(op, storage.KindUnavailable, context.Cause(ctx))
		}
		for _, m := range merged {
			page.Logs = append(page.Logs, s.logEntry(m.Entry, nodes[m.From]))
		}
		if next.IsZero() {
			return page, nil
		}
		if len(page.Logs) == query.Limit || time.Since(began) >= browseWithin {
			page.Next = next.String()
			return page, nil
		}
		query.Before = next
	}
}

// logQuery is a query as nodes are asked it. The bool is false when nothing can
// be found.
func (s *Service) logQuery(op string, q LogQuery) (apilog.Query, bool, error) {
	query := apilog.Query{
		// What is too old may lie there for an hour, and is not shown.
		API: q.API, From: max(q.From, s.n.oldestRequest()), To: q.To, Token: q.Token, Endpoint: q.Endpoint, Status: q.Status,
		Addr: addrText(q.Addr), Limit: min(max(q.Limit, 1), LogPageMax),
	}
	if q.Cursor != "" {
		var err error
		if query.Before, err = ulid.ParseStrict(q.Cursor); err != nil {
			return query, false, storage.Invalid(op, "invalid_parameter", "cursor", "one that a former answer gave")
		}
	}
	if q.User == 0 {
		return query, true, nil
	}
	account, found, err := s.n.fsm.AccountByNumber(q.User)
	query.Account = account.ID
	return query, found, err
}

// askLogs asks nodes and puts their answers together. It returns those that
// answered, and notes the others in the page.
func (n *Node) askLogs(ctx context.Context, nodes []meta.Node, q apilog.Query, limit int, page *LogPage) ([]apilog.Merged, []meta.Node, ulid.ULID) {
	q.Limit = limit
	ids := make([]storage.NodeID, len(nodes))
	for i := range nodes {
		ids[i] = nodes[i].ID
	}
	var answered []meta.Node
	var answers []apilog.Found
	for i, a := range peer.FanOut(ctx, ids, logsAskedMax, func(ctx context.Context, id storage.NodeID) (apilog.Found, error) {
		ctx, cancel := context.WithTimeout(ctx, logsWithin)
		defer cancel()
		return n.askLog(ctx, id, q)
	}) {
		if a.Err != nil {
			n.logger.Debug("a node's log of requests is missing", "node", string(a.ID), "err", a.Err)
			page.Missing = append(page.Missing, nodes[i].Name)
			continue
		}
		answered, answers = append(answered, nodes[i]), append(answers, a.Value)
	}
	slices.Sort(page.Missing)
	merged, next := apilog.Merge(answers, limit)
	return merged, answered, next
}

// askLog looks into the log of one node, which may be this one.
func (n *Node) askLog(ctx context.Context, id storage.NodeID, q apilog.Query) (apilog.Found, error) {
	const op = "node.askLog"
	if id == n.self() {
		return n.service.requests.browse(ctx, q)
	}
	var found apilog.Found
	query, err := cbor.Marshal(q)
	if err != nil {
		return found, storage.E(op, storage.KindInternal, err)
	}
	answer, err := n.peers.RequestLogs(ctx, id, query)
	if err != nil {
		return found, err
	}
	if err := cbor.Unmarshal(answer, &found); err != nil {
		return found, storage.E(op, storage.KindInternal, err)
	}
	return found, nil
}

// answerLogs answers another node's askLog.
func (n *Node) answerLogs(ctx context.Context, query []byte) ([]byte, error) {
	const op = "node.answerLogs"
	var q apilog.Query
	if err := cbor.Unmarshal(query, &q); err != nil {
		return nil, storage.E(op, storage.KindInvalid, err)
	}
	found, err := n.service.requests.browse(ctx, q)
	if err != nil {
		return nil, err
	}
	answer, err := cbor.Marshal(found)
	if err != nil {
		return nil, storage.E(op, storage.KindInternal, err)
	}
	return answer, nil
}

func (s *Service) logEntry(e apilog.Entry, of meta.Node) LogEntry {
	number, name, _ := s.DisplayOf(e.Account)
	return LogEntry{
		ID: e.ID.String(), Time: e.Time(), Token: e.Token, Account: e.Account, User: number, UserName: name,
		Endpoint: e.Endpoint, Status: e.Status, Addr: e.Addr, Node: of.Name,
	}
}
