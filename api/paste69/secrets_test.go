package paste69_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"ringbin/testcluster/dialogue"
)

// Whatever way a secret comes, the log does not have it: delete keys in paths,
// keys in headers and queries, tokens, cookies, what forms hold.
func TestLogHoldsNoSecrets(t *testing.T) {
	t.Parallel()
	r := dialect.NewRig(t, nil)
	key := newKey(t, r, account(t, r, "owner@example.com"))
	a := r.Send(t, dialogue.Request{
		Method: http.MethodPost, Target: "/p?api_key=" + key, Header: []string{"Content-Type: text/plain"}, Body: "BODYSECRET",
	})
	id := a.Member(t, "id")
	deletion := a.Member(t, "delete_url")
	deleteKey := deletion[strings.LastIndexByte(deletion, '/')+1:]
	wrong, token := strings.Repeat("w", 32), strings.Repeat("e", 64)
	for _, way := range []string{
		"GET /delete/%s/" + deleteKey, "GET /p/%s/" + deleteKey, "GET /u/%s/" + deleteKey, "GET /delete/%s/" + wrong,
		"POST /delete/%s/" + wrong, "PUT /p/%s/expire?key=" + wrong, "DELETE /delete/%s?key=" + wrong,
		"GET /raw/%s?api_key=" + key, "GET /p/list?x=%s&api_key=" + key, "GET /keys/verify?x=%s&token=" + token,
		"POST /keys/verify?x=%s&token=" + token, "DELETE /p/%s/" + deleteKey + "/more", "GET /delete/%s/" + deleteKey + "/",
		"POST /u?x=%s&url=http://[%%25URLSECRET&api_key=" + key, "BREW /delete/%s/" + deleteKey, "OPTIONS /delete/%s/" + deleteKey,
		"DELETE /delete/%s/" + deleteKey,
	} {
		method, target, _ := strings.Cut(fmt.Sprintf(way, id), " ")
		r.Send(t, dialogue.Request{Method: method, Target: target, Header: []string{
			"X-Request-Id: known-id", "X-Delete-Key: HEADERSECRET", "Cookie: deletion_url=COOKIESECRET", "Authorization: Bearer " + key,
		}})
	}
	text := r.Log.String()
	if !strings.Contains(text, `"id":"known-id"`) || !strings.Contains(text, `"route":"/delete/:id/:key"`) || !strings.Contains(text, `"path":"/raw/`+id+`"`) {
		t.Fatal("the requests are not in the log")
	}
	for _, secret := range []string{
		key, "p69_", deleteKey, wrong, token, "BODYSECRET", "HEADERSECRET", "COOKIESECRET", "URLSECRET", "Bearer ", "api_key=", "token=", "key=",
	} {
		if at := strings.Index(text, secret); at >= 0 {
			t.Errorf("%s is in the log: %.300s", secret, text[max(0, at-150):])
		}
	}
}
