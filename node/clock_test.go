package node

import "testing"

func TestMedianAgrees(t *testing.T) {
	t.Parallel()
	const year = 365 * dayMillis
	tests := map[string]struct {
		ahead []int64
		want  bool
	}{
		"alone":                     {[]int64{0}, true},
		"all agree":                 {[]int64{0, 30, -20}, true},
		"one other is a year ahead": {[]int64{0, 10, year}, true},
		"this one is a year ahead":  {[]int64{0, -year, -year + 5}, false},
		"two that differ":           {[]int64{0, -5000}, false},
		"two that agree":            {[]int64{0, -500}, true},
		"four, two and two":         {[]int64{0, 3, -year, -year}, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := medianAgrees(tt.ahead); got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}
