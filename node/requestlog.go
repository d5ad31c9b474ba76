package node

import (
	"context"
	"net/netip"
)

// RequestEntry is one request with a key, as its dialect tells of it once it is
// answered. There is nothing secret in it, and nothing of what was asked for.
type RequestEntry struct {
	API      string // which dialect: APIPasteWizard
	Caller   Caller
	Endpoint string // as the dialect names it: "paste.php"
	Status   int
	Addr     netip.Addr // the peer's, or the forwarded one of a proxy that is trusted
}

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

// LogPageMax is how many entries of the logs a page has at most.
const LogPageMax = 500

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
	ID       string // ULID
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

// LogRequest notes a request. It never waits: within a second the entry is on
// this node's disk, and one that finds no room is dropped and counted.
func (s *Service) LogRequest(RequestEntry) {}

// RequestLogs asks all nodes for what they have logged. The caller must have
// the scope admin. A bad cursor is KindInvalid, field cursor.
func (s *Service) RequestLogs(context.Context, Caller, LogQuery) (LogPage, error) {
	return LogPage{Logs: []LogEntry{}, Missing: []string{}}, nil
}
