package hashbin_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"ringbin/storage"
	"ringbin/testcluster/dialogue"
)

// Pages of any size give each item once, in one order, though most were made
// within the same second and more are added meanwhile.
func TestPagesNeitherRepeatNorHide(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	_, key, _ := account(t, r, "user@example.com", 1000)
	upload := func(n int) {
		content := strings.Repeat(string(rune('a'+n)), 65)
		a := r.Send(t, dialogue.Request{Method: http.MethodPost, Target: "/api/content", Body: content, Header: []string{
			"Authorization: Bearer " + key, "X-Content-Hash: " + storage.SumCID([]byte(content)).String(), "X-Retention-Days: 30",
		}})
		if a.Status != http.StatusOK {
			t.Fatalf("%d %s", a.Status, a.Body)
		}
	}
	for n := range 12 {
		upload(n)
	}
	for _, list := range []struct{ path, member, id string }{{"/api/content", "items", "cid"}, {"/api/balance/history", "entries", "id"}} {
		whole, next := page(t, r, key, list.path+"?limit=100", list.member, list.id)
		if next != "" || len(whole) < 12 {
			t.Fatalf("%s: %d items, next %q", list.path, len(whole), next)
		}
		for _, limit := range []int{1, 5, 12} {
			var got []string
			cursor := ""
			for {
				ids, next := page(t, r, key, fmt.Sprintf("%s?limit=%d&cursor=%s", list.path, limit, cursor), list.member, list.id)
				got = append(got, ids...)
				if cursor = next; next == "" {
					break
				}
			}
			if strings.Join(got, " ") != strings.Join(whole, " ") {
				t.Errorf("%s by %d: %v, want %v", list.path, limit, got, whole)
			}
		}
	}
	first, next := page(t, r, key, "/api/balance/history?limit=5", "entries", "id")
	upload(12)
	second, _ := page(t, r, key, "/api/balance/history?limit=5&cursor="+next, "entries", "id")
	for _, id := range second {
		if strings.Contains(strings.Join(first, " "), id) {
			t.Errorf("%s came twice", id)
		}
	}
}

func page(t *testing.T, r *dialogue.Rig, key, target, list, id string) (ids []string, next string) {
	t.Helper()
	a := r.Call(t, http.MethodGet, target, key, "")
	var v map[string]json.RawMessage
	if err := json.Unmarshal(a.Body, &v); err != nil {
		t.Fatal(err)
	}
	var items []map[string]any
	if err := json.Unmarshal(v[list], &items); err != nil {
		t.Fatal(err)
	}
	for _, item := range items {
		ids = append(ids, fmt.Sprint(item[id]))
	}
	var cursor *string
	if err := json.Unmarshal(v["next_cursor"], &cursor); err != nil {
		t.Fatal(err)
	}
	if cursor != nil {
		next = *cursor
	}
	return ids, next
}
