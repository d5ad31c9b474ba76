package jsonbin_test

import (
	"net/http"
	"strings"
	"testing"

	"ringbin/testcluster/dialogue"
)

// A record as large as it may be goes in and comes out as it is; one byte more
// does not, also where its size was not announced: the client gets to read that.
func TestLargestRecord(t *testing.T) {
	t.Parallel()
	const limit = 10 << 20
	r := dialect.NewRig(t, nil)
	header := []string{"X-Master-Key: " + newMaster(t, r, newAccount(t, r, "owner@example.com")), "Content-Type: application/json"}
	record := `["` + strings.Repeat("x", limit-len(`[""]`)) + `"]`
	made := r.Send(t, dialogue.Request{Method: http.MethodPost, Target: "/v3/b", Header: header, Body: record})
	start, rest, ok := strings.Cut(string(made.Body), record)
	if made.Status != http.StatusOK || !ok || start != `{"record":` {
		t.Fatalf("%d %.200s", made.Status, made.Body)
	}
	_, rest, _ = strings.Cut(rest, `"id":"`)
	id, _, _ := strings.Cut(rest, `"`)
	read := r.Send(t, dialogue.Request{Method: http.MethodGet, Target: "/v3/b/" + id + "?meta=false", Header: header})
	if read.Status != http.StatusOK || string(read.Body) != record {
		t.Errorf("%d: %d bytes of %d", read.Status, len(read.Body), len(record))
	}
	for _, chunked := range []bool{false, true} {
		a := r.Send(t, dialogue.Request{Method: http.MethodPost, Target: "/v3/b", Header: header, Body: record + " ", Chunked: chunked})
		if a.Status != http.StatusRequestEntityTooLarge || string(a.Body) != `{"message":"Record cannot be larger than 10485760 bytes"}` {
			t.Errorf("chunked %t: %d %s", chunked, a.Status, a.Body)
		}
	}
}
