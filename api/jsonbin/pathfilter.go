package jsonbin

import (
	"bytes"
	"cmp"
)

// condition is a filter, or a part of one.
type condition interface {
	holds(w *walk, current span) (bool, error)
}

type (
	allOf  []condition
	anyOf  []condition
	negate struct{ of condition }
	group  struct{ of condition } // in parentheses
	exists struct{ of query }
	// comparison is two operands and one of == != < > <= >=.
	comparison struct {
		left, right operand
		operator    string
	}
)

// query is a path inside a filter.
type query struct {
	fromRoot bool
	steps    []step
}

// operand is a query that leads to one node at most, or a literal in JSON.
type operand struct {
	query   *query
	literal []byte
}

func (all allOf) holds(w *walk, current span) (bool, error) {
	for _, c := range all {
		if ok, err := c.holds(w, current); !ok || err != nil {
			return false, err
		}
	}
	return true, nil
}

func (either anyOf) holds(w *walk, current span) (bool, error) {
	for _, c := range either {
		if ok, err := c.holds(w, current); ok || err != nil {
			return ok, err
		}
	}
	return false, nil
}

func (n negate) holds(w *walk, current span) (bool, error) {
	ok, err := n.of.holds(w, current)
	return !ok, err
}

func (g group) holds(w *walk, current span) (bool, error) { return g.of.holds(w, current) }

func (e exists) holds(w *walk, current span) (bool, error) {
	found, err := e.of.nodes(w, current)
	return len(found) > 0, err
}

func (q query) nodes(w *walk, current span) ([]span, error) {
	if q.fromRoot {
		current = span{0, len(w.text)}
	}
	return w.follow([]span{current}, q.steps)
}

// value is the operand's text; nil where the query finds nothing. Of members
// with one name the last one counts, as for all who read JSON into objects.
func (o operand) value(w *walk, current span) ([]byte, error) {
	if o.query == nil {
		return o.literal, nil
	}
	found, err := o.query.nodes(w, current)
	if err != nil || len(found) == 0 {
		return nil, err
	}
	last := found[len(found)-1]
	return w.text[last.start:last.end], nil
}

func (c comparison) holds(w *walk, current span) (bool, error) {
	left, err := c.left.value(w, current)
	if err != nil {
		return false, err
	}
	right, err := c.right.value(w, current)
	if err != nil {
		return false, err
	}
	order, ok := compareValues(left, right)
	switch c.operator {
	case "==":
		return ok && order == 0, nil
	case "!=":
		return !ok || order != 0, nil
	case "<":
		return ok && order < 0 && isOrdered(left), nil
	case ">":
		return ok && order > 0 && isOrdered(left), nil
	case "<=":
		return ok && (order == 0 || order < 0 && isOrdered(left)), nil
	default: // >=
		return ok && (order == 0 || order > 0 && isOrdered(left)), nil
	}
}

// compareValues compares two values of one type: numbers by what they are,
// strings by their characters, all others by their spelling. Values of two types
// can't be compared; nothing equals nothing.
func compareValues(left, right []byte) (order int, ok bool) {
	if left == nil || right == nil {
		return 0, left == nil && right == nil
	}
	kind := typeOf(left)
	if kind != typeOf(right) {
		return 0, false
	}
	switch kind {
	case typeNumber:
		return parseDecimal(left).compare(parseDecimal(right)), true
	case typeString:
		return cmp.Compare(plain(left), plain(right)), true
	}
	return bytes.Compare(left, right), true
}

func isOrdered(value []byte) bool {
	kind := typeOf(value)
	return kind == typeNumber || kind == typeString
}

// The types of JSON values, as schemas name them.
const (
	typeObject  = "object"
	typeArray   = "array"
	typeString  = "string"
	typeNumber  = "number"
	typeBoolean = "boolean"
	typeNull    = "null"
	typeInteger = "integer" // a number, too
)

func typeOf(value []byte) string {
	switch value[0] {
	case '{':
		return typeObject
	case '[':
		return typeArray
	case '"':
		return typeString
	case 't', 'f':
		return typeBoolean
	case 'n':
		return typeNull
	}
	return typeNumber
}
