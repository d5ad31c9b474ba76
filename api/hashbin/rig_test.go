package hashbin_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/textproto"
	"strings"
	"testing"

	"ringbin/api/hashbin"
	"ringbin/storage"
	"ringbin/testcluster/dialogue"
)

// dialect is HashBin in dialogues. Given are $ACCOUNT, $KEY and $KEYID of an
// account with $10.00; "error CODE DETAILS" stands for an error with any
// sentence. An upload that fails must leave balance, history and list as they were.
var dialect = &dialogue.Dialect{
	Document: hashbin.OpenAPI,
	Kinds: map[string]string{
		"id": `(?:user|key|txn)_[0-9A-Za-z]{1,59}`, "key": `hb_live_[0-9A-Za-z]{32}`,
	},
	Begin: func(t *testing.T, r *dialogue.Rig, vars map[string]string) {
		t.Helper()
		vars["ACCOUNT"], vars["KEY"], vars["KEYID"] = account(t, r, "user@example.com", 1000)
	},
	Holdings: holdings,
	Shorthands: map[string]func(string, map[string]string) (string, error){
		"error": func(arg string, _ map[string]string) (string, error) {
			code, details, _ := strings.Cut(arg, " ")
			return fmt.Sprintf(`{"error":"<text>","code":%q,"details":%s}`, code, details), nil
		},
	},
	Rules:     rules,
	IsUnknown: func(a dialogue.Answer) bool { return code(a) == "endpoint_not_found" },
	IsContent: func(operation string, a dialogue.Answer) bool {
		return a.Status < http.StatusBadRequest && (strings.HasSuffix(operation, "AtRoot") || operation == "getContent")
	},
	Note: code,
}

// code is the code of an error, "" of anything else.
func code(a dialogue.Answer) string {
	var e struct{ Code string }
	if a.Status < http.StatusBadRequest || json.Unmarshal(a.Body, &e) != nil {
		return ""
	}
	return e.Code
}

func newRig(t *testing.T) *dialogue.Rig {
	t.Helper()
	return dialect.NewRig(t, nil)
}

// holdings is what a failed upload must leave as it was; "" for any other request.
func holdings(t *testing.T, r *dialogue.Rig, q dialogue.Request, vars map[string]string) string {
	t.Helper()
	path, _, _ := strings.Cut(q.Target, "?")
	if q.Method != http.MethodPost || !strings.HasPrefix(path, "/api/content") {
		return ""
	}
	targets := []string{"/api/balance", "/api/balance/history?limit=100", "/api/content?limit=100"}
	if cid, err := storage.ParseCID(q.Get("X-Content-Hash")); err == nil {
		targets = append(targets, "/api/content/"+cid.String()+"/exists")
	}
	var b strings.Builder
	for _, target := range targets {
		a := r.Send(t, dialogue.Request{Method: http.MethodGet, Target: target, Header: []string{"Authorization: Bearer " + vars["KEY"]}})
		fmt.Fprintf(&b, "%s: %d %s\n", target, a.Status, a.Body)
	}
	return b.String()
}

// rules are what all of HashBin's answers follow.
func rules(_ dialogue.Request, a dialogue.Answer) error {
	h := a.Header
	if h.Get("Content-Type") == "application/json" && h.Get("ETag") == "" && h.Get("Cache-Control") != "no-store" {
		return fmt.Errorf("JSON that a cache may keep: %q", h.Get("Cache-Control"))
	}
	if a.Status == http.StatusUnauthorized && h.Get("WWW-Authenticate") != `Bearer realm="hashbin"` {
		return fmt.Errorf("WWW-Authenticate is %q", h.Get("WWW-Authenticate"))
	}
	if r := textproto.TrimString(h.Get("Retry-After")); a.Status >= http.StatusTooManyRequests && a.Status != http.StatusInternalServerError && (r == "" || r == "0") {
		return fmt.Errorf("%d without Retry-After", a.Status)
	}
	return nil
}

// account makes an account with a key.
func account(t *testing.T, r *dialogue.Rig, email string, cents int) (id, key, keyID string) {
	t.Helper()
	operator := r.Node.AdminToken()
	a := r.Call(t, http.MethodPost, "/api/admin/accounts", operator, fmt.Sprintf(`{"email":%q,"name":"John Doe","balance_cents":%d}`, email, cents))
	id = a.Member(t, "id")
	k := r.Call(t, http.MethodPost, "/api/admin/accounts/"+id+"/apikeys", operator, `{"name":"Production API Key"}`)
	return id, k.Member(t, "key"), k.Member(t, "id")
}
