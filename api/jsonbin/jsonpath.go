package jsonbin

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"
)

// Bounds of one JSONPath.
const (
	pathCharsMax = 1024
	pathNodesMax = 1_000_000
	pathTimeMax  = time.Second
	// pathBytesMax bounds what is answered: a match inside another match is
	// written twice, so that matches may be far larger than their record.
	pathBytesMax = 64 << 20
	// clockEvery is how many bytes are walked between looks at the clock.
	clockEvery = 64 << 10
)

var errPath = errors.New("not a JSONPath that is evaluated here")

// matches evaluates a path over the text of a record. Each match is there once,
// however many ways lead to it, in the order of the text and as it is spelled.
func matches(ctx context.Context, record []byte, path string) ([][]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, pathTimeMax)
	defer cancel()
	return find(ctx, record, path)
}

func find(ctx context.Context, record []byte, path string) ([][]byte, error) {
	steps, err := parsePath(path)
	if err != nil {
		return nil, err
	}
	w := &walk{ended: ctx.Err, text: record}
	found, err := w.follow([]span{{0, len(record)}}, steps)
	if err != nil {
		return nil, err
	}
	values := make([][]byte, len(found))
	total := 0
	for i, v := range found {
		values[i] = record[v.start:v.end]
		if total += len(values[i]) + 1; total > pathBytesMax {
			return nil, errPath
		}
	}
	return values, nil
}

// walk is one evaluation, with what it has used up.
type walk struct {
	ended   func() error // why there is no more time
	text    []byte
	nodes   int
	unclock int // bytes since the last look at the clock
}

// visit counts a node.
func (w *walk) visit(v span) error {
	if w.nodes++; w.nodes > pathNodesMax {
		return errPath
	}
	return w.pass(v)
}

// pass is for a node that is gone over on the way, and counted elsewhere.
func (w *walk) pass(v span) error {
	w.unclock += v.end - v.start + 1
	if w.unclock >= clockEvery {
		w.unclock = 0
		if w.ended() != nil {
			return errPath
		}
	}
	return nil
}

// follow takes all steps from the given nodes on. Between steps nodes are a set,
// in the order of the text: their number never exceeds that of the record.
func (w *walk) follow(from []span, steps []step) ([]span, error) {
	for _, s := range steps {
		var to []span
		take := func(v span) { to = append(to, v) }
		end := 0
		for _, v := range from {
			var err error
			switch {
			case !s.deep:
				err = w.choose(v, s.selectors, take)
			case v.start >= end: // else it lies in one that was gone through
				end = v.end
				err = w.descend(v, s.selectors, take)
			}
			if err != nil {
				return nil, err
			}
		}
		inText := func(a, b span) int { return cmp.Compare(a.start, b.start) }
		if !slices.IsSortedFunc(to, inText) { // it nearly always is
			slices.SortFunc(to, inText)
		}
		from = slices.Compact(to)
	}
	return from, nil
}

// descend chooses from a node and from all below it.
func (w *walk) descend(v span, selectors []selector, take func(span)) error {
	if err := w.choose(v, selectors, take); err != nil {
		return err
	}
	for c := range children(w.text, v) {
		if err := w.pass(c.span); err != nil {
			return err
		}
		if !isContainer(w.text[c.start]) {
			continue
		}
		if err := w.descend(c.span, selectors, take); err != nil {
			return err
		}
	}
	return nil
}

// choose takes the children that any of the selectors wants.
func (w *walk) choose(v span, selectors []selector, take func(span)) error {
	if !isContainer(w.text[v.start]) {
		return nil
	}
	length := -1 // of an array, if one asks
	if w.text[v.start] == '[' && slices.ContainsFunc(selectors, selector.needsLength) {
		length = 0
		for c := range children(w.text, v) {
			if err := w.pass(c.span); err != nil {
				return err
			}
			length++
		}
	}
	for c := range children(w.text, v) {
		if err := w.visit(c.span); err != nil {
			return err
		}
		done := true
		for _, s := range selectors {
			wanted, more, err := s.wants(w, c, length)
			if err != nil {
				return err
			}
			done = done && !more
			if wanted {
				take(c.span)
				break
			}
		}
		if done && len(selectors) == 1 {
			return nil
		}
	}
	return nil
}

// step is one step of a path: from each node to those of its children, or of
// all its descendants, that one of the selectors wants.
type step struct {
	deep      bool
	selectors []selector
}

// selector is one thing between brackets.
type selector struct {
	kind             selectorKind
	name             string
	index            int64
	first, last, gap *int64 // of a slice
	filter           condition
}

type selectorKind uint8

const (
	selectAll selectorKind = iota
	selectName
	selectIndex
	selectFromLength // index is added to the length
	selectSlice
	selectFilter
)

// needsLength is whether the selector can't be judged without the array's length.
func (s selector) needsLength() bool {
	switch s.kind {
	case selectIndex:
		return s.index < 0
	case selectFromLength, selectSlice:
		return true
	case selectAll, selectName, selectFilter:
	}
	return false
}

// wants is whether the selector takes a child; more is whether it may take one
// after it. length is the array's, where it is needed.
func (s selector) wants(w *walk, c child, length int) (wanted, more bool, err error) {
	switch s.kind {
	case selectAll:
		return true, true, nil
	case selectName:
		return c.name != nil && says(c.name, s.name), true, nil
	case selectFilter:
		wanted, err = s.filter.holds(w, c.span)
		return wanted, true, err
	case selectIndex, selectFromLength, selectSlice:
	}
	if c.name != nil {
		return false, false, nil
	}
	at, n := int64(c.index), int64(length)
	if s.kind == selectSlice {
		return s.sliced(at, n), true, nil
	}
	want := s.index
	if s.kind == selectFromLength || want < 0 {
		want += n
	}
	return at == want, at < want, nil
}

// sliced is whether a slice of an array of n items has the one at at: as in
// Python, backwards for a negative gap.
func (s selector) sliced(at, n int64) bool {
	gap := int64(1)
	if s.gap != nil {
		gap = *s.gap
	}
	bound := func(p *int64, unset, least, most int64) int64 {
		if p == nil {
			return unset
		}
		v := *p
		if v < 0 {
			v += n
		}
		return min(max(v, least), most)
	}
	switch {
	case gap > 0:
		first := bound(s.first, 0, 0, n)
		return at >= first && at < bound(s.last, n, 0, n) && (at-first)%gap == 0
	case gap < 0:
		first := bound(s.first, n-1, -1, n-1)
		return at <= first && at > bound(s.last, -1, -1, n-1) && (first-at)%-gap == 0
	}
	return false
}
