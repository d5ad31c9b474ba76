package apilog

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"
	"github.com/oklog/ulid/v2"
	"pgregory.net/rapid"

	"ringbin/storage"
)

// found is what a node with some entries answers that reads so many at most.
func found(entries []Entry, q Query, most int) Found {
	f := Found{Entries: []Entry{}}
	for i, e := range newestFirst(entries) {
		if !q.Before.IsZero() && e.ID.Compare(q.Before) >= 0 {
			continue
		}
		if q.wants(e) {
			f.Entries = append(f.Entries, e)
		}
		if most--; most == 0 || len(f.Entries) == q.Limit {
			if i+1 < len(entries) {
				f.Until = e.ID
			}
			break
		}
	}
	return f
}

// TestMerge: pages over several nodes hold each entry that was there once, and
// none twice, newest first, whatever each node has, however much it reads, and
// whatever is logged meanwhile.
func TestMerge(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		nodes := make([][]Entry, rapid.IntRange(1, 4).Draw(t, "nodes"))
		makers := make([]*IDs, len(nodes))
		reads := make([]int, len(nodes))
		var want []Entry
		q := Query{Limit: rapid.IntRange(1, 8).Draw(t, "limit"), Endpoint: rapid.SampledFrom([]string{"", "raw.php"}).Draw(t, "endpoint")}
		for i := range nodes {
			makers[i] = NewIDs(storage.NodeID(fmt.Sprint("n", i)))
			reads[i] = rapid.IntRange(1, 20).Draw(t, "reads")
			nodes[i] = someEntries(makers[i], rapid.Int64Range(1, 10).Draw(t, "time"), rapid.IntRange(0, 30).Draw(t, "entries"))
			want = append(want, nodes[i]...)
		}
		want = slices.DeleteFunc(want, func(e Entry) bool { return !q.wants(e) })
		got := []Entry{}
		for pages := 0; ; pages++ {
			if pages > 10+len(nodes)*31 {
				t.Fatal("it does not lead on")
			}
			answers := make([]Found, len(nodes))
			for i := range nodes {
				answers[i] = found(nodes[i], q, reads[i])
			}
			page, next := Merge(answers, q.Limit)
			if len(page) > q.Limit {
				t.Fatalf("%d entries on a page of %d", len(page), q.Limit)
			}
			for _, e := range page {
				if !slices.Contains(nodes[e.From], e.Entry) {
					t.Fatalf("%v is not node %d's", e.Entry, e.From)
				}
				got = append(got, e.Entry)
			}
			if next.IsZero() {
				break
			}
			q.Before = next
			late := rapid.IntRange(0, len(nodes)-1).Draw(t, "who logs")
			nodes[late] = append(nodes[late], someEntries(makers[late], 1000, 3)...)
		}
		seen := slices.DeleteFunc(slices.Clone(got), func(e Entry) bool { return e.Time() >= 1000 })
		if d := cmp.Diff(newestFirst(want), seen, cmp.Transformer("none", noneIsEmpty)); d != "" {
			t.Fatal(d)
		}
		if !slices.IsSortedFunc(got, func(a, b Entry) int { return b.ID.Compare(a.ID) }) {
			t.Fatal("not newest first")
		}
	})
}

// TestMergeFew: a page whose nodes have no more is the last one, and one that
// is full exactly leads nowhere when there is nothing.
func TestMergeFew(t *testing.T) {
	t.Parallel()
	if page, next := Merge(nil, 5); len(page) > 0 || !next.IsZero() {
		t.Errorf("of nobody: %v %s", page, next)
	}
	l := openLog(t, vfs.NewMem())
	defer closeLog(t, l)
	appendAll(t, l, someEntries(NewIDs("n1"), 1, 5))
	for limit, last := range map[int]bool{4: false, 5: true, 6: true} {
		f, err := l.Browse(context.Background(), Query{Limit: limit})
		if err != nil {
			t.Fatal(err)
		}
		page, next := Merge([]Found{f, {}}, limit)
		if len(page) != min(limit, 5) || (next == ulid.ULID{}) != last {
			t.Errorf("limit %d: %d entries, next %s", limit, len(page), next)
		}
	}
}
