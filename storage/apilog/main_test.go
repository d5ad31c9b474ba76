package apilog

import (
	"testing"

	"go.uber.org/goleak"
)

// Whatever a test opened and closed has left no goroutine.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}
