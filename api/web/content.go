package web

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"ringbin/storage"
)

// rangesMax bounds the ranges of one request: each one may open a copy anew.
// Above it the whole content is sent, as RFC 9110 allows.
const rangesMax = 32

// Content is what can be served: bytes of a known size that can be read from
// anywhere.
type Content interface {
	io.ReadSeeker
	Size() int64
	// Next returns the bytes that the next Read would begin with, in memory that
	// stays as it is until then.
	Next() ([]byte, error)
	// Prepare makes sure that the next Read has something to read.
	Prepare() error
}

// ServeContent answers GET and HEAD with content, conditions and ranges as
// http.ServeContent has them. ETag, Content-Type and Cache-Control are set by
// the caller before; modified, where it is not zero, is its Last-Modified. An error means that nothing was sent: 412, 416, or no copy
// to be had. Bytes that fail later cut the connection: an answer that is
// complete is right.
func ServeContent(w http.ResponseWriter, r *http.Request, c Content, modified time.Time) error {
	if isPlainGet(r) {
		return sendWhole(w, r, c, modified)
	}
	source := &source{content: c, size: c.Size()}
	answer := &contentWriter{ResponseWriter: w, source: source}
	http.ServeContent(answer, withSaneRange(r, source.size), "", modified, source)
	failed := source.close()
	switch {
	case answer.err != nil:
		return answer.err
	case failed != nil:
		RecordOf(r).Err = failed
		panic(http.ErrAbortHandler)
	}
	return nil
}

// selective are the headers, in their canonical form, that ask for less than
// all of the content.
var selective = []string{"Range", "If-Match", "If-Modified-Since", "If-None-Match", "If-Range", "If-Unmodified-Since"}

// isPlainGet is whether a request wants all of the content, whatever it is:
// most do.
func isPlainGet(r *http.Request) bool {
	return r.Method == http.MethodGet && !slices.ContainsFunc(selective, func(name string) bool { return r.Header[name] != nil })
}

// wholePart is the most that is written at a time: a client has to take it in
// [rateGrace].
const wholePart = 128 << 10

// acceptRanges is one header value for all answers; nobody changes it.
var acceptRanges = []string{"bytes"}

// sendWhole answers with all of the content, as http.ServeContent does when it
// was asked for nothing else.
func sendWhole(w http.ResponseWriter, r *http.Request, c Content, modified time.Time) error {
	left := c.Size()
	h := w.Header()
	if left > 0 {
		if err := c.Prepare(); err != nil {
			unsay(h)
			return err
		}
	}
	if !modified.IsZero() && !modified.Equal(time.Unix(0, 0)) {
		h.Set("Last-Modified", modified.UTC().Format(http.TimeFormat))
	}
	h["Accept-Ranges"] = acceptRanges
	h["Content-Length"] = []string{strconv.FormatInt(left, 10)}
	w.WriteHeader(http.StatusOK)
	for left > 0 {
		part, err := c.Next()
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF // the size was promised
			}
			RecordOf(r).Err = err
			panic(http.ErrAbortHandler)
		}
		left -= int64(len(part))
		for piece := range slices.Chunk(part, wholePart) {
			if _, gone := w.Write(piece); gone != nil {
				return nil // the client went: there is nobody to tell
			}
		}
	}
	return nil
}

// unsay takes back what headers say of content that is not sent.
func unsay(h http.Header) {
	for _, name := range []string{"Accept-Ranges", "Cache-Control", "Content-Disposition", "Content-Length", "Content-Type", "ETag", "Last-Modified"} {
		h.Del(name)
	}
}

// SentFromStart reports whether an answer to GET carried content from its first
// byte on: what counts as a view of it.
func SentFromStart(w http.ResponseWriter, r *http.Request) bool {
	sent, ok := w.(*Response)
	if !ok || r.Method != http.MethodGet {
		return false
	}
	switch sent.Status() {
	case http.StatusOK:
		return true
	case http.StatusPartialContent:
		if one := sent.Header().Get("Content-Range"); one != "" {
			return strings.HasPrefix(one, "bytes 0-")
		}
		specs, _ := strings.CutPrefix(r.Header.Get("Range"), "bytes=")
		for spec := range strings.SplitSeq(specs, ",") {
			if strings.HasPrefix(strings.TrimSpace(spec), "0-") {
				return true
			}
		}
	}
	return false
}

