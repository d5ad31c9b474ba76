package storage

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/cockroachdb/pebble/v2/vfs"
)

var errRotten = errors.New("rotten")

// TestIngests: what waits while a table is taken in goes with the next, and what
// is wrong with one of a group is its own.
func TestIngests(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		waiting int
		rotten  []int
		takes   []int // tables of each ingest after the first
	}{
		"nobody waits":    {takes: nil},
		"one":             {waiting: 1, takes: []int{1}},
		"several":         {waiting: 5, takes: []int{5}},
		"more than a lot": {waiting: ingestedMax + 3, takes: []int{ingestedMax, 3}},
		"one is rotten":   {waiting: 3, rotten: []int{1}, takes: []int{3, 1, 1, 1}},
		"all are rotten":  {waiting: 2, rotten: []int{0, 1}, takes: []int{2, 1, 1}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var q ingests
				var takes []int // by turns: no mutex
				held := make(chan struct{})
				take := func(paths []string) error {
					if paths[0] == "first" {
						<-held
						return nil
					}
					takes = append(takes, len(paths))
					if slices.ContainsFunc(paths, func(p string) bool { return strings.HasPrefix(p, "rotten") }) {
						return errRotten
					}
					return nil
				}
				var wg sync.WaitGroup
				wg.Go(func() {
					if err := q.do("first", take); err != nil {
						t.Error(err)
					}
				})
				synctest.Wait()
				for i := range tc.waiting {
					path, want := fmt.Sprint(i), error(nil)
					if slices.Contains(tc.rotten, i) {
						path, want = "rotten", errRotten
					}
					wg.Go(func() {
						if err := q.do(path, take); !errors.Is(err, want) {
							t.Errorf("table %d: %v", i, err)
						}
					})
				}
				synctest.Wait()
				close(held)
				wg.Wait()
				if !slices.Equal(takes, tc.takes) {
					t.Errorf("taken in by %v, not %v", takes, tc.takes)
				}
				if q.busy || len(q.waiting) > 0 {
					t.Error("somebody is still at it")
				}
			})
		})
	}
}

// TestPutLargeTogether: puts at the same time are all there, and survive power loss.
func TestPutLargeTogether(t *testing.T) {
	t.Parallel()
	fs := vfs.NewCrashableMem()
	s := openTest(t, testOptions(fs))
	var wg sync.WaitGroup
	const puts = 40
	for i := range uint64(puts) {
		wg.Go(func() { put(t, s, content(i, 1000), Mark{Generation: 1, Time: 1}) })
	}
	wg.Wait()
	crashed := openTest(t, testOptions(fs.CrashClone(vfs.CrashCloneCfg{})))
	for i := range uint64(puts) {
		mustHold(t, s, content(i, 1000))
		mustHold(t, crashed, content(i, 1000))
	}
}
