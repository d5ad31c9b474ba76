package pastewizard

import (
	"encoding/json"
	"net/netip"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"ringbin/api/web"
	"ringbin/node"
	"ringbin/storage"
)

// Limits of fields.
const (
	titleMax    = 255 // characters
	passwordMax = 1024
	nameMax     = 64 // characters of a token's name
	rateMax     = 1_000_000
	pageMax     = 500
	pageDefault = 50
	cursorMax   = 1 << 10
	numberMax   = 1 << 53 // what every reader of JSON has exactly
)

// sent is whether there is a value at all.
func (f fields) sent(name fieldName) bool { return f[name].kind != valueAbsent }

// text reads a field that is text; "" when it was not sent.
func (f fields) text(name fieldName) (string, error) {
	v := f[name]
	if v.kind == valueOther || v.bad {
		return "", invalid(string(name))
	}
	return v.text, nil
}

// flag reads a field that is 0 or 1.
func (f fields) flag(name fieldName, standard bool) (bool, error) {
	v := f[name]
	if v.kind == valueAbsent {
		return standard, nil
	}
	switch v.text + string(v.raw) {
	case "1", "true":
		return true, nil
	case "0", "false":
		return false, nil
	}
	return false, invalid(string(name))
}

// number reads a field that is an integer from least to most; nil when it was
// not sent.
func (f fields) number(name fieldName, least, most int64) (*int64, error) {
	v := f[name]
	if v.kind == valueAbsent {
		return nil, nil //nolint:nilnil // absent is no fault
	}
	n, ok := web.ParseUint(v.text+string(v.raw), most)
	if !ok || n < least {
		return nil, invalid(string(name))
	}
	return &n, nil
}

// hash reads what names a note. What can't be one is one that nobody knows.
func (f fields) hash() (string, error) {
	v := f["hash"]
	switch {
	case v.kind == valueAbsent, v.kind == valueText && v.text == "":
		return "", wrong(missingHash)
	case !isHash(v.text):
		return "", refused(storage.KindNotFound, noPaste)
	}
	return v.text, nil
}

// title reads a title; "" is none.
func (f fields) title() (string, error) {
	title, err := f.text("title")
	if err == nil && utf8.RuneCountInString(title) > titleMax {
		err = wrong(titleTooLong)
	}
	return title, err
}

// content reads a content that has to be there.
func (f fields) content() ([]byte, error) {
	switch v := f["content"]; {
	case v.kind == valueAbsent, v.kind == valueText && v.text == "":
		return nil, wrong(contentRequired)
	case v.kind == valueOther:
		return nil, invalid("content")
	case v.bad:
		return nil, wrong(contentNotUTF8)
	default:
		return []byte(v.text), nil
	}
}

// fits refuses content that is too large, before anything else is looked at.
func (f fields) fits(contentMax int64) error {
	if int64(len(f["content"].text)) > contentMax {
		return refused(storage.KindTooLarge, tooLarge)
	}
	return nil
}

// language reads a language that was sent.
func (f fields) language() (string, error) {
	language, err := f.text("language")
	if err == nil && !isLanguage(language) {
		err = invalid("language")
	}
	return language, err
}

// privacies are the words for who may read a note.
var privacies = map[string]node.Privacy{
	"public": node.PrivacyPublic, "unlisted": node.PrivacyUnlisted, "private": node.PrivacyPrivate,
}

// privacyWord is the word for a privacy.
func privacyWord(p node.Privacy) string {
	for word, of := range privacies {
		if of == p {
			return word
		}
	}
	return "private" // nothing else is ever stored
}

// privacy reads a privacy that was sent.
func (f fields) privacy() (node.Privacy, error) {
	p, ok := privacies[f["privacy"].text]
	if !ok {
		return 0, invalid("privacy")
	}
	return p, nil
}

const day = 24 * time.Hour

