package highlight

import (
	"context"
	"testing"

	"ringbin/storage"
)

// Large texts are shown while there is room in memory for them, and small ones
// always.
func TestRoom(t *testing.T) {
	t.Parallel()
	const large = roomMax / 4
	room := NewRoom()
	var held []func()
	for range roomMax / large {
		release, err := room.Take(t.Context(), large)
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, release)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel() // nobody waits
	if _, err := room.Take(gone, large); storage.KindOf(err) != storage.KindUnavailable || storage.CodeOf(err) != "overloaded" {
		t.Errorf("one more large text: %v", err)
	}
	if _, err := room.Take(gone, roomFree); err != nil {
		t.Errorf("a small text: %v", err)
	}
	held[0]()
	if _, err := room.Take(t.Context(), large); err != nil {
		t.Errorf("a large text once there is room: %v", err)
	}
}
