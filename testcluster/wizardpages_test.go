package testcluster_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"ringbin/testcluster"
	"ringbin/testcluster/browser"
)

// wizardSite is PasteWizard's pages on some nodes, with one browser and one
// account. Cookies do not know ports, so a login or an unlock of one node is
// shown to the other, too.
type wizardSite struct {
	t                   *testing.T
	ctx                 context.Context
	c                   *testcluster.Cluster
	account, key, token string
}

func newWizardSite(t *testing.T, nodes int) *wizardSite {
	t.Helper()
	ctx, cancel := context.WithTimeout(browser.Start(t), browser.Wait)
	t.Cleanup(cancel)
	w := &wizardSite{t: t, ctx: ctx, c: testcluster.Start(t, nodes, testcluster.Options{})}
	w.account, w.key = w.c.Account(0)
	w.token = w.newToken(`["read","write"]`)
	return w
}

func (w *wizardSite) newToken(scopes string) string {
	w.t.Helper()
	var made struct{ Key string }
	w.call(w.c.Operator(0), http.MethodPost, "/api/admin/accounts/"+w.account+"/apikeys",
		`{"name":"test","api":"pastewizard","scopes":`+scopes+`,"rate_limit_per_minute":0}`, &made)
	return made.Key
}

// call sends JSON, and wants 200.
func (w *wizardSite) call(cl *testcluster.Client, method, path, body string, into any) {
	w.t.Helper()
	a, err := cl.Do(method, path, map[string]string{"Content-Type": "application/json"}, strings.NewReader(body))
	if err != nil || a.Status != http.StatusOK {
		w.t.Fatalf("%s %s: %d %s, %v", method, path, a.Status, a.Body, err)
	}
	if err := json.Unmarshal(a.Body, into); err != nil {
		w.t.Fatal(err)
	}
}

// paste makes a paste and returns its path, and that of its short URL.
func (w *wizardSite) paste(fields string) (path, short string) {
	w.t.Helper()
	var made struct {
		Hash     string
		ShortURL string `json:"short_url"`
	}
	w.call(w.c.Client(0, w.token), http.MethodPost, "/api/v1/paste_create.php", fields, &made)
	at, err := url.Parse(made.ShortURL)
	if err != nil {
		w.t.Fatal(err)
	}
	return "/p/" + made.Hash, at.Path
}

func (w *wizardSite) at(node int, path string) string {
	return "http://" + w.c.Node(node).Addresses().HTTP + path
}

// do takes steps that lead to another page, and returns its status and text.
func (w *wizardSite) do(steps ...chromedp.Action[chromedp.Void]) (status int64, text string) {
	w.t.Helper()
	resp, err := chromedp.RunResponse(w.ctx, steps...)
	if err != nil {
		w.t.Fatal(err)
	}
	text, err = chromedp.Run(w.ctx, chromedp.Evaluate[string]("document.title + '\\n' + document.body.innerText"))
	if err != nil {
		w.t.Fatal(err)
	}
	return resp.Status, text
}

func (w *wizardSite) open(node int, path string) (status int64, text string) {
	w.t.Helper()
	return w.do(chromedp.Navigate(w.at(node, path)))
}

func (w *wizardSite) click(selector string) (status int64, text string) {
	w.t.Helper()
	return w.do(chromedp.Click(chromedp.CSS(selector)))
}

// fill types into a field that was empty, and sends its form.
func (w *wizardSite) fill(selector, text string) (status int64, shown string) {
	w.t.Helper()
	return w.do(chromedp.SendKeys(chromedp.CSS(selector), text+"\r"))
}

// wantPage holds a page against its status and what stands in it.
func (w *wizardSite) wantPage(what string, want int64, parts ...string) func(status int64, text string) {
	return func(status int64, text string) {
		w.t.Helper()
		if status != want {
			w.t.Errorf("%s: status %d, want %d: %.300q", what, status, want, text)
		}
		for _, part := range parts {
			unwanted, not := strings.CutPrefix(part, "!")
			if strings.Contains(text, unwanted) == not {
				w.t.Errorf("%s: %q stands there is %v: %.300q", what, unwanted, not, text)
			}
		}
	}
}

