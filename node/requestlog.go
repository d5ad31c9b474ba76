package node

import (
	"context"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"ringbin/storage"
	"ringbin/storage/apilog"
)

// Limits and times of logging requests.
const (
	logQueueMax      = 20_000                 // entries that wait to be written
	logGather        = 200 * time.Millisecond // for which entries gather: stored within a second
	logOpenEvery     = 10 * time.Second       // between tries to open a log that can't be written
	logDroppedWithin = time.Minute            // for so long dropped entries are told of by health
	logRetireEvery   = time.Hour              // between looks for what is too old

	endpointBytesMax = 100
)

// RequestEntry is one request with a key, as its dialect tells of it once it is
// answered. There is nothing secret in it, and nothing of what was asked for.
type RequestEntry struct {
	API      string // which dialect: APIPasteWizard
	Caller   Caller
	Endpoint string // one of the names that the dialect has: "paste.php"
	Status   int
	Addr     netip.Addr // the peer's, or the forwarded one of a proxy that is trusted
}

// LogRequest notes a request. It never waits: within a second the entry is on
// this node's disk, and one that finds no room is dropped and counted.
func (s *Service) LogRequest(e RequestEntry) {
	s.requests.add(apilog.Entry{
		API: e.API, Token: e.Caller.Token, Key: e.Caller.Key, Account: e.Caller.Account,
		Endpoint: strings.ToValidUTF8(e.Endpoint[:min(len(e.Endpoint), endpointBytesMax)], ""), Status: e.Status, Addr: addrText(e.Addr),
	})
}

// addrText is an address as it is logged and looked for; "" of none.
func addrText(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.Unmap().WithZone("").String()
}

// requestLog writes the log of requests behind them: entries gather for a moment
// and are stored together. A log that can't be opened or written stops nobody:
// what comes in meanwhile is dropped, counted and told of by health, and the log
// is opened anew now and then until it takes entries again. So it is while the
// volume is at its floor: what is free then is for metadata, without which the
// node ends, and clients decide how much is logged.
type requestLog struct {
	fs     vfs.FS
	dir    string
	opts   apilog.Options
	logger *slog.Logger
	ids    *apilog.IDs
	now    func() int64 // Unix milliseconds
	room   func() error // why the volume takes no log now, or nil

	queue           chan apilog.Entry
	stored, dropped atomic.Int64

	mu   sync.Mutex  // protects the fields below; never held while the disk is waited for
	log  *apilog.Log // nil: it can't be opened
	lost time.Time   // when an entry was dropped last; zero: never

	// Of the one goroutine that writes, and of who opens the log before.
	tried time.Time // when it was opened last, or could not be
	told  bool      // that entries are dropped
}

// openRequestLog opens a node's log of requests, if that can be done.
func openRequestLog(fs vfs.FS, dir string, self storage.NodeID, o apilog.Options, now func() int64, room func() error) *requestLog {
	o.FS = fs
	l := &requestLog{
		fs: fs, dir: dir, opts: o, logger: o.Logger, ids: apilog.NewIDs(self), now: now, room: room, queue: make(chan apilog.Entry, logQueueMax),
	}
	l.open()
	return l
}

// open opens the log, in the place of one that is broken.
func (l *requestLog) open() {
	l.close()
	l.tried = time.Now()
	log, err := apilog.Open(l.dir, l.opts)
	if err != nil {
		l.logger.Error("the log of requests can't be opened", "err", err)
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.log = log
}

// close closes the log, when no more entries are to be written.
func (l *requestLog) close() {
	l.mu.Lock()
	log := l.log
	l.log = nil
	l.mu.Unlock()
	if log == nil {
		return
	}
	if err := log.Close(); err != nil {
		l.logger.Warn("the log of requests was not closed well", "err", err)
	}
}

// current is the log that is open, or nil.
func (l *requestLog) current() *apilog.Log {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.log
}

func (l *requestLog) add(e apilog.Entry) {
	e.ID = l.ids.Next(l.now())
	select {
	case l.queue <- e:
	default:
		l.drop(1)
	}
}

func (l *requestLog) drop(n int) {
	l.dropped.Add(int64(n))
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lost = time.Now()
}

// run writes entries until ctx ends, and then those that still wait.
func (l *requestLog) run(ctx context.Context) {
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case e := <-l.queue:
			l.store(l.gather(ctx, e))
		}
	}
	for {
		select {
		case e := <-l.queue:
			l.store(l.gather(ctx, e))
		default:
			return
		}
	}
}

