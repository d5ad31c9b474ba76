package web

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"unicode/utf8"

	"ringbin/storage"
)

// JSONMax is how large a request body that is JSON may be.
const JSONMax = 64 << 10

// WriteJSON answers with a JSON document: compact, plain < > &, no final
// newline. A Content-Type that is set already stays.
func WriteJSON(w http.ResponseWriter, status int, v any) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return storage.E("web.WriteJSON", storage.KindInternal, err)
	}
	body := bytes.TrimSuffix(b.Bytes(), []byte("\n"))
	h := w.Header()
	if h.Get("Content-Type") == "" {
		h.Set("Content-Type", "application/json")
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body) // the client is gone; the server sees it too
	return nil
}

// Object is a JSON object that a client sent. Its members are asked for one by
// one: names are exact, the last of several counts, unknown members are
// ignored, null is the same as absent. Faults gather until Err.
type Object struct {
	members map[string]json.RawMessage
	asked   map[string]json.RawMessage
	wrong   []Fault // members of the wrong type
	invalid []Fault // integers out of range
}

// ReadObject reads a request's body as one JSON object, whatever its Content-Type.
func ReadObject(r *http.Request) (*Object, error) {
	const op = "web.ReadObject"
	if r.ContentLength > JSONMax {
		return nil, tooLarge(op, JSONMax, r.ContentLength)
	}
	var body []byte
	if r.Body != nil {
		var err error
		if body, err = io.ReadAll(io.LimitReader(r.Body, JSONMax+1)); err != nil {
			return nil, &storage.Error{Op: op, Kind: storage.KindInvalid, Code: CodeIncompleteBody, Err: err}
		}
	}
	if len(body) > JSONMax {
		return nil, tooLarge(op, JSONMax, -1)
	}
	return parseObject(body)
}

func tooLarge(op string, limit, size int64) error {
	details := map[string]any{"max_bytes": limit}
	if size >= 0 {
		details["size_bytes"] = size
	}
	return &storage.Error{Op: op, Kind: storage.KindTooLarge, Code: CodePayloadTooLarge, Details: details}
}

func parseObject(body []byte) (*Object, error) {
	o := &Object{asked: map[string]json.RawMessage{}}
	err := json.Unmarshal(body, &o.members)
	if err == nil && (o.members == nil || !utf8.Valid(body)) {
		err = errors.New("not a JSON object in UTF-8")
	}
	if err != nil {
		return nil, &storage.Error{Op: "web.ReadObject", Kind: storage.KindInvalid, Code: CodeInvalidJSON, Err: err}
	}
	return o, nil
}

// member returns what was sent under a name, nil for nothing or null.
func (o *Object) member(name string) json.RawMessage {
	raw := o.members[name]
	if len(raw) == 0 || string(raw) == "null" {
		return nil
	}
	o.asked[name] = raw
	return raw
}

func ask[T any](o *Object, name, want string) *T {
	raw := o.member(name)
	if raw == nil {
		return nil
	}
	v := new(T)
	if err := json.Unmarshal(raw, v); err != nil {
		o.wrong = append(o.wrong, Fault{name, want})
		return nil
	}
	return v
}

// Has reports whether a member is there and not null.
func (o *Object) Has(name string) bool { return o.member(name) != nil }

// String returns a string member, nil when absent.
func (o *Object) String(name string) *string { return ask[string](o, name, "must be a string") }

// Bool returns a boolean member, nil when absent.
func (o *Object) Bool(name string) *bool { return ask[bool](o, name, "must be true or false") }

// Strings returns a member that is a list of strings, nil when absent.
func (o *Object) Strings(name string) *[]string {
	const want = "must be a list of strings"
	items := ask[[]*string](o, name, want)
	if items == nil {
		return nil
	}
	list := make([]string, 0, len(*items))
	for _, s := range *items {
		if s == nil {
			o.wrong = append(o.wrong, Fault{name, want})
			return nil
		}
		list = append(list, *s)
	}
	return &list
}

// Int returns an integer member that is written as one, nil when absent.
func (o *Object) Int(name string) *int64 {
	raw := o.member(name)
	if raw == nil {
		return nil
	}
	digits := bytes.TrimPrefix(raw, []byte("-"))
	if len(digits) == 0 || !allDigits(string(digits)) {
		o.wrong = append(o.wrong, Fault{name, "must be an integer"})
		return nil
	}
	v, err := strconv.ParseInt(string(raw), 10, 64)
	if err != nil {
		o.invalid = append(o.invalid, Fault{name, "out of range"})
		return nil
	}
	return &v
}

// Decode reads a member that is an object into v, nil when absent. Unlike
// those of the object itself, all its members must be known.
func Decode[T any](o *Object, name string) *T {
	raw := o.member(name)
	if raw == nil {
		return nil
	}
	v := new(T)
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		o.wrong = append(o.wrong, Fault{faultIn(name, err), "must be as documented"})
		return nil
	}
	return v
}

// faultIn names the member of a member that could not be decoded, as far as
// that is known.
func faultIn(name string, err error) string {
	if e, ok := errors.AsType[*json.UnmarshalTypeError](err); ok && e.Field != "" {
		return name + "." + e.Field
	}
	return name
}

// Err returns what was wrong with the members asked for so far.
func (o *Object) Err() error {
	if err := Faults("web.Object", CodeInvalidJSON, o.wrong...); err != nil {
		return err
	}
	return Faults("web.Object", CodeInvalidParameter, o.invalid...)
}

// Canonical is the members asked for so far in one form, whatever their order
// and spacing: what makes two bodies the same request.
func (o *Object) Canonical() string {
	plain := make(map[string]any, len(o.asked))
	for name, raw := range maps.All(o.asked) {
		dec := json.NewDecoder(bytes.NewReader(raw))
		dec.UseNumber()
		var v any
		if err := dec.Decode(&v); err != nil {
			v = string(raw) // it was parsed before: not reached
		}
		plain[name] = v
	}
	b, err := json.Marshal(plain)
	if err != nil {
		panic("web: parsed JSON can't be written: " + err.Error())
	}
	return string(b)
}

func allDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

// Unasked returns the name of a member that nobody asked for, or "". Most
// requests ignore unknown members; one that changes policy must not.
func (o *Object) Unasked() string {
	for _, name := range slices.Sorted(maps.Keys(o.members)) {
		if _, asked := o.asked[name]; !asked && string(o.members[name]) != "null" {
			return name
		}
	}
	return ""
}