// What looks ahead burns nothing, a person is warned and sees the paste once,
// and after that it is burned on every node.
func TestBurnPage(t *testing.T) {
	w := newWizardSite(t, 2)
	const content = "burn me: <b>once</b>"
	path, short := w.paste(`{"content":"` + content + `","burn_after_read":1,"title":"Secret"}`)
	for i, header := range []map[string]string{
		{}, {"Purpose": "prefetch", "Sec-Purpose": "prefetch"}, {"User-Agent": "Slackbot-LinkExpanding 1.0"}, {"Range": "bytes=0-3"},
	} {
		for _, method := range []string{http.MethodHead, http.MethodGet, http.MethodOptions} {
			a, err := w.c.Client(i%2, "").Do(method, path, header, http.NoBody)
			if err != nil || a.Status >= http.StatusMultipleChoices || strings.Contains(string(a.Body), "burn me") {
				t.Fatalf("%s %v: %d %s, %v", method, header, a.Status, a.Body, err)
			}
		}
	}
	for _, body := range []string{"", "confirm=0", "confirm=1"} { // no confirmation, and one of another site
		header := map[string]string{"Content-Type": "application/x-www-form-urlencoded"}
		want := http.StatusOK // of the page that it leads to
		if body == "confirm=1" {
			header["Sec-Fetch-Site"] = "cross-site"
			want = http.StatusForbidden
		}
		a, err := w.c.Client(0, "").Do(http.MethodPost, path, header, strings.NewReader(body))
		if err != nil || a.Status != want || strings.Contains(string(a.Body), "burn me") {
			t.Errorf("%q: %d %s, %v", body, a.Status, a.Body, err)
		}
	}
	w.wantPage("short URL", 200, "Burn After Read paste", "!burn me", "!Secret")(w.open(0, short))
	w.wantPage("confirmed", 200, content, "This paste is burned", "Secret")(w.click(`button.danger`))
	for node := range 2 {
		w.wantPage("afterwards", 410, "Paste has already been burned", "!burn me")(w.open(node, path))
	}
}

// The right password opens a paste on all nodes, and a burn paste still warns.
func TestPasswordPage(t *testing.T) {
	w := newWizardSite(t, 2)
	path, _ := w.paste(`{"content":"locked text","password":"open sesame","language":"markdown"}`)
	w.wantPage("form", 403, "Password required", "!locked text", "!Invalid")(w.open(0, path))
	w.wantPage("wrong", 403, "Password required", "Invalid password", "!locked text")(w.fill("#password", "open"))
	w.wantPage("right", 200, "locked text", "markdown")(w.fill("#password", "open sesame"))
	w.wantPage("another node", 200, "locked text")(w.open(1, path))

	burning, _ := w.paste(`{"content":"locked and burning","password":"x","burn_after_read":1}`)
	w.wantPage("burn form", 403, "Password required", "!burning")(w.open(0, burning))
	w.wantPage("burn warning", 200, "Burn After Read paste", "!burning")(w.fill("#password", "x"))
	w.wantPage("burn warning, another node", 200, "Burn After Read paste")(w.open(1, burning))
	w.wantPage("burn", 200, "locked and burning")(w.click(`button.danger`))
	w.wantPage("burned", 410, "already been burned")(w.open(0, burning))
}

var tokenText = regexp.MustCompile(`pw_[0-9A-Za-z]{43}`)

// login logs in through a page that needs it.
func (w *wizardSite) login(node int, path, key string) (status int64, text string) {
	w.t.Helper()
	w.wantPage("login", 200, "Log in", "API key")(w.open(node, path))
	return w.fill("#key", key)
}