// gather returns an entry and what comes in within a moment after it. Once ctx
// has ended that is what is there already.
func (l *requestLog) gather(ctx context.Context, first apilog.Entry) []apilog.Entry {
	entries := []apilog.Entry{first}
	moment, cancel := context.WithTimeout(ctx, logGather)
	defer cancel()
	for len(entries) < apilog.EntriesMax {
		select {
		case e := <-l.queue:
			entries = append(entries, e)
			continue
		default:
		}
		select {
		case e := <-l.queue:
			entries = append(entries, e)
		case <-moment.Done():
			return entries
		}
	}
	return entries
}

// store writes entries down, or drops them.
func (l *requestLog) store(entries []apilog.Entry) {
	log := l.current()
	if (log == nil || log.Broken()) && time.Since(l.tried) >= logOpenEvery {
		l.open()
		log = l.current()
	}
	err := l.room()
	if err == nil && log == nil {
		err = noRequestLog("node.store")
	}
	if err == nil {
		err = log.Append(entries)
	}
	if err == nil {
		l.stored.Add(int64(len(entries)))
		if l.told {
			l.logger.Info("requests are logged again", "dropped", l.dropped.Load())
		}
		l.told = false
		return
	}
	l.drop(len(entries))
	if !l.told {
		l.logger.Error("requests are not logged", "err", err)
	}
	l.told = true
}

func noRequestLog(op string) *storage.Error {
	return &storage.Error{Op: op, Kind: storage.KindUnavailable, Code: "no_request_log"}
}

// runRetention erases what is older than a time that it is told, now and then.
func (l *requestLog) runRetention(ctx context.Context, oldest func() int64) {
	timer := time.NewTicker(logRetireEvery)
	defer timer.Stop()
	for {
		if log := l.current(); log != nil {
			if err := log.DropBefore(ctx, oldest()); err != nil && ctx.Err() == nil {
				l.logger.Warn("old entries of the log of requests are still there", "err", err)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
	}
}

// oldestRequest is when the oldest request was that is still logged, by the
// cluster's time: no clock that runs ahead erases anything.
func (n *Node) oldestRequest() int64 {
	return n.fsm.Now() - n.fsm.Settings().PasteWizard.LogRetentionDays*dayMillis
}

// failing reports whether the log is not whole, or will not be: it takes no
// entries, some were dropped lately, or a former one was moved aside.
func (l *requestLog) failing() bool {
	l.mu.Lock()
	log, lost := l.log, l.lost
	l.mu.Unlock()
	if log == nil || log.Broken() || !lost.IsZero() && time.Since(lost) < logDroppedWithin {
		return true
	}
	aside, err := apilog.Aside(l.fs, l.dir)
	return aside || err != nil
}

// browse looks into this node's log.
func (l *requestLog) browse(ctx context.Context, q apilog.Query) (apilog.Found, error) {
	log := l.current()
	if log == nil {
		return apilog.Found{}, noRequestLog("node.browse")
	}
	return log.Browse(ctx, q)
}

func (l *requestLog) metrics(counter func(name, help string, read func() float64)) {
	counter("api_log_stored_total", "Requests that this node has logged.", func() float64 { return float64(l.stored.Load()) })
	counter("api_log_dropped_total", "Requests that were not logged: the log could not be written, or came not after.", func() float64 { return float64(l.dropped.Load()) })
}