// expiries are the words for a note's end.
var expiries = map[string]node.NoteExpiry{
	"keep": {Keep: true}, "never": {Never: true},
	"10m": {Span: 10 * time.Minute}, "1h": {Span: time.Hour}, "1d": {Span: day}, "1w": {Span: 7 * day}, "1m": {Span: 30 * day},
}

// expiry reads when a note is to end.
func (f fields) expiry(standard string) (node.NoteExpiry, error) {
	word := f["expiry"].text
	if !f.sent("expiry") {
		word = standard
	}
	e, ok := expiries[word]
	if !ok {
		return node.NoteExpiry{}, invalid("expiry")
	}
	return e, nil
}

// password reads a password; "" is none.
func (f fields) password() (string, error) {
	password, err := f.text("password")
	if err == nil && len(password) > passwordMax {
		err = wrong(passwordTooLong)
	}
	return password, err
}

// tokenID is the token that has to be named.
func (f fields) tokenID() (int64, error) {
	number, err := f.number("token_id", 1, numberMax)
	if err != nil || number == nil {
		return 0, invalid("token_id")
	}
	return *number, nil
}

// name reads the name of a token.
func (f fields) name() (string, error) {
	name, err := f.text("name")
	if err == nil && (name == "" || utf8.RuneCountInString(name) > nameMax) {
		err = invalid("name")
	}
	return name, err
}

// scopes reads a list, or text with commas.
func (f fields) scopes() ([]string, error) {
	v := f["scopes"]
	list := strings.Split(v.text, ",")
	if v.kind == valueOther {
		list = nil
		if json.Unmarshal(v.raw, &list) != nil {
			return nil, invalid("scopes")
		}
	}
	var scopes []string
	for _, scope := range scopeNames {
		if slices.ContainsFunc(list, func(s string) bool { return strings.TrimSpace(s) == scope }) {
			scopes = append(scopes, scope)
		}
	}
	for _, s := range list {
		if !slices.Contains(scopes, strings.TrimSpace(s)) {
			return nil, invalid("scopes")
		}
	}
	if len(scopes) == 0 {
		return nil, invalid("scopes")
	}
	return scopes, nil
}

// scopeNames are all scopes, in the order in which they are told.
var scopeNames = []string{node.TokenRead, node.TokenWrite, node.TokenAdmin}

// paging reads which part of a list is wanted.
func (f fields) paging() (limit int, cursor string, err error) {
	limit = pageDefault
	n, err := f.number("limit", 1, pageMax)
	if err != nil {
		return 0, "", err
	}
	if n != nil {
		limit = int(*n)
	}
	cursor, err = f.text("cursor")
	if err == nil && len(cursor) > cursorMax {
		err = invalid("cursor")
	}
	return limit, cursor, err
}

// timeLayout is how times are written: in UTC.
const timeLayout = time.DateTime

// stamp writes a time.
func stamp(ms int64) string { return time.UnixMilli(ms).UTC().Format(timeLayout) }

// stampOrNull writes a time, or null for one that is not.
func stampOrNull(ms int64) *string {
	if ms == 0 {
		return nil
	}
	s := stamp(ms)
	return &s
}

// time reads a time, in milliseconds; 0 when it was not sent.
func (f fields) time(name fieldName) (int64, error) {
	if !f.sent(name) {
		return 0, nil
	}
	t, err := time.Parse(timeLayout, f[name].text)
	if err != nil || t.Format(timeLayout) != f[name].text {
		return 0, invalid(string(name))
	}
	return max(t.UnixMilli(), 1), nil // 0 would be any
}

// addr reads an address; the zero one when it was not sent.
func (f fields) addr(name fieldName) (netip.Addr, error) {
	if !f.sent(name) {
		return netip.Addr{}, nil
	}
	a, err := netip.ParseAddr(f[name].text)
	if err != nil {
		return netip.Addr{}, invalid(string(name))
	}
	return a.Unmap().WithZone(""), nil
}
