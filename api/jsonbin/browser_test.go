package jsonbin_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/chromedp/chromedp"

	"ringbin/testcluster/browser"
	"ringbin/testcluster/dialogue"
)

// page is what a site of another origin does with a bin. It leaves in its title
// what came back.
const page = `<!doctype html><title>waiting</title><script>
const bin = %q, headers = {"X-Access-Key": %q, "Content-Type": "application/json"};
async function ask(method, more, body) {
	const r = await fetch(bin, {method, headers: {...headers, ...more}, body});
	return {status: r.status, etag: r.headers.get("ETag"), text: await r.text()};
}
(async () => {
	const said = [];
	try {
		said.push(await ask("GET", {"X-Bin-Meta": "false"}));
		said.push(await ask("PUT", {"If-Match": said[0].etag}, '{"n":2}'));
		said.push(await ask("PUT", {"If-Match": said[0].etag}, '{"n":3}'));
		said.push(await ask("DELETE"));
		said.push(await ask("GET", {"X-JSON-Path": "$.n", "X-Bin-Meta": "false"}));
	} catch (e) {
		said.push({status: 0, etag: null, text: String(e)});
	}
	document.title = JSON.stringify(said);
})();
</script>`

// A page of another origin reads and updates a bin with an access key that may
// just do that, and is refused to delete it.
func TestPageOfAnotherOrigin(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(browser.Start(t), browser.Wait)
	defer cancel()
	r := dialect.NewRig(t, nil)
	master := "X-Master-Key: " + newMaster(t, r, newAccount(t, r, "owner@example.com"))
	send := func(target, body string, header ...string) string {
		a := r.Send(t, dialogue.Request{
			Method: http.MethodPost, Target: target, Body: body, Header: append(header, master, "Content-Type: application/json"),
		})
		if a.Status != http.StatusOK {
			t.Fatalf("%s: %d %s", target, a.Status, a.Body)
		}
		return string(a.Body)
	}
	var key struct{ AccessKey string }
	var bin struct{ Metadata struct{ ID string } }
	for text, v := range map[string]any{
		send("/v3/a", `{"bins":{"read":true,"update":true,"delete":false,"create":false}}`, "X-Key-Name: web"): &key,
		send("/v3/b", `{"n":1}`): &bin,
	} {
		if err := json.Unmarshal([]byte(text), v); err != nil {
			t.Fatal(err)
		}
	}
	url := "http://" + r.Node.Addresses().HTTP + "/v3/b/" + bin.Metadata.ID
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = io.WriteString(w, fmt.Sprintf(page, url, key.AccessKey))
	}))
	t.Cleanup(site.Close)
	if err := chromedp.Do(ctx, chromedp.Navigate(site.URL)); err != nil {
		t.Fatal(err)
	}
	const want = `[{"status":200,"etag":"\"1\"","text":"{\"n\":1}"},` +
		`{"status":200,"etag":"\"2\"","text":"{\"record\":{\"n\":2},\"metadata\":{\"parentId\":\"%s\",\"private\":true}}"},` +
		`{"status":412,"etag":"\"2\"","text":"{\"message\":\"Precondition failed: the bin was changed\"}"},` +
		`{"status":403,"etag":null,"text":"{\"message\":\"X-Access-Key does not have the permission to delete bins\"}"},` +
		`{"status":200,"etag":"\"2\"","text":"[2]"}]`
	title, err := chromedp.Run(ctx, chromedp.Poll[string](`document.title !== "waiting" && document.title`))
	if err != nil {
		t.Fatal(err)
	}
	if title != fmt.Sprintf(want, bin.Metadata.ID) {
		t.Errorf("the page saw %s", title)
	}
}
