package apilog

import (
	"cmp"
	"slices"

	"github.com/oklog/ulid/v2"
)

// Merged is one entry of a page, and whose.
type Merged struct {
	Entry
	From int // index of the node's answer
}

// Merge puts the answers of several nodes to one query together: the newest
// entries of all, newest first, up to a limit. The id is what to go on before;
// zero: there is nothing more.
//
// An answer tells of no entry older than where its node stopped looking. So
// what others have from before the first such stop waits for the next page:
// nothing is passed over, however many entries each of them has. The page may
// be short then, and even empty; but it always leads on.
func Merge(answers []Found, limit int) (page []Merged, next ulid.ULID) {
	for i, a := range answers {
		if next.Compare(a.Until) < 0 {
			next = a.Until
		}
		for _, e := range a.Entries {
			page = append(page, Merged{Entry: e, From: i})
		}
	}
	page = slices.DeleteFunc(page, func(e Merged) bool { return e.ID.Compare(next) < 0 })
	slices.SortFunc(page, func(a, b Merged) int { return cmp.Or(b.ID.Compare(a.ID), cmp.Compare(a.From, b.From)) })
	if len(page) > limit {
		page = page[:limit]
		next = page[limit-1].ID
	}
	return page, next
}
