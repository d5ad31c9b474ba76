package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
)

// pages fetches a list of the operator's API whole, page by page; member is the
// name that its items have in an answer.
func pages[T any](ctx context.Context, c *client, path, member string) ([]T, error) {
	all := []T{}
	for query := "?limit=100"; ; {
		var page map[string]json.RawMessage
		if err := c.call(ctx, http.MethodGet, path+query, nil, &page); err != nil {
			return nil, err
		}
		var items []T
		if err := json.Unmarshal(page[member], &items); err != nil {
			return nil, fmt.Errorf("%s of %s: %w", member, path, err)
		}
		all = append(all, items...)
		var next *string
		if err := json.Unmarshal(page["next_cursor"], &next); err != nil {
			return nil, fmt.Errorf("next_cursor of %s: %w", path, err)
		}
		if next == nil {
			return all, nil
		}
		query = "?limit=100&cursor=" + url.QueryEscape(*next)
	}
}
