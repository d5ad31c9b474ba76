package jsonbin_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"ringbin/api/jsonbin"
	"ringbin/testcluster/dialogue"
)

// dialect is JSONBin in dialogues. Given are $MASTER, the master key of an
// account, and $OTHER, that of another. Answers are compared byte by byte: the
// order of members is part of the contract.
//
// "error MESSAGE" stands for an error.
var dialect = &dialogue.Dialect{
	Document:      jsonbin.OpenAPI,
	TrailingSlash: true,
	Kinds: map[string]string{
		"id": `[0-9a-f]{24}`, "key": `\$2b\$10\$[./A-Za-z0-9]{53}`, "date": `\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z`,
	},
	Begin: func(t *testing.T, r *dialogue.Rig, vars map[string]string) {
		t.Helper()
		vars["ACCOUNT"] = newAccount(t, r, "owner@example.com")
		vars["MASTER"] = newMaster(t, r, vars["ACCOUNT"])
		vars["OTHER"] = newMaster(t, r, newAccount(t, r, "other@example.com"))
	},
	Shorthands: map[string]func(string, map[string]string) (string, error){
		"error": func(arg string, _ map[string]string) (string, error) { return `{"message":` + quoted(arg) + `}`, nil },
	},
	Rules:     rules,
	IsForeign: isForeign,
	IsUnknown: func(a dialogue.Answer) bool { return message(a) == "Route not found!" },
	Note:      message,
}

// quoted writes a text as JSON, with plain < > &.
func quoted(s string) string {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(s) // a string: it encodes
	return strings.TrimSuffix(b.String(), "\n")
}

// isForeign is for what other APIs answer, and for OPTIONS, which the document
// does not name path by path.
func isForeign(q dialogue.Request) bool {
	path := strings.ToLower(q.Target)
	return !strings.HasPrefix(path, "/v3/") || q.Method == http.MethodOptions || strings.ToLower(q.Target) != q.Target
}

// message is what an error says, "" for anything else.
func message(a dialogue.Answer) string {
	var e struct{ Message string }
	if a.Status < http.StatusBadRequest || json.Unmarshal(a.Body, &e) != nil {
		return ""
	}
	return e.Message
}

func newAccount(t *testing.T, r *dialogue.Rig, email string) string {
	t.Helper()
	a := r.Call(t, http.MethodPost, "/api/admin/accounts", r.Node.AdminToken(), fmt.Sprintf(`{"email":%q,"name":"John Doe"}`, email))
	return a.Member(t, "id")
}

func newMaster(t *testing.T, r *dialogue.Rig, account string) string {
	t.Helper()
	a := r.Call(t, http.MethodPost, "/api/admin/accounts/"+account+"/apikeys", r.Node.AdminToken(), `{"name":"Master","api":"jsonbin"}`)
	return a.Member(t, "key")
}

// rules are what all of JSONBin's answers follow.
func rules(q dialogue.Request, a dialogue.Answer) error {
	if !strings.HasPrefix(q.Target, "/v3") {
		return nil
	}
	h := a.Header
	if h.Get("Access-Control-Allow-Origin") != "*" || h.Get("Access-Control-Allow-Credentials") != "" ||
		h.Get("Access-Control-Expose-Headers") != "ETag, Retry-After, Content-Disposition" {
		return fmt.Errorf("other origins are let in by %v", h)
	}
	switch a.Status {
	case http.StatusNoContent, http.StatusNotModified:
		if len(a.Body) > 0 || h.Get("Content-Type") != "" {
			return fmt.Errorf("%d with a body", a.Status)
		}
		return nil
	case http.StatusOK:
	default:
		if a.Status < http.StatusBadRequest {
			return fmt.Errorf("a success of status %d", a.Status)
		}
	}
	if h.Get("Content-Type") != "application/json; charset=utf-8" {
		return fmt.Errorf("Content-Type is %q", h.Get("Content-Type"))
	}
	if wait := h.Get("Retry-After"); a.Status == http.StatusTooManyRequests && (wait == "" || wait == "0") {
		return fmt.Errorf("429 without Retry-After")
	}
	if q.Method == http.MethodHead {
		return nil
	}
	var b bytes.Buffer
	if err := json.Compact(&b, a.Body); err != nil || !bytes.Equal(b.Bytes(), a.Body) {
		return fmt.Errorf("no compact JSON: %w", err)
	}
	return nil
}
