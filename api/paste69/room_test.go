package paste69

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"ringbin/node"
	"ringbin/storage"
)

// TestRoom: large texts are shown while there is room in memory for them, and
// small ones always.
func TestRoom(t *testing.T) {
	t.Parallel()
	c := &call{d: &Dialect{shown: newShown()}, r: httptest.NewRequest(http.MethodGet, "/", http.NoBody)}
	text := func(size int) node.Paste {
		return node.Paste{UTF8: true, CID: storage.SumCID([]byte(strings.Repeat("a", size)))}
	}
	large, small := text(textBytesMax+1), text(shownFree)
	var held []func()
	for range shownMax / textBytesMax {
		release, err := c.room(large, textBytesMax)
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, release)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel() // nobody waits
	patient := c.r
	c.r = patient.WithContext(gone)
	if _, err := c.room(large, textBytesMax); storage.KindOf(err) != storage.KindUnavailable || storage.CodeOf(err) != "overloaded" {
		t.Errorf("one more large text: %v", err)
	}
	c.r = patient
	if _, err := c.room(small, textBytesMax); err != nil {
		t.Errorf("a small text: %v", err)
	}
	held[0]()
	if _, err := c.room(large, textBytesMax); err != nil {
		t.Errorf("a large text once there is room: %v", err)
	}
}
