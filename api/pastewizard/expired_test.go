package pastewizard_test

import (
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"ringbin/node"
	"ringbin/testcluster/dialogue"
)

// expiredWait is how long a node may take to see that its clock is another.
const expiredWait = 30 * time.Second

// An expired paste is gone for all who could read it, its owner too, and can
// still be deleted.
func TestExpired(t *testing.T) {
	t.Parallel()
	var ahead atomic.Int64
	r := dialect.NewRig(t, func(c *node.Config) {
		c.Clock = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	})
	owner := newAccount(t, r, "owner@example.com", "John Doe")
	token, other := newToken(t, r, owner, `"read","write"`), newToken(t, r, newAccount(t, r, "other@example.com", "Jane"), `"read","write"`)
	ask := func(method, target, token, body string) dialogue.Answer {
		return r.Send(t, dialogue.Request{Method: method, Target: "/api/v1/" + target, Body: body, Header: []string{
			"Authorization: Bearer " + token, "Content-Type: application/json",
		}})
	}
	create := func(privacy string) string {
		a := ask(http.MethodPost, "paste_create.php", token, fmt.Sprintf(`{"content":"a","expiry":"10m","password":"pw","privacy":%q}`, privacy))
		return a.Member(t, "hash")
	}
	public, private := create("public"), create("private")
	if a := ask(http.MethodGet, "raw.php?hash="+public, token, ""); a.Status != http.StatusOK {
		t.Fatalf("%d %s", a.Status, a.Body)
	}
	ahead.Store(int64(10 * time.Minute))
	for patience := time.Now().Add(expiredWait); ; time.Sleep(20 * time.Millisecond) {
		a := ask(http.MethodGet, "raw.php?hash="+public, token, "")
		if a.Status == http.StatusGone {
			break
		}
		if time.Now().After(patience) {
			t.Fatalf("it is still there: %d %s", a.Status, a.Body)
		}
	}
	for _, tt := range []struct {
		method, target, token, body string
		status                      int
		message                     string
	}{
		{http.MethodGet, "paste.php?hash=" + public, token, "", 410, "Paste has expired"},
		{http.MethodHead, "paste.php?hash=" + public, token, "", 410, ""},
		{http.MethodGet, "raw.php?hash=" + public, other, "", 410, "Paste has expired"}, // before a password is asked for
		{http.MethodGet, "raw.php?hash=" + private, token, "", 410, "Paste has expired"},
		{http.MethodGet, "raw.php?hash=" + private, other, "", 404, "Paste not found"},
		{http.MethodPost, "paste_edit.php", token, `{"hash":"` + public + `","expiry":"never"}`, 410, "Paste has expired"},
		{http.MethodPost, "paste_edit.php", other, `{"hash":"` + public + `","expiry":"never"}`, 403, "You do not own this paste"},
		{http.MethodPost, "paste_delete.php", other, `{"hash":"` + public + `"}`, 403, "You do not own this paste"},
		{http.MethodPost, "paste_delete.php", token, `{"hash":"` + public + `"}`, 200, ""},
		{http.MethodGet, "raw.php?hash=" + public, token, "", 404, "Paste not found"},
	} {
		if a := ask(tt.method, tt.target, tt.token, tt.body); a.Status != tt.status || message(a) != tt.message {
			t.Errorf("%s %s: %d %s", tt.method, tt.target, a.Status, a.Body)
		}
	}
}
