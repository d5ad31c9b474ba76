package jsonbin

import (
	"net/http"
	"strconv"
	"strings"

	"ringbin/node"
)

// ifMatch reads the condition of a change; nil for none. Tags that are weak, or
// no revision of ours, are left out: they match nothing.
func (c *call) ifMatch() *node.IfMatch {
	values := c.r.Header.Values("If-Match")
	if len(values) == 0 {
		return nil
	}
	m := &node.IfMatch{}
	for _, tag := range tagsOf(values) {
		if tag == "*" {
			m.Any = true
		}
		if revision, ok := revisionOf(tag); ok {
			m.Revisions = append(m.Revisions, revision)
		}
	}
	return m
}

// unchanged answers 304 when the client has the bin's present state.
func (c *call) unchanged(b node.Bin) bool {
	for _, tag := range tagsOf(c.r.Header.Values("If-None-Match")) {
		revision, ok := revisionOf(strings.TrimPrefix(tag, "W/"))
		if tag == "*" || ok && revision == b.Revision {
			c.w.WriteHeader(http.StatusNotModified)
			return true
		}
	}
	return false
}

func tagsOf(values []string) []string {
	tags := strings.Split(strings.Join(values, ","), ",")
	for i := range tags {
		tags[i] = strings.TrimSpace(tags[i])
	}
	return tags
}

// revisionOf reads a tag in the one form that we give it.
func revisionOf(tag string) (uint64, bool) {
	text, ok := strings.CutPrefix(tag, `"`)
	text, closed := strings.CutSuffix(text, `"`)
	n, err := strconv.ParseUint(text, 10, 64)
	return n, ok && closed && err == nil && strconv.FormatUint(n, 10) == text
}
