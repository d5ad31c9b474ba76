package node

import (
	"cmp"
	"math"
	"slices"
)

// ListOrder is which page of a list is wanted, and how it is sorted: by
// created_at, newest first, or ascending by expires_at, size, filename, views
// or clicks; any other word means created_at.
type ListOrder struct {
	Page, Limit int // from 1
	Sort        string
	Reverse     bool
}

// What lists may be sorted by beside the time of creation.
const (
	sortExpires  = "expires_at"
	sortSize     = "size"
	sortFilename = "filename"
	sortViews    = "views"
	sortClicks   = "clicks"
)

// listed is one thing of a list while it is sorted: lists may be long, their
// pages are not.
type listed struct {
	id     string
	number int64
	text   string
}

// endOrder puts what never ends behind all that does.
func endOrder(expires int64) int64 {
	if expires == 0 {
		return math.MaxInt64
	}
	return expires
}

// pageOf sorts a list and fetches one page of it. What is gone by then is left out.
func pageOf[T any](all []listed, o ListOrder, fetch func(id string) (T, bool, error)) ([]T, error) {
	slices.SortStableFunc(all, func(a, b listed) int {
		by := cmp.Or(cmp.Compare(a.number, b.number), cmp.Compare(a.text, b.text))
		if o.Reverse {
			return -by
		}
		return by
	})
	page := []T{}
	first := int64(max(o.Page, 1) - 1)
	if limit := int64(max(o.Limit, 1)); first <= int64(len(all))/limit {
		all = all[min(first*limit, int64(len(all))):]
	} else {
		all = nil
	}
	for _, l := range all[:min(max(o.Limit, 1), len(all))] {
		v, found, err := fetch(l.id)
		if err != nil {
			return nil, err
		}
		if found {
			page = append(page, v)
		}
	}
	return page, nil
}