// withSaneRange returns a request whose Range http.ServeContent answers well:
// on empty content there is none, the suffix of zero bytes is left out, and
// too many ranges are none.
func withSaneRange(r *http.Request, size int64) *http.Request {
	header := r.Header.Get("Range")
	sane := saneRange(header, size)
	if sane == header {
		return r
	}
	clone := *r
	clone.Header = r.Header.Clone()
	if sane == "" {
		clone.Header.Del("Range")
	} else {
		clone.Header.Set("Range", sane)
	}
	return &clone
}

func saneRange(header string, size int64) string {
	specs, isBytes := strings.CutPrefix(header, "bytes=")
	switch {
	case header == "" || size == 0:
		return ""
	case !isBytes:
		return header
	}
	var kept []string
	dropped := false
	for spec := range strings.SplitSeq(specs, ",") {
		spec = strings.TrimSpace(spec)
		first, last, found := strings.Cut(spec, "-")
		n, err := strconv.ParseInt(strings.TrimSpace(last), 10, 64)
		switch {
		case spec == "": // an empty element of a list says nothing
		case found && strings.TrimSpace(first) == "" && err == nil && n == 0:
			dropped = true
		default:
			kept = append(kept, spec)
		}
	}
	switch {
	case len(kept) == 0 && !dropped:
		return ""
	case len(kept) == 0:
		return fmt.Sprintf("bytes=%d-", size) // beyond the end: 416
	case len(kept) > rangesMax:
		return ""
	}
	return "bytes=" + strings.Join(kept, ",")
}

// contentWriter keeps back what http.ServeContent would say of a failed
// condition, and opens a copy before anything is promised.
type contentWriter struct {
	http.ResponseWriter
	source *source
	sent   bool
	err    error // nothing was sent, and why
}

func (w *contentWriter) WriteHeader(status int) {
	if w.sent || w.err != nil {
		return
	}
	const op = "web.ServeContent"
	h := w.Header()
	switch status {
	case http.StatusNotModified:
	case http.StatusPreconditionFailed:
		w.err = &storage.Error{Op: op, Kind: storage.KindPrecondition, Code: CodePreconditionFailed}
	case http.StatusRequestedRangeNotSatisfiable:
		h.Set("Content-Range", fmt.Sprintf("bytes */%d", w.source.size))
		w.err = &storage.Error{
			Op: op, Kind: storage.KindRange, Code: CodeRangeNotSatisfiable, Details: map[string]any{"size": w.source.size},
		}
	default:
		if w.err = w.source.prepare(); w.err != nil {
			h.Del("Content-Range")
		}
	}
	if w.err != nil {
		unsay(h)
		return
	}
	w.sent = true
	w.ResponseWriter.WriteHeader(status)
}

var errKeptBack = errors.New("web: answer kept back")

func (w *contentWriter) Write(p []byte) (int, error) {
	if !w.sent {
		w.WriteHeader(http.StatusOK)
	}
	if w.err != nil {
		return 0, errKeptBack
	}
	return w.ResponseWriter.Write(p)
}

// source moves the content's own position only when bytes are wanted, so that
// http.ServeContent may ask for the size without losing the copy that is open.
// For several ranges http.ServeContent reads in a goroutine that may outlive
// it: hence the lock, and close.
type source struct {
	mu      sync.Mutex
	content Content
	size    int64
	at      int64 // where the next Read is wanted
	under   int64 // where content stands
	closed  bool
	failed  error // the first read that could not go on
}

func (s *source) Seek(offset int64, whence int) (int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch whence {
	case io.SeekCurrent:
		offset += s.at
	case io.SeekEnd:
		offset += s.size
	}
	if offset < 0 {
		return 0, errors.New("web: seek before the start")
	}
	s.at = offset
	return offset, nil
}

func (s *source) Read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return 0, io.ErrClosedPipe
	}
	if s.at >= s.size {
		return 0, io.EOF
	}
	if err := s.move(); err != nil {
		s.failed = err
		return 0, err
	}
	n, err := s.content.Read(p)
	s.at += int64(n)
	s.under = s.at
	if errors.Is(err, io.EOF) {
		err = nil
		if n == 0 {
			err = io.ErrUnexpectedEOF // the size was promised
		}
	}
	if err != nil {
		s.failed = err
	}
	return n, err
}

func (s *source) move() error {
	if s.at == s.under {
		return nil
	}
	if _, err := s.content.Seek(s.at, io.SeekStart); err != nil {
		return err
	}
	s.under = s.at
	return nil
}

// prepare opens a copy where the next Read is wanted.
func (s *source) prepare() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.at >= s.size {
		return nil
	}
	if err := s.move(); err != nil {
		return err
	}
	return s.content.Prepare()
}

func (s *source) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	return s.failed
}
