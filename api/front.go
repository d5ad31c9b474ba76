package api

import (
	"crypto/rand"
	"errors"
	"log/slog"
	"net/http"
	"runtime/debug"
	"time"

	"ringbin/api/web"
	"ringbin/node"
	"ringbin/storage"
)

// requestsMax bounds the requests that a node works on at a time. What comes
// above is refused before anything is done.
const requestsMax = 4096

// requestIDMax is the length of a client's own request id.
const requestIDMax = 64

// noSniff is one header value for all answers; nobody changes it.
var noSniff = []string{"nosniff"}

// front is what every request to a dialect passes on its way.
type front struct {
	next    http.Handler
	render  web.ErrorFunc // for what fails before a dialect has the request
	logger  *slog.Logger
	numbers *numbers
	places  chan struct{}
}

func newFront(s *node.Service, next http.Handler, render web.ErrorFunc) *front {
	return &front{next: next, render: render, logger: s.Logger(), numbers: newNumbers(s.Metrics()), places: make(chan struct{}, requestsMax)}
}

// before is the same front, numbers and places included, before other routes.
func (f *front) before(next http.Handler, render web.ErrorFunc) *front {
	other := *f
	other.next, other.render = next, render
	return &other
}

// ServeHTTP runs one request: it gets an id, its deadlines follow its pace, and
// whatever happens it is counted and logged.
func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	id := requestID(r.Header.Get("X-Request-Id"))
	h := w.Header()
	h["X-Request-Id"] = []string{id}
	h["X-Content-Type-Options"] = noSniff
	ctx, rec := web.WithRecord(r.Context())
	r = r.WithContext(ctx) // a copy, as web.Track asks for
	sent := web.Track(w, r)
	f.numbers.inFlight.Inc()
	defer func() {
		f.numbers.inFlight.Dec()
		trapped := f.trap(recover(), sent, r, rec, id)
		sent.Finish()
		took := time.Since(start)
		f.numbers.observe(r, rec, sent, took)
		f.log(r, rec, sent, id, took)
		if trapped {
			panic(http.ErrAbortHandler)
		}
	}()
	select {
	case f.places <- struct{}{}:
		defer func() { <-f.places }()
	default:
		rec.Err = &storage.Error{Op: "api.front", Kind: storage.KindUnavailable, Code: "overloaded"}
		f.render(sent, r, rec.Err)
		return
	}
	f.next.ServeHTTP(sent, r)
}

// requestID keeps a client's own id where it can stand in a log.
func requestID(given string) string {
	ok := given != "" && len(given) <= requestIDMax
	for i := range len(given) {
		c := given[i]
		ok = ok && (c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.' || c == '_' || c == '-')
	}
	if ok {
		return given
	}
	return rand.Text()
}

// trap turns a panic into a 500 where nothing was sent yet; true asks for the
// connection to be cut.
func (f *front) trap(panicked any, sent *web.Response, r *http.Request, rec *web.Record, id string) bool {
	if panicked == nil {
		return false
	}
	if err, ok := panicked.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		return true
	}
	f.logger.Error("panic in a handler", "id", id, "route", rec.Route, "panic", panicked, "stack", string(debug.Stack()))
	rec.Err = storage.E("api.front", storage.KindInternal, errors.New("panic"))
	if sent.Status() != 0 {
		return true
	}
	render := rec.Render
	if render == nil {
		render = f.render
	}
	render(sent, r, rec.Err)
	return false
}

// log writes one line for a request. Paths are logged only where a route says
// that they hold no secret; queries and headers never are.
func (f *front) log(r *http.Request, rec *web.Record, sent *web.Response, id string, took time.Duration) {
	level := slog.LevelInfo
	attrs := []slog.Attr{
		slog.String("id", id), slog.String("method", r.Method), slog.String("dialect", rec.Dialect), slog.String("route", rec.Route),
		slog.Int("status", sent.Status()), slog.Int64("bytes", sent.Bytes()), slog.Duration("took", took),
	}
	if rec.Path != "" {
		attrs = append(attrs, slog.String("path", rec.Path))
	}
	if rec.Err != nil {
		attrs = append(attrs, slog.String("err", rec.Err.Error()))
		if sent.Status() >= http.StatusInternalServerError {
			level = slog.LevelWarn
		}
	}
	f.logger.LogAttrs(r.Context(), level, "request", attrs...)
}
