package main

import (
	"strings"
	"testing"
)

// TestMemoryOptionsRefused: what would turn collection off, or have it run all
// the time, is refused before anything is set.
func TestMemoryOptionsRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		o    memoryOptions
		want string
	}{
		"percentage below -1": {memoryOptions{gcPercent: -2}, "gc-percent"},
		"limit too small":     {memoryOptions{limitMemory: memoryLeast - 1}, "memory-limit-bytes"},
		"negative limit":      {memoryOptions{limitMemory: -1}, "memory-limit-bytes"},
		"never without limit": {memoryOptions{gcPercent: -1}, "memory-limit-bytes"},
		"nothing is no fault": {memoryOptions{}, ""},
	} {
		err := c.o.set()
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}
