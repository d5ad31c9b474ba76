package web

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"ringbin/storage"
)

func TestSaneRange(t *testing.T) {
	t.Parallel()
	many := "bytes=" + strings.TrimSuffix(strings.Repeat("0-0,", rangesMax+1), ",")
	for _, tt := range []struct {
		header string
		size   int64
		want   string
	}{
		{"", 10, ""},
		{"bytes=0-", 0, ""},
		{"nonsense", 0, ""},
		{"bytes=0-0", 10, "bytes=0-0"},
		{"bytes=-3", 10, "bytes=-3"},
		{"bytes=-0", 10, "bytes=10-"},
		{"bytes= - 0 ", 10, "bytes=10-"},
		{"bytes=-00", 10, "bytes=10-"},
		{"bytes=-0,-0", 10, "bytes=10-"},
		{"bytes=-0,", 10, "bytes=10-"},
		{"bytes=-0,1-2", 10, "bytes=1-2"},
		{"bytes=1-2,-0", 10, "bytes=1-2"},
		{"bytes=", 10, ""},
		{"bytes=,,", 10, ""},
		{"bytes=x", 10, "bytes=x"},
		{"bytes=5-2", 10, "bytes=5-2"},
		{"lines=-0", 10, "lines=-0"},
		{"Bytes=-0", 10, "Bytes=-0"},
		{many, 10, ""},
	} {
		if got := saneRange(tt.header, tt.size); got != tt.want {
			t.Errorf("%q on %d: %q, want %q", tt.header, tt.size, got, tt.want)
		}
	}
}

// memory is content that fails where a test wants it.
type memory struct {
	*bytes.Reader
	failing  error
	prepared error
}

func (m *memory) Size() int64    { return m.Reader.Size() }
func (m *memory) Prepare() error { return m.prepared }

func (m *memory) Read(p []byte) (int, error) {
	if m.failing != nil {
		return 0, m.failing
	}
	n, err := m.Reader.Read(p)
	return n, err
}

func (m *memory) Next() ([]byte, error) {
	part := make([]byte, 512<<10)
	n, err := m.Read(part)
	return part[:n], err
}

func newMemory(content []byte) *memory { return &memory{Reader: bytes.NewReader(content)} }

// All of some content is answered as http.ServeContent does it.
func TestServeContentWhole(t *testing.T) {
	t.Parallel()
	for _, size := range []int{0, 1, wholePart - 1, wholePart, 3*wholePart + 7} {
		for _, modified := range []time.Time{{}, time.Unix(0, 0), time.Date(2026, 1, 2, 3, 4, 5, 6, time.FixedZone("", 3600))} {
			content := bytes.Repeat([]byte("some text "), size/10+1)[:size]
			want, got := httptest.NewRecorder(), httptest.NewRecorder()
			r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", http.NoBody)
			for _, w := range []*httptest.ResponseRecorder{want, got} {
				w.Header().Set("Content-Type", "text/x")
				w.Header().Set("ETag", `"tag"`)
			}
			http.ServeContent(want, r, "", modified, bytes.NewReader(content))
			if err := ServeContent(got, r, newMemory(content), modified); err != nil {
				t.Fatal(err)
			}
			if got.Code != want.Code || !maps.EqualFunc(got.Result().Header, want.Result().Header, slices.Equal) || !bytes.Equal(got.Body.Bytes(), want.Body.Bytes()) {
				t.Errorf("%d bytes of %v: %d %v, %d bytes; want %d %v, %d bytes",
					size, modified, got.Code, got.Result().Header, got.Body.Len(), want.Code, want.Result().Header, want.Body.Len())
			}
		}
	}
}

// Content that ends before its size costs the connection.
func TestServeContentCutsShortBytes(t *testing.T) {
	t.Parallel()
	defer func() {
		if err, ok := recover().(error); !ok || !errors.Is(err, http.ErrAbortHandler) {
			t.Errorf("recovered %v, want http.ErrAbortHandler", err)
		}
	}()
	_, err := serve(t, short{newMemory([]byte("half"))})
	t.Errorf("an answer that lacks bytes is complete: %v", err)
}

// short is content with fewer bytes than it says.
type short struct{ *memory }

func (s short) Size() int64 { return 2 * s.memory.Size() }

func serve(t *testing.T, c Content, header ...string) (*httptest.ResponseRecorder, error) {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", http.NoBody)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	for name, value := range map[string]string{"ETag": `"tag"`, "Content-Type": "text/plain", "Cache-Control": "public", "Content-Disposition": "attachment"} {
		w.Header().Set(name, value)
	}
	err := ServeContent(w, r, c, time.Time{})
	return w, err
}

