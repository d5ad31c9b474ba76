package jsonbin

import (
	"bytes"
	"encoding/json"
	"iter"
)

// span is where one value lies in a compact and valid JSON text. A value is
// known by its start: no two begin at one place.
type span struct{ start, end int }

// child is one member of an object or item of an array.
type child struct {
	span
	name  []byte // a member's, as it is spelled, in its quotes; nil for an item
	index int
}

func isContainer(first byte) bool { return first == '{' || first == '[' }

// stringEnd returns where the string that begins at at has ended.
func stringEnd(text []byte, at int) int {
	for at++; ; at++ {
		switch text[at] {
		case '\\':
			at++
		case '"':
			return at + 1
		}
	}
}

// valueEnd returns where the value that begins at at has ended.
func valueEnd(text []byte, at int) int {
	switch {
	case text[at] == '"':
		return stringEnd(text, at)
	case !isContainer(text[at]):
		for at < len(text) && text[at] != ',' && text[at] != ']' && text[at] != '}' {
			at++
		}
		return at
	}
	for open := 0; ; {
		switch text[at] {
		case '"':
			at = stringEnd(text, at)
			continue
		case '{', '[':
			open++
		case '}', ']':
			open--
		}
		at++
		if open == 0 {
			return at
		}
	}
}

// children goes over what a container holds, in the order of the text; over
// nothing for any other value.
func children(text []byte, v span) iter.Seq[child] {
	return func(yield func(child) bool) {
		if !isContainer(text[v.start]) {
			return
		}
		inObject := text[v.start] == '{'
		at := v.start + 1
		for i := 0; at < v.end-1; i++ {
			c := child{index: i}
			if inObject {
				end := stringEnd(text, at)
				c.name = text[at:end]
				at = end + 1 // the colon
			}
			c.span = span{at, valueEnd(text, at)}
			if !yield(c) {
				return
			}
			at = c.end + 1 // the comma, or the end
		}
	}
}

// plain returns what a string of JSON says.
func plain(quoted []byte) string {
	if bytes.IndexByte(quoted, '\\') < 0 {
		return string(quoted[1 : len(quoted)-1])
	}
	var s string
	if err := json.Unmarshal(quoted, &s); err != nil {
		panic("jsonbin: a string of a checked record can't be read: " + err.Error())
	}
	return s
}

// says is whether a string of JSON says name.
func says(quoted []byte, name string) bool {
	if bytes.IndexByte(quoted, '\\') < 0 {
		return string(quoted[1:len(quoted)-1]) == name
	}
	return plain(quoted) == name
}