// A user makes a token, sees it once, and revokes it; what is private is seen
// while logged in only.
func TestKeysPage(t *testing.T) {
	w := newWizardSite(t, 2)
	private, _ := w.paste(`{"content":"mine alone","privacy":"private"}`)
	w.wantPage("private", 404, "Paste not found")(w.open(0, private))
	w.wantPage("wrong key", 403, "not known")(w.login(0, "/api_keys.php", "hb_live_"+strings.Repeat("x", 32)))
	w.wantPage("my keys", 200, "My API Keys", "test", "!API Logs")(w.fill("#key", w.key))
	w.wantPage("private, logged in", 200, "mine alone", "private")(w.open(1, private))
	w.wantPage("admins only", 403, "administrators")(w.open(1, "/admin/api_tokens"))

	w.open(1, "/api_keys.php")
	status, text := w.fill("#name", "from a page")
	w.wantPage("created", 200, "Your new token", "from a page")(status, text)
	token := tokenText.FindString(text)
	var made struct{ OK bool }
	w.call(w.c.Client(0, token), http.MethodPost, "/api/v1/paste_create.php", `{"content":"x"}`, &made)
	w.wantPage("kept", 200, "from a page", "!pw_")(w.click(`a.button.main`))
	w.wantPage("revoked", 200, "!from a page")(w.click(`tbody tr:last-child button`))
	w.wantPage("with revoked ones", 200, "from a page", "revoked")(w.open(0, "/api_keys.php?revoked=1"))
	a, err := w.c.Client(1, token).Do(http.MethodGet, "/api/v1/paste.php?hash=none", nil, http.NoBody)
	if err != nil || a.Status != http.StatusUnauthorized {
		t.Errorf("a revoked token: %d %s, %v", a.Status, a.Body, err)
	}
	w.wantPage("logged out", 200, "Log in", "!Log out")(w.click(`nav button`))
	w.wantPage("private, logged out", 404, "Paste not found")(w.open(0, private))
	w.wantPage("keys, logged out", 200, "API key")(w.open(1, "/api_keys.php"))
}

// An administrator changes scopes and limit of a token, and finds in the logs
// what it was used for.
func TestAdminPages(t *testing.T) {
	w := newWizardSite(t, 3)
	w.paste(`{"content":"x"}`)
	a, err := w.c.Operator(1).Do(http.MethodPatch, "/api/admin/accounts/"+w.account,
		map[string]string{"Content-Type": "application/json"}, strings.NewReader(`{"role":"admin"}`))
	if err != nil || a.Status != http.StatusOK {
		t.Fatalf("%d %s, %v", a.Status, a.Body, err)
	}
	w.login(0, "/admin/api_tokens", w.key)
	if err := chromedp.Do(w.ctx, chromedp.Click(chromedp.CSS("#token-1 summary")),
		chromedp.Click(chromedp.CSS(`#token-1 input[name="scope_write"]`)),
		chromedp.SetValue(chromedp.CSS("#limit-1"), "5")); err != nil {
		t.Fatal(err)
	}
	w.wantPage("edited", 200, "API Tokens", "read", "!read, write", "5")(w.click(`#token-1 .button.main`))
	edit, err := w.c.Client(1, w.token).Do(http.MethodPost, "/api/v1/paste_create.php",
		map[string]string{"Content-Type": "application/json"}, strings.NewReader(`{"content":"y"}`))
	if err != nil || edit.Status != http.StatusForbidden {
		t.Errorf("without the scope: %d %s, %v", edit.Status, edit.Body, err)
	}
	w.c.WaitFor("the logs have both requests", func() bool {
		_, text := w.open(1, "/admin/api_logs?endpoint=paste_create.php&status=403")
		return strings.Contains(text, "paste_create.php\t403") && strings.Contains(text, "Test (1)") && !strings.Contains(text, "\t200")
	})
	w.wantPage("logs", 200, "API Logs", "paste_create.php\t200", "!Not complete")(w.open(0, "/admin/api_logs"))
	w.wantPage("bad filter", 400, "Invalid from")(w.open(0, "/admin/api_logs?from=yesterday"))
	w.c.Kill(1)
	w.c.WaitLeader()
	w.wantPage("a node is away", 200, "Not complete")(w.open(0, "/admin/api_logs"))
}
