package pastewizard_test

import (
	"net/http"
	"strings"
	"testing"

	"ringbin/testcluster/dialogue"
)

// Whatever way a secret comes, the node's log does not have it: tokens,
// passwords, content, and hashes, which open what is unlisted, wherever the path
// is PasteWizard's.
func TestLogHoldsNoSecrets(t *testing.T) {
	t.Parallel()
	r := dialect.NewRig(t, nil)
	owner := newAccount(t, r, "owner@example.com", "John Doe")
	token, admin := newToken(t, r, owner, `"read","write"`), newToken(t, r, owner, `"admin"`)
	say := func(method, target, body string) dialogue.Answer {
		return r.Send(t, dialogue.Request{Method: method, Target: target, Body: body, Header: []string{
			"Authorization: Bearer " + token, "Content-Type: application/json", "X-Request-Id: known-id", "X-Paste-Password: HEADERSECRET",
			"Cookie: __Host-ringbin=COOKIESECRET; paste_x=COOKIESECRET",
		}})
	}
	create := func(more string) (hash, code string) {
		a := say(http.MethodPost, "/api/v1/paste_create.php", `{"content":"BODYSECRET","title":"TITLESECRET","password":"PASSWORDSECRET"`+more+`}`)
		short := a.Member(t, "short_url")
		return a.Member(t, "hash"), short[strings.LastIndexByte(short, '/')+1:]
	}
	hash, code := create(``)
	burned, burnedCode := create(`,"burn_after_read":1`)
	made := r.Send(t, dialogue.Request{Method: http.MethodPost, Target: "/api/v1/token_create.php?token=" + admin, Header: []string{
		"Content-Type: application/json",
	}, Body: `{"name":"NAMESECRET","scopes":"read"}`}).Member(t, "token")
	for _, target := range []string{
		"/api/v1/paste.php?hash=" + hash, "/api/v1/raw.php?password=QUERYSECRET&hash=" + hash, "/api/v1/raw.php?hash=" + burned,
		"/api/v1/raw.php?hash=" + burned, "/api/v1/paste.php?hash=QUERYSECRET1", "/api/v1/" + hash, "/api/v1/paste.php/" + hash,
		"/api/v1/" + token, "/api/v1/paste.php?token=" + token, "/api/v1/paste.php?hash=%ff" + hash, "/p/" + hash, "/p/" + burned,
		"/s/" + code, "/s/" + burnedCode, "/login?key=" + token,
	} {
		for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodOptions, http.MethodPut, http.MethodDelete} {
			if strings.HasPrefix(target, "/p/") && (method == http.MethodPut || method == http.MethodDelete) {
				continue // these are Paste69's, which logs the ids that it is asked for
			}
			say(method, target, `{"token":"`+made+`","hash":"`+hash+`","password":"FIELDSECRET"`)
		}
	}
	say(http.MethodPost, "/api/v1/paste_edit.php", `{"hash":"`+hash+`","content":"BODYSECRET","password":"PASSWORDSECRET"}`)
	say(http.MethodPost, "/api/v1/paste_delete.php", `{"hash":"`+hash+`"}`)
	text := r.Log.String()
	if !strings.Contains(text, `"id":"known-id"`) || !strings.Contains(text, `"route":"/api/v1/paste.php"`) || !strings.Contains(text, `"route":"/p/:hash"`) {
		t.Fatal("the requests are not in the log")
	}
	for _, secret := range []string{token, admin, made, "pw_", hash, burned, code, burnedCode, "SECRET", "Bearer ", "token=", "password=", "$argon2id"} {
		if at := strings.Index(text, secret); at >= 0 {
			t.Errorf("%s is in the log: %.300s", secret, text[max(0, at-150):])
		}
	}
}
