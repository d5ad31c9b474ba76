package pastewizard

import (
	"encoding/json"
	"slices"
	"unicode/utf8"
)

// fields are what a request says. Of names that nobody asks for one entry is
// kept, under the empty name: no request fills the memory with them.
type fields map[fieldName]value

// fieldName is one of fieldNames, or empty.
type fieldName string

// fieldNames are those of all endpoints, and of the forms of pages.
var fieldNames = []string{
	"token", "hash", "title", "content", "language", "privacy", "expiry", "password", "clear_password", "highlight", "burn_after_read",
	"user_id", "token_id", "name", "scopes", "rate_limit_per_minute", "revoked", "limit", "cursor",
	"from", "to", "endpoint", "status", "ip",
	"confirm", "key", "action", "back", "scope_read", "scope_write", "scope_admin",
}

// UnmarshalText forgets names that nobody asks for.
func (n *fieldName) UnmarshalText(name []byte) error {
	*n = ""
	if slices.Contains(fieldNames, string(name)) {
		*n = fieldName(name)
	}
	return nil
}

// add takes the first of a field that is repeated.
func (f fields) add(name string, read func() string) {
	if _, again := f[fieldName(name)]; !again && slices.Contains(fieldNames, name) {
		f[fieldName(name)] = textOf(read())
	}
}

// value is what was sent as one field: text in forms and queries; JSON has more.
type value struct {
	kind valueKind
	text string          // of text
	raw  json.RawMessage // of anything else in JSON, as it was spelled
	bad  bool            // text that is not UTF-8
}

type valueKind uint8

const (
	valueAbsent valueKind = iota // not sent, or null
	valueText
	valueOther // a number, a flag, a list or an object of JSON
)

// textOf is a value that came as text.
func textOf(s string) value { return value{kind: valueText, text: s, bad: !utf8.ValidString(s)} }

// UnmarshalJSON takes what stands in a body of JSON. A string is decoded here,
// once, since it may be large; one that is not UTF-8 would come out changed, so
// it is remembered as bad.
func (v *value) UnmarshalJSON(raw []byte) error {
	switch {
	case string(raw) == "null":
		*v = value{}
	case raw[0] == '"':
		*v = value{kind: valueText, bad: !utf8.Valid(raw) || hasLoneSurrogate(raw)}
		return json.Unmarshal(raw, &v.text)
	case len(raw) > rawMax:
		*v = value{kind: valueOther}
	default:
		*v = value{kind: valueOther, raw: append(json.RawMessage(nil), raw...)}
	}
	return nil
}

// rawMax is the longest spelling of a value that is no text and yet means
// something: the longest is a list of scopes.
const rawMax = 1 << 10

// hasLoneSurrogate is whether a string of JSON, in its quotes, escapes half of
// a pair: that is no character.
func hasLoneSurrogate(quoted []byte) bool {
	for at := 0; at < len(quoted); at++ {
		if quoted[at] != '\\' {
			continue
		}
		at++ // what is escaped
		unit, ok := escapedUnit(quoted[at:])
		if !ok {
			continue
		}
		at += len("0000")
		switch {
		case unit < surrogateMin || unit > surrogateMax:
			continue
		case unit >= surrogateLow || quoted[at+1] != '\\':
			return true
		}
		second, ok := escapedUnit(quoted[at+len(`\u`):])
		if !ok || second < surrogateLow || second > surrogateMax {
			return true
		}
		at += len(`\u0000`)
	}
	return false
}

// UTF-16 writes a character as one of the first range and one of the second.
const (
	surrogateMin = 0xd800
	surrogateLow = 0xdc00
	surrogateMax = 0xdfff
)

// escapedUnit reads u0000, in JSON that is known to be valid.
func escapedUnit(s []byte) (unit rune, ok bool) {
	if s[0] != 'u' {
		return 0, false
	}
	for _, c := range s[1:5] {
		switch {
		case c <= '9':
			c -= '0'
		default:
			c = c&^0x20 - 'A' + 10
		}
		unit = unit<<4 | rune(c)
	}
	return unit, true
}
