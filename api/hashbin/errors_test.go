package hashbin_test

import (
	"bufio"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"ringbin/api/hashbin"
	"ringbin/storage"
	"ringbin/testcluster/dialogue"
)

// What one node can't be brought to is held against the document as the
// renderer writes it.
func TestErrorsAreRenderedAsDescribed(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		err     error
		status  int
		code    string
		outcome string
	}{
		{"expired", &storage.Error{Kind: storage.KindUnauthenticated, Code: "auth_expired"}, 401, "auth_expired", ""},
		{"in progress", &storage.Error{Kind: storage.KindConflict, Code: "idempotency_in_progress"}, 409, "idempotency_in_progress", ""},
		{"no leader", &storage.Error{Kind: storage.KindUnavailable, Code: "no_leader"}, 503, "no_leader", "none"},
		{"not the leader", &storage.Error{Kind: storage.KindUnavailable, Code: "not_leader"}, 503, "no_leader", "none"},
		{"too late", &storage.Error{Kind: storage.KindUnavailable, Code: "too_late"}, 503, "no_leader", "none"},
		{"outcome unknown", &storage.Error{Kind: storage.KindUnknown}, 503, "outcome_unknown", "unknown"},
		{"too few copies", &storage.Error{Kind: storage.KindUnavailable, Code: "not_enough_replicas"}, 503, "not_enough_replicas", "none"},
		{"no copy", &storage.Error{Kind: storage.KindUnavailable, Code: "content_unavailable"}, 503, "content_unavailable", "none"},
		{"busy", &storage.Error{Kind: storage.KindUnavailable, Code: "overloaded"}, 503, "overloaded", "none"},
		{"closing", &storage.Error{Kind: storage.KindUnavailable, Code: "shutting_down"}, 503, "shutting_down", "none"},
		{"a code of nobody's", &storage.Error{Kind: storage.KindUnavailable, Code: "secret_inner_code"}, 503, "overloaded", "none"},
		{"no room", &storage.Error{Kind: storage.KindFull}, 507, "insufficient_storage", "none"},
		{"forbidden", &storage.Error{Kind: storage.KindForbidden, Code: "content_blocked"}, 400, "invalid_header", ""},
		{"corrupt", &storage.Error{Kind: storage.KindCorrupt, Text: "secret"}, 500, "internal_error", ""},
		{"an error of any kind", errors.New("secret /var/lib/ringbin"), 500, "internal_error", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := httptest.NewRecorder()
			hashbin.WriteError(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/api/content", http.NoBody), tt.err)
			a := dialogue.Answer{Status: w.Code, Header: w.Header(), Body: w.Body.Bytes()}
			if err := dialect.Check(t.Context(), dialogue.Request{Method: http.MethodPost, Target: "/api/content"}, a); err != nil {
				t.Error(err)
			}
			if w.Code != tt.status || a.Member(t, "code") != tt.code {
				t.Errorf("%d %s, want %d %s", w.Code, a.Body, tt.status, tt.code)
			}
			if got := w.Header().Get("X-Outcome"); got != tt.outcome {
				t.Errorf("outcome %q, want %q", got, tt.outcome)
			}
			if tt.outcome != "" && !strings.Contains(string(a.Body), `"outcome":"`+tt.outcome+`"`) {
				t.Errorf("no outcome in %s", a.Body)
			}
			wait := tt.status == http.StatusConflict || tt.status >= http.StatusBadGateway
			if got := w.Header().Get("Retry-After"); (got == "1") != wait {
				t.Errorf("Retry-After %q", got)
			}
			if strings.Contains(string(a.Body), "secret") {
				t.Errorf("%s tells too much", a.Body)
			}
		})
	}
}

// A request with a key that is being executed is refused; the first one is not
// disturbed.
func TestIdempotencyInProgress(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	_, key, _ := account(t, r, "user@example.com", 1000)
	content := strings.Repeat("a", 65)
	q := dialogue.Request{
		Method: http.MethodPost, Target: "/api/content", Body: content,
		Header: []string{
			"Authorization: Bearer " + key, "X-Content-Hash: " + storage.SumCID([]byte(content)).String(),
			"X-Retention-Days: 30", "Idempotency-Key: one",
		},
	}
	first := q
	first.Header = append([]string{"Expect: 100-continue"}, q.Header...)
	conn := r.Dial(t, false)
	head, wire := first.Wire()
	if _, err := io.WriteString(conn, head); err != nil {
		t.Fatal(err)
	}
	in := bufio.NewReader(conn)
	if a, err := dialogue.ReadAnswer(in, first.Method); err != nil || a.Status != http.StatusContinue {
		t.Fatal(a.Status, err)
	}
	// The node asked for the Body: the key is taken.
	a := r.Send(t, q)
	if a.Status != http.StatusConflict || a.Member(t, "code") != "idempotency_in_progress" || a.Header.Get("Retry-After") != "1" {
		t.Errorf("%d %s", a.Status, a.Body)
	}
	if _, err := io.WriteString(conn, wire); err != nil {
		t.Fatal(err)
	}
	a, err := dialogue.ReadAnswer(in, first.Method)
	if err != nil || a.Status != http.StatusOK {
		t.Fatal(a.Status, err, string(a.Body))
	}
	r.CheckAnswer(t, first, a)
	if again := r.Send(t, q); again.Status != http.StatusOK || again.Header.Get("Idempotency-Replayed") != "true" || string(again.Body) != string(a.Body) {
		t.Errorf("%d %s, want %s replayed", again.Status, again.Body, a.Body)
	}
}