// What is refused leaves nothing of the content's own header behind.
func TestServeContentRefuses(t *testing.T) {
	t.Parallel()
	noCopy := &storage.Error{Kind: storage.KindUnavailable, Code: "content_unavailable"}
	for _, tt := range []struct {
		name     string
		prepared error
		header   []string
		kind     storage.Kind
		crange   string
	}{
		{"no copy", noCopy, nil, storage.KindUnavailable, ""},
		{"no copy of a part", noCopy, []string{"Range", "bytes=1-2"}, storage.KindUnavailable, ""},
		{"a condition", nil, []string{"If-Match", `"other"`}, storage.KindPrecondition, ""},
		{"a range", nil, []string{"Range", "bytes=10-"}, storage.KindRange, "bytes */10"},
		{"no bytes at the end", nil, []string{"Range", "bytes=-0"}, storage.KindRange, "bytes */10"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := newMemory([]byte("0123456789"))
			c.prepared = tt.prepared
			w, err := serve(t, c, tt.header...)
			if storage.KindOf(err) != tt.kind || err == nil {
				t.Fatal(err)
			}
			if w.Body.Len() > 0 || w.Header().Get("Content-Range") != tt.crange {
				t.Errorf("%s %v", w.Body, w.Header())
			}
			for _, name := range []string{"ETag", "Content-Type", "Cache-Control", "Content-Disposition", "Content-Length", "Accept-Ranges"} {
				if v := w.Header().Get(name); v != "" {
					t.Errorf("%s: %s is left", name, v)
				}
			}
		})
	}
}

// Nothing has to be opened for a 304 or for empty content.
func TestServeContentOpensNoCopyInVain(t *testing.T) {
	t.Parallel()
	c := newMemory([]byte("0123456789"))
	c.prepared = errors.New("opened")
	if w, err := serve(t, c, "If-None-Match", `"tag"`); err != nil || w.Code != http.StatusNotModified {
		t.Error(w.Code, err)
	}
	empty := newMemory(nil)
	empty.prepared = c.prepared
	if w, err := serve(t, empty, "Range", "bytes=-0"); err != nil || w.Code != http.StatusOK || w.Body.Len() > 0 {
		t.Error(w.Code, err)
	}
}

// Bytes that fail after the header was sent cut the connection.
func TestServeContentCutsBadBytes(t *testing.T) {
	t.Parallel()
	bad := errors.New("rotten")
	c := newMemory([]byte("0123456789"))
	c.failing = bad
	ctx, rec := WithRecord(t.Context())
	defer func() {
		if err, ok := recover().(error); !ok || !errors.Is(err, http.ErrAbortHandler) {
			t.Errorf("the connection stays: %v", err)
		}
		if !errors.Is(rec.Err, bad) {
			t.Errorf("the log is told %v", rec.Err)
		}
	}()
	_ = ServeContent(httptest.NewRecorder(), httptest.NewRequestWithContext(ctx, http.MethodGet, "/", http.NoBody), c, time.Time{})
}

func FuzzRange(f *testing.F) {
	for _, seed := range []string{
		"", "bytes=0-0", "bytes=2-", "bytes=-3", "bytes=-100", "bytes=9-100", "bytes=0-1,4-5", "bytes=0-1,50-60", "bytes=0-9,0-9",
		"bytes=10-", "bytes=5-2", "bytes=x", "lines=1-2", "bytes=-0", "bytes=-0,", "bytes=", "bytes=,", "bytes=-", "bytes=--1", "bytes=-+0",
		"bytes=0-18446744073709551616", "bytes= 1 - 2 , -1", strings.Repeat("bytes=0-0,", 40),
	} {
		f.Add(seed, uint16(10))
		f.Add(seed, uint16(0))
	}
	f.Fuzz(func(t *testing.T, header string, size uint16) {
		content := make([]byte, size)
		for i := range content {
			content[i] = byte(i * 7)
		}
		w, err := serve(t, newMemory(content), "Range", header)
		if err != nil {
			if storage.KindOf(err) != storage.KindRange || size == 0 || w.Body.Len() > 0 {
				t.Fatalf("%q on %d: %v", header, size, err)
			}
			return
		}
		checkParts(t, w.Result(), content)
	})
}

// checkParts holds every byte of an answer against the content.
func checkParts(t *testing.T, resp *http.Response, content []byte) {
	t.Helper()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := strconv.Atoi(resp.Header.Get("Content-Length")); err != nil || n != len(body) {
		t.Fatalf("Content-Length %s of %d bytes", resp.Header.Get("Content-Length"), len(body))
	}
	mediaType, params, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if err != nil {
		t.Fatal(err)
	}
	switch {
	case resp.StatusCode == http.StatusOK:
		if !bytes.Equal(body, content) || resp.Header.Get("Content-Range") != "" {
			t.Fatalf("200 with %d bytes of %d", len(body), len(content))
		}
	case resp.StatusCode != http.StatusPartialContent:
		t.Fatalf("status %d", resp.StatusCode)
	case mediaType != "multipart/byteranges":
		checkPart(t, resp.Header.Get("Content-Range"), body, content)
	default:
		parts := multipart.NewReader(bytes.NewReader(body), params["boundary"])
		n := 0
		for {
			part, err := parts.NextRawPart()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			b, err := io.ReadAll(part)
			if err != nil {
				t.Fatal(err)
			}
			checkPart(t, part.Header.Get("Content-Range"), b, content)
			n++
		}
		if n < 2 || n > rangesMax {
			t.Fatalf("%d parts", n)
		}
	}
}

func checkPart(t *testing.T, crange string, got, content []byte) {
	t.Helper()
	var first, last, size int
	if _, err := fmt.Sscanf(crange, "bytes %d-%d/%d", &first, &last, &size); err != nil || size != len(content) ||
		first < 0 || first > last || last >= size || !bytes.Equal(got, content[first:last+1]) {
		t.Fatalf("Content-Range %q with %d bytes of %d: %v", crange, len(got), len(content), err)
	}
}
