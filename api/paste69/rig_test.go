package paste69_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"ringbin/api/paste69"
	"ringbin/node"
	"ringbin/storage"
	"ringbin/testcluster/dialogue"
)

// dialect is Paste69 in dialogues. Given are $KEY and $KEY2 of one account,
// $OTHER of another, and $BASE, what absolute URLs begin with. An archive may
// define CONFIG_BASE_URL and CONFIG_PROXIES for its node.
//
// "error MESSAGE" stands for an error. "union DATA" stands for a success on a
// main route: DATA with its relative URLs, and all of it once more flat with
// absolute ones; "alias DATA" for one on an alias route, where both are
// absolute. A message may stand before DATA as a JSON string.
var dialect = &dialogue.Dialect{
	Document:      paste69.OpenAPI,
	TrailingSlash: true,
	Kinds: map[string]string{
		"id": `[0-9A-Za-z]{8}`, "short": `[0-9A-Za-z]{6}`, "delkey": `[0-9A-Za-z]{32}`, "key": `p69_[0-9A-Za-z]{60}`,
	},
	Configure: func(c *node.Config, vars map[string]string) {
		c.PasteBaseURL = vars["CONFIG_BASE_URL"]
		for p := range strings.FieldsSeq(vars["CONFIG_PROXIES"]) {
			c.TrustedProxies = append(c.TrustedProxies, netip.MustParsePrefix(p))
		}
	},
	Begin: func(t *testing.T, r *dialogue.Rig, vars map[string]string) {
		t.Helper()
		vars["BASE"] = "http://" + dialogue.Host
		owner := account(t, r, "owner@example.com")
		vars["KEY"], vars["KEY2"] = newKey(t, r, owner), newKey(t, r, owner)
		vars["OTHER"] = newKey(t, r, account(t, r, "other@example.com"))
	},
	Shorthands: map[string]func(string, map[string]string) (string, error){
		"error": func(arg string, _ map[string]string) (string, error) {
			b, err := json.Marshal(map[string]any{"success": false, "error": arg})
			return string(b), err
		},
		"union": func(arg string, vars map[string]string) (string, error) { return union(arg, vars["BASE"], false) },
		"alias": func(arg string, vars map[string]string) (string, error) { return union(arg, vars["BASE"], true) },
	},
	Rules:     rules,
	IsForeign: isForeign,
	IsUnknown: func(a dialogue.Answer) bool { return message(a) == "Not found" },
	IsContent: func(_ string, a dialogue.Answer) bool { return a.Header.Get("Content-Type") != "application/json" },
	Note:      message,
}

// isForeign is for what is HashBin's: the operator's endpoints, and content by its CID.
func isForeign(q dialogue.Request) bool {
	first, _, _ := strings.Cut(strings.TrimPrefix(q.Target, "/"), "/")
	name, _, _ := strings.Cut(first, ".")
	_, err := storage.ParseCID(name)
	return first == "api" || err == nil
}

// message is what an error says, "" for anything else.
func message(a dialogue.Answer) string {
	var e struct{ Error string }
	if a.Status < http.StatusBadRequest || json.Unmarshal(a.Body, &e) != nil {
		return ""
	}
	return e.Error
}

func account(t *testing.T, r *dialogue.Rig, email string) string {
	t.Helper()
	a := r.Call(t, http.MethodPost, "/api/admin/accounts", r.Node.AdminToken(), fmt.Sprintf(`{"email":%q,"name":"John Doe"}`, email))
	return a.Member(t, "id")
}

func newKey(t *testing.T, r *dialogue.Rig, account string) string {
	t.Helper()
	a := r.Call(t, http.MethodPost, "/api/admin/accounts/"+account+"/apikeys", r.Node.AdminToken(), `{"name":"Production","api":"paste69"}`)
	return a.Member(t, "key")
}

// rules are what all of Paste69's answers follow.
func rules(q dialogue.Request, a dialogue.Answer) error {
	if isForeign(q) {
		return nil
	}
	h := a.Header
	if !slices.Contains([]int{200, 204, 206, 303, 304, 307}, a.Status) && a.Status < http.StatusBadRequest {
		return fmt.Errorf("a success of status %d", a.Status)
	}
	if h.Get("Access-Control-Allow-Credentials") != "" {
		return fmt.Errorf("credentials of browsers are let in")
	}
	if a.Status == http.StatusUnauthorized && h.Get("WWW-Authenticate") != "Bearer" {
		return fmt.Errorf("WWW-Authenticate is %q", h.Get("WWW-Authenticate"))
	}
	if wait := h.Get("Retry-After"); a.Status == http.StatusTooManyRequests && (wait == "" || wait == "0") {
		return fmt.Errorf("429 without Retry-After")
	}
	if h.Get("Content-Type") != "application/json" || q.Method == http.MethodHead {
		return nil
	}
	if !strings.Contains(h.Get("Cache-Control"), "no-store") {
		return fmt.Errorf("JSON that a cache may keep: %q", h.Get("Cache-Control"))
	}
	var v map[string]any
	if err := json.Unmarshal(a.Body, &v); err != nil {
		return err
	}
	if v["success"] != (a.Status < http.StatusBadRequest) {
		return fmt.Errorf("success is %v", v["success"])
	}
	return nil
}

var urlMembers = []string{"url", "raw_url", "download_url", "delete_url", "short_url", "stats_url"}

// union writes out a success: what data has, and flat beside it.
func union(arg, base string, alias bool) (string, error) {
	out := map[string]any{"success": true}
	dec := json.NewDecoder(strings.NewReader(arg))
	dec.UseNumber()
	if strings.HasPrefix(arg, `"`) {
		var text string
		if err := dec.Decode(&text); err != nil {
			return "", err
		}
		out["message"] = text
	}
	var data map[string]any
	if err := dec.Decode(&data); err != nil {
		return "", fmt.Errorf("%w in %s", err, arg)
	}
	flat := absolute(data, base)
	if short, ok := flat["short_url"]; ok {
		flat["url"] = short
	}
	maps.Copy(out, flat)
	if alias {
		data = absolute(data, base)
	}
	out["data"] = data
	b, err := json.Marshal(out)
	return strings.NewReplacer(`\u003c`, "<", `\u003e`, ">", `\u0026`, "&").Replace(string(b)), err
}

func absolute(data map[string]any, base string) map[string]any {
	out := map[string]any{}
	for name, v := range data {
		text, _ := v.(string)
		list, isList := v.([]any)
		switch {
		case slices.Contains(urlMembers, name) && strings.HasPrefix(text, "/"):
			v = base + text
		case name == "items" && isList:
			items := make([]any, 0, len(list))
			for _, item := range list {
				if one, ok := item.(map[string]any); ok {
					item = absolute(one, base)
				}
				items = append(items, item)
			}
			v = items
		}
		out[name] = v
	}
	return out
}
