package pastewizard_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"ringbin/api/pastewizard"
	"ringbin/api/web"
	"ringbin/node"
	"ringbin/testcluster/dialogue"
)

// dialect is PasteWizard in dialogues. Given are tokens without a limit: $TOKEN
// of the account $ACCOUNT, whose number is 1, may read and write, $READ and
// $WRITE of the same account one of both; $OTHER of account 2 may read and
// write; $ADMIN is of account 3. $BASE is what URLs begin with. $LOGIN is a key of
// $ACCOUNT that is no token. An archive may
// define CONFIG_PROXIES for its node. Answers are compared byte by byte: the
// order of members is part of the contract.
//
// "error MESSAGE" stands for an error.
var dialect = &dialogue.Dialect{
	Document: pastewizard.OpenAPI,
	Kinds: map[string]string{
		"hash": `[0-9A-Za-z]{8}`, "code": `[0-9A-Za-z]{6}`, "token": `pw_[0-9A-Za-z]{43}`, "date": `\d{4}-\d\d-\d\d \d\d:\d\d:\d\d`,
		"day": `\d{4}-\d\d-\d\d`, "clock": `\d\d:\d\d:\d\d`, "ulid": `[0-9A-Z]{26}`, "login": `[0-9A-Za-z]{43}`, "unlock": `[0-9A-Za-z_-]{54}`,
	},
	Configure: func(c *node.Config, vars map[string]string) {
		for p := range strings.FieldsSeq(vars["CONFIG_PROXIES"]) {
			c.TrustedProxies = append(c.TrustedProxies, netip.MustParsePrefix(p))
		}
	},
	Begin: func(t *testing.T, r *dialogue.Rig, vars map[string]string) {
		t.Helper()
		vars["BASE"] = "http://" + dialogue.Host
		vars["ACCOUNT"] = newAccount(t, r, "owner@example.com", "John Doe")
		vars["TOKEN"] = newToken(t, r, vars["ACCOUNT"], `"read","write"`)
		vars["LOGIN"] = newKey(t, r, vars["ACCOUNT"])
		vars["READ"], vars["WRITE"] = newToken(t, r, vars["ACCOUNT"], `"read"`), newToken(t, r, vars["ACCOUNT"], `"write"`)
		vars["OTHER"] = newToken(t, r, newAccount(t, r, "other@example.com", "Jane"), `"read","write"`)
		vars["ADMIN"] = newToken(t, r, newAccount(t, r, "admin@example.com", "Root"), `"admin"`)
	},
	Shorthands: map[string]func(string, map[string]string) (string, error){
		"error": func(arg string, _ map[string]string) (string, error) {
			return `{"ok":false,"error":` + quoted(arg) + `}`, nil
		},
	},
	Rules:     rules,
	IsForeign: isForeign,
	IsUnknown: func(a dialogue.Answer) bool { return message(a) == "Unknown endpoint" },
	IsContent: func(operation string, a dialogue.Answer) bool {
		return strings.HasPrefix(operation, "rawPaste") && a.Status == http.StatusOK
	},
	Note: message,
}

// quoted writes a text as JSON, with plain < > &.
func quoted(s string) string {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(s) // a string: it encodes
	return strings.TrimSuffix(b.String(), "\n")
}

// isForeign is for what the document does not describe: other APIs, pages, and
// what the API says to paths and methods that it does not have.
func isForeign(q dialogue.Request) bool {
	path, _, _ := strings.Cut(q.Target, "?")
	method := q.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	return !slices.Contains(pastewizard.Routes(), web.Route{Method: method, Pattern: path})
}

// message is what an error says, "" for anything else.
func message(a dialogue.Answer) string {
	var e struct{ Error string }
	if a.Status < http.StatusBadRequest || json.Unmarshal(a.Body, &e) != nil {
		return ""
	}
	return e.Error
}

func newAccount(t *testing.T, r *dialogue.Rig, email, name string) string {
	t.Helper()
	a := r.Call(t, http.MethodPost, "/api/admin/accounts", r.Node.AdminToken(), fmt.Sprintf(`{"email":%q,"name":%q}`, email, name))
	return a.Member(t, "id")
}

func newToken(t *testing.T, r *dialogue.Rig, account, scopes string) string {
	t.Helper()
	a := r.Call(t, http.MethodPost, "/api/admin/accounts/"+account+"/apikeys", r.Node.AdminToken(),
		fmt.Sprintf(`{"name":"ci","api":"pastewizard","scopes":[%s],"rate_limit_per_minute":0}`, scopes))
	return a.Member(t, "key")
}

func newKey(t *testing.T, r *dialogue.Rig, account string) string {
	t.Helper()
	a := r.Call(t, http.MethodPost, "/api/admin/accounts/"+account+"/apikeys", r.Node.AdminToken(), `{"name":"cli"}`)
	return a.Member(t, "key")
}

// statuses are those that the API has.
var statuses = []int{200, 204, 400, 401, 403, 404, 405, 410, 413, 429, 500, 503}

// rules are what all answers of the API follow.
func rules(q dialogue.Request, a dialogue.Answer) error {
	if !strings.HasPrefix(q.Target, "/api/v1") {
		return nil
	}
	h := a.Header
	open := h.Get("Access-Control-Allow-Origin") == "*" && h.Get("Access-Control-Expose-Headers") == "Retry-After"
	shut := h.Get("Access-Control-Allow-Origin") == "" && h.Get("Access-Control-Expose-Headers") == ""
	switch {
	case !open && !shut || h.Get("Access-Control-Allow-Credentials") != "":
		return fmt.Errorf("other origins are let in by %v", h)
	case h.Get("Cache-Control") != "no-store":
		return fmt.Errorf("a cache may keep it: %q", h.Get("Cache-Control"))
	case !slices.Contains(statuses, a.Status):
		return fmt.Errorf("the contract has no status %d", a.Status)
	case a.Status == http.StatusUnauthorized && h.Get("WWW-Authenticate") != "Bearer":
		return fmt.Errorf("WWW-Authenticate is %q", h.Get("WWW-Authenticate"))
	case a.Status == http.StatusMethodNotAllowed && h.Get("Allow") == "":
		return fmt.Errorf("405 without Allow")
	case a.Status == http.StatusNoContent:
		return nil
	}
	wait := h.Get("Retry-After")
	if limited := a.Status == http.StatusTooManyRequests || a.Status == http.StatusServiceUnavailable; limited && (wait == "" || wait == "0") {
		return fmt.Errorf("%d without Retry-After", a.Status)
	}
	if strings.HasPrefix(q.Target, "/api/v1/raw.php") && a.Status == http.StatusOK {
		if h.Get("Content-Type") != "text/plain; charset=utf-8" {
			return fmt.Errorf("Content-Type is %q", h.Get("Content-Type"))
		}
		return nil
	}
	if h.Get("Content-Type") != "application/json; charset=utf-8" {
		return fmt.Errorf("Content-Type is %q", h.Get("Content-Type"))
	}
	if q.Method == http.MethodHead {
		return nil
	}
	var b bytes.Buffer
	if err := json.Compact(&b, a.Body); err != nil || !bytes.Equal(b.Bytes(), a.Body) {
		return fmt.Errorf("no compact JSON: %w", err)
	}
	if want := fmt.Sprintf(`{"ok":%t,`, a.Status == http.StatusOK); !bytes.HasPrefix(a.Body, []byte(want)) {
		return fmt.Errorf("it does not begin with %s", want)
	}
	return nil
}
